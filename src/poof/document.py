"""Documents, and the one place where Python values become JSON.

Layer: document; pure.

JSON here is the JSON that comes back the same. What it cannot hold exactly - NaN, infinities, integers beyond 64 bits,
bytes, keys that are not text - is refused, and nothing is stored. A library that would turn such a value silently into
null or text is asked first, as it is quick, and believed only where what it gives reads back equal.
"""

import datetime
import decimal
import enum
import functools
import ipaddress
import math
import pathlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, get_args

import orjson
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, SecretBytes, SecretStr, ValidationError
from pydantic_core import (
    InitErrorDetails,
    MultiHostUrl,
    PydanticCustomError,
    Url,
    core_schema,
    to_jsonable_python,
)
from typing_extensions import TypeVar

from poof.errors import DamagedFileError, DocumentTooLargeError, InvalidDocumentError, NoModelError
from poof.object_ids import MAX_ID_LENGTH, MIN_ID_LENGTH
from poof.raising import raise_alone

ModelT = TypeVar("ModelT", bound=BaseModel, default=BaseModel)

MAX_DOCUMENT_SIZE = 64 * 1024 * 1024
"""Bytes of JSON."""
MAX_DEPTH = 100
"""Levels of documents and arrays inside each other, as in MongoDB."""
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**63 - 1

_NOT_JSON = "a document in the file is not JSON, and cannot be read."
_NO_OBJECT = "a document in the file is not a JSON object, and cannot be read."
# orjson leaves to `encode_value` what it would write otherwise, or as no one would read it back.
_PLAIN_ONLY = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_STRICT_INTEGER
)

