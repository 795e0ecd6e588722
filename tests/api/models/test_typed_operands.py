"""Filters of a bound collection compare values by the types of its model: they find what Python finds."""

import datetime
import operator
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, NaiveDatetime

from poof import InvalidQueryError, PoofCluster
from poof.document import encode_document
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter
from poof.query.known import known_fields

UTC = datetime.UTC
NOON = datetime.datetime(2024, 5, 6, 12, 0)
EAST = datetime.timezone(datetime.timedelta(hours=2))
ONE, TWO = uuid.UUID(int=0xABCDEF), uuid.UUID(int=0xABCDF0)


class Inner(BaseModel):
    when: AwareDatetime | None = None
    price: Decimal | None = None


class Typed(BaseModel):
    aware: AwareDatetime | None = None
    naive: NaiveDatetime | None = None
    plain: datetime.datetime | None = None
    day: datetime.date | None = None
    hour: datetime.time | None = None
    key: uuid.UUID | None = None
    price: Decimal | None = None
    mixed: Decimal | int | None = None
    count: int | None = None
    ratio: float | None = None
    prices: list[Decimal] = []
    times: list[AwareDatetime] = []
    inner: Inner = Inner()
    inners: list[Inner] = []
    named: dict[str, Decimal] = {}


def hours(n, zone=UTC):
    return (NOON + datetime.timedelta(hours=n)).replace(tzinfo=UTC).astimezone(zone)


@dataclass
class Column:
    """The values that documents have in a field, and other ways to write what is compared with them."""

    field: str
    values: list[Any]
    spelled: list[tuple[Any, Any]]


DATETIMES = [hours(0), hours(1), hours(1, EAST), hours(2)]
COLUMNS = [
    Column(
        "aware",
        [*DATETIMES, None],
        [
            ("2024-05-06T13:00:00Z", hours(1)),
            ("2024-05-06T15:00:00.000+02:00", hours(1)),
            ("2024-05-06 10:30:00-02:30", hours(1)),
            ("2024-05-06t13:00z", hours(1)),
        ],
    ),
    Column("naive", [NOON, NOON.replace(hour=13), None], [("2024-05-06T13:00:00", NOON.replace(hour=13))]),
    Column(
        "plain",
        [*DATETIMES, NOON, NOON.replace(hour=13), None],
        [("2024-05-06T13:00:00", NOON.replace(hour=13)), ("2024-05-06T15:00:00+02:00", hours(1))],
    ),
    Column(
        "day",
        [datetime.date(2024, 5, 6), datetime.date(2024, 5, 7), None],
        [
            ("2024-05-06T00:00:00", datetime.date(2024, 5, 6)),
            (datetime.datetime(2024, 5, 7), datetime.date(2024, 5, 7)),
        ],
    ),
    Column("hour", [datetime.time(9), datetime.time(10, 30), None], [("10:30", datetime.time(10, 30))]),
    Column("key", [ONE, TWO, None], [(str(ONE).upper(), ONE), (TWO.hex, TWO), (f"{{{TWO}}}", TWO), (TWO.urn, TWO)]),
    Column(
        "price",
        [Decimal(text) for text in ("10", "10.00", "9.5", "-3", "-3.5", "0", "1E+2", "0.1")] + [None],
        [(10, Decimal(10)), (10.0, Decimal(10)), ("1e1", Decimal(10)), ("010.0", Decimal(10)), (0.1, Decimal("0.1"))],
    ),
    Column("mixed", [Decimal("9.5"), 10, 9, None], [(9.5, Decimal("9.5")), (Decimal("10.0"), 10)]),
    Column("count", [9, 10, None], [(Decimal("10.00"), 10), (Decimal("9.5"), 9.5), (10.0, 10)]),
    Column("ratio", [9.5, 0.1, None], [(Decimal("0.10"), 0.1), (Decimal("9.50"), 9.5)]),
]
COMPARISONS = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def python_says(name, value, other):
    """What Python says of a value of a model, which is None where there is none, and an operand."""
    if value is None or other is None:
        return {"$eq": value is other, "$ne": value is not other}.get(name, name in ("$gte", "$lte") and value is other)
    try:
        return COMPARISONS[name](value, other)
    except TypeError:  # a naive datetime and an aware one
        return False


async def collections(cluster):
    database = await cluster.get_database("db")
    return await database.get_collection("typed", Typed), await database.get_collection("typed")


