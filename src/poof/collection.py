"""Collections of documents."""

import itertools
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import IO, Any, Literal

from pydantic import BaseModel

from poof.bulk import BulkRequest, bulk_write
from poof.document import PoofDocument, make_document
from poof.drift import find_misfits, migrate
from poof.engines.contract import Change, Changed, Documents, Engine, ListedIndex
from poof.finding import Filter, Finding
from poof.given import check_id, encode_given, may_be_found
from poof.hints import Hinting
from poof.indexed import make_definition
from poof.located import LOCATED, located
from poof.models.binding import Binding
from poof.models.reading import ModelT
from poof.names import check_name
from poof.object_ids import OBJECT_ID
from poof.progress import Progress
from poof.query.fields import FieldsSpec, parse_fields
from poof.query.filters.parse import parse_filter
from poof.query.indexes.definition import IndexDefinition
from poof.query.known import KnownFields, known_fields
from poof.query.nodes import Node
from poof.query.paths import FieldReference
from poof.query.query import Query
from poof.query.updates.update import parse_update
from poof.raising import raise_alone
from poof.results import (
    BulkWriteResult,
    DeleteResult,
    IndexInfo,
    InsertManyResult,
    Misfit,
    UpdateResult,
)
from poof.transfer.exports import export
from poof.transfer.forms import Form, comma_separated, json_array, json_lines
from poof.transfer.imports import Lines, import_documents
from poof.transfer.objects import IdPolicy
from poof.transfer.pieces import ArrayCutter, Cutter, LineCutter
from poof.uncopyable import Uncopyable
from poof.writes import DELETE, merging, parse_write_filter, replace_change, update_change

Data = BaseModel | Mapping[str, Any] | PoofDocument[Any]
Target = str | os.PathLike[str] | IO[str] | IO[bytes]
ImportSource = str | os.PathLike[str] | IO[str] | IO[bytes] | Lines


