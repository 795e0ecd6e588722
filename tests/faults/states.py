"""Stories of several connections to one cluster file, and files put together of parts of different moments.

A story writes, reads, copies the log into the file, begins it anew, opens and closes, at random; every commit is noted
with what the cluster then holds. Whatever the files are after a crash, or however their parts are mixed, what they hold
is one of these states, or they are refused.
"""

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from faults.disk import Disk, Mark, Name, Recording, Sync, SyncFolder, Truncate, Write
from poof.engines.sqlite.file.build import create
from poof.engines.sqlite.file.judged import check_opened, judge_closed
from poof.engines.sqlite.file.unlock import Unlocked
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.sqlite_errors import translated
from poof.engines.sqlite.tables.connections import ClusterConnection, connect, refuse_unchecked
from poof.keys.user_keys import UserKeys

COMMITTED, SAVED = "committed", "saved"
KEYS = 60
State = dict[int, int]
ACTIONS = {
    "open": 2.0,
    "close": 1.5,
    "write": 10.0,
    "write much": 2.0,
    "passive": 3.0,
    "truncate": 1.5,
    "restart": 1.0,
    "read": 3.0,
    "end": 3.0,
}


def open_whole(path: Path, unlocked: Unlocked, cache_pages: int = 64) -> ClusterConnection:
    """A connection, with all that is looked at when a cluster is opened."""
    with translated(str(path)):
        judge_closed(str(path), unlocked)
        state = ClusterState(
            str(path),
            unlocked.keys,
            user_keys=UserKeys(unlocked.user_key),
            trusted=unlocked.trusted,
            copies=unlocked.copies,
        )
        connection = connect(state)
        refuse_unchecked(connection, check_opened)
        connection.pragma("cache_size", cache_pages)
    return connection


def prepare(path: Path, unlocked: Unlocked) -> None:
    """A new cluster with a table of numbers."""
    create(str(path), unlocked)
    with contextlib.closing(open_whole(path, unlocked)) as connection:
        connection.execute("CREATE TABLE kv (k INTEGER PRIMARY KEY, v INTEGER, pad BLOB)")
        connection.execute("CREATE TABLE moment (t INTEGER); INSERT INTO moment VALUES (0)")


def read_state(path: Path, unlocked: Unlocked, *, goes_on: bool = False) -> tuple[int, State]:
    """The moment of a cluster, and what it holds, after SQLite has looked at all of it; `goes_on` writes as well."""
    connection = open_whole(path, unlocked)
    try:
        with translated(str(path)):
            assert connection.execute("PRAGMA integrity_check").get == "ok"
            moment = connection.execute("SELECT t FROM moment").get
            found = dict(connection.execute("SELECT k, v FROM kv"))
            if goes_on:
                connection.execute("INSERT OR REPLACE INTO kv VALUES (999, 1, zeroblob(20000))")
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                connection.execute("DELETE FROM kv WHERE k = 999")
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
                connection.execute("UPDATE moment SET t = t")
    finally:
        connection.close()
    if goes_on:
        assert read_state(path, unlocked) == (moment, found)
    return moment, found


@dataclass
class Story:
    """Connections that work on one file, in turns."""

    path: Path
    unlocked: Unlocked
    rng: random.Random
    states: dict[int, State]
    """What the cluster held after each commit, by its moment."""
    mark: Recording | None = None
    moment: int = 0
    step: int = 1
    """By how much a commit is later: a fork has moments of its own."""
    connections: list[ClusterConnection] = field(default_factory=list)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            with contextlib.suppress(apsw.BusyError):
                self._act()
        for connection in self.connections:
            end(connection)
        self.connections.clear()

    def _act(self) -> None:
        if not self.connections:
            self._open()
        action = self.rng.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        connection = self.rng.choice(self.connections)
        is_free = not connection.in_transaction
        match action:
            case "open" if len(self.connections) < 3:
                self._open()
            case "close":
                self.connections.remove(connection)
                end(connection)
                if not self.connections:
                    self._note(SAVED)
            case "write" | "write much" if is_free:
                self._write(connection, self.rng.randint(1, 4) if action == "write" else self.rng.randint(20, 60))
            case "passive" if is_free:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            case "restart" if is_free:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
            case "truncate" if is_free:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self._note(SAVED)
            case "read" if is_free:
                connection.execute("BEGIN; SELECT * FROM moment")
            case "end" if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _open(self) -> None:
        self.connections.append(open_whole(self.path, self.unlocked, self.rng.choice([4, 64])))

    def _write(self, connection: ClusterConnection, rows: int) -> None:
        state, moment = dict(self.states[self.moment]), self.moment + self.step
        connection.execute("BEGIN IMMEDIATE")
        try:
            for _ in range(rows):
                key = self.rng.randint(1, KEYS)
                if key in state and self.rng.random() < 0.2:
                    connection.execute("DELETE FROM kv WHERE k = ?", (key,))
                    del state[key]
                else:
                    pad = bytes(self.rng.randint(500, 9000))
                    connection.execute("INSERT OR REPLACE INTO kv VALUES (?, ?, ?)", (key, moment, pad))
                    state[key] = moment
            connection.execute("UPDATE moment SET t = ?", (moment,))
            if self.rng.random() < 0.1:
                connection.execute("ROLLBACK")
                return
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.moment = moment
        self.states[moment] = state
        self._note(COMMITTED)

    def _note(self, label: str) -> None:
        if self.mark is not None:
            self.mark.mark(label, self.moment)


def end(connection: ClusterConnection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.close()


@dataclass(frozen=True)
class Moment:
    """The files as they were at one moment, for whoever copies them; and the last commit."""

    disk: Disk
    committed: int

    def file(self, suffix: str = "") -> bytes | None:
        name = next((name for name in self.disk.names if name.endswith(f".poof{suffix}")), None)
        return None if name is None else bytes(self.disk.contents.get(self.disk.names[name], b""))


def kills(recording: Recording, rng: random.Random, share: float) -> Iterator[Moment]:
    """The files after the end of the process at moments of a recording, also in the middle of a write."""
    disk, committed = recording.before.copy(), 0
    for event in recording.events:
        match event:
            case Mark(label, number):
                committed = number if label == COMMITTED else committed
            case Sync() | SyncFolder():
                pass
            case Write(file, offset, data):
                if rng.random() < share / 2:
                    torn = disk.copy()
                    torn.apply(Write(file, offset, data[: rng.randrange(len(data) + 1)]))
                    yield Moment(torn, committed)
                disk.apply(event)
                if len(data) <= 128 or rng.random() < share:
                    yield Moment(disk.copy(), committed)
            case Truncate() | Name():
                disk.apply(event)
                yield Moment(disk.copy(), committed)
