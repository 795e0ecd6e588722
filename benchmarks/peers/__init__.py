"""The databases that are compared, and what is asked of each.

Each adapter does the work in the way that is usual for its database. What is a file keeps an acknowledged write when
the process ends, and need not keep it when the power fails, until `save()`; that is what PoofDB does by default.
SQLite's relatives have the same page cache and settings, and a raw key, so that no password is stretched.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from documents import Document

CACHE_MIB = 64


class Peer(Protocol):
    """An open database. Methods that find return how many documents they decoded."""

    @classmethod
    async def open(cls, folder: Path, key: bytes) -> Self:
        """Opens the database in a folder, creates it where there is none. The key has 32 bytes."""
        ...

    async def close(self) -> None: ...
    async def insert(self, document: Document) -> Any:
        """Stores a document and returns its id."""
        ...

    async def insert_many(self, documents: list[Document]) -> list[Any]: ...
    async def find(self, obj_id: Any) -> Document: ...
    async def scan(self) -> int:
        """All documents, one after the other, and none kept."""
        ...

    async def find_all(self) -> int:
        """All documents in a list."""
        ...

    async def equal(self, street: str) -> int:
        """Those whose `address.street` is this."""
        ...

    async def contains(self, tag: str) -> int:
        """Those whose `tags` contain this."""
        ...

    async def newest(self, count: int) -> int:
        """So many documents with the highest `number`."""
        ...

    async def update(self, obj_id: Any, document: Document) -> None: ...
    async def delete(self, obj_id: Any) -> None: ...
    async def delete_many(self, ids: list[Any]) -> None:
        """Tidies up after a work; never measured."""
        ...

    async def save(self) -> None:
        """What was written survives a loss of power, as far as the database offers that."""
        ...

    async def create_indexes(self) -> None:
        """On `address.street`, `number` and `tags`, where the database has such indexes."""
        ...


@dataclass(frozen=True)
class Adapter:
    name: str
    place: str
    """Module and class."""
    needs: str
    """The module that the adapter imports."""
    encrypted: bool = False
    in_memory: bool = False
    """Keeps nothing, so there is nothing to open and nothing to save."""
    requirements: tuple[str, ...] = ()
    """What an environment of its own needs; empty: it runs in the environment of PoofDB."""

    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.needs) is not None

    def load(self) -> type[Peer]:
        module, name = self.place.split(".")
        loaded: type[Peer] = getattr(importlib.import_module(f"peers.{module}"), name)
        return loaded


ADAPTERS = (
    Adapter("PoofDB", "own.Poof", "poof", encrypted=True),
    Adapter("SQLCipher", "ciphers.SQLCipher", "sqlcipher3", encrypted=True),
    Adapter(
        "SQLite3MC",
        "plain.MultipleCiphers",
        "apsw",
        encrypted=True,
        requirements=("apsw-sqlite3mc>=3.50", "orjson>=3.10"),
    ),
    Adapter("LMDB + Fernet", "tokens.LMDBTokens", "lmdb", encrypted=True),
    Adapter("PantherDB", "panther.Panther", "pantherdb", encrypted=True),
    Adapter("PoofDB 0.x", "tokens.WholeFile", "cryptography", encrypted=True),
    Adapter("aiosqlite", "aio.AioSQLite", "aiosqlite"),
    Adapter("APSW", "plain.APSW", "apsw"),
    Adapter("TinyDB", "tiny.Tiny", "tinydb"),
    Adapter("TinyDB in memory", "tiny.TinyInMemory", "tinydb", in_memory=True),
    Adapter("MontyDB", "mongo.Monty", "montydb"),
    Adapter("mongomock", "mongo.Mock", "mongomock", in_memory=True),
)
