"""Where the key of a file comes from: the caller, a function of the caller's, or the keyring of the system.

Invariant: a file that was created with its key in a keyring has a slot for another key, made first and handed out:
whoever loses the keyring is not locked out.
"""

import asyncio
import contextlib
import inspect
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from cryptography.fernet import Fernet

from poof.engines.choice import IN_MEMORY, find_cluster_number
from poof.engines.contract import Engine
from poof.errors import InvalidKeyError, KeyRequiredError, KeyringError, PoofError, WrongKeyError
from poof.keys.credentials import Credentials
from poof.keys.keyring import delete_key, load_key, store_key
from poof.keys.recovery_codes import recovery_code
from poof.paths import NOT_CREATED, missing_file

Key = str | bytes
KeySource = Key | Callable[[], Key | Awaitable[Key]]
"""A key, or a function that gets it, also an async one."""
OnRecoveryCode = Callable[[str], object]
"""Gets the recovery code of a new file, before there is the file; may be async."""
Open = Callable[[Credentials], Awaitable[Engine]]
Opened = tuple[Engine, str | None]
"""An open file and, where it is a new one whose key is in the keyring, its recovery code."""


async def ask_for_key(source: Callable[[], Key | Awaitable[Key]]) -> Any:
    """What the caller's function for the key gets. It is called once, off the loop; its errors come as they are."""
    is_async = inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(getattr(source, "__call__", None))  # noqa: B004 - its own
    key: Any = source() if is_async else await asyncio.to_thread(source)
    return await key if inspect.isawaitable(key) else key


async def open_with_keyring(
    path: str, credentials: Credentials, on_recovery_code: OnRecoveryCode | None, open_file: Open, *, creates: bool
) -> Opened:
    """Opens the file with the key in the keyring, or `creates` it and keeps its new key there.

    Given other credentials as well, opens or creates the file with these, and sees to it that the keyring has a key of
    the file, too.
    """
    if path == IN_MEMORY:
        raise InvalidKeyError("A cluster in memory ends with its program, and has no use for a keyring.")
    if credentials:
        await _check_keyring()
        engine = await open_file(credentials)
        try:
            if not engine.is_read_only:
                await engine.keys.enrol(load_key, store_key)
        except BaseException:
            await engine.close()
            raise
        return engine, None
    while True:
        cluster = await asyncio.to_thread(find_cluster_number, path)
        if cluster is not None:
            return await open_file(Credentials(await _loaded(path, cluster))), None
        if not creates:
            raise missing_file(path, NOT_CREATED)
        created = await _create(on_recovery_code, open_file)
        if created is not None:
            return created


async def _loaded(path: str, cluster: str) -> bytes:
    key = await asyncio.to_thread(load_key, cluster)
    if key is None:
        raise KeyRequiredError(
            f"The system's keyring has no key for {path!r}. Pass the recovery code, or another key of the file, "
            "as key= together with keyring=True: that opens it, and gives the keyring a new key of the file."
        )
    return key


async def _create(on_recovery_code: OnRecoveryCode | None, open_file: Open) -> Opened | None:
    """The new file; `None` where another process was first."""
    credentials = Credentials(Fernet.generate_key(), cluster=secrets.token_hex(16), recovery=Fernet.generate_key())
    cluster, key, recovery = credentials.cluster, credentials.key, credentials.recovery
    if cluster is None or key is None or recovery is None:
        raise AssertionError("all of them were just made")
    await _check_keyring()
    code = recovery_code(recovery)
    told = None if on_recovery_code is None else on_recovery_code(code)
    if inspect.isawaitable(told):
        await told
    await asyncio.to_thread(store_key, cluster, key)
    try:
        return await open_file(credentials), code
    except PoofError as error:
        with contextlib.suppress(KeyringError):
            await asyncio.to_thread(delete_key, cluster)
        if isinstance(error, WrongKeyError):
            return None
        raise


async def _check_keyring() -> None:
    """Raises where there is no keyring, before anything is opened, created or told."""
    await asyncio.to_thread(load_key, secrets.token_hex(16))
