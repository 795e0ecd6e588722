"""Documents that are to be inserted, in lists that are quick to insert.

Layer: storage.

What makes the documents is the caller's, and not the thread's to run: it runs on the event loop, a few at a time.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, TypeVar

from poof.storage.tuning import DEFAULT, Tuning

T = TypeVar("T")


class Bulks:
    """Items of a list or of any iterator, in lists."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], tuning: Tuning = DEFAULT) -> None:
        self._items = items
        self._tuning = tuning
        self._limit = tuning.first_bulk_documents

    def note_size(self, count: int, size: int) -> None:
        """Bounds the next list, after one of so many items that took so many bytes."""
        self._limit = max(1, min(self._tuning.chunk_documents, self._tuning.chunk_bytes * count // max(1, size)))

    async def __aiter__(self) -> AsyncIterator[list[Any]]:
        if isinstance(self._items, list | tuple):  # which are in memory as they are
            step = self._tuning.bulk_documents
            for start in range(0, len(self._items), step):
                yield list(self._items[start : start + step])
            return
        bulk = []
        async for item in one_by_one(self._items):
            bulk.append(item)
            if len(bulk) >= self._limit:
                yield bulk
                bulk = []
        if bulk:
            yield bulk


async def one_by_one(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items of an iterator of either kind."""
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
