"""An update as MongoDB writes it, and what it makes of a document.

Pure.

An update is checked as a whole before it meets a document, and never changes a document that it is given: it makes a
new one, or raises. Its parts are worked off in the order of their paths, of which no two collide, so that their order
shows in nothing but the order of new fields.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from poof.errors import InvalidQueryError, UpdateError
from poof.object_ids import OBJECT_ID
from poof.query.collisions import PathOrder, find_collision, path_order
from poof.query.filters.elements import first_element
from poof.query.known import KnownFields
from poof.query.nodes import Node, Path
from poof.query.operands import Place
from poof.query.paths import MISSING, FieldReference
from poof.query.updates.draft import Draft, UnfitError
from poof.query.updates.operands import OPERATORS
from poof.query.updates.operators import Operation, Remove, new_value
from poof.query.updates.positions import ElementFilters, expand, is_dynamic, parse_element_filters, parse_target
from poof.raising import brief, raise_alone

_ON_INSERT = "$setOnInsert"
_RENAME = "$rename"
_UNSET = "$unset"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What an operator does at a path."""

    operator: str
    path: Path
    operation: Operation

    @property
    def field(self) -> str:
        """What errors call the place."""
        return ".".join(self.path)

    def apply(self, draft: Draft, now: datetime.datetime) -> None:
        """Raises `UnfitError` where the document does not allow the change."""
        try:
            value = draft.read(self.path)
        except UnfitError:
            if isinstance(self.operation, Remove):
                return  # what cannot be there need not be removed
            raise
        changed = new_value(self.operation, value, now)
        if changed is value:
            return
        if changed is MISSING:
            draft.remove(self.path)
        else:
            draft.write(self.path, changed)


@dataclass(frozen=True, slots=True)
class Rename:
    """`$rename`: moves the value at `source` to `path`."""

    path: Path
    source: Path
    operator: str = _RENAME

    @property
    def field(self) -> str:
        """What errors call the place."""
        return ".".join(self.source)

    def apply(self, draft: Draft, now: datetime.datetime) -> None:
        """Raises `UnfitError` where there is an array on one of the ways, or something else in it."""
        _refuse_arrays(draft, self.source)
        value = draft.read(self.source)
        if value is MISSING:
            return
        _refuse_arrays(draft, self.path)
        draft.read(self.path)
        draft.write(self.path, value)
        draft.remove(self.source)


def _refuse_arrays(draft: Draft, path: Path) -> None:
    for end in range(1, len(path)):
        if isinstance(draft.read(path[:end]), list):
            raise UnfitError(f"cannot move what is in an array, and {'.'.join(path[:end])!r} is one")


@dataclass(frozen=True, slots=True)
class Update:
    """What `parse_update` makes of an update."""

    changes: tuple[FieldChange | Rename, ...]
    element_filters: ElementFilters

    def apply(
        self,
        data: dict[str, Any],
        *,
        now: datetime.datetime,
        node: Node | None = None,
        obj_id: str | None = None,
        inserting: bool = False,
    ) -> dict[str, Any]:
        """The document that the update makes of this one. Arguments and errors as in `draft`."""
        return self.draft(data, now=now, node=node, obj_id=obj_id, inserting=inserting).document

    def draft(
        self,
        data: dict[str, Any],
        *,
        now: datetime.datetime,
        node: Node | None = None,
        obj_id: str | None = None,
        inserting: bool = False,
    ) -> Draft:
        """What the update makes of a document, which itself stays as it is, and the paths that it wrote to.

        `now` is what `$currentDate` stores. `node` is the filter that found the document, and `obj_id` its id: they
        tell what `$` stands for. The new document may share parts with the old one and with the update; it may be
        larger or deeper than a document may be, which `encode_document` finds out.

        Raises:
            UpdateError: the document does not allow it; the text names the operator and the field.
        """
        draft = Draft(data)
        changes = self.changes if inserting else [change for change in self.changes if change.operator != _ON_INSERT]
        if any(is_dynamic(change.path) for change in changes):
            first = partial(_first_element, None if inserting else node, data, obj_id)
            changes = self._expanded(changes, data, first)
        for change in changes:
            try:
                change.apply(draft, now)
            except UnfitError as error:
                raise_alone(_refusal(change, error))
        return draft

    def _expanded(
        self, changes: Sequence[FieldChange | Rename], data: dict[str, Any], first: Callable[[Path, list[Any]], int]
    ) -> list[FieldChange | Rename]:
        expanded: list[FieldChange | Rename] = []
        for change in changes:
            try:
                paths = [*expand(change.path, data, self.element_filters, first)]
            except UnfitError as error:
                raise_alone(_refusal(change, error))
            expanded.extend(replace(change, path=path) for path in paths)
        collision = _collision(expanded)
        if collision is not None:
            raise UpdateError(
                f"In this document the update changes {collision}, as $, $[] and $[name] stand for the same elements. "
                "Nothing was changed."
            )
        return sorted(expanded, key=_change_order)


