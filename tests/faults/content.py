"""What a cluster should hold: a plain model of its content, and the check of a cluster against it.

A state is JSON, so that it can be handed to another process:
{collection: {"documents": {name: [salt, size, count]}, "indexes": [field, ...]}}
"""

import base64
import random
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import apsw
from cryptography.fernet import Fernet, MultiFernet
from index_entries import check_entries

from poof import PoofCluster
from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import unlock
from poof.format.layout import PAGE_SIZE, TOKEN_SIZE
from poof.keys.credentials import Credentials

DATABASE = "db"
KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="

State = dict[str, dict[str, Any]]


@lru_cache(maxsize=4096)
def text(salt: int, size: int) -> str:
    """The text of a document."""
    return random.Random(salt).randbytes(size // 2).hex()


def document(name: str, salt: int, size: int, count: int) -> dict[str, Any]:
    """A document, whole."""
    return {"name": name, "text": text(salt, size), "count": count}


def documents(collection: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The documents of a collection of a state, by name."""
    return {name: document(name, *value) for name, value in collection["documents"].items()}


Found = dict[str, tuple[dict[str, dict[str, Any]], list[str]]]
"""Documents by name, and the indexed fields, of every collection."""


def expected(state: State) -> Found:
    """What is found in a cluster of this state."""
    return {name: (documents(collection), sorted(collection["indexes"])) for name, collection in state.items()}


async def read_all(cluster: PoofCluster) -> Found:
    """All that a cluster holds; without documents that expire, as a sweep may come at any time."""
    found = {}
    database = await cluster.get_database(DATABASE)
    for name in await database.list_collection_names():
        collection = await database.get_collection(name)
        kept = [doc.data for doc in await collection.find_all() if "at" not in doc.data]
        assert len({data["name"] for data in kept}) == len(kept)
        indexes = sorted(index.fields[0][0] for index in await collection.list_indexes())
        found[name] = ({data["name"]: data for data in kept}, [field for field in indexes if field != "at"])
    return found


async def check_whole(cluster: PoofCluster) -> None:
    """SQLite finds the file whole, and every index lists what it should."""
    ask = partial(cluster._engine._calls._writer.alone, waits=True)
    assert await ask(_integrity) == "ok"
    await ask(check_entries)


def _integrity(connection: apsw.Connection) -> Any:
    return connection.execute("PRAGMA integrity_check").get


async def check_one_of(path: Path | str, key: str, states: Iterable[State]) -> State:
    """The one of these states that a cluster is in. It is opened, and must be whole."""
    async with await PoofCluster.create(path, key) as cluster:
        await check_whole(cluster)
        found = await read_all(cluster)
    for state in states:
        if expected(state) == found:
            return state
    raise AssertionError(f"the cluster holds {sizes(found)}, and nobody wrote that")


async def check_copy(path: Path) -> None:
    """A copy of a cluster is a cluster, whole."""
    async with await PoofCluster.create(path, KEY) as cluster:
        await check_whole(cluster)


def sizes(found: Found) -> dict[str, tuple[int, list[str]]]:
    """A state in short, for messages."""
    return {name: (len(documents), indexes) for name, (documents, indexes) in found.items()}


def check_pages(path: Path, key: str) -> int:
    """Every slot of a file is a token of its page, by plain Fernet; returns how many there are."""
    data = path.read_bytes()
    unlocked = unlock(read_header_block(str(path)), Credentials(key=key.encode()), str(path))
    # The one before is there while it is being replaced, and after a crash in that.
    fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(each.page)) for each in unlocked.keys])
    assert len(data) % PAGE_SIZE == 0
    for number in range(1, len(data) // PAGE_SIZE):
        token = data[number * PAGE_SIZE :][:TOKEN_SIZE]
        assert int.from_bytes(fernet.decrypt(base64.urlsafe_b64encode(token))[-4:], "big") == number
    return len(data) // PAGE_SIZE - 1
