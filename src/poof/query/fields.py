"""Fields with a direction, as sorts and indexes name them.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poof.errors import InvalidQueryError
from poof.query.known import KnownFields
from poof.query.nodes import FieldKind, Path
from poof.query.paths import FieldReference, parse_path, plain_name
from poof.raising import brief

FieldsSpec = (
    str
    | FieldReference
    | Sequence[str | FieldReference | tuple[str | FieldReference, int]]
    | Mapping[str, int]
    | Mapping[FieldReference, int]
)
"""`"age"`, `["city", "age"]`, `[("city", 1), ("age", -1)]` or `{"city": 1, "age": -1}`."""


@dataclass(frozen=True, slots=True)
class FieldOrder:
    """A field and its direction."""

    path: Path
    descending: bool = False
    kind: FieldKind = None
    """How its values are compared."""

    @property
    def name(self) -> str:
        """The dotted path."""
        return ".".join(self.path)


@brief(InvalidQueryError)
def parse_fields(
    spec: FieldsSpec, direction: int = 1, *, what: str, known: KnownFields | None = None
) -> tuple[FieldOrder, ...]:
    """The fields of a sort or an index, at least one; `what` names it in errors. `known`: the fields that there are.

    Raises:
        InvalidQueryError: it names no field, or one twice, or one that the model does not store, or a direction that is
            neither 1 nor -1.
    """
    fields = tuple(_field(name, step, what, known) for name, step in _pairs(spec, direction, what))
    if not fields:
        raise InvalidQueryError(f"The {what} names no field.")
    if len({field.path for field in fields}) < len(fields):
        raise InvalidQueryError(f"The {what} names a field twice.")
    return fields


def _pairs(spec: object, direction: object, what: str) -> list[tuple[object, object]]:
    spec = plain_name(spec)
    if isinstance(spec, str):
        return [(_bare(spec, what), direction)]
    if isinstance(spec, Mapping):
        return list(spec.items())
    if isinstance(spec, Sequence):
        pairs: list[tuple[object, object]] = []
        for item in spec:
            item = plain_name(item)
            if isinstance(item, str):
                pairs.append((_bare(item, what), direction))
            elif isinstance(item, tuple | list) and len(item) == 2:
                pairs.append((item[0], item[1]))
            else:
                raise InvalidQueryError(f"A field of the {what} is a name, or a pair of name and direction (1 or -1).")
        return pairs
    raise InvalidQueryError(
        f'The {what} is a field name, a list such as [("city", 1), ("age", -1)], or a dict; not {type(spec).__name__}.'
    )


def _bare(name: str, what: str) -> str:
    """A name without a direction, which must not begin with one: other libraries write "-age"."""
    if name[:1] in ("-", "+") and name[1:]:
        direction = -1 if name[0] == "-" else 1
        raise InvalidQueryError(
            f"The {what} names {name!r}. Write {{{name[1:]!r}: {direction}}} for the direction, or {{{name!r}: 1}} if "
            "the name of the field begins with that sign."
        )
    return name


def _field(name: object, direction: object, what: str, known: KnownFields | None) -> FieldOrder:
    if isinstance(direction, bool) or direction not in (1, -1):
        raise InvalidQueryError(f"The direction of a field of the {what} is 1 (ascending) or -1 (descending).")
    path = parse_path(name)
    if known is None:
        return FieldOrder(path, direction == -1)
    field = known.at(path)
    field.check()
    return FieldOrder(path, direction == -1, field.field_kind)
