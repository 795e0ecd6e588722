"""Many documents that are to be inserted, in lists that are quick to insert.

What makes the documents is the caller's, and not the thread's to run: it runs on the event loop, a few at a time. They
are encoded and inserted on the thread.
"""

import itertools
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw

from poof.engines.contract import Encode
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.entries import refusal
from poof.engines.sqlite.tables.rows import insert
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.errors import DuplicateKeyError
from poof.located import duplicate_in_data
from poof.object_ids import ObjectIds, new_object_id
from poof.raising import raise_alone
from poof.results import SkippedDocument
from poof.waiting import one_by_one

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class InsertedBatch:
    """What came of a list of documents."""

    ids: bytes
    """Packed, of those that were stored."""
    count: int
    size: int
    """Characters of all the texts, also of those that were skipped."""
    skipped: Sequence[SkippedDocument] = ()


def insert_batch(
    connection: apsw.Connection,
    collection_id: int,
    batch: Sequence[Any],
    encode: Encode,
    start: int,
    done: Sequence[InsertedBatch],
) -> InsertedBatch:
    """Stores new documents, inside the caller's transaction: all of them, or it raises.

    They are encoded one by one, as SQLite asks for them. `start`: the position of the first. `done`: what was stored
    before of the same data.

    Raises:
        DuplicateKeyError: a unique index, or that of the ids, refuses one. It says which.
    """
    ids: list[str] = []
    size = 0
    text, given = "", None

    def rows() -> Iterator[tuple[str, str]]:
        nonlocal size, text, given
        for text, given in map(encode, batch):
            ids.append(given or new_object_id())
            size += len(text)
            yield ids[-1], text

    try:
        connection.executemany(schema.insert_document(collection_id), rows())
    except apsw.ConstraintError as error:
        refused = refusal(connection, error, given, text)
        before = itertools.chain(ObjectIds([(batch.ids, batch.count) for batch in done]), ids[:-1])
        raise_alone(duplicate_in_data(refused, start + len(ids) - 1, before))
    return InsertedBatch(ObjectIds.pack(ids), len(ids), size)


def insert_new(
    connection: apsw.Connection, collection_id: int, batch: Sequence[Any], encode: Encode, start: int
) -> InsertedBatch:
    """Stores new documents, and skips those that are refused as duplicates. `start`: the position of the first.

    SQLite undoes a statement that meets a duplicate, with all that its triggers did, and keeps the transaction. `INSERT
    OR IGNORE` would be quicker and wrong: it holds inside triggers too, and would store a document and not its entry.
    """
    ids: list[str] = []
    size = 0
    skipped: list[SkippedDocument] = []
    for position, (text, given) in enumerate(map(encode, batch), start):
        size += len(text)
        try:
            ids.append(insert(connection, collection_id, text, given))
        except DuplicateKeyError as error:
            skipped.append(SkippedDocument(position, error.index, error.obj_id))
    return InsertedBatch(ObjectIds.pack(ids), len(ids), size, skipped)


class Batches:
    """Items of a list or of any iterator, in lists."""

    def __init__(self, items: Iterable[Any] | AsyncIterable[Any], tuning: Tuning = DEFAULT) -> None:
        self._items = items
        self._tuning = tuning
        self._limit = tuning.first_batch_documents

    def note_size(self, count: int, size: int) -> None:
        """Bounds the next list, after one of so many items that took so many bytes."""
        self._limit = max(1, min(self._tuning.chunk_documents, self._tuning.chunk_bytes * count // max(1, size)))

    async def __aiter__(self) -> AsyncIterator[list[Any]]:
        if isinstance(self._items, list | tuple):  # which are in memory as they are
            step = self._tuning.batch_documents
            for start in range(0, len(self._items), step):
                yield list(self._items[start : start + step])
            return
        batch = []
        async for item in one_by_one(self._items):
            batch.append(item)
            if len(batch) >= self._limit:
                yield batch
                batch = []
        if batch:
            yield batch
