"""What the operators of an update take, and the operations that they mean.

Pure.

As in a filter, what an operator cannot take exactly is refused by an error that names it and the field, and shows no
value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from poof.query.fields import FieldOrder, parse_fields
from poof.query.filters.elements import element_matcher
from poof.query.filters.parse import parse_pull_filter
from poof.query.nodes import Equal, Field, FieldKind
from poof.query.operands import Place, encode_operand, read_list
from poof.query.order import encoder_of
from poof.query.typed import read_operand, written
from poof.query.updates.operators import (
    Add,
    AddToSet,
    Assign,
    Greatest,
    Least,
    Multiply,
    Operation,
    Pop,
    Pull,
    PullAll,
    Push,
    Remove,
    Stamp,
)

_CLAUSES = ("$each", "$position", "$slice", "$sort")


def _assign(operand: object, place: Place) -> Operation:
    return Assign(encode_operand(operand, place))


def _remove(operand: object, place: Place) -> Operation:
    """MongoDB takes any operand, and makes nothing of it."""
    return Remove()


def _stamp(operand: object, place: Place) -> Operation:
    kind = operand.get("$type") if isinstance(operand, Mapping) and len(operand) == 1 else None
    if operand is True or kind in ("date", "timestamp"):
        return Stamp()
    raise place.error("takes True, {'$type': 'date'} or {'$type': 'timestamp'}, which store the same text")


def _add(operand: object, place: Place) -> Operation:
    return Add(_read_number(operand, place))


def _multiply(operand: object, place: Place) -> Operation:
    return Multiply(_read_number(operand, place))


def _least(operand: object, place: Place) -> Operation:
    value = written(read_operand(operand, place))
    return Least(value, _kind(place))


def _greatest(operand: object, place: Place) -> Operation:
    value = written(read_operand(operand, place))
    return Greatest(value, _kind(place))


def _push(operand: object, place: Place) -> Operation:
    clauses = _clauses(operand, place, _CLAUSES)
    if clauses is None:
        return Push((encode_operand(operand, place),))
    return Push(
        values=_read_values(clauses["$each"], place.at("$each")),
        position=_read_integer(clauses["$position"], place.at("$position")) if "$position" in clauses else None,
        order=_read_order(clauses["$sort"], place.at("$sort")) if "$sort" in clauses else (),
        limit=_read_integer(clauses["$slice"], place.at("$slice")) if "$slice" in clauses else None,
    )


def _add_to_set(operand: object, place: Place) -> Operation:
    clauses = _clauses(operand, place, ("$each",))
    values = [operand] if clauses is None else clauses["$each"]
    return AddToSet(_read_elements(values, place if clauses is None else place.at("$each")), _kind(place))


def _pull(operand: object, place: Place) -> Operation:
    condition = {"$regex": operand} if isinstance(operand, re.Pattern) else operand
    if isinstance(condition, Mapping):
        return Pull(element_matcher(parse_pull_filter(condition, place.field, place.known)))
    if isinstance(condition, Decimal):
        return Pull(element_matcher(Field((), Equal(read_operand(condition, _element(place))))))
    return _pull_values([condition], place)


def _pull_all(operand: object, place: Place) -> Operation:
    encode_operand(read_list(operand, place), place)  # whose error says which of them cannot be stored
    return _pull_values(operand, place)


def _pull_values(values: object, place: Place) -> Operation:
    kind = _kind(place)
    return PullAll(frozenset(map(encoder_of(kind), _read_elements(values, place))), kind)


def _pop(operand: object, place: Place) -> Operation:
    if type(operand) not in (int, float) or operand not in (1, -1):
        raise place.error("takes 1, for the last element, or -1, for the first")
    return Pop(first=operand == -1)


def _clauses(operand: object, place: Place, known: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The clauses of an operand that is made of them; None where it is a value."""
    if not isinstance(operand, Mapping) or not any(isinstance(name, str) and name.startswith("$") for name in operand):
        return None
    unknown = next((name for name in operand if name not in known), None)
    if unknown is not None:
        raise place.error(
            f"has {unknown!r} beside or in place of {', '.join(known)}; "
            "write a document that has names with $ as {'$each': [document]}"
        )
    if "$each" not in operand:
        raise place.error("has clauses and no $each among them; a single value is {'$each': [value]} too")
    return operand


def _read_values(operand: object, place: Place) -> tuple[Any, ...]:
    return tuple(encode_operand(read_list(operand, place), place))


def _read_elements(operand: object, place: Place) -> tuple[Any, ...]:
    """Values that are compared with the elements of an array, in the form in which these are stored."""
    element = _element(place)
    return tuple(written(read_operand(value, element)) for value in read_list(operand, place))


def _element(place: Place) -> Place:
    return place if place.known is None else replace(place, known=place.known.element)


def _kind(place: Place) -> FieldKind:
    """How the values are compared that are there."""
    return "decimal" if place.known is not None and place.known.kind == "decimal" else None


def _read_number(operand: object, place: Place) -> float | Decimal:
    number = read_operand(operand, place)
    if type(number) is int or type(number) is float:
        return number
    if isinstance(number, Decimal) and _kind(place) is not None:
        return number
    raise place.error(f"takes a number, not {type(operand).__name__}")


def _read_integer(operand: object, place: Place) -> int:
    number = encode_operand(operand, place)
    if type(number) in (int, float) and number == int(number):
        return int(number)
    raise place.error("takes a whole number")


def _read_order(operand: object, place: Place) -> tuple[FieldOrder, ...]:
    if type(operand) in (int, float) and operand in (1, -1):
        return (FieldOrder((), operand == -1, _kind(place)),)
    if isinstance(operand, Mapping):
        known = None if place.known is None else place.known.element
        return parse_fields(operand, what=f"$sort of the field {place.field!r}", known=known)
    raise place.error("takes 1 or -1, or a dict of fields with 1 or -1")


OPERATORS: Mapping[str, Callable[[Any, Place], Operation]] = {
    "$addToSet": _add_to_set,
    "$currentDate": _stamp,
    "$inc": _add,
    "$max": _greatest,
    "$min": _least,
    "$mul": _multiply,
    "$pop": _pop,
    "$pull": _pull,
    "$pullAll": _pull_all,
    "$push": _push,
    "$set": _assign,
    "$setOnInsert": _assign,
    "$unset": _remove,
}
"""How to read the operand of each operator. `$rename`, which takes another path, is not among them."""
