"""What a cluster asks of the engine that keeps its documents. An engine can be written from this page.

The first rule: a filter may be applied partly, never too much. An engine that cannot decide a condition gives the
document all the same, or asks the matcher (`poof.query.filters.match`), whose answer always holds. An engine may know
less than the matcher; it never decides otherwise.

The rules that hold for every method:

- **Atomic.** A call that writes does all of it or nothing, whatever it raises and wherever it is cancelled. Inside a
  transaction it is a part of the transaction that can fail alone.
- **Acknowledged.** A call returns when its write survives the end of the process, and every later read sees it, also
  those of other processes and clients.
- **Snapshot.** One call reads one state: no write, of anybody, shows in half. A stream and a `Snapshot` read one state
  from the first row to the last.
- **The event loop** is never held for long. Functions that are passed in are called on the loop or on one thread at a
  time, and must not call the engine.
- **Text.** Documents come and go as JSON text of one object, as `poof.encoding` writes it. An engine never changes it.
- **Tasks.** Calls come from the event loop and the process that opened the engine. A transaction belongs to the task
  that began it.

Every method may raise `ClosedError`, `WrongLoopError`, `BusyError`, `DamagedFileError`, `StorageError` or
`DiskFullError`; one that writes `ReadOnlyError` and `TransactionError`; one of a collection or database `GoneError`
where that was dropped. What an engine does not have raises `UnsupportedError`, which says what does it instead.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from poof.keys.credentials import Credentials, LoadKey, StoreKey
from poof.progress import Progress
from poof.query.indexes.definition import IndexDefinition
from poof.query.nodes import Path
from poof.query.query import Query
from poof.results import ClusterStats, Explanation, KeyInfo, SkippedDocument, VerifyReport

DEFAULT_CACHE_MIB = 64
"""Of `Settings.cache_mib`."""

T = TypeVar("T")
Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a cluster is opened."""

    timeout: float
    """Seconds to wait for others who write."""
    cache_mib: int
    """Memory for decrypted pages."""
    power: bool = False
    """Whether an acknowledged write survives a loss of power at once."""
    read_only: bool = False
    exclusive: bool = False
    """Whether nobody else may open the cluster meanwhile."""
    at_least: str | None = None
    """A receipt: what is older, or another cluster, is refused."""
    without_log: bool = False
    """Whether a log that is missing is given up, where the file is whole without it."""


class Row(Protocol):
    """A document: its id and its data, which nobody else holds."""

    @property
    def obj_id(self) -> str: ...
    @property
    def data(self) -> Data: ...


Make = Callable[[Iterable[tuple[str, Data]]], list[T]]
"""Turns pairs of id and data into what the caller wants."""
Replace = Callable[[str, Data], str | None]
"""From the id and the data of a document, its new JSON text, or None where it stays the same."""


Merge = Callable[[str, Data], tuple[Data, str]]
"""From the id and the data of a document, its new data and their JSON text."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the documents that a query finds."""

    replace: Replace | None
    """Without this function, documents are deleted."""
    insert: Callable[[], tuple[str | None, str]] | None = None
    """The id, or None for a new one, and the JSON text of the document to insert where none is found."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change did."""

    matched: int = 0
    modified: int = 0
    inserted_id: str | None = None
    obj_id: str | None = None
    """The id of the last document that was found, or of the one inserted."""
    before: Data | None = None
    """Its data before, if it was there."""
    after: Data | None = None
    """Its data now, if it still is there."""


@dataclass(frozen=True, slots=True)
class Inserted:
    """What `insert_many` did."""

    ids: Sequence[str]
    skipped: Sequence[SkippedDocument] = ()


Items = Iterable[Any] | AsyncIterable[Any]
Encode = Callable[[Any], tuple[str, str | None]]
"""Makes of an item the JSON text to store, and the id that it names, if it names one."""


@dataclass(frozen=True, slots=True)
class ListedIndex:
    """An index as it is at one moment."""

    name: str
    definition: IndexDefinition
    multikey: bool
    """Whether it lists a document with an array."""


class Snapshot(Protocol):
    """The documents that a query finds, all of one state. It is used on the thread that it was given to."""

    def rows(self) -> Iterator[Row]:
        """The documents; lazily, in bounded memory. May be called again, for the same ones."""

    def count(self) -> int:
        """How many they are."""


