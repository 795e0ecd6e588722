"""Reading with filters: cursors and the calls beside them, on file and in memory, inside and outside transactions."""

import asyncio
import datetime
import decimal
import enum
import gc
import pathlib
import re
import uuid

import pytest
from pydantic import BaseModel

from poof import F, PoofCluster, PoofDocument

pytestmark = pytest.mark.every_engine

UTC = datetime.UTC

PEOPLE = [
    {"name": "Alice", "age": 25, "city": "Paris", "tags": ["a", "b"], "pet": {"kind": "cat", "age": 3}},
    {"name": "Bob", "age": 31, "city": "Rome", "tags": []},
    {"name": "Carol", "age": 42, "city": "Paris", "tags": ["b", "c"], "pet": {"kind": "dog", "age": 9}},
    {"name": "Dave", "age": None, "city": "Oslo"},
    {"name": "Erin", "city": "Rome", "tags": "b", "pet": {"kind": "cat"}},
]


class Place(BaseModel):
    city: str


class Color(enum.Enum):
    RED = "red"


@pytest.fixture
def some_people(filled):
    """Opens a collection of the documents above, or others."""
    return lambda documents=PEOPLE: filled(documents)


def names(documents):
    return [document.data["name"][0] for document in documents]


CURSORS = {
    "everything": (lambda people: people.find(), "ABCDE"),
    "an empty filter": (lambda people: people.find({}), "ABCDE"),
    "a filter": (lambda people: people.find({"city": "Paris"}), "AC"),
    "a filter that finds nothing": (lambda people: people.find({"city": "Bern"}), ""),
    "a built filter": (lambda people: people.find((F.age > 30) | (F.pet.kind == "cat")), "ABCE"),
    "an array": (lambda people: people.find({"tags": "b"}), "ACE"),
    "null": (lambda people: people.find({"age": None}), "DE"),
    "a sort": (lambda people: people.find().sort("name", -1), "EDCBA"),
    "equal documents in the order of insertion": (lambda people: people.find().sort("city"), "DACBE"),
    "also descending": (lambda people: people.find().sort("city", -1), "BEACD"),
    "missing and null first": (lambda people: people.find().sort("age"), "DEABC"),
    "two fields": (lambda people: people.find().sort([("city", -1), ("name", -1)]), "EBCAD"),
    "two fields as a dict": (lambda people: people.find().sort({"city": 1, "age": -1}), "DCABE"),
    "names alone": (lambda people: people.find().sort(["city", "name"]), "DACBE"),
    "an inner field": (lambda people: people.find({"pet": {"$exists": True}}).sort("pet.age", -1), "CAE"),
    "the last sort counts": (lambda people: people.find().sort("city").sort("name", -1), "EDCBA"),
    "skip": (lambda people: people.find().skip(3), "DE"),
    "skip everything": (lambda people: people.find().skip(5), ""),
    "limit": (lambda people: people.find().limit(2), "AB"),
    "limit 0 is no limit": (lambda people: people.find().limit(2).limit(0), "ABCDE"),
    "a page of a sort": (lambda people: people.find().sort("name", -1).skip(1).limit(2), "DC"),
    "a page of a filter": (lambda people: people.find({"tags": "b"}).skip(1).limit(1), "C"),
    "a page of a sorted filter": (lambda people: people.find({"tags": "b"}).sort("name", -1).skip(1).limit(1), "C"),
    "a page of what Python decides": (lambda people: people.find({"name": re.compile("[ace]")}).skip(1).limit(2), "CD"),
    "the order of the calls does not count": (lambda people: people.find().limit(2).skip(1).sort("name", -1), "DC"),
    "numbers beyond 64 bits": (lambda people: people.find().sort("name").limit(2**64), "ABCDE"),
    "a skip beyond 64 bits": (lambda people: people.find().sort("name").skip(2**63).limit(2**63), ""),
}


