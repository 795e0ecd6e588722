"""Every call to the system fails once in turn: the right error is raised, nothing acknowledged is lost, and after a
failed commit nothing more is written until the cluster is opened again.

POOF_SEED replays the story.
"""

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from poof import PoofCluster, PoofError, SalvageReport, StorageError
from poof.engines.sqlite.turns.writer import Writer
from tests.support import inside
from tests.support.faults.campaign import SEED, scaled
from tests.support.faults.content import KEY, State, check_one_of
from tests.support.faults.failing import KINDS, RIGHT_ERRORS, WRITES, Failing
from tests.support.faults.operations import (
    BACKUP,
    OPERATIONS,
    Bench,
    Step,
    after,
    perform,
    story,
    tells_of_a_loss,
    write_legacy,
)
from tests.support.faults.watched import Call, watched

FIRST: State = {
    "old": {"documents": {f"{number:08x}": [number, 200, 0] for number in range(20)}, "indexes": []},
    "long": {"documents": {"00000020": [20, 9_000, 0]}, "indexes": []},
    "short": {"documents": {"00000021": [21, 10, 0]}, "indexes": []},
    "empty": {"documents": {}, "indexes": []},
}
"""There is something in it for each operation to do."""
PROBE = "probe"
ONE_COMMIT = {"insert", "update", "delete"}


@dataclass(frozen=True)
class Beginning:
    """The files that a story begins with, and what they hold; `None`: there is no cluster yet."""

    files: dict[str, bytes]
    state: State | None

    def write(self, folder: Path) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        return folder / NAME


NAME = "cluster.poof"
NEW = "a new file"
LEGACY = "a file of 0.x"
CRASHED = "a file with a log that nobody recovered"


def beginning(kind: str, folder: Path) -> Beginning:
    """One of the three."""
    if kind == NEW:
        return Beginning({}, None)
    folder.mkdir()
    if kind == LEGACY:
        write_legacy(folder / NAME, FIRST)
        return Beginning({NAME: (folder / NAME).read_bytes()}, FIRST)

    async def crash() -> dict[str, bytes]:
        bench = Bench(str(folder / NAME))
        await bench.open()
        for place, collection in FIRST.items():
            await perform(bench, ("create", [place]))
            for name, (salt, size, _) in collection["documents"].items():
                await perform(bench, ("insert", [place, name, salt, size]))
        files = {name: (folder / name).read_bytes() for name in (NAME, f"{NAME}-wal")}
        await bench.cluster.close()
        return files

    return Beginning(asyncio.run(crash()), FIRST)


@dataclass
class Outcome:
    """How a story went. `possible`: what the cluster may hold after it; `None`: there may be no cluster."""

    possible: list[State | None]
    errors: list[PoofError] = field(default_factory=list)
    failed_in: str = ""
    """The operation that failed."""
    latched: bool = False


async def tell(path: Path, steps: list[Step], state: State | None, durability: str) -> Outcome:
    """Does steps until one fails; then tries what the cluster says to more writes, and closes it."""
    bench = Bench(str(path), durability=durability, cache_mib=1)
    try:
        await bench.open()
    except PoofError as error:
        return Outcome([state], [error])
    state = state or {}
    outcome = Outcome([state])
    for step in steps:
        changed = after(state, step)
        try:
            await perform(bench, step)
        except PoofError as error:
            outcome.errors.append(error)
            outcome.failed_in = step[0]
            outcome.possible = [state, changed]
            break
        state = changed
        outcome.possible = [state]
    if bench.cluster._engine.is_closed:  # it failed to open again
        return outcome
    writer = bench.cluster._engine._calls._writer
    if outcome.errors:
        await probe(bench, writer, outcome)
    try:
        await bench.cluster.close()
    except PoofError as error:
        outcome.errors.append(error)
    return outcome


async def probe(bench: Bench, writer: Writer, outcome: Outcome) -> None:
    """The call that failed was one: now every write succeeds, or every write is refused with the first cause."""
    latched = outcome.latched = writer._failure is not None
    for number in range(2):
        step: Step = ("create", [f"{PROBE}{number}"])
        try:
            await perform(bench, step)
        except StorageError as error:
            assert latched and str(writer._failure) in str(error)
        else:
            assert not latched
            outcome.possible = [after(state, step) for state in outcome.possible if state is not None]


def try_fault(folder: Path, steps: list[Step], failing: Failing, durability: str, first: Beginning) -> Outcome:
    """Tells a story on a failing disk, and checks what is left of it."""
    path = first.write(folder)
    with watched(failing, str(folder)):
        outcome = asyncio.run(tell(path, steps, first.state, durability))
    for error in outcome.errors:
        assert isinstance(error, RIGHT_ERRORS[failing.kind]), (failing.failed, error)
        assert str(path) in str(error) or str(folder / BACKUP) in str(error)
    if outcome.failed_in in ONE_COMMIT and failing.kind == "EIO" and failing.failed is not None:
        # A write or sync of the log that failed inside a single write is a commit that failed.
        assert outcome.latched or failing.failed.name not in WRITES or not failing.failed.path.endswith("-wal")
    if outcome.possible != [None] or path.exists():
        asyncio.run(check_one_of(path, KEY, [state or {} for state in outcome.possible]))
    return outcome