class Scratch(Protocol):
    """A sealed place for what does not fit into memory: appended to, read back, and gone with the process.

    >>> def spill(engine: Engine, runs: list[bytes]) -> list[bytes]:
    ...     with engine.scratch() as scratch:
    ...         places = [scratch.append(run) for run in runs]
    ...         return [scratch.read(place) for place in places]

    Nothing of it is ever readable outside of this process, nor left after its end, however it ends. It is used by one
    thread at a time.
    """

    def append(self, block: bytes) -> int:
        """Writes a block of at most 16 MiB. Returns its place."""

    def read(self, place: int) -> bytes:
        """Returns the block of a place."""

    def close(self) -> None:
        """Gives the room back."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Transaction(Protocol):
    """`async with engine.transaction():` - all that the task does inside happens as a whole or not at all."""

    @property
    def state(self) -> Literal["new", "open", "committed", "rolled back"]:
        """What came of it, also where the task was cancelled just then."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class Documents(Protocol):
    """The documents of one collection."""

    def insert(self, text: str, obj_id: str | None = None) -> Awaitable[str]:
        """Stores a new document under the id, or under a new one, and returns the id.

        Raises:
            DuplicateKeyError: the id, or a key of a unique index, is taken.
        """

    async def insert_many(self, items: Items, encode: Encode, *, skips: bool = False) -> Inserted:
        """Stores new documents, which `encode` makes of the items; in bounded memory, whatever their number.

        The iterator of the items runs on the event loop, `encode` perhaps on a thread.

        Args:
            items: any iterator, also an async one.
            encode: gives the JSON text of an item and the id that it names; what it raises fails the call.
            skips: whether documents that are refused as duplicates are skipped and reported.

        Raises:
            DuplicateKeyError: as in `insert`. It says the position of the document in the items.
        """

    async def insert_rows(self, rows: Iterable[tuple[str, str]]) -> int:
        """Stores documents, given as ids and JSON texts, and returns how many they were.

        The iterator runs on a thread. The call is made inside a transaction, of which it is a part.

        Raises:
            DuplicateKeyError: as in `insert`.
        """

    def find_by_id(self, obj_id: str) -> Awaitable[Data | None]:
        """Returns the data of a document, or None."""

    async def find_all(self, make: Make[T]) -> list[T]:
        """Returns what `make` gives for all documents, in the order of insertion."""

    async def find(self, query: Query, make: Make[T]) -> list[T]:
        """Returns what `make` gives for the documents that a query finds, in the order of its sort.

        Equal documents, and all documents of a query without a sort, come in an order that depends on nothing but the
        state, the filter and the sort, so that pages by `skip` and `limit` fit together.
        """

    def stream(self, query: Query) -> AsyncIterator[Sequence[Row]]:
        """Yields the documents that a query finds in chunks, all of one state, in bounded memory."""

    async def count(self, query: Query) -> int:
        """Returns how many documents a query finds."""

    async def distinct(self, path: Path, query: Query) -> list[Any]:
        """Returns the different values at a path, in the order of sorts; of an array, its elements."""

    async def explain(self, query: Query) -> Explanation:
        """Says how a query is answered, by answering it."""

    async def read_snapshot(self, query: Query, function: Callable[[Snapshot], T]) -> T:
        """Calls a function with the documents that a query finds, on a thread. It ends early where it is cancelled."""

    async def next_rows(self, after: Any, limit: int) -> tuple[Sequence[Row], Any]:
        """Returns the next documents in the order of insertion, and where they end: that is `after` for the next call.

        The first call passes None. It is used inside a transaction, and sees its writes.
        """

    async def replace_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Stores new JSON text for documents that are there, by their ids.

        Raises:
            DuplicateKeyError: a key of a unique index is taken.
        """

    async def change(self, query: Query, change: Change) -> Changed:
        """Changes the documents that a query finds, or inserts the one of the change where it finds none.

        Raises:
            DuplicateKeyError: as in `insert`. What the functions of the change raise fails the call.
        """

    async def merge_by_id(self, obj_id: str, merge: Merge) -> Data | None:
        """Stores what `merge` makes of the document of an id, and returns it; None where there is none.

        `merge` may be called again where the document was changed meanwhile. Errors as in `change`.
        """

    def replace(self, obj_id: str, text: str) -> Awaitable[bool]:
        """Stores new JSON text under an id. Returns whether there is such a document.

        Raises:
            DuplicateKeyError: a key of a unique index is taken.
        """

    def delete(self, obj_id: str) -> Awaitable[bool]:
        """Deletes the document of an id. Returns whether there was one."""

    async def create_index(self, name: str, definition: IndexDefinition, progress: Progress | None = None) -> None:
        """Creates an index over all documents, unless there is the very same.

        Raises:
            InvalidQueryError: there is another index of the name, or the same under another name.
            DuplicateKeyError: it is unique, and two documents have the same key.
            LimitError: the collection has 64 indexes.
        """

    async def drop_index(self, name: str) -> bool:
        """Drops an index. Returns whether there was one of the name."""

    async def list_indexes(self) -> list[ListedIndex]:
        """Returns the indexes, by name."""

    async def drop(self) -> None:
        """Deletes the collection with its documents and indexes."""

    async def rename(self, name: str) -> None:
        """Gives the collection another name.

        Raises:
            InvalidNameError: another collection of the database has the name.
        """


class Keys(Protocol):
    """The keys and passwords that open a cluster. Calls raise `TransactionError` inside a transaction."""

    @property
    def user_key(self) -> bytes:
        """The key that opens the cluster, 44 characters; for a password, the one derived from it."""

    async def list(self) -> list[KeyInfo]:
        """Returns what is known of each, as it is now; not the secret."""

    async def add(self, key: bytes | None, password: str | None, label: str) -> bytes:
        """Adds a key or password, or a new key where neither is given. Returns the key that it opens with.

        Raises:
            InvalidKeyError: it opens the cluster already.
            LimitError: there are 8.
        """

    async def remove(self, key_id: str) -> None:
        """Revokes a key or password.

        Raises:
            GoneError: there is none of the id.
            LimitError: it is the last one.
        """

    async def change_password(self, old: str, new: str) -> None:
        """Replaces a password.

        Raises:
            WrongKeyError: the old one opens nothing.
        """

    async def rotate(
        self, keys: Sequence[bytes], passwords: Sequence[str], remove_others: bool, progress: Progress | None
    ) -> None:
        """Replaces the data key and seals everything anew. Interrupted, the next call ends it.

        Raises:
            KeyRequiredError: there are keys that were not given, and are not to be removed.
            WrongKeyError: one that was given opens nothing.
        """

    async def enrol(self, load: LoadKey, store: StoreKey) -> None:
        """Adds a key for a keyring, unless the keyring has one that opens the cluster.

        `load` and `store` take the number of the cluster, and are called on threads.
        """


class Care(Protocol):
    """What is done with a cluster as a whole. Calls raise `TransactionError` inside a transaction."""

    async def backup(self, to: str, credentials: Credentials, progress: Progress | None) -> None:
        """Copies the cluster, as it is now, into a new file."""

    async def verify(self, progress: Progress | None) -> VerifyReport:
        """Looks for everything that may be wrong."""

    async def stats(self) -> ClusterStats:
        """Returns sizes, free space, keys and ages."""

    async def compact(self, progress: Progress | None) -> None:
        """Gives the space of what was deleted back to the system."""

    async def export_legacy(self, to: str) -> None:
        """Writes everything as a new file of PoofDB 0.x."""

    async def import_legacy(self, path: str, key: bytes, progress: Progress | None) -> None:
        """Adds the documents of a file of PoofDB 0.x."""

    async def export_plaintext(self, to: str, progress: Progress | None) -> None:
        """Writes everything as a new plain SQLite file."""


class Engine(Protocol):
    """An open cluster."""

    @property
    def path(self) -> str:
        """Where it is, as it was given."""

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, or about to be."""

    @property
    def is_read_only(self) -> bool:
        """Whether nothing is ever written."""

    @property
    def keys(self) -> Keys:
        """Its keys. Raises `UnsupportedError` where the engine has none."""

    @property
    def care(self) -> Care:
        """The care of it. Raises `UnsupportedError` where the engine has none."""

    async def database(self, name: str) -> int:
        """Returns the number of a database, which is created where there is none of the name.

        Raises:
            LimitError: there are 10.
        """

    async def collection(self, database: int, name: str) -> int:
        """Returns the number of a collection, which is created where there is none of the name.

        Raises:
            LimitError: the database has 50.
        """

    def documents(self, collection: int) -> Documents:
        """The documents of a collection."""

    async def list_databases(self) -> list[str]:
        """Returns the names of all databases, in order."""

    async def list_collections(self, database: int) -> list[str]:
        """Returns the names of the collections of a database, in order."""

    async def drop_database(self, name: str) -> bool:
        """Deletes a database with all its collections. Returns whether there was one of the name."""

    async def drop_collection(self, database: int, name: str) -> bool:
        """Deletes a collection with its documents and indexes. Returns whether there was one of the name."""

    async def rename_collection(self, database: int, name: str, new_name: str) -> None:
        """Gives a collection another name.

        Raises:
            InvalidNameError: another collection has the new name.
            GoneError: there is none of the old name.
        """

    def transaction(self, *, warns: bool = False) -> Transaction:
        """A transaction over everything. `warns`: in the log, where it is open for long."""

    def scratch(self) -> Scratch:
        """A place for what does not fit into memory."""

    def check_writable(self) -> None:
        """Raises `ReadOnlyError` where nothing is ever written."""

    async def receipt(self) -> str:
        """Returns a text by which `Settings.at_least` knows this cluster, as it is now, from an older one."""

    async def save(self) -> None:
        """Makes every write so far survive a loss of power, and leaves nothing beside the cluster."""

    async def close(self) -> None:
        """Waits for every call made before, then closes. May be called again."""
