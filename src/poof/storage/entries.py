"""Entries of indexes: the SQL function that lists a document, and what to say where a unique index refuses one.

Layer: storage.
"""

import re
from collections.abc import Mapping
from typing import Any

import apsw
import orjson

from poof.document import decode_document
from poof.errors import DuplicateKeyError
from poof.query.indexes import IndexDefinition, decode_definition, keys_of
from poof.query.paths import values_at
from poof.storage import schema

SHOWN_CHARACTERS = 100
"""How much an error shows of a value."""

_TABLE = re.compile(r"entries_(\d+)")


def index_keys(definition: bytes, number: int, text: str) -> str:
    """The SQL function that the triggers call: the keys of a document, in hexadecimal, as a JSON array."""
    keys = sorted(keys_of(definition.decode())(number, decode_document(text)))
    return '["' + '","'.join([key.hex() for key in keys]) + '"]' if keys else "[]"


def refusal(connection: apsw.Connection, error: apsw.ConstraintError, text: str) -> DuplicateKeyError | None:
    """Our error for one of SQLite's about a unique index that refuses a document; None for any other error."""
    found = _TABLE.search(str(error))
    if found is None:
        return None
    row: Any = connection.execute(schema.FIND_INDEX_BY_NUMBER, (int(found[1]),)).fetchone()
    name, definition = row
    return duplicate_key(name, decode_definition(definition), decode_document(text))


def duplicate_key(name: str, definition: IndexDefinition, document: Mapping[str, Any]) -> DuplicateKeyError:
    """The error for a document that a unique index refuses."""
    values = {field.name: _shown(values_at(document, field.path)) for field in definition.fields}
    listed = ", ".join(f"{field} = {value}" for field, value in values.items())
    return DuplicateKeyError(f"The index {name!r} is unique, and another document has {listed}. Nothing was changed.")


def _shown(values: list[Any]) -> str:
    present = [value for value in values if isinstance(value, str | int | float | bool | list | dict)]
    text = orjson.dumps(present[0] if len(present) == 1 else present or None).decode()
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
