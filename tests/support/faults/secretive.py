"""A program that does everything a cluster can to secret documents, and tells all that may be told.

Standard input: {"key": ..., "password": ..., "names": [3 texts], "texts": [...]} as JSON. Arguments: a folder to work
in, and a file that gets the bytes of every write to a cluster's files, as SQLite's VFS sees them. It prints the names
of all files that it opened for writing, and all that logs, reprs, errors, tracebacks and pickles tell.
"""

import asyncio
import json
import logging
import os
import pickle
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import poof
from poof import PoofCluster, PoofCollection
from tests.support import inside
from tests.support.faults.watched import Call, watched

written: set[str] = set()
told: list[str] = []


class Person(BaseModel):
    """What the secret documents are not."""

    number: int


def note_open(event: str, arguments: tuple[Any, ...]) -> None:
    """Notes what Python itself opens for writing."""
    if (
        event == "open"
        and isinstance(arguments[0], str | bytes)
        and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    ):
        written.add(os.fsdecode(arguments[0]))


class Tracing:
    """For `watched`: copies what is written, and notes which files are opened."""

    def __init__(self, trace: int) -> None:
        self._trace = trace

    def __call__(self, call: Call, proceed: Callable[[], Any]) -> Any:
        if call.name == "xOpen":
            written.add(call.path)
        elif call.name == "xWrite":
            os.write(self._trace, call.args[0])
        return proceed()


class Listening(logging.Handler):
    """Keeps every record of every logger."""

    def emit(self, record: logging.LogRecord) -> None:
        told.append(self.format(record))


def tell(*things: object) -> None:
    """What anybody may see of some objects."""
    for thing in things:
        told.extend((repr(thing), str(thing), f"{thing!a}"))


async def fails(call: Callable[[], Awaitable[object]]) -> None:
    """Makes a call that must fail, and tells how."""
    try:
        await call()
    except Exception as error:
        told.append("".join(traceback.format_exception(error)))
        tell(error, *error.args)
        told.append(pickle.dumps(error).decode("latin-1"))
    else:
        raise AssertionError("it did not fail")


async def fail_in_all_ways(cluster: PoofCluster, people: PoofCollection, path: str, given: dict[str, Any]) -> None:
    """Errors of all kinds, about secret values."""
    secret = given["texts"][0]
    strict = await (await cluster.get_database(given["names"][0])).get_collection(given["names"][1], Person)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: PoofCluster.create(path),
        lambda: PoofCluster.create(path, given["key"][::-1][1:] + "="),
        lambda: PoofCluster.create(path, password=given["password"]),
        lambda: PoofCluster.create(path, given["key"], password=given["password"]),
        lambda: PoofCluster.create(path + "-missing/x", given["key"]),
        lambda: people.insert({"text": secret, "bad": float("nan")}),
        lambda: people.insert({"text": secret, "bad": secret.encode()}),
        lambda: people.insert([secret]),  # type: ignore[arg-type] # it is wrong on purpose
        lambda: people.update_many({}, {"$inc": {"text": 1}}),
        lambda: people.update_many({}, {"$pop": {"text": 1}}),
        lambda: people.find({"text": {"$regex": "(" + secret}}).to_list(),
        lambda: people.find({"text": {"$size": secret}}).to_list(),
        lambda: strict.insert({"number": secret}),
        lambda: cluster.export_legacy(path),
    ]
    for call in calls:
        await fails(call)


async def work(folder: Path, given: dict[str, Any]) -> None:
    """Everything, once."""
    path, (database, name, other) = str(folder / "cluster.poof"), given["names"]
    texts = given["texts"]
    cluster = await PoofCluster.create(path, given["key"], cache_mib=1)
    people = await (await cluster.get_database(database)).get_collection(name)
    for text in texts[:40]:
        await people.insert({"text": text, "n": 1})
    await people.insert_many({"text": text + str(n), "long": text * 30, "n": n} for n, text in enumerate(texts))
    tell(cluster, people, cluster._engine, inside.calls_of(cluster)._writer.store, inside.calls_of(cluster)._connect)
    tell(await people.find_one({}), people.find({}), await people.find({}).explain())
    async with cluster.transaction() as transaction:  # larger than the cache, which spills into the log
        await people.update_many({}, {"$set": {"more": texts[1] * 40}})
        await people.create_index("text", unique=True, where={"long": {"$exists": True}})
        tell(transaction)
    await people.create_index([("long", 1), ("n", -1)])
    for field in ("more", "long", "text"):
        assert len(await people.find({}).sort(field, -1).to_list()) == len(texts) + 40
    await people.distinct("text")
    await people.update_many({"n": {"$lt": 50}}, {"$set": {"text": texts[2]}, "$unset": {"long": ""}})
    tell(await people.delete_many({"n": {"$gt": 300}}), await people.list_indexes())
    await cluster.save()
    told_keys = [await cluster.add_key(label="laptop"), await cluster.add_recovery_code()]
    tell(await cluster.keys())
    await cluster.backup(folder / "backup.poof")
    tell(await cluster.verify(), await cluster.stats())
    await cluster.compact()
    await cluster.rotate(keys=told_keys)
    await people.rename(other)
    await fail_in_all_ways(cluster, people, path, given)
    legacy = str(folder / "legacy.poof")
    await cluster.export_legacy(legacy)
    await cluster.close()
    await fails(lambda: people.insert({"text": texts[0]}))
    async with await PoofCluster.create(legacy, given["key"]) as upgraded:
        assert await upgraded.list_database_names() == [database]
    async with await PoofCluster.create(str(folder / "password.poof"), password=given["password"]) as third:
        await (await third.get_database(database)).get_collection(name)
        tell(third, third._engine)
    for thing in (cluster, cluster._engine, inside.calls_of(cluster)):
        try:
            told.append(pickle.dumps(thing).decode("latin-1"))
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            tell(error)


def main(folder: str, trace: str) -> None:
    """The program."""
    given = json.loads(sys.stdin.readline())
    logging.basicConfig(level=logging.DEBUG, handlers=[Listening()])
    inside.tune(log_frames=100)
    descriptor = os.open(trace, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    sys.addaudithook(note_open)
    with watched(Tracing(descriptor), folder):
        asyncio.run(work(Path(folder), given))
    os.close(descriptor)
    print(json.dumps({"written": sorted(written), "told": told, "poof": poof.__file__}))
