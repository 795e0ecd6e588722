"""Updates change what they name; replacements by an instance and migrations lose nothing that a model does not know."""

import asyncio
import contextlib
import datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, ValidationError, model_validator

from poof import InvalidDocumentError, PoofCluster, ReplaceOne, UpdateMany, UpdateOne

UTC = datetime.UTC


class Wheel(BaseModel):
    size: int = 20
    brand: str = "none"


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    tricks: list[str] = []


class Rider(BaseModel):
    name: str
    age: int = 0
    wheel: Wheel = Wheel()
    spare: Wheel | None = None
    wheels: list[Wheel] = []
    named: dict[str, Wheel] = {}
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []
    seen: datetime.datetime | None = None
    numbers: list[int] = []
    tags: set[str] = set()


class Newer(Rider):
    """The model of a newer version of the program."""

    email: str = ""


STORED: dict[str, Any] = {
    "newer": [1, {"deep": None}],
    "name": "A",
    "age": 1,
    "wheel": {"size": 1, "newer": 1},
    "spare": {"newer": 2, "size": 2, "brand": "b"},
    "wheels": [{"size": 1, "newer": 3}, {"size": 2, "newer": 4}],
    "named": {"front": {"size": 1, "newer": 5}},
    "pet": {"kind": "dog", "newer": 6},
    "pets": [{"kind": "cat", "newer": 7}, {"kind": "dog", "newer": 8}],
    "numbers": [3, 1],
}


@pytest.fixture
def open_pair():
    """Opens one collection of the stored document, bound to `Rider` and unbound."""

    @contextlib.asynccontextmanager
    async def opened(stored=STORED, model=Rider):
        async with await PoofCluster.create(":memory:") as cluster:
            database = await cluster.get_database("db")
            plain = await database.get_collection("riders")
            doc = await plain.insert(stored)
            yield (await database.get_collection("riders", model, fields="any"), plain, doc.objId)

    return opened


@pytest.fixture
def pair(run):
    """Runs a coroutine function on one collection of the stored document, bound to `Rider` and unbound."""

    def run_story(story, stored=STORED, model=Rider):
        async def whole():
            async with await PoofCluster.create(":memory:") as cluster:
                database = await cluster.get_database("db")
                plain = await database.get_collection("riders")
                doc = await plain.insert(stored)
                await story(await database.get_collection("riders", model, fields="any"), plain, doc.objId)

        run(whole())

    return run_story


