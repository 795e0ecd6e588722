"""Room for what does not fit into memory: sealed, appended to, and gone with the process.

The file has no name from the moment it is made, so that the system takes its room back however the process ends; where
a system cannot do that, it deletes the file with the last handle. Each block is sealed under a key that is kept nowhere
but in this process, and bound to its place.
"""

import errno
import secrets
import struct
import tempfile
from types import TracebackType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from poof.errors import ClosedError, DamagedFileError, DiskFullError, StorageError
from poof.raising import raise_alone

MAX_BLOCK = 16 * 1024 * 1024
"""Bytes of one block."""

_LENGTH = struct.Struct(">I")
_KEY_BITS = 256
_NONCE_SIZE = 12
_OVERHEAD = _NONCE_SIZE + 16
"""Bytes of nonce and tag of a block."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room: on the disk, for this user, or in one file."""


class SealedScratch:
    """What `contract.Scratch` asks for, in a file without a name."""

    def __init__(self, folder: str | None = None) -> None:
        """`folder`: where the file is made; by default where the system keeps temporary files."""
        self._cipher = AESGCM(AESGCM.generate_key(_KEY_BITS))
        try:
            # Without a buffer, which would keep what could not be written, and try again with each later call.
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `close` is for that
        except OSError as error:
            raise_alone(StorageError(f"No temporary file can be made: {error.strerror}."))
        self._end = 0

    def append(self, block: bytes) -> int:
        """Writes a block. Returns its place.

        Where it cannot be written, the blocks before are whole, and more can be appended when there is room.

        Raises:
            ValueError: the block is larger than 16 MiB.
            DiskFullError, StorageError: it cannot be written.
            ClosedError: the place was closed.
        """
        if len(block) > MAX_BLOCK:
            raise ValueError(f"A block of {len(block):,} bytes is larger than {MAX_BLOCK:,}")
        self._check_open()
        place = self._end
        nonce = secrets.token_bytes(_NONCE_SIZE)
        sealed = nonce + self._cipher.encrypt(nonce, block, _bound_to(place))
        left = memoryview(_LENGTH.pack(len(sealed)) + sealed)
        end = place + len(left)
        try:
            self._file.seek(place)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            kind = DiskFullError if error.errno in _FULL else StorageError
            raise_alone(kind(f"A temporary file cannot be written: {error.strerror}."))
        self._end = end
        return place

    def read(self, place: int) -> bytes:
        """Returns the block of a place.

        Raises:
            DamagedFileError: somebody changed the file.
            StorageError: it cannot be read.
            ClosedError: the place was closed.
        """
        self._check_open()
        try:
            self._file.seek(place)
            (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
            if not _OVERHEAD <= length <= MAX_BLOCK + _OVERHEAD:
                raise InvalidTag
            sealed = self._read(length)
            if len(sealed) != length:
                raise InvalidTag
            return self._cipher.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _bound_to(place))
        except (InvalidTag, struct.error):
            raise_alone(DamagedFileError("a temporary file was changed while it was in use."))
        except OSError as error:
            raise_alone(StorageError(f"A temporary file cannot be read: {error.strerror}."))

    def _read(self, size: int) -> bytes:
        """The next bytes; fewer at the end of the file."""
        read = bytearray()
        while len(read) < size and (more := self._file.read(size - len(read))):
            read += more
        return bytes(read)

    def _check_open(self) -> None:
        if self._file.closed:
            raise ClosedError("A temporary file is used after it was closed.")

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
