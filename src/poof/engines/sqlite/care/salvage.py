"""What can still be read of a damaged cluster, brought into a new one.

Layer: storage.

Invariants: the damaged file is only read; the new one gets its name when it is whole; documents that are certain come
first, and no document in doubt takes the place of one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from poof.engines.sqlite.care.logs import Log, raw_log, read_log
from poof.engines.sqlite.care.orphans import Catalogue, FoundDocument, Owners, documents_of, ids_of, read_catalogue
from poof.engines.sqlite.care.rawpages import PAGES_A_STEP, RawPages
from poof.engines.sqlite.care.recovery import RecoveredPages
from poof.engines.sqlite.file import build, raw, unlock
from poof.engines.sqlite.file.raw import locked, raw_file
from poof.engines.sqlite.file.unlock import Source
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.catalogue import new_number
from poof.engines.sqlite.tables.connections import ClusterConnection, note_header, prepare_pages
from poof.engines.sqlite.tables.indexes import create_index
from poof.engines.sqlite.turns.jobs import Job, run_alone
from poof.errors import DuplicateKeyError, PoofError
from poof.format.records import newest_record
from poof.format.trust import TrustedHeader
from poof.keys.credentials import Credentials
from poof.new_files import path_of_new
from poof.paths import missing_file, real_path
from poof.progress import Progress
from poof.query.indexes.definition import decode_definition
from poof.results import LostDocument, LostIndex, SalvagedCollection, SalvageReport

SALVAGED = "salvaged"
"""The database of what has lost its own."""
UNKNOWN = "documents_unknown"
"""The collection there of documents that have lost their own."""
_ROOM_FOR_NUMBERS = 240
"""How many characters of a name stay where a number is added to it."""


async def salvage_file(path: str, to: str, credentials: Credentials, progress: Progress | None) -> SalvageReport:
    """Brings every document that can still be read out of a damaged file into a new one, on a thread of its own."""
    report: SalvageReport = await run_alone("poof-salvage", Job(progress), salvage, path, to, credentials)
    return report


def salvage(job: Job, path: str, to: str, credentials: Credentials) -> SalvageReport:
    """Reads everything that is whole in a cluster file, and makes a new one of it."""
    target = path_of_new(to)
    if not os.path.lexists(path):
        raise missing_file(path)
    raw.check_accessible(path)
    path = real_path(path)
    if os.path.lexists(f"{path}-wal"):
        raw.check_accessible(f"{path}-wal")
    block = raw.read_header_block(path)
    unlocked = unlock.unlock(block, credentials, path)
    source, keys = Source(path, unlocked.key), unlocked.keys
    with _held(path) as damaged, raw_log(source, keys) as frames:
        found = newest_record(block, (key.state for key in keys))
        log = read_log(frames, None if found is None else found.newest) if frames else Log()
        pages = RecoveredPages(RawPages(damaged, keys), frames, log)
        pages.survey(job, 2 * pages.count)
        rescue = _Rescue(pages, job)

        new = unlock.new_header(credentials, b"")
        with build.built_beside(target, new, prepare=rescue.fill) as file:
            job.check()
            file.place()
        job.report(2 * pages.count, 2 * pages.count)
        return SalvageReport(
            pages=pages.count,
            damaged_pages=pages.damaged,
            missing_pages=pages.missing,
            log_frames=log.count,
            log_frames_left=log.left,
            collections=rescue.collections(),
            lost=list(rescue.lost.values()),
            lost_indexes=rescue.lost_indexes,
        )


@contextmanager
def _held(path: str) -> Iterator[apsw.VFSFile]:
    """The file, while no program has it open."""
    can_lock = os.access(path, os.W_OK)  # the system ties an exclusive lock to the right to write
    busy = f"{path!r} is open in a program. Close it there first. Nothing was changed."
    flags = apsw.SQLITE_OPEN_READWRITE if can_lock else apsw.SQLITE_OPEN_READONLY
    with raw_file(path, flags) as file, locked(file, busy, exclusive=can_lock):
        yield file


class _Rescue:
    """Fills a new cluster with what is left of an old one."""

    def __init__(self, pages: RecoveredPages, job: Job) -> None:
        self._pages = pages
        self._job = job
        self._catalogue = read_catalogue(pages)
        self._output: _Output
        self._incomplete: set[int] = set()
        """The collections of which something is missing."""
        self._seen = 0
        self.lost: dict[tuple[int, str], LostDocument] = {}
        self.lost_indexes: list[LostIndex] = []

    def fill(self, connection: ClusterConnection, header: TrustedHeader) -> None:
        """Makes the new cluster."""
        prepare_pages(connection)
        connection.execute(f"BEGIN; {schema.CATALOGUE}")
        note_header(connection, header)
        self._output = _Output(connection, self._catalogue)
        for collection in list(self._output.names):
            self._copy_tree(collection)
        self._copy_lone_leaves()
        for collection in sorted(self._incomplete):
            self._note_lost(collection)
        connection.execute("COMMIT")
        self._job.watch(connection)
        connection.pragma("journal_mode", "wal")  # from here on, what fails can be undone
        for collection, name, definition in self._catalogue.indexes.values():
            self._build_index(connection, collection, name, definition)
        self.lost_indexes += [
            LostIndex("", "", schema.entries(number), "Its name and its definition are lost.")
            for number in sorted(self._catalogue.entries - self._catalogue.indexes.keys())
        ]

    def collections(self) -> list[SalvagedCollection]:
        """What came out, by names."""
        return self._output.collections()

    def _copy_tree(self, collection: int) -> None:
        root = self._catalogue.documents.get(collection, 0)
        for leaf in self._pages.leaves(root):
            self._tick()
            if leaf is None:
                self._incomplete.add(collection)
                continue
            found = 0
            for document in documents_of(self._pages, leaf):
                found += 1
                self._copy(collection, document)
            if found < len(leaf.cells):
                self._incomplete.add(collection)

    def _copy_lone_leaves(self) -> None:
        owners = Owners(self._pages, self._catalogue)
        in_doubt = not self._pages.knows_free_pages
        numbers: Any = self._pages.lone_leaves()
        if in_doubt:  # of several copies of a document, the newest counts
            numbers = sorted(numbers, key=self._pages.written_at, reverse=True)
        for number in numbers:
            self._tick()
            leaf = self._pages.tree_page(number)
            if leaf is None:
                continue
            owner = owners.owner(leaf)
            for document in documents_of(self._pages, leaf):
                if not in_doubt:
                    self._copy(owner, document)
                elif not _was_deleted(owners, owner, document):
                    self._copy(owner, document, in_doubt=True)

    def _copy(self, collection: int | None, document: FoundDocument, *, in_doubt: bool = False) -> None:
        if document.text is None:
            self._note(collection, document.obj_id)
        else:
            stored = self._output.put(collection, document.number, document.obj_id, document.text, in_doubt)
            if stored:
                self._pages.take_overflow(document.overflow)

    def _note_lost(self, collection: int) -> None:
        """Notes the documents that are in the index of ids, and not in the new cluster."""
        root = self._catalogue.ids.get(collection, 0)
        for obj_id, _number in ids_of(self._pages, root):
            if not self._output.holds(collection, obj_id):
                self._note(collection, obj_id)

    def _note(self, collection: int | None, obj_id: str) -> None:
        if collection is None:
            self.lost[-1, obj_id] = LostDocument(obj_id, "", "")
        elif not self._output.holds(collection, obj_id):
            self.lost[collection, obj_id] = LostDocument(obj_id, *self._output.names[collection])

    def _build_index(self, connection: ClusterConnection, collection: int, name: str, definition: str) -> None:
        if collection not in self._output.names:
            return
        database, collection_name = self._output.names[collection]
        try:
            create_index(connection, collection, name, decode_definition(definition), self._job.quiet())
            return
        except DuplicateKeyError:
            reason = "It is unique, and documents have the same values."
        except (PoofError, ValueError) as error:
            reason = f"It could not be built: {type(error).__name__}."
        self.lost_indexes.append(LostIndex(database, collection_name, name, reason))

    def _tick(self) -> None:
        self._seen += 1
        if self._seen % PAGES_A_STEP == 0:
            self._job.report(min(self._pages.count + self._seen, 2 * self._pages.count), 2 * self._pages.count)


def _was_deleted(owners: Owners, owner: int | None, document: FoundDocument) -> bool:
    if owner is None:
        return owners.knows_deleted(document.number, document.obj_id)
    return owners.lists(owner, document.number, document.obj_id) is False


class _Output:
    """The collections of the new cluster."""

    def __init__(self, connection: apsw.Connection, catalogue: Catalogue) -> None:
        self._connection = connection
        self._databases: dict[str, int] = {}
        self._taken: dict[str, set[str]] = {}
        self._counts: dict[int, list[int]] = {}
        self._unknown: list[int] = []
        self.names: dict[int, tuple[str, str]] = {}
        """The database and the name of each collection that has, or had, a number."""
        for number, name in catalogue.databases.items():
            if name not in self._databases and len(self._databases) < schema.MAX_DATABASES:
                self._add_database(number, name)
        for number in sorted(catalogue.collections.keys() | catalogue.documents.keys() | catalogue.ids.keys()):
            database, name = catalogue.collections.get(number, (0, schema.documents(number)))
            self._add_collection(number, catalogue.databases.get(database, SALVAGED), name)

    def put(self, collection: int | None, number: int, obj_id: str, text: str, in_doubt: bool) -> bool:
        """Stores a document; `False` where the collection has it."""
        if collection is not None:
            return self._insert(collection, number, obj_id, text, in_doubt)
        for unknown in self._unknown:
            if self._insert(unknown, number, obj_id, text, in_doubt):
                return True
            if self._connection.execute(schema.find_document(unknown), (obj_id,)).get == text:
                return False
            if not self.holds(unknown, obj_id) and self._insert(unknown, None, obj_id, text, in_doubt):
                return True  # another document has its number
        self._unknown.append(self._add_collection(new_number(), SALVAGED, UNKNOWN))
        return self._insert(self._unknown[-1], number, obj_id, text, in_doubt)

    def holds(self, collection: int, obj_id: str) -> bool:
        """Whether there is a document of an id in the collection, or in one of unknown documents."""
        return any(
            self._connection.execute(schema.find_number(place), (obj_id,)).get is not None
            for place in (collection, *self._unknown)
        )

    def collections(self) -> list[SalvagedCollection]:
        """What was stored, by names."""
        return sorted(
            (SalvagedCollection(*self.names[number], *counts) for number, counts in self._counts.items()),
            key=lambda collection: (collection.database, collection.name),
        )

    def _insert(self, collection: int, number: int | None, obj_id: str, text: str, in_doubt: bool) -> bool:
        self._connection.execute(schema.rescue_document(collection), (number, obj_id, text))
        stored = self._connection.changes() == 1
        self._counts[collection][0] += stored
        self._counts[collection][1] += stored and in_doubt
        return stored

    def _add_database(self, number: int, name: str) -> None:
        self._connection.execute(schema.ADD_DATABASE, (number, name))
        self._databases[name] = number
        self._taken[name] = set()

    def _add_collection(self, number: int, database: str, name: str) -> int:
        database = self._database_with_room(database)
        wanted, again = name, 1
        while name in self._taken[database]:
            again += 1
            name = f"{wanted[:_ROOM_FOR_NUMBERS]}_{again}"
        self._taken[database].add(name)
        self.names[number] = database, name
        self._counts[number] = [0, 0]
        self._connection.execute(schema.ADD_COLLECTION, (number, self._databases[database], name))
        self._connection.execute(schema.create_documents(number))
        return number

    def _database_with_room(self, wanted: str) -> str:
        """The database, created where need be; or another, where there is no room for one, or in it."""
        if wanted not in self._databases and len(self._databases) < schema.MAX_DATABASES:
            self._add_database(new_number(), wanted)
        names = [wanted, SALVAGED, *self._databases]
        return next(
            (name for name in names if name in self._taken and len(self._taken[name]) < schema.MAX_COLLECTIONS),
            names[-1],
        )
