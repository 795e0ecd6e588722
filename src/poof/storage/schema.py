"""The tables inside a cluster file, and every statement on them.

Layer: storage; SQL text only. No name or value of a user is ever part of it: tables are numbered, values are bound.
"""

from functools import cache

MAX_DATABASES = 10
MAX_COLLECTIONS = 50
"""Of one database."""
MAX_NAME_LENGTH = 255
"""Of a database or collection, in characters."""

SMALL_DOCUMENT = 16 * 1024
"""Bytes of JSON up to which a document may be read on the event loop."""

CATALOGUE = """
CREATE TABLE databases (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE collections (
    id INTEGER PRIMARY KEY,
    database_id INTEGER NOT NULL REFERENCES databases (id),
    name TEXT NOT NULL,
    UNIQUE (database_id, name)
);
"""

FIND_DATABASE = "SELECT id FROM databases WHERE name = ?"
COUNT_DATABASES = "SELECT count(*) FROM databases"
FIND_DATABASE_ID = "SELECT id FROM databases WHERE id = ?"
ADD_DATABASE = "INSERT INTO databases (id, name) VALUES (?, ?)"

FIND_COLLECTION = "SELECT id FROM collections WHERE database_id = ? AND name = ?"
COUNT_COLLECTIONS = "SELECT count(*) FROM collections WHERE database_id = ?"
ADD_COLLECTION = "INSERT INTO collections (id, database_id, name) VALUES (?, ?, ?)"
LIST_COLLECTIONS = """
SELECT databases.name, collections.name, collections.id
FROM databases LEFT JOIN collections ON collections.database_id = databases.id
ORDER BY databases.name, collections.name
"""


def create_documents(collection_id: int) -> str:
    """The table of one collection; `id` is the order of insertion, `doc` the document as JSON text."""
    return (
        f"CREATE TABLE {_documents(collection_id)} "
        "(id INTEGER PRIMARY KEY, obj_id TEXT NOT NULL UNIQUE, doc TEXT NOT NULL)"
    )


@cache
def insert_document(collection_id: int) -> str:
    return f"INSERT INTO {_documents(collection_id)} (obj_id, doc) VALUES (?, ?)"  # noqa: S608 - a number


@cache
def find_document(collection_id: int) -> str:
    return f"SELECT doc FROM {_documents(collection_id)} WHERE obj_id = ?"  # noqa: S608 - a number


@cache
def find_small_document(collection_id: int) -> str:
    """The document, or 0 where it is large: then SQLite does not read it."""
    return (
        f"SELECT iif(octet_length(doc) <= {SMALL_DOCUMENT}, doc, 0) "  # noqa: S608 - numbers
        f"FROM {_documents(collection_id)} WHERE obj_id = ?"
    )


@cache
def find_small_documents(collection_id: int) -> str:
    """The first documents, with 0 for each large one."""
    return (
        f"SELECT obj_id, iif(octet_length(doc) <= {SMALL_DOCUMENT}, doc, 0) "  # noqa: S608 - numbers
        f"FROM {_documents(collection_id)} ORDER BY id LIMIT ?"
    )


@cache
def find_documents(collection_id: int) -> str:
    return f"SELECT obj_id, doc FROM {_documents(collection_id)} ORDER BY id"  # noqa: S608 - a number


@cache
def count_documents(collection_id: int) -> str:
    return f"SELECT count(*) FROM {_documents(collection_id)}"  # noqa: S608 - a number


@cache
def replace_document(collection_id: int) -> str:
    return f"UPDATE {_documents(collection_id)} SET doc = ? WHERE obj_id = ?"  # noqa: S608 - a number


@cache
def delete_document(collection_id: int) -> str:
    return f"DELETE FROM {_documents(collection_id)} WHERE obj_id = ?"  # noqa: S608 - a number


def _documents(collection_id: int) -> str:
    return f"documents_{collection_id:d}"
