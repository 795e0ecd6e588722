"""What is stored where a model meets a document that holds more than the model knows.

Pure.

Two questions have their answers here. After an update: which parts of the new document take the form that the model
gives them? Only those at the paths that the update named. After a replacement by an instance: which parts of the old
document stay? All that the model does not know, at every level.

Documents are JSON values here, and none that is given is changed.
"""

from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any

from poof.encoding.scalars import to_json
from poof.encoding.shapes import Fields, Free, Items, Opaque, Shape, fitting, part, resolve
from poof.models.elements import pair_elements, text_of

_MISSING: Any = object()
_CONTAINERS = (dict, list)


def drop_synonyms(data: Any, paths: Iterable[Sequence[str]], shape: Shape) -> Any:
    """A document after an update, whose named fields are there under the names alone under which they are stored.

    A model may read a field under other names first (`AliasChoices`), as an older program stored it: that would undo
    the update.
    """
    for path in paths:
        data = _drop_at(data, path, shape)
    return data


def _drop_at(data: Any, path: Sequence[str], shape: Shape) -> Any:
    if not path:
        return data
    step, *rest = path
    if isinstance(data, dict):
        shape = fitting(shape, data)
        if step not in data:
            return data
        others = shape.others.get(step, frozenset()) if isinstance(shape, Fields) else frozenset()
        kept = {name: value for name, value in data.items() if name not in others} if others & data.keys() else data
        inner = _drop_at(kept[step], rest, part(shape, step)) if rest else kept[step]
        return kept if inner is kept[step] else {**kept, step: inner}
    if isinstance(data, list) and rest and int(step) < len(data):
        inner = _drop_at(data[int(step)], rest, part(shape, step))
        return data if inner is data[int(step)] else [*data[: int(step)], inner, *data[int(step) + 1 :]]
    return data


def take_form(before: Any, after: Any, formed: Any, paths: Iterable[Sequence[str]], shape: Shape) -> Any:
    """A document after an update, with the form that the model gives it at the paths that the update named.

    `formed`: what the model makes of the whole document `after`.
    """
    taken = after
    for path in paths:
        taken = _take_at(before, taken, formed, path, shape)
    return taken


def _take_at(before: Any, after: Any, formed: Any, path: Sequence[str], shape: Shape) -> Any:
    if not path or _is_set(shape):
        return _take_whole(before, after, formed, shape)
    step, *rest = path
    if isinstance(after, dict) and isinstance(formed, dict):
        if step not in after or step not in formed:
            return after  # it was removed, or is unknown to the model
        inner = _take_at(_item(before, step), after[step], formed[step], rest, part(shape, step))
        return {**after, step: inner}
    if isinstance(after, list) and isinstance(formed, list):
        index = int(step)
        if index >= len(after) or len(after) != len(formed):
            return after
        inner = _take_at(_item(before, index), after[index], formed[index], rest, part(shape, step))
        return [*after[:index], inner, *after[index + 1 :]]
    return after


def _take_whole(before: Any, after: Any, formed: Any, shape: Shape) -> Any:
    """A value that an update named, as a model stores it: what the model does not know stays as it was given."""
    if isinstance(after, dict) and isinstance(formed, dict):
        return _take_fields(before, after, formed, fitting(shape, after))
    if isinstance(after, list) and isinstance(formed, list):
        return _take_elements(before, after, formed, shape)
    return formed


def _take_fields(before: Any, after: dict[str, Any], formed: dict[str, Any], shape: Shape) -> dict[str, Any]:
    if isinstance(shape, Free) and formed.keys() != after.keys():
        return formed  # its keys have taken another form, and all of them are known
    taken = {
        name: _take_whole(_item(before, name), after[name], value, part(shape, name)) if name in after else value
        for name, value in formed.items()
    }
    known = shape.accepted if isinstance(shape, Fields) else ()
    return {**taken, **{name: value for name, value in after.items() if name not in formed and name not in known}}


