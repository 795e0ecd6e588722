"""SQLite connections to a cluster file, and their settings.

Layer: storage.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import apsw

from poof.engines.contract import DEFAULT_CACHE_MIB
from poof.engines.sqlite.pages.committed import Committed
from poof.engines.sqlite.pages.state import MEMORY_BASE, ClusterState
from poof.engines.sqlite.pages.vfs import ClusterVFS
from poof.engines.sqlite.sqlite_errors import translated
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.budget import OverBudgetError, Steps
from poof.engines.sqlite.tables.entries import index_keys
from poof.engines.sqlite.tables.schema import CATALOGUE
from poof.engines.sqlite.tuning import DEFAULT
from poof.format.layout import PAGE_SIZE, RESERVED_SIZE
from poof.format.trust import TrustedHeader
from poof.query.filters.compile import sort_functions
from poof.query.indexes.plan import Index


class ClusterConnection(apsw.Connection):
    """A connection to a cluster. It remembers the indexes of collections for as long as nothing is committed.

    It owns the VFS that it was opened with, and ends it when it is closed.
    """

    cluster_state: ClusterState
    tuning = DEFAULT
    find_small_document = staticmethod(schema.find_small_document(DEFAULT.quick_document))
    """The SQL that a quick read of one document takes, which is asked for too often to be put together."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.known_indexes: dict[int, tuple[int, list[Index]]] = {}
        """For the number of a collection, SQLite's data version and the indexes in it."""
        self.steps = Steps()
        self._vfs: ClusterVFS | None = None

    def own(self, vfs: ClusterVFS, state: ClusterState) -> None:
        """Takes over the VFS, which only this connection uses."""
        self._vfs = vfs
        self.cluster_state = state
        self.tuning = state.tuning
        self.find_small_document = schema.find_small_document(state.tuning.quick_document)

    def close(self, force: bool = False) -> None:
        """Closes the file, and ends the VFS also where that fails."""
        try:
            super().close(force)
        finally:
            if self._vfs is not None:
                self._vfs.unregister()
                self._vfs = None


class ClusterCursor(apsw.Cursor):
    """A cursor of a connection to a cluster, for one statement after another."""

    def __init__(self, connection: ClusterConnection) -> None:
        super().__init__(connection)
        self.tuning = connection.tuning
        self.find_small_document = connection.find_small_document


def connect(
    state: ClusterState,
    committed: Committed | None = None,
    *,
    timeout: float = 0.0,
    cache_mib: int = DEFAULT_CACHE_MIB,
    power: bool = False,
    new: bool = False,
) -> ClusterConnection:
    """Opens a connection to a cluster file. Whoever gets it closes it.

    `committed` is what it reads of a cluster in memory; `timeout` is in seconds, the cache of opened pages in MiB;
    `power` syncs each commit; `new` lets the file be empty, as it is while it is built.
    """
    flags = apsw.SQLITE_OPEN_READONLY if state.read_only else apsw.SQLITE_OPEN_READWRITE
    flags |= apsw.SQLITE_OPEN_CREATE if new else 0
    vfs = ClusterVFS(state, committed)
    try:
        connection = ClusterConnection(state.path, flags=flags, vfs=vfs.name)
    except BaseException:
        vfs.unregister()
        raise
    try:
        connection.own(vfs, state)
        connection.set_busy_timeout(round(timeout * 1000))
        _configure(connection, cache_mib, "full" if power else "normal")
        _add_functions(connection)
        if not new:
            connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)  # which forbids a new file's journal mode
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_unchecked(connection: ClusterConnection, check: Callable[[ClusterConnection], None]) -> None:
    """Calls what looks at a file that was just opened. Where that refuses the file, nothing of its log is copied."""
    try:
        check(connection)
    except BaseException:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()
        raise


@contextlib.contextmanager
def within_budget(connection: ClusterConnection) -> Iterator[None]:
    """Ends what the block reads with an `OverBudgetError`, where it takes SQLite too long."""
    connection.steps.looks = 0
    try:
        yield
    except (apsw.InterruptError, apsw.BusyError):
        raise OverBudgetError from None
    finally:
        connection.steps.looks = None


@contextlib.contextmanager
def opened(
    state: ClusterState, *, cache_mib: int = DEFAULT_CACHE_MIB, new: bool = False
) -> Iterator[ClusterConnection]:
    """A connection for the length of the block, whose errors of SQLite become ours."""
    with translated(state.label), contextlib.closing(connect(state, cache_mib=cache_mib, new=new)) as connection:
        yield connection


def prepare_new(connection: ClusterConnection, header: TrustedHeader) -> None:
    """Gives an empty file its page layout, its tables and its write-ahead log."""
    prepare_pages(connection)
    connection.execute(f"BEGIN; {CATALOGUE}")
    note_header(connection, header)
    connection.execute("COMMIT")
    connection.pragma("journal_mode", "wal")


def note_header(connection: apsw.Connection, header: TrustedHeader) -> None:
    """Says in the database which header the file has, so that an older one is found out."""
    connection.execute(schema.NOTE_HEADER, (header.header.generation, header.mac.hex()))


def prepare_pages(connection: apsw.Connection) -> None:
    """Gives an empty file its page layout, and no journal while it is built."""
    if connection.reserve_bytes(reserve=RESERVED_SIZE) != RESERVED_SIZE:
        raise AssertionError("SQLite did not reserve the bytes of a token")
    connection.pragma("page_size", PAGE_SIZE)
    # No journal: a file that is not finished is thrown away, and a journal would hold pages in the clear.
    connection.pragma("journal_mode", "off")


def _configure(connection: ClusterConnection, cache_mib: int, synchronous: str) -> None:
    if connection.cluster_state.base == MEMORY_BASE:
        # A file in memory has no index of its log that connections could share, so the one that writes keeps it alone.
        # This comes before the first read, which would look for the index.
        connection.pragma("locking_mode", "exclusive")
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.wal_autocheckpoint(0)  # the engine decides when, and on which thread
    # Sorts and statement journals never become plaintext files.
    connection.execute(
        f"PRAGMA temp_store = memory; PRAGMA cache_size = {-1024 * cache_mib}; PRAGMA cell_size_check = on; "
        f"PRAGMA synchronous = {synchronous}; PRAGMA checkpoint_fullfsync = on"
    )


def _add_functions(connection: apsw.Connection) -> None:
    functions: dict[str, Callable[..., Any]] = {schema.INDEX_KEYS: index_keys, **sort_functions()}
    for name, function in functions.items():
        connection.create_scalar_function(name, function, deterministic=True, flags=apsw.SQLITE_INNOCUOUS)
