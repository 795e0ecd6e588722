"""What is left of a damaged cluster: its catalogue and its documents, and which of these belong to which collection.

A collection's documents are the leaves of its tree, as far as the way to them is whole. Other leaves are *lone*. The
index of ids tells whose a lone leaf is, and that its documents were not deleted. Where the list of free pages is whole,
a page that is not in it is in use; where not, a lone leaf is in doubt, as it may hold what documents once were.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from poof.engines.sqlite.care.recovery import DamagedTreeError, RecoveredPages
from poof.engines.sqlite.tables import schema
from poof.format.btree import Cell, MalformedPageError, TreePage, Value, decode_record
from poof.object_ids import is_object_id

SCHEMA_ROOT = 1
_SCHEMA_COLUMNS, _DATABASE_COLUMNS, _COLLECTION_COLUMNS, _INDEX_COLUMNS, _DOCUMENT_COLUMNS = 5, 2, 3, 4, 3
_DOCUMENTS = re.compile(r"documents_(\d{1,15})")
_ENTRIES = re.compile(r"entries_(\d{1,15})")


@dataclass(frozen=True)
class FoundDocument:
    """A document as it was found."""

    rowid: int
    obj_id: str
    text: str | None
    """The document, or `None` where a part of it is lost."""
    overflow: Sequence[int] = ()
    """The pages that it goes on in."""


@dataclass
class Catalogue:
    """What is left of the names, and where the trees of collections begin."""

    databases: dict[int, str] = field(default_factory=dict)
    collections: dict[int, tuple[int, str]] = field(default_factory=dict)
    """The database and the name of each collection."""
    indexes: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    """The collection, the name and the definition of each index."""
    documents: dict[int, int] = field(default_factory=dict)
    """The root of the documents of each collection."""
    ids: dict[int, int] = field(default_factory=dict)
    """The root of the index of ids of each collection."""
    entries: set[int] = field(default_factory=set)
    """The indexes that have a table of entries."""
    is_whole: bool = True
    rootless: int | None = None
    """The only collection of which it is not known where its trees begin, where it is known that it is the only one."""


def recover_catalogue(pages: RecoveredPages) -> Catalogue:
    """The catalogue, as far as it is there; what cannot be reached is looked for among the lone leaves.

    Where free pages are not known, such a leaf may be old, and the tree that began somewhere may be another's by now.
    So the documents of a collection are then looked for among the lone leaves too.
    """
    found = Catalogue()
    roots = {"databases": 0, "collections": 0, "indexes": 0}
    for leaf in pages.leaves(SCHEMA_ROOT):
        if leaf is None:
            found.is_whole = False
        else:
            _note_schema(pages, leaf, found, roots, is_current=True)
    if not found.is_whole:
        for number in pages.lone_leaves():
            leaf = pages.tree_page(number)
            if leaf is not None and _note_schema(pages, leaf, found, roots, is_current=pages.knows_free_pages):
                pages.take_leaf(number)
    names_are_whole = True
    for table, root in roots.items():
        for leaf in pages.leaves(root) if root else [None]:
            if leaf is None:
                found.is_whole = names_are_whole = False
            else:
                _note_names(pages, leaf, found, table)
    if not found.is_whole:
        for number in pages.lone_leaves():
            leaf = pages.tree_page(number)
            if leaf is not None and any(_note_names(pages, leaf, found, table) for table in roots):
                pages.take_leaf(number)
    if names_are_whole and pages.knows_free_pages:
        rootless = found.collections.keys() - (found.documents.keys() & found.ids.keys())
        found.rootless = rootless.pop() if len(rootless) == 1 else None
    return found


def documents_of(pages: RecoveredPages, leaf: TreePage) -> Iterator[FoundDocument]:
    """The documents in a leaf, in order; none where it holds other things."""
    for cell in leaf.cells:
        found = _document(pages, cell)
        if found is not None:
            yield found


def ids_of(pages: RecoveredPages, root: int) -> Iterator[tuple[str, int]]:
    """The ids and rowids of a collection's documents, in any order, as far as its index of ids is there."""
    for cell in pages.entries(root):
        match _record(pages, cell, 2):
            case [str(obj_id), int(rowid)]:
                yield obj_id, rowid