class PoofCollection(Uncopyable, Hinting, Finding[ModelT]):
    """A collection of documents, got from `PoofDatabase.get_collection`.

    >>> async def example(people: PoofCollection) -> None:
    ...     doc = await people.insert({"name": "Alice", "age": 25})
    ...     await people.update_one({"name": "Alice"}, {"$inc": {"age": 1}})
    ...     async for doc in people.find({"age": {"$gte": 18}}).sort("name"):
    ...         print(doc.data)

    Filters, updates and their results are those of MongoDB. In filters and sorts, `_objId` is the id of a document.

    Every method raises `ClosedError` after the cluster was closed, `BusyError` where another process held the file
    for longer than the timeout, a `DamagedFileError` where the file was altered, and `StorageError` or
    `DiskFullError` where the disk failed; `InvalidQueryError` for a filter, update or sort that is not valid, before
    anything is read. A call that raises has changed nothing. A method that writes raises `DuplicateKeyError` where a
    unique index refuses a document, and Pydantic's `ValidationError` where one does not fit the collection's model.
    """

    def __init__(
        self,
        engine: Engine,
        documents: Documents,
        name: str,
        model: type[ModelT] | None,
        *,
        takes_any_field: bool = False,
    ) -> None:
        self._engine = engine
        self._documents = documents
        self._name = name
        self._model = model
        self._binding = None if model is None else Binding(model, name)
        self._takes_any_field = takes_any_field

    @property
    def _known(self) -> KnownFields | None:
        """The fields of the model."""
        return None if self._model is None else known_fields(self._model, is_strict=not self._takes_any_field)

    @property
    def name(self) -> str:
        """The name of the collection."""
        return self._name

    @property
    def model(self) -> type[ModelT] | None:
        """The Pydantic model that the collection is bound to."""
        return self._model

    async def insert(self, data: ModelT | Data) -> PoofDocument[ModelT]:
        """Stores a Pydantic model or a dict as a new document, under a new random id or the `_objId` in the data.

        Returns the document as it is stored: `data` is a new dict of JSON values, without `_objId`. A `PoofDocument`
        means its data, here and wherever data is taken: the new document gets an id of its own.

        Raises:
            pydantic.ValidationError: the data does not fit the collection's model.
            InvalidDocumentError: the data holds what JSON cannot hold exactly, such as NaN, bytes or a huge integer; a
                name that begins with `$`, as operators do; or an `_objId` that cannot be one.
            DocumentTooLargeError: it is larger than 64 MiB as JSON.
            DuplicateKeyError: there is a document with this `_objId`, or a unique index refuses the data.
        """
        encoded, text, given = encode_given(data, self._binding)
        obj_id = await self._documents.insert(text, given)
        return make_document(obj_id, encoded, self._binding)

    async def insert_many(
        self, data: Iterable[ModelT | Data] | AsyncIterable[ModelT | Data], *, skip_duplicates: bool = False
    ) -> InsertManyResult:
        """Stores any number of documents, all of them or none. Takes a list, or any iterator, also an async one.

        >>> async def example(people: PoofCollection, others: PoofCollection) -> None:
        ...     await people.insert_many([{"name": "Alice"}, {"name": "Bob"}])
        ...     await people.insert_many(await others.find_all())  # copies, under new ids
        ...     result = await people.insert_many([{"mail": "a"}, {"mail": "a"}], skip_duplicates=True)
        ...     for skipped in result.skipped:
        ...         print(skipped.position, skipped.index)

        Args:
            data: dicts, models or documents, as for `insert`.
            skip_duplicates: skip those that a unique index or a taken `_objId` refuses; the result lists them.

        Raises:
            pydantic.ValidationError, InvalidDocumentError, DocumentTooLargeError: as for `insert`, for any of them. The
                error names the position of the document in the data, from 0.
            DuplicateKeyError: a unique index or a taken `_objId` refuses one; its `position` says which.
        """
        inserted = await self._documents.insert_many(data, self._encoder(), skips=skip_duplicates)
        return InsertManyResult(inserted.ids, inserted.skipped)

    async def find_by_id(self, obj_id: str) -> PoofDocument[ModelT] | None:
        """Returns the document with an id, or `None`. You may change its data; that changes nothing stored.

        Raises:
            InvalidIdError: the id is not text. To search by a filter, use `find_one`.
        """
        if not may_be_found(obj_id, "find_by_id", "find_one()"):
            return None
        data = await self._documents.find_by_id(obj_id)
        return None if data is None else make_document(obj_id, data, self._binding)

    async def find_all(self) -> list[PoofDocument[ModelT]]:
        """Returns all documents, in the order in which they were inserted."""
        return await self._documents.find_all(self._make)

    async def exists(self, filter: Filter = None) -> bool:  # noqa: A002 - PyMongo's name
        """Returns whether a document matches the filter."""
        return await self.find(filter).first() is not None

    async def count_documents(self, filter: Filter = None) -> int:  # noqa: A002 - PyMongo's name
        """Returns how many documents match the filter."""
        return await self._documents.count(Query(parse_filter(filter, self._known)))

    async def estimated_document_count(self) -> int:
        """Returns how many documents there are. The number is exact; MongoDB's method of this name estimates."""
        return await self._documents.count(Query())

    async def distinct(self, field: str | FieldReference, filter: Filter = None) -> list[Any]:  # noqa: A002 - PyMongo's name
        """Returns the distinct values of a field in the documents that match a filter. An array counts by its elements.

        The values are sorted, as `sort` would. 1 and 1.0 are one value.
        """
        known = self._known
        (order,) = parse_fields([(field, 1)], what="distinct", known=known)
        query = Query(parse_filter(filter, known))
        if order.path == (OBJECT_ID,):
            return sorted(await self._documents.find(query, lambda found: [obj_id for obj_id, _ in found]))
        return await self._documents.distinct(order, query)

    async def update(self, obj_id: str, data: ModelT | Data) -> PoofDocument[ModelT] | None:
        """Replaces the data of a document. Returns the new document, or `None` if there is none with this id.

        >>> async def example(people: PoofCollection[Person], obj_id: str) -> None:
        ...     person = (await people.find_by_id(obj_id)).model
        ...     person.age += 1
        ...     await people.update(obj_id, person)

        A dict replaces all data. In a collection that is bound to a model, an instance of the model replaces the fields
        of the model; other stored fields stay.

        Raises:
            pydantic.ValidationError, InvalidDocumentError, DocumentTooLargeError: as for `insert`; or the data names
                another `_objId`.
            InvalidIdError: the id is not text. To select by a filter, use `update_one` or `replace_one`.
        """
        may_exist = may_be_found(obj_id, "update", "update_one() or replace_one()")
        encoded, text, given = encode_given(data, self._binding, obj_id)
        check_id(obj_id, given)
        if not may_exist:
            return None
        merge = merging(encoded, text, data, self._binding)
        if merge is not None:
            merged = await self._documents.merge_by_id(obj_id, merge)
            return None if merged is None else make_document(obj_id, merged, self._binding)
        if not await self._documents.replace(obj_id, text):
            return None
        return make_document(obj_id, encoded, self._binding)

    async def update_one(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        update: Mapping[str, Any],
        *,
        upsert: bool = False,
        array_filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> UpdateResult:
        """Updates the first document that matches a filter. With `upsert`, inserts a document if none matches.

        >>> async def example(people: PoofCollection) -> None:
        ...     await people.update_one({"name": "Alice"}, {"$set": {"city": "Paris"}, "$push": {"tags": "new"}})

        Raises:
            UpdateError: the update cannot be applied to the document, such as `$inc` to text.
        """
        node = parse_write_filter(filter, self._known)
        change = update_change(parse_update(update, array_filters, self._known), node, self._binding, upsert=upsert)
        return _update_result(await self._change_one(node, change))

    async def update_many(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        update: Mapping[str, Any],
        *,
        upsert: bool = False,
        array_filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> UpdateResult:
        """Updates every document that matches a filter. If one of them cannot be updated, none is.

        Raises:
            UpdateError: the update cannot be applied to one of them.
        """
        node = parse_write_filter(filter, self._known)
        change = update_change(parse_update(update, array_filters, self._known), node, self._binding, upsert=upsert)
        return _update_result(await self._documents.change(Query(node), change))

    async def replace_one(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        replacement: ModelT | Data,
        *,
        upsert: bool = False,
    ) -> UpdateResult:
        """Replaces the data of the first document that matches a filter. An instance keeps as much as in `update`."""
        node = parse_write_filter(filter, self._known)
        change = replace_change(replacement, node, self._binding, upsert=upsert)
        return _update_result(await self._change_one(node, change))

    async def delete(self, obj_id: str) -> bool:
        """Deletes a document. Returns whether there was one.

        Raises:
            InvalidIdError: the id is not text. To select by a filter, use `delete_one` or `delete_many`.
        """
        may_exist = may_be_found(obj_id, "delete", "delete_one() or delete_many()")
        return may_exist and await self._documents.delete(obj_id)

    async def delete_one(self, filter: Mapping[str, Any]) -> DeleteResult:  # noqa: A002 - PyMongo's name
        """Deletes the first document that matches a filter."""
        return DeleteResult((await self._change_one(parse_write_filter(filter, self._known), DELETE)).matched)

    async def delete_many(self, filter: Mapping[str, Any]) -> DeleteResult:  # noqa: A002 - PyMongo's name
        """Deletes every document that matches a filter; `{}` matches all."""
        return DeleteResult(
            (await self._documents.change(Query(parse_write_filter(filter, self._known)), DELETE)).matched
        )

    async def bulk_write(self, requests: Iterable[BulkRequest]) -> BulkWriteResult:
        """Runs several writes in order, all of them or none.

        >>> async def example(people: PoofCollection) -> None:
        ...     await people.bulk_write([InsertOne({"name": "Bob"}), DeleteMany({"age": {"$lt": 18}})])
        """
        return await bulk_write(self, self._engine, list(requests))

    async def create_index(
        self,
        fields: FieldsSpec,
        *,
        unique: bool = False,
        name: str | None = None,
        where: Mapping[str, Any] | None = None,
        expire_after: timedelta | None = None,
        skip_null: bool = False,
        progress: Progress | None = None,
    ) -> str:
        """Creates an index and returns its name. Does nothing if the same index exists already.

        >>> async def example(people: PoofCollection) -> None:
        ...     await people.create_index("address.city")
        ...     await people.create_index([("city", 1), ("age", -1)])
        ...     await people.create_index("email", unique=True)
        ...     await people.create_index("last_seen", expire_after=timedelta(days=30))

        Args:
            fields: a field name, a list of names or of pairs of name and direction, or a dict.
            unique: refuse a document whose values another one has; a missing value counts as null.
            name: the name of the index, by default made of the fields, such as `city_1_age_-1`.
            where: list only the documents that match this filter. The index serves queries whose filters include it.
            expire_after: delete each document this long after the time in its field, which must be an aware datetime.
            skip_null: do not list a document in which every field of the index is null or missing, so that any number
                may lack what is unique. The index serves queries that exclude null.
            progress: called with how many documents are done, of how many, and `"documents"`.

        Raises:
            DuplicateKeyError: the index is unique, and two documents have the same values.
            LimitError: the collection has 64 indexes.
        """
        definition = make_definition(
            parse_fields(fields, what="index", known=self._known), unique, where, expire_after, skip_null, self._known
        )
        name = definition.default_name if name is None else name
        check_name(name, "index")
        await self._documents.create_index(name, definition, progress)
        return name

    async def drop_index(self, index: FieldsSpec) -> bool:
        """Drops an index, given its name or the fields that its name was made of. Returns whether there was one."""
        name = index if isinstance(index, str) else IndexDefinition(parse_fields(index, what="index")).default_name
        return await self._documents.drop_index(name)

    async def list_indexes(self) -> list[IndexInfo]:
        """Returns the indexes of the collection, in the order of their names."""
        return [_index_info(index) for index in await self._documents.list_indexes()]

    async def validate_all(self) -> list[Misfit]:
        """Returns the documents that do not fit the current model of the collection.

        Raises:
            NoModelError: the collection is bound to no model.
        """
        return await find_misfits(self._documents, self._binding)

    async def migrate(
        self,
        function: Callable[[dict[str, Any]], ModelT | Data | Awaitable[ModelT | Data]],
        *,
        progress: Progress | None = None,
    ) -> UpdateResult:
        """Replaces the data of every document by what a function returns for it. Changes all documents or none.

        >>> async def example(people: PoofCollection) -> None:
        ...     await people.migrate(lambda data: {**data, "name": data["name"].strip()})

        Args:
            function: takes the data of a document, which it may change, and returns the new data; it may be async. The
                new data is stored as it is, and must fit the collection's model, if there is one.
            progress: called with how many documents are done, of how many, and `"documents"`.
        """
        return await migrate(self._engine, self._documents, function, self._binding, progress)

    async def export_jsonl(self, to: Target, filter: Filter = None, *, progress: Progress | None = None) -> int:  # noqa: A002 - PyMongo's name
        """Writes the documents that match a filter as JSON Lines, in plaintext. Returns how many there are.

        >>> async def example(people: PoofCollection) -> None:
        ...     await people.export_jsonl("people.jsonl")
        ...     await people.export_jsonl(sys.stdout, {"age": {"$gte": 18}})

        Each line is `{"_objId": ..., ...data}`; `import_jsonl` reads it back exactly. It writes one state of
        the collection, in bounded memory.

        Args:
            to: the path of a new file, or a file that is open for writing text or bytes. A new file appears only when
                it is complete, and only its owner can read it.
            filter: the documents to write; all by default.
            progress: called with how many documents are done, of how many, and `"documents"`.

        Raises:
            StorageError, MissingFolderError: a file of this name exists, or it cannot be written.
        """
        return await self._export(json_lines, to, filter, progress)

    async def export_json(self, to: Target, filter: Filter = None, *, progress: Progress | None = None) -> int:  # noqa: A002 - PyMongo's name
        """Writes the documents that match a filter as one JSON array. Arguments and errors as in `export_jsonl`."""
        return await self._export(json_array, to, filter, progress)

    async def export_csv(
        self,
        to: Target,
        filter: Filter = None,  # noqa: A002 - PyMongo's name
        *,
        fields: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Writes the documents that match a filter as CSV for spreadsheets: a header row, then a row for each document.

        Nested documents become columns such as `address.city`; arrays become JSON text. Text that a spreadsheet would
        take for a formula gets an apostrophe before it. Other arguments and errors are those of `export_jsonl`.

        Args:
            fields: the columns, as dotted names; by default every field that any of the documents has.
        """
        return await self._export(comma_separated(fields), to, filter, progress)

    async def import_jsonl(
        self, source: ImportSource, *, ids: Literal["keep", "new"] = "keep", progress: Progress | None = None
    ) -> int:
        """Stores the documents of JSON Lines, all of them or none. Returns how many there are.

        >>> async def example(people: PoofCollection) -> None:
        ...     await people.import_jsonl("people.jsonl")

        It reads in blocks, so a file of any size takes little memory.

        Args:
            source: a path, a file that is open for reading, or an iterator of lines, also an async one. UTF-8.
            ids: `"keep"`: of each document its `_objId`, or a new one if it has none; `"new"`: new ones for all.
            progress: called with how many bytes are read, of how many (0 where that is unknown), and `"bytes"`.

        Raises:
            InvalidDocumentError: a line, which the error names, is no JSON object, or cannot be stored exactly.
            DuplicateKeyError: a document with this `_objId` exists already.
            StorageError, AccessDeniedError: the file cannot be read.
        """
        return await self._import(source, LineCutter(), ids, progress, separator=b"\n")

    async def import_json(
        self, source: ImportSource, *, ids: Literal["keep", "new"] = "keep", progress: Progress | None = None
    ) -> int:
        """Stores the documents of a JSON array, all of them or none. Arguments and errors as in `import_jsonl`."""
        return await self._import(source, ArrayCutter(), ids, progress)

    async def drop(self) -> None:
        """Deletes the collection with its documents and indexes. After that, this object cannot be used."""
        await self._documents.drop()

    async def rename(self, name: str) -> None:
        """Gives the collection another name.

        Raises:
            InvalidNameError: the name is not valid, or another collection has it.
        """
        check_name(name, "collection")
        await self._documents.rename(name)
        self._name = name
        self._binding = None if self._model is None else Binding(self._model, name)

    async def _change_one(self, node: Node, change: Change) -> Changed:
        return await self._documents.change(Query(node, limit=1), change)

    async def _export(self, form: Form, to: Target, filter: Filter, progress: Progress | None) -> int:  # noqa: A002
        return await export(self._documents, Query(parse_filter(filter, self._known)), form, to, progress)

    async def _import(
        self, source: ImportSource, cutter: Cutter, ids: IdPolicy, progress: Progress | None, *, separator: bytes = b""
    ) -> int:
        return await import_documents(
            self._engine, self._documents, source, cutter, ids, self._binding, progress, separator=separator
        )

    def _make(self, found: Iterable[tuple[str, dict[str, Any]]]) -> list[PoofDocument[ModelT]]:
        binding = self._binding
        return [make_document(obj_id, data, binding) for obj_id, data in found]

    def _encoder(self) -> Callable[[ModelT | Data], tuple[str, str | None]]:
        """What encodes many documents, one after another: its errors say at which position of the data."""
        positions = itertools.count()

        def encode(data: ModelT | Data) -> tuple[str, str | None]:
            position = next(positions)
            try:
                _, text, obj_id = encode_given(data, self._binding)
            except LOCATED as error:
                raise_alone(located(error, f"Position {position}"))
            return text, obj_id

        return encode

    def __repr__(self) -> str:
        return f"<PoofCollection {self._name!r} of {self._engine.path!r}>"


def _index_info(index: ListedIndex) -> IndexInfo:
    definition = index.definition
    return IndexInfo(
        index.name,
        [(field.name, -1 if field.descending else 1) for field in definition.fields],
        definition.unique,
        definition.where,
        None if definition.expire_after is None else timedelta(seconds=definition.expire_after),
        index.multikey,
        definition.skip_null,
    )


def _update_result(changed: Changed) -> UpdateResult:
    return UpdateResult(changed.matched, changed.modified, changed.inserted_id)
