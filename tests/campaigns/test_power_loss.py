"""A loss of power at any sync loses nothing that was promised, and leaves a file that opens.

A story is recorded on a simulated disk; then, for every sync in it, the folder is made as a crash there may leave it:
without what was not synced, with any part of it, in another order, torn at sectors. POOF_SEED replays it.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from poof.format.layout import PAGE_SIZE
from tests.support import inside
from tests.support.faults.campaign import SEED, scaled
from tests.support.faults.content import KEY, State, check_one_of, check_pages
from tests.support.faults.disk import SECTOR, Crash, Recording, crash_images
from tests.support.faults.operations import Bench, Step, after, perform, story, write_legacy
from tests.support.faults.watched import watched

OPENED, STARTED, ACKNOWLEDGED, SAVED = "opened", "started", "acknowledged", "saved"


FIRST: State = {"old": {"documents": {"00000001": [1, 200, 0], "00000002": [2, 9_000, 0]}, "indexes": []}}
"""What a file of 0.x holds."""
HEADER_STEPS: list[Step] = [
    ("create", ["a"]),
    ("insert", ["a", "1", 1, 9_000]),
    ("keys", []),
    ("keys", []),
    ("rotate", []),
]


def record(folder: Path, steps: list[Step], durability: str, legacy: bool) -> tuple[Recording, list[State]]:
    """Steps on a new file, or on one of 0.x; with what it holds before the first and after each."""
    folder.mkdir()
    path = folder / "cluster.poof"
    states: list[State] = [FIRST if legacy else {}]
    for step in steps:
        states.append(after(states[-1], step))
    if legacy:
        write_legacy(path, FIRST)
    recording = Recording(folder)

    async def tell() -> None:
        bench = Bench(str(path), durability=durability, cache_mib=1)
        await bench.open()
        recording.mark(OPENED, 0)
        for number, step in enumerate(steps, start=1):
            recording.mark(STARTED, number)
            await perform(bench, step)
            recording.mark(ACKNOWLEDGED, number)
            if step[0] == "save":
                recording.mark(SAVED, number)
        await bench.cluster.close()

    with watched(recording, str(folder)):
        asyncio.run(tell())
    return recording, states


def check(crash: Crash, folder: Path, states: list[State], durability: str, legacy: bool) -> None:
    """What is found after a crash is what was there at some moment from the last promise on."""
    crash.disk.write(folder)
    path = folder / "cluster.poof"
    if not path.exists():
        assert not legacy and OPENED not in crash.marks
        return
    promised = crash.marks.get(ACKNOWLEDGED if durability == "power" else SAVED, 0)
    begun = crash.marks.get(STARTED, 0)
    asyncio.run(check_one_of(path, KEY, reversed(states[promised : begun + 1])))
    check_pages(path, KEY)


def lose_power(
    tmp_path: Path, seed: int, length: int, durability: str, legacy: bool = False, steps: list[Step] | None = None
) -> Counter[str]:
    """Every crash of one story, which is of chance unless it is given."""
    rng = random.Random(seed)
    steps = steps or [step for step, _ in story(rng, length, FIRST if legacy else {})]
    recording, states = record(tmp_path / f"story-{seed}-{durability}", steps, durability, legacy)
    folder = tmp_path / f"crash-{seed}-{durability}"
    folder.mkdir()
    tried: Counter[str] = Counter()
    for crashes in crash_images(recording, rng):
        tried["points"] += 1
        for crash in crashes:
            tried["images"] += 1
            check(crash, folder, states, durability, legacy)
    return tried


@pytest.fixture(autouse=True)
def short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    inside.tune(monkeypatch, log_frames=60)


@pytest.mark.parametrize(("durability", "legacy"), [("power", False), ("process", True)], ids=["new", "0.x"])
def test_a_loss_of_power_loses_nothing_that_was_promised(tmp_path: Path, durability: str, legacy: bool) -> None:
    assert lose_power(tmp_path, SEED, 7, durability, legacy)["points"] > 6


def test_a_header_that_a_crash_tore_leaves_one_good_copy(tmp_path: Path) -> None:
    assert lose_power(tmp_path, SEED, 0, "process", steps=HEADER_STEPS)["points"] > 10


async def test_a_first_page_that_a_crash_tore_is_read_from_the_log(tmp_path: Path) -> None:
    """SQLite reads the start of page 1 before it looks into the log, from which a checkpoint was writing it anew."""
    path = tmp_path / "cluster.poof"

    def read_files() -> tuple[bytes, bytes]:
        return path.read_bytes(), Path(f"{path}-wal").read_bytes()

    async def write() -> tuple[bytes, bytes]:
        bench = Bench(str(path))
        await bench.open()
        await perform(bench, ("create", ["first"]))
        await perform(bench, ("insert", ["first", "00000001", 1, 30_000]))
        files = read_files()
        await bench.cluster.close()
        return files

    main, log = await write()
    sector = slice(PAGE_SIZE, PAGE_SIZE + SECTOR)
    path.write_bytes(main[:PAGE_SIZE] + path.read_bytes()[sector] + main[PAGE_SIZE + SECTOR :])
    Path(f"{path}-wal").write_bytes(log)
    state: State = {"first": {"documents": {"00000001": [1, 30_000, 0]}, "indexes": []}}
    assert await check_one_of(path, KEY, [state]) == state


@pytest.mark.campaign
@pytest.mark.parametrize("durability", ["process", "power"])
def test_many_losses_of_power_lose_nothing_that_was_promised(
    tmp_path: Path, durability: str, figures: Counter[str]
) -> None:
    for number in range(scaled(8)):
        tried = lose_power(tmp_path, SEED + number, 40, durability, legacy=number % 4 == 3)
        figures["2 power loss: crash points (syncs)"] += tried["points"]
        figures["2 power loss: crashes replayed"] += tried["images"]
