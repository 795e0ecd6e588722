"""Results: the values that calls return, other than documents.

The names are PyMongo's where it has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from pydantic import ValidationError


@dataclass(frozen=True)
class SkippedDocument:
    """A document that `insert_many(..., skip_duplicates=True)` did not store."""

    position: int
    """The position of the document in the data, from 0."""
    index: str | None
    """The name of the unique index that refuses it, or `None` if the `_objId` is taken."""
    obj_id: str | None
    """The `_objId` of the document that has the same values. It may be one of those just inserted."""


@dataclass(frozen=True)
class InsertManyResult:
    """The result of `insert_many`."""

    inserted_ids: Sequence[str]
    """The ids of the new documents, in the order of the data. It reads like a list, in a quarter of the memory."""
    skipped: Sequence[SkippedDocument] = ()
    """The documents that were not stored, with `skip_duplicates=True`."""


@dataclass(frozen=True)
class UpdateResult:
    """The result of `update_one`, `update_many` or `replace_one`."""

    matched_count: int
    """How many documents matched the filter."""
    modified_count: int
    """How many of them were changed."""
    upserted_id: str | None = None
    """The id of the document that was inserted because none matched."""


@dataclass(frozen=True)
class DeleteResult:
    """The result of `delete_one` or `delete_many`."""

    deleted_count: int
    """How many documents were deleted."""


@dataclass(frozen=True)
class BulkWriteResult:
    """The result of `bulk_write`: totals over all its requests."""

    inserted_ids: Sequence[str] = ()
    """The ids of the documents that `InsertOne` inserted, in order."""
    matched_count: int = 0
    modified_count: int = 0
    deleted_count: int = 0
    upserted_ids: Mapping[int, str] = field(default_factory=dict)
    """The ids of upserted documents, by the position of their request."""

    @property
    def inserted_count(self) -> int:
        """The number of documents that `InsertOne` inserted."""
        return len(self.inserted_ids)

    @property
    def upserted_count(self) -> int:
        """The number of documents that were upserted."""
        return len(self.upserted_ids)


@dataclass(frozen=True)
class IndexInfo:
    """An index of a collection."""

    name: str
    fields: Sequence[tuple[str, int]]
    """Its fields, each with 1 (ascending) or -1 (descending)."""
    unique: bool = False
    where: Mapping[str, Any] | None = None
    """The filter of a partial index."""
    expire_after: timedelta | None = None
    """How long after the time in their field documents expire."""
    multikey: bool = False
    """Whether it lists a document with an array."""
    skip_null: bool = False
    """Whether it omits documents in which all of its fields are null or missing."""


@dataclass(frozen=True)
class Explanation:
    """The plan of a query, and how much it examined."""

    plan: str
    """In words: the index that finds the documents, and the index or the sort that orders them."""
    index: str | None
    """The name of the index that is used; several are joined with commas."""
    exact: bool
    """Whether SQL alone decided which documents match, so that Python compared none."""
    documents_examined: int
    """How many documents were examined."""
    returned: int
    """How many documents the query returns."""

    def __str__(self) -> str:
        judge = "SQL alone decided" if self.exact else "Python decided what SQL could not"
        return f"{self.plan} {judge}. Looked at {self.documents_examined:,}, found {self.returned:,}."


@dataclass(frozen=True)
class KeyInfo:
    """A key slot of a cluster: one of the keys and passwords that open it."""

    id: str
    """8 characters, for `remove_key`."""
    kind: str
    """`"key"` or `"password"`."""
    label: str
    created: datetime
    """When the slot was made, or its password changed; with a time zone."""


@dataclass(frozen=True)
class Misfit:
    """A document that does not fit the model of its collection."""

    objId: str  # noqa: N815 - public API
    error: ValidationError
    """Pydantic's error. Its text shows no value of the document."""


