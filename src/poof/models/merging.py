"""What is stored where a model meets a document that holds more than the model knows.

Layer: models; pure.

Two questions have their answers here. After an update: which parts of the new document take the form that the model
gives them? Only those at the paths that the update named. After a replacement by an instance: which parts of the old
document stay? All that the model does not know, at every level.

Documents are JSON values here, and none that is given is changed.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from poof.encoding.shapes import Either, Fields, Free, Items, Opaque, Shape, resolve

_MISSING: Any = object()
_OPAQUE = Opaque()


def take_form(before: Any, after: Any, formed: Any, paths: Iterable[Sequence[str]], shape: Shape) -> Any:
    """A document after an update, with the form that the model gives it at the paths that the update named.

    `formed`: what the model makes of the whole document `after`.
    """
    taken = after
    for path in paths:
        taken = _take_at(before, taken, formed, path, shape)
    return taken


def _take_at(before: Any, after: Any, formed: Any, path: Sequence[str], shape: Shape) -> Any:
    if not path:
        return _take_whole(before, after, formed, shape)
    step, *rest = path
    if isinstance(after, dict) and isinstance(formed, dict):
        if step not in after or step not in formed:
            return after  # it was removed, or is unknown to the model
        inner = _take_at(_item(before, step), after[step], formed[step], rest, part(shape, step))
        return {**after, step: inner}
    if isinstance(after, list) and isinstance(formed, list):
        index = int(step)
        if index >= len(after) or not _is_aligned(after, formed, shape):
            return after
        inner = _take_at(_item(before, index), after[index], formed[index], rest, part(shape, step))
        return [*after[:index], inner, *after[index + 1 :]]
    return after


def _take_whole(before: Any, after: Any, formed: Any, shape: Shape) -> Any:
    """A value that an update named, as a model stores it: what the model does not know stays as it was given."""
    if isinstance(after, dict) and isinstance(formed, dict):
        taken = {
            name: _take_whole(_item(before, name), after[name], value, part(shape, name)) if name in after else value
            for name, value in formed.items()
        }
        return {**taken, **{name: value for name, value in after.items() if name not in formed}}
    if isinstance(after, list) and isinstance(formed, list):
        if not _is_aligned(after, formed, shape):
            return formed if not any(isinstance(item, dict | list) for item in after) else after
        old = _Elements(before)
        item = part(shape, "0")
        return [
            value if old.has(value) else _take_whole(_MISSING, value, form, item)
            for value, form in zip(after, formed, strict=True)
        ]
    return formed


class _Elements:
    """The elements of an array before an update, which an update moves about but does not name."""

    def __init__(self, before: Any) -> None:
        elements = before if isinstance(before, list) else []
        self._containers = {id(element) for element in elements}
        self._scalars = {_text(element) for element in elements if not isinstance(element, dict | list)}

    def has(self, element: Any) -> bool:
        """Whether an element was there before. A draft shares with its document what it does not touch."""
        if isinstance(element, dict | list):
            return id(element) in self._containers
        return _text(element) in self._scalars


def _is_aligned(after: list[Any], formed: list[Any], shape: Shape) -> bool:
    """Whether the elements of an array are still at their places after a model wrote them."""
    shape = resolve(shape)
    return len(after) == len(formed) and not (isinstance(shape, Items) and shape.unordered)


def keep_unknown(old: Any, new: Any, shape: Shape) -> Any:
    """A new document that an instance of a model gave, with what the model does not know of the old one."""
    if isinstance(old, dict) and isinstance(new, dict):
        return _keep_fields(old, new, _fitting(shape, new))
    if isinstance(old, list) and isinstance(new, list):
        return _keep_elements(old, new, part(shape, "0"))
    return new


def _keep_fields(old: dict[str, Any], new: dict[str, Any], shape: Shape) -> dict[str, Any]:
    if isinstance(shape, Opaque):
        return new
    kept = {
        name: keep_unknown(old[name], value, part(shape, name)) if name in old else value for name, value in new.items()
    }
    if isinstance(shape, Fields) and not shape.is_open:
        kept.update((name, value) for name, value in old.items() if name not in new and name not in shape.accepted)
    return kept


def _keep_elements(old: list[Any], new: list[Any], shape: Shape) -> list[Any]:
    """Elements keep what is unknown of the same element before; of others in the same place, where as many changed."""
    if isinstance(resolve(shape), Opaque) or not any(isinstance(element, dict | list) for element in new):
        return new
    if len(old) == len(new) == 1:
        return [keep_unknown(old[0], new[0], shape)]
    known = [strip_unknown(element, shape) for element in old]
    kept = list(new)
    matcher = difflib.SequenceMatcher(None, [*map(_text, known)], [*map(_text, new)], autojunk=False)
    for kind, start, end, new_start, new_end in matcher.get_opcodes():
        pairs: Iterable[tuple[int, int]]
        if kind == "replace" and end - start != new_end - new_start:
            pairs = _pair_alike(known, new, range(start, end), range(new_start, new_end))
        else:
            pairs = zip(range(start, end), range(new_start, new_end), strict=False)
        for index, other in pairs:
            kept[other] = keep_unknown(old[index], new[other], shape)
    return kept


def _pair_alike(old: list[Any], new: list[Any], among: range, others: range) -> Iterator[tuple[int, int]]:
    """Each new element with the old one that has most fields in common with it, if any has."""
    left = list(among)
    for other in others:
        best = max(left, key=lambda index: _in_common(old[index], new[other]), default=None)
        if best is not None and _in_common(old[best], new[other]):
            left.remove(best)
            yield best, other


def _in_common(one: Any, other: Any) -> int:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return 0
    return sum(name in other and _text(value) == _text(other[name]) for name, value in one.items())


def strip_unknown(data: Any, shape: Shape) -> Any:
    """A stored document without what the model does not know."""
    if isinstance(data, dict):
        shape = _fitting(shape, data)
        if isinstance(shape, Fields) and not shape.is_open:
            return {
                name: strip_unknown(value, part(shape, name)) for name, value in data.items() if name in shape.stored
            }
        return {name: strip_unknown(value, part(shape, name)) for name, value in data.items()}
    if isinstance(data, list):
        return [strip_unknown(element, part(shape, "0")) for element in data]
    return data


def part(shape: Shape, step: str) -> Shape:
    """The shape of what is in a field, or in the elements of an array."""
    match resolve(shape):
        case Fields(stored=stored):
            return stored.get(step, _OPAQUE)
        case Free(inner) | Items(inner):
            return inner
        case Either(choices):
            parts = [inner for choice in choices if not isinstance(inner := resolve(part(choice, step)), Opaque)]
            return parts[0] if len(parts) == 1 else Either(tuple(parts)) if parts else _OPAQUE
    return _OPAQUE


def _fitting(shape: Shape, data: Mapping[str, Any]) -> Shape:
    """Of several shapes, that of a document with these fields: all fields that are known to any of them are known."""
    shape = resolve(shape)
    if not isinstance(shape, Either):
        return shape
    documents = [found for choice in shape.choices if isinstance(found := _fitting(choice, data), Fields | Free)]
    fields = [found for found in documents if isinstance(found, Fields)]
    if not fields or len(fields) < len(documents):
        return documents[0] if documents else _OPAQUE
    if len(fields) == 1:
        return fields[0]
    best = max(fields, key=lambda found: (len(found.stored.keys() & data.keys()), -len(found.stored)))
    accepted = set().union(*(found.accepted for found in fields))
    return Fields(best.name, best.stored, accepted, best.misread, any(found.is_open for found in fields))


def _item(container: Any, step: str | int) -> Any:
    if isinstance(container, dict):
        return container.get(step, _MISSING)
    if isinstance(container, list):
        return container[int(step)] if int(step) < len(container) else _MISSING
    return _MISSING


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
