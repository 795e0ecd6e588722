"""Which elements of an array fit a condition, and which of them made a document fit a filter.

Pure.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from poof.query.filters.match import matcher, matches
from poof.query.nodes import And, ElementMatch, Exists, Field, Node, OfType, Or, Path, Size

_ELEMENT = "element"
_IS_DOCUMENT = Field((), OfType(frozenset({"object"})))


def element_matcher(node: Node) -> Callable[[Any], bool]:
    """A function that says of an element whether it matches a node, in which the empty path is the element itself."""
    matches = matcher(Field((_ELEMENT,), ElementMatch(node)))
    return lambda element: matches({_ELEMENT: [element]}, None)


def first_element(
    node: Node, document: Mapping[str, Any], obj_id: str | None, path: Path, array: list[Any]
) -> int | None:
    """The index of the first element that made a document fit: the one that MongoDB's `$` stands for in `"path.$"`.

    It is the first of which everything is true that the filter says about elements of the array at the path. What is
    said by a negation, about an index, or about the array as a whole chooses no element.
    """
    condition = _condition(node, document, obj_id, path, array)
    return None if condition is None else _first(condition, array)


def _first(condition: Node, array: list[Any]) -> int | None:
    matches = element_matcher(condition)
    return next((index for index, element in enumerate(array) if matches(element)), None)


def _condition(
    node: Node, document: Mapping[str, Any], obj_id: str | None, path: Path, array: list[Any]
) -> Node | None:
    """What the filter says about an element of the array, of which it is true for at least one; None where nothing."""
    match node:
        case Field(place, _) if place[: len(path)] == path:
            condition = _on_element(node, len(path))
            return condition if condition is not None and _first(condition, array) is not None else None
        case And(nodes):
            parts = _known(_condition(part, document, obj_id, path, array) for part in nodes)
            return And(parts) if parts else None
        case Or(nodes):
            fitting = [part for part in nodes if matches(part, document, obj_id)]
            parts = _known(_condition(part, document, obj_id, path, array) for part in fitting)
            return Or(parts) if parts else None
        case _:
            return None


def _known(conditions: Iterable[Node | None]) -> tuple[Node, ...]:
    return tuple(condition for condition in conditions if condition is not None)


def _on_element(field: Field, depth: int) -> Node | None:
    rest = field.path[depth:]
    if rest:
        return And((_IS_DOCUMENT, Field(rest, field.test)))
    match field.test:
        case ElementMatch(node):
            return node
        case Size() | Exists():
            return None
        case test:
            return Field((), test)