UPDATES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"$set": {"name": "B"}}, {"name": "B"}),
    ({"$set": {"age": "7"}}, {"age": 7}),
    ({"$inc": {"age": 2}}, {"age": 3}),
    ({"$mul": {"age": 5}}, {"age": 5}),
    ({"$min": {"age": 0}}, {"age": 0}),
    ({"$max": {"age": 8}}, {"age": 8}),
    ({"$unset": {"age": ""}}, {"age": ...}),
    ({"$unset": {"wheel": "", "pets": ""}}, {"wheel": ..., "pets": ...}),
    ({"$unset": {"newer": ""}}, {"newer": ...}),
    ({"$rename": {"age": "years"}}, {"age": ..., "years": 1}),
    ({"$rename": {"newer": "newest"}}, {"newer": ..., "newest": STORED["newer"]}),
    ({"$setOnInsert": {"age": 9}}, {}),
    ({"$set": {"newer.1.deep": 5}}, {"newer": [1, {"deep": 5}]}),
    ({"$set": {"other": {"x": 1}}}, {"other": {"x": 1}}),
    ({"$set": {"wheel.size": "5"}}, {"wheel": {"size": 5, "newer": 1}}),
    ({"$inc": {"spare.size": 1}}, {"spare": {"newer": 2, "size": 3, "brand": "b"}}),
    ({"$set": {"wheel": {"size": "6", "x": 1}}}, {"wheel": {"size": 6, "brand": "none", "x": 1}}),
    ({"$set": {"spare": None}}, {"spare": None}),
    ({"$set": {"wheel": Wheel(size=6)}}, {"wheel": {"size": 6, "brand": "none"}}),
    ({"$set": {"named.front.size": "4"}}, {"named": {"front": {"size": 4, "newer": 5}}}),
    (
        {"$set": {"named.back": {"size": 4}}},
        {"named": {"front": {"size": 1, "newer": 5}, "back": {"size": 4, "brand": "none"}}},
    ),
    ({"$unset": {"named.front": ""}}, {"named": {}}),
    ({"$set": {"wheels.1.size": "5"}}, {"wheels": [{"size": 1, "newer": 3}, {"size": 5, "newer": 4}]}),
    ({"$set": {"wheels.$[].size": "5"}}, {"wheels": [{"size": 5, "newer": 3}, {"size": 5, "newer": 4}]}),
    (
        {"$push": {"wheels": {"size": "3"}}},
        {"wheels": [{"size": 1, "newer": 3}, {"size": 2, "newer": 4}, {"size": 3, "brand": "none"}]},
    ),
    (
        {"$push": {"wheels": {"$each": [{"x": 1}], "$position": 0}}},
        {"wheels": [{"size": 20, "brand": "none", "x": 1}, {"size": 1, "newer": 3}, {"size": 2, "newer": 4}]},
    ),
    ({"$push": {"wheels": {"$each": [], "$sort": {"size": -1}}}}, {"wheels": STORED["wheels"][::-1]}),
    ({"$push": {"wheels": {"$each": [], "$slice": 1}}}, {"wheels": [{"size": 1, "newer": 3}]}),
    ({"$pull": {"wheels": {"size": 1}}}, {"wheels": [{"size": 2, "newer": 4}]}),
    ({"$pop": {"wheels": -1}}, {"wheels": [{"size": 2, "newer": 4}]}),
    ({"$addToSet": {"wheels": {"size": 1, "newer": 3}}}, {}),
    ({"$set": {"pet.newest": 1}}, {"pet": {"kind": "dog", "newer": 6, "newest": 1}}),
    ({"$set": {"pet": {"kind": "cat"}}}, {"pet": {"kind": "cat", "lives": 9}}),
    ({"$set": {"pets.0.lives": "3"}}, {"pets": [{"kind": "cat", "newer": 7, "lives": 3}, STORED["pets"][1]]}),
    ({"$push": {"pets": {"kind": "dog"}}}, {"pets": [*STORED["pets"], {"kind": "dog", "tricks": []}]}),
    ({"$set": {"seen": datetime.datetime(2024, 1, 1, tzinfo=UTC)}}, {"seen": "2024-01-01T00:00:00.000000Z"}),
    ({"$set": {"seen": "2024-01-01T01:00:00+01:00"}}, {"seen": "2024-01-01T00:00:00.000000Z"}),
    ({"$push": {"numbers": "2"}}, {"numbers": [3, 1, 2]}),
    ({"$set": {"numbers.0": "5"}}, {"numbers": [5, 1]}),
    ({"$pullAll": {"numbers": [3]}}, {"numbers": [1]}),
    ({"$addToSet": {"tags": {"$each": ["b", "a"]}}}, {"tags": ["a", "b"]}),
    ({"$set": {"tags": {"b", "a"}}}, {"tags": ["a", "b"]}),
]


def expected(change):
    after = {**STORED, **change}
    return {name: value for name, value in after.items() if value is not ...}


@pytest.mark.parametrize(("update", "change"), UPDATES, ids=[repr(update)[:70] for update, _ in UPDATES])
async def test_an_update_changes_what_it_names_and_nothing_else(open_pair, update, change):
    async with open_pair() as (bound, plain, obj_id):
        await bound.update_one({"name": "A"}, update)
        stored = (await plain.find_by_id(obj_id)).data
        assert stored == expected(change)
        assert [name for name in stored if name in STORED] == [name for name in STORED if name in stored]


CALLS = {
    "update_one": lambda c, f, u: c.update_one(f, u),
    "update_many": lambda c, f, u: c.update_many(f, u),
    "find_one_and_update": lambda c, f, u: c.find_one_and_update(f, u),
    "bulk_write one": lambda c, f, u: c.bulk_write([UpdateOne(f, u)]),
    "bulk_write many": lambda c, f, u: c.bulk_write([UpdateMany(f, u)]),
    "upsert": lambda c, f, u: c.update_one(f, u, upsert=True),
}


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_that_updates_keeps_what_the_model_does_not_know(open_pair, call):
    async with open_pair() as (bound, plain, obj_id):
        await CALLS[call](bound, {"wheels.size": 2}, {"$inc": {"age": 1}, "$set": {"wheels.$.size": "7"}})
        wheels = [{"size": 1, "newer": 3}, {"size": 7, "newer": 4}]
        assert (await plain.find_by_id(obj_id)).data == {**STORED, "age": 2, "wheels": wheels}


async def test_array_filters_name_elements_of_models(open_pair):
    async with open_pair() as (bound, plain, obj_id):
        await bound.update_one({}, {"$set": {"wheels.$[w].size": "9"}}, array_filters=[{"w.newer": 4}])
        wheels = [{"size": 1, "newer": 3}, {"size": 9, "newer": 4}]
        assert (await plain.find_by_id(obj_id)).data == {**STORED, "wheels": wheels}


