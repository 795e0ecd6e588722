"""The one place where Python values become JSON.

Layer: encoding; pure.

JSON here is the JSON that comes back the same. What it cannot hold exactly - NaN, infinities, integers beyond 64 bits,
keys that are not text, and, outside of models, bytes - is refused, and nothing is stored. A library that would turn
such a value silently into null or text is asked first, as it is quick, and believed only where what it gives reads back
equal.
"""

import datetime
import decimal
import enum
import ipaddress
import math
import pathlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import AnyUrl, BaseModel, SecretBytes, SecretStr
from pydantic.types import Secret
from pydantic_core import MultiHostUrl, PydanticSerializationError, Url, to_jsonable_python

from poof.encoding.identity import id_field
from poof.encoding.shapes import shape_of
from poof.errors import DocumentTooLargeError, InvalidDocumentError
from poof.raising import raise_alone

MAX_DOCUMENT_SIZE = 64 * 1024 * 1024
"""Bytes of JSON."""
MAX_DEPTH = 100
"""Levels of documents and arrays inside each other, as in MongoDB."""
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**63 - 1

# orjson leaves to `encode_value` what it would write otherwise, or as no one would read it back.
_PLAIN_ONLY = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_STRICT_INTEGER
)

_NOT_FINITE = "is NaN or infinite, which JSON cannot hold"
_MASKED = "is a masked secret; store its get_secret_value(), or give the field a serializer"
_MASK = "**********"
_SETTLED = frozenset([str, bool, int, float, type(None)])
"""What is written in one way only."""
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


class StoredData:
    """A stored document, which stands for its data wherever data is given."""

    data: dict[str, Any]


def encode_json(data: Any) -> tuple[dict[str, Any], bytes]:
    """A new dict of plain JSON values and its JSON text, of a model or a dict.

    Raises:
        InvalidDocumentError: the data is not a document, or holds what JSON cannot hold exactly.
        DocumentTooLargeError: it is larger than 64 MiB.
    """
    if isinstance(data, BaseModel):
        return _encode_model(data)
    return _copy_plain(data) or _encode_any(data)


def _encode_model(model: BaseModel) -> tuple[dict[str, Any], bytes]:
    try:
        dumped = dump_model(model)
    except UnstorableError as error:
        raise_alone(_unstorable(error))
    marked = id_field(type(model))
    if marked is not None:
        dumped.pop(type(model).model_fields[marked].serialization_alias or marked, None)
    return _write_plain(dumped) or _encode_any(dumped)


def _write_plain(data: Any) -> tuple[dict[str, Any], bytes] | None:
    """What is new and JSON already, and its text; `None` where JSON might not hold it exactly."""
    if type(data) is not dict:
        return None
    try:
        text = orjson.dumps(data, option=_PLAIN_ONLY)
    except orjson.JSONEncodeError:
        return None
    if len(text) > MAX_DOCUMENT_SIZE or text.count(b"{") + text.count(b"[") > MAX_DEPTH:
        return None
    # Nothing else would be written as null, or as another value.
    return (data, text) if b"null" not in text or orjson.loads(text) == data else None


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
        raise_alone(_unstorable(error))
    if not isinstance(encoded, dict):
        raise InvalidDocumentError(
            f"A document is a Pydantic model or a dict, not {type(data).__name__}. Nothing was stored."
        )
    return encoded, write_json(encoded)


def _unstorable(error: "UnstorableError") -> InvalidDocumentError:
    return InvalidDocumentError(f"{error}. Nothing was stored.")


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
        raise UnstorableError(_NOT_FINITE)
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
        raise UnstorableError(
            f"has a key of type {type(key).__name__}; the keys of a document are text. "
            f"A model with a field of type dict[{type(key).__name__}, ...] turns them into text and back"
        )
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
        case StoredData():
            return _encode(value.data, depth)
        case BaseModel():
            return _encode(dump_model(value), depth)
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
        case datetime.datetime() | datetime.time():
            return _encode_moment(value)
        case datetime.date():
            return value.isoformat()
        case decimal.Decimal() if not value.is_finite():
            raise UnstorableError(_NOT_FINITE)
        case decimal.Decimal() | uuid.UUID():
            return str(value)
        case bytes() | bytearray() | memoryview():
            raise UnstorableError(
                "is bytes, which JSON cannot hold; store base64 text, or a model with a field of type Base64Bytes"
            )
        case SecretStr() | SecretBytes() | Secret():
            raise UnstorableError(_MASKED)
        case datetime.timedelta():
            return to_jsonable_python(value)  # an ISO 8601 duration
        case _ if isinstance(value, _TEXT_LIKE):
            return str(value)
        case _:
            raise UnstorableError(
                f"is of type {type(value).__name__}, which PoofDB cannot store by itself; a Pydantic model may"
            )


