"""Documents as they are given: a `PoofDocument` is its data, `_objId` is the id, names with `$` are operators."""

import enum
import types

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from poof import (
    DuplicateKeyError,
    InsertOne,
    InvalidDocumentError,
    PoofDocument,
    ReplaceOne,
    UpdateOne,
)
from poof.errors import InvalidQueryError
from tests.support.people import collection, data

pytestmark = pytest.mark.every_engine

OWN = "order/2024-001:$~!"
OTHER = "AAAAAAAAAAAA"


class Pet(BaseModel):
    name: str


class Person(BaseModel):
    name: str
    pets: list[Pet] = []


@pytest.fixture
def of_pets(in_collection):
    """Runs a coroutine function on a collection with one document, whose data is a pet's, and on that document."""

    def run_story(function, model=None):
        async def story(people):
            await function(people, PoofDocument(objId=OTHER, data={"name": "Rex", "tags": ["a"]}))

        in_collection(story, model=model)

    return run_story


# Documents given as data.

GIVEN = {
    "insert": lambda people, pet: people.insert(pet),
    "insert_many": lambda people, pet: people.insert_many([pet]),
    "insert_many that skips": lambda people, pet: people.insert_many([pet], skip_duplicates=True),
    "update": lambda people, pet: people.update(OWN, pet),
    "replace_one": lambda people, pet: people.replace_one({}, pet),
    "find_one_and_replace": lambda people, pet: people.find_one_and_replace({}, pet),
    "an upsert": lambda people, pet: people.replace_one({"name": "nobody"}, pet, upsert=True),
    "InsertOne": lambda people, pet: people.bulk_write([InsertOne(pet)]),
    "ReplaceOne": lambda people, pet: people.bulk_write([ReplaceOne({}, pet)]),
    "migrate": lambda people, pet: people.migrate(lambda _data: pet),
}


