"""Files of PoofDB 0.x are upgraded when they are opened with their key, and can be written again."""

import base64
import json
import os
import stat
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import poof
from poof import PoofCluster

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="


def entry(number: int, **data) -> dict:
    return {"_objId": f"XyZ123AbCdEf{number:04}", "data": data}


TREE = {
    "my_db": {
        "people": [entry(3, name="Alice", age=25), entry(1, name="Bob"), entry(2)],
        "empty": [],
        "it's \N{PILE OF POO}": [entry(3, deep={"a": [1, 2.5, None, True, "ü\x00"]})],
    },
    "empty": {},
    "other": {"people": [entry(number, n=number) for number in range(200)]},
}


def token_of(tree: object, key: str = KEY) -> bytes:
    return Fernet(key).encrypt(json.dumps(tree).encode())


@pytest.fixture
def old(path) -> Path:
    """A file of PoofDB 0.x that holds TREE."""
    path.write_bytes(token_of(TREE))
    return path


@pytest.fixture
def backup(path) -> Path:
    return path.with_name("cluster.poof.v0.bak")


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def open_and_close(path, key=KEY, **options):
    async with await PoofCluster.create(path, key, **options) as cluster:
        return cluster.get_encryption_key()


async def read_tree(path, tree=TREE, key=KEY):
    """What a cluster holds of the databases and collections of a tree, in the form of 0.x."""
    found = {}
    async with await PoofCluster.create(path, key) as cluster:
        for database_name, collections in tree.items():
            database = await cluster.get_database(database_name)
            found[database_name] = {}
            for name in collections:
                docs = await (await database.get_collection(name)).find_all()
                found[database_name][name] = [doc.model_dump(by_alias=True) for doc in docs]
    return found


async def test_an_upgrade_keeps_every_id_document_and_order(old):
    assert await read_tree(old) == TREE
    assert await read_tree(old) == TREE


async def test_an_upgraded_file_is_a_cluster_and_the_old_one_stays_beside_it_as_it_was(old, backup):
    before = old.read_bytes()
    assert await open_and_close(old) == KEY
    assert names(old.parent) == ["cluster.poof", "cluster.poof.v0.bak"]
    assert old.read_bytes().startswith(b"PoofDB encrypted cluster, format 1\n")
    assert backup.read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
async def test_an_upgraded_file_is_the_owners_alone(old):
    old.chmod(0o644)
    await open_and_close(old)
    assert stat.S_IMODE(old.stat().st_mode) == 0o600


async def test_an_upgraded_cluster_is_used_like_any_other(old):
    async def story():
        async with await PoofCluster.create(old, KEY) as cluster:
            people = await (await cluster.get_database("my_db")).get_collection("people")
            new = await people.insert({"name": "Carol"})
            assert (await people.find_by_id("XyZ123AbCdEf0003")).data == {"name": "Alice", "age": 25}
            assert await people.delete("XyZ123AbCdEf0001") is True
            return [doc.objId for doc in await people.find_all()], new.objId

    ids, new_id = await story()
    assert ids == ["XyZ123AbCdEf0003", "XyZ123AbCdEf0002", new_id]


@pytest.mark.parametrize("tree", [{}, {"db": {}}, {"db": {"empty": []}}], ids=str)
async def test_an_empty_file_of_0x_is_upgraded(path, tree):
    path.write_bytes(token_of(tree))
    assert await read_tree(path, tree) == tree


async def test_a_full_file_of_0x_is_upgraded(path):
    tree = {f"db {d}": {f"collection {c}": [entry(c)] for c in range(50)} for d in range(10)}
    path.write_bytes(token_of(tree))
    assert await read_tree(path, tree) == tree


async def test_the_key_as_0x_printed_it_upgrades(old):
    assert await open_and_close(old, base64.urlsafe_b64encode(KEY.encode()).decode()) == KEY


