"""What the tables of indexes must hold: each document under its keys, and nothing else."""

from typing import Any

import apsw

from poof.document import decode_document
from poof.engines.sqlite.tables import schema
from poof.query.indexes.definition import keys_of


def check_entries(connection: apsw.Connection) -> int:
    """Compares all entries of a cluster with the keys of its documents; returns how many there are."""
    total = 0
    indexes: Any = connection.execute(schema.LIST_INDEXES).fetchall()
    for collection_id, index_id, definition in indexes:
        keys = keys_of(definition)
        rows: Any = connection.execute(f"SELECT id, doc FROM {schema.documents(collection_id)}").fetchall()
        expected = {(key, number) for number, text in rows for key in keys(number, decode_document(text))}
        found: Any = connection.execute(f"SELECT key, document FROM {schema.entries(index_id)}").fetchall()
        assert len(found) == len(expected)
        assert set(found) == expected
        total += len(found)
    return total


def tables(connection: apsw.Connection) -> list[str]:
    """The names of all tables of entries, and of what belongs to them."""
    rows: Any = connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'entries%' ORDER BY name")
    return [name for (name,) in rows]
