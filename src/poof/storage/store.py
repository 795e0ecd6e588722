"""Everything a cluster does on its SQLite connection, one call at a time.

Layer: storage. A store and its connection are used by one thread at a time.

Invariant: a call that changes something is one transaction; it is committed when the call returns, and changed
nothing when it raises.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from poof.document import decode_document, new_object_id
from poof.errors import LimitError
from poof.storage import schema
from poof.storage.connections import connect
from poof.storage.faults import translated
from poof.storage.files import Unlocked
from poof.storage.vfs import ClusterVFS


class Store:
    """An open cluster file."""

    def __init__(self, path: str, unlocked: Unlocked, *, timeout: float, cache_mib: int, base: str = "") -> None:
        self.user_key = unlocked.user_key
        self._vfs = ClusterVFS(path, unlocked.data_key, base)
        self._label = self._vfs.label
        self._closed = False
        try:
            with self._translated():
                self._connection = connect(self._vfs, timeout=timeout, cache_mib=cache_mib)
        except BaseException:
            self._vfs.unregister()
            raise

    def database(self, name: str) -> int:
        """The id of a database, which is created where there is none of the name."""
        with self._translated():
            found = self._connection.execute(schema.FIND_DATABASE, (name,)).get
            return found if found is not None else self._create_database(name)

    def collection(self, database_id: int, name: str) -> int:
        """The id of a collection, which is created where there is none of the name."""
        with self._translated():
            found = self._connection.execute(schema.FIND_COLLECTION, (database_id, name)).get
            return found if found is not None else self._create_collection(database_id, name)

    def insert(self, collection_id: int, text: str) -> str:
        """Stores a new document and returns its id."""
        with self._translated():
            while True:
                obj_id = new_object_id()
                try:
                    self._connection.execute(schema.insert_document(collection_id), (obj_id, text))
                except apsw.ConstraintError:
                    continue  # the id exists: once in a lifetime of the universe, or with a broken random source
                return obj_id

    def find(self, collection_id: int, obj_id: str) -> dict[str, Any] | None:
        """The data of a document."""
        with self._translated():
            text = self._connection.execute(schema.find_document(collection_id), (obj_id,)).get
        return None if text is None else decode_document(text)

    def find_all(self, collection_id: int) -> list[tuple[str, dict[str, Any]]]:
        """The id and data of every document, in the order of insertion."""
        with self._translated():
            rows = self._connection.execute(schema.find_documents(collection_id))
            return [(obj_id, decode_document(text)) for obj_id, text in rows]

    def replace(self, collection_id: int, obj_id: str, text: str) -> bool:
        """Stores new data under an id; `False` where there is no such document."""
        with self._translated():
            self._connection.execute(schema.replace_document(collection_id), (text, obj_id))
            return self._connection.changes() == 1

    def delete(self, collection_id: int, obj_id: str) -> bool:
        """Deletes a document; `False` where there is none of the id."""
        with self._translated():
            self._connection.execute(schema.delete_document(collection_id), (obj_id,))
            return self._connection.changes() == 1

    def read_everything(self) -> dict[str, dict[str, list[tuple[str, dict[str, Any]]]]]:
        """All documents by database and collection, as they were at one moment."""
        with self._translated(), transaction(self._connection, "DEFERRED"):
            return {
                database: {name: self.find_all(collection_id) for name, collection_id in collections.items()}
                for database, collections in read_catalogue(self._connection).items()
            }

    def save(self) -> None:
        """Makes every write so far survive power loss, and moves the whole log into the file."""
        with self._translated():
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def close(self) -> None:
        """Closes the file. The last to close it anywhere leaves one file, without a log."""
        if self._closed:
            return
        self._closed = True
        with self._translated():
            try:
                self._connection.close()
            finally:
                self._vfs.unregister()

    def _create_database(self, name: str) -> int:
        with transaction(self._connection):
            found = self._connection.execute(schema.FIND_DATABASE, (name,)).get
            if found is not None:
                return int(found)
            if self._connection.execute(schema.COUNT_DATABASES).get >= schema.MAX_DATABASES:
                raise LimitError(
                    f"{self._label!r} has {schema.MAX_DATABASES} databases, the most a cluster can have. "
                    "The new one was not created."
                )
            return int(self._connection.execute(schema.ADD_DATABASE, (name,)).get)

    def _create_collection(self, database_id: int, name: str) -> int:
        with transaction(self._connection):
            found = self._connection.execute(schema.FIND_COLLECTION, (database_id, name)).get
            if found is not None:
                return int(found)
            if self._connection.execute(schema.COUNT_COLLECTIONS, (database_id,)).get >= schema.MAX_COLLECTIONS:
                raise LimitError(
                    f"The database has {schema.MAX_COLLECTIONS} collections, the most that one can have. "
                    f"The new one was not created in {self._label!r}."
                )
            return add_collection(self._connection, database_id, name)

    def _translated(self) -> Any:
        return translated(self._label)


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


def add_collection(connection: apsw.Connection, database_id: int, name: str) -> int:
    """Creates a collection, inside the caller's transaction."""
    collection_id = int(connection.execute(schema.ADD_COLLECTION, (database_id, name)).get)
    connection.execute(schema.create_documents(collection_id))
    return collection_id


@contextmanager
def transaction(connection: apsw.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    """A transaction: committed at the end of the block, rolled back where the block raises."""
    connection.execute(f"BEGIN {mode}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
