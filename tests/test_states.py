"""A file, its log and its header go together, or are refused: after every crash, and however they are mixed.

No crash of a genuine file may be refused, and no mixture may give what was never there. POOF_SEED replays the stories.
"""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from faults.campaign import SEED, scaled
from faults.disk import Recording, crash_images
from faults.states import SAVED, Moment, State, Story, kills, prepare, read_state
from faults.watched import watched

from poof.engines.sqlite.file.unlock import Unlocked, new_header
from poof.errors import DamagedFileError
from poof.format.layout import PAGE_SIZE
from poof.keys.credentials import Credentials

FORK_STEP = 1000


class Files:
    """A recorded story, and a place to put together files in."""

    def __init__(self, folder: Path, seed: int, steps: int) -> None:
        self.rng = random.Random(seed)
        self.unlocked: Unlocked = new_header(Credentials(), Fernet.generate_key())
        self.states: dict[int, State] = {0: {}}
        story_folder = folder / f"story-{seed}"
        story_folder.mkdir()
        path = story_folder / "cluster.poof"
        prepare(path, self.unlocked)
        self.recording = Recording(story_folder)
        story = Story(path, self.unlocked, self.rng, self.states, self.recording)
        with watched(self.recording, str(story_folder)):
            story.run(steps)
        self.last = path.read_bytes()
        self.moment = story.moment
        self.place = folder / f"place-{seed}"
        self.place.mkdir()
        self.path = self.place / "cluster.poof"

    def put(self, main: bytes, log: bytes | None) -> None:
        for file in self.place.iterdir():
            file.unlink()
        self.path.write_bytes(main)
        if log is not None:
            Path(f"{self.path}-wal").write_bytes(log)

    def check(self, least: int, *, goes_on: bool = False) -> None:
        """What lies in the place is whole, and holds all up to a moment at least."""
        moment, found = read_state(self.path, self.unlocked, goes_on=goes_on)
        assert found == self.states[moment]
        assert moment >= least

    def is_refused(self) -> bool:
        """Whether what lies in the place is refused; else it is a state that there was."""
        try:
            moment, found = read_state(self.path, self.unlocked)
        except DamagedFileError:
            return True
        assert found == self.states[moment]
        return False


def end_at_every_moment(files: Files, share: float) -> int:
    count = 0
    for moment in kills(files.recording, files.rng, share):
        main = moment.file()
        assert main is not None
        files.put(main, moment.file("-wal"))
        files.check(moment.committed, goes_on=files.rng.random() < 0.2)
        count += 1
    return count


def lose_power(files: Files) -> int:
    count = 0
    for crashes in crash_images(files.recording, files.rng):
        for crash in crashes:
            crash.disk.write(files.place)
            files.check(crash.marks.get(SAVED, 0), goes_on=files.rng.random() < 0.2)
            count += 1
    return count


def moments(files: Files) -> list[Moment]:
    found = list(kills(files.recording, files.rng, 0.1))
    return files.rng.sample(found, min(len(found), 40))


def mixtures(files: Files, rounds: int) -> Iterator[tuple[str, bytes, bytes | None]]:
    """Files of one moment with the log of another one, without it, or copied while they were written."""
    known = moments(files)
    for _ in range(rounds):
        one, other = files.rng.sample(known, 2)
        main, later = one.file(), other.file()
        assert main is not None and later is not None
        kind = files.rng.choice(["mixed", "without log", "torn copy"])
        if kind == "mixed":
            yield kind, main, other.file("-wal")
        elif kind == "without log":
            yield kind, main, None
        else:
            cut = files.rng.randint(1, max(1, len(later) // PAGE_SIZE)) * PAGE_SIZE
            yield kind, main[:cut] + later[cut:], files.rng.choice([one, other]).file("-wal")


def mix(files: Files, rounds: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for kind, main, log in mixtures(files, rounds):
        files.put(main, log)
        outcomes[f"{kind}, {'refused' if files.is_refused() else 'one state'}"] += 1
    return outcomes


def fork(files: Files, folder: Path, rounds: int) -> Counter[str]:
    """Two copies of the file live on, and the log of each is put beside the other."""
    ways: list[list[Moment]] = []
    for number in (1, 2):
        place = folder / f"fork-{number}"
        place.mkdir()
        path = place / "cluster.poof"
        path.write_bytes(files.last)
        recording = Recording(place)
        story = Story(path, files.unlocked, files.rng, files.states, recording, files.moment)
        story.step = FORK_STEP + number
        with watched(recording, str(place)):
            story.run(25)
        ways.append(list(kills(recording, files.rng, 0.1)))
        shutil.rmtree(place)
    outcomes: Counter[str] = Counter()
    for _ in range(rounds):
        one, other = (files.rng.choice(way) for way in files.rng.sample(ways, 2))
        main = one.file()
        assert main is not None
        files.put(main, other.file("-wal"))
        outcomes[f"forks, {'refused' if files.is_refused() else 'one state'}"] += 1
    return outcomes


def test_the_end_of_the_process_at_any_moment_loses_nothing_and_is_never_refused(tmp_path: Path) -> None:
    assert end_at_every_moment(Files(tmp_path, SEED, 40), 0.05) > 20


def test_a_loss_of_power_loses_nothing_that_was_saved_and_is_never_refused(tmp_path: Path) -> None:
    assert lose_power(Files(tmp_path, SEED, 25)) > 20


def test_parts_of_different_moments_are_refused_or_one_state(tmp_path: Path) -> None:
    outcomes = mix(Files(tmp_path, SEED, 40), 60)
    assert any("refused" in outcome for outcome in outcomes)


def test_the_log_of_a_copy_that_lived_on_is_refused_or_one_state(tmp_path: Path) -> None:
    assert fork(Files(tmp_path, SEED, 20), tmp_path, 30)


@pytest.mark.campaign
def test_many_stories_end_at_every_moment_and_are_mixed(tmp_path: Path, figures: Counter[str]) -> None:
    for number in range(scaled(30)):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = Files(folder, SEED + number, 60)
        figures["9 states: ends of the process"] += end_at_every_moment(files, 0.2)
        figures["9 states: losses of power"] += lose_power(files)
        for outcome, count in (mix(files, 120) + fork(files, folder, 60)).items():
            figures[f"9 states: {outcome}"] += count
        shutil.rmtree(folder)
