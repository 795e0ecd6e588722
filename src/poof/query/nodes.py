"""What a filter means, as a tree: parsed once, then matched in Python or compiled to SQL.

Pure values.

A `Node` says something about a document, a `Test` about the values that a path leads to. All that MongoDB's language
has beside these is written in terms of them: `$ne` is `Not` of `Equal`, `$nor` is `Not` of `Or`, `$all` is `And`.
Values in here are plain JSON values, as `document.encode_value` makes them; and decimals, which are compared by their
value with numbers, and with text that is one.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

Path = tuple[str, ...]
"""The steps of a dotted path: names of fields, or indexes of arrays, or either. The empty path, which only stands
inside `ElementMatch`, is the element itself."""

FieldKind = Literal["decimal"] | None
"""How the values of a field are compared: as what they are in JSON, or as decimals, which are stored as text."""

TypeName = Literal["null", "number", "string", "object", "array", "bool", "int", "long", "double"]


@dataclass(frozen=True, slots=True)
class Equal:
    """A value is equal to this one; null also equals what is missing."""

    value: Any


@dataclass(frozen=True, slots=True)
class Compare:
    """A value of the same type as this one is less or greater. Never null: that is `Equal`, or nothing at all."""

    operator: Literal["<", "<=", ">", ">="]
    value: Any
    same_zone: bool = False
    """Of datetimes: whether a value must have a zone, as text that ends in Z, just where this one has one."""


@dataclass(frozen=True, slots=True)
class In:
    """A value is equal to one of these, or is text in which one of the patterns is found."""

    values: tuple[Any, ...]
    patterns: tuple[re.Pattern[str], ...] = ()


@dataclass(frozen=True, slots=True)
class Exists:
    """There is a value, even if it is null."""


@dataclass(frozen=True, slots=True)
class OfType:
    """A value is of one of these types."""

    names: frozenset[TypeName]


@dataclass(frozen=True, slots=True)
class Size:
    """A value is an array of so many elements."""

    size: int


@dataclass(frozen=True, slots=True)
class Modulo:
    """A number, cut to an integer, leaves this remainder; which has the sign of the number."""

    divisor: int
    remainder: int


@dataclass(frozen=True, slots=True)
class Matches:
    """A text in which the pattern is found."""

    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class ElementMatch:
    """A value is an array, and one single element of it matches."""

    node: "Node"


Test = Equal | Compare | In | Exists | OfType | Size | Modulo | Matches | ElementMatch


@dataclass(frozen=True, slots=True)
class Field:
    """One of the values that the path leads to passes the test."""

    path: Path
    test: Test


@dataclass(frozen=True, slots=True)
class And:
    """All of these; everything, where there are none."""

    nodes: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of these; nothing, where there are none."""

    nodes: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class Inside:
    """A document matches, or an array seen as one with its positions as fields. Only stands inside `ElementMatch`."""

    node: "Node"


Node = Field | And | Or | Not | Inside

EVERYTHING = And()
NOTHING = Or()
