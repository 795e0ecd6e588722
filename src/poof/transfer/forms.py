"""Forms of export: what documents look like in a file.

Pure.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from poof.engines.contract import Row
from poof.errors import InvalidQueryError
from poof.object_ids import OBJECT_ID
from poof.query.nodes import Path
from poof.query.paths import parse_path
from poof.transfer.objects import to_object

MAX_COLUMNS = 10_000
"""Of a CSV file whose columns are found in the documents."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


@dataclass(frozen=True)
class Encoder:
    """How documents become bytes, one after another."""

    document: Callable[[Row], bytes]
    head: bytes = b""
    between: bytes = b""
    tail: bytes = b""


Form = Callable[[Callable[[], Iterable[Row]]], Encoder]
"""Makes an encoder for documents, which it may read first."""


def json_lines(_rows: Callable[[], Iterable[Row]]) -> Encoder:
    """One object on each line."""
    return Encoder(lambda row: _to_json(row) + b"\n")


def json_array(_rows: Callable[[], Iterable[Row]]) -> Encoder:
    """One array of objects, each on its line."""
    return Encoder(lambda row: b"\n" + _to_json(row), head=b"[", between=b",", tail=b"\n]\n")


def comma_separated(fields: Sequence[str] | None) -> Form:
    """A row for each document, under a row of names: the chosen fields, or all that there are, flattened.

    Raises:
        InvalidQueryError: a field has no valid name, or none is chosen.
    """
    if fields is None:
        return lambda rows: _table(_find_columns(rows()), flattened=True)
    if isinstance(fields, str) or not fields:
        raise InvalidQueryError("fields= is a list of field names, one at least.")
    columns = [parse_path(field) for field in fields]
    return lambda _rows: _table(columns, flattened=False)


def _table(columns: Sequence[Path], *, flattened: bool) -> Encoder:
    writer = csv.writer(_Echo())

    def line(cells: Iterable[str]) -> bytes:
        text: str = writer.writerow(cells)  # it returns what the file's write() returns
        return text.encode()

    def document(row: Row) -> bytes:
        whole = to_object(row.obj_id, row.data)
        return line(_cell(_value_at(whole, column), flattened) for column in columns)

    return Encoder(document, head=line(_text_cell(".".join(column)) for column in columns))


class _Echo:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


def _find_columns(rows: Iterable[Row]) -> list[Path]:
    columns: dict[Path, None] = {(OBJECT_ID,): None}
    for row in rows:
        columns.update(dict.fromkeys(_paths(to_object(row.obj_id, row.data), ())))
        if len(columns) > MAX_COLUMNS:
            raise InvalidQueryError(
                f"The documents have more than {MAX_COLUMNS:,} different fields. Name those to export in fields=."
            )
    return list(columns)


def _paths(document: dict[str, Any], before: Path) -> Iterator[Path]:
    for name, value in document.items():
        path = (*before, name)
        if isinstance(value, dict) and value:
            yield from _paths(value, path)
        else:
            yield path


def _value_at(document: dict[str, Any], path: Path) -> Any:
    value: Any = document
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value


def _cell(value: Any, flattened: bool) -> str:
    if value is None or (flattened and isinstance(value, dict) and value):  # which has columns of its own
        return ""
    return _text_cell(value) if isinstance(value, str) else orjson.dumps(value).decode()


def _text_cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _to_json(row: Row) -> bytes:
    return orjson.dumps(to_object(row.obj_id, row.data))
