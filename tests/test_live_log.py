"""The log of a cluster that is open: SQLite reads its frames by an index that nothing authenticates."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poof import DamagedPageError, PoofCluster
from poof.format.layout import FRAME_HEADER_SIZE, FRAME_SIZE, LOG_HEADER_SIZE, PAGE_SIZE

DOCUMENTS = 40
LARGE = "x" * 3000


class Log:
    """The frames of a log on disk. Nothing locks the log itself, so it may be opened beside SQLite."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __len__(self) -> int:
        return (os.fstat(self.descriptor).st_size - LOG_HEADER_SIZE) // FRAME_SIZE

    def __getitem__(self, number: int) -> bytes:
        return os.pread(self.descriptor, FRAME_SIZE, LOG_HEADER_SIZE + number * FRAME_SIZE)

    def __setitem__(self, number: int, frame: bytes) -> None:
        os.pwrite(self.descriptor, frame, LOG_HEADER_SIZE + number * FRAME_SIZE)


@contextlib.contextmanager
def opened_log(path: Path) -> Iterator[Log]:
    descriptor = os.open(f"{path}-wal", os.O_RDWR)
    try:
        yield Log(descriptor)
    finally:
        os.close(descriptor)


async def with_two_frames(path: Path, key: str) -> PoofCluster:
    """An open cluster whose log holds two pages of documents."""
    cluster = await PoofCluster.create(path, key)
    collection = await (await cluster.get_database("db")).get_collection("coll")
    ids = [(await collection.insert({"number": number, "text": LARGE})).objId for number in range(DOCUMENTS)]
    await cluster.save()
    await collection.update(ids[0], {"number": 1000, "text": LARGE})
    await collection.update(ids[30], {"number": 1030, "text": LARGE})
    return cluster


async def read_all(path: Path, key: str) -> list[int]:
    async with await PoofCluster.create(path, key) as cluster:
        collection = await (await cluster.get_database("db")).get_collection("coll")
        return [doc.data["number"] for doc in await collection.find_all()]


def exchange(log: Log) -> None:
    log[0], log[1] = log[1], log[0]


def repeat(log: Log) -> None:
    log[1] = log[0]


def flip_a_bit(log: Log) -> None:
    frame = bytearray(log[1])
    frame[FRAME_SIZE // 2] ^= 1
    log[1] = bytes(frame)


def flip_a_bit_of_the_header(log: Log) -> None:
    log[1] = bytes([log[1][0] ^ 1]) + log[1][1:]


def put_another_page_under_its_number(log: Log) -> None:
    """What made a wrong document of it once: the number of one frame, and its page, over those of another."""
    log[1] = log[0][:4] + log[1][4:FRAME_HEADER_SIZE] + log[0][FRAME_HEADER_SIZE:]


@pytest.mark.parametrize(
    "damage", [exchange, repeat, flip_a_bit, flip_a_bit_of_the_header, put_another_page_under_its_number]
)
def test_a_frame_that_is_altered_or_out_of_place_is_refused(run, path, key, damage):
    async def story():
        cluster = await with_two_frames(path, key)
        with opened_log(path) as log:
            assert len(log) == 2
            whole = [log[0], log[1]]
            damage(log)
            with pytest.raises(DamagedPageError, match="in the log of"):
                await read_all(path, key)
            log[0], log[1] = whole
        assert sorted(await read_all(path, key))[-2:] == [1000, 1030]
        await cluster.close()

    run(story())


def test_a_frame_of_an_older_log_is_refused_in_its_old_place(run, path, key):
    async def story():
        cluster = await with_two_frames(path, key)
        collection = await (await cluster.get_database("db")).get_collection("coll")
        with opened_log(path) as log:
            old = log[0]
            await cluster.save()
            first = (await collection.find_all())[0]
            await collection.update(first.objId, {"number": 2000, "text": LARGE})
            new = log[0]
            log[0] = old
            with pytest.raises(DamagedPageError):
                await read_all(path, key)
            log[0] = new
        assert 2000 in await read_all(path, key)
        await cluster.close()

    run(story())


def test_pages_that_are_rewritten_within_a_large_transaction_read_back(run, path, key):
    """Until it commits, SQLite leaves the salts of rewritten frames empty, and reads the pages all the same."""

    async def story():
        async with await PoofCluster.create(path, key, cache_mib=1) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("coll")
            doc = await collection.insert({"text": "y" * 5_000_000})
            for size in (4_000_000, 6_000_000):
                await collection.update(doc.objId, {"text": "z" * size})
                found = await collection.find_by_id(doc.objId)
                assert found is not None
                assert found.data == {"text": "z" * size}

    run(story())


def test_a_checkpoint_copies_the_tokens_of_the_log_as_they_are(run, path, key):
    """To open a page and seal it again would cost as much as to write it once more."""

    async def story():
        cluster = await with_two_frames(path, key)
        with opened_log(path) as log:
            frames = [log[0], log[1]]
        await cluster.save()
        await cluster.close()
        stored = path.read_bytes()
        slots = [stored[start : start + PAGE_SIZE] for start in range(0, len(stored), PAGE_SIZE)]
        for frame in frames:
            assert [frame[FRAME_HEADER_SIZE:]] == [token for token in slots if token == frame[FRAME_HEADER_SIZE:]]

    run(story())
