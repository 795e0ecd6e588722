"""What may be stored, what comes back for it, and what is refused."""

import copy
import dataclasses
import datetime
import decimal
import enum
import ipaddress
import json
import pathlib
import pickle
import types
import uuid
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple

import pytest
from pydantic import AnyUrl, BaseModel, HttpUrl, SecretBytes, SecretStr

from poof import DamagedFileError, DocumentTooLargeError, InvalidDocumentError, PoofDocument
from poof.document import decode_document, make_document
from poof.encoding.scalars import MAX_DEPTH, MAX_DOCUMENT_SIZE

pytestmark = pytest.mark.every_engine

UTC = datetime.UTC
PARIS_IN_SUMMER = datetime.timezone(datetime.timedelta(hours=2))
SENTINEL = "sentinel-5f1c"


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Word(enum.StrEnum):
    YES = "yes"


class Flag(enum.IntFlag):
    A = 1
    B = 2


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Number(int):
    pass


class Inner(BaseModel):
    when: datetime.datetime


Point = namedtuple("Point", "x y")

STORED = [
    (None, None),
    (True, True),
    (False, False),
    (0, 0),
    (-(2**63), -(2**63)),
    (2**63 - 1, 2**63 - 1),
    (2**53 + 1, 2**53 + 1),
    (0.1, 0.1),
    (1.0, 1.0),
    (-0.0, -0.0),
    (5e-324, 5e-324),
    (1.7976931348623157e308, 1.7976931348623157e308),
    ("", ""),
    ("nul \x00 and \U0001f4a9", "nul \x00 and \U0001f4a9"),
    ("e\u0301", "e\u0301"),
    ([], []),
    ({}, {}),
    ([1, [2, {"a": []}]], [1, [2, {"a": []}]]),
    ((1, (2,)), [1, [2]]),
    (Point(1, 2), [1, 2]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({(2, 1), (1, 2)}, [[1, 2], [2, 1]]),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (defaultdict(int, a=1), {"a": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (UserDict({"a": 1}), {"a": 1}),
    (datetime.datetime(2024, 5, 6, 7, 8, 9, 10, UTC), "2024-05-06T07:08:09.000010Z"),
    (datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=PARIS_IN_SUMMER), "2024-05-06T05:08:09.000000Z"),
    (datetime.datetime(2024, 5, 6, 7, 8, 9), "2024-05-06T07:08:09.000000"),
    (datetime.datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000Z"),
    (datetime.date(2024, 5, 6), "2024-05-06"),
    (datetime.time(7, 8), "07:08:00.000000"),
    (datetime.time(7, 8, tzinfo=UTC), "07:08:00.000000+00:00"),
    (datetime.timedelta(days=1, seconds=2), "P1DT2S"),
    (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    (decimal.Decimal("1.10"), "1.10"),
    (decimal.Decimal("-0"), "-0"),
    (Color.RED, "red"),
    (Level.HIGH, 3),
    (Word.YES, "yes"),
    (Flag.A | Flag.B, 3),
    (Text("text"), "text"),
    (Number(7), 7),
    (pathlib.PurePosixPath("a/b"), "a/b"),
    (ipaddress.ip_address("::1"), "::1"),
    (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
    (AnyUrl("https://example.com/a"), "https://example.com/a"),
    (HttpUrl("https://example.com/a"), "https://example.com/a"),
    (Inner(when=datetime.datetime(2024, 1, 1, tzinfo=UTC)), {"when": "2024-01-01T00:00:00.000000Z"}),
]


def nested(depth: int) -> dict:
    data: dict = {}
    for _ in range(depth - 1):
        data = {"d": data}
    return data


def endless_list() -> list:
    endless: list = []
    endless.append(endless)
    return endless


def endless_dict() -> dict:
    endless: dict = {}
    endless["again"] = endless
    return endless


@dataclasses.dataclass
class NotKnown:
    secret: str = SENTINEL


REFUSED = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "minus infinity": -float("inf"),
    "nan of a list": [1.0, float("nan")],
    "2**63": 2**63,
    "-2**63-1": -(2**63) - 1,
    "2**64": 2**64,
    "huge": 10**400,
    "huge in an int subclass": Number(2**63),
    "bytes": SENTINEL.encode(),
    "bytearray": bytearray(SENTINEL.encode()),
    "memoryview": memoryview(SENTINEL.encode()),
    "int key": {1: SENTINEL},
    "None key": {None: SENTINEL},
    "bytes key": {b"k": SENTINEL},
    "tuple key": {(1, 2): SENTINEL},
    "int enum key": {Level.HIGH: SENTINEL},
    "two keys of one text": {"red": SENTINEL, Color.RED: SENTINEL},
    "lone surrogate": SENTINEL + "\ud800",
    "lone surrogate in a key": {SENTINEL + "\udfff": 1},
    "lone surrogate in a set": {SENTINEL + "\ud800", "b"},
    "decimal nan": decimal.Decimal("NaN"),
    "decimal infinity": decimal.Decimal("-Infinity"),
    "secret text": SecretStr(SENTINEL),
    "secret bytes": SecretBytes(SENTINEL.encode()),
    "object": object(),
    "class": NotKnown,
    "dataclass": NotKnown(),
    "function": nested,
    "complex": 1j,
    "deque": deque([SENTINEL]),
    "range": range(3),
    "generator": (letter for letter in SENTINEL),
    "datetime before year 1 in UTC": datetime.datetime(1, 1, 1, tzinfo=PARIS_IN_SUMMER),
    "too deep": nested(MAX_DEPTH),
    "list in itself": endless_list(),
    "dict in itself": endless_dict(),
}


@pytest.mark.parametrize(("value", "stored"), STORED, ids=repr)
async def test_a_value_comes_back_as_json(open_collection, value, stored):
    async with open_collection() as people:
        doc = await people.insert({"v": value, "list": [value]})
        found = await people.find_by_id(doc.objId)
        for data in (doc.data, found.data):
            assert repr(data) == repr({"v": stored, "list": [stored]})  # 1, 1.0 and True, 0.0 and -0.0 differ here
            assert json.loads(json.dumps(data)) == data


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
async def test_a_value_that_json_cannot_hold_exactly_is_refused_and_nothing_is_stored(open_collection, value):
    async with open_collection() as people:
        doc = await people.insert({"v": "as it was"})
        with pytest.raises(InvalidDocumentError, match="Nothing was stored") as inserting:
            await people.insert({"v": value})
        with pytest.raises(InvalidDocumentError) as updating:
            await people.update(doc.objId, {"v": value})
        assert await people.find_all() == [doc]
        for error in (inserting.value, updating.value):
            assert isinstance(error, ValueError)
            assert SENTINEL not in str(error) + repr(error)


async def test_a_refusal_names_the_field_and_not_the_value(open_collection):
    async with open_collection() as people:
        with pytest.raises(InvalidDocumentError, match=r"^The field people\.1\.photo is bytes"):
            await people.insert({"people": [{}, {"photo": SENTINEL.encode()}]})


async def test_keys_that_are_text_of_another_type_are_stored_as_text(open_collection):
    async with open_collection() as people:
        doc = await people.insert({Text("a"): 1, Word.YES: 2, Color.RED: 3})
        assert (await people.find_by_id(doc.objId)).data == {"a": 1, "yes": 2, "red": 3}


async def test_the_order_of_keys_stays(open_collection):
    keys = ["z", "a", "", "_id", "Ä", "0"]
    async with open_collection() as people:
        doc = await people.insert(dict.fromkeys(keys, 0))
        assert list((await people.find_by_id(doc.objId)).data) == keys


async def test_the_same_set_is_always_stored_in_the_same_order(open_collection):
    async with open_collection() as people:
        elements = [f"element {n}" for n in range(100)]
        one = await people.insert({"v": set(elements)})
        other = await people.insert({"v": frozenset(elements[::-1])})
        assert one.data == other.data == {"v": sorted(elements)}


async def test_a_document_as_deep_as_the_limit_is_stored(open_collection):
    async with open_collection() as people:
        doc = await people.insert(nested(MAX_DEPTH))
        assert (await people.find_by_id(doc.objId)).data == nested(MAX_DEPTH)


async def test_a_model_that_holds_itself_is_refused(open_collection):
    class Node(BaseModel):
        next: "Node | None" = None

    node = Node()
    node.next = node
    async with open_collection() as people:
        with pytest.raises(ValueError):
            await people.insert(node)
        assert await people.find_all() == []


@pytest.mark.own_engine
async def test_a_document_of_64_mib_is_stored_and_one_of_a_byte_more_is_refused(open_collection, path):
    text = "x" * (MAX_DOCUMENT_SIZE - len('{"text":""}'))
    async with open_collection(where=path) as people:
        doc = await people.insert({"text": text})
        with pytest.raises(DocumentTooLargeError, match=r"67,108,865 bytes .* 67,108,864 \(64 MiB\)") as caught:
            await people.insert({"text": text + "x"})
        assert isinstance(caught.value, InvalidDocumentError)
        [found] = await people.find_all()
        assert found.objId == doc.objId
        assert found.data["text"] == text


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{0!r:}".format, lambda doc: f"{[doc]}"])
async def test_no_text_of_a_document_object_shows_its_data(open_collection, show):
    async with open_collection() as people:
        doc = await people.insert({"field-5f1c": SENTINEL})
        shown = show(doc)
        assert doc.objId in shown
        assert "5f1c" not in shown


class User(BaseModel):
    name: str


@pytest.mark.parametrize("model", [None, User], ids=["unbound", "bound"])
@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, PoofDocument.model_copy, lambda doc: pickle.loads(pickle.dumps(doc))],  # noqa: S301
    ids=["copy", "deepcopy", "model_copy", "pickle"],
)
async def test_a_document_can_be_copied_and_pickled(open_collection, duplicate, model):
    async with open_collection(model=model) as people:
        doc = await people.insert({"name": "Alice"})
        twin = duplicate(doc)
        assert twin == doc
        assert twin.data == {"name": "Alice"}
        if model is not None:
            assert twin.model == doc.model == User(name="Alice")


def test_a_document_of_a_collection_is_like_one_that_is_constructed():
    made, constructed = (make("XyZ123AbCdEf", {"a": [1]}) for make in (make_document, construct))
    for change in (
        lambda document: document,
        copy.copy,
        copy.deepcopy,
        lambda document: pickle.loads(pickle.dumps(document)),  # noqa: S301 - our own
        lambda document: document.model_copy(update={"objId": "AnotherId123"}),
    ):
        assert change(made) == change(constructed)
        assert change(made).model_dump() == change(constructed).model_dump()
        assert change(made).model_fields_set == {"objId", "data"}
    made.data = {"b": 2}
    assert (made.data, make_document("XyZ123AbCdEf", {}).data) == ({"b": 2}, {})
    with pytest.raises(ValueError, match="has no field"):
        made.other = 1


def construct(obj_id, data):
    return PoofDocument(objId=obj_id, data=data)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "null", '"text"', '{"a": NaN}'])
def test_stored_text_that_is_no_json_object_is_damage(text):
    with pytest.raises(DamagedFileError, match="is not"):
        decode_document(text)
