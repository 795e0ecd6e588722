"""The shape of a Pydantic model, read off its core schema as Pydantic's serializers read it.

Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel

from poof.encoding.shapes import OPAQUE, Either, Fields, Free, Items, Opaque, Reference, Scalar, Shape, resolve, walk

Schema = Mapping[str, Any]

_SCALARS = frozenset(
    {
        *("none", "bool", "int", "float", "decimal", "complex", "str", "bytes", "uuid", "url", "multi-host-url"),
        *("date", "time", "datetime", "timedelta", "literal", "enum", "missing-sentinel"),
    }
)
_MOMENTS = ("datetime", "time")
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
_EXACT = (_SCALARS - {"bytes", "literal", "enum"}) | {
    *("nullable", "default", "definitions", "definition-ref"),
    *("model", "dataclass", "model-fields", "dataclass-args", "typed-dict"),
    *("list", "tuple", "dict", "set", "frozenset"),
}
_EXACT_KEYS = frozenset({"str", "int", "uuid", "date"})
_CLASSES = frozenset({"model", "model-fields", "dataclass", "dataclass-args", "typed-dict", "definition-ref"})
_SETTINGS = ("ser_json", "val_json", "val_temporal")
"""How the settings of a model begin that change what is written or read."""


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
        if self.is_exact:
            for cls in self.classes:
                if cls.__subclasses__():
                    return False
        return self.is_exact


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
    misread = () if reader.renames else tuple(_misread(shape))
    return ModelShape(shape, not is_unsettled(shape), reader.is_exact, tuple(classes), misread)


def is_unsettled(shape: Shape) -> bool:
    """Whether Pydantic's JSON mode may write something in another form than PoofDB stores: a time, or a set."""
    return any(
        isinstance(here, Opaque)
        or (isinstance(here, Scalar) and here.kind in _MOMENTS)
        or (isinstance(here, Items) and here.unordered)
        or (isinstance(here, Fields) and here.is_open)
        for here in walk(shape)
    )


def _misread(shape: Shape) -> Iterator[tuple[str, str, str]]:
    for here in walk(shape):
        if isinstance(here, Fields):
            yield from ((here.name, name, stored) for name, stored in here.misread.items())


