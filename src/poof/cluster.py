"""Clusters: an encrypted file and what is in it.

Layer: cluster.
"""

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
        at_least: str | None = None,
        without_log: bool = False,
    ) -> Opening[Self]:
        """Opens the cluster in a file, or creates it where there is no file.

        Await it, or enter it by `async with`, which closes the cluster at the end of the block:

        >>> async def example() -> None:
        ...     async with PoofCluster.create("cluster.poof", password="four random words here") as cluster:
        ...         print(cluster.path)

        Args:
            file_path: the file; or `":memory:"` for a cluster that touches no disk and ends when it is closed.
            key: a Fernet key, 44 characters, or a recovery code; or a function without arguments that gets it, as from
                a vault, also an async one. Without key and password a new file gets a new key: keep what
                `get_encryption_key()` returns, it cannot be recovered.
            password: instead of a key. Turned into a key by Argon2id, which takes some tenths of a second.
            keyring: keeps a key of the file in the keyring of the system, and opens the file with that. Needs the
                extra `keyring`. With key or password as well, the file is opened with these, and the keyring gets a
                key of its own.
            on_recovery_code: gets the recovery code of a file that is new and has no other key than the keyring's,
                before the file is made; it may be async. Without it, see the property `recovery_code`.
            timeout: for how many seconds a call waits for another process that writes.
            cache_mib: how much memory decrypted pages may take, in MiB: for each of two connections on the event
                loop, and half for each of two that answer long queries on threads.
            durability: what an acknowledged write survives at once: `"process"`, the end of the program, however it
                ends; `"power"`, a loss of power too, at the cost of a sync for each commit.
            read_only: never writes to the file; every call that would is refused. It creates no file either.
            exclusive: keeps the file for this process, and the index of the log in memory instead of a `-shm` file.
            at_least: a receipt of the file, as `receipt()` returned it. An older file, or another one, is refused, and
                none is created.
            without_log: opens a file whose log is lost, if the file is whole without it. What was in the log is gone.

        Raises:
            WrongKeyError: the key or password does not open the file; the text begins with `Decryption failed`.
            InvalidKeyError: this is not a key, or both key and password are given.
            KeyRequiredError: the file exists, and neither key nor password is given, or the keyring has no key for
                it.
            KeyringError: the keyring, or the library for it, is missing, locked or refuses.
            NotAPoofFileError, NewerFormatError, LegacyFileError: the file is something else; it is left as it is.
            DamagedFileError: the file was damaged or altered.
            LogMissingError, LogMismatchError: the log beside the file is missing, or is that of another file or state.
            MixedFileError: the file is a copy that was made while the file was written.
            OlderHeaderError: the header of the file was put back from an older copy.
            OlderFileError, InvalidReceiptError: the file is older than the receipt; this is not a receipt.
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
                at_least=at_least,
                without_log=without_log,
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
        at_least: str | None = None,
        without_log: bool = False,
    ) -> Opening[Self]:
        """Opens the cluster in a file that exists, and creates nothing where there is none.

        >>> async def example(password: str) -> None:
        ...     async with PoofCluster.open("cluster.poof", password=password) as cluster:
        ...         print(await cluster.list_database_names())

        Like `create`, it is awaited or entered by `async with`; the arguments are the same.

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
                at_least=at_least,
                without_log=without_log,
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
        """Brings every document that can still be read out of a damaged cluster, into a new one.

        The damaged file, and its log, are only read. What is in the new cluster is what was written: a page counts
        only if it is authentic. Ids, names and the order of insertion stay, indexes are built again, and the same key
        or password opens it; the data key is new. Documents whose collection is not to be known any more are in a
        database `salvaged`.

        Args:
            path: the damaged file, which no program may have open.
            to: the new file. A file that exists is not replaced.
            key: what opens the damaged file, as for `create`.
            password: instead of a key.
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
        """The file, as it was given to `create`."""
        return self._engine.path

    def get_encryption_key(self) -> str:
        """The 44-character key that opens the file; for a password, the key derived from it, which opens it too."""
        return self._engine.keys.user_key.decode()

    @property
    def recovery_code(self) -> str | None:
        """The code that opens the file when the keyring is lost, as `key=`; only where `create` just made the file.

        Show it to the user, who prints it or writes it down: PoofDB keeps it nowhere. `add_recovery_code()` makes
        another one at any time.
        """
        return self._recovery_code

    async def keys(self) -> list[KeyInfo]:
        """The keys and passwords that open the file, as it is now; what is secret about them is not to be had.

        Raises:
            KeyReplacedError: another process replaced the data key, and removed the key this cluster was opened with.
        """
        return await self._engine.keys.list()

    async def add_key(self, key: str | bytes | None = None, *, password: str | None = None, label: str = "") -> str:
        """Lets one more key or password open the file; without either, a new key. A cluster has at most 8.

        >>> async def share(cluster: PoofCluster) -> str:
        ...     return await cluster.add_key(label="Ann's laptop")

        Returns the 44-character key; for a password the one derived from it, which opens the file too.

        Raises:
            InvalidKeyError: this is not a key, it opens the file already, or both key and password are given.
            InvalidNameError: this cannot be a label, which has at most 64 bytes and no line breaks.
            LimitError: there are 8 already.
            ReadOnlyError: the cluster was opened with `read_only=True`.
            TransactionError: it was called inside a transaction of the same task.
        """
        if key is not None and password is not None:
            raise InvalidKeyError("Pass a key or a password, not both.")
        user_key = await self._engine.keys.add(None if key is None else parse_key(key), password, label)
        return user_key.decode()

    async def add_recovery_code(self, *, label: str = "recovery") -> str:
        """Lets a new key open the file, and returns it in a form to be printed, typed, or read over the telephone.

        `key=` takes the code in place of a key, in either case and with any spaces and dashes. A mistyped code is
        refused with the number of the group that is wrong.

        Raises: as `add_key`.
        """
        return recovery_code(await self._engine.keys.add(None, None, label))

    async def remove_key(self, key_id: str) -> None:
        """Lets a key or password no longer open the file; `keys()` tells the ids. The last one stays.

        Who has the file open goes on, this cluster included. Who kept the data key, or an old copy of the file together
        with the key, can still read what they can get hold of: see `rotate`.

        Raises:
            GoneError: there is none of this id.
            LimitError: it is the last one.
            ReadOnlyError, TransactionError: as in `add_key`.
        """
        await self._engine.keys.remove(key_id)

    async def change_password(self, old: str, new: str) -> None:
        """Replaces a password by another one. Other keys and passwords stay.

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
        """Replaces the data key: whoever had the old one reads nothing that is in the file from now on.

        >>> async def lock_out(cluster: PoofCluster, ann: str) -> None:
        ...     await cluster.rotate(keys=[ann], remove_others=True)

        Rewrites every page, and needs twice the size of the file in free space meanwhile. Reads go on; writes wait,
        here and in other processes, which then follow. It survives every crash: the file stays whole, and opens with
        the same keys. Interrupted or cancelled half way, the next `rotate()` or `compact()` ends it.

        Args:
            keys: keys to be kept, beside the one with which this cluster was opened; recovery codes as well.
            passwords: passwords to be kept.
            remove_others: removes the keys and passwords that are not given; else nothing is done where there are some.
            progress: called on the event loop with how much is done, of how much, and `"pages"`.

        Raises:
            KeyRequiredError: there are keys or passwords that were not given; the text names their slots.
            WrongKeyError: one that was given opens nothing.
            BusyError: somebody read or wrote for the whole timeout; the text says how far it got.
            DiskFullError: there is not enough room; nothing was changed.
            ReadOnlyError, TransactionError: as in `add_key`.
        """
        if isinstance(keys, str | bytes) or isinstance(passwords, str):
            raise InvalidKeyError("keys= and passwords= are lists, also of one.")
        parsed = [parse_key(key) for key in keys]
        await self._engine.keys.rotate(parsed, list(passwords), remove_others, progress)

    async def compact(self, *, progress: Progress | None = None) -> None:
        """Gives the space of what was deleted back to the system.

        Rewrites every page, and needs up to twice the size of the data in free space meanwhile. Reads go on; writes
        wait, here and in other processes. Cancelled, or after a crash, the file is as it was. With `":memory:"` the
        memory is given back.

        Args:
            progress: called on the event loop with how much is done, of how much, and `"pages"`.

        Raises:
            BusyError: another process wrote for the whole timeout, and nothing was changed; or somebody read, and the
                space is given back by a later `save()`.
            DiskFullError: there is not enough room; nothing was changed.
            ReadOnlyError, TransactionError: as in `add_key`.
        """
        await self._engine.care.compact(progress)

    async def get_database(self, name: str) -> PoofDatabase:
        """The database of a name, which is created where there is none.

        Raises:
            InvalidNameError: the name is empty, longer than 255 characters, or not text.
            LimitError: the cluster has 10 databases.
        """
        check_name(name, "database")
        return PoofDatabase(self._engine, await self._engine.database(name), name)

    async def list_database_names(self) -> list[str]:
        """The names of all databases, in order."""
        return await self._engine.list_databases()

    async def drop_database(self, name: str) -> bool:
        """Deletes a database with all its collections. Returns whether there was one of the name."""
        return await self._engine.drop_database(name)

    def transaction(self) -> Transaction:
        """A block that happens as a whole or not at all, over all databases and collections of the cluster.

        >>> async def move(cluster: PoofCluster, accounts: PoofCollection, source: str, target: str) -> None:
        ...     async with cluster.transaction():
        ...         giver, taker = await accounts.find_by_id(source), await accounts.find_by_id(target)
        ...         await accounts.update(source, {"amount": giver.data["amount"] - 10})
        ...         await accounts.update(target, {"amount": taker.data["amount"] + 10})

        An exception that leaves the block rolls it back. A block inside a block can fail alone. Other tasks read the
        state before it, and wait with their writes until it ends. It belongs to the task that began it: tasks that
        are started inside are not part of it, and get a `TransactionError`.
        """
        return self._engine.transaction(warns=True)

    async def receipt(self) -> str:
        """Returns a text that tells this file, as it is now, from an older copy of it.

        Keep it where whoever can write to the file cannot, and pass it as `at_least=` when you open the file: then a
        copy that somebody put back is refused. The receipt is no secret. Everything written so far is synced first.

        >>> async def keep(cluster: PoofCluster) -> str:
        ...     await cluster.save()
        ...     return await cluster.receipt()

        Raises:
            TransactionError: it was called inside a transaction of the same task.
        """
        return await self._engine.receipt()

    async def save(self) -> None:
        """Makes everything written before survive a loss of power, and leaves all of it in the one file.

        Every write is safe from the program's own end, even by a crash, as soon as its call returns.

        Raises:
            BusyError: for the whole timeout, a loop over `find()` in this process was open, or another process was
                reading or writing. Nothing is lost.
        """
        await self._engine.save()

    async def export_legacy(self, to: str | os.PathLike[str]) -> None:
        """Writes all documents as a new file in the form of PoofDB 0.x, under the key of `get_encryption_key()`.

        The file is encrypted, and held in memory whole while it is made.

        Raises:
            StorageError, MissingFolderError: the file exists, or cannot be written.
        """
        await self._engine.care.export_legacy(path_text(to))

    async def import_legacy(
        self, path: str | os.PathLike[str], key: str | bytes, *, progress: Progress | None = None
    ) -> None:
        """Adds the documents of a file of PoofDB 0.x, under their ids, to the collections of the same names.

        All of them are added or none. The file is left as it is, and held in memory whole meanwhile.

        Raises:
            WrongKeyError: the key does not open the file.
            NotAPoofFileError, LegacyFileError: it is something else, or holds what cannot be stored exactly.
            DuplicateKeyError: there is a document with the `_objId` of one.
            LimitError: there would be more than 10 databases, or 50 collections in one.
        """
        await self._engine.care.import_legacy(path_text(path), parse_key(key), progress)

    async def export_sqlite_plaintext(self, to: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
        """Writes all documents as a new plain SQLite file, which everybody can read who gets hold of it.

        It has a table for each collection, called `database.collection`, with the columns `obj_id` and `doc`, which is
        JSON text; and a table `collections` that says which is which. It is written whole or not at all, in bounded
        memory, as everything is at one moment, and is readable by its owner only.

        Raises:
            StorageError, MissingFolderError: there is a file of this name, or it cannot be written.
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
        """Copies the cluster, as it is now, into a new file, while others go on to write.

        The copy opens with the same keys and passwords; or, where `key` or `password` is given, with that alone, and
        has a new data key. It gets its name when it is whole, synced, and every page of it has been read back. To
        restore it, open it.

        Args:
            to: the new file. A file that exists is not replaced.
            key: what opens the copy, as for `create`.
            password: instead of a key.
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
        """Looks for everything that may be wrong with the cluster, while others go on to write.

        It reads and authenticates every page of the file and of the log, lets SQLite check how they fit together, and
        compares the catalogue, the documents and the entries of every index with each other. What is wrong is in the
        report; nothing is changed.

        Args:
            progress: called on the event loop with how much is done, of how much, and `"pages"`, then `"documents"`.

        Raises:
            TransactionError: the call is made inside a transaction.
        """
        return await self._engine.care.verify(progress)

    async def stats(self) -> ClusterStats:
        """Sizes, free space, keys and ages of the file. It looks at every page, on a thread: some seconds for a GB.

        Raises:
            DamagedFileError: a page that holds the structure of the database is damaged; `verify()` says more.
            TransactionError: the call is made inside a transaction.
        """
        return await self._engine.care.stats()

    async def close(self) -> None:
        """Closes the cluster after the calls made before. May be called again."""
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