class Owners:
    """Tells which collection a lone leaf belongs to, by the indexes of ids."""

    def __init__(self, pages: RecoveredPages, catalogue: Catalogue) -> None:
        self._pages = pages
        self._roots = dict(catalogue.ids)
        self._rootless = catalogue.rootless
        self._order = [collection for collection in self._roots if collection != self._rootless]
        self._knows_all = catalogue.is_whole and catalogue.documents.keys() == catalogue.ids.keys()

    def owner(self, leaf: TreePage) -> int | None:
        """The collection whose index of ids lists one of the documents in a leaf, with its rowid."""
        documents = list(_ids_in(leaf))
        for place, collection in enumerate(self._order):
            if any(self.lists(collection, rowid, obj_id) for rowid, obj_id in documents):
                # The next leaf is likely to be of the same collection.
                self._order.insert(0, self._order.pop(place))
                return collection
        if self._rootless is not None and any(self._is_of_no_other(*document) for document in documents):
            return self._rootless
        return None

    def knows_deleted(self, rowid: int, obj_id: str) -> bool:
        """Whether a document is in no collection for sure."""
        return self._knows_all and self._is_of_no_other(rowid, obj_id)

    def _is_of_no_other(self, rowid: int, obj_id: str) -> bool:
        return all(self.lists(collection, rowid, obj_id) is False for collection in self._order)

    def lists(self, collection: int, rowid: int, obj_id: str) -> bool | None:
        """Whether the index of ids of a collection lists a document; `None` where that is not to be known."""
        try:
            return self._pages.find(self._roots[collection], obj_id.encode()) == rowid
        except DamagedTreeError:
            return None


def _ids_in(leaf: TreePage) -> Iterator[tuple[int, str]]:
    """The rowids and ids of the documents in a leaf, without the documents, which may be large."""
    for cell in leaf.cells:
        with contextlib.suppress(MalformedPageError):
            match decode_record(cell.local, _DOCUMENT_COLUMNS):
                case [None, str(obj_id), *_]:
                    yield cell.rowid, obj_id


def _note_schema(
    pages: RecoveredPages, leaf: TreePage, found: Catalogue, roots: dict[str, int], *, is_current: bool
) -> bool:
    """Takes the roots of trees from a leaf of SQLite's schema; returns whether it is one."""
    is_schema = False
    for cell in leaf.cells:
        match _record(pages, cell, _SCHEMA_COLUMNS):
            case ["table" | "index" as kind, str(name), str(table), int(root), str() | None]:
                is_schema = True
                if kind == "table" and name in roots:
                    roots[name] = root
                elif kind == "table" and (matched := _DOCUMENTS.fullmatch(name)):
                    found.documents.setdefault(int(matched[1]), root if is_current else 0)
                elif kind == "table" and (matched := _ENTRIES.fullmatch(name)):
                    found.entries.add(int(matched[1]))
                elif kind == "index" and (matched := _DOCUMENTS.fullmatch(table)):
                    found.ids.setdefault(int(matched[1]), root)
            case ["trigger", str(), str(), int(), str()]:
                is_schema = True
    return is_schema


def _note_names(pages: RecoveredPages, leaf: TreePage, found: Catalogue, table: str) -> bool:
    """Takes the rows of one of our tables from a leaf; returns whether it is one of that table."""
    is_its = False
    for cell in leaf.cells:
        match table:
            case "databases":
                match _record(pages, cell, _DATABASE_COLUMNS):
                    case [None, str(name)] if _is_name(name):
                        is_its = bool(found.databases.setdefault(cell.rowid, name))
            case "collections":
                match _record(pages, cell, _COLLECTION_COLUMNS):
                    case [None, int(database), str(name)] if _is_name(name):
                        is_its = bool(found.collections.setdefault(cell.rowid, (database, name)))
            case "indexes":
                match _record(pages, cell, _INDEX_COLUMNS):
                    case [None, int(collection), str(name), str(definition)] if _is_name(name):
                        is_its = bool(found.indexes.setdefault(cell.rowid, (collection, name, definition)))
    return is_its


def _is_name(name: str) -> bool:
    return 0 < len(name) <= schema.MAX_NAME_LENGTH


def _document(pages: RecoveredPages, cell: Cell) -> FoundDocument | None:
    try:
        record = pages.record(cell, _DOCUMENT_COLUMNS)
    except MalformedPageError:
        return None
    match record.values:
        case [None, str(obj_id), *rest] if is_object_id(obj_id):
            if not record.is_whole:
                return FoundDocument(cell.rowid, obj_id, None)
            text = rest[0]
            if isinstance(text, str) and _is_object(text):
                return FoundDocument(cell.rowid, obj_id, text, record.overflow)
    return None


def _is_object(text: str) -> bool:
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict)


def _record(pages: RecoveredPages, cell: Cell, columns: int) -> list[Value]:
    """The columns of a whole record; none where it is not whole, or has another number of columns."""
    try:
        record = pages.record(cell, columns)
    except MalformedPageError:
        return []
    return record.values if record.is_whole else []
