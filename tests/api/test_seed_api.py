"""The API that PoofDB has had from its first version: every class, method, return value and error."""

import asyncio
import re
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel, ValidationError

import poof
from poof import PoofCluster, PoofCollection, PoofDatabase, PoofDocument
from poof.object_ids import new_object_id

UNKNOWN_IDS = [
    "AAAAAAAAAAAA",
    "",
    "x",
    "a" * 1000,
    "é" * 12,
    "\x00" * 12,
    "' OR 1=1 --",
    "\ud800" * 12,
]
ODD_NAMES = [
    "people",
    " ",
    "x" * 200,
    "x" * 255,
    "名" * 255,
    "\N{PILE OF POO}" * 255,
    "it's",
    '"quoted"; DROP TABLE databases; --',
    "`back` [brackets]",
    "a/b\\c:d",
    "..",
    "sqlite_master",
    "new\nline\tand tab",
    "nul\x00inside",
    "\x00",
    "%s %d {} ?1 :name @name $name",
    "e\u0301",
    "\u202eright to left",
]
BAD_NAMES = ["", None, 7, 1.5, True, b"people", ["people"], ..., "x" * 256, "名" * 256, "\ud800", "ok\udfff"]


class User(BaseModel):
    name: str
    age: int


@pytest.fixture(params=["file", "memory"])
def place(request, path) -> str | Path:
    """Both kinds of cluster, for what must be the same in both."""
    return path if request.param == "file" else ":memory:"


def test_the_public_names_hold_those_of_the_seed_and_the_errors():
    names = set(poof.__all__)
    assert names >= {"PoofCluster", "PoofCollection", "PoofDatabase", "PoofDocument"}
    assert names >= {name for name in vars(poof.errors) if name.endswith("Error") and name != "ValidationError"}
    assert all(hasattr(poof, name) for name in names)


async def test_create_without_arguments_makes_cluster_poof_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cluster = await PoofCluster.create()
    await cluster.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["cluster.poof"]


async def test_the_methods_return_the_classes_of_the_seed(place, key):
    cluster = await PoofCluster.create(file_path=place, key=key)
    database = await cluster.get_database("db")
    collection = await database.get_collection("people")
    doc = await collection.insert({"name": "Alice"})
    assert isinstance(cluster, PoofCluster)
    assert isinstance(database, PoofDatabase)
    assert isinstance(collection, PoofCollection)
    assert isinstance(doc, PoofDocument)
    assert isinstance(await collection.find_all(), list)
    assert await cluster.save() is None
    assert await cluster.close() is None


def test_the_objects_say_what_they_are(in_collection, path):
    async def story(people):
        return repr(people), people.name, people.model

    assert in_collection(story, where=path) == (f"<PoofCollection 'people' of {str(path)!r}>", "people", None)


async def test_get_encryption_key_returns_the_key_that_was_given(place, key):
    async def story():
        async with await PoofCluster.create(place, key=key) as cluster:
            return cluster.get_encryption_key()

    assert await story() == key


async def test_a_new_file_without_a_key_gets_one_that_opens_it(path):
    async with await PoofCluster.create(path) as cluster:
        database = await cluster.get_database("db")
        doc = await (await database.get_collection("people")).insert({"name": "Alice"})
        key = cluster.get_encryption_key()
    Fernet(key)
    assert (type(key), len(key)) == (str, 44)
    async with await PoofCluster.create(path, key=key) as cluster:
        database = await cluster.get_database("db")
        assert await (await database.get_collection("people")).find_by_id(doc.objId) == doc


async def test_two_new_clusters_have_different_keys():
    async def story():
        async with await PoofCluster.create(":memory:") as one, await PoofCluster.create(":memory:") as other:
            return one.get_encryption_key(), other.get_encryption_key()

    one, other = await story()
    assert one != other


async def test_a_wrong_key_is_a_value_error_that_begins_with_decryption_failed(path, key):
    await (await PoofCluster.create(path, key)).close()
    with pytest.raises(ValueError, match=r"^Decryption failed"):
        await PoofCluster.create(path, Fernet.generate_key())


@pytest.mark.parametrize("data", [{"name": "Alice", "age": 25}, User(name="Alice", age=25)], ids=["dict", "model"])
async def test_insert_takes_a_model_or_a_dict_and_returns_the_document(open_collection, place, data):
    async with open_collection(where=place) as people:
        doc = await people.insert(data)
        assert doc.data == {"name": "Alice", "age": 25}
        assert type(doc.data) is dict
        assert await people.find_by_id(doc.objId) == doc


