"""New files: whole and synced under their name, or not there at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from poof.errors import (
    AccessDeniedError,
    MissingFolderError,
    ReadOnlyError,
    StorageError,
)
from poof.paths import real_path
from poof.system_errors import os_error, system_translated

OWNER_ONLY = 0o600
_EXISTS = "{!r} exists and was left as it is. Choose another name."


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
