"""Changes to the documents that a query finds.

Layer: storage. Plain functions of a connection, like `operations`.

Invariant: each is a transaction or savepoint of its own. What a change makes of a document is the caller's to say, so
nothing in here knows the language of updates, or models.
"""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import apsw

from poof.document import decode_document
from poof.errors import DuplicateKeyError
from poof.object_ids import new_object_id
from poof.storage import schema
from poof.storage.candidates import Query
from poof.storage.entries import refusal
from poof.storage.operations import OVER_BUDGET, OverBudget, transaction
from poof.storage.queries import INLINE_SIZE, find_by_number, find_few, find_numbers

Data = dict[str, Any]


Replace = Callable[[str, Data], str | None]
"""From the id and the data of a document, its new JSON text, or None where it stays the same."""


Merge = Callable[[str, Data], tuple[Data, str]]
"""From the id and the data of a document, its new data and their JSON text."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the documents that a query finds."""

    replace: Replace | None
    """Without this function, documents are deleted."""
    insert: Callable[[], tuple[str | None, str]] | None = None
    """The id, or None for a new one, and the JSON text of the document to insert where none is found."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did."""

    matched: int = 0
    modified: int = 0
    inserted_id: str | None = None
    obj_id: str | None = None
    """The id of the last document that was found, or of the one inserted."""
    before: Data | None = None
    """Its data before, if it was there."""
    after: Data | None = None
    """Its data now, if it still is there."""


TryRead = Callable[..., Any]


def change_few(
    connection: apsw.Connection, try_read: TryRead, collection_id: int, query: Query, change: Change
) -> Changed | OverBudget:
    """Changes what a query finds, if that is little, was found under the budget of `try_read`, and stays little."""
    try:
        with transaction(connection):
            rows = try_read(find_few, collection_id, query)
            if rows is OVER_BUDGET:
                raise _OverBudgetError
            return _change(connection, collection_id, [row.number for row in rows], _small(change))
    except _OverBudgetError:
        return OVER_BUDGET


def change_all(connection: apsw.Connection, collection_id: int, query: Query, change: Change) -> Changed:
    """Changes whatever a query finds."""
    with transaction(connection):
        return _change(connection, collection_id, find_numbers(connection, collection_id, query), change)


def merge_by_id(connection: apsw.Connection, collection_id: int, obj_id: str, merge: Merge) -> Data | None:
    """Merges new data into the document of an id, and gives what it is then; `None` where there is none."""
    with transaction(connection):
        text: str | None = connection.execute(schema.find_document(collection_id), (obj_id,)).get
        if text is None:
            return None
        data, new_text = merge(obj_id, decode_document(text))
        _execute(connection, schema.replace_document(collection_id), (new_text, obj_id), new_text)
        return data


def merge_by_id_quick(
    connection: apsw.Connection, collection_id: int, obj_id: str, merge: Merge
) -> Data | OverBudget | None:
    """The same, unless the document is a large one, or becomes one.

    It needs no transaction, which would cost more than the rest: the one write is made only where the document still is
    what was read. Another process may have changed it.
    """
    text: Any = connection.execute(schema.find_small_document(collection_id), (obj_id,)).get
    if text is None:
        return None
    if text == 0:
        return OVER_BUDGET
    data, new_text = merge(obj_id, decode_document(text))
    if len(new_text) > INLINE_SIZE:
        return OVER_BUDGET
    if new_text != text:
        _execute(connection, schema.replace_same(collection_id), (new_text, obj_id, text), new_text)
        if not connection.changes():
            return OVER_BUDGET
    return data


def replace_numbers(connection: apsw.Connection, collection_id: int, changed: Iterable[tuple[str, int]]) -> None:
    """Stores new JSON text for documents, given with their numbers, inside the caller's transaction."""
    for text, number in changed:
        _execute(connection, schema.replace_by_number(collection_id), (text, number), text)


class _OverBudgetError(Exception):
    """Rolls back what was begun under the budget."""


def _small(change: Change) -> Change:
    """The same change, which ends where it would make a large document."""
    replace, insert = change.replace, change.insert

    def insert_small() -> tuple[str | None, str]:
        obj_id, text = (None, "{}") if insert is None else insert()
        return obj_id, _small_text(text)

    return Change(None if replace is None else _small_replace(replace), None if insert is None else insert_small)


def _small_replace(replace: Replace) -> Replace:
    def replace_small(obj_id: str, data: Data) -> str | None:
        text = replace(obj_id, data)
        return None if text is None else _small_text(text)

    return replace_small


def _small_text(text: str) -> str:
    if len(text) > INLINE_SIZE:
        raise _OverBudgetError
    return text


def _change(
    connection: apsw.Connection, collection_id: int, numbers: "list[int] | array[int]", change: Change
) -> Changed:
    if not numbers:
        return _insert(connection, collection_id, change)
    if change.replace is None:
        return _delete(connection, collection_id, numbers)
    return _replace(connection, collection_id, numbers, change.replace)


def _insert(connection: apsw.Connection, collection_id: int, change: Change) -> Changed:
    if change.insert is None:
        return Changed()
    obj_id, text = change.insert()
    obj_id = obj_id or new_object_id()
    _execute(connection, schema.insert_document(collection_id), (obj_id, text), text)
    return Changed(inserted_id=obj_id, obj_id=obj_id, after=decode_document(text))


def _delete(connection: apsw.Connection, collection_id: int, numbers: "Iterable[int]") -> Changed:
    matched = 0
    obj_id, text = "", ""
    for number in numbers:
        obj_id, text = find_by_number(connection, collection_id, number)
        connection.execute(schema.delete_by_number(collection_id), (number,))
        matched += 1
    return Changed(matched, matched, obj_id=obj_id, before=decode_document(text))


def _replace(
    connection: apsw.Connection,
    collection_id: int,
    numbers: "Iterable[int]",
    replace: Replace,
) -> Changed:
    matched = modified = 0
    obj_id, text, new_text = "", "", None
    for number in numbers:
        obj_id, text = find_by_number(connection, collection_id, number)
        new_text = replace(obj_id, decode_document(text))
        matched += 1
        if new_text is not None:
            _execute(connection, schema.replace_by_number(collection_id), (new_text, number), new_text)
            modified += 1
    after = decode_document(text if new_text is None else new_text)
    return Changed(matched, modified, obj_id=obj_id, before=decode_document(text), after=after)


def _execute(connection: apsw.Connection, sql: str, parameters: tuple[Any, ...], text: str) -> None:
    try:
        connection.execute(sql, parameters)
    except apsw.ConstraintError as error:
        another = DuplicateKeyError("Another document has the _objId of the one to insert. Nothing was changed.")
        raise refusal(connection, error, text) or another from None
