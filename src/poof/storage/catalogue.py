"""Databases and collections as a whole: listing, renaming, dropping.

Layer: storage. Plain functions of a connection, like `operations`.
"""

from typing import Any

import apsw

from poof.errors import GoneError, InvalidNameError
from poof.raising import raise_alone
from poof.storage import schema
from poof.storage.operations import find_collection, find_database, transaction


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
