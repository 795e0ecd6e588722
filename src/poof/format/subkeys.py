"""The keys that a data key gives one file, each for one purpose.

Layer: format; pure.

Invariant: the data key itself encrypts nothing. Its subkeys depend on the number of the file, so that no page, header
or log of one copy of a file opens in another.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from poof.keys.kdf import derive_subkey
from poof.keys.slots import DataKey

FILE_NUMBER_SIZE = 16
LOG_ID_SIZE = 16
FRAME_KEYS_SIZE = 48


@dataclass(frozen=True, repr=False)
class FileKey:
    """A data key, as the file of one number uses it."""

    data_key: DataKey
    file: bytes

    @cached_property
    def page(self) -> bytes:
        """Of pages: a Fernet key."""
        return self._derive(b"poof 1 page")

    @cached_property
    def header(self) -> bytes:
        """Of the MAC of the header."""
        return self._derive(b"poof 1 header")

    @cached_property
    def state(self) -> bytes:
        """Of the MACs of state records."""
        return self._derive(b"poof 1 state")

    @cached_property
    def log(self) -> bytes:
        """Of the MAC of the log's header."""
        return self._derive(b"poof 1 log")

    @cached_property
    def previous(self) -> bytes:
        """Of the data key before: a Fernet key."""
        return self._derive(b"poof 1 previous")

    def frames(self, log_id: bytes) -> bytes:
        """Of the frames of one log: a key for MACs of 32 bytes, and one for AES of 16."""
        return derive_subkey(self.data_key.secret, self.file, b"poof 1 frame" + log_id, FRAME_KEYS_SIZE)

    def _derive(self, info: bytes) -> bytes:
        return derive_subkey(self.data_key.secret, self.file, info)


@dataclass(frozen=True, repr=False)
class DataKeys:
    """The data key of a file and, while it is being replaced, the previous one: pages may still be sealed with that."""

    current: FileKey
    previous: FileKey | None = None

    def __iter__(self) -> Iterator[FileKey]:
        yield self.current
        if self.previous is not None:
            yield self.previous
