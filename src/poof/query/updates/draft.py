"""A document while it is changed: every container is copied before it is first written to.

Pure.

Invariants: the document that the draft was made from never changes; what no write touched is shared with it.
"""

from collections.abc import Mapping
from typing import Any

from poof.query.nodes import Path
from poof.query.order import Type, type_of
from poof.query.paths import MISSING, parse_index

MAX_PADDING = 100_000
"""Nulls that one write may put between the end of an array and the index it writes to."""

_KINDS: Mapping[Type, str] = {
    "null": "null",
    "number": "a number",
    "string": "text",
    "object": "a document",
    "array": "an array",
    "bool": "true or false",
}


class UnfitError(Exception):
    """A change that a document does not allow. Its text is the end of a sentence that begins with the operator and the
    field, and shows no value.
    """


def name_of_kind(value: Any) -> str:
    """What errors call a value of this type."""
    return _KINDS[type_of(value)]


def resolve(document: Any, path: Path) -> Any:
    """The one value that the path leads to, a step in an array being an index; MISSING where there is none yet.

    Raises:
        UnfitError: there can be none, as something that holds no such field is in the way.
    """
    value = document
    for position, step in enumerate(path):
        if isinstance(value, dict):
            value = value.get(step, MISSING)
        elif isinstance(value, list):
            index = parse_index(step)
            if index is None:
                name = ".".join(path[:position])
                raise UnfitError(f"cannot be reached: {name!r} is an array, whose elements are named by their indexes")
            value = value[index] if index < len(value) else MISSING
        elif value is MISSING:
            break
        else:
            raise UnfitError(f"cannot be reached: {'.'.join(path[:position])!r} holds {name_of_kind(value)}")
    return value


class Draft:
    """A document to be changed path by path."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = dict(document)
        self.written: list[Path] = []
        """The paths that were written to, in order."""
        # By identity, and kept alive, so that no other container ever has the same identity.
        self._owned: dict[int, Any] = {id(self.document): self.document}

    def read(self, path: Path) -> Any:
        """As `resolve`."""
        return resolve(self.document, path)

    def write(self, path: Path, value: Any) -> None:
        """Puts a value where `read` found one or MISSING. Documents on the way are made, arrays filled up with nulls.

        Raises:
            UnfitError: the index is too far beyond the end of an array.
        """
        _put(self._container(path), path[-1], value)
        self.written.append(path)

    def remove(self, path: Path) -> None:
        """Removes a value that `read` found. An element of an array becomes null, and no other changes its index."""
        container = self._container(path)
        if isinstance(container, dict):
            del container[path[-1]]
        else:
            container[int(path[-1])] = None

    def _container(self, path: Path) -> Any:
        """What holds the value at the end of the path, as a copy that may be written to."""
        container: Any = self.document
        for step in path[:-1]:
            inner = _get(container, step)
            if id(inner) not in self._owned:
                inner = {} if inner is MISSING else inner.copy()
                self._owned[id(inner)] = inner
                _put(container, step, inner)
            container = inner
        return container


def _get(container: Any, step: str) -> Any:
    if isinstance(container, dict):
        return container.get(step, MISSING)
    index = int(step)
    return container[index] if index < len(container) else MISSING


def _put(container: Any, step: str, value: Any) -> None:
    if isinstance(container, dict):
        container[step] = value
        return
    index = int(step)
    missing = index - len(container)
    if missing > MAX_PADDING:
        raise UnfitError(f"lies more than {MAX_PADDING:,} elements beyond the end of the array")
    container.extend([None] * (missing + 1))
    container[index] = value
