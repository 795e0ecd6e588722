"""Collections that are bound to a Pydantic model."""

import asyncio
import datetime
import decimal
import enum
import uuid
from typing import Generic, TypeVar

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    computed_field,
    create_model,
    field_serializer,
)

from poof import InvalidDocumentError, NoModelError, PoofCluster

pytestmark = pytest.mark.every_engine

SENTINEL = "sentinel-5f1c"
UTC = datetime.UTC


class User(BaseModel):
    name: str
    age: int = 0


class Admin(User):
    rights: list[str] = []


class Stranger(BaseModel):
    name: str


class Color(enum.Enum):
    RED = "red"


class Rich(BaseModel):
    when: datetime.datetime
    naive: datetime.datetime
    day: datetime.date
    at: datetime.time
    took: datetime.timedelta
    id: uuid.UUID
    color: Color
    price: decimal.Decimal
    tags: set[str]
    pair: tuple[int, str]
    frozen: frozenset[uuid.UUID]
    maybe: datetime.datetime | None
    by_color: dict[Color, int]


class StrictRich(Rich):
    model_config = ConfigDict(strict=True)


RICH = {
    "when": datetime.datetime(2024, 5, 6, 7, 8, 9, 10, UTC),
    "naive": datetime.datetime(2024, 5, 6),
    "day": datetime.date(2024, 5, 6),
    "at": datetime.time(7, 8),
    "took": datetime.timedelta(days=1, microseconds=1),
    "id": uuid.UUID(int=7),
    "color": Color.RED,
    "price": decimal.Decimal("1.10"),
    "tags": {"b", "a"},
    "pair": (1, "a"),
    "frozen": frozenset({uuid.UUID(int=1)}),
    "maybe": None,
    "by_color": {Color.RED: 1},
}


@pytest.mark.parametrize("data", [{"name": "Alice", "age": 25}, User(name="Alice", age=25)], ids=["dict", "model"])
def test_a_bound_collection_gives_the_model_back(in_collection, path, data):
    async def story(people):
        doc = await people.insert(data)
        updated = await people.update(doc.objId, {"name": "Bob"})
        found = await people.find_by_id(doc.objId)
        [listed] = await people.find_all()
        assert (type(doc.model), doc.model) == (User, User(name="Alice", age=25))
        assert updated.model == found.model == listed.model == User(name="Bob", age=0)

    in_collection(story, model=User, where=path)


def test_the_model_is_made_once(in_collection):
    async def story(people):
        doc = await people.find_by_id((await people.insert({"name": "Alice"})).objId)
        assert doc.model is doc.model

    in_collection(story, model=User)


def test_a_document_of_an_unbound_collection_has_no_model(in_collection):
    async def story(people):
        doc = await people.insert(User(name="Alice"))
        with pytest.raises(NoModelError, match="bound to no model") as caught:
            doc.model  # noqa: B018 - reading it is the test
        assert isinstance(caught.value, TypeError)

    in_collection(story)


def test_a_bound_collection_says_its_model(in_collection):
    async def story(people):
        assert people.model is User

    in_collection(story, model=User)


@pytest.mark.parametrize("model", ["User", User(name="x"), int, dict, list[User]], ids=repr)
def test_only_a_model_class_can_be_bound(run, model):
    async def story():
        async with await PoofCluster.create(":memory:") as cluster:
            database = await cluster.get_database("db")
            with pytest.raises(TypeError, match="Pydantic model class"):
                await database.get_collection("people", model=model)

    run(story())


BAD_DATA = [{}, {"name": 7}, {"name": "x", "age": "many"}, {"name": None}, Stranger(name="x"), [], None, "text", 7]


@pytest.mark.parametrize("data", BAD_DATA, ids=repr)
def test_data_that_does_not_fit_is_a_validation_error_and_changes_nothing(in_collection, data):
    async def story(people):
        doc = await people.insert({"name": "Alice"})
        with pytest.raises(ValidationError):
            await people.insert(data)
        with pytest.raises(ValidationError):
            await people.update(doc.objId, data)
        assert await people.find_all() == [doc]

    in_collection(story, model=User)


def test_the_model_converts_what_it_stores(in_collection):
    async def story(people):
        doc = await people.insert({"name": "Alice", "age": "25", "more": "ignored by the model"})
        assert doc.data == {"name": "Alice", "age": 25}

    in_collection(story, model=User)


@pytest.mark.parametrize("model", [Rich, StrictRich])
def test_rich_types_come_back_as_they_were(in_collection, model):
    async def story(people):
        for data in (RICH, model(**RICH)):
            doc = await people.insert(data)
            found = await people.find_by_id(doc.objId)
            assert doc.model == found.model == model(**RICH)
            assert found.data["when"] == "2024-05-06T07:08:09.000010Z"

    in_collection(story, model=model)


