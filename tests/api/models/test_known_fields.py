"""A bound collection knows its fields: a name that its model does not store is refused, and the right one is named."""

from functools import partial
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, Json, RootModel, computed_field, model_serializer
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

from poof import DocumentId, F, InvalidQueryError, UpdateMany
from tests.support.people import open_cluster

pytestmark = pytest.mark.every_engine


class Line(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    unit_price: int = 0
    tags: list[str] = []


class Size(TypedDict):
    width: int


class Custom(BaseModel):
    inside: int = 0

    @model_serializer(mode="wrap")
    def write(self, handler):
        return handler(self)


class Kept(BaseModel):
    model_config = ConfigDict(extra="allow")

    known: int = 0


class Account(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    id: Annotated[str | None, DocumentId()] = None
    user_name: str = "x"
    is_admin: bool = False
    lines: list[Line] = []
    main_line: Line | None = None
    either: Line | Size | None = None
    sizes: tuple[Size, ...] = ()
    rows: list[list[Line]] = []
    settings: dict[str, Line] = {}
    anything: Any = None
    text: Json[dict[str, int]] = Field(default='{"a": 1}', validate_default=True)
    kept: Kept = Kept()
    custom: Custom = Custom()
    secret: str = Field(default="", exclude=True)
    old: "Account | None" = None

    @computed_field
    @property
    def shown(self) -> str:
        return self.user_name.upper()


REFUSED = [
    ("is_admin", "It is stored as 'isAdmin'"),
    ("isadmin", "Near it is 'isAdmin'"),
    ("user_nam", "Near it is 'userName'"),
    ("zzz", "It stores 'userName', 'isAdmin', "),
    ("secret", "It stores "),
    ("shown", "It stores "),
    ("_id", "The id of a document is '_objId'"),
    ("objId", "The id of a document is '_objId'"),
    ("id", "The id of a document is '_objId'"),
    ("isAdmin.x", "'isAdmin' holds no fields"),
    ("userName.0", "'userName' holds no fields"),
    ("lines.unit_price", "It is stored as 'lines.unitPrice'"),
    ("lines.0.unit_price", "It is stored as 'lines.0.unitPrice'"),
    ("lines.0.tags.0.x", "'lines.0.tags.0' holds no fields"),
    ("mainLine.unitprice", "Near it is 'mainLine.unitPrice'"),
    ("either.unit_price", "It is stored as 'either.unitPrice'"),
    ("either.height", "It stores "),
    ("sizes.height", "It stores 'sizes.width'"),
    ("rows.0.0.unit_price", "It is stored as 'rows.0.0.unitPrice'"),
    ("settings.any.unit_price", "It is stored as 'settings.any.unitPrice'"),
    ("old.is_admin", "It is stored as 'old.isAdmin'"),
    ("old.old.zzz", "It stores "),
    ("_objid", "It stores "),
]
TAKEN = [
    *("isAdmin", "_objId", "lines", "lines.unitPrice", "lines.0.unitPrice", "lines.tags.3", "mainLine", "either.width"),
    *("either.unitPrice", "sizes.1.width", "rows.0.1.unitPrice", "settings", "settings.any.unitPrice", "anything.x.y"),
    *("text", "text.a", "kept.known", "kept.else.x", "custom.renamed", "old.old.old.isAdmin", "old.id", "sizes.width"),
]


async def users(cluster, model=Account, **options):
    return await (await cluster.get_database("db")).get_collection("users", model, **options)


def calls(people, name):
    """Each way to name a field where the model must store it."""
    yield lambda: people.find({name: 1}).to_list()
    yield lambda: people.find_one({name: {"$ne": 1}})
    yield lambda: people.find_one({"$or": [{"isAdmin": True}, {"$nor": [{name: {"$gt": None}}]}]})
    yield lambda: people.find_one({name: {"$not": {"$in": [1]}}})
    yield lambda: people.find_one({name: {"$exists": True, "$regex": "x"}})
    yield lambda: people.count_documents({name: {"$all": []}})
    yield lambda: people.exists({name: None})
    yield lambda: people.find_one(sort=name)
    yield lambda: people.find_one(sort=[("isAdmin", 1), (name, -1)])
    yield lambda: people.find_one({}, [name])
    yield lambda: people.find_one({}, {name: {"$slice": 1}})
    yield lambda: people.distinct(name)
    yield lambda: people.distinct("isAdmin", {name: 1})
    yield lambda: people.create_index(name)
    yield lambda: people.create_index("isAdmin", where={name: 1})
    yield lambda: people.delete_many({name: {"$ne": True}})
    yield lambda: people.delete_one({name: 1})
    yield lambda: people.replace_one({name: 1}, {})
    yield lambda: people.find_one_and_delete({}, sort={name: 1})
    yield lambda: people.export_jsonl("never.jsonl", {name: 1})
    yield lambda: people.update_one({}, {"$rename": {"whatever": name}})
    yield lambda: people.bulk_write([UpdateMany({name: 1}, {"$set": {"isAdmin": True}})])
    yield lambda: people.find_one_and_update({}, {"$set": {name: 1}})
    for operator in ("$set", "$inc", "$max", "$push", "$pull", "$pullAll", "$setOnInsert", "$currentDate"):
        yield partial(people.update_many, {}, {operator: {name: [1]}}, upsert=True)


@pytest.mark.parametrize("name", ["is_admin", "lines.unit_price"])
async def test_no_call_takes_a_name_that_is_not_stored(name, in_memory):
    async with await open_cluster(in_memory) as cluster:
        people = await users(cluster)
        await people.insert(Account(is_admin=True))
        says = f"Account stores no field '{name}'. It is stored"
        for call in calls(people, name):
            with pytest.raises(InvalidQueryError, match=rf"^(Request 0.*: )?{says}"):
                await call()
        with pytest.raises(InvalidQueryError, match="Account stores no field"):
            people.find().sort(name)
        assert await people.count_documents({"isAdmin": True}) == 1
        assert await people.list_indexes() == []


async def test_an_error_names_what_is_meant(in_memory):
    async with await open_cluster(in_memory) as cluster:
        people = await users(cluster)
        for name, says in REFUSED:
            with pytest.raises(InvalidQueryError) as caught:
                people.find({name: 1})
            assert str(caught.value).startswith(f"Account stores no field '{name}'. {says}"), name
            assert str(caught.value).endswith('. A collection got with fields="any" takes any name.')


async def test_names_that_may_be_there_are_taken(in_memory):
    async with await open_cluster(in_memory) as cluster:
        people = await users(cluster)
        await people.insert(Account(lines=[Line(unit_price=3)]))
        for name in TAKEN:
            assert await people.find({name: "none"}, sort=name).to_list() == []
            await people.distinct(name)
            if name != "_objId":
                await people.create_index(name)
        with pytest.raises(InvalidQueryError, match=r"'lines.\$\[\].unit_price'. It is stored as"):
            await people.update_one({}, {"$inc": {"lines.$[].unit_price": 1}})
        filters = [{"line.unitPrice": {"$gt": 1}}]
        update = {"$inc": {"lines.$[].unitPrice": 1, "settings.x.unitPrice": 1}, "$push": {"lines.0.tags": "x"}}
        await people.update_one({"lines.unitPrice": 3}, {"$inc": {"lines.$.unitPrice": 1}})
        await people.update_one({}, {"$set": {"lines.$[line].unitPrice": 7}}, array_filters=filters)
        await people.update_one({}, {"$inc": update["$inc"]})
        await people.update_one({}, {"$push": update["$push"]})
        assert (await people.find_one()).model.lines == [Line(unit_price=8, tags=["x"])]


@pytest.mark.parametrize(
    "call",
    [
        lambda people: people.find_one({"lines": {"$elemMatch": {"unit_price": 1}}}),
        lambda people: people.find_one({"lines": {"$all": [{"$elemMatch": {"unit_price": 1}}]}}),
        lambda people: people.find_one({}, {"lines": {"$elemMatch": {"unit_price": 1}}}),
        lambda people: people.find_one({"mainLine": {"unit_price": 1}}),
        lambda people: people.find_one({"lines": {"$in": [{"tags": [], "unit_price": 1}]}}),
        lambda people: people.update_one({}, {"$pull": {"lines": {"unit_price": 1}}}),
        lambda people: people.update_one({}, {"$addToSet": {"lines": {"unit_price": 1}}}),
        lambda people: people.update_one({}, {"$push": {"lines": {"$each": [], "$sort": {"unit_price": 1}}}}),
        lambda people: people.update_one(
            {}, {"$set": {"lines.$[it].tags": []}}, array_filters=[{"it.unit_price": {"$gt": 1}}]
        ),
    ],
)
async def test_names_inside_elements_and_documents_are_known_as_well(call, in_memory):
    async with await open_cluster(in_memory) as cluster:
        with pytest.raises(InvalidQueryError, match=r"field '.*unit_price'. It is stored as '.*unitPrice'"):
            await call(await users(cluster))


async def test_migrations_reach_what_the_model_does_not_know(in_memory):
    async with await open_cluster(in_memory) as cluster:
        plain = await (await cluster.get_database("db")).get_collection("users")
        await plain.create_index("nick")
        await plain.insert_many([{"nick": "a", "gone": 1}, {"nick": 2}])
        people = await users(cluster)
        assert await people.count_documents({"nick": {"$exists": True, "$type": "string"}}) == 1
        assert await people.count_documents({"nick": {"$not": {"$exists": False}}}) == 2
        found = {"nick": {"$type": "string"}}
        assert (await people.update_many(found, {"$rename": {"nick": "userName"}})).modified_count == 1
        assert (await people.update_many({}, {"$unset": {"nick": 1, "gone": 1, "is_admin": 1}})).modified_count == 2
        assert await people.count_documents({"userName": "a"}) == 1
        assert await people.drop_index("nick_1")
        assert await people.find_one({}, {"userName": 1, "_id": 0, "_objId": 0}) is not None
        with pytest.raises(InvalidQueryError, match="'_objId'"):
            await people.find_one({}, {"_id": 1})


async def test_a_collection_may_take_any_name(in_memory):
    async with await open_cluster(in_memory) as cluster:
        people = await users(cluster, fields="any")
        await people.insert(Account())
        for name, _ in REFUSED:
            assert await people.count_documents({name: "none"}) == 0
        await people.update_one({}, {"$set": {"is_admin": True}})
        assert await people.count_documents({"is_admin": True}) == 1
        with pytest.raises(ValueError, match=r'^fields is "known" or "any"$'):
            await users(cluster, fields="none")


async def test_a_model_that_is_stored_as_a_dict_has_any_names(in_memory):
    async with await open_cluster(in_memory) as cluster:
        lines = await users(cluster, RootModel[dict[str, Line]])
        await lines.insert({"first": {"unitPrice": 2}})
        assert await lines.count_documents({"first.unitPrice": 2}) == 1
        with pytest.raises(InvalidQueryError, match=r"'first.unit_price'. It is stored as 'first.unitPrice'"):
            await lines.count_documents({"first.unit_price": 2})


async def test_a_sign_before_a_name_is_no_direction(open_collection):
    async with open_collection() as people:
        await people.insert_many([{"age": 1}, {"age": 2, "-age": 1}])
        for sort in ("-age", ["city", "-age"], "+age"):
            with pytest.raises(InvalidQueryError, match=r"names '[-+]age'. Write {'age': -?1} for the direction"):
                people.find().sort(sort)
            with pytest.raises(InvalidQueryError, match=r"^The index names"):
                await people.create_index(sort)
        found = await people.find(sort={"-age": -1}).to_list()
        assert [doc.data["age"] for doc in found] == [2, 1]


async def test_names_given_by_f_are_known_too(in_memory):
    async with await open_cluster(in_memory) as cluster:
        with pytest.raises(InvalidQueryError, match="It is stored as 'isAdmin'"):
            await (await users(cluster)).delete_many(F.is_admin != True)  # noqa: E712 - a condition
