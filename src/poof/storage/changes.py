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
from poof.storage.budget import OverBudgetError
from poof.storage.candidates import Query
from poof.storage.connections import ClusterConnection, within_budget
from poof.storage.entries import refusal
from poof.storage.operations import transaction
from poof.storage.queries import find_by_number, find_numbers, find_rows_quick

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the documents that a query finds."""

    replace: Callable[[str, Data], str | None] | None
    """From the id and the data of a document, its new JSON text, or None where it stays the same; without this
    function, documents are deleted."""
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


def change_quick(connection: ClusterConnection, collection_id: int, query: Query, change: Change) -> Changed:
    """`change_all` within the budget of the event loop."""
    with transaction(connection):
        numbers = _find_quick(connection, collection_id, query)
        if numbers is None:
            raise OverBudgetError
        return _change(connection, collection_id, numbers, _quick(change, connection.tuning.quick_characters))


def change_all(connection: ClusterConnection, collection_id: int, query: Query, change: Change) -> Changed:
    """Changes whatever a query finds."""
    with transaction(connection):
        return _change(connection, collection_id, find_numbers(connection, collection_id, query), change)


def replace_numbers(connection: apsw.Connection, collection_id: int, changed: Iterable[tuple[str, int]]) -> None:
    """Stores new JSON text for documents, given with their numbers, inside the caller's transaction."""
    for text, number in changed:
        _execute(connection, schema.replace_by_number(collection_id), (text, number), text)


def _find_quick(connection: ClusterConnection, collection_id: int, query: Query) -> list[int] | None:
    """The numbers of the documents that a query finds; `None` where that exceeds the budget of the event loop."""
    try:
        with within_budget(connection):
            return [row.number for row in find_rows_quick(connection, collection_id, query)]
    except OverBudgetError:
        return None  # the error would keep the statement, which would keep its snapshot past the transaction


def _quick(change: Change, most: int) -> Change:
    """Returns the same change, which ends where it would make a document of more than `most` characters."""
    replace, insert = change.replace, change.insert

    def replace_quick(obj_id: str, data: Data) -> str | None:
        text = None if replace is None else replace(obj_id, data)
        return None if text is None else checked(text)

    def insert_quick() -> tuple[str | None, str]:
        obj_id, text = (None, "{}") if insert is None else insert()
        return obj_id, checked(text)

    def checked(text: str) -> str:
        if len(text) > most:
            raise OverBudgetError
        return text

    return Change(None if replace is None else replace_quick, None if insert is None else insert_quick)


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
    replace: Callable[[str, Data], str | None],
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
