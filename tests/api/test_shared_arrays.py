"""Positions in paths, several fields of one array, `$comment` and `_id: 0`, through a collection."""

from typing import Any

import pytest
from pydantic import BaseModel

from poof import DuplicateKeyError, InvalidDocumentError, InvalidQueryError

pytestmark = pytest.mark.every_engine

POSITIONS = [
    {"n": 0, "a": [{"s": 5}, {"s": 3}]},
    {"n": 1, "a": [{"s": 4}, {"s": 9}]},
    {"n": 2, "a": [{"t": 1}, {"s": 0}]},
    {"n": 3, "a": {"0": {"s": 6}}},
    {"n": 4},
]
PAIRS = [
    {"n": 0, "a": [{"x": 1, "y": 9}, {"x": 3, "y": 4}]},
    {"n": 1, "a": [{"x": 1, "y": 4}, {"x": 3, "y": 9}]},
    {"n": 2, "a": [{"x": 3, "y": 1}, {"x": 1, "y": 5}, 7]},
    {"n": 3, "a": {"x": 1, "y": 7}},
]


async def numbers(cursor: Any) -> list[int]:
    return [doc.data["n"] for doc in await cursor.to_list()]


@pytest.mark.parametrize("indexed", [False, True])
async def test_a_position_sorts_by_the_element_there(open_collection, indexed):
    async with open_collection() as people:
        await people.insert_many(POSITIONS)
        if indexed:
            await people.create_index("a.0.s")
        assert await numbers(people.find().sort("a.0.s")) == [2, 4, 1, 0, 3]
        assert await numbers(people.find().sort("a.0.s", -1)) == [3, 0, 1, 2, 4]
        assert await people.distinct("a.0.s") == [4, 5, 6]
        assert await numbers(people.find({"a.0.s": {"$gt": 4}})) == [0, 3]
        # A filter sees the name as well, as in MongoDB, so null is there where no element has a field "0".
        assert await numbers(people.find({"a.0.s": None})) == [0, 1, 2, 4]


async def test_a_unique_index_on_a_position_compares_what_is_there(open_collection):
    async with open_collection() as people:
        await people.create_index("a.0.s", unique=True)
        await people.insert_many([{"a": [{"s": 1}, {"s": 2}]}, {"a": [{"s": 2}, {"s": 1}]}, {"a": {"0": {"s": 3}}}])
        for taken in ([{"s": 1}], {"0": {"s": 2}}, [{"s": 3}, 5]):
            with pytest.raises(DuplicateKeyError):
                await people.insert({"a": taken})


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ([("a.x", 1), ("a.y", 1)], [1, 2, 3, 0]),
        ([("a.x", 1), ("a.y", -1)], [0, 3, 2, 1]),
        ([("a.x", -1), ("a.y", 1)], [2, 0, 1, 3]),
        ([("a.x", -1), ("a.y", -1)], [1, 0, 2, 3]),
        ([("a.y", 1), ("a.x", -1)], [2, 0, 1, 3]),
    ],
)
async def test_a_sort_by_two_fields_of_an_array_takes_them_from_one_element(open_collection, sort, expected, indexed):
    async with open_collection() as people:
        await people.insert_many(PAIRS)
        if indexed:
            await people.create_index(sort)
        assert await numbers(people.find().sort(sort)) == expected
        assert await numbers(people.find().sort(sort).limit(2)) == expected[:2]


async def test_pushed_elements_sort_by_two_fields_of_an_array_inside_them(open_collection):
    async with open_collection() as people:
        await people.insert({"all": []})
        await people.update_one({}, {"$push": {"all": {"$each": PAIRS, "$sort": {"a.x": 1, "a.y": -1}}}})
        assert [item["n"] for item in (await people.find_one()).data["all"]] == [0, 3, 2, 1]


@pytest.mark.own_engine
async def test_an_index_on_two_fields_of_an_array_finds_both_in_one_element(open_collection):
    async with open_collection() as people:
        await people.insert_many(PAIRS)
        await people.create_index(["a.x", "a.y"])
        one = people.find({"a": {"$elemMatch": {"x": 1, "y": 4}}})
        assert await numbers(one) == [1]
        assert (await one.explain()).documents_examined == 1
        several = people.find({"a.x": 1, "a.y": 4})
        assert await numbers(several) == [0, 1]
        how = await several.explain()
        assert (how.index, how.documents_examined) == ("a.x_1_a.y_1", 4)


@pytest.mark.own_engine
async def test_an_index_on_two_fields_of_a_document_uses_both_though_one_has_an_array(open_collection):
    async with open_collection() as people:
        await people.insert_many([{"pet": {"kind": "cat", "tags": [number, "x"]}} for number in range(5)])
        await people.create_index(["pet.kind", "pet.tags"])
        how = await people.find({"pet.kind": "cat", "pet.tags": 3}).explain()
        assert (how.index, how.documents_examined) == ("pet.kind_1_pet.tags_1", 1)


