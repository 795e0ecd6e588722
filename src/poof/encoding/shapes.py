"""The shape of a Pydantic model: which fields it stores under which names, and what is inside them.

Layer: encoding; pure.

A shape is read off the model's core schema, as Pydantic itself does for its serializers. It knows names and containers,
and no values. What only a custom serializer knows is `Opaque`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]


class Opaque:
    """Any JSON: what is inside is not known."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without fields or elements. `kind` is what core schemas call its type, as `datetime`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Items:
    """An array. `unordered`: it holds a set, which is stored in an order of its own."""

    item: "Shape"
    unordered: bool = False


@dataclass(frozen=True, slots=True)
class Free:
    """A document with any names, as of a dict."""

    value: "Shape"


@dataclass(slots=True)
class Fields:
    """A document with the fields of a model, a dataclass or a typed dict."""

    name: str
    stored: dict[str, "Shape"] = field(default_factory=dict)
    """By the names under which they are stored."""
    accepted: set[str] = field(default_factory=set)
    """All names under which a stored field may be read: its own, its alias, its name in Python."""
    misread: dict[str, str] = field(default_factory=dict)
    """Fields, and the names they are stored under, that are not read under these names."""
    is_open: bool = False
    """Whether other fields are kept as well (`extra="allow"`)."""


@dataclass(frozen=True, slots=True)
class Either:
    """One of several."""

    choices: tuple["Shape", ...]


@dataclass(slots=True)
class Reference:
    """A shape that holds itself."""

    target: "Shape" = field(default_factory=Opaque)


Shape = Opaque | Scalar | Items | Free | Fields | Either | Reference

_SCALARS = frozenset(
    {
        *("none", "bool", "int", "float", "decimal", "complex", "str", "bytes", "uuid", "url", "multi-host-url"),
        *("date", "time", "datetime", "timedelta", "literal", "enum", "missing-sentinel"),
    }
)
_JSON_WRITES_THEM = _SCALARS - {"datetime", "time"}
_INNER = {
    "nullable": "schema",
    "default": "schema",
    "function-before": "schema",
    "function-after": "schema",
    "function-wrap": "schema",
    "lax-or-strict": "strict_schema",
    "json-or-python": "json_schema",
}
"""Where in a schema that adds to another one that other one is; of two, the one that Pydantic's serializers take."""
_EXACT = (_SCALARS - {"bytes"}) | {
    *("nullable", "default", "definitions", "definition-ref"),
    *("model", "dataclass", "model-fields", "dataclass-args", "typed-dict"),
    *("list", "tuple", "dict", "set", "frozenset"),
}
_EXACT_KEYS = tuple(map(Scalar, ("str", "int", "uuid", "date", "enum")))


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What is known about a model."""

    shape: Shape
    is_plain: bool
    """Whether Pydantic's JSON mode alone writes it as PoofDB stores it."""
    is_exact: bool
    """Whether an instance reads back as it was, whatever is in it: no union, `Any`, validator or serializer is."""
    classes: tuple[type, ...]
    """The models and dataclasses inside it. A field of one may hold an instance of its subclass."""
    misread: tuple[tuple[str, str, str], ...]
    """Fields that are not read under the name under which they are stored: model, field and stored name."""

    def reads_back(self) -> bool:
        """Whether every instance reads back as it was, as things are now."""
        return self.is_exact and not any(cls.__subclasses__() for cls in self.classes)


@lru_cache(maxsize=1024)
def shape_of(model: type[BaseModel]) -> ModelShape:
    """The shape of a model.

    Raises:
        pydantic.PydanticUserError: the model is not fully defined.
    """
    if not model.__pydantic_complete__:
        model.model_rebuild()
    schema: Any = model.__pydantic_core_schema__
    reader = _Reader()
    shape = resolve(reader.read(schema))
    holds_itself = schema["type"] == "definitions" and schema["schema"]["type"] == "definition-ref"
    classes = reader.classes if holds_itself else reader.classes - {model}
    return ModelShape(shape, reader.is_plain, reader.is_exact, tuple(classes), tuple(_misread(shape)))


def resolve(shape: Shape) -> Shape:
    """The shape behind references."""
    while isinstance(shape, Reference):
        shape = shape.target
    return shape


def _misread(shape: Shape) -> Iterator[tuple[str, str, str]]:
    waiting: list[Shape] = [shape]
    seen: set[int] = set()
    while waiting:
        here = resolve(waiting.pop())
        if id(here) in seen:
            continue
        seen.add(id(here))
        match here:
            case Fields():
                yield from ((here.name, name, stored) for name, stored in here.misread.items())
                waiting.extend(here.stored.values())
            case Items(inner) | Free(inner):
                waiting.append(inner)
            case Either(choices):
                waiting.extend(choices)


