"""What an index is, and the keys under which it lists a document.

Layer: query; pure.

A key is a row of encoded values, one for each field (see `order`), those of a descending field inverted, so the order
of keys as bytes is the order of the index. A document with an array is listed under a key for each element, and under
one more that marks the index as *multikey*: the bounds of two conditions on such a field cannot be combined, since
different elements may meet them.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from poof.errors import InvalidDocumentError
from poof.query.fields import FieldOrder
from poof.query.match import matches
from poof.query.nodes import Node
from poof.query.order import index_keys, invert
from poof.query.parse import parse_filter

MULTIKEY_MARK = b"\xff"
"""What the key of the mark begins with, and no other."""

Keys = Callable[[int, Mapping[str, Any]], set[bytes]]


@dataclass(frozen=True, slots=True)
class IndexDefinition:
    """What an index lists: these fields, of the documents that `where` admits."""

    fields: tuple[FieldOrder, ...]
    unique: bool = False
    where: Mapping[str, Any] | None = None
    """A filter of JSON values."""
    expire_after: float | None = None
    """Seconds after the time in the field, when a document expires."""

    def encode(self) -> str:
        """The definition as JSON text."""
        fields = [[field.path, field.descending] for field in self.fields]
        return orjson.dumps([fields, self.unique, self.where, self.expire_after]).decode()

    @property
    def default_name(self) -> str:
        """The name that MongoDB would give it, as in `city_1_age_-1`."""
        return "_".join(f"{field.name}_{-1 if field.descending else 1}" for field in self.fields)

    def node(self) -> Node:
        """What `where` means."""
        return parse_filter(self.where)


@functools.lru_cache(maxsize=1024)
def decode_definition(text: str) -> IndexDefinition:
    """The definition in a JSON text."""
    fields, unique, where, expire_after = orjson.loads(text)
    listed = tuple(FieldOrder(tuple(path), descending) for path, descending in fields)
    return IndexDefinition(listed, unique, where, expire_after)


@functools.lru_cache(maxsize=1024)
def keys_of(text: str) -> Keys:
    """The function that gives the keys of a document, whose number is given with it, for a definition as JSON text.

    It raises `InvalidDocumentError` for a document that has arrays in two fields of the index, as MongoDB does.
    """
    definition = decode_definition(text)
    node = None if definition.where is None else definition.node()

    def keys(number: int, document: Mapping[str, Any]) -> set[bytes]:
        if node is not None and not matches(node, document):
            return set()
        rows = [b""]
        several: FieldOrder | None = None
        for field in definition.fields:
            values, multikey = index_keys(document, field.path)
            if multikey and several is not None:
                raise InvalidDocumentError(
                    f"The document has arrays in the fields {several.name} and {field.name}, and an index cannot list "
                    "every pair of their elements. Nothing was changed."
                )
            several = field if multikey else several
            if field.descending:
                values = [invert(value) for value in values]
            rows = [row + value for row in rows for value in values]
        found = set(rows)
        if several is not None:
            found.add(MULTIKEY_MARK + number.to_bytes(8, "big"))
        return found

    return keys
