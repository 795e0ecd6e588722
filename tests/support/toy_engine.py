"""A toy engine, written from the contract alone: dicts, and the matcher for every question.

The tests of the API run on it as on the engine of a file. That shows that nothing above the contract depends on SQLite.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeVar

from poof.engines.contract import (
    MAX_COLLECTIONS,
    MAX_DATABASES,
    MAX_INDEXES,
    Change,
    Changed,
    Data,
    Encode,
    Inserted,
    Items,
    ListedIndex,
    Make,
    Merge,
)
from poof.engines.scratch import SealedScratch
from poof.errors import (
    ClosedError,
    DuplicateKeyError,
    GoneError,
    InvalidQueryError,
    LimitError,
    PoofError,
    ReadOnlyError,
    TransactionError,
    UnsupportedError,
    WrongLoopError,
)
from poof.located import duplicate_in_data
from poof.progress import Progress
from poof.query.distinct import distinct_values
from poof.query.fields import FieldOrder
from poof.query.indexes.definition import IndexDefinition
from poof.query.query import Query
from poof.results import Explanation, SkippedDocument
from poof.uncopyable import Uncopyable
from poof.waiting import finish, one_by_one
from tests.support.toy_state import State, Table, ToyIndex, ToyRow, change_found, on_document, put_located, rename_table

CHUNK = 100
"""Documents that are taken, stored or streamed at a time."""
T = TypeVar("T")


_stack: ContextVar[tuple["ToyTransaction", ...]] = ContextVar("toy_transactions", default=())


class ToyTransaction(Uncopyable):
    """A transaction: a state that counts for its task alone until the block ends."""

    def __init__(self, engine: "ToyEngine") -> None:
        self.engine = engine
        self.state: Literal["new", "open", "committed", "rolled back"] = "new"
        self.task: asyncio.Task[Any] | None = None
        self.aborted: PoofError | None = None
        self._outer: ToyTransaction | None = None
        self._now = engine.committed

    async def __aenter__(self) -> Self:
        if self.task is not None:
            raise TransactionError("A transaction is used once.")
        self.engine.check_open()
        self._outer = self.engine.current()
        self.task = asyncio.current_task()
        if self._outer is None:
            await self.engine.begin(self)
        self._now = self.engine.committed if self._outer is None else self._outer.now
        self.state = "open"
        _stack.set((*_stack.get(), self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.task is not asyncio.current_task():
            misused = TransactionError("A transaction ends in the task in which it began. It was rolled back.")
            self.root.abort(misused)
            raise misused
        _stack.set(tuple(transaction for transaction in _stack.get() if transaction is not self))
        aborted = self.root.aborted
        self.state = "rolled back" if kind is not None or aborted is not None else "committed"
        if self._outer is not None:
            if self.state == "committed":
                self._outer._now = self._now
        elif aborted is None:
            self.engine.end(self._now if self.state == "committed" else self.engine.committed)
        if aborted is not None and kind is None:
            raise aborted

    @property
    def root(self) -> "ToyTransaction":
        """The outermost transaction."""
        return self if self._outer is None else self._outer.root

    @property
    def now(self) -> State:
        """The state that its task sees."""
        if self.root.aborted is not None:
            raise self.root.aborted
        return self._now

    def apply(self, function: Callable[[State], T]) -> T:
        """Makes a write, all of it or nothing."""
        draft = self.now.copy()
        result = function(draft)
        self._now = draft
        return result

    def abort(self, error: PoofError) -> None:
        """Rolls it back from outside."""
        if self.aborted is None and self.state == "open":
            self.aborted = error
            self.state = "rolled back"
            self.engine.end(self.engine.committed)


class ToySnapshot:
    """The documents that a query finds in one state."""

    def __init__(self, table: Table, query: Query) -> None:
        self.stopped = False
        self._table = table
        self._query = query

    def rows(self) -> Iterator[ToyRow]:
        """Yields the documents, until the task that wants them is cancelled."""
        for row in self._table.find(self._query):
            if self.stopped:
                raise InterruptedError
            yield row

    def count(self) -> int:
        """Returns how many they are."""
        return sum(1 for _ in self.rows())


class ToyDocuments:
    """The documents of a collection."""

    def __init__(self, engine: "ToyEngine", number: int) -> None:
        self._engine = engine
        self._number = number

    async def _read(self) -> Table:
        return (await self._engine.read()).table(self._number)

    async def _write(self, function: Callable[[Table], T]) -> T:
        return await self._engine.write(lambda draft: function(draft.own(self._number)))

    async def insert(self, text: str, obj_id: str | None = None) -> str:
        return await self._write(lambda table: table.add(text, obj_id))

    async def insert_many(self, items: Items, encode: Encode, *, skips: bool = False) -> Inserted:
        ids: list[str] = []
        skipped: list[SkippedDocument] = []
        self._engine.check_writable()

        def store(chunk: Sequence[Any], table: Table) -> None:
            for item in chunk:
                position = len(ids) + len(skipped)
                text, given = encode(item)
                try:
                    ids.append(table.add(text, given))
                except DuplicateKeyError as error:
                    if not skips:
                        raise duplicate_in_data(error, position, ids) from None
                    skipped.append(SkippedDocument(position, error.index, error.obj_id))

        async with self._engine.transaction():
            chunk: list[Any] = []
            async for item in one_by_one(items):
                chunk.append(item)
                if len(chunk) == CHUNK:
                    await self._write(partial(store, chunk))
                    chunk = []
            await self._write(partial(store, chunk))
        return Inserted(ids, skipped)

    async def insert_rows(self, rows: Iterable[tuple[str, str]]) -> int:
        return await self._write(lambda table: sum(1 for obj_id, text in rows if table.add(text, obj_id)))

    async def find_by_id(self, obj_id: str) -> Data | None:
        table = await self._read()
        number = table.numbers.get(obj_id)
        return None if number is None else table.row(number).data

    async def find_all(self, make: Make[T]) -> list[T]:
        return await self.find(Query(), make)

    async def find(self, query: Query, make: Make[T]) -> list[T]:
        return make((row.obj_id, row.data) for row in (await self._read()).find(query))

    async def stream(self, query: Query) -> AsyncIterator[Sequence[ToyRow]]:
        found = (await self._read()).find(query)
        while chunk := [*itertools.islice(found, CHUNK)]:
            yield chunk
            await asyncio.sleep(0)

    async def count(self, query: Query) -> int:
        return sum(1 for _ in (await self._read()).find(query))

    async def distinct(self, field: FieldOrder, query: Query) -> list[Any]:
        return distinct_values(field, (row.data for row in (await self._read()).find(query)))

    async def explain(self, query: Query) -> Explanation:
        table = await self._read()
        returned = sum(1 for _ in table.find(query))
        return Explanation("Looks at every document.", None, False, len(table.documents), returned)

    async def read_snapshot(self, query: Query, function: Callable[[ToySnapshot], T]) -> T:
        snapshot = ToySnapshot(await self._read(), query)
        call = asyncio.get_running_loop().run_in_executor(None, function, snapshot)
        return await finish(call, snapshot)

    async def next_rows(self, after: Any, limit: int) -> tuple[Sequence[ToyRow], Any]:
        table = await self._read()
        numbers = [number for number in table.documents if number > (after or 0)][:limit]
        return [*map(table.row, numbers)], numbers[-1] if numbers else after

    async def replace_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        def put(table: Table) -> None:
            for obj_id, text in rows:
                put_located(table, table.numbers[obj_id], text)

        await self._write(put)

    async def change(self, query: Query, change: Change) -> Changed:
        return await self._write(lambda table: change_found(table, query, change))

    async def merge_by_id(self, obj_id: str, merge: Merge) -> Data | None:
        def put(table: Table, number: int) -> Data:
            data, text = merge(obj_id, table.row(number).data)
            table.put(number, text)
            return data

        return await self._write(partial(on_document, obj_id, put, None))

    async def replace(self, obj_id: str, text: str) -> bool:
        def put(table: Table, number: int) -> bool:
            table.put(number, text)
            return True

        return await self._write(partial(on_document, obj_id, put, False))

    async def delete(self, obj_id: str) -> bool:
        def remove(table: Table, number: int) -> bool:
            table.remove(number)
            return True

        return await self._write(partial(on_document, obj_id, remove, False))

    async def create_index(self, name: str, definition: IndexDefinition, progress: Progress | None = None) -> None:
        if definition.expire_after is not None:
            raise UnsupportedError("This engine deletes nothing by itself. Call delete_many() for what is too old.")

        def build(table: Table) -> None:
            for other in table.indexes.values():
                if other.name == name and other.definition == definition:
                    return
                if other.name == name:
                    raise InvalidQueryError(f"There is another index {name!r}.")
                if other.definition == definition:
                    raise InvalidQueryError(f"There is the same index under the name {other.name!r}.")
            if len(table.indexes) >= MAX_INDEXES:
                raise LimitError(f"The collection has {MAX_INDEXES} indexes.")
            table.build(ToyIndex(name, definition))

        async with self._engine.transaction():
            await self._write(build)
            if progress is not None:
                total = len((await self._read()).documents)
                progress(total, total, "documents")
                await asyncio.sleep(0)  # where a task that it cancelled ends, before anything counts

    async def drop_index(self, name: str) -> bool:
        return await self._write(lambda table: table.indexes.pop(name, None) is not None)

    async def list_indexes(self) -> list[ListedIndex]:
        table = await self._read()
        indexes = sorted(table.indexes.values(), key=lambda index: index.name)
        return [ListedIndex(index.name, index.definition, table.is_multikey(index)) for index in indexes]

    async def drop(self) -> None:
        def forget(draft: State) -> None:
            draft.table(self._number)
            del draft.tables[self._number]

        await self._engine.write(forget)

    async def rename(self, name: str) -> None:
        await self._engine.write(lambda draft: rename_table(draft, self._number, name))


class ToyEngine:
    """An open cluster that is in memory only."""

    def __init__(self, path: str = "toy", *, is_read_only: bool = False) -> None:
        self.path = path
        self.is_read_only = is_read_only
        self.committed = State({}, {})
        """What everybody sees who is in no transaction."""
        self._turn = asyncio.Lock()
        """Whose turn it is to write. It is given in the order of the calls."""
        self._open: ToyTransaction | None = None
        self._closing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._numbers = itertools.count(1)
        """Of databases and collections; never given twice, whatever is dropped or rolled back."""

    @property
    def is_closed(self) -> bool:
        return self._closing is not None

    @property
    def is_held(self) -> bool:
        """Whether somebody has the turn to write."""
        return self._turn.locked()

    @property
    def keys(self) -> NoReturn:
        raise UnsupportedError("This engine encrypts nothing, and has no keys. PoofCluster.create() makes a file.")

    @property
    def care(self) -> NoReturn:
        raise UnsupportedError("This engine has no file to care for. export_jsonl() writes what a collection holds.")

    async def database(self, name: str) -> int:
        found = (await self.read()).databases.get(name)
        return await self.write(partial(self._database, name)) if found is None else found

    def _database(self, name: str, draft: State) -> int:
        if name not in draft.databases and len(draft.databases) >= MAX_DATABASES:
            raise LimitError(f"The cluster has {MAX_DATABASES} databases, the most that one can have.")
        return draft.databases.setdefault(name, next(self._numbers))

    async def collection(self, database: int, name: str) -> int:
        found = (await self.read()).named(database).get(name)
        return await self.write(partial(self._collection, database, name)) if found is None else found

    def _collection(self, database: int, name: str, draft: State) -> int:
        if database not in draft.databases.values():
            raise GoneError("The database is gone: dropped, or its transaction was rolled back.")
        there = draft.named(database)
        if name in there:
            return there[name]
        if len(there) >= MAX_COLLECTIONS:
            raise LimitError(f"The database has {MAX_COLLECTIONS} collections, the most that one can have.")
        number = next(self._numbers)
        draft.tables[number] = Table(database, name)
        return number

    def documents(self, collection: int) -> ToyDocuments:
        return ToyDocuments(self, collection)

    async def list_databases(self) -> list[str]:
        return sorted((await self.read()).databases)

    async def list_collections(self, database: int) -> list[str]:
        return [*(await self.read()).named(database)]

    async def drop_database(self, name: str) -> bool:
        def forget(draft: State) -> bool:
            if name not in draft.databases:
                return False
            for number in draft.named(draft.databases[name]).values():
                del draft.tables[number]
            del draft.databases[name]
            return True

        return await self.write(forget)

    async def drop_collection(self, database: int, name: str) -> bool:
        def forget(draft: State) -> bool:
            number = draft.named(database).get(name)
            return number is not None and draft.tables.pop(number) is not None

        return await self.write(forget)

    async def rename_collection(self, database: int, name: str, new_name: str) -> None:
        def rename(draft: State) -> None:
            number = draft.named(database).get(name)
            if number is None:
                raise GoneError(f"There is no collection {name!r}.")
            rename_table(draft, number, new_name)

        await self.write(rename)

    def transaction(self, *, warns: bool = False) -> ToyTransaction:
        return ToyTransaction(self)

    def scratch(self) -> SealedScratch:
        return SealedScratch()

    def check_writable(self) -> None:
        if self.is_read_only:
            raise ReadOnlyError(f"{self.path!r} is read only. Nothing was changed.")

    async def save(self) -> None:
        if self._enter() is not None:
            raise TransactionError("save() inside a transaction would have to wait for its end.")
        await asyncio.sleep(0)

    async def close(self) -> None:
        self._check_place()
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._open is not None:
            self._open.abort(ClosedError(f"The cluster {self.path!r} was closed during a transaction."))
        async with self._turn:  # which comes after the turns of all calls made before
            pass

    async def read(self) -> State:
        """Returns the state that a call sees; other tasks run before."""
        transaction = self._enter()
        await asyncio.sleep(0)
        return self.committed if transaction is None else transaction.now

    async def write(self, function: Callable[[State], T]) -> T:
        """Makes a write when its turn comes, all of it or nothing."""
        transaction = self._enter()
        self.check_writable()
        if transaction is not None:
            await asyncio.sleep(0)
            return transaction.apply(function)
        async with self._turn:
            await asyncio.sleep(0)
            draft = self.committed.copy()
            result = function(draft)
            self.committed = draft
            return result

    async def begin(self, transaction: ToyTransaction) -> None:
        """Waits for the turn of a transaction."""
        await self._turn.acquire()
        try:
            self.check_open()
        except ClosedError:
            self._turn.release()
            raise
        self._open = transaction

    def end(self, state: State) -> None:
        """Ends the transaction whose turn it is, and lets a state count."""
        self.committed = state
        self._open = None
        self._turn.release()

    def current(self) -> ToyTransaction | None:
        """Returns the innermost open transaction of this task."""
        for transaction in reversed(_stack.get()):
            if transaction.engine is self and transaction.state == "open":
                if transaction.task is asyncio.current_task():
                    return transaction
                raise TransactionError("This task began inside a transaction of another task, and is not part of it.")
        return None

    def check_open(self) -> None:
        """Refuses a call after the end, or from elsewhere."""
        if self._closing is not None:
            raise ClosedError(f"The cluster {self.path!r} is closed.")
        self._check_place()

    def _enter(self) -> ToyTransaction | None:
        self.check_open()
        return self.current()

    def _check_place(self) -> None:
        if os.getpid() != self._process or asyncio.get_running_loop() is not self._loop:
            raise WrongLoopError(f"The cluster {self.path!r} was opened on another event loop.")


if TYPE_CHECKING:
    from poof.engines.contract import Documents, Engine

    def _is_an_engine(engine: ToyEngine, documents: ToyDocuments) -> tuple[Engine, Documents]:
        return engine, documents
