"""The state records of an open file: read, and written at the moments at which they must be.

Layer: storage; below the files and the VFS. It knows no SQLite.

A log is *begun*, its frames are *copied* into the file, and the file is *settled*: `docs/format.md` says which record
is written when, and why no crash leaves a file and a log that do not go together.

Invariants: only a holder of SQLite's lock for the step writes its record; a record is read again before each decision,
together with the header, as another process may have replaced the data key.
"""

from collections.abc import Callable
from typing import Protocol

from poof.errors import DamagedHeaderError, LogMismatchError
from poof.format.layout import RECORD_STARTS
from poof.format.logs import LogHeader, is_of
from poof.format.records import Records, StateRecord, newest_record
from poof.format.subkeys import DataKeys
from poof.format.trust import TrustedHeader


class HeaderOfFile(Protocol):
    """What records need of the file that they lie in."""

    label: str
    keys: DataKeys

    def read_block(self) -> bytes:
        """Returns the header block as it is now, whose data keys are used from now on."""

    def known_header(self, block: bytes) -> TrustedHeader | None:
        """Returns the header in a block, if both copies are that one, and it is known."""

    def write_record(self, offset: int, record: bytes) -> None:
        """Writes one record."""


class FileRecords:
    """The records of one open file."""

    def __init__(self, file: HeaderOfFile) -> None:
        self._file = file
        self._known: StateRecord | None = None

    @property
    def known(self) -> StateRecord:
        """The newest record, as it was read or written last."""
        return self._known or self.newest()

    def newest(self) -> StateRecord:
        """Reads the record that counts now.

        Raises:
            DamagedHeaderError: none is authentic.
            KeyReplacedError: the data key was replaced, and no key is known that leads to the new one.
        """
        return self._read()[1].newest

    def begun(self, log: LogHeader) -> None:
        """Notes a log whose header is safe. Before its first frame; nobody else copies or begins one now."""
        block, found = self._read()
        record = found.newest
        if record.is_settled or (record.frames == 0 and record.log != log.id):
            self._write(block, found.slot_for(log.id), record.in_use(log.id, log.base))

    def copied(self, log: LogHeader, frames: int) -> None:
        """Notes that frames up to this one, all of which are safe, are about to be copied into the file."""
        block, found = self._read()
        record = found.newest
        if not is_of(log, record):
            raise LogMismatchError(
                f"the log of {self._file.label!r} was replaced while it was copied into the file. Nothing more was "
                "changed: keep both."
            )
        known = record.frames if record.log == log.id else 0
        if record.is_settled or record.log != log.id or frames > known:
            self._write(block, found.slot_for(log.id), record.in_use(log.id, log.base, max(known, frames)))

    def settled(self, frames: int) -> None:
        """Notes that the file holds its log up to this frame. Before the sync that makes both safe."""
        block, found = self._read()
        if not found.newest.is_settled:
            self._write(block, found.slot, found.newest.settled(frames))

    def log_goes(self) -> bool:
        """Called before a log is deleted or emptied. Returns whether the file must be synced before that happens."""
        block, found = self._read()
        if found.newest.is_settled or found.newest.frames:
            return False
        self._write(block, found.slot, found.newest.settled(0))
        return True

    def renew(self, sync: Callable[[], None]) -> bool:
        """Writes the newest record into both places under the current data key, where the file is settled.

        Returns `False` where it is not, and nothing was written.
        """
        block, found = self._read()
        if not found.newest.is_settled:
            return False
        for slot in (1 - found.slot, found.slot):
            self._write(block, slot, found.newest)
            sync()
        return True

    def _read(self) -> tuple[bytes, Records]:
        block = self._file.read_block()
        found = newest_record(block, (key.state for key in self._file.keys))
        if found is None:
            raise DamagedHeaderError(
                f"both state records of {self._file.label!r} are damaged or were altered. Nothing was changed. Restore "
                "the file from a backup; salvage() reads what there is."
            )
        self._known = found.newest
        return block, found

    def _write(self, block: bytes, slot: int, record: StateRecord) -> None:
        trusted = self._file.known_header(block)
        if trusted is not None:  # else as in the record before: one of the two copies may not be safe
            record = record.with_header(trusted.header.generation, trusted.mac)
        self._file.write_record(RECORD_STARTS[slot], record.encode(self._file.keys.current.state))
        self._known = record
