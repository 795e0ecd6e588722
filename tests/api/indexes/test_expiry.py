"""TTL indexes: documents go when their time has come, those and no others."""

import datetime
from datetime import timedelta

import pytest

from poof import PoofCluster
from poof.engines.sqlite import expiry
from tests.support import inside
from tests.support.index_entries import check_entries
from tests.support.people import collection

NOW = datetime.datetime.now(datetime.UTC)
HOUR = timedelta(hours=1)
OLD = NOW - 2 * HOUR
NEW = NOW + HOUR


async def swept(people):
    """What is left after a sweep, by the names of the documents."""
    await inside.sweeper(people)._sweep()
    return [doc.data.get("name") for doc in await people.find_all()]


@pytest.fixture
def calm(monkeypatch):
    """No sweep but those that the test makes itself."""
    monkeypatch.setattr(expiry.Expiry, "start", lambda self: None)


GOES = [
    OLD,
    OLD.astimezone(datetime.timezone(timedelta(hours=14))),
    NOW - HOUR - timedelta(seconds=1),
    datetime.datetime(1, 1, 1, tzinfo=datetime.UTC),
    [OLD],
    [NEW, OLD],
    ["x", OLD, None],
    OLD.isoformat(),
    "2001-01-01T00:00:00Z",
    "2001-01-01t00:00:00.5z",
    "2001-01-01 00:00:00+02:00",
    "2001-01-01T00:00:00.123456789-00:00",
    "2016-12-31T23:59:60Z",
    "0000-12-31T00:00:00Z",
    "0001-01-01T00:00:00+10:00",
    ["2001-01-01T00:00:00Z", "x"],
    (NOW - 2 * HOUR).astimezone(datetime.timezone(timedelta(hours=9))).isoformat(),
]
STAYS = [
    NEW,
    NOW,
    NOW - HOUR + timedelta(minutes=30),  # which a slow run of all tests does not take
    datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC),
    OLD.replace(tzinfo=None),
    OLD.date(),
    OLD.isoformat().removesuffix("+00:00"),
    "1",
    "2001-01-01",
    "2001-13-01T00:00:00Z",
    "2001-01-01T24:00:00Z",
    "2001-01-01T00:00:00+24:00",
    "9999-12-31T23:59:59.5-12:00",
    (NOW + timedelta(hours=5)).astimezone(datetime.timezone(timedelta(hours=-9))).isoformat(),
    "2001-01-01T00:00:00.000000Z\n",
    "2001-01-01T00:00:00.000000Z and more",
    " 2001-01-01T00:00:00.000000Z",
    "٢٠٠١-01-01T00:00:00.000000Z",
    0,
    OLD.timestamp(),
    True,
    None,
    {},
    {"t": OLD},
    [],
    [[OLD]],
    [NEW],
]


@pytest.mark.parametrize("time", GOES, ids=range(len(GOES)))
async def test_what_is_older_goes(open_collection, calm, time):
    async with open_collection() as people:
        await people.create_index("t", expire_after=HOUR)
        await people.insert_many([{"t": time, "name": "old"}, {"t": NEW, "name": "new"}])
        assert await swept(people) == ["new"]
        await people._engine._calls._writer.exclusive(check_entries)


@pytest.mark.parametrize("time", STAYS, ids=range(len(STAYS)))
async def test_what_is_younger_or_no_time_stays(open_collection, calm, time):
    async with open_collection() as people:
        await people.create_index("t", expire_after=HOUR)
        await people.insert_many([{"t": time, "name": "stays"}, {"name": "without"}, {"t": OLD, "name": "old"}])
        assert await swept(people) == ["stays", "without"]


@pytest.mark.parametrize("after", [timedelta(), HOUR, timedelta(days=3_000_000)], ids=str)
async def test_the_time_is_counted_from_the_one_in_the_field(open_collection, calm, after):
    async with open_collection() as people:
        await people.create_index("t", expire_after=after)
        await people.insert_many([{"t": OLD, "name": "old"}, {"t": NEW, "name": "new"}])
        assert await swept(people) == (["new"] if after <= HOUR else ["old", "new"])
        assert [index.expire_after for index in await people.list_indexes()] == [after]


async def test_fields_inside_documents_and_arrays_expire_too(open_collection, calm):
    async with open_collection() as people:
        await people.create_index("session.seen", expire_after=HOUR)
        await people.insert_many(
            [
                {"name": "a", "session": {"seen": OLD}},
                {"name": "b", "session": [{"seen": NEW}, {"seen": OLD}]},
                {"name": "c", "session": [{"seen": NEW}, {}]},
            ]
        )
        assert await swept(people) == ["c"]


async def test_only_what_a_partial_index_lists_expires(open_collection, calm):
    async with open_collection() as people:
        await people.create_index("t", expire_after=HOUR, where={"temporary": True})
        await people.insert_many([{"name": "a", "t": OLD, "temporary": True}, {"name": "b", "t": OLD}])
        assert await swept(people) == ["b"]


async def test_a_sweep_deletes_more_than_it_deletes_in_one_go(open_collection, calm):
    async with open_collection() as people:
        await people.create_index("t", expire_after=HOUR)
        await people.insert_many([{"t": OLD if n % 2 else NEW, "name": n} for n in range(1_500)])
        assert await swept(people) == list(range(0, 1_500, 2))


async def test_each_collection_has_its_own_times(calm):
    async with await PoofCluster.create(":memory:") as cluster:
        for name in ("one", "two", "three"):
            await (await collection(cluster, name)).insert({"t": OLD, "name": name})
        one, two, three = [await collection(cluster, name) for name in ("one", "two", "three")]
        await one.create_index("t", expire_after=HOUR)
        await two.create_index("t", expire_after=3 * HOUR)
        await three.create_index("t")
        assert await swept(one) == []
        assert (await swept(two), await swept(three)) == (["two"], ["three"])
