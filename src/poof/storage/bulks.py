"""Many documents that are to be inserted, in lists that are quick to insert.

Layer: storage.

What makes the documents is the caller's, and not the thread's to run: it runs on the event loop, a few at a time. They
are encoded and inserted on the thread.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from poof.errors import DuplicateKeyError
from poof.located import LOCATED, located
from poof.object_ids import ObjectIds, new_object_id
from poof.raising import raise_alone
from poof.results import SkippedDocument
from poof.storage import schema
from poof.storage.entries import duplicate, refusal
from poof.storage.operations import insert
from poof.storage.tuning import DEFAULT, Tuning

T = TypeVar("T")
Encode = Callable[[Any], tuple[str, str | None]]
"""Makes of an item the JSON text to store, and the id that it names."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """What came of a list of documents."""

    ids: bytes
    """Packed, of those that were stored."""
    count: int
    size: int
    """Characters of all the texts, also of those that were skipped."""
    skipped: Sequence[SkippedDocument] = ()


def insert_bulk(
    connection: apsw.Connection,
    collection_id: int,
    bulk: Sequence[Any],
    encode: Encode,
    start: int,
    done: Sequence[Inserted],
) -> Inserted:
    """Stores new documents, inside the caller's transaction: all of them, or it raises.

    They are encoded one by one, as SQLite asks for them. `start`: the position of the first. `done`: what was stored
    before of the same data.

    Raises:
        DuplicateKeyError: a unique index, or that of the ids, refuses one. Like every error, it says which.
    """
    ids: list[str] = []
    size = 0
    text, given = "", None

    def rows() -> Iterator[tuple[str, str]]:
        nonlocal size, text, given
        for text, given in _encoded(bulk, encode, start):
            ids.append(given or new_object_id())
            size += len(text)
            yield ids[-1], text

    try:
        connection.executemany(schema.insert_document(collection_id), rows())
    except apsw.ConstraintError as error:
        refused = refusal(connection, error, given, text)
        twin = _find(refused.obj_id, [*done, Inserted(ObjectIds.pack(ids[:-1]), len(ids) - 1, 0)])
        if twin is not None:
            holder = f"the document at position {twin} of the same data"
            refused = duplicate(refused.index, refused.fields, None, holder)
        position = start + len(ids) - 1
        raise_alone(located(refused, f"Position {position}", position))
    return Inserted(ObjectIds.pack(ids), len(ids), size)


def insert_new(
    connection: apsw.Connection, collection_id: int, bulk: Sequence[Any], encode: Encode, start: int
) -> Inserted:
    """Stores new documents, and skips those that are refused as duplicates. `start`: the position of the first.

    SQLite undoes a statement that meets a duplicate, with all that its triggers did, and keeps the transaction. `INSERT
    OR IGNORE` would be quicker and wrong: it holds inside triggers too, and would store a document and not its entry.
    """
    ids: list[str] = []
    size = 0
    skipped: list[SkippedDocument] = []
    for position, (text, given) in enumerate(_encoded(bulk, encode, start), start):
        size += len(text)
        try:
            ids.append(insert(connection, collection_id, text, given))
        except DuplicateKeyError as error:
            skipped.append(SkippedDocument(position, error.index, error.obj_id))
    return Inserted(ObjectIds.pack(ids), len(ids), size, skipped)


def _encoded(bulk: Iterable[Any], encode: Encode, start: int) -> Iterator[tuple[str, str | None]]:
    for position, item in enumerate(bulk, start):
        try:
            encoded = encode(item)
        except LOCATED as error:
            raise_alone(located(error, f"Position {position}"))
        yield encoded


def _find(obj_id: str | None, done: Sequence[Inserted]) -> int | None:
    """The position of a document in the data that was stored."""
    ids = ObjectIds([(inserted.ids, inserted.count) for inserted in done])
    return next((position for position, found in enumerate(ids) if found == obj_id), None)


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
