"""A simulated disk: what was written and not yet synced may be lost, reordered or torn when the power goes.

A `Recording` notes every change of a folder in order; the changes are made on the real disk too, where the locks and
the index of the log work as ever. `crash_images` then tells what the folder may look like after a crash: what was
synced is there, and of the rest anything. The index of the log (-shm) never is: SQLite maps it into memory, and makes
it anew.
"""

import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from tests.support.faults.watched import Call

SECTOR = 512
IMAGES_A_POINT = 6
"""How many images of chance are made of each crash point, beside the two plain ones."""


@dataclass(frozen=True)
class Write:
    """Bytes written to a file, by its number."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    """A file cut, or grown with zeros."""

    file: int
    size: int


@dataclass(frozen=True)
class Name:
    """A name that a file gets in the folder; or loses, where `file` is `None`."""

    name: str
    file: int | None


@dataclass(frozen=True)
class Sync:
    """The content of a file is safe; and its name, where SQLite takes care of that."""

    file: int


@dataclass(frozen=True)
class SyncFolder:
    """The names of all files are safe."""


@dataclass(frozen=True)
class Mark:
    """Something the program said."""

    label: str
    number: int


Change = Write | Truncate | Name
Event = Change | Sync | SyncFolder | Mark


@dataclass
class Disk:
    """What a folder holds: contents by file, and files by name."""

    contents: dict[int, bytearray] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "Disk":
        return Disk({file: bytearray(data) for file, data in self.contents.items()}, dict(self.names))

    def apply(self, change: Change) -> None:
        match change:
            case Write(file, offset, data):
                put(self.contents.setdefault(file, bytearray()), offset, data)
            case Truncate(file, size):
                resize(self.contents.setdefault(file, bytearray()), size)
            case Name(name, None):
                self.names.pop(name, None)
            case Name(name, int() as file):
                self.names[name] = file

    def write(self, folder: Path) -> None:
        """Makes a folder hold this, and nothing else."""
        for path in folder.iterdir():
            path.unlink()
        written: dict[int, Path] = {}
        for name, file in self.names.items():
            if file in written:
                os.link(written[file], folder / name)
            else:
                written[file] = folder / name
                written[file].write_bytes(self.contents.get(file, b""))


class Recording:
    """For `watched`: notes all changes of a folder, from the files on that lie in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.named_by_sync: set[int] = set()
        """Files whose first sync keeps their names too: SQLite opens the folder for a log that it creates."""
        self._now = Disk()
        for number, path in enumerate(folder.iterdir()):
            self._now.names[path.name] = number
            self._now.contents[number] = bytearray(path.read_bytes())
        self.before = self._now.copy()

    def mark(self, label: str, number: int) -> None:
        self._note(Mark(label, number))

    def __call__(self, call: Call, proceed: Callable[[], Any]) -> Any:
        name = Path(call.path).name
        existed = Path(call.path).exists()
        result = proceed()
        if name.endswith("-shm"):
            return result
        files = self._now.names
        match call.name, call.args:
            case ("xOpen", (flags,)) if name not in files and not existed:
                number = self._create(name)
                if flags & apsw.SQLITE_OPEN_WAL:
                    self.named_by_sync.add(number)
            case "xWrite", (data, offset):
                self._note(Write(files[name], offset, data))
            case "xTruncate", (size,):
                self._note(Truncate(files[name], size))
            case "xSync", _:
                self._note(Sync(files[name]))
            case "open", (flags, *_) if flags & os.O_CREAT and not existed:
                self._create(name)
            case "fsync", _:
                self._sync_by_system(call.path)
            case (("xDelete" | "unlink"), _) if existed:
                self._note(Name(name, None))
            case "link", (target, *_):
                self._note(Name(Path(target).name, files[name]))
            case (("rename" | "replace"), (target, *_)):
                self._note(Name(Path(target).name, files[name]))
                self._note(Name(name, None))
        return result

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Write | Truncate | Name):
            self._now.apply(event)

    def _create(self, name: str) -> int:
        number = len(self._now.contents)
        self._now.contents[number] = bytearray()
        self._note(Name(name, number))
        return number

    def _sync_by_system(self, path: str) -> None:
        if Path(path) == self.folder:
            self._note(SyncFolder())
            return
        file = self._now.names[Path(path).name]
        content = Path(path).read_bytes()
        if content != self._now.contents[file]:  # written past SQLite
            self._note(Write(file, 0, content))
        self._note(Sync(file))


