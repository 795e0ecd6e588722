"""Collections of documents.

Layer: collection; talks to an engine and to nothing below it.
"""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Generic

from pydantic import BaseModel

from poof.cursor import PoofCursor
from poof.document import ModelT, PoofDocument, encode_document, is_object_id, make_document
from poof.results import InsertManyResult
from poof.storage.engine import Engine
from poof.storage.operations import OverBudget


class PoofCollection(Generic[ModelT]):
    """A collection of documents, got from `PoofDatabase.get_collection`.

    >>> async def example(people: PoofCollection) -> None:
    ...     doc = await people.insert({"name": "Alice", "age": 25})
    ...     doc = await people.update(doc.objId, {"name": "Alice", "age": 26})
    ...     assert await people.delete(doc.objId)

    Every method raises `ClosedError` after the cluster was closed, `BusyError` where another process held the file
    for longer than the timeout, a `DamagedFileError` where the file was altered, and `StorageError` or
    `DiskFullError` where the disk failed. Whatever raises has changed nothing.
    """

    def __init__(self, engine: Engine, collection_id: int, name: str, model: type[ModelT] | None) -> None:
        self._engine = engine
        self._id = collection_id
        self._name = name
        self._model = model

    @property
    def name(self) -> str:
        """The name of the collection."""
        return self._name

    @property
    def model(self) -> type[ModelT] | None:
        """The Pydantic model that the collection is bound to."""
        return self._model

    async def insert(self, data: ModelT | BaseModel | Mapping[str, Any]) -> PoofDocument[ModelT]:
        """Stores a Pydantic model or a dict as a new document, under a new random id.

        Returns the document as it is stored: `data` is a new dict of JSON values.

        Raises:
            pydantic.ValidationError: the data does not fit the collection's model.
            InvalidDocumentError: the data holds what JSON cannot hold exactly, such as NaN, bytes or a huge integer.
            DocumentTooLargeError: it is larger than 64 MiB as JSON.
        """
        encoded, text = encode_document(data, self._model)
        obj_id = await self._engine.insert(self._id, text)
        return make_document(obj_id, encoded, self._model)

    async def find_by_id(self, obj_id: str) -> PoofDocument[ModelT] | None:
        """The document with an id, or `None`. Its data is the caller's own: changing it changes nothing stored."""
        if not is_object_id(obj_id):
            return None
        data = self._engine.find_at_once(self._id, obj_id)
        if isinstance(data, OverBudget):
            data = await self._engine.find(self._id, obj_id)
        return None if data is None else make_document(obj_id, data, self._model)

    async def find_all(self) -> list[PoofDocument[ModelT]]:
        """All documents, in the order in which they were inserted."""
        return await self._engine.find_all(self._id, self._model)

    async def insert_many(
        self,
        data: Iterable[ModelT | BaseModel | Mapping[str, Any]] | AsyncIterable[ModelT | BaseModel | Mapping[str, Any]],
    ) -> InsertManyResult:
        """Stores any number of documents, all of them or none. Takes a list, or any iterator, also an async one.

        Raises:
            pydantic.ValidationError, InvalidDocumentError, DocumentTooLargeError: as for `insert`, for any of them.
        """
        return InsertManyResult(await self._engine.insert_many(self._id, data, self._encode))

    def find(self) -> PoofCursor[ModelT]:
        """A cursor over all documents as they are when the first is read, in the order in which they were inserted.

        >>> async def example(people: PoofCollection) -> None:
        ...     async for doc in people.find():
        ...         print(doc.objId)

        It reads in chunks, so a collection of any size takes little memory.
        """
        return PoofCursor(self._engine, self._id, self._model)

    async def update(self, obj_id: str, data: ModelT | BaseModel | Mapping[str, Any]) -> PoofDocument[ModelT] | None:
        """Replaces the whole data of a document. Returns the document as it is now, or `None` where there is none.

        Raises:
            pydantic.ValidationError, InvalidDocumentError, DocumentTooLargeError: as for `insert`.
        """
        encoded, text = encode_document(data, self._model)
        if not is_object_id(obj_id) or not await self._engine.replace(self._id, obj_id, text):
            return None
        return make_document(obj_id, encoded, self._model)

    async def delete(self, obj_id: str) -> bool:
        """Deletes a document. Returns whether there was one."""
        return is_object_id(obj_id) and await self._engine.delete(self._id, obj_id)

    def _encode(self, data: ModelT | BaseModel | Mapping[str, Any]) -> str:
        return encode_document(data, self._model)[1]

    def __repr__(self) -> str:
        return f"<PoofCollection {self._name!r} of {self._engine.path!r}>"
