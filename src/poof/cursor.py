"""Cursors: documents as they are read.

Layer: cursor.
"""

from collections.abc import AsyncIterator
from typing import Generic

from poof.document import ModelT, PoofDocument, make_document
from poof.storage.engine import Engine


class PoofCursor(Generic[ModelT]):
    """The documents of a collection, for `async for`. Each loop over it reads anew."""

    def __init__(self, engine: Engine, collection_id: int, model: type[ModelT] | None) -> None:
        self._engine = engine
        self._collection_id = collection_id
        self._model = model

    async def __aiter__(self) -> AsyncIterator[PoofDocument[ModelT]]:
        async for chunk in self._engine.stream(self._collection_id):
            for obj_id, data in chunk:
                yield make_document(obj_id, data, self._model)

    async def to_list(self, n: int | None = None) -> list[PoofDocument[ModelT]]:
        """The first `n` documents, or all of them."""
        documents: list[PoofDocument[ModelT]] = []
        if n is not None and n <= 0:
            return documents
        async for document in self:
            documents.append(document)
            if len(documents) == n:
                break
        return documents
