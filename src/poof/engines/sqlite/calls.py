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
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn, Protocol, Self, TypeVar

from poof.engines.sqlite.opening import DEFAULT_OPTIONS, OpenFile, OpeningOptions, open_file
from poof.engines.sqlite.tables import log, rows
from poof.engines.sqlite.tables.budget import OVER_BUDGET, OverBudget
from poof.engines.sqlite.tables.queries import Row, read_all, read_chunk
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.checkpoints import Checkpointer
from poof.engines.sqlite.turns.finalizer import LeftOpen, close_readers
from poof.engines.sqlite.turns.jobs import Job
from poof.engines.sqlite.turns.readers import ReaderPool
from poof.engines.sqlite.turns.store import Call, Settings, Stop, Store
from poof.engines.sqlite.turns.threads import Threads
from poof.engines.sqlite.turns.transactions import Transaction, current, has_transactions
from poof.engines.sqlite.turns.writer import Writer
from poof.errors import BusyError, ClosedError, NewerFormatError, ReadOnlyError, TransactionError, WrongLoopError
from poof.keys.credentials import Credentials
from poof.progress import Progress, Report
from poof.waiting import finish

T = TypeVar("T")


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
        self._unknown_features = file.first.unknown_features
        self.timeout = file.settings.timeout
        """Seconds to wait for other processes."""
        self._in_memory = file.is_in_memory
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._connect = file.connect
        self.source = file.source
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
        self._left_open = LeftOpen(self._writer, self._pool, self._readers)
        self._collected = weakref.finalize(self, self._left_open.close_soon)
        self._collected.atexit = False

    @classmethod
    async def open(
        cls,
        path: str,
        credentials: Credentials,
        settings: Settings,
        *,
        creates: bool,
        tuning: Tuning = DEFAULT,
        options: OpeningOptions = DEFAULT_OPTIONS,
    ) -> Self:
        """Opens a cluster, upgrades it where the file is of PoofDB 0.x; where there is no file, `creates` it."""
        thread = Threads(1, "poof-write")
        opening: Future[OpenFile] = thread.submit(
            partial(open_file, path, credentials, settings, options, creates=creates, tuning=tuning)
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
        data: dict[str, Any] | OverBudget | None = self._writer.store.statement_quick(
            rows.find_quick, collection_id, obj_id
        )
        return data

    async def find(self, collection_id: int, obj_id: str) -> dict[str, Any] | None:
        """The data of a document."""
        data: dict[str, Any] | None = await self.read(rows.find_quick, rows.find, collection_id, obj_id)
        return data

    async def stream(self, quick: Call, rows: Call, *args: Any) -> AsyncIterator[list[Row]]:
        """The rows that a call gives, as they are now, chunk by chunk; all at once, where `quick` finds them."""
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
        every = partial(read_all, rows)
        found = iter(await self.read(quick, every, *args))
        while chunk := read_chunk(found, self.tuning):
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
                await self._writer.alone(log.save, self.timeout, renews_log=True)
        except BusyError:
            raise BusyError(
                f"{self.path!r} could not be made one file: for the whole timeout, a loop over find() in this process "
                "was open, or another process was reading or writing. Nothing is lost, and what was written survives "
                "the end of the program as ever. Call save() again when the loop has ended."
            ) from None

    async def alone(self, function: Call, *args: Any, stop: Stop | None = None) -> Any:
        """Makes a call on the writer's thread that cannot be part of a transaction, without a checkpoint beside it."""
        if self._enter() is not None:
            raise TransactionError(
                "This cannot be part of a transaction, and would have to wait for its end. Call it after the block."
            )
        self.check_writable()
        async with self._checkpointer.paused():
            return await self._writer.alone(function, *args, renews_log=True, stop=stop)

    async def in_turn(self, function: Call, *args: Any) -> Any:
        """Makes a call on the writer's thread, without a checkpoint beside it, that changes nothing in the database."""
        self._check_outside()
        async with self._checkpointer.paused():
            return await self._writer.alone(function, *args)

    async def off_loop(self, function: Callable[..., T], *args: Any) -> T:
        """Makes a slow call on a thread, without a connection; this waits for its end, also where it is cancelled."""
        self.check_open()
        result: T = await finish(asyncio.wrap_future(self._pool.submit(function, *args)))
        return result

    async def run_job(self, job: Job, function: Call, *args: Any) -> Any:
        """Runs `function(connection, job, *args)` on a reader thread."""
        self._check_outside()
        await self._writer.renewed()
        return await job.finish(asyncio.wrap_future(self._pool.start(job, function, job, *args)))

    async def run_raw_job(self, job: Job, function: Call, *args: Any) -> Any:
        """Like `run_job`, for a `function(job, *args)` that needs no connection."""
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
        return self._read_only or bool(self._unknown_features)

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

    async def read(self, quick: Call, full: Call, *args: Any, long: bool = False) -> Any:
        """Makes a read: `quick` on the loop, or else, where that exceeds the budget, `full` on a thread."""
        transaction = self._enter()
        if transaction is not None:
            result = OVER_BUDGET if long else transaction.read_quick(quick, *args)
            if result is OVER_BUDGET:
                return await transaction.read(full, *args)
        else:
            if self._in_memory:
                await self._writer.renewed()
            result = OVER_BUDGET if long else self._quick_store().read_quick(quick, *args)
            if result is OVER_BUDGET:
                # In memory the writer's connection alone has a cache that lasts. Nobody waits for it in line, though:
                # a transaction may be next, and wait for this read.
                in_turn = self._in_memory and self._writer.is_idle
                return await (self._writer.read if in_turn else self._pool.run)(full, *args)
        self._reads += 1
        now = time.perf_counter()
        if now - self._yielded > self.tuning.reading_time or self._reads >= self._reads_a_turn:
            self._yielded = now
            self._reads = 0
            await asyncio.sleep(0)
        return result

    async def read_to_end(self, function: Call, *args: Any) -> Any:
        """Makes a long read on a thread; where its task is cancelled, it ends early, and this waits for that."""
        transaction = self._enter()
        if transaction is not None:
            return await transaction.read(function, *args)
        await self._writer.renewed()
        stop = Stop()
        return await finish(asyncio.wrap_future(self._pool.start(stop, function, *args)), stop)

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

    async def write(self, function: Call, *args: Any, size: int = 0) -> Any:
        """Makes a write of about so many bytes, which takes its part in the next commit."""
        transaction = self._enter()
        self.check_writable()
        if transaction is not None:
            return await transaction.call(function, *args, size=size)
        result = self._writer.write_quick(function, *args, size=size)
        return result if result is not OVER_BUDGET else await self._writer.write(function, *args, size=size)

    async def work(self, function: Call, *args: Any) -> Any:
        """Makes a write that may take long, alone on the thread; undone where its task is cancelled meanwhile."""
        transaction = self._enter()
        self.check_writable()
        if transaction is not None:
            return await transaction.work(function, *args)
        return await self._writer.alone(function, *args, stop=Stop())

    def check_writable(self) -> None:
        """Refuses a write where the cluster was opened only to read."""
        if self._read_only:
            raise ReadOnlyError(f"{self.path!r} was opened with read_only=True. Nothing was changed.")
        if self._unknown_features:
            raise NewerFormatError(
                f"{self.path!r} uses what this PoofDB does not know: {', '.join(self._unknown_features)}. Nothing was "
                "changed. This PoofDB can read it; upgrade PoofDB to write to it."
            )

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
            self._left_open.forget()


def _close_opened(opening: Future[OpenFile]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().first.close()
