"""Opening the header of a file with what the user gave."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from poof.engines.sqlite.file.raw import read_header_block
from poof.format import trust
from poof.format.header import FORMAT, Header
from poof.format.trust import DataKeys, TrustedHeader
from poof.keys.credentials import Credentials
from poof.keys.slots import generate_data_key, key_slot, password_slot

KEYRING_LABEL = "keyring"
RECOVERY_LABEL = "recovery"
"""Of the slots of a file whose key a keyring keeps."""


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
class RawFile:
    """A cluster file that can be read past SQLite: what SQLite calls it, under which VFS, and what opens it."""

    path: str
    data_key: bytes
    base: str = ""
    user_keys: Iterable[bytes] = ()
    """What may lead to a new data key."""


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


def unlock(block: bytes, credentials: Credentials, path: str) -> Unlocked:
    """Opens the header with the user's key or password. Slow where a password is given.

    Raises:
        NotAPoofFileError, NewerFormatError, DamagedHeaderError: the block holds no header of this format.
        KeyRequiredError: there is no key, or only a password where no slot takes one.
        WrongKeyError: no slot opens.
    """
    header, user_key = trust.unlock(block, credentials.key, credentials.password, path)
    return Unlocked(header.header, header.keys.current, user_key, header.keys.previous)


def newest_header(raw_file: RawFile, label: str | None = None) -> TrustedHeader:
    """The header of a cluster file as it is now, which others may have changed since it was opened.

    Errors call the file by its label.

    Raises:
        KeyReplacedError: the data key was replaced, and no key is known that leads to the new one.
        DamagedHeaderError: no copy of it is readable.
    """
    block = read_header_block(raw_file.path, raw_file.base, label)
    return trust.newest(block, raw_file.data_key, raw_file.user_keys, label or raw_file.path)
