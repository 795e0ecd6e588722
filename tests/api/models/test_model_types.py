"""What Pydantic writes as JSON and reads back equal is stored, and is read back equal.

The types are those of Pydantic's documentation. What is stored is what Pydantic's JSON mode writes, but for times and
the order of sets.
"""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import json
import pathlib
import re
import uuid
import zoneinfo
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pydantic
import pydantic.dataclasses
import pytest
from pydantic import (
    AfterValidator,
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    Base64Str,
    Base64UrlBytes,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    DirectoryPath,
    Discriminator,
    FailFast,
    Field,
    FiniteFloat,
    FutureDate,
    HttpUrl,
    ImportString,
    InstanceOf,
    IPvAnyAddress,
    IPvAnyNetwork,
    Json,
    JsonValue,
    NaiveDatetime,
    OnErrorOmit,
    PastDate,
    PastDatetime,
    PlainSerializer,
    PositiveFloat,
    PostgresDsn,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    SkipValidation,
    StrictInt,
    StringConstraints,
    Tag,
    WrapSerializer,
    create_model,
)
from typing_extensions import TypeAliasType, TypedDict

from poof import InvalidDocumentError, PoofCluster
from poof.models.binding import Binding

UTC = datetime.UTC
MOMENT = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
NAIVE = datetime.datetime(2024, 5, 6, 7, 8, 9)
DAY = datetime.date(2024, 5, 6)
TIME = datetime.time(7, 8)
SPAN = datetime.timedelta(days=1, seconds=3, microseconds=7)
ID = uuid.UUID(int=5)
PARIS = zoneinfo.ZoneInfo("Europe/Paris")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    A = "a"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Point(BaseModel):
    model_config = ConfigDict(frozen=True)
    x: int
    when: datetime.datetime = MOMENT


@dataclasses.dataclass(frozen=True)
class Pair:
    x: int
    y: str = "a"


@dataclasses.dataclass
class Visit:
    x: int
    when: datetime.datetime
    times: list[datetime.time] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Slotted:
    when: datetime.datetime


@dataclasses.dataclass
class Renamed:
    when: Annotated[datetime.datetime, Field(alias="When")] = MOMENT


@pydantic.dataclasses.dataclass
class Checked:
    when: datetime.datetime
    numbers: set[int] = dataclasses.field(default_factory=set)


class Row(NamedTuple):
    x: int
    when: datetime.datetime


class Typed(TypedDict):
    a: int
    when: datetime.datetime


class Inner(BaseModel):
    a: int = 0
    when: datetime.datetime = MOMENT


class Other(BaseModel):
    b: str


class Tree(BaseModel):
    value: int
    below: "list[Tree]" = []
    next: "Tree | None" = None


ItemT = TypeVar("ItemT")


class Box(BaseModel, Generic[ItemT]):
    item: ItemT
    items: list[ItemT] = []


class Numbers(RootModel[list[int]]):
    pass


class Times(RootModel[dict[str, datetime.datetime]]):
    pass


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"


class Holder(BaseModel):
    points: set[Point]
    when: datetime.datetime = MOMENT


