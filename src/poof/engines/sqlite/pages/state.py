"""What the files of one connection to a cluster share: data keys, the last commit, and who watches.

Layer: storage; below the files and the VFS. It knows no SQLite.

Invariants: what is sealed is sealed with the current data key. A page that does not open with it may be sealed with the
previous one; or another process replaced the data key, and the header of the file tells.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from poof.engines.sqlite.pages.records import FileRecords
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.errors import OlderHeaderError, WrongKeyError
from poof.format import trust
from poof.format.frames import FramePages
from poof.format.header import copies_in
from poof.format.logs import LogHeader
from poof.format.pages import NO_PLACE
from poof.format.records import Place
from poof.format.subkeys import DataKeys
from poof.format.trust import TrustedHeader
from poof.keys.user_keys import UserKeys

MEMORY = ":memory:"
MEMORY_BASE = "memdb"
"""SQLite's own VFS of files that live in memory."""


class SealedFile(Protocol):
    """A file whose pages are sealed."""

    def use(self, keys: DataKeys) -> None:
        """Seals with the current one of these data keys from now on, and opens with either."""


class Main(SealedFile, Protocol):
    """The cluster file, while it is open."""

    def read_header(self) -> bytes:
        """Returns the header block as it is in the file now."""

    def write_header(self, offset: int, copy: bytes) -> None:
        """Writes one copy of the header, and waits until it is on the disk."""

    def write_record(self, offset: int, record: bytes) -> None:
        """Writes one state record, which a sync makes safe."""

    def sync(self) -> None:
        """Makes what was written safe."""

    def is_current(self, number: int) -> bool:
        """Whether a page in the file is sealed with the current data key."""


class Log(SealedFile, Protocol):
    """The write-ahead log, while it is open."""

    def flush(self) -> None:
        """Does most of the work of a sync while other threads run."""

    synced_frames: int
    """How many frames were committed when the log was last synced, and so are safe."""

    def sync(self) -> None:
        """Makes what was written safe."""

    def count_pages(self) -> int:
        """Returns how many different pages were written since the log was begun."""

    def count_committed(self) -> int:
        """Returns how many frames are committed, by SQLite's index of the log; `UNKNOWN_FRAMES` without one."""

    def is_empty(self) -> bool:
        """Whether nothing at all lies in the file of the log."""

    def header(self) -> LogHeader | None:
        """Returns the header of the log as it is now, if there is a log; it is of the file."""


class Commit(NamedTuple):
    """How far the log was committed. Every commit makes a new one, and so does the beginning of a log."""

    pages: FramePages
    """The pages of its frames; of another log, these are others."""
    frames: int
    """How many of them, from the first, are committed."""


class Opened(NamedTuple):
    """A page that was read from the log."""

    number: int
    page: bytes
    token: bytes | memoryview | None
    """As it lies in the log; `None` where it is of a key that must not come into the file any more."""
    place: Place


NOTHING = Opened(0, b"", None, NO_PLACE)


