"""A program that works on a cluster until it is killed, or kills itself in the middle of a call to the system.

It says "?" and what it will do, does it, and says "!". Arguments: the path, a seed, and how many calls to the system it
lives for, or 0 for ever. The state that the cluster is in comes as JSON on standard input.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import inside
from tests.support.faults.content import State
from tests.support.faults.operations import Bench, after, choose, perform
from tests.support.faults.watched import Call, watched

DURABILITIES = ("process", "process", "power")


class Mortal:
    """Kills the process at one call, after the first half of it where it writes."""

    def __init__(self, calls: int) -> None:
        self._calls = calls

    def __call__(self, call: Call, proceed: Callable[[], Any]) -> Any:
        self._calls -= 1
        if self._calls == 0:
            if call.name == "xWrite":
                data, offset = call.args
                os.pwrite(os.open(call.path, os.O_WRONLY), data[: len(data) // 2], offset)
            os.kill(os.getpid(), signal.SIGKILL)
        return proceed()


async def work(path: str, state: State, rng: random.Random) -> None:
    """Does one operation after the other."""
    bench = Bench(path, cache_mib=1, durability=rng.choice(DURABILITIES))
    await bench.open()
    print("!", flush=True)
    while True:
        step = choose(rng, state)
        print("?", json.dumps(step), flush=True)
        await perform(bench, step)
        state = after(state, step)
        print("!", flush=True)


def main(path: str, seed: str, calls: str) -> None:
    """The program."""
    inside.tune(log_frames=60)
    state = json.loads(sys.stdin.readline())
    with watched(Mortal(int(calls)), str(Path(path).parent)):
        asyncio.run(work(path, state, random.Random(int(seed))))
