"""What calls return that is not a document.

Layer: results. The names are PyMongo's where it has them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import ValidationError


@dataclass(frozen=True)
class InsertManyResult:
    """What came of `insert_many`."""

    inserted_ids: Sequence[str]
    """The ids of the new documents, in the order of the data. It reads like a list, in a quarter of the memory."""


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


class ReturnDocument(StrEnum):
    """Which document `find_one_and_update` and `find_one_and_replace` return; the text does as well."""

    BEFORE = "before"
    AFTER = "after"
