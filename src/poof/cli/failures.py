"""What went wrong, as one line and an exit code.

Pure. The codes are documented in `docs/cli.md`.
"""

import traceback
from enum import IntEnum
from pathlib import Path

from poof.errors import (
    BusyError,
    DecryptionError,
    FileFormatError,
    GoneError,
    InvalidDocumentError,
    InvalidKeyError,
    InvalidNameError,
    InvalidQueryError,
    KeyReplacedError,
    KeyRequiredError,
    KeyringError,
    PoofError,
    WrongKeyError,
)

EXTRA = {"typer", "rich", "prompt_toolkit"}
"""The packages of the extra `cli`."""

ADVICE = {
    ", or pass a longer timeout= to create()": "",
    "Pass them as keys= and passwords=, or remove_others=True to remove their slots.": (
        "Give a file with each as --keep, or --remove-others to remove them."
    ),
}
"""What errors of the library advise a programmer to do, and what stands for it here."""


class ExitCode(IntEnum):
    """How the command ended."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    KEY = 3
    NOT_FOUND = 4
    DAMAGED = 5
    BUSY = 6
    SYSTEM = 7
    INTERRUPTED = 130
    """128 and the number of SIGINT, as shells count."""
    PIPE = 141
    """128 and the number of SIGPIPE."""


class CommandError(Exception):
    """The command cannot go on; the text says why."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


class PipeClosedError(Exception):
    """Who read the output reads no more."""


CODES: tuple[tuple[tuple[type[BaseException], ...], ExitCode], ...] = (
    ((WrongKeyError, InvalidKeyError, KeyRequiredError, KeyringError, KeyReplacedError), ExitCode.KEY),
    ((DecryptionError, FileFormatError), ExitCode.DAMAGED),
    ((InvalidQueryError, InvalidDocumentError, InvalidNameError), ExitCode.USAGE),
    ((GoneError,), ExitCode.NOT_FOUND),
    ((BusyError,), ExitCode.BUSY),
    ((OSError,), ExitCode.SYSTEM),
)
"""The first that fits."""


def exit_code(error: Exception) -> ExitCode:
    """The exit code that an error stands for."""
    if isinstance(error, CommandError):
        return error.code
    return next((code for classes, code in CODES if isinstance(error, classes)), ExitCode.FAILED)


def describe(error: Exception) -> str:
    """An error in one line. Of one that nobody expected, where it came up, and none of its text: it may hold data."""
    if isinstance(error, PoofError | CommandError):
        text = one_line(str(error))
        for advice, here in ADVICE.items():
            text = text.replace(advice, here)
        return text
    if isinstance(error, OSError):
        return one_line(": ".join(str(part) for part in (error.filename, error.strerror) if part))
    if isinstance(error, ModuleNotFoundError) and error.name is not None and error.name.split(".")[0] in EXTRA:
        return "this needs an extra. Install it with: python -m pip install 'poofdb[cli]'"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"an error that should not be: {type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"


def one_line(text: str) -> str:
    """A text without its line breaks."""
    return " ".join(text.split())
