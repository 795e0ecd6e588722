"""Operands, read by the type of the field that they are compared with.

Pure.

Documents hold JSON, in which a datetime is text of one form, and a decimal is text as it was written. So text that
means the same datetime or UUID takes that form, and a number that is compared with decimals becomes a decimal, which
the nodes of a filter compare by its value. An operand that the type does not read stays what it is: a document may hold
it that is older than the model.
"""

import datetime
import uuid
from decimal import Decimal
from typing import Any

from poof.encoding.moments import read_moment
from poof.encoding.scalars import MAX_INTEGER, MIN_INTEGER, UnstorableError, encode_moment
from poof.query.known import Kind, KnownFields
from poof.query.operands import Place, encode_operand
from poof.query.order import read_decimal
from poof.raising import raise_alone

_PLAIN = (None, "other", "number")
"""Where a value of JSON is read as what it is."""


def is_read_as_it_is(value: Any, known: KnownFields | None) -> bool:
    """Whether `read_operand` would give the very same value. It says so of nearly all, in a fraction of the time."""
    kind = type(value)
    is_json = value.isascii() if kind is str else MIN_INTEGER <= value <= MAX_INTEGER if kind is int else kind is bool
    return is_json and (known is None or known.kind in _PLAIN)


def read_operand(value: Any, place: Place) -> Any:
    """A value as it is compared with those in the field: JSON, as documents hold it, or a decimal.

    Raises:
        InvalidQueryError: no document can hold it, or no value in the field can be compared with it.
    """
    encoded = encode_operand(value, place)
    known = place.known
    if known is None:
        return value if isinstance(value, Decimal) else encoded
    kind = known.kind
    if isinstance(value, Decimal):
        return _read_decimal(value, encoded, kind)
    if isinstance(encoded, dict | list):
        return _read_whole(encoded, known, place)
    return encoded if kind in _PLAIN else _read_scalar(encoded, kind, place)


def written(value: Any) -> Any:
    """A value that `read_operand` gave, as documents hold it."""
    return str(value) if isinstance(value, Decimal) else value


def _read_decimal(value: Decimal, encoded: Any, kind: Kind | None) -> Any:
    match kind:
        case None | "decimal":
            return value
        case "number":
            number = int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
            return number if read_decimal(number) == value else value
    return encoded


def _read_scalar(value: Any, kind: Kind | None, place: Place) -> Any:
    if kind == "decimal":
        number = read_decimal(value)
        return value if number is None else number
    if not isinstance(value, str):
        return value
    match kind:
        case "datetime" | "aware" | "naive":
            return _read_datetime(value, kind, place)
        case "date":
            return _read_date(value, place)
        case "time":
            return _read_time(value)
        case "uuid":
            return _read_uuid(value)
    return value


def _read_datetime(text: str, kind: str, place: Place) -> str:
    moment = read_moment(text)
    if moment is None:
        if _is_date(text):
            raise place.error("is compared with a date, and holds datetimes; say the time of day as well")
        return text
    if kind == "aware" and moment.tzinfo is None:
        raise place.error("is compared with a datetime without a zone, and holds aware ones; add the zone")
    if kind == "naive" and moment.tzinfo is not None:
        raise place.error("is compared with a datetime that has a zone, and holds naive ones; leave the zone out")
    try:
        return encode_moment(moment)
    except UnstorableError as error:
        raise_alone(place.error(error.reason))


def _read_date(text: str, place: Place) -> str:
    moment = read_moment(text)
    if moment is None:
        return text
    if moment.tzinfo is None and moment.time() == datetime.time():
        return moment.date().isoformat()
    raise place.error("is compared with a datetime, and holds dates; compare with its date()")


def _read_time(text: str) -> str:
    try:
        return encode_moment(datetime.time.fromisoformat(text))
    except ValueError:
        return text


def _read_uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return text


def _is_date(text: str) -> bool:
    return len(text) == len("2024-02-29") and read_moment(f"{text}T00:00") is not None


def _read_whole(value: Any, known: KnownFields, place: Place) -> Any:
    """A document or an array, which is compared as a whole with what is stored: decimals in it are text."""
    if isinstance(value, dict):
        read = {}
        for name, item in value.items():
            inner = known.inside(name)
            inner.check()
            read[name] = _read_whole(item, inner, place)
        return read
    if isinstance(value, list):
        return [_read_whole(item, known.element, place) for item in value]
    return value if value is None else written(_read_scalar(value, known.kind, place))
