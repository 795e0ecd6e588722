"""A cluster, database or collection for the length of a command.

A command that reads creates nothing: what is not there is an error.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from poof.cli.credentials import Secret, find_secret
from poof.cli.failures import CommandError, ExitCode, PipeClosedError
from poof.cluster import PoofCluster
from poof.collection import PoofCollection
from poof.database import PoofDatabase
from poof.engines.sqlite.file.inspection import FileInfo, inspect
from poof.format.header import Header

T = TypeVar("T")


def run(command: Coroutine[Any, Any, T]) -> T:
    """Runs a command to its end. Ctrl-C cancels it, and it closes what it opened."""
    try:
        return asyncio.run(command)
    except BrokenPipeError:
        raise PipeClosedError from None


def look_at(file: Path) -> FileInfo:
    """The header of a file.

    Raises:
        CommandError: there is no such file.
    """
    path = os.fspath(file)
    if not os.path.lexists(path):
        raise CommandError(f"There is no file {path!r}. Create one with: poof new", ExitCode.NOT_FOUND)
    return inspect(path)


def check_format(file: Path) -> Header:
    """The header of a file of the current format.

    Raises:
        CommandError: there is no such file, or it is of PoofDB 0.x.
    """
    header = look_at(file).header
    if header is None:
        message = f"{os.fspath(file)!r} is a file of PoofDB 0.x. Upgrade it first: poof upgrade"
        raise CommandError(message, ExitCode.DAMAGED)
    return header


def unlock(file: Path, key_file: Path | None) -> Secret:
    """The key or password of a file of the current format, which may be asked for.

    Raises:
        CommandError: there is no such file, or no key, or the file is of PoofDB 0.x.
    """
    return find_secret(os.fspath(file), check_format(file), key_file)


@contextlib.asynccontextmanager
async def opened(file: Path, secret: Secret) -> AsyncIterator[PoofCluster]:
    """An open cluster. One that cannot be written is opened to be read."""
    cluster = await PoofCluster.create(file, secret.key, password=secret.password, read_only=not _is_writable(file))
    async with cluster:
        yield cluster


async def find_database(cluster: PoofCluster, name: str) -> PoofDatabase:
    """A database that is there.

    Raises:
        CommandError: it is not.
    """
    if name not in await cluster.list_database_names():
        raise CommandError(f"There is no database {name!r} in {cluster.path!r}.", ExitCode.NOT_FOUND)
    return await cluster.get_database(name)


async def find_collection(cluster: PoofCluster, database: str, name: str) -> PoofCollection:
    """A collection that is there.

    Raises:
        CommandError: it is not.
    """
    found = await find_database(cluster, database)
    if name not in await found.list_collection_names():
        raise CommandError(f"There is no collection {name!r} in the database {database!r}.", ExitCode.NOT_FOUND)
    return await found.get_collection(name)


@contextlib.asynccontextmanager
async def in_collection(
    file: Path, secret: Secret, database: str, name: str, *, create: bool = False
) -> AsyncIterator[PoofCollection]:
    """A collection of an open cluster; with `create`, made where there is none."""
    async with opened(file, secret) as cluster:
        if create:
            yield await (await cluster.get_database(database)).get_collection(name)
        else:
            yield await find_collection(cluster, database, name)


def _is_writable(file: Path) -> bool:
    path = file.resolve()
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
