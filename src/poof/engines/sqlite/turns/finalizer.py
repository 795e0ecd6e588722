"""The end of a cluster that nobody closes: it is collected, or the interpreter exits.

Invariant: nothing here waits for a lock or a thread while a garbage collection runs it.
"""

import atexit
import contextlib
import logging
import os
from functools import partial

from poof.engines.sqlite.turns.readers import ReaderPool
from poof.engines.sqlite.turns.store import Store
from poof.engines.sqlite.turns.writer import Writer
from poof.errors import PoofError

_log = logging.getLogger("poof")


def close_readers(pool: ReaderPool, readers: list[Store]) -> None:
    """Closes every connection but the writer's. Blocks."""
    with contextlib.ExitStack() as closing:  # all of them, also where one fails
        for reader in readers:
            closing.callback(reader.close)
        closing.callback(pool.close)


class Finalizer:
    """Closes a cluster that was never closed, when it is collected or the interpreter exits."""

    def __init__(self, writer: Writer, pool: ReaderPool, readers: list[Store]) -> None:
        self._writer = writer
        self._close_readers = partial(close_readers, pool, readers)
        self._process = os.getpid()
        atexit.register(self.close_at_exit)

    def forget(self) -> None:
        """Does nothing any more: the cluster is closed."""
        atexit.unregister(self.close_at_exit)

    def close_soon(self) -> None:
        """Closes it on its thread, without waiting and without a lock: this may run in a garbage collection."""
        if os.getpid() == self._process:  # and not in a fork of the process that owns the connections
            self._writer.submit_last(self._close)

    def close_at_exit(self) -> None:
        """Closes it on its thread, which would end with the interpreter."""
        self.close_soon()
        if os.getpid() == self._process:
            self._writer.join()

    def _close(self) -> None:
        try:
            self._writer.close_now(self._close_readers)
        except PoofError as error:
            _log.warning("A cluster that was not closed could not be closed at the end: %s", error)
        finally:
            self.forget()
