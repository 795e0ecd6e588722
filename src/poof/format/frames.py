"""The header of one frame of the write-ahead log.

Pure.

SQLite's frame header holds the page number (bytes 0-3), the database size after a commit (4-7), two salts (8-15) and
two running checksums (16-23). SQLite computes the checksums over the *plaintext* of the pages, so they would tell
eight bytes about each; in a cluster's log the salts and checksums are one AES block, encrypted under a key of their
own.

The salts are combined with the offset of the frame before, so a frame opens only where it was written: SQLite trusts
the index of a log that is in use, and would take a frame from another place for the page that it expects.
"""

import itertools
import struct
from array import array
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from poof.format.layout import FRAME_HEADER_SIZE, FRAME_SIZE, WAL_HEADER_SIZE
from poof.keys.kdf import derive_subkey

CLEAR_SIZE = 8
"""How many bytes at the start of a frame header stay as they are."""

CHECKSUMS_OFFSET = 16
SALTS_SIZE = CHECKSUMS_OFFSET - CLEAR_SIZE
KEY_PURPOSE = b"poof wal frame header"
_HEADER, _BLOCK = struct.Struct(">8sQ8s"), struct.Struct(">Q8s")
_FOUR_BYTES = "I"
_NO_PAGE = 0
assert array(_FOUR_BYTES).itemsize == 4  # noqa: S101


class FramePages:
    """The page numbers of frames, by the offset of the frame: four bytes for each, as there may be very many."""

    def __init__(self) -> None:
        self._numbers = array(_FOUR_BYTES)
        self._latest: tuple[int, dict[int, int]] = (0, {})

    def __setitem__(self, offset: int, page: int) -> None:
        index = offset // FRAME_SIZE
        if index == len(self._numbers):
            self._numbers.append(page)
            return
        self._numbers.extend(itertools.repeat(_NO_PAGE, index + 1 - len(self._numbers)))
        self._numbers[index] = page

    def __getitem__(self, offset: int) -> int:
        return self._numbers[offset // FRAME_SIZE]

    def __contains__(self, offset: int) -> bool:
        index = offset // FRAME_SIZE
        return index < len(self._numbers) and self._numbers[index] != _NO_PAGE

    def count_pages(self) -> int:
        """How many different pages they are."""
        return len(set(self._numbers))

    def latest(self, frames: int) -> Mapping[int, int]:
        """For each page in so many frames, from the first, the offset of the last one of it.

        These do not change any more: what was found is kept, and added to the next time. Any thread may ask.
        """
        known, latest = self._latest
        if known > frames:
            known, latest = 0, {}
        added = enumerate(self._numbers[known:frames], known)
        latest = latest | {page: WAL_HEADER_SIZE + index * FRAME_SIZE for index, page in added}
        self._latest = frames, latest
        return latest


class FrameHeaderCodec:
    """Encrypts and decrypts frame headers under one data key. Use one for each open file, from one thread at a time."""

    def __init__(self, data_key: bytes) -> None:
        # One block, never chained, always different: the running checksum makes it so. That is the one use ECB has.
        cipher = Cipher(algorithms.AES(derive_subkey(data_key, KEY_PURPOSE, 16)), modes.ECB())  # noqa: S305
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()

    def seal(self, header: bytes | memoryview, offset: int) -> bytes:
        """The stored form of SQLite's header of the frame at this offset."""
        clear, salts, checksums = _HEADER.unpack(header)
        return bytes(clear) + self._encryptor.update(_BLOCK.pack(salts ^ offset, checksums))

    def open(self, stored: bytes | memoryview, offset: int) -> bytes:
        """SQLite's header of the frame at this offset, from its stored form.

        Nothing is checked here: the salts are only right if the frame is genuine and in its place.
        """
        block = self._decryptor.update(stored[CLEAR_SIZE:FRAME_HEADER_SIZE])
        return bytes(stored[:CLEAR_SIZE]) + _located(block[:SALTS_SIZE], offset) + block[SALTS_SIZE:]

    def salts(self, stored: bytes | memoryview, offset: int) -> bytes:
        """The salts in it alone, which are all that most reads need."""
        return _located(self._decryptor.update(stored[CLEAR_SIZE:FRAME_HEADER_SIZE])[:SALTS_SIZE], offset)


def _located(salts: bytes | memoryview, offset: int) -> bytes:
    return (int.from_bytes(salts, "big") ^ offset).to_bytes(SALTS_SIZE, "big")
