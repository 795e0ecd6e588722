"""The calls of an open file: which of them runs on the event loop, on which thread, on which connection.

A trip to a thread costs ten times what most reads cost. So a read runs on the event loop, under a budget of steps and
size; one that exceeds it is made again on a thread of the pool. A write goes to the writer, which commits all writes
of one tick of the loop together, on the loop when that can neither block nor take long.

Invariants: the loop is never held for longer than the budgets say; a read sees every write that was acknowledged
before it; calls come from the loop and the process that opened the cluster.
"""

import asyncio
import os
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn, Protocol, Self, TypeVar, TypeVarTuple

from poof.engines.sqlite.opening import OpenFile, open_file
from poof.engines.sqlite.tables import log, rows
from poof.engines.sqlite.tables.budget import OVER_BUDGET, OverBudget
from poof.engines.sqlite.tables.connections import Call, ClusterConnection
from poof.engines.sqlite.tables.queries import Row, read_all, read_chunk
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.checkpoints import Checkpointer
from poof.engines.sqlite.turns.finalizer import Finalizer, close_readers
from poof.engines.sqlite.turns.jobs import Job
from poof.engines.sqlite.turns.readers import ReaderPool
from poof.engines.sqlite.turns.store import Settings, Stop, Store
from poof.engines.sqlite.turns.threads import Threads
from poof.engines.sqlite.turns.transactions import Transaction, current, has_transactions
from poof.engines.sqlite.turns.writer import Writer
from poof.errors import BusyError, ClosedError, ReadOnlyError, TransactionError, WrongLoopError
from poof.keys.credentials import Credentials
from poof.progress import Progress, Report
from poof.waiting import finish

T = TypeVar("T")
U = TypeVar("U")
Args = TypeVarTuple("Args")


class Client(Protocol):
    """What works on an open cluster by itself, until that is closed."""

    def start(self) -> None:
        """Begins, or looks again what there is to do."""

    async def stop(self) -> None:
        """Ends."""


