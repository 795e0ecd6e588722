"""Reading documents as instances of a model.

Pure.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import TypeVar

from poof.encoding.scalars import write_json
from poof.raising import raise_alone

ModelT = TypeVar("ModelT", bound=BaseModel, default=BaseModel)


def parse_data(model: type[ModelT], data: Mapping[str, Any], title: str | None = None) -> ModelT:
    """Data of JSON values as an instance of a model, by the rules of JSON: text is a datetime even to a strict model.

    `title`: what an error calls the model.

    Raises:
        pydantic.ValidationError: the data does not fit the model; its text shows no value of the document.
    """
    return parse_json(model, write_json(data), title)


def parse_json(model: type[ModelT], text: bytes, title: str | None = None) -> ModelT:
    """The same of JSON text."""
    validate: Callable[..., ModelT] = model.__pydantic_validator__.validate_json
    return validated(validate, text, title)


def validated(validate: Callable[..., ModelT], data: Any, title: str | None = None) -> ModelT:
    """What a method of a model makes of data, by the names of its fields or their aliases.

    Raises:
        pydantic.ValidationError: the data does not fit the model; the error holds no value of it.
    """
    try:
        return validate(data, by_alias=True, by_name=True)
    except ValidationError as error:
        raise_alone(retitled(error, title or error.title))


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