@pytest.mark.parametrize("name", CURSORS)
async def test_a_cursor_gives_the_same_in_every_way(some_people, name):
    make, expected = CURSORS[name]
    async with some_people() as people:
        assert "".join(names(await make(people).to_list())) == expected
        assert "".join(names([document async for document in make(people)])) == expected
        assert await make(people).count() == len(expected)
        assert (await make(people).explain()).returned == len(expected)
        first = await make(people).first()
        assert (first and first.data["name"][0]) == (expected[0] if expected else None)
        for n in (0, 1, 3, 2**64):
            assert "".join(names(await make(people).to_list(n))) == expected[:n]


@pytest.mark.parametrize("name", CURSORS)
async def test_an_index_changes_no_answer(people, name):
    make, expected = CURSORS[name]
    await people.insert_many(PEOPLE)
    for fields in ("city", "name", "tags", [("city", -1), ("name", 1)], "age", "pet.age"):
        await people.create_index(fields)
    assert "".join(names(await make(people).to_list())) == expected
    assert await make(people).count() == len(expected)


async def test_the_calls_beside_find(some_people):
    async with some_people() as people:
        assert (await people.find_one()).data == PEOPLE[0]
        assert (await people.find_one({"city": "Rome"}, sort={"name": -1})).data == PEOPLE[4]
        assert (await people.find_one({"city": "Rome"}, ["name"], sort="name")).data == {"name": "Bob"}
        assert await people.find_one({"city": "Bern"}) is None
        assert await people.count_documents() == await people.estimated_document_count() == 5
        assert await people.count_documents({"tags": "b"}) == 3
        assert await people.count_documents({"name": re.compile("^[AB]")}) == 2
        assert await people.exists()
        assert await people.exists({"pet.kind": "dog"})
        assert not await people.exists({"pet.kind": "cow"})


async def test_an_empty_collection(some_people):
    async with some_people([]) as people:
        assert await people.find().to_list() == [doc async for doc in people.find()] == []
        assert await people.find_one() is None
        assert await people.find().first() is None
        assert await people.count_documents() == await people.estimated_document_count() == 0
        assert not await people.exists()
        assert await people.distinct("name") == []


async def test_distinct(some_people):
    numbers = [{"n": 1}, {"n": 1.0}, {"n": [2, [3], 1]}, {"n": None}, {"n": True}, {}, {"n": {"b": 1}}, {"n": "x"}]
    async with some_people(numbers) as people:
        assert await people.distinct("n") == [None, 1, 2, "x", {"b": 1}, [3], True]
        assert await people.distinct("n", {"n": {"$type": "number"}}) == [1, 2, [3]]
        assert await people.distinct("n.b") == [1]
        assert await people.distinct("missing") == []
        ids = [document.objId for document in await people.find_all()]
        assert await people.distinct("_objId") == sorted(ids)
        assert await people.distinct("_objId", {"_objId": ids[3]}) == [ids[3]]


async def test_distinct_is_the_same_with_an_index(people):
    await people.insert_many([{"n": [n % 7, n % 3]} for n in range(100)] + [{}, {"n": None}])
    without = await people.distinct("n")
    await people.create_index("n")
    assert await people.distinct("n") == without == [None, 0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        (None, PEOPLE[0]),
        ({}, PEOPLE[0]),
        (["name", "age"], {"name": "Alice", "age": 25}),
        ({"age": True, "name": 1}, {"name": "Alice", "age": 25}),
        ({"pet": 0, "tags": False, "city": 0}, {"name": "Alice", "age": 25}),
        (["pet.kind"], {"pet": {"kind": "cat"}}),
        ({"tags": {"$slice": 1}, "pet": 0, "age": 0, "city": 0}, {"name": "Alice", "tags": ["a"]}),
        ({"tags": {"$elemMatch": {"$gt": "a"}}}, {"tags": ["b"]}),
        ([], {}),
        (["_objId"], {}),
    ],
)
async def test_a_projection_says_which_fields_are_given(some_people, projection, expected):
    async with some_people() as people:
        [whole] = await people.find({"name": "Alice"}).to_list()
        [document] = await people.find({"name": "Alice"}, projection).to_list()
        assert document == PoofDocument(objId=whole.objId, data=expected)
        assert [document] == [each async for each in people.find({"name": "Alice"}, projection)]
        assert document == await people.find_one({"name": "Alice"}, projection)


