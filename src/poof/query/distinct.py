"""The different values at a path in some documents. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from poof.query.nodes import Path
from poof.query.order import encode_key
from poof.query.paths import MISSING, values_at


def distinct_values(path: Path, documents: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Returns the different values at a path, in the order of sorts; of an array, its elements.

    Of values that are equal, as 1 and 1.0 are, it returns the first.
    """
    found: dict[bytes, Any] = {}
    for data in documents:
        for value in values_at(data, path):
            for item in value if isinstance(value, list) else [value]:
                if item is not MISSING:
                    found.setdefault(encode_key(item), item)
    return [found[key] for key in sorted(found)]
