"""The tables inside a cluster file, and every statement on them.

Layer: storage; SQL text only. No name or value of a user is ever part of it: tables are numbered, values are bound.
"""

from collections.abc import Callable
from functools import cache

MAX_DATABASES = 10
MAX_COLLECTIONS = 50
"""Of one database."""
MAX_NAME_LENGTH = 255
"""Of a database or collection, in characters."""

ENTRIES = "entries_"
"""What the tables of entries are called, before their numbers."""
INDEX_KEYS = "poof_index_keys"
"""The SQL function of the keys under which an index lists a document."""

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
CREATE TABLE indexes (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collections (id),
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    UNIQUE (collection_id, name)
);
CREATE TABLE header (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    mac TEXT NOT NULL
);
CREATE TABLE features (
    name TEXT PRIMARY KEY
) WITHOUT ROWID;
"""

NOTE_HEADER = "INSERT OR REPLACE INTO header (id, generation, mac) VALUES (1, ?, ?)"
FIND_HEADER = "SELECT generation, mac FROM header WHERE id = 1"
LIST_FEATURES = "SELECT name FROM features ORDER BY name"

FIND_DATABASE = "SELECT id FROM databases WHERE name = ?"
COUNT_DATABASES = "SELECT count(*) FROM databases"
FIND_DATABASE_ID = "SELECT id FROM databases WHERE id = ?"
ADD_DATABASE = "INSERT INTO databases (id, name) VALUES (?, ?)"

FIND_COLLECTION = "SELECT id FROM collections WHERE database_id = ? AND name = ?"
COUNT_COLLECTIONS = "SELECT count(*) FROM collections WHERE database_id = ?"
ADD_COLLECTION = "INSERT INTO collections (id, database_id, name) VALUES (?, ?, ?)"
DELETE_COLLECTION = "DELETE FROM collections WHERE id = ?"
DELETE_DATABASE = "DELETE FROM databases WHERE id = ?"
RENAME_COLLECTION = "UPDATE collections SET name = ? WHERE id = ?"
LIST_DATABASE_NAMES = "SELECT name FROM databases ORDER BY name"
LIST_COLLECTION_NAMES = "SELECT name FROM collections WHERE database_id = ? ORDER BY name"

FIND_INDEXES = "SELECT id, name, definition FROM indexes WHERE collection_id = ? ORDER BY name"
FIND_INDEX = "SELECT id FROM indexes WHERE collection_id = ? AND name = ?"
FIND_INDEX_BY_NUMBER = "SELECT collection_id, name, definition FROM indexes WHERE id = ?"
LIST_INDEXES = "SELECT collection_id, id, definition FROM indexes"
COUNT_INDEXES = "SELECT count(*) FROM indexes WHERE collection_id = ?"
ADD_INDEX = "INSERT INTO indexes (id, collection_id, name, definition) VALUES (?, ?, ?, ?)"
DELETE_INDEX = "DELETE FROM indexes WHERE id = ?"

SIZES = "SELECT name, pgsize FROM dbstat WHERE aggregate = TRUE"
"""The bytes of each table and each index of SQLite's."""

LIST_COLLECTIONS = """
SELECT databases.name, collections.name, collections.id
FROM databases LEFT JOIN collections ON collections.database_id = databases.id
ORDER BY databases.name, collections.name
"""


def create_documents(collection_id: int) -> str:
    """The table of one collection; `id` is the order of insertion, `doc` the document as JSON text."""
    return (
        f"CREATE TABLE {documents(collection_id)} "
        "(id INTEGER PRIMARY KEY, obj_id TEXT NOT NULL UNIQUE, doc TEXT NOT NULL)"
    )


@cache
def insert_document(collection_id: int) -> str:
    return f"INSERT INTO {documents(collection_id)} (obj_id, doc) VALUES (?, ?)"  # noqa: S608 - a number


@cache
def find_document(collection_id: int) -> str:
    return f"SELECT doc FROM {documents(collection_id)} WHERE obj_id = ?"  # noqa: S608 - a number


