"""What is stored reads back as the same, or is refused at the first write: by the name of the field, and what to do."""

import dataclasses
import datetime
import enum
import functools
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SerializeAsAny,
    ValidationError,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel

from poof import InvalidDocumentError, PoofCluster
from poof.models.binding import Binding

pytestmark = pytest.mark.every_engine

UTC = datetime.UTC
MOMENT = datetime.datetime(2024, 1, 1, tzinfo=UTC)


class Animal(BaseModel):
    name: str = ""


class Bird(Animal):
    wings: int = 2


class Fish(Animal):
    pass


class Kennel(BaseModel):
    dogs: list[Animal] = []


class Zoo(BaseModel):
    by_name: dict[str, SerializeAsAny[Animal]]


class One(BaseModel):
    value: int


class Two(BaseModel):
    value: int


class Ambiguous(BaseModel):
    either: One | Two


class OneWay(BaseModel):
    n: int = Field(0, serialization_alias="N")


class OneWayInside(BaseModel):
    items: dict[str, list[OneWay]] = {}


@dataclasses.dataclass
class OneWayDataclass:
    n: Annotated[int, Field(serialization_alias="N")] = 0


class HoldsOneWayDataclass(BaseModel):
    inside: OneWayDataclass = OneWayDataclass()


class Generated(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.upper(), serialize_by_alias=True)
    n: int = Field(0, validation_alias="m")


class Hashed(BaseModel):
    password: str

    @field_validator("password")
    @classmethod
    def _hash(cls, value: str) -> str:
        return f"hash of {value}"


class Stamped(BaseModel):
    count: int = 0

    @model_validator(mode="after")
    def _count(self) -> "Stamped":
        self.count += 1
        return self


class Lossy(BaseModel):
    kept: int = 0
    lost: int = 0

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {"kept": self.kept}


class Rounded(BaseModel):
    value: float

    @field_serializer("value")
    def _round(self, value: float) -> float:
        return round(value, 1)


class Loose(BaseModel):
    anything: Any


class Crossed(BaseModel):
    """`x` is read from `y` first, and so is `y`."""

    x: int = Field(validation_alias=AliasChoices("y", "x"))
    y: int = 5


class CrossedPath(BaseModel):
    x: int = Field(validation_alias=AliasPath("y", 0))
    y: list[int]


@dataclasses.dataclass
class Doubled:
    n: int

    def __post_init__(self) -> None:
        self.n *= 2


class HoldsDoubled(BaseModel):
    inside: Doubled


def assigned(model, **fields):
    for name, value in fields.items():
        setattr(model, name, value)
    return model


