"""The header of one frame of the write-ahead log.

Layer: format; pure.

SQLite's frame header holds the page number (bytes 0-3), the database size after a commit (4-7), two salts (8-15) and
two running checksums (16-23). SQLite computes the checksums over the *plaintext* of the pages, so they would tell eight
bytes about each. In a cluster's log, number, size and checksums are one encrypted block; the salts are those of the
log's header, which the keys stand for; and a tag binds the block to this log, this place and this very token.
"""

import hmac
import itertools
import struct
from array import array
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from poof.format.layout import FRAME_HEADER_SIZE, MAC_OFFSET, TOKEN_SIZE, frame_number

NUMBER_AND_SIZE = 8
"""How many bytes at the start of SQLite's header are the number of the page and the size of the database."""
CHECKSUMS_OFFSET = 16
BLOCK_SIZE, TAG_SIZE = 16, 8
_MAC_KEY_SIZE = 32
_TAGGED = struct.Struct(">I16s32s")
_FOUR_BYTES = "I"
_NO_PAGE = 0
assert array(_FOUR_BYTES).itemsize == 4  # noqa: S101
assert BLOCK_SIZE + TAG_SIZE == FRAME_HEADER_SIZE  # noqa: S101


class FramePages:
    """The page numbers of frames, by the offset of the frame as SQLite has it.

    Four bytes for each, as there may be very many.
    """

    def __init__(self) -> None:
        self._numbers = array(_FOUR_BYTES)
        self._latest: tuple[int, dict[int, int]] = (0, {})

    def __setitem__(self, offset: int, page: int) -> None:
        index = frame_number(offset) - 1
        if index == len(self._numbers):
            self._numbers.append(page)
            return
        self._numbers.extend(itertools.repeat(_NO_PAGE, index + 1 - len(self._numbers)))
        self._numbers[index] = page

    def __getitem__(self, offset: int) -> int:
        return self._numbers[frame_number(offset) - 1]

    def __contains__(self, offset: int) -> bool:
        index = frame_number(offset) - 1
        return index < len(self._numbers) and self._numbers[index] != _NO_PAGE

    def count_pages(self) -> int:
        """How many different pages they are."""
        return len(set(self._numbers))

    def latest(self, frames: int) -> Mapping[int, int]:
        """For each page in so many frames, from the first, the number of the last one of it.

        These do not change any more: what was found is kept, and added to the next time. Any thread may ask.
        """
        known, latest = self._latest
        if known > frames:
            known, latest = 0, {}
        latest = latest | {page: number for number, page in enumerate(self._numbers[known:frames], known + 1)}
        self._latest = frames, latest
        return latest


class FrameCodec:
    """Seals and opens the headers of the frames of one log. Use one for each open file, from one thread at a time.

    `keys` are the 48 bytes of the log's frame keys. A frame is named by its number, from 1; `token` is the page's slot.
    """

    def __init__(self, keys: bytes) -> None:
        self._hmac = HMAC(keys[:_MAC_KEY_SIZE], SHA256())
        # One block, chained to the first bytes of the token's HMAC, which are unpredictable and new with each sealing.
        cipher = Cipher(algorithms.AES(keys[_MAC_KEY_SIZE:]), modes.ECB())  # noqa: S305
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()

    def seal(self, number: int, block: bytes, token: bytes | memoryview) -> bytes:
        """The 24 bytes in front of a page: page number, size and checksums are the 16 of the block."""
        mac = _mac_of(token)
        sealed = self._encryptor.update(_chained(block, mac))
        return sealed + self._tag(number, sealed, mac)

    def check(self, number: int, stored: bytes | memoryview, token: bytes | memoryview) -> None:
        """Sees that a header was written in this log, here, for this very token.

        Raises:
            InvalidSignature: it was not.
        """
        tag = self._tag(number, bytes(stored[:BLOCK_SIZE]), _mac_of(token))
        if not hmac.compare_digest(tag, stored[BLOCK_SIZE:FRAME_HEADER_SIZE]):
            raise InvalidSignature

    def open(self, number: int, stored: bytes | memoryview, token: bytes | memoryview) -> bytes:
        """The block in a header.

        Raises:
            InvalidSignature: it was not written in this log, here, for this very token.
        """
        self.check(number, stored, token)
        return _chained(self._decryptor.update(stored[:BLOCK_SIZE]), _mac_of(token))

    def _tag(self, number: int, sealed: bytes, mac: bytes) -> bytes:
        running = self._hmac.copy()
        running.update(_TAGGED.pack(number, sealed, mac))
        return running.finalize()[:TAG_SIZE]


def block_of(header: bytes | memoryview) -> bytes:
    """What is sealed of SQLite's 24 bytes: all but the salts."""
    return bytes(header[:NUMBER_AND_SIZE]) + bytes(header[CHECKSUMS_OFFSET:FRAME_HEADER_SIZE])


def header_of(block: bytes, salts: bytes) -> bytes:
    """SQLite's 24 bytes."""
    return block[:NUMBER_AND_SIZE] + salts + block[NUMBER_AND_SIZE:]


def _mac_of(token: bytes | memoryview) -> bytes:
    return bytes(token[MAC_OFFSET:TOKEN_SIZE])


def _chained(block: bytes, mac: bytes) -> bytes:
    return (int.from_bytes(block, "big") ^ int.from_bytes(mac[:BLOCK_SIZE], "big")).to_bytes(BLOCK_SIZE, "big")
