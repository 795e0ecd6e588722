"""A document as one JSON object with its id, and back.

Pure.

The object is `{"_objId": id, ...data}`. A field of the data that is itself called `_objId`, or that with dollar signs
before it, gets one more dollar sign; reading takes it away. So every object stands for exactly one document.

Invariant: what JSON text cannot say exactly to PoofDB, as an integer beyond 64 bits, is refused and never rounded. An
error names the place and the field, and no value.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import orjson

from poof.document import encode_document
from poof.errors import InvalidDocumentError
from poof.models.binding import Binding
from poof.object_ids import OBJECT_ID, is_object_id, new_object_id
from poof.raising import raise_alone

IdPolicy = Literal["keep", "new"]

_LIKE_ID = re.compile(r"\$*_objId")
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
"""Nothing shorter is an integer beyond 64 bits, which orjson would read as a float."""


class Piece(NamedTuple):
    """The text of one object, and where it stands, as `Line 7`."""

    place: str
    text: bytes


def to_object(obj_id: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The object of a document."""
    if any(name.endswith(OBJECT_ID) for name in data):
        data = {f"${name}" if _LIKE_ID.fullmatch(name) else name: value for name, value in data.items()}
    return {OBJECT_ID: obj_id, **data}


def read_document(piece: Piece, ids: IdPolicy, binding: Binding[Any] | None) -> tuple[str, str]:
    """The id and the JSON text to store of an object, which must fit the model of a binding, if there is one.

    Raises:
        pydantic.ValidationError: it does not fit.
        InvalidDocumentError, DocumentTooLargeError: it is no object, or holds what PoofDB cannot store exactly.
    """
    found = _parse(piece)
    if not isinstance(found, dict):
        raise InvalidDocumentError(f"{piece.place} is not a JSON object. Nothing was imported.")
    obj_id = _read_id(found.pop(OBJECT_ID, None), piece.place) if ids == "keep" else None
    found.pop(OBJECT_ID, None)
    if any(name.endswith(OBJECT_ID) for name in found):
        found = {name[1:] if _LIKE_ID.fullmatch(name) else name: value for name, value in found.items()}
    try:
        encoded, text = encode_document(found)
        if binding is not None:
            _, text = binding.encode_parsed(encoded, obj_id, piece.place.lower())
    except InvalidDocumentError as error:
        raise_alone(type(error)(f"{piece.place}: {error}"))
    return obj_id or new_object_id(), text


def _read_id(obj_id: object, place: str) -> str | None:
    if obj_id is None or is_object_id(obj_id):
        return obj_id
    raise InvalidDocumentError(
        f'{place}: the {OBJECT_ID} is not one, which is text of 12 to 26 characters. Pass ids="new" to give '
        "every document a new one. Nothing was imported."
    )


def _parse(piece: Piece) -> Any:
    if not _LONG_NUMBER.search(piece.text):
        try:
            return orjson.loads(piece.text)
        except orjson.JSONDecodeError:
            pass  # the other reader takes NaN, so that the error can name its field, and tells where a mistake is
    try:
        return json.loads(piece.text.decode())
    except json.JSONDecodeError as error:
        raise_alone(
            InvalidDocumentError(
                f"{piece.place} is not JSON, from its character {error.pos + 1} on. Nothing was imported."
            )
        )
    except UnicodeDecodeError as error:
        raise_alone(
            InvalidDocumentError(f"{piece.place} is not UTF-8, at its byte {error.start + 1}. Nothing was imported.")
        )
    except ValueError:
        raise_alone(InvalidDocumentError(f"{piece.place} holds an integer far beyond 64 bits. Nothing was imported."))
    except RecursionError:
        raise_alone(InvalidDocumentError(f"{piece.place} is nested too deep. Nothing was imported."))
