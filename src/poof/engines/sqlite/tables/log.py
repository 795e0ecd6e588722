"""The write-ahead log of a connection: synced, copied into the file, begun anew."""

import time
from collections.abc import Callable

import apsw

from poof.engines.sqlite.tables.connections import ClusterConnection


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