@dataclass(frozen=True)
class Crash:
    """What may be found after a crash, and what was marked before it."""

    disk: Disk
    marks: dict[str, int]
    """The last number of each label."""


def crash_images(recording: Recording, rng: random.Random) -> Iterator[list[Crash]]:
    """For each sync of a recording, just before it takes effect, and for its end: images of the crash there."""
    durable, pending = recording.before.copy(), list[Change]()
    marks: dict[str, int] = {}
    for event in [*recording.events, SyncFolder()]:
        match event:
            case Mark(label, number):
                marks = {**marks, label: number}
            case Sync(file):
                if any(touches(change, file) for change in pending):
                    yield [Crash(disk, marks) for disk in _images(durable, pending, rng)]
                with_names = file in recording.named_by_sync
                pending = _make_durable(durable, pending, partial(_is_kept, file, with_names))
            case SyncFolder():
                yield [Crash(disk, marks) for disk in _images(durable, pending, rng)]
                pending = _make_durable(durable, pending, lambda change: isinstance(change, Name))
            case _:
                pending.append(event)


def _make_durable(durable: Disk, pending: list[Change], is_safe: Callable[[Change], bool]) -> list[Change]:
    """Applies what a sync makes safe; returns what still is not."""
    left = []
    for change in pending:
        if is_safe(change):
            durable.apply(change)
        else:
            left.append(change)
    return left


def _images(durable: Disk, pending: list[Change], rng: random.Random) -> Iterator[Disk]:
    yield durable.copy()
    if not pending:
        return
    yield _with(durable, pending)
    for _ in range(IMAGES_A_POINT):
        share = rng.choice([0.1, 0.5, 0.9])
        kept = [change for change in pending if rng.random() < share]
        if rng.random() < 0.3:  # a file system keeps the order of what happens to names
            names = [change for change in kept if isinstance(change, Name)]
            contents = [change for change in kept if not isinstance(change, Name)]
            rng.shuffle(contents)
            kept = names + contents
        torn_share = rng.choice([0, 0.2, 1])
        yield _with(durable, [part for change in kept for part in _torn(change, torn_share, rng)])


def _with(durable: Disk, changes: list[Change]) -> Disk:
    disk = durable.copy()
    for change in changes:
        disk.apply(change)
    return disk


def _torn(change: Change, share: float, rng: random.Random) -> Iterator[Change]:
    """A write as some of its sectors; anything else as it is."""
    if not isinstance(change, Write) or rng.random() >= share:
        yield change
        return
    end = change.offset + len(change.data)
    edges = [change.offset, *range((change.offset // SECTOR + 1) * SECTOR, end, SECTOR), end]
    sectors = list(itertools.pairwise(edges))
    cut = rng.randrange(len(sectors) + 1)
    kept = sectors[:cut] if rng.random() < 0.5 else [sector for sector in sectors if rng.random() < 0.5]
    for start, stop in kept:
        yield Write(change.file, start, change.data[start - change.offset : stop - change.offset])


def _is_kept(file: int, with_names: bool, change: Change) -> bool:
    return touches(change, file) or (with_names and isinstance(change, Name))


def touches(event: Event, file: int) -> bool:
    """Whether an event changes the content of a file."""
    return isinstance(event, Write | Truncate) and event.file == file


def put(content: bytearray, offset: int, data: bytes) -> None:
    """Writes into a file's content, over zeros where it is too short."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def resize(content: bytearray, size: int) -> None:
    """Cuts a file's content, or grows it with zeros."""
    del content[size:]
    content.extend(bytes(size - len(content)))
