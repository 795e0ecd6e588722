"""Cluster files as a whole: building a new one, putting it in place, reading and unlocking the header.

Layer: storage.

Invariants:
- A file appears under its name complete and synced, or not at all: it is built under another name beside its place.
- A cluster file is never opened past SQLite's VFS: POSIX drops all locks that a process holds on a file when the
  process closes any descriptor of it, so an `open()` here would unlock a database that is in use.
"""

import contextlib
import os
import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from poof.errors import (
    AccessDeniedError,
    BusyError,
    KeyRequiredError,
    MissingFolderError,
    NotAPoofFileError,
    ReadOnlyError,
    StorageError,
)
from poof.format import trust
from poof.format.header import FORMAT, Header, encode_block
from poof.format.layout import HEADER_BLOCK_SIZE
from poof.format.trust import DataKeys, TrustedHeader, readable_copies
from poof.keys.slots import generate_data_key, key_slot, password_slot
from poof.storage.connections import ClusterConnection, opened, prepare_new
from poof.storage.faults import os_error, system_translated, translated
from poof.storage.paths import real_path
from poof.storage.state import MEMORY_BASE, ClusterState

LEGACY_START = b"gAAAA"
"""Of a file of PoofDB 0.x: base64 of the Fernet version and the first bytes of a timestamp before the year 2106."""
OWNER_ONLY = 0o600
_LOCK_PAUSE = 0.02
"""Seconds between tries to lock a file, at most."""
_EXISTS = "{!r} exists and was left as it is. Choose another name."
KEYRING_LABEL = "keyring"
RECOVERY_LABEL = "recovery"
"""Of the slots of a file whose key a keyring keeps."""


@dataclass(frozen=True, repr=False)
class Credentials:
    """What the user gave to open the file: a key in its 44-character form, or a password, or neither."""

    key: bytes | None = None
    password: str | None = None
    cluster: str | None = None
    """The number of the cluster, should it be new."""
    recovery: bytes | None = None
    """One more key for it, should it be new; then the other one is a keyring's."""

    def __bool__(self) -> bool:
        return self.key is not None or self.password is not None


@dataclass(frozen=True, repr=False)
class Unlocked:
    """A header that authenticated, the data key under which it did, and the user key that opened its slot."""

    header: Header
    data_key: bytes
    user_key: bytes
    previous: bytes | None = None
    """The previous data key, while it is being replaced."""

    @property
    def keys(self) -> DataKeys:
        """The data keys under which pages are sealed."""
        return DataKeys(self.data_key, self.previous)


@dataclass(frozen=True, repr=False)
class Source:
    """A cluster file that can be read past SQLite: what SQLite calls it, under which VFS, and what opens it."""

    path: str
    data_key: bytes
    base: str = ""
    user_keys: Iterable[bytes] = ()
    """What may lead to a new data key."""


Populate = Callable[[ClusterConnection], None]


def new_header(credentials: Credentials, generated_key: bytes) -> Unlocked:
    """The header of a new cluster, with a slot for the user's key or password or, without them, for a new key."""
    data_key = generate_data_key()
    label = KEYRING_LABEL if credentials.recovery is not None else ""
    if credentials.password is not None:
        slot, user_key = password_slot(data_key, credentials.password)
    else:
        user_key = credentials.key or generated_key
        slot = key_slot(data_key, user_key, label=label)
    slots = [slot]
    if credentials.recovery is not None:
        while (spare := key_slot(data_key, credentials.recovery, label=RECOVERY_LABEL)).id == slot.id:
            pass
        slots.append(spare)
    cluster = credentials.cluster or secrets.token_hex(16)
    return Unlocked(Header(format=FORMAT, cluster=cluster, generation=1, slots=tuple(slots)), data_key, user_key)


@contextlib.contextmanager
def raw_file(path: str, flags: int, base: str = "", label: str | None = None) -> Iterator[apsw.VFSFile]:
    """A file of the base VFS, with all its bytes as they are."""
    with translated(label or path):
        file = apsw.VFSFile(base, path, [apsw.SQLITE_OPEN_MAIN_DB | flags, 0])
        try:
            yield file
        finally:
            file.xClose()


@contextlib.contextmanager
def kept_in_memory(name: str) -> Iterator[None]:
    """Keeps a file of the memory VFS for the length of the block, while its connections come and go."""
    with raw_file(name, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, MEMORY_BASE):
        yield


