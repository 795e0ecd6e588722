"""Where keys come from: a file, the variable POOF_KEY, the system's keyring, or a prompt that shows nothing.

A key is never an argument: other users of the machine can read those.
"""

import contextlib
import getpass
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from poof.cli.failures import CommandError, ExitCode
from poof.errors import InvalidKeyError, KeyringError
from poof.format.header import Header
from poof.keys.keyring import load_key
from poof.keys.slots import parse_key
from poof.new_files import write_new

VARIABLE = "POOF_KEY"


@dataclass(frozen=True, repr=False)
class Secret:
    """What opens a file: a key, or a password."""

    key: str | None = None
    password: str | None = None


def find_secret(path: str, header: Header | None, key_file: Path | None) -> Secret:
    """The key or password of a file with this header, from the first place that has one.

    Raises:
        CommandError: no place has one; or it is not a key, and the file takes no password.
    """
    kinds = _kinds(header)
    if key_file is not None:
        return read_secret(key_file, header)
    if text := os.environ.get(VARIABLE):
        return _understood(text, kinds)
    if header is not None and (key := _key_in_keyring(header.cluster)) is not None:
        return Secret(key=key)
    return _understood(ask(f"{' or '.join(kinds).capitalize()} for {path}: "), kinds)


def read_secret(path: Path, header: Header | None) -> Secret:
    """The key or password in a file, for a cluster with this header.

    Raises:
        CommandError: it is not a key, and the cluster takes no password.
    """
    return _understood(read_secret_file(path), _kinds(header))


def read_secret_file(path: Path) -> str:
    """The text of a key file, without the line break at its end."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CommandError(f"There is no key file {os.fspath(path)!r}.", ExitCode.KEY) from None
    except UnicodeDecodeError:
        raise CommandError(f"{os.fspath(path)!r} holds no key: it is not text.", ExitCode.KEY) from None
    return text.rstrip("\r\n")


def ask(prompt: str) -> str:
    """Asks in the terminal, also where stdin is a pipe, and shows nothing of the answer.

    Raises:
        CommandError: there is no terminal, or the answer is empty.
    """
    if not has_terminal():
        raise CommandError(
            f"There is no key: give --key-file, or set {VARIABLE}. There is no terminal to ask in.", ExitCode.KEY
        )
    answer = getpass.getpass(prompt)
    if not answer:
        raise CommandError("No key was given.", ExitCode.KEY)
    return answer


def ask_new_password(prompt: str) -> str:
    """Asks for a password, twice.

    Raises:
        CommandError: the two are not the same.
    """
    password = ask(prompt)
    if ask("The same again: ") != password:
        raise CommandError("The two passwords are not the same. Nothing was changed.", ExitCode.KEY)
    return password


def has_terminal() -> bool:
    """Whether there is somebody to ask."""
    if os.name == "nt":
        return sys.stdin.isatty()
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def is_interactive() -> bool:
    """Whether the command runs in a terminal, question and answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


@contextlib.contextmanager
def kept_key(path: Path) -> Iterator[str]:
    """A new key, written into a new file of the owner's; which goes again where the block fails."""
    key = Fernet.generate_key()
    write_new(os.fspath(path), key + b"\n")
    try:
        yield key.decode()
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _key_in_keyring(cluster: str) -> str | None:
    """The key of a cluster in the system's keyring; `None` too where there is no keyring that could be asked."""
    try:
        key = load_key(cluster)
    except KeyringError:
        return None
    return None if key is None else key.decode()


def _kinds(header: Header | None) -> list[str]:
    """What opens a file: a key, a password, or either."""
    return ["key"] if header is None else sorted({slot.kind for slot in header.slots})


def _understood(text: str, kinds: list[str]) -> Secret:
    try:
        return Secret(key=parse_key(text).decode())
    except InvalidKeyError:
        if "password" not in kinds:
            message = "This is not a key, which has 44 characters and ends in =; and the file opens with no password."
            raise CommandError(message, ExitCode.KEY) from None
        return Secret(password=text)