@pytest.mark.own_engine
async def test_an_index_learns_that_its_fields_share_an_array_and_forgets_it(open_collection):
    async with open_collection() as people:

        async def examined():
            found = people.find({"a.x": 1, "a.y": 2})
            assert len(await found.to_list()) == 1 + bool(shared)
            return (await found.explain()).documents_examined

        shared = None
        await people.create_index(["a.x", "a.y"])
        await people.insert_many([{"a": {"x": [1], "y": 2}}, {"a": {"x": 1, "y": 3}}])
        assert await examined() == 1
        shared = await people.insert({"a": [{"x": 1}, {"y": 2}]})
        assert await examined() == 3
        await people.delete(shared.objId)
        shared = None
        assert await examined() == 1


async def test_a_unique_index_on_two_fields_of_an_array_compares_pairs(open_collection):
    async with open_collection() as people:
        await people.create_index(["a.x", "a.y"], unique=True)
        await people.insert({"a": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]})
        await people.insert({"a": [{"x": 1, "y": 4}, {"x": 3, "y": 2}]})
        with pytest.raises(DuplicateKeyError):
            await people.insert({"a": [{"x": 5, "y": 6}, {"x": 3, "y": 4}]})
        with pytest.raises(InvalidDocumentError, match=r"fields a\.x and a\.y"):
            await people.insert({"a": [{"x": [7], "y": [8]}]})


COMMENTED: list[dict[str, Any]] = [
    {"$comment": "why", "n": 1},
    {"n": 1, "$comment": {"any": b"thing"}},
    {"$and": [{"n": 1, "$comment": 5}, {"$comment": None}]},
    {"$or": [{"$comment": "why", "n": 1}, {"n": 7}]},
    {"$nor": [{"n": {"$ne": 1}, "$comment": "why"}]},
    {"n": 1, "a": {"$elemMatch": {"$comment": "why", "x": 1}}},
    {"n": 1, "a": {"$elemMatch": {"$comment": "why"}}},
]


@pytest.mark.parametrize("wanted", COMMENTED, ids=repr)
async def test_a_comment_changes_nothing(open_collection, wanted):
    async with open_collection() as people:
        await people.insert_many(PAIRS)
        assert await numbers(people.find(wanted)) == [1]
        assert (await people.update_many(wanted, {"$set": {"seen": True}})).matched_count == 1
        assert (await people.delete_many(wanted)).deleted_count == 1


async def test_a_comment_alone_finds_everything(open_collection):
    async with open_collection() as people:
        await people.insert_many(PAIRS)
        assert await people.count_documents({"$comment": "all of them"}) == len(PAIRS)


@pytest.mark.own_engine
async def test_comments_stand_in_array_filters_pulls_upserts_projections_and_partial_indexes(open_collection):
    async with open_collection() as people:
        await people.insert({"a": [{"x": 1}, {"x": 2}, [3]]})
        filters = [{"e.x": 2, "$comment": "the second"}]
        await people.update_one({"$comment": 1}, {"$set": {"a.$[e].y": 5}}, array_filters=filters)
        assert (await people.find_one()).data["a"] == [{"x": 1}, {"x": 2, "y": 5}, [3]]
        shown = await people.find_one({}, {"a": {"$elemMatch": {"y": 5, "$comment": "why"}}})
        assert shown.data == {"a": [{"x": 2, "y": 5}]}
        await people.update_one({}, {"$pull": {"a": {"x": 1, "$comment": "the first"}}})
        assert (await people.find_one()).data["a"] == [{"x": 2, "y": 5}, [3]]
        await people.update_one({"n": 8, "$comment": "new"}, {"$set": {"m": 9}}, upsert=True)
        assert (await people.find_one({"n": 8})).data == {"n": 8, "m": 9}
        await people.create_index("n", where={"m": 9, "$comment": "a few"})
        assert (await people.find({"n": 8, "m": 9, "$comment": "not the same"}).explain()).index == "n_1"


@pytest.mark.parametrize("wanted", [{"a": {"$comment": "x"}}, {"a": {"$gt": 1, "$comment": "x"}}])
async def test_a_comment_is_no_operator_of_a_field(open_collection, wanted):
    async with open_collection() as people:
        with pytest.raises(InvalidQueryError, match=r"\$comment of the field 'a' is not possible: it stands beside"):
            await people.find(wanted).to_list()


async def test_pull_by_fields_removes_documents_and_no_arrays(open_collection):
    async with open_collection() as people:
        await people.insert({"a": [[9], {"b": 2}, {"b": 1}, 9]})
        await people.update_one({}, {"$pull": {"a": {"b": {"$ne": 1}}}})
        assert (await people.find_one()).data["a"] == [[9], {"b": 1}, 9]


class Animal(BaseModel):
    name: str = ""
    age: int = 0


@pytest.mark.parametrize("model", [None, Animal])
async def test_a_projection_may_leave_out_both_ids(open_collection, model):
    async with open_collection(model=model) as animals:
        await animals.insert({"name": "Tom", "age": 3})
        for without in ({"_id": 0}, {"_objId": 0}, {"_objId": False, "_id": 0}):
            assert (await animals.find_one({}, {"name": 1, **without})).data == {"name": "Tom"}
            assert (await animals.find_one({}, {"age": 0, **without})).data == {"name": "Tom"}
            found = await animals.find_one({}, without)
            assert found.data == {"name": "Tom", "age": 3}
            assert found.objId
