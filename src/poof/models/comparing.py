"""Whether what a model writes reads back as it was.

Pure.
"""

import dataclasses
import enum
import math
import numbers
from collections import deque
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from poof.encoding.identity import id_field
from poof.encoding.schemas import ModelShape
from poof.errors import InvalidDocumentError

Path = tuple[str | int, ...]

_ARRAYS = (list, tuple, deque)


def check_names(shape: ModelShape) -> None:
    """Refuses a model that stores a field under a name under which it does not read it.

    Raises:
        InvalidDocumentError: it has such a field.
    """
    for owner, name, stored in shape.misread:
        raise InvalidDocumentError(
            f"The field {name} of {owner} is stored as {stored!r} and not read back from there. Give it "
            f"validation_alias={stored!r} as well, or alias={stored!r} instead. Nothing was stored."
        )


def check_reads_back(given: BaseModel, read: BaseModel) -> None:
    """Refuses an instance that the model reads back as another one.

    Raises:
        InvalidDocumentError: the text names the field, says why it differs and what to do.
    """
    for found in _differences_of_fields(given, read, ()):
        field = ".".join(map(str, found.path)) or "data"
        raise InvalidDocumentError(f"The field {field} of {type(read).__name__} {_explain(found)} Nothing was stored.")


def reads_equal(given: BaseModel, read: BaseModel) -> bool:
    """Whether two instances are the same, as far as they are stored."""
    return next(_differences_of_fields(given, read, ()), None) is None


@dataclass(frozen=True, slots=True)
class _Difference:
    path: Path
    given: Any
    read: Any


def _differences(given: Any, read: Any, path: Path) -> Iterator[_Difference]:
    if given is read:
        return
    kind = type(given)
    if kind is not type(read):
        if not _mean_the_same(given, read):
            yield _Difference(path, given, read)
    elif isinstance(given, BaseModel):
        yield from _differences_of_fields(given, read, path)
    elif dataclasses.is_dataclass(kind):
        yield from _differences_of_items(_values_of(given), _values_of(read), path)
    elif isinstance(given, Mapping):
        yield from _differences_of_mappings(given, read, path)
    elif isinstance(given, _ARRAYS):
        if len(given) != len(read):
            yield _Difference(path, given, read)
        for index, (item, other) in enumerate(zip(given, read, strict=False)):
            yield from _differences(item, other, (*path, index))
    elif not _equal(given, read):
        if not _has_no_equality(kind):
            yield _Difference(path, given, read)
        elif hasattr(given, "__dict__"):
            yield from _differences(vars(given), vars(read), path)


def _differences_of_fields(given: BaseModel, read: BaseModel, path: Path) -> Iterator[_Difference]:
    """Of a document itself the fields that its model has: a subclass may store more."""
    fields = type(read).model_fields
    marked = None if path else id_field(type(read))
    names = [name for name, info in fields.items() if not info.exclude and name != marked]
    given_fields, read_fields = vars(given), vars(read)
    for name in names:
        yield from _differences(given_fields.get(name), read_fields.get(name), (*path, name))
    if read.__pydantic_extra__ is not None:
        yield from _differences(given.__pydantic_extra__ or {}, read.__pydantic_extra__, path)


def _differences_of_mappings(given: Mapping[Any, Any], read: Mapping[Any, Any], path: Path) -> Iterator[_Difference]:
    one, other = ({_normal(key): value for key, value in mapping.items()} for mapping in (given, read))
    if one.keys() != other.keys() or list(map(type, given)) != list(map(type, read)):
        yield _Difference(path, given, read)
    else:
        yield from _differences_of_items(one, other, path)


def _differences_of_items(given: Mapping[Any, Any], read: Mapping[Any, Any], path: Path) -> Iterator[_Difference]:
    for name, value in given.items():
        yield from _differences(value, read.get(name), (*path, name))


def _values_of(value: Any) -> Mapping[str, Any]:
    """The fields of a dataclass that are stored, with slots or without."""
    described = getattr(value, "__pydantic_fields__", {})
    return {
        item.name: getattr(value, item.name, None)
        for item in dataclasses.fields(value)
        if item.init and not getattr(described.get(item.name), "exclude", False)
    }


def _equal(given: Any, read: Any) -> bool:
    """Whether two values of one type are equal. What cannot be compared counts as equal: an iterator, an array."""
    if isinstance(given, Iterator):
        return True
    try:
        return (
            bool(given == read)
            or (isinstance(given, AbstractSet) and set(map(_normal, given)) == set(map(_normal, read)))
            or bool(_normal(given) == _normal(read))
            or (isinstance(given, numbers.Real) and math.isnan(given) and math.isnan(read))
        )
    except Exception:
        return True


def _normal(value: Any) -> Any:
    """A datetime in UTC: one of a repeated hour equals none in another zone, though it is the same moment."""
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else value


def _has_no_equality(kind: type) -> bool:
    return "__eq__" not in {name for base in kind.__mro__[:-1] for name in vars(base)}


def _mean_the_same(given: Any, read: Any) -> bool:
    """Whether values of two types mean the same: a whole number as a float, an enum's value as its member."""
    if isinstance(given, BaseModel | bool) or isinstance(read, bool):
        return False
    if isinstance(given, enum.Enum) and not isinstance(read, enum.Enum):
        given = given.value
    related = isinstance(given, type(read)) or isinstance(read, type(given))
    are_numbers = isinstance(given, numbers.Number) and isinstance(read, numbers.Number)
    return (related or are_numbers) and _equal(given, read)


def _explain(found: _Difference) -> str:
    given, read = type(found.given), type(found.read)
    if given is read:
        return (
            "reads back as another value: what writes it leaves something out, or a validator changes what it made "
            "itself. Make such a change before the model gets the data, as a password is hashed before."
        )
    if issubclass(given, read) and dataclasses.is_dataclass(given) | issubclass(given, BaseModel):
        return (
            f"holds a {given.__name__} and reads back as a {read.__name__}, without its own fields. Annotate the "
            "field with a union of the classes and a discriminator (SerializeAsAny stores the fields, and reads none)."
        )
    return (
        f"holds a {given.__name__} and reads back as a {read.__name__}. Annotate the field with the one type that it "
        "has, or give a union a discriminator."
    )
