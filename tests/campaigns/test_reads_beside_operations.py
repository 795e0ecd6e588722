"""Reads on other connections during everything that is done to a cluster, with a log that is copied all the time.

POOF_SEED replays what is done; when the reads come is the system's.
"""

import asyncio
import contextlib
import random
from collections import Counter
from pathlib import Path

import pytest

from poof import BusyError, ClosedError, PoofCluster
from tests.support import inside
from tests.support.faults.campaign import SEED, scaled
from tests.support.faults.content import DATABASE, KEY, State, check_whole, documents
from tests.support.faults.operations import Bench, after, choose, perform

READERS = 2
LEFT_OUT = {"drop", "rename", "backup", "salvage"}
"""A reader that asks for a collection by its old name would create it; and copies take long."""


class Watched:
    """A cluster, and every state that it was in."""

    def __init__(self, path: Path, rng: random.Random) -> None:
        self.bench = Bench(str(path), cache_mib=1, durability=rng.choice(["process", "process", "power"]))
        self.rng = rng
        self.states: list[State] = [{}]
        self.steps: list[str] = []
        self.ended = False
        self.reads = 0

    async def work(self, steps: int) -> None:
        """Does one thing after the other."""
        try:
            for _ in range(steps):
                while (step := choose(self.rng, self.states[-1]))[0] in LEFT_OUT:
                    pass
                self.steps.append(step[0])
                self.states.append(after(self.states[-1], step))  # from now on, readers may see it
                with contextlib.suppress(BusyError):  # of those that change no document, and wait for readers
                    await perform(self.bench, step)
        finally:
            self.ended = True

    async def read(self) -> None:
        """Reads one collection after the other; what is found was there at one moment while it was looked for."""
        while not self.ended:
            with contextlib.suppress(ClosedError):
                for name in self.states[-1]:
                    await self._read(name)
            await asyncio.sleep(0.001)

    async def _read(self, name: str) -> None:
        first = max(0, len(self.states) - 2)
        database = await self.bench.cluster.get_database(DATABASE)
        if name not in await database.list_collection_names():
            return
        collection = await database.get_collection(name)
        read = await collection.find_all() if random.random() < 0.8 else [doc async for doc in collection.find()]
        found = {doc.data["name"]: doc.data for doc in read if "at" not in doc.data}
        possible = [state[name] for state in self.states[first:] if name in state]
        assert any(documents(each) == found for each in possible), (name, self.steps[-5:])
        self.reads += 1


async def watch(path: Path, seed: int, steps: int) -> Watched:
    """Works on a new cluster, with readers beside."""
    watched = Watched(path, random.Random(seed))
    await watched.bench.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(watched.work(steps))
        for _ in range(READERS):
            group.create_task(watched.read())
    await watched.bench.cluster.close()
    async with await PoofCluster.create(path, KEY) as cluster:
        await check_whole(cluster)
    return watched


@pytest.fixture(autouse=True)
def _short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    inside.tune(monkeypatch, log_frames=60)


async def test_reads_beside_every_operation_find_what_was_there(tmp_path: Path) -> None:
    assert (await watch(tmp_path / "cluster.poof", SEED, 60)).reads > 0


@pytest.mark.campaign
async def test_many_reads_beside_every_operation(tmp_path: Path, figures: Counter[str]) -> None:
    for number in range(scaled(40)):
        watched = await watch(tmp_path / f"{number}.poof", SEED + number, 150)
        figures["6 readers: operations that others read beside"] += len(watched.steps)
        figures["6 readers: ... and reads of whole collections"] += watched.reads
