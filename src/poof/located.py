"""Errors that say which document they are about.

Layer: located; pure.
"""

from typing import TypeVar, cast

from pydantic import ValidationError

from poof.errors import DuplicateKeyError, InvalidDocumentError, InvalidQueryError, UpdateError
from poof.models.reading import retitled

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
