"""Reading documents as instances of a model, and whether an instance reads back as it was.

Layer: models; pure.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import TypeVar

from poof.encoding.identity import id_field
from poof.encoding.shapes import shape_of
from poof.encoding.values import write_json
from poof.errors import InvalidDocumentError
from poof.raising import raise_alone

ModelT = TypeVar("ModelT", bound=BaseModel, default=BaseModel)
Path = tuple[str | int, ...]

_NUMBERS = (int, float)
_ARRAYS = (list, tuple, deque)


def parse_data(model: type[ModelT], data: Mapping[str, Any], title: str | None = None) -> ModelT:
    """Data of JSON values as an instance of a model, by the rules of JSON: text is a datetime even to a strict model.

    `title`: what an error calls the model.

    Raises:
        pydantic.ValidationError: the data does not fit the model; its text shows no value of the document.
    """
    return validated(model.model_validate_json, write_json(data), title)


def validated(validate: Callable[..., ModelT], data: Any, title: str | None = None) -> ModelT:
    """What a method of a model makes of data, by the names of its fields or their aliases.

    Raises:
        pydantic.ValidationError: the data does not fit the model; the error holds no value of it.
    """
    try:
        return validate(data, by_alias=True, by_name=True)
    except ValidationError as error:
        raise_alone(retitled(error, title or error.title))


def check_names(model: type[BaseModel]) -> None:
    """Refuses a model that stores a field under a name under which it does not read it.

    Raises:
        InvalidDocumentError: it has such a field.
    """
    for owner, name, stored in shape_of(model).misread:
        raise InvalidDocumentError(
            f"The field {name} of {owner} is stored as {stored!r} and not read back from there. Give it "
            f"validation_alias={stored!r} as well, or alias={stored!r} instead. Nothing was stored."
        )


def check_reads_back(given: BaseModel, read: BaseModel) -> None:
    """Refuses an instance that the model reads back as another one.

    Raises:
        InvalidDocumentError: the text names the field, says why it differs and what to do.
    """
    for found in _differences_of_fields(given, read, type(read).model_fields, ()):
        field = ".".join(map(str, found.path)) or "data"
        raise InvalidDocumentError(f"The field {field} of {type(read).__name__} {_explain(found)} Nothing was stored.")


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
        if not _alike(given, read):
            yield _Difference(path, given, read)
    elif isinstance(given, BaseModel):
        yield from _differences_of_fields(given, read, kind.model_fields, path)
    elif dataclasses.is_dataclass(kind):
        names = (item.name for item in dataclasses.fields(kind) if item.init)
        yield from _differences_of_items(_values_of(given), _values_of(read), names, path)
    elif isinstance(given, Mapping):
        if given.keys() != read.keys() or list(map(type, given)) != list(map(type, read)):
            yield _Difference(path, given, read)
        else:
            yield from _differences_of_items(given, read, given, path)
    elif isinstance(given, _ARRAYS):
        if len(given) != len(read):
            yield _Difference(path, given, read)
        for index, (item, other) in enumerate(zip(given, read, strict=False)):
            yield from _differences(item, other, (*path, index))
    elif given != read and not (_has_no_equality(kind) and hasattr(given, "__dict__")):
        yield _Difference(path, given, read)
    elif given != read:
        yield from _differences(vars(given), vars(read), path)


def _has_no_equality(kind: type) -> bool:
    return "__eq__" not in {name for base in kind.__mro__[:-1] for name in vars(base)}


def _values_of(value: Any) -> Mapping[str, Any]:
    """The fields of a dataclass, with slots or without."""
    return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}


def _differences_of_fields(
    given: BaseModel, read: BaseModel, fields: Mapping[str, Any], path: Path
) -> Iterator[_Difference]:
    marked = None if path else id_field(type(read))
    names = (name for name, info in fields.items() if not info.exclude and name != marked)
    yield from _differences_of_items(vars(given), vars(read), names, path)
    if read.__pydantic_extra__ is not None:
        yield from _differences(given.__pydantic_extra__ or {}, read.__pydantic_extra__, path)


def _differences_of_items(
    given: Mapping[Any, Any], read: Mapping[Any, Any], names: Iterable[Any], path: Path
) -> Iterator[_Difference]:
    for name in names:
        yield from _differences(given.get(name), read.get(name), (*path, name))


def _alike(given: Any, read: Any) -> bool:
    """Whether values of two types mean the same: a whole number as a float, an enum's value as its member."""
    if isinstance(given, BaseModel | bool) or isinstance(read, bool):
        return False
    if isinstance(given, _NUMBERS) and isinstance(read, _NUMBERS):
        return given == read
    return (isinstance(given, type(read)) or isinstance(read, type(given))) and bool(given == read)


def _explain(found: _Difference) -> str:
    given, read = type(found.given), type(found.read)
    if given is read:
        return (
            "reads back as another value: a validator or serializer changes what it made itself. Make such a change "
            "before the model gets the data, as a password is hashed before."
        )
    if issubclass(given, read) and dataclasses.is_dataclass(given) | issubclass(given, BaseModel):
        return (
            f"holds a {given.__name__}, whose own fields {read.__name__} does not store and read back. Annotate the "
            "field with a union of the classes and a discriminator (SerializeAsAny stores the fields, and reads none)."
        )
    return (
        f"holds a {given.__name__} and reads back as a {read.__name__}. Annotate the field with the one type that it "
        "has, or give a union a discriminator."
    )


def retitled(error: ValidationError, title: str) -> ValidationError:
    """The error under a title, without the values of the document, which `errors()` and a pickle would hold as well."""
    details: list[InitErrorDetails] = []
    for line in error.errors(include_url=False):
        known = line["type"] in _PYDANTIC_ERRORS
        kind = line["type"] if known else PydanticCustomError(line["type"], "{message}", {"message": line["msg"]})
        context = {**line.get("ctx", {}), **_HIDDEN_CONTEXT.get(line["type"], {})}
        own = context.get("error")
        if isinstance(own, Exception):  # of a validator: it may hold the value, or hang on one that does
            context["error"] = ValueError(str(own))
        details.append({"type": kind, "loc": line["loc"], "input": None, "ctx": context})
    return ValidationError.from_exception_data(title, details, hide_input=True)


# The messages that quote the input even so.
_HIDDEN_CONTEXT = {"union_tag_invalid": {"tag": "..."}, "uuid_parsing": {"error": "not a UUID"}}
_PYDANTIC_ERRORS = frozenset(get_args(core_schema.ErrorType))
