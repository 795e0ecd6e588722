"""A model may ask for the id of its document, and a projection may be a model."""

import datetime
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from poof import DocumentId, InvalidDocumentError, PoofCluster

pytestmark = pytest.mark.every_engine


class User(BaseModel):
    id: Annotated[str | None, DocumentId()] = None
    name: str
    age: int = 0


class Required(BaseModel):
    id: Annotated[str, DocumentId]
    name: str


class InUnion(BaseModel):
    id: Annotated[str, DocumentId()] | None = None
    name: str


class Aliased(BaseModel):
    key: Annotated[str | None, DocumentId()] = Field(None, alias="_id")
    name: str


class Checked(BaseModel):
    """Compared at each write."""

    id: Annotated[str | None, DocumentId()] = None
    name: int | str


MARKED = [User, InUnion, Aliased, Checked]


def id_of(model):
    return model.key if isinstance(model, Aliased) else model.id


@pytest.mark.parametrize("model", MARKED)
async def test_the_id_is_filled_on_reading_and_not_stored(open_collection, model):
    async with open_collection(model=model) as users:
        given = await users.insert(model(name="A"))
        await users.insert({"name": "B"})
        await users.insert_many([model(name="C"), {"name": "D"}])
        documents = [given, *await users.find_all(), *await users.find().to_list(), await users.find_by_id(given.objId)]
        assert all(id_of(document.model) == document.objId for document in documents)
        assert all(document.data.keys().isdisjoint({"id", "_id", "key"}) for document in documents)


async def test_a_required_id_is_filled_on_reading(open_collection):
    async with open_collection(model=Required) as users:
        new, own = await users.insert({"name": "A"}), await users.insert({"name": "A", "id": "an-id-of-mine"})
        assert (new.model, own.model) == (Required(id=new.objId, name="A"), Required(id="an-id-of-mine", name="A"))
        assert (own.objId, new.data, own.data) == ("an-id-of-mine", {"name": "A"}, {"name": "A"})


@pytest.mark.parametrize("model", MARKED)
async def test_updates_and_replacements_leave_the_id_out(open_collection, model):
    async with open_collection(model=model) as users:
        doc = await users.insert({"name": "A"})
        instance = doc.model
        instance.name = "B"
        assert (await users.update(doc.objId, instance)).data["name"] == "B"
        await users.replace_one({}, instance)
        await users.update_one({"name": "B"}, {"$set": {"name": "C"}})
        found = await users.find_by_id(doc.objId)
        assert found.data.keys().isdisjoint({"id", "_id", "key"})
        assert (id_of(found.model), found.model.name) == (doc.objId, "C")
        assert await users.validate_all() == []


async def test_an_unbound_collection_does_not_store_the_id_either(open_collection):
    async with open_collection() as users:
        doc = await users.insert(User(id="an-id-of-mine", name="A"))
        assert (doc.objId, doc.data) == ("an-id-of-mine", {"name": "A", "age": 0})


async def test_in_a_model_inside_another_one_the_field_is_an_ordinary_one(open_collection):
    class Team(BaseModel):
        lead: User

    async with open_collection(model=Team) as teams:
        doc = await teams.insert(Team(lead=User(id="x", name="A")))
        assert doc.data == {"lead": {"id": "x", "name": "A", "age": 0}}
        assert doc.model.lead.id == "x"


async def test_two_marked_fields_are_refused(open_collection):
    class Two(BaseModel):
        a: Annotated[str | None, DocumentId()] = None
        b: Annotated[str | None, DocumentId()] = None

    with pytest.raises(InvalidDocumentError, match="a and b"):
        async with open_collection(model=Two):
            pass


class Address(BaseModel):
    city: str
    street: str = ""


class Person(BaseModel):
    name: str
    age: int
    address: Address | None = None
    addresses: list[Address] = []
    secret: str = ""


class City(BaseModel):
    city: str


