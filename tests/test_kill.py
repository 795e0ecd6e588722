"""Killed at any moment, a program loses no write that was acknowledged, and leaves a file that is whole.

POOF_SEED replays the writes; the moment of a kill is the system's.
"""

import base64
import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from stores import DirectStore

from poof.format.layout import PAGE_SIZE, TOKEN_SIZE
from poof.storage.faults import translated
from poof.storage.files import Credentials, create, new_header

KEY = Fernet.generate_key()
UNLOCKED = new_header(Credentials(key=KEY), KEY)

# Says "?" and what it will do, does it, and says "!". Documents are {"name": number, "text": text}.
WRITER = """
    import asyncio, json, random, sys
    from poof import PoofCluster

    async def main(path, key, seed):
        rng = random.Random(int(seed))
        cluster = await PoofCluster.create(path, key, cache_mib=1)
        collection = await (await cluster.get_database("db")).get_collection("writes")
        ids = {doc.data["name"]: doc.objId for doc in await collection.find_all()}
        print("ready", flush=True)
        number = max(ids, default=0)
        while True:
            kind = rng.choice(["insert", "insert", "insert", "update", "update", "delete", "save"])
            number += 1
            name = number if kind == "insert" else rng.choice(list(ids)) if ids else None
            if name is None:
                continue
            text = rng.randbytes(rng.choice([10, 200, 4000, 60_000])).hex()
            print("?", json.dumps([kind, name, text]), flush=True)
            if kind == "insert":
                ids[name] = (await collection.insert({"name": name, "text": text})).objId
            elif kind == "update":
                assert await collection.update(ids[name], {"name": name, "text": text})
            elif kind == "delete":
                assert await collection.delete(ids.pop(name))
            else:
                await cluster.save()
            print("!", flush=True)

    asyncio.run(main(*sys.argv[1:]))
"""

Texts = dict[int, str]

LINES_SAID = [(1, 3), (4, 60), (60, 200)]
"""Within which bounds lie the lines that a writer says before it is killed, in turn."""


def after(known: Texts, kind: str, name: int, text: str) -> Texts:
    """What is stored after one write."""
    changed = dict(known)
    if kind == "delete":
        del changed[name]
    elif kind != "save":
        changed[name] = text
    return changed


def read(path: Path) -> Texts:
    """All documents of a cluster that SQLite finds whole."""
    store = DirectStore(str(path), UNLOCKED, timeout=0, cache_mib=1)
    try:
        with translated(str(path)):
            assert store._connection.execute("PRAGMA integrity_check").get == "ok"
        documents = store.read_everything().get("db", {}).get("writes", [])
        return {data["name"]: data["text"] for _, data in documents}
    finally:
        store.close()


def check_pages(path: Path) -> None:
    """Every slot of the file is a token of its page, by plain Fernet."""
    fernet = Fernet(base64.urlsafe_b64encode(UNLOCKED.data_key))
    data = path.read_bytes()
    assert len(data) % PAGE_SIZE == 0
    for number in range(1, len(data) // PAGE_SIZE):
        token = data[number * PAGE_SIZE :][:TOKEN_SIZE]
        assert int.from_bytes(fernet.decrypt(base64.urlsafe_b64encode(token))[-4:], "big") == number


def check_kills(path: Path, start: Callable[..., subprocess.Popen[str]], rounds: int) -> None:
    seed = int(os.environ.get("POOF_SEED", random.randrange(2**32)))
    print(f"POOF_SEED={seed}")
    rng = random.Random(seed)
    assert create(str(path), UNLOCKED)
    known: Texts = {}
    acknowledged = 0
    for turn in range(rounds):
        process = start(WRITER, path, KEY.decode(), rng.randrange(2**32), cwd=path.parent)
        assert process.stdout is not None and process.stderr is not None
        started, lines_left = None, rng.randint(*LINES_SAID[turn % len(LINES_SAID)])
        for line in process.stdout:  # to its end, which comes with the kill: what is in the pipe was said before
            if line.startswith("?") and line.endswith("\n"):  # else it was killed while it said so
                started = json.loads(line[1:])
            elif line.startswith("!"):
                known, started = after(known, *started), None
                acknowledged += 1
            lines_left -= 1
            if lines_left == 0:
                process.kill()
        process.wait()
        assert lines_left <= 0, process.stderr.read()
        found = read(path)
        # The write that was under way is there whole, or not at all.
        assert found in [known, after(known, *started)] if started else found == known
        known = found
        check_pages(path)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert acknowledged > rounds


def test_a_killed_writer_loses_nothing_acknowledged(
    path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    check_kills(path, start_python, 6)


@pytest.mark.campaign
def test_a_writer_killed_many_times_loses_nothing_acknowledged(
    path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    check_kills(path, start_python, 60)