def _take_elements(before: Any, after: list[Any], formed: list[Any], shape: Shape) -> list[Any]:
    old = _Elements(before)
    inner = part(shape, "0")
    if _is_set(shape):
        there = {text_of(strip_unknown(element, inner)) for element in old.documents}
        new = [element for element in formed if text_of(element) not in there]
        taken = [*(element for element in after if isinstance(element, _CONTAINERS) and old.has(element)), *new]
        return sorted(taken, key=to_json) if len(taken) == len(formed) else after
    if len(after) != len(formed):
        return formed if not any(isinstance(item, _CONTAINERS) for item in after) else after
    return [
        value if old.has(value) else _take_whole(_MISSING, value, form, inner)
        for value, form in zip(after, formed, strict=True)
    ]


class _Elements:
    """The elements of an array before an update, which an update moves about but does not name."""

    def __init__(self, before: Any) -> None:
        elements = before if isinstance(before, list) else []
        self.documents = [element for element in elements if isinstance(element, _CONTAINERS)]
        self._identities = set(map(id, self.documents))
        self._scalars = {text_of(element) for element in elements if not isinstance(element, _CONTAINERS)}

    def has(self, element: Any) -> bool:
        """Whether an element was there before. A draft shares with its document what it does not touch."""
        if isinstance(element, _CONTAINERS):
            return id(element) in self._identities
        return text_of(element) in self._scalars


def _is_set(shape: Shape) -> bool:
    shape = resolve(shape)
    return isinstance(shape, Items) and shape.unordered


def keep_unknown(old: Any, new: Any, shape: Shape) -> Any:
    """A new document that an instance of a model gave, with what the model does not know of the old one.

    It is `new` itself where nothing is to be kept.
    """
    if old == new:
        return new
    if isinstance(old, dict) and isinstance(new, dict):
        return _keep_fields(old, new, fitting(shape, new))
    if isinstance(old, list) and isinstance(new, list):
        return _keep_elements(old, new, part(shape, "0"))
    return new


def _keep_fields(old: dict[str, Any], new: dict[str, Any], shape: Shape) -> dict[str, Any]:
    if isinstance(shape, Opaque):
        return new
    kept = new
    for name, value in new.items():
        if isinstance(value, _CONTAINERS) and name in old:
            inner = keep_unknown(old[name], value, part(shape, name))
            if inner is not value:
                kept = {**kept, name: inner}
    if not isinstance(shape, Fields) or shape.is_open or old.keys() <= new.keys():
        return kept
    unknown = old.keys() - new.keys() - shape.accepted
    if not unknown:
        return kept
    return {
        name: old[name] if name in unknown else kept[name] for name in old if name in unknown or name in kept
    } | kept


def _keep_elements(old: list[Any], new: list[Any], shape: Shape) -> list[Any]:
    if isinstance(resolve(shape), Opaque) or not any(isinstance(element, _CONTAINERS) for element in new):
        return new
    pairs = pair_elements([strip_unknown(element, shape) for element in old], new)
    kept = [
        keep_unknown(old[pairs[index]], element, shape) if index in pairs else element
        for index, element in enumerate(new)
    ]
    return new if all(map(is_, kept, new)) else kept


def strip_unknown(data: Any, shape: Shape) -> Any:
    """A stored document without what the model does not know."""
    if isinstance(data, dict):
        shape = fitting(shape, data)
        names = shape.stored if isinstance(shape, Fields) and not shape.is_open else data
        return {name: strip_unknown(value, part(shape, name)) for name, value in data.items() if name in names}
    if isinstance(data, list):
        return [strip_unknown(element, part(shape, "0")) for element in data]
    return data


def _item(container: Any, step: str | int) -> Any:
    if isinstance(container, dict):
        return container.get(step, _MISSING)
    if isinstance(container, list):
        return container[int(step)] if int(step) < len(container) else _MISSING
    return _MISSING
