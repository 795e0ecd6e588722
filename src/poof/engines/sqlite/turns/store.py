"""An open connection to a cluster file, and the ways to make calls on it.

Layer: storage. A store is used by one thread at a time. A call is a function of the connection and its arguments.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import apsw

from poof.engines.sqlite.file.unlock import Unlocked
from poof.engines.sqlite.pages.committed import Committed
from poof.engines.sqlite.pages.state import MEMORY_BASE, ClusterState
from poof.engines.sqlite.sqlite_errors import raise_translated, translated, translation
from poof.engines.sqlite.tables import savepoints
from poof.engines.sqlite.tables.budget import OVER_BUDGET, OverBudgetError
from poof.engines.sqlite.tables.connections import ClusterConnection, ClusterCursor, connect, refuse_unchecked
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.errors import PoofError, StorageError
from poof.keys.user_keys import UserKeys
from poof.progress import EndedError

LONGEST_TIMEOUT = 2**31 - 1
"""Milliseconds; SQLite takes no more."""

Call = Callable[..., Any]


class Stop:
    """Tells a long call on a thread that nobody waits for it any more."""

    stopped = False


class StoppedError(EndedError):
    """Stops a call whose waiter is gone. Internal: users never see it."""


@dataclass(frozen=True)
class Settings:
    """How the connections to a file are set."""

    timeout: float
    """Seconds to wait for another process."""
    cache_mib: int
    power: bool = False
    """Whether each commit is synced."""
    read_only: bool = False
    immutable: bool = False
    """Whether nobody can write the file: it is read-only, and so is its folder."""


class Outcome(NamedTuple):
    """What came of one call of a group."""

    value: Any
    error: BaseException | None = None


class Store:
    """An open connection to a cluster file. `waits`: whether calls wait for other processes, up to the timeout.

    `committed`: the state that is read, of a cluster in memory. `user_keys` lead to new data keys; without them, the
    key that unlocked the file does. `check` is called before anything else is done on the connection: where it refuses
    the file, that is left as it is.
    """

    def __init__(
        self,
        path: str,
        unlocked: Unlocked,
        settings: Settings,
        *,
        base: str = "",
        waits: bool = True,
        committed: Committed | None = None,
        user_keys: UserKeys | None = None,
        check: Callable[[ClusterConnection], None] | None = None,
        tuning: Tuning = DEFAULT,
    ) -> None:
        self._state = ClusterState(
            path,
            unlocked.keys,
            base,
            read_only=settings.read_only,
            immutable=settings.immutable,
            user_keys=user_keys or UserKeys(unlocked.user_key),
            trusted=unlocked.trusted,
            copies=unlocked.copies,
            tuning=tuning,
        )
        self._timeout = min(round(settings.timeout * 1000), LONGEST_TIMEOUT)
        self._read_only = settings.read_only
        self._waits = waits
        self._cache_mib = settings.cache_mib
        self._closed = False
        self._stop: Stop | None = None
        self._log_frames = 0
        with translated(self._state.label):
            self._connection = connect(
                self._state,
                committed,
                timeout=self._timeout / 1000 if waits else 0,
                cache_mib=settings.cache_mib,
                power=settings.power,
            )
            if check is not None:
                refuse_unchecked(self._connection, check)
        self._steps = self._connection.steps
        self._committed = committed
        self._in_memory = base == MEMORY_BASE
        self._cursor = ClusterCursor(self._connection)
        """For one statement after another; to make one for each costs a tenth of a read."""
        self._connection.set_wal_hook(self._count_frames)
        self._connection.set_progress_handler(self._is_to_end, tuning.look_steps)

    @property
    def unknown_features(self) -> list[str]:
        """What the file uses that this program does not know."""
        return self._state.unknown_features

    def call(self, function: Call, *args: Any) -> Any:
        """Makes a call. An error of SQLite becomes one of ours."""
        try:
            return function(self._connection, *args)
        except (apsw.Error, MemoryError) as error:
            raise_translated(error, self._state.label)

    def read_quick(self, function: Call, *args: Any) -> Any:
        """Makes a quick read, or returns `OVER_BUDGET`: it takes long, or another process is in the way."""
        return self._within_budget(function, self._connection, args)

    def statement_quick(self, function: Call, *args: Any) -> Any:
        """Like `read_quick`, for a read of one statement, which is made on a cursor."""
        return self._within_budget(function, self._cursor, args)

    def _within_budget(self, function: Call, connection: apsw.Connection | apsw.Cursor, args: tuple[Any, ...]) -> Any:
        if self._waits:
            self.wait(False)
        self._steps.looks = 0
        try:
            return function(connection, *args)
        except (OverBudgetError, apsw.InterruptError, apsw.BusyError):
            return OVER_BUDGET
        except (apsw.Error, MemoryError) as error:
            raise_translated(error, self._state.label)
        finally:
            self._steps.looks = None

    def call_until(self, stop: Stop, function: Call, *args: Any) -> Any:
        """Makes a call, a read or a write, which is stopped where nobody waits for it any more."""
        self._stop = stop
        try:
            return function(self._connection, *args)
        except apsw.InterruptError:
            raise StoppedError from None
        except (apsw.Error, MemoryError) as error:
            raise_translated(error, self._state.label)
        finally:
            self._stop = None

    def commit_group(self, calls: Sequence[tuple[Call, tuple[Any, ...]]]) -> list[Outcome]:
        """Makes calls in one commit. One that fails has no part in it; where the commit fails, all do.

        Raises:
            BusyError: another process is writing; no call was made.
        """
        if len(calls) == 1:
            return [self._attempt(calls[0])]
        self.call(savepoints.begin)
        try:
            outcomes = []
            for call in calls:
                outcomes.append(self._attempt(call))
                if not self._connection.in_transaction:  # SQLite gave up all of it: a full disk, or a failing one
                    return [Outcome(None, outcomes[-1].error)] * len(calls)
            self.call(savepoints.commit)
        except PoofError as error:
            return [Outcome(None, error)] * len(calls)
        finally:
            self.call(savepoints.rollback)
        return outcomes

    def wait(self, waits: bool) -> None:
        """Whether calls wait for other processes from now on, or fail at once."""
        if waits != self._waits:
            self._waits = waits
            self._connection.set_busy_timeout(self._timeout if waits else 0)

    @property
    def log_frames(self) -> int:
        """Length of the write-ahead log, in pages, after this store's last commit."""
        return self._log_frames

    def count_log_pages(self) -> int:
        """How many different pages of the write-ahead log were written here."""
        return 0 if self._state.log is None else self._state.log.count_pages()

    def log_emptied(self) -> None:
        """Notes that the next commit begins the log anew."""
        self._log_frames = 0

    def keep(self, cache_mib: int) -> None:
        """How much the cache of opened pages holds at most from now on, in MiB."""
        if cache_mib != self._cache_mib:
            self._cache_mib = cache_mib
            self._connection.pragma("cache_size", -1024 * cache_mib)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open. SQLite itself ends one where reading or writing the file fails."""
        return self._connection.in_transaction

    def committed(self) -> Committed:
        """In memory: the state after this store's last commit, for other stores. May be called on any thread."""
        return Committed(self._state)

    @property
    def is_newest(self) -> bool:
        """Whether what this store reads is the newest state: always, unless it was opened for one state."""
        return self._committed is None or self._committed.is_newest

    def close(self) -> None:
        """Closes the file. The last to close it anywhere leaves one file, without a log."""
        if self._closed:
            return
        self._closed = True
        try:
            self.call(ClusterConnection.close)
        except StorageError:
            if not self._read_only:  # then it is only the lock for the last one's checkpoint, which it cannot have
                raise

    def _attempt(self, call: tuple[Call, tuple[Any, ...]]) -> Outcome:
        function, args = call
        try:
            return Outcome(function(self._connection, *args))
        except apsw.BusyError as error:
            raise_translated(error, self._state.label)
        except (apsw.Error, MemoryError) as error:
            return Outcome(None, translation(error, self._state.label))
        except Exception as error:  # whatever it is, it belongs to the one call, and its caller gets it
            return Outcome(None, error)

    def _count_frames(self, _connection: apsw.Connection, _database: str, frames: int) -> int:
        self._log_frames = frames
        if self._in_memory:
            self._state.committed(frames)
        return apsw.SQLITE_OK

    def _is_to_end(self) -> bool:
        return self._steps.are_too_many() or (self._stop is not None and self._stop.stopped)