class Calls:
    """An open cluster file, and the calls made on it."""

    def __init__(self, path: str, file: OpenFile, thread: Threads) -> None:
        self.path = path
        self.user_keys = file.user_keys
        """What is known to open the file."""
        self.tuning = file.tuning
        self._reads_a_turn = file.tuning.reads_a_turn
        self._read_only = file.settings.read_only
        self.timeout = file.settings.timeout
        """Seconds to wait for other processes."""
        self._in_memory = file.is_in_memory
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._connect = file.connect
        self.raw_file = file.raw_file
        self._readers: list[Store] = []
        self._pool = ReaderPool(file.connect, file.settings.cache_mib, file.tuning)
        self._writer = Writer(
            file.first,
            thread,
            commits_quick=not file.settings.power,
            shares_reads=file.shares_reads,
            wait_for_reads=self._pool.wait_for_reads if self._in_memory else None,
            tuning=file.tuning,
        )
        self._checkpointer = Checkpointer(self._writer, None if self._in_memory else self._pool, file.tuning)
        self._clients: list[Client] = []
        self._transaction: Transaction | None = None
        self._reads = 0
        """How many on the loop since others ran."""
        self._yielded = 0.0
        self._closing: asyncio.Task[None] | None = None
        # A program may end, or drop the cluster, without closing it.
        self._finalizer = Finalizer(self._writer, self._pool, self._readers)
        self._collected = weakref.finalize(self, self._finalizer.close_soon)
        self._collected.atexit = False

    @classmethod
    async def open(
        cls,
        path: str,
        credentials: Credentials,
        settings: Settings,
        *,
        exclusive: bool,
        creates: bool,
        tuning: Tuning = DEFAULT,
    ) -> Self:
        """Opens a cluster, upgrades it where the file is of PoofDB 0.x; where there is no file, `creates` it."""
        thread = Threads(1, "poof-write")
        opening: Future[OpenFile] = thread.submit(
            partial(open_file, path, credentials, settings, exclusive=exclusive, creates=creates, tuning=tuning)
        )
        try:
            file = await asyncio.wrap_future(opening)
        except BaseException:
            # Also where this task was cancelled: the thread opens the file all the same, and nobody else closes it.
            opening.add_done_callback(_close_opened)
            thread.end(wait=opening.done())  # then the thread has nothing left to do but to end
            raise
        return cls(path, file, thread)

    def serve(self, client: Client) -> None:
        """Starts a client, which is stopped when the cluster is closed."""
        self._clients.append(client)
        client.start()

    def find_at_once(self, collection_id: int, obj_id: str) -> dict[str, Any] | OverBudget | None:
        """The data of a document, where that takes no waiting at all: the short way of most reads."""
        self.check_open()
        self._reads += 1
        if self._writer.is_held or self._reads >= self._reads_a_turn or has_transactions():
            return OVER_BUDGET
        self._writer.snapshot.refresh(self)
        return self._writer.store.statement_quick(rows.find_quick, collection_id, obj_id)

    async def stream(
        self, rows: Call[*Args, Iterator[Row]], *args: *Args, quick: Call[*Args, list[Row]]
    ) -> AsyncIterator[list[Row]]:
        """Yields the rows that a call gives, as they are now, chunk by chunk; all at once, where `quick` finds them."""
        transaction = self._enter()
        if transaction is None and not self._writer.is_held:
            found = self._quick_store().read_quick(quick, *args)
            if found is not OVER_BUDGET:
                yield found
                return
        if transaction is None and not self._in_memory:
            stream = self._pool.stream(rows, *args)
            try:
                while chunk := await stream.next_chunk():
                    yield chunk
            finally:
                stream.close()
            return
        # The connection goes on to be used between the chunks, or must not be for long: so it reads all of them now.

        def read_whole(connection: ClusterConnection, *args: *Args) -> list[Row]:
            return read_all(rows, connection, *args)

        unread = iter(await self.read(read_whole, *args, quick=quick))
        while chunk := read_chunk(unread, self.tuning):
            yield chunk
            await asyncio.sleep(0)

    def on_loop(self, progress: Progress | None) -> Report:
        """What carries reports from a thread to a `Progress`, for a `with` block on the event loop."""
        return Report(progress, self._loop)

    def expect_expiry(self) -> None:
        """Says that there may be a TTL index now."""
        for client in self._clients:
            client.start()

    def transaction(self, *, warns: bool = False) -> Transaction:
        """A transaction over everything in the cluster. `warns`: in the log, where it is open for long."""
        return Transaction(self, self._writer, self.tuning, warns=warns)

    async def save(self) -> None:
        """Makes every write so far survive power loss, and leaves the log empty."""
        if self._enter() is not None:
            raise TransactionError(
                "save() inside a transaction would have to wait for its end. Call it after the block."
            )
        if self._read_only:
            return
        try:
            async with self._checkpointer.paused():
                await self._writer.exclusive(log.save, self.timeout, renews_log=True)
        except BusyError:
            raise BusyError(
                f"{self.path!r} could not be made one file: for the whole timeout, a loop over find() in this process "
                "was open, or another process was reading or writing. Nothing is lost, and what was written survives "
                "the end of the program as ever. Call save() again when the loop has ended."
            ) from None

    async def exclusive(self, function: Call[*Args, T], *args: *Args, stop: Stop | None = None) -> T:
        """Makes a call on the writer's thread that cannot be part of a transaction, without a checkpoint beside it.

        `stop`: it ends early where the task is cancelled.
        """
        if self._enter() is not None:
            raise TransactionError(
                "This cannot be part of a transaction, and would have to wait for its end. Call it after the block."
            )
        self.check_writable()
        async with self._checkpointer.paused():
            return await self._writer.exclusive(function, *args, renews_log=True, stop=stop)

    async def read_beside(self, job: Job, function: Call[Job, *Args, T], *args: *Args) -> T:
        """Reads `function(connection, job, *args)` on a thread, beside everybody else and outside of transactions."""
        self._check_outside()
        await self._writer.renewed()
        return await job.finish(asyncio.wrap_future(self._pool.start(job, function, job, *args)))

    async def without_connection(self, function: Callable[[*Args], T], *args: *Args) -> T:
        """Makes a slow call on a thread; this waits for its end, also where it is cancelled."""
        self.check_open()
        return await finish(asyncio.wrap_future(self._pool.submit(function, *args)))

    async def job_without_connection(self, job: Job, function: Callable[[Job, *Args], T], *args: *Args) -> T:
        """Makes the call `function(job, *args)` on a thread, outside of transactions."""
        self._check_outside()
        return await job.finish(asyncio.wrap_future(self._pool.submit(function, job, *args)))

    def _check_outside(self) -> None:
        if self._enter() is not None:
            raise TransactionError(
                "Inside a transaction the file is not yet what it will be. Make this call after the block."
            )

    async def close(self) -> None:
        """Waits for every call made before, then closes the file and ends the threads. May be called again."""
        self._check_place()
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing is ever written."""
        return self._read_only

    @property
    def is_closed(self) -> bool:
        """Whether the cluster is closed, or about to be."""
        return self._closing is not None

    def check_open(self) -> None:
        """Refuses a call after the end, from another loop, or from a fork."""
        if self._closing is not None:
            raise ClosedError(f"The cluster {self.path!r} is closed. Open it again with PoofCluster.create().")
        self._check_place()

    def transaction_began(self, transaction: Transaction) -> None:
        """Notes who holds the writer's connection."""
        self._transaction = transaction

    def transaction_ended(self) -> None:
        """Notes that nobody holds it any more."""
        self._transaction = None

    def _enter(self) -> Transaction | None:
        self.check_open()
        return current(self)

    def _check_place(self) -> None:
        try:
            if asyncio.get_running_loop() is self._loop:
                return
        except RuntimeError:
            pass  # a fork of the process, in which no loop runs until it starts one
        self._refuse_place()

    def _refuse_place(self) -> NoReturn:
        if os.getpid() != self._process:
            raise WrongLoopError(
                f"The cluster {self.path!r} was opened before this process was forked, and SQLite cannot be used "
                "across a fork. Open it again in this process with PoofCluster.create()."
            )
        raise WrongLoopError(
            f"The cluster {self.path!r} was opened on another event loop. Open one on this loop with "
            "PoofCluster.create(); several may share the file."
        )

    async def read(
        self,
        function: Call[*Args, T],
        *args: *Args,
        quick: Call[*Args, U] | bool = False,
        to_end: bool = False,
    ) -> T | U:
        """Makes a read: on the loop where `quick` stays within the budget, else on a thread.

        `quick` is another function with the same result; or True, where the function itself is always that quick.
        `to_end`: the read ends early where the task is cancelled, and this waits for that.
        """
        transaction = self._enter()
        result: T | U | OverBudget = OVER_BUDGET
        if transaction is not None:
            if quick:
                result = transaction.read_quick(function if quick is True else quick, *args)
            if result is OVER_BUDGET:
                return await transaction.read(function, *args)
        else:
            if self._in_memory:
                await self._writer.renewed()
            if quick:
                result = self._quick_store().read_quick(function if quick is True else quick, *args)
            if result is OVER_BUDGET:
                return await self._read_on_thread(function, *args, to_end=to_end)
        self._reads += 1
        now = time.perf_counter()
        if now - self._yielded > self.tuning.reading_time or self._reads >= self._reads_a_turn:
            self._yielded = now
            self._reads = 0
            await asyncio.sleep(0)
        return result

    async def _read_on_thread(self, function: Call[*Args, T], *args: *Args, to_end: bool) -> T:
        if to_end:
            stop = Stop()
            return await finish(asyncio.wrap_future(self._pool.start(stop, function, *args)), stop)
        # In memory the writer's connection alone has a cache that lasts. Nobody waits for it in line, though: a
        # transaction may be next, and wait for this read.
        if self._in_memory and self._writer.is_idle:
            return await self._writer.read(function, *args)
        return await self._pool.read(function, *args)

    def _quick_store(self) -> Store:
        """The writer's connection, which has in its cache what was just written; or one more, while that is in use."""
        if not self._writer.is_held:
            self._writer.snapshot.refresh(self)
            return self._writer.store
        if self._readers and not self._readers[0].is_newest:
            self._readers.pop().close()
        if not self._readers:
            self._readers.append(self._connect(waits=False))
        return self._readers[0]

    async def write(self, function: Call[*Args, T], *args: *Args, size: int = 0, long: bool = False) -> T:
        """Makes a write of about so many bytes, which takes its part in the next commit.

        `long`: it has a commit of its own, on the thread, and is undone where the task is cancelled meanwhile.
        """
        transaction = self._enter()
        self.check_writable()
        if long:
            stop = Stop()
            if transaction is not None:
                return await transaction.write(function, *args, long=True, stop=stop)
            return await self._writer.exclusive(function, *args, stop=stop)
        if transaction is not None:
            return await transaction.write(function, *args, size=size)
        result = self._writer.write_quick(function, *args, size=size)
        return result if result is not OVER_BUDGET else await self._writer.write(function, *args, size=size)

    def check_writable(self) -> None:
        """Refuses a write where the cluster was opened only to read."""
        if self._read_only:
            raise ReadOnlyError(f"{self.path!r} was opened with read_only=True. Nothing was changed.")

    async def _close(self) -> None:
        try:
            if self._transaction is not None:
                error = ClosedError(f"The cluster {self.path!r} was closed during a transaction.")
                await self._transaction.abort(error)
            for client in self._clients:
                await client.stop()
            await self._checkpointer.stop()
            await self._writer.drain()
        finally:
            await self._writer.close(partial(close_readers, self._pool, self._readers))
            self._collected.detach()  # only now: the loop may end before
            self._finalizer.forget()


def _close_opened(opening: Future[OpenFile]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().first.close()
