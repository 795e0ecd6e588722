"""Recovery codes: a Fernet key in a form that people can print, type, and read over the telephone.

Pure.

A code is 13 groups of 5 characters of Crockford's base32 (https://www.crockford.com/base32.html), which has no I, L, O
and U. Four characters of a group are 20 bits of the key, of the last one 16 bits and four zeros. The fifth is a check:
in the field of 32 elements, modulo x^5 + x^2 + 1,

    check = 2 a + 4 b + 8 c + 16 d + number of the group, counted from 1

As all five weights (the check's own is 1) are different and none is zero, any one wrong character is found, and any two
of a group that changed places; as no two groups have the same number, so is every group in the place of another.
"""

import base64
import re

from poof.errors import InvalidKeyError
from poof.keys.kdf import KEY_SIZE

GROUPS = 13
DATA_SIZE = 4
"""Characters of a group that carry the key; one more checks them."""
GROUP_SIZE = DATA_SIZE + 1
CODE_SIZE = GROUPS * GROUP_SIZE
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

_BITS = 5
_PADDING_BITS = GROUPS * DATA_SIZE * _BITS - 8 * KEY_SIZE
_POLYNOMIAL = 0b100101
_VALUES = {character: value for value, character in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_SEPARATORS = re.compile(r"[\s\-\u2010-\u2015\u2212]+")
_LEAST_SIZE = 52
"""What has fewer characters is not taken for a code with some left out."""
assert len(ALPHABET) == 1 << _BITS  # noqa: S101
assert _PADDING_BITS == 4  # noqa: S101


def recovery_code(key: bytes) -> str:
    """The code of a Fernet key in its 44-character form."""
    number = int.from_bytes(base64.urlsafe_b64decode(key), "big") << _PADDING_BITS
    values = [number >> shift & 31 for shift in range((GROUPS * DATA_SIZE - 1) * _BITS, -1, -_BITS)]
    groups = (values[start : start + DATA_SIZE] for start in range(0, len(values), DATA_SIZE))
    coded = ([*group, _check(index, group)] for index, group in enumerate(groups, start=1))
    return "-".join("".join(ALPHABET[value] for value in group) for group in coded)


def looks_like_code(text: str) -> bool:
    """Whether a text is meant to be a code, right or not: no other form of a key goes without a "="."""
    return "=" not in text and len(_SEPARATORS.sub("", text)) >= _LEAST_SIZE


def key_of_code(text: str) -> bytes:
    """The Fernet key of a code, in its 44-character form. Case, spaces and dashes do not matter, nor do O, I and L.

    Raises:
        InvalidKeyError: something in it is wrong; the message names the groups and nothing of what they hold.
    """
    parts = [part for part in _SEPARATORS.split(text.strip()) if part]
    characters = "".join(parts).upper()
    if len(characters) != CODE_SIZE:
        uneven = [number for number, part in enumerate(parts, start=1) if len(part) != GROUP_SIZE]
        where = f" Look at group {_listed(uneven)}." if len(parts) == GROUPS and uneven else ""
        raise InvalidKeyError(
            f"This recovery code has {len(characters)} characters without spaces and dashes; one has {CODE_SIZE}, in "
            f"{GROUPS} groups of {GROUP_SIZE}.{where}"
        )
    groups = [characters[start : start + GROUP_SIZE] for start in range(0, CODE_SIZE, GROUP_SIZE)]
    wrong = [number for number, group in enumerate(groups, start=1) if not _is_right(number, group)]
    if wrong:
        raise InvalidKeyError(
            f"This recovery code is mistyped in group {_listed(wrong)} of {GROUPS}, or groups have changed places."
        )
    number = 0
    for group in groups:
        for character in group[:DATA_SIZE]:
            number = number << _BITS | _VALUES[character]
    return base64.urlsafe_b64encode((number >> _PADDING_BITS).to_bytes(KEY_SIZE, "big"))


def _is_right(number: int, group: str) -> bool:
    values = [_VALUES.get(character) for character in group]
    known = [value for value in values if value is not None]
    if len(known) != GROUP_SIZE or _check(number, known[:DATA_SIZE]) != known[DATA_SIZE]:
        return False
    return number < GROUPS or not known[DATA_SIZE - 1] & (1 << _PADDING_BITS) - 1


def _check(number: int, values: list[int]) -> int:
    check = 0
    for value in reversed(values):
        check = _doubled(check ^ value)
    return check ^ number


def _doubled(value: int) -> int:
    value <<= 1
    return value ^ _POLYNOMIAL if value >> _BITS else value


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
