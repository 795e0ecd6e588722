"""What the pages of an open cluster hold, compared with each other: tables, documents, entries of indexes.

It runs on a thread, with a connection.

SQLite ends a transaction where it meets a damaged page, and with it every statement. So documents are listed some at a
time and read one by one, and the snapshot is begun anew after each damage. What two snapshots say is never compared.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import orjson

from poof.engines.sqlite.care.tables import CatalogueIndex, Collection, check_tables, problems_of
from poof.engines.sqlite.sqlite_errors import translation
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.savepoints import begin_snapshot, end_snapshot
from poof.engines.sqlite.turns.jobs import Job
from poof.errors import DamagedFileError, DamagedPageError, InvalidDocumentError
from poof.object_ids import is_object_id
from poof.query.indexes.definition import keys_of
from poof.results import Problem

LISTED = 500
"""How many documents are listed at a time."""
MOST_DOCUMENTS = 10_000
"""How many ids of documents a problem names."""
MOST_MESSAGES = 100
"""Of SQLite's check of one table."""
EXTRA_ENTRIES = 1_000
"""How many entries that should not be there are looked for in an index."""
UNUSED = "Nothing that is in use was seen to need it; it may be in the list of free pages."
UNPLACED = "Something cannot be read, and it is not known which page that is."
UNREADABLE = "A part of its structure cannot be read."

_AS_WRITTEN = re.compile(r'(?:[^\\]|\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f])))*')
"""JSON in which no character is escaped but those that must be, each in the one way in which filters look for it."""
_FIRST_ID, _LAST_ID = "", "\x7f"
_DAMAGE = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)


class Contents:
    """What is found, counted and complained about."""

    def __init__(self) -> None:
        self.collections = 0
        self.documents = 0
        self.entries = 0
        self.problems: list[Problem] = []
        self._documents_of: dict[tuple[str, str], list[str]] = defaultdict(list)
        """The documents with a problem, by its kind and its text."""
        self._pages: dict[int | None, tuple[dict[str, None], list[str]]] = defaultdict(lambda: ({}, []))
        """What was said of a damaged page, and the documents that cannot be read for it."""

    def note(self, kind: Any, text: str, obj_id: str | None = None) -> None:
        """Notes a problem, and a document that is affected by it."""
        documents = self._documents_of[kind, text]
        if obj_id is not None and len(documents) < MOST_DOCUMENTS:
            documents.append(obj_id)

    def note_damage(self, error: BaseException, what: str, obj_id: str | None = None) -> None:
        """Notes a page that could not be read, and a document that is affected by it."""
        known = error if isinstance(error, DamagedFileError) else translation(error, "the file")
        page = known.page if isinstance(known, DamagedPageError) else None
        said, documents = self._pages[page]
        if what:
            said[what if page is not None else f"{what} {known}"] = None
        if obj_id is not None and len(documents) < MOST_DOCUMENTS:
            documents.append(obj_id)

    def page_problems(self, damaged: list[int]) -> list[Problem]:
        """A problem for each damaged page, those included that were only seen from outside."""
        problems = []
        unsaid = [] if None in self._pages else [UNUSED]
        for page in sorted({*self._pages, *damaged}, key=lambda page: page or 0):
            said, documents = self._pages[page]
            what = UNPLACED if page is None else f"Page {page} is damaged."
            problems.append(Problem("page", page, " ".join([what, *(said or unsaid)]), tuple(documents)))
        return problems

    def close(self) -> None:
        """Makes problems of what was noted."""
        self.problems += [Problem(kind, None, text, tuple(ids)) for (kind, text), ids in self._documents_of.items()]  # type: ignore[arg-type] # a kind is given to `note`
        self._documents_of.clear()


def check_contents(connection: apsw.Connection, job: Job, found: Contents) -> None:
    """Compares everything in a cluster with everything else."""
    connection.pragma("shrink_memory")  # pages in the cache say nothing about those on the disk
    _Check(connection, job, found).run()
    found.close()


