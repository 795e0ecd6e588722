"""Room for what does not fit into memory: blocks come back, and nobody else ever reads one."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from poof.engines.scratch import MAX_BLOCK, SealedScratch
from poof.errors import ClosedError, DamagedFileError, StorageError
from tests.support.people import Where, open_cluster

SECRET = b"sentinel-5f1c" * 100
SIZES = [0, 1, 100, 65_536, 300_000, MAX_BLOCK]
OPEN = Path("/proc/self/fd")
needs_proc = pytest.mark.skipif(not OPEN.exists(), reason="needs Linux")


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[SealedScratch]:
    with SealedScratch(str(tmp_path)) as opened:
        yield opened


def files_of(folder: Path) -> list[Path]:
    """The open files of this process that lie, or lay, in a folder. These paths open them again."""
    links = [link for link in OPEN.iterdir() if link.is_symlink()]  # the one of the loop itself is gone by now
    return [link for link in links if str(link.readlink()).startswith(str(folder))]


def test_blocks_come_back_in_any_order(scratch):
    blocks = [os.urandom(size) for size in SIZES]
    places = [scratch.append(block) for block in blocks]
    assert len(set(places)) == len(blocks)
    for place, block in reversed([*zip(places, blocks, strict=True)]):
        assert scratch.read(place) == block
    later = scratch.append(b"later")
    assert [scratch.read(place) for place in (later, places[1], later)] == [b"later", blocks[1], b"later"]


def test_a_block_of_more_than_16_mib_is_refused(scratch):
    with pytest.raises(ValueError, match="16,777,217"):
        scratch.append(bytes(MAX_BLOCK + 1))
    assert scratch.read(scratch.append(b"small")) == b"small"


def test_it_has_no_name(scratch, tmp_path):
    scratch.append(SECRET)
    assert list(tmp_path.iterdir()) == []


@needs_proc
def test_nothing_in_it_is_readable_or_tells_that_two_blocks_are_the_same(scratch, tmp_path):
    for _ in range(2):
        scratch.append(SECRET)
    (file,) = files_of(tmp_path)
    content = file.read_bytes()
    assert len(content) > 2 * len(SECRET)
    assert SECRET[:8] not in content
    half = len(content) // 2
    assert content[4:half] != content[half + 4 :]


@needs_proc
@pytest.mark.parametrize("at", [0, 3, 4, 15, 16, 50, -17, -1], ids=str)
def test_a_changed_byte_is_told(scratch, tmp_path, at):
    place = scratch.append(b"x" * 100)
    (file,) = files_of(tmp_path)
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedFileError):
        scratch.read(place)


@needs_proc
def test_a_block_in_the_place_of_another_is_told(scratch, tmp_path):
    first, second = scratch.append(b"x" * 100), scratch.append(b"y" * 100)
    (file,) = files_of(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[second:] + content[:second])
    for place in (first, second):
        with pytest.raises(DamagedFileError):
            scratch.read(place)


@needs_proc
@pytest.mark.parametrize("left", [0, 3, 4, 50])
def test_a_block_that_was_cut_off_is_told(scratch, tmp_path, left):
    place = scratch.append(b"x" * 100)
    (file,) = files_of(tmp_path)
    os.truncate(file, left)
    with pytest.raises(DamagedFileError):
        scratch.read(place)


def test_it_is_closed_once_and_used_no_more(scratch):
    place = scratch.append(b"x")
    scratch.close()
    scratch.close()
    for use in (lambda: scratch.append(b"x"), lambda: scratch.read(place)):
        with pytest.raises(ClosedError):
            use()


@needs_proc
def test_its_room_is_given_back_also_where_the_block_raises(tmp_path):
    with pytest.raises(ZeroDivisionError), SealedScratch(str(tmp_path)) as opened:
        opened.append(SECRET)
        assert len(files_of(tmp_path)) == 1
        raise ZeroDivisionError
    assert files_of(tmp_path) == []


def test_one_thread_reads_what_another_one_wrote(scratch):
    places: list[int] = []
    writing = threading.Thread(target=lambda: places.extend(scratch.append(bytes([n]) * n) for n in range(100)))
    writing.start()
    writing.join()
    assert [scratch.read(place) for place in places] == [bytes([n]) * n for n in range(100)]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StorageError, match="No temporary file"):
        SealedScratch(str(tmp_path / "missing"))


@pytest.mark.skipif(os.name == "nt", reason="a signal of POSIX")
def test_a_killed_process_leaves_nothing(start_python, tmp_path):
    process = start_python(
        """
        import sys
        from poof.engines.scratch import SealedScratch
        scratch = SealedScratch(sys.argv[1])
        scratch.append(b"x" * 100_000)
        print("written", flush=True)
        sys.stdin.read()
        """,
        tmp_path,
    )
    assert process.stdout.readline() == "written\n"
    assert list(tmp_path.iterdir()) == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="a limit of POSIX")
def test_where_there_is_no_room_the_blocks_before_stay_and_more_follow_when_there_is(run_python, tmp_path):
    output = run_python(
        """
        import resource, sys
        from poof.engines.scratch import SealedScratch
        from poof.errors import DiskFullError
        with SealedScratch(sys.argv[1]) as scratch:
            places = [scratch.append(bytes([n]) * 10_000) for n in range(5)]
            resource.setrlimit(resource.RLIMIT_FSIZE, (55_000, resource.RLIM_INFINITY))
            for _ in range(2):
                try:
                    scratch.append(b"x" * 10_000)
                except DiskFullError as error:
                    print(type(error).__name__)
            places.append(scratch.append(b"small"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            places.append(scratch.append(b"x" * 10_000))
            expected = [*(bytes([n]) * 10_000 for n in range(5)), b"small", b"x" * 10_000]
            assert [scratch.read(place) for place in places] == expected
        """,
        tmp_path,
        cwd=tmp_path,
    )
    assert output == "DiskFullError\n" * 2


@pytest.mark.every_engine
async def test_every_engine_has_such_a_place(where: Where):
    async with await open_cluster(where) as cluster:
        with cluster._engine.scratch() as scratch:
            assert scratch.read(scratch.append(SECRET)) == SECRET
