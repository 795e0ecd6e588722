"""Documents that are to be inserted, in lists that are quick to insert.

Layer: storage.

What makes the documents is the caller's, and not the thread's to run: it runs on the event loop, a few at a time.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, TypeVar

from poof.storage.operations import CHUNK_BYTES, CHUNK_DOCUMENTS

BULK_DOCUMENTS = 1_000
"""How many documents of a list are encoded and inserted in one go, on the thread."""
FIRST_BULK_DOCUMENTS = 20
"""How many of an iterator are gathered before anything is known about their size."""
T = TypeVar("T")


class Bulks:
    """Items of a list or of any iterator, in lists."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._items = items
        self._limit = FIRST_BULK_DOCUMENTS

    def note_size(self, count: int, size: int) -> None:
        """Bounds the next list, after one of so many items that took so many bytes."""
        self._limit = max(1, min(CHUNK_DOCUMENTS, CHUNK_BYTES * count // max(1, size)))

    async def __aiter__(self) -> AsyncIterator[list[Any]]:
        if isinstance(self._items, list | tuple):  # which are in memory as they are
            for start in range(0, len(self._items), BULK_DOCUMENTS):
                yield list(self._items[start : start + BULK_DOCUMENTS])
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
