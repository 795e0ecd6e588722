"""What is done with whole collections: many writes as one, models and documents that drift apart, names.

Layer: maintenance; below collection.
"""

import inspect
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from poof.bulk import BulkRequest, DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from poof.document import PoofDocument, encode_document
from poof.errors import DuplicateKeyError, InvalidNameError, InvalidQueryError, NoModelError
from poof.given import check_id, encode_given
from poof.located import LOCATED, located
from poof.models.binding import Binding
from poof.progress import Progress
from poof.query.plan import Index
from poof.query.update import same
from poof.raising import brief, raise_alone
from poof.results import BulkWriteResult, DeleteResult, IndexInfo, Misfit, UpdateResult
from poof.storage import changes, queries
from poof.storage.candidates import Query
from poof.storage.documents import Documents
from poof.storage.engine import Engine
from poof.storage.entries import duplicate
from poof.storage.schema import MAX_NAME_LENGTH

if TYPE_CHECKING:
    from poof.collection import PoofCollection

MIGRATED_DOCUMENTS = 100
"""How many documents `migrate` holds at a time."""


@brief(InvalidNameError)
def check_name(name: str, what: str) -> None:
    """Raises `InvalidNameError` for what cannot name a database, a collection or an index."""
    if not isinstance(name, str):
        raise InvalidNameError(f"The name of a {what} is text (str), not {type(name).__name__}.")
    if not name:
        raise InvalidNameError(f"The name of a {what} cannot be empty.")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidNameError(
            f"The name of a {what} has at most {MAX_NAME_LENGTH} characters; this one has {len(name)}."
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise_alone(InvalidNameError(f"The name of a {what} holds characters that are not valid Unicode text."))


def index_info(index: Index) -> IndexInfo:
    """What a user sees of an index."""
    definition = index.definition
    return IndexInfo(
        index.name,
        [(field.name, -1 if field.descending else 1) for field in definition.fields],
        definition.unique,
        definition.where,
        None if definition.expire_after is None else timedelta(seconds=definition.expire_after),
        index.multikey,
    )


async def bulk_write(
    collection: "PoofCollection[Any]", engine: Engine, requests: Sequence[BulkRequest]
) -> BulkWriteResult:
    """Makes many writes in one transaction."""
    inserted: dict[str, int] = {}
    matched = modified = deleted = 0
    upserted: dict[int, str] = {}
    for request in requests:
        if not isinstance(request, BulkRequest):
            raise InvalidQueryError(
                "A request of bulk_write is an InsertOne, UpdateOne, UpdateMany, ReplaceOne, DeleteOne or DeleteMany, "
                f"not {type(request).__name__}."
            )
    async with engine.transaction():
        for position, request in enumerate(requests):
            try:
                result = await _make(collection, request)
            except LOCATED as error:
                added = inserted | {obj_id: number for number, obj_id in upserted.items()}
                if isinstance(error, DuplicateKeyError) and error.obj_id in added:
                    holder = f"the document of request {added[error.obj_id]}"
                    error = duplicate(error.index, error.fields, None, holder)
                raise_alone(located(error, f"Request {position} ({type(request).__name__})", position))
            if isinstance(result, PoofDocument):
                inserted[result.objId] = position
                continue
            if isinstance(result, DeleteResult):
                deleted += result.deleted_count
                continue
            matched += result.matched_count
            modified += result.modified_count
            if result.upserted_id is not None:
                upserted[position] = result.upserted_id
    return BulkWriteResult(list(inserted), matched, modified, deleted, upserted)


async def validate_all(documents: Documents, binding: Binding[Any] | None) -> list[Misfit]:
    """The documents that do not fit a model."""
    if binding is None:
        raise NoModelError("The collection is bound to no model; use get_collection(name, model=YourModel).")
    misfits = []
    async for chunk in documents.stream(Query()):
        for row in chunk:
            try:
                binding.parse(row.obj_id, row.data)
            except ValidationError as error:
                misfits.append(Misfit(row.obj_id, error))
    return misfits


async def migrate(
    engine: Engine,
    collection_id: int,
    function: Callable[[dict[str, Any]], Any],
    binding: Binding[Any] | None,
    progress: Progress | None,
) -> UpdateResult:
    """Gives every document the data that a function makes of its own, in one transaction."""
    done = modified = last = 0
    async with engine.transaction():
        total = int(await engine.read(queries.count, queries.count, collection_id, Query(), long=True))
        next_rows = queries.next_rows
        while rows := await engine.read(next_rows, next_rows, collection_id, last, MIGRATED_DOCUMENTS, long=True):
            changed = []
            for row in rows:
                before = encode_document(row.data)[0]
                made = function(row.data)
                if inspect.isawaitable(made):
                    made = await made
                try:
                    encoded, text = _encode_migrated(made, row.obj_id, before, binding)
                except LOCATED as error:
                    raise_alone(located(error, f"Document {row.obj_id}"))
                if not same(encoded, before):
                    changed.append((text, row.number))
            await engine.write(
                changes.replace_numbers, collection_id, changed, size=sum(len(text) for text, _ in changed)
            )
            last = rows[-1].number
            done += len(rows)
            modified += len(changed)
            if progress is not None:
                progress(done, total, "documents")
    return UpdateResult(done, modified)


def _encode_migrated(
    made: Any, obj_id: str, before: dict[str, Any], binding: Binding[Any] | None
) -> tuple[dict[str, Any], str]:
    """What is stored of what a migration made: a dict as it is, an instance with what its model does not know."""
    if binding is None or isinstance(made, binding.model):
        encoded, text, given = encode_given(made, binding, obj_id, kept=before.keys())
    else:
        encoded, text, given = encode_given(made, kept=before.keys())
        binding.parse(obj_id, encoded)
    check_id(obj_id, given)
    if binding is not None and isinstance(made, binding.model):
        return binding.encode_replacement(encoded, text, before, obj_id)
    return encoded, text


async def _make(
    collection: "PoofCollection[Any]", request: BulkRequest
) -> PoofDocument[Any] | UpdateResult | DeleteResult:
    match request:
        case InsertOne(document):
            return await collection.insert(document)
        case UpdateOne(filter_, update, upsert, array_filters):
            return await collection.update_one(filter_, update, upsert=upsert, array_filters=array_filters)
        case UpdateMany(filter_, update, upsert, array_filters):
            return await collection.update_many(filter_, update, upsert=upsert, array_filters=array_filters)
        case ReplaceOne(filter_, replacement, upsert):
            return await collection.replace_one(filter_, replacement, upsert=upsert)
        case DeleteOne(filter_):
            return await collection.delete_one(filter_)
        case DeleteMany(filter_):
            return await collection.delete_many(filter_)
