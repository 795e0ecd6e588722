"""The table and the statements of SQLite's relatives: JSON text and an id, as PoofDB stores them too."""

import secrets
from collections.abc import Callable
from typing import Any

from documents import Document

from peers import CACHE_MIB

STREET = "json_extract(doc, '$.address.street')"
NUMBER = "json_extract(doc, '$.number')"

SETTINGS = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA cache_size = -{CACHE_MIB * 1024};
CREATE TABLE IF NOT EXISTS documents (id INTEGER PRIMARY KEY, obj_id TEXT NOT NULL UNIQUE, doc TEXT NOT NULL);
"""
INSERT = "INSERT INTO documents (obj_id, doc) VALUES (?, ?)"
FIND = "SELECT doc FROM documents WHERE obj_id = ?"
FIND_ALL = "SELECT obj_id, doc FROM documents ORDER BY id"
FIND_EQUAL = f"SELECT obj_id, doc FROM documents WHERE {STREET} = ?"
FIND_CONTAINING = "SELECT obj_id, doc FROM documents WHERE ? IN (SELECT value FROM json_each(doc, '$.tags'))"
FIND_NEWEST = f"SELECT obj_id, doc FROM documents ORDER BY {NUMBER} DESC LIMIT ?"
UPDATE = "UPDATE documents SET doc = ? WHERE obj_id = ?"
DELETE = "DELETE FROM documents WHERE obj_id = ?"
SAVE = "PRAGMA wal_checkpoint(TRUNCATE)"
INDEXES = (f"CREATE INDEX street ON documents ({STREET})", f"CREATE INDEX number ON documents ({NUMBER})")
"""Of arrays SQLite has none."""


def new_id() -> str:
    return secrets.token_urlsafe(14)


class Synchronous:
    """Without the cost of an event loop, which it holds for as long as each call takes."""

    dumps: Callable[[Any], str]
    loads: Callable[[str], Any]

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def close(self) -> None:
        self.connection.close()

    async def insert(self, document: Document) -> str:
        obj_id = new_id()
        self.connection.execute(INSERT, (obj_id, self.dumps(document)))
        return obj_id

    async def insert_many(self, documents: list[Document]) -> list[str]:
        rows = [(new_id(), document) for document in documents]
        self.connection.execute("BEGIN")
        self.connection.executemany(INSERT, ((obj_id, self.dumps(document)) for obj_id, document in rows))
        self.connection.execute("COMMIT")
        return [obj_id for obj_id, _ in rows]

    async def find(self, obj_id: str) -> Document:
        document: Document = self.loads(self.connection.execute(FIND, (obj_id,)).fetchone()[0])
        return document

    async def scan(self) -> int:
        count = 0
        for _, text in self.connection.execute(FIND_ALL):
            self.loads(text)
            count += 1
        return count

    async def find_all(self) -> int:
        return self._decode(FIND_ALL)

    async def equal(self, street: str) -> int:
        return self._decode(FIND_EQUAL, street)

    async def contains(self, tag: str) -> int:
        return self._decode(FIND_CONTAINING, tag)

    async def newest(self, count: int) -> int:
        return self._decode(FIND_NEWEST, count)

    def _decode(self, sql: str, *parameters: object) -> int:
        return len([(obj_id, self.loads(text)) for obj_id, text in self.connection.execute(sql, parameters)])

    async def update(self, obj_id: str, document: Document) -> None:
        self.connection.execute(UPDATE, (self.dumps(document), obj_id))

    async def delete(self, obj_id: str) -> None:
        self.connection.execute(DELETE, (obj_id,))

    async def delete_many(self, ids: list[str]) -> None:
        self.connection.execute("BEGIN")
        self.connection.executemany(DELETE, [(obj_id,) for obj_id in ids])
        self.connection.execute("COMMIT")

    async def save(self) -> None:
        self.connection.execute(SAVE).fetchall()

    async def create_indexes(self) -> None:
        for sql in INDEXES:
            self.connection.execute(sql)