@pytest.mark.parametrize(
    ("credentials", "error", "text"),
    [
        ({"key": Fernet.generate_key()}, poof.WrongKeyError, "^Decryption failed"),
        ({"key": None}, poof.KeyRequiredError, "file of PoofDB 0.x"),
        ({"key": None, "password": "any"}, poof.KeyRequiredError, "file of PoofDB 0.x"),
        ({"key": "your key"}, poof.InvalidKeyError, "44 characters"),
    ],
    ids=["wrong key", "no key", "password", "malformed key"],
)
async def test_without_its_key_nothing_changes(old, credentials, error, text):
    def state():
        status = old.stat()
        return old.read_bytes(), status.st_mtime_ns, status.st_ino, status.st_mode, names(old.parent)

    before = state()
    with pytest.raises(error, match=text):
        await open_and_close(old, **credentials)
    assert state() == before


async def test_a_damaged_file_of_0x_is_refused(old):
    damaged = bytearray(old.read_bytes())
    damaged[100] ^= 1
    old.write_bytes(damaged)
    with pytest.raises(poof.WrongKeyError, match=r"^Decryption failed.*or the file is damaged"):
        await open_and_close(old)
    assert (old.read_bytes(), names(old.parent)) == (damaged, ["cluster.poof"])


UNSTORABLE = {
    "NaN": {"db": {"c": [entry(1), entry(2, v=[float("nan")])]}},
    "infinity": {"db": {"c": [entry(2, v=float("inf"))]}},
    "2**70": {"db": {"c": [entry(2, v=2**70)]}},
    "two documents with one id": {"db": {"c": [entry(2, v=1), entry(2, v=2)]}},
    "lone surrogate": {"db": {"c": [entry(2, v="\ud800")]}},
    "lone surrogate in a name": {"\ud800": {"\ud800": [entry(2)]}},
    "lone surrogate in an id": {"db": {"c": [{"_objId": "\ud800" * 12, "data": {}}]}},
    "id too short": {"db": {"c": [{"_objId": "short", "data": {}}]}},
    "id missing": {"db": {"c": [{"data": {}}]}},
    "id a number": {"db": {"c": [{"_objId": 123456789012, "data": {}}]}},
    "data a list": {"db": {"c": [{"_objId": "XyZ123AbCdEf", "data": []}]}},
    "collection a dict": {"db": {"c": {}}},
    "a list": [],
    "a number": 7,
}


@pytest.mark.parametrize("tree", UNSTORABLE.values(), ids=UNSTORABLE)
async def test_what_the_new_format_cannot_hold_is_refused_and_the_old_file_stays(path, tree):
    path.write_bytes(token_of(tree))
    before = path.read_bytes()
    with pytest.raises(poof.LegacyFileError, match=r"left as it (is|was)") as caught:
        await open_and_close(path)
    assert str(path) in str(caught.value)
    assert (path.read_bytes(), names(path.parent)) == (before, ["cluster.poof"])


@pytest.mark.parametrize("text", [b"", b"no json", b"\xff\xfe", b"[" * 100_000, b'{"db":'], ids=lambda it: it[:10])
async def test_a_token_over_something_else_is_refused_and_stays(path, text):
    path.write_bytes(Fernet(KEY).encrypt(text))
    before = path.read_bytes()
    with pytest.raises(poof.LegacyFileError, match=r"does not hold what PoofDB 0\.x writes"):
        await open_and_close(path)
    assert (path.read_bytes(), names(path.parent)) == (before, ["cluster.poof"])


async def test_an_upgrade_that_was_interrupted_after_its_backup_completes(old, backup):
    os.link(old, backup)
    before = old.read_bytes()
    assert await read_tree(old) == TREE
    assert backup.read_bytes() == before
    assert not backup.samefile(old)


async def test_an_upgrade_that_was_interrupted_after_a_copied_backup_completes(old, backup):
    """As on a file system without hard links."""
    backup.write_bytes(old.read_bytes())
    before = old.read_bytes()
    assert await read_tree(old) == TREE
    assert backup.read_bytes() == before


@pytest.mark.parametrize("other", [b"", b"a file of somebody else", token_of(TREE)], ids=["empty", "text", "another"])
async def test_another_file_in_the_place_of_the_backup_is_never_replaced(old, backup, other):
    backup.write_bytes(other)
    before = old.read_bytes()
    with pytest.raises(poof.LegacyFileError, match=r"was not upgraded: .*v0\.bak' exists. Move it away first"):
        await open_and_close(old)
    assert (old.read_bytes(), backup.read_bytes()) == (before, other)
    assert names(old.parent) == ["cluster.poof", "cluster.poof.v0.bak"]


