"""Receipts: how far a file was at one moment, in a text that its owner keeps elsewhere.

Layer: format; pure.

A file cannot tell by itself that all of it is older than it should be. A receipt can: whoever keeps one is told where
the file is older than that, or another one. It is no secret.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from typing import Self

from poof.errors import InvalidReceiptError, OlderFileError
from poof.format.records import NO_LOG, StateRecord

START = "poof1:"

_FIELDS = struct.Struct(">16s16sIQQ16sI")
_SUM_SIZE = 4


@dataclass(frozen=True)
class Receipt:
    """What a file was at one moment."""

    cluster: bytes
    file: bytes
    rotations: int
    """How often the data key had been replaced."""
    generation: int
    """Of the header."""
    epoch: int
    """Odd: that of the file, or the one on which its log was begun."""
    log: bytes = NO_LOG
    frames: int = 0
    """How many frames of that log were committed, and safe; 0 where there was nothing in it."""

    def encode(self) -> str:
        """The text."""
        fields = _FIELDS.pack(
            self.cluster, self.file, self.rotations, self.generation, self.epoch, self.log, self.frames
        )
        data = fields + hashlib.sha256(fields).digest()[:_SUM_SIZE]
        return START + base64.urlsafe_b64encode(data).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """The receipt in a text.

        Raises:
            InvalidReceiptError: it is none.
        """
        data = _decoded(text.strip()) if isinstance(text, str) else b""
        fields, checksum = data[: _FIELDS.size], data[_FIELDS.size :]
        if len(data) != _FIELDS.size + _SUM_SIZE or hashlib.sha256(fields).digest()[:_SUM_SIZE] != checksum:
            raise InvalidReceiptError(
                f"This is not a receipt, or a part of it is missing. One begins with {START!r}, and is what receipt() "
                "returns."
            )
        return cls(*_FIELDS.unpack(fields))


@dataclass(frozen=True)
class Found:
    """What a file is now."""

    cluster: bytes
    file: bytes
    rotations: int
    generation: int
    record: StateRecord
    log: bytes = NO_LOG
    """The id of the log beside it, if there is one."""
    base: int = 0
    """Of that log."""
    frames: int = 0
    """How many frames of it are committed."""

    def receipt(self) -> Receipt:
        """The receipt of this, which names nothing that a loss of power could take."""
        log, frames = (self.log, self.frames) if self.frames else (NO_LOG, 0)
        record = self.record
        epoch = self.base if self.frames else record.epoch if record.is_settled else record.base
        return Receipt(self.cluster, self.file, self.rotations, self.generation, epoch, log, frames)


def check_receipt(receipt: Receipt, found: Found, label: str) -> None:
    """Refuses a file that is older than a receipt, or another one.

    Raises:
        OlderFileError: it is.
    """
    what = _what_is_older(receipt, found)
    if what:
        raise OlderFileError(
            f"{label!r} {what} than at_least= says: an older copy of the file, or another file, lies in its place. "
            "Nothing was changed. Put the newest file back; or open this one without the receipt, if it is a backup "
            "that you put there."
        )


def _what_is_older(receipt: Receipt, found: Found) -> str:
    if receipt.cluster != found.cluster:
        return "is another cluster"
    if receipt.file != found.file:
        return "is another file of this cluster, such as a backup,"
    if found.rotations < receipt.rotations or found.generation < receipt.generation:
        return "has an older header"
    if found.record.epoch < receipt.epoch:
        return "is older"
    if receipt.frames and not _reaches(receipt, found):
        return "holds less"
    return ""


def _reaches(receipt: Receipt, found: Found) -> bool:
    """Whether what the receipt's log held is in the file or in its log."""
    if found.log == receipt.log and found.frames >= receipt.frames:
        return True
    record = found.record
    if record.is_settled and record.log == receipt.log and record.frames >= receipt.frames:
        return True
    return receipt.log not in (found.log, record.log) and record.epoch >= receipt.epoch + 2


def _decoded(text: str) -> bytes:
    if not text.startswith(START):
        return b""
    digits = text.removeprefix(START)
    try:
        data = base64.b64decode(digits + "=" * (-len(digits) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if base64.urlsafe_b64encode(data).decode().rstrip("=") == digits else b""
