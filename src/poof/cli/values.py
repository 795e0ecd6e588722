"""Values as text: in JSON for programs, in words for people.

Pure.

Invariant: nothing from a file reaches a terminal as a control character.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Record = Mapping[str, Any]

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
"""Characters that a terminal may obey, or that turn the direction of text."""


def to_json(value: Any) -> str:
    """JSON in one line, with control characters escaped."""
    return escaped(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    """What is in results and not in JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def escaped(text: str) -> str:
    """Text that no terminal obeys."""
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def amount(done: int, total: int, unit: str) -> str:
    """How much is done, in words."""
    if unit == "bytes":
        return f"{size(done)} of {size(total)}" if total else size(done)
    if not total:
        return f"{done:,} {unit}" if done else ""
    return f"{done:,} of {total:,} {unit}"


def size(number: int) -> str:
    """Bytes, as people read them."""
    if number < 1024:
        return f"{number:,} bytes"
    larger = number / 1024
    for unit in ("KiB", "MiB"):
        if larger < 1024:
            return f"{larger:.1f} {unit}"
        larger /= 1024
    return f"{larger:,.1f} GiB"


def day(moment: datetime | None) -> str:
    """A moment, as people read it."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def plural(number: int, noun: str) -> str:
    """`1 document`, `2 documents`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
