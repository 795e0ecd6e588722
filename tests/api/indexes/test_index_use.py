"""What indexes are used for: by queries, counts, sorts and changes, in one process and in several, before and after."""

import asyncio
import random

import pytest

from poof import PoofCluster, ReadOnlyError
from tests.support.index_entries import check_entries
from tests.support.people import KEY, PROGRAM, open_people

MANY = [{"n": n, "tags": [n % 7, n % 11], "name": f"name {n % 100}"} for n in range(1_000)]


async def on_thread(people, function):
    """Makes a call on the connection that writes."""
    return await people._engine._calls._writer.exclusive(function)


async def found(people, filter_, sort=None):
    cursor = people.find(filter_)
    return [doc.data["n"] for doc in await (cursor if sort is None else cursor.sort(sort)).to_list()]


async def index_used(people, filter_):
    return (await people.find(filter_).explain()).index


EXPLAINED = [
    ({"n": 5}, None, "n_1", True, 1, "Finds the documents by the index n_1."),
    ({"n": {"$gte": 5, "$lt": 8}}, None, "n_1", True, 4, "Finds the documents by the index n_1."),
    ({"$or": [{"n": 5}, {"name": "name 7"}]}, None, "n_1, name_1", True, 11, "by the indexes n_1, name_1."),
    ({"tags": 3}, None, "tags_1", False, None, "Finds the documents by the index tags_1."),
    ({"other": 5}, None, None, True, 1_000, "Looks at every document."),
    ({"n": 5, "other": None}, None, "n_1", True, 1, "Finds the documents by the index n_1."),
    ({}, "n", "n_1", True, 1_000, "Reads the index n_1 in the order of the sort."),
    ({}, "other", None, True, 1_000, "Looks at every document. Sorts what it finds."),
]


@pytest.mark.parametrize(("filter_", "sort", "index", "exact", "examined", "words"), EXPLAINED)
async def test_explain_says_what_is_used(open_collection, filter_, sort, index, exact, examined, words):
    async with open_collection() as people:
        await people.insert_many(MANY)
        for field in ("n", "name", "tags"):
            await people.create_index(field)
        cursor = people.find(filter_)
        explanation = await (cursor if sort is None else cursor.sort(sort)).explain()
        assert explanation.index == index
        assert exact is False or explanation.exact
        assert explanation.returned == await people.count_documents(filter_)
        assert explanation.documents_examined == (explanation.returned if examined is None else examined)
        assert words in str(explanation)


async def test_a_read_that_was_too_long_for_the_event_loop_is_short_with_a_new_index(path):
    cluster, people = await open_people(path)
    async with cluster:
        await people.insert_many({"n": n} for n in range(5_000))
        engine = people._engine._calls
        calls = []
        answer, engine._pool.read = engine._pool.read, lambda *call: calls.append(call) or answer(*call)
        assert await found(people, {"n": 7}) == [7]
        assert len(calls) == 1
        await people.create_index("n")
        assert await found(people, {"n": 7}) == [7]
        assert len(calls) == 1


async def test_an_index_that_sorts_reads_no_more_than_the_limit(open_collection):
    async with open_collection() as people:
        await people.insert_many(MANY)
        await people.create_index("n")
        explanation = await people.find().sort("n", -1).skip(2).limit(3).explain()
        assert (explanation.documents_examined, explanation.returned) == (5, 3)
        assert [doc.data["n"] for doc in await people.find().sort("n", -1).skip(2).limit(3).to_list()] == [
            997,
            996,
            995,
        ]


async def test_documents_that_sort_alike_keep_the_order_of_insertion(open_collection):
    async with open_collection() as people:
        await people.insert_many([{"n": n, "a": n % 2, "b": -n} for n in range(6)])
        await people.create_index(["a", "b"])
        await people.create_index("a")
        assert await found(people, {}, {"a": 1}) == [0, 2, 4, 1, 3, 5]
        assert await found(people, {}, {"a": -1}) == [1, 3, 5, 0, 2, 4]
        assert await found(people, {"a": 1}, {"a": 1}) == [1, 3, 5]


async def test_an_index_changes_neither_count_nor_distinct(people):
    documents = [{}, {"a": None}, {"a": 1}, {"a": 1.0}, {"a": [1, "x"]}, {"a": []}, {"a": [[2]]}, {"a": {"b": 1}}]
    await people.insert_many(documents)
    filters = [{"a": None}, {"a": 1}, {"a": []}, {"a": [2]}, {"a": {"$gte": 1}}, {"a": {"$in": [None, "x"]}}]
    before = [await people.count_documents(each) for each in filters]
    values = await people.distinct("a")
    assert values == [None, 1, "x", {"b": 1}, [2]]
    for direction in (1, -1):
        await people.create_index({"a": direction})
        assert [await people.count_documents(each) for each in filters] == before
        assert await people.distinct("a") == values
        await people.drop_index(f"a_{direction}")


