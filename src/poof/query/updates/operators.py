"""What the operators of an update make of a value.

Pure.

No operation changes the value that it is given; most that have nothing to do give back the same object.
"""

import datetime
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from typing import Any

from poof.encoding.scalars import MAX_INTEGER, MIN_INTEGER
from poof.encoding.values import encode_value
from poof.query.fields import FieldOrder
from poof.query.key_rows import Row, Rows
from poof.query.nodes import FieldKind
from poof.query.order import encoder_of, invert, read_decimal
from poof.query.paths import MISSING
from poof.query.updates.draft import UnfitError, name_of_kind
from poof.raising import raise_alone

EXACT = Context(prec=1_000, traps=[Inexact, InvalidOperation, Overflow])
"""How decimals are computed: never rounded."""
Key = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Assign:
    """`$set`, and `$setOnInsert`."""

    value: Any


@dataclass(frozen=True, slots=True)
class Remove:
    """`$unset`."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """`$currentDate`."""


@dataclass(frozen=True, slots=True)
class Add:
    """`$inc`."""

    amount: float | Decimal


@dataclass(frozen=True, slots=True)
class Multiply:
    """`$mul`."""

    factor: float | Decimal


@dataclass(frozen=True, slots=True)
class Least:
    """`$min`."""

    value: Any
    kind: FieldKind = None


@dataclass(frozen=True, slots=True)
class Greatest:
    """`$max`."""

    value: Any
    kind: FieldKind = None


@dataclass(frozen=True, slots=True)
class Push:
    """`$push`: inserts the values, then sorts, then cuts. In `order` the empty path is the element as a whole."""

    values: tuple[Any, ...]
    position: int | None = None
    order: tuple[FieldOrder, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class AddToSet:
    """`$addToSet`."""

    values: tuple[Any, ...]
    kind: FieldKind = None


@dataclass(frozen=True, slots=True)
class Pull:
    """`$pull` with a condition."""

    matches: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class PullAll:
    """`$pullAll`, and `$pull` of a value: the keys of the values."""

    keys: frozenset[bytes]
    kind: FieldKind = None


@dataclass(frozen=True, slots=True)
class Pop:
    """`$pop`: removes the first element, or the last one."""

    first: bool


Operation = Assign | Remove | Stamp | Add | Multiply | Least | Greatest | Push | AddToSet | Pull | PullAll | Pop


def new_value(operation: Operation, value: Any, now: datetime.datetime) -> Any:
    """What becomes of a value. MISSING, given or returned, is that there is none.

    Raises:
        UnfitError: the operation takes values of another type, or its result cannot be stored.
    """
    match operation:
        case Assign(new):
            return new
        case Remove():
            return MISSING
        case Stamp():
            return encode_value(now)
        case Add(amount):
            if isinstance(amount, Decimal):
                return str(amount) if value is MISSING else _computed(EXACT.add, value, amount)
            return amount if value is MISSING else _storable(_number(value) + amount)
        case Multiply(factor):
            if isinstance(factor, Decimal):
                return "0" if value is MISSING else _computed(EXACT.multiply, value, factor)
            return type(factor)() if value is MISSING else _storable(_number(value) * factor)
        case Least(bound, kind):
            key = encoder_of(kind)
            return bound if value is MISSING or key(bound) < key(value) else value
        case Greatest(bound, kind):
            key = encoder_of(kind)
            return bound if value is MISSING or key(bound) > key(value) else value
        case Push():
            return _push(operation, [] if value is MISSING else _array(value))
        case AddToSet(values, kind):
            key = encoder_of(kind)
            return [*_distinct(values, set(), key)] if value is MISSING else _add_to_set(values, _array(value), key)
        case _:
            return value if value is MISSING else _shorten(operation, _array(value))


def _shorten(operation: Pull | PullAll | Pop, array: list[Any]) -> list[Any]:
    match operation:
        case Pull(matches):
            kept = [element for element in array if not matches(element)]
        case PullAll(keys, kind):
            key = encoder_of(kind)
            kept = [element for element in array if key(element) not in keys]
        case Pop(first):
            kept = array[1:] if first else array[:-1]
    return array if len(kept) == len(array) else kept


def _number(value: Any) -> float:
    if type(value) is int or type(value) is float:
        return value
    raise UnfitError(f"takes a number, and the document holds {name_of_kind(value)} there")


def _computed(operation: Callable[[Decimal, Decimal], Decimal], value: Any, operand: Decimal) -> str:
    """What an operation on a stored decimal gives, as it is stored."""
    number = read_decimal(value)
    if number is None:
        raise UnfitError(f"takes a number, and the document holds {name_of_kind(value)} there")
    try:
        result = operation(number, operand)
    except DecimalException:
        raise_alone(UnfitError(f"leads to a decimal of more than {EXACT.prec:,} digits"))
    return str(result)


def _array(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    raise UnfitError(f"takes an array, and the document holds {name_of_kind(value)} there")


def _storable(number: float) -> float:
    if isinstance(number, float):
        if math.isfinite(number):
            return number
        raise UnfitError("leads to a number beyond what a float can hold")
    if MIN_INTEGER <= number <= MAX_INTEGER:
        return number
    raise UnfitError("leads to an integer beyond 64 bits")


def _add_to_set(values: tuple[Any, ...], array: list[Any], key: Key) -> list[Any]:
    added = _distinct(values, set(map(key, array)), key)
    return array + added if added else array


def _distinct(values: tuple[Any, ...], keys: set[bytes], key: Key) -> list[Any]:
    """The values whose keys are not among these, each of them once."""
    distinct: dict[bytes, Any] = {}
    for value in values:
        distinct.setdefault(key(value), value)
    return [value for found, value in distinct.items() if found not in keys]


def _push(push: Push, array: list[Any]) -> list[Any]:
    position = len(array) if push.position is None else push.position
    pushed = [*array[:position], *push.values, *array[position:]]
    if push.order:
        pushed = _sorted(pushed, push.order)
    if push.limit is None:
        return pushed
    return pushed[: push.limit] if push.limit >= 0 else pushed[push.limit :]


def _sorted(array: list[Any], order: Sequence[FieldOrder]) -> list[Any]:
    rows = Rows(order)
    is_whole = not order[0].path

    def key(element: Any) -> Row:
        if is_whole:
            (field,) = order
            key = encoder_of(field.kind)(element)
            return (invert(key) if field.descending else key,)
        return rows.first(element if isinstance(element, dict) else {})

    return sorted(array, key=key)
