"""Indexes through the collection: what they may be, and how they are made and dropped."""

import asyncio
import threading
from datetime import timedelta

import pytest

from poof import IndexInfo, InvalidDocumentError, InvalidNameError, InvalidQueryError, LimitError
from tests.support.index_entries import check_entries, tables
from tests.support.inside import check_whole

pytestmark = pytest.mark.every_engine

MANY = [{"n": n, "tags": [n % 7, n % 11], "name": f"name {n % 100}"} for n in range(20_000)]


async def on_thread(people, function):
    """Makes a call on the connection that writes."""
    return await people._engine._calls._writer.exclusive(function)


async def found(people, filter_, sort=None):
    cursor = people.find(filter_)
    return [doc.data["n"] for doc in await (cursor if sort is None else cursor.sort(sort)).to_list()]


async def index_used(people, filter_, sort=None):
    cursor = people.find(filter_)
    return (await (cursor if sort is None else cursor.sort(sort)).explain()).index


# Definitions.


@pytest.mark.parametrize(
    ("fields", "name", "expected"),
    [
        ("a", "a_1", [("a", 1)]),
        (["a", "b"], "a_1_b_1", [("a", 1), ("b", 1)]),
        ([("city", 1), ("age", -1)], "city_1_age_-1", [("city", 1), ("age", -1)]),
        ({"a.b": -1}, "a.b_-1", [("a.b", -1)]),
        ("a.0.ü", "a.0.ü_1", [("a.0.ü", 1)]),
    ],
)
async def test_an_index_is_named_after_its_fields(people, fields, name, expected):
    assert await people.create_index(fields) == name
    assert await people.list_indexes() == [IndexInfo(name, expected)]


async def test_the_list_says_all_about_an_index(people):
    await people.insert({"tags": ["x"]})
    await people.create_index("b", name="z", unique=True, where={"a": {"$gt": 1}})
    await people.create_index("tags", name="x")
    assert await people.list_indexes() == [
        IndexInfo("x", [("tags", 1)], multikey=True),
        IndexInfo("z", [("b", 1)], unique=True, where={"a": {"$gt": 1}}),
    ]


@pytest.mark.own_engine
async def test_the_list_says_when_documents_expire(open_collection):
    async with open_collection() as people:
        await people.create_index("t", expire_after=timedelta(days=2, microseconds=5))
        assert await people.list_indexes() == [
            IndexInfo("t_1", [("t", 1)], expire_after=timedelta(days=2, microseconds=5))
        ]


async def test_the_very_same_index_is_created_once(people):
    for _ in range(2):
        assert await people.create_index("a", unique=True, where={"b": 1}) == "a_1"
    assert len(await people.list_indexes()) == 1


@pytest.mark.parametrize(
    "other",
    [{"fields": "b"}, {"fields": [("a", -1)]}, {"fields": "a", "unique": True}, {"fields": "a", "where": {"b": 1}}],
)
async def test_another_index_of_the_same_name_is_refused(open_collection, other):
    async with open_collection() as people:
        await people.create_index("a", name="mine")
        with pytest.raises(InvalidQueryError, match="another index 'mine'"):
            await people.create_index(**other, name="mine")
        assert await people.list_indexes() == [IndexInfo("mine", [("a", 1)])]


async def test_the_same_index_under_another_name_is_refused(open_collection):
    async with open_collection() as people:
        await people.create_index("a")
        with pytest.raises(InvalidQueryError, match="'a_1'"):
            await people.create_index("a", name="mine")


@pytest.mark.parametrize(
    "wrong",
    [
        {"fields": ""},
        {"fields": []},
        {"fields": {}},
        {"fields": 5},
        {"fields": ["a", "a"]},
        {"fields": [("a", 2)]},
        {"fields": [("a", True)]},
        {"fields": "a..b"},
        {"fields": "$a"},
        {"fields": "_objId"},
        {"fields": "_objId.x"},
        {"fields": "a", "where": {"_objId": "x"}},
        {"fields": "a", "where": {"$or": [{"b": 1}, {"_objId": "x"}]}},
        {"fields": "a", "where": {"b": {"$unknown": 1}}},
        {"fields": "a", "where": 5},
        {"fields": "a", "expire_after": timedelta(seconds=-1)},
        {"fields": "a", "expire_after": 60},
        {"fields": "a", "expire_after": timedelta.max},
        {"fields": ["a", "b"], "expire_after": timedelta(1)},
        {"fields": {"a": -1}, "expire_after": timedelta(1)},
    ],
    ids=str,
)
async def test_a_wrong_definition_is_refused(open_collection, wrong):
    async with open_collection() as people:
        with pytest.raises(InvalidQueryError):
            await people.create_index(**wrong)
        assert await people.list_indexes() == []


@pytest.mark.parametrize("name", ["", "x" * 256, 5, "\ud800"])
async def test_a_wrong_name_is_refused(open_collection, name):
    async with open_collection() as people:
        with pytest.raises(InvalidNameError):
            await people.create_index("a", name=name)


async def test_a_name_is_never_part_of_sql(open_collection):
    async with open_collection() as people:
        for name in ("'", '"; DROP TABLE indexes; --', "a\x00b", "😀", "x" * 255):
            assert await people.create_index(f"f{len(name)}", name=name) == name
            assert await people.drop_index(name)
        assert await people.list_indexes() == []


