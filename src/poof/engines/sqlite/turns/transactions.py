"""Transactions over a whole cluster, for one task at a time.

Invariants: between begin and end, the connection of the writer belongs to one transaction, and every call on it comes
from the task that began it; however the block ends, the turn is given back.
"""

import asyncio
import logging
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar, TypeVarTuple

from poof.engines.sqlite.tables import savepoints
from poof.engines.sqlite.tables.budget import OverBudget
from poof.engines.sqlite.tables.connections import Call
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.store import Stop
from poof.engines.sqlite.turns.writer import Writer
from poof.errors import BusyError, PoofError, TransactionError
from poof.uncopyable import Uncopyable
from poof.waiting import finish

T = TypeVar("T")
Args = TypeVarTuple("Args")
State = Literal["new", "open", "committed", "rolled back"]

_log = logging.getLogger("poof")
_stack: ContextVar[tuple["Transaction", ...]] = ContextVar("poof_transactions", default=())


class Owner(Protocol):
    """What a transaction needs of the open cluster that it belongs to."""

    path: str

    def check_open(self) -> None:
        """Refuses a call after the end, from another loop, or from a fork."""

    def transaction_began(self, transaction: "Transaction") -> None:
        """Notes who holds the writer's connection."""

    def transaction_ended(self) -> None:
        """Notes that nobody holds it any more."""


