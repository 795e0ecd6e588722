"""Two settings of the whole interpreter, changed for a while: its garbage collector, and how often threads take turns.

Layer: storage. The interpreter has one of each, so the state here is the process's.

The collector: it goes through young objects whenever some hundred more were made than freed, and through all objects
now and then. While a list of documents grows, that takes more time than making them, and holds up every thread.
Documents are no part of any cycle, so there is nothing to find.

Turns: a thread that wants to run waits until the running one pauses by itself, or for the switch interval, which is 5
milliseconds. The event loop wants to run anew after each call into SQLite, some times for each write. So beside a
thread that is busy with a long job, a write of 50 microseconds could take it 20 milliseconds.

Invariant: a setting that the program has changed itself stays as it is.
"""

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterator

SWITCH_INTERVAL = 0.0005
"""Seconds, while one of our threads is at work."""


class _Setting:
    """A setting that is changed while at least one thread asks for it. `change` returns what undoes it."""

    def __init__(self, change: Callable[[], Callable[[], None]]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._users = 0
        self._undo: Callable[[], None] = lambda: None

    @contextlib.contextmanager
    def changed(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._undo = self._change()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._undo()


def _pause_collector() -> Callable[[], None]:
    if not gc.isenabled():
        return lambda: None
    gc.disable()
    return gc.enable


def _switch_often() -> Callable[[], None]:
    before = sys.getswitchinterval()
    if before <= SWITCH_INTERVAL:
        return lambda: None
    sys.setswitchinterval(SWITCH_INTERVAL)
    ours = sys.getswitchinterval()

    def restore() -> None:
        if sys.getswitchinterval() == ours:
            sys.setswitchinterval(before)

    return restore


paused_collector = _Setting(_pause_collector).changed
"""For `with`: lets the garbage collector rest."""
short_turns = _Setting(_switch_often).changed
"""For `with`: lets threads take turns often."""
