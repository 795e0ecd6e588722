"""Progress: what long operations say of how far they are.

Invariants: `Progress` is called on the event loop, whichever thread does the work; the last report always arrives, and
at most one waits for the loop at a time, so a fast producer floods nothing; what `Progress` raises ends the operation.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

Progress = Callable[[int, int, str], object]
"""Called with how much is done, of how much (0 where nobody knows), and of what, as `"documents"` or `"bytes"`."""


class EndedError(Exception):
    """Ends, on its thread, an operation whose `Progress` raised. It reaches no user."""


class Report:
    """Carries the reports of an operation from its thread to a `Progress` on the event loop.

    >>> async def example(engine: Engine, progress: Progress | None) -> None:
    ...     with engine.on_loop(progress) as report:
    ...         await calls.write(function, report, long=True)  # which calls report(done, total, "pages")

    The thread calls it as often as it likes: of the reports that come faster than the loop turns, the loop sees the
    newest. What `Progress` raised, the next report raises on the thread as an `EndedError`, and the end of the block as
    it was. An operation that must not be done where the very last report raises calls `check` before it commits.
    """

    def __init__(self, progress: Progress | None, loop: asyncio.AbstractEventLoop) -> None:
        self._progress = progress
        self._loop = loop
        self._newest = self._told = (0, 0, "")
        self._waits = False
        """Whether a report waits for the loop."""
        self._error: BaseException | None = None

    def __call__(self, done: int, total: int, unit: str) -> None:
        """Reports, from the thread of the operation, or ends it."""
        if self.is_ended:
            raise EndedError
        self.send(done, total, unit)

    def send(self, done: int, total: int, unit: str) -> None:
        """Reports from where the operation cannot end; it asks `is_ended` where it can."""
        if self._progress is None:
            return
        self._newest = (done, total, unit)
        if not self._waits:
            self._waits = True
            with contextlib.suppress(RuntimeError):  # a loop that has ended has nobody left to tell
                self._loop.call_soon_threadsafe(self._deliver)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants to know."""
        return self._progress is not None

    @property
    def is_ended(self) -> bool:
        """Whether `Progress` raised, so that the operation is to end."""
        return self._error is not None

    def check(self) -> None:
        """Raises, on the loop, what `Progress` raised."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._error is not None and (error is None or isinstance(error, EndedError)):
            raise self._error from None

    def _deliver(self) -> None:
        self._waits = False  # first: a report that comes now waits for the next turn, and is told then or just now
        newest = self._newest
        if self._progress is None or self._error is not None or newest == self._told:
            return
        self._told = newest
        try:
            self._progress(*newest)
        except BaseException as error:  # whatever it is, it belongs to the operation, whose task gets it
            self._error = error
