"""Checkpoints: the write-ahead log is copied into the file before it grows long, and nobody waits for that.

Layer: storage.

Most of the log is copied beside the writer, on a thread and a connection of the pool. What was written meanwhile is
copied on the writer's own connection, so that the log starts anew: that is short.

Invariant: of one cluster, never two checkpoints run at once. SQLite would refuse the second.
"""

import asyncio
import logging

from poof.errors import BusyError, PoofError
from poof.storage import operations
from poof.storage.readers import ReaderPool
from poof.storage.store import Store
from poof.storage.writer import Writer

LOG_FRAMES = 4096
"""Length of the log, in pages, from which it is copied: 32 MiB."""

_log = logging.getLogger("poof")


class Checkpointer:
    """Watches the length of the log."""

    def __init__(self, writer: Writer, pool: ReaderPool | None) -> None:
        self._writer = writer
        self._pool = pool
        self._task: asyncio.Task[None] | None = None
        self._due = LOG_FRAMES
        self._stopped = False
        self._copying = asyncio.Lock()
        writer.after_commit = self._consider

    async def stop(self) -> None:
        """Begins no more checkpoints, and waits for one that is under way."""
        self._stopped = True
        if self._task is not None:
            await asyncio.wait([self._task])

    def paused(self) -> asyncio.Lock:
        """For `async with`: waits for the copying that is under way, and lets none begin."""
        return self._copying

    def _consider(self, store: Store) -> None:
        if store.log_frames < self._due or self._task is not None or self._stopped:
            return
        self._task = asyncio.get_running_loop().create_task(self._checkpoint(store))
        self._task.add_done_callback(self._done)

    async def _checkpoint(self, store: Store) -> None:
        try:
            if self._pool is not None:
                async with self._copying:
                    await self._pool.run(operations.checkpoint)
            await self._writer.alone(operations.restart_log, waits=False, renews_log=True)
            self._due = LOG_FRAMES
        except BusyError:
            self._due = store.log_frames + LOG_FRAMES  # a reader needs the log as it is
        except PoofError as error:
            self._due = store.log_frames + LOG_FRAMES
            _log.warning("A checkpoint failed, and will be tried again: %s", error)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None:
            _log.warning("A checkpoint failed.", exc_info=task.exception())
