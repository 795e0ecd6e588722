"""Everything that may be wrong with an open cluster, looked for while others write.

Layer: storage.

First the pages as they lie on the disk, past SQLite: each must authenticate. Then what they hold, in a snapshot,
through SQLite: how they fit together, the catalogue, each document, each entry of each index.

Invariants: what is wrong is reported, not raised; what others are just writing is not wrong.
"""

import contextlib
from collections import defaultdict
from dataclasses import dataclass, field

import apsw

from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.care.contents import Contents, check_contents
from poof.engines.sqlite.care.logs import RawLog, raw_log
from poof.engines.sqlite.care.rawpages import PAGES_A_STEP, RawPages, page_numbers
from poof.engines.sqlite.file.raw import raw_file
from poof.engines.sqlite.file.unlock import Source, newest_header
from poof.engines.sqlite.turns.jobs import Job
from poof.errors import DamagedFileError, StorageError
from poof.format.header import copies_in, parse_copy
from poof.format.layout import HEADER_BLOCK_SIZE, PAGE_NUMBER_SIZE
from poof.format.logs import LogHeader
from poof.format.subkeys import DataKeys
from poof.results import Problem, VerifyReport

READS = 3
"""How often a page is read that does not authenticate: somebody may be writing it."""


@dataclass
class Slots:
    """What came of looking at the file and the log past SQLite."""

    pages: int = 0
    frames: int = 0
    damaged: list[int] = field(default_factory=list)
    """The numbers of pages of the file that are not whole, and that the log does not hold."""
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class InUse:
    """How much of a log was in use at one moment."""

    header: LogHeader | None
    """Of the log, which is another one when it has been begun anew; `None` where it is damaged."""
    frames: int


async def verify(calls: Calls, job: Job) -> VerifyReport:
    """Looks at everything."""
    contents = Contents()
    in_use: InUse | None = None
    with contextlib.suppress(DamagedFileError, StorageError):  # met again below
        in_use = await calls.run_job(job, frames_in_use, calls.source)
    slots: Slots = await calls.run_raw_job(job, check_slots, calls.source, in_use)
    try:
        await calls.run_job(job, check_contents, contents)
    except (DamagedFileError, StorageError) as error:  # no connection could be made
        contents.note_damage(error, "It is needed to open the file.")
    problems = [*slots.problems, *contents.page_problems(slots.damaged), *contents.problems]
    return VerifyReport(slots.pages, slots.frames, contents.collections, contents.documents, contents.entries, problems)


def frames_in_use(connection: apsw.Connection, _job: Job, source: Source) -> InUse | None:
    """How many frames of the log are in use, where SQLite tells."""
    connection.pragma("schema_version")
    with raw_log(source, newest_header(source).keys) as log:
        if log is None:
            return None
        header = log.header()
        try:
            frames = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0]
        except (apsw.ReadOnlyError, apsw.BusyError):
            return None
        is_known = frames >= 0  # which it is not to a connection that knows no log
        return InUse(header, frames) if is_known and log.header() == header else None


def check_slots(job: Job, source: Source, in_use: InUse | None) -> Slots:
    """Authenticates every page of the file, every frame of the log that is in use, and the header."""
    found = Slots()
    keys = newest_header(source).keys
    with raw_file(source.path, apsw.SQLITE_OPEN_READONLY, source.base) as file, raw_log(source, keys) as log:
        found.problems += _check_header(file.xRead(HEADER_BLOCK_SIZE, 0), keys)
        pages = RawPages(file, keys)
        suspects = set()
        found.pages = pages.count
        for number in page_numbers(found.pages):
            if pages.read(number) is None:
                suspects.add(number)
            if number % PAGES_A_STEP == 0:
                job.report(number, found.pages)
        if log is not None:
            found.frames = _check_log(log, job, source, in_use, found.problems, suspects)
        for _ in range(READS - 1 if suspects else 0):
            pages.use(newest_header(source).keys)  # the data key may have been replaced meanwhile
            suspects = {number for number in suspects if number <= pages.count and pages.read(number) is None}
        found.damaged = sorted(suspects)
        job.report(found.pages, found.pages)
    return found


def _check_header(block: bytes, keys: DataKeys) -> list[Problem]:
    problems = []
    for name, stored in zip(("first", "second"), copies_in(block), strict=True):
        copy = parse_copy(stored)
        if copy is None or not any(copy.is_authentic(key.data_key) for key in keys):
            text = f"The {name} copy of the header is damaged. The other one is used."
            problems.append(Problem("header", None, text))
    return problems


def _check_log(
    log: RawLog, job: Job, source: Source, in_use: InUse | None, problems: list[Problem], suspects: set[int]
) -> int:
    """Looks at the frames of the log; pages that it holds are taken from the suspects. Returns how many are whole.

    Where it is not known how many are in use, a frame that is not whole is damage if a whole one of this log follows:
    the last ones may be torn, or about to be written.
    """
    header = log.header()
    if header is None:
        if in_use is not None and in_use.header is None and in_use.frames:
            text = "The header of the log is damaged: if the program ends now, the log is lost. Call save()."
            problems.append(Problem("log", None, text))
        return 0
    whole = 0
    broken: list[int] = []
    last = 0
    held = defaultdict(set)
    for number in range(1, log.frames + 1):
        block, page = log.frame(number, header)
        if page is None:
            broken.append(number)
        else:
            whole, last = whole + 1, number
            held_page = int.from_bytes(block[:PAGE_NUMBER_SIZE], "big")
            if held_page in suspects:
                held[held_page].add(number)
        if number % PAGES_A_STEP == 0:
            job.check()
    suspects.difference_update(held)
    log.use(newest_header(source).keys)
    end = in_use.frames if in_use is not None and in_use.header == header else last
    broken = [number for number in broken if number <= end and log.frame(number, header)[1] is None]
    if log.header() != header:  # it has been begun anew meanwhile
        return whole
    for number in broken:
        what = "is damaged" if log.frame(number, header)[0] else "cannot be read"
        problems.append(Problem("log", None, f"Frame {number} of the log {what}."))
    return whole
