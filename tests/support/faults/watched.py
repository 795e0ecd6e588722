"""SQLite's own VFS with somebody watching: every call of ours that reaches a file can be noted, failed or died in.

It is SQLite's default while it is in use, and so lies below ours in everything that a cluster does, from the building
of a new file on. What PoofDB asks of the operating system itself is watched too.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import apsw

SYSTEM_CALLS = ("open", "fsync", "link", "unlink", "rename", "replace")


class Call(NamedTuple):
    """What is about to happen to a file."""

    name: str
    """Of SQLite's method, or of Python's function."""
    path: str
    args: tuple[Any, ...] = ()


Watcher = Callable[[Call, Callable[[], Any]], Any]
"""Gets each call, and a function that makes it and returns what it returns."""


class _WatchedVFS(apsw.VFS):
    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.name = f"watched-{secrets.token_hex(4)}"
        self.below = next(name for name in apsw.vfs_names() if not name.startswith(("poof-", "watched-")))
        super().__init__(self.name, self.below, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        call = Call("xOpen", path, (flags[0],))
        return self.watcher(call, lambda: _WatchedFile(self, path, name, flags))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.watcher(Call("xDelete", filename, (syncdir,)), lambda: super(_WatchedVFS, self).xDelete(filename, syncdir))

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return bool(self.watcher(Call("xAccess", pathname), lambda: super(_WatchedVFS, self).xAccess(pathname, flags)))


class _WatchedFile(apsw.VFSFile):
    def __init__(self, vfs: _WatchedVFS, path: str, name: Any, flags: list[int]) -> None:
        self._watcher = vfs.watcher
        self._path = path
        super().__init__(vfs.below, name, flags)

    def _watch(self, name: str, *args: Any) -> Any:
        return self._watcher(Call(name, self._path, args), lambda: getattr(super(_WatchedFile, self), name)(*args))

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._watch("xRead", amount, offset))

    def xWrite(self, data: bytes | memoryview, offset: int) -> None:  # noqa: N802
        self._watch("xWrite", bytes(data), offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._watch("xTruncate", newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._watch("xSync", flags)

    def xFileSize(self) -> int:  # noqa: N802
        return int(self._watch("xFileSize"))

    def xLock(self, level: int) -> None:  # noqa: N802
        self._watch("xLock", level)

    def xUnlock(self, level: int) -> None:  # noqa: N802
        self._watch("xUnlock", level)


@contextlib.contextmanager
def watched(watcher: Watcher, folder: str) -> Iterator[None]:
    """Watches every file of a folder while the block runs."""
    vfs = _WatchedVFS(watcher)
    opened: dict[int, str] = {}
    originals = {name: getattr(os, name) for name in SYSTEM_CALLS}

    def wrapper(name: str) -> Callable[..., Any]:
        original = originals[name]

        def call(target: Any, *args: Any, **options: Any) -> Any:
            # A sync by SQLite's own descriptor is not seen: it only helps the real one, which SQLite makes.
            path = opened.get(target) if name == "fsync" else os.fsdecode(target)
            if path is None or not path.startswith(folder):
                return original(target, *args, **options)
            result = watcher(Call(name, path, args), lambda: original(target, *args, **options))
            if name == "open":
                opened[result] = path
            return result

        return call

    def close(fd: int) -> None:
        opened.pop(fd, None)
        original_close(fd)

    original_close = os.close
    for name in SYSTEM_CALLS:
        setattr(os, name, wrapper(name))
    os.close = close
    try:
        yield
    finally:
        os.close = original_close
        for name, original in originals.items():
            setattr(os, name, original)
        apsw.set_default_vfs(vfs.below)  # else the next in SQLite's list would be, which may be one of ours
        vfs.unregister()
