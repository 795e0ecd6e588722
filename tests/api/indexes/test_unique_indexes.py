"""Unique indexes: no two documents have the same values, whichever way they would have got them."""

import asyncio
import contextlib

import pytest

from poof import DeleteMany, DuplicateKeyError, InsertOne, UpdateOne
from poof.errors import PoofError
from tests.support.people import KEY, PROGRAM, open_people

pytestmark = pytest.mark.every_engine

SAME = [
    ({"a": 1}, {"a": 1}),
    ({"a": 1}, {"a": 1.0}),
    ({"a": 0.0}, {"a": -0.0}),
    ({"a": "x"}, {"a": "x"}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1.0, "c": 2}}),
    ({"a": True}, {"a": True}),
    ({"a": None}, {"a": None}),
    ({}, {"a": None}),
    ({}, {"b": 1}),
    ({"a": [1, 2]}, {"a": [3, 2]}),
    ({"a": [1, 2]}, {"a": 2}),
    ({"a": 2}, {"a": [1, 2]}),
    ({"a": [None]}, {}),
    ({"a": []}, {"a": []}),
    ({"a": [[1]]}, {"a": [[1]]}),
    ({"a": [{"b": 1}]}, {"a": {"b": 1}}),
    ({"a": "\x00"}, {"a": "\x00"}),
]
DIFFERENT = [
    ({"a": 1}, {"a": True}),
    ({"a": 0}, {"a": False}),
    ({"a": 1}, {"a": "1"}),
    ({"a": 2**53}, {"a": 2**53 + 1}),
    ({"a": 2.0**53}, {"a": 2**53 + 1}),
    ({"a": "x"}, {"a": "X"}),
    ({"a": "x"}, {"a": "x\x00"}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}),
    ({"a": {}}, {"a": None}),
    ({"a": []}, {"a": None}),
    ({"a": []}, {"a": [[]]}),
    ({"a": [1, 2]}, {"a": [3, 4]}),
    ({"a": [[1]]}, {"a": [1]}),
    ({"a": [1, 1]}, {"a": [2, 2]}),
]


@pytest.mark.parametrize("built", ["before", "after"])
@pytest.mark.parametrize(("first", "second"), SAME)
async def test_the_same_value_is_refused(open_collection, first, second, built):
    async with open_collection() as people:
        if built == "before":
            await people.create_index("a", unique=True)
        await people.insert(first)
        with pytest.raises(DuplicateKeyError, match="'a_1'"):
            if built == "before":
                await people.insert(second)
            else:
                await people.insert(second)
                await people.create_index("a", unique=True)
        assert await people.count_documents() == (1 if built == "before" else 2)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
async def test_another_value_is_not_refused(open_collection, first, second):
    async with open_collection() as people:
        await people.create_index("a", unique=True)
        await people.insert(first)
        await people.insert(second)
        assert [doc.data for doc in await people.find_all()] == [first, second]


