"""One snapshot for the reads of one turn of the event loop.

To SQLite each read by itself is a transaction, and its locks cost more than the read. Reads that follow each other
closely share one, which ends with the turn, so that no checkpoint ever waits for it.

That a snapshot is the newest is told by what SQLite itself compares: the header of the log's index, which every commit
of every process changes last (https://sqlite.org/walformat.html#the_wal_index_header). The memory with the index is
SQLite's own. A `-shm` file is never opened here: closing it would drop the locks of the whole process.

Invariants: no read is made in a snapshot that is older than the last commit anywhere; no use but reads on the loop
finds the transaction open; the index is not looked at once the connection may be closed.
"""

import asyncio
import ctypes
import os
import sys
import time

import apsw

from poof.engines.sqlite.tables import savepoints
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.store import Store

_HEADER_SIZE = 48
"""The header of the index, of which there are two copies. A commit changes the first one last."""
_REGION_SIZE = 32768
_VERSION = 3007000
_IS_COMPLETE = 12
"""The offset of the byte that says that the header was written."""


class SharedSnapshot:
    """Lets the reads on a connection share a snapshot. `shares`: whether the log has an index in shared memory."""

    def __init__(self, store: Store, *, shares: bool, tuning: Tuning = DEFAULT) -> None:
        self._tuning = tuning
        self._store = store
        self._shares = shares
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._header: ctypes.Array[ctypes.c_char] | None = None
        self._seen = b""
        """The header as it was just before the snapshot. What is committed since has changed it."""
        self._is_open = False
        self.awaits_turn = False
        """Whether the loop is about to end the turn for it."""
        self._reads = 0
        self._last = 0.0
        self._quick = 0
        self._patience = tuning.patience[0]

    def refresh(self, owner: object) -> None:
        """Called before a read on the loop: sees that an open snapshot is the newest, and opens one where it will pay.

        `owner` is kept until the turn ends: it closes the connection on another thread when it is collected.
        """
        if self._is_open:
            if self._header is not None and self._header.raw == self._seen:
                self._reads += 1
                return
            self.end()
        if not self._shares:
            return
        now = time.perf_counter()
        self._quick = self._quick + 1 if now - self._last < self._tuning.quick_pause else 0
        self._last = now
        if self._quick >= self._patience:
            self._begin(owner)

    def end(self) -> None:
        """Called before any other use of the connection, on the loop: ends the snapshot, if there is one."""
        if not self._is_open:
            return
        self._is_open = False
        self._quick = 0
        least, most = self._tuning.patience
        self._patience = least if self._reads >= self._tuning.useful_reads else min(2 * self._patience, most)
        self._store.call(savepoints.end_snapshot)

    def _begin(self, owner: object) -> None:
        if self._header is None:
            self._header = self._store.call(_index_header)
            if self._header is None:
                self._shares = False
                return
        self._reads = 0
        self._seen = self._header.raw  # before the snapshot: a commit in between ends it needlessly, but none is missed
        self._store.call(savepoints.begin_snapshot)
        self._is_open = True
        if not self.awaits_turn:
            self.awaits_turn = True
            self._loop.call_soon(self._end_turn, owner)

    def _end_turn(self, _owner: object) -> None:
        self.awaits_turn = False
        if self._is_open and os.getpid() == self._process:  # and not in a fork, where SQLite cannot be used
            self.end()


class _FileMethods(ctypes.Structure):
    """SQLite's `sqlite3_io_methods`, as far as it is needed (https://sqlite.org/c3ref/io_methods.html)."""

    _fields_ = (("iVersion", ctypes.c_int), ("of_version_1", ctypes.c_void_p * 12), ("xShmMap", ctypes.c_void_p))


class _File(ctypes.Structure):
    _fields_ = (("pMethods", ctypes.POINTER(_FileMethods)),)


_ShmMap = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(_File), ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_void_p)
)


def _index_header(connection: apsw.Connection) -> ctypes.Array[ctypes.c_char] | None:
    """The header of the log's index in SQLite's memory, or `None` where anything is not as expected.

    The connection has read before, so SQLite has the index mapped, and keeps it so until the connection is closed.
    """
    if connection.pragma("journal_mode") != "wal":
        return None
    file = ctypes.POINTER(_File)()
    if not connection.file_control("main", apsw.SQLITE_FCNTL_FILE_POINTER, ctypes.addressof(file)) or not file:
        return None
    methods = file.contents.pMethods
    if not methods or methods.contents.iVersion < 2 or not methods.contents.xShmMap:
        return None
    region = ctypes.c_void_p()
    extend = 0
    code = _ShmMap(methods.contents.xShmMap)(file, 0, _REGION_SIZE, extend, ctypes.byref(region))
    if code != apsw.SQLITE_OK or not region.value:
        return None
    copies = (ctypes.c_char * (2 * _HEADER_SIZE)).from_address(region.value).raw
    if int.from_bytes(copies[:4], sys.byteorder) != _VERSION or copies[_IS_COMPLETE] != 1:
        return None
    if copies[:_HEADER_SIZE] != copies[_HEADER_SIZE:]:
        return None
    return (ctypes.c_char * _HEADER_SIZE).from_address(region.value)
