"""Clusters: encrypted files of databases."""

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self

from poof.credentials import KeySource, OnRecoveryCode, ask_for_key
from poof.database import PoofDatabase
from poof.engines import choice
from poof.engines.contract import DEFAULT_CACHE_MIB, Engine, Transaction
from poof.errors import InvalidKeyError
from poof.keys.credentials import Credentials
from poof.keys.kdf import check_password
from poof.keys.recovery_codes import recovery_code
from poof.keys.slots import parse_key
from poof.names import check_name
from poof.opening import Opening, open_cluster
from poof.paths import path_text
from poof.progress import Progress
from poof.results import ClusterStats, KeyInfo, SalvageReport, VerifyReport
from poof.uncopyable import Uncopyable
from poof.waiting import check_asyncio

DEFAULT_TIMEOUT = 5.0
"""Seconds."""


class PoofCluster(Uncopyable):
    """An open cluster file, got from `PoofCluster.create` or `PoofCluster.open`. It has at most 10 databases.

    >>> async def example() -> None:
    ...     async with PoofCluster.create("cluster.poof") as cluster:
    ...         print(cluster.get_encryption_key())
    ...         database = await cluster.get_database("my_db")

    A cluster that is never closed is closed when the program ends.
    """

    def __init__(self, engine: Engine, recovery_code: str | None = None) -> None:
        self._engine = engine
        self._recovery_code = recovery_code

    @classmethod
    def create(
        cls,
        file_path: str | os.PathLike[str] = "cluster.poof",
        key: KeySource | None = None,
        *,
        password: str | None = None,
        keyring: bool = False,
        on_recovery_code: OnRecoveryCode | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        cache_mib: int = DEFAULT_CACHE_MIB,
        durability: Literal["process", "power"] = "process",
        read_only: bool = False,
        exclusive: bool = False,
    ) -> Opening[Self]:
        """Opens the cluster in a file, or creates it where there is no file.

        Await it, or use it in `async with`, which closes the cluster at the end of the block:

        >>> async def example() -> None:
        ...     async with PoofCluster.create("cluster.poof", password="four random words here") as cluster:
        ...         print(cluster.path)

        Args:
            file_path: the file; or `":memory:"` for a cluster that touches no disk and ends when it is closed.
            key: a Fernet key, 44 characters, or a recovery code; or a function without arguments, perhaps async, that
                returns one, as from a vault. Without key and password, a new file gets a new key: store the value of
                `get_encryption_key()`, since nobody can recover it.
            password: used instead of a key. Argon2id derives a key from it, which takes some tenths of a second.
            keyring: keeps a key of the file in the keyring of the system, and opens the file with that. Needs the
                extra `keyring`. With key or password as well, the file is opened with these, and the keyring gets a
                key of its own.
            on_recovery_code: a function, perhaps async, that takes the recovery code of a new file whose only key is in
                the keyring. It is called before the file is made. Without it, see the property `recovery_code`.
            timeout: the seconds that a call waits for another process that writes.
            cache_mib: how much memory decrypted pages may take, in MiB: for each of two connections on the event
                loop, and half for each of two that answer long queries on threads.
            durability: what a write survives once its call returns. `"process"`: the end of the program, also a crash.
                `"power"`: a loss of power as well, at the cost of a sync for each commit.
            read_only: never writes to the file, and creates none. Calls that would write are refused.
            exclusive: keeps the file for this process, and the index of the log in memory instead of a `-shm` file.

        Raises:
            WrongKeyError: the key or password does not open the file; the text begins with `Decryption failed`.
            InvalidKeyError: this is not a key, or both key and password are given.
            KeyRequiredError: the file exists, and neither key nor password is given, or the keyring has no key for
                it.
            KeyringError: the keyring, or the library for it, is missing, locked or refuses.
            NotAPoofFileError, NewerFormatError, LegacyFileError: the file is something else; it was not changed.
            DamagedFileError: the file was damaged or altered.
            MissingFolderError, AccessDeniedError, ReadOnlyError, BusyError, DiskFullError, StorageError: the
                system does not let the file be opened.
            MissingFileError: there is no file, and `read_only=True` creates none.
            InvalidPathError, WrongLoopError: no file can have this path; no event loop of asyncio is running.
        """
        return Opening(
            f"{cls.__name__}.create",
            open_cluster(
                cls,
                file_path,
                key,
                password=password,
                keyring=keyring,
                on_recovery_code=on_recovery_code,
                timeout=timeout,
                cache_mib=cache_mib,
                durability=durability,
                read_only=read_only,
                exclusive=exclusive,
                creates=True,
            ),
        )

    @classmethod
    def open(
        cls,
        file_path: str | os.PathLike[str] = "cluster.poof",
        key: KeySource | None = None,
        *,
        password: str | None = None,
        keyring: bool = False,
        timeout: float = DEFAULT_TIMEOUT,
        cache_mib: int = DEFAULT_CACHE_MIB,
        durability: Literal["process", "power"] = "process",
        read_only: bool = False,
        exclusive: bool = False,
    ) -> Opening[Self]:
        """Opens the cluster in an existing file. Creates nothing.

        >>> async def example(password: str) -> None:
        ...     async with PoofCluster.open("cluster.poof", password=password) as cluster:
        ...         print(await cluster.list_database_names())

        Await it or use it in `async with`, as `create`; the arguments are those of `create`.

        Raises:
            MissingFileError: there is no file. It is a `MissingFolderError` where there is no folder either.
        """
        return Opening(
            f"{cls.__name__}.open",
            open_cluster(
                cls,
                file_path,
                key,
                password=password,
                keyring=keyring,
                on_recovery_code=None,
                timeout=timeout,
                cache_mib=cache_mib,
                durability=durability,
                read_only=read_only,
                exclusive=exclusive,
                creates=False,
            ),
        )

    @classmethod
    async def salvage(
        cls,
        path: str | os.PathLike[str],
        to: str | os.PathLike[str],
        key: KeySource | None = None,
        *,
        password: str | None = None,
        progress: Progress | None = None,
    ) -> SalvageReport:
        """Copies every document that can still be read from a damaged cluster into a new one.

        The damaged file and its log are only read. A page counts only if it is authentic, so the new cluster holds
        nothing that was not written. Ids, names and the order of insertion stay, indexes are built again, and the same
        key or password opens it; the data key is new. Documents whose collection is unknown come into a database
        `salvaged`.

        Args:
            path: the damaged file, which no program may have open.
            to: the new file. A file that exists is not replaced.
            key: the key of the damaged file, as for `create`.
            password: used instead of a key.
            progress: called on the event loop with how many pages are done, of how many, and `"pages"`.

        Raises:
            WrongKeyError, KeyRequiredError: the key or password does not open it.
            DamagedHeaderError, NotAPoofFileError: no copy of its header is whole, and so the data key is lost.
            BusyError: a program has the file open.
            AccessDeniedError: the file, or the log beside it, cannot be read by this user.
            StorageError: the new file exists, or cannot be written.
        """
        check_asyncio()
        credentials = await _credentials(key, password)
        return await choice.salvage(path_text(path), path_text(to), credentials, progress)

    @property
    def path(self) -> str:
        """The path of the file, as it was passed to `create` or `open`."""
        return self._engine.path

    def get_encryption_key(self) -> str:
        """Returns the 44-character key that opens the file. For a password, this is the key derived from it."""
        return self._engine.keys.user_key.decode()

    @property
    def recovery_code(self) -> str | None:
        """The code to pass as `key=` when the keyring is lost. `None` unless `create` just made the file.

        Show it to the user to print or write down: PoofDB does not store it. `add_recovery_code()` makes another one at
        any time.
        """
        return self._recovery_code

    async def keys(self) -> list[KeyInfo]:
        """Returns the keys and passwords that open the file now. The secrets themselves are never returned.

        Raises:
            KeyReplacedError: another process replaced the data key, and removed the key that opened this cluster.
        """
        return await self._engine.keys.list()

    async def add_key(self, key: str | bytes | None = None, *, password: str | None = None, label: str = "") -> str:
        """Adds a key or password that opens the file; without either, a new key. A cluster has at most 8.

        >>> async def share(cluster: PoofCluster) -> str:
        ...     return await cluster.add_key(label="Ann's laptop")

        Returns the 44-character key; for a password, the key derived from it, which opens the file too.

        Raises:
            InvalidKeyError: this is not a key, it opens the file already, or both key and password are given.
            InvalidNameError: the label has more than 64 bytes, or a line break or another control character.
            LimitError: there are 8 already.
            ReadOnlyError: the cluster was opened with `read_only=True`.
            TransactionError: the call is made inside a transaction.
        """
        if key is not None and password is not None:
            raise InvalidKeyError("Pass a key or a password, not both.")
        user_key = await self._engine.keys.add(None if key is None else parse_key(key), password, label)
        return user_key.decode()

    async def add_recovery_code(self, *, label: str = "recovery") -> str:
        """Adds a new key, and returns it as a code that people can print, type, or read out on the telephone.

        Pass the code as `key=`, in upper or lower case and with any spaces and dashes. The error for a mistyped code
        names the group that is wrong.

        Raises: as in `add_key`.
        """
        return recovery_code(await self._engine.keys.add(None, None, label))

    async def remove_key(self, key_id: str) -> None:
        """Revokes a key or password, given its id from `keys()`. The last one cannot be removed.

        Programs that have the file open go on, this one included. Somebody who kept the data key, or an old copy of the
        file and the key, can still read: see `rotate`.

        Raises:
            GoneError: there is none with this id.
            LimitError: it is the last one.
            ReadOnlyError, TransactionError: as in `add_key`.
        """
        await self._engine.keys.remove(key_id)

    async def change_password(self, old: str, new: str) -> None:
        """Replaces a password. Other keys and passwords stay.

        Raises:
            WrongKeyError: the old password opens nothing.
            InvalidKeyError: the new one is empty, or not text.
            ReadOnlyError, TransactionError: as in `add_key`.
        """
        await self._engine.keys.change_password(old, new)

    async def rotate(
        self,
        *,
        keys: Iterable[str | bytes] = (),
        passwords: Iterable[str] = (),
        remove_others: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """Replaces the data key, so that the old one opens nothing in the file any more.

        >>> async def lock_out(cluster: PoofCluster, ann: str) -> None:
        ...     await cluster.rotate(keys=[ann], remove_others=True)

        Rewrites every page, and needs twice the size of the file as free space. Meanwhile reads go on, and writes wait,
        here and in other processes, which then use the new key. After a crash the file is whole and opens with the same
        keys. If it was interrupted or cancelled, the next `rotate()` or `compact()` completes it.

        Args:
            keys: keys or recovery codes to keep. The one that opened this cluster is always kept.
            passwords: passwords to keep.
            remove_others: removes the keys and passwords that are not given. Without it, they are an error.
            progress: called on the event loop with how much is done, of how much, and `"pages"`.

        Raises:
            KeyRequiredError: there are keys or passwords that were not given; the text names their slots.
            WrongKeyError: one that was given opens nothing.
            BusyError: another reader or writer was busy for the whole timeout; the text says how far it got.
            DiskFullError: there is not enough room; nothing was changed.
            ReadOnlyError, TransactionError: as in `add_key`.
        """
        if isinstance(keys, str | bytes) or isinstance(passwords, str):
            raise InvalidKeyError("keys= and passwords= are lists, also of one.")
        parsed = [parse_key(key) for key in keys]
        await self._engine.keys.rotate(parsed, list(passwords), remove_others, progress)

    async def compact(self, *, progress: Progress | None = None) -> None:
        """Returns the space of deleted documents to the system.

        Rewrites every page, and needs up to twice the size of the data as free space. Meanwhile reads go on, and writes
        wait, here and in other processes. If it is cancelled or crashes, the file is as it was. With `":memory:"`, it
        returns memory.

        Args:
            progress: called on the event loop with how much is done, of how much, and `"pages"`.

        Raises:
            BusyError: another process wrote for the whole timeout, and nothing was changed; or a reader was busy, and a
                later `save()` returns the space.
            DiskFullError: there is not enough room; nothing was changed.
            ReadOnlyError, TransactionError: as in `add_key`.
        """
        await self._engine.care.compact(progress)

    async def get_database(self, name: str) -> PoofDatabase:
        """Returns the database with this name, and creates it if there is none.

        Raises:
            InvalidNameError: the name is empty, longer than 255 characters, or not text.
            LimitError: the cluster has 10 databases.
        """
        check_name(name, "database")
        return PoofDatabase(self._engine, await self._engine.database(name), name)

    async def list_database_names(self) -> list[str]:
        """Returns the names of all databases, sorted."""
        return await self._engine.list_databases()

    async def drop_database(self, name: str) -> bool:
        """Deletes a database with all its collections. Returns whether there was one."""
        return await self._engine.drop_database(name)

    def transaction(self) -> Transaction:
        """Returns a block for `async with` whose writes happen together or not at all, in all databases.

        >>> async def move(cluster: PoofCluster, accounts: PoofCollection, source: str, target: str) -> None:
        ...     async with cluster.transaction():
        ...         giver, taker = await accounts.find_by_id(source), await accounts.find_by_id(target)
        ...         await accounts.update(source, {"amount": giver.data["amount"] - 10})
        ...         await accounts.update(target, {"amount": taker.data["amount"] + 10})

        An exception that leaves the block rolls it back. A block inside a block can fail alone. Until it ends, other
        tasks read the state before it, and their writes wait. It belongs to the task that began it: a task that is
        started inside is not part of it, and gets a `TransactionError`.
        """
        return self._engine.transaction(warns=True)

    async def save(self) -> None:
        """Makes all previous writes survive a loss of power, and moves the log into the one file.

        Without it, a write survives a crash of the program as soon as its call returns.

        Raises:
            BusyError: for the whole timeout, a loop over `find()` in this process was open, or another process was
                reading or writing. Nothing is lost.
        """
        await self._engine.save()

    async def export_legacy(self, to: str | os.PathLike[str]) -> None:
        """Writes all documents to a new file in the format of PoofDB 0.x, under the key of `get_encryption_key()`.

        The file is encrypted. All of it is in memory while it is made.

        Raises:
            StorageError, MissingFolderError: the file exists, or cannot be written.
        """
        await self._engine.care.export_legacy(path_text(to))

    async def import_legacy(
        self, path: str | os.PathLike[str], key: str | bytes, *, progress: Progress | None = None
    ) -> None:
        """Adds the documents of a PoofDB 0.x file, under their ids, to the collections of the same names.

        Adds all of them or none. The file is not changed; all of it is in memory meanwhile.

        Raises:
            WrongKeyError: the key does not open the file.
            NotAPoofFileError, LegacyFileError: the file is something else, or holds data that cannot be stored exactly.
            DuplicateKeyError: a document with the `_objId` of one of them exists.
            LimitError: there would be more than 10 databases, or 50 collections in one.
        """
        await self._engine.care.import_legacy(path_text(path), parse_key(key), progress)

    async def export_sqlite_plaintext(self, to: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Writes all documents to a new SQLite file in plaintext: anybody who gets the file can read it.

        It has a table for each collection, called `database.collection`, with the columns `obj_id` and `doc`, which is
        JSON text; and a table `collections` that lists the others. It holds one state of the cluster, and is written in
        bounded memory. The file appears only when it is complete, and only its owner can read it.

        Raises:
            StorageError, MissingFolderError: a file of this name exists, or it cannot be written.
        """
        await self._engine.care.export_plaintext(path_text(to), progress)

    async def backup(
        self,
        to: str | os.PathLike[str],
        *,
        key: KeySource | None = None,
        password: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Copies the current state of the cluster into a new file, while writes go on.

        The copy opens with the same keys and passwords. With `key` or `password`, it opens with that alone, and has a
        new data key. It gets its name when it is complete and synced, and every page of it was read back. To restore
        it, open it.

        Args:
            to: the new file. A file that exists is not replaced.
            key: the key of the copy, as for `create`.
            password: used instead of a key.
            progress: called on the event loop with how many pages are done, of how many, and `"pages"`. Each page
                counts twice: copied, and read back.

        Raises:
            StorageError: the file exists, or cannot be written.
            DamagedFileError: a page of the cluster is damaged. `salvage()` copies what is whole.
            TransactionError: the call is made inside a transaction.
        """
        credentials = await _credentials(key, password)
        await self._engine.care.backup(path_text(to), credentials, progress)

    async def verify(self, *, progress: Progress | None = None) -> VerifyReport:
        """Checks the whole cluster, while writes go on.

        It authenticates every page of the file and of the log, lets SQLite check how they fit together, and compares
        the catalogue, the documents and the entries of every index with each other. The report lists the problems;
        nothing is changed.

        Args:
            progress: called on the event loop with how much is done, of how much, and `"pages"`, then `"documents"`.

        Raises:
            TransactionError: the call is made inside a transaction.
        """
        return await self._engine.care.verify(progress)

    async def stats(self) -> ClusterStats:
        """Returns sizes, free space, keys and ages of the file. It reads every page on a thread: some seconds per GB.

        Raises:
            DamagedFileError: a page that holds the structure of the database is damaged; `verify()` says more.
            TransactionError: the call is made inside a transaction.
        """
        return await self._engine.care.stats()

    async def close(self) -> None:
        """Waits for the calls made before, then closes the cluster. It may be called again."""
        await self._engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<PoofCluster {self.path!r}, {'closed' if self._engine.is_closed else 'open'}>"


async def _credentials(key: KeySource | None, password: str | None) -> Credentials:
    if key is not None and password is not None:
        raise InvalidKeyError("Pass a key or a password, not both.")
    if password is not None:
        check_password(password)
    if callable(key):
        key = parse_key(await ask_for_key(key))
    return Credentials(None if key is None else parse_key(key), password)
