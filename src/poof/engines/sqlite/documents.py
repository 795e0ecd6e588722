"""The documents of one collection of an open file, as the contract asks for them.

For each call it says what is tried on the event loop, and what is done on a thread where that turns out to take long.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from poof.engines.contract import Change, Changed, Data, Encode, Inserted, Items, ListedIndex, Make, Merge, Snapshot
from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.tables import batches, catalogue, changing, indexes, queries, rows
from poof.engines.sqlite.tables.budget import OverBudget, OverBudgetError
from poof.engines.sqlite.tables.queries import Row
from poof.engines.sqlite.tables.rows import insert_rows
from poof.object_ids import ObjectIds
from poof.progress import Progress
from poof.query.fields import FieldOrder
from poof.query.indexes.definition import IndexDefinition
from poof.query.query import Query
from poof.results import Explanation

T = TypeVar("T")


class SqliteDocuments:
    """The documents of a collection."""

    def __init__(self, calls: Calls, collection_id: int) -> None:
        self._calls = calls
        self._id = collection_id

    def insert(self, text: str, obj_id: str | None = None) -> Awaitable[str]:
        """Stores a new document and returns its id."""
        return self._calls.write(rows.insert, self._id, text, obj_id, size=len(text))

    async def insert_many(self, items: Items, encode: Encode, *, skips: bool = False) -> Inserted:
        """Stores new documents in one transaction; with `skips`, all but the duplicates."""
        done: list[batches.InsertedBatch] = []
        cut = batches.Batches(items, self._calls.tuning)
        position = 0
        insert = batches.insert_new if skips else partial(batches.insert_batch, done=done)
        async with self._calls.transaction() as transaction:
            async for batch in cut:
                stored = await transaction.write(insert, self._id, batch, encode, position, long=True)
                done.append(stored)
                position += len(batch)
                cut.note_size(len(batch), stored.size)
        ids = ObjectIds([(stored.ids, stored.count) for stored in done])
        return Inserted(ids, [skipped for stored in done for skipped in stored.skipped])

    async def insert_rows(self, rows: Iterable[tuple[str, str]]) -> int:
        """Stores documents under the ids that they come with."""
        async with self._calls.transaction() as transaction:
            return await transaction.write(insert_rows, self._id, rows, long=True)

    async def find_by_id(self, obj_id: str) -> Data | None:
        """Returns the data of a document."""
        data = self._calls.find_at_once(self._id, obj_id)
        if isinstance(data, OverBudget):
            return await self._calls.read(rows.find, self._id, obj_id, quick=rows.find_quick)
        return data

    async def find_all(self, make: Make[T]) -> list[T]:
        """Returns what `make` gives for all documents, in the order of insertion."""
        return await self._calls.read(rows.find_all, self._id, make, quick=rows.find_all_quick)

    async def find(self, query: Query, make: Make[T]) -> list[T]:
        """Returns what `make` gives for the documents that a query finds."""
        return await self._calls.read(queries.make_many, self._id, query, make, quick=queries.make_quick)

    async def stream(self, query: Query) -> AsyncIterator[list[Row]]:
        """Yields the documents that a query finds in chunks, in bounded memory."""
        async for chunk in self._calls.stream(queries.find_rows, self._id, query, quick=queries.find_rows_quick):
            yield chunk

    async def count(self, query: Query) -> int:
        """Returns how many documents a query finds."""
        return await self._calls.read(queries.count, self._id, query, quick=queries.count_quick)

    async def distinct(self, field: FieldOrder, query: Query) -> list[Any]:
        """Returns the different values of a field."""
        return await self._calls.read(queries.distinct, self._id, field, query, quick=queries.distinct_quick)

    async def explain(self, query: Query) -> Explanation:
        """Says how a query is answered."""
        return await self._calls.read(queries.explain, self._id, query)

    async def read_snapshot(self, query: Query, function: Callable[[Snapshot], T]) -> T:
        """Calls a function with the documents that a query finds, on a thread."""
        return await self._calls.read(queries.read_snapshot, self._id, query, function, to_end=True)

    async def next_rows(self, after: Any, limit: int) -> tuple[list[Row], Any]:
        """Returns the next documents in the order of insertion, and where they end."""
        found = await self._calls.read(queries.next_rows, self._id, after or 0, limit)
        return found, found[-1].rowid if found else after

    async def replace_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Stores new JSON text for documents, by their ids."""
        size = sum(len(text) for _, text in rows)
        await self._calls.write(changing.replace_rows, self._id, rows, size=size)

    async def change(self, query: Query, change: Change) -> Changed:
        """Changes the documents that a query finds, all of them or none."""
        if query.limit == 1:
            with contextlib.suppress(OverBudgetError):  # and nothing was changed
                return await self._calls.write(changing.change_quick, self._id, query, change)
        return await self._calls.write(changing.change_all, self._id, query, change, long=True)

    async def merge_by_id(self, obj_id: str, merge: Merge) -> Data | None:
        """Stores what `merge` makes of the document of an id, and returns it."""
        with contextlib.suppress(OverBudgetError):  # and nothing was changed
            return await self._calls.write(changing.merge_by_id_quick, self._id, obj_id, merge)
        return await self._calls.write(changing.merge_by_id, self._id, obj_id, merge, long=True)

    def replace(self, obj_id: str, text: str) -> Awaitable[bool]:
        """Stores new JSON text under an id."""
        return self._calls.write(rows.replace, self._id, obj_id, text, size=len(text))

    def delete(self, obj_id: str) -> Awaitable[bool]:
        """Deletes the document of an id."""
        return self._calls.write(rows.delete, self._id, obj_id)

    async def create_index(self, name: str, definition: IndexDefinition, progress: Progress | None = None) -> None:
        """Creates an index, unless there is the very same."""
        with self._calls.on_loop(progress) as report:
            async with self._calls.transaction():
                await self._calls.write(indexes.create_index, self._id, name, definition, report, long=True)
                report.check()
        if definition.expire_after is not None:
            self._calls.expect_expiry()

    async def drop_index(self, name: str) -> bool:
        """Drops an index."""
        return await self._calls.write(indexes.drop_index, self._id, name, long=True)

    async def list_indexes(self) -> list[ListedIndex]:
        """Returns the indexes, by name."""
        found = await self._calls.read(indexes.list_indexes, self._id, quick=True)
        return [ListedIndex(index.name, index.definition, index.multikey) for index in found]

    async def drop(self) -> None:
        """Deletes the collection with everything in it."""
        await self._calls.write(catalogue.drop_collection, self._id, long=True)

    async def rename(self, name: str) -> None:
        """Gives the collection another name."""
        await self._calls.write(catalogue.rename_collection, self._id, name)
