"""What the operators of a filter take: plain JSON values, whole numbers, names of types, patterns.

Pure.

Whatever an operator cannot take exactly is refused by an error that names the operator and the field, and shows no
value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from poof.encoding.scalars import MAX_INTEGER, MIN_INTEGER, UnstorableError
from poof.encoding.values import encode_value
from poof.errors import InvalidDocumentError, InvalidQueryError
from poof.query.known import KnownFields
from poof.query.nodes import Path, TypeName
from poof.query.paths import MISSING, is_unicode
from poof.raising import raise_alone

MAX_FILTER_DEPTH = 100
"""Levels of filters and operators inside each other, as in MongoDB."""

_TYPES: Mapping[Any, TypeName] = {
    "null": "null",
    "number": "number",
    "string": "string",
    "object": "object",
    "array": "array",
    "bool": "bool",
    "int": "int",
    "long": "long",
    "double": "double",
}
# The numbers that BSON has for them.
_TYPE_CODES: Mapping[Any, TypeName] = {
    1: "double",
    2: "string",
    3: "object",
    4: "array",
    8: "bool",
    10: "null",
    16: "int",
    18: "long",
}
_FLAGS = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a filter an operand stands: the path it is about, how errors name it, and how much deeper it may go."""

    path: Path
    field: str
    operator: str = "The value"
    depth: int = MAX_FILTER_DEPTH
    known: KnownFields | None = None
    """What is known about the values there, if the collection has a model."""

    def at(self, operator: str) -> "Place":
        """The operand of an operator that stands here."""
        return Place(self.path, self.field, operator, self.depth, self.known)

    def deeper(self) -> "Place":
        """One level further inside.

        Raises:
            InvalidQueryError: there is none left.
        """
        if self.depth == 0:
            raise InvalidQueryError(f"The filter is nested deeper than {MAX_FILTER_DEPTH} levels.")
        return Place(self.path, self.field, self.operator, self.depth - 1, self.known)

    def check_name(self) -> None:
        """Refuses a path at which the model of the collection stores nothing.

        Raises:
            InvalidQueryError: it names what is meant.
        """
        if self.known is not None and self.known.refusal is not None:
            self.known.check()

    def error(self, reason: str) -> InvalidQueryError:
        """An error whose text begins with the operator and the field."""
        return InvalidQueryError(f"{self.operator} of the field {self.field!r} {reason}.")


def encode_operand(value: Any, place: Place) -> Any:
    """A value as documents hold it.

    Raises:
        InvalidQueryError: no document can hold it.
    """
    if isinstance(value, re.Pattern):
        raise place.error("takes no pattern; $regex, $in, $nin, $all and $not do")
    try:
        encoded = encode_value(value)
        orjson.dumps(encoded)
    except UnstorableError as error:
        field = ".".join([place.field, *(str(step) for step in reversed(error.path))])
        raise_alone(replace(place, field=field).error(error.reason))
    except (InvalidDocumentError, orjson.JSONEncodeError):
        raise_alone(place.error("holds text that is not valid Unicode (a lone surrogate)"))
    return encoded


def read_list(operand: object, place: Place) -> list[Any]:
    """The elements of an array as they are, some of which may be patterns or operators."""
    if not isinstance(operand, list | tuple | set | frozenset):
        raise place.error(f"takes a list, not {type(operand).__name__}")
    return list(operand)


def read_size(operand: object, place: Place) -> int:
    """A length: 0 or more, perhaps written as `2.0`."""
    size = _whole_number(encode_operand(operand, place))
    if size is None or size < 0:
        raise place.error("takes a whole number that is not negative")
    return size


def read_exists(operand: object, place: Place) -> bool:
    """True or false, perhaps written as 1 or 0."""
    value = encode_operand(operand, place)
    if type(value) is not bool and _whole_number(value) not in (0, 1):
        raise place.error(f"takes true or false, not {type(operand).__name__}")
    return bool(value)


def read_modulo(operand: object, place: Place) -> tuple[int, int]:
    """A divisor and a remainder; a fraction is cut off, as MongoDB does."""
    numbers = encode_operand(operand, place)
    if not isinstance(numbers, list) or len(numbers) != 2:
        raise place.error("takes a list of two numbers: [divisor, remainder]")
    if not all(type(number) in (int, float) for number in numbers):
        raise place.error("takes numbers: [divisor, remainder]")
    divisor, remainder = (int(number) for number in numbers)
    if divisor == 0:
        raise place.error("has the divisor 0")
    if not all(MIN_INTEGER <= number <= MAX_INTEGER for number in (divisor, remainder)):
        raise place.error("takes integers of at most 64 bits")
    return divisor, remainder


def read_types(operand: object, place: Place) -> frozenset[TypeName]:
    """One type or a list of them, by name or by BSON's number."""
    value = encode_operand(operand, place)
    types = value if isinstance(value, list) else [value]
    if not types:
        raise place.error("takes at least one type")
    return frozenset(_read_type(name, place) for name in types)


def _read_type(name: Any, place: Place) -> TypeName:
    known = _TYPES.get(name) if isinstance(name, str) else _TYPE_CODES.get(_whole_number(name))
    if known is None:
        raise place.error(f"takes types of JSON: {', '.join(sorted(_TYPES))}, or their numbers in BSON")
    return known


def _whole_number(value: Any) -> int | None:
    """The integer that a JSON number is equal to. True is no number."""
    return int(value) if type(value) in (int, float) and value == int(value) else None


def read_pattern(operand: object, place: Place, options: object = MISSING) -> re.Pattern[str]:
    """A pattern of Python's `re`, from its text or as it was compiled.

    Raises:
        InvalidQueryError: it is neither, is not valid, or its options are not among `imsx`.
    """
    flags = 0 if options is MISSING else _read_options(options, place.at("$options"))
    if isinstance(operand, re.Pattern):
        text, own = operand.pattern, operand.flags & ~re.UNICODE
        if options is not MISSING and own:
            raise place.error("has flags of its own, and $options beside it; use one of both")
        flags |= own
    else:
        text = encode_operand(operand, place)
    if not isinstance(text, str):
        raise place.error(f"takes text or a pattern of text, not {type(text).__name__}")
    if not is_unicode(text):
        raise place.error("holds text that is not valid Unicode (a lone surrogate)")
    try:
        return re.compile(text, flags)
    except (re.error, OverflowError, RecursionError):
        raise_alone(place.error("is not a valid pattern of Python's re module"))


def _read_options(options: object, place: Place) -> int:
    text = encode_operand(options, place)
    if not isinstance(text, str) or not set(text) <= _FLAGS.keys():
        raise place.error("takes text of the letters i, m, s and x")
    flags = re.NOFLAG
    for letter in text:
        flags |= _FLAGS[letter]
    return flags