def read_header_block(path: str, base: str = "", label: str | None = None) -> bytes:
    """The first 8192 bytes of a file, fewer where it is shorter."""
    with raw_file(path, apsw.SQLITE_OPEN_READONLY, base, label) as file:
        return file.xRead(HEADER_BLOCK_SIZE, 0)


def read_cluster_number(path: str) -> str | None:
    """The number of the cluster in a file, which is in the clear; `None` where there is no file.

    Raises:
        KeyRequiredError: the file is one of PoofDB 0.x, which has none.
        NotAPoofFileError, NewerFormatError, DamagedHeaderError, AccessDeniedError: the file has no readable header.
    """
    path = real_path(path)
    if not os.path.lexists(path):
        return None
    check_accessible(path)
    block = read_header_block(path)
    if is_legacy(block):
        raise KeyRequiredError(f"{path!r} is a file of PoofDB 0.x: pass its key= as well, to upgrade it.")
    return readable_copies(block, path)[0].header.cluster


def is_legacy(start: bytes) -> bool:
    """Whether a file that starts like this is one of PoofDB 0.x."""
    return start.startswith(LEGACY_START)


@contextlib.contextmanager
def locked(file: apsw.VFSFile, busy: str, timeout: float = 0.0, *, exclusive: bool = True) -> Iterator[None]:
    """Holds SQLite's lock on a file for the length of the block, so that no program opens it meanwhile.

    Without `exclusive`, others may still read.

    Raises:
        BusyError: another program holds it for longer than `timeout` seconds; `busy` is the text.
    """
    deadline = time.monotonic() + timeout
    while not _try_lock(file, exclusive):
        if time.monotonic() >= deadline:
            raise BusyError(busy)
        time.sleep(random.uniform(0, _LOCK_PAUSE))  # noqa: S311 - two that wait must not stay in step
    try:
        yield
    finally:
        file.xUnlock(apsw.SQLITE_LOCK_NONE)


def _try_lock(file: apsw.VFSFile, exclusive: bool) -> bool:
    try:
        file.xLock(apsw.SQLITE_LOCK_SHARED)
        if exclusive:
            file.xLock(apsw.SQLITE_LOCK_EXCLUSIVE)
    except apsw.BusyError:
        file.xUnlock(apsw.SQLITE_LOCK_NONE)
        return False
    return True


def check_accessible(path: str) -> None:
    """Raises where there is no file to be read."""
    if not Path(path).is_file():
        raise NotAPoofFileError(f"{path!r} is not a file.")
    if not os.access(path, os.R_OK):
        raise AccessDeniedError(f"{path!r} cannot be read by this user. Check its permissions.")


def unlock(block: bytes, credentials: Credentials, path: str) -> Unlocked:
    """Opens the header with the user's key or password. Slow where a password is given.

    Raises:
        NotAPoofFileError, NewerFormatError, DamagedHeaderError: the block holds no header of this format.
        KeyRequiredError: there is no key, or only a password where no slot takes one.
        WrongKeyError: no slot opens.
    """
    header, user_key = trust.unlock(block, credentials.key, credentials.password, path)
    return Unlocked(header.header, header.keys.current, user_key, header.keys.previous)


def newest_header(source: Source, label: str | None = None) -> TrustedHeader:
    """The header of a cluster file as it is now, which others may have changed since it was opened.

    Errors call the file by its label.

    Raises:
        KeyReplacedError: the data key was replaced, and no key is known that leads to the new one.
        DamagedHeaderError: no copy of it is readable.
    """
    block = read_header_block(source.path, source.base, label)
    return trust.newest(block, source.data_key, source.user_keys, label or source.path)


def build(
    path: str,
    unlocked: Unlocked,
    *,
    base: str = "",
    label: str | None = None,
    prepare: Populate = prepare_new,
    populate: Populate | None = None,
) -> None:
    """Writes a complete new cluster file under a path that nobody else uses yet; errors call it by its label.

    `prepare` makes an empty file a cluster, `populate` fills that.
    """
    with raw_file(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, base, label) as file:
        file.xWrite(encode_block(unlocked.header, unlocked.data_key), 0)
    with opened(ClusterState(path, DataKeys(unlocked.data_key), base, label), new=True) as connection:
        prepare(connection)
        if populate is not None:
            populate(connection)