@pytest.mark.own_engine
async def test_a_collection_has_64_indexes_at_most(open_collection):
    async with open_collection() as people:
        for n in range(64):
            await people.create_index(f"f{n}")
        with pytest.raises(LimitError, match="64"):
            await people.create_index("one more")
        await people.create_index("f0")  # which is there
        assert await people.drop_index("f0_1")
        await people.create_index("one more")
        await people.insert({f"f{n}": n for n in range(64)})
        assert await index_used(people, {"f63": 63}) == "f63_1"


@pytest.mark.own_engine
async def test_a_dropped_index_is_gone(people):
    await people.insert_many([{"n": n} for n in range(5)])
    await people.create_index("n")
    assert await found(people, {"n": 3}) == [3]
    assert await people.drop_index("n_1")
    assert not await people.drop_index("n_1")
    assert await found(people, {"n": 3}) == [3]
    assert await index_used(people, {"n": 3}) is None
    assert await on_thread(people, tables) == []
    await people.create_index("n", unique=True)
    assert await index_used(people, {"n": 3}) == "n_1"


# Creation.


async def test_progress_is_told_on_the_event_loop(people):
    await people.insert_many(MANY[:1_100])
    calls = []
    await people.create_index("n", progress=lambda *args: calls.append((*args, threading.current_thread())))
    assert {tuple(rest) for _, *rest in calls} == {(1_100, "documents", threading.main_thread())}
    done = [done for done, *_ in calls]
    assert done == sorted(set(done))
    assert done[-1] == 1_100


@pytest.mark.own_engine
async def test_a_large_index_is_created_while_the_loop_runs(people):
    await people.insert_many(MANY)
    creating = asyncio.create_task(people.create_index("tags"))
    turns = 0
    while not creating.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 20
    assert await creating == "tags_1"
    assert await people.count_documents({"tags": 3}) == sum(3 in each["tags"] for each in MANY)
    assert await on_thread(people, check_entries) > len(MANY)


async def test_what_is_written_while_an_index_is_created_is_in_it(people):
    await people.insert_many(MANY[:2_000])
    progress = asyncio.Event()
    creating = asyncio.create_task(people.create_index("n", progress=lambda *_: progress.set()))
    await progress.wait()
    await asyncio.gather(people.insert({"n": -1}), people.delete_many({"n": 5}), creating)
    assert await found(people, {"n": {"$lt": 7}}) == [0, 1, 2, 3, 4, 6, -1]
    await check_whole(people)


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_a_creation_that_is_cancelled_leaves_nothing(cluster, people, inside):
    await people.insert_many(MANY)

    async def create():
        if not inside:
            return await people.create_index("n", progress=lambda *_: creating.cancel())
        async with cluster.transaction():
            await people.insert({"n": -1})
            await people.create_index("n", progress=lambda *_: creating.cancel())

    creating = asyncio.create_task(create())
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert await people.list_indexes() == []
    assert await people.count_documents() == len(MANY)
    await check_whole(people)
    assert await people.create_index("n") == "n_1"
    await people.insert({"n": -5})
    assert await found(people, {"n": {"$lt": 2}}, "n") == [-5, 0, 1]


@pytest.mark.own_engine
async def test_an_index_of_a_transaction_that_rolls_back_is_gone(cluster, people):
    await people.insert_many([{"n": n} for n in range(5)])
    await people.create_index("a")
    with pytest.raises(ZeroDivisionError):
        async with cluster.transaction():
            await people.create_index("n", unique=True)
            await people.drop_index("a_1")
            await people.insert({"n": 5})
            assert await index_used(people, {"n": 5}) == "n_1"
            assert await found(people, {"n": 5}) == [5]
            raise ZeroDivisionError
    assert [index.name for index in await people.list_indexes()] == ["a_1"]
    assert await found(people, {"n": {"$gt": 3}}) == [4]
    await people.insert({"n": 4, "a": 1})
    assert await found(people, {"a": 1}) == [4]
    await check_whole(people)


@pytest.mark.own_engine
async def test_an_index_of_a_transaction_that_commits_stays(cluster, people):
    async with cluster.transaction():
        await people.insert({"n": 1})
        await people.create_index("n")
        await people.insert({"n": 2})
    assert await index_used(people, {"n": 2}) == "n_1"
    assert await found(people, {"n": {"$gt": 0}}) == [1, 2]


PARALLEL = {"a": [1, 2], "b": [3, 4]}


async def test_arrays_in_two_fields_of_an_index_are_refused(people):
    await people.create_index(["a", "b"])
    await people.insert({"a": [1], "b": 1})
    await people.insert({"a": 1, "b": [1]})
    for write in (
        people.insert(PARALLEL),
        people.insert_many([{"a": 3}, PARALLEL]),
        people.update_many({}, {"$set": PARALLEL}),
        people.update_one({"a": 1}, {"$set": {"a": [], "b": []}}),
    ):
        with pytest.raises(InvalidDocumentError, match=r"fields a and b.*Nothing was changed"):
            await write
    assert [doc.data for doc in await people.find_all()] == [{"a": [1], "b": 1}, {"a": 1, "b": [1]}]
    await check_whole(people)


async def test_an_index_over_parallel_arrays_is_not_created(open_collection):
    async with open_collection() as people:
        await people.insert(PARALLEL)
        with pytest.raises(InvalidDocumentError, match="fields a and b"):
            await people.create_index(["a", "b"])
        assert await people.list_indexes() == []
        await people.create_index(["a", "b"], where={"c": 1})  # which does not list it