@pytest.mark.parametrize("data", [None, 7, "text", ["list"], {"set"}, b"{}", User, ...], ids=repr)
async def test_insert_and_update_refuse_what_is_no_document(open_collection, data):
    async with open_collection() as people:
        doc = await people.insert({"name": "Alice"})
        with pytest.raises(ValueError, match="Nothing was stored"):
            await people.insert(data)
        with pytest.raises(ValueError, match="Nothing was stored"):
            await people.update(doc.objId, data)
        assert await people.find_all() == [doc]


async def test_an_empty_dict_is_a_document(open_collection, place):
    async with open_collection(where=place) as people:
        doc = await people.insert({})
        assert (await people.find_by_id(doc.objId)).data == {}


def test_object_ids_are_12_to_26_letters_and_digits_of_every_length_and_character():
    ids = [new_object_id() for _ in range(3000)]
    assert all(re.fullmatch(r"[A-Za-z0-9]{12,26}", obj_id) for obj_id in ids)
    assert {len(obj_id) for obj_id in ids} == set(range(12, 27))
    assert len(set("".join(ids))) == 62
    assert len(set(ids)) == len(ids)


def test_inserted_documents_have_such_ids(in_collection):
    async def story(people):
        return [(await people.insert({})).objId for _ in range(50)]

    ids = in_collection(story)
    assert all(re.fullmatch(r"[A-Za-z0-9]{12,26}", obj_id) for obj_id in ids)
    assert len({len(obj_id) for obj_id in ids}) > 1


@pytest.mark.parametrize("obj_id", UNKNOWN_IDS, ids=ascii)
async def test_an_unknown_id_is_none_to_find_and_update_and_false_to_delete(open_collection, obj_id):
    async with open_collection() as people:
        doc = await people.insert({"name": "Alice"})
        assert await people.find_by_id(obj_id) is None
        assert await people.update(obj_id, {"name": "Bob"}) is None
        assert await people.delete(obj_id) is False
        assert await people.find_all() == [doc]


def test_find_all_of_an_empty_collection_is_an_empty_list(in_collection, place):
    async def story(people):
        return await people.find_all()

    assert in_collection(story, where=place) == []


def test_find_all_keeps_the_order_of_insertion_through_updates_and_deletes(in_collection, place):
    async def story(people):
        docs = [await people.insert({"n": n}) for n in range(30)]
        await people.update(docs[3].objId, {"n": "three"})
        await people.delete(docs[5].objId)
        await people.insert({"n": "last"})
        return [doc.data["n"] for doc in await people.find_all()]

    assert in_collection(story, where=place) == [0, 1, 2, "three", 4, *range(6, 30), "last"]


async def test_a_document_inserted_after_the_last_was_deleted_comes_last(open_collection, place):
    async with open_collection(where=place) as people:
        first = await people.insert({"n": 1})
        last = await people.insert({"n": 2})
        await people.delete(last.objId)
        new = await people.insert({"n": 3})
        assert await people.find_all() == [first, new]
        assert await people.find_by_id(last.objId) is None


async def test_concurrent_inserts_keep_the_order_of_the_calls(open_collection, place):
    async with open_collection(where=place) as people:
        docs = await asyncio.gather(*(people.insert({"n": n}) for n in range(100)))
        assert await people.find_all() == docs


async def test_update_replaces_the_whole_data_and_returns_the_document(open_collection, place):
    async with open_collection(where=place) as people:
        doc = await people.insert({"name": "Alice", "age": 25, "more": {"a": 1}})
        updated = await people.update(doc.objId, User(name="Bob", age=26))
        assert updated == PoofDocument(objId=doc.objId, data={"name": "Bob", "age": 26})
        assert await people.find_by_id(doc.objId) == updated


async def test_delete_says_whether_there_was_a_document(open_collection, place):
    async with open_collection(where=place) as people:
        doc = await people.insert({"name": "Alice"})
        assert await people.delete(doc.objId) is True
        assert await people.delete(doc.objId) is False
        assert await people.find_by_id(doc.objId) is None


async def test_changing_returned_data_changes_nothing_stored(open_collection, place):
    async with open_collection(where=place) as people:
        given = {"tags": ["a"], "more": {"n": 1}}
        inserted = await people.insert(given)
        updated = await people.update(inserted.objId, given)
        found = await people.find_by_id(inserted.objId)
        [listed] = await people.find_all()
        for data in (given, inserted.data, updated.data, found.data, listed.data):
            assert data == {"tags": ["a"], "more": {"n": 1}}
            data["tags"].append("b")
            data["more"]["n"] = 2
            data["new"] = True
        again = await people.find_by_id(inserted.objId)
        assert again.data == {"tags": ["a"], "more": {"n": 1}}


