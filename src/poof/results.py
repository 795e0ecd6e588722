"""What calls return that is not a document.

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
    """Of the document in the data, from 0."""
    index: str | None
    """The name of the unique index that refuses it, or `None` where the `_objId` is taken."""
    obj_id: str | None
    """The `_objId` of the document that has the same values. It may be one of those just inserted."""


@dataclass(frozen=True)
class InsertManyResult:
    """What came of `insert_many`."""

    inserted_ids: Sequence[str]
    """The ids of the new documents, in the order of the data. It reads like a list, in a quarter of the memory."""
    skipped: Sequence[SkippedDocument] = ()
    """The documents that were not stored, with `skip_duplicates=True`."""


@dataclass(frozen=True)
class UpdateResult:
    """What came of `update_one`, `update_many` or `replace_one`."""

    matched_count: int
    """How many documents the filter found."""
    modified_count: int
    """How many of them are different now."""
    upserted_id: str | None = None
    """The id of the document that was inserted because the filter found none."""


@dataclass(frozen=True)
class DeleteResult:
    """What came of `delete_one` or `delete_many`."""

    deleted_count: int
    """How many documents are gone."""


@dataclass(frozen=True)
class BulkWriteResult:
    """What came of `bulk_write`, over all its requests."""

    inserted_ids: Sequence[str] = ()
    """The ids of the documents of `InsertOne`, in order."""
    matched_count: int = 0
    modified_count: int = 0
    deleted_count: int = 0
    upserted_ids: Mapping[int, str] = field(default_factory=dict)
    """The ids of upserted documents, by the position of their request."""

    @property
    def inserted_count(self) -> int:
        """How many documents `InsertOne` inserted."""
        return len(self.inserted_ids)

    @property
    def upserted_count(self) -> int:
        """How many documents were upserted."""
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
    """After which time documents expire."""
    multikey: bool = False
    """Whether it lists a document with an array."""
    skip_null: bool = False
    """Whether it leaves out documents in which all of its fields are null or missing."""


@dataclass(frozen=True)
class Explanation:
    """How a query is answered."""

    plan: str
    """In words: which index finds the documents, and what sorts them."""
    index: str | None
    """The name of the index that is used; several are joined with commas."""
    exact: bool
    """Whether SQL alone decided, and Python had nothing to compare."""
    documents_examined: int
    """How many documents were looked at."""
    returned: int
    """How many documents the query finds."""

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
    """What is wrong with it; its text shows no value of the document."""


@dataclass(frozen=True)
class CollectionStats:
    """What a collection takes in the file."""

    database: str
    name: str
    documents: int
    """How many there are."""
    document_bytes: int
    """The pages that hold them."""
    id_index_bytes: int
    """The pages of the index of their ids, which every collection has."""
    index_bytes: Mapping[str, int]
    """The pages of each other index, by its name."""

    @property
    def total_bytes(self) -> int:
        """All of these pages together."""
        return self.document_bytes + self.id_index_bytes + sum(self.index_bytes.values())


@dataclass(frozen=True)
class ClusterStats:
    """What the file of a cluster is made of. Sizes are in bytes, and a page has 8192."""

    path: str
    file_bytes: int
    log_bytes: int
    """The log beside the file. `save()` empties it."""
    pages: int
    """Of the database, those in the log included."""
    free_pages: int
    """Pages that hold nothing any more, and are used before the file grows."""
    free_bytes: int
    header_generation: int
    """How often the header was written: 1, and one more for each change of the keys."""
    key_slots: int
    """How many keys and passwords open the file."""
    oldest_page: datetime | None
    """When the page of the file was written that has been left alone for longest, in UTC."""
    newest_page: datetime | None
    page_ages: Mapping[str, int]
    """How many pages of the file were written within the last `"day"`, `"week"`, `"month"`, `"year"`, or `"older"`."""
    collections: Sequence[CollectionStats]
    """By the names of database and collection."""


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a cluster."""

    kind: Literal["header", "page", "log", "structure", "catalogue", "document", "index"]
    page: int | None
    """The number of the page that is damaged, where it is one."""
    text: str
    """What is wrong. It shows no value of a document."""
    documents: Sequence[str] = ()
    """The ids of the documents that are affected, up to 10,000."""


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found."""

    pages: int
    """How many pages of the file were authenticated."""
    log_frames: int
    """How many of the log."""
    collections: int
    documents: int
    index_entries: int
    """How many entries of indexes were compared with the documents."""
    problems: Sequence[Problem]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True)
class SalvagedCollection:
    """What came out of a damaged cluster for one collection of the new one."""

    database: str
    name: str
    documents: int
    """How many documents came out."""
    in_doubt: int
    """How many of them may have been deleted, or changed, before the file was damaged: what would tell is lost."""


@dataclass(frozen=True)
class LostDocument:
    """A document of which it is known that it was there, and that a part of it is lost."""

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
    """What `salvage` brought out of a damaged cluster, and what it could not."""

    pages: int
    """How many pages there were, in the file and its log."""
    damaged_pages: Sequence[int]
    """The numbers of those that could not be read, or could not each time."""
    missing_pages: int
    """How many more the file should have had at its end."""
    log_frames: int
    """How many pages were taken from a log beside the file."""
    log_frames_left: int
    """How many more are in the log, but do not count.

    They cannot be read, something before them is damaged, or they were undone.
    """
    collections: Sequence[SalvagedCollection]
    lost: Sequence[LostDocument]
    """The documents that are known to be lost. There may be more where the index of ids is damaged too."""
    lost_indexes: Sequence[LostIndex]

    @property
    def documents(self) -> int:
        """How many documents came out."""
        return sum(collection.documents for collection in self.collections)

    @property
    def in_doubt(self) -> int:
        """How many of them may have been deleted, or changed, before the file was damaged."""
        return sum(collection.in_doubt for collection in self.collections)

    @property
    def log_used(self) -> bool:
        """Whether there was a log with pages that count."""
        return self.log_frames > 0


class ReturnDocument(StrEnum):
    """Which document `find_one_and_update` and `find_one_and_replace` return; the text does as well."""

    BEFORE = "before"
    AFTER = "after"
