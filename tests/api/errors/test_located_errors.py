"""Errors of writes say which document they are about, and show no value of it."""

import contextlib
import copy
import pickle

import pytest
from pydantic import BaseModel, ValidationError

from poof import (
    DocumentTooLargeError,
    DuplicateKeyError,
    InsertOne,
    InvalidDocumentError,
    InvalidIdError,
    InvalidQueryError,
    PoofDocument,
    ReplaceOne,
    SkippedDocument,
    UpdateError,
    UpdateMany,
    UpdateOne,
)
from tests.support import inside
from tests.support.people import data

pytestmark = pytest.mark.every_engine

SECRET = "sentinel-5f1c"
TAKEN = "TAKENTAKENTAKEN"


class User(BaseModel):
    mail: str
    n: int = 0


async def later(items):
    for item in items:
        yield item


KINDS = {"a list": list, "a tuple": tuple, "an iterator": iter, "an async iterator": later}
BAD = {
    "what JSON cannot hold": ({"mail": SECRET.encode()}, InvalidDocumentError),
    "too large": ({"mail": SECRET * 6_000_000}, DocumentTooLargeError),
    "no id": ({"mail": SECRET, "_objId": "no"}, InvalidDocumentError),
    "an id that is taken": ({"mail": SECRET, "_objId": TAKEN}, DuplicateKeyError),
    "a mail that is taken": ({"mail": "taken-" + SECRET}, DuplicateKeyError),
    "no document": (7, InvalidDocumentError),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("position", [0, 30])
async def test_insert_many_says_the_position(open_collection, kind, bad, position):
    async with open_collection() as people:
        await people.create_index("mail", unique=True)
        await people.insert({"mail": "taken-" + SECRET, "_objId": TAKEN})
        document, expected = BAD[bad]
        documents = [{"mail": str(n)} for n in range(40)]
        documents[position] = document
        with pytest.raises(expected) as caught:
            await people.insert_many(kind(documents))
        assert str(caught.value).startswith(f"Position {position}: ")
        assert SECRET not in repr(caught.value)
        if isinstance(caught.value, DuplicateKeyError):
            assert (caught.value.position, caught.value.obj_id) == (position, TAKEN)
        assert await people.count_documents() == 1


async def test_a_misfit_says_its_position_and_its_id(open_collection):
    async with open_collection(model=User) as people:
        with pytest.raises(ValidationError, match="User, position 2"):
            await people.insert_many([{"mail": "a"}, {"mail": "b"}, {"mail": 7}])
        with pytest.raises(ValidationError, match=f"User, document {TAKEN}, position 0"):
            await people.insert_many([{"mail": 7, "_objId": TAKEN}])
        with pytest.raises(ValidationError, match=r"User, request 1 \(InsertOne\)"):
            await people.bulk_write([InsertOne({"mail": "a"}), InsertOne({"mail": 7})])


REQUESTS = {
    "an insert": (InsertOne({"mail": SECRET.encode()}), InvalidDocumentError),
    "a duplicate": (InsertOne({"mail": "taken-" + SECRET}), DuplicateKeyError),
    "an update": (UpdateOne({"n": 1}, {"$inc": {"mail": 1}}), UpdateError),
    "an update to a duplicate": (UpdateMany({"n": 1}, {"$set": {"mail": "taken-" + SECRET}}), DuplicateKeyError),
    "no filter": (ReplaceOne({"$no": SECRET}, {}), InvalidQueryError),
    "a replacement": (ReplaceOne({}, {"$set": SECRET}), InvalidDocumentError),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_bulk_write_says_the_request(open_collection, name):
    async with open_collection() as people:
        await people.create_index("mail", unique=True)
        await people.insert_many([{"mail": "taken-" + SECRET, "_objId": TAKEN}, {"mail": "x", "n": 1}])
        request, expected = REQUESTS[name]
        with pytest.raises(expected) as caught:
            await people.bulk_write([InsertOne({"mail": "y"}), InsertOne({"mail": "z"}), request])
        assert str(caught.value).startswith(f"Request 2 ({type(request).__name__}): ")
        assert SECRET not in repr(caught.value)
        if isinstance(caught.value, DuplicateKeyError):
            assert (caught.value.position, caught.value.obj_id) == (2, TAKEN)
        assert await people.count_documents() == 2


OF_STORED = {
    "update_many": (lambda people: people.update_many({}, {"$inc": {"mail": 1}}), UpdateError),
    "update_one": (lambda people: people.update_one({"n": 1}, {"$push": {"mail": 1}}), UpdateError),
    "find_one_and_update": (lambda people: people.find_one_and_update({"n": 1}, {"$inc": {"mail": 1}}), UpdateError),
    "replace_one": (lambda people: people.replace_one({"n": 1}, {"mail": "taken-" + SECRET}), DuplicateKeyError),
    "update_many to one value": (lambda people: people.update_many({}, {"$set": {"mail": SECRET}}), DuplicateKeyError),
    "migrate to a duplicate": (lambda people: people.migrate(lambda _data: {"mail": SECRET}), DuplicateKeyError),
    "migrate to no JSON": (
        lambda people: people.migrate(lambda _data: {"mail": [SECRET, b""]}),
        InvalidDocumentError,
    ),
}


@pytest.mark.parametrize("name", OF_STORED)
async def test_an_error_about_a_stored_document_says_its_id(open_collection, name):
    async with open_collection() as people:
        await people.create_index("mail", unique=True)
        await people.insert_many([{"mail": "taken-" + SECRET, "_objId": TAKEN}, {"mail": SECRET + "-2", "n": 1}])
        before = await people.find_all()
        call, expected = OF_STORED[name]
        with pytest.raises(expected) as caught:
            await call(people)
        assert str(caught.value).startswith(tuple(f"Document {document.objId}: " for document in before))
        assert SECRET not in repr(caught.value)
        if isinstance(caught.value, DuplicateKeyError):
            assert (caught.value.index, caught.value.fields, caught.value.position) == ("mail_1", ("mail",), None)
            assert caught.value.obj_id == TAKEN
        assert await people.find_all() == before


@pytest.mark.parametrize(
    ("fields", "first", "second"),
    [
        ("a", {}, {"a": None}),
        ("a", {"a": [1, 2]}, {"a": [3, 2]}),
        ("a.b", {"a": [{"b": 1}, {"b": 2}]}, {"a": {"b": 2.0}}),
        ([("a", -1), ("b.c", 1)], {"a": 1, "b": {"c": [1, 2]}}, {"a": 1, "b": {"c": 2}}),
    ],
)
async def test_a_duplicate_names_index_fields_and_the_document_that_is_there(open_collection, fields, first, second):
    async with open_collection() as people:
        name = await people.create_index(fields, unique=True)
        await people.insert_many([{"a": {"b": "x"}, "b": {"c": "x"}}, first, {"a": {"b": "y"}}])
        there = (await people.find_all())[1]
        with pytest.raises(DuplicateKeyError) as caught:
            await people.insert(second)
        error = caught.value
        expected = (fields,) if isinstance(fields, str) else ("a", "b.c")
        assert (error.index, error.fields, error.obj_id, error.position) == (name, expected, there.objId, None)
        assert there.objId in str(error)


async def test_a_document_that_the_call_itself_stored_is_named_by_its_place(open_collection):
    async with open_collection() as people:
        await people.create_index("mail", unique=True)
        documents = [{"mail": str(n)} for n in range(2_000)]
        for position in (1_999, 3):
            with pytest.raises(DuplicateKeyError, match=rf"^Position 2000: .*position {position} of") as caught:
                await people.insert_many([*documents, {"mail": str(position)}])
            assert (caught.value.position, caught.value.obj_id) == (2_000, None)
        with pytest.raises(DuplicateKeyError, match=r"^Request 1 .*document of request 0 has") as caught:
            await people.bulk_write([InsertOne({"mail": "a"}), InsertOne({"mail": "a"})])
        assert (caught.value.position, caught.value.obj_id) == (1, None)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])  # noqa: S301