@cache
def find_small_document(most: int) -> Callable[[int], str]:
    """For a collection: the document, or 0 where it has more than `most` bytes, which SQLite then does not read."""

    @cache
    def find(collection_id: int) -> str:
        return (
            f"SELECT iif(octet_length(doc) <= {most}, doc, 0) "  # noqa: S608 - numbers
            f"FROM {documents(collection_id)} WHERE obj_id = ?"
        )

    return find


@cache
def find_small_documents(collection_id: int, most: int) -> str:
    """The first documents, with 0 for each that has more bytes."""
    return (
        f"SELECT obj_id, iif(octet_length(doc) <= {most}, doc, 0) "  # noqa: S608 - numbers
        f"FROM {documents(collection_id)} ORDER BY id LIMIT +?"
    )


@cache
def find_documents(collection_id: int) -> str:
    return f"SELECT obj_id, doc FROM {documents(collection_id)} ORDER BY id"  # noqa: S608 - a number


@cache
def count_documents(collection_id: int) -> str:
    return f"SELECT count(*) FROM {documents(collection_id)}"  # noqa: S608 - a number


@cache
def find_by_number(collection_id: int) -> str:
    return f"SELECT obj_id, doc FROM {documents(collection_id)} WHERE id = ?"  # noqa: S608 - a number


@cache
def replace_by_number(collection_id: int) -> str:
    return f"UPDATE {documents(collection_id)} SET doc = ? WHERE id = ?"  # noqa: S608 - a number


@cache
def delete_by_number(collection_id: int) -> str:
    return f"DELETE FROM {documents(collection_id)} WHERE id = ?"  # noqa: S608 - a number


def drop_documents(collection_id: int) -> str:
    return f"DROP TABLE {documents(collection_id)}"


@cache
def replace_document(collection_id: int) -> str:
    return f"UPDATE {documents(collection_id)} SET doc = ? WHERE obj_id = ?"  # noqa: S608 - a number


@cache
def replace_same(collection_id: int) -> str:
    """Replaces a document only where it is what it was."""
    return f"UPDATE {documents(collection_id)} SET doc = ? WHERE obj_id = ? AND doc = ?"  # noqa: S608 - a number


@cache
def delete_document(collection_id: int) -> str:
    return f"DELETE FROM {documents(collection_id)} WHERE obj_id = ?"  # noqa: S608 - a number


@cache
def next_documents(collection_id: int) -> str:
    """The next documents after one, by their numbers."""
    return f"SELECT id, obj_id, doc FROM {documents(collection_id)} WHERE id > ? ORDER BY id LIMIT +?"  # noqa: S608 - a number


def create_entries(index_id: int, *, unique: bool) -> str:
    """The table of one index: keys, and the documents that it lists under them."""
    key = "key" if unique else "key, document"
    return (
        f"CREATE TABLE {entries(index_id)} "
        f"(key BLOB NOT NULL, document INTEGER NOT NULL, PRIMARY KEY ({key})) WITHOUT ROWID"
    )


def create_triggers(index_id: int, collection_id: int, definition: bytes) -> list[str]:
    """What keeps the entries of an index. The definition stands in them as a number would: in hexadecimal."""
    parent, table = documents(collection_id), entries(index_id)

    def keys(row: str) -> str:
        return f"{INDEX_KEYS}(x'{definition.hex()}', {row}.id, {row}.doc)"

    add = f"INSERT INTO {table} (key, document) SELECT unhex(value), new.id FROM json_each({keys('new')});"  # noqa: S608
    remove = (
        f"DELETE FROM {table} WHERE document = old.id "  # noqa: S608 - numbers
        f"AND key IN (SELECT unhex(value) FROM json_each({keys('old')}));"
    )
    changed = f"WHEN {keys('old')} IS NOT {keys('new')}"
    return [
        f"CREATE TRIGGER {table}_insert AFTER INSERT ON {parent} BEGIN {add} END",
        f"CREATE TRIGGER {table}_update AFTER UPDATE OF doc ON {parent} {changed} BEGIN {remove} {add} END",
        f"CREATE TRIGGER {table}_delete AFTER DELETE ON {parent} BEGIN {remove} END",
    ]


