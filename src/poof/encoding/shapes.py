"""Shapes: under which names a model stores its fields, and what is inside them.

Pure.

A shape knows names and containers, and no values. `schemas` reads it off a model; what only a custom serializer knows
is `Opaque`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal


class Opaque:
    """Any JSON: what is inside is not known."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without fields or elements. `kind` is what core schemas call its type, as `datetime`."""

    kind: str
    zone: Literal["aware", "naive"] | None = None
    """Of a datetime that must have a zone, or must not."""


@dataclass(frozen=True, slots=True)
class Items:
    """An array. `unordered`: it holds a set, which is stored in an order of its own."""

    item: "Shape"
    unordered: bool = False


@dataclass(frozen=True, slots=True)
class Free:
    """A document with any names, as of a dict."""

    value: "Shape"
    key: "Shape"


@dataclass(slots=True)
class Fields:
    """A document with the fields of a model, a dataclass or a typed dict."""

    name: str
    cls: type | None = None
    stored: dict[str, "Shape"] = field(default_factory=dict)
    """By the names under which they are stored."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Their names in Python, by the names under which they are stored."""
    others: dict[str, frozenset[str]] = field(default_factory=dict)
    """The other names under which they may be read, by the names under which they are stored."""
    accepted: set[str] = field(default_factory=set)
    """All names under which a stored field may be read."""
    misread: dict[str, str] = field(default_factory=dict)
    """Fields, and the names they are stored under, that are not read under these names."""
    is_open: bool = False
    """Whether other fields are kept as well (`extra="allow"`)."""
    is_rewritten: bool = False
    """Whether a serializer of the class writes it, perhaps under other names."""


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    choices: tuple["Shape", ...]


@dataclass(slots=True)
class Reference:
    """A shape that holds itself."""

    target: "Shape" = field(default_factory=Opaque)


Shape = Opaque | Scalar | Items | Free | Fields | Either | Reference
OPAQUE = Opaque()


def resolve(shape: Shape) -> Shape:
    """The shape behind references."""
    while isinstance(shape, Reference):
        shape = shape.target
    return shape


def walk(shape: Shape) -> Iterator[Shape]:
    """A shape and all that is inside it, each once."""
    waiting = [shape]
    seen: set[int] = set()
    while waiting:
        here = resolve(waiting.pop())
        if id(here) in seen:
            continue
        seen.add(id(here))
        yield here
        match here:
            case Fields(stored=stored):
                waiting.extend(stored.values())
            case Items(item):
                waiting.append(item)
            case Free(value, key):
                waiting.extend((value, key))
            case Either(choices):
                waiting.extend(choices)


def part(shape: Shape, step: str) -> Shape:
    """The shape of what is in a field, or in the elements of an array."""
    match resolve(shape):
        case Fields(stored=stored):
            return stored.get(step, OPAQUE)
        case Free(value=inner) | Items(item=inner):
            return inner
        case Either(choices):
            parts = [inner for choice in choices if not isinstance(inner := resolve(part(choice, step)), Opaque)]
            return parts[0] if len(parts) == 1 else Either(tuple(parts)) if parts else OPAQUE
    return OPAQUE


def fitting(shape: Shape, data: Mapping[str, Any]) -> Shape:
    """Of several shapes, that of a document with these fields: all fields that are known to any of them are known."""
    shape = resolve(shape)
    if not isinstance(shape, Either):
        return shape
    documents = [found for choice in shape.choices if isinstance(found := fitting(choice, data), Fields | Free)]
    fields = [found for found in documents if isinstance(found, Fields)]
    if not fields or len(fields) < len(documents):
        return documents[0] if documents else OPAQUE
    if len(fields) == 1:
        return fields[0]
    best = max(fields, key=lambda found: (len(found.stored.keys() & data.keys()), -len(found.stored)))
    return Fields(
        best.name,
        best.cls,
        best.stored,
        best.attributes,
        best.others,
        reduce(set.union, (found.accepted for found in fields), set()),
        best.misread,
        any(found.is_open for found in fields),
    )
