"""Updates of a collection that is bound to a model: what is stored after one fits the model, or nothing is changed."""

import asyncio
import contextlib
import datetime
import decimal
import enum
import uuid
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poof import DuplicateKeyError, Indexed, InvalidQueryError, PoofCluster, UpdateError, UpdateOne, UpdateResult
from tests.support.people import open_cluster

pytestmark = pytest.mark.every_engine

UTC = datetime.UTC
SENTINEL = "sentinel-5f1c"


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    city: str
    lines: list[str] = []


class User(BaseModel):
    name: str = Field(min_length=1)
    age: int = Field(default=0, ge=0)
    address: Address | None = None
    friends: list[Address] = []


class Rich(BaseModel):
    model_config = ConfigDict(strict=True)

    when: datetime.datetime
    id: uuid.UUID
    color: Color = Color.RED
    price: decimal.Decimal = decimal.Decimal("1.10")
    days: set[datetime.date] = set()


class Span(BaseModel):
    first: int
    last: int

    @model_validator(mode="after")
    def _in_order(self):
        if self.first > self.last:
            raise ValueError("a span begins before it ends")
        return self


@pytest.fixture(params=[False, True], ids=["outside", "inside"])
def bound_collection(request, where):
    """Opens a bound collection, outside and inside a transaction."""

    @contextlib.asynccontextmanager
    async def opened(model=User):
        async with await open_cluster(where) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people", model)
            async with cluster.transaction() if request.param else contextlib.nullcontext():
                yield people

    return opened


async def data(people):
    return [document.data for document in await people.find_all()]


@pytest.mark.parametrize("count", [3, 100])
@pytest.mark.parametrize(
    "update",
    [
        {"$set": {"age": "many"}},
        {"$inc": {"age": -5}},
        {"$unset": {"name": ""}},
        {"$set": {"address": {"lines": ["x"]}}},
        {"$push": {"friends": {"no": "city"}}},
        {"$set": {"name": None}},
    ],
    ids=repr,
)
async def test_an_update_whose_result_does_not_fit_changes_nothing(bound_collection, update, count):
    async with bound_collection() as people:
        await people.insert_many([{"name": f"{n}", "age": n} for n in range(count)])
        before = await people.find_all()
        for call in (people.update_many, people.update_one, people.find_one_and_update):
            with pytest.raises(ValidationError):
                await call({"age": {"$lt": count}}, update)
        with pytest.raises(ValidationError):
            await people.bulk_write([UpdateOne({}, {"$set": {"name": "new"}}), UpdateOne({"age": 1}, update)])
        assert await people.find_all() == before


async def test_one_document_that_does_not_fit_fails_the_whole_call_and_is_named(bound_collection):
    async with bound_collection() as people:
        await people.insert_many([{"name": f"{n}", "age": n} for n in range(100)])
        before = await people.find_all()
        with pytest.raises(ValidationError) as caught:
            await people.update_many({}, {"$inc": {"age": -1}, "$set": {"name": SENTINEL}})
        assert before[0].objId in str(caught.value)
        assert SENTINEL not in str(caught.value)
        assert await people.find_all() == before
        assert await people.update_many({"age": {"$gt": 0}}, {"$inc": {"age": -1}}) == UpdateResult(99, 99)


async def test_what_the_model_makes_of_an_update_is_stored(bound_collection):
    async with bound_collection() as people:
        await people.insert({"name": "Alice"})
        assert await people.update_one({}, {"$set": {"age": "7", "address": {"city": "Paris"}}}) == UpdateResult(1, 1)
        [document] = await people.find_all()
        address = {"city": "Paris", "lines": []}
        assert document.data == {"name": "Alice", "age": 7, "address": address, "friends": []}
        after = await people.find_one_and_update(
            {}, {"$push": {"friends": Address(city="Oslo")}}, return_document="after"
        )
        assert after.model == User(name="Alice", age=7, address=address, friends=[Address(city="Oslo")])
        assert await people.find_one({"address": Address(city="Paris")}) == after


async def test_a_value_that_the_model_turns_into_the_one_that_is_there_modifies_nothing(bound_collection):
    async with bound_collection() as people:
        await people.insert({"name": "Alice"})
        before = await people.find_all()
        assert await people.update_many({}, {"$set": {"age": "0"}}) == UpdateResult(1, 0)
        assert await people.find_one_and_update({}, {"$set": {"age": "0"}}, return_document="after") == before[0]
        assert await people.find_all() == before


async def test_replacements_fit_the_model(bound_collection):
    async with bound_collection() as people:
        await people.insert({"name": "Alice"})
        assert await people.replace_one({}, User(name="Bob", age=3)) == UpdateResult(1, 1)
        assert await people.replace_one({}, {"name": "Bob", "age": 3}) == UpdateResult(1, 0)
        assert (await people.find_one_and_replace({}, {"name": "Eve"}, return_document="after")).model == User(
            name="Eve"
        )
        for replacement in ({}, {"name": ""}, {"name": "x", "age": -1}, Address(city="Paris")):
            with pytest.raises(ValidationError):
                await people.replace_one({}, replacement)
            with pytest.raises(ValidationError):
                await people.find_one_and_replace({"name": "nobody"}, replacement, upsert=True)
        assert await data(people) == [{"name": "Eve", "age": 0, "address": None, "friends": []}]


async def test_an_upsert_fits_the_model(bound_collection):
    async with bound_collection() as people:
        result = await people.update_one({"name": "Alice"}, {"$inc": {"age": 2}}, upsert=True)
        assert (await people.find_by_id(result.upserted_id)).model == User(name="Alice", age=2)
        for filter_, update in [({"age": 5}, {"$set": {"age": 6}}), ({"name": "Bob"}, {"$set": {"age": -1}})]:
            for call in (people.update_one, people.update_many, people.find_one_and_update):
                with pytest.raises(ValidationError, match="the new document"):
                    await call(filter_, update, upsert=True)
        new = await people.find_one_and_update(
            {"name": "Eve"}, {"$set": {"age": 9}}, upsert=True, return_document="after"
        )
        assert new.model == User(name="Eve", age=9)
        assert await people.count_documents() == 2