async def test_insert_does_not_change_the_callers_dict(open_collection):
    async with open_collection() as people:
        given = {"tags": ("a", "b"), "user": User(name="Alice", age=25)}
        await people.insert(given)
        assert given == {"tags": ("a", "b"), "user": User(name="Alice", age=25)}


async def test_databases_and_collections_are_separate_and_found_again(path, key):
    places = [(database, collection) for database in ("a", "b") for collection in ("a", "b")]

    async def collection_at(cluster, place):
        return await (await cluster.get_database(place[0])).get_collection(place[1])

    async def story():
        async with await PoofCluster.create(path, key) as cluster:
            for place in places:
                await (await collection_at(cluster, place)).insert({"place": list(place)})
        async with await PoofCluster.create(path, key) as cluster:
            for place in places:
                [doc] = await (await collection_at(cluster, place)).find_all()
                assert doc.data == {"place": list(place)}

    await story()


async def test_the_eleventh_database_is_a_value_error_that_names_the_limit(place, key):
    async with await PoofCluster.create(place, key) as cluster:
        for n in range(10):
            await cluster.get_database(f"database {n}")
        with pytest.raises(ValueError, match=r"\b10 databases"):
            await cluster.get_database("one more")
        await cluster.get_database("database 3")
        with pytest.raises(ValueError, match=r"\b10 databases"):
            await cluster.get_database("one more")


async def test_the_fifty_first_collection_is_a_value_error_that_names_the_limit(place, key):
    async with await PoofCluster.create(place, key) as cluster:
        full = await cluster.get_database("full")
        for n in range(50):
            await full.get_collection(f"collection {n}")
        with pytest.raises(ValueError, match=r"\b50 collections"):
            await full.get_collection("one more")
        await full.get_collection("collection 3")
        await (await cluster.get_database("other")).get_collection("one more")


async def test_the_limits_hold_after_reopening(path, key):
    async with await PoofCluster.create(path, key) as cluster:
        for n in range(10):
            await cluster.get_database(f"database {n}")
    async with await PoofCluster.create(path, key) as cluster:
        await cluster.get_database("database 9")
        with pytest.raises(ValueError, match=r"\b10 databases"):
            await cluster.get_database("one more")


async def test_names_of_any_characters_stay_apart_and_are_found_again(path, key):
    for chunk in (ODD_NAMES[:9], ODD_NAMES[9:]):
        file = path.with_name(f"{len(chunk[0])}.poof")
        async with await PoofCluster.create(file, key) as cluster:
            for name in chunk:
                database = await cluster.get_database(name)
                collection = await database.get_collection(name)
                assert (database.name, collection.name) == (name, name)
                await collection.insert({"name": name})
        async with await PoofCluster.create(file, key) as cluster:
            for name in chunk:
                collection = await (await cluster.get_database(name)).get_collection(name)
                assert [doc.data for doc in await collection.find_all()] == [{"name": name}]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
async def test_a_bad_name_is_a_value_error(name):
    async with await PoofCluster.create(":memory:") as cluster:
        with pytest.raises(ValueError, match="The name of a database"):
            await cluster.get_database(name)
        database = await cluster.get_database("db")
        with pytest.raises(ValueError, match="The name of a collection"):
            await database.get_collection(name)


def test_a_document_is_a_pydantic_model_whose_id_has_the_alias_of_the_file():
    doc = PoofDocument(_objId="XyZ123AbCdEf", data={"name": "Alice"})
    assert doc == PoofDocument(objId="XyZ123AbCdEf", data={"name": "Alice"})
    assert (doc.objId, doc.data) == ("XyZ123AbCdEf", {"name": "Alice"})
    assert doc.model_dump() == {"objId": "XyZ123AbCdEf", "data": {"name": "Alice"}}
    assert doc.model_dump(by_alias=True) == {"_objId": "XyZ123AbCdEf", "data": {"name": "Alice"}}


@pytest.mark.parametrize("fields", [{"data": {}}, {"objId": "x" * 11, "data": {}}, {"objId": "x" * 27, "data": {}}])
def test_a_document_has_an_id_of_12_to_26_characters(fields):
    with pytest.raises(ValidationError):
        PoofDocument(**fields)
