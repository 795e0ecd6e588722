"""Opening the header of a file with what the user gave."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from poof.engines.sqlite.file.raw import read_header_block
from poof.format import trust
from poof.format.header import FORMAT, Header, copies_in
from poof.format.subkeys import FILE_NUMBER_SIZE, DataKeys, FileKey
from poof.format.trust import TrustedHeader
from poof.keys.credentials import Credentials
from poof.keys.slots import DataKey, key_slot, password_slot

KEYRING_LABEL = "keyring"
RECOVERY_LABEL = "recovery"
"""Of the slots of a file whose key a keyring keeps."""


@dataclass(frozen=True, repr=False)
class Unlocked:
    """A header that authenticated, and the user key that opened its slot."""

    trusted: TrustedHeader
    user_key: bytes
    copies: Sequence[bytes] = ()
    """The bytes of its two copies, as they were read."""

    @property
    def header(self) -> Header:
        """The header."""
        return self.trusted.header

    @property
    def keys(self) -> DataKeys:
        """The data keys under which pages are sealed."""
        return self.trusted.keys

    @property
    def key(self) -> FileKey:
        """The data key."""
        return self.trusted.keys.current

    @property
    def previous(self) -> FileKey | None:
        """The previous data key, while it is being replaced."""
        return self.trusted.keys.previous


@dataclass(frozen=True, repr=False)
class Source:
    """A cluster file that can be read past SQLite: what SQLite calls it, under which VFS, and what opens it."""

    path: str
    key: FileKey
    base: str = ""
    user_keys: Iterable[bytes] = ()
    """What may lead to a new data key."""


def new_header(credentials: Credentials, generated_key: bytes) -> Unlocked:
    """The header of a new cluster, with a slot for the user's key or password or, without them, for a new key."""
    data_key = DataKey.generate()
    cluster = credentials.cluster or secrets.token_hex(16)
    label = KEYRING_LABEL if credentials.recovery is not None else ""
    if credentials.password is not None:
        slot, user_key = password_slot(cluster, data_key, credentials.password)
    else:
        user_key = credentials.key or generated_key
        slot = key_slot(cluster, data_key, user_key, label=label)
    slots = [slot]
    if credentials.recovery is not None:
        while (spare := key_slot(cluster, data_key, credentials.recovery, label=RECOVERY_LABEL)).id == slot.id:
            pass
        slots.append(spare)
    header = Header(
        format=FORMAT,
        cluster=cluster,
        file=secrets.token_hex(FILE_NUMBER_SIZE),
        generation=1,
        rotations=0,
        slots=tuple(slots),
    )
    return new_unlocked(header, data_key, user_key)


def header_of_copy(of: TrustedHeader) -> Unlocked:
    """The header of a copy of a file, with the same slots and data key, and a number of its own."""
    header = of.header.model_copy(
        update={"file": secrets.token_hex(FILE_NUMBER_SIZE), "generation": 1, "previous": None}
    )
    return new_unlocked(header, of.keys.current.data_key, b"")


def new_unlocked(header: Header, data_key: DataKey, user_key: bytes) -> Unlocked:
    """A header that is about to be written into a new file."""
    trusted, copy = trust.written(header, DataKeys(header.key(data_key)))
    return Unlocked(trusted, user_key, (copy, copy))


def unlock(block: bytes, credentials: Credentials, path: str) -> Unlocked:
    """Opens the header with the user's key or password. Slow where a password is given.

    Raises:
        NotAPoofFileError, NewerFormatError, DamagedHeaderError: the block holds no header of this format.
        KeyRequiredError: there is no key, or only a password where no slot takes one.
        WrongKeyError: no slot opens.
    """
    trusted, user_key = trust.unlock(block, credentials.key, credentials.password, path)
    return Unlocked(trusted, user_key, copies_in(block))


def newest_header(source: Source, label: str | None = None) -> TrustedHeader:
    """The header of a cluster file as it is now, which others may have changed since it was opened.

    Errors call the file by its label.

    Raises:
        KeyReplacedError: the data key was replaced, and no key is known that leads to the new one.
        DamagedHeaderError: no copy of it is readable.
    """
    block = read_header_block(source.path, source.base, label)
    return trust.newest(block, source.key, source.user_keys, label or source.path)
