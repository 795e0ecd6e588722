"""Which elements of two arrays are the same element, before a change and after it.

Pure. Elements are JSON values, and none is changed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import orjson


def text_of(value: Any) -> bytes:
    """The JSON of a value, the same for the same fields in any order."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def pair_elements(old: list[Any], new: list[Any]) -> dict[int, int]:
    """The index of each new element, and the index before of the same element, where there is one.

    The same are, in this order: equal ones, at the same index where possible; documents that share a value in a field
    which no other one has there, as an id; and changed ones between the same neighbours, where as many came as went.
    """
    pairs = dict(_pair_equal(old, new))
    pairs.update(_pair_alike(old, new, pairs))
    pairs.update(_pair_neighbours(len(old), len(new), pairs))
    return pairs


def _pair_equal(old: list[Any], new: list[Any]) -> Iterator[tuple[int, int]]:
    texts = [*map(text_of, new)]
    left: dict[bytes, list[int]] = defaultdict(list)
    stayed = set()
    for index, text in enumerate(map(text_of, old)):
        if index < len(texts) and texts[index] == text:
            stayed.add(index)
            yield index, index
        else:
            left[text].append(index)
    for found in left.values():
        found.reverse()
    for other, text in enumerate(texts):
        if other not in stayed and left[text]:
            yield other, left[text].pop()


def _pair_alike(old: list[Any], new: list[Any], pairs: dict[int, int]) -> Iterator[tuple[int, int]]:
    taken = set(pairs.values())
    before = _find_unique(old, (index for index in range(len(old)) if index not in taken))
    after = _find_unique(new, (other for other in range(len(new)) if other not in pairs))
    votes = Counter((after[value], before[value]) for value in after.keys() & before.keys())
    done: set[int] = set()
    for (other, index), _ in sorted(votes.items(), key=lambda vote: (-vote[1], vote[0])):
        if index not in taken and other not in done:
            taken.add(index)
            done.add(other)
            yield other, index


def _find_unique(elements: list[Any], among: Iterable[int]) -> dict[tuple[str, bytes], int]:
    """The values of fields that one element alone has, and its index."""
    found: dict[tuple[str, bytes], int] = {}
    shared = set()
    for index in among:
        element = elements[index]
        for name, value in element.items() if isinstance(element, dict) else ():
            key = (name, text_of(value))
            if key in found:
                shared.add(key)
            found[key] = index
    return {key: index for key, index in found.items() if key not in shared}


def _pair_neighbours(old_length: int, new_length: int, pairs: dict[int, int]) -> Iterator[tuple[int, int]]:
    back = {index: other for other, index in pairs.items()}
    came = dict(_find_gaps(new_length, {other: other for other in pairs}))
    for neighbours, went in _find_gaps(old_length, back):
        others = came.get(neighbours, [])
        if len(others) == len(went):
            yield from zip(others, went, strict=True)


def _find_gaps(length: int, known: dict[int, int]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """The elements that are not known, and the known ones before and after them. An array ends where it ends: -1."""
    gap: list[int] = []
    before = -1
    for index in range(length + 1):
        if index < length and index not in known:
            gap.append(index)
            continue
        after = known[index] if index < length else -1
        if gap:
            yield (before, after), gap
            gap = []
        before = after
