"""MongoDB's order of values across all types, as bytes that sort the same way.

Pure.

The key of a value is a tag and a payload. Keys stand in the file, as entries of indexes, so this is part of its format:

| tag | value | payload |
|---|---|---|
| 08 | an empty array, as what a document sorts by | none |
| 10 | null, or missing | none |
| 20 | number | the nearest double, 8 bytes; the integer less that double, plus 8000, 2 bytes |
| 28 | number, in a field of decimals | below |
| 30 | string | text |
| 40 | document | for each pair the tag of the value's type, the name as text, the key of the value; then 00 |
| 50 | array | the key of each element; then 00 |
| 60, 61 | false, true; the tag of their type is 60 | none |
| 70 | an array as a whole, beside its elements in an index | the key of the array, with its tag |

In a field of decimals a number, or text that is the numeral of one, is compared by its exact value. Its payload is 00
for minus infinity, 02 for zero, 04 for infinity. For a positive number it is 03; the exponent of its first digit, plus
2**63, 8 bytes; its digits as text, without zeros at the end; and 00. For a negative one it is 01 and the rest inverted.

Integers are big-endian. Of a double all bits are turned where it is negative, else the sign alone; 0.0 stands for -0.0.
Text is UTF-8 in which 00 became 01 01 and 01 became 01 02; then 00.

Invariants: keys are equal where values are, 1 and 1.0 being equal, and 1 and true not; no key is the beginning of
another, so keys one behind the other sort like tuples, and inverted keys sort the other way round.
"""

import re
import struct
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from poof.query.nodes import FieldKind
from poof.query.paths import MISSING

Type = Literal["null", "number", "string", "object", "array", "bool"]

EMPTY_ARRAY_KEY = b"\x08"
"""What a document sorts by that has an empty array."""
NULL_KEY = b"\x10"
_NUMBER = b"\x20"
_DECIMAL = b"\x28"
_STRING = b"\x30"
_DOCUMENT = b"\x40"
_ARRAY = b"\x50"
_FALSE = b"\x60"
_TRUE = b"\x61"
_WHOLE_ARRAY = b"\x70"
_END = b"\x00"

_TYPE_BITS = 0xF0
"""What of a tag tells the type."""
_DOUBLE = struct.Struct(">d")
_BITS = struct.Struct(">Q")
_NUMBER_KEY = struct.Struct(">cQH")
_SIGN = 1 << 63
_ALL_BITS = (1 << 64) - 1
_NO_REST = 0x8000
"""Stands for a double that is the number itself; a 64-bit integer is at most 512 away from its double."""
_NUMERAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|-?Infinity")
"""The text of a decimal."""
_MIDDLE = 1 << 63
"""Stands for the exponent 0; a decimal has no exponent of more than 19 digits."""
_INVERTED = bytes(255 - byte for byte in range(256))

assert _NUMBER_KEY.size == 1 + 8 + 2  # noqa: S101 - the table above


def type_of(value: Any) -> Type:
    """The type of a value, of those that sort apart. What is missing counts as null."""
    if value is None or value is MISSING:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "object" if isinstance(value, dict) else "array"


def encode_key(value: Any) -> bytes:
    """The key of a value: the order of keys as bytes is MongoDB's order of the values, whatever their types.

    >>> sorted([True, "a", 2.5, None], key=encode_key)
    [None, 2.5, 'a', True]
    """
    if isinstance(value, str):
        return _STRING + _encode_text(value)
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int | float):
        return _encode_number(value)
    if isinstance(value, dict):
        pairs = []
        for name, item in value.items():  # a loop: a comprehension takes one more frame of Python's stack at each level
            key = encode_key(item)
            pairs.append(bytes((key[0] & _TYPE_BITS,)) + _encode_text(name) + key)
        return _DOCUMENT + b"".join(pairs) + _END
    if isinstance(value, list):
        return _ARRAY + b"".join(map(encode_key, value)) + _END
    return NULL_KEY


def encode_decimal_key(value: Any) -> bytes:
    """The key of a value in a field of decimals: numbers, and text that is one, sort by their value.

    >>> sorted(["10", "9.5", 9.75, "x", None], key=encode_decimal_key)
    [None, '9.5', 9.75, '10', 'x']
    """
    number = read_decimal(value)
    return encode_key(value) if number is None else _encode_decimal(number)


def encoder_of(kind: FieldKind) -> Callable[[Any], bytes]:
    """The function that gives the keys of a field's values."""
    return encode_key if kind is None else encode_decimal_key


def read_decimal(value: Any) -> Decimal | None:
    """The decimal that a number is, or a text that is one; None for everything else, and for NaN."""
    if type(value) is str:
        try:
            return Decimal(value) if _NUMERAL.fullmatch(value) else None
        except InvalidOperation:  # an exponent beyond all that is possible
            return None
    if type(value) is int:
        return Decimal(value)
    if type(value) is float:
        return Decimal(repr(value))
    return value if isinstance(value, Decimal) and not value.is_nan() else None


def decode_scalar(key: bytes) -> float | str | None:
    """The number or the text that has this key; None for the keys of all other values."""
    if key.startswith(_STRING):
        return key[1:-1].replace(b"\x01\x01", b"\x00").replace(b"\x01\x02", b"\x01").decode()
    if not key.startswith(_NUMBER):
        return None
    _, bits, rest = _NUMBER_KEY.unpack(key)
    double: float = _DOUBLE.unpack(_BITS.pack(bits ^ (_SIGN if bits & _SIGN else _ALL_BITS)))[0]
    return double if rest == _NO_REST else int(double) + rest - _NO_REST


def equal(first: Any, second: Any) -> bool:
    """Whether two values are the same: numbers by their value, documents with the order of their fields."""
    if isinstance(first, dict | list):
        return (
            type(first) is type(second)
            and len(first) == len(second)
            and (first is second or encode_key(first) == encode_key(second))
        )
    return type_of(first) == type_of(second) and (first == second or type_of(first) == "null")


def whole_array_key(array: list[Any]) -> bytes:
    """The key under which an index lists a document that has this very array."""
    return _WHOLE_ARRAY + encode_key(array)


def invert(key: bytes) -> bytes:
    """The key with its order turned round, for a field that descends."""
    return key.translate(_INVERTED)


def _encode_text(text: str) -> bytes:
    encoded = text.encode()
    if b"\x00" in encoded or b"\x01" in encoded:
        encoded = encoded.replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")
    return encoded + _END


def _encode_decimal(number: Decimal) -> bytes:
    if not number:
        return _DECIMAL + b"\2"
    negative = number.is_signed()
    if number.is_infinite():
        return _DECIMAL + (b"\0" if negative else b"\4")
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    payload = (number.adjusted() + _MIDDLE).to_bytes(8) + digits.encode() + _END
    return _DECIMAL + (b"\1" + invert(payload) if negative else b"\3" + payload)


def _encode_number(number: float) -> bytes:
    double = float(number)
    rest = number - int(double) if isinstance(number, int) else 0
    bits: int = _BITS.unpack(_DOUBLE.pack(double + 0.0))[0]  # the sum turns -0.0 into 0.0
    return _NUMBER_KEY.pack(_NUMBER, bits ^ (_ALL_BITS if bits & _SIGN else _SIGN), _NO_REST + rest)
