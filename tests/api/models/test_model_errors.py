"""Validation errors say which field is wrong and why, and never with which value."""

import datetime
import enum
import pickle
import traceback
import uuid
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from poof import PoofCluster

pytestmark = pytest.mark.every_engine

SENTINEL = "sentinel-5f1c"


class User(BaseModel):
    name: str
    age: int = 0


class Color(enum.Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Checked(BaseModel):
    """One field for each way in which a value can fail."""

    number: int = 0
    day: datetime.date = datetime.date(2024, 1, 1)
    id: uuid.UUID = uuid.UUID(int=0)
    color: Color = Color.RED
    choice: Literal["a", "b"] = "a"
    short: Annotated[str, Field(max_length=3)] = ""
    pattern: Annotated[str, Field(pattern="^x$")] = "x"
    either: int | list[int] = 0
    user: User | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    custom: str = ""
    numbers: list[int] = []

    @field_validator("custom")
    @classmethod
    def _refuse(cls, value: str) -> str:
        if value:
            raise PydanticCustomError("my_type", "not {what}", {"what": "this"})
        return value


WRONG = {
    "number": SENTINEL,
    "day": SENTINEL,
    "id": SENTINEL,
    "color": SENTINEL,
    "choice": SENTINEL,
    "short": SENTINEL,
    "pattern": SENTINEL,
    "either": SENTINEL,
    "user": {"age": SENTINEL},
    "pet": {"kind": SENTINEL},
    "custom": SENTINEL,
    "numbers": [1, SENTINEL],
}


def assert_shows_nothing(error: BaseException) -> None:
    shown = str(error) + repr(error) + "".join(traceback.format_exception(error))
    assert SENTINEL not in shown
    assert SENTINEL not in str(error.errors() if isinstance(error, ValidationError) else "")
    assert SENTINEL.encode() not in pickle.dumps(error)


@pytest.mark.parametrize("field", WRONG)
async def test_a_validation_error_names_the_field_and_hides_the_value(open_collection, field):
    async with open_collection(model=Checked) as people:
        doc = await people.insert({})
        with pytest.raises(ValidationError) as inserting:
            await people.insert({field: WRONG[field]})
        with pytest.raises(ValidationError) as updating:
            await people.update(doc.objId, {field: WRONG[field]})
        for error in (inserting.value, updating.value):
            assert error.errors()[0]["loc"][0] == field
            assert field in str(error)
            assert_shows_nothing(error)


async def test_a_custom_error_keeps_its_type_and_text(open_collection):
    async with open_collection(model=Checked) as people:
        with pytest.raises(ValidationError) as caught:
            await people.insert({"custom": SENTINEL})
        [line] = caught.value.errors()
        assert (line["type"], line["msg"]) == ("my_type", "not this")


async def test_a_validators_own_value_error_keeps_its_text(open_collection):
    class Pair(BaseModel):
        low: int
        high: int

        @model_validator(mode="after")
        def _ordered(self) -> "Pair":
            if self.low > self.high:
                raise ValueError("low comes first")
            return self

    async with open_collection(model=Pair) as people:
        with pytest.raises(ValidationError, match="low comes first"):
            await people.insert({"low": 2, "high": 1})


async def test_what_is_already_stored_but_does_not_fit_shows_when_the_model_is_read(path, key):
    async with await PoofCluster.create(path, key) as cluster:
        database = await cluster.get_database("db")
        doc = await (await database.get_collection("people")).insert({"name": [SENTINEL]})
        users = await database.get_collection("people", model=User)
        found = await users.find_by_id(doc.objId)
        assert found.data == {"name": [SENTINEL]}
        with pytest.raises(ValidationError) as caught:
            found.model  # noqa: B018 - reading it is the test
        assert_shows_nothing(caught.value)
