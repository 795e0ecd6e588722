"""The engine: what collections, databases and clusters talk to. It decides which call runs on which thread.

Layer: storage; its facade.

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
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, NoReturn, Protocol, Self, TypeVar

from poof.document import PoofDocument
from poof.errors import BusyError, ClosedError, ReadOnlyError, TransactionError, WrongLoopError
from poof.models.binding import Binding
from poof.progress import Progress, Report
from poof.raising import raise_alone
from poof.storage import legacy, operations, plaintext
from poof.storage.budget import OVER_BUDGET, OverBudget
from poof.storage.bulks import Bulks, Encode, Inserted, insert_bulk, insert_new
from poof.storage.checkpoints import Checkpointer
from poof.storage.ending import LeftOpen, close_readers
from poof.storage.files import Credentials, NewFile
from poof.storage.jobs import Job
from poof.storage.opening import OpenFile, open_file
from poof.storage.queries import Row, read_all, read_chunk
from poof.storage.readers import ReaderPool
from poof.storage.store import Call, Settings, Stop, Store
from poof.storage.threads import Threads
from poof.storage.transactions import Transaction, current, finish, has_transactions
from poof.storage.tuning import DEFAULT, Tuning
from poof.storage.writer import Writer

T = TypeVar("T")


class Client(Protocol):
    """What works on an open cluster by itself, until that is closed."""

    def start(self) -> None:
        """Begins, or looks again what there is to do."""

    async def stop(self) -> None:
        """Ends."""


class Engine:
    """An open cluster."""

    def __init__(self, path: str, file: OpenFile, thread: Threads) -> None:
        self.path = path
        self.user_keys = file.user_keys
        """What is known to open the file."""
        self._tuning = file.tuning
        self._reads_a_turn = file.tuning.reads_a_turn
        self._read_only = file.settings.read_only
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

    async def database(self, name: str) -> int:
        """The id of a database, which is created where there is none of the name."""
        found: int | None = await self.read(operations.find_database, operations.find_database, name)
        return found if found is not None else int(await self.write(operations.create_database, name))

    async def collection(self, database_id: int, name: str) -> int:
        """The id of a collection, which is created where there is none of the name."""
        found: int | None = await self.read(operations.find_collection, operations.find_collection, database_id, name)
        return found if found is not None else int(await self.write(operations.create_collection, database_id, name))

    def find_at_once(self, collection_id: int, obj_id: str) -> dict[str, Any] | OverBudget | None:
        """The data of a document, where that takes no waiting at all: the short way of most reads."""
        self.check_open()
        self._reads += 1
        if self._writer.is_held or self._reads >= self._reads_a_turn or has_transactions():
            return OVER_BUDGET
        self._writer.snapshot.refresh(self)
        data: dict[str, Any] | OverBudget | None = self._writer.store.statement_quick(
            operations.find_quick, collection_id, obj_id
        )
        return data

    async def find(self, collection_id: int, obj_id: str) -> dict[str, Any] | None:
        """The data of a document."""
        data: dict[str, Any] | None = await self.read(operations.find_quick, operations.find, collection_id, obj_id)
        return data

    async def find_all(self, collection_id: int, binding: Binding[Any] | None) -> list[PoofDocument[Any]]:
        """Every document, in the order of insertion."""
        documents: list[PoofDocument[Any]] = await self.read(
            operations.find_all_quick, operations.find_all, collection_id, binding
        )
        return documents

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
        while chunk := read_chunk(found, self._tuning):
            yield chunk
            await asyncio.sleep(0)

    def on_loop(self, progress: Progress | None) -> Report:
        """What carries reports from a thread to a `Progress`, for a `with` block on the event loop."""
        return Report(progress, self._loop)

    def expect_expiry(self) -> None:
        """Says that there may be a TTL index now."""
        for client in self._clients:
            client.start()

    def insert(self, collection_id: int, text: str, obj_id: str | None) -> Awaitable[str]:
        """Stores a document under an id, or a new one, and returns its id."""
        return self.write(operations.insert, collection_id, text, obj_id, size=len(text))

    async def insert_many(
        self, collection_id: int, items: Iterable[Any] | AsyncIterable[Any], encode: Encode, *, skips: bool
    ) -> list[Inserted]:
        """Stores new documents in one transaction. `skips`: all but the duplicates."""
        done: list[Inserted] = []
        bulks = Bulks(items, self._tuning)
        position = 0
        async with self.transaction() as transaction:
            async for bulk in bulks:
                insert = insert_new if skips else partial(insert_bulk, done=done)
                inserted: Inserted = await transaction.call(insert, collection_id, bulk, encode, position, long=True)
                done.append(inserted)
                position += len(bulk)
                bulks.note_size(len(bulk), inserted.size)
        return done

    def replace(self, collection_id: int, obj_id: str, text: str) -> Awaitable[bool]:
        """Stores new data under an id; `False` where there is no such document."""
        return self.write(operations.replace, collection_id, obj_id, text, size=len(text))

    def delete(self, collection_id: int, obj_id: str) -> Awaitable[bool]:
        """Deletes a document; `False` where there is none of the id."""
        return self.write(operations.delete, collection_id, obj_id)

    def transaction(self, *, warns: bool = False) -> Transaction:
        """A transaction over everything in the cluster. `warns`: in the log, where it is open for long."""
        return Transaction(self, self._writer, self._tuning, warns=warns)

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
                await self._writer.alone(operations.save, self.timeout, renews_log=True)
        except BusyError:
            raise BusyError(
                f"{self.path!r} could not be made one file: for the whole timeout, a loop over find() in this process "
                "was open, or another process was reading or writing. Nothing is lost, and what was written survives "
                "the end of the program as ever. Call save() again when the loop has ended."
            ) from None

    async def export_legacy(self, to: str) -> None:
        """Writes everything in the form of PoofDB 0.x."""
        documents = await self.read(operations.read_everything, operations.read_everything, long=True)
        await self.off_loop(legacy.write_legacy, documents, self.user_keys.shown, to)

    async def import_legacy(self, path: str, key: bytes, progress: Progress | None) -> None:
        """Adds the documents of a file of PoofDB 0.x."""
        self.check_writable()
        with self.on_loop(progress) as report:
            old = await self.off_loop(legacy.read_legacy, path, key)
            async with self.transaction():
                await self.work(legacy.add_legacy, old, path, report)
                report.check()

    async def export_plaintext(self, to: str, progress: Progress | None) -> None:
        """Writes everything as a plain SQLite file."""
        with self.on_loop(progress) as report:
            await self.write_file(to, report, plaintext.write_plaintext)

    async def write_file(self, to: str, report: Report, write: Callable[..., T], *args: Any) -> T:
        """Makes a new file, which `write(connection, *args, file, report)` fills on a thread: whole, or not at all."""
        file = NewFile(to)
        try:
            await self.off_loop(file.begin)
            result: T = await self.read_to_end(write, *args, file, report)
            report.check()
            await self.off_loop(file.place)
        finally:
            file.discard()
        return result

    async def alone(self, function: Call, *args: Any, stop: Stop | None = None) -> Any:
        """Makes a call on the writer's thread that cannot be part of a transaction, without a checkpoint beside it."""
        if self._enter() is not None:
            raise TransactionError(
                "This cannot be part of a transaction, and would have to wait for its end. Call it after the block."
            )
        self.check_writable()
        async with self._checkpointer.paused():
            return await self._writer.alone(function, *args, renews_log=True, stop=stop)

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
        if now - self._yielded > self._tuning.reading_time or self._reads >= self._reads_a_turn:
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


def check_asyncio() -> None:
    """Refuses to open a file where no event loop of asyncio is running.

    Raises:
        WrongLoopError: there is none, as under trio.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise_alone(
            WrongLoopError(
                "PoofDB runs on asyncio, and no event loop of asyncio is running here. Run the program with "
                "asyncio.run(), or on the asyncio backend of anyio; under trio, inside trio_asyncio.open_loop() and "
                "trio_asyncio.aio_as_trio(). No file was touched."
            )
        )


def _close_opened(opening: Future[OpenFile]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().first.close()
