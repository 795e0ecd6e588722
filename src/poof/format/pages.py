"""One page of a cluster file, as one binary Fernet token.

Layer: format; pure.

The token is exactly what `cryptography.fernet.Fernet(data_key).encrypt` could have made
(https://github.com/fernet/spec), but it is not made that way: a Fernet object sets up a cipher and an HMAC for each
call and works in base64, which for a page costs several times the cryptography itself. `PageCodec` keeps one running
cipher and copies a prepared hash state.

Invariant: the token authenticates the page's number, and the place in the log where it was written, along with its
content. So a page can neither be moved to another place of the file, nor into another log, without being found out.
"""

import hmac
import os
import struct
from collections.abc import Iterator

from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from poof.format.layout import (
    CIPHERTEXT_OFFSET,
    CIPHERTEXT_SIZE,
    CONTENT_SIZE,
    MAC_OFFSET,
    PAGE_SIZE,
    RESERVED_SIZE,
    SLACK_SIZE,
    TOKEN_IV_SIZE,
    TOKEN_SIZE,
    TOKEN_TIMESTAMP_SIZE,
    TOKEN_VERSION_SIZE,
)
from poof.format.records import Place
from poof.keys import clock

FERNET_VERSION = 0x80
BLOCKS_DRAWN = 64
"""How many random blocks the system is asked for at once: a call for each takes a thirtieth of all the time."""
PADDING = b"\x01"
"""PKCS#7 padding of a plaintext one byte short of whole AES blocks."""

_IV_OFFSET = TOKEN_VERSION_SIZE + TOKEN_TIMESTAMP_SIZE
_CONTENT_END = TOKEN_IV_SIZE + CONTENT_SIZE
_TOKEN_START = struct.Struct(">BQ")
_PAGE_END = struct.Struct(">QIIc")
"""Base of the log and number of the frame in which the page was written, number of the page, padding."""
_RESERVED = bytes(RESERVED_SIZE)
_SLACK = bytes(SLACK_SIZE)


NO_PLACE: Place = (0, 0)
"""Of a page that was not written in a log."""


def written_at(slot: bytes | memoryview) -> int | None:
    """When a page was written, in seconds since 1970, as the first bytes of its token say; nothing is authenticated."""
    if len(slot) < _IV_OFFSET or slot[0] != FERNET_VERSION:
        return None
    return int(_TOKEN_START.unpack_from(slot)[1])


class PageCodec:
    """Turns pages into tokens and back under one page key.

    It holds running cipher states and buffers: use one for each open file, from one thread at a time. What `seal` and
    `open` return is a view of such a buffer, good until the next call. `room`: how many bytes of the buffer of `seal`
    stay free before the slot, for what stands before it in a file.
    """

    def __init__(self, page_key: bytes, room: int = 0) -> None:
        signing_key, encryption_key = page_key[:16], page_key[16:]
        # What the first block of a running CBC cipher is chained to does not matter here: `seal` feeds it a fresh
        # random block first, `open` the token's own IV.
        cipher = Cipher(algorithms.AES(encryption_key), modes.CBC(bytes(TOKEN_IV_SIZE)))
        self._encryptor = cipher.encryptor()
        self._random = _random_blocks()
        self._decryptor = cipher.decryptor()
        self._hmac = HMAC(signing_key, SHA256())
        self.buffer = memoryview(bytearray(room + PAGE_SIZE))
        """The room and the slot that `seal` filled last."""
        self._slot = self.buffer[room:]
        self._iv_and_ciphertext = self._slot[_IV_OFFSET:]
        self._authenticated = self._slot[:MAC_OFFSET]
        self._place_of_mac = self._slot[MAC_OFFSET:TOKEN_SIZE]
        # `update_into` wants room for one block more than it writes; the reserved bytes of a page are just that.
        self._plaintext = memoryview(bytearray(TOKEN_IV_SIZE + PAGE_SIZE))
        self.number = 0
        """Of the page that was opened last."""
        self.place = NO_PLACE
        """Where it was written."""

    def seal(self, number: int, page: bytes | bytearray | memoryview, place: Place = NO_PLACE) -> memoryview:
        """The 8192-byte slot for a page, whose reserved bytes are left out."""
        slot = self._slot
        _TOKEN_START.pack_into(slot, 0, FERNET_VERSION, clock.seconds())
        # The cipher's first output block is AES(random XOR previous block): a uniformly random IV, nobody's to predict.
        self._encryptor.update_into(
            b"".join((next(self._random), page[:CONTENT_SIZE], _PAGE_END.pack(*place, number, PADDING))),
            self._iv_and_ciphertext,
        )
        self._place_of_mac[:] = self._mac(self._authenticated)
        return slot

    def open(self, number: int, slot: bytes | memoryview) -> memoryview:
        """The 8192-byte page in a slot, its reserved bytes zero.

        Raises:
            InvalidToken: the slot is not an authentic token of this page.
        """
        page = self.open_any(slot)
        if self.number != number:
            raise InvalidToken
        return page

    def open_any(self, slot: bytes | memoryview) -> memoryview:
        """The 8192-byte page in a slot, whichever it is: `number` and `place` tell.

        Raises:
            InvalidToken: the slot is not an authentic token of a page.
        """
        view = memoryview(slot)
        if len(view) != PAGE_SIZE or view[0] != FERNET_VERSION or view[TOKEN_SIZE:] != _SLACK:
            raise InvalidToken
        if not hmac.compare_digest(self._mac(view[:MAC_OFFSET]), view[MAC_OFFSET:TOKEN_SIZE]):
            raise InvalidToken
        plaintext = self._plaintext
        # The first output block is the IV chained to whatever came before; it is dropped.
        self._decryptor.update_into(view[_IV_OFFSET:MAC_OFFSET], plaintext)
        base, frame, self.number, padding = _PAGE_END.unpack_from(plaintext, _CONTENT_END)
        self.place = base, frame
        if padding != PADDING:
            raise InvalidToken
        plaintext[_CONTENT_END:] = _RESERVED
        return plaintext[TOKEN_IV_SIZE:]

    def _mac(self, message: memoryview) -> bytes:
        mac = self._hmac.copy()
        mac.update(message)
        return mac.finalize()


def _random_blocks() -> Iterator[bytes]:
    while True:
        drawn = os.urandom(BLOCKS_DRAWN * TOKEN_IV_SIZE)
        for start in range(0, len(drawn), TOKEN_IV_SIZE):
            yield drawn[start : start + TOKEN_IV_SIZE]


assert _TOKEN_START.size == _IV_OFFSET  # noqa: S101 - constants stated twice must agree
assert CONTENT_SIZE + _PAGE_END.size == CIPHERTEXT_SIZE  # noqa: S101
assert CIPHERTEXT_OFFSET == _IV_OFFSET + TOKEN_IV_SIZE  # noqa: S101
