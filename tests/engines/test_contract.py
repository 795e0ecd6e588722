"""The contract of engines: what the API never asks, or asks in one order only. Runs on every engine."""

import asyncio

import pytest

from poof import PoofCluster, PoofCollection
from poof.engines.contract import Change, Documents
from poof.errors import (
    DuplicateKeyError,
    GoneError,
    InvalidDocumentError,
    PoofError,
    ReadOnlyError,
    TransactionError,
    UnsupportedError,
)
from poof.query.fields import FieldOrder
from poof.query.indexes.definition import IndexDefinition
from poof.query.query import Query
from tests.support.people import KEY, TOY, Where, collection, open_cluster

pytestmark = pytest.mark.every_engine

BY_NAME = IndexDefinition((FieldOrder(("name",), False),), unique=True)


@pytest.fixture
def documents(people: PoofCollection) -> Documents:
    """The documents of `people`, as the contract has them."""
    return people._documents


GONE = {
    "insert": lambda documents: documents.insert("{}"),
    "insert_many": lambda documents: documents.insert_many([1], lambda _: ("{}", None)),
    "insert_rows": lambda documents: documents.insert_rows([("x" * 12, "{}")]),
    "find_by_id": lambda documents: documents.find_by_id("x" * 12),
    "find_all": lambda documents: documents.find_all(list),
    "find": lambda documents: documents.find(Query(), list),
    "stream": lambda documents: anext(documents.stream(Query())),
    "count": lambda documents: documents.count(Query()),
    "distinct": lambda documents: documents.distinct(FieldOrder(("name",), False), Query()),
    "explain": lambda documents: documents.explain(Query()),
    "read_snapshot": lambda documents: documents.read_snapshot(Query(), lambda snapshot: list(snapshot.rows())),
    "next_rows": lambda documents: documents.next_rows(None, 10),
    "replace_rows": lambda documents: documents.replace_rows([("x" * 12, "{}")]),
    "change": lambda documents: documents.change(Query(), Change(None)),
    "merge_by_id": lambda documents: documents.merge_by_id("x" * 12, lambda _, data: (data, "{}")),
    "replace": lambda documents: documents.replace("x" * 12, "{}"),
    "delete": lambda documents: documents.delete("x" * 12),
    "create_index": lambda documents: documents.create_index("n", BY_NAME),
    "drop_index": lambda documents: documents.drop_index("n"),
    "list_indexes": lambda documents: documents.list_indexes(),
    "rename": lambda documents: documents.rename("other"),
    "drop": lambda documents: documents.drop(),
}


def test_every_call_on_documents_is_tried_below():
    assert set(GONE) == {name for name in vars(Documents) if not name.startswith("_")}


async def test_a_collection_that_was_dropped_is_gone_for_every_call(documents):
    await documents.drop()
    for name, call in GONE.items():
        with pytest.raises(GoneError, match="gone"):
            await call(documents)
            pytest.fail(name)


async def test_a_number_is_not_given_again_after_a_rollback(cluster: PoofCluster):
    engine = cluster._engine
    with pytest.raises(ZeroDivisionError):
        async with engine.transaction():
            number = await engine.collection(await engine.database("a"), "b")
            raise ZeroDivisionError
    others = {await engine.collection(await engine.database("a"), name) for name in "bcd"}
    assert number not in others
    with pytest.raises(GoneError):
        await engine.documents(number).find_all(list)


async def test_encode_is_called_once_for_each_item_in_their_order(documents):
    seen = []

    def encode(item):
        seen.append(item)
        return f'{{"n":{item}}}', None

    inserted = await documents.insert_many(range(3_000), encode)
    assert seen == [*range(3_000)]
    assert len(inserted.ids) == len(set(inserted.ids)) == 3_000


async def test_what_encode_raises_is_raised_as_it_is_and_nothing_is_stored(documents):
    error = InvalidDocumentError("of the caller")

    def encode(item):
        if item == 1_500:
            raise error
        return "{}", None

    with pytest.raises(InvalidDocumentError) as raised:
        await documents.insert_many(range(3_000), encode)
    assert (raised.value, str(error)) == (error, "of the caller")
    assert await documents.count(Query()) == 0


async def test_a_duplicate_of_the_same_data_is_told_by_its_position(documents):
    await documents.create_index("names", BY_NAME)
    with pytest.raises(DuplicateKeyError, match=r"^Position 2: .* at position 0 of the same data") as raised:
        await documents.insert_many("abad", lambda name: (f'{{"name":"{name}"}}', None))
    assert (raised.value.position, raised.value.obj_id, raised.value.index) == (2, None, "names")


async def test_rows_are_stored_one_by_one_as_they_are_taken(cluster, documents):
    taken = []

    def rows():
        for letter in "abac":
            taken.append(letter)
            yield letter * 12, "{}"

    with pytest.raises(DuplicateKeyError):
        async with cluster._engine.transaction():
            await documents.insert_rows(rows())
    assert taken == ["a", "b", "a"]
    assert await documents.count(Query()) == 0


async def test_functions_get_data_that_is_nobody_else_s(documents):
    obj_id = await documents.insert('{"name":"a","tags":[1]}')

    def spoil(_obj_id, data):
        data["tags"].append(2)
        data.clear()
        return '{"name":"b"}'

    changed = await documents.change(Query(), Change(spoil))
    assert (changed.before, changed.after) == ({"name": "a", "tags": [1]}, {"name": "b"})
    (await documents.find_by_id(obj_id)).clear()
    assert await documents.find_by_id(obj_id) == {"name": "b"}