@pytest.mark.parametrize("is_indexed", [False, True], ids=["scan", "index"])
async def test_a_typed_filter_finds_what_python_finds(is_indexed):
    async with await PoofCluster.create(":memory:") as cluster:
        typed, _ = await collections(cluster)
        for column in COLUMNS:
            await typed.insert_many(Typed(**{column.field: value}) for value in column.values)
            if is_indexed:
                await typed.create_index(column.field)
        stored = [(doc.objId, doc.model) for doc in await typed.find_all()]
        for column in COLUMNS:
            here = [(obj_id, getattr(model, column.field)) for obj_id, model in stored]
            operands = [*((value, value) for value in column.values), *column.spelled]
            for (given_, meant), name in ((operand, name) for operand in operands for name in COMPARISONS):
                found = {doc.objId for doc in await typed.find({column.field: {name: given_}}).to_list()}
                assert found == {obj_id for obj_id, value in here if python_says(name, value, meant)}, (
                    given_,
                    name,
                )
                assert await typed.count_documents({column.field: {"$not": {name: given_}}}) == len(here) - len(found)
            some = [given_ for given_, _ in operands[::2]]
            meant = [meant for _, meant in operands[::2]]
            inside = {obj_id for obj_id, value in here if any(python_says("$eq", value, one) for one in meant)}
            assert {doc.objId for doc in await typed.find({column.field: {"$in": some}}).to_list()} == inside
            assert await typed.count_documents({column.field: {"$nin": some}}) == len(here) - len(inside)
        if is_indexed:
            for column in COLUMNS:
                assert (await typed.find({column.field: column.spelled[0][0]}).explain()).index == f"{column.field}_1"


DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=2) | st.decimals(
    allow_nan=False, allow_infinity=False
)
NUMBERS = DECIMALS | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9)


@given(value=DECIMALS, other=NUMBERS, name=st.sampled_from(list(COMPARISONS)))
def test_decimals_compare_as_numbers(value, other, name):
    meant = Decimal(repr(other)) if isinstance(other, float) else other
    for operand in (other, str(meant)):
        node = parse_filter({"price": {name: operand}}, known_fields(Typed))
        data, _ = encode_document(Typed(price=value))
        assert matches(node, data) is COMPARISONS[name](value, meant)


@given(
    moments=st.lists(
        st.datetimes(min_value=datetime.datetime(2000, 1, 1), max_value=datetime.datetime(2100, 1, 1)),
        min_size=2,
        max_size=2,
    ),
    zones=st.lists(
        st.none() | st.integers(-23, 23).map(lambda n: datetime.timezone(datetime.timedelta(hours=n))),
        min_size=2,
        max_size=2,
    ),
    name=st.sampled_from(list(COMPARISONS)),
)
def test_datetimes_compare_as_times(moments, zones, name):
    value, other = (moment.replace(tzinfo=zone) for moment, zone in zip(moments, zones, strict=True))
    data, _ = encode_document(Typed(plain=value))
    for operand in (other, other.isoformat()):
        assert matches(parse_filter({"plain": {name: operand}}, known_fields(Typed)), data) is python_says(
            name, value, other
        )


@pytest.mark.parametrize(
    ("filter_", "says"),
    [
        ({"aware": NOON}, "The value of the field 'aware' is compared with a datetime without a zone, and holds aware"),
        ({"aware": {"$gte": "2024-05-06T12:00:00"}}, "$gte of the field 'aware' is compared with a datetime without"),
        ({"naive": {"$in": [None, hours(0)]}}, "$in of the field 'naive' is compared with a datetime that has a zone"),
        ({"naive": {"$ne": "2024-05-06T12:00:00Z"}}, "$ne of the field 'naive' is compared with a datetime that has"),
        ({"times": NOON}, "The value of the field 'times' is compared with a datetime without a zone"),
        (
            {"inner": {"when": NOON, "price": None}},
            "The value of the field 'inner' is compared with a datetime without",
        ),
        ({"plain": {"$lt": NOON.date()}}, "$lt of the field 'plain' is compared with a date, and holds datetimes"),
        ({"aware": "2024-05-06"}, "The value of the field 'aware' is compared with a date, and holds datetimes"),
        ({"day": {"$gt": NOON}}, "$gt of the field 'day' is compared with a datetime, and holds dates"),
        ({"inners": {"$elemMatch": {"when": NOON}}}, "The value of the field 'inners.when' is compared with"),
    ],
)
def test_what_cannot_be_compared_is_refused(filter_, says):
    with pytest.raises(InvalidQueryError) as caught:
        parse_filter(filter_, known_fields(Typed))
    assert str(caught.value).startswith(says)