@pytest.mark.parametrize("write", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("model", [None, Pet])
def test_a_document_that_is_given_as_data_means_its_data(of_pets, write, model):
    async def story(people, pet):
        await people.insert({"name": "old", "_objId": OWN})
        await write(people, pet)
        as_it_is = model is None or write is GIVEN["migrate"]  # which stores what its function returns
        assert (await data(people))[-1] == (pet.data if as_it_is else {"name": "Rex"})
        assert await people.find_by_id(OTHER) is None

    of_pets(story, model)


INSIDE = {
    "a field": lambda people, pet: people.insert({"pets": pet}),
    "an array": lambda people, pet: people.insert({"pets": [pet]}),
    "a tuple in a dict": lambda people, pet: people.insert({"pets": {"all": (pet, 1)}}),
    "a document in one": lambda people, pet: people.insert(PoofDocument(objId=OWN, data={"pets": [pet]})),
    "$set": lambda people, pet: people.update_one({}, {"$set": {"pets": pet}}, upsert=True),
    "$push": lambda people, pet: people.update_one({}, {"$push": {"pets": pet}}, upsert=True),
    "$push with $each": lambda people, pet: people.update_one({}, {"$push": {"pets": {"$each": [pet]}}}, upsert=True),
    "$addToSet": lambda people, pet: people.update_one({}, {"$addToSet": {"pets": pet}}, upsert=True),
    "UpdateOne": lambda people, pet: people.bulk_write([UpdateOne({}, {"$set": {"pets": pet}}, upsert=True)]),
}


@pytest.mark.parametrize("write", INSIDE.values(), ids=INSIDE)
def test_a_document_inside_of_data_means_its_data(of_pets, write):
    async def story(people, pet):
        await write(people, pet)
        pets = (await data(people))[0]["pets"]
        assert pets in (pet.data, [pet.data], {"all": [pet.data, 1]})
        found = await people.find({"$or": [{"pets": pet}, {"pets": {"$in": [pet]}}, {"pets.all": pet}]}).to_list()
        assert len(found) == 1

    of_pets(story)


def test_a_model_takes_documents_inside_of_data(of_pets):
    async def story(people, pet):
        doc = await people.insert({"name": "Ann", "pets": [pet]})
        assert doc.model == Person(name="Ann", pets=[Pet(name="Rex")])

    of_pets(story, Person)


async def test_a_collection_is_copied_under_new_ids(cluster, people):
    await people.insert_many([{"n": n, "nested": [{"n": n}]} for n in range(30)])
    copies = await collection(cluster, "copies")
    documents = await people.find_all()
    await copies.insert_many(documents)
    await copies.insert_many(people.find({"n": {"$lt": 5}}))
    assert await data(copies) == await data(people) + (await data(people))[:5]
    assert not {doc.objId for doc in documents} & {doc.objId for doc in await copies.find_all()}


# The id in data.

STORED = {
    "insert": lambda people, given: people.insert(given),
    "insert_many": lambda people, given: people.insert_many([given]),
    "insert_many that skips": lambda people, given: people.insert_many([given], skip_duplicates=True),
    "InsertOne": lambda people, given: people.bulk_write([InsertOne(given)]),
    "an upsert": lambda people, given: people.replace_one({"n": 9}, given, upsert=True),
    "an upsert with the same id": lambda people, given: people.replace_one(
        {"_objId": given["_objId"]}, given, upsert=True
    ),
    "find_one_and_replace": lambda people, given: people.find_one_and_replace({"n": 9}, given, upsert=True),
}


@pytest.mark.parametrize("write", STORED.values(), ids=STORED)
async def test_the_id_in_data_is_that_of_the_document_and_no_field(open_collection, write):
    async with open_collection() as people:
        for obj_id in (OWN, OTHER, "~" * 26):
            given = {"n": 1, "_objId": obj_id}
            await write(people, given)
            assert (await people.find_by_id(obj_id)).data == {"n": 1}
            assert await people.count_documents({"_objId": obj_id}) == 1
            assert given == {"n": 1, "_objId": obj_id}


@pytest.mark.parametrize("write", [STORED[name] for name in ("insert", "insert_many", "InsertOne", "an upsert")])
async def test_an_id_that_is_taken_is_refused(open_collection, write):
    async with open_collection() as people:
        await people.insert({"_objId": OWN, "n": 1})
        with pytest.raises(DuplicateKeyError) as caught:
            await write(people, {"_objId": OWN, "n": 2})
        error = caught.value
        assert (error.index, error.fields, error.obj_id) == (None, ("_objId",), OWN)
        assert await data(people) == [{"n": 1}]


@pytest.mark.parametrize("name", STORED)
async def test_what_cannot_be_an_id_is_refused(open_collection, name):
    async with open_collection() as people:
        for obj_id in ("", "short", "x" * 27, "with a space", "é" * 12, 123456789012, b"A" * 12, {}, True):
            with pytest.raises((InvalidDocumentError, InvalidQueryError)) as caught:
                await STORED[name](people, {"n": 1, "_objId": obj_id})
            assert "12 to 26 visible ASCII characters" in str(caught.value) or obj_id == b"A" * 12
        assert await data(people) == []


async def test_an_id_of_none_is_no_id(open_collection):
    async with open_collection() as people:
        doc = await people.insert({"_objId": None, "n": 1})
        assert (len(doc.objId) >= 12, doc.data) == (True, {"n": 1})


class Names(enum.Enum):
    ID = "_objId"


@pytest.mark.parametrize("given", [types.MappingProxyType({"_objId": OWN, "n": 1}), {Names.ID: OWN, "n": 1}])
def test_the_id_is_found_in_any_mapping(in_collection, given):
    async def story(people):
        doc = await people.insert(given)
        assert (doc.objId, doc.data) == (OWN, {"n": 1})
        assert await people.find_by_id(OWN) == doc

    in_collection(story)


REPLACED = {
    "update": lambda people, given: people.update(OWN, given),
    "replace_one": lambda people, given: people.replace_one({"n": 1}, given),
    "find_one_and_replace": lambda people, given: people.find_one_and_replace({"n": 1}, given),
    "ReplaceOne": lambda people, given: people.bulk_write([ReplaceOne({"n": 1}, given)]),
    "migrate": lambda people, given: people.migrate(lambda _data: given),
}


@pytest.mark.parametrize("write", REPLACED.values(), ids=REPLACED)
async def test_a_replacement_may_name_the_id_of_its_document_and_no_other(open_collection, write):
    async with open_collection() as people:
        await people.insert({"_objId": OWN, "n": 1})
        with pytest.raises(InvalidDocumentError, match="not that of the document"):
            await write(people, {"_objId": OTHER, "n": 2})
        assert await data(people) == [{"n": 1}]
        await write(people, {"_objId": OWN, "n": 2})
        assert (await people.find_by_id(OWN)).data == {"n": 2}


async def test_an_upsert_of_two_ids_is_refused(open_collection):
    async with open_collection() as people:
        with pytest.raises(InvalidDocumentError, match="not that of the document"):
            await people.replace_one({"_objId": OWN}, {"_objId": OTHER}, upsert=True)
        assert await data(people) == []


async def test_any_valid_id_may_be_upserted_and_be_that_of_a_document(open_collection):
    async with open_collection() as people:
        await people.update_one({"_objId": OWN}, {"$set": {"n": 1}}, upsert=True)
        assert await people.find_by_id(OWN) == PoofDocument(objId=OWN, data={"n": 1})


@pytest.mark.parametrize("obj_id", ["with a space", "é" * 12, "line\nbreak-12"])
def test_a_document_has_a_valid_id(obj_id):
    with pytest.raises(ValueError, match="objId"):
        PoofDocument(objId=obj_id, data={})


# Models and the id.


class WithId(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    id: str | None = Field(None, alias="_objId")
    name: str


class WithChoices(BaseModel):
    id: str | None = Field(None, validation_alias=AliasChoices("key", "_objId"), exclude=True)
    name: str


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


@pytest.mark.parametrize("model", [Strict, Loose, WithId, WithChoices])
async def test_a_model_is_not_asked_for_the_id_in_a_dict(open_collection, model):
    async with open_collection(model=model) as people:
        doc = await people.insert({"_objId": OWN, "name": "Ann"})
        assert (doc.objId, doc.data, doc.model.name) == (OWN, {"name": "Ann"}, "Ann")
        assert await people.update(OWN, {"_objId": OWN, "name": "Bob"}) == await people.find_by_id(OWN)
        assert await data(people) == [{"name": "Bob"}]


async def test_a_field_of_a_model_that_is_stored_as_the_id_is_the_id(open_collection):
    async with open_collection(model=WithId) as people:
        await people.insert(WithId(id=OWN, name="Ann"))
        await people.insert(WithId(name="Bob"))
        assert (await people.find_by_id(OWN)).data == {"name": "Ann"}
        assert await data(people) == [{"name": "Ann"}, {"name": "Bob"}]
        with pytest.raises(InvalidDocumentError, match="not that of the document"):
            await people.replace_one({"name": "Bob"}, WithId(id=OWN, name="Bob"))


async def test_a_model_may_require_the_id(open_collection):
    class Required(BaseModel):
        id: str = Field(alias="_objId")

    async with open_collection(model=Required) as people:
        own, new = await people.insert({"_objId": OWN}), await people.insert({})
        assert (own.objId, own.model.id, new.model.id) == (OWN, OWN, new.objId)
        assert await data(people) == [{}, {}]


# Names with $.

AS_DATA = GIVEN | {
    "a second name": lambda people, operators: people.update(OWN, {"n": 2, **operators}),
    "a mapping": lambda people, operators: people.insert(types.MappingProxyType(operators)),
}


@pytest.mark.parametrize("write", AS_DATA.values(), ids=AS_DATA)
@pytest.mark.parametrize("model", [None, Loose, Person])
async def test_operators_given_as_data_are_refused(open_collection, write, model):
    async with open_collection(model=model) as people:
        await people.insert({"_objId": OWN, "name": "old"})
        before = await people.find_all()
        with pytest.raises(InvalidDocumentError, match=r"'\$set'.*update_one"):
            await write(people, {"$set": {"name": "SENTINEL"}})
        assert await people.find_all() == before


async def test_a_model_whose_stored_name_is_an_operator_is_refused(open_collection):
    class Reference(BaseModel):
        ref: str = Field(alias="$ref")

    async with open_collection(model=Reference) as people:
        with pytest.raises(InvalidDocumentError, match=r"'\$ref'"):
            await people.insert(Reference(**{"$ref": "x"}))


async def test_names_with_a_dollar_elsewhere_are_stored(open_collection):
    async with open_collection() as people:
        doc = {"price$": 1, "a": {"$set": 1}, "b": [{"$ref": 2}]}
        await people.insert(doc)
        assert await data(people) == [doc]


async def test_imported_fields_of_such_names_stay_what_they_are(open_collection):
    async with open_collection() as people:
        await people.import_jsonl([f'{{"_objId": "{OWN}", "$_objId": "field", "$set": 1, "n": 1}}'])
        await people.update_one({}, {"$inc": {"n": 1}})
        assert await data(people) == [{"_objId": "field", "$set": 1, "n": 2}]
        assert (await people.migrate(lambda data: data)).modified_count == 0
        await people.migrate(lambda data: {**data, "n": 3})
        assert (await people.find_by_id(OWN)).data == {"_objId": "field", "$set": 1, "n": 3}
        with pytest.raises(InvalidDocumentError, match=r"'\$new'"):
            await people.migrate(lambda data: {**data, "$new": 1})
