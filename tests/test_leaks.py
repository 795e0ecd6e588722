"""Nothing that is stored lies in the clear in any file that the process makes: while it runs, and after it is killed.

A program works on a cluster and stops at marked points. At each, every file in its folders, every file that it holds
open (where the system shows them) and every file that its Python code opened for writing is searched for any 12 bytes
of any text that it stored. POOF_SEED replays the texts.
"""

import json
import os
import random
import sqlite3
import stat
import string
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from faults.campaign import SEED
from stores import DirectStore

from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import unlock
from poof.keys.credentials import Credentials

WINDOW = 12
CHARACTERS = string.ascii_letters + string.digits
_IS_CHARACTER = bytes(byte in CHARACTERS.encode() for byte in range(256))
_RUN = b"\x01" * WINDOW

PROGRAM = """
    import asyncio, json, os, sys

    written = set()

    def watch(event, arguments):
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                written.add(os.path.abspath(os.fsdecode(arguments[0])))

    sys.addaudithook(watch)

    import apsw
    import inside
    from poof import PoofCluster
    from poof.engines.sqlite.tables.connections import connect
    from poof.engines.sqlite.file.raw import read_header_block
    from poof.engines.sqlite.file.unlock import unlock
    from poof.keys.credentials import Credentials

    ids = []

    def mark(name):
        print(json.dumps({"mark": name, "written": sorted(written), "ids": ids}), flush=True)
        sys.stdin.readline()

    async def main(path, given):
        key, names, texts, later = given["key"], given["names"], given["texts"], given["later"]
        cluster = await PoofCluster.create(path, key, cache_mib=1)
        mark("new")
        collection = await (await cluster.get_database(names[0])).get_collection(names[1])
        table = f"documents_{collection._documents._id}"
        for text in texts:
            ids.append((await collection.insert({"text": text * 60, names[2]: len(text)})).objId)
        mark("inserted")
        for obj_id, text in zip(ids, later):
            await collection.update(obj_id, {"text": text * 30})
        for obj_id in ids[-20:]:
            await collection.delete(obj_id)
        await cluster.save()
        mark("saved")

        # What SQLite may do for the cluster one day: sorts, indexes and views too large for its cache.
        unlocked = unlock(read_header_block(path), Credentials(key=key.encode()), path)
        connection = connect(inside.state_of(path, unlocked.key), cache_mib=1)
        run = connection.execute
        run("PRAGMA cache_size = 2")
        rows = run(f"SELECT doc FROM {table} ORDER BY doc DESC")
        next(rows)
        mark("sorting")
        rows.close()
        run(f"BEGIN; CREATE INDEX i ON {table} (doc, obj_id); SAVEPOINT s; UPDATE {table} SET doc = doc || ' '")
        mark("index built, not committed")
        run(f"ROLLBACK TO s; COMMIT; CREATE TEMP TABLE t AS SELECT * FROM {table}")
        run(f"CREATE TEMP TABLE u AS SELECT DISTINCT doc FROM {table} UNION SELECT doc || '!' FROM {table}")
        mark("temporary tables")
        run("DROP INDEX i; VACUUM")
        mark("vacuumed")
        connection.close()

        for text in texts[:40]:
            ids.append((await collection.insert({"text": text * 60})).objId)
        mark("before the kill")

    asyncio.run(main(sys.argv[1], json.loads(sys.stdin.readline())))
"""
MARKS = ["new", "inserted", "saved", "sorting", "index built, not committed", "temporary tables", "vacuumed"]
MARKS += ["before the kill"]


def windows(texts: Iterable[str]) -> set[bytes]:
    """All that must not be found. The texts are stored several times in a row."""
    repeated = [(text + text[: WINDOW - 1]).encode() for text in texts]
    return {text[start : start + WINDOW] for text in repeated for start in range(len(text) - WINDOW + 1)}


def find(data: bytes, known: set[bytes]) -> list[bytes]:
    """The known windows in some bytes; only runs of the texts' characters are looked at closely."""
    kinds = data.translate(_IS_CHARACTER)
    found = []
    start = kinds.find(_RUN)
    while start >= 0:
        if data[start : start + WINDOW] in known:
            found.append(data[start : start + WINDOW])
        start = kinds.find(_RUN, start + 1)
    return found


def files_in(*folders: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for folder in folders for file in folder.rglob("*") if file.is_file()}


