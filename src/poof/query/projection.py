"""Which fields of a document are returned.

Pure.

A projection either includes, and leaves out what it does not name, or excludes, and leaves out what it names. Fields
keep the order of the document. The id is no field of the data, and is always returned. `_id` may be excluded beside
what is included, as in MongoDB: where it is a field at all, it is left out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from poof.errors import InvalidQueryError
from poof.object_ids import OBJECT_ID
from poof.query.collisions import find_collision
from poof.query.filters.elements import element_matcher
from poof.query.filters.parse import parse_element_filter
from poof.query.known import KnownFields
from poof.query.nodes import Path
from poof.query.operands import Place, encode_operand
from poof.query.paths import MISSING, parse_path
from poof.raising import brief

ProjectionSpec = Mapping[str, Any] | Sequence[str]
"""`{"name": 1}`, `{"password": 0}`, `{"tags": {"$slice": 3}}` or a list of names to include."""


@dataclass(frozen=True, slots=True)
class Named:
    """The field is included, or excluded, whole."""

    includes: bool


@dataclass(frozen=True, slots=True)
class Part:
    """`$slice`: of an array so many elements, or all, from an index on, which counts from the end where negative."""

    start: int
    count: int | None


@dataclass(frozen=True, slots=True)
class FirstMatch:
    """`$elemMatch`: of an array the first element that matches; without one the field is left out."""

    matches: Callable[[Any], bool]


_WITHOUT_ID = (("_id",), Named(False))

Rule = Union[Named, Part, FirstMatch, "Projection"]


@dataclass(frozen=True, slots=True)
class Projection:
    """What `parse_projection` makes of a projection, and what it says about the fields inside a field."""

    includes: bool
    rules: Mapping[str, Rule]
    keeps_values: bool = False
    """Whether what is no document stays where one is expected, as null does for a model that may be missing."""

    def apply(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A new document of what is returned of this one. It may share parts with it."""
        projected = {}
        for name, value in data.items():
            rule = self.rules.get(name, Named(not self.includes))
            kept = _follow(rule, value)
            if kept is not MISSING:
                projected[name] = kept
        return projected


@brief(InvalidQueryError)
def parse_projection(projection: ProjectionSpec | None, known: KnownFields | None = None) -> Projection | None:
    """The meaning of a projection; None where everything is returned. A list of names includes these. `known`: the
    fields of the collection's model.

    >>> parse_projection(["name"]).apply({"name": "Alice", "age": 25})
    {'name': 'Alice'}

    Raises:
        InvalidQueryError: it is no projection, includes and excludes, or names a field twice, or one that the model
            does not store.
    """
    if projection is None or (isinstance(projection, Mapping) and not projection):
        return None
    entries = [*_entries(_pairs(projection), known)]
    named = [(path, rule) for path, rule in entries if path != (OBJECT_ID,)]
    collision = find_collision(path for path, _ in named)
    if collision is not None:
        raise InvalidQueryError(f"The projection names {collision}.")
    free = [(path, rule) for path, rule in named if (path, rule) != _WITHOUT_ID]
    including = [path for path, rule in free if rule == Named(True) or isinstance(rule, FirstMatch)]
    excluding = [path for path, rule in free if rule == Named(False)]
    if including and excluding:
        raise InvalidQueryError(
            f"The projection includes {'.'.join(including[0])!r} and excludes {'.'.join(excluding[0])!r}; "
            "it can do only one of both. $elemMatch includes its field."
        )
    # To include the id alone, or an empty list of names, is to include no field.
    includes_id = ((OBJECT_ID,), Named(True)) in entries
    includes = bool(including) or (not excluding and (includes_id or not entries))
    return _tree(includes, free if includes else named)


def _pairs(projection: object) -> Iterable[tuple[object, object]]:
    if isinstance(projection, Mapping):
        return projection.items()
    if isinstance(projection, Sequence) and not isinstance(projection, str | bytes):
        return [(name, True) for name in projection]
    raise InvalidQueryError(
        "A projection is a list of names, or a dict such as {'name': 1} or {'password': 0}, "
        f"not {type(projection).__name__}."
    )


