"""The engine of a file, as the contract asks for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from poof.engines.contract import Documents, Engine
from poof.engines.scratch import SealedScratch
from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.care import key_slots, rotation
from poof.engines.sqlite.care.backup import back_up
from poof.engines.sqlite.care.stats import read_stats
from poof.engines.sqlite.care.verify import verify
from poof.engines.sqlite.documents import SqliteDocuments
from poof.engines.sqlite.exchange import legacy, plaintext
from poof.engines.sqlite.file.judged import take_receipt
from poof.engines.sqlite.tables import catalogue
from poof.engines.sqlite.turns.jobs import Job
from poof.engines.sqlite.turns.transactions import Transaction
from poof.keys.credentials import Credentials, LoadKey, StoreKey
from poof.new_files import NewFile
from poof.progress import Progress
from poof.results import ClusterStats, KeyInfo, VerifyReport


class SqliteEngine:
    """An open cluster file."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.path = calls.path
        self.keys = SqliteKeys(calls)
        self.care = SqliteCare(calls)

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._calls.is_closed

    @property
    def is_read_only(self) -> bool:
        """Whether nothing is ever written."""
        return self._calls.is_read_only

    async def database(self, name: str) -> int:
        """Returns the number of a database, which is created where there is none of the name."""
        find = catalogue.find_database
        found: int | None = await self._calls.read(find, find, name)
        return found if found is not None else int(await self._calls.write(catalogue.create_database, name))

    async def collection(self, database: int, name: str) -> int:
        """Returns the number of a collection, which is created where there is none of the name."""
        find = catalogue.find_collection
        found: int | None = await self._calls.read(find, find, database, name)
        return found if found is not None else int(await self._calls.write(catalogue.create_collection, database, name))

    def documents(self, collection: int) -> SqliteDocuments:
        """The documents of a collection."""
        return SqliteDocuments(self._calls, collection)

    async def list_databases(self) -> list[str]:
        """Returns the names of all databases, in order."""
        names: list[str] = await self._calls.read(catalogue.list_databases, catalogue.list_databases)
        return names

    async def list_collections(self, database: int) -> list[str]:
        """Returns the names of the collections of a database, in order."""
        names: list[str] = await self._calls.read(catalogue.list_collections, catalogue.list_collections, database)
        return names

    async def drop_database(self, name: str) -> bool:
        """Deletes a database with all its collections."""
        return bool(await self._calls.work(catalogue.drop_database, name))

    async def drop_collection(self, database: int, name: str) -> bool:
        """Deletes a collection with its documents and indexes."""
        return bool(await self._calls.work(catalogue.drop_collection_named, database, name))

    async def rename_collection(self, database: int, name: str, new_name: str) -> None:
        """Gives a collection another name."""
        await self._calls.write(catalogue.rename_collection_named, database, name, new_name)

    def transaction(self, *, warns: bool = False) -> Transaction:
        """A transaction over everything."""
        return self._calls.transaction(warns=warns)

    def scratch(self) -> SealedScratch:
        """A sealed place for what does not fit into memory."""
        return SealedScratch()

    def check_writable(self) -> None:
        """Raises `ReadOnlyError` where nothing is ever written."""
        self._calls.check_writable()

    async def receipt(self) -> str:
        """Returns a text by which this file, as it is now, is known from an older one."""
        text: str = await self._calls.in_turn(take_receipt)
        return text

    async def save(self) -> None:
        """Makes every write so far survive a loss of power, and leaves one file."""
        await self._calls.save()

    async def close(self) -> None:
        """Waits for every call made before, then closes the file."""
        await self._calls.close()


class SqliteKeys:
    """The key slots of an open file."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @property
    def user_key(self) -> bytes:
        """The key that opens the file, 44 characters."""
        return self._calls.user_keys.shown

    async def list(self) -> list[KeyInfo]:
        """Returns what is known of each slot, as it is now."""
        return await key_slots.list_slots(self._calls)

    async def add(self, key: bytes | None, password: str | None, label: str) -> bytes:
        """Adds a slot for a key, a password or a new key. Returns the key that opens it."""
        return await key_slots.add_slot(self._calls, key, password, label)

    async def remove(self, key_id: str) -> None:
        """Removes a slot."""
        await key_slots.remove_slot(self._calls, key_id)

    async def change_password(self, old: str, new: str) -> None:
        """Replaces a password."""
        await key_slots.change_password(self._calls, old, new)

    async def rotate(
        self, keys: Sequence[bytes], passwords: Sequence[str], remove_others: bool, progress: Progress | None
    ) -> None:
        """Replaces the data key and seals every page anew."""
        await rotation.rotate(self._calls, keys, passwords, remove_others, progress)

    async def enrol(self, load: LoadKey, store: StoreKey) -> None:
        """Adds a slot for a keyring, unless the keyring has a key that opens the file."""
        await key_slots.enrol(self._calls, load, store)


class SqliteCare:
    """The care of an open file."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def backup(self, to: str, credentials: Credentials, progress: Progress | None) -> None:
        """Copies the cluster, as it is now, into a new file."""
        await self._calls.run_job(Job(progress), back_up, self._calls.source, to, credentials)

    async def verify(self, progress: Progress | None) -> VerifyReport:
        """Looks for everything that may be wrong with the file and its log."""
        return await verify(self._calls, Job(progress))

    async def stats(self) -> ClusterStats:
        """Returns sizes, free space, keys and ages."""
        stats: ClusterStats = await self._calls.run_job(Job(None), read_stats, self._calls.source, self._calls.path)
        return stats

    async def compact(self, progress: Progress | None) -> None:
        """Gives the space of what was deleted back to the system."""
        await rotation.compact(self._calls, progress)

    async def export_legacy(self, to: str) -> None:
        """Writes everything as a new file of PoofDB 0.x."""
        documents = await self._calls.read(catalogue.read_everything, catalogue.read_everything, long=True)
        await self._calls.off_loop(legacy.write_legacy, documents, self._calls.user_keys.shown, to)

    async def import_legacy(self, path: str, key: bytes, progress: Progress | None) -> None:
        """Adds the documents of a file of PoofDB 0.x."""
        self._calls.check_writable()
        with self._calls.on_loop(progress) as report:
            old = await self._calls.off_loop(legacy.read_legacy, path, key)
            async with self._calls.transaction():
                await self._calls.work(legacy.add_legacy, old, path, report)
                report.check()

    async def export_plaintext(self, to: str, progress: Progress | None) -> None:
        """Writes everything as a new plain SQLite file."""
        with self._calls.on_loop(progress) as report:
            file = NewFile(to)
            try:
                await self._calls.off_loop(file.begin)
                await self._calls.read_to_end(plaintext.write_plaintext, file, report)
                report.check()
                await self._calls.off_loop(file.place)
            finally:
                file.discard()


if TYPE_CHECKING:

    def _is_an_engine(engine: SqliteEngine, documents: SqliteDocuments) -> tuple[Engine, Documents]:
        return engine, documents