def drop_entries(index_id: int) -> list[str]:
    """What removes an index."""
    table = entries(index_id)
    triggers = [f"DROP TRIGGER {table}_{event}" for event in ("insert", "update", "delete")]
    return [*triggers, f"DROP TABLE {table}"]


@cache
def insert_entry(index_id: int) -> str:
    return f"INSERT INTO {entries(index_id)} (key, document) VALUES (?, ?)"  # noqa: S608 - a number


@cache
def find_mark(index_id: int) -> str:
    """The mark of an index that is multikey, one that says more before others."""
    return f"SELECT key FROM {entries(index_id)} WHERE key >= ? ORDER BY key DESC LIMIT 1"  # noqa: S608 - a number


@cache
def find_entries(index_id: int) -> str:
    return f"SELECT DISTINCT document FROM {entries(index_id)} WHERE key >= ? AND key < ?"  # noqa: S608 - a number


@cache
def find_holder(index_id: int, collection_id: int) -> str:
    """The id of the document that a unique index lists under a key, unless it is this one."""
    return (
        f"SELECT d.obj_id FROM {entries(index_id)} e JOIN {documents(collection_id)} d ON d.id = e.document "  # noqa: S608 - numbers
        "WHERE e.key = ? AND d.obj_id IS NOT ?"
    )


@cache
def one_for_each_key(index_id: int) -> str:
    return f"SELECT DISTINCT min(document) FROM {entries(index_id)} WHERE key < ? GROUP BY key"  # noqa: S608 - a number


def entries(index_id: int) -> str:
    return f"{ENTRIES}{index_id:d}"


def documents(collection_id: int) -> str:
    return f"documents_{collection_id:d}"


def id_index(collection_id: int) -> str:
    """What SQLite calls its index of the ids of documents."""
    return f"sqlite_autoindex_{documents(collection_id)}_1"


@cache
def rescue_document(collection_id: int) -> str:
    """Stores a document under its number, unless there is one of the number or of the id."""
    return f"INSERT OR IGNORE INTO {documents(collection_id)} (id, obj_id, doc) VALUES (?, ?, ?)"  # noqa: S608 - a number


@cache
def find_number(collection_id: int) -> str:
    return f"SELECT id FROM {documents(collection_id)} WHERE obj_id = ?"  # noqa: S608 - a number


@cache
def list_ids(collection_id: int) -> str:
    """The next numbers and ids of documents after a number, by the table."""
    return f"SELECT id, obj_id FROM {documents(collection_id)} WHERE id > ? ORDER BY id LIMIT +?"  # noqa: S608 - a number


@cache
def list_indexed_ids(collection_id: int, *, backwards: bool) -> str:
    """The next numbers and ids of documents after an id, or before it, by the index of ids alone."""
    comparison, order = ("<", "DESC") if backwards else (">", "ASC")
    return (
        f"SELECT id, obj_id FROM {documents(collection_id)} INDEXED BY {id_index(collection_id)} "  # noqa: S608 - a number
        f"WHERE obj_id {comparison} ? ORDER BY obj_id {order} LIMIT +?"
    )


@cache
def find_text(collection_id: int) -> str:
    return f"SELECT doc FROM {documents(collection_id)} WHERE id = ?"  # noqa: S608 - a number


@cache
def has_entry(index_id: int) -> str:
    return f"SELECT 1 FROM {entries(index_id)} WHERE key = ? AND document = ?"  # noqa: S608 - a number


@cache
def count_entries(index_id: int) -> str:
    return f"SELECT count(*) FROM {entries(index_id)}"  # noqa: S608 - a number


@cache
def list_entries(index_id: int) -> str:
    return f"SELECT key, document FROM {entries(index_id)}"  # noqa: S608 - a number


LIST_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
LIST_ALL_DATABASES = "SELECT id, name FROM databases"
LIST_ALL_COLLECTIONS = "SELECT id, database_id, name FROM collections"
LIST_ALL_INDEXES = "SELECT id, collection_id, name, definition FROM indexes"