def _entries(
    pairs: Iterable[tuple[object, object]], known: KnownFields | None, outer: Path = ()
) -> Iterator[tuple[Path, Rule]]:
    for name, spec in pairs:
        _refuse_positional(name)
        path = parse_path(".".join([*outer, *parse_path(name)]))
        place = Place(path, ".".join(path), "The projection", known=None if known is None else known.at(path))
        if path[0] == OBJECT_ID:
            yield path, _read_id(spec, place)
        elif isinstance(spec, Mapping) and not any(isinstance(key, str) and key.startswith("$") for key in spec):
            if not spec:
                raise place.error("names no field inside it")
            yield from _entries(spec.items(), known, path)
        else:
            rule = _read_rule(spec, place)
            if (path, rule) != _WITHOUT_ID:
                place.check_name()
            yield path, rule


def _refuse_positional(name: object) -> None:
    if isinstance(name, str) and "$" in name.split("."):
        raise InvalidQueryError(
            f"The projection {name!r} has a $, which is not supported; write {{'field': {{'$elemMatch': ...}}}}."
        )


def _read_id(spec: object, place: Place) -> Rule:
    if len(place.path) > 1:
        raise InvalidQueryError(f"The projection names a part of the {OBJECT_ID}, which is text and has none.")
    if not isinstance(spec, bool | int | float) or spec not in (0, 1):
        raise place.error("takes 1 or 0, and every document is returned with its id")
    return Named(bool(spec))


def _read_rule(spec: object, place: Place) -> Rule:
    if isinstance(spec, Mapping):
        return _read_operator(spec, place)
    if isinstance(spec, bool | int | float) and spec in (0, 1):
        return Named(bool(spec))
    raise place.error("takes 1 or True to include it, 0 or False to exclude it, or $elemMatch or $slice in a dict")


def _read_operator(spec: Mapping[Any, Any], place: Place) -> Rule:
    unknown = next((name for name in spec if name not in ("$elemMatch", "$slice")), None)
    if unknown is not None:
        raise InvalidQueryError(
            f"Unknown operator {unknown!r} of the field {place.field!r}. "
            "The operators of a projection are $elemMatch, $slice."
        )
    if len(spec) > 1:
        raise place.error("takes one operator, not two")
    if "$slice" in spec:
        return _read_part(spec["$slice"], place.at("$slice"))
    if len(place.path) > 1:
        raise place.at("$elemMatch").error(
            "is not possible: it projects fields of the document, not fields inside them"
        )
    return FirstMatch(element_matcher(parse_element_filter(spec["$elemMatch"], place.field, known=place.known)))


def _read_part(operand: object, place: Place) -> Rule:
    numbers = encode_operand(operand, place)
    listed = numbers if isinstance(numbers, list) else [numbers]
    if not all(type(number) in (int, float) and number == int(number) for number in listed) or len(listed) not in (
        1,
        2,
    ):
        raise place.error("takes a whole number, or a list of two: [skip, count]")
    if not isinstance(numbers, list):
        return Part(0, int(numbers)) if numbers >= 0 else Part(int(numbers), None)
    if len(listed) == 1 or listed[1] <= 0:
        raise place.error("takes a whole number, or a list of two: [skip, count], of which the second is above 0")
    return Part(int(listed[0]), int(listed[1]))


def _tree(includes: bool, entries: Iterable[tuple[Path, Rule]]) -> Projection:
    rules: dict[str, Rule] = {}
    inner: dict[str, list[tuple[Path, Rule]]] = {}
    for path, rule in entries:
        if len(path) == 1:
            rules[path[0]] = rule
        else:
            inner.setdefault(path[0], []).append((path[1:], rule))
    return Projection(includes, rules | {name: _tree(includes, parts) for name, parts in inner.items()})


def _follow(rule: Rule, value: Any) -> Any:
    """What is returned of the value of a field; MISSING where that is nothing."""
    match rule:
        case Named(includes):
            return value if includes else MISSING
        case Part(start, count):
            return _cut(value, start, count) if isinstance(value, list) else value
        case FirstMatch(matches):
            elements = value if isinstance(value, list) else []
            return next(([element] for element in elements if matches(element)), MISSING)
        case Projection():
            return _descend(rule, value)


def _cut(array: list[Any], start: int, count: int | None) -> list[Any]:
    begin = max(len(array) + start, 0) if start < 0 else start
    return array[begin:] if count is None else array[begin : begin + count]


def _descend(projection: Projection, value: Any) -> Any:
    """Documents in arrays are projected one by one; what is no document has no field to be included or excluded."""
    if isinstance(value, dict):
        return projection.apply(value)
    if isinstance(value, list):
        projected = [_descend(projection, element) for element in value]
        return [element for element in projected if element is not MISSING]
    return MISSING if projection.includes and not projection.keeps_values else value
