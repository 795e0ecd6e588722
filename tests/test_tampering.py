"""Tampering: whatever somebody without the key does to the files, what is read is what was written, or an error.

The log is the one place where less may come back, never something else: it ends where it is damaged, and with it the
latest transactions. POOF_SEED replays the random tests.
"""

import contextlib
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.fernet import Fernet
from faults.campaign import SEED, scaled
from stores import DirectStore

from poof.engines.sqlite.file.build import create
from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import Unlocked, new_header, unlock
from poof.engines.sqlite.sqlite_errors import translated
from poof.errors import (
    DamagedFileError,
    DamagedPageError,
    DecryptionError,
    FileFormatError,
    PoofError,
    TruncatedFileError,
)
from poof.format.layout import FRAME_HEADER_SIZE, FRAME_SIZE, HEADER_COPY_SIZE, LOG_HEADER_SIZE, PAGE_SIZE
from poof.keys.credentials import Credentials

KEY = Fernet.generate_key()
CREDENTIALS = Credentials(key=KEY)
STRIDE = 97
"""The default suite tries every so-manieth offset, and all edges; the campaign tries every one."""

Documents = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """The bytes of a cluster's files, with what was in it after each commit of its log."""

    main: bytes
    log: bytes
    states: list[tuple[int, Documents]]
    """The log's size, and what the cluster held, from before the log's first commit to its last."""

    @property
    def documents(self) -> Documents:
        return self.states[-1][1]

    def after(self, size: int) -> Documents:
        """What the cluster holds with so much of its log."""
        return [documents for known, documents in self.states if known <= size][-1]


@contextlib.contextmanager
def opened(path: Path, unlocked: Unlocked | None = None) -> Iterator[DirectStore]:
    if unlocked is None:
        unlocked = unlock(read_header_block(str(path)), CREDENTIALS, str(path))
    store = DirectStore(str(path), unlocked, timeout=0, cache_mib=1)
    try:
        yield store
    finally:
        store.close()


def read(path: Path) -> Documents:
    """Everything in a cluster, after SQLite has looked at every page of it."""
    with opened(path) as store:
        documents = store.read_everything()
        with translated(str(path)):
            assert store._connection.execute("PRAGMA integrity_check").get == "ok"
        return documents


def outcome(path: Path) -> Documents | PoofError:
    try:
        return read(path)
    except (DecryptionError, FileFormatError) as error:
        return error


def make(path: Path, old_log: bool = False) -> Cluster:
    """A cluster of seven pages, two of its four documents in a log of two commits; or a longer log written before."""
    unlocked = new_header(CREDENTIALS, KEY)
    assert create(str(path), unlocked)
    log = Path(f"{path}-wal")
    with opened(path, unlocked) as store:
        people = store.collection(store.database("db"), "people")
        for number in range(2):
            store.insert(people, json.dumps({"number": number, "text": "a" * 700}))
        if old_log:
            for number in range(6):
                store.insert(people, json.dumps({"number": number, "text": "old"}))
            store._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        else:
            store.save()
        states = [(0, store.read_everything())]
        main = path.read_bytes()
        for number in range(2):
            store.insert(people, json.dumps({"number": number, "text": "b" * 700}))
            frames = (number + 1) * 2 if old_log else (log.stat().st_size - LOG_HEADER_SIZE) // FRAME_SIZE
            states.append((LOG_HEADER_SIZE + frames * FRAME_SIZE, store.read_everything()))
        whole = log.read_bytes()
    return Cluster(main, whole, states)


