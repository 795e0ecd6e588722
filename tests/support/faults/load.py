"""A program whose many tasks work on one cluster, and which watches what that costs.

Arguments: the path, a number of tasks, and how many rounds each does. It prints what it did, and how long the log, how
large its memory and how many its descriptors were, in the middle and at the end.
"""

import asyncio
import contextlib
import json
import os
import random
from collections import Counter
from pathlib import Path

from poof import PoofCluster, PoofCollection
from poof.errors import BusyError
from tests.support import inside
from tests.support.faults.content import KEY
from tests.support.memory import peak_memory

COUNTERS = 20
ACCOUNTS = 10
AMOUNT = 1_000
LOG_FRAMES = 300
"""How long a log may become before a checkpoint, so that there are many."""


class Load:
    """What the tasks share."""

    def __init__(self, path: str, cluster: PoofCluster, collection: PoofCollection) -> None:
        self.path = path
        self.cluster = cluster
        self.collection = collection
        self.rng = random.Random(os.getpid())
        self.added: Counter[str] = Counter()
        self.longest_log = 0

    async def add(self) -> None:
        """One more on a counter, by an update that reads and writes."""
        number = self.rng.randrange(COUNTERS)
        await self.collection.update_one({"counter": number}, {"$inc": {"count": 1}})
        self.added[str(number)] += 1

    async def add_by_hand(self) -> None:
        """The same, read and written in a transaction."""
        number = self.rng.randrange(COUNTERS)
        async with self.cluster.transaction():
            found = await self.collection.find_one({"counter": number})
            assert found is not None
            await self.collection.update(found.objId, {**found.data, "count": found.data["count"] + 1})
        self.added[str(number)] += 1

    async def transfer(self) -> None:
        """Some money from one account to another."""
        giver, taker = self.rng.sample(range(ACCOUNTS), 2)
        async with self.cluster.transaction():
            await self.collection.update_one({"account": giver}, {"$inc": {"money": -7}})
            await self.collection.update_one({"account": taker}, {"$inc": {"money": 7}})

    async def audit(self) -> None:
        """No money is ever lost or made."""
        accounts = await self.collection.find({"account": {"$exists": True}}).to_list()
        assert sum(account.data["money"] for account in accounts) == ACCOUNTS * AMOUNT

    async def churn(self) -> None:
        """Documents come and go: their space is used again."""
        text = "x" * self.rng.choice([100, 3_000, 20_000])
        document = await self.collection.insert({"text": text, "by": os.getpid()})
        found = await self.collection.find_by_id(document.objId)
        assert found is not None and found.data["text"] == text
        assert await self.collection.delete(document.objId)

    async def save(self) -> None:
        """Others may be in the way."""
        with contextlib.suppress(BusyError):
            await self.cluster.save()

    async def task(self, rounds: int) -> None:
        """One of many."""
        works = [self.add] * 6 + [self.add_by_hand] * 3 + [self.transfer] * 3 + [self.audit] * 3 + [self.churn] * 6
        for _ in range(rounds):
            await self.rng.choice(works)()
            if self.rng.random() < 0.002:
                await self.save()
            self.look_at_log()

    def look_at_log(self) -> None:
        """Notes how long it is."""
        self.longest_log = max(self.longest_log, Path(f"{self.path}-wal").stat().st_size)

    def costs(self) -> dict[str, int]:
        """Memory in bytes at its most, and descriptors."""
        return {
            "memory": peak_memory() * 1024,
            "descriptors": len([*Path("/dev/fd").iterdir()]),
        }


async def work(path: str, tasks: int, rounds: int) -> dict[str, object]:
    """All of it, in two halves."""
    async with await PoofCluster.create(path, KEY, timeout=120, cache_mib=4) as cluster:
        collection = await (await cluster.get_database("db")).get_collection("load")
        load = Load(path, cluster, collection)
        costs = []
        for _ in range(2):
            await asyncio.gather(*(load.task(rounds // 2) for _ in range(tasks)))
            costs.append(load.costs())
        return {"added": load.added, "log": load.longest_log, "costs": costs}


def main(path: str, tasks: str, rounds: str) -> None:
    """The program."""
    inside.tune(log_frames=LOG_FRAMES)
    print(json.dumps(asyncio.run(work(path, int(tasks), int(rounds)))))