def fail_each(
    folder: Path, steps: list[Step], kind: str, durability: str, first: Beginning, every: int = 1
) -> Counter[str]:
    """Each call of a story fails once, or every so-manieth."""
    counting = Failing(kind)
    assert try_fault(folder, steps, counting, durability, first).errors == []
    tried: Counter[str] = Counter()
    for number in range(SEED % every + 1, len(counting.calls) + 1, every):
        failing = Failing(kind, number)
        outcome = try_fault(folder, steps, failing, durability, first)
        tried["faults"] += failing.failed is not None
        tried["errors"] += bool(outcome.errors)
    return tried


def count(figures: Counter[str], tried: Counter[str]) -> None:
    figures["3 I/O faults: calls failed in turn"] += tried["faults"]
    figures["3 I/O faults: ... and reported by an error"] += tried["errors"]


@pytest.fixture(autouse=True)
def short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    inside.tune(monkeypatch, log_frames=60)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_fails_loses_nothing_and_is_reported(tmp_path: Path, kind: str) -> None:
    first = beginning(CRASHED, tmp_path / "first")
    steps: list[Step] = [("insert", ["old", "00000030", 3, 10]), ("delete", ["old", "00000030"]), ("save", [])]
    tried = fail_each(tmp_path / "disk", steps, kind, "process", first, every=2)
    assert tried["errors"] > 0


def test_a_header_that_is_read_in_part_changes_no_keys(tmp_path: Path) -> None:
    first = beginning(CRASHED, tmp_path / "first")
    tried = fail_each(tmp_path / "disk", [("keys", []), ("rotate", [])], "short read", "process", first)
    assert tried["errors"] > 0


async def test_a_connection_that_fails_to_close_keeps_no_other_open(tmp_path: Path) -> None:
    """That no connection is left is what is checked after each test."""
    is_closing = False

    def fail_first_lock(call: Call, proceed: Callable[[], Any]) -> Any:
        nonlocal is_closing
        if is_closing and call.name == "xLock":
            is_closing = False
            raise apsw.exception_for(apsw.SQLITE_IOERR_LOCK)
        return proceed()

    with watched(fail_first_lock, str(tmp_path)):
        cluster = await PoofCluster.create(tmp_path / NAME, KEY)
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert_many({"number": number} for number in range(2_000))
        streams = [aiter(people.find()) for _ in range(2)]
        for stream in streams:
            await anext(stream)
        is_closing = True
        with pytest.raises(StorageError):
            await cluster.close()
        assert not is_closing


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("first", "durability"), [(NEW, "process"), (NEW, "power"), (LEGACY, "process"), (CRASHED, "process")]
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_that_fails_loses_nothing_and_is_reported(
    tmp_path: Path, kind: str, durability: str, first: str, figures: Counter[str]
) -> None:
    begun = beginning(first, tmp_path / "first")
    steps = [step for step, _ in story(random.Random(SEED), scaled(6), begun.state or {})]
    tried = fail_each(tmp_path / "disk", steps, kind, durability, begun)
    count(figures, tried)


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_of_every_operation_that_fails_loses_nothing_and_is_reported(
    tmp_path: Path, kind: str, figures: Counter[str]
) -> None:
    begun = beginning(CRASHED, tmp_path / "first")
    for name, operation in OPERATIONS.items():
        rng = random.Random(SEED)
        args = operation.choose(rng, FIRST) or operation.choose(rng, {})  # collections are made where there are few
        assert args is not None, name
        tried = fail_each(tmp_path / "disk", [(name, args)], kind, "process", begun)
        count(figures, tried)


@pytest.mark.campaign
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_of_a_salvage_that_fails_is_reported(tmp_path: Path, kind: str, figures: Counter[str]) -> None:
    begun = beginning(CRASHED, tmp_path / "first")
    counting = Failing(kind)
    assert try_salvage(tmp_path / "disk", counting, begun) is None
    tried: Counter[str] = Counter()
    for number in range(1, len(counting.calls) + 1):
        error = try_salvage(tmp_path / "disk", Failing(kind, number), begun)
        tried["faults"] += 1
        tried["errors"] += error is not None
    count(figures, tried)


def try_salvage(folder: Path, failing: Failing, begun: Beginning) -> PoofError | None:
    """Salvages a file and its log on a failing disk: what does not come out is an error, or in the report."""
    path = begun.write(folder)
    copy = path.with_name("salvaged.poof")
    found: PoofError | SalvageReport
    with watched(failing, str(folder)):
        try:
            found = asyncio.run(PoofCluster.salvage(path, copy, KEY))
        except PoofError as error:
            assert isinstance(error, RIGHT_ERRORS[failing.kind]), (failing.failed, error)
            found = error
    if copy.exists() and (isinstance(found, PoofError) or not tells_of_a_loss(found)):
        asyncio.run(check_one_of(copy, KEY, [begun.state or {}]))
    assert copy.exists() or isinstance(found, PoofError)
    return found if isinstance(found, PoofError) else None