@dataclass(frozen=True)
class CollectionStats:
    """The space that a collection takes in the file."""

    database: str
    name: str
    documents: int
    """The number of documents."""
    document_bytes: int
    """The pages that hold the documents."""
    id_index_bytes: int
    """The pages of the index of ids, which every collection has."""
    index_bytes: Mapping[str, int]
    """The pages of each other index, by its name."""

    @property
    def total_bytes(self) -> int:
        """The sum of these pages."""
        return self.document_bytes + self.id_index_bytes + sum(self.index_bytes.values())


@dataclass(frozen=True)
class ClusterStats:
    """Sizes and ages of the file of a cluster. Sizes are in bytes; a page has 8192."""

    path: str
    file_bytes: int
    log_bytes: int
    """The log beside the file. `save()` empties it."""
    pages: int
    """The pages of the database, including those in the log."""
    free_pages: int
    """Pages that are empty, and are used before the file grows."""
    free_bytes: int
    header_generation: int
    """1 for a new file, and one more after each change of the keys."""
    key_slots: int
    """How many keys and passwords open the file."""
    oldest_page: datetime | None
    """When the page of the file that has been unchanged for longest was written, in UTC."""
    newest_page: datetime | None
    page_ages: Mapping[str, int]
    """How many pages of the file were written within the last `"day"`, `"week"`, `"month"`, `"year"`, or `"older"`."""
    collections: Sequence[CollectionStats]
    """Sorted by the names of database and collection."""


@dataclass(frozen=True)
class Problem:
    """A problem that `verify` found."""

    kind: Literal["header", "page", "log", "structure", "catalogue", "document", "index"]
    page: int | None
    """The number of the damaged page, if the problem is one page."""
    text: str
    """The description. It shows no value of a document."""
    documents: Sequence[str] = ()
    """The ids of the affected documents, up to 10,000."""


@dataclass(frozen=True)
class VerifyReport:
    """The result of `verify`."""

    pages: int
    """How many pages of the file were authenticated."""
    log_frames: int
    """How many frames of the log were authenticated."""
    collections: int
    documents: int
    index_entries: int
    """How many index entries were compared with the documents."""
    problems: Sequence[Problem]

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


@dataclass(frozen=True)
class SalvagedCollection:
    """One collection of the new cluster that `salvage` made."""

    database: str
    name: str
    documents: int
    """How many documents were recovered."""
    in_doubt: int
    """How many of them may be old versions or deleted documents: the pages that would show it are lost."""


@dataclass(frozen=True)
class LostDocument:
    """A document that is known to have existed, and of which a part is lost."""

    objId: str  # noqa: N815 - public API
    database: str
    collection: str


@dataclass(frozen=True)
class LostIndex:
    """An index that the new cluster does not have."""

    database: str
    collection: str
    name: str
    reason: str


@dataclass(frozen=True)
class SalvageReport:
    """The result of `salvage`: what it recovered, and what is lost."""

    pages: int
    """The number of pages in the file and its log."""
    damaged_pages: Sequence[int]
    """The numbers of the pages that failed to read at least once."""
    missing_pages: int
    """How many pages are missing at the end of the file."""
    log_frames: int
    """How many pages were taken from a log beside the file."""
    log_frames_left: int
    """How many frames of the log were not used.

    They cannot be read, a frame before them is damaged, or their transaction was never committed.
    """
    collections: Sequence[SalvagedCollection]
    lost: Sequence[LostDocument]
    """The documents that are known to be lost. There may be more where the index of ids is damaged too."""
    lost_indexes: Sequence[LostIndex]

    @property
    def documents(self) -> int:
        """The number of documents that were recovered."""
        return sum(collection.documents for collection in self.collections)

    @property
    def in_doubt(self) -> int:
        """How many of them may be old versions or deleted documents."""
        return sum(collection.in_doubt for collection in self.collections)

    @property
    def log_used(self) -> bool:
        """Whether pages were taken from a log."""
        return self.log_frames > 0


class ReturnDocument(StrEnum):
    """The document that `find_one_and_update` and `find_one_and_replace` return. The plain text works as well."""

    BEFORE = "before"
    AFTER = "after"
