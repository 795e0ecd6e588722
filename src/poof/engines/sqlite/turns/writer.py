"""The one connection that writes, and whose turn it is.

Everything that writes waits in one line, on the event loop. Writes of one tick of the loop stand together as a
*batch* and share a commit, and so do all that arrive while the connection is in use. A transaction, a save or a bulk
insert takes a *turn*: it has the connection for itself until it gives it back. A write is *quick*, committed before
the loop turns, where nothing else is ready to run: no other could share its commit, and nobody has to wait for it.

Invariants: the connection is used by one thread at a time, which is the loop's while the line is moving and the
writer's own while `_held`; it is in the shared snapshot only for reads; a commit is made on the loop only when it can
neither block nor take long; in memory, the log is copied into the file only while nobody reads on another connection.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, TypeVarTuple

from poof.engines.sqlite.tables import savepoints
from poof.engines.sqlite.tables.budget import OVER_BUDGET, OverBudget
from poof.engines.sqlite.tables.connections import Call
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.snapshots import SharedSnapshot
from poof.engines.sqlite.turns.store import AnyCall, Outcome, Stop, Store
from poof.engines.sqlite.turns.threads import Threads
from poof.errors import BusyError, DiskFullError, StorageError

T = TypeVar("T")
Args = TypeVarTuple("Args")
_UNKNOWN: Final = (None, None)
"""In place of the handles of a loop that does not show them, such as uvloop's: as if others always had some."""


class _Write(NamedTuple):
    function: AnyCall
    args: tuple[Any, ...]
    future: asyncio.Future[Any]
    size: int


_Batch = list[_Write]


