"""Databases and collections: found, created, listed, renamed, dropped. Plain functions of a connection.

Invariant: a function that writes is a single statement, or a transaction or savepoint of its own; or its docstring says
that it is made inside the transaction of its caller.
"""

import secrets
from typing import Any

import apsw

from poof.document import decode_document
from poof.engines.contract import MAX_COLLECTIONS, MAX_DATABASES
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.rows import Connection, scan
from poof.engines.sqlite.tables.savepoints import transaction
from poof.errors import GoneError, InvalidNameError, LimitError
from poof.raising import raise_alone

NUMBER_BITS = 48
"""Of the number of a database, a collection or an index."""
Everything = dict[str, dict[str, list[tuple[str, dict[str, Any]]]]]
"""Ids and data of documents, by database and collection."""


def find_database(connection: Connection, name: str) -> int | None:
    """The id of a database."""
    found: int | None = connection.execute(schema.FIND_DATABASE, (name,)).get
    return found


def find_collection(connection: Connection, database_id: int, name: str) -> int | None:
    """The id of a collection."""
    found: int | None = connection.execute(schema.FIND_COLLECTION, (database_id, name)).get
    return found


def check_collection(connection: Connection, collection_id: int) -> None:
    """Raises `GoneError` where there is no such collection. It is for calls that look at no document."""
    if connection.execute(schema.FIND_COLLECTION_ID, (collection_id,)).get is None:
        raise GoneError("The collection is gone: it was dropped, or the transaction that created it was rolled back.")


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
        if connection.execute(schema.COUNT_DATABASES).get >= MAX_DATABASES:
            raise LimitError(
                f"The cluster has {MAX_DATABASES} databases, the most that one can have. The new one was not created."
            )
        return add_database(connection, name)


def create_collection(connection: apsw.Connection, database_id: int, name: str) -> int:
    """The id of a collection, which is created where there is none of the name."""
    with transaction(connection):
        found = find_collection(connection, database_id, name)
        if found is not None:
            return found
        if connection.execute(schema.COUNT_COLLECTIONS, (database_id,)).get >= MAX_COLLECTIONS:
            raise LimitError(
                f"The database has {MAX_COLLECTIONS} collections, the most that one can have. "
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


def list_databases(connection: apsw.Connection) -> list[str]:
    """The names of all databases, in order."""
    return _names(connection, schema.LIST_DATABASE_NAMES)


def list_collections(connection: apsw.Connection, database_id: int) -> list[str]:
    """The names of the collections of a database, in order."""
    return _names(connection, schema.LIST_COLLECTION_NAMES, database_id)


def drop_collection(connection: apsw.Connection, collection_id: int) -> None:
    """Deletes a collection, its documents and indexes. Their space is used again."""
    with transaction(connection):
        indexes: Any = connection.execute(schema.FIND_INDEXES, (collection_id,)).fetchall()
        connection.execute(schema.drop_documents(collection_id))  # and its triggers
        for index_id, _name, _definition in indexes:
            connection.execute(schema.drop_entries(index_id)[-1])
            connection.execute(schema.DELETE_INDEX, (index_id,))
        connection.execute(schema.DELETE_COLLECTION, (collection_id,))


def drop_collection_named(connection: apsw.Connection, database_id: int, name: str) -> bool:
    """The same, by name; `False` where there is none of the name."""
    with transaction(connection):
        found = find_collection(connection, database_id, name)
        if found is not None:
            drop_collection(connection, found)
        return found is not None


def drop_database(connection: apsw.Connection, name: str) -> bool:
    """Deletes a database with all its collections; `False` where there is none of the name."""
    with transaction(connection):
        database_id = find_database(connection, name)
        if database_id is None:
            return False
        for collection in list_collections(connection, database_id):
            drop_collection_named(connection, database_id, collection)
        connection.execute(schema.DELETE_DATABASE, (database_id,))
        return True


def rename_collection(connection: apsw.Connection, collection_id: int, name: str) -> None:
    """Gives a collection another name.

    Raises:
        InvalidNameError: another collection of the database has the name.
        GoneError: there is no such collection any more.
    """
    try:
        connection.execute(schema.RENAME_COLLECTION, (name, collection_id))
    except apsw.ConstraintError:
        raise_alone(InvalidNameError(f"The database has another collection {name!r}. Drop it first."))
    if connection.changes() == 0:
        raise GoneError("The collection is gone: it was dropped.")


def rename_collection_named(connection: apsw.Connection, database_id: int, name: str, new_name: str) -> None:
    """The same, by its old name."""
    with transaction(connection):
        found = find_collection(connection, database_id, name)
        if found is None:
            raise GoneError(f"There is no collection {name!r}.")
        rename_collection(connection, found, new_name)


def _names(connection: apsw.Connection, sql: str, *parameters: int) -> list[str]:
    rows: Any = connection.execute(sql, parameters)
    return [name for (name,) in rows]
