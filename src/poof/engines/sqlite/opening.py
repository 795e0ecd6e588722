"""Opening a cluster: the file is created, upgraded or unlocked, and its connections can be made.

Layer: storage. Blocks, and is slow where a password is given: for a thread.
"""

import logging
import os
import secrets
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cryptography.fernet import Fernet

from poof.engines.sqlite.exchange import legacy
from poof.engines.sqlite.file import build, raw, unlock
from poof.engines.sqlite.file.judged import check_opened, judge_closed, settle
from poof.engines.sqlite.file.unlock import Source, Unlocked
from poof.engines.sqlite.pages.state import MEMORY, MEMORY_BASE
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.store import Settings, Store
from poof.errors import LogMismatchError, MissingFileError, OlderFileError, PoofError, ReadOnlyError
from poof.format.logs import is_whole
from poof.format.receipts import Receipt
from poof.keys.credentials import Credentials
from poof.keys.user_keys import UserKeys
from poof.paths import NOT_CREATED, missing_file, real_path

_log = logging.getLogger("poof")

EXCLUSIVE_BASE = "unix-excl"
"""SQLite's VFS that locks a file for one process, whose connections share the index of the log in memory."""


@dataclass(frozen=True)
class OpeningOptions:
    """How a file is opened, beyond what its connections need."""

    exclusive: bool = False
    """Whether no other process may open it meanwhile."""
    at_least: str | None = None
    """A receipt that the file must not be older than."""
    without_log: bool = False
    """Whether a log that is missing is given up, where the file is whole without it."""


DEFAULT_OPTIONS = OpeningOptions()


@dataclass(frozen=True, repr=False)
class OpenFile:
    """An open cluster file: how to make connections to it, and the first of them."""

    path: str
    unlocked: Unlocked
    user_keys: UserKeys
    settings: Settings
    base: str
    first: Store
    tuning: Tuning = DEFAULT

    @property
    def is_in_memory(self) -> bool:
        """Whether the file is in memory, where every connection but the first reads one state only."""
        return self.base == MEMORY_BASE

    @property
    def source(self) -> Source:
        """The file as it can be read past SQLite."""
        return Source(self.path, self.unlocked.key, self.base, self.user_keys)

    @property
    def shares_reads(self) -> bool:
        """Whether the log has an index in a file, which tells of commits; and locks, which cost a read."""
        return not (self.base or self.settings.read_only)

    def connect(self, *, waits: bool = True) -> Store:
        """One more connection."""
        settings, committed = self.settings, None
        if self.is_in_memory:
            settings = replace(settings, read_only=True, immutable=True)
            committed = self.first.committed()
        return Store(
            self.path,
            self.unlocked,
            settings,
            base=self.base,
            waits=waits,
            committed=committed,
            user_keys=self.user_keys,
            tuning=self.tuning,
        )


def open_file(
    path: str,
    credentials: Credentials,
    settings: Settings,
    options: OpeningOptions = DEFAULT_OPTIONS,
    *,
    creates: bool,
    tuning: Tuning = DEFAULT,
) -> OpenFile:
    """Opens a cluster file, upgrades it where it is of PoofDB 0.x; where there is none, `creates` it.

    Raises:
        MissingFileError: there is none, and none is to be created.
    """
    if path == MEMORY:
        if not creates:
            raise MissingFileError("A cluster in memory is always new: PoofCluster.create() creates it.")
        return _open_in_memory(credentials, settings, tuning)
    path = real_path(path)
    base = EXCLUSIVE_BASE if options.exclusive else ""
    at_least = None if options.at_least is None else Receipt.decode(options.at_least)
    unlocked = _unlock(path, credentials, settings, at_least, creates=creates and at_least is None)
    if unlocked.previous is not None:
        _log.warning("A replacement of the data key of %r is under way, or was interrupted: rotate() ends it.", path)
    if settings.read_only and not os.access(Path(path).parent, os.W_OK) and not os.path.lexists(f"{path}-wal"):
        settings = replace(settings, immutable=True)
    if options.without_log and not settings.read_only:
        settle(path, unlocked, settings.timeout, base)
    judge_closed(path, unlocked, base)
    user_keys = UserKeys(unlocked.user_key)
    check = partial(check_opened, at_least=at_least)
    try:
        first = Store(path, unlocked, settings, base=base, user_keys=user_keys, check=check, tuning=tuning)
    except PoofError:
        raw.tidy(path)
        raise
    return OpenFile(path, unlocked, user_keys, settings, base, first, tuning)


def _unlock(
    path: str, credentials: Credentials, settings: Settings, at_least: Receipt | None, *, creates: bool
) -> Unlocked:
    while True:
        if not os.path.lexists(path):
            if settings.read_only or not creates:
                raise missing_file(path, NOT_CREATED)
            unlocked = unlock.new_header(credentials, Fernet.generate_key())
            _check_alone(path)
            if build.create(path, unlocked):
                return unlocked
            continue  # another process was first; with its file, this one needs the right key like any other
        raw.check_accessible(path)
        block = raw.read_header_block(path)
        if not raw.is_legacy(block):
            return unlock.unlock(block, credentials, path)
        if at_least is not None:
            raise OlderFileError(f"{path!r} is a file of PoofDB 0.x, older than at_least= says. Nothing was changed.")
        if settings.read_only:
            raise ReadOnlyError(f"{path!r} is a file of PoofDB 0.x. Open it once without read_only to upgrade it.")
        legacy.upgrade(path, credentials, settings.timeout)


def _check_alone(path: str) -> None:
    """Refuses to make a file beside a log: with that, its own file would be lost for good.

    Raises:
        LogMismatchError: there is one.
    """
    if is_whole(raw.read_log_start(path)):
        raise LogMismatchError(
            f"the log {path + '-wal'!r} is there, and the file to which it belongs is not. Nothing was changed. Put "
            "the file back; or move the log elsewhere, to create a new file."
        )


def _open_in_memory(credentials: Credentials, settings: Settings, tuning: Tuning) -> OpenFile:
    name = f"/poof-{secrets.token_hex(16)}"
    unlocked = unlock.new_header(credentials, Fernet.generate_key())
    with raw.kept_in_memory(name):
        build.build(name, unlocked, base=MEMORY_BASE)
        user_keys = UserKeys(unlocked.user_key)
        first = Store(name, unlocked, settings, base=MEMORY_BASE, waits=False, user_keys=user_keys, tuning=tuning)
    return OpenFile(name, unlocked, user_keys, settings, MEMORY_BASE, first, tuning)
