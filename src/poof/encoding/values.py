"""The one place where Python values become JSON.

Pure.

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
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import AnyUrl, BaseModel, SecretBytes, SecretStr
from pydantic.types import Secret
from pydantic_core import MultiHostUrl, Url, to_jsonable_python

from poof.encoding.dumping import dump_model, spell_numbers
from poof.encoding.identity import id_field
from poof.encoding.scalars import (
    MASKED,
    MAX_DEPTH,
    MAX_DOCUMENT_SIZE,
    MAX_INTEGER,
    MIN_INTEGER,
    NOT_FINITE,
    UnstorableError,
    encode_moment,
    to_json,
    write_json,
)
from poof.errors import InvalidDocumentError
from poof.raising import raise_alone

# orjson leaves to `encode_value` what it would write otherwise, or as no one would read it back.
_PLAIN_ONLY = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_STRICT_INTEGER
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
        return encode_model(data)[:2]
    if type(data) is dict:
        text = _write_plain(data)
        if text is not None and (copy := orjson.loads(text)) == data:  # NaN becomes null, and a UUID text
            return copy, text
    return _encode_any(data)


def encode_model(model: BaseModel) -> tuple[dict[str, Any], bytes, bool]:
    """As `encode_json`, and whether all fields of the model hold what their annotations say."""
    try:
        dumped, as_declared = dump_model(model)
    except UnstorableError as error:
        raise_alone(_unstorable(error))
    if not isinstance(dumped, dict):
        raise _no_document(dumped)
    marked = id_field(type(model))
    if marked is not None:
        dumped.pop(type(model).model_fields[marked].serialization_alias or marked, None)
    text = write_new(dumped)
    if text is None:
        dumped, text = _encode_any(spell_numbers(model, dumped))
    return dumped, text, as_declared


def write_new(data: dict[str, Any]) -> bytes | None:
    """The text of a dict of JSON values that is not the caller's; `None` where JSON might not hold it exactly."""
    text = _write_plain(data)
    # Nothing else would be written as null, or as another value.
    return text if text is None or b"null" not in text or orjson.loads(text) == data else None


def _write_plain(data: dict[str, Any]) -> bytes | None:
    try:
        text = orjson.dumps(data, option=_PLAIN_ONLY)
    except orjson.JSONEncodeError:
        return None
    too_large = len(text) > MAX_DOCUMENT_SIZE or text.count(b"{") + text.count(b"[") > MAX_DEPTH
    return None if too_large else text


def _encode_any(data: Any) -> tuple[dict[str, Any], bytes]:
    try:
        encoded = encode_value(data)
    except UnstorableError as error:
        raise_alone(_unstorable(error))
    if not isinstance(encoded, dict):
        raise _no_document(data)
    return encoded, write_json(encoded)


def _no_document(data: Any) -> InvalidDocumentError:
    return InvalidDocumentError(
        f"A document is a Pydantic model or a dict, not {type(data).__name__}. Nothing was stored."
    )


def _unstorable(error: UnstorableError) -> InvalidDocumentError:
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
        raise UnstorableError(NOT_FINITE)
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
            return _encode(dump_model(value)[0], depth)
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
            return sorted(_encode_sequence(value, depth), key=to_json)
        case datetime.datetime() | datetime.time():
            return encode_moment(value)
        case datetime.date():
            return value.isoformat()
        case decimal.Decimal() if not value.is_finite():
            raise UnstorableError(NOT_FINITE)
        case decimal.Decimal() | uuid.UUID():
            return str(value)
        case bytes() | bytearray() | memoryview():
            raise UnstorableError(
                "is bytes, which JSON cannot hold; store base64 text, or a model with a field of type Base64Bytes"
            )
        case SecretStr() | SecretBytes() | Secret():
            raise UnstorableError(MASKED)
        case datetime.timedelta():
            return to_jsonable_python(value)  # an ISO 8601 duration
        case _ if isinstance(value, _TEXT_LIKE):
            return str(value)
        case _:
            raise UnstorableError(
                f"is of type {type(value).__name__}, which PoofDB cannot store by itself; a Pydantic model may"
            )