MISFITS = [
    {"$set": {"age": "many"}},
    {"$unset": {"name": ""}},
    {"$rename": {"name": "title"}},
    {"$push": {"wheels": {"size": "x"}}},
    {"$set": {"pet.kind": "bird"}},
]


@pytest.mark.parametrize("update", MISFITS, ids=repr)
async def test_a_misfit_fails_the_call_and_changes_nothing(open_pair, update):
    async with open_pair() as (bound, plain, obj_id):
        for call in CALLS.values():
            with pytest.raises(ValidationError):
                await call(bound, {"name": "A"}, update)
        assert (await plain.find_by_id(obj_id)).data == STORED


async def test_only_the_new_elements_of_an_array_take_the_models_form(open_pair):
    class Log(BaseModel):
        times: list[datetime.datetime]

    async with open_pair({"times": ["2024-01-01T00:00:00+00:00"]}, Log) as (bound, plain, obj_id):
        await bound.update_one({}, {"$push": {"times": "2024-01-02T00:00:00+00:00"}})
        stored = (await plain.find_by_id(obj_id)).data["times"]
        assert stored == ["2024-01-01T00:00:00+00:00", "2024-01-02T00:00:00.000000Z"]


async def test_a_set_of_models_gets_new_elements_and_keeps_the_others(open_pair):
    class Point(BaseModel):
        model_config = ConfigDict(frozen=True)
        x: int
        y: int = 0

    class Shape(BaseModel):
        points: set[Point]

    async with open_pair({"points": [{"x": 1, "y": 0, "n": 1}]}, Shape) as (bound, plain, obj_id):
        await bound.update_one({}, {"$push": {"points": {"x": "2"}}})
        assert (await plain.find_by_id(obj_id)).data["points"] == [{"x": 1, "y": 0, "n": 1}, {"x": 2, "y": 0}]


def test_a_field_that_an_update_names_is_read_from_its_own_name(pair):
    class Person(BaseModel):
        name: str = Field(validation_alias=AliasChoices("fullname", AliasPath("names", 0), "name"))

    async def story(bound, plain, obj_id):
        await bound.update_one({}, {"$set": {"name": "B"}})
        assert (await bound.find_by_id(obj_id)).model.name == "B"
        assert (await plain.find_by_id(obj_id)).data == {"age": 1, "name": "B"}

    pair(story, {"fullname": "A", "age": 1}, Person)
    pair(story, {"names": ["A"], "age": 1}, Person)


async def test_a_dict_with_keys_of_another_form_is_stored_in_one_form(open_pair):
    class Counts(BaseModel):
        by_day: dict[datetime.date, int]

    async with open_pair({"by_day": {}}, Counts) as (bound, plain, obj_id):
        await bound.update_one({}, {"$set": {"by_day": {"2024-01-01T00:00:00": "1"}}})
        assert (await plain.find_by_id(obj_id)).data == {"by_day": {"2024-01-01": 1}}


async def _change_instance(bound, obj_id, write):
    model = (await bound.find_by_id(obj_id)).model
    model.age += 1
    model.wheel.size = 50
    model.wheels[1].brand = "changed"
    model.named["front"].size = 51
    model.pets[0].lives = 1
    await write(model)


REPLACEMENTS = {
    "update": lambda c, i, m: c.update(i, m),
    "replace_one": lambda c, i, m: c.replace_one({"_objId": i}, m),
    "find_one_and_replace": lambda c, i, m: c.find_one_and_replace({"_objId": i}, m),
    "ReplaceOne": lambda c, i, m: c.bulk_write([ReplaceOne({"_objId": i}, m)]),
    "migrate": lambda c, i, m: c.migrate(lambda _: m),
}


@pytest.mark.parametrize("call", REPLACEMENTS)
async def test_an_instance_replaces_what_its_model_knows_at_every_level(open_pair, call):
    async with open_pair() as (bound, plain, obj_id):
        await _change_instance(bound, obj_id, lambda model: REPLACEMENTS[call](bound, obj_id, model))
        data = (await plain.find_by_id(obj_id)).data
        assert data["newer"] == STORED["newer"]
        assert data["age"] == 2
        assert data["wheel"] == {"size": 50, "newer": 1, "brand": "none"}
        assert data["wheels"] == [
            {"size": 1, "newer": 3, "brand": "none"},
            {"size": 2, "newer": 4, "brand": "changed"},
        ]
        assert data["named"] == {"front": {"size": 51, "newer": 5, "brand": "none"}}
        assert data["pet"] == {"kind": "dog", "newer": 6, "tricks": []}
        assert data["pets"] == [{"kind": "cat", "newer": 7, "lives": 1}, {"kind": "dog", "newer": 8, "tricks": []}]


