"""Errors that say which document they are about.

Pure.
"""

from collections.abc import Iterable
from typing import TypeVar, cast

from pydantic import ValidationError

from poof.errors import DuplicateKeyError, InvalidDocumentError, InvalidQueryError, UpdateError
from poof.models.reading import retitled
from poof.object_ids import OBJECT_ID

OURS = (InvalidDocumentError, UpdateError, DuplicateKeyError)
"""Our errors about one document."""
LOCATED = (*OURS, InvalidQueryError, ValidationError)
"""What can be about one document, or one request, of several."""

E = TypeVar("E", bound=Exception)


def located(error: E, place: str, position: int | None = None) -> E:
    """The error with the place of its document before its text, or behind the model's name; and its position."""
    if isinstance(error, ValidationError):
        return cast("E", retitled(error, f"{error.title}, {place[0].lower()}{place[1:]}"))
    error.args = (f"{place}: {error}",)
    if isinstance(error, DuplicateKeyError):
        error.position = position
    return error


def duplicate(
    index: str | None, fields: tuple[str, ...], obj_id: str | None, holder: str | None = None
) -> DuplicateKeyError:
    """The error where the document `obj_id` has the values already, which the text calls `holder`."""
    holder = holder or ("another document" if obj_id is None else f"document {obj_id}")
    if index is None:
        text = f"{holder[0].upper()}{holder[1:]} has this {OBJECT_ID} already."
    else:
        values = "the same value of the field" if len(fields) == 1 else "the same values of the fields"
        text = f"The index {index!r} is unique, and {holder} has {values} {', '.join(map(repr, fields))}."
    return DuplicateKeyError(f"{text} Nothing was changed.", index=index, fields=fields, obj_id=obj_id)


def duplicate_in_data(error: DuplicateKeyError, position: int, ids: Iterable[str]) -> DuplicateKeyError:
    """Returns the error about the document at a position of the data of one call, which stored `ids` before it.

    Nobody can look up a document that this very call stored, and that is not stored after all. So the error names the
    position of that one, and no id.
    """
    twin = next((place for place, obj_id in enumerate(ids) if obj_id == error.obj_id), None)
    if twin is not None:
        error = duplicate(error.index, error.fields, None, f"the document at position {twin} of the same data")
    return located(error, f"Position {position}", position)