async def test_a_dangling_link_in_the_place_of_the_backup_is_not_followed(old, backup):
    backup.symlink_to(old.with_name("nowhere"))
    with pytest.raises(poof.LegacyFileError, match="was not upgraded"):
        await open_and_close(old)
    assert names(old.parent) == ["cluster.poof", "cluster.poof.v0.bak"]
    assert old.read_bytes().startswith(b"gAAAA")


async def test_an_upgrade_through_a_symbolic_link_replaces_the_file_and_not_the_link(old, tmp_path):
    link = tmp_path / "link.poof"
    link.symlink_to(old)
    assert await read_tree(link) == TREE
    assert link.is_symlink()
    assert names(old.parent) == ["cluster.poof", "cluster.poof.v0.bak"]


OPEN_WITH_OTHERS = """
import asyncio, sys
from poof import PoofCluster

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    async with await PoofCluster.create(sys.argv[1], sys.argv[2], timeout=50) as cluster:
        people = await (await cluster.get_database("other")).get_collection("people")
        docs = await people.find_all()
        doc = await people.insert({"by": sys.argv[3]})
        print(len([doc for doc in docs if "n" in doc.data]), doc.objId)

asyncio.run(main())
"""


async def test_processes_that_upgrade_one_file_at_once_end_up_in_one_cluster(old, backup, start_python):
    before = old.read_bytes()
    processes = [start_python(OPEN_WITH_OTHERS, old, KEY, n, cwd=old.parent) for n in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in results] == [""] * 4
    assert [output.split()[0] for output, _ in results] == ["200"] * 4
    found = await read_tree(old)
    new = [doc["_objId"] for doc in found["other"]["people"][200:]]
    assert sorted(new) == sorted(output.split()[1] for output, _ in results)
    assert {**found, "other": {"people": found["other"]["people"][:200]}} == TREE
    assert backup.read_bytes() == before
    assert names(old.parent) == ["cluster.poof", "cluster.poof.v0.bak"]


async def export(path, to, key=KEY):
    async with await PoofCluster.create(path, key) as cluster:
        await cluster.export_legacy(to)


async def test_an_export_is_one_token_over_the_json_of_0x(old, tmp_path):
    to = tmp_path / "export.poof"
    await export(old, to)
    assert json.loads(Fernet(KEY).decrypt(to.read_bytes())) == TREE
    assert names(old.parent) == ["cluster.poof", "cluster.poof.v0.bak"]


async def test_an_export_can_be_upgraded_again(old, tmp_path):
    to = tmp_path / "export.poof"
    await export(old, to)
    assert await read_tree(to) == TREE


async def test_an_export_of_a_cluster_in_memory_can_be_opened(path):
    async def story():
        async with await PoofCluster.create(":memory:", KEY) as cluster:
            people = await (await cluster.get_database("my_db")).get_collection("people")
            doc = await people.insert({"name": "Alice"})
            await cluster.export_legacy(path)
            return {"my_db": {"people": [doc.model_dump(by_alias=True)]}}

    tree = await story()
    assert await read_tree(path, tree) == tree


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
async def test_an_export_is_the_owners_alone(old, tmp_path):
    await export(old, tmp_path / "export.poof")
    assert stat.S_IMODE((tmp_path / "export.poof").stat().st_mode) == 0o600


async def test_an_export_replaces_no_file_and_not_its_own_cluster(old, tmp_path):
    taken = tmp_path / "taken"
    taken.write_bytes(b"somebody's")
    await open_and_close(old)
    for to in (taken, old):
        before = to.read_bytes()
        with pytest.raises(poof.StorageError, match="exists and was left as it is"):
            await export(old, to)
        assert to.read_bytes() == before


async def test_an_export_into_a_missing_folder_is_an_os_error(old, tmp_path):
    with pytest.raises(poof.MissingFolderError) as caught:
        await export(old, tmp_path / "missing" / "export")
    assert isinstance(caught.value, OSError)
