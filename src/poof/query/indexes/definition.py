"""What an index is, and the keys under which it lists a document.

Pure.

A key is a row of encoded values, one for each field (see `order`), those of a descending field inverted, so the order
of keys as bytes is the order of the index. A document with an array is listed under a key for each element, and under
one more that marks the index as *multikey*: the bounds of two conditions on such a field cannot be combined, since
different elements may meet them. An expiring index lists a time that is written in another form than PoofDB's under the
key of that form as well, where the sweep finds it, and is multikey then.

Where several fields lead into one array, the mark says that too: then a key has values of one element, and the bounds
of conditions on two of these fields cannot be combined either, unless the query asks them of one element.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from poof.encoding.moments import utc_text
from poof.errors import InvalidDocumentError
from poof.query.fields import FieldOrder
from poof.query.filters.match import matcher, matches
from poof.query.filters.parse import parse_filter
from poof.query.key_rows import Rows
from poof.query.known import Kind, fields_of_kinds
from poof.query.nodes import And, Equal, Field, FieldKind, Node, Path
from poof.query.order import NULL_KEY, encode_key, invert
from poof.query.paths import candidates_at
from poof.raising import raise_alone

ORDERED = "ordered"
"""The kind of the indexes that list documents under keys in order."""
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
    skip_null: bool = False
    """Whether documents are left out in which every field is null or missing."""
    where_types: tuple[tuple[Path, Kind], ...] = ()
    """Of fields that the filter compares by their type: how the operands there are read."""

    def encode(self) -> str:
        """The definition as JSON text."""
        types: dict[str, str] = {field.name: field.kind for field in self.fields if field.kind is not None}
        types |= {".".join(path): kind for path, kind in self.where_types}
        stored = {
            "kind": ORDERED,
            "fields": [[field.path, field.descending] for field in self.fields],
            "types": types,
            "unique": self.unique,
            "skip_null": self.skip_null,
            "where": self.where,
            "expire": self.expire_after,
        }
        return orjson.dumps(stored).decode()

    @property
    def default_name(self) -> str:
        """The name that MongoDB would give it, as in `city_1_age_-1`."""
        return "_".join(f"{field.name}_{-1 if field.descending else 1}" for field in self.fields)

    def node(self) -> Node:
        """What `where` means."""
        return parse_filter(self.where, fields_of_kinds(self.where_types) if self.where_types else None)


def define(
    fields: Iterable[FieldOrder],
    types: Mapping[str, Kind],
    *,
    unique: bool = False,
    where: Mapping[str, Any] | None = None,
    expire_after: float | None = None,
    skip_null: bool = False,
) -> IndexDefinition:
    """A definition. `types`: how values are read, by the names of fields, of the index or of its filter."""
    kinds: dict[str, FieldKind] = {name: "decimal" for name, kind in types.items() if kind == "decimal"}
    listed = tuple(FieldOrder(field.path, field.descending, kinds.get(field.name)) for field in fields)
    typed = () if where is None else tuple((tuple(name.split(".")), kind) for name, kind in sorted(types.items()))
    return IndexDefinition(listed, unique, where, expire_after, skip_null, typed)


@functools.lru_cache(maxsize=1024)
def decode_definition(text: str) -> IndexDefinition:
    """The definition in a JSON text.

    Raises:
        ValueError: it is none, or that of an index of another kind.
    """
    try:
        stored = orjson.loads(text)
        if stored["kind"] != ORDERED:
            raise ValueError("an index of another kind")
        return define(
            [FieldOrder(tuple(path), descending) for path, descending in stored["fields"]],
            stored["types"],
            unique=stored["unique"],
            where=stored["where"],
            expire_after=stored["expire"],
            skip_null=stored["skip_null"],
        )
    except (KeyError, TypeError, AttributeError):
        raise_alone(ValueError("no definition of an index"))


@functools.lru_cache(maxsize=1024)
def keys_of(text: str) -> Keys:
    """The function that gives the keys of a document, whose rowid is given with it, for a definition as JSON text.

    It raises `InvalidDocumentError` for a document that has two arrays whose elements the index would have to list each
    with each, as MongoDB does.
    """
    definition = decode_definition(text)
    rows = Rows(definition.fields)
    node = None if definition.where is None else definition.node()
    nulls = tuple(NULL_KEY if not field.descending else invert(NULL_KEY) for field in definition.fields)
    is_null = matcher(And(tuple(Field(field.path, Equal(None)) for field in definition.fields)))
    skips_null, expires = definition.skip_null, definition.expire_after is not None

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
        if skips_null and all(row == nulls for row in listing.rows) and is_null(document, None):
            return set()
        found = set(map(b"".join, listing.rows))
        is_marked = listing.multikey
        if expires and (others := _other_times(definition.fields[0].path, document)):
            found |= others
            is_marked = True
        if is_marked:
            found.add((SHARED_MARK if listing.shared else MULTIKEY_MARK) + rowid.to_bytes(8, "big"))
        return found

    return keys


def times_at(document: Mapping[str, Any], path: Path) -> dict[str, str]:
    """The times in a field or in its elements: the text that is there, and PoofDB's for the same moment."""
    texts = [value for value in candidates_at(document, path) if isinstance(value, str)]
    return {text: moment for text in texts if (moment := utc_text(text)) is not None}


def _other_times(path: Path, document: Mapping[str, Any]) -> set[bytes]:
    """The keys of the times that are written in another form."""
    return {encode_key(moment) for text, moment in times_at(document, path).items() if text != moment}
