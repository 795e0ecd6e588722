"""Several processes, each with hundreds of tasks, on one cluster: nothing is lost, and nothing grows without end."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from poof import PoofCluster
from poof.format.layout import FRAME_SIZE, PAGE_SIZE
from tests.support.faults.campaign import scaled
from tests.support.faults.content import KEY, check_pages, check_whole
from tests.support.faults.load import ACCOUNTS, AMOUNT, COUNTERS, LOG_FRAMES

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")

Start = Callable[..., subprocess.Popen[str]]
PROGRAM = "import sys; from tests.support.faults.load import main; main(*sys.argv[1:])"
LONGEST_LOG = 30 * LOG_FRAMES * FRAME_SIZE
"""Three processes that always read something hardly ever let the log start anew; they do, and its length stays."""
MOST_DESCRIPTORS = 40
"""Some connections, each with three; none for a task or an operation."""
MOST_GROWTH = 24 * 2**20
"""Of memory, in bytes, once half of the work is done."""


def load(path: Path, start: Start, processes: int, tasks: int, rounds: int) -> Counter[str]:
    async def prepare() -> None:
        async with await PoofCluster.create(path, KEY) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("load")
            await collection.insert_many({"counter": number, "count": 0} for number in range(COUNTERS))
            await collection.insert_many({"account": number, "money": AMOUNT} for number in range(ACCOUNTS))
            await collection.create_index("counter")
            await collection.create_index("account")

    async def counts() -> dict[str, int]:
        async with await PoofCluster.create(path, KEY) as cluster:
            await check_whole(cluster)
            collection = await (await cluster.get_database("db")).get_collection("load")
            accounts = await collection.find({"account": {"$exists": True}}).to_list()
            assert sum(account.data["money"] for account in accounts) == ACCOUNTS * AMOUNT
            counters = await collection.find({"counter": {"$exists": True}}).to_list()
            assert await collection.estimated_document_count() == COUNTERS + ACCOUNTS
            return {str(counter.data["counter"]): counter.data["count"] for counter in counters}

    asyncio.run(prepare())
    started = [start(PROGRAM, path, tasks, rounds, cwd=path.parent) for _ in range(processes)]
    added: Counter[str] = Counter()
    logs = []
    for process in started:
        output, errors = process.communicate(timeout=600)
        assert (process.returncode, errors) == (0, "")
        report = json.loads(output)
        added.update(report["added"])
        logs.append(report["log"])
        middle, end = report["costs"]
        assert end["descriptors"] < MOST_DESCRIPTORS
        assert end["memory"] - middle["memory"] < MOST_GROWTH
    assert asyncio.run(counts()) == {str(number): added[str(number)] for number in range(COUNTERS)}
    assert max(logs) < LONGEST_LOG
    # What was there at any one time is a fraction of what came and went.
    assert check_pages(path, KEY) * PAGE_SIZE < 8 * 2**20
    return Counter(operations=processes * tasks * rounds, updates=added.total(), log=max(logs))


def test_two_processes_of_many_tasks_lose_no_update(path: Path, start_python: Start) -> None:
    load(path, start_python, 2, 50, 4)


@pytest.mark.campaign
def test_processes_of_hundreds_of_tasks_lose_no_update_and_nothing_grows(
    path: Path, start_python: Start, figures: Counter[str]
) -> None:
    done = load(path, start_python, 3, 300, scaled(20))
    figures["6 load: operations of 900 tasks in 3 processes"] += done["operations"]
    figures["6 load: ... of them updates, all there"] += done["updates"]
    figures["6 load: pages in the longest log"] = done["log"] // FRAME_SIZE


@pytest.mark.campaign
async def test_a_file_does_not_grow_where_as_much_is_deleted_as_is_inserted(path: Path, figures: Counter[str]) -> None:
    def size() -> int:
        return path.stat().st_size

    async def churn() -> list[int]:
        sizes: list[int] = []
        async with await PoofCluster.create(path, KEY, cache_mib=4) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("churn")
            await collection.create_index("n")
            for generation in range(12):
                await collection.insert_many({"n": n, "g": generation, "text": "x" * (n % 4_000)} for n in range(4_000))
                await collection.delete_many({"g": {"$lt": generation}})
                await cluster.save()
                sizes.append(size())
        return sizes

    sizes = await churn()
    assert max(sizes) < 1.2 * sizes[2]  # two generations are there at once, from the second on
    figures["6 load: documents inserted and deleted in a file that does not grow"] += 12 * 4_000
