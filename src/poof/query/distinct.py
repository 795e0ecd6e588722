"""The different values at a path in some documents. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from poof.query.fields import FieldOrder
from poof.query.order import encoder_of
from poof.query.paths import MISSING, values_at


def distinct_values(field: FieldOrder, documents: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Returns the different values of a field, in the order of sorts; of an array, its elements.

    Of values that are equal, as 1 and 1.0 are, it returns the first.
    """
    encode = encoder_of(field.kind)
    found: dict[bytes, Any] = {}
    for data in documents:
        for value in values_at(data, field.path):
            for item in value if isinstance(value, list) else [value]:
                if item is not MISSING:
                    found.setdefault(encode(item), item)
    return [found[key] for key in sorted(found)]
