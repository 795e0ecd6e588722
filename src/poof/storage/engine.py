"""The engine: what collections, databases and clusters talk to. It knows documents as JSON text, and no SQLite.

Layer: storage; its facade.

Every call runs on the engine's one thread, in the order of the calls, so that neither the cryptography nor the disk
holds the event loop. Cancelling an awaiting task does not undo a call that has begun: it completes, whole.
"""

import asyncio
import logging
import os
import secrets
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from cryptography.fernet import Fernet

from poof.errors import AccessDeniedError, ClosedError, NotAPoofFileError, PoofError, StorageError
from poof.storage import files, legacy
from poof.storage.files import Credentials
from poof.storage.store import Store
from poof.storage.vfs import MEMORY, MEMORY_BASE

_P = ParamSpec("_P")
_R = TypeVar("_R")
_log = logging.getLogger("poof")


class Engine:
    """An open cluster, on a thread of its own."""

    def __init__(self, path: str, store: Store, executor: ThreadPoolExecutor) -> None:
        self.path = path
        self.user_key = store.user_key
        self._store = store
        self._executor = executor
        self._closing: Future[None] | None = None
        # A program may end, or drop the cluster, without closing it.
        self._abandon = weakref.finalize(self, _abandon, executor, store, os.getpid())

    @classmethod
    async def open(cls, path: str, credentials: Credentials, *, timeout: float, cache_mib: int) -> Self:
        """Opens a cluster, creates it where there is no file, upgrades it where the file is of PoofDB 0.x."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="poof")
        opening = executor.submit(_open_store, path, credentials, timeout, cache_mib)
        try:
            store = await asyncio.wrap_future(opening)
        except BaseException:
            # Also where this task was cancelled: the thread opens the store all the same, and nobody else closes it.
            opening.add_done_callback(_close_opened)
            executor.shutdown(wait=False)
            raise
        return cls(path, store, executor)

    def database(self, name: str) -> Awaitable[int]:
        return self._run(self._store.database, name)

    def collection(self, database_id: int, name: str) -> Awaitable[int]:
        return self._run(self._store.collection, database_id, name)

    def insert(self, collection_id: int, text: str) -> Awaitable[str]:
        return self._run(self._store.insert, collection_id, text)

    def find(self, collection_id: int, obj_id: str) -> Awaitable[dict[str, Any] | None]:
        return self._run(self._store.find, collection_id, obj_id)

    def find_all(self, collection_id: int) -> Awaitable[list[tuple[str, dict[str, Any]]]]:
        return self._run(self._store.find_all, collection_id)

    def replace(self, collection_id: int, obj_id: str, text: str) -> Awaitable[bool]:
        return self._run(self._store.replace, collection_id, obj_id, text)

    def delete(self, collection_id: int, obj_id: str) -> Awaitable[bool]:
        return self._run(self._store.delete, collection_id, obj_id)

    def save(self) -> Awaitable[None]:
        return self._run(self._store.save)

    def export_legacy(self, to: str) -> Awaitable[None]:
        return self._run(_export_legacy, self._store, to)

    async def close(self) -> None:
        """Waits for every call made before, then closes the file and ends the thread. May be called again."""
        if self._closing is None:
            self._abandon.detach()
            self._closing = self._executor.submit(self._store.close)
            self._executor.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(self._closing))

    @property
    def is_closed(self) -> bool:
        return self._closing is not None

    async def _run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        if self._closing is not None:
            raise ClosedError(f"The cluster {self.path!r} is closed. Open it again with PoofCluster.create().")
        return await asyncio.wrap_future(self._executor.submit(function, *args, **kwargs))


def _open_store(path: str, credentials: Credentials, timeout: float, cache_mib: int) -> Store:
    if path == MEMORY:
        return _open_in_memory(credentials, timeout, cache_mib)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise StorageError(f"{path!a} is not valid Unicode, and SQLite takes no other paths.") from None
    path = os.path.realpath(path)
    while True:
        if not os.path.lexists(path):
            unlocked = files.new_header(credentials, Fernet.generate_key())
            if not files.create(path, unlocked):
                continue  # another process was first; with its file, this one needs the right key like any other
        else:
            _check_accessible(path)
            block = files.read_header_block(path)
            if legacy.is_legacy(block):
                legacy.upgrade(path, credentials, timeout)
                continue
            unlocked = files.unlock(block, credentials, path)
        return Store(path, unlocked, timeout=timeout, cache_mib=cache_mib)


def _open_in_memory(credentials: Credentials, timeout: float, cache_mib: int) -> Store:
    name = f"/poof-{secrets.token_hex(16)}"
    unlocked = files.new_header(credentials, Fernet.generate_key())
    with files.kept_in_memory(name):
        files.build(name, unlocked, base=MEMORY_BASE)
        return Store(name, unlocked, timeout=timeout, cache_mib=cache_mib, base=MEMORY_BASE)


def _check_accessible(path: str) -> None:
    if not Path(path).is_file():
        raise NotAPoofFileError(f"{path!r} is not a file.")
    if not os.access(path, os.R_OK):
        raise AccessDeniedError(f"{path!r} cannot be read by this user. Check its permissions.")


def _export_legacy(store: Store, to: str) -> None:
    legacy.write_legacy(store.read_everything(), store.user_key, to)


def _close_opened(opening: Future[Store]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _abandon(executor: ThreadPoolExecutor, store: Store, process: int) -> None:
    """Closes the store of a cluster that was never closed, when it is collected or the interpreter ends."""
    if os.getpid() != process:
        return  # a fork of the process that owns the connection
    try:
        executor.submit(_close_quietly, store)
    except RuntimeError:  # the interpreter is ending and has joined the thread: the store is this thread's now
        _close_quietly(store)
    executor.shutdown(wait=False)


def _close_quietly(store: Store) -> None:
    try:
        store.close()
    except PoofError as error:
        _log.warning("A cluster that was not closed could not be closed at the end: %s", error)