RICH = {
    "when": datetime.datetime(2024, 5, 6, 7, 8, tzinfo=UTC),
    "naive": datetime.datetime(2024, 5, 6, 7, 8),
    "day": datetime.date(2024, 5, 6),
    "at": datetime.time(7, 8),
    "took": datetime.timedelta(minutes=3),
    "id": uuid.UUID(int=7),
    "color": Color.RED,
    "price": decimal.Decimal("1.10"),
    "path": pathlib.PurePosixPath("/a/b"),
    "place": Place(city="Paris"),
    "pair": (1, "a"),
    "set": {"b", "a"},
}


@pytest.mark.parametrize("field", RICH)
async def test_filter_values_are_of_the_types_that_documents_hold(some_people, field):
    async with some_people([RICH, {}]) as people:
        assert await people.count_documents({field: RICH[field]}) == 1
        assert await people.count_documents({field: {"$in": [RICH[field], 5]}}) == 1
        assert await people.count_documents({field: {"$ne": RICH[field]}}) == 1
        assert await people.distinct(field, {field: {"$exists": True}}) != []


async def test_a_datetime_is_compared_by_its_time_whatever_its_zone(some_people):
    paris = datetime.timezone(datetime.timedelta(hours=2))
    async with some_people([RICH]) as people:
        assert await people.count_documents({"when": datetime.datetime(2024, 5, 6, 9, 8, tzinfo=paris)}) == 1
        assert await people.count_documents({"when": {"$lt": datetime.datetime(2024, 5, 6, 9, 9, tzinfo=paris)}}) == 1
        assert await people.count_documents({"when": {"$gt": datetime.datetime(2024, 5, 6, 9, 8, tzinfo=paris)}}) == 0


async def test_the_id_of_a_document_is_a_field_of_filters_and_sorts(some_people):
    async with some_people() as people:
        documents = await people.find_all()
        ids = [document.objId for document in documents]
        assert await people.find_one({"_objId": ids[2]}) == documents[2]
        assert await people.find({"_objId": {"$in": [ids[3], ids[1], "nobody"]}}).to_list() == [
            documents[1],
            documents[3],
        ]
        assert await people.find({"_objId": {"$ne": ids[0]}, "city": "Paris"}).to_list() == [documents[2]]
        assert await people.count_documents({"_objId": {"$gte": min(ids)}}) == 5
        for direction in (1, -1):
            found = await people.find().sort("_objId", direction).to_list()
            assert [document.objId for document in found] == sorted(ids, reverse=direction == -1)
        assert await people.find_one({"_objId": "nobody"}) is None


async def test_a_field_of_the_data_that_is_called_objid_is_no_id(some_people):
    async with some_people([]) as people:
        await people.import_jsonl(['{"$_objId": "mine"}'])
        [document] = await people.find_all()
        assert await people.find_one({"_objId": "mine"}) is None
        assert await people.distinct("_objId") == [document.objId]


