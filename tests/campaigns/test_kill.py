"""Killed at any moment, a program loses nothing that was acknowledged, and leaves a file that is whole.

Every other writer is killed from outside, at a moment that is the system's; the others kill themselves in the middle of
a call to the system that POOF_SEED replays.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.faults.campaign import SEED, scaled
from tests.support.faults.content import KEY, State, check_copy, check_one_of, check_pages
from tests.support.faults.operations import BACKUP, OPERATIONS, Step, after, story, write_legacy

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

LIVES = 8
"""How many writers in a row work on one file."""
MOST_LINES = 70
MOST_CALLS = 900
"""How much a writer says, or how often it calls the system, before it is killed."""

Start = Callable[..., subprocess.Popen[str]]


@dataclass
class Killing:
    """One file, and the writers that are killed on it. `state` is what it holds; `None`: it need not exist."""

    path: Path
    start: Start
    rng: random.Random
    state: State | None = None
    killed_in: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    pages: int = 0

    def live(self) -> None:
        """Starts a writer, kills it, and checks what it leaves behind."""
        kills_itself = self.rng.random() < 0.5
        lines = 0 if kills_itself else self.rng.randint(1, MOST_LINES)
        calls = self.rng.randint(1, MOST_CALLS) if kills_itself else 0
        before = self.state if self.state is not None else {}
        process = self.start(
            "import sys; from tests.support.faults.writer import main; main(*sys.argv[1:])",
            *(self.path, self.rng.randrange(2**32), calls),
            cwd=self.path.parent,
        )
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        process.stdin.write(json.dumps(before) + "\n")
        process.stdin.flush()
        opened, started = False, None
        for line in process.stdout:  # to its end, which comes with the kill: what is in the pipe was said before
            if line.startswith("?") and line.endswith("\n"):  # else it was killed while it said so
                started = json.loads(line[1:])
            elif line.startswith("!"):
                if started is not None:
                    before, started = after(before, started), None
                    self.acknowledged += 1
                opened = True
            lines -= 1
            if lines == 0:
                process.kill()
        assert process.wait() == -9, process.stderr.read()
        self.check(before, started, opened)

    def check(self, before: State, started: Step | None, opened: bool) -> None:
        """What was under way is there whole, or not at all; everything before it is there."""
        name = started[0] if started is not None else "open" if not opened else "between"
        self.killed_in[name] = self.killed_in.get(name, 0) + 1
        if not opened and self.state is None and not self.path.exists():
            return
        possible = [before] if started is None else [before, after(before, started)]
        self.state = asyncio.run(check_one_of(self.path, KEY, possible))
        self.pages += check_pages(self.path, KEY)
        for copy in self.path.parent.glob(f"{BACKUP}-????????"):  # has its name, so it is whole
            asyncio.run(check_copy(copy))
            copy.unlink()


def kill_many(folder: Path, start: Start, seed: int, kills: int) -> list[Killing]:
    """Some files after the other: new ones, and every third one of PoofDB 0.x."""
    rng = random.Random(seed)
    files = []
    for number in range(-(-kills // LIVES)):
        place = folder / f"{seed}-{number}"
        place.mkdir()
        file = Killing(place / "cluster.poof", start, rng)
        if number % 3 == 2:
            file.state = {
                name: {"documents": each["documents"], "indexes": []}
                for name, each in story(rng, 40, {})[-1][1].items()
            }
            write_legacy(file.path, file.state)
        for _ in range(min(LIVES, kills - number * LIVES)):
            file.live()
        files.append(file)
    return files


def test_a_killed_writer_loses_nothing_acknowledged(tmp_path: Path, start_python: Start) -> None:
    assert sum(file.acknowledged for file in kill_many(tmp_path, start_python, SEED, 6)) > 6


@pytest.mark.campaign
def test_writers_killed_many_times_lose_nothing_acknowledged(
    tmp_path: Path, start_python: Start, figures: Counter[str]
) -> None:
    kills = scaled(320)
    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(kill_many, tmp_path, start_python, SEED + half, kills // 2) for half in range(2)]
        files = [file for half in halves for file in half.result()]
    killed_in = {name: sum(file.killed_in.get(name, 0) for file in files) for name in [*OPERATIONS, "open", "between"]}
    figures["1 kill: writers killed"] += sum(killed_in.values())
    figures["1 kill: ... inside an operation"] += sum(killed_in.values()) - killed_in["between"]
    figures["1 kill: operations acknowledged"] += sum(file.acknowledged for file in files)
    figures["1 kill: pages authenticated"] += sum(file.pages for file in files)
    assert sum(killed_in.values()) >= kills - 1
    print(killed_in)
