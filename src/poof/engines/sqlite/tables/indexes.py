"""Indexes in the file: tables of keys, which triggers keep.

Plain functions of a connection.

Invariant: whatever changes a document changes its entries in the same statement, since the triggers belong to the
table of the documents; they call an SQL function of ours, which every connection has.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from poof.document import decode_document
from poof.engines.contract import MAX_INDEXES
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.catalogue import check_collection, new_number
from poof.engines.sqlite.tables.connections import ClusterConnection
from poof.engines.sqlite.tables.entries import duplicate_key
from poof.engines.sqlite.tables.savepoints import transaction
from poof.errors import InvalidQueryError, LimitError
from poof.located import located
from poof.progress import Report
from poof.query.indexes.definition import (
    MULTIKEY_MARK,
    SHARED_MARK,
    IndexDefinition,
    decode_definition,
    keys_of,
)
from poof.query.indexes.plan import Index
from poof.raising import raise_alone

T = TypeVar("T")


def find_indexes(connection: apsw.Connection, collection_id: int) -> list[Index]:
    """The indexes of a collection, by name."""
    rows: Any = connection.execute(schema.FIND_INDEXES, (collection_id,)).fetchall()
    return [_index(connection, number, name, decode_definition(definition)) for number, name, definition in rows]


def list_indexes(connection: apsw.Connection, collection_id: int) -> list[Index]:
    """The indexes of a collection, by name.

    Raises:
        GoneError: there is no such collection.
    """
    check_collection(connection, collection_id)
    return find_indexes(connection, collection_id)


def with_indexes(connection: apsw.Connection, collection_id: int, use: Callable[[list[Index]], T]) -> T:
    """What `use` reads by the indexes of a collection, as they are in the snapshot that it reads.

    To read them first each time would cost more than most reads. So `use` is given those that are known; where it
    turns out that they were not the newest, it is called again.

    Raises:
        NoSnapshotError: no transaction is open, and `use` cannot be given the newest without one.
    """
    if not isinstance(connection, ClusterConnection) or connection.txn_state() == apsw.SQLITE_TXN_WRITE:
        return use(find_indexes(connection, collection_id))
    has_snapshot = connection.in_transaction
    version, known = connection.known_indexes.get(collection_id, (None, []))
    if connection.data_version() == version:  # or a long read without a new index would be ended before it is seen
        try:
            result = use(known)
        except apsw.SQLError as error:
            if f"no such table: {schema.ENTRIES}" not in str(error):
                raise
        else:
            if connection.data_version() == version:
                return result
            if has_snapshot and _learn(connection, collection_id) == known:
                return result
            del result  # ends the statement that it reads from, and with it the old snapshot
    if not has_snapshot:
        raise NoSnapshotError
    return use(_learn(connection, collection_id))


def _learn(connection: ClusterConnection, collection_id: int) -> list[Index]:
    indexes = find_indexes(connection, collection_id)
    connection.known_indexes[collection_id] = connection.data_version(), indexes
    return indexes


class NoSnapshotError(Exception):
    """Asks for a transaction. Internal: users never see it."""


def create_index(
    connection: ClusterConnection, collection_id: int, name: str, definition: IndexDefinition, report: Report
) -> None:
    """Creates an index and lists every document in it; does nothing where there is the very same.

    Raises:
        InvalidQueryError: there is another index of this name, or the same under another name.
        LimitError: the collection has as many indexes as it can.
        DuplicateKeyError: the index is unique, and two documents have the same key.
    """
    text = definition.encode()
    with transaction(connection):
        for other in find_indexes(connection, collection_id):
            if other.definition == definition and other.name == name:
                return
            if other.name == name:
                raise InvalidQueryError(f"There is another index {name!r}. Drop it first, or choose another name.")
            if other.definition == definition:
                raise InvalidQueryError(f"There is the same index under the name {other.name!r}.")
        if connection.execute(schema.COUNT_INDEXES, (collection_id,)).get >= MAX_INDEXES:
            raise LimitError(f"The collection has {MAX_INDEXES} indexes, the most that one can have.")
        number = new_number()
        connection.execute(schema.ADD_INDEX, (number, collection_id, name, text))
        connection.execute(schema.create_entries(number, unique=definition.unique))
        _build(connection, collection_id, Index(number, name, definition, False), report)
        for statement in schema.create_triggers(number, collection_id, text.encode()):
            connection.execute(statement)


def drop_index(connection: apsw.Connection, collection_id: int, name: str) -> bool:
    """Drops an index; `False` where there is none of the name."""
    with transaction(connection):
        check_collection(connection, collection_id)
        number = connection.execute(schema.FIND_INDEX, (collection_id, name)).get
        if number is None:
            return False
        for statement in schema.drop_entries(number):
            connection.execute(statement)
        connection.execute(schema.DELETE_INDEX, (number,))
        return True


def _index(connection: apsw.Connection, number: int, name: str, definition: IndexDefinition) -> Index:
    mark: Any = connection.execute(schema.find_mark(number), (MULTIKEY_MARK,)).get
    return Index(number, name, definition, mark is not None, mark is not None and mark.startswith(SHARED_MARK))


def _next(connection: ClusterConnection, collection_id: int, last: int) -> list[tuple[int, str, str]]:
    rows: Any = connection.execute(
        schema.next_documents(collection_id), (last, connection.tuning.build_documents)
    ).fetchall()
    found: list[tuple[int, str, str]] = rows
    return found


def _build(connection: ClusterConnection, collection_id: int, index: Index, report: Report) -> None:
    keys_for = keys_of(index.definition.encode())
    insert = schema.insert_entry(index.id)
    total = connection.execute(schema.count_documents(collection_id)).get
    done = last = 0
    while rows := _next(connection, collection_id, last):
        for rowid, obj_id, text in rows:
            document = decode_document(text)
            try:
                connection.executemany(insert, [(key, rowid) for key in keys_for(rowid, document)])
            except apsw.ConstraintError:
                error = duplicate_key(connection, collection_id, index, obj_id, document)
                raise_alone(located(error, f"Document {obj_id}"))
        last = rows[-1][0]
        done += len(rows)
        report(done, total, "documents")