@contextlib.contextmanager
def built_beside(
    path: str,
    unlocked: Unlocked,
    *,
    prepare: Populate = prepare_new,
    populate: Populate | None = None,
    may_exist: bool = False,
) -> Iterator["NewFile"]:
    """A complete new cluster file that has no name yet; it is removed unless the block gives it one.

    Raises:
        StorageError: there is a file of this name already, unless it `may_exist` for now.
    """
    with new_file(path, may_exist=may_exist) as file:
        build(file.temporary, unlocked, label=path, prepare=prepare, populate=populate)
        file.sync()
        yield file


def create(path: str, unlocked: Unlocked) -> bool:
    """Creates a new cluster file; `False` where another process was first, whose file was left as it is."""
    with built_beside(path, unlocked, may_exist=True) as file:
        return file.try_to_place()


def path_of_new(to: str) -> str:
    """The whole path of a file that is to be made, and is not there yet.

    Raises:
        StorageError: it is there.
        InvalidPathError: SQLite does not take the name.
    """
    if os.path.lexists(to):
        raise StorageError(_EXISTS.format(to))
    return real_path(to)


class NewFile:
    """A file that appears under its name whole and synced, or not at all.

    It is written under a temporary name beside its place, and readable by its owner only.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.temporary = ""

    def begin(self, *, may_exist: bool = False) -> None:
        """Creates the temporary file, empty.

        Raises:
            StorageError: there is a file of this name already, unless it `may_exist` for now.
        """
        if not may_exist and (os.path.lexists(self.path) or not Path(self.path).name):
            raise StorageError(_EXISTS.format(self.path))
        temporary = str(Path(self.path).with_name(f".poof-{secrets.token_hex(8)}.new"))
        _create_private(temporary, self.path)
        self.temporary = temporary

    def sync(self) -> None:
        """Makes what was written survive power loss."""
        with system_translated(self.path):
            sync(self.temporary)

    def place(self) -> None:
        """Gives the file its name.

        Raises:
            StorageError: there is a file of this name by now.
        """
        if not self.try_to_place():
            raise StorageError(_EXISTS.format(self.path))

    def try_to_place(self) -> bool:
        """Gives the file its name; `False` where there is a file of this name by now, which is left as it is."""
        try:
            _move_without_replacing(self.temporary, self.path)
        except FileExistsError:
            return False
        sync_folder(self.path)
        return True

    def replace(self) -> None:
        """Gives the file its name, in the place of the file that has it."""
        with system_translated(self.path):
            Path(self.temporary).replace(self.path)
        sync_folder(self.path)

    def discard(self) -> None:
        """Removes the temporary file, and what SQLite put beside it, if they are still there."""
        for leftover in (self.temporary, f"{self.temporary}-wal", f"{self.temporary}-shm"):
            if self.temporary:
                with contextlib.suppress(OSError):
                    Path(leftover).unlink(missing_ok=True)


@contextlib.contextmanager
def new_file(path: str, *, may_exist: bool = False) -> Iterator[NewFile]:
    """A new file for the length of the block, which writes it and gives it its name; else it is removed."""
    file = NewFile(path)
    try:
        file.begin(may_exist=may_exist)
        yield file
    finally:
        file.discard()


def write_new(path: str, content: bytes) -> None:
    """Writes a file that is readable by its owner only, whole and synced, or not at all.

    Raises:
        StorageError: there is a file of this name, or the system cannot write it.
    """
    with new_file(path) as file:
        with system_translated(path):
            Path(file.temporary).write_bytes(content)
        file.sync()
        file.place()


def sync(path: str) -> None:
    """Makes the content of a file that SQLite does not have open survive power loss."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: str) -> None:
    """Makes the names of files beside this one survive power loss, where the system can."""
    if os.name == "nt":
        return
    with system_translated(path):
        descriptor = os.open(Path(path).parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _create_private(temporary: str, path: str) -> None:
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(f"{path}-wal")  # the longest name that will be needed
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, OWNER_ONLY))
    except FileNotFoundError:
        raise MissingFolderError(f"The folder of {path!r} does not exist. Create it first.") from None
    except PermissionError:
        raise ReadOnlyError(f"The folder of {path!r} cannot be written by this user. Nothing was changed.") from None
    except NotADirectoryError:
        raise AccessDeniedError(f"{path!r} does not lie in a folder.") from None
    except OSError as error:
        raise os_error(error, path) from error


def _move_without_replacing(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links. Windows refuses to rename over a file; elsewhere there is no call that does.
        if os.name != "nt" and os.path.lexists(target):
            raise FileExistsError(target) from None
        try:
            Path(source).rename(target)
        except FileExistsError:
            raise
        except OSError as error:
            raise os_error(error, target) from error
