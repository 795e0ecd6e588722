"""What is done on a connection: reads and writes of documents, databases and collections.

Layer: storage. Plain functions of a connection. Whoever calls them turns the errors of SQLite into ours.

Invariant: a function that writes is a single statement, or a transaction or savepoint of its own, so it has changed
nothing when it raises; or its docstring says that it is made inside the caller's transaction. A function whose name
ends in `_quick` keeps to the budget of the event loop.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from poof.document import PoofDocument, decode_document, make_document
from poof.errors import GoneError, LimitError
from poof.models.binding import Binding
from poof.object_ids import new_object_id
from poof.raising import raise_alone
from poof.storage import schema
from poof.storage.budget import OverBudgetError
from poof.storage.collector import paused_collector
from poof.storage.connections import ClusterConnection, ClusterCursor
from poof.storage.entries import refusal

NUMBER_BITS = 48
"""Of the number of a database, a collection or an index."""

Everything = dict[str, dict[str, list[tuple[str, dict[str, Any]]]]]
"""Ids and data of documents, by database and collection."""


Connection = apsw.Connection | apsw.Cursor
"""What a single statement may be made on."""


def find_database(connection: Connection, name: str) -> int | None:
    """The id of a database."""
    found: int | None = connection.execute(schema.FIND_DATABASE, (name,)).get
    return found


def find_collection(connection: Connection, database_id: int, name: str) -> int | None:
    """The id of a collection."""
    found: int | None = connection.execute(schema.FIND_COLLECTION, (database_id, name)).get
    return found


def read_catalogue(connection: apsw.Connection) -> dict[str, dict[str, int]]:
    """The ids of all collections, by the names of database and collection."""
    catalogue: dict[str, dict[str, int]] = {}
    row: tuple[Any, Any, Any]
    for row in connection.execute(schema.LIST_COLLECTIONS):
        database, collection, collection_id = row
        collections = catalogue.setdefault(database, {})
        if collection is not None:
            collections[collection] = collection_id
    return catalogue


def create_database(connection: apsw.Connection, name: str) -> int:
    """The id of a database, which is created where there is none of the name."""
    with transaction(connection):
        found = find_database(connection, name)
        if found is not None:
            return found
        if connection.execute(schema.COUNT_DATABASES).get >= schema.MAX_DATABASES:
            raise LimitError(
                f"The cluster has {schema.MAX_DATABASES} databases, the most that one can have. "
                "The new one was not created."
            )
        return add_database(connection, name)


def create_collection(connection: apsw.Connection, database_id: int, name: str) -> int:
    """The id of a collection, which is created where there is none of the name."""
    with transaction(connection):
        found = find_collection(connection, database_id, name)
        if found is not None:
            return found
        if connection.execute(schema.COUNT_COLLECTIONS, (database_id,)).get >= schema.MAX_COLLECTIONS:
            raise LimitError(
                f"The database has {schema.MAX_COLLECTIONS} collections, the most that one can have. "
                "The new one was not created."
            )
        return add_collection(connection, database_id, name)


def add_database(connection: apsw.Connection, name: str) -> int:
    """Creates a database, inside the caller's transaction."""
    database_id = new_number()
    connection.execute(schema.ADD_DATABASE, (database_id, name))
    return database_id


def add_collection(connection: apsw.Connection, database_id: int, name: str) -> int:
    """Creates a collection, inside the caller's transaction."""
    if connection.execute(schema.FIND_DATABASE_ID, (database_id,)).get is None:
        raise GoneError("The database is gone: dropped, or the transaction that created it was rolled back.")
    collection_id = new_number()
    connection.execute(schema.ADD_COLLECTION, (collection_id, database_id, name))
    connection.execute(schema.create_documents(collection_id))
    return collection_id


def new_number() -> int:
    """The number of a new database, collection or index."""
    # Random, so that no other ever gets the number of a collection whose creation was rolled back.
    return secrets.randbits(NUMBER_BITS)


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


def find_all(connection: apsw.Connection, collection_id: int, binding: Binding[Any] | None) -> list[PoofDocument[Any]]:
    """Every document, in the order of insertion."""
    rows = scan(connection, collection_id)
    with paused_collector():
        return [make_document(obj_id, decode_document(text), binding) for obj_id, text in rows]


def find_all_quick(
    connection: ClusterConnection, collection_id: int, binding: Binding[Any] | None
) -> list[PoofDocument[Any]]:
    """Every document, where they are few and small."""
    tuning = connection.tuning
    sql = schema.find_small_documents(collection_id, tuning.quick_document)
    rows: Any = connection.execute(sql, (tuning.quick_documents + 1,)).fetchall()
    if len(rows) > tuning.quick_documents or any(text == 0 for _, text in rows):
        raise OverBudgetError
    return [make_document(obj_id, decode_document(text), binding) for obj_id, text in rows]


def scan(connection: Connection, collection_id: int) -> Iterator[tuple[str, str]]:
    """The id and JSON text of every document; lazily, so in the transaction that the caller keeps open."""
    rows: Any = connection.execute(schema.find_documents(collection_id))
    return iter(rows)


