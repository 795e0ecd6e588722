"""Fields with a direction, as sorts and indexes name them.

Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from poof.errors import InvalidQueryError
from poof.query.nodes import Path
from poof.query.paths import parse_path
from poof.raising import brief

FieldsSpec = str | Sequence[str | tuple[str, int]] | Mapping[str, int]
"""`"age"`, `["city", "age"]`, `[("city", 1), ("age", -1)]` or `{"city": 1, "age": -1}`."""


@dataclass(frozen=True, slots=True)
class FieldOrder:
    """A field and its direction."""

    path: Path
    descending: bool = False

    @property
    def name(self) -> str:
        """The dotted path."""
        return ".".join(self.path)


@brief(InvalidQueryError)
def parse_fields(spec: FieldsSpec, direction: int = 1, *, what: str) -> tuple[FieldOrder, ...]:
    """The fields of a sort or an index, at least one; `what` names it in errors.

    Raises:
        InvalidQueryError: it names no field, or one twice, or a direction that is neither 1 nor -1.
    """
    fields = tuple(_field(name, step, what) for name, step in _pairs(spec, direction, what))
    if not fields:
        raise InvalidQueryError(f"The {what} names no field.")
    if len({field.path for field in fields}) < len(fields):
        raise InvalidQueryError(f"The {what} names a field twice.")
    return fields


def _pairs(spec: object, direction: object, what: str) -> list[tuple[object, object]]:
    if isinstance(spec, str):
        return [(spec, direction)]
    if isinstance(spec, Mapping):
        return list(spec.items())
    if isinstance(spec, Sequence):
        pairs: list[tuple[object, object]] = []
        for item in spec:
            if isinstance(item, str):
                pairs.append((item, direction))
            elif isinstance(item, tuple | list) and len(item) == 2:
                pairs.append((item[0], item[1]))
            else:
                raise InvalidQueryError(f"A field of the {what} is a name, or a pair of name and direction (1 or -1).")
        return pairs
    raise InvalidQueryError(
        f'The {what} is a field name, a list such as [("city", 1), ("age", -1)], or a dict; not {type(spec).__name__}.'
    )


def _field(name: object, direction: object, what: str) -> FieldOrder:
    if isinstance(direction, bool) or direction not in (1, -1):
        raise InvalidQueryError(f"The direction of a field of the {what} is 1 (ascending) or -1 (descending).")
    return FieldOrder(parse_path(name), direction == -1)