EVERYWHERE = [
    {"prices": 10},
    {"prices": {"$elemMatch": {"$gt": 9.5, "$lt": "10.01"}}},
    {"prices": {"$all": [10, Decimal("2.0")]}},
    {"prices": {"$not": {"$lt": 2}}},
    {"prices.0": Decimal("10")},
    {"prices": ["10.00", Decimal(2)]},
    {"times": "2024-05-06T14:00:00+02:00"},
    {"times": {"$elemMatch": {"$gte": hours(0, EAST)}}},
    {"times": ["2024-05-06T14:00:00+02:00"]},
    {"inner": {"when": "2024-05-06T14:00:00+02:00", "price": 10}},
    {"inner.price": {"$in": [10, 11]}},
    {"inners": {"$elemMatch": {"when": "2024-05-06T14:00:00+02:00", "price": {"$gte": 10}}}},
    {"inners.price": 10.0},
    {"inners.0.when": hours(0, EAST).isoformat()},
    {"named.any": 10},
    {"$or": [{"price": 11}, {"$nor": [{"inner.price": {"$lt": 10}}]}]},
]


async def test_operands_are_typed_wherever_they_stand():
    async with await PoofCluster.create(":memory:") as cluster:
        typed, _ = await collections(cluster)
        inner = Inner(when=hours(0), price=Decimal("10"))
        doc = Typed(
            prices=[Decimal("10.00"), Decimal(2)],
            times=[hours(0)],
            inner=inner,
            inners=[inner],
            named={"any": "10.0"},
        )
        await typed.insert(doc)
        await typed.insert(Typed(prices=[Decimal(1)], inner=Inner(price=Decimal(9)), named={"any": Decimal(1)}))
        for names in ((), ("prices", "inner.price", "inners.price", "times", "named.any")):
            for name in names:
                await typed.create_index(name)
            for filter_ in EVERYWHERE:
                assert await typed.count_documents(filter_) == 1, filter_
                assert [found.model for found in await typed.find(filter_).to_list()] == [doc], filter_


async def test_operands_in_updates_are_typed_as_well():
    async with await PoofCluster.create(":memory:") as cluster:
        typed, _ = await collections(cluster)
        inners = [Inner(when=hours(n), price=Decimal(f"{n}.0")) for n in range(3)]

        async def becomes(update, **expected):
            await typed.delete_many({})
            start = {
                "price": "10.00",
                "aware": hours(1),
                "prices": ["1.0", "2.00", "3"],
                "times": [hours(0), hours(1)],
            }
            await typed.insert({**start, "inners": inners})
            filters = update.pop("filters", None)
            found = update.pop("filter", {})
            await typed.update_one(found, update, array_filters=filters)
            model = (await typed.find_one()).model
            assert {name: getattr(model, name) for name in expected} == expected

        one, two, three = Decimal("1.0"), Decimal("2.00"), Decimal(3)
        await becomes({"$pull": {"prices": 2}}, prices=[one, three])
        await becomes({"$pull": {"prices": Decimal("1.000")}}, prices=[two, three])
        await becomes({"$pull": {"prices": {"$gte": 2}}}, prices=[one])
        await becomes({"$pull": {"times": "2024-05-06T14:00:00+02:00"}}, times=[hours(1)])
        await becomes({"$pull": {"inners": {"when": "2024-05-06T14:00:00+02:00"}}}, inners=inners[1:])
        await becomes({"$pull": {"inners": {"price": {"$gt": 0}}}}, inners=inners[:1])
        await becomes({"$pullAll": {"prices": [1, "3.0"]}}, prices=[two])
        await becomes({"$addToSet": {"prices": {"$each": [2, Decimal("3.0"), "4", 4]}}}, prices=[one, two, three, 4])
        await becomes({"$addToSet": {"times": hours(1, EAST).isoformat()}}, times=[hours(0), hours(1)])
        await becomes({"$max": {"aware": "2024-05-06T14:30:00+02:00"}}, aware=hours(1))
        await becomes({"$min": {"aware": hours(0, EAST)}}, aware=hours(0))
        update = {"$set": {"inners.$[it].price": 7}, "filters": [{"it.when": {"$gte": hours(1, EAST).isoformat()}}]}
        await becomes(update, inners=[inners[0], *(one.model_copy(update={"price": 7}) for one in inners[1:])])
        await becomes({"$set": {"prices.$[it]": 7}, "filters": [{"it": {"$lte": 2}}]}, prices=[7, 7, 3])
        await becomes({"filter": {"prices": {"$gt": 1.5}}, "$set": {"prices.$": 9}}, prices=[1, 9, 3])
        await typed.update_one({"price": 5, "aware": "2024-05-06T14:00:00+02:00"}, {"$set": {"count": 1}}, upsert=True)
        assert await typed.count_documents({"price": "5.0", "aware": hours(0), "count": 1}) == 1


async def test_what_the_type_does_not_read_is_compared_as_it_is():
    async with await PoofCluster.create(":memory:") as cluster:
        typed, plain = await collections(cluster)
        old = {"aware": "soon", "price": "cheap", "key": 5, "day": "2024", "hour": "late"}
        await plain.insert(old)
        for name, value in old.items():
            assert await typed.count_documents({name: value}) == 1
