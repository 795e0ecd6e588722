"""The documents of one collection, as queries find, change and index them.

Layer: storage; the part of the facade that knows queries. It says for each call what is tried on the event loop, and
what is done on a thread where that turns out to take long.
"""

from collections.abc import AsyncIterator
from typing import Any, TypeVar

from poof.progress import Progress
from poof.query.indexes import IndexDefinition
from poof.query.match import OBJECT_ID
from poof.query.nodes import Path
from poof.query.plan import Index
from poof.results import Explanation
from poof.storage import catalogue, changes, indexes, queries
from poof.storage.candidates import Query
from poof.storage.changes import Change, Changed, Merge
from poof.storage.engine import Engine
from poof.storage.operations import OVER_BUDGET
from poof.storage.queries import Make, Row

T = TypeVar("T")


class Documents:
    """The documents of a collection of an open cluster."""

    def __init__(self, engine: Engine, collection_id: int) -> None:
        self._engine = engine
        self._id = collection_id

    async def find(self, query: Query, make: Make[T]) -> list[T]:
        """What is made of the documents that a query finds."""
        made: list[T] = await self._engine.read(queries.make_few, queries.make_many, self._id, query, make)
        return made

    async def stream(self, query: Query) -> AsyncIterator[list[Row]]:
        """The same, chunk by chunk, in bounded memory."""
        async for chunk in self._engine.stream(queries.find_few, queries.find_rows, self._id, query):
            yield chunk

    async def count(self, query: Query) -> int:
        """How many documents a query finds."""
        return int(await self._engine.read(queries.count_few, queries.count, self._id, query))

    async def distinct(self, path: Path, query: Query) -> list[Any]:
        """The different values of a field."""
        if path == (OBJECT_ID,):
            return sorted(await self.find(query, lambda found: [obj_id for obj_id, _ in found]))
        values: list[Any] = await self._engine.read(queries.distinct_few, queries.distinct, self._id, path, query)
        return values

    async def explain(self, query: Query) -> Explanation:
        """How a query is answered."""
        explanation: Explanation = await self._engine.read(queries.explain, queries.explain, self._id, query, long=True)
        return explanation

    async def change(self, query: Query, change: Change) -> Changed:
        """Changes the documents that a query finds, all of them or none."""
        changed: Any = OVER_BUDGET
        if query.limit == 1:
            try_read = self._engine.try_read
            changed = await self._engine.write(changes.change_few, try_read, self._id, query, change)
        if changed is OVER_BUDGET:
            changed = await self._engine.work(changes.change_all, self._id, query, change)
        result: Changed = changed
        return result

    async def merge_by_id(self, obj_id: str, merge: Merge) -> dict[str, Any] | None:
        """Merges new data into the document of an id, and gives what it is then; `None` where there is none."""
        merged: Any = await self._engine.write(changes.merge_by_id_quick, self._id, obj_id, merge)
        if merged is OVER_BUDGET:
            merged = await self._engine.work(changes.merge_by_id, self._id, obj_id, merge)
        data: dict[str, Any] | None = merged
        return data

    async def create_index(self, name: str, definition: IndexDefinition, progress: Progress | None) -> None:
        """Creates an index, unless there is the very same."""
        with self._engine.on_loop(progress) as report:
            async with self._engine.transaction():
                await self._engine.work(indexes.create_index, self._id, name, definition, report)
                report.check()
        if definition.expire_after is not None:
            self._engine.expect_expiry()

    async def drop_index(self, name: str) -> bool:
        """Drops an index; `False` where there is none of the name."""
        return bool(await self._engine.work(indexes.drop_index, self._id, name))

    async def list_indexes(self) -> list[Index]:
        """The indexes, by name."""
        found: list[Index] = await self._engine.read(indexes.find_indexes, indexes.find_indexes, self._id)
        return found

    async def drop(self) -> None:
        """Deletes the collection with everything in it."""
        await self._engine.work(catalogue.drop_collection, self._id)

    async def rename(self, name: str) -> None:
        """Gives the collection another name."""
        await self._engine.write(catalogue.rename_collection, self._id, name)