@brief(InvalidQueryError)
def parse_update(
    update: Mapping[str, Any],
    array_filters: Sequence[Mapping[str, Any]] | None = None,
    known: KnownFields | None = None,
) -> Update:
    """The meaning of an update. `known`: the fields of the collection's model.

    >>> update = parse_update({"$inc": {"age": 1}})
    >>> update.apply({"name": "Alice", "age": 25}, now=datetime.datetime.now(datetime.UTC))
    {'name': 'Alice', 'age': 26}

    Raises:
        InvalidQueryError: it is no update; the text says which operator of which field is wrong.
    """
    if not isinstance(update, Mapping):
        raise InvalidQueryError(
            f"An update is a dict of operators, such as {{'$set': {{'age': 26}}}}, not {type(update).__name__}."
        )
    if not update:
        raise InvalidQueryError("The update is empty; write operators, such as {'$set': {'age': 26}}.")
    changes = [change for operator, fields in update.items() for change in _parse_operator(operator, fields, known)]
    collision = _collision(changes)
    if collision is not None:
        raise InvalidQueryError(f"The update changes {collision}; it can change a field only once.")
    filters = parse_element_filters(array_filters, [change.path for change in changes], known)
    return Update(tuple(sorted(changes, key=_change_order)), filters)


def same(one: Any, other: Any) -> bool:
    """Whether two values would be stored as the same JSON, so that an update which made one of the other has modified
    nothing. To this 1, 1.0 and true are three values, 0.0 and -0.0 two, and the order of fields counts.
    """
    return bool(one == other) and _same(one, other)


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)


def _parse_operator(operator: object, fields: object, known: KnownFields | None) -> list[FieldChange | Rename]:
    if not isinstance(operator, str) or not operator.startswith("$"):
        raise InvalidQueryError(
            f"{operator!r} is no operator, of which updates are made. Write {{'$set': {{...}}}} for some fields of a "
            "document; replace_one replaces a whole one."
        )
    if operator not in OPERATORS and operator != _RENAME:
        operators = ", ".join(sorted([*OPERATORS, _RENAME]))
        raise InvalidQueryError(f"Unknown operator {operator!r}. The operators of an update are {operators}.")
    if not isinstance(fields, Mapping):
        raise InvalidQueryError(f"{operator} takes a dict of fields, not {type(fields).__name__}.")
    return [_parse_change(str.__str__(operator), name, operand, known) for name, operand in fields.items()]


def _parse_change(operator: str, name: object, operand: Any, known: KnownFields | None) -> FieldChange | Rename:
    path = _parse_target(name)
    place = Place(path, ".".join(path), operator, known=None if known is None else known.at(path))
    if operator == _RENAME:
        return _parse_rename(operand, place, known)
    if operator != _UNSET:
        place.check_name()
    return FieldChange(operator, path, OPERATORS[operator](operand, place))


def _parse_rename(operand: object, place: Place, known: KnownFields | None) -> Rename:
    if not isinstance(operand, str | FieldReference):
        raise place.error(f"takes the new name as text, not {type(operand).__name__}")
    target = _parse_target(operand)
    if known is not None:
        known.at(target).check()
    if is_dynamic(place.path) or is_dynamic(target):
        raise place.error("takes no $, $[] or $[name], neither in the old name nor in the new one")
    if target == place.path:
        raise place.error("has the same name as its new one")
    return Rename(target, place.path)


def _parse_target(name: object) -> Path:
    path = parse_target(name)
    if path[0] == OBJECT_ID:
        raise InvalidQueryError(
            f"The {OBJECT_ID} of a document cannot be changed. That of a document to be upserted stands in the filter."
        )
    return path


def _change_order(change: FieldChange | Rename) -> PathOrder:
    return path_order(change.path)


def _collision(changes: Sequence[FieldChange | Rename]) -> str | None:
    sources = (change.source for change in changes if isinstance(change, Rename))
    return find_collision([*(change.path for change in changes), *sources])


def _first_element(node: Node | None, data: dict[str, Any], obj_id: str | None, path: Path, array: list[Any]) -> int:
    index = None if node is None else first_element(node, data, obj_id, path, array)
    if index is None:
        raise UnfitError(
            f"has a $, and the filter found no single element of {'.'.join(path)!r} for it to stand for; "
            "say what the element is with $elemMatch in the filter"
        )
    return index


def _refusal(change: FieldChange | Rename, error: UnfitError) -> UpdateError:
    return UpdateError(f"{change.operator} of the field {change.field!r} {error}. Nothing was changed.")