class _Reader:
    """Reads one core schema."""

    def __init__(self) -> None:
        self.is_exact = True
        self.renames = False
        """Whether a validator or serializer of a whole class may change the names of its fields."""
        self.classes: set[type] = set()
        self._definitions: dict[str, Schema] = {}
        self._read: dict[str, Reference] = {}

    def read(self, schema: Schema) -> Shape:
        """The shape that values of a schema are stored in."""
        kind = schema["type"]
        self.is_exact &= _is_exact(schema)
        if kind == "definitions":
            self._definitions.update((definition["ref"], definition) for definition in schema["definitions"])
            return self.read(schema["schema"])
        if "serialization" in schema:
            self.is_exact = False
            self.renames |= kind in _CLASSES
            if kind != "model":  # whose names are known all the same
                return OPAQUE
        if kind == "definition-ref":
            return self._read_definition(schema["schema_ref"])
        if kind in ("model", "dataclass"):
            return self._read_class(schema)
        if kind in _INNER:
            return self._read_inner(kind, schema[_INNER[kind]])
        if kind in _SCALARS:
            return Scalar(kind, _zone(schema)) if kind == "datetime" else Scalar(kind)
        return self._read_container(kind, schema)

    def _read_inner(self, kind: str, inner: Schema) -> Shape:
        if kind in ("function-before", "function-wrap"):
            self.renames |= _core(inner)["type"] in _CLASSES
        return self.read(inner)

    def _read_class(self, schema: Schema) -> Shape:
        self.is_exact &= not schema.get("post_init")
        self.classes.add(schema["cls"])
        inside = self.read(schema["schema"])
        if isinstance(inside, Fields):
            inside.cls = schema["cls"]
            inside.is_rewritten = "serialization" in schema
            if schema.get("config", {}).get("extra_fields_behavior") == "allow":
                self._open(inside)
        return inside

    def _open(self, fields: Fields) -> None:
        fields.is_open = True
        self.is_exact = False

    def _read_container(self, kind: str, schema: Schema) -> Shape:
        match kind:
            case "model-fields" | "typed-dict":
                return self._read_fields(schema, list(schema["fields"].items()))
            case "dataclass-args":
                return self._read_fields(schema, [(item["name"], item) for item in schema["fields"]])
            case "list" | "generator":
                return Items(self._read_part(schema, "items_schema"))
            case "set" | "frozenset":
                return Items(self._read_part(schema, "items_schema"), unordered=True)
            case "tuple":
                return Items(Either(tuple(self.read(item) for item in schema["items_schema"])))
            case "dict":
                self.is_exact &= _is_exact_key(schema.get("keys_schema", {"type": "any"}))
                return Free(self._read_part(schema, "values_schema"), self._read_part(schema, "keys_schema"))
            case "union":
                choices = (choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"])
                return Either(tuple(map(self.read, choices)))
            case "tagged-union":
                return Either(tuple(map(self.read, schema["choices"].values())))
            case "chain":
                return [self.read(step) for step in schema["steps"]][-1]
        self.is_exact = False
        return OPAQUE

    def _read_part(self, schema: Schema, name: str) -> Shape:
        if name in schema:
            return self.read(schema[name])
        self.is_exact = False
        return OPAQUE

    def _read_definition(self, ref: str) -> Shape:
        if ref not in self._read:
            reference = self._read[ref] = Reference()
            reference.target = self.read(self._definitions[ref])
        return self._read[ref]

    def _read_fields(self, schema: Schema, fields: list[tuple[str, Schema]]) -> Fields:
        found = Fields(schema.get("model_name") or schema.get("dataclass_name") or schema.get("cls_name") or "the data")
        if schema.get("extra_behavior") == "allow" or "extras_schema" in schema:
            self._open(found)
        for name, item in fields:
            shape = self.read(item["schema"])
            if item.get("serialization_exclude"):
                self.is_exact = False
                continue
            if "serialization_exclude_if" in item:
                self.is_exact = False
            self._read_names(found, name, item, shape)
        for stored, others in found.others.items():
            found.others[stored] = others - found.stored.keys()
        return found

    def _read_names(self, found: Fields, name: str, item: Schema, shape: Shape) -> None:
        stored = item.get("serialization_alias") or name
        aliases = [*_aliases(item.get("validation_alias"))]
        names = {name, *(str(path[0]) for path in aliases if len(path) == 1)}
        if stored not in names:
            found.misread[name] = stored
        if stored in found.stored or names & found.accepted or any(len(path) > 1 for path in aliases):
            self.is_exact = False  # two fields may be read under one name
        found.stored[stored] = shape
        found.attributes[stored] = name
        found.others[stored] = frozenset((names | {str(path[0]) for path in aliases}) - {stored})
        found.accepted |= found.others[stored] | {stored}


def _zone(schema: Schema) -> Literal["aware", "naive"] | None:
    """What a datetime must be; an offset in seconds is a zone."""
    constraint = schema.get("tz_constraint")
    return None if constraint is None else "naive" if constraint == "naive" else "aware"


def _core(schema: Schema) -> Schema:
    """The schema that others add to."""
    while schema["type"] in _INNER:
        schema = schema[_INNER[schema["type"]]]
    return schema


def _is_exact(schema: Schema) -> bool:
    """Whether a schema, apart from those inside it, reads back all that it writes."""
    kind = schema["type"]
    if kind == "literal":
        return all(type(value) in (str, int) or value is None for value in schema["expected"])
    if kind == "enum":
        return all(type(member.value) in (str, int) for member in schema["members"])
    return kind in _EXACT and not any(name.startswith(_SETTINGS) for name in schema.get("config", {}))


def _is_exact_key(schema: Schema) -> bool:
    """Whether the keys of a dict, written as text, read back as they were."""
    if schema["type"] == "enum":
        return all(type(member.value) is str for member in schema["members"])
    return schema["type"] in _EXACT_KEYS


def _aliases(alias: Any) -> list[list[str | int]]:
    """The paths from which a field is read."""
    if alias is None:
        return []
    if isinstance(alias, str):
        return [[alias]]
    return list(alias) if alias and isinstance(alias[0], list) else [alias]