class Writer:
    """Commits writes in groups, and lends its connection to transactions.

    `thread` has made a call already, and so is running: a finalizer may use it, and must not start one.
    `commits_quick`: whether a commit can be made on the loop, as it needs no sync. `wait_for_reads` is for a cluster
    in memory: it is called on the thread before the log is copied into the file, which no read may come across.
    """

    def __init__(
        self,
        store: Store,
        thread: Threads,
        *,
        commits_quick: bool,
        shares_reads: bool,
        wait_for_reads: Callable[[bool], None] | None = None,
        tuning: Tuning = DEFAULT,
    ) -> None:
        self.store = store
        """The connection, for whoever has the turn; for reads on the loop, while nobody has."""
        self.snapshot = SharedSnapshot(store, shares=shares_reads, tuning=tuning)
        """What those reads share. It ends before the connection is used for anything else."""
        self._loop = asyncio.get_running_loop()
        self._thread = thread
        self._commits_quick = commits_quick
        self._tuning = tuning
        self._listeners: list[Callable[[Store], None]] = []
        self._line: deque[_Batch | asyncio.Future[None]] = deque()
        self._scheduled = False
        self._ready = getattr(self._loop, "_ready", _UNKNOWN)
        """What the loop is about to run: the only place where asyncio tells whether another task may join a commit."""
        self._quick_writes = 0
        """How many quick writes were made since the loop ran others."""
        self._quick_time = 0.0
        """How many seconds they took."""
        self._held = False
        self._wait_for_reads = wait_for_reads
        self._renewal: asyncio.Event | None = None
        """Set at the end of such a call."""
        self._failure: StorageError | None = None
        self._is_ending = False
        self._sync_is_due = True

    @property
    def is_held(self) -> bool:
        """Whether the connection is in use."""
        return self._held

    @property
    def is_idle(self) -> bool:
        """Whether nobody would be before the next in line."""
        return not (self._held or self._line)

    @property
    def is_ending(self) -> bool:
        """Whether nobody uses the cluster any more, which was never closed."""
        return self._is_ending

    def listen(self, listener: Callable[[Store], None]) -> None:
        """Has a function called on the loop after each commit, and after each turn."""
        self._listeners.append(listener)

    def may_commit_quick(self, writes: int, size: int) -> bool:
        """Whether so many writes, of about so many bytes, may be committed on the loop."""
        return writes <= self._tuning.quick_writes and self._may_write_quick(size)

    @property
    def sync_is_due(self) -> bool:
        """Whether the next commit starts the log anew, and so syncs: then it is made on the thread."""
        return self._sync_is_due

    def commit_turn(self) -> asyncio.Future[None]:
        """Commits on the thread what was done in a turn; the turn goes on."""
        committing = self.call_in_turn(savepoints.commit)
        committing.add_done_callback(self._turn_committed)
        return committing

    def write(self, function: Call[*Args, T], *args: *Args, size: int = 0) -> asyncio.Future[T]:
        """Lines up a write of about so many bytes; the future has its result once it is committed."""
        self._check_latch()
        future: asyncio.Future[T] = self._loop.create_future()
        last = self._line[-1] if self._line else None
        if not isinstance(last, list):
            last = []
            self._line.append(last)
        last.append(_Write(function, args, future, size))
        self._schedule()
        return future

    def write_quick(self, function: Call[*Args, T], *args: *Args, size: int = 0) -> T | OverBudget:
        """Makes and commits a write on the loop where no other task could share its commit, or says `OVER_BUDGET`."""
        others_are_ready = len(self._ready) > self.snapshot.awaits_turn
        is_alone = not (self._line or self._held or others_are_ready)
        tuning = self._tuning
        were_many = self._quick_writes == tuning.writes_a_turn or self._quick_time > tuning.writing_time
        if not is_alone or were_many or not self._may_write_quick(size):
            self._quick_writes, self._quick_time = 0, 0.0
            return OVER_BUDGET
        self._check_latch()
        start = time.perf_counter()
        self._quick_writes += 1
        self.snapshot.end()
        self.store.wait(False)
        try:
            value = self.store.call(function, *args)
        except BusyError:
            return OVER_BUDGET
        except StorageError as error:
            self.record(error)
            raise
        self._quick_time += time.perf_counter() - start
        self._notify()
        return value

    async def take_turn(self) -> None:
        """Waits for the connection and keeps it, until `end_turn`."""
        self._check_latch()
        turn = self._loop.create_future()
        self._line.append(turn)
        self._schedule()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.end_turn()
            raise
        try:
            self._check_latch()
        except StorageError:
            self.end_turn()
            raise

    def end_turn(self) -> None:
        """Gives the connection to the next in line."""
        self._held = False
        if self._renewal is not None:
            self._renewal.set()  # those who wait for it run before the next in line
            self._renewal = None
        self._notify()
        self._schedule()

    def call_in_turn(
        self, function: Call[*Args, T], *args: *Args, waits: bool = True, stop: Stop | None = None
    ) -> asyncio.Future[T]:
        """Runs a call on the writer's thread, in the current turn; `stop` may end it early."""
        future: asyncio.Future[T] = self._loop.create_future()
        calling = self._thread.submit(partial(self._call, waits, stop, function, *args))
        calling.add_done_callback(partial(self._called, future))
        return future

    async def exclusive(
        self,
        function: Call[*Args, T],
        *args: *Args,
        waits: bool = True,
        renews_log: bool = False,
        stop: Stop | None = None,
    ) -> T:
        """Takes a turn for one call on the thread; the turn ends with the call, also where the task is cancelled.

        `renews_log`: the call copies the log into the file, so the commit after it starts the log anew. `stop`: the
        call ends early, with nothing done, where the task is cancelled.
        """
        await self.take_turn()
        self._sync_is_due |= renews_log  # before the turn ends, and the next in line commits
        if renews_log and self._wait_for_reads is not None:
            self._renewal = asyncio.Event()
        call = self.call_in_turn(function, *args, waits=waits, stop=stop)
        call.add_done_callback(self._end_exclusive)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            if stop is not None:
                stop.stopped = True
            raise

    async def read(self, function: Call[*Args, T], *args: *Args) -> T:
        """Takes a turn for a read on the thread."""
        return await self.exclusive(function, *args, stop=Stop())

    async def renewed(self) -> None:
        """Waits while the log is copied into the file, in memory: before a read on any other connection.

        That ends by itself. A turn may not: whoever has it may wait for that very read.
        """
        while self._renewal is not None:
            await self._renewal.wait()

    def record(self, error: BaseException) -> None:
        """Refuses every later write where this error says that a commit failed on the disk."""
        if self._failure is None and isinstance(error, StorageError) and not isinstance(error, DiskFullError):
            self._failure = error

    async def drain(self) -> None:
        """Waits for everything that is in line, and keeps the connection from whatever comes later."""
        turn = self._loop.create_future()
        self._line.append(turn)
        self._schedule()
        await turn

    async def close(self, close_others: Callable[[], None]) -> None:
        """After `drain`: closes other connections and this one, and ends the thread."""
        closing = self._thread.submit(self.close_now, close_others)
        self._thread.end(wait=False)
        await asyncio.shield(asyncio.wrap_future(closing))  # a cancelled close is made all the same
        self.join()

    def close_now(self, close_others: Callable[[], None]) -> None:
        """Closes other connections and this one, on the thread."""
        try:
            close_others()
        finally:
            self.store.close()

    def submit_last(self, function: Callable[[], None]) -> None:
        """Makes one last call on the thread, unless `close` has made it already."""
        self._is_ending = True
        with contextlib.suppress(RuntimeError):
            self._thread.submit(function)
        self._thread.end(wait=False)

    def join(self) -> None:
        """Waits for the thread to end."""
        self._thread.end(wait=True)

    def _check_latch(self) -> None:
        if self._failure is not None:
            raise StorageError(
                f"A write to the disk failed before, so nothing more is written: {self._failure} "
                "Close the cluster and open it again."
            )

    def _schedule(self) -> None:
        if self._line and not self._held and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._advance)

    def _advance(self) -> None:
        self._scheduled = False
        self.snapshot.end()
        while self._line and not self._held:
            job = self._line.popleft()
            if isinstance(job, asyncio.Future):
                if not job.done():
                    self._held = True
                    job.set_result(None)
                continue
            batch = [write for write in job if not write.future.done()]
            if self._failure is not None:
                self._refuse(batch)
                continue
            is_quick = self.may_commit_quick(len(batch), sum(write.size for write in batch))
            if batch and not (is_quick and self._commit_quick(batch)):
                self._held = True
                committing = self._thread.submit(self._commit, batch)
                committing.add_done_callback(partial(self._committed, batch))

    def _refuse(self, batch: _Batch) -> None:
        """Fails writes that were in line when the latch fell."""
        try:
            self._check_latch()
        except StorageError as error:
            self._settle(batch, [Outcome(None, error)] * len(batch))

    def _may_write_quick(self, size: int) -> bool:
        return self._commits_quick and not self._sync_is_due and size <= self._tuning.quick_bytes

    def _notify(self) -> None:
        for listener in self._listeners:
            listener(self.store)

    def _commit_quick(self, batch: _Batch) -> bool:
        self.store.wait(False)
        try:
            outcomes = self.store.commit_group([(write.function, write.args) for write in batch])
        except BusyError:
            return False
        except Exception as error:
            outcomes = [Outcome(None, error)] * len(batch)
        self._settle(batch, outcomes)
        return True

    def _commit(self, batch: _Batch) -> list[Outcome]:
        self.store.wait(True)
        return self.store.commit_group([(write.function, write.args) for write in batch])

    def _call(self, waits: bool, stop: Stop | None, function: Call[*Args, T], *args: *Args) -> T:
        if self._renewal is not None and self._wait_for_reads is not None:
            self._wait_for_reads(waits)
        self.store.wait(waits)
        return self.store.call(function, *args) if stop is None else self.store.call_until(stop, function, *args)

    def _committed(self, batch: _Batch, committing: "Future[list[Outcome]]") -> None:
        # On the writer's thread. A loop that has ended has nobody left to tell; what is committed stays so.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._settle_committed, batch, committing)

    def _called(self, future: asyncio.Future[T], calling: "Future[T]") -> None:
        with contextlib.suppress(RuntimeError):  # as above
            self._loop.call_soon_threadsafe(self._settle_call, future, calling)

    def _settle_call(self, future: asyncio.Future[T], calling: "Future[T]") -> None:
        if future.done():
            return
        error = calling.exception()
        if error is None:
            future.set_result(calling.result())
        else:
            future.set_exception(error)

    def _turn_committed(self, committing: asyncio.Future[Any]) -> None:
        if not committing.cancelled() and committing.exception() is None:
            self._sync_is_due = False

    def _settle_committed(self, batch: _Batch, committing: "Future[list[Outcome]]") -> None:
        self._sync_is_due = False
        error = committing.exception()
        if error is None:
            self._settle(batch, committing.result())
        else:
            for write in batch:
                if not write.future.done():
                    write.future.set_exception(error)
        self.end_turn()

    def _settle(self, batch: _Batch, outcomes: list[Outcome]) -> None:
        for write, outcome in zip(batch, outcomes, strict=True):
            if outcome.error is not None:
                self.record(outcome.error)
            if write.future.done():
                continue  # cancelled meanwhile; the write is made all the same
            if outcome.error is not None:
                write.future.set_exception(outcome.error)
            else:
                write.future.set_result(outcome.value)
        if not self._held:
            self._notify()

    def _end_exclusive(self, call: asyncio.Future[Any]) -> None:
        if not call.cancelled() and (error := call.exception()) is not None:
            self.record(error)
        self.end_turn()
