"""Ids of documents: 12 to 26 random characters, and many of them in little memory.

Pure.
"""

import bisect
import itertools
import operator
import re
import secrets
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeGuard, overload

OBJECT_ID = "_objId"
"""What the id of a document is called in filters, in data and in exports."""
MIN_ID_LENGTH = 12
MAX_ID_LENGTH = 26
OBJECT_ID_PATTERN = rf"^[!-~]{{{MIN_ID_LENGTH},{MAX_ID_LENGTH}}}$"
"""Of every id: visible ASCII characters. PoofDB makes ids of letters and digits; others come from callers and files."""

_ALPHABET = (string.ascii_uppercase + string.ascii_lowercase + string.digits).encode()
_LENGTHS = MAX_ID_LENGTH - MIN_ID_LENGTH + 1
# Each random byte below 248 stands for one of the 62 characters, four bytes for each; the others are dropped.
_UNBIASED = len(_ALPHABET) * (256 // len(_ALPHABET))
_CHARACTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
_BIASED_BYTES = bytes(range(_UNBIASED, 256))
_RANDOM_SIZE = 1 + MAX_ID_LENGTH + 13
_SHOWN_IDS = 3
_is_match = re.compile(OBJECT_ID_PATTERN).fullmatch


def new_object_id() -> str:
    """12 to 26 random characters of A-Z a-z 0-9: at least 71 bits of the system's randomness."""
    while True:
        random = secrets.token_bytes(_RANDOM_SIZE)
        length = MIN_ID_LENGTH + random[0] % _LENGTHS
        characters = random[1:].translate(_CHARACTERS, _BIASED_BYTES)
        if len(characters) >= length:
            return characters[:length].decode()


class ObjectIds(Sequence[str]):
    """Many ids, in a quarter of the memory that a list of them takes. It reads like a list."""

    def __init__(self, batches: Sequence[tuple[bytes, int]] = ()) -> None:
        """Of batches that `pack` made, each with the number of its ids."""
        self._batches = [batch for batch, _ in batches]
        self._ends = list(itertools.accumulate(count for _, count in batches))
        self._unpacked: tuple[int, list[str]] = (-1, [])
        """The batch that was last looked into, and its ids: the next look is most often into the same one."""

    @staticmethod
    def pack(ids: Iterable[str]) -> bytes:
        """A batch of ids."""
        return " ".join(ids).encode()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        numbers = range(len(self))[index]
        return self._at(numbers) if isinstance(numbers, int) else [self._at(number) for number in numbers]

    def __iter__(self) -> Iterator[str]:
        for batch in self._batches:
            yield from batch.decode().split()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ObjectIds | list):
            return len(self) == len(other) and all(map(operator.eq, self, other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment] # like a list

    def __repr__(self) -> str:
        shown = ", ".join([*self[:_SHOWN_IDS], *(["..."] if len(self) > _SHOWN_IDS else [])])
        return f"<{len(self)} ids: {shown}>" if shown else "<0 ids>"

    def _at(self, number: int) -> str:
        index = bisect.bisect_right(self._ends, number)
        last, ids = self._unpacked
        if index != last:
            ids = self._batches[index].decode().split()
            self._unpacked = index, ids
        return ids[number - self._ends[index]]


def is_object_id(value: object) -> TypeGuard[str]:
    """Whether a document may have this id. It may be any object that a caller passes for one."""
    return isinstance(value, str) and _is_match(value) is not None
