"""The VFS under real SQLite: which shapes it sees, what reaches the disk, what is refused.

POOF_SEED replays the random test.
"""

import base64
import contextlib
import random
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import apsw
import inside
import pytest
from cryptography.fernet import Fernet
from faults.campaign import SEED

from poof.engines.sqlite.file.unlock import new_header
from poof.engines.sqlite.pages.log_file import WalFile
from poof.engines.sqlite.pages.main_file import MainFile
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.pages.vfs import ClusterVFS
from poof.engines.sqlite.tables import connections
from poof.engines.sqlite.tables.connections import opened, prepare_new
from poof.errors import DamagedPageError, StorageError, TruncatedFileError
from poof.format.header import encode_block
from poof.format.layout import (
    CONTENT_SIZE,
    FRAME_HEADER_SIZE,
    FRAME_SIZE,
    HEADER_BLOCK_SIZE,
    LOG_HEADER_SIZE,
    PAGE_SIZE,
    RECORD_SIZE,
    TOKEN_SIZE,
    WAL_HEADER_SIZE,
    frame_position,
    frame_start,
)
from poof.keys.credentials import Credentials

KEY = Fernet.generate_key()
DISK = "disk"
UNLOCKED = new_header(Credentials(key=KEY), KEY)
FERNET = Fernet(base64.urlsafe_b64encode(UNLOCKED.key.page))

MAIN_FLAGS = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE
NEW_FLAGS = MAIN_FLAGS | apsw.SQLITE_OPEN_CREATE
WAL_FLAGS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

SHAPES = {
    ("main", "read", PAGE_SIZE, "page+0"),
    ("main", "read", 100, "page+0"),
    ("main", "read", 16, "page+24"),
    ("main", "write", PAGE_SIZE, "page+0"),
    ("wal", "read", WAL_HEADER_SIZE, "header+0"),
    ("wal", "read", 8, "header+24"),
    ("wal", "read", FRAME_SIZE, "frame+0"),
    ("wal", "read", 8, "frame+16"),
    ("wal", "read", PAGE_SIZE, "frame+24"),
    ("wal", "write", WAL_HEADER_SIZE, "header+0"),
    ("wal", "write", FRAME_HEADER_SIZE, "frame+0"),
    ("wal", "write", PAGE_SIZE, "frame+24"),
}
"""All that vfs.py knows: the file, what is done, how many bytes, where."""


class Traced(apsw.VFSFile):
    """A file that notes what SQLite asks of it."""

    def note(self, operation: str, amount: int, offset: int) -> None:
        if isinstance(self, MainFile):
            self.seen.add(("main", operation, amount, f"page+{offset % PAGE_SIZE}"))
        elif offset < WAL_HEADER_SIZE:
            self.seen.add(("wal", operation, amount, f"header+{offset}"))
        else:
            self.seen.add(("wal", operation, amount, f"frame+{frame_position(offset)[1]}"))

    def xRead(self, amount: int, offset: int) -> Any:  # noqa: N802
        self.note("read", amount, offset)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self.note("write", len(data), offset)
        super().xWrite(data, offset)


class TracedMain(Traced, MainFile):
    pass


class TracedWal(Traced, WalFile):
    pass


class TracingVFS(ClusterVFS):
    """Ours, with files that note into `seen`."""

    seen: ClassVar[set[tuple[str, str, int, str]]] = set()

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        if not flags[0] & (apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL):
            return super().xOpen(name, flags)
        kind = TracedMain if flags[0] & apsw.SQLITE_OPEN_MAIN_DB else TracedWal
        file = kind(self._state, name, flags)
        file.seen = self.seen
        return file