class Paint:
    """A type of a user's own, with a serializer and a validator."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Paint) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def kind_of(value: Any) -> str:
    return value.get("kind") if isinstance(value, dict) else value.kind


PaintField = Annotated[
    Paint,
    PlainSerializer(lambda paint: paint.name),
    BeforeValidator(lambda value: Paint(value) if isinstance(value, str) else value),
]
Called = Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)]
Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

TYPES: dict[str, tuple[Any, Any]] = {
    "bool": (bool, True),
    "int": (int, 2**63 - 1),
    "float": (float, 1.5),
    "whole float": (float, 3.0),
    "str": (str, "é\x00"),
    "None": (None, None),
    "bytes": (bytes, b"abc"),
    "complex": (complex, 1 + 2j),
    "Fraction": (fractions.Fraction, fractions.Fraction(1, 3)),
    "Decimal": (decimal.Decimal, decimal.Decimal("1.10")),
    "Decimal exponent": (decimal.Decimal, decimal.Decimal("1E+5")),
    "Decimal infinity": (Annotated[decimal.Decimal, Field(allow_inf_nan=True)], decimal.Decimal("Infinity")),
    "datetime": (datetime.datetime, MOMENT),
    "datetime in a zone": (datetime.datetime, MOMENT.astimezone(PARIS)),
    "naive datetime": (datetime.datetime, NAIVE),
    "AwareDatetime": (AwareDatetime, MOMENT),
    "NaiveDatetime": (NaiveDatetime, NAIVE),
    "PastDatetime": (PastDatetime, MOMENT),
    "date": (datetime.date, DAY),
    "PastDate": (PastDate, datetime.date(2000, 1, 1)),
    "FutureDate": (FutureDate, datetime.date(2999, 1, 1)),
    "time": (datetime.time, TIME),
    "aware time": (datetime.time, datetime.time(7, tzinfo=UTC)),
    "timedelta": (datetime.timedelta, -SPAN),
    "UUID": (uuid.UUID, ID),
    "Enum": (Color, Color.RED),
    "IntEnum": (Number, Number.ONE),
    "StrEnum": (Word, Word.A),
    "Flag": (Rights, Rights.READ | Rights.WRITE),
    "Literal": (Literal["a", 1, None, True], True),
    "Path": (pathlib.Path, pathlib.Path("/a/b")),
    "PurePath": (pathlib.PurePosixPath, pathlib.PurePosixPath("a/b")),
    "DirectoryPath": (DirectoryPath, pathlib.Path("/")),
    "IPv4Address": (ipaddress.IPv4Address, ipaddress.ip_address("1.2.3.4")),
    "IPv6Address": (ipaddress.IPv6Address, ipaddress.ip_address("::1")),
    "IPv4Network": (ipaddress.IPv4Network, ipaddress.ip_network("1.2.3.0/24")),
    "IPv4Interface": (ipaddress.IPv4Interface, ipaddress.ip_interface("1.2.3.4/24")),
    "IPvAnyAddress": (IPvAnyAddress, "1.2.3.4"),
    "IPvAnyNetwork": (IPvAnyNetwork, "1.2.3.0/24"),
    "AnyUrl": (AnyUrl, "http://a.b/c"),
    "HttpUrl": (HttpUrl, "http://a.b"),
    "PostgresDsn": (PostgresDsn, "postgres://u:p@h/db"),
    "Pattern": (re.Pattern, re.compile("a+")),
    "ZoneInfo": (zoneinfo.ZoneInfo, PARIS),
    "Base64Bytes": (Base64Bytes, b"/////w=="),
    "Base64Str": (Base64Str, "aGVsbG8="),
    "Base64UrlBytes": (Base64UrlBytes, b"aGVsbG8="),
    "ByteSize": (ByteSize, "1KiB"),
    "Json": (Json, '{"a": [1, 2]}'),
    "Json[list]": (Json[list[int]], "[1, 2]"),
    "Json[datetime]": (Json[datetime.datetime], '"2024-01-01T00:00:00Z"'),
    "ImportString": (ImportString, "math.cos"),
    "StrictInt": (StrictInt, 5),
    "PositiveFloat": (PositiveFloat, 1.0),
    "FiniteFloat": (FiniteFloat, 1.0),
    "StringConstraints": (Annotated[str, StringConstraints(strip_whitespace=True, to_upper=True)], " ab"),
    "FailFast": (Annotated[list[int], FailFast()], [1]),
    "InstanceOf": (InstanceOf[int], 5),
    "SkipValidation": (SkipValidation[int], 5),
    "OnErrorOmit": (list[OnErrorOmit[int]], [1]),
    "NewType": (NewType("Age", int), 3),
    "TypeAliasType": (TypeAliasType("Moments", list[datetime.datetime]), [MOMENT]),
    "list": (list, [1, "a", None]),
    "list of datetimes": (list[datetime.datetime], [MOMENT, MOMENT]),
    "tuple": (tuple[int, str], (1, "a")),
    "tuple of any length": (tuple[datetime.datetime, ...], (MOMENT,)),
    "empty tuple": (tuple[()], ()),
    "set": (set, {1, "a"}),
    "set[int]": (set[int], {3, 1, 2}),
    "set of datetimes": (set[datetime.datetime], {MOMENT, MOMENT + SPAN}),
    "frozenset": (frozenset[str], frozenset("abc")),
    "set of UUIDs": (set[uuid.UUID], {ID, uuid.UUID(int=9)}),
    "set of enums": (set[Color], {Color.RED, Color.BLUE}),
    "set of tuples": (set[tuple[int, datetime.datetime]], {(1, MOMENT), (2, MOMENT)}),
    "set of frozensets": (set[frozenset[int]], {frozenset({2, 1}), frozenset({3})}),
    "set of frozen models": (set[Point], {Point(x=2), Point(x=1)}),
    "frozenset of frozen dataclasses": (frozenset[Pair], frozenset({Pair(2), Pair(1)})),
    "list of sets of frozen models": (list[set[Point]], [{Point(x=1), Point(x=2)}]),
    "models with sets of frozen models": (list[Holder], [Holder(points={Point(x=9), Point(x=1)})]),
    "deque": (deque[datetime.datetime], deque([MOMENT])),
    "deque of a length": (deque[int], deque([1, 2], maxlen=5)),
    "dict": (dict, {"a": 1}),
    "dict by int": (dict[int, int], {1: 2}),
    "dict by UUID": (dict[uuid.UUID, str], {ID: "a"}),
    "dict by date": (dict[datetime.date, int], {DAY: 1}),
    "dict by datetime": (dict[datetime.datetime, int], {MOMENT: 1}),
    "dict by time": (dict[datetime.time, int], {TIME: 1}),
    "dict by enum": (dict[Color, datetime.datetime], {Color.RED: MOMENT}),
    "dict by IntEnum": (dict[Number, int], {Number.ONE: 1}),
    "dict by bool": (dict[bool, int], {True: 1, False: 0}),
    "dict by float": (dict[float, int], {1.5: 1}),
    "dict by Decimal": (dict[decimal.Decimal, int], {decimal.Decimal("1.50"): 1}),
    "dict by timedelta": (dict[datetime.timedelta, int], {SPAN: 1}),
    "dict by path": (dict[pathlib.Path, int], {pathlib.Path("a"): 1}),
    "dict by bytes": (dict[bytes, int], {b"a": 1}),
    "dict by literal": (dict[Literal["a", "b"], int], {"a": 1}),
    "dict by IP": (dict[ipaddress.IPv4Address, int], {ipaddress.IPv4Address("1.2.3.4"): 1}),
    "dict by URL": (dict[AnyUrl, int], {AnyUrl("http://a.b/"): 1}),
    "dict of dicts": (dict[int, dict[uuid.UUID, datetime.datetime]], {1: {ID: MOMENT}}),
    "dict[str, Any]": (dict[str, Any], {"a": [1, {"b": 2.5}]}),
    "defaultdict": (collections.defaultdict[str, list[int]], {"a": [1]}),
    "OrderedDict": (collections.OrderedDict[str, int], collections.OrderedDict(b=1, a=2)),
    "Counter": (collections.Counter[str], collections.Counter("aab")),
    "Mapping": (Mapping[str, datetime.datetime], {"a": MOMENT}),
    "MutableMapping": (MutableMapping[int, datetime.datetime], {1: MOMENT}),
    "Sequence": (Sequence[datetime.datetime], [MOMENT]),
    "MutableSequence": (MutableSequence[int], [1]),
    "Set": (AbstractSet[int], {1, 2}),
    "Hashable": (Hashable, "a"),
    "NamedTuple": (Row, Row(1, MOMENT)),
    "namedtuple": (collections.namedtuple("Untyped", "a b"), (1, 2)),
    "list of NamedTuples": (list[Row], [Row(1, MOMENT)]),
    "TypedDict": (Typed, {"a": 1, "when": MOMENT}),
    "dataclass": (Visit, Visit(1, MOMENT, [TIME])),
    "list of dataclasses": (list[Visit], [Visit(1, MOMENT)]),
    "dataclass with slots": (Slotted, Slotted(MOMENT)),
    "frozen dataclass": (Pair, Pair(1)),
    "dataclass with aliases": (Renamed | list[Renamed] | None, [Renamed(MOMENT)]),
    "Pydantic dataclass": (Checked, Checked(MOMENT, {3, 1})),
    "model": (Inner, Inner()),
    "list of models": (list[Inner], [Inner(), Inner(a=3)]),
    "dict of models": (dict[str, Inner], {"a": Inner()}),
    "optional model": (Inner | None, Inner()),
    "no model": (Inner | None, None),
    "union of models": (Other | Inner, Inner(a=4)),
    "discriminated union": (Pet, Dog()),
    "list of discriminated unions": (list[Pet], [Dog(), Cat()]),
    "callable discriminator": (Called, Cat()),
    "recursive model": (Tree, Tree(value=1, below=[Tree(value=2)], next=Tree(value=3))),
    "generic model": (Box[datetime.datetime], Box[datetime.datetime](item=MOMENT, items=[MOMENT])),
    "unbound generic model": (Box, Box(item=1)),
    "RootModel": (Numbers, Numbers([1])),
    "RootModel of datetimes": (Times, Times({"a": MOMENT})),
    "int or str": (int | str, "5"),
    "int or float": (int | float, 1.0),
    "datetime or str": (datetime.datetime | str, MOMENT),
    "UUID or str": (uuid.UUID | str, ID),
    "date or datetime": (datetime.date | datetime.datetime, MOMENT),
    "datetime or date": (datetime.datetime | datetime.date, DAY),
    "Any": (Any, [1, {"a": None}]),
    "object": (object, {"a": 1}),
    "JsonValue": (JsonValue, {"a": [1, None]}),
    "serializer": (Annotated[int, PlainSerializer(str)], 5),
    "serializer for JSON": (Annotated[int, PlainSerializer(str, return_type=str, when_used="json")], 5),
    "list with a serializer for JSON": (list[Annotated[int, PlainSerializer(str, when_used="json")]], [5]),
    "serializer to a timestamp": (
        Annotated[datetime.datetime, PlainSerializer(lambda value: value.timestamp(), when_used="json")],
        MOMENT,
    ),
    "wrap serializer": (Annotated[datetime.datetime, WrapSerializer(lambda value, write: write(value))], MOMENT),
    "validator before": (Annotated[int, BeforeValidator(lambda value: value)], 5),
    "validator after": (Annotated[str, AfterValidator(str.upper)], "a"),
    "SerializeAsAny": (SerializeAsAny[Inner], Inner()),
    "a type of one's own": (PaintField, Paint("red")),
    "SecretStr with a serializer": (
        Annotated[SecretStr, PlainSerializer(lambda value: value.get_secret_value())],
        SecretStr("x"),
    ),
}

CONFIGS: dict[str, ConfigDict] = {
    "": ConfigDict(),
    "strict": ConfigDict(strict=True),
    "base64": ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"),
    "hex": ConfigDict(ser_json_bytes="hex", val_json_bytes="hex"),
    "float timedelta": ConfigDict(ser_json_timedelta="float"),
    "enum values": ConfigDict(use_enum_values=True),
    "frozen": ConfigDict(frozen=True),
    "validate_assignment": ConfigDict(validate_assignment=True, extra="forbid", revalidate_instances="always"),
    "allow": ConfigDict(extra="allow"),
}


def make(name, config):
    annotation, value = TYPES[name]
    model = create_model("Model", __config__=ConfigDict(arbitrary_types_allowed=True) | config, field=(annotation, ...))
    return model, model(field=value)


def is_refused_by_pydantic(name, config):
    try:
        model, given = make(name, config)
        return model.model_validate_json(given.model_dump_json(by_alias=True, round_trip=True)) != given
    except ValueError:
        return True


def without_order(value):
    """Arrays sorted, and texts of times as times."""
    if isinstance(value, dict):
        return {str(without_order(name)): without_order(item) for name, item in value.items()}
    if isinstance(value, list):
        return sorted(map(without_order, value), key=repr)
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT|\d\d:\d\d", value):
        try:
            time = datetime.time.fromisoformat if value[2] == ":" else datetime.datetime.fromisoformat
            return repr(time(value).replace(tzinfo=None)) if value[2] == ":" else repr(time(value).astimezone(UTC))
        except ValueError:
            return value
    return value


@pytest.mark.parametrize("config", CONFIGS)
def test_what_pydantic_reads_back_is_stored_as_pydantic_writes_it_and_read_back(config):
    read_back = 0
    for name in TYPES:
        if is_refused_by_pydantic(name, CONFIGS[config]):
            assert config, f"{name}: Pydantic itself does not read it back"
            continue
        model, given = make(name, CONFIGS[config])
        encoded, text = Binding(model, "c").encode(given)
        assert json.loads(text) == encoded, name
        assert Binding(model, "c").parse("ABCDEFGHIJKL", encoded) == given, name
        written = given.model_dump_json(by_alias=True, round_trip=True)
        assert without_order(encoded) == without_order(json.loads(written)), name
        read_back += 1
    assert read_back > len(TYPES) / 2


async def test_a_file_holds_every_type_and_updates_and_replacements_leave_it(path, key):
    async with await PoofCluster.create(path, key) as cluster:
        database = await cluster.get_database("db")
        for name in TYPES:
            model, given = make(name, CONFIGS[""])
            collection = await database.get_collection("values", model, fields="any")
            await collection.delete_many({})
            doc = await collection.insert(given)
            assert (await collection.find_by_id(doc.objId)).model == given, name
            assert (await collection.update_one({}, {"$set": {"newer": 1}})).modified_count == 1, name
            await collection.update(doc.objId, doc.model)
            assert (await collection.find_by_id(doc.objId)).data == {**doc.data, "newer": 1}, name
            assert await collection.validate_all() == []


FORMS = [
    (datetime.datetime, MOMENT.astimezone(PARIS), "2024-05-06T07:08:09.000000Z"),
    (datetime.datetime, NAIVE, "2024-05-06T07:08:09.000000"),
    (datetime.time, TIME, "07:08:00.000000"),
    (set[int], {10, 9}, [10, 9]),
    (dict[datetime.datetime, int], {MOMENT: 1}, {"2024-05-06T07:08:09.000000Z": 1}),
    (decimal.Decimal, decimal.Decimal("1.10"), "1.10"),
    (uuid.UUID, ID, "00000000-0000-0000-0000-000000000005"),
    (Color, Color.RED, "red"),
    (Any, ["x"], ["x"]),
    (deque[datetime.datetime], deque([MOMENT]), ["2024-05-06T07:08:09.000000Z"]),
    (set[Point], {Point(x=1)}, [{"x": 1, "when": "2024-05-06T07:08:09.000000Z"}]),
    (list[Holder], [Holder(points={Point(x=1)})], None),
]


@pytest.mark.parametrize(("annotation", "value", "form"), FORMS, ids=lambda value: str(value)[:40])
def test_times_and_sets_have_the_form_of_poofdb_at_every_depth(annotation, value, form):
    model = create_model("Model", field=(annotation, ...), deep=(dict[str, list[annotation]], ...))
    encoded = Binding(model, "c").encode(model(field=value, deep={"a": [value]}))[0]
    if form is None:
        form = [{"points": [{"x": 1, "when": "2024-05-06T07:08:09.000000Z"}], "when": "2024-05-06T07:08:09.000000Z"}]
    assert encoded == {"field": form, "deep": {"a": [form]}}


async def test_a_moment_of_a_repeated_hour_is_stored(open_collection):
    repeated = datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=PARIS)
    model = create_model(
        "Model",
        moment=(datetime.datetime | str, ...),
        by=(dict[datetime.datetime, int], ...),
        all=(set[datetime.datetime], ...),
    )
    async with open_collection(model=model) as collection:
        doc = await collection.insert(model(moment=repeated, by={repeated: 1}, all={repeated}))
        assert doc.data["moment"] == "2024-10-27T01:30:00.000000Z"


async def test_an_iterable_is_stored(open_collection):
    async with open_collection(model=create_model("Model", items=(Iterable[int], ...))) as collection:
        assert (await collection.insert({"items": [1, 2]})).data == {"items": [1, 2]}


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "SecretStr": (SecretStr, SecretStr("sentinel"), "field is a masked secret"),
    "SecretBytes": (SecretBytes, SecretBytes(b"sentinel"), "field is a masked secret"),
    "Secret": (Secret[int], Secret(5), "field is a masked secret"),
    "secrets inside": (dict[str, list[SecretStr]], {"a": [SecretStr("sentinel")]}, "field.a.0 is a masked secret"),
    "NaN": (float, float("nan"), "field is NaN or infinite"),
    "infinity": (list[float], [float("inf")], "field.0 is NaN or infinite"),
    "large integer": (int, 2**63, "field is an integer beyond 64 bits"),
    "bytes that are no text": (bytes, b"\xff", "base64"),
    "class": (type, int, "cannot be written as JSON"),
    "datetime in Any": (Any, MOMENT, "holds a datetime and reads back as a str"),
    "tuple in Any": (dict[str, Any], {"a": (1,)}, "field.a of Model holds a tuple and reads back as a list"),
    "set or list": (list[int] | set[int], {1}, "holds a set and reads back as a list"),
    "out of range in UTC": (
        datetime.datetime,
        datetime.datetime.min.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
        "out of range in UTC",
    ),
    "lone surrogate": (SkipValidation[str], "sentinel\ud800", "not valid Unicode"),
    "serializer that fails": (Annotated[str, PlainSerializer(lambda value: {}[value])], "sentinel", "KeyError"),
    "serializer to an object": (Annotated[int, PlainSerializer(lambda _: object())], 5, "object"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_written_is_refused_by_name_and_no_value_is_shown(open_collection, name):
    annotation, value, text = REFUSED[name]
    model = create_model("Model", field=(annotation, ...))
    async with open_collection(model=model) as collection:
        with pytest.raises(InvalidDocumentError, match="(?s)" + re.escape(text)) as caught:
            await collection.insert(model(field=value))
        assert "sentinel" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert await collection.count_documents() == 0


def test_infinities_are_stored_where_the_model_writes_them_as_text():
    model = create_model("Model", __config__=ConfigDict(ser_json_inf_nan="strings"), field=(list[float], ...))
    encoded, _ = Binding(model, "c").encode(model(field=[float("inf"), float("nan"), 1.0]))
    assert encoded == {"field": ["Infinity", "NaN", 1.0]}


async def test_what_a_plain_dict_refuses_says_where_a_model_would_help(open_collection):
    async with open_collection() as collection:
        for value, text in [({1: "a"}, "dict[int, ...]"), (b"x", "Base64Bytes"), (fractions.Fraction(1), "a Pydantic")]:
            with pytest.raises(InvalidDocumentError, match=re.escape(text)):
                await collection.insert({"field": value})