class Small(BaseModel):
    id: Annotated[str, DocumentId()]
    name: str
    address: City | None
    addresses: list[City]


PERSON = Person(
    name="A", age=3, address=Address(city="Paris", street="x"), addresses=[Address(city="Oslo")], secret="hidden"
)


def test_a_model_as_a_projection_reads_only_its_fields(in_collection):
    async def story(people):
        doc = await people.insert(PERSON)
        data = {"name": "A", "address": {"city": "Paris"}, "addresses": [{"city": "Oslo"}]}
        small = Small(id=doc.objId, name="A", address=City(city="Paris"), addresses=[City(city="Oslo")])
        found = [
            *await people.find({}, Small).to_list(),
            *await people.find(projection=Small).sort("name").limit(1).to_list(),
            *[document async for document in people.find(projection=Small)],
            await people.find_one({"name": "A"}, Small, sort="name"),
            await people.find_one_and_update({}, {"$inc": {"age": 1}}, Small),
            await people.find_one_and_replace({}, PERSON, projection=Small, return_document="after"),
            await people.find_one_and_delete({}, Small),
        ]
        assert all(document.data == data and document.model == small for document in found)

    in_collection(story, model=Person)
    in_collection(story)


async def test_null_is_read_where_a_model_may_be_missing(open_collection):
    async with open_collection(model=Person) as people:
        await people.insert(Person(name="A", age=1))
        assert (await people.find_one(projection=Small)).model.address is None


async def test_a_misfit_of_a_projection_names_its_model_and_the_document(open_collection):
    async with open_collection() as people:
        doc = await people.insert({"name": 5, "address": None, "addresses": []})
        with pytest.raises(ValidationError, match=f"Small, document {doc.objId}"):
            (await people.find_one(projection=Small)).model  # noqa: B018 - reading it is the test


def projected(in_collection, model, stored):
    async def story(people):
        await people.insert(stored)
        found = await people.find_one(projection=model)
        return found.data, found.model

    return in_collection(story)


def test_names_under_which_the_model_reads_are_projected(in_collection):
    class Named(BaseModel):
        first: str = Field(alias="firstName")
        when: datetime.datetime

    data, model = projected(in_collection, Named, {"first": "A", "when": "2024-01-01T00:00:00.000000Z", "x": 1})
    assert data == {"first": "A", "when": "2024-01-01T00:00:00.000000Z"}
    assert model.first == "A"


def test_a_model_that_takes_any_field_reads_all(in_collection):
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        name: str

    class Anything(RootModel[dict[str, Any]]):
        pass

    for model in (Open, Anything):
        assert projected(in_collection, model, {"name": "A", "x": 1})[0] == {"name": "A", "x": 1}


def test_what_is_in_a_union_a_dict_or_a_model_that_holds_itself_is_read_whole(in_collection):
    class Tree(BaseModel):
        name: str
        below: list["Tree"] = []
        either: Address | City | None = None
        named: dict[str, City] = {}

    stored = {
        "name": "A",
        "below": [{"name": "B", "x": 1}],
        "either": {"city": "Paris", "x": 1},
        "named": {"a": {"city": "Oslo", "x": 1}},
    }
    data, model = projected(in_collection, Tree, {**stored, "x": 1})
    assert data == stored
    assert model.below[0].name == "B"


def test_a_model_with_a_validator_of_its_data_sees_its_own_fields(in_collection):
    class Total(BaseModel):
        a: int
        b: int

        @model_validator(mode="after")
        def _check(self) -> "Total":
            assert self.a < self.b
            return self

    assert projected(in_collection, Total, {"a": 1, "b": 2, "c": 3})[0] == {"a": 1, "b": 2}


async def test_a_projection_follows_a_collection_that_is_renamed():
    async with await PoofCluster.create(":memory:") as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert({"name": 5})
        await people.rename("humans")
        with pytest.raises(ValidationError, match="'humans'"):
            (await people.find_one(projection=City)).model  # noqa: B018 - reading it is the test
