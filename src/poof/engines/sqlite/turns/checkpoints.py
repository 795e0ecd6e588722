"""Checkpoints: the write-ahead log is copied into the file before it grows long.

While little is written, the log is copied beside the writer, on a thread and a connection of the pool, which gives way
to writes, and nobody waits; what was written meanwhile is copied on the writer's own connection, so that the log
starts anew. Writes that never pause wait for all of it instead, once the log is long. That takes less from them: two
threads that take turns at the interpreter for each page are several times as slow as one. Only where the copying would
be long, most of it runs beside the writer even then. The log is never synced beside writes: the file system may hold
whoever makes a file longer for as long as another sync takes, and that may be a write on the event loop.

Invariant: of one cluster, never two checkpoints run at once. SQLite would refuse the second.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextvars import Context
from functools import partial

from poof.engines.sqlite.tables import log
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.readers import ReaderPool
from poof.engines.sqlite.turns.store import Store
from poof.engines.sqlite.turns.writer import Writer
from poof.errors import BusyError, PoofError
from poof.format.layout import FRAME_SIZE

_log = logging.getLogger("poof")


class Checkpointer:
    """Watches the length of the log."""

    def __init__(self, writer: Writer, pool: ReaderPool | None, tuning: Tuning = DEFAULT) -> None:
        self._tuning = tuning
        self._writer = writer
        self._pool = pool
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._copying = asyncio.Lock()
        self._waiting = 0
        """How many wait for the copying, or keep it from beginning."""
        self._seen = 0
        """How long the log was when the copying last gave way to writes."""
        self._file_frames = 0
        """How much the file of the log has room for, as far as is known."""
        self._expect(0)
        writer.listen(self._consider)

    async def stop(self) -> None:
        """Begins no more checkpoints, and waits for one that is under way."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Waits for the copying that is under way, and lets none begin."""
        self._waiting += 1
        try:
            async with self._copying:
                yield
        finally:
            self._waiting -= 1

    def _expect(self, frames: int) -> None:
        """Says when the next checkpoint is due, where so much of the log is there to stay for now."""
        self._longest = frames + self._tuning.log_frames
        self._due = frames + min(self._tuning.quiet_log_frames, self._tuning.log_frames)

    def _consider(self, store: Store) -> None:
        if store.log_frames < self._due or self._task is not None or self._stopped:
            return
        if store.log_frames >= self._longest:
            self._begin(store, beside=store.count_log_pages() > self._tuning.most_pages)
        elif self._timer is None:
            self._look_later(store)

    def _look_later(self, store: Store) -> None:
        # In a context of its own, or the timer would keep what the task of a user has in its.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._tuning.quiet_time, self._look, store, store.log_frames, context=Context())

    def _look(self, store: Store, before: int) -> None:
        self._timer = None
        is_due = store.log_frames >= self._due or self._file_frames > self._tuning.kept_frames
        if not is_due or self._task is not None or self._stopped or self._writer.is_ending:
            return
        if store.log_frames - before <= self._tuning.quiet_frames:
            self._begin(store, beside=True, shortens=self._file_frames > self._tuning.kept_frames)
        else:
            self._look_later(store)

    def _begin(self, store: Store, *, beside: bool, shortens: bool = False) -> None:
        self._file_frames = max(self._file_frames, store.log_frames)
        self._task = asyncio.get_running_loop().create_task(self._checkpoint(store, beside, shortens))
        self._task.add_done_callback(partial(self._done, store))

    async def _checkpoint(self, store: Store, beside: bool, shortens: bool) -> None:
        if shortens:
            self._file_frames = 0  # also where that fails: it is tried again when the log has grown
        try:
            if beside and self._pool is not None:
                async with self._copying:
                    await self._writer.exclusive(log.sync_log, waits=False)
                    await self._pool.read(log.checkpoint, partial(self._give_way, store))
            size = self._tuning.kept_frames * FRAME_SIZE if shortens else None
            await self._writer.exclusive(log.restart_log, size, waits=False, renews_log=True)
            store.log_emptied()
            self._expect(0)
        except BusyError:
            self._expect(store.log_frames)  # a reader needs the log as it is
        except PoofError as error:
            self._expect(store.log_frames)
            _log.warning("A checkpoint failed, and will be tried again: %s", error)

    def _give_way(self, store: Store) -> None:
        """Called on the thread that copies, after each page: lets writes have the interpreter, as long as it can."""
        has_time = store.log_frames < self._longest and not (self._stopped or self._waiting)
        if has_time and store.log_frames != self._seen:
            self._seen = store.log_frames
            time.sleep(self._tuning.copy_pause)

    def _done(self, store: Store, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled() or (task.exception() is not None and self._writer.is_ending):
            return  # nobody uses the cluster any more: the thread ended under the checkpoint
        if task.exception() is not None:
            _log.warning("A checkpoint failed.", exc_info=task.exception())
        elif self._file_frames > self._tuning.kept_frames and self._timer is None and not self._stopped:
            self._look_later(store)