REFUSED = {
    "a one-sided alias": (OneWay(), "The field n of OneWay is stored as 'N' and not read back from there", "alias"),
    "one inside": (OneWayInside(), "The field n of OneWay is stored as 'N'", "validation_alias='N'"),
    "one of a dataclass": (HoldsOneWayDataclass(), "field n of OneWayDataclass is stored as 'N'", "validation_alias"),
    "one of a generator": (Generated(m=3), "The field n of Generated is stored as 'N'", "alias='N'"),
    "a subclass": (Kennel(dogs=[Animal(), Bird()]), "dogs.1 of Kennel holds a Bird", "discriminator"),
    "a subclass without fields": (Kennel(dogs=[Fish()]), "dogs.0 of Kennel holds a Fish", "discriminator"),
    "SerializeAsAny": (Zoo(by_name={"a": Bird()}), "by_name.a of Zoo holds a Bird", "SerializeAsAny"),
    "another member of a union": (Ambiguous(either=Two(value=1)), "either of Ambiguous holds a Two", "discriminator"),
    "a hash": (Hashed(password="sentinel"), "password of Hashed reads back as another value", "hashed before"),
    "a counter": (Stamped(), "count of Stamped reads back as another value", "before the model"),
    "a serializer of the model": (Lossy(lost=1), "lost of Lossy reads back as another value", "leaves something out"),
    "a serializer of the field": (Rounded(value=1.25), "value of Rounded reads back as another value", "writes it"),
    "a datetime in Any": (Loose(anything=MOMENT), "anything of Loose holds a datetime and reads back as a str", "type"),
    "crossed names": (assigned(Crossed(x=1), x=1, y=2), "x of Crossed", "reads back"),
    "a crossed path": (assigned(CrossedPath(y=[2]), x=1), "x of CrossedPath", "reads back"),
    "a __post_init__": (HoldsDoubled(inside=Doubled(1)), "inside.n of HoldsDoubled", "reads back"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_does_not_read_back_is_refused_by_every_write(open_collection, name):
    given, says, does = REFUSED[name]
    async with open_collection(model=type(given)) as collection:
        for write in (
            lambda: collection.insert(given),
            lambda: collection.insert_many([given]),
            lambda: collection.update("ABCDEFGHIJKL", given),
            lambda: collection.replace_one({}, given, upsert=True),
            lambda: collection.find_one_and_replace({}, given, upsert=True),
        ):
            with pytest.raises(InvalidDocumentError) as caught:
                await write()
            assert says in str(caught.value)
            assert does in str(caught.value)
            assert "sentinel" not in str(caught.value)
            assert "Nothing was stored." in str(caught.value)
        assert await collection.count_documents() == 0


async def test_an_update_that_does_not_read_back_is_refused():
    async with await PoofCluster.create(":memory:") as cluster:
        database = await cluster.get_database("db")
        await (await database.get_collection("users")).insert({"password": "x"})
        users = await database.get_collection("users", Hashed, fields="any")
        with pytest.raises(InvalidDocumentError, match="does not read back as the same") as caught:
            await users.update_one({}, {"$set": {"password": "sentinel"}})
        assert "sentinel" not in str(caught.value)
        await users.update_one({}, {"$set": {"other": 1}})
        assert (await users.find_one()).data == {"password": "x", "other": 1}


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    first_name: str


class Choices(BaseModel):
    x: int = Field(validation_alias=AliasChoices("a", AliasPath("b", 0)))


class ByValidator(BaseModel):
    """One-sided to look at; its validator reads what it writes."""

    n: int = Field(0, serialization_alias="N")

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, data: Any) -> Any:
        return {"n": data["N"]} if isinstance(data, dict) and "N" in data else data


class WrittenWhole(BaseModel):
    n: int = 0
    when: datetime.datetime = MOMENT

    @model_serializer(mode="wrap")
    def _write(self, write: Any) -> dict[str, Any]:
        return {**write(self), "version": 2}


class AsText(BaseModel):
    n: int

    @model_serializer
    def _write(self) -> str:
        return str(self.n)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        return {"n": int(data)} if isinstance(data, str) else data


class HoldsText(BaseModel):
    inside: AsText


class Lowered(BaseModel):
    email: str

    @field_validator("email", mode="wrap")
    @classmethod
    def _lower(cls, value: Any, validate: Any) -> str:
        return validate(value).strip().lower()


class Settings(enum.Enum):
    A = "a"


class Values(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    one: Settings = Settings.A


class Lax(BaseModel):
    price: Decimal = 0
    rate: float = 1
    by: dict[str, Decimal] = {"a": 1}


class Private(BaseModel):
    n: int = 0
    hidden: int = Field(0, exclude=True)
    _secret: int = PrivateAttr(1)

    @computed_field
    @property
    def double(self) -> int:
        return self.n * 2

    @functools.cached_property
    def once(self) -> object:
        return object()


class Following(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, validate_assignment=True)
    a: int
    b: int = Field(default_factory=lambda data: data["a"] + 1)


class OpenTimes(BaseModel):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, datetime.datetime]


class Circle(BaseModel):
    shape: Literal["circle"] = "circle"


class Square(BaseModel):
    shape: Literal["square"] = "square"
    side: int = 0


class Drawing(BaseModel):
    shapes: list[Annotated[Circle | Square, Field(discriminator="shape")]]


class Uncomparable:
    """As an array of NumPy: comparing gives no truth."""

    def __init__(self, items: list[int]) -> None:
        self.items = items

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]


