"""Paths of files, as text that the system takes."""

import os
from pathlib import Path

from poof.errors import AccessDeniedError, InvalidPathError, MissingFileError, MissingFolderError, PoofError
from poof.raising import raise_alone


def path_text(path: str | os.PathLike[str]) -> str:
    """A path as text.

    Raises:
        InvalidPathError: no file can have it.
    """
    text = os.fsdecode(path)
    if "\0" in text:
        raise InvalidPathError(f"{text!r} has a null character, and no path has one. No file was touched.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise_alone(_not_unicode(text))
    return text


def real_path(path: str) -> str:
    """The whole path of a file, in a form that SQLite takes.

    Raises:
        InvalidPathError: it is not valid Unicode.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise_alone(_not_unicode(path))
    return os.path.realpath(path)


def missing_file(path: str, advice: str = "") -> PoofError:
    """The error about a file that is not there and is not to be created."""
    folder = Path(path).parent
    if folder.is_dir() and not os.access(folder, os.X_OK):
        return AccessDeniedError(f"The folder of {path!r} is closed to this user. Check its permissions.")
    if not folder.is_dir():
        return MissingFolderError(f"The folder of {path!r} does not exist, so there is no file to open.")
    return MissingFileError(f"There is no file {path!r}.{advice}")


NOT_CREATED = " None was created: PoofCluster.create() creates one."
"""Advice to who opened it."""


def _not_unicode(path: str) -> InvalidPathError:
    return InvalidPathError(f"{path!a} is not valid Unicode, and SQLite takes no other paths. No file was touched.")
