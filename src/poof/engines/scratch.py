"""Room for what does not fit into memory: sealed, appended to, and gone with the process.

The file has no name from the moment it is made, so that the system takes its room back however the process ends; where
a system cannot do that, it deletes the file with the last handle. Each block is sealed under a key that is kept nowhere
but in this process, and bound to its place.
"""

import errno
import struct
import tempfile
from types import TracebackType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poof.errors import DamagedFileError, DiskFullError, StorageError
from poof.raising import raise_alone

MAX_BLOCK = 16 * 1024 * 1024
"""Bytes of one block."""

_LENGTH = struct.Struct(">I")
_KEY_BITS = 256
_NONCE_SIZE = 12
_OVERHEAD = _NONCE_SIZE + 16
"""Bytes of nonce and tag of a block."""


class SealedScratch:
    """What `contract.Scratch` asks for, in a file without a name."""

    def __init__(self, folder: str | None = None) -> None:
        """`folder`: where the file is made; by default where the system keeps temporary files."""
        self._cipher = AESGCM(AESGCM.generate_key(_KEY_BITS))
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `close` is for that
        except OSError as error:
            raise StorageError(f"No temporary file can be made: {error.strerror}.") from None
        self._end = 0
        self._blocks = 0

    def append(self, block: bytes) -> int:
        """Writes a block. Returns its place.

        Raises:
            ValueError: the block is larger than 16 MiB.
            DiskFullError, StorageError: it cannot be written.
        """
        if len(block) > MAX_BLOCK:
            raise ValueError(f"A block of {len(block):,} bytes is larger than {MAX_BLOCK:,}")
        place = self._end
        # Counted, and not the place: a block that could not be written is written again at the same place.
        self._blocks += 1
        nonce = self._blocks.to_bytes(_NONCE_SIZE, "big")
        sealed = nonce + self._cipher.encrypt(nonce, block, _bound_to(place))
        try:
            self._file.seek(place)
            self._file.write(_LENGTH.pack(len(sealed)) + sealed)
            self._file.flush()
        except OSError as error:
            kind = DiskFullError if error.errno == errno.ENOSPC else StorageError
            raise kind(f"A temporary file cannot be written: {error.strerror}.") from None
        self._end += _LENGTH.size + len(sealed)
        return place

    def read(self, place: int) -> bytes:
        """Returns the block of a place.

        Raises:
            DamagedFileError: somebody changed the file.
            StorageError: it cannot be read.
        """
        try:
            self._file.seek(place)
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            if not _OVERHEAD <= length <= MAX_BLOCK + _OVERHEAD:
                raise InvalidTag
            sealed = self._file.read(length)
            return self._cipher.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _bound_to(place))
        except (InvalidTag, struct.error):
            raise_alone(DamagedFileError("a temporary file was changed while it was in use."))
        except OSError as error:
            raise StorageError(f"A temporary file cannot be read: {error.strerror}.") from None

    def close(self) -> None:
        """Gives the room back. May be called again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _bound_to(place: int) -> bytes:
    return place.to_bytes(8, "big")