def _encode_moment(value: datetime.datetime | datetime.time) -> str:
    if isinstance(value, datetime.time) or value.tzinfo is None:
        return value.isoformat(timespec="microseconds")
    if value.tzinfo is not datetime.UTC:
        if value.utcoffset() is None:
            return value.isoformat(timespec="microseconds")
        try:
            value = value.astimezone(datetime.UTC)
        except OverflowError:
            raise_alone(UnstorableError("is a datetime out of range in UTC"))
    return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def dump_model(model: BaseModel) -> Any:
    """What a model stores: Pydantic's JSON mode, but for the types for which PoofDB has a form of its own.

    Raises:
        UnstorableError: a field cannot be written as JSON.
    """
    # round_trip leaves out computed fields: what is stored is what the model reads back.
    try:
        written = _dump(model, "json")
        if shape_of(type(model)).is_plain:
            return written
        try:
            given = _dump(model, "python")
        except TypeError:  # a set of models, which dicts cannot be in
            return _dump_fields(model, written)
        return _settle(given, written)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise_alone(_unwritable(model, error))


def _dump(model: BaseModel, mode: str, field: str | None = None) -> Any:
    """What Pydantic makes of a model, or of one field."""
    # round_trip leaves out computed fields: what is stored is what the model reads back.
    only = None if field is None else {field}
    return model.model_dump(mode=mode, include=only, by_alias=True, round_trip=True, warnings=False)


def _dump_fields(model: BaseModel, written: dict[str, Any]) -> dict[str, Any]:
    """What `dump_model` gives, field by field."""
    settled = dict(written)
    for name in type(model).model_fields:
        for stored, value in _dump(model, "json", name).items():
            try:
                given = _dump(model, "python", name)[stored]
            except TypeError:
                given = getattr(model, name)
            settled[stored] = _settle(given, value)
    return settled


def _settle(given: Any, written: Any) -> Any:
    """What is stored of a value that Pydantic's JSON mode has written, given what its Python mode makes of it.

    Where a serializer of the model wrote something else than Pydantic itself would, that is what is stored.
    """
    kind = type(given)
    if kind in _SETTLED:
        return written
    if isinstance(given, datetime.datetime | datetime.time):
        stored = _encode_moment(given)
        return stored if written == stored or _is_pydantics(given, written) else written
    if (kind is dict or isinstance(given, Mapping)) and isinstance(written, dict) and len(given) == len(written):
        return _settle_mapping(given, written)
    if isinstance(written, list):
        if isinstance(given, set | frozenset):
            return _settle_set(given, written)
        if isinstance(given, list | tuple) and len(given) == len(written):
            return list(map(_settle, given, written))
    if kind is decimal.Decimal and not given.is_finite():
        raise UnstorableError(_NOT_FINITE)
    if isinstance(given, SecretStr | SecretBytes | Secret) and written in ("", _MASK):
        raise UnstorableError(_MASKED)
    return written


def _is_pydantics(given: datetime.datetime | datetime.time, written: Any) -> bool:
    """Whether this is what Pydantic's JSON mode writes of a time by itself, without a serializer of the model."""
    text = given.isoformat()
    return written in (f"{text[:-6]}Z" if text.endswith("+00:00") else text, to_jsonable_python(given))


def _settle_mapping(given: Mapping[Any, Any], written: dict[str, Any]) -> dict[str, Any]:
    settled = {}
    for (key, item), (name, value) in zip(given.items(), written.items(), strict=True):
        stored = _settle_key(key, name)
        try:
            settled[stored] = _settle(item, value)
        except UnstorableError as error:
            error.path.append(stored)
            raise
    return settled


def _settle_key(key: Any, name: str) -> str:
    return name if type(key) is str else str(_settle(key, name))


def _settle_set(given: Any, written: list[Any]) -> list[Any]:
    elements = list(given)
    if any(isinstance(item, BaseModel) for item in elements):
        return sorted(map(encode_value, elements), key=_to_json)
    jsonable = to_jsonable_python(given)
    if sorted(jsonable, key=_to_json) == sorted(written, key=_to_json):
        written = [_settle(item, to_jsonable_python(item)) for item in elements]
    return sorted(written, key=_to_json)


def _unwritable(model: BaseModel, error: Exception) -> UnstorableError:
    """Why a model cannot be written, which field it is, and no value of it."""
    unknown = re.search(r"unknown type: <class '([\w.]+)'>", str(error))
    if unknown is not None:
        reason = f"holds a value of type {unknown[1]}, which cannot be written as JSON; give the field a serializer"
    elif "utf-8" in str(error):
        reason = (
            'holds bytes that are not UTF-8 text; set ser_json_bytes and val_json_bytes to "base64" in model_config'
        )
    elif isinstance(error, RecursionError) or "ircular reference" in str(error):
        reason = f"is nested deeper than {MAX_DEPTH} levels"
    else:
        cause = error.__cause__ or error
        reason = f"cannot be written as JSON: its serializer failed ({type(cause).__name__})"
    unstorable = UnstorableError(reason)
    for name in type(model).model_fields:
        try:
            _dump(model, "json", name)
        except (PydanticSerializationError, ValueError, RecursionError):
            unstorable.path.append(name)
            break
    return unstorable


def write_json(encoded: Any) -> bytes:
    """The JSON text of a document.

    Raises:
        InvalidDocumentError: it holds text that is not valid Unicode.
        DocumentTooLargeError: it is larger than 64 MiB.
    """
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