async def test_a_change_asks_a_unique_index_after_each_document(documents):
    await documents.create_index("names", BY_NAME)
    for name in "ab":
        await documents.insert(f'{{"name":"{name}"}}')
    swapped = {"a": '{"name":"b"}', "b": '{"name":"a"}'}
    with pytest.raises(DuplicateKeyError, match=r"^Document "):
        await documents.change(Query(), Change(lambda _, data: swapped[data["name"]]))
    assert await documents.find(Query(), lambda found: [data["name"] for _, data in found]) == ["a", "b"]


async def test_a_unique_index_of_a_transaction_that_failed_refuses_nothing(cluster, documents):
    await documents.insert('{"name":"a"}')
    with pytest.raises(ZeroDivisionError):
        async with cluster._engine.transaction():
            await documents.create_index("names", BY_NAME)
            with pytest.raises(DuplicateKeyError):
                await documents.insert('{"name":"a"}')
            raise ZeroDivisionError
    assert await documents.list_indexes() == []
    await documents.insert('{"name":"a"}')


async def test_the_next_rows_go_on_behind_the_last_whatever_was_replaced(cluster, documents):
    ids = (await documents.insert_many(range(7), lambda n: (f'{{"n":{n}}}', None))).ids
    seen = []
    async with cluster._engine.transaction():
        rows, after = await documents.next_rows(None, 3)
        while rows:
            seen += [row.obj_id for row in rows]
            await documents.replace_rows([(row.obj_id, "{}") for row in rows])
            rows, after = await documents.next_rows(after, 3)
        assert await documents.next_rows(after, 3) == ([], after)
    assert seen == list(ids)
    assert await documents.find_all(lambda found: [data for _, data in found]) == [{}] * 7


async def test_a_snapshot_is_of_one_state_and_read_off_the_loop(documents):
    await documents.insert_many(range(500), lambda n: (f'{{"n":{n}}}', None))
    loop = asyncio.get_running_loop()

    def look(snapshot):
        rows = snapshot.rows()
        first = next(rows).data["n"]
        inserting = asyncio.run_coroutine_threadsafe(documents.insert("{}"), loop)  # the loop is free to do it
        inserting.result()
        return first, 1 + sum(1 for _ in rows), snapshot.count(), sum(1 for _ in snapshot.rows())

    assert await documents.read_snapshot(Query(), look) == (0, 500, 500, 500)
    assert await documents.count(Query()) == 501


async def test_a_stream_begins_when_its_first_chunk_is_asked_for(documents):
    await documents.insert('{"n":1}')
    stream = documents.stream(Query())
    await documents.insert('{"n":2}')
    first = [row.data["n"] for row in await anext(stream)]
    await documents.insert('{"n":3}')
    assert [*first, *[row.data["n"] async for chunk in stream for row in chunk]] == [1, 2]


async def test_read_only_is_told_before_anything_else(where: Where):
    if where == ":memory:":
        pytest.skip("there is nothing to read")
    if where is not TOY:
        await (await open_cluster(where, KEY)).close()
    async with await open_cluster(where, KEY, read_only=True) as cluster:
        engine = cluster._engine
        assert engine.is_read_only
        with pytest.raises(ReadOnlyError):
            engine.check_writable()
        with pytest.raises(ReadOnlyError):
            await engine.database("new")
        with pytest.raises(ReadOnlyError):
            await engine.documents(12345).insert("{}")


# What the toy has not.


@pytest.fixture
async def toy():
    async with await open_cluster(TOY) as cluster:
        yield cluster


UNSUPPORTED = {
    "get_encryption_key": lambda cluster: asyncio.sleep(0, cluster.get_encryption_key()),
    "keys": lambda cluster: cluster.keys(),
    "add_key": lambda cluster: cluster.add_key(),
    "add_recovery_code": lambda cluster: cluster.add_recovery_code(),
    "remove_key": lambda cluster: cluster.remove_key("x"),
    "change_password": lambda cluster: cluster.change_password("old password", "new password"),
    "rotate": lambda cluster: cluster.rotate(),
    "compact": lambda cluster: cluster.compact(),
    "export_legacy": lambda cluster: cluster.export_legacy("legacy.poof"),
    "import_legacy": lambda cluster: cluster.import_legacy("legacy.poof", "x" * 43 + "="),
    "export_sqlite_plaintext": lambda cluster: cluster.export_sqlite_plaintext("plain.db"),
    "backup": lambda cluster: cluster.backup("backup.poof"),
    "verify": lambda cluster: cluster.verify(),
    "stats": lambda cluster: cluster.stats(),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
async def test_what_an_engine_has_not_says_what_does_it_instead(toy, name):
    with pytest.raises(UnsupportedError, match=r"(PoofCluster\.create|export_jsonl)\(\)") as raised:
        await UNSUPPORTED[name](toy)
    assert isinstance(raised.value, PoofError)
    assert isinstance(raised.value, NotImplementedError)


def test_every_call_on_keys_and_care_is_tried_above():
    public = {name for name in vars(PoofCluster) if not name.startswith("_")}
    of_all = {"create", "open", "salvage", "path", "recovery_code", "get_database", "list_database_names"}
    of_all |= {"drop_database", "transaction", "save", "close"}
    assert set(UNSUPPORTED) == public - of_all


async def test_documents_that_expire_are_refused_and_no_index_is_made(toy):
    people = await collection(toy, "people")
    definition = IndexDefinition((FieldOrder(("t",), False),), expire_after=1.0)
    with pytest.raises(UnsupportedError, match=r"delete_many\(\)"):
        await people._documents.create_index("t_1", definition)
    assert await people.list_indexes() == []


async def test_save_is_no_part_of_a_transaction_also_where_it_does_nothing(cluster):
    async with cluster.transaction():
        with pytest.raises(TransactionError):
            await cluster.save()
