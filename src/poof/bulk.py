"""Bulk writes: the requests of `bulk_write`, and the transaction that runs them. The names are PyMongo's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from poof.document import PoofDocument
from poof.engines.contract import Engine
from poof.errors import DuplicateKeyError, InvalidQueryError
from poof.located import LOCATED, duplicate, located
from poof.raising import raise_alone
from poof.results import BulkWriteResult, DeleteResult, UpdateResult

Data = BaseModel | Mapping[str, Any] | PoofDocument[Any]
Filter = Mapping[str, Any]


class Writable(Protocol):
    """The methods of a collection that requests call."""

    async def insert(self, data: Any) -> PoofDocument[Any]: ...
    async def update_one(
        self,
        filter: Filter,  # noqa: A002 - PyMongo's name
        update: Mapping[str, Any],
        *,
        upsert: bool = False,
        array_filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> UpdateResult: ...
    async def update_many(
        self,
        filter: Filter,  # noqa: A002 - PyMongo's name
        update: Mapping[str, Any],
        *,
        upsert: bool = False,
        array_filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> UpdateResult: ...
    async def replace_one(self, filter: Filter, replacement: Any, *, upsert: bool = False) -> UpdateResult: ...  # noqa: A002
    async def delete_one(self, filter: Filter) -> DeleteResult: ...  # noqa: A002
    async def delete_many(self, filter: Filter) -> DeleteResult: ...  # noqa: A002


@dataclass(frozen=True)
class InsertOne:
    """Inserts a document."""

    document: Data

    async def _apply(self, to: "Writable") -> PoofDocument[Any]:
        return await to.insert(self.document)


@dataclass(frozen=True)
class UpdateOne:
    """Updates the first document that matches a filter."""

    filter: Filter
    update: Mapping[str, Any]
    upsert: bool = False
    array_filters: Sequence[Mapping[str, Any]] | None = None

    async def _apply(self, to: "Writable") -> UpdateResult:
        return await to.update_one(self.filter, self.update, upsert=self.upsert, array_filters=self.array_filters)


@dataclass(frozen=True)
class UpdateMany:
    """Updates every document that matches a filter."""

    filter: Filter
    update: Mapping[str, Any]
    upsert: bool = False
    array_filters: Sequence[Mapping[str, Any]] | None = None

    async def _apply(self, to: "Writable") -> UpdateResult:
        return await to.update_many(self.filter, self.update, upsert=self.upsert, array_filters=self.array_filters)


@dataclass(frozen=True)
class ReplaceOne:
    """Replaces the data of the first document that matches a filter."""

    filter: Filter
    replacement: Data
    upsert: bool = False

    async def _apply(self, to: "Writable") -> UpdateResult:
        return await to.replace_one(self.filter, self.replacement, upsert=self.upsert)


@dataclass(frozen=True)
class DeleteOne:
    """Deletes the first document that matches a filter."""

    filter: Filter

    async def _apply(self, to: "Writable") -> DeleteResult:
        return await to.delete_one(self.filter)


@dataclass(frozen=True)
class DeleteMany:
    """Deletes every document that matches a filter."""

    filter: Filter

    async def _apply(self, to: "Writable") -> DeleteResult:
        return await to.delete_many(self.filter)


BulkRequest = InsertOne | UpdateOne | UpdateMany | ReplaceOne | DeleteOne | DeleteMany


async def bulk_write(collection: Writable, engine: Engine, requests: Sequence[BulkRequest]) -> BulkWriteResult:
    """Runs several writes in one transaction."""
    for request in requests:
        if not isinstance(request, BulkRequest):
            raise InvalidQueryError(
                "A request of bulk_write is an InsertOne, UpdateOne, UpdateMany, ReplaceOne, DeleteOne or DeleteMany, "
                f"not {type(request).__name__}."
            )
    inserted: dict[str, int] = {}
    upserted: dict[int, str] = {}
    matched = modified = deleted = 0
    async with engine.transaction():
        for position, request in enumerate(requests):
            try:
                result = await request._apply(collection)
            except LOCATED as error:
                added = inserted | {obj_id: number for number, obj_id in upserted.items()}
                raise_alone(_located(error, position, request, added))
            if isinstance(result, PoofDocument):
                inserted[result.objId] = position
            elif isinstance(result, DeleteResult):
                deleted += result.deleted_count
            else:
                matched += result.matched_count
                modified += result.modified_count
                if result.upserted_id is not None:
                    upserted[position] = result.upserted_id
    return BulkWriteResult(list(inserted), matched, modified, deleted, upserted)


def _located(error: Exception, position: int, request: BulkRequest, added: Mapping[str, int]) -> Exception:
    """The error with the request that it is about. `added`: the positions of the requests that added documents."""
    if isinstance(error, DuplicateKeyError) and error.obj_id is not None and error.obj_id in added:
        error = duplicate(error.index, error.fields, None, f"the document of request {added[error.obj_id]}")
    return located(error, f"Request {position} ({type(request).__name__})", position)
