"""A whole cluster as a plain SQLite file, which any SQLite reads, and everybody who gets hold of it.

It is the one place that writes documents to a disk in the clear, and it writes only the file that the caller named.
"""

from collections.abc import Iterator

import apsw

from poof.engines.sqlite.sqlite_errors import translated
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.catalogue import read_catalogue
from poof.engines.sqlite.tables.connections import ClusterConnection
from poof.engines.sqlite.tables.queries import snapshot
from poof.engines.sqlite.tables.rows import scan
from poof.engines.sqlite.tuning import Tuning
from poof.new_files import NewFile
from poof.progress import Report

LIST_OF_COLLECTIONS = "collections"
"""The table of tables. No other has this name: theirs have a dot."""

_CREATE_LIST = f"""
CREATE TABLE {LIST_OF_COLLECTIONS} (
    table_name TEXT PRIMARY KEY,
    database TEXT NOT NULL,
    collection TEXT NOT NULL,
    documents INTEGER NOT NULL
)
"""
_ADD_TABLE = f"INSERT INTO {LIST_OF_COLLECTIONS} VALUES (?, ?, ?, ?)"  # noqa: S608 - a name of our own


def write_plaintext(connection: ClusterConnection, target: NewFile, report: Report) -> None:
    """Writes all documents, as they are at one moment, to the temporary file of a new one."""
    with translated(target.path):
        plain = apsw.Connection(target.temporary)
    try:
        with translated(target.path):
            # A file that is not finished is thrown away, so it needs no journal, and leaves none.
            plain.pragma("journal_mode", "off")
            plain.pragma("temp_store", "memory")
            plain.execute(f"BEGIN; {_CREATE_LIST}")
        with snapshot(connection):
            _copy(connection, plain, target.path, report)
        with translated(target.path):
            plain.execute("COMMIT")
    finally:
        plain.close()
    target.sync()


def table_name(database: str, collection: str, taken: set[str]) -> str:
    """The name of a collection's table, `database.collection`, with what tells it from those that are taken.

    SQLite compares names without regard to case, reserves those that begin with `sqlite_`, and ends one at a NUL.
    """
    plain = f"{database}.{collection}".replace("\0", "\N{SYMBOL FOR NULL}")
    if plain.casefold().startswith("sqlite_"):
        plain = f"_{plain}"
    name, number = plain, 1
    while name.casefold() in taken:
        number += 1
        name = f"{plain} ({number})"
    taken.add(name.casefold())
    return name


def _copy(connection: ClusterConnection, plain: apsw.Connection, path: str, report: Report) -> None:
    collections = [
        (database, collection, number, connection.execute(schema.count_documents(number)).get)
        for database, names in read_catalogue(connection).items()
        for collection, number in names.items()
    ]
    total = sum(count for *_, count in collections)
    done = 0
    taken: set[str] = set()
    for database, collection, number, count in collections:
        name = table_name(database, collection, taken)
        quoted = name.replace('"', '""')
        with translated(path):
            plain.execute(_ADD_TABLE, (name, database, collection, count))
            plain.execute(f'CREATE TABLE "{quoted}" (obj_id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL)')
        for chunk in _chunks(scan(connection, number), connection.tuning):
            with translated(path):  # the errors of reading are about the other file
                plain.executemany(f'INSERT INTO "{quoted}" VALUES (?, ?)', chunk)  # noqa: S608 - quoted
            done += len(chunk)
            report(done, total, "documents")
    report(done, total, "documents")


def _chunks(rows: Iterator[tuple[str, str]], tuning: Tuning) -> Iterator[list[tuple[str, str]]]:
    chunk = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += len(row[1])
        if len(chunk) == tuning.chunk_documents or size >= tuning.chunk_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
