"""Entries of indexes: the SQL function that lists a document, and what to say where a unique index refuses one."""

import re
from collections.abc import Mapping
from typing import Any

import apsw

from poof.document import decode_document
from poof.engines.sqlite.tables import schema
from poof.errors import DuplicateKeyError
from poof.located import duplicate
from poof.object_ids import OBJECT_ID
from poof.query.indexes.definition import decode_definition, keys_of
from poof.query.indexes.plan import Index

_TABLE = re.compile(r"entries_(\d+)")


def index_keys(definition: bytes, rowid: int, text: str) -> str:
    """The SQL function that the triggers call: the keys of a document, in hexadecimal, as a JSON array."""
    keys = sorted(keys_of(definition.decode())(rowid, decode_document(text)))
    return '["' + '","'.join([key.hex() for key in keys]) + '"]' if keys else "[]"


def refusal(
    connection: apsw.Connection, error: apsw.ConstraintError, obj_id: str | None, text: str
) -> DuplicateKeyError:
    """Our error for one of SQLite's about a document that was to be written, and its JSON text.

    `obj_id`: of the document; `None` where it was to get a new one. The statement has been undone.
    """
    found = _TABLE.search(str(error))
    row: Any = None if found is None else connection.execute(schema.FIND_INDEX_BY_NUMBER, (int(found[1]),)).fetchone()
    if found is None or row is None:  # another process may have dropped the index just now
        return duplicate(None, (OBJECT_ID,), obj_id)
    collection_id, name, definition = row
    index = Index(int(found[1]), name, decode_definition(definition), False)
    return duplicate_key(connection, collection_id, index, obj_id, decode_document(text))


def duplicate_key(
    connection: apsw.Connection, collection_id: int, index: Index, obj_id: str | None, document: Mapping[str, Any]
) -> DuplicateKeyError:
    """The error for a document that a unique index refuses. It looks for the one that is listed already."""
    find = schema.find_holder(index.id, collection_id)
    holder: str | None = None
    for key in keys_of(index.definition.encode())(0, document):
        holder = holder or connection.execute(find, (key, obj_id)).get
    return duplicate(index.name, tuple(field.name for field in index.definition.fields), holder)
