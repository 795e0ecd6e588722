"""What a Pydantic model stores: Pydantic's JSON mode, but for the types for which PoofDB has a form of its own.

Pure.

Pydantic writes the whole model. Then the values that it wrote are compared with those of the instance, and times and
sets take PoofDB's form, unless a serializer of the model wrote something else than Pydantic itself would.
"""

import dataclasses
import datetime
import enum
import math
import re
from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, RootModel, SecretBytes, SecretStr
from pydantic.types import Secret
from pydantic_core import PydanticSerializationError, from_json, to_jsonable_python

from poof.encoding.scalars import MASKED, MAX_DEPTH, UnstorableError, encode_moment, to_json
from poof.encoding.schemas import is_unsettled, shape_of
from poof.encoding.shapes import OPAQUE, Either, Fields, Free, Shape, part, resolve
from poof.raising import raise_alone

_MASKS = ("", "**********")
_SETTLED = frozenset([str, bool, int, float, type(None)])
"""What is written in one way only."""
_ARRAYS = (list, tuple, deque)
_MOMENTS = (datetime.datetime, datetime.time)
_LENGTH = len("2024-05-06T07:08:09.000000Z")
_FAILURES = (PydanticSerializationError, ValueError, RecursionError, TypeError)


def dump_model(model: BaseModel) -> tuple[Any, bool]:
    """What a model stores, and whether all of its fields hold what their annotations say, as far as Pydantic can tell.

    Raises:
        UnstorableError: a field cannot be written as JSON.
    """
    try:
        written, as_declared = _write(model)
        return written if shape_of(type(model)).is_plain else _settle_model(model, written), as_declared
    except _FAILURES as error:
        raise_alone(_unwritable(model, error))


def spell_numbers(model: BaseModel, written: Any) -> Any:
    """What was written, with NaN and infinities as text where the model says so (`ser_json_inf_nan="strings"`)."""
    try:
        text = model.model_dump_json(by_alias=True, round_trip=True, warnings=False)
    except PydanticSerializationError:  # text that is not valid Unicode
        return written
    return _spell(written, from_json(text))


def _write(model: BaseModel) -> tuple[Any, bool]:
    # round_trip leaves out computed fields: what is stored is what the model reads back.
    to_python = model.__pydantic_serializer__.to_python
    try:
        return to_python(model, mode="json", by_alias=True, round_trip=True, warnings="error"), True
    except PydanticSerializationError:
        return to_python(model, mode="json", by_alias=True, round_trip=True, warnings=False), False


def _spell(written: Any, spelled: Any) -> Any:
    if isinstance(written, dict) and isinstance(spelled, dict):
        return {name: _spell(value, spelled.get(name)) for name, value in written.items()}
    if isinstance(written, list) and isinstance(spelled, list):
        return [_spell(value, other) for value, other in zip(written, spelled, strict=False)]
    if isinstance(written, float) and not math.isfinite(written) and isinstance(spelled, str):
        return spelled
    return written


def _settle(given: Any, written: Any, shape: Shape) -> Any:
    """What is stored of a value that Pydantic's JSON mode has written. What was written is new, and may be changed."""
    kind = type(given)
    if kind in _SETTLED:
        return written
    if isinstance(given, _MOMENTS):
        if type(written) is str and len(written) == _LENGTH and written[-1] == "Z":
            return written  # what Pydantic writes of a datetime in UTC with microseconds, or what a serializer wrote
        stored = encode_moment(given)
        return stored if written == stored or _is_pydantics(given, written) else written
    if isinstance(given, BaseModel):
        return _settle_model(given, written)
    if isinstance(given, enum.Enum):
        return _settle(given.value, written, OPAQUE)
    if isinstance(written, dict):
        return _settle_document(given, written, _chosen(shape, kind))
    if isinstance(written, list):
        return _settle_array(given, written, part(shape, "0"))
    if isinstance(given, SecretStr | SecretBytes | Secret) and written in _MASKS:
        raise UnstorableError(MASKED)
    return written


def _is_pydantics(given: datetime.datetime | datetime.time, written: Any) -> bool:
    """Whether this is what Pydantic's JSON mode writes of a time by itself, without a serializer of the model."""
    text = given.isoformat()
    return bool(
        written == (f"{text[:-6]}Z" if text.endswith("+00:00") else text) or written == to_jsonable_python(given)
    )


