"""A cluster file before SQLite has it: its first bytes, its header block, its locks.

Invariant: a cluster file is never opened past SQLite's VFS. POSIX drops all locks that a process holds on a file when
the process closes any descriptor of it, so an `open()` here would unlock a database that is in use.
"""

import contextlib
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from poof.engines.sqlite.pages.state import MEMORY_BASE
from poof.engines.sqlite.sqlite_errors import translated
from poof.errors import (
    AccessDeniedError,
    BusyError,
    KeyRequiredError,
    NotAPoofFileError,
    PoofError,
)
from poof.format.layout import HEADER_BLOCK_SIZE, LOG_HEADER_SIZE
from poof.format.trust import readable_copies
from poof.paths import real_path

LEGACY_START = b"gAAAA"
"""Of a file of PoofDB 0.x: base64 of the Fernet version and the first bytes of a timestamp before the year 2106."""
_LOCK_PAUSE = 0.02
"""Seconds between tries to lock a file, at most."""


@contextlib.contextmanager
def raw_file(path: str, flags: int, base: str = "", label: str | None = None) -> Iterator[apsw.VFSFile]:
    """A file of the base VFS, with all its bytes as they are."""
    with translated(label or path):
        file = apsw.VFSFile(base, path, [apsw.SQLITE_OPEN_MAIN_DB | flags, 0])
        try:
            yield file
        finally:
            file.xClose()


@contextlib.contextmanager
def kept_in_memory(name: str) -> Iterator[None]:
    """Keeps a file of the memory VFS for the length of the block, while its connections come and go."""
    with raw_file(name, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, MEMORY_BASE):
        yield


def read_header_block(path: str, base: str = "", label: str | None = None) -> bytes:
    """The first 8192 bytes of a file, fewer where it is shorter."""
    with raw_file(path, apsw.SQLITE_OPEN_READONLY, base, label) as file:
        return file.xRead(HEADER_BLOCK_SIZE, 0)


def read_log_start(path: str, base: str = "") -> bytes:
    """The first bytes of the log beside a file; none where there is no log."""
    log = f"{path}-wal"
    if not os.path.lexists(log):
        return b""
    try:
        with raw_file(log, apsw.SQLITE_OPEN_READONLY, base) as file:
            return file.xRead(LOG_HEADER_SIZE, 0)
    except AccessDeniedError:
        if os.path.lexists(log):
            raise
        return b""  # it was deleted just now


def tidy(path: str) -> None:
    """Removes what SQLite left beside a file that was refused: the index of its log, and a log that is empty.

    Only where no other program has the file open, as SQLite itself does it.
    """
    with contextlib.suppress(PoofError, OSError):
        if not os.access(path, os.W_OK):  # then it cannot be locked
            return
        with raw_file(path, apsw.SQLITE_OPEN_READWRITE) as file, locked(file, ""):
            Path(f"{path}-shm").unlink(missing_ok=True)
            log = Path(f"{path}-wal")
            if log.exists() and log.stat().st_size == 0:
                log.unlink()


def read_cluster_number(path: str) -> str | None:
    """The number of the cluster in a file, which is in the clear; `None` where there is no file.

    Raises:
        KeyRequiredError: the file is one of PoofDB 0.x, which has none.
        NotAPoofFileError, NewerFormatError, DamagedHeaderError, AccessDeniedError: the file has no readable header.
    """
    path = real_path(path)
    if not os.path.lexists(path):
        return None
    check_accessible(path)
    block = read_header_block(path)
    if is_legacy(block):
        raise KeyRequiredError(f"{path!r} is a file of PoofDB 0.x: pass its key= as well, to upgrade it.")
    return readable_copies(block, path)[0].header.cluster


def is_legacy(start: bytes) -> bool:
    """Whether a file that starts like this is one of PoofDB 0.x."""
    return start.startswith(LEGACY_START)


@contextlib.contextmanager
def locked(file: apsw.VFSFile, busy: str, timeout: float = 0.0, *, exclusive: bool = True) -> Iterator[None]:
    """Holds SQLite's lock on a file for the length of the block, so that no program opens it meanwhile.

    Without `exclusive`, others may still read.

    Raises:
        BusyError: another program holds it for longer than `timeout` seconds; `busy` is the text.
    """
    deadline = time.monotonic() + timeout
    while not _try_lock(file, exclusive):
        if time.monotonic() >= deadline:
            raise BusyError(busy)
        time.sleep(random.uniform(0, _LOCK_PAUSE))  # noqa: S311 - two that wait must not stay in step
    try:
        yield
    finally:
        file.xUnlock(apsw.SQLITE_LOCK_NONE)


def _try_lock(file: apsw.VFSFile, exclusive: bool) -> bool:
    try:
        file.xLock(apsw.SQLITE_LOCK_SHARED)
        if exclusive:
            file.xLock(apsw.SQLITE_LOCK_EXCLUSIVE)
    except apsw.BusyError:
        file.xUnlock(apsw.SQLITE_LOCK_NONE)
        return False
    return True


def check_accessible(path: str) -> None:
    """Raises where there is no file to be read."""
    if not Path(path).is_file():
        raise NotAPoofFileError(f"{path!r} is not a file.")
    if not os.access(path, os.R_OK):
        raise AccessDeniedError(f"{path!r} cannot be read by this user. Check its permissions.")