WRITES = {
    "insert": lambda people, ids: people.insert({"name": "A", "n": 9}),
    "insert_many": lambda people, ids: people.insert_many([{"name": "C"}, {"name": "D"}, {"name": "A"}, {"name": "E"}]),
    "insert_many of equals": lambda people, ids: people.insert_many([{"name": "C"}, {"name": "C"}]),
    "insert_many of many": lambda people, ids: people.insert_many(
        [*({"name": str(n)} for n in range(1500)), {"name": "A"}]
    ),
    "update": lambda people, ids: people.update(ids[1], {"name": "A"}),
    "update_one": lambda people, ids: people.update_one({"name": "B"}, {"$set": {"name": "A"}}),
    "update_many": lambda people, ids: people.update_many({}, {"$set": {"name": "C"}}),
    "update_many of null": lambda people, ids: people.update_many({}, {"$unset": {"name": ""}}),
    "replace_one": lambda people, ids: people.replace_one({"name": "B"}, {"name": "A"}),
    "upsert": lambda people, ids: people.update_one({"n": 9}, {"$set": {"name": "A"}}, upsert=True),
    "upsert by replacement": lambda people, ids: people.replace_one({"n": 9}, {"name": "A"}, upsert=True),
    "find_one_and_update": lambda people, ids: people.find_one_and_update({"name": "B"}, {"$set": {"name": "A"}}),
    "find_one_and_replace": lambda people, ids: people.find_one_and_replace({"name": "B"}, {"name": "A"}),
    "bulk_write": lambda people, ids: people.bulk_write(
        [InsertOne({"name": "C"}), UpdateOne({"name": "B"}, {"$set": {"name": "C"}})]
    ),
    "migrate": lambda people, ids: people.migrate(lambda data: {"name": "C"}),
    "a large insert": lambda people, ids: people.insert({"name": "A", "text": "x" * 200_000}),
    "a large update": lambda people, ids: people.update_one(
        {"name": "B"}, {"$set": {"name": "A", "text": "x" * 200_000}}
    ),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in a transaction"])
async def test_a_refused_write_changes_nothing_and_names_index_and_field(cluster, people, name, nested):
    await people.create_index("name", unique=True, name="names")
    await people.create_index("n")
    documents = [{"name": "A", "n": 1}, {"name": "B", "n": 2}]
    ids = (await people.insert_many(documents)).inserted_ids
    async with cluster.transaction() if nested else contextlib.nullcontext():
        if nested:
            await people.insert({"name": "in it"})
            documents.append({"name": "in it"})
        with pytest.raises(DuplicateKeyError) as error:
            await WRITES[name](people, ids)
        assert "'names'" in str(error.value)
        assert "the same value of the field 'name'" in str(error.value)
        assert (error.value.index, error.value.fields) == ("names", ("name",))
        assert "Nothing was changed." in str(error.value)
        assert [doc.data for doc in await people.find_all()] == documents
    assert [doc.data for doc in await people.find_all()] == documents
    assert [await people.count_documents(document) for document in documents] == [1] * len(documents)
    assert await people.count_documents({"name": {"$in": ["C", "D", "0", None]}}) == 0


async def test_the_error_is_one_of_ours_and_a_value_error(open_collection):
    async with open_collection() as people:
        await people.create_index("name", unique=True)
        await people.insert({})
        with pytest.raises(ValueError, match="unique") as error:
            await people.insert({})
        assert isinstance(error.value, PoofError)
        assert error.value.__cause__ is None  # nothing of SQLite


@pytest.mark.parametrize(
    ("second", "is_refused"),
    [
        ({"a": 1, "b": 1}, True),
        ({"a": 1, "b": 2}, False),
        ({"a": 2, "b": 1}, False),
        ({"a": 1, "b": [0, 1]}, True),
        ({"a": [1, 2], "b": 1}, True),
        ({"a": [2, 3], "b": 1}, False),
        ({"a": 1}, False),
    ],
)
async def test_a_compound_index_compares_all_its_fields(open_collection, second, is_refused):
    async with open_collection() as people:
        await people.create_index([("a", 1), ("b", -1)], unique=True)
        await people.insert({"a": 1, "b": 1})
        if is_refused:
            with pytest.raises(DuplicateKeyError, match=r"'a_1_b_-1'.* values of the fields 'a', 'b'\."):
                await people.insert(second)
        else:
            await people.insert(second)
            assert await people.count_documents() == 2


async def test_the_elements_of_an_array_of_documents_are_compared(open_collection):
    async with open_collection() as people:
        await people.create_index("users.mail", unique=True)
        await people.insert({"users": [{"mail": "a"}, {"mail": "b"}]})
        with pytest.raises(DuplicateKeyError):
            await people.insert({"users": [{"mail": "c"}, {"mail": "b"}]})
        with pytest.raises(DuplicateKeyError):
            await people.insert({"users": {"mail": "a"}})
        await people.insert({"users": [{"mail": "c"}, {"mail": "c"}]})  # one document is free to repeat itself


async def test_a_partial_index_refuses_only_what_it_lists(open_collection):
    async with open_collection() as people:
        await people.create_index("mail", unique=True, where={"active": True})
        await people.insert_many([{"mail": "a"}, {"mail": "a", "active": False}, {"mail": "a", "active": True}])
        with pytest.raises(DuplicateKeyError):
            await people.insert({"mail": "a", "active": True})
        with pytest.raises(DuplicateKeyError):
            await people.update_one({"active": False}, {"$set": {"active": True}})
        await people.update_one({"active": True}, {"$set": {"active": False}})
        await people.update_one({"active": False}, {"$set": {"active": True}})
        assert await people.count_documents({"mail": "a", "active": True}) == 1


async def test_a_value_is_free_again_when_its_document_lets_go_of_it(people):
    await people.create_index("name", unique=True)
    doc = await people.insert({"name": "A"})
    await people.update(doc.objId, {"name": "B"})
    other = await people.insert({"name": "A"})
    await people.delete(other.objId)
    await people.insert({"name": "A"})
    await people.update_one({"name": "A"}, {"$set": {"n": 1}})  # and a document may keep its own
    await people.replace_one({"name": "A"}, {"name": "A", "n": 2})
    await people.delete_many({})
    await people.insert_many([{"name": "A"}, {"name": "B"}])


async def test_values_may_be_exchanged_through_a_third(open_collection):
    async with open_collection() as people:
        await people.create_index("name", unique=True)
        await people.insert_many([{"name": "A", "n": 1}, {"name": "B", "n": 2}])
        await people.bulk_write(
            [
                UpdateOne({"n": 1}, {"$set": {"name": "-"}}),
                UpdateOne({"n": 2}, {"$set": {"name": "A"}}),
                UpdateOne({"n": 1}, {"$set": {"name": "B"}}),
            ]
        )
        assert [doc.data["name"] for doc in await people.find_all()] == ["B", "A"]


async def test_a_transaction_goes_on_after_a_refusal(cluster, people):
    await people.create_index("name", unique=True)
    await people.insert({"name": "A"})
    async with cluster.transaction():
        await people.insert({"name": "B"})
        for write in (people.insert({"name": "B"}), people.insert_many([{"name": "C"}, {"name": "B"}])):
            with pytest.raises(DuplicateKeyError):
                await write
        await people.insert({"name": "C"})
    assert [doc.data["name"] for doc in await people.find_all()] == ["A", "B", "C"]


async def test_a_rollback_frees_the_values(cluster, people):
    await people.create_index("name", unique=True)
    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            await people.insert({"name": "A"})
            raise ZeroDivisionError
    await people.insert({"name": "A"})
    assert await people.count_documents({"name": "A"}) == 1


async def test_writes_of_one_commit_refuse_each_other(people):
    await people.create_index("name", unique=True)
    writes = [people.insert({"name": name}) for name in "ABACB"]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results].count(DuplicateKeyError) == 2
    assert sorted(doc.data["name"] for doc in await people.find_all()) == ["A", "B", "C"]


