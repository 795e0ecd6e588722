"""The tables that an open cluster should have, and those that it has.

Plain functions of a connection.
"""

from dataclasses import dataclass, field
from typing import Any

import apsw
import orjson

from poof.engines.contract import MAX_COLLECTIONS, MAX_DATABASES, MAX_INDEXES
from poof.engines.sqlite.tables import schema
from poof.query.indexes.definition import IndexDefinition, decode_definition
from poof.results import Problem

_OWN = frozenset({"databases", "collections", "indexes"})


@dataclass(frozen=True)
class CatalogueIndex:
    """An index, as it stands in the catalogue."""

    number: int
    name: str
    definition: str


@dataclass(frozen=True)
class Collection:
    """A collection, as it stands in the catalogue."""

    number: int
    label: str
    """Its name and that of its database, for people."""
    indexes: list[CatalogueIndex] = field(default_factory=list)


@dataclass(frozen=True)
class Tables:
    """What the catalogue says, as far as it can be used, and what is wrong with it."""

    collections: list[Collection]
    problems: list[str]
    names: list[str]
    """Every table that there is."""


def check_tables(connection: apsw.Connection) -> Tables:
    """Compares the catalogue with the tables and triggers that there are."""
    problems: list[str] = []
    rows: Any = connection.execute(schema.LIST_SCHEMA).fetchall()
    found = {(kind, name): sql for kind, name, _table, sql in rows}
    expected = _own_tables()
    collections = _collections(connection, problems)
    for collection in collections.values():
        expected["table", schema.documents(collection.number)] = schema.create_documents(collection.number)
    for collection, index, definition in _indexes(connection, collections, problems):
        entries = schema.entries(index.number)
        expected["table", entries] = schema.create_entries(index.number, unique=definition.unique)
        triggers = schema.create_triggers(index.number, collection.number, index.definition.encode())
        for event, trigger in zip(("insert", "update", "delete"), triggers, strict=True):
            expected["trigger", f"{entries}_{event}"] = trigger
        if ("table", entries) in found and ("table", schema.documents(collection.number)) in found:
            collection.indexes.append(index)
    for (kind, name), sql in expected.items():
        if (kind, name) not in found:
            problems.append(f"The {kind} {name} is missing.")
        elif found[kind, name] != sql:
            problems.append(f"The {kind} {name} is not as it should be.")
    automatic = {(kind, name) for kind, name in found if name.startswith("sqlite_autoindex_")}
    for kind, name in sorted(found.keys() - expected.keys() - automatic):
        problems.append(f"The {kind} {name} belongs to nothing in the catalogue.")
    usable = [each for each in collections.values() if ("table", schema.documents(each.number)) in found]
    return Tables(usable, problems, [name for kind, name in found if kind == "table"])


def problems_of(tables: Tables) -> list[Problem]:
    """What is wrong with the catalogue."""
    return [Problem("catalogue", None, text) for text in tables.problems]


def _own_tables() -> dict[tuple[str, str], str]:
    statements = [statement.strip() for statement in schema.CATALOGUE.split(";") if statement.strip()]
    return {("table", statement.split()[2]): statement for statement in statements}


def _collections(connection: apsw.Connection, problems: list[str]) -> dict[int, Collection]:
    databases: dict[int, str] = dict(_rows(connection, schema.LIST_ALL_DATABASES))
    if len(databases) > MAX_DATABASES:
        problems.append(f"There are {len(databases)} databases, more than {MAX_DATABASES}.")
    collections = {}
    in_database = dict.fromkeys(databases, 0)
    for number, database, name in _rows(connection, schema.LIST_ALL_COLLECTIONS):
        if database in databases:
            in_database[database] += 1
            collections[number] = Collection(number, f"{databases[database]!r}.{name!r}")
        else:
            problems.append(f"The collection {name!r} belongs to a database that is not there.")
    for database, count in in_database.items():
        if count > MAX_COLLECTIONS:
            problems.append(f"The database {databases[database]!r} has {count} collections.")
    return collections


def _indexes(
    connection: apsw.Connection, collections: dict[int, Collection], problems: list[str]
) -> list[tuple[Collection, CatalogueIndex, IndexDefinition]]:
    found = []
    counts = dict.fromkeys(collections, 0)
    for number, collection, name, text in _rows(connection, schema.LIST_ALL_INDEXES):
        if collection not in collections:
            problems.append(f"The index {name!r} belongs to a collection that is not there.")
            continue
        counts[collection] += 1
        try:
            definition = decode_definition(text)
            definition.node()
        except (ValueError, TypeError, orjson.JSONDecodeError):
            problems.append(f"The index {name!r} of {collections[collection].label} has no valid definition.")
            continue
        found.append((collections[collection], CatalogueIndex(number, name, text), definition))
    for collection, count in counts.items():
        if count > MAX_INDEXES:
            problems.append(f"{collections[collection].label} has {count} indexes, more than {MAX_INDEXES}.")
    return found


def _rows(connection: apsw.Connection, sql: str) -> list[Any]:
    return list(connection.execute(sql))
