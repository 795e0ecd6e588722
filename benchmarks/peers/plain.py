"""APSW, and the APSW that has SQLite3 Multiple Ciphers in it: SQLite with as little Python around it as can be.

Both are called `apsw`, so they never share an environment.
"""

from pathlib import Path
from typing import Any, Self

import apsw
import orjson

from peers.sql import SETTINGS, Synchronous


class APSW(Synchronous):
    @staticmethod
    def dumps(document: Any) -> str:
        return orjson.dumps(document).decode()

    loads = staticmethod(orjson.loads)

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        connection = apsw.Connection(str(folder / "plain.db"))
        connection.execute(SETTINGS).fetchall()  # runs as it is read
        return cls(connection)


class MultipleCiphers(APSW):
    """With its default cipher, ChaCha20-Poly1305."""

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        connection = apsw.Connection(str(folder / "ciphers.db"))
        connection.execute(f"PRAGMA key = 'raw:{key.hex()}'").fetchall()
        connection.execute(SETTINGS).fetchall()  # runs as it is read
        return cls(connection)
