"""The header of one frame of the write-ahead log.

Layer: format; pure.

SQLite's frame header holds the page number (bytes 0-3), the database size after a commit (4-7), two salts (8-15) and
two running checksums (16-23). SQLite computes the checksums over the *plaintext* of the pages, so they would tell eight
bytes about each; in a cluster's log the salts and checksums are one AES block, encrypted under a key of their own.
Changing any bit of that block changes all of it, so neither a salt nor a checksum can be steered.
"""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from poof.format.layout import FRAME_HEADER_SIZE
from poof.keys.kdf import derive_subkey

CLEAR_SIZE = 8
"""How many bytes at the start of a frame header stay as they are."""

CHECKSUMS_OFFSET = 16
KEY_PURPOSE = b"poof wal frame header"


class FrameHeaderCodec:
    """Encrypts and decrypts frame headers under one data key. Use one for each open file, from one thread at a time."""

    def __init__(self, data_key: bytes) -> None:
        # One block, never chained, always different: the running checksum makes it so. That is the one use ECB has.
        cipher = Cipher(algorithms.AES(derive_subkey(data_key, KEY_PURPOSE, 16)), modes.ECB())  # noqa: S305
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()

    def seal(self, header: bytes | memoryview) -> bytes:
        """The stored form of SQLite's frame header."""
        return bytes(header[:CLEAR_SIZE]) + self._encryptor.update(header[CLEAR_SIZE:FRAME_HEADER_SIZE])

    def open(self, stored: bytes | memoryview) -> bytes:
        """SQLite's frame header from its stored form. Nothing is checked here: SQLite checks salts and checksums."""
        return bytes(stored[:CLEAR_SIZE]) + self._decryptor.update(stored[CLEAR_SIZE:FRAME_HEADER_SIZE])
