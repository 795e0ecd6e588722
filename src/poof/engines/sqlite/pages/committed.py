"""A cluster in memory as its last commit left it, for reads beside the connection that writes.

Layer: storage.

In memory the index of SQLite's log belongs to one connection. But all that others need of it is where each page was
last committed, which the log's own file remembers. So to a connection that only reads, this is a file that nobody can
write: SQLite takes no locks on it and looks for no log.

Invariants: a page comes from the last frame that holds it and was committed, or from the main file, where no frame
does. While such a connection reads, the main file stays as it is: whoever copies the log into it waits. The log may be
begun anew meanwhile, for then all of it is in the main file.
"""

import apsw
from cryptography.fernet import InvalidToken

from poof.engines.sqlite.pages.main_file import MainFile
from poof.engines.sqlite.pages.state import ClusterState
from poof.format.layout import FRAME_HEADER_SIZE, PAGE_SIZE, frame_start


class Committed:
    """The last commit on another connection. It is looked at from any thread, while another one commits."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._commit = state.commit
        self.frames = self._commit.pages.latest(self._commit.frames)
        """For each page in the log, the number of its frame."""

    @property
    def is_newest(self) -> bool:
        """Whether nothing was committed since."""
        return self._state.commit is self._commit

    @property
    def is_in_log(self) -> bool:
        """Whether the log is still the one with these frames."""
        return self._state.commit.pages is self._commit.pages


class CommittedFile(MainFile):
    """The cluster file as SQLite sees it, with all that was committed in it."""

    def __init__(
        self, state: ClusterState, name: str | apsw.URIFilename | None, flags: list[int], of: Committed
    ) -> None:
        super().__init__(state, name, flags)
        self._committed = of
        self._frames = of.frames
        self._size = max(of.frames, default=0) * PAGE_SIZE
        self._log = apsw.VFSFile(state.base, f"{state.path}-wal", [apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READONLY, 0])

    def xRead(self, amount: int, offset: int) -> bytes | memoryview:  # type: ignore[override]  # noqa: N802
        index, start = divmod(offset, PAGE_SIZE)
        frame = self._frames.get(index + 1)
        if frame is None:
            return super().xRead(amount, offset)
        token = self._log.xRead(PAGE_SIZE, frame_start(frame) + FRAME_HEADER_SIZE)
        if not self._committed.is_in_log:  # perhaps not just now, but what was read may be of another log
            return super().xRead(amount, offset)
        try:
            page, codec = self._open(token)
        except InvalidToken:
            self._damaged(index + 1, "the log of")
        if (codec.number, codec.place[1]) != (index + 1, frame):
            self._damaged(index + 1, "the log of")
        return page[start : start + amount]

    def xFileSize(self) -> int:  # noqa: N802
        return max(super().xFileSize(), self._size)

    def xClose(self) -> None:  # noqa: N802
        self._log.xClose()
        super().xClose()
