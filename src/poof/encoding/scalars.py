"""What JSON can hold exactly: its limits, its text of times, and the error for what it cannot hold.

Pure.
"""

import datetime
from typing import Any

import orjson

from poof.errors import DocumentTooLargeError, InvalidDocumentError
from poof.raising import raise_alone

MAX_DOCUMENT_SIZE = 64 * 1024 * 1024
"""Bytes of JSON."""
MAX_DEPTH = 100
"""Levels of documents and arrays inside each other, as in MongoDB."""
MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**63 - 1

NOT_FINITE = "is NaN or infinite, which JSON cannot hold"
MASKED = "is a masked secret; store its get_secret_value(), or give the field a serializer"


class UnstorableError(Exception):
    """A value that JSON cannot hold exactly. Its text names the fields on the way to it, never the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str | int] = []

    def __str__(self) -> str:
        return f"{self._place()} {self.reason}" if self.path else f"The data {self.reason}"

    def _place(self) -> str:
        return "The field " + ".".join(str(step) for step in reversed(self.path))


def encode_moment(value: datetime.datetime | datetime.time) -> str:
    """The text of a time: six fractional digits, and `Z` after an aware datetime, which is turned into UTC.

    Raises:
        UnstorableError: the datetime is out of range in UTC.
    """
    if isinstance(value, datetime.time) or value.tzinfo is None:
        return value.isoformat(timespec="microseconds")
    offset = value.utcoffset()
    if offset is None:
        return value.isoformat(timespec="microseconds")
    if offset:
        try:
            value = value.astimezone(datetime.UTC)
        except OverflowError:
            raise_alone(UnstorableError("is a datetime out of range in UTC"))
    return value.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def write_json(encoded: Any) -> bytes:
    """The JSON text of a document.

    Raises:
        InvalidDocumentError: it holds text that is not valid Unicode.
        DocumentTooLargeError: it is larger than 64 MiB.
    """
    text = to_json(encoded)
    if len(text) > MAX_DOCUMENT_SIZE:
        raise DocumentTooLargeError(
            f"The document is {len(text):,} bytes of JSON; the limit is {MAX_DOCUMENT_SIZE:,} (64 MiB). "
            "Nothing was stored. Split it over several documents."
        )
    return text


def to_json(encoded: Any) -> bytes:
    """The JSON text of a value of any size.

    Raises:
        InvalidDocumentError: it holds text that is not valid Unicode.
    """
    try:
        return orjson.dumps(encoded)
    except orjson.JSONEncodeError:
        raise_alone(
            InvalidDocumentError(
                "The data holds text that is not valid Unicode (a lone surrogate). Nothing was stored."
            )
        )
