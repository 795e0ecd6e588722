"""Documents by their ids: read, stored, replaced, deleted. Plain functions of a connection.

Invariant: a function that writes is a single statement, so it has changed nothing when it raises. One whose name ends
in `_quick` keeps to the budget of the event loop.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import apsw

from poof.document import decode_document
from poof.engines.contract import Make
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.budget import OverBudgetError
from poof.engines.sqlite.tables.collector import paused_collector
from poof.engines.sqlite.tables.connections import ClusterConnection, ClusterCursor
from poof.engines.sqlite.tables.entries import refusal
from poof.object_ids import new_object_id
from poof.raising import raise_alone

T = TypeVar("T")
Connection = apsw.Connection | apsw.Cursor
"""What a single statement may be made on."""


def find(connection: apsw.Connection, collection_id: int, obj_id: str) -> dict[str, Any] | None:
    """The data of a document."""
    text = connection.execute(schema.find_document(collection_id), (obj_id,)).get
    return None if text is None else decode_document(text)


def find_quick(connection: ClusterConnection | ClusterCursor, collection_id: int, obj_id: str) -> dict[str, Any] | None:
    """The data of a document, unless it is a large one."""
    text = connection.execute(connection.find_small_document(collection_id), (obj_id,)).get
    if text is None:
        return None
    if text == 0:
        raise OverBudgetError
    return decode_document(text)


def find_all(connection: apsw.Connection, collection_id: int, make: Make[T]) -> list[T]:
    """What is made of all documents, in the order of insertion."""
    rows = scan(connection, collection_id)
    with paused_collector():
        return make((obj_id, decode_document(text)) for obj_id, text in rows)


def find_all_quick(connection: ClusterConnection, collection_id: int, make: Make[T]) -> list[T]:
    """`find_all`, where the documents are few and small."""
    most = connection.tuning.quick_documents
    sql = schema.find_small_documents(collection_id, connection.tuning.quick_document)
    rows: Any = connection.execute(sql, (most + 1,)).fetchall()
    if len(rows) > most or any(text == 0 for _, text in rows):
        raise OverBudgetError
    return make((obj_id, decode_document(text)) for obj_id, text in rows)


def scan(connection: Connection, collection_id: int) -> Iterator[tuple[str, str]]:
    """The id and JSON text of every document; lazily, so in the transaction that the caller keeps open."""
    rows: Any = connection.execute(schema.find_documents(collection_id))
    return iter(rows)


def insert(connection: apsw.Connection, collection_id: int, text: str, given: str | None = None) -> str:
    """Stores a new document, under the id that is given or a new one, and returns its id.

    Raises:
        DuplicateKeyError: another document has this id, or the key in a unique index.
    """
    sql = schema.insert_document(collection_id)
    while True:
        obj_id = given or new_object_id()
        try:
            connection.execute(sql, (obj_id, text))
        except apsw.ConstraintError as error:
            refused = refusal(connection, error, given, text)
            if refused.index is None and given is None:
                continue  # the id exists: once in a lifetime of the universe, or with a broken random source
            raise_alone(refused)
        return obj_id


def insert_rows(connection: apsw.Connection, collection_id: int, rows: Iterable[tuple[str, str]]) -> int:
    """Stores documents under the ids that they come with, inside the caller's transaction, and returns how many.

    They are stored one by one, as the iterator gives them.

    Raises:
        DuplicateKeyError: another document has the id of the last that was taken, or its key in a unique index.
    """
    last = ("", "")
    count = 0

    def remembered() -> Iterator[tuple[str, str]]:
        nonlocal last, count
        for last in rows:
            count += 1
            yield last

    try:
        connection.executemany(schema.insert_document(collection_id), remembered())
    except apsw.ConstraintError as error:
        raise_alone(refusal(connection, error, *last))
    return count


def replace(connection: apsw.Connection, collection_id: int, obj_id: str, text: str) -> bool:
    """Stores new data under an id; `False` where there is no such document."""
    try:
        connection.execute(schema.replace_document(collection_id), (text, obj_id))
    except apsw.ConstraintError as error:
        raise_alone(refusal(connection, error, obj_id, text))
    return connection.changes() == 1


def replace_same(connection: apsw.Connection, collection_id: int, obj_id: str, text: str, old: str) -> bool:
    """Stores new data under an id where the document still has the old text; `False` where it has not."""
    try:
        connection.execute(schema.replace_same(collection_id), (text, obj_id, old))
    except apsw.ConstraintError as error:
        raise_alone(refusal(connection, error, obj_id, text))
    return connection.changes() == 1


def delete(connection: apsw.Connection, collection_id: int, obj_id: str) -> bool:
    """Deletes a document; `False` where there is none of the id."""
    connection.execute(schema.delete_document(collection_id), (obj_id,))
    return connection.changes() == 1
