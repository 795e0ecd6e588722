"""The header of the write-ahead log, and whether a log is that of a file.

Layer: format; pure.

The 128 bytes say which file the log was begun on, in which state, and hold SQLite's own 32 bytes. A header is *whole*
by a sum that is no secret: it tells a torn one, which is no log, from a foreign one, which is refused.

Invariant: a log is of a file only if the file is exactly as it was when the log was begun, or holds a part of this very
log.
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

from poof.errors import LogMismatchError, LogMissingError
from poof.format.layout import LOG_HEADER_SIZE, WAL_HEADER_SIZE
from poof.format.records import UNKNOWN_FRAMES, StateRecord
from poof.format.subkeys import LOG_ID_SIZE, DataKeys

MAGIC = b"PoofLog\x01"
SALTS = slice(16, 24)
"""Where SQLite's part of the header holds the salts of its frames."""

_FIELDS = struct.Struct(f">8s16sQ16s16s{WAL_HEADER_SIZE}s")
_MAC_SIZE, _SUM_SIZE = 24, 8


@dataclass(frozen=True)
class LogHeader:
    """What the header of a log says."""

    file: bytes
    base: int
    """The odd epoch of the state on which the log was begun."""
    on: bytes
    """Its mark."""
    id: bytes
    sqlite: bytes
    """SQLite's header."""

    @property
    def salts(self) -> bytes:
        """What SQLite writes into each of its frames."""
        return self.sqlite[SALTS]

    def encode(self, key: bytes) -> bytes:
        """The 128 bytes, under a log key."""
        fields = _FIELDS.pack(MAGIC, self.file, self.base, self.on, self.id, self.sqlite)
        fields += hmac.digest(key, fields, "sha256")[:_MAC_SIZE]
        return fields + hashlib.sha256(fields).digest()[:_SUM_SIZE]


def begin_log(sqlite: bytes, record: StateRecord, file: bytes, old: LogHeader | None) -> LogHeader:
    """The header of a log that SQLite begins on a file in this state, in place of an old one.

    SQLite writes a header again, with the same salts, after a first transaction that was rolled back. Then it stays the
    same log: other connections go by the salts.
    """
    base = record.epoch if record.is_settled else record.base
    header = LogHeader(file, base, record.mark, os.urandom(LOG_ID_SIZE), sqlite)
    if old is not None and (old.salts, old.base, old.on, old.file) == (header.salts, base, record.mark, file):
        return replace(header, id=old.id)
    return header


def is_whole(data: bytes) -> bool:
    """Whether 128 bytes are the whole header of a log, of whatever file."""
    if len(data) != LOG_HEADER_SIZE or not data.startswith(MAGIC):
        return False
    return hashlib.sha256(data[:-_SUM_SIZE]).digest()[:_SUM_SIZE] == data[-_SUM_SIZE:]


def decode_log(data: bytes, keys: Iterable[bytes]) -> LogHeader | None:
    """The header in 128 whole bytes; `None` where it is authentic under none of the log keys."""
    fields, mac = data[: _FIELDS.size], data[_FIELDS.size : -_SUM_SIZE]
    if not any(hmac.compare_digest(hmac.digest(key, fields, "sha256")[:_MAC_SIZE], mac) for key in keys):
        return None
    return LogHeader(*_FIELDS.unpack(fields)[1:])


def is_of(log: LogHeader, record: StateRecord) -> bool:
    """Whether a log of this file goes with this state of it."""
    return log.id == record.log or (log.on == record.mark and record.is_at_mark)


def judge(data: bytes, record: StateRecord, keys: DataKeys, label: str) -> LogHeader | None:
    """The log that lies beside a file in this state, by its first 128 bytes; `None` where it is empty.

    Raises:
        LogMissingError: the file was used with a log, and there is none.
        LogMismatchError: there is one, and it is of another file, or of another state of this one.
    """
    if not is_whole(data):
        if record.is_settled:
            return None
        raise _missing(record, label)
    log = decode_log(data, (key.log for key in keys))
    file = keys.current.file
    if log is None or log.file != file:
        named = _FIELDS.unpack_from(data)[1]
        what = f"is of another file, {named.hex()}" if named != file else "was altered, or is of another data key"
    elif not is_of(log, record):
        what = "is of another state of the file"
    else:
        return log
    raise LogMismatchError(
        f"the log {label + '-wal'!r} {what}; the file itself is {file.hex()}. One of the two was replaced, or they "
        f"were copied apart. Nothing was changed: keep both. {_way_on(record)}"
    )


def check_count(log: LogHeader | None, count: int, record: StateRecord, label: str) -> None:
    """Refuses a log that has fewer committed frames than may be in the file.

    Raises:
        LogMissingError, LogMismatchError: it has.
    """
    if log is None:
        if not record.is_settled:
            raise _missing(record, label)
        return
    if log.id != record.log or (count == 0 and record.is_settled):
        return
    least = 1 if record.frames == UNKNOWN_FRAMES else record.frames
    if count < least:
        raise LogMismatchError(
            f"the log {label + '-wal'!r} is not whole: {count} of {least} frames that were written before are there. "
            f"Nothing was changed: keep both. {_way_on(record)}"
        )


_WHOLE = (
    "The file alone is whole as of its last checkpoint: with without_log=True it opens so, and what the log held is "
    "given up."
)
_HALF = (
    "The file holds only a part of what was last written. Put the right log beside it, or a backup in its place; "
    "salvage() reads what there is."
)


def _way_on(record: StateRecord) -> str:
    return _WHOLE if record.is_at_mark else _HALF


def _missing(record: StateRecord, label: str) -> LogMissingError:
    return LogMissingError(
        f"the log {label + '-wal'!r} is missing, or was emptied: the file was in use, and its newest writes are there. "
        "If the file was copied or moved, copy the log as well. Nothing was changed. "
        f"{_way_on(record)}"
    )


assert _FIELDS.size + _MAC_SIZE + _SUM_SIZE == LOG_HEADER_SIZE  # noqa: S101 - constants stated twice must agree