MANY = [{"n": n, "half": n // 2, "text": "x" * 50} for n in range(5_000)]
LARGE = [{"n": n, "half": n // 2, "text": str(n) * 50_000} for n in range(30)]


@pytest.mark.parametrize("documents", [MANY, LARGE], ids=["many", "large"])
async def test_results_beyond_what_the_event_loop_reads_are_the_same(some_people, documents):
    async with some_people(documents) as people:
        assert [document.data for document in await people.find().to_list()] == documents
        assert [document.data async for document in people.find()] == documents
        backward = [document.data["n"] async for document in people.find().sort("n", -1)]
        assert backward == [*range(len(documents))][::-1]
        page = [document.data["n"] async for document in people.find({"half": {"$gt": 3}}).sort("n").skip(5).limit(9)]
        assert page == [*range(13, 22)]
        assert await people.find({"half": {"$gt": 3}}).count() == len(documents) - 8
        assert await people.count_documents({"n": {"$mod": [2, 0]}}) == len(documents) // 2
        assert len(await people.distinct("half")) == len(documents) // 2
        last = len(documents) - 1
        assert (await people.find_one({"n": last})).data == documents[last]
        assert (
            await people.find_one({"n": last}, ["half"], sort="n") == await people.find({"n": last}, ["half"]).first()
        )


async def test_what_is_read_is_the_caller_s_own(some_people):
    async with some_people() as people:
        (await people.find_one({"name": "Alice"})).data["tags"].append("mine")
        (await people.find_one({"name": "Alice"}, ["tags"])).data["tags"].append("mine")
        assert (await people.find_one({"name": "Alice"})).data == PEOPLE[0]


async def test_a_filter_is_the_caller_s_own(some_people):
    filter_ = {"tags": {"$in": ["a"]}}
    async with some_people() as people:
        cursor = people.find(filter_)
        filter_["tags"]["$in"][0] = "c"
        assert names(await cursor.to_list()) == ["A"]
        filter_["tags"]["$in"][0] = "a"


async def test_a_cursor_reads_anew_each_time(some_people):
    async with some_people() as people:
        cursor = people.find({"city": "Rome"})
        assert await cursor.count() == 2
        await people.insert({"name": "Frank", "city": "Rome"})
        assert names(await cursor.to_list()) == ["B", "E", "F"]
        assert names([document async for document in cursor]) == names([document async for document in cursor])


@pytest.mark.parametrize("documents", [PEOPLE, [{"name": f"{n}"} for n in range(1_000)]], ids=["few", "many"])
async def test_a_loop_sees_the_state_in_which_it_began(some_people, documents):
    async with some_people(documents) as people:
        seen = 0
        async for document in people.find():
            seen += 1
            await people.insert({"name": "new"})
            await people.update(document.objId, {**document.data, "seen": True})
            assert "seen" not in document.data
        assert seen == len(documents)
        assert await people.count_documents() == 2 * len(documents)


@pytest.mark.own_engine
def test_a_loop_that_is_left_half_way_gives_its_connection_back(run, story):
    async def reads(cluster, people):
        await people.insert_many(MANY)
        for _ in range(5):
            async for document in people.find({"n": {"$gte": 10}}):
                if document.data["n"] == 20:
                    break
        loop = people.find().__aiter__()
        await anext(loop)
        del loop
        gc.collect()
        with pytest.raises(ZeroDivisionError):
            async for _ in people.find():
                raise ZeroDivisionError
        async with asyncio.timeout(10):  # generators end on later turns of the loop, and streams on a thread
            while cluster._engine._calls._pool._lent:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.001)
        await people.delete_many({})
        await cluster.save()

    story(reads)


async def test_two_loops_run_beside_each_other(some_people):
    async with some_people([{"n": n} for n in range(300)]) as people:
        pairs = [
            (one.data["n"], other.data["n"]) async for one in people.find().limit(3) async for other in people.find()
        ]
        assert pairs == [(one, other) for one in range(3) for other in range(300)]


async def test_other_tasks_read_the_state_before_a_transaction(path):
    async with await PoofCluster.create(path) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert_many([{"n": n} for n in range(100)])
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def change():
            async with cluster.transaction():
                await people.update_many({}, {"$inc": {"n": 1_000}})
                await people.delete_one({"n": 1_000})
                begun.set()
                await go_on.wait()

        task = asyncio.create_task(change())
        await begun.wait()
        assert await people.count_documents({"n": {"$lt": 100}}) == 100
        assert await people.find_one({"n": 1_050}) is None
        assert [document.data["n"] async for document in people.find()] == [*range(100)]
        assert await people.distinct("n") == [*range(100)]
        go_on.set()
        await task
        assert await people.distinct("n") == [*range(1_001, 1_100)]
