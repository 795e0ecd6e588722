"""What a collection's model says about its fields: which names are stored, and what kind of values is there.

Pure. A model is read once, and each of its paths once: all that filters, sorts, updates and projections ask of a model
they ask here.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Literal

from pydantic import BaseModel

from poof.encoding.identity import id_field
from poof.encoding.schemas import shape_of
from poof.encoding.shapes import OPAQUE, Either, Fields, Free, Items, Opaque, Scalar, Shape, resolve
from poof.errors import InvalidQueryError
from poof.object_ids import OBJECT_ID
from poof.query.nodes import FieldKind, Path
from poof.query.paths import parse_index

Kind = Literal["decimal", "number", "uuid", "date", "time", "datetime", "aware", "naive", "other"]
"""How operands are read that are compared with a field: `aware` and `naive` are datetimes that have a zone, or none."""

_KINDS: Mapping[str, Kind] = {
    "int": "number",
    "float": "number",
    "decimal": "decimal",
    "uuid": "uuid",
    "date": "date",
    "time": "time",
}
"""What core schemas call them; all that are not here are `other`."""
_NUMBERS = frozenset(("decimal", "number"))
_MOST_PATHS = 1024
"""How many paths a model remembers: a dict field has any number of them."""
_MOST_NAMES = 12
"""How many names an error lists."""
_WRONG_IDS = ("_id", "objId")


class KnownFields:
    """What is known about the values at a path; of the empty path, about a document, or an element of an array."""

    def __init__(self, shape: Shape, owner: "_Owner", refusal: str | None = None) -> None:
        self.shape = shape
        self.kind = kind_of(shape)
        self.refusal = refusal
        """Why the model stores nothing there."""
        self._owner = owner
        self._found: dict[Path, KnownFields] = {}

    @property
    def field_kind(self) -> FieldKind:
        """How sorts and indexes compare the values."""
        return "decimal" if self.kind == "decimal" else None

    def at(self, path: Path) -> "KnownFields":
        """What is known about a field in here. Steps such as `$[]` stand for elements."""
        found = self._found.get(path)
        if found is None:
            if len(self._found) >= _MOST_PATHS:
                self._found.clear()
            found = self._found[path] = self._find(path)
        return found

    @cached_property
    def element(self) -> "KnownFields":
        """What is known about an element, where an array is there."""
        return KnownFields(_element(self.shape), self._owner, self.refusal)

    def inside(self, name: str) -> "KnownFields":
        """What is known about a field of this very name in a document that is here."""
        shape = _step(self.shape, name, ())
        if shape is None:
            return self._refused((name,), self._hint(self.shape, (name,), 0))
        return KnownFields(shape, self._owner)

    def elements_as(self, name: str, paths: Iterable[Path]) -> "KnownFields":
        """What is known about a document that has an element in a field, as array filters see it: of one of the arrays
        that these paths lead into.
        """
        shape = _either([self.at(path).shape for path in paths]) or OPAQUE
        return KnownFields(Fields(self._owner.name, stored={name: shape}, is_open=True), self._owner)

    def check(self) -> None:
        """Refuses a path at which the model stores nothing.

        Raises:
            InvalidQueryError: it names the near ones, or the one that is meant.
        """
        if self.refusal is not None:
            raise InvalidQueryError(self.refusal)

    def _find(self, path: Path) -> "KnownFields":
        if self.refusal is not None:
            return KnownFields(OPAQUE, self._owner, self.refusal)
        shape = self.shape
        if self is self._owner.root and path[0] in (OBJECT_ID, self._owner.id_name):
            if path[0] == OBJECT_ID:
                return KnownFields(OPAQUE, self._owner)
            return self._refused(path, f"The id of a document is {OBJECT_ID!r}.")
        for position, step in enumerate(path):
            inner = _inside(shape, step)
            if inner is None:
                return self._refused(path, self._hint(shape, path, position))
            shape = inner
        return KnownFields(shape, self._owner)

    def _refused(self, path: Path, hint: str) -> "KnownFields":
        if not self._owner.is_strict:
            return KnownFields(OPAQUE, self._owner)
        name = ".".join(path)
        return KnownFields(
            OPAQUE,
            self._owner,
            f'{self._owner.name} stores no field {name!r}. {hint} A collection got with fields="any" takes any name.',
        )

    def _hint(self, shape: Shape, path: Path, position: int) -> str:
        """What is meant by a step that leads nowhere."""
        step, before = path[position], path[:position]
        known = [*_fields_in(shape)]
        stored = {name: fields for fields in known for name in fields.stored}
        if self is self._owner.root and position == 0:
            stored.pop(self._owner.id_name or "", None)
            if step in _WRONG_IDS:
                return f"The id of a document is {OBJECT_ID!r}."
        if not stored:
            return f"{'.'.join(before)!r} holds no fields."
        for name, fields in stored.items():
            if step == fields.attributes.get(name) or step in fields.others.get(name, ()):
                return f"It is stored as {'.'.join([*before, name])!r}."
        meant = {fields.attributes.get(name, name): name for name, fields in stored.items()} | {n: n for n in stored}
        near = dict.fromkeys(meant[name] for name in difflib.get_close_matches(step.lstrip("+-"), meant, n=3))
        if near:
            return f"Near it {'is' if len(near) == 1 else 'are'} {_listed(before, near)}."
        more = ", ..." if len(stored) > _MOST_NAMES else ""
        return f"It stores {_listed(before, list(stored)[:_MOST_NAMES])}{more}."


class _Owner:
    """What all fields of a model share."""

    def __init__(self, name: str, id_name: str | None, is_strict: bool) -> None:
        self.name = name
        self.id_name = id_name
        """Under which name the id of the document would be stored, if it were."""
        self.is_strict = is_strict
        self.root: KnownFields | None = None


@lru_cache(maxsize=1024)
def known_fields(model: type[BaseModel], is_strict: bool = True) -> KnownFields:
    """The fields of a model. `is_strict`: whether names are refused that it does not store.

    Raises:
        pydantic.PydanticUserError: the model is not fully defined.
    """
    shape = shape_of(model).shape
    marked = id_field(model)
    attributes = shape.attributes if isinstance(shape, Fields) else {}
    id_name = next((stored for stored, attribute in attributes.items() if attribute == marked), None)
    owner = _Owner(model.__name__, id_name, is_strict)
    owner.root = KnownFields(shape, owner)
    return owner.root


def fields_of_kinds(kinds: Iterable[tuple[Path, str]]) -> KnownFields:
    """The fields of which nothing is known but the kinds of some."""
    root = Fields("", is_open=True)
    for path, kind in kinds:
        here = root
        for step in path[:-1]:
            inner = here.stored.setdefault(step, Fields("", is_open=True))
            if not isinstance(inner, Fields):
                break
            here = inner
        else:
            here.stored[path[-1]] = _SHAPES.get(kind, OPAQUE)
    owner = _Owner("", None, is_strict=False)
    owner.root = KnownFields(root, owner)
    return owner.root


_SHAPES: Mapping[str, Shape] = {
    "decimal": Scalar("decimal"),
    "number": Scalar("float"),
    "uuid": Scalar("uuid"),
    "date": Scalar("date"),
    "time": Scalar("time"),
    "datetime": Scalar("datetime"),
    "aware": Scalar("datetime", "aware"),
    "naive": Scalar("datetime", "naive"),
    "other": Scalar("str"),
}


def kind_of(shape: Shape) -> Kind | None:
    """How operands for a shape are read; None where any value may be there."""
    kinds = set(_kinds(shape, ()))
    if None in kinds:
        return None
    if len(kinds) == 1:
        return kinds.pop()
    return "decimal" if kinds and kinds <= _NUMBERS else "other"


def _kinds(shape: Shape, within: tuple[int, ...]) -> Iterator[Kind | None]:
    """The kinds of the values that a test may find in a field: of an array those of its elements."""
    shape = resolve(shape)
    if id(shape) in within:
        return
    match shape:
        case Scalar("none" | "bool"):
            pass
        case Scalar("datetime", zone):
            yield zone or "datetime"
        case Scalar(kind):
            yield _KINDS.get(kind, "other")
        case Items(item):
            yield from _kinds(item, (*within, id(shape)))
        case Either(choices):
            for choice in choices:
                yield from _kinds(choice, (*within, id(shape)))
        case Opaque():
            yield None


def _inside(shape: Shape, step: str) -> Shape | None:
    """The shape of what a step leads to; None where a model stores nothing there."""
    if step.startswith("$"):
        return _element(shape)
    return _step(shape, step, ())


def _step(shape: Shape, step: str, within: tuple[int, ...]) -> Shape | None:
    shape = resolve(shape)
    if id(shape) in within:
        return None
    within = (*within, id(shape))
    match shape:
        case Fields(stored=stored):
            return stored.get(step, OPAQUE if shape.is_open or shape.is_rewritten else None)
        case Free(value):
            return value
        case Items(item):
            readings = [item] if parse_index(step) is not None else []
            by_name = _step(item, step, within)
            return _either(readings if by_name is None else [*readings, by_name])
        case Either(choices):
            return _either([inner for choice in choices if (inner := _step(choice, step, within)) is not None])
        case Scalar(kind) if kind != "enum":
            return None
    return OPAQUE


def _either(shapes: list[Shape]) -> Shape | None:
    return shapes[0] if len(shapes) == 1 else Either(tuple(shapes)) if shapes else None


def _element(shape: Shape) -> Shape:
    """The shape of an element of the array that is here. What is no array is seen as its own element."""
    shape = resolve(shape)
    match shape:
        case Items(item):
            return item
        case Either(choices):
            arrays = [array for choice in choices if isinstance(array := resolve(choice), Items | Opaque)]
            return _either([_element(array) for array in arrays]) or shape
    return shape


def _fields_in(shape: Shape) -> Iterator[Fields]:
    """The documents in which a step is looked for."""
    waiting, seen = [shape], set[int]()
    while waiting:
        here = resolve(waiting.pop(0))
        if id(here) in seen:
            continue
        seen.add(id(here))
        match here:
            case Fields():
                yield here
            case Items(item):
                waiting.append(item)
            case Either(choices):
                waiting.extend(choices)


def _listed(before: Path, names: Iterable[str]) -> str:
    return ", ".join(repr(".".join([*before, name])) for name in names)