async def test_a_rule_over_several_fields_is_judged_after_the_whole_update(bound_collection):
    async with bound_collection(Span) as people:
        await people.insert({"first": 1, "last": 5})
        assert await people.update_one({}, {"$set": {"first": 7, "last": 9}}) == UpdateResult(1, 1)
        with pytest.raises(ValidationError, match="begins before it ends"):
            await people.update_one({}, {"$inc": {"first": 3}})
        assert await data(people) == [{"first": 7, "last": 9}]


async def test_rich_values_in_filters_and_updates_of_a_strict_model(bound_collection):
    noon = datetime.datetime(2024, 5, 6, 12, tzinfo=UTC)
    days = {datetime.date(2024, 5, 7), datetime.date(2024, 5, 6)}
    async with bound_collection(Rich) as people:
        await people.insert(Rich(when=noon, id=uuid.UUID(int=7)))
        update = {"$set": {"color": Color.BLUE, "price": decimal.Decimal("2.50"), "days": days}}
        assert await people.update_one({"id": uuid.UUID(int=7), "color": Color.RED}, update) == UpdateResult(1, 1)
        assert await people.update_one({"when": noon, "color": Color.BLUE}, update) == UpdateResult(1, 0)
        update = {
            "$max": {"when": noon + datetime.timedelta(hours=1)},
            "$addToSet": {"days": datetime.date(2024, 5, 5)},
        }
        assert await people.update_one({"when": {"$lte": noon}}, update) == UpdateResult(1, 1)
        [document] = await people.find({"days": datetime.date(2024, 5, 6)}).to_list()
        assert document.model == Rich(
            when=noon + datetime.timedelta(hours=1),
            id=uuid.UUID(int=7),
            color=Color.BLUE,
            price=decimal.Decimal("2.50"),
            days=days | {datetime.date(2024, 5, 5)},
        )
        with pytest.raises(ValidationError):
            await people.update_one({}, {"$set": {"color": "green"}})
        assert await people.distinct("color") == ["blue"]


async def test_filters_and_updates_speak_of_fields_by_their_aliases(bound_collection):
    class Aliased(BaseModel):
        model_config = ConfigDict(extra="forbid")

        first_name: str = Field(alias="firstName")

    async with bound_collection(Aliased) as people:
        await people.insert({"first_name": "Alice"})
        assert await people.update_one({"firstName": "Alice"}, {"$set": {"firstName": "Bob"}}) == UpdateResult(1, 1)
        for update in ({"first_name": "Bob"}, {}), ({}, {"first_name": "Eve"}):
            with pytest.raises(InvalidQueryError, match="It is stored as 'firstName'"):
                await people.update_one(update[0], {"$set": update[1] or {"firstName": "Eve"}})
        assert (await people.find_one({"firstName": "Bob"})).model == Aliased(firstName="Bob")


async def test_an_update_that_does_not_apply_is_told_before_the_model_is_asked(bound_collection):
    async with bound_collection() as people:
        await people.insert({"name": "Alice"})
        with pytest.raises(UpdateError):
            await people.update_one({}, {"$inc": {"name": 1}})
        with pytest.raises(InvalidQueryError):
            await people.update_one({}, {"$sett": {"name": ""}})


async def test_a_declared_unique_index_refuses_an_update(bound_collection):
    class Account(BaseModel):
        email: Annotated[str, Indexed(unique=True)]

    async with bound_collection(Account) as people:
        await people.insert_many([{"email": "a"}, {"email": "b"}])
        with pytest.raises(DuplicateKeyError, match="email_1"):
            await people.update_one({"email": "a"}, {"$set": {"email": "b"}})
        with pytest.raises(DuplicateKeyError, match="email_1"):
            await people.update_one({"email": "b", "_objId": "ABCDEFGHIJKL"}, {"$set": {}}, upsert=True)
        assert await people.distinct("email") == ["a", "b"]


async def test_a_projection_of_a_bound_collection_has_data_and_no_model(bound_collection):
    async with bound_collection() as people:
        await people.insert({"name": "Alice", "age": 5})
        document = await people.find_one({}, ["age"])
        assert document.data == {"age": 5}
        with pytest.raises(ValidationError, match=document.objId):
            document.model  # noqa: B018 - reading it is the test
        assert (await people.find_one({}, ["name"])).model == User(name="Alice")


async def test_a_document_that_does_not_fit_any_more_can_be_updated_into_one_that_does():
    async with await PoofCluster.create(":memory:") as cluster:
        database = await cluster.get_database("db")
        await (await database.get_collection("people")).insert({"fullname": "Alice", "age": "old"})
        people = await database.get_collection("people", User)
        with pytest.raises(ValidationError):
            await people.update_one({}, {"$set": {"age": 3}})
        update = {"$set": {"age": 3}, "$rename": {"fullname": "name"}}
        assert await people.update_one({"fullname": {"$exists": True}}, update) == UpdateResult(1, 1)
        assert (await people.find_one()).model == User(name="Alice", age=3)


async def test_updates_beside_each_other_are_each_judged_alone(where):
    async with await open_cluster(where) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people", User)
        await people.insert({"name": "Alice", "age": 10})
        calls = [people.update_one({}, {"$inc": {"age": -1}}) for _ in range(30)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, ValidationError) for result in results) == 20
        assert (await people.find_one()).data["age"] == 0
