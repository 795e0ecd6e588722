"""The event loop: whether there is one, and how to wait on it for calls on threads."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeVar

from poof.errors import WrongLoopError
from poof.raising import raise_alone

T = TypeVar("T")


class Stoppable(Protocol):
    """What a call on a thread looks at now and then, to end early."""

    stopped: bool


async def finish(future: "asyncio.Future[T]", stop: Stoppable | None = None) -> T:
    """Waits for a call on a thread to end, also where this task is cancelled: it has the connection till then."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if stop is not None:
            stop.stopped = True
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError:
                continue
            except BaseException:
                break
        raise


async def on_thread(function: Callable[..., T], *args: Any) -> T:
    """Makes a call on a thread, and waits for its end, also where this task is cancelled."""
    return await finish(asyncio.get_running_loop().run_in_executor(None, partial(function, *args)))


def check_asyncio() -> None:
    """Refuses to open a file where no event loop of asyncio is running.

    Raises:
        WrongLoopError: there is none, as under trio.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise_alone(
            WrongLoopError(
                "PoofDB runs on asyncio, and no event loop of asyncio is running here. Run the program with "
                "asyncio.run(), or on the asyncio backend of anyio; under trio, inside trio_asyncio.open_loop() and "
                "trio_asyncio.aio_as_trio(). No file was touched."
            )
        )


async def one_by_one(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of an iterator of either kind."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
