"""Whether a document matches a filter: the reference that every other way to answer must agree with.

Pure.

A tree of nodes is turned once into functions, which a scan then calls for each document. Documents are plain JSON
values, as they are stored.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from operator import eq, ge, gt, is_, le, lt
from types import NoneType
from typing import Any

from poof.encoding.scalars import MAX_INTEGER, MIN_INTEGER
from poof.object_ids import OBJECT_ID
from poof.query.nodes import (
    And,
    Compare,
    ElementMatch,
    Equal,
    Exists,
    Field,
    In,
    Inside,
    Matches,
    Modulo,
    Node,
    Not,
    OfType,
    Or,
    Path,
    Size,
    Test,
    TypeName,
)
from poof.query.order import encode_decimal_key, encode_key, equal, read_decimal
from poof.query.paths import MISSING, candidates_at, values_at

MIN_INT, MAX_INT = -(2**31), 2**31 - 1
"""Of the integers that `$type` calls `int`; all others are `long`."""

Predicate = Callable[[Any], bool]

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_TYPES: Mapping[TypeName, tuple[type, ...]] = {
    "null": (NoneType,),
    "number": (int, float),
    "string": (str,),
    "object": (dict,),
    "array": (list,),
    "bool": (bool,),
    "int": (),
    "long": (),
    "double": (float,),
}
"""Types of Python; integers that are `int` or `long` are told by their size."""


def matches(node: Node, document: Any, obj_id: str | None = None) -> bool:
    """Whether a document, whose id is `_objId` in the filter, matches it. For many documents use `matcher`."""
    return matcher(node)(document, obj_id)


def matcher(node: Node) -> Callable[[Any, str | None], bool]:
    """A function that says of a document and its id whether they match the filter.

    Of a filter on elements, as `parse_element_filter` makes it, the function takes an element in place of a document.
    """
    predicate = _predicate(node)
    if not mentions(node, OBJECT_ID):
        return lambda document, obj_id: predicate(document)
    return lambda document, obj_id: predicate({**document, OBJECT_ID: MISSING if obj_id is None else obj_id})


def mentions(node: Node, name: str) -> bool:
    """Whether the filter says anything about this field of a document, or about what is in it."""
    match node:
        case Field(path, _):
            return path[:1] == (name,)
        case And(nodes) | Or(nodes):
            return any(map(partial(mentions, name=name), nodes))
        case Not(part):
            return mentions(part, name)
        case Inside():
            return False


def _predicate(node: Node) -> Predicate:
    match node:
        case Field(path, Size() | ElementMatch() as test):
            return partial(_any_at, values_at, path, _test(test))
        case Field((), test):
            return _test(test)
        case Field((name,), test):
            return partial(_any_in_field, name, _test(test))
        case Field(path, test):
            return partial(_any_at, candidates_at, path, _test(test))
        case And(nodes):
            return partial(_all, [*map(_predicate, nodes)])
        case Or(nodes):
            return partial(_any, [*map(_predicate, nodes)])
        case Not(part):
            return partial(_not, _predicate(part))
        case Inside(part):
            return partial(_inside, _predicate(part))


def _all(predicates: list[Predicate], document: Any) -> bool:
    for predicate in predicates:  # noqa: SIM110 - a generator costs time, and a frame of the stack at each level
        if not predicate(document):
            return False
    return True


def _any(predicates: list[Predicate], document: Any) -> bool:
    for predicate in predicates:  # noqa: SIM110 - as above
        if predicate(document):
            return True
    return False


def _not(predicate: Predicate, document: Any) -> bool:
    return not predicate(document)


def _inside(predicate: Predicate, value: Any) -> bool:
    if type(value) is list:
        value = {str(position): element for position, element in enumerate(value)}
    return type(value) is dict and predicate(value)


def _any_at(find: Callable[[Any, Path], list[Any]], path: Path, test: Predicate, document: Any) -> bool:
    return any(map(test, find(document, path)))


def _any_in_field(name: str, test: Predicate, document: Any) -> bool:
    """What `_any_at` says of the candidates at a path of one step, in less time."""
    if type(document) is not dict:
        return _any_at(candidates_at, (name,), test, document)
    value = document.get(name, MISSING)
    return test(value) or (type(value) is list and any(map(test, value)))


def _test(test: Test) -> Predicate:
    match test:
        case Equal(value):
            return _equal(value)
        case Compare(operator, value, same_zone):
            compare = _compare(_COMPARISONS[operator], value)
            return partial(_compares_in_zone, compare, is_zoned(value)) if same_zone else compare
        case In(values, patterns):
            return _in(values, patterns)
        case Exists():
            return _exists
        case OfType(names):
            return _of_type(names)
        case Size(size):
            return partial(_has_size, size)
        case Modulo(divisor, remainder):
            return partial(_leaves, divisor, remainder)
        case Matches(pattern):
            return partial(_is_found, pattern.search)
        case ElementMatch(node):
            return partial(_has_element, _predicate(node))


# Types are told apart by identity: to Python True is equal to 1, and a bool is an int.


def _is_number(value: Any) -> bool:
    return type(value) is int or type(value) is float


def _equal(value: Any) -> Predicate:
    if value is None:
        return _is_null
    if isinstance(value, bool):
        return partial(is_, value)
    if isinstance(value, str):
        return partial(eq, value)
    if _is_number(value):
        return partial(_is_equal_number, value)
    if isinstance(value, Decimal):
        return partial(_compares_decimal, eq, value)
    return partial(equal, value)


def _is_null(value: Any) -> bool:
    return value is None or value is MISSING


def _is_equal_number(number: float, value: Any) -> bool:
    return _is_number(value) and bool(value == number)


def _compare(comparison: Callable[[Any, Any], bool], value: Any) -> Predicate:
    if _is_number(value):
        return partial(_compares_number, comparison, value)
    if isinstance(value, bool | str):
        return partial(_compares, comparison, value)
    if isinstance(value, Decimal):
        return partial(_compares_decimal, comparison, value)
    return partial(_compares_key, comparison, type(value), encode_key(value))


def _compares_number(comparison: Callable[[Any, Any], bool], number: float, value: Any) -> bool:
    return _is_number(value) and comparison(value, number)


def _compares(comparison: Callable[[Any, Any], bool], other: bool | str, value: Any) -> bool:
    return type(value) is type(other) and comparison(value, other)


def _compares_decimal(comparison: Callable[[Any, Any], bool], number: Decimal, value: Any) -> bool:
    other = read_decimal(value)
    return other is not None and comparison(other, number)


def is_zoned(text: str) -> bool:
    """Whether the text of a datetime has a zone, as it is stored."""
    return text.endswith("Z")


def _compares_in_zone(compares: Predicate, zoned: bool, value: Any) -> bool:
    return compares(value) and is_zoned(value) is zoned


def _compares_key(comparison: Callable[[Any, Any], bool], kind: type, key: bytes, value: Any) -> bool:
    return type(value) is kind and comparison(encode_key(value), key)


def _in(values: tuple[Any, ...], patterns: tuple[re.Pattern[str], ...]) -> Predicate:
    texts = frozenset(value for value in values if isinstance(value, str))
    numbers = frozenset(value for value in values if _is_number(value))
    decimals = frozenset(encode_decimal_key(value) for value in values if isinstance(value, Decimal))
    others = [value for value in values if not isinstance(value, str | Decimal) and not _is_number(value)]
    is_in = partial(_is_in, texts, numbers, frozenset(map(encode_key, others)), [found.search for found in patterns])
    return partial(_is_in_decimals, decimals, is_in) if decimals else is_in


def _is_in(
    texts: frozenset[str],
    numbers: frozenset[float],
    keys: frozenset[bytes],
    searches: list[Callable[[str], object]],
    value: Any,
) -> bool:
    if type(value) is str:
        return value in texts or any(search(value) for search in searches)
    if _is_number(value):
        return value in numbers
    return bool(keys) and encode_key(value) in keys


def _is_in_decimals(decimals: frozenset[bytes], is_in: Predicate, value: Any) -> bool:
    return is_in(value) or encode_decimal_key(value) in decimals


def _exists(value: Any) -> bool:
    return value is not MISSING


def _of_type(names: frozenset[TypeName]) -> Predicate:
    types = frozenset(kind for name in names for kind in _TYPES[name])
    sizes = names & {"int", "long"}
    if len(sizes) == 1 and int not in types:
        return partial(_is_of_type_or_size, types, "long" in sizes)
    return partial(_is_of_type, types | {int} if sizes else types)


def _is_of_type_or_size(types: frozenset[type], long: bool, value: Any) -> bool:
    return type(value) in types or (type(value) is int and long != (MIN_INT <= value <= MAX_INT))


def _is_of_type(types: frozenset[type], value: Any) -> bool:
    return type(value) in types


def _has_size(size: int, value: Any) -> bool:
    return type(value) is list and len(value) == size


def _leaves(divisor: int, remainder: int, value: Any) -> bool:
    if not _is_number(value) or not MIN_INTEGER <= (dividend := int(value)) <= MAX_INTEGER:
        return False
    left = abs(dividend) % abs(divisor)
    return (-left if dividend < 0 else left) == remainder


def _is_found(search: Callable[[str], object], value: Any) -> bool:
    return type(value) is str and search(value) is not None


def _has_element(predicate: Predicate, value: Any) -> bool:
    return type(value) is list and any(map(predicate, value))