class HoldsArray(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    array: Annotated[Uncomparable, PlainSerializer(lambda array: array.items)]

    @field_validator("array", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        return Uncomparable(value) if isinstance(value, list) else value


ItemT = TypeVar("ItemT")


class Box(BaseModel, Generic[ItemT]):
    item: ItemT


class Deferred(BaseModel):
    model_config = ConfigDict(defer_build=True)
    later: "list[Animal]"


def touched():
    model = Private(n=1)
    assert model.once is model.once
    model._secret = 9
    return model


READ_BACK = {
    "an alias generator": (Camel(firstName="A"), {"firstName": "A"}),
    "alias choices": (Choices(a=1), {"x": 1}),
    "names by a validator": (ByValidator(n=3), {"N": 3}),
    "a wrap serializer": (WrittenWhole(), {"n": 0, "when": "2024-01-01T00:00:00.000000Z", "version": 2}),
    "a model as text": (HoldsText(inside=AsText(n=3)), {"inside": "3"}),
    "a validator that settles": (Lowered(email=" A@B "), {"email": "a@b"}),
    "enum values": (Values(), {"one": "a"}),
    "numbers of another type": (Lax(), {"price": "0", "rate": 1.0, "by": {"a": "1"}}),
    "what is not stored": (touched(), {"n": 1}),
    "a default from other fields": (Following(a=1), {"a": 1, "b": 2}),
    "typed extra fields": (OpenTimes(when=MOMENT), {"when": "2024-01-01T00:00:00.000000Z"}),
    "a discriminator": (
        Drawing(shapes=[Square(), Circle()]),
        {"shapes": [{"shape": "square", "side": 0}, {"shape": "circle"}]},
    ),
    "what cannot be compared": (HoldsArray(array=Uncomparable([1, 2])), {"array": [1, 2]}),
    "a generic": (Box[Box[int]](item=Box[int](item=1)), {"item": {"item": 1}}),
    "a deferred model": (Deferred(later=[Animal(name="A")]), {"later": [{"name": "A"}]}),
    "an instance of the base": (Kennel(dogs=[Animal(name="A")]), {"dogs": [{"name": "A"}]}),
    "a member of a union": (Ambiguous(either=One(value=1)), {"either": {"value": 1}}),
    "a serializer that keeps": (Lossy(kept=1), {"kept": 1}),
}


@pytest.mark.parametrize("name", READ_BACK)
async def test_what_reads_back_is_stored(open_collection, name):
    given, stored = READ_BACK[name]
    async with open_collection(model=type(given), fields="any") as collection:
        doc = await collection.insert(given)
        assert doc.data == (await collection.find_by_id(doc.objId)).data == stored
        await collection.update(doc.objId, given)
        await collection.update_one({}, {"$set": {"a newer field": 1}})
        assert await collection.validate_all() == []


async def test_an_instance_that_was_changed_without_validation_is_compared(open_collection):
    class Counter(BaseModel):
        n: int = 0
        ok: bool = False

    async with open_collection(model=Counter) as collection:
        changed = Counter()
        changed.n = "7"
        with pytest.raises(InvalidDocumentError, match="n of Counter holds a str and reads back as a int"):
            await collection.insert(changed)
        changed.n = "sentinel"
        with pytest.raises(ValidationError, match="Counter, read back as it is stored") as caught:
            await collection.insert(changed)
        assert "sentinel" not in str(caught.value)


async def test_an_excluded_field_that_is_required_is_refused(open_collection):
    class Excluded(BaseModel):
        n: int = Field(exclude=True)

    async with open_collection(model=Excluded) as collection:
        with pytest.raises(ValidationError, match="read back as it is stored"):
            await collection.insert(Excluded(n=1))


def test_a_subclass_that_is_made_later_is_told_too():
    class Base(BaseModel):
        n: int = 0

    class Holder(BaseModel):
        base: Base

    binding = Binding(Holder, "c")
    assert binding.encode(Holder(base=Base()))[0] == {"base": {"n": 0}}

    class Later(Base):
        m: int = 0

    with pytest.raises(InvalidDocumentError, match="base of Holder holds a Later"):
        binding.encode(Holder(base=Later()))


async def test_a_document_of_a_subclass_is_compared_by_the_fields_of_its_collection(open_collection):
    class Other(Animal):
        name: str = Field("", serialization_alias="title")

    async with open_collection(model=Animal) as collection:
        doc = await collection.insert(Bird(name="A"))
        assert doc.data == {"name": "A", "wings": 2}
        with pytest.raises(InvalidDocumentError, match="name of Animal"):
            await collection.insert(Other(name="B"))
