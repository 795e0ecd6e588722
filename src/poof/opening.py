"""How a cluster is opened: what `PoofCluster.create` and `PoofCluster.open` return, and what it does when awaited.

Layer: opening; below cluster.
"""

import math
import os
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from poof.credentials import KeySource, OnRecoveryCode, ask_for_key, open_with_keyring
from poof.engines.choice import open_engine
from poof.engines.contract import Engine, Settings
from poof.errors import InvalidKeyError
from poof.keys.credentials import Credentials
from poof.keys.kdf import check_password
from poof.keys.slots import parse_key
from poof.paths import path_text
from poof.uncopyable import Uncopyable
from poof.waiting import check_asyncio

ClusterT = TypeVar("ClusterT", bound=AbstractAsyncContextManager[Any])


class Opening(Uncopyable, Coroutine[Any, Any, ClusterT], AbstractAsyncContextManager[ClusterT]):
    """A coroutine that opens a cluster, to be awaited; or a block that has it open, for `async with`.

    It is a coroutine also to `inspect.iscoroutine`, by which programs tell what is to be awaited.
    """

    def __init__(self, name: str, coroutine: Coroutine[Any, Any, ClusterT]) -> None:
        coroutine.__qualname__ = name  # type: ignore[attr-defined]  # in the warning about one never awaited
        self._coroutine = coroutine
        self._cluster: ClusterT | None = None

    @property  # type: ignore[misc]  # of `object`, where it is an attribute
    def __class__(self) -> type:
        return types.CoroutineType

    def send(self, value: Any) -> Any:
        """Goes on with the opening."""
        return self._coroutine.send(value)

    def throw(self, *args: Any) -> Any:
        """Goes on with an exception, as when the task is cancelled."""
        return self._coroutine.throw(*args)

    def close(self) -> None:
        """Ends an opening that nobody awaits."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, ClusterT]:
        return self._coroutine.__await__()

    async def __aenter__(self) -> ClusterT:
        self._cluster = await self._coroutine
        return self._cluster

    async def __aexit__(self, *error: Any) -> bool | None:
        if self._cluster is None:
            raise RuntimeError("the block was not entered")
        return await self._cluster.__aexit__(*error)

    if not TYPE_CHECKING:  # to whom it would be anything that has attributes

        def __getattr__(self, name):
            """What asyncio and `inspect` look at in a coroutine."""
            if name.startswith("cr_") or name in ("__name__", "__qualname__"):
                return getattr(self._coroutine, name)
            raise AttributeError(
                f"what opens a cluster has no attribute {name!r}: await it, or enter it by `async with`"
            )

    def __repr__(self) -> str:
        return f"<opening of a cluster by {self._coroutine!r}>"


async def open_cluster(
    make: Callable[[Engine, str | None], ClusterT],
    file_path: str | os.PathLike[str],
    key: KeySource | None,
    *,
    password: str | None,
    keyring: bool,
    on_recovery_code: OnRecoveryCode | None,
    timeout: float,
    cache_mib: int,
    durability: str,
    read_only: bool,
    exclusive: bool,
    at_least: str | None,
    without_log: bool,
    creates: bool,
) -> ClusterT:
    """What `make` makes of the open file and, where it is a new one in a keyring, of its recovery code.

    The arguments are those of `PoofCluster.create`. `creates`: whether a file is created where there is none.
    """
    check_asyncio()
    if key is not None and password is not None:
        raise InvalidKeyError("Pass a key or a password, not both.")
    if password is not None:
        check_password(password)
    if not (isinstance(timeout, int | float) and math.isfinite(timeout) and timeout >= 0):
        raise ValueError("timeout must be a number of seconds, 0 or more")
    if not (isinstance(cache_mib, int) and cache_mib >= 1):
        raise ValueError("cache_mib must be a whole number of MiB, 1 or more")
    if durability not in ("process", "power"):
        raise ValueError("durability is 'process' or 'power'")
    if on_recovery_code is not None and not keyring:
        raise ValueError("on_recovery_code= goes with keyring=True")
    path = path_text(file_path)
    settings = Settings(
        timeout,
        cache_mib,
        power=durability == "power",
        read_only=read_only,
        exclusive=exclusive,
        at_least=at_least,
        without_log=without_log,
    )
    open_file = partial(open_engine, path, settings=settings, creates=creates)
    if callable(key):
        key = parse_key(await ask_for_key(key))
    credentials = Credentials(None if key is None else parse_key(key), password)
    if keyring:
        return make(
            *await open_with_keyring(path, credentials, on_recovery_code, open_file, creates=creates and not read_only)
        )
    return make(await open_file(credentials), None)
