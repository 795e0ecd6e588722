"""SQLCipher, as Python's own `sqlite3` with a key."""

import json
from pathlib import Path
from typing import Self

import sqlcipher3

from peers.sql import SETTINGS, Synchronous


class SQLCipher(Synchronous):
    dumps = staticmethod(json.dumps)
    loads = staticmethod(json.loads)

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        connection = sqlcipher3.connect(str(folder / "sqlcipher.db"), isolation_level=None)
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        connection.executescript(SETTINGS)
        return cls(connection)
