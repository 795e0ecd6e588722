"""Puts all peers through all works, in turn, so that a slow moment of the machine falls on all of them."""

import asyncio
import json
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import Adapter
from works import INDEX, LOAD, MEMORY, PARTS, Work

LOADING = 3
"""Loading may take so many times as long as another work."""
OVER, FAILED = "over its time", "failed"


@dataclass
class Numbers:
    """What came out: for each size, work and peer, one number for each round, or words that say why there is none."""

    values: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    words: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def note(self, size: int, work: Work, peer: str, value: float | str) -> None:
        kind: Any = self.words if isinstance(value, str) else self.values
        peers = kind.setdefault(str(size), {}).setdefault(work.name, {})
        if isinstance(value, str):
            peers[peer] = value
        else:
            peers.setdefault(peer, []).append(value)


class StoppedError(Exception):
    """A peer took too long, or failed; its text says which."""


class Worker:
    """A process that holds one peer."""

    def __init__(self, adapter: Adapter, process: Process) -> None:
        self.adapter = adapter
        self.process = process
        self.stopped = ""
        """Why it takes no more work."""
        self.seconds: dict[str, float] = {}
        """What each work has taken so far."""

    @classmethod
    async def start(cls, adapter: Adapter, python: str, size: int, folder: Path, key: str) -> "Worker":
        program = str(Path(__file__).parent / "worker.py")
        command = (python, program, adapter.name, str(size), str(folder), key)
        return cls(adapter, await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE))

    async def ask(self, work: Work, limit: float) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        loop = asyncio.get_running_loop()
        start = loop.time()
        self.process.stdin.write(json.dumps(work.name).encode() + b"\n")
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), limit)
        except TimeoutError:
            await self.stop(OVER)
            raise StoppedError(OVER) from None
        if not line:
            await self.stop(FAILED)
            raise StoppedError(FAILED)
        self.seconds[work.name] = self.seconds.get(work.name, 0.0) + loop.time() - start
        return float(json.loads(line))

    async def stop(self, reason: str) -> None:
        self.stopped = reason
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def end(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        await self.process.wait()


@dataclass
class Plan:
    peers: list[tuple[Adapter, str]]
    """With the interpreter of each."""
    works: list[Work]
    rounds: int
    limit: float
    """Seconds that a peer may take for a work at a size, in all rounds together."""


async def measure_size(plan: Plan, size: int, folder: Path, numbers: Numbers) -> None:
    """All works of all peers with so many documents."""
    key = secrets.token_hex(32)
    folders = {adapter.name: folder / f"{size} {adapter.name}" for adapter, _ in plan.peers}
    for place in folders.values():
        place.mkdir()
    workers = [await Worker.start(adapter, python, size, folders[adapter.name], key) for adapter, python in plan.peers]

    async def turn(work: Work, what: str, limit: float = plan.limit) -> None:
        for worker in workers:
            if fits(worker.adapter, work, size):
                print(f"\r{size:,}: {what}: {work.title}: {worker.adapter.name:<24}", end="", file=sys.stderr)
                await one(worker, work, limit)

    async def one(worker: Worker, work: Work, limit: float) -> None:
        if worker.stopped:
            numbers.note(size, work, worker.adapter.name, worker.stopped)
        elif worker.seconds.get(work.name, 0.0) < limit:
            try:
                numbers.note(size, work, worker.adapter.name, await worker.ask(work, limit))
            except StoppedError as stopped:
                numbers.note(size, work, worker.adapter.name, str(stopped))

    async def in_rounds(works: Iterable[Work]) -> None:
        works = list(works)
        for number in range(plan.rounds):
            for work in works:
                await turn(work, f"round {number + 1} of {plan.rounds}")

    try:
        for part in range(PARTS):
            await turn(LOAD, f"part {part + 1} of {PARTS}", LOADING * plan.limit)
        for work in plan.works:
            if work.once and work is not MEMORY:
                await turn(work, "once")
        if MEMORY in plan.works:
            for worker, (adapter, python) in zip(workers, plan.peers, strict=True):
                if worker.stopped:
                    numbers.note(size, MEMORY, adapter.name, worker.stopped)
                    continue
                other = await Worker.start(adapter, python, size, folders[adapter.name], key)
                await one(other, MEMORY, LOADING * plan.limit)
                await other.end()
        await in_rounds(work for work in plan.works if not (work.once or work.indexed or work is LOAD))
        indexed = [work for work in plan.works if work.indexed]
        if indexed:
            await turn(INDEX, "once", LOADING * plan.limit)
            await in_rounds(indexed)
    finally:
        print(file=sys.stderr)
        for worker in workers:
            await worker.end()


def fits(adapter: Adapter, work: Work, size: int) -> bool:
    """Whether there is anything to measure."""
    is_asked = not work.peers or adapter.name in work.peers
    return is_asked and work.least <= size <= work.up_to and not (work.needs_file and adapter.in_memory)
