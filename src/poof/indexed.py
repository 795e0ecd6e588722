"""Indexes that a model declares on its fields.

Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, get_args, get_origin

from pydantic import BaseModel, RootModel

from poof.errors import InvalidQueryError
from poof.object_ids import OBJECT_ID
from poof.query.fields import FieldOrder
from poof.query.filters.match import mentions
from poof.query.filters.parse import parse_filter
from poof.query.indexes.definition import IndexDefinition, define
from poof.query.known import Kind, KnownFields, known_fields
from poof.query.nodes import And, Compare, ElementMatch, Equal, Field, In, Inside, Node, Not, Or, Path, Test
from poof.query.operands import Place, encode_operand
from poof.query.paths import plain_names
from poof.raising import brief

LONGEST = datetime.max - datetime.min
"""Between two times; nothing expires later."""


@dataclass(frozen=True)
class Indexed:
    """Declares an index on a field of a model. It is created when a collection is bound to the model.

    >>> class User(BaseModel):
    ...     email: Annotated[str, Indexed(unique=True)]
    ...     age: Annotated[int, Indexed(descending=True)]
    ...     phone: Annotated[str | None, Indexed(unique=True, skip_null=True)] = None

    A unique index counts null as a value, so only one document may have it; with `skip_null`, any number may. Removing
    the annotation does not drop the index: use `drop_index`.
    """

    unique: bool = False
    descending: bool = False
    expire_after: timedelta | None = None
    name: str | None = None
    skip_null: bool = False


def declared_indexes(model: type[BaseModel]) -> list[tuple[str, IndexDefinition]]:
    """Returns the names and definitions of the indexes that a model and the models inside it declare."""
    indexes = []
    known = known_fields(model)
    for path, declared in _declared(model, (), ()):
        field = FieldOrder(path, declared.descending, known.at(path).field_kind if path else None)
        definition = make_definition((field,), declared.unique, None, declared.expire_after, declared.skip_null, known)
        indexes.append((declared.name or definition.default_name, definition))
    return indexes


@brief(InvalidQueryError)
def make_definition(
    fields: tuple[FieldOrder, ...],
    unique: bool,
    where: Mapping[str, Any] | None,
    expire_after: timedelta | None,
    skip_null: bool = False,
    known: KnownFields | None = None,
) -> IndexDefinition:
    """Returns the definition of an index, from the arguments of a user. `known`: the fields of the collection's model.

    Raises:
        InvalidQueryError: a field, the filter or the time is not valid.
    """
    if any(field.path[0] == OBJECT_ID for field in fields):
        raise InvalidQueryError(f"{OBJECT_ID} has an index already, and is part of no other.")
    types: dict[str, Kind] = {field.name: field.kind for field in fields if field.kind is not None}
    node = parse_filter(where, known)
    if where is not None:
        if mentions(node, OBJECT_ID):
            raise InvalidQueryError(f"The filter of a partial index cannot be about {OBJECT_ID}.")
        where = encode_operand(plain_names(where), Place((), "where", "The filter"))
        types |= dict(_types(node, (), known))
    definition = define(
        fields,
        types,
        unique=bool(unique),
        where=where,
        expire_after=None if expire_after is None else _seconds(expire_after, fields),
        skip_null=bool(skip_null),
    )
    if repr(definition.node()) != repr(node):
        raise InvalidQueryError(
            "The filter of a partial index compares a field with a value of another type; write the value as the field "
            "stores it."
        )
    return definition


def _types(node: Node, outer: Path, known: KnownFields | None) -> Iterator[tuple[str, Kind]]:
    """The fields that a filter compares by their type."""
    match node:
        case Field(path, ElementMatch(inner)):
            yield from _types(inner, outer + path, known)
        case Field(path, test):
            kind = None if known is None else known.at(outer + path).kind
            if kind not in (None, "number", "other"):
                yield ".".join(outer + path), kind
            elif _has_decimal(test):
                yield ".".join(outer + path), "decimal"
        case And(nodes) | Or(nodes):
            for part in nodes:
                yield from _types(part, outer, known)
        case Not(part) | Inside(part):
            yield from _types(part, outer, known)


def _has_decimal(test: Test) -> bool:
    match test:
        case Equal(value) | Compare(_, value):
            return isinstance(value, Decimal)
        case In(values, _):
            return any(isinstance(value, Decimal) for value in values)
    return False


def _seconds(expire_after: object, fields: tuple[FieldOrder, ...]) -> float:
    if len(fields) != 1 or fields[0].descending:
        raise InvalidQueryError("expire_after= needs an index on one field, in ascending order.")
    if not isinstance(expire_after, timedelta) or not timedelta() <= expire_after <= LONGEST:
        raise InvalidQueryError(f"expire_after= is a timedelta, of zero to {LONGEST.days:,} days.")
    return expire_after.total_seconds()


def _declared(
    model: type[BaseModel], path: Path, within: tuple[type[BaseModel], ...]
) -> Iterator[tuple[Path, Indexed]]:
    """The annotations of a model and of the models inside it, each with its path in the stored document."""
    if model in within:
        return  # a model that holds itself: there is no end to its paths
    for name, info in model.model_fields.items():
        is_root = issubclass(model, RootModel)  # which is stored as what it holds
        stored = path if is_root else (*path, info.serialization_alias or info.alias or name)
        for item in (*info.metadata, *_parts(info.annotation)):
            if isinstance(item, Indexed):
                yield stored, item
            elif isinstance(item, type) and issubclass(item, BaseModel):
                yield from _declared(item, stored, (*within, model))


def _parts(annotation: object) -> Iterator[object]:
    """What an annotation is made of: itself, or what is in a list, a union or an `Annotated`."""
    if not isinstance(annotation, type):
        annotation = getattr(annotation, "__value__", annotation)  # of an alias, as `type Mail = ...` makes it
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return  # its names are not known before there are documents
    arguments = get_args(annotation)
    if origin is None or not arguments:
        yield annotation
    for argument in arguments:
        yield from _parts(argument)