async def test_an_update_of_the_indexed_field_meets_each_document_once(people):
    await people.insert_many([{"n": n} for n in range(300)])
    await people.create_index("n")
    assert (await people.update_many({"n": {"$gte": 0}}, {"$inc": {"n": 1}})).modified_count == 300
    assert sorted(await found(people, {})) == list(range(1, 301))
    assert (await people.update_many({"n": {"$gt": 100}}, {"$mul": {"n": 1_000}})).modified_count == 200
    assert (await people.delete_many({"n": {"$gte": 101_000}})).deleted_count == 200
    assert await found(people, {"n": {"$gt": 0}}) == list(range(1, 101))
    await on_thread(people, check_entries)


async def test_a_change_by_id_is_found_by_the_index(people):
    await people.create_index("name")
    doc = await people.insert({"n": 1, "name": "old"})
    await people.update(doc.objId, {"n": 2, "name": "new"})
    assert await found(people, {"name": "old"}) == []
    assert await found(people, {"name": "new"}) == [2]
    await people.delete(doc.objId)
    assert await found(people, {"name": "new"}) == []
    assert await on_thread(people, check_entries) == 0


async def test_large_documents_and_long_values_are_indexed(people):
    await people.create_index("text")
    texts = ["x" * 300_000 + end for end in ("a", "b", "\x00")]
    await people.insert_many([{"n": n, "text": text} for n, text in enumerate(texts)])
    for n, text in enumerate(texts):
        assert await found(people, {"text": text}) == [n]
    assert await found(people, {}, "text") == [2, 0, 1]


@pytest.mark.parametrize("first", [{"n": 1, "a": 5}, {"n": 1, "a": [5]}], ids=["value", "array"])
async def test_the_first_array_and_the_last_change_what_an_index_can_do(people, first):
    await people.insert(first)
    await people.create_index("a")
    for _ in range(2):
        doc = await people.insert({"n": 2, "a": [1, 9]})
        assert await found(people, {"a": {"$gt": 4, "$lt": 6}}) == [1, 2]
        assert await found(people, {}, {"a": 1}) == [2, 1]
        assert await found(people, {}, {"a": -1}) == [2, 1]
        await people.delete(doc.objId)
        assert await found(people, {"a": {"$gt": 4, "$lt": 6}}) == [1]


@pytest.mark.parametrize("name", ["n_1", "tags_1"])
async def test_a_stream_over_an_index_reads_one_moment(people, name):
    await people.insert_many(MANY)
    await people.create_index("n")
    await people.create_index("tags")
    filter_ = {"n": {"$gte": 0}} if name == "n_1" else {"tags": {"$gte": 0}}
    seen = []
    async for doc in people.find(filter_):
        seen.append(doc.data["n"])
        if len(seen) == 10:
            await people.delete_many({"n": {"$gte": 500}})
            await people.update_many({"n": {"$lt": 100}}, {"$inc": {"n": 10_000}})
            await people.drop_index(name)
    assert seen == list(range(1_000))
    assert await people.count_documents(filter_) == 500


# Several connections, several processes, and the file.


def program(code):
    return PROGRAM + "\n".join(line.removeprefix("    ") for line in code.splitlines())


async def test_what_another_process_does_to_indexes_is_known_at_once(path, run_python):
    def other(code):
        body = "\n".join(f"        {line}" for line in code.splitlines())
        run_python(
            program(
                f"""
    async def main():
        cluster, people = await open_people()
{body}
        await cluster.close()
    asyncio.run(main())
"""
            ),
            path,
            KEY,
            cwd=path.parent,
        )

    cluster, people = await open_people(path)
    async with cluster:
        await people.create_index("n")
        await people.insert_many([{"n": n} for n in range(3)])
        assert await found(people, {"n": {"$gt": 0}}) == [1, 2]
        other("await people.insert({'n': 5, 'other': True})")
        assert await found(people, {"n": 5}) == [5]
        assert await index_used(people, {"n": 5}) == "n_1"
        other("await people.insert({'n': [0, 9]})")  # the first array
        assert await found(people, {"n": {"$gt": 6, "$lt": 3}}) == [[0, 9]]
        assert await found(people, {}, "n") == [0, [0, 9], 1, 2, 5]
        other("await people.drop_index('n_1')")
        assert await found(people, {"n": 5}) == [5]
        assert await index_used(people, {"n": 5}) is None
        other("await people.create_index('other', where={'n': 5})")
        other("await people.create_index({'n': -1})")
        await people.insert({"n": 7})
        assert await index_used(people, {"n": 7}) == "n_-1"
        assert await found(people, {"n": 7}) == [7]
        other("assert [d.data['n'] for d in await people.find({'n': {'$gte': 5}}).to_list()] == [5, [0, 9], 7]")
        other("await people.delete_many({'n': 9}); await people.update_many({}, {'$inc': {'n': 1}})")
        assert await found(people, {}, {"n": -1}) == [8, 6, 3, 2, 1]
        await on_thread(people, check_entries)