@pytest.fixture(scope="module")
def with_log(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return make(tmp_path_factory.mktemp("log") / "c.poof")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster whose log is in its file."""
    path = tmp_path_factory.mktemp("saved") / "c.poof"
    made = make(path)
    return Cluster(path.read_bytes(), b"", [(0, made.documents)])


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Another cluster of the same content, size and user key."""
    path = tmp_path_factory.mktemp("other") / "c.poof"
    make(path)
    return path.read_bytes()


def slots(data: bytes) -> list[bytes]:
    return [data[start : start + PAGE_SIZE] for start in range(0, len(data), PAGE_SIZE)]


def frames(log: bytes) -> list[bytes]:
    return [log[start : start + FRAME_SIZE] for start in range(LOG_HEADER_SIZE, len(log), FRAME_SIZE)]


def flipped(data: bytes, offset: int, mask: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]


def spread(size: int, unit: int, start: int, edges: set[int]) -> list[int]:
    """Offsets all over a file, and these edges of each unit of it."""
    found = set(range(0, size, STRIDE)) | set(range(start)) | {size - 1}
    found |= {base + edge for base in range(start, size, unit) for edge in edges}
    return sorted(found)


PAGE_EDGES = {0, 1, 8, 9, 24, 25, 26, 4095, 4096, 8152, 8153, 8184, 8185, 8191}
LOG_PAGE_FORMAT = range(4, 12)
"""Version and page size in the header of the log, which are the same in every one."""
FRAME_EDGES = {*range(FRAME_HEADER_SIZE), *(FRAME_HEADER_SIZE + edge for edge in PAGE_EDGES)}


def check_flips(path: Path, cluster: Cluster, offsets: list[int]) -> None:
    for offset in offsets:
        tampered = flipped(cluster.main, offset, 1 << offset % 8)
        path.write_bytes(tampered)
        result = outcome(path)
        if offset < PAGE_SIZE:
            assert result == cluster.documents, offset  # the other copy of the header is whole
        else:
            assert isinstance(result, DamagedPageError), offset
            assert result.page == offset // PAGE_SIZE
        assert path.read_bytes() == tampered


def check_log_flips(path: Path, cluster: Cluster, offsets: list[int]) -> None:
    for offset in offsets:
        path.write_bytes(cluster.main)
        Path(f"{path}-wal").write_bytes(flipped(cluster.log, offset, 1 << offset % 8))
        if offset in LOG_PAGE_FORMAT:
            assert isinstance(outcome(path), DamagedFileError), offset
        else:
            assert outcome(path) == cluster.after(offset), offset


def test_no_flipped_byte_changes_what_is_read(path: Path, saved: Cluster) -> None:
    check_flips(path, saved, spread(len(saved.main), PAGE_SIZE, 0, PAGE_EDGES))


@pytest.mark.campaign
def test_no_flipped_byte_anywhere_changes_what_is_read(path: Path, saved: Cluster, figures: Counter[str]) -> None:
    check_flips(path, saved, list(range(len(saved.main))))
    figures["4 tampering: bytes changed one by one, every one there is"] += len(saved.main)


def test_a_flip_in_both_copies_of_the_header_is_refused(saved: Cluster) -> None:
    for offset in range(HEADER_COPY_SIZE):
        mask = 1 << offset % 8
        block = flipped(flipped(saved.main[:PAGE_SIZE], offset, mask), HEADER_COPY_SIZE + offset, mask)
        with pytest.raises((DecryptionError, FileFormatError)):
            unlock(block, CREDENTIALS, "c.poof")


def test_swapped_pages_are_refused(path: Path, saved: Cluster) -> None:
    for one, two in itertools.combinations(range(1, len(slots(saved.main))), 2):
        changed = slots(saved.main)
        changed[one], changed[two] = changed[two], changed[one]
        path.write_bytes(b"".join(changed))
        assert isinstance(outcome(path), DamagedPageError), (one, two)


def test_a_page_copied_over_another_is_refused(path: Path, saved: Cluster) -> None:
    for source, target in itertools.permutations(range(len(slots(saved.main))), 2):
        changed = slots(saved.main)
        changed[target] = changed[source]
        path.write_bytes(b"".join(changed))
        result = outcome(path)
        if target:
            assert isinstance(result, DamagedPageError) and result.page == target, (source, target)
        else:
            assert isinstance(result, FileFormatError), source


def test_a_zeroed_page_is_refused(path: Path, saved: Cluster) -> None:
    for number in range(1, len(slots(saved.main))):
        changed = slots(saved.main)
        changed[number] = bytes(PAGE_SIZE)
        path.write_bytes(b"".join(changed))
        result = outcome(path)
        assert isinstance(result, DamagedPageError) and result.page == number


def test_a_page_of_another_cluster_with_the_same_key_is_refused(path: Path, saved: Cluster, other: bytes) -> None:
    assert len(other) == len(saved.main)
    for number in range(len(slots(saved.main))):
        changed = slots(saved.main)
        changed[number] = slots(other)[number]
        path.write_bytes(b"".join(changed))
        result = outcome(path)
        assert isinstance(result, DamagedPageError) and result.page == max(number, 1)


def test_a_file_that_lost_its_end_is_refused(path: Path, saved: Cluster) -> None:
    edges = {number * PAGE_SIZE + cut for number in range(len(slots(saved.main))) for cut in (0, 1, 4096, 8191)}
    for size in sorted(edges):
        path.write_bytes(saved.main[:size])
        expected = TruncatedFileError if size >= PAGE_SIZE else FileFormatError | DecryptionError
        assert isinstance(outcome(path), expected), size


def test_a_page_cut_out_of_the_middle_or_put_in_is_refused(path: Path, saved: Cluster, other: bytes) -> None:
    for number in range(1, len(slots(saved.main)) - 1):
        changed = slots(saved.main)
        path.write_bytes(b"".join(changed[:number] + changed[number + 1 :]))
        assert isinstance(outcome(path), DecryptionError), number
        path.write_bytes(b"".join(changed[:number] + slots(other)[number : number + 1] + changed[number:]))
        assert isinstance(outcome(path), DamagedPageError), number


@pytest.mark.parametrize("kind", ["bytes", "zero pages", "random pages", "its own pages", "pages of another"])
def test_what_is_appended_is_never_read(path: Path, saved: Cluster, other: bytes, kind: str) -> None:
    appended = {
        "bytes": b"x",
        "zero pages": bytes(3 * PAGE_SIZE),
        "random pages": os.urandom(3 * PAGE_SIZE),
        "its own pages": saved.main[PAGE_SIZE:],
        "pages of another": other[PAGE_SIZE:],
    }
    path.write_bytes(saved.main + appended[kind])
    assert read(path) == saved.documents
    with opened(path) as store:
        people = store.collection(store.database("db"), "people")
        obj_id = store.insert(people, json.dumps({"text": "c" * 50_000}))
    assert read(path)["db"]["people"] == [*saved.documents["db"]["people"], (obj_id, {"text": "c" * 50_000})]


def test_a_flipped_byte_of_the_log_ends_it_there(path: Path, with_log: Cluster) -> None:
    check_log_flips(path, with_log, spread(len(with_log.log), FRAME_SIZE, LOG_HEADER_SIZE, FRAME_EDGES))


@pytest.mark.campaign
def test_a_flipped_byte_anywhere_in_the_log_ends_it_there(path: Path, with_log: Cluster, figures: Counter[str]) -> None:
    check_log_flips(path, with_log, list(range(len(with_log.log))))
    figures["4 tampering: bytes changed one by one, every one there is"] += len(with_log.log)


def test_a_log_that_lost_its_end_gives_the_transactions_before_it(path: Path, with_log: Cluster) -> None:
    for size in [*spread(len(with_log.log), FRAME_SIZE, LOG_HEADER_SIZE, FRAME_EDGES), len(with_log.log)]:
        path.write_bytes(with_log.main)
        Path(f"{path}-wal").write_bytes(with_log.log[:size])
        assert outcome(path) == with_log.after(size), size


def recovered(path: Path, cluster: Cluster, changed: list[bytes]) -> Documents | PoofError:
    path.write_bytes(cluster.main)
    Path(f"{path}-wal").write_bytes(cluster.log[:LOG_HEADER_SIZE] + b"".join(changed))
    return outcome(path)


def test_frames_that_are_moved_or_repeated_end_the_log(path: Path, with_log: Cluster) -> None:
    whole = frames(with_log.log)
    assert len(whole) >= 4
    for source, target in itertools.permutations(range(len(whole)), 2):
        expected = with_log.after(LOG_HEADER_SIZE + min(source, target) * FRAME_SIZE)
        swapped = list(whole)
        swapped[source], swapped[target] = whole[target], whole[source]
        assert recovered(path, with_log, swapped) == expected
        copied = [*whole[:target], whole[source], *whole[target + 1 :]]
        assert recovered(path, with_log, copied) == with_log.after(LOG_HEADER_SIZE + target * FRAME_SIZE)
    for frame in range(len(whole)):
        end = with_log.after(LOG_HEADER_SIZE + (frame + 1) * FRAME_SIZE)
        assert recovered(path, with_log, [*whole[: frame + 1], *whole[frame:]]) == end
        dropped = with_log.after(LOG_HEADER_SIZE + frame * FRAME_SIZE)
        assert recovered(path, with_log, [*whole[:frame], *whole[frame + 1 :]]) == dropped


def test_frames_of_an_older_log_are_not_read_in_a_newer_one(path: Path, tmp_path: Path) -> None:
    cluster = make(tmp_path / "made.poof", old_log=True)
    new_frames = (cluster.states[-1][0] - LOG_HEADER_SIZE) // FRAME_SIZE
    mixed = frames(cluster.log)
    old = mixed[new_frames:]  # which SQLite left behind the newer ones
    assert len(old) >= 4
    assert recovered(path, cluster, mixed) == cluster.documents
    for number, frame in itertools.product(range(new_frames + 1), old):
        changed = [*mixed[:number], frame, *mixed[number + 1 : new_frames]]
        assert recovered(path, cluster, changed) == cluster.after(LOG_HEADER_SIZE + number * FRAME_SIZE)


def test_a_log_of_another_cluster_is_not_read(path: Path, tmp_path: Path, with_log: Cluster) -> None:
    foreign = make(tmp_path / "foreign.poof")
    path.write_bytes(with_log.main)
    Path(f"{path}-wal").write_bytes(foreign.log)
    assert outcome(path) == with_log.after(0)


def damage_at_random(path: Path, cluster: Cluster, rounds: int) -> None:
    rng = random.Random(SEED)
    known = [documents for _, documents in cluster.states]
    for _ in range(rounds):
        files = [bytearray(cluster.main), bytearray(cluster.log)]
        for _ in range(rng.randint(1, 3)):
            data = rng.choice(files)
            size = min(rng.choice([1, 16, 4096, PAGE_SIZE, FRAME_SIZE]), len(data))
            start, source = (rng.randrange(len(data) - size + 1) for _ in range(2))
            data[start : start + size] = rng.choice(
                [rng.randbytes(size), bytes(size), data[source : source + size], b""]
            )
        path.write_bytes(files[0])
        Path(f"{path}-wal").write_bytes(files[1])
        result = outcome(path)
        assert isinstance(result, DecryptionError | FileFormatError) or result in known


def test_random_damage_never_gives_what_was_not_written(path: Path, with_log: Cluster) -> None:
    damage_at_random(path, with_log, 150)


@pytest.mark.campaign
def test_much_random_damage_never_gives_what_was_not_written(
    path: Path, with_log: Cluster, figures: Counter[str]
) -> None:
    damage_at_random(path, with_log, scaled(5_000))
    figures["4 tampering: files changed in several places at random"] += scaled(5_000)


@contextlib.contextmanager
def tampered_while_open(path: Path) -> Iterator[int]:
    """A descriptor to change a file with. Closing the main file's drops SQLite's locks, so it outlives the stores."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_a_page_that_changes_while_the_cluster_is_open_is_refused(path: Path) -> None:
    create(str(path), new_header(CREDENTIALS, KEY))
    with tampered_while_open(path) as descriptor, opened(path) as store:
        people = store.collection(store.database("db"), "people")
        for number in range(600):
            store.insert(people, json.dumps({"number": number, "text": "a" * 4000}))
        store.save()
        documents = store.read_everything()
        whole = os.pread(descriptor, 10**9, 0)
        assert len(whole) > 2 * 1024 * 1024  # more than the store may keep in memory
        for number in range(10, len(whole) // PAGE_SIZE, 40):
            os.pwrite(descriptor, flipped(whole[number * PAGE_SIZE :][:PAGE_SIZE], 4000, 1), number * PAGE_SIZE)
        with pytest.raises(DamagedPageError):
            store.read_everything()
        os.pwrite(descriptor, whole, 0)
        assert store.read_everything() == documents
        os.pwrite(descriptor, slots(whole)[20] + slots(whole)[20], 20 * PAGE_SIZE)
        with opened(path) as second, pytest.raises(DamagedPageError):
            second.read_everything()
        os.pwrite(descriptor, whole, 0)


def test_a_byte_of_the_log_flipped_while_the_cluster_is_open_changes_nothing_that_is_read(path: Path) -> None:
    create(str(path), new_header(CREDENTIALS, KEY))
    with opened(path) as store:
        people = store.collection(store.database("db"), "people")
        store.insert(people, json.dumps({"text": "a" * 700}))
        documents = store.read_everything()
        with tampered_while_open(Path(f"{path}-wal")) as descriptor:
            log = os.pread(descriptor, 10**9, 0)
            refused = 0
            for offset in spread(len(log), FRAME_SIZE, LOG_HEADER_SIZE, FRAME_EDGES):
                os.pwrite(descriptor, flipped(log, offset, 1 << offset % 8), 0)
                result = outcome(path)  # of a second connection, which goes by the first one's index of the log
                assert result == documents or isinstance(result, DamagedPageError), offset
                refused += result != documents
            os.pwrite(descriptor, log, 0)
            assert refused > len(log) // STRIDE // 2
            assert read(path) == documents
