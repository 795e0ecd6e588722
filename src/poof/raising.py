"""How errors are raised: with nothing of a document in what hangs on them, and without frames that tell a user nothing.

It imports nothing of PoofDB.

Python hangs the error that is being handled on each new one, as its `__context__`, also where `from None` keeps it from
being printed. An error of a library holds what it failed on: Pydantic's the input, that of a JSON reader the whole
document. Whoever collects errors and their chains would collect that too.

Invariant: an error that is raised where another one is handled, which may hold a value, is raised by `raise_alone`.
"""

import functools
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def raise_alone(error: BaseException, cause: BaseException | None = None) -> NoReturn:
    """Raises an error in an `except` block, without the one that is handled there; nor is this function a frame."""
    traceback = error.__traceback__
    try:
        raise error from cause
    finally:
        error.__context__ = None
        error.__traceback__ = traceback


def brief(*kinds: type[Exception]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorates a function whose errors of some kinds are mistakes of the caller: its frames tell nobody anything."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return function(*args, **kwargs)
            except kinds as error:
                error.__traceback__ = None
                raise

        return call

    return decorate
