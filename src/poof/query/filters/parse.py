"""A filter as MongoDB writes it becomes a tree of nodes.

Pure.

Nothing in a filter is ever ignored: what is not understood is refused, by an error that names it. Nothing of the
caller's filter is kept in the tree, which holds plain JSON values of its own.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from poof.errors import InvalidQueryError
from poof.query.known import KnownFields
from poof.query.nodes import (
    EVERYTHING,
    NOTHING,
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
    Size,
    Test,
)
from poof.query.operands import (
    Place,
    read_exists,
    read_list,
    read_modulo,
    read_pattern,
    read_size,
    read_types,
)
from poof.query.paths import MISSING, FieldReference, parse_path
from poof.query.typed import is_read_as_it_is, read_operand

_LOGICAL = ("$and", "$nor", "$or")
_COMMENT = "$comment"
_BESIDE_FIELDS = ("$and", _COMMENT, "$nor", "$or")
_IS_DOCUMENT = Field((), OfType(frozenset({"object"})))


def parse_filter(filter: Mapping[str, Any] | None, known: KnownFields | None = None) -> Node:  # noqa: A002 - MongoDB's name for it
    """The meaning of a filter; without one, every document. `known`: the fields of the collection's model.

    >>> parse_filter({"age": {"$gte": 18}})
    Field(path=('age',), test=Compare(operator='>=', value=18))

    Raises:
        InvalidQueryError: it is no filter; the text says which operator of which field is wrong.
    """
    try:
        return EVERYTHING if filter is None else _parse_filter(filter, Place((), "", known=known))
    except InvalidQueryError as error:
        error.__traceback__ = None  # as `brief` does, without the cost of a call
        raise


def parse_element_filter(
    condition: object, field: str, operator: str = "$elemMatch", known: KnownFields | None = None
) -> Node:
    """What a single element of an array must be, as the operand of `$elemMatch` says it.

    Operators are about the element itself, which is not opened if it is an array; a filter is about its fields, and
    sees an array as a document whose fields are "0", "1" and so on, as MongoDB does.

    Raises:
        InvalidQueryError: it is neither.
    """
    return _parse_element(condition, Place((), field, operator, known=known), Inside)


def parse_pull_filter(condition: object, field: str, known: KnownFields | None = None) -> Node:
    """What `$pull` says about a single element; the same as `$elemMatch`, but a filter matches documents only.

    Raises:
        InvalidQueryError: it is neither operators nor a filter.
    """
    place = Place((), field, "$pull", known=known)
    return _parse_element(condition, place, lambda node: And((_IS_DOCUMENT, node)))


def _parse_filter(filter_: object, place: Place) -> Node:
    if not isinstance(filter_, Mapping):
        raise InvalidQueryError(f"A filter is a dict such as {{'age': {{'$gte': 18}}}}, not {type(filter_).__name__}.")
    inside = place.deeper()
    nodes = []
    # Loops, here and below: a comprehension takes one more frame of Python's stack at each level.
    for name, operand in filter_.items():
        if isinstance(name, FieldReference) or name != _COMMENT:
            nodes.append(_parse_entry(name, operand, inside))
    return _all_of(nodes)


def _parse_entry(name: object, operand: object, place: Place) -> Node:
    if isinstance(name, str) and name.startswith("$"):
        return _parse_logical(str.__str__(name), operand, place)
    path = parse_path(name)
    known = None if place.known is None else place.known.at(path)
    if is_read_as_it_is(operand, known):
        if known is not None:
            known.check()
        return Field(path, Equal(operand))
    field = ".".join(path)
    return _parse_condition(
        operand, Place(path, f"{place.field}.{field}" if place.field else field, depth=place.depth, known=known)
    )


def _parse_logical(operator: str, operand: object, place: Place) -> Node:
    if operator not in _LOGICAL:
        raise _not_logical(operator)
    if not isinstance(operand, list | tuple) or not operand:
        raise InvalidQueryError(f"{operator} takes a list of at least one filter.")
    nodes = []
    for filter_ in operand:
        nodes.append(_parse_filter(filter_, place))
    match operator:
        case "$and":
            return _all_of(nodes)
        case "$or":
            return _any_of(nodes)
        case _:
            return Not(_any_of(nodes))


def _not_logical(operator: str) -> InvalidQueryError:
    if operator in _OPERATORS or operator in _REGEX:
        return InvalidQueryError(
            f"{operator} is an operator of a field: write {{'field': {{{operator!r}: ...}}}}. "
            f"Beside the fields of a filter stand {', '.join(_BESIDE_FIELDS)}."
        )
    return InvalidQueryError(
        f"Unknown operator {operator!r}. Beside the fields of a filter stand {', '.join(_BESIDE_FIELDS)}; "
        f"the operators of a field are {_known_operators()}."
    )


def _parse_condition(condition: object, place: Place) -> Node:
    """What a filter says about one field: operators, a pattern, or the value itself."""
    if _holds_operators(condition, place):
        return _parse_operators(condition, place)
    place.check_name()
    if isinstance(condition, re.Pattern):
        return Field(place.path, Matches(read_pattern(condition, place)))
    return Field(place.path, Equal(read_operand(condition, place)))


def _is_operator(name: object) -> bool:
    return isinstance(name, str) and name.startswith("$")


def _holds_operators(value: object, place: Place) -> bool:
    if not isinstance(value, Mapping):
        return False
    operators = sum(_is_operator(name) for name in value)
    if 0 < operators < len(value):
        raise place.error("holds both operators and fields; to compare with such a document, use $eq")
    return operators > 0


def _parse_operators(operators: Any, place: Place) -> Node:
    inside = place.deeper()
    nodes = []
    for name, operand in operators.items():
        if name not in _OF_ANY_NAME:
            place.check_name()
        if name in _REGEX:
            if name == "$regex" or "$regex" not in operators:
                nodes.append(_parse_regex(operators, inside.at(name)))
        elif name in _OPERATORS:
            nodes.append(_OPERATORS[name](operand, inside.at(name)))
        elif name in _LOGICAL:
            raise inside.at(name).error("is not possible: it stands beside fields, and takes filters")
        elif name == _COMMENT:
            raise inside.at(name).error("is not possible: it stands beside fields")
        else:
            raise InvalidQueryError(
                f"Unknown operator {name!r} of the field {place.field!r}. "
                f"The operators of a field are {_known_operators()}."
            )
    return _all_of(nodes)


def _known_operators() -> str:
    return ", ".join(sorted({*_OPERATORS, *_REGEX}))


def _parse_equal(operand: object, place: Place) -> Node:
    return Field(place.path, Equal(read_operand(operand, place)))


def _parse_not_equal(operand: object, place: Place) -> Node:
    return Not(_parse_equal(operand, place))


def _comparison(operator: Literal["<", "<=", ">", ">="]) -> Callable[[object, Place], Node]:
    def parse(operand: object, place: Place) -> Node:
        value = read_operand(operand, place)
        if value is not None:
            same_zone = isinstance(value, str) and place.known is not None and place.known.kind == "datetime"
            return Field(place.path, Compare(operator, value, same_zone))
        return Field(place.path, Equal(None)) if "=" in operator else NOTHING

    return parse


def _parse_in(operand: object, place: Place) -> Node:
    values, patterns = [], []
    for item in read_list(operand, place):
        if isinstance(item, re.Pattern):
            patterns.append(read_pattern(item, place))
        else:
            values.append(_encode_item(item, place))
    return Field(place.path, In(tuple(values), tuple(patterns)))


def _parse_not_in(operand: object, place: Place) -> Node:
    return Not(_parse_in(operand, place))


def _encode_item(item: object, place: Place) -> Any:
    if _holds_operators(item, place):
        raise place.error("takes values, not operators")
    return read_operand(item, place)


def _parse_exists(operand: object, place: Place) -> Node:
    exists = Field(place.path, Exists())
    return exists if read_exists(operand, place) else Not(exists)


def _parse_type(operand: object, place: Place) -> Node:
    return Field(place.path, OfType(read_types(operand, place)))


def _parse_size(operand: object, place: Place) -> Node:
    return Field(place.path, Size(read_size(operand, place)))


def _parse_modulo(operand: object, place: Place) -> Node:
    return Field(place.path, Modulo(*read_modulo(operand, place)))


def _parse_not(operand: object, place: Place) -> Node:
    if isinstance(operand, re.Pattern):
        place.check_name()
        return Not(Field(place.path, Matches(read_pattern(operand, place))))
    if not _holds_operators(operand, place):
        raise place.error("takes operators, such as {'$gt': 5}, or a pattern; to compare with a value, use $ne")
    return Not(_parse_operators(operand, place))


def _parse_regex(operators: Mapping[str, Any], place: Place) -> Node:
    if "$regex" not in operators:
        raise place.error("needs a $regex beside it")
    pattern = read_pattern(operators["$regex"], place, operators.get("$options", MISSING))
    return Field(place.path, Matches(pattern))


def _parse_all(operand: object, place: Place) -> Node:
    items = read_list(operand, place)
    if not items:
        return NOTHING
    if any(isinstance(item, Mapping) and "$elemMatch" in item for item in items):
        return _all_of([_parse_element_of_all(item, place) for item in items])
    return _all_of([Field(place.path, _test_of_all(item, place)) for item in items])


def _parse_element_of_all(item: Any, place: Place) -> Node:
    if not isinstance(item, Mapping) or len(item) != 1 or "$elemMatch" not in item:
        raise place.error("takes values, or nothing but $elemMatch, each in a dict of its own")
    return _parse_element_match(item["$elemMatch"], place.at("$elemMatch"))


def _test_of_all(item: object, place: Place) -> Test:
    if isinstance(item, re.Pattern):
        return Matches(read_pattern(item, place))
    return Equal(_encode_item(item, place))


def _parse_element_match(operand: object, place: Place) -> Node:
    return Field(place.path, ElementMatch(_parse_element(operand, place, Inside)))


def _parse_element(condition: object, place: Place, of_fields: Callable[[Node], Node]) -> Node:
    if not isinstance(condition, Mapping):
        raise place.error(f"takes a filter or operators, in a dict, not {type(condition).__name__}")
    known = None if place.known is None else place.known.element
    inside = Place((), place.field, place.operator, place.depth, known)
    # Operators that stand beside fields are about the fields of the element, all others about the element.
    if any(_is_operator(name) and name not in _BESIDE_FIELDS for name in condition):
        _holds_operators(condition, inside)
        return _parse_operators(condition, inside)
    return of_fields(_parse_filter(condition, inside))


def _all_of(nodes: Sequence[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else And(tuple(nodes))


def _any_of(nodes: Sequence[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Or(tuple(nodes))


_OF_ANY_NAME = ("$exists", "$not", "$type")
"""What may be asked of a field that the model does not store, as migrations do. `$not` asks what is inside it."""
_REGEX = ("$regex", "$options")
"""The two that make one operator."""

_OPERATORS: Mapping[str, Callable[[Any, Place], Node]] = {
    "$all": _parse_all,
    "$elemMatch": _parse_element_match,
    "$eq": _parse_equal,
    "$exists": _parse_exists,
    "$gt": _comparison(">"),
    "$gte": _comparison(">="),
    "$in": _parse_in,
    "$lt": _comparison("<"),
    "$lte": _comparison("<="),
    "$mod": _parse_modulo,
    "$ne": _parse_not_equal,
    "$nin": _parse_not_in,
    "$not": _parse_not,
    "$size": _parse_size,
    "$type": _parse_type,
}
