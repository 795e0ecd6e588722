"""What an index is, and the keys under which it lists a document.

Pure.

A key is a row of encoded values, one for each field (see `order`), those of a descending field inverted, so the order
of keys as bytes is the order of the index. A document with an array is listed under a key for each element, and under
one more that marks the index as *multikey*: the bounds of two conditions on such a field cannot be combined, since
different elements may meet them. Where several fields lead into one array, the mark says that too: then a key has
values of one element, and the bounds of conditions on two of these fields cannot be combined either, unless the query
asks them of one element.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from poof.errors import InvalidDocumentError
from poof.query.fields import FieldOrder
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter
from poof.query.key_rows import Rows
from poof.query.nodes import Node

MULTIKEY_MARK = b"\xff"
"""What the key of the mark begins with, and no other."""
SHARED_MARK = MULTIKEY_MARK + b"\xff"
"""What it begins with where several fields led into one array. No rowid begins with FF."""

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
    """The function that gives the keys of a document, whose rowid is given with it, for a definition as JSON text.

    It raises `InvalidDocumentError` for a document that has two arrays whose elements the index would have to list each
    with each, as MongoDB does.
    """
    definition = decode_definition(text)
    rows = Rows(definition.fields)
    node = None if definition.where is None else definition.node()

    def keys(rowid: int, document: Mapping[str, Any]) -> set[bytes]:
        if node is not None and not matches(node, document):
            return set()
        listing = rows.listing(document)
        if listing.parallel is not None:
            one, other = listing.parallel
            raise InvalidDocumentError(
                f"The document has arrays in the fields {one.name} and {other.name}, and an index cannot list "
                "every pair of their elements. Nothing was changed."
            )
        found = set(map(b"".join, listing.rows))
        if listing.multikey:
            found.add((SHARED_MARK if listing.shared else MULTIKEY_MARK) + rowid.to_bytes(8, "big"))
        return found

    return keys
