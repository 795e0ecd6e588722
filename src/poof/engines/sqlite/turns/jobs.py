"""Calls on a thread that take long: they say how far they are, and end early where nobody waits for them.

Invariant: the task that waits for a job goes on only when the job has ended, also where the task is cancelled. So what
a job would leave behind, it has removed by then.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from poof.engines.sqlite.tables.connections import ClusterConnection
from poof.engines.sqlite.turns.store import Stop, StoppedError
from poof.engines.sqlite.turns.threads import Threads
from poof.progress import Progress, Report

T = TypeVar("T")
Args = TypeVarTuple("Args")


class Job(Stop):
    """One long call. It is made on the event loop, and given to the thread."""

    def __init__(self, progress: Progress | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._report = Report(progress, self._loop)

    def check(self) -> None:
        """Called now and then by the thread: ends it where nobody waits for the job any more.

        Raises:
            StoppedError: nobody does. What `Progress` raised comes as it was.
        """
        if self.stopped:
            raise StoppedError
        self._report.check()

    def report(self, done: int, total: int, unit: str = "pages") -> None:
        """Does what `check` does, and says how far the job is."""
        self.check()
        self._report(done, total, unit)

    def quiet(self) -> Report:
        """For a part of the job that reports by itself: nobody is told."""
        return Report(None, self._loop)

    def watch(self, connection: ClusterConnection) -> None:
        """Lets the end of the job interrupt what SQLite does on a connection."""
        connection.set_progress_handler(lambda: self.stopped, connection.tuning.look_steps)

    async def finish(self, call: asyncio.Future[T]) -> T:
        """Waits for the call to end, which it does early where this task is cancelled."""
        cancelled: asyncio.CancelledError | None = None
        while not call.done():
            try:
                await asyncio.wait([call])
            except asyncio.CancelledError as error:
                cancelled = error
                self.stopped = True
        if cancelled is not None:
            call.cancelled() or call.exception()  # which nobody will ask for
            raise cancelled
        with self._report:  # raises what `Progress` raised
            return call.result()


async def on_own_thread(name: str, job: Job, function: Callable[[Job, *Args], T], *args: *Args) -> T:
    """Makes the call `function(job, *args)` on a thread of its own, of this name."""
    threads = Threads(1, name)
    call = threads.submit(function, job, *args)
    threads.end(wait=False)
    return await job.finish(asyncio.wrap_future(call))
