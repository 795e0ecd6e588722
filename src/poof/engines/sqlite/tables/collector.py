"""Python's cyclic garbage collector, which rests while very many documents are made.

The interpreter has one collector, so the state here belongs to the process.

The collector goes through young objects whenever some hundred more were made than freed, and through all objects now
and then. While a list of documents grows, that takes more time than making them, and holds up every thread. Documents
are no part of any cycle, so there is nothing to find.

Invariant: a collector that the program has switched off itself stays so.
"""

import contextlib
import gc
import os
import threading
from collections.abc import Iterator


class _Pause:
    """The collector rests while at least one thread asks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._was_enabled = False
        if hasattr(os, "register_at_fork"):  # as on all systems that fork
            os.register_at_fork(after_in_child=self._forget)

    @contextlib.contextmanager
    def asked_for(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._was_enabled = gc.isenabled()
                gc.disable()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._end()

    def _end(self) -> None:
        if self._was_enabled:
            gc.enable()

    def _forget(self) -> None:
        """In a fork, which has none of the threads that asked for it."""
        self._lock = threading.Lock()
        if self._users:
            self._users = 0
            self._end()


paused_collector = _Pause().asked_for
"""For `with`: lets the garbage collector rest."""