# Kept beside the fields, as Python keeps a cached property: a private attribute of Pydantic triples the cost of a
# document.
_BINDING = "_binding"
_ALL_FIELDS = {"objId", "data"}
"""Which fields are set, for Pydantic. It never changes, so documents share it: a set for each would be a quarter more
for the garbage collector to go through."""
# What Pydantic keeps of an instance, set by the descriptors themselves: that takes half as long as by their names.
_set_dict, _set_fields_set, _set_extra, _set_private = (
    vars(BaseModel)[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)

_TEXT_LIKE = (
    pathlib.PurePath,
    ipaddress.IPv4Address,  # and IPv4Interface
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    AnyUrl,
    Url,
    MultiHostUrl,
)


@dataclass(frozen=True, slots=True)
class Binding(Generic[ModelT]):
    """The model that a collection is bound to, and the collection's name."""

    model: type[ModelT]
    collection: str

    def parse(self, obj_id: str, data: Mapping[str, Any]) -> ModelT:
        """The data of a document as an instance of the model.

        Raises:
            pydantic.ValidationError: it does not fit; it names the collection and the document, and shows no value.
        """
        title = f"{self.model.__name__}, document {obj_id} of collection {self.collection!r}"
        return parse_model(self.model, data, title)


class PoofDocument(BaseModel, Generic[ModelT]):
    """A stored document: its id and its data, a plain dict that is the caller's own.

    >>> doc = PoofDocument(objId="XyZ123AbCdEf", data={"name": "Alice"})
    >>> doc.data["name"]
    'Alice'
    """

    model_config = ConfigDict(populate_by_name=True)

    objId: str = Field(alias="_objId", min_length=MIN_ID_LENGTH, max_length=MAX_ID_LENGTH)  # noqa: N815 - public API
    data: dict[str, Any] = Field(repr=False)

    @functools.cached_property
    def model(self) -> ModelT:
        """The data as an instance of the model that the collection is bound to.

        It is made on first use, from `data` as it is then, and kept.

        Raises:
            NoModelError: the collection is bound to no model.
            pydantic.ValidationError: the data does not fit the model; it names the collection and the document.
        """
        binding: Binding[ModelT] | None = self.__dict__.get(_BINDING)
        if binding is None:
            raise NoModelError("The collection is bound to no model; use get_collection(name, model=YourModel).")
        return binding.parse(self.objId, self.data)


def make_document(obj_id: str, data: dict[str, Any], binding: Binding[ModelT] | None = None) -> PoofDocument[ModelT]:
    """A document of a collection, with the model that the collection is bound to."""
    # As Pydantic's own `model_construct`, without validating again what was validated when it was stored.
    document: PoofDocument[ModelT] = PoofDocument.__new__(PoofDocument)
    fields = {"objId": obj_id, "data": data}
    _set_dict(document, fields if binding is None else {**fields, _BINDING: binding})
    _set_fields_set(document, _ALL_FIELDS)
    _set_extra(document, None)
    _set_private(document, None)
    return document


def encode_document(
    data: BaseModel | Mapping[str, Any], model_type: type[BaseModel] | None = None
) -> tuple[dict[str, Any], str]:
    """A new dict of plain JSON values and the JSON text to store. Where there is a model, the data must fit it.

    Raises:
        pydantic.ValidationError: the data does not fit the model.
        InvalidDocumentError: the data is not a document, or holds what JSON cannot hold exactly.
        DocumentTooLargeError: it is larger than 64 MiB.
    """
    if model_type is not None and not isinstance(data, model_type):
        data = _validated(model_type.model_validate, data)
    encoded, text = _copy_plain(data) or _encode_any(data)
    if model_type is not None:
        _validated(model_type.model_validate_json, text)  # what is stored must read back
    return encoded, text.decode()


def _copy_plain(data: Any) -> tuple[dict[str, Any], bytes] | None:
    """A copy of a dict of plain JSON values, and its JSON; `None` where there is anything else in it, or may be."""
    if type(data) is not dict:
        return None
    try:
        text = orjson.dumps(data, option=_PLAIN_ONLY)
    except orjson.JSONEncodeError:
        return None
    if len(text) > MAX_DOCUMENT_SIZE or text.count(b"{") + text.count(b"[") > MAX_DEPTH:
        return None
    copy = orjson.loads(text)
    return (copy, text) if copy == data else None  # NaN became null, and a UUID text


def _encode_any(data: Any) -> tuple[dict[str, Any], bytes]:
    try:
        encoded = encode_value(data)
    except UnstorableError as error:
        raise_alone(InvalidDocumentError(f"{error}. Nothing was stored."))
    if not isinstance(encoded, dict):
        raise InvalidDocumentError(
            f"A document is a Pydantic model or a dict, not {type(data).__name__}. Nothing was stored."
        )
    return encoded, _dump(encoded)


def decode_document(text: str) -> dict[str, Any]:
    """The data of a stored document.

    Raises:
        DamagedFileError: the text is no JSON object. No PoofDB wrote it, though somebody with the key did.
    """
    try:
        data: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise_alone(DamagedFileError(_NOT_JSON))
    if type(data) is not dict:
        raise DamagedFileError(_NO_OBJECT)
    return data


def decode_documents(texts: Iterable[str]) -> list[dict[str, Any]]:
    """The data of several; quicker than one by one, and the same errors."""
    try:
        decoded = [orjson.loads(text) for text in texts]
    except orjson.JSONDecodeError:
        raise_alone(DamagedFileError(_NOT_JSON))
    if not set(map(type, decoded)) <= {dict}:
        raise DamagedFileError(_NO_OBJECT)
    return decoded


def parse_model(model_type: type[ModelT], data: Mapping[str, Any], title: str | None = None) -> ModelT:
    """The data as an instance of a model, by the rules of JSON: text becomes a datetime even for a strict model.

    `title`: what an error calls the model.

    Raises:
        pydantic.ValidationError: the data does not fit the model; its text shows no value of the document.
    """
    return _validated(model_type.model_validate_json, _dump(encode_value(data)), title)


def encode_value(value: Any) -> Any:
    """A Python value as plain JSON values, all of them new. The same for documents and for what they are compared with.

    | Python | JSON |
    |---|---|
    | aware datetime | UTC, six fractional digits, `Z`: the order of the text is the order of time |
    | naive datetime | the same without `Z` |
    | date, time | ISO 8601 |
    | Enum | its value |
    | UUID, Decimal, timedelta, path, IP address, URL | text, as in Pydantic's JSON mode |
    | list, tuple, set | array; a set in the order of its elements' JSON |
    | Pydantic model | document, under its serialization aliases |
    """
    return _encode(value, MAX_DEPTH)


class UnstorableError(Exception):
    """A value that JSON cannot hold exactly. Its text names the fields on the way to it, never the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str | int] = []

    def __str__(self) -> str:
        return f"{self._place()} {self.reason}" if self.path else f"The data {self.reason}"

    def _place(self) -> str:
        return "The field " + ".".join(str(step) for step in reversed(self.path))


def _encode(value: Any, depth: int) -> Any:
    # The types of nearly all values first, by identity.
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        if MIN_INTEGER <= value <= MAX_INTEGER:
            return value
        raise UnstorableError("is an integer beyond 64 bits")
    if kind is float:
        if math.isfinite(value):
            return value
        raise UnstorableError("is NaN or infinite, which JSON cannot hold")
    if depth == 0:
        raise UnstorableError(f"is nested deeper than {MAX_DEPTH} levels")
    if kind is dict:
        return _encode_mapping(value, depth)
    if kind is list:
        return _encode_sequence(value, depth)
    return _encode_rich(value, depth)


def _encode_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    encoded = {}
    for key, item in value.items():
        name = key if type(key) is str else _encode_key(key)
        try:
            encoded[name] = _encode(item, depth - 1)
        except UnstorableError as error:
            error.path.append(name)
            raise
    if len(encoded) != len(value):
        raise UnstorableError("has two keys that are the same text")
    return encoded


def _encode_key(key: Any) -> str:
    name = key.value if isinstance(key, enum.Enum) else key
    if not isinstance(name, str):
        raise UnstorableError(f"has a key of type {type(key).__name__}; the keys of a document are text")
    return str.__str__(name)


def _encode_sequence(value: Any, depth: int) -> list[Any]:
    encoded = []
    for index, item in enumerate(value):
        try:
            encoded.append(_encode(item, depth - 1))
        except UnstorableError as error:
            error.path.append(index)
            raise
    return encoded


def _encode_rich(value: Any, depth: int) -> Any:
    match value:
        case enum.Enum():
            return _encode(value.value, depth)
        case BaseModel():
            return _encode(_dump_model(value), depth)
        case str():
            return str.__str__(value)
        case int():
            return _encode(int(value), depth)
        case float():
            return _encode(float(value), depth)
        case Mapping():
            return _encode_mapping(value, depth)
        case list() | tuple():
            return _encode_sequence(value, depth)
        case set() | frozenset():
            return sorted(_encode_sequence(value, depth), key=_to_json)
        case datetime.datetime():
            return _encode_datetime(value)
        case datetime.date():
            return value.isoformat()
        case datetime.time():
            return value.isoformat(timespec="microseconds")
        case decimal.Decimal() if not value.is_finite():
            raise UnstorableError("is NaN or infinite, which JSON cannot hold")
        case decimal.Decimal() | uuid.UUID():
            return str(value)
        case bytes() | bytearray() | memoryview():
            raise UnstorableError("is bytes, which JSON cannot hold; store base64 text instead")
        case SecretStr() | SecretBytes():
            raise UnstorableError("is a masked secret; store its get_secret_value(), or give the field a serializer")
        case datetime.timedelta():
            return to_jsonable_python(value)  # an ISO 8601 duration
        case _ if isinstance(value, _TEXT_LIKE):
            return str(value)
        case _:
            raise UnstorableError(f"is of type {type(value).__name__}, which PoofDB cannot store")


def _encode_datetime(value: datetime.datetime) -> str:
    if value.utcoffset() is None:
        return value.isoformat(timespec="microseconds")
    try:
        utc = value.astimezone(datetime.UTC)
    except OverflowError:
        raise_alone(UnstorableError("is a datetime out of range in UTC"))
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _dump_model(value: BaseModel) -> Any:
    # round_trip leaves out computed fields: what is stored is what the model reads back.
    return value.model_dump(by_alias=True, round_trip=True, warnings=False)


def _dump(encoded: Any) -> bytes:
    text = _to_json(encoded)
    if len(text) > MAX_DOCUMENT_SIZE:
        raise DocumentTooLargeError(
            f"The document is {len(text):,} bytes of JSON; the limit is {MAX_DOCUMENT_SIZE:,} (64 MiB). "
            "Nothing was stored. Split it over several documents."
        )
    return text


def _to_json(encoded: Any) -> bytes:
    try:
        return orjson.dumps(encoded)
    except orjson.JSONEncodeError:
        raise_alone(
            InvalidDocumentError(
                "The data holds text that is not valid Unicode (a lone surrogate). Nothing was stored."
            )
        )


def _validated(validate: Callable[..., ModelT], data: Any, title: str | None = None) -> ModelT:
    try:
        return validate(data, by_alias=True, by_name=True)
    except ValidationError as error:
        raise_alone(_without_values(error, title or error.title))


def _without_values(error: ValidationError, title: str) -> ValidationError:
    """The same error without the values of the document, which `errors()` and a pickle would hold as well."""
    details: list[InitErrorDetails] = []
    for line in error.errors(include_url=False):
        known = line["type"] in _PYDANTIC_ERRORS
        kind = line["type"] if known else PydanticCustomError(line["type"], "{message}", {"message": line["msg"]})
        context = {**line.get("ctx", {}), **_HIDDEN_CONTEXT.get(line["type"], {})}
        own = context.get("error")
        if isinstance(own, Exception):  # of a validator: it may hold the value, or hang on one that does
            context["error"] = ValueError(str(own))
        details.append({"type": kind, "loc": line["loc"], "input": None, "ctx": context})
    return ValidationError.from_exception_data(title, details, hide_input=True)


# The messages that quote the input even so.
_HIDDEN_CONTEXT = {"union_tag_invalid": {"tag": "..."}, "uuid_parsing": {"error": "not a UUID"}}
_PYDANTIC_ERRORS = frozenset(get_args(core_schema.ErrorType))
