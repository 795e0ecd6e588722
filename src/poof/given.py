"""Documents as they are given: the data to store, and the id that it may name.

Layer: given; pure. It runs around `encode_document`, for every write that takes whole documents. Imports and files of
0.x do not pass here: what they hold comes in as it is.

Invariants: `_objId` in data is the id of the document and is never stored as a field; no field at the top of a document
begins with `$`; a `PoofDocument` means its data, and its own id is not taken over.
"""

from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from pydantic import AliasChoices, AliasPath, BaseModel, ValidationError

from poof.document import MAX_DEPTH, PoofDocument, encode_document, parse_model
from poof.errors import InvalidDocumentError, InvalidIdError
from poof.located import LOCATED, located
from poof.object_ids import MAX_ID_LENGTH, MIN_ID_LENGTH, OBJECT_ID, is_object_id

Encoded = tuple[dict[str, Any], str, str | None]
"""The data as it is stored, its JSON text, and the id that it names."""

_SCALARS = frozenset((str, int, float, bool, type(None)))


def encode_given(data: object, model_type: type[BaseModel] | None = None, *, kept: Collection[str] = ()) -> Encoded:
    """The data to store of what a caller gives as a document.

    `kept`: names of fields that the document has already, and that are fields still, whatever they begin with.

    Raises:
        pydantic.ValidationError: the data does not fit the model.
        InvalidDocumentError: the data is not a document, names an id that cannot be one, or has a field with `$`.
        DocumentTooLargeError: it is larger than 64 MiB.
    """
    if model_type is None and type(data) is dict and OBJECT_ID not in data:
        encoded, text = encode_document(data)
        # To look for $ in the text takes a tenth of the time that it takes to look at each name.
        if ("$" not in text or '"$' not in text) and OBJECT_ID not in encoded:
            return encoded, text, None
    return _encode(data, model_type, kept)


def check_id(obj_id: str | None, given: str | None) -> None:
    """Refuses data that names another id than that of the document which it is to replace."""
    if given is not None and given != obj_id:
        raise InvalidDocumentError(
            f"The {OBJECT_ID} in the data is not that of the document, which cannot be changed. Nothing was stored."
        )


def may_be_found(obj_id: object, call: str, instead: str) -> bool:
    """Whether a document may have what a caller passes for its id.

    Raises:
        InvalidIdError: it is not even text. `instead`: the calls that take a filter.
    """
    if isinstance(obj_id, str):
        return obj_id.isascii()
    advice = "Pass its objId" if isinstance(obj_id, PoofDocument) else f"For a filter, use {instead}"
    raise InvalidIdError(
        f"{call}() takes the id of a document as text, not {type(obj_id).__name__}. {advice}. Nothing was changed."
    )


def _encode(data: Any, model_type: type[BaseModel] | None, kept: Collection[str]) -> Encoded:
    data = _without_documents(data, MAX_DEPTH)
    obj_id = None
    if isinstance(data, Mapping):
        _refuse_operators(data, kept)
        if OBJECT_ID in data and OBJECT_ID not in kept:
            obj_id = _read_id(data[OBJECT_ID])
            if not _has_id_field(model_type):
                data = {name: value for name, value in data.items() if name != OBJECT_ID}
    try:
        encoded, text = encode_document(data, model_type)
        _refuse_operators(encoded, kept)
        if OBJECT_ID not in encoded or OBJECT_ID in kept:
            return encoded, text, obj_id
        named = _read_id(encoded.pop(OBJECT_ID))
        check_id(obj_id or named, named)
        return encoded, _encode_without_id(encoded, model_type), obj_id or named
    except LOCATED as error:
        raise error if obj_id is None else located(error, f"Document {obj_id}") from None


def _refuse_operators(data: Mapping[Any, Any], kept: Collection[str]) -> None:
    for name in data:
        if isinstance(name, str) and name.startswith("$") and name not in kept:
            raise InvalidDocumentError(
                f"The data has the field {str.__str__(name)!r}, and names with $ are operators. To change some fields "
                "of a document, use update_one() or update_many(), which take operators. Nothing was stored."
            )


def _read_id(value: object) -> str | None:
    if value is None or is_object_id(value):
        return None if value is None else str.__str__(value)
    raise InvalidDocumentError(
        f"The {OBJECT_ID} in the data cannot be the id of a document, which is text of {MIN_ID_LENGTH} to "
        f"{MAX_ID_LENGTH} visible ASCII characters. Nothing was stored."
    )


def _encode_without_id(encoded: dict[str, Any], model_type: type[BaseModel] | None) -> str:
    """The JSON text of data from which the id was taken, which must fit the model without it."""
    if model_type is not None:
        try:
            parse_model(model_type, encoded)
        except ValidationError:
            _refuse_required_id(model_type)
    return encode_document(encoded)[1]


def _refuse_required_id(model_type: type[BaseModel]) -> NoReturn:
    raise InvalidDocumentError(
        f"{model_type.__name__} requires the field {OBJECT_ID!r}, which is the id of a document and not stored in its "
        "data. Give this field the default None. Nothing was stored."
    ) from None


def _has_id_field(model_type: type[BaseModel] | None) -> bool:
    """Whether a model reads a field from the name of the id."""
    if model_type is None:
        return False
    for field in model_type.model_fields.values():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias, field.alias]
        if any((choice.path[0] if isinstance(choice, AliasPath) else choice) == OBJECT_ID for choice in choices):
            return True
    return False


def _without_documents(value: Any, depth: int) -> Any:
    """The same value where it holds no `PoofDocument`; else a copy that has their data in their place."""
    if isinstance(value, PoofDocument):
        return _without_documents(value.data, depth)
    if not _holds_document(value, depth):
        return value
    if isinstance(value, Mapping):
        return {name: _without_documents(item, depth - 1) for name, item in value.items()}
    items = [_without_documents(item, depth - 1) for item in value]
    return tuple(items) if isinstance(value, tuple) else items


def _holds_document(value: Any, depth: int) -> bool:
    if type(value) in _SCALARS or depth == 0:
        return False
    if isinstance(value, Mapping):
        return any(_holds_document(item, depth - 1) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_document(item, depth - 1) for item in value)
    return isinstance(value, PoofDocument)
