"""`import_legacy`: the documents of a PoofDB 0.x file join those of a cluster, all of them or none."""

import asyncio
import json
import threading

import pytest
from cryptography.fernet import Fernet

from poof import (
    DuplicateKeyError,
    InvalidKeyError,
    LegacyFileError,
    LimitError,
    MissingFileError,
    NotAPoofFileError,
    PoofCluster,
    ReadOnlyError,
    WrongKeyError,
)
from tests.support.people import collection, data

KEY = Fernet.generate_key()
TREE = {
    "db": {"people": [{"_objId": f"XyZ123AbCdEf{n:04}", "data": {"n": n}} for n in range(1_500)], "empty": []},
    "other": {"things": [{"_objId": "old.form-id_1", "data": {"ü": [1.5, None]}}]},
}


class NoneOfUsError(Exception):
    """What a progress of a user raises."""


@pytest.fixture
def old(tmp_path):
    """Writes a file of PoofDB 0.x."""

    def write(tree=TREE):
        path = tmp_path / "old.poof"
        path.write_bytes(Fernet(KEY).encrypt(json.dumps(tree).encode()))
        return path

    return write


async def test_its_documents_are_added_under_their_ids(cluster, people, old):
    mine = await people.insert({"n": -1})
    path = old()
    before = path.read_bytes()
    await cluster.import_legacy(path, KEY)
    found = await people.find_all()
    assert found[0] == mine
    assert [doc.model_dump(by_alias=True) for doc in found[1:]] == TREE["db"]["people"]
    assert await data(await collection(cluster, "things", "other")) == [{"ü": [1.5, None]}]
    assert await (await cluster.get_database("db")).list_collection_names() == ["empty", "people"]
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.glob("old*")] == ["old.poof"]


async def test_what_export_legacy_wrote_comes_back(cluster, people, tmp_path):
    await people.insert_many([{"n": n} for n in range(300)])
    before = await people.find_all()
    await cluster.export_legacy(tmp_path / "old")
    await people.delete_many({})
    await cluster.import_legacy(tmp_path / "old", cluster.get_encryption_key())
    assert await people.find_all() == before


async def test_an_id_that_is_there_already_is_named_and_nothing_is_imported(cluster, people, old):
    path = old({"new": {"x": [{"_objId": "new.form-id_1", "data": {}}]}, **TREE})
    await cluster.import_legacy(path, KEY)
    await cluster.drop_database("new")
    with pytest.raises(DuplicateKeyError, match="XyZ123AbCdEf0000"):
        await cluster.import_legacy(path, KEY)
    assert await people.count_documents() == 1_500
    assert await cluster.list_database_names() == ["db", "other"]


@pytest.mark.parametrize(
    ("tree", "error"),
    [
        ({"db": {"people": [{"_objId": "XyZ123AbCdEf", "data": {"n": 2**64}}]}}, LegacyFileError),
        ({f"db {n}": {} for n in range(10)}, LimitError),
        ({"db": {f"collection {n}": [] for n in range(50)}}, LimitError),
        ({"db": []}, LegacyFileError),
    ],
)
async def test_what_the_cluster_cannot_hold_is_refused_whole(cluster, people, old, tree, error):
    with pytest.raises(error):
        await cluster.import_legacy(old(tree), KEY)
    assert await people.count_documents() == 0
    assert await cluster.list_database_names() == ["db"]
    assert await (await cluster.get_database("db")).list_collection_names() == ["people"]


async def test_a_wrong_key_or_another_file_is_told(cluster, old, tmp_path, path):
    with pytest.raises(WrongKeyError):
        await cluster.import_legacy(old(), Fernet.generate_key())
    with pytest.raises(InvalidKeyError):
        await cluster.import_legacy(old(), "no key")
    with pytest.raises(MissingFileError):
        await cluster.import_legacy(tmp_path / "none", KEY)
    for other in (tmp_path, path if path.exists() else __file__):
        with pytest.raises(NotAPoofFileError):
            await cluster.import_legacy(other, KEY)
    await cluster.save()


async def test_progress_is_told_on_the_event_loop_and_may_end_it(cluster, people, old):
    def raises(*_):
        raise NoneOfUsError

    with pytest.raises(NoneOfUsError):
        await cluster.import_legacy(old(), KEY, progress=raises)
    assert await cluster.list_database_names() == ["db"]
    calls = []
    await cluster.import_legacy(old(), KEY, progress=lambda *a: calls.append((*a, threading.current_thread())))
    assert {tuple(rest) for _, *rest in calls} == {(1_501, "documents", threading.main_thread())}
    assert calls[-1][0] == 1_501


@pytest.mark.parametrize("turns", [*range(6), 20, 100])
async def test_an_import_that_is_cancelled_is_made_or_not(cluster, people, old, turns):
    importing = asyncio.create_task(cluster.import_legacy(old(), KEY))
    for _ in range(turns):
        await asyncio.sleep(0)
    importing.cancel()
    await asyncio.wait([importing])
    assert await people.count_documents() in ({0, 1_500} if importing.cancelled() else {1_500})


async def test_it_takes_part_in_a_transaction(cluster, people, old):
    with pytest.raises(NoneOfUsError):
        async with cluster.transaction():
            await cluster.import_legacy(old(), KEY)
            assert await people.count_documents() == 1_500
            raise NoneOfUsError
    assert await people.count_documents() == 0


async def test_a_read_only_cluster_takes_none(path, old):
    async with await PoofCluster.create(path, KEY):
        pass
    async with await PoofCluster.create(path, KEY, read_only=True) as cluster:
        with pytest.raises(ReadOnlyError):
            await cluster.import_legacy(old(), KEY)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 20])
async def test_an_export_to_that_form_that_is_cancelled_is_whole_or_not_there(cluster, people, tmp_path, turns):
    await people.insert_many([{"n": n} for n in range(300)])
    folder = tmp_path / "exports"
    folder.mkdir()
    exporting = asyncio.create_task(cluster.export_legacy(folder / "old"))
    for _ in range(turns):
        await asyncio.sleep(0)
    exporting.cancel()
    await asyncio.wait([exporting])
    for file in folder.iterdir():
        assert file.name == "old"
        tree = json.loads(Fernet(cluster.get_encryption_key()).decrypt(file.read_bytes()))
        assert len(tree["db"]["people"]) == 300