def test_a_duplicate_keeps_what_it_names_when_it_is_copied(duplicate):
    one = DuplicateKeyError("text", index="a_1", fields=("a",), position=3, obj_id=TAKEN)
    other = duplicate(one)
    assert (str(other), vars(other)) == ("text", vars(one))
    assert vars(one) == {"index": "a_1", "fields": ("a",), "position": 3, "obj_id": TAKEN}


# Duplicates that are skipped.


@pytest.fixture
def open_skipping(cluster, people):
    """Opens a cluster and a collection with two unique indexes and one document."""

    @contextlib.asynccontextmanager
    async def opened():
        await people.create_index("mail", unique=True)
        await people.create_index("tags", unique=True, where={"tags": {"$exists": True}})
        await people.insert({"_objId": TAKEN, "mail": "a", "tags": ["x", "y"]})
        yield (cluster, people)
        await inside.check_whole(cluster)

    return opened


WITH_DUPLICATES = [
    {"mail": "b", "tags": ["1", "2"]},
    {"mail": "a"},
    {"mail": "c", "tags": ["3", "y"]},
    {"mail": "d", "tags": ["4", "4"], "_objId": "OWNOWNOWNOWN"},
    {"mail": "e", "_objId": TAKEN},
    {"mail": "b"},
    {"mail": "c", "tags": "3"},
    {"mail": "f", "_objId": "OWNOWNOWNOWN"},
    {"mail": "g", "tags": [["y"], "2"]},
]
STORED = [0, 3, 6]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("nested", [False, True])
async def test_duplicates_are_skipped_and_reported_and_the_others_stored(open_skipping, kind, nested):
    async with open_skipping() as (cluster, people):
        if nested:
            async with cluster.transaction():
                result = await people.insert_many(kind(WITH_DUPLICATES), skip_duplicates=True)
                await people.insert({"mail": "after"})
            await people.delete_many({"mail": "after"})
        else:
            result = await people.insert_many(kind(WITH_DUPLICATES), skip_duplicates=True)
        first, own, _ = result.inserted_ids
        assert own == "OWNOWNOWNOWN"
        assert result.skipped == [
            SkippedDocument(1, "mail_1", TAKEN),
            SkippedDocument(2, "tags_1", TAKEN),
            SkippedDocument(4, None, TAKEN),
            SkippedDocument(5, "mail_1", first),
            SkippedDocument(7, None, own),
            SkippedDocument(8, "tags_1", first),
        ]
        stored = [{name: value for name, value in WITH_DUPLICATES[at].items() if name != "_objId"} for at in STORED]
        assert (await data(people))[1:] == stored
        assert await people.count_documents({"mail": {"$in": ["e", "f", "g"]}}) == 0
        assert await people.count_documents({"tags": "2"}) == 1