class ClusterState:
    """The state of one connection to a cluster file.

    `base` names SQLite's VFS below ours, the system's own by default; `label` is what errors call the file; `read_only`
    lets files be opened that cannot be written; `immutable` says that nobody can write the file, so that SQLite needs
    no locks and no files beside it. `user_keys` may lead to the next data key, and others may add to them. `trusted` is
    the header that was read, if it was, and `copies` the bytes of its two copies.
    """

    def __init__(
        self,
        path: str,
        keys: DataKeys,
        base: str = "",
        label: str | None = None,
        *,
        read_only: bool = False,
        immutable: bool = False,
        user_keys: UserKeys | None = None,
        trusted: TrustedHeader | None = None,
        copies: Sequence[bytes] = (),
        tuning: Tuning = DEFAULT,
    ) -> None:
        self.path = path
        self.base = base
        self.label = label or (MEMORY if base == MEMORY_BASE else path)
        self.read_only = read_only
        self.immutable = immutable
        self.tuning = tuning
        self.keys = keys
        self.main: Main | None = None
        self.log: Log | None = None
        self.records = FileRecords(self)
        self.is_new = False
        """Whether the file is being built: then nothing is said of its state."""
        self.unknown_features: list[str] = []
        """What the file uses that this program does not know, so that it must not write."""
        self.last_opened = NOTHING
        """The page that was last read from the log."""
        self.commit = Commit(FramePages(), 0)
        """The last one in the log; kept up to date in memory only."""
        self.on_page: Callable[[], None] | None = None
        """Called before a page is written to the log or to a temporary database; where it raises, SQLite gives up."""
        self.on_copied: Callable[[], None] | None = None
        """Called when a page was copied from the log into the file."""
        self._user_keys = user_keys
        self._trusted = trusted
        self._copies = list(copies)
        """Of the header, as they were when it was last trusted."""
        self._least = (0, b"")
        """A generation of the header that was there, and its MAC."""

    def main_opened(self, main: Main) -> None:
        """Notes the cluster file."""
        self.main = main

    def main_closed(self) -> None:
        """Forgets the cluster file."""
        self.main = None

    def log_opened(self, log: Log) -> None:
        """Notes the log."""
        self.log = log

    def log_closed(self) -> None:
        """Forgets the log."""
        self.log = None

    def log_begun(self, pages: FramePages) -> None:
        """Notes a log without commits, whose frames will have these pages."""
        self.commit = Commit(pages, 0)

    def committed(self, frames: int) -> None:
        """Notes a commit, after which so many frames of the log count."""
        self.commit = self.commit._replace(frames=frames)

    def opened(self, number: int, page: bytes, token: memoryview, place: Place) -> None:
        """Notes a page that was read from the log, which a checkpoint is likely to write into the file next."""
        self.last_opened = Opened(number, page, token, place)

    @contextmanager
    def before_each_page(self, call: Callable[[], None]) -> Iterator[None]:
        """Calls a function before each page that the block writes to the log or to a temporary database."""
        self.on_page = call
        try:
            yield
        finally:
            self.on_page = None

    @contextmanager
    def after_each_copy(self, call: Callable[[], None] | None) -> Iterator[None]:
        """Calls a function after each page that the block copies from the log into the file."""
        self.on_copied = call
        try:
            yield
        finally:
            self.on_copied = None

    def header(self) -> TrustedHeader:
        """Returns the newest header of the file, whose data keys are used from now on.

        Raises:
            KeyReplacedError: there is a newer one, to which neither the data key nor a user key belongs.
            DamagedHeaderError: no copy is readable.
        """
        return self._trust(self._open_main().read_header())

    def current_header(self) -> TrustedHeader:
        """Returns what `header` does; cheap, as long as the header stays as it was read."""
        self.read_block()
        return self._trusted or self.header()

    def expect_header(self, generation: int, mac: bytes) -> None:
        """Notes a header that the file had: a header that is read later is that one, or a newer one.

        Raises:
            OlderHeaderError: the one that was read last is older.
        """
        self._least = max(self._least, (generation, mac))
        if self._trusted is not None:
            self._check_age(self._trusted)

    def change_header(self, old: TrustedHeader, new: TrustedHeader) -> TrustedHeader:
        """Replaces the header that was just read, for a caller that keeps all others from changing it meanwhile.

        Raises:
            WrongKeyError: no user key has a slot any more.
            LimitError: the new header does not fit.
        """
        main = self._open_main()
        if not trust.opens(old, self._user_keys or ()):
            raise WrongKeyError(
                f"the key that {self.label!r} was opened with was removed, so it changes no keys any more. Nothing was "
                "changed. Open it again with a key or password that is in use."
            )
        written, copy = trust.written(new.header, new.keys)
        for offset, part in trust.writes(main.read_header(), old, copy):
            main.write_header(offset, part)
        self._copies = [copy, copy]
        return self._adopt(written)

    def read_block(self) -> bytes:
        """Returns the header block as it is now, whose data keys are used from now on."""
        block = self._open_main().read_header()
        if self._can_reload() and copies_in(block) != self._copies:
            self._trust(block)
        return block

    def known_header(self, block: bytes) -> TrustedHeader | None:
        """Returns the header in a block, if both copies are that one, and it is known."""
        if self._trusted is None or self._copies[0] != self._copies[1] or copies_in(block) != self._copies:
            return None
        return self._trusted

    def write_record(self, offset: int, record: bytes) -> None:
        """Writes one state record."""
        self._open_main().write_record(offset, record)

    def log_goes(self) -> None:
        """Called before the log is deleted or emptied: sees that the file is known not to need it."""
        if self.main is not None and not self.is_new and self.records.log_goes():
            self.main.sync()

    def reload_keys(self) -> bool:
        """Reads the header anew. Returns whether it names other data keys than those that were used so far."""
        known = self.keys
        if not self._can_reload():
            return False
        return self.header().keys != known

    def has_previous(self) -> bool:
        """Whether pages may be under the previous data key. Cheap, as long as the header stays as it was read."""
        if self.keys.previous is not None and self._can_reload():
            self.read_block()
        return self.keys.previous is not None

    def _can_reload(self) -> bool:
        return self.main is not None and self._user_keys is not None

    def _open_main(self) -> Main:
        if self.main is None:
            raise AssertionError("the header is read and changed while the file is open")
        return self.main

    def _trust(self, block: bytes) -> TrustedHeader:
        trusted = trust.newest(block, self.keys.current, self._user_keys or (), self.label)
        self._check_age(trusted)
        self._copies = copies_in(block)
        return self._adopt(trusted)

    def _check_age(self, trusted: TrustedHeader) -> None:
        generation, mac = self._least
        if trusted.header.generation < generation or (trusted.header.generation == generation and trusted.mac != mac):
            raise OlderHeaderError(
                f"the header of {self.label!r} is older than what the file holds, so that keys may be in it that were "
                "removed since. Nothing was changed. Put back the newest file, or a backup; salvage() reads this one."
            )

    def _adopt(self, trusted: TrustedHeader) -> TrustedHeader:
        """Goes over to the data keys of a header."""
        self._trusted = trusted
        if trusted.keys != self.keys:
            self.keys = trusted.keys
            self.last_opened = self.last_opened._replace(token=None)
            for file in (self.main, self.log):
                if file is not None:
                    file.use(self.keys)
        return trusted