class _Check:
    def __init__(self, connection: apsw.Connection, job: Job, found: Contents) -> None:
        self._connection = connection
        self._job = job
        self._found = found
        self._snapshots = 0
        self._total = 0

    def run(self) -> None:
        try:
            self._ensure_snapshot()
            collections: list[Collection] = []
            names: list[str] = []
            with self._noting("It holds the catalogue."):
                tables = check_tables(self._connection)
                collections, names = tables.collections, tables.names
                self._found.problems += problems_of(tables)
            self._found.collections = len(collections)
            self._check_structure(names, collections)
            for collection in collections:
                with self._noting(f"It belongs to {collection.label}."):
                    self._total += self._get(schema.count_documents(collection.number))
            for collection in collections:
                try:
                    self._check_collection(collection)
                except apsw.SQLError:
                    if self._snapshots == 1:
                        raise
                    # It was dropped meanwhile.
            self._job.report(self._found.documents, self._found.documents, "documents")
        finally:
            end_snapshot(self._connection)

    def _check_structure(self, names: list[str], collections: list[Collection]) -> None:
        """SQLite's own check: of everything, or, where a page is damaged, of one table after another."""
        snapshots = self._snapshots
        with self._noting(""):
            self._check_integrity("")
        if self._snapshots == snapshots:
            return
        labels = {schema.documents(each.number): f"It belongs to {each.label}." for each in collections}
        for each in collections:
            for index in each.indexes:
                labels[schema.entries(index.number)] = f"It belongs to the index {index.name!r} of {each.label}."
        for name in ("sqlite_schema", *names):
            with self._noting(labels.get(name, "It holds the catalogue.")):
                self._check_integrity(name)

    def _check_integrity(self, table: str) -> None:
        target = f"'{table}'" if table else str(MOST_MESSAGES)
        for (message,) in self._rows(f"PRAGMA integrity_check({target})"):
            if message != "ok":
                self._found.note("structure", f"SQLite says: {message}")

    def _check_collection(self, collection: Collection) -> None:
        indexes = dict.fromkeys(collection.indexes, 0)
        before = self._snapshots
        for rowid, obj_id in self._list(collection):
            self._found.documents += 1
            if self._found.documents % LISTED == 0:
                self._job.report(self._found.documents, max(self._total, self._found.documents), "documents")
            with self._noting(f"It holds documents of {collection.label}.", obj_id):
                text = self._get(schema.find_text(collection.number), rowid)
                if text is not None:
                    self._check_document(collection, rowid, obj_id, text, indexes)
        for index, listed in indexes.items():
            self._found.entries += listed
            if self._snapshots == before:
                with self._noting(_belongs(collection, index)):
                    self._check_count(collection, index, listed)

    def _list(self, collection: Collection) -> Iterator[tuple[int, str]]:
        """The rowids and ids of all documents: by the table; past damage by the index of ids, from both its ends."""
        last = -(2**63)
        rows: list[tuple[int, str]] = []
        complete = False
        while not complete:
            rows = []
            with self._noting(f"It belongs to {collection.label}."):
                rows = self._rows(schema.list_ids(collection.number), last, LISTED)
                complete = not rows
            if not rows:
                break
            yield from rows
            last = rows[-1][0]
        if complete:
            return
        end = _FIRST_ID
        for backwards in (False, True):
            sql = schema.list_indexed_ids(collection.number, backwards=backwards)
            at = _LAST_ID if backwards else _FIRST_ID
            complete = False
            while not complete:
                rows = []
                with self._noting(f"It belongs to {collection.label}."):
                    rows = self._rows(sql, at, LISTED)
                    complete = not rows
                if not rows:
                    break
                yield from (row for row in rows if row[0] > last and (not backwards or row[1] > end))
                at = rows[-1][1]
                if backwards and at <= end:
                    return
            if complete:
                return
            end = at
        self._found.note("document", f"Not every document of {collection.label} could be looked at: {UNREADABLE}")

    def _check_document(
        self, collection: Collection, rowid: int, obj_id: str, text: str, indexes: dict[CatalogueIndex, int]
    ) -> None:
        if not is_object_id(obj_id):
            self._found.note("document", f"An id in {collection.label} is not valid.")
        try:
            document = orjson.loads(text)
        except (ValueError, TypeError):
            document = None
        if not isinstance(document, dict):
            self._found.note("document", f"A document of {collection.label} is not a JSON object.", obj_id)
            return
        if "\\" in text and not _AS_WRITTEN.fullmatch(text):
            problem = f"Filters may miss a document of {collection.label}, whose text is escaped more than it must be."
            self._found.note("document", problem, obj_id)
        for index in indexes:
            with self._noting(_belongs(collection, index)):
                self._check_entries(collection, rowid, obj_id, document, index, indexes)

    def _check_entries(
        self,
        collection: Collection,
        rowid: int,
        obj_id: str,
        document: dict[str, Any],
        index: CatalogueIndex,
        indexes: dict[CatalogueIndex, int],
    ) -> None:
        try:
            keys = keys_of(index.definition)(rowid, document)
        except InvalidDocumentError:
            text = f"The index {index.name!r} of {collection.label} cannot list a document: it has several arrays."
            self._found.note("index", text, obj_id)
            return
        sql = schema.has_entry(index.number)
        listed = sum(self._get(sql, key, rowid) is not None for key in keys)
        indexes[index] += listed
        if listed < len(keys):
            text = f"The index {index.name!r} of {collection.label} does not list a document as it should."
            self._found.note("index", text, obj_id)

    def _check_count(self, collection: Collection, index: CatalogueIndex, listed: int) -> None:
        """Where an index has more entries than the documents give, looks for those."""
        if self._get(schema.count_entries(index.number)) == listed:
            return
        text = f"The index {index.name!r} of {collection.label} has entries that no document gives."
        self._found.note("index", text)
        extra = 0
        for key, rowid in self._connection.execute(schema.list_entries(index.number)):
            row = self._connection.execute(schema.find_by_rowid(collection.number), (rowid,)).fetchone()
            obj_id, keys = None, set()
            if row is not None:
                obj_id = str(row[0])
                keys = _keys(index, rowid, row[1])
            if key not in keys:
                self._found.note("index", text, obj_id)
                extra += 1
                if extra == EXTRA_ENTRIES:
                    return

    @contextmanager
    def _noting(self, what: str, obj_id: str | None = None) -> Iterator[None]:
        """Notes damage that is met in the block, and goes on in a new snapshot."""
        try:
            yield
        except _DAMAGE as error:
            self._found.note_damage(error, what, obj_id)
            self._ensure_snapshot(anew=True)

    def _ensure_snapshot(self, *, anew: bool = False) -> None:
        self._snapshots += 1
        if anew:
            end_snapshot(self._connection)
        begin_snapshot(self._connection)

    def _get(self, sql: str, *values: Any) -> Any:
        return self._connection.execute(sql, values).get

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()


def _keys(index: CatalogueIndex, rowid: int, text: str) -> set[bytes]:
    try:
        return keys_of(index.definition)(rowid, orjson.loads(text))
    except (ValueError, TypeError, AttributeError):
        return set()


def _belongs(collection: Collection, index: CatalogueIndex) -> str:
    return f"It belongs to the index {index.name!r} of {collection.label}."
