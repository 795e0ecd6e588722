"""SQLite connections to a cluster file, and their settings.

Layer: storage.
"""

from collections.abc import Callable
from typing import Any

import apsw

from poof.format.layout import PAGE_SIZE, RESERVED_SIZE
from poof.query.compile import sort_functions
from poof.query.plan import Index
from poof.storage import schema
from poof.storage.entries import index_keys
from poof.storage.schema import CATALOGUE
from poof.storage.vfs import MEMORY_BASE, ClusterVFS

DEFAULT_CACHE_MIB = 64
ONCE_CACHE_MIB = 2
"""The cache of a connection that reads everything once, and so finds nothing in it."""


class ClusterConnection(apsw.Connection):
    """A connection that knows its VFS, and remembers indexes of collections for as long as nothing is committed."""

    cluster_vfs: ClusterVFS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.known_indexes: dict[int, tuple[int, list[Index]]] = {}
        """For the number of a collection, SQLite's data version and the indexes in it."""


def connect(
    vfs: ClusterVFS,
    *,
    timeout: float = 0.0,
    cache_mib: int = DEFAULT_CACHE_MIB,
    power: bool = False,
    read_only: bool = False,
    new: bool = False,
) -> apsw.Connection:
    """A connection to the file of a VFS.

    `timeout` is in seconds, the cache of opened pages in MiB; `power` syncs each commit.
    """
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    flags |= apsw.SQLITE_OPEN_CREATE if new else 0
    connection = ClusterConnection(vfs.path, flags=flags, vfs=vfs.name)
    connection.cluster_vfs = vfs
    try:
        connection.set_busy_timeout(round(timeout * 1000))
        _configure(connection, vfs, cache_mib, "full" if power else "normal")
        _add_functions(connection)
        if not new:
            connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)  # which forbids a new file's journal mode
    except BaseException:
        connection.close()
        raise
    return connection


def prepare_new(connection: apsw.Connection) -> None:
    """Gives an empty file its page layout, its tables and its write-ahead log."""
    prepare_pages(connection)
    connection.execute(f"BEGIN; {CATALOGUE} COMMIT")
    connection.pragma("journal_mode", "wal")


def prepare_pages(connection: apsw.Connection) -> None:
    """Gives an empty file its page layout, and no journal while it is built."""
    if connection.reserve_bytes(reserve=RESERVED_SIZE) != RESERVED_SIZE:
        raise AssertionError("SQLite did not reserve the bytes of a token")
    connection.pragma("page_size", PAGE_SIZE)
    # No journal: a file that is not finished is thrown away, and a journal would hold pages in the clear.
    connection.pragma("journal_mode", "off")


def _configure(connection: apsw.Connection, vfs: ClusterVFS, cache_mib: int, synchronous: str) -> None:
    if vfs.base == MEMORY_BASE:
        # A file in memory has no index of its log that connections could share, so the one that writes keeps it alone.
        # This comes before the first read, which would look for the index.
        connection.pragma("locking_mode", "exclusive")
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.wal_autocheckpoint(0)  # the engine decides when, and on which thread
    # Sorts and statement journals never become plaintext files.
    connection.execute(
        f"PRAGMA temp_store = memory; PRAGMA cache_size = {-1024 * cache_mib}; PRAGMA cell_size_check = on; "
        f"PRAGMA synchronous = {synchronous}"
    )


def _add_functions(connection: apsw.Connection) -> None:
    functions: dict[str, Callable[..., Any]] = {schema.INDEX_KEYS: index_keys, **sort_functions()}
    for name, function in functions.items():
        connection.create_scalar_function(name, function, deterministic=True, flags=apsw.SQLITE_INNOCUOUS)