async def test_indexes_survive_the_file_and_serve_who_only_reads(path):
    async def write():
        cluster, people = await open_people(path)
        async with cluster:
            await people.create_index([("name", 1), ("n", -1)])
            await people.create_index("tags", where={"n": {"$lt": 100}})
            await people.insert_many(MANY)

    async def read(read_only):
        cluster, people = await open_people(path, read_only=read_only)
        async with cluster:
            explanation = await people.find({"name": "name 5"}).sort("n", -1).limit(2).explain()
            assert (explanation.index, explanation.documents_examined) == ("name_1_n_-1", 2)
            assert await found(people, {"name": "name 5", "n": {"$gt": 800}}) == [805, 905]
            assert await found(people, {"tags": 6, "n": {"$lt": 100}, "name": "name 6"}) == [6]
            if read_only:
                with pytest.raises(ReadOnlyError):
                    await people.create_index("n")
                with pytest.raises(ReadOnlyError):
                    await people.drop_index("name_1_n_-1")
            else:
                await on_thread(people, check_entries)

    await write()
    await read(True)
    await read(False)


KILLED = """
    async def main():
        cluster, people = await open_people()
        rng = random.Random(int(sys.argv[3]))
        print("ready", flush=True)
        while True:
            name = rng.choice(["n", "tags", "b"])
            kind = rng.choice(["insert", "insert", "update", "delete", "create", "drop"])
            if kind == "insert":
                await people.insert_many([{"n": rng.randrange(50), "tags": [1, rng.randrange(9)]} for _ in range(20)])
            elif kind == "update":
                await people.update_many({"n": rng.randrange(50)}, {"$inc": {"n": 1}, "$push": {"tags": 3}})
            elif kind == "delete":
                await people.delete_many({"n": rng.randrange(50)})
            elif kind == "create":
                await people.create_index(name, unique=name == "b", where={"b": 1} if name == "b" else None)
            else:
                await people.drop_index(f"{name}_1")
            print(kind, flush=True)
    asyncio.run(main())
"""


async def check_killed(path, start_python, rounds):
    rng = random.Random()

    async def check():
        cluster, people = await open_people(path)
        async with cluster:
            assert await on_thread(people, lambda connection: connection.execute("PRAGMA integrity_check").get) == "ok"
            await on_thread(people, check_entries)
            documents = [doc.data for doc in await people.find_all()]
            for n in range(50):
                assert await people.count_documents({"n": n}) == sum(data["n"] == n for data in documents)
            for tag in range(9):
                assert await people.count_documents({"tags": tag}) == sum(tag in data["tags"] for data in documents)
            return len(documents)

    for _ in range(rounds):
        process = start_python(program(KILLED), path, KEY, rng.randrange(2**32), cwd=path.parent)
        for _ in range(rng.randint(3, 60)):
            assert process.stdout.readline(), process.stderr.read()
        process.kill()
        process.wait()
        await check()


async def test_indexes_are_whole_after_a_kill(path, start_python):
    await check_killed(path, start_python, 3)


@pytest.mark.campaign
async def test_indexes_are_whole_after_many_kills(path, start_python):
    await check_killed(path, start_python, 30)


async def test_two_clusters_of_one_process_see_each_other_s_indexes(path):
    async with await PoofCluster.create(path, KEY) as one, await PoofCluster.create(path, KEY) as two:
        people, others = [await (await each.get_database("db")).get_collection("people") for each in (one, two)]
        await people.insert_many([{"n": n} for n in range(100)])
        assert await found(others, {"n": 50}) == [50]
        for turn in range(5):
            await people.create_index("n", name=f"turn {turn}")
            assert await index_used(others, {"n": 50}) == f"turn {turn}"
            await others.insert({"n": 50})
            assert await found(people, {"n": 50}) == [50] * (turn + 2)
            assert await others.drop_index(f"turn {turn}")
            assert await found(people, {"n": 50}) == [50] * (turn + 2)


async def test_tasks_that_change_indexes_and_documents_at_once_agree(people):
    await people.insert_many(MANY[:300])

    async def change(rng):
        for _ in range(15):
            await people.update_many({"n": rng.randrange(300)}, {"$inc": {"n": 300}, "$push": {"tags": 12}})
            await people.insert({"n": rng.randrange(300), "tags": 13})

    async def index(rng):
        for _ in range(15):
            field = rng.choice(["n", "tags", "name"])
            await people.create_index(field)
            await people.drop_index(f"{rng.choice(['n', 'tags', 'name'])}_1")

    async def read(rng):
        for _ in range(30):
            n = rng.randrange(300)
            docs = await people.find({"n": n}).to_list()
            assert all(doc.data["n"] == n for doc in docs)
            assert await people.count_documents({"n": {"$gte": 0}}) >= 300

    await asyncio.gather(*(task(random.Random(seed)) for seed, task in enumerate((change, index, read) * 2)))
    await people.create_index("n")
    await on_thread(people, check_entries)
    assert await people.count_documents({"n": {"$gte": 0}}) == 330
