"""Opening a cluster: the file is created, upgraded or unlocked, and its connections can be made.

It blocks, and is slow where a password is given: call it on a thread.
"""

import logging
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.fernet import Fernet

from poof.engines.sqlite.exchange import legacy
from poof.engines.sqlite.file import build, raw, unlock
from poof.engines.sqlite.file.unlock import RawFile, Unlocked
from poof.engines.sqlite.pages.state import MEMORY, MEMORY_BASE
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.engines.sqlite.turns.store import Settings, Store
from poof.errors import MissingFileError, ReadOnlyError
from poof.keys.credentials import Credentials
from poof.keys.user_keys import UserKeys
from poof.paths import NOT_CREATED, missing_file, real_path

_log = logging.getLogger("poof")

EXCLUSIVE_BASE = "unix-excl"
"""SQLite's VFS that locks a file for one process, whose connections share the index of the log in memory."""


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
    def raw_file(self) -> RawFile:
        """The file as it can be read past SQLite."""
        return RawFile(self.path, self.unlocked.data_key, self.base, self.user_keys)

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
    *,
    exclusive: bool,
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
    base = EXCLUSIVE_BASE if exclusive else ""
    unlocked = _unlock(path, credentials, settings, creates)
    if unlocked.previous is not None:
        _log.warning("A replacement of the data key of %r is under way, or was interrupted: rotate() ends it.", path)
    if settings.read_only and not os.access(Path(path).parent, os.W_OK) and not os.path.lexists(f"{path}-wal"):
        settings = replace(settings, immutable=True)
    user_keys = UserKeys(unlocked.user_key)
    first = Store(path, unlocked, settings, base=base, user_keys=user_keys, tuning=tuning)
    return OpenFile(path, unlocked, user_keys, settings, base, first, tuning)


def _unlock(path: str, credentials: Credentials, settings: Settings, creates: bool) -> Unlocked:
    while True:
        if not os.path.lexists(path):
            if settings.read_only or not creates:
                raise missing_file(path, NOT_CREATED)
            unlocked = unlock.new_header(credentials, Fernet.generate_key())
            if build.create(path, unlocked):
                return unlocked
            continue  # another process was first; with its file, this one needs the right key like any other
        raw.check_accessible(path)
        block = raw.read_header_block(path)
        if not raw.is_legacy(block):
            return unlock.unlock(block, credentials, path)
        if settings.read_only:
            raise ReadOnlyError(f"{path!r} is a file of PoofDB 0.x. Open it once without read_only to upgrade it.")
        legacy.upgrade(path, credentials, settings.timeout)


def _open_in_memory(credentials: Credentials, settings: Settings, tuning: Tuning) -> OpenFile:
    name = f"/poof-{secrets.token_hex(16)}"
    unlocked = unlock.new_header(credentials, Fernet.generate_key())
    with raw.kept_in_memory(name):
        build.build(name, unlocked, base=MEMORY_BASE)
        user_keys = UserKeys(unlocked.user_key)
        first = Store(name, unlocked, settings, base=MEMORY_BASE, waits=False, user_keys=user_keys, tuning=tuning)
    return OpenFile(name, unlocked, user_keys, settings, MEMORY_BASE, first, tuning)
