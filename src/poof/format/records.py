"""State records: which log a file belongs with, and how much of it may have been copied into the file.

Layer: format; pure.

Two records lie beside the copies of the header. The one with the right MAC and the higher epoch counts. An odd epoch is
*settled*: the file holds one state, and what its log adds. An even one is *in use*: a log was begun, and with frames
above 0 its pages are on their way into the file.

Invariants: all records of one log go into one place, the one that does not hold the settled record on which the log was
begun. So whatever write is torn, a record is left that knows the log.
"""

import hmac
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from poof.errors import LimitError
from poof.format.layout import RECORD_SIZE, RECORD_STARTS

MARK_SIZE = 16
NO_LOG = bytes(16)
UNKNOWN_FRAMES: Final = 2**32 - 1
"""More than there can be: where it is not known how many frames are safe."""
MAX_EPOCH = 2**62

_RECORD = struct.Struct(">Q16s16sIQ32sQ4x")
_NO_MAC = bytes(32)

Place = tuple[int, int]
"""Where a page was written: the base of the log, and the number of the frame in it; they are in order of time."""


@dataclass(frozen=True)
class StateRecord:
    """What one record says."""

    epoch: int
    mark: bytes
    """Random, and drawn anew whenever the file is settled."""
    log: bytes = NO_LOG
    """The id of the log that is in use, or was last."""
    frames: int = 0
    """The highest frame of that log that may be in the file."""
    generation: int = 0
    mac: bytes = _NO_MAC
    """The generation of the header, and its MAC."""
    base: int = 0
    """Of that log."""

    @property
    def is_settled(self) -> bool:
        """Whether the file holds one state."""
        return self.epoch % 2 == 1

    @property
    def is_at_mark(self) -> bool:
        """Whether the file is as it was when the mark was drawn."""
        return self.is_settled or self.frames == 0

    @property
    def last_place(self) -> Place:
        """No page in the file was written later."""
        return self.base, self.frames

    def encode(self, key: bytes) -> bytes:
        """The 128 bytes, under a state key."""
        fields = _RECORD.pack(self.epoch, self.mark, self.log, self.frames, self.generation, self.mac, self.base)
        return fields + hmac.digest(key, fields, "sha256")

    def with_header(self, generation: int, mac: bytes) -> "StateRecord":
        """The same, with what it says of the header."""
        return replace(self, generation=generation, mac=mac)

    def in_use(self, log: bytes, base: int, frames: int = 0) -> "StateRecord":
        """The record of a log that is begun, or of which so many frames are about to be copied."""
        epoch = self.epoch + 1 if self.is_settled else self.epoch
        return replace(self._checked(), epoch=epoch, log=log, base=base, frames=frames)

    def settled(self, frames: int) -> "StateRecord":
        """The record of a file into which so many frames of its log were copied."""
        return replace(self._checked(), epoch=self.epoch + 1, mark=os.urandom(MARK_SIZE), frames=frames)

    def _checked(self) -> "StateRecord":
        if self.epoch >= MAX_EPOCH:
            raise LimitError("This file was written as often as one can be. Make a backup() of it.")
        return self


@dataclass(frozen=True)
class Records:
    """The record that counts, and where it lies: 0 for the first place, 1 for the second."""

    newest: StateRecord
    slot: int

    def slot_for(self, log: bytes) -> int:
        """Where the next record of a log goes."""
        return self.slot if not self.newest.is_settled or self.newest.log == log else 1 - self.slot


def first_record(generation: int, mac: bytes) -> StateRecord:
    """The record of a new file."""
    return StateRecord(1, os.urandom(MARK_SIZE), generation=generation, mac=mac)


def decode_record(data: bytes, keys: Iterable[bytes]) -> StateRecord | None:
    """The record in 128 bytes; `None` where it is authentic under none of the state keys."""
    fields, mac = data[:-32], data[-32:]
    if len(data) != RECORD_SIZE:
        return None
    if not any(hmac.compare_digest(hmac.digest(key, fields, "sha256"), mac) for key in keys):
        return None
    return StateRecord(*_RECORD.unpack(fields))


def newest_record(block: bytes, keys: Iterable[bytes]) -> Records | None:
    """The record that counts in a header block; `None` where none is authentic."""
    keys = list(keys)
    found: Records | None = None
    for slot, start in enumerate(RECORD_STARTS):
        record = decode_record(block[start : start + RECORD_SIZE], keys)
        if record is not None and (found is None or record.epoch > found.newest.epoch):
            found = Records(record, slot)
    return found


assert _RECORD.size + 32 == RECORD_SIZE  # noqa: S101 - constants stated twice must agree