def read_everything(connection: apsw.Connection) -> Everything:
    """All documents, as they were at one moment."""
    with transaction(connection, "DEFERRED"):
        return {
            database: {
                name: [(obj_id, decode_document(text)) for obj_id, text in scan(connection, collection_id)]
                for name, collection_id in collections.items()
            }
            for database, collections in read_catalogue(connection).items()
        }


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


def insert_rows(connection: apsw.Connection, collection_id: int, rows: Iterable[tuple[str, str]]) -> None:
    """Stores documents under the ids that they come with, inside the caller's transaction; one by one, as `rows` goes.

    Raises:
        DuplicateKeyError: another document has the id of the last that was taken, or its key in a unique index.
    """
    last = ("", "")

    def remembered() -> Iterator[tuple[str, str]]:
        nonlocal last
        for row in rows:
            last = row
            yield row

    try:
        connection.executemany(schema.insert_document(collection_id), remembered())
    except apsw.ConstraintError as error:
        raise_alone(refusal(connection, error, *last))


def replace(connection: apsw.Connection, collection_id: int, obj_id: str, text: str) -> bool:
    """Stores new data under an id; `False` where there is no such document."""
    try:
        connection.execute(schema.replace_document(collection_id), (text, obj_id))
    except apsw.ConstraintError as error:
        raise_alone(refusal(connection, error, obj_id, text))
    return connection.changes() == 1


def delete(connection: apsw.Connection, collection_id: int, obj_id: str) -> bool:
    """Deletes a document; `False` where there is none of the id."""
    connection.execute(schema.delete_document(collection_id), (obj_id,))
    return connection.changes() == 1


@contextmanager
def transaction(connection: apsw.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    """A transaction, or a savepoint in the one that is open: undone where the block raises."""
    nested = connection.in_transaction
    execute_whole(connection, BEGIN_NESTED if nested else f"BEGIN {mode}")
    try:
        yield
        execute_whole(connection, COMMIT_NESTED if nested else "COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself may have rolled all of it back
            execute_whole(connection, ROLLBACK_NESTED if nested else "ROLLBACK")
        raise


def execute_whole(connection: apsw.Connection, sql: str) -> None:
    """Begins or ends a transaction, whoever looks at its progress.

    SQLite counts the steps of a prepared statement over all its runs, and could interrupt one of the many runs of this
    one after it has taken effect. So it is prepared anew.
    """
    connection.execute(sql, can_cache=False)


# Savepoints share a name, by which SQLite means the innermost.
BEGIN_NESTED = "SAVEPOINT nested"
COMMIT_NESTED = "RELEASE nested"
ROLLBACK_NESTED = "ROLLBACK TO nested; RELEASE nested"


def begin(connection: apsw.Connection) -> None:
    """Opens a transaction that writes."""
    connection.execute("BEGIN IMMEDIATE")


def begin_snapshot(connection: apsw.Connection) -> None:
    """Opens a transaction that reads."""
    connection.execute("BEGIN")


def end_snapshot(connection: apsw.Connection) -> None:
    """Ends it, unless SQLite has: it does where the file cannot be read."""
    if connection.in_transaction:
        connection.execute("COMMIT")


def begin_nested(connection: apsw.Connection) -> None:
    """Opens a savepoint."""
    connection.execute(BEGIN_NESTED)


def commit(connection: apsw.Connection) -> None:
    """Commits the open transaction."""
    connection.execute("COMMIT")


def commit_nested(connection: apsw.Connection) -> None:
    """Ends the innermost savepoint; what was done since is part of the transaction."""
    connection.execute(COMMIT_NESTED)


def rollback(connection: apsw.Connection) -> None:
    """Ends the open transaction, if there is one, with nothing changed."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def rollback_nested(connection: apsw.Connection) -> None:
    """Undoes what was done since the innermost savepoint, and ends it."""
    connection.execute(ROLLBACK_NESTED)


def save(connection: ClusterConnection, timeout: float = 0.0) -> None:
    """Makes every write so far survive power loss, and moves the whole log into the file."""
    end = time.monotonic() + timeout
    while True:
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            # SQLite itself has waited for those who read or write, but waits for no checkpoint of another process.
            if time.monotonic() >= end:
                raise
            time.sleep(connection.tuning.look_again)
        else:
            return


def sync_log(connection: ClusterConnection) -> None:
    """Makes the log survive power loss, so that a checkpoint beside writes has little left to sync."""
    if connection.cluster_state.log is not None:
        connection.cluster_state.log.flush()


def checkpoint(connection: ClusterConnection, copied: Callable[[], None] | None = None) -> None:
    """Copies as much of the log into the file as readers let, without making anybody wait.

    `copied` is called after each page.
    """
    with connection.cluster_state.after_each_copy(copied):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


def restart_log(connection: apsw.Connection, size: int | None = None) -> None:
    """Copies what is left of the log into the file, so that the next write starts the log anew.

    `size`: the log is started anew at once, with a commit that changes nothing; its file is cut to that many bytes.
    """
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    if size is not None:
        connection.pragma("journal_size_limit", size)
        try:
            connection.pragma("user_version", connection.pragma("user_version"))
        finally:
            connection.pragma("journal_size_limit", -1)
