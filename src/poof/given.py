"""Documents as they are given: the data to store, and the id that it may name.

Pure. It runs around `encode_document`, for every write that takes whole documents. Imports and files of 0.x do not pass
here: what they hold comes in as it is.

Invariants: `_objId` in data is the id of the document and is never stored as a field; no field at the top of a document
begins with `$`; a `PoofDocument` means its data, and its own id is not taken over.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from poof.document import PoofDocument, encode_document
from poof.encoding.identity import id_field
from poof.encoding.scalars import MAX_DEPTH
from poof.encoding.values import StoredData
from poof.errors import InvalidDocumentError, InvalidIdError
from poof.located import LOCATED, located
from poof.models.binding import Binding
from poof.object_ids import MAX_ID_LENGTH, MIN_ID_LENGTH, OBJECT_ID, is_object_id, new_object_id
from poof.raising import raise_alone

Encoded = tuple[dict[str, Any], str, str | None]
"""The data as it is stored, its JSON text, and the id that it names."""

_SCALARS = frozenset((str, int, float, bool, type(None)))


def encode_given(
    data: object, binding: Binding[Any] | None = None, obj_id: str | None = None, *, kept: Collection[str] = ()
) -> Encoded:
    """The data to store of what a caller gives as a document.

    `obj_id`: the id of the document, where it is known. `kept`: names of fields that the document has already, and that
    are fields still, whatever they begin with.

    Raises:
        pydantic.ValidationError: the data does not fit the model.
        InvalidDocumentError: the data is not a document, names an id that cannot be one, or has a field with `$`.
        DocumentTooLargeError: it is larger than 64 MiB.
    """
    if binding is None and type(data) is dict and OBJECT_ID not in data:
        encoded, text = encode_document(data)
        # To look for $ in the text takes a tenth of the time that it takes to look at each name.
        if ("$" not in text or '"$' not in text) and OBJECT_ID not in encoded:
            return encoded, text, None
    return _encode(data, binding, obj_id, kept)


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


def _encode(data: Any, binding: Binding[Any] | None, obj_id: str | None, kept: Collection[str]) -> Encoded:
    data = _without_documents(data, MAX_DEPTH)
    given = None
    if isinstance(data, Mapping):
        _refuse_operators(data, kept)
        data, given = _take_id(data, () if binding is None else binding.id_names, kept)
    elif isinstance(data, BaseModel) and (field := id_field(type(data))) is not None:
        given = _read_id(getattr(data, field))
    try:
        if binding is None:
            encoded, text = encode_document(data)
        else:
            encoded, text = binding.encode(data, given or obj_id or new_object_id())
        _refuse_operators(encoded, kept)
        if OBJECT_ID in encoded and OBJECT_ID not in kept:  # of a model that allows any fields
            rest, named = _take_id(encoded, (), kept)
            check_id(given or named, named)
            return *encode_document(rest), given or named
        return encoded, text, given
    except LOCATED as error:
        raise_alone(error if given is None else located(error, f"Document {given}"))


def _take_id(
    data: Mapping[Any, Any], names: Collection[str], kept: Collection[str]
) -> tuple[Mapping[Any, Any], str | None]:
    """Data without the id that it names, and the id."""
    names = {name for name in (OBJECT_ID, *names) if name in data and name not in kept}
    if not names:
        return data, None
    ids = {_read_id(data[name]) for name in names} - {None}
    if len(ids) > 1:
        raise InvalidDocumentError(f"The data names two ids of its document, as {' and '.join(sorted(names))}.")
    return {name: value for name, value in data.items() if name not in names}, next(iter(ids), None)


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


def _without_documents(value: Any, depth: int) -> Any:
    """The same value where it holds no `PoofDocument`; else a copy that has their data in their place."""
    if isinstance(value, StoredData):
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
    return isinstance(value, StoredData)