async def test_update_with_an_instance_returns_what_is_stored(open_pair):
    async with open_pair() as (bound, plain, obj_id):
        model = (await bound.find_by_id(obj_id)).model
        returned = await bound.update(obj_id, model.model_copy(update={"age": 9}))
        assert returned.data == (await plain.find_by_id(obj_id)).data
        assert returned.model.age == 9
        assert await bound.update("ABCDEFGHIJKL", model) is None


async def test_a_large_document_is_merged_as_a_small_one_is(open_pair):
    async with open_pair() as (bound, plain, obj_id):
        model = (await bound.find_by_id(obj_id)).model
        model.name = "x" * 3_000_000
        await bound.update(obj_id, model)
        model.name = "small"
        await bound.update(obj_id, model)
        assert (await plain.find_by_id(obj_id)).data["newer"] == STORED["newer"]


@pytest.mark.parametrize("call", [name for name in REPLACEMENTS if name != "migrate"])
@pytest.mark.parametrize("is_bound", [True, False])
async def test_a_dict_replaces_everything_and_so_does_any_data_in_an_unbound_collection(open_pair, call, is_bound):
    async with open_pair() as (bound, plain, obj_id):
        if is_bound:
            await REPLACEMENTS[call](bound, obj_id, {"name": "B", "wheels": [{"size": 1}]})
        else:
            await REPLACEMENTS[call](plain, obj_id, Rider(name="B"))
        assert not {"newer"} & (await plain.find_by_id(obj_id)).data.keys()


ELEMENTS = {
    "removed": (lambda w: w.pop(0), [4]),
    "moved": (lambda w: w.reverse(), [4, 3]),
    "inserted": (lambda w: w.insert(0, Wheel(size=9)), [None, 3, 4]),
    "appended": (lambda w: w.append(Wheel(size=9)), [3, 4, None]),
    "changed": (lambda w: setattr(w[0], "size", 8), [3, 4]),
    "all changed": (lambda w: [setattr(wheel, "size", 8) for wheel in w], [3, 4]),
    "removed and appended": (lambda w: (w.pop(0), w.append(Wheel(size=9))), [4, None]),
    "moved and changed": (lambda w: (w.reverse(), setattr(w[0], "size", 8)), [4, 3]),
    "replaced": (lambda w: w.__setitem__(slice(None), [Wheel(size=7), Wheel(size=8), Wheel(size=9)]), [None] * 3),
    "emptied": (lambda w: w.clear(), []),
}


@pytest.mark.parametrize("change", ELEMENTS)
async def test_an_element_of_a_list_keeps_its_own_unknown_fields(open_pair, change):
    edit, kept = ELEMENTS[change]
    wheels = [{"size": 1, "brand": "x", "newer": 3}, {"size": 2, "brand": "y", "newer": 4}]
    async with open_pair({"name": "A", "wheels": wheels}) as (bound, plain, obj_id):
        model = (await bound.find_by_id(obj_id)).model
        edit(model.wheels)
        await bound.update(obj_id, model)
        stored = (await plain.find_by_id(obj_id)).data["wheels"]
        assert [wheel.get("newer") for wheel in stored] == kept


async def test_what_the_instance_took_out_of_known_places_is_gone(open_pair):
    async with open_pair() as (bound, plain, obj_id):
        model = (await bound.find_by_id(obj_id)).model
        model.spare = None
        model.named.clear()
        model.pet = Cat()
        await bound.update(obj_id, model)
        data = (await plain.find_by_id(obj_id)).data
        assert (data["spare"], data["named"]) == (None, {})
        assert data["pet"] == {"kind": "cat", "newer": 6, "lives": 9}


async def test_a_validator_that_looks_at_old_fields_does_not_undo_a_replacement(open_pair):
    class Person(BaseModel):
        name: str

        @model_validator(mode="before")
        @classmethod
        def _read_old(cls, data: Any) -> Any:
            return {"name": data["fullname"]} if isinstance(data, dict) and "fullname" in data else data

    async with open_pair({"fullname": "A"}, Person) as (bound, _plain, obj_id):
        await bound.update(obj_id, Person(name="B"))
        assert (await bound.find_by_id(obj_id)).model.name == "B"


