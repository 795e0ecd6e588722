"""Changes to the documents that a query finds.

Plain functions of a connection.

Invariant: each is a transaction or savepoint of its own. What a change makes of a document is the caller's to say, so
nothing in here knows the language of updates, or models.
"""

from array import array
from collections.abc import Iterable
from typing import Any

import apsw

from poof.document import decode_document
from poof.engines.contract import Change, Changed, Merge, Replace
from poof.engines.sqlite.tables import rows, schema
from poof.engines.sqlite.tables.budget import OverBudgetError
from poof.engines.sqlite.tables.connections import ClusterConnection, within_budget
from poof.engines.sqlite.tables.entries import refusal
from poof.engines.sqlite.tables.queries import find_by_rowid, find_rowids, find_rows_quick
from poof.engines.sqlite.tables.savepoints import transaction
from poof.located import OURS, located
from poof.query.query import Query
from poof.raising import raise_alone

Data = dict[str, Any]


def change_quick(connection: ClusterConnection, collection_id: int, query: Query, change: Change) -> Changed:
    """`change_all` within the budget of the event loop."""
    with transaction(connection):
        rowids = _find_quick(connection, collection_id, query)
        if rowids is None:
            raise OverBudgetError
        return _change(connection, collection_id, rowids, _quick(change, connection.tuning.quick_characters))


def change_all(connection: ClusterConnection, collection_id: int, query: Query, change: Change) -> Changed:
    """Changes whatever a query finds."""
    with transaction(connection):
        return _change(connection, collection_id, find_rowids(connection, collection_id, query), change)


def merge_by_id_quick(connection: ClusterConnection, collection_id: int, obj_id: str, merge: Merge) -> Data | None:
    """`merge_by_id` within the budget of the event loop.

    It needs no transaction, which would cost more than the rest: the one write is made only where the document still is
    what was read. Another process may have changed it.
    """
    text: Any = connection.execute(connection.find_small_document(collection_id), (obj_id,)).get
    if text is None:
        return None
    if text == 0:
        raise OverBudgetError
    data, new_text = merge(obj_id, decode_document(text))
    if len(new_text) > connection.tuning.quick_characters:
        raise OverBudgetError
    if new_text != text and not rows.replace_same(connection, collection_id, obj_id, new_text, text):
        raise OverBudgetError
    return data


def merge_by_id(connection: apsw.Connection, collection_id: int, obj_id: str, merge: Merge) -> Data | None:
    """Stores what `merge` makes of the document of an id, and gives it; `None` where there is no such document."""
    with transaction(connection):
        text: str | None = connection.execute(schema.find_document(collection_id), (obj_id,)).get
        if text is None:
            return None
        data, new_text = merge(obj_id, decode_document(text))
        rows.replace(connection, collection_id, obj_id, new_text)
        return data


def replace_rows(connection: apsw.Connection, collection_id: int, changed: Iterable[tuple[str, str]]) -> None:
    """Stores new JSON text for documents, given with their ids, inside the caller's transaction."""
    for obj_id, text in changed:
        try:
            rows.replace(connection, collection_id, obj_id, text)
        except OURS as error:
            raise_alone(located(error, f"Document {obj_id}"))


def _find_quick(connection: ClusterConnection, collection_id: int, query: Query) -> list[int] | None:
    """The rowids of the documents that a query finds; `None` where that exceeds the budget of the event loop."""
    try:
        with within_budget(connection):
            return [row.rowid for row in find_rows_quick(connection, collection_id, query)]
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
    connection: apsw.Connection, collection_id: int, rowids: "list[int] | array[int]", change: Change
) -> Changed:
    if not rowids:
        return _insert(connection, collection_id, change)
    if change.replace is None:
        return _delete(connection, collection_id, rowids)
    return _replace(connection, collection_id, rowids, change.replace)


def _insert(connection: apsw.Connection, collection_id: int, change: Change) -> Changed:
    if change.insert is None:
        return Changed()
    given, text = change.insert()
    obj_id = rows.insert(connection, collection_id, text, given)
    return Changed(inserted_id=obj_id, obj_id=obj_id, after=decode_document(text))


def _delete(connection: apsw.Connection, collection_id: int, rowids: "Iterable[int]") -> Changed:
    matched = 0
    obj_id, text = "", ""
    for rowid in rowids:
        obj_id, text = find_by_rowid(connection, collection_id, rowid)
        connection.execute(schema.delete_by_rowid(collection_id), (rowid,))
        matched += 1
    return Changed(matched, matched, obj_id=obj_id, before=decode_document(text))


def _replace(
    connection: apsw.Connection,
    collection_id: int,
    rowids: "Iterable[int]",
    replace: Replace,
) -> Changed:
    matched = modified = 0
    obj_id, text, new_text = "", "", None
    for rowid in rowids:
        obj_id, text = find_by_rowid(connection, collection_id, rowid)
        new_text = replace(obj_id, decode_document(text))
        matched += 1
        if new_text is not None:
            _store(connection, collection_id, rowid, new_text)
            modified += 1
    after = decode_document(text if new_text is None else new_text)
    return Changed(matched, modified, obj_id=obj_id, before=decode_document(text), after=after)


def _store(connection: apsw.Connection, collection_id: int, rowid: int, text: str) -> None:
    try:
        connection.execute(schema.replace_by_rowid(collection_id), (text, rowid))
    except apsw.ConstraintError as error:
        obj_id, _ = find_by_rowid(connection, collection_id, rowid)
        raise_alone(located(refusal(connection, error, obj_id, text), f"Document {obj_id}"))