def test_a_changed_instance_that_no_longer_fits_is_refused(in_collection):
    async def story(people):
        user = User(name="Alice")
        user.age = "many"
        with pytest.raises(ValidationError):
            await people.insert(user)
        assert await people.find_all() == []

    in_collection(story, model=User)


def test_an_instance_made_without_validation_is_refused(in_collection):
    async def story(people):
        with pytest.raises(ValidationError):
            await people.insert(User.model_construct(age=3))
        assert await people.find_all() == []

    in_collection(story, model=User)


def test_an_instance_of_a_subclass_keeps_its_fields_in_the_data(in_collection):
    async def story(people):
        doc = await people.insert(Admin(name="Alice", rights=["all"]))
        assert doc.data == {"name": "Alice", "age": 0, "rights": ["all"]}
        assert doc.model == User(name="Alice")

    in_collection(story, model=User)


def test_a_generic_model_can_be_bound(in_collection):
    item_type = TypeVar("item_type")

    class Box(BaseModel, Generic[item_type]):
        items: list[item_type]

    async def story(people):
        doc = await people.insert(Box[datetime.date](items=[datetime.date(2024, 1, 2)]))
        assert (await people.find_by_id(doc.objId)).model == Box[datetime.date](items=["2024-01-02"])
        with pytest.raises(ValidationError):
            await people.insert({"items": ["no date"]})

    in_collection(story, model=Box[datetime.date])


def test_nested_models_come_back(in_collection):
    team = create_model("Team", lead=(User, ...), members=(dict[str, list[User]], ...), boss=(User | None, None))

    async def story(people):
        given = team(lead=User(name="A"), members={"x": [User(name="B", age=1)]})
        doc = await people.insert(given)
        assert doc.data["members"] == {"x": [{"name": "B", "age": 1}]}
        assert (await people.find_by_id(doc.objId)).model == given

    in_collection(story, model=team)


def test_fields_are_stored_under_their_aliases_and_taken_under_alias_or_name(in_collection):
    class Aliased(BaseModel):
        first_name: str = Field(alias="firstName")
        years: int = Field(validation_alias="age", serialization_alias="age")

    async def story(people):
        for data in ({"firstName": "A", "age": 1}, {"first_name": "A", "years": 1}, Aliased(firstName="A", age=1)):
            doc = await people.insert(data)
            assert doc.data == {"firstName": "A", "age": 1}
            assert (await people.find_by_id(doc.objId)).model == Aliased(firstName="A", age=1)

    in_collection(story, model=Aliased)


def test_aliases_that_do_not_read_back_are_refused_when_stored(in_collection):
    class OneWay(BaseModel):
        name: str = Field(validation_alias="in", serialization_alias="out")

    async def story(people):
        with pytest.raises(InvalidDocumentError, match="The field name of OneWay is stored as 'out' and not read back"):
            await people.insert({"in": "Alice"})
        assert await people.find_all() == []

    in_collection(story, model=OneWay)


def test_computed_fields_are_not_stored_so_that_a_model_without_extras_reads_back(in_collection):
    class Square(BaseModel):
        model_config = ConfigDict(extra="forbid")
        side: int

        @computed_field
        @property
        def area(self) -> int:
            return self.side**2

    async def story(people):
        doc = await people.insert(Square(side=3))
        assert doc.data == {"side": 3}
        assert (await people.find_by_id(doc.objId)).model.area == 9

    in_collection(story, model=Square)


def test_extra_fields_of_a_model_that_allows_them_are_kept(in_collection):
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

    async def story(people):
        doc = await people.insert({"any": {"thing": [1]}})
        assert doc.data == {"any": {"thing": [1]}}
        assert (await people.find_by_id(doc.objId)).model.any == {"thing": [1]}

    in_collection(story, model=Open)


def test_a_secret_is_refused_unless_the_model_writes_it_out(in_collection, run):
    class Masked(BaseModel):
        token: SecretStr

    class WrittenOut(Masked):
        @field_serializer("token")
        def _write_out(self, token: SecretStr) -> str:
            return token.get_secret_value()

    async def masked(people):
        with pytest.raises(InvalidDocumentError, match="The field token is a masked secret"):
            await people.insert({"token": SENTINEL})

    async def written_out(people):
        doc = await people.insert({"token": SENTINEL})
        found = await people.find_by_id(doc.objId)
        assert found.model.token.get_secret_value() == SENTINEL

    in_collection(masked, model=Masked)
    in_collection(written_out, model=WrittenOut)


def test_one_collection_can_be_used_bound_and_unbound_at_once(key):
    async def story():
        async with await PoofCluster.create(":memory:", key) as cluster:
            database = await cluster.get_database("db")
            bound = await database.get_collection("people", model=User)
            unbound = await database.get_collection("people")
            await bound.insert({"name": "Alice"})
            await unbound.insert({"anything": 1})
            assert [doc.data for doc in await bound.find_all()] == [{"name": "Alice", "age": 0}, {"anything": 1}]

    asyncio.run(story())
