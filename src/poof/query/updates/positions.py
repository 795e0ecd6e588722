"""Steps of an update's path that stand for elements: `$`, `$[]` and `$[name]`.

Pure.

Such a step begins with `$`, which no name of a field in a path does, and follows at least one name. What it stands for
is told by the document before it is changed.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from poof.errors import InvalidQueryError
from poof.query.filters.match import matcher
from poof.query.filters.parse import parse_filter
from poof.query.known import KnownFields
from poof.query.nodes import Path
from poof.query.paths import MISSING, parse_path, plain_name
from poof.query.updates.draft import UnfitError, name_of_kind, resolve

FIRST = "$"
EVERY = "$[]"

ElementFilters = Mapping[str, Callable[[Any], bool]]
"""What the elements must be that a `$[name]` stands for, by its name."""

_FILTERED = re.compile(r"\$\[([a-z][a-zA-Z0-9]*)\]")
_NAME = re.compile(r"[a-z][a-zA-Z0-9]*")


def parse_target(name: object) -> Path:
    """The path of a field that an update changes.

    >>> parse_target("lines.$[line].price")
    ('lines', '$[line]', 'price')

    Raises:
        InvalidQueryError: it is no path, or one with a step that begins with `$` and is none of the three.
    """
    name = plain_name(name)
    if not isinstance(name, str) or not any(step.startswith("$") for step in name.split(".")):
        return parse_path(name)
    path = tuple(name.split("."))
    for step in path:
        if step.startswith("$") and step not in (FIRST, EVERY) and not _FILTERED.fullmatch(step):
            raise InvalidQueryError(
                f"The field {name!r} has the step {step!r}. Steps that begin with $ are $, $[] and $[name], with a "
                "name of letters and digits that begins with a small letter."
            )
    if path[0].startswith("$"):
        raise InvalidQueryError(f"The field {name!r} begins with {path[0]}, which follows the name of an array.")
    if FIRST in path and any(step.startswith("$") for step in path[: _last(path, FIRST)]):
        raise InvalidQueryError(f"The field {name!r} has a $ behind another step that begins with $.")
    parse_path(".".join(step for step in path if not step.startswith("$")))
    return path


def _last(path: Path, step: str) -> int:
    return len(path) - 1 - path[::-1].index(step)


def is_dynamic(path: Path) -> bool:
    """Whether a step of the path stands for elements."""
    return any(step.startswith("$") for step in path)


def parse_element_filters(filters: object, targets: Iterable[Path], known: KnownFields | None = None) -> ElementFilters:
    """The array filters of an update that has these paths. `known`: the fields of the collection's model.

    Raises:
        InvalidQueryError: one is no filter on a single name, or has no use, or there are two of a name, or none.
    """
    if filters is not None and (isinstance(filters, str | bytes) or not isinstance(filters, Sequence)):
        raise InvalidQueryError(f"The array filters are a list of filters, not {type(filters).__name__}.")
    used: dict[str, list[Path]] = {}
    for path in targets:
        for position, step in enumerate(path):
            if match := _FILTERED.fullmatch(step):
                used.setdefault(match[1], []).append(path[: position + 1])
    parsed: dict[str, Callable[[Any], bool]] = {}
    for filter_ in filters or ():
        parse_filter(filter_ if filter_ is not None else {})  # so that it is a filter of which a name can be asked
        name = _subject(filter_)
        if name in parsed:
            raise InvalidQueryError(f"There are two array filters for {name!r}; write both conditions into one.")
        if name not in used:
            raise InvalidQueryError(f"The array filter for {name!r} has no use: the update has no step $[{name}].")
        inside = None if known is None else known.elements_as(name, used[name])
        parsed[name] = partial(_matches, matcher(parse_filter(filter_, inside)), name)
    for name, (path, *_) in used.items():
        if name not in parsed:
            raise InvalidQueryError(f"The field {'.'.join(path)!r} has the step $[{name}] and no array filter for it.")
    return parsed


def _matches(matches: Callable[[Mapping[str, Any], str | None], bool], name: str, element: Any) -> bool:
    return matches({name: element}, None)


def _subject(filter_: object) -> str:
    """The one name that an array filter speaks of."""
    names = set(_subjects(filter_))
    if len(names) != 1:
        raise InvalidQueryError(
            f"An array filter speaks of one name, as {{'line.price': {{'$gt': 5}}}} of 'line', and not of {len(names)}."
        )
    name = names.pop()
    if not _NAME.fullmatch(name):
        raise InvalidQueryError(
            f"The array filter for {name!r} has no valid name: letters and digits, the first of them a small letter."
        )
    return name


def _subjects(filter_: Any) -> Iterator[str]:
    for field, operand in (filter_ or {}).items():
        name = str(plain_name(field))
        if name == "$comment":
            continue
        if name.startswith("$"):
            for part in operand:
                yield from _subjects(part)
        else:
            yield name.split(".")[0]


def expand(
    path: Path, document: Mapping[str, Any], filters: ElementFilters, first: Callable[[Path, list[Any]], int]
) -> Iterator[Path]:
    """The paths with indexes that a path stands for in a document. `first` says what `$` stands for in an array.

    Raises:
        UnfitError: there is no array where the path needs one.
    """
    position = next((position for position, step in enumerate(path) if step.startswith("$")), None)
    if position is None:
        yield path
        return
    before, step, after = path[:position], path[position], path[position + 1 :]
    array = resolve(document, before)
    if not isinstance(array, list):
        found = "nothing" if array is MISSING else name_of_kind(array)
        raise UnfitError(f"needs an array at {'.'.join(before)!r}, and the document holds {found} there")
    for index in _indexes(step, before, array, filters, first):
        yield from expand((*before, str(index), *after), document, filters, first)


def _indexes(
    step: str, path: Path, array: list[Any], filters: ElementFilters, first: Callable[[Path, list[Any]], int]
) -> Iterable[int]:
    if step == FIRST:
        return (first(path, array),)
    if step == EVERY:
        return range(len(array))
    matches = filters[step[2:-1]]
    return [index for index, element in enumerate(array) if matches(element)]
