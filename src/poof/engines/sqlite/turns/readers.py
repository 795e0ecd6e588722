"""Reads on threads: those that take long, and streams of documents.

Invariants: a connection is used by one job at a time, and goes back to the pool with no transaction open; one that was
opened for a state, in memory, is used as long as that is the newest; a job whose waiting task was cancelled ends soon.
"""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from typing import Any, TypeVar, TypeVarTuple

from poof.engines.sqlite.tables import savepoints
from poof.engines.sqlite.tables.connections import Call, ClusterConnection
from poof.engines.sqlite.tables.queries import Row, read_chunk
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.store import Stop, StoppedError, Store
from poof.engines.sqlite.turns.threads import Threads
from poof.errors import BusyError, ClosedError

T = TypeVar("T")
Args = TypeVarTuple("Args")
_Rows = Callable[[ClusterConnection], Iterator[Row]]


class ReaderPool:
    """Connections for reading, made when they are needed, and the threads that use them."""

    def __init__(self, open_store: Callable[[], Store], cache_mib: int, tuning: Tuning = DEFAULT) -> None:
        self.tuning = tuning
        self._open_store = open_store
        self._query_cache = max(1, cache_mib // tuning.reader_threads)
        """Of each connection that answers a query, in MiB: the next one may need the same pages."""
        self._once_cache = min(tuning.once_cache_mib, self._query_cache)
        self._threads = Threads(tuning.reader_threads, "poof-read")
        self._lock = threading.Lock()
        self._idle: list[Store] = []
        self._lent: set[Store] = set()
        self._reading: set[Future[Any]] = set()
        """Reads that were lined up and have not ended; not those of streams."""

    async def read(self, function: Call[*Args, T], *args: *Args) -> T:
        """Answers a query on a thread."""
        stop = Stop()
        try:
            return await asyncio.wrap_future(self._line_up(self._query_cache, stop, function, *args))
        except asyncio.CancelledError:
            stop.stopped = True
            raise

    def start(self, stop: Stop, function: Call[*Args, T], *args: *Args) -> Future[T]:
        """Lines up a read of everything, which ends early where it is stopped."""
        return self._line_up(self._once_cache, stop, function, *args)

    def wait_for_reads(self, waits: bool) -> None:
        """Waits for the reads that are lined up. Blocks.

        Raises:
            BusyError: there are some, and nobody `waits`.
        """
        reading = self._reading.copy()
        if reading and not waits:
            raise BusyError("A long read is under way.")
        futures.wait(reading)

    def submit(self, function: Callable[[*Args], T], *args: *Args) -> Future[T]:
        """Makes a call on a thread that needs no connection."""
        return self._threads.submit(function, *args)

    def stream(self, rows: Call[*Args, Iterator[Row]], *args: *Args) -> "Stream":
        """The rows that a call gives, as they are when the first is read."""
        return Stream(self, self._threads, lambda connection: rows(connection, *args))

    def close(self) -> None:
        """Ends the threads, then closes every connection, also those of streams that go on. Blocks."""
        self._threads.end(wait=True)
        with self._lock:
            stores = [*self._idle, *self._lent]
            self._idle.clear()
            self._lent.clear()
        with contextlib.ExitStack() as closing:  # all of them, also where one fails
            for store in stores:
                closing.callback(store.close)

    def lend(self, cache_mib: int | None = None) -> Store:
        """A connection, for a while: to read everything once, unless there is a cache. On a thread of the pool."""
        with self._lock:
            store = self._idle.pop() if self._idle else None
        if store is not None and not store.is_newest:
            store.close()
            store = None
        if store is None:
            store = self._open_store()
        with self._lock:
            self._lent.add(store)
        store.keep(cache_mib or self._once_cache)
        return store

    def give_back(self, store: Store) -> None:
        """Takes a connection back. On a thread of the pool."""
        store.call(savepoints.rollback)
        with self._lock:
            self._lent.discard(store)
            keep = len(self._idle) < self.tuning.reader_threads
            if keep:
                self._idle.append(store)
        if not keep:
            store.close()

    def _line_up(self, cache_mib: int, stop: Stop, function: Call[*Args, T], *args: *Args) -> Future[T]:
        reading = self._threads.submit(self._read, cache_mib, stop, function, *args)
        self._reading.add(reading)
        reading.add_done_callback(self._reading.discard)
        return reading

    def _read(self, cache_mib: int, stop: Stop, function: Call[*Args, T], *args: *Args) -> T:
        if stop.stopped:
            raise StoppedError
        store = self.lend(cache_mib)
        try:
            return store.call_until(stop, function, *args)
        finally:
            self.give_back(store)


class Stream:
    """The rows of one moment, chunk by chunk, in bounded memory."""

    def __init__(self, pool: ReaderPool, threads: Threads, rows: _Rows) -> None:
        self._threads = threads
        self._scan = _Scan(pool, rows)
        self._abandon = weakref.finalize(self, _end, threads, self._scan)
        self._abandon.atexit = False

    async def next_chunk(self) -> list[Row]:
        """The next rows; none at the end."""
        try:
            return await asyncio.wrap_future(self._threads.submit(self._scan.next_chunk))
        except asyncio.CancelledError:
            self._scan.stop.stopped = True
            self.close()
            raise
        except RuntimeError as error:
            if isinstance(error, ClosedError):
                raise
            raise ClosedError("The cluster was closed while its documents were read.") from None

    def close(self) -> None:
        """Gives the connection back, without waiting for it."""
        self._abandon()


class _Scan:
    """The part of a stream that lives on the threads of the pool."""

    def __init__(self, pool: ReaderPool, begin: _Rows) -> None:
        self.stop = Stop()
        self._pool = pool
        self._begin = begin
        self._store: Store | None = None
        self._rows: Iterator[Row] = iter(())
        self._ended = False
        self._lock = threading.Lock()
        """One call at a time: the end comes on another thread while a chunk is read for a task that was cancelled."""

    def next_chunk(self) -> list[Row]:
        with self._lock:
            return self._next_chunk()

    def end(self) -> None:
        with self._lock:
            self._end()

    def _next_chunk(self) -> list[Row]:
        if self._ended:
            return []
        try:
            if self._store is None:
                self._store = self._pool.lend()
                self._rows = self._store.call(_begin_scan, self._begin)
            chunk = self._store.call_until(self.stop, lambda _: read_chunk(self._rows, self._pool.tuning))
        except BaseException:
            self._end()
            raise
        if not chunk:
            self._end()
        return chunk

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._store is not None:
            self._rows = iter(())  # ends SQLite's statement, which a transaction would outlive
            self._pool.give_back(self._store)


def _begin_scan(connection: ClusterConnection, begin: _Rows) -> Iterator[Row]:
    connection.execute("BEGIN")
    return begin(connection)


def _end(threads: Threads, scan: _Scan) -> None:
    with contextlib.suppress(RuntimeError):  # the pool is closed, and closes every connection itself
        threads.submit(scan.end)