class _Reader:
    """Reads one core schema."""

    def __init__(self) -> None:
        self.is_plain = True
        self.is_exact = True
        self.classes: set[type] = set()
        self._definitions: dict[str, Schema] = {}
        self._read: dict[str, Reference] = {}

    def read(self, schema: Schema) -> Shape:
        """The shape that values of a schema are stored in."""
        kind = schema["type"]
        if kind not in _EXACT:
            self.is_exact = False
        if kind == "definitions":
            self._definitions.update((definition["ref"], definition) for definition in schema["definitions"])
            return self.read(schema["schema"])
        if "serialization" in schema:
            self.is_plain = self.is_exact = False
            if kind != "model":  # whose names are known all the same
                return Opaque()
        if kind == "definition-ref":
            return self._read_definition(schema["schema_ref"])
        if kind in ("model", "dataclass"):
            return self._read_class(schema)
        if kind in _INNER:
            return self.read(schema[_INNER[kind]])
        if kind in _SCALARS:
            self.is_plain &= kind in _JSON_WRITES_THEM
            return Scalar(kind)
        return self._read_container(kind, schema)

    def _read_class(self, schema: Schema) -> Shape:
        config = schema.get("config", {})
        if schema.get("post_init") or any(name.startswith(("ser_json", "val_json", "val_temporal")) for name in config):
            self.is_exact = False
        self.classes.add(schema["cls"])
        inside = self.read(schema["schema"])
        if config.get("extra_fields_behavior") == "allow" and isinstance(inside, Fields):
            self._open(inside)
        return inside

    def _open(self, fields: Fields) -> None:
        fields.is_open = True
        self.is_plain = self.is_exact = False

    def _read_container(self, kind: str, schema: Schema) -> Shape:
        match kind:
            case "model-fields" | "typed-dict":
                return self._read_fields(schema, list(schema["fields"].items()))
            case "dataclass-args":
                return self._read_fields(schema, [(item["name"], item) for item in schema["fields"]])
            case "list" | "generator":
                return Items(self._read_part(schema, "items_schema"))
            case "set" | "frozenset":
                self.is_plain = False
                return Items(self._read_part(schema, "items_schema"), unordered=True)
            case "tuple":
                return Items(Either(tuple(self.read(item) for item in schema["items_schema"])))
            case "dict":
                keys = self._read_part(schema, "keys_schema")
                self.is_exact &= keys in _EXACT_KEYS
                self.is_plain &= keys not in (Scalar("datetime"), Scalar("time"))
                return Free(self._read_part(schema, "values_schema"))
            case "union":
                choices = (choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"])
                return Either(tuple(map(self.read, choices)))
            case "tagged-union":
                return Either(tuple(map(self.read, schema["choices"].values())))
            case "chain":
                return [self.read(step) for step in schema["steps"]][-1]
        self.is_plain = self.is_exact = False
        return Opaque()

    def _read_part(self, schema: Schema, name: str) -> Shape:
        if name in schema:
            return self.read(schema[name])
        self.is_plain = self.is_exact = False
        return Opaque()

    def _read_definition(self, ref: str) -> Shape:
        if ref not in self._read:
            reference = self._read[ref] = Reference()
            reference.target = self.read(self._definitions[ref])
        return self._read[ref]

    def _read_fields(self, schema: Schema, fields: list[tuple[str, Schema]]) -> Fields:
        found = Fields(schema.get("model_name") or schema.get("dataclass_name") or schema.get("cls_name") or "the data")
        if schema.get("extra_behavior") == "allow":
            self._open(found)
        for name, item in fields:
            shape = self.read(item["schema"])
            if item.get("serialization_exclude"):
                self.is_exact = False
                continue
            if "serialization_exclude_if" in item:
                self.is_exact = False
            stored = item.get("serialization_alias") or name
            names = {name, *_aliases(item.get("validation_alias"))}
            if stored not in names:
                found.misread[name] = stored
            if names & found.accepted:
                self.is_exact = False  # two fields that are read under one name
            found.stored[stored] = shape
            found.accepted |= names | {stored}
        return found


def _aliases(alias: Any) -> Iterator[str]:
    """The plain names among the aliases under which a field is read."""
    if isinstance(alias, str):
        yield alias
    elif alias is not None:
        paths = alias if alias and isinstance(alias[0], list) else [alias]
        yield from (path[0] for path in paths if len(path) == 1 and isinstance(path[0], str))