def _settle_model(given: BaseModel, written: Any) -> Any:
    fields = _unsettled(type(given))
    if fields is None:
        return _settle(getattr(given, "root", None), written, shape_of(type(given)).shape)
    if type(written) is dict:
        values = vars(given)
        for stored, name, inner in fields:
            _settle_field(stored, values.get(name), written, inner)
        if given.__pydantic_extra__:
            for name, value in given.__pydantic_extra__.items():
                _settle_field(name, value, written, OPAQUE)
    return written


@lru_cache(maxsize=1024)
def _unsettled(model: type[BaseModel]) -> list[tuple[str, str, Shape]] | None:
    """The fields of a model that may take another form: their stored names, their names and what is in them.

    `None` where the model is stored as what it holds (`RootModel`).
    """
    shape = shape_of(model).shape
    if not isinstance(shape, Fields) or issubclass(model, RootModel):
        return None
    return [(stored, shape.attributes[stored], inner) for stored, inner in shape.stored.items() if is_unsettled(inner)]


def _settle_document(given: Any, written: dict[str, Any], shape: Shape) -> dict[str, Any]:
    if dataclasses.is_dataclass(given):
        values = {item.name: getattr(given, item.name, None) for item in dataclasses.fields(given)}
        if not isinstance(shape, Fields):
            names = {name: name for name in values}
            shape = Fields("", stored=dict.fromkeys(values, OPAQUE), attributes=names)
        _settle_fields(values, written, shape)
    elif isinstance(given, Mapping) and isinstance(shape, Fields):
        _settle_fields(given, written, shape)
    elif isinstance(given, Mapping) and len(given) == len(written):
        return _settle_mapping(given, written, shape)
    return written


def _settle_fields(given: Mapping[str, Any], written: dict[str, Any], shape: Fields) -> None:
    for stored, inner in shape.stored.items():
        _settle_field(stored, given.get(shape.attributes[stored]), written, inner)


def _settle_field(stored: str, value: Any, written: dict[str, Any], shape: Shape) -> None:
    if type(value) in _SETTLED or stored not in written:
        return
    try:
        written[stored] = _settle(value, written[stored], shape)
    except UnstorableError as error:
        error.path.append(stored)
        raise


def _settle_mapping(given: Mapping[Any, Any], written: dict[str, Any], shape: Shape) -> dict[str, Any]:
    key_shape, inner = (shape.key, shape.value) if isinstance(shape, Free) else (OPAQUE, OPAQUE)
    settled: dict[str, Any] = {}
    for (key, value), (name, item) in zip(given.items(), written.items(), strict=True):
        stored = name if type(key) is str else str(_settle(key, name, key_shape))
        settled[stored] = item
        _settle_field(stored, value, settled, inner)
    return settled


def _settle_array(given: Any, written: list[Any], shape: Shape) -> list[Any]:
    is_set = isinstance(given, AbstractSet)
    if not (is_set or isinstance(given, _ARRAYS)) or len(given) != len(written):
        return written
    settled = []
    for index, (value, item) in enumerate(zip(given, written, strict=True)):
        try:
            settled.append(_settle(value, item, shape))
        except UnstorableError as error:
            error.path.append(index)
            raise
    return sorted(settled, key=to_json) if is_set else settled


def _chosen(shape: Shape, kind: type) -> Shape:
    """Of several shapes, that of a class; else what is inside is told by the values themselves."""
    shape = resolve(shape)
    if not isinstance(shape, Either):
        return shape
    return next((choice for choice in map(resolve, shape.choices) if getattr(choice, "cls", None) is kind), OPAQUE)


def _unwritable(model: BaseModel, error: Exception) -> UnstorableError:
    """Why a model cannot be written, which field it is, and no value of it."""
    unknown = re.search(r"unknown type: <class '([\w.]+)'>", str(error))
    if unknown is not None:
        reason = f"holds a value of type {unknown[1]}, which cannot be written as JSON; give the field a serializer"
    elif "utf-8" in str(error):
        reason = (
            'holds bytes that are not UTF-8 text; set ser_json_bytes and val_json_bytes to "base64" in model_config'
        )
    elif isinstance(error, RecursionError) or "ircular reference" in str(error):
        reason = f"is nested deeper than {MAX_DEPTH} levels"
    else:
        cause = error.__cause__ or error
        reason = f"cannot be written as JSON: its serializer failed ({type(cause).__name__})"
    unstorable = UnstorableError(reason)
    for name in type(model).model_fields:
        try:
            model.model_dump(mode="json", include={name}, by_alias=True, round_trip=True, warnings=False)
        except _FAILURES:
            unstorable.path.append(name)
            break
    return unstorable
