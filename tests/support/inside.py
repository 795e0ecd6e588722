"""The insides of PoofDB that tests reach, in one place: how an engine is tuned, and the files below it."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from poof import PoofCluster, PoofCollection
from poof.engines.sqlite import start
from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.engine import SqliteEngine
from poof.engines.sqlite.expiry import Expiry
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.pages.vfs import ClusterVFS
from poof.format.trust import DataKeys
from tests.support.index_entries import check_entries, tables
from tests.support.toy_engine import ToyEngine


def tune(patch: Any = None, **changes: Any) -> None:
    """Tunes every cluster that is opened from now on: until a test ends, whose `monkeypatch` this is, or for good."""
    tuning = replace(start.TUNING, **changes)
    if patch is None:
        start.TUNING = tuning
    else:
        patch.setattr(start, "TUNING", tuning)


def calls_of(of: PoofCluster | PoofCollection[Any]) -> Calls:
    """The calls of a cluster that is in a file, or in memory."""
    assert isinstance(of._engine, SqliteEngine)
    return of._engine._calls


def sweeper(of: PoofCluster | PoofCollection[Any]) -> Expiry:
    """What deletes expired documents of an open cluster."""
    (client,) = calls_of(of)._clients
    assert isinstance(client, Expiry)
    return client


async def check_idle(cluster: PoofCluster) -> None:
    """Nobody holds the connection that writes, and none of those that read is lent."""
    if isinstance(cluster._engine, ToyEngine):
        assert not cluster._engine.is_held
        return
    calls = calls_of(cluster)
    assert not calls._writer.is_held
    assert not calls._writer.store.in_transaction
    barrier = threading.Barrier(2)
    await asyncio.gather(*(asyncio.wrap_future(calls._pool.submit(barrier.wait)) for _ in range(2)))
    assert not calls._pool._lent


async def check_whole(of: PoofCluster | PoofCollection[Any]) -> None:
    """SQLite finds nothing wrong, and every index lists exactly the documents that it must."""
    if not isinstance(of._engine, ToyEngine):  # which has neither
        for check in (check_integrity, check_tables, check_entries):
            await calls_of(of)._writer.exclusive(check)


def check_tables(connection: apsw.Connection) -> None:
    """Every table of entries belongs to an index."""
    listed = connection.execute("SELECT count(*) FROM indexes").get
    assert len([name for name in tables(connection) if re.fullmatch(r"entries_\d+", name)]) == listed


def check_integrity(connection: apsw.Connection) -> None:
    """SQLite finds nothing wrong."""
    assert connection.execute("PRAGMA integrity_check").get == "ok"


def state_of(path: Path | str, data_key: bytes, base: str = "") -> ClusterState:
    """What the files of a connection share."""
    return ClusterState(str(path), DataKeys(data_key), base)


@contextlib.contextmanager
def file_of(state: ClusterState, name: str | None, flags: int) -> Iterator[Any]:
    """A file as our VFS gives it to SQLite."""
    vfs = ClusterVFS(state)
    try:
        file = vfs.xOpen(name, [flags, 0])
        try:
            yield file
        finally:
            file.xClose()
    finally:
        vfs.unregister()


@contextlib.contextmanager
def main_file(path: Path, data_key: bytes) -> Iterator[Any]:
    """The main file of a cluster as our VFS gives it to SQLite."""
    with file_of(state_of(path, data_key), str(path), apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE) as file:
        yield file
