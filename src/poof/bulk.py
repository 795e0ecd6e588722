"""The requests of `bulk_write`.

Layer: bulk. The names are PyMongo's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from poof.document import PoofDocument

Data = BaseModel | Mapping[str, Any] | PoofDocument[Any]
Filter = Mapping[str, Any]


@dataclass(frozen=True)
class InsertOne:
    """Inserts a document."""

    document: Data


@dataclass(frozen=True)
class UpdateOne:
    """Updates the first document that a filter finds."""

    filter: Filter
    update: Mapping[str, Any]
    upsert: bool = False
    array_filters: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class UpdateMany:
    """Updates every document that a filter finds."""

    filter: Filter
    update: Mapping[str, Any]
    upsert: bool = False
    array_filters: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class ReplaceOne:
    """Replaces the data of the first document that a filter finds."""

    filter: Filter
    replacement: Data
    upsert: bool = False


@dataclass(frozen=True)
class DeleteOne:
    """Deletes the first document that a filter finds."""

    filter: Filter


@dataclass(frozen=True)
class DeleteMany:
    """Deletes every document that a filter finds."""

    filter: Filter


BulkRequest = InsertOne | UpdateOne | UpdateMany | ReplaceOne | DeleteOne | DeleteMany
