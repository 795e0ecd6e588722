"""Which paths are in each other's way, and in which order they are worked off.

Pure.

Two paths collide where they are the same or one leads into the other: then it would matter which is followed first, or
one of them would be in vain.
"""

from collections.abc import Iterable
from itertools import pairwise

from poof.query.nodes import Path
from poof.query.paths import parse_index

PathOrder = tuple[tuple[int, int, str], ...]


def path_order(path: Path) -> PathOrder:
    """What paths sort by: indexes as numbers and before names, names as text. It is the order in which MongoDB creates
    fields (manual, "Update Operators Behavior"), and a path comes right before all that lead into it.
    """
    return tuple(map(_step_order, path))


def _step_order(step: str) -> tuple[int, int, str]:
    index = parse_index(step)
    return (1, 0, step) if index is None else (0, index, "")


def find_collision(paths: Iterable[Path]) -> str | None:
    """Which paths collide, as the object of a sentence, if any do.

    >>> find_collision([("a", "b"), ("c",), ("a",)])
    "both 'a' and 'a.b' inside it"
    """
    for path, after in pairwise(sorted(paths, key=path_order)):
        if after[: len(path)] == path:
            name, inner = ".".join(path), ".".join(after)
            return f"{name!r} twice" if name == inner else f"both {name!r} and {inner!r} inside it"
    return None
