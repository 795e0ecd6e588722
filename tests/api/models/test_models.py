"""Collections that are bound to a Pydantic model."""

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
async def test_a_bound_collection_gives_the_model_back(open_collection, path, data):
    async with open_collection(model=User, where=path) as people:
        doc = await people.insert(data)
        updated = await people.update(doc.objId, {"name": "Bob"})
        found = await people.find_by_id(doc.objId)
        [listed] = await people.find_all()
        assert (type(doc.model), doc.model) == (User, User(name="Alice", age=25))
        assert updated.model == found.model == listed.model == User(name="Bob", age=0)


async def test_the_model_is_made_once(open_collection):
    async with open_collection(model=User) as people:
        doc = await people.find_by_id((await people.insert({"name": "Alice"})).objId)
        assert doc.model is doc.model


async def test_a_document_of_an_unbound_collection_has_no_model(open_collection):
    async with open_collection() as people:
        doc = await people.insert(User(name="Alice"))
        with pytest.raises(NoModelError, match="bound to no model") as caught:
            doc.model  # noqa: B018 - reading it is the test
        assert isinstance(caught.value, TypeError)


async def test_a_bound_collection_says_its_model(open_collection):
    async with open_collection(model=User) as people:
        assert people.model is User


@pytest.mark.parametrize("model", ["User", User(name="x"), int, dict, list[User]], ids=repr)
async def test_only_a_model_class_can_be_bound(model):
    async with await PoofCluster.create(":memory:") as cluster:
        database = await cluster.get_database("db")
        with pytest.raises(TypeError, match="Pydantic model class"):
            await database.get_collection("people", model=model)


BAD_DATA = [{}, {"name": 7}, {"name": "x", "age": "many"}, {"name": None}, Stranger(name="x"), [], None, "text", 7]


@pytest.mark.parametrize("data", BAD_DATA, ids=repr)
async def test_data_that_does_not_fit_is_a_validation_error_and_changes_nothing(open_collection, data):
    async with open_collection(model=User) as people:
        doc = await people.insert({"name": "Alice"})
        with pytest.raises(ValidationError):
            await people.insert(data)
        with pytest.raises(ValidationError):
            await people.update(doc.objId, data)
        assert await people.find_all() == [doc]


async def test_the_model_converts_what_it_stores(open_collection):
    async with open_collection(model=User) as people:
        doc = await people.insert({"name": "Alice", "age": "25", "more": "ignored by the model"})
        assert doc.data == {"name": "Alice", "age": 25}


@pytest.mark.parametrize("model", [Rich, StrictRich])
async def test_rich_types_come_back_as_they_were(open_collection, model):
    async with open_collection(model=model) as people:
        for data in (RICH, model(**RICH)):
            doc = await people.insert(data)
            found = await people.find_by_id(doc.objId)
            assert doc.model == found.model == model(**RICH)
            assert found.data["when"] == "2024-05-06T07:08:09.000010Z"


async def test_a_changed_instance_that_no_longer_fits_is_refused(open_collection):
    async with open_collection(model=User) as people:
        user = User(name="Alice")
        user.age = "many"
        with pytest.raises(ValidationError):
            await people.insert(user)
        assert await people.find_all() == []


async def test_an_instance_made_without_validation_is_refused(open_collection):
    async with open_collection(model=User) as people:
        with pytest.raises(ValidationError):
            await people.insert(User.model_construct(age=3))
        assert await people.find_all() == []


async def test_an_instance_of_a_subclass_keeps_its_fields_in_the_data(open_collection):
    async with open_collection(model=User) as people:
        doc = await people.insert(Admin(name="Alice", rights=["all"]))
        assert doc.data == {"name": "Alice", "age": 0, "rights": ["all"]}
        assert doc.model == User(name="Alice")


async def test_a_generic_model_can_be_bound(open_collection):
    item_type = TypeVar("item_type")

    class Box(BaseModel, Generic[item_type]):
        items: list[item_type]

    async with open_collection(model=Box[datetime.date]) as people:
        doc = await people.insert(Box[datetime.date](items=[datetime.date(2024, 1, 2)]))
        assert (await people.find_by_id(doc.objId)).model == Box[datetime.date](items=["2024-01-02"])
        with pytest.raises(ValidationError):
            await people.insert({"items": ["no date"]})


async def test_nested_models_come_back(open_collection):
    team = create_model("Team", lead=(User, ...), members=(dict[str, list[User]], ...), boss=(User | None, None))
    async with open_collection(model=team) as people:
        given = team(lead=User(name="A"), members={"x": [User(name="B", age=1)]})
        doc = await people.insert(given)
        assert doc.data["members"] == {"x": [{"name": "B", "age": 1}]}
        assert (await people.find_by_id(doc.objId)).model == given


async def test_fields_are_stored_under_their_aliases_and_taken_under_alias_or_name(open_collection):
    class Aliased(BaseModel):
        first_name: str = Field(alias="firstName")
        years: int = Field(validation_alias="age", serialization_alias="age")

    async with open_collection(model=Aliased) as people:
        for data in ({"firstName": "A", "age": 1}, {"first_name": "A", "years": 1}, Aliased(firstName="A", age=1)):
            doc = await people.insert(data)
            assert doc.data == {"firstName": "A", "age": 1}
            assert (await people.find_by_id(doc.objId)).model == Aliased(firstName="A", age=1)


async def test_aliases_that_do_not_read_back_are_refused_when_stored(open_collection):
    class OneWay(BaseModel):
        name: str = Field(validation_alias="in", serialization_alias="out")

    async with open_collection(model=OneWay) as people:
        with pytest.raises(InvalidDocumentError, match="The field name of OneWay is stored as 'out' and not read back"):
            await people.insert({"in": "Alice"})
        assert await people.find_all() == []


async def test_computed_fields_are_not_stored_so_that_a_model_without_extras_reads_back(open_collection):
    class Square(BaseModel):
        model_config = ConfigDict(extra="forbid")
        side: int

        @computed_field
        @property
        def area(self) -> int:
            return self.side**2

    async with open_collection(model=Square) as people:
        doc = await people.insert(Square(side=3))
        assert doc.data == {"side": 3}
        assert (await people.find_by_id(doc.objId)).model.area == 9


async def test_extra_fields_of_a_model_that_allows_them_are_kept(open_collection):
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

    async with open_collection(model=Open) as people:
        doc = await people.insert({"any": {"thing": [1]}})
        assert doc.data == {"any": {"thing": [1]}}
        assert (await people.find_by_id(doc.objId)).model.any == {"thing": [1]}


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


async def test_one_collection_can_be_used_bound_and_unbound_at_once(key):
    async with await PoofCluster.create(":memory:", key) as cluster:
        database = await cluster.get_database("db")
        bound = await database.get_collection("people", model=User)
        unbound = await database.get_collection("people")
        await bound.insert({"name": "Alice"})
        await unbound.insert({"anything": 1})
        assert [doc.data for doc in await bound.find_all()] == [{"name": "Alice", "age": 0}, {"anything": 1}]