class DiskFile(apsw.VFSFile):
    def __init__(self, vfs: "DiskVFS", kind: str, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._written = vfs.written
        self._kind = kind

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._written.append((self._kind, bytes(data), offset))
        super().xWrite(data, offset)


class DiskVFS(apsw.VFS):
    """The system's VFS, below ours, that keeps what is opened and written."""

    def __init__(self) -> None:
        super().__init__(DISK, "")
        self.opened: list[str] = []
        self.written: list[tuple[str, bytes, int]] = []

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        self.opened.append(Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name)
        return DiskFile(self, "main" if flags[0] & apsw.SQLITE_OPEN_MAIN_DB else "wal", name, flags)


@pytest.fixture
def disk() -> Iterator[DiskVFS]:
    vfs = DiskVFS()
    yield vfs
    vfs.unregister()


def state(path: Path, base: str = "") -> ClusterState:
    return inside.state_of(path, UNLOCKED.key, base)


@contextlib.contextmanager
def opened_file(path: Path, flags: int) -> Iterator[Any]:
    """The main file or the log of a cluster as our VFS gives it to SQLite."""
    name = str(path) if flags & apsw.SQLITE_OPEN_MAIN_DB else f"{path}-wal"
    with inside.file_of(state(path), name, flags) as file:
        yield file


def prepare(path: Path, base: str = "") -> None:
    """Makes a file a new cluster."""
    path.write_bytes(encode_block(UNLOCKED.header, UNLOCKED.key.data_key))
    with opened(state(path, base), new=True) as connection:
        prepare_new(connection, UNLOCKED.trusted)


def new_cluster(path: Path) -> Path:
    prepare(path)
    return path


def open_slot(slot: bytes) -> tuple[bytes, int, tuple[int, int]]:
    """The content and number of the page in a slot, by plain Fernet; and where it was written."""
    assert slot[TOKEN_SIZE:].strip(b"\x00") == b""
    plaintext = FERNET.decrypt(base64.urlsafe_b64encode(slot[:TOKEN_SIZE]))
    base, frame, number = struct.unpack(">QII", plaintext[CONTENT_SIZE:])
    return plaintext[:CONTENT_SIZE], number, (base, frame)


def count_authentic_pages(path: Path) -> int:
    data = path.read_bytes()
    assert len(data) % PAGE_SIZE == 0
    slots = [data[start : start + PAGE_SIZE] for start in range(HEADER_BLOCK_SIZE, len(data), PAGE_SIZE)]
    assert [open_slot(slot)[1] for slot in slots] == list(range(1, len(slots) + 1))
    return len(slots)


def text(rng: random.Random, size: int) -> str:
    return rng.randbytes(size // 2 + 1).hex()[:size]


def work(connection: apsw.Connection) -> None:
    """Spills of a tiny cache, savepoints, rollbacks, overflow pages, an index, a vacuum; a log that starts anew."""
    rng = random.Random(1)
    run = connection.execute
    run("PRAGMA cache_size = 5; CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT UNIQUE, d TEXT)")
    # Pages of the log's first frames are written again in the same transaction: SQLite sums up from the log's header.
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    run("BEGIN")
    connection.executemany("INSERT INTO t (k, d) VALUES (?, ?)", ((text(rng, 20), text(rng, 300)) for _ in range(400)))
    run("COMMIT; BEGIN; SAVEPOINT a")
    for number in range(0, 400, 3):
        run("UPDATE t SET d = ? WHERE id = ?", (text(rng, 5000), number))
    run("ROLLBACK TO a")
    for number in range(0, 400, 5):
        run("UPDATE t SET d = ? WHERE id = ?", (text(rng, 3000), number))
    run("COMMIT; BEGIN; DELETE FROM t WHERE id % 2 = 0; ROLLBACK")
    run("INSERT INTO t (k, d) VALUES ('large', ?)", (text(rng, 1_000_000),))
    run("DELETE FROM t WHERE id % 7 = 0; UPDATE t SET d = d || d WHERE id % 3 = 0; CREATE INDEX i ON t (d)")
    assert [d for (d,) in run("SELECT d FROM t ORDER BY d")] == sorted(d for (d,) in run("SELECT d FROM t"))
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    run("DELETE FROM t WHERE id % 4 = 0; VACUUM")
    assert run("PRAGMA integrity_check").get == "ok"


def test_sqlite_reads_and_writes_in_the_listed_shapes_and_no_other(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[str, str, int, str]] = set()

    monkeypatch.setattr(connections, "ClusterVFS", TracingVFS)
    monkeypatch.setattr(TracingVFS, "seen", seen)
    prepare(path)
    copy = tmp_path / "copy.poof"
    with opened(state(path)) as connection:
        work(connection)
        connection.execute("INSERT INTO t (k) VALUES ('in the log')")
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
        expected = connection.execute("SELECT * FROM t").fetchall()
    with opened(state(copy)) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == expected
    assert seen == SHAPES


def test_every_page_that_reaches_the_disk_is_a_token(path: Path, disk: DiskVFS) -> None:
    prepare(path, DISK)
    with opened(state(path, DISK)) as connection:
        work(connection)
    sizes = {(kind, len(data)) for kind, data, _ in disk.written}
    alone = {("main", PAGE_SIZE), ("main", RECORD_SIZE), ("wal", LOG_HEADER_SIZE), ("wal", FRAME_HEADER_SIZE)}
    assert sizes == alone | {("wal", FRAME_SIZE)}
    tokens = [
        (kind, data[-PAGE_SIZE:], offset) for kind, data, offset in disk.written if len(data) in (PAGE_SIZE, FRAME_SIZE)
    ]
    assert len(tokens) > 1000
    for kind, data, offset in tokens:
        _, number, _ = open_slot(data)
        assert kind == "wal" or offset == number * PAGE_SIZE
    assert set(disk.opened) == {path.name, f"{path.name}-wal"}


def test_a_frame_reaches_the_disk_in_one_write(path: Path, disk: DiskVFS) -> None:
    with opened(state(new_cluster(path), DISK)) as connection:
        connection.execute("CREATE TABLE t (d TEXT); INSERT INTO t VALUES ('first')")
        disk.written.clear()
        connection.execute("INSERT INTO t VALUES ('second')")
        assert [(kind, len(data)) for kind, data, _ in disk.written] == [("wal", FRAME_SIZE)]


def test_a_frame_whose_page_failed_is_not_written_later_over_what_another_process_wrote_there(path: Path) -> None:
    def fail() -> None:
        raise apsw.InterruptError

    first = state(new_cluster(path))
    with opened(first) as one, opened(state(path)) as other:
        one.execute("CREATE TABLE t (d TEXT); INSERT INTO t VALUES ('first')")
        with first.before_each_page(fail), pytest.raises(apsw.Error):
            one.execute("INSERT INTO t VALUES ('never')")
        other.execute("INSERT INTO t VALUES ('second')")
        log = Path(f"{path}-wal").read_bytes()
        assert one.execute("SELECT d FROM t").fetchall() == [("first",), ("second",)]
        assert Path(f"{path}-wal").read_bytes() == log


def test_a_file_that_another_process_has_cut_gets_no_holes(path: Path) -> None:
    new_cluster(path)
    page = bytes(PAGE_SIZE)
    with opened_file(path, NEW_FLAGS) as one, opened_file(path, NEW_FLAGS) as other:
        one.xWrite(page, 20 * PAGE_SIZE)
        other.xTruncate(8 * PAGE_SIZE)
        one.xFileSize()  # as SQLite asks before it copies pages from the log
        one.xWrite(page, 15 * PAGE_SIZE)
    assert count_authentic_pages(path) == 16


def test_a_checkpoint_that_passes_over_the_last_page_leaves_no_file_that_seems_cut(path: Path) -> None:
    """A newer one of that page is in the log, where a reader keeps the checkpoint from going on."""

    def another() -> contextlib.AbstractContextManager[apsw.Connection]:
        return opened(state(path))

    with opened(state(new_cluster(path))) as one, another() as reader:
        one.execute("CREATE TABLE t (d TEXT)")
        pages = count_authentic_pages(path)
        one.executemany("INSERT INTO t VALUES (?)", [("x" * 5000,)] * 20)
        reader.execute("BEGIN; SELECT * FROM t")
        one.execute("UPDATE t SET d = 'y' || substr(d, 2) WHERE rowid = 20")
        one.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        assert count_authentic_pages(path) == one.pragma("page_count") > pages
        with another() as other:
            assert other.execute("SELECT count(*), count(DISTINCT d) FROM t").get == (20, 2)
        assert reader.execute("SELECT count(*), count(DISTINCT d) FROM t").get == (20, 1)


def test_the_log_is_for_another_reader_what_sqlite_wrote(path: Path, tmp_path: Path) -> None:
    with opened(state(new_cluster(path))) as connection:
        connection.execute("CREATE TABLE t (d TEXT); INSERT INTO t VALUES ('in the log')")
        log = Path(f"{path}-wal").read_bytes()
        numbers = [
            (number, open_slot(log[frame_start(number) :][24:FRAME_SIZE])[2])
            for number in range(1, (len(log) - LOG_HEADER_SIZE) // FRAME_SIZE + 1)
        ]
    assert numbers
    assert all(frame == place for frame, (_base, place) in numbers)


MAIN_READS = [(PAGE_SIZE + 1, 0), (PAGE_SIZE, 1), (2 * PAGE_SIZE, 0), (100, PAGE_SIZE - 99)]
MAIN_WRITES = [(100, 0), (PAGE_SIZE - 1, 0), (PAGE_SIZE, 24), (2 * PAGE_SIZE, 0), (0, 0)]
WAL_SHAPES = [(16, 0), (31, 0), (33, 0), (8, 16), (24, 8), (8, 32), (16, 40), (24, 40), (8191, 56), (8193, 56), (1, 32)]
WAL_SHAPES += [(PAGE_SIZE, WAL_HEADER_SIZE), (FRAME_SIZE + 1, WAL_HEADER_SIZE), (2 * FRAME_SIZE, WAL_HEADER_SIZE)]


@pytest.mark.parametrize(
    ("flags", "operation", "amount", "offset"),
    [
        *((MAIN_FLAGS, "read", *shape) for shape in MAIN_READS),
        *((MAIN_FLAGS, "write", *shape) for shape in MAIN_WRITES),
        *((WAL_FLAGS, "read", *shape) for shape in [*WAL_SHAPES, (FRAME_HEADER_SIZE, WAL_HEADER_SIZE)]),
        *((WAL_FLAGS, "write", *shape) for shape in [*WAL_SHAPES, (8, 24), (FRAME_SIZE, WAL_HEADER_SIZE)]),
    ],
)
def test_an_unknown_shape_is_refused(path: Path, flags: int, operation: str, amount: int, offset: int) -> None:
    before = new_cluster(path).read_bytes()
    with opened_file(path, flags) as file, pytest.raises(apsw.IOError) as raised:
        if operation == "read":
            file.xRead(amount, offset)
        else:
            file.xWrite(bytes(amount), offset)
    assert isinstance(raised.value.__cause__, StorageError)
    assert path.read_bytes() == before
    assert not Path(f"{path}-wal").exists() or Path(f"{path}-wal").read_bytes() == b""


@pytest.mark.parametrize("position", [CONTENT_SIZE, PAGE_SIZE - 1])
def test_a_page_with_something_in_its_reserved_bytes_is_not_written(path: Path, position: int) -> None:
    before = new_cluster(path).read_bytes()
    page = bytearray(PAGE_SIZE)
    page[position] = 1
    with opened_file(path, NEW_FLAGS) as file, pytest.raises(apsw.IOError) as raised:
        file.xWrite(bytes(page), 0)
    assert isinstance(raised.value.__cause__, StorageError)
    assert path.read_bytes() == before


KINDS = ["TRANSIENT_DB", "MAIN_JOURNAL", "TEMP_JOURNAL", "SUBJOURNAL", "SUPER_JOURNAL"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("named", [True, False])
def test_no_other_kind_of_file_is_ever_opened(path: Path, kind: str, named: bool) -> None:
    flags = getattr(apsw, f"SQLITE_OPEN_{kind}") | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    vfs = ClusterVFS(state(path))
    with pytest.raises(apsw.CantOpenError) as raised:
        vfs.xOpen(f"{path}-journal" if named else None, [flags, 0])
    vfs.unregister()
    assert isinstance(raised.value.__cause__, StorageError)
    assert list(path.parent.iterdir()) == []


def make_hot_journal(folder: Path, pages: int) -> bytes:
    """A rollback journal that SQLite plays back into a plain database of so many pages, of 8192 bytes."""
    plain, crashed = folder / "plain.db", folder / "crashed.db"
    with contextlib.closing(sqlite3.connect(plain, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("CREATE TABLE t (d TEXT)")
        while connection.execute("PRAGMA page_count").fetchone()[0] < pages:
            connection.execute("INSERT INTO t VALUES (?)", ("before" * 400,))
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET d = replace(d, 'before', 'after!')")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("UPDATE t SET d = d || d")
        journal = Path(f"{plain}-journal").read_bytes()
        shutil.copy(plain, crashed)
    Path(f"{crashed}-journal").write_bytes(journal)
    with contextlib.closing(sqlite3.connect(crashed)) as connection:
        assert {d for (d,) in connection.execute("SELECT substr(d, 1, 6) FROM t")} == {"before"}
    assert not Path(f"{crashed}-journal").exists()  # it was hot: SQLite played it back and removed it
    return journal


def test_a_planted_rollback_journal_is_not_believed(path: Path, tmp_path: Path, disk: DiskVFS) -> None:
    with opened(state(new_cluster(path))) as connection:
        connection.execute("CREATE TABLE t (d TEXT); INSERT INTO t VALUES (?)", ("kept" * 20_000,))
    pages = count_authentic_pages(path)
    journal = Path(f"{path}-journal")
    journal.write_bytes(make_hot_journal(tmp_path, pages))
    before = path.read_bytes()
    with opened(state(path, DISK)) as connection:
        assert connection.execute("SELECT d FROM t").get == "kept" * 20_000
        assert connection.execute("PRAGMA integrity_check").get == "ok"
    assert path.read_bytes() == before
    assert journal.name not in disk.opened


def test_freed_and_unwritten_pages_leave_no_hole(path: Path) -> None:
    rng = random.Random(SEED)
    new_cluster(path)
    largest = 0
    for _ in range(6):
        with opened(state(path)) as connection:
            run = connection.execute
            run("PRAGMA cache_size = 5")
            for _ in range(rng.randint(3, 10)):
                names = [name for (name,) in run("SELECT name FROM sqlite_schema WHERE name LIKE 'r%'").fetchall()]
                run("BEGIN")
                for name in rng.sample(names, rng.randint(0, len(names))):
                    run(f"DROP TABLE {name}")
                for name in {f"r{rng.randrange(10)}" for _ in range(rng.randint(1, 3))}:
                    run(f"CREATE TABLE IF NOT EXISTS {name} (d BLOB)")
                    run(f"INSERT INTO {name} VALUES (zeroblob(?))", (rng.choice([10, 9000, 200_000]),))
                    run(rng.choice([f"DROP TABLE {name}", f"INSERT INTO {name} VALUES (zeroblob(30000))"]))
                run(rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]))
                if rng.random() < 0.4:
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            run(rng.choice(["VACUUM", "SELECT 1"]))
            assert run("PRAGMA integrity_check").get == "ok"
        largest = max(largest, count_authentic_pages(path))
    assert largest > 10


def test_pages_that_sqlite_skips_are_written_as_empty_ones(path: Path) -> None:
    count = count_authentic_pages(new_cluster(path))
    with opened_file(path, NEW_FLAGS) as file:
        file.xWrite(bytes(PAGE_SIZE), (count + 5) * PAGE_SIZE)
        assert file.xFileSize() == (count + 6) * PAGE_SIZE
        file.xTruncate((count + 9) * PAGE_SIZE)
    assert count_authentic_pages(path) == count + 9


def test_a_page_past_the_end_is_a_truncated_file_and_not_zeros(path: Path) -> None:
    count = count_authentic_pages(new_cluster(path))
    with opened_file(path, MAIN_FLAGS) as file, pytest.raises(apsw.IOError) as raised:
        file.xRead(PAGE_SIZE, count * PAGE_SIZE)
    assert isinstance(raised.value.__cause__, TruncatedFileError)


def test_a_hole_in_the_file_is_damage_and_not_an_empty_page(path: Path) -> None:
    with new_cluster(path).open("r+b") as file:
        file.seek(3 * PAGE_SIZE)
        file.write(bytes(PAGE_SIZE))
    with pytest.raises(DamagedPageError) as raised, opened(state(path)) as connection:
        connection.execute("PRAGMA integrity_check").get  # noqa: B018
    assert raised.value.page == 3
