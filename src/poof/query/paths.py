"""Dotted paths: their text, and what they lead to in a document.

Pure.

A step is the name of a field, and in an array also the index of an element; `"a.0"` means both. An array on the way is
opened: every document in it is entered. Other elements are passed over in silence, so that a branch which ends in one
counts neither as a value nor as a missing one, as in MongoDB.
"""

import functools
from collections.abc import Mapping
from typing import Any, Final

from poof.encoding.scalars import MAX_DEPTH
from poof.errors import InvalidQueryError
from poof.query.nodes import Path


class Missing:
    """The class of `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"  # a copy is the same object


class FieldReference:
    """A field that is named by an object, as `F.age` is; it goes wherever a path goes."""

    __slots__ = ()

    def __fieldpath__(self) -> str:
        """Returns the dotted path."""
        raise NotImplementedError


MISSING: Final = Missing()
"""What a path leads to where there is no value; not null, which is a value."""

_INDEX_DIGITS = 9
"""No array that fits into a document is longer; and an endless number is never parsed."""


def parse_path(name: object, *, what: str = "field") -> Path:
    """The steps of a dotted path.

    >>> parse_path("address.city")
    ('address', 'city')

    Raises:
        InvalidQueryError: it is not text, has an empty step or one that begins with `$`, or is deeper than a document.
    """
    try:
        if isinstance(name, FieldReference):
            name = name.__fieldpath__()
        if not isinstance(name, str):
            raise InvalidQueryError(f"The name of a {what} is text, not {type(name).__name__}.")
        return _parse_path(name, what)
    except InvalidQueryError as error:
        error.__traceback__ = None  # as `brief` does, without the cost of a call
        raise


@functools.lru_cache(maxsize=1024)
def _parse_path(name: str, what: str) -> Path:
    path = tuple(name.split("."))
    if "" in path:
        raise InvalidQueryError(f"The {what} {name!r} has an empty name between its dots; write 'a' or 'a.b'.")
    if any(step.startswith("$") for step in path):
        raise InvalidQueryError(f"The {what} {name!r} has a step that begins with $; only operators do.")
    if len(path) > MAX_DEPTH:
        raise InvalidQueryError(f"The {what} has {len(path)} steps; no document is deeper than {MAX_DEPTH} levels.")
    if not is_unicode(name):
        raise InvalidQueryError(f"The {what} {name!r} is not valid Unicode (a lone surrogate).")
    return path


def plain_name(name: object) -> object:
    """The text of a field that `F` names; everything else as it is."""
    return name.__fieldpath__() if isinstance(name, FieldReference) else name


def plain_names(value: Any) -> Any:
    """A filter with text in place of all the fields in it that `F` names."""
    if isinstance(value, Mapping):
        return {plain_name(name): plain_names(item) for name, item in value.items()}
    return [plain_names(item) for item in value] if isinstance(value, list | tuple) else value


def is_unicode(text: str) -> bool:
    """Whether the text holds no lone surrogate: no stored text does, and SQLite takes none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def parse_index(step: str) -> int | None:
    """The index that a step means in an array, written as in `"0"` or `"12"`; None for any other name."""
    if not (step.isascii() and step.isdigit() and len(step) <= _INDEX_DIGITS):
        return None
    return int(step) if step == "0" or step[0] != "0" else None


def values_at(document: Any, path: Path) -> list[Any]:
    """Every value that the path leads to, and MISSING for each branch that ends without one.

    An array on the way is opened, one at the end is not. It may be that nothing at all is found.

    >>> values_at({"a": [{"b": 1}, {"c": 2}, 3]}, ("a", "b"))
    [1, MISSING]
    """
    found: list[Any] = []
    _descend(document, path, 0, found, opens_last=False)
    return found


def candidates_at(document: Any, path: Path) -> list[Any]:
    """The values that a test may find fit: those of `values_at`, and the elements of an array at the end.

    An array that the last step chose by its index is not opened, as in MongoDB: that index was its opening. The empty
    path leads to the document itself and opens nothing.

    >>> candidates_at({"a": [1, 2]}, ("a",))
    [1, 2, [1, 2]]
    """
    found: list[Any] = []
    _descend(document, path, 0, found, opens_last=bool(path))
    return found


def _descend(value: Any, path: Path, position: int, found: list[Any], *, opens_last: bool) -> None:
    end = len(path)
    while position < end:
        if isinstance(value, list):
            _enter(value, path, position, found, opens_last=opens_last)
            return
        if type(value) is not dict and not isinstance(value, Mapping):
            found.append(MISSING)
            return
        value = value.get(path[position], MISSING)
        position += 1
    if opens_last and isinstance(value, list):
        found.extend(value)
    found.append(value)


def _enter(array: list[Any], path: Path, position: int, found: list[Any], *, opens_last: bool) -> None:
    index = parse_index(path[position])
    for offset, element in enumerate(array):
        if isinstance(element, dict):
            _descend(element, path, position, found, opens_last=opens_last)
        if offset != index:
            continue
        if position + 1 == len(path):
            found.append(element)
        elif isinstance(element, dict | list):
            _descend(element, path, position + 1, found, opens_last=opens_last)