async def test_several_unique_indexes_all_hold(open_collection):
    async with open_collection() as people:
        await people.create_index("a", unique=True)
        await people.create_index("b", unique=True)
        await people.insert({"a": 1, "b": 1})
        with pytest.raises(DuplicateKeyError, match="'b_1'"):
            await people.insert({"a": 2, "b": 1})
        await people.insert({"a": 2, "b": 2})  # the refused one has left no value behind
        await people.bulk_write([DeleteMany({"a": 1}), InsertOne({"a": 1, "b": 1})])


@pytest.mark.parametrize("documents", [[{"a": 1}, {"a": 1.0}], [{}, {"a": None}], [{"a": [1, 2]}, {"a": [2, 3]}]])
async def test_an_index_over_duplicates_is_not_created(people, documents):
    await people.insert_many([{"a": "first"}, *documents])
    with pytest.raises(DuplicateKeyError, match=r"^Document \w+: The index 'a_1'.* document \w+ has") as error:
        await people.create_index("a", unique=True)
    assert (await people.find_by_id(error.value.obj_id)).data == documents[0]
    assert await people.list_indexes() == []
    await people.insert(documents[0])
    assert (await people.find(documents[0]).explain()).index is None
    await people.create_index("a")  # its name is free
    assert await people.count_documents({"a": "first"}) == 1


async def test_another_process_is_refused_as_well(path, run_python):
    code = """
    async def main():
        cluster, people = await open_people()
        try:
            await people.insert({"name": "A"})
        except DuplicateKeyError as error:
            print(error)
        await people.insert({"name": "B"})
        await cluster.close()
    asyncio.run(main())
    """
    cluster, people = await open_people(path)
    async with cluster:
        await people.create_index("name", unique=True)
        await people.insert({"name": "A"})
        program = PROGRAM + code.replace("\n    ", "\n")
        output = run_python(program, path, KEY, cwd=path.parent)
        assert "'name_1'" in output
        assert "the same value of the field 'name'" in output
        with pytest.raises(DuplicateKeyError):
            await people.insert({"name": "B"})
