"""The insides of PoofDB that tests reach, in one place: how an engine is tuned, and the files below it."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw

from poof import PoofCluster, PoofCollection
from poof.engines.sqlite import start
from poof.engines.sqlite.expiry import Expiry
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.pages.vfs import ClusterVFS
from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE, HEADER_STARTS
from poof.format.subkeys import DataKeys, FileKey


def tune(patch: Any = None, **changes: Any) -> None:
    """Tunes every cluster that is opened from now on: until a test ends, whose `monkeypatch` this is, or for good."""
    tuning = replace(start.TUNING, **changes)
    if patch is None:
        start.TUNING = tuning
    else:
        patch.setattr(start, "TUNING", tuning)


def sweeper(of: PoofCluster | PoofCollection[Any]) -> Expiry:
    """What deletes expired documents of an open cluster."""
    (client,) = of._engine._calls._clients
    assert isinstance(client, Expiry)
    return client


def block_of(first: bytes, second: bytes, of: bytes = bytes(HEADER_BLOCK_SIZE)) -> bytes:
    """A header block with these two copies, and the state records of another one."""
    block = bytearray(of[:HEADER_BLOCK_SIZE])
    for offset, copy in zip(HEADER_STARTS, (first, second), strict=True):
        block[offset : offset + HEADER_COPY_SIZE] = copy
    return bytes(block)


def state_of(path: Path | str, key: FileKey, base: str = "") -> ClusterState:
    """What the files of a connection share."""
    return ClusterState(str(path), DataKeys(key), base)


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
def files_of(path: Path, key: FileKey) -> Iterator[tuple[Any, Any]]:
    """The main file of a cluster and its log as our VFS gives them to SQLite."""
    state = state_of(path, key)
    main = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE
    log = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with file_of(state, str(path), main) as main_file, file_of(state, f"{path}-wal", log) as log_file:
        yield main_file, log_file


@contextlib.contextmanager
def main_file(path: Path, key: FileKey) -> Iterator[Any]:
    """The main file of a cluster as our VFS gives it to SQLite while it is built: pages are written into it."""
    flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with file_of(state_of(path, key), str(path), flags) as file:
        yield file