def files_held_by(process: int) -> dict[str, bytes]:
    """The regular files that a process has open for writing, deleted ones too, where the system shows them."""
    held = {}
    descriptors = Path(f"/proc/{process}/fd")
    for descriptor in descriptors.iterdir() if descriptors.exists() else ():
        details = Path(f"/proc/{process}/fdinfo/{descriptor.name}").read_text()
        flags = int(details.split("flags:")[1].split()[0], 8)
        if stat.S_ISREG(descriptor.stat().st_mode) and flags & os.O_ACCMODE != os.O_RDONLY:
            held[f"{descriptor} -> {descriptor.readlink()}"] = descriptor.read_bytes()
    return held


def random_texts(rng: random.Random, count: int) -> list[str]:
    return ["".join(rng.choices(CHARACTERS, k=rng.randint(40, 160))) for _ in range(count)]


def test_the_search_finds_a_planted_window_anywhere() -> None:
    rng = random.Random(1)
    texts = random_texts(rng, 50)
    known = windows(texts)
    for _ in range(300):
        data = bytearray(os.urandom(rng.randint(WINDOW, 3000)))
        text = (rng.choice(texts) * 2).encode()
        start, source = rng.randrange(len(data) - WINDOW + 1), rng.randrange(len(text) // 2)
        data[start : start + WINDOW] = text[source : source + WINDOW]
        assert text[source : source + WINDOW] in find(bytes(data), known)


def test_the_search_finds_nothing_in_noise() -> None:
    assert find(os.urandom(5_000_000), windows(random_texts(random.Random(2), 300))) == []


def test_the_search_finds_every_text_in_a_plain_database(tmp_path: Path) -> None:
    texts = random_texts(random.Random(3), 20)
    connection = sqlite3.connect(tmp_path / "plain.db")
    connection.execute("CREATE TABLE t (d TEXT)")
    connection.executemany("INSERT INTO t VALUES (?)", ((json.dumps({"text": text}),) for text in texts))
    connection.commit()
    connection.close()
    [data] = files_in(tmp_path).values()
    assert all(find(data, windows([text])) for text in texts)


def test_no_file_ever_holds_twelve_bytes_of_what_was_stored(
    path: Path, tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    rng = random.Random(SEED)
    key = Fernet.generate_key()
    texts, later, names = random_texts(rng, 360), random_texts(rng, 100), random_texts(rng, 3)
    known = windows([*texts, *later, *names])
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    given: dict[str, Any] = {"key": key.decode(), "texts": texts, "later": later, "names": names}
    process = start_python(
        PROGRAM, path, cwd=path.parent, TMPDIR=str(temporary), TEMP=str(temporary), SQLITE_TMPDIR=str(temporary)
    )
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    searched = dict.fromkeys(("main", "-wal", "-shm"), 0)

    def search(files: dict[str, bytes]) -> None:
        for name, data in files.items():
            assert find(data, known) == [], name
            assert key not in data, name
            for kind in searched:
                if name.endswith(path.name if kind == "main" else kind):
                    searched[kind] += len(data)

    process.stdin.write(json.dumps(given) + "\n")
    process.stdin.flush()
    marks = []
    while line := process.stdout.readline():
        report = json.loads(line)
        marks.append(report["mark"])
        known |= windows(report["ids"])
        search(files_in(path.parent, temporary))
        search(files_held_by(process.pid))
        search({name: Path(name).read_bytes() for name in report["written"] if Path(name).is_file()})
        assert list(temporary.iterdir()) == []
        if report["mark"] == MARKS[-1]:
            process.kill()
            break
        process.stdin.write("\n")
        process.stdin.flush()
    process.wait()
    assert marks == MARKS, process.stderr.read()
    search(files_in(path.parent, temporary))
    assert all(size > 30_000 for size in searched.values()), searched

    unlocked = unlock(read_header_block(str(path)), Credentials(key=key), str(path))
    store = DirectStore(str(path), unlocked, timeout=0, cache_mib=1)
    [(_, documents)] = store.read_everything()[names[0]].items()
    assert [data["text"] for _, data in documents[-40:]] == [text * 60 for text in texts[:40]]
    search(files_in(path.parent, temporary))
    store.save()
    search(files_in(path.parent, temporary))
    store.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    search(files_in(path.parent, temporary))