class Transaction(Uncopyable):
    """`async with cluster.transaction():` - all that the task does inside happens as a whole or not at all.

    `state` says what came of it, also where the task was cancelled just then.
    """

    def __init__(self, owner: Owner, writer: Writer, tuning: Tuning = DEFAULT, *, warns: bool = False) -> None:
        self._owner = owner
        self._tuning = tuning
        self._warns = warns
        """Whether it is reported where it is open for long: then its block is the user's, who can make it shorter."""
        self._writer = writer
        self._outer: Transaction | None = None
        self._task: asyncio.Task[Any] | None = None
        self._state: State = "new"
        self._writes = 0
        self._bytes = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._is_small = True
        self._aborted: PoofError | None = None

    @property
    def state(self) -> State:
        """`"new"`, `"open"`, `"committed"` or `"rolled back"`."""
        return self._state

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise TransactionError("A transaction is used once. Call transaction() again for another one.")
        self._owner.check_open()
        self._task = asyncio.current_task()
        outer = current(self._owner)
        if outer is not None:
            outer.call_quick(savepoints.begin_nested)
            self._outer = outer
        else:
            await self._begin()
        self._state = "open"
        _stack.set((*_stack.get(), self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not asyncio.current_task():
            # As where an async generator is dropped inside the block. Nobody else would give the connection back.
            error = TransactionError("A transaction ends in the task in which it began. It was rolled back.")
            await self._outer_most().abort(error)
            raise error
        _stack.set(tuple(transaction for transaction in _stack.get() if transaction is not self))
        if self._outer is not None:
            self._end_nested(self._outer, failed=kind is not None)
        else:
            await self._end(failed=kind is not None)

    async def write(
        self, function: Call[*Args, T], *args: *Args, size: int = 0, long: bool = False, stop: Stop | None = None
    ) -> T:
        """Makes a write of about so many bytes, on the thread where it may take long.

        `stop`: it ends early where the task is cancelled.
        """
        root = self._outer_most()
        root._writes += 1
        root._bytes += size
        if root._writes % self._tuning.quick_writes == 0:
            await asyncio.sleep(0)  # before the call: a task that is cancelled here knows that it was not made
        if long or size > self._tuning.quick_bytes:
            root._is_small = False
            root._check_goes_on()
            return await finish(root._writer.call_in_turn(function, *args, stop=stop), stop)
        return root.call_quick(function, *args)

    def call_quick(self, function: Call[*Args, T], *args: *Args) -> T:
        """Makes a call on the connection of the transaction, and lets no other task run meanwhile."""
        root = self._outer_most()
        root._check_goes_on()
        root._writer.store.wait(False)
        return root._writer.store.call(function, *args)

    def read_quick(self, function: Call[*Args, T], *args: *Args) -> T | OverBudget:
        """Makes a quick read, or returns `OVER_BUDGET`."""
        root = self._outer_most()
        root._check_goes_on()
        return root._writer.store.read_quick(function, *args)

    async def read(self, function: Call[*Args, T], *args: *Args) -> T:
        """Makes a long read on the thread, which ends early where the task is cancelled."""
        root = self._outer_most()
        root._check_goes_on()
        stop = Stop()
        return await finish(root._writer.call_in_turn(function, *args, stop=stop), stop)

    async def abort(self, error: PoofError) -> None:
        """Rolls the transaction back from outside, as when the cluster is closed. Its task gets the error."""
        if self._aborted is None and self._state == "open":
            self._aborted = error
            self._let_go()
            await self._roll_back()

    def is_of(self, owner: Owner) -> bool:
        """Whether it is a transaction on this open cluster."""
        return self._owner is owner

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task whose transaction it is."""
        return self._task

    def _outer_most(self) -> "Transaction":
        return self if self._outer is None else self._outer._outer_most()

    async def _begin(self) -> None:
        await self._writer.take_turn()
        try:
            try:
                self._writer.store.wait(False)
                self._writer.store.call(savepoints.begin)
            except BusyError:
                await self._writer.call_in_turn(savepoints.begin)
            self._owner.check_open()  # it may have been closed meanwhile, which waits for this turn
        except asyncio.CancelledError:
            self._roll_back_soon()  # stands in line behind `begin`, which may wait for long
            raise
        except BaseException:
            await self._roll_back()
            raise
        self._owner.transaction_began(self)
        if self._warns:
            self._alarm = asyncio.get_running_loop().call_later(self._tuning.long_transaction, self._report)

    async def _end(self, *, failed: bool) -> None:
        if self._aborted is not None:  # and rolled back, by another task
            if not failed:
                raise self._aborted
            return
        self._let_go()
        if failed:
            await self._roll_back()
        else:
            await self._commit()

    async def _commit(self) -> None:
        committing: asyncio.Future[None] | None = None
        try:
            self._check_goes_on()
            if self._may_commit_quick():
                self._writer.store.call(savepoints.commit)
            else:
                committing = self._writer.commit_turn()
                await finish(committing)
        except BaseException as error:
            if committing is not None and isinstance(error, asyncio.CancelledError) and committing.exception() is None:
                self._state = "committed"
                self._writer.end_turn()
            else:
                self._writer.record(error)
                await self._roll_back()
            raise
        self._state = "committed"
        self._writer.end_turn()

    def _end_nested(self, outer: "Transaction", *, failed: bool) -> None:
        self._state = "rolled back"
        if not failed:
            outer.call_quick(savepoints.commit_nested)
            self._state = "committed"
        elif self._outer_most()._goes_on():
            outer.call_quick(savepoints.rollback_nested)

    def _may_commit_quick(self) -> bool:
        return self._is_small and self._writer.may_commit_quick(self._writes, self._bytes)

    def _goes_on(self) -> bool:
        return self._aborted is None and self._writer.store.in_transaction

    def _check_goes_on(self) -> None:
        """Refuses what SQLite would do outside the transaction: it ends one itself where the file fails."""
        if self._aborted is not None:
            raise self._aborted
        if not self._writer.store.in_transaction:
            raise TransactionError(
                f"The transaction on {self._owner.path!r} ended when the file could not be read or written, and "
                "nothing of it was changed. Let the first error leave the block."
            )

    def _let_go(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._owner.transaction_ended()

    async def _roll_back(self) -> None:
        await finish(self._roll_back_soon())

    def _roll_back_soon(self) -> "asyncio.Future[None]":
        self._state = "rolled back"
        rolling_back: asyncio.Future[None] = self._writer.call_in_turn(savepoints.rollback)
        rolling_back.add_done_callback(self._rolled_back)
        return rolling_back

    def _rolled_back(self, rolling_back: "asyncio.Future[None]") -> None:
        rolling_back.exception()  # is for whoever waits; where nobody does, it has been seen
        self._writer.end_turn()

    def _report(self) -> None:
        _log.warning(
            "A transaction on %r has been open for %.0f seconds; no other task can write meanwhile.",
            self._owner.path,
            self._tuning.long_transaction,
        )


def has_transactions() -> bool:
    """Whether this task, or one that started it, has been in a transaction: then `current` tells in which."""
    return bool(_stack.get())


def current(owner: Owner) -> Transaction | None:
    """The innermost open transaction of this task on a cluster.

    Raises:
        TransactionError: the task was started inside a transaction of another task, which is still open.
    """
    for transaction in reversed(_stack.get()):
        if transaction.is_of(owner) and transaction.state == "open":
            if transaction.task is asyncio.current_task():
                return transaction
            raise TransactionError(
                "This task was started inside a transaction of another task, and is not part of it: it would have to "
                "wait for the transaction that may wait for it. Await the calls of a transaction in its own task, one "
                "after another, without gather() or create_task() (and, before Python 3.12, without wait_for(): use "
                "asyncio.timeout())."
            )
    return None
