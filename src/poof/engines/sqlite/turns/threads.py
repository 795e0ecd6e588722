"""Threads that make calls, one after another.

Like `concurrent.futures.ThreadPoolExecutor`, but for two things that a cluster needs which may be dropped or left
open at any moment. `submit` takes no lock: it may be called by a finalizer, and so by a garbage collection in the
midst of any code of the same thread. And the threads live until they are ended, also past the end of the main thread,
so that a cluster can be closed when the interpreter exits.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Args = TypeVarTuple("Args")
_Call = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class Threads:
    """A number of threads with a queue of calls. They are started with the first of them."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._ended = False

    def submit(self, function: Callable[[*Args], T], *args: *Args) -> Future[T]:
        """Lines up a call.

        Raises:
            RuntimeError: the threads were ended.
        """
        if self._ended:
            raise RuntimeError("the threads have ended")
        future: Future[T] = Future()
        self._queue.put((future, function, args))
        if self._ended and future.cancel():  # another thread ended them just now, and nobody took the call
            raise RuntimeError("the threads have ended")
        if not self._threads:
            self._start()
        return future

    def end(self, *, wait: bool) -> None:
        """Ends the threads after the calls that were lined up, and takes no more."""
        if not self._ended:
            self._ended = True
            for _ in self._threads:
                self._queue.put(None)
        if wait:
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join()

    def _start(self) -> None:
        for number in range(self._count):
            name = f"{self._name}-{number}"
            thread = threading.Thread(target=_make_calls, args=(self._queue,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()


def _make_calls(queue: "SimpleQueue[_Call | None]") -> None:
    while (call := queue.get()) is not None:
        _make(*call)
        del call  # or its arguments would live until the next one


def _make(future: Future[Any], function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(*args)
    except BaseException as error:  # the caller's, whatever it is; the thread goes on
        future.set_exception(error)
    else:
        future.set_result(result)