@pytest.mark.parametrize("extra", ["allow", "forbid", "ignore"])
def test_extra_decides_what_becomes_of_unknown_fields_in_a_dict_and_in_an_instance(pair, extra):
    class Open(BaseModel):
        model_config = ConfigDict(extra=extra)
        name: str

    async def story(bound, plain, obj_id):
        given = {"name": "B", "more": 1}
        if extra == "forbid":
            with pytest.raises(ValidationError):
                await bound.insert(given)
            with pytest.raises(ValidationError):
                await bound.update_one({}, {"$set": {"name": "B"}})
            with pytest.raises(ValidationError):
                await bound.update(obj_id, Open(name="B"))
            assert (await plain.find_by_id(obj_id)).data == {"name": "A", "newer": 1}
            return
        assert (await bound.insert(given)).data == (given if extra == "allow" else {"name": "B"})
        await bound.update_one({"name": "A"}, {"$set": {"name": "C"}})
        assert (await plain.find_by_id(obj_id)).data == {"name": "C", "newer": 1}
        await bound.update(obj_id, Open(name="D"))
        assert (await plain.find_by_id(obj_id)).data == (
            {"name": "D"} if extra == "allow" else {"name": "D", "newer": 1}
        )

    pair(story, {"name": "A", "newer": 1}, Open)


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_identity_migration_changes_nothing(open_pair, is_async):
    async def identity(data):
        await asyncio.sleep(0)
        return data

    async with open_pair() as (bound, plain, obj_id):
        result = await bound.migrate(identity if is_async else lambda data: data)
        assert (result.matched_count, result.modified_count) == (1, 0)
        assert list((await plain.find_by_id(obj_id)).data.items()) == list(STORED.items())


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_migration_stores_what_its_function_returns(open_pair, is_async):
    def change(data):
        data["added"] = {"when": datetime.datetime(2024, 1, 1, tzinfo=UTC)}
        del data["age"]
        return data

    async def change_later(data):
        await asyncio.sleep(0)
        return change(data)

    async with open_pair() as (bound, plain, obj_id):
        assert (await bound.migrate(change_later if is_async else change)).modified_count == 1
        after = {**STORED, "added": {"when": "2024-01-01T00:00:00.000000Z"}}
        del after["age"]
        assert (await plain.find_by_id(obj_id)).data == after


@pytest.mark.parametrize("made", [{"name": None}, {"wheels": []}, None, 5, "x"], ids=repr)
async def test_a_migration_to_what_does_not_fit_changes_nothing(open_pair, made):
    async with open_pair() as (bound, plain, obj_id):
        with pytest.raises((ValidationError, InvalidDocumentError)):
            await bound.migrate(lambda _: made)
        assert (await plain.find_by_id(obj_id)).data == STORED


async def test_an_older_program_that_shares_a_file_with_a_newer_one_loses_nothing(path, key):
    async with await PoofCluster.create(path, key) as newer, await PoofCluster.create(path, key) as older:
        new = await (await newer.get_database("db")).get_collection("riders", Newer)
        old = await (await older.get_database("db")).get_collection("riders", Rider)
        doc = await new.insert(Newer(name="A", email="a@b", wheels=[Wheel()]))
        model = (await old.find_by_id(doc.objId)).model
        model.age += 1
        await old.update(doc.objId, model)
        await old.update_one({"name": "A"}, {"$push": {"wheels": {"size": 5}}})
        await old.find_one_and_replace({"name": "A"}, model)
        await old.migrate(lambda data: {**data, "age": data["age"] + 1})
        await old.bulk_write([ReplaceOne({}, (await old.find_one()).model), UpdateMany({}, {"$inc": {"age": 1}})])
        found = (await new.find_by_id(doc.objId)).model
        assert found == Newer(name="A", age=3, email="a@b", wheels=[Wheel()])


async def test_programs_that_write_at_the_same_time_lose_nothing_of_each_other(path, key):
    async with await PoofCluster.create(path, key) as newer, await PoofCluster.create(path, key) as older:
        plain = await (await newer.get_database("db")).get_collection("riders")
        old = await (await older.get_database("db")).get_collection("riders", Rider)
        doc = await plain.insert({"name": "A", "count": 0})

        async def count():
            for _ in range(60):
                await plain.update_one({}, {"$inc": {"count": 1}})

        async def replace():
            for age in range(60):
                await old.update(doc.objId, Rider(name="A", age=age))

        await asyncio.gather(count(), replace())
        data = (await plain.find_by_id(doc.objId)).data
        assert (data["count"], data["age"]) == (60, 59)