async def test_another_error_still_fails_all(open_skipping):
    async with open_skipping() as (_cluster, people):
        for bad in ({"mail": float("nan")}, {"$set": 1}, {"_objId": "no"}, None):
            with pytest.raises(InvalidDocumentError, match=r"^Position 3: "):
                await people.insert_many([{"mail": "b"}, {"mail": "a"}, {"mail": "c"}, bad], skip_duplicates=True)
        assert len(await data(people)) == 1


async def test_nothing_is_skipped_where_nothing_is_a_duplicate(open_skipping):
    async with open_skipping() as (_cluster, people):
        documents = ({"mail": str(n)} for n in range(3_000))
        result = await people.insert_many(documents, skip_duplicates=True)
        assert (len(result.inserted_ids), result.skipped) == (3_000, [])
        assert (await people.insert_many([{}])).skipped == []
        again = await people.insert_many(({"mail": str(n)} for n in range(3_001)), skip_duplicates=True)
        assert [each.position for each in again.skipped] == list(range(3_000))
        assert [each.obj_id for each in again.skipped] == result.inserted_ids


# What is no id, and what is no method.


@pytest.mark.parametrize("obj_id", [5, None, b"A" * 12, {"name": "Ann"}, ["x"], PoofDocument(objId=TAKEN, data={})])
async def test_what_is_no_text_is_no_id(open_collection, obj_id):
    async with open_collection() as people:
        await people.insert({"_objId": TAKEN, "name": "Ann"})
        calls = {
            "find_one": lambda: people.find_by_id(obj_id),
            "update_one": lambda: people.update(obj_id, {}),
            "delete_one": lambda: people.delete(obj_id),
        }
        for advice, call in calls.items():
            expected = "Pass its objId" if isinstance(obj_id, PoofDocument) else advice
            with pytest.raises(InvalidIdError, match=expected) as caught:
                await call()
            assert isinstance(caught.value, TypeError)
            assert isinstance(caught.value, InvalidQueryError)
        assert await data(people) == [{"name": "Ann"}]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("insert_one", "insert"),
        ("insertOne", "insert"),
        ("insertMany", "insert_many"),
        ("find_many", "find"),
        ("findOne", "find_one"),
        ("count", "count_documents"),
        ("update_by_id", "update"),
        ("delet_one", "delete_one"),
        ("ensure_index", "create_index"),
        ("upsert", "update_one(..., upsert=True)"),
    ],
)
async def test_an_unknown_method_suggests_the_one_that_is_meant(open_collection, name, meant):
    async with open_collection() as people:
        with pytest.raises(AttributeError) as caught:
            getattr(people, name)
        assert f"no attribute {name!r}. Use {meant}" in str(caught.value)
        assert not hasattr(people, name)


@pytest.mark.parametrize("name", ["aggregate", "_private", "__deepcopy__"])
async def test_an_unknown_method_that_resembles_none_suggests_none(open_collection, name):
    async with open_collection() as people:
        with pytest.raises(AttributeError, match=f"{name}'.$"):
            getattr(people, name)


# Transactions that the user did not open.


@pytest.fixture
def impatient(monkeypatch):
    """Every transaction is open for long."""
    inside.tune(monkeypatch, long_transaction=0.0)


@pytest.mark.own_engine
async def test_no_call_warns_of_a_transaction_that_the_user_did_not_open(impatient, people, caplog):
    await people.insert_many([{"n": n} for n in range(2_500)])
    await people.insert_many(later([{"n": n} for n in range(100)]))
    await people.create_index("n")
    await people.bulk_write([UpdateOne({"n": n}, {"$inc": {"m": 1}}) for n in range(200)])
    await people.migrate(lambda data: {**data, "new": 1})
    await people.import_jsonl(f'{{"n": {n}}}' for n in range(1_000))
    assert caplog.records == []
