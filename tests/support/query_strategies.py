"""Random documents and filters that meet: few names and few values, among them all that has ever been trouble.

`documents()` are plain JSON documents, `filters()` are filters as a user writes them, `paths()` the paths in them.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "c", "0", "1")
ODD_NAMES = (
    "é",
    "😀",
    "a b",
    "a[0]",
    "#",
    "#-1",
    "'",
    'q"q',
    "back\\slash",
    "\\u0061",
    "n\nl",
    "\x00",
    "\x7f",
    "_objId",
)
UNREACHABLE_NAMES = ("", "a.b", "$x", ".")
"""Names that a document may have, and a path may not."""

TEXTS: tuple[str, ...] = (
    "",
    "a",
    "b",
    "ab",
    "A",
    "é",
    "😀",
    "\uffff",
    "a\x00",
    "a\x01",
    "\x00",
    '"',
    "\\",
    "1",
    "null",
    "true",
    "[1]",
    '["a"]',
)
TEXTS += ("{", "[]", "\\u0061")
INTEGERS = (
    -5,
    -1,
    0,
    1,
    2,
    3,
    4,
    5,
    2**31 - 1,
    2**31,
    -(2**31),
    -(2**31) - 1,
    2**53 - 1,
    2**53,
    2**53 + 1,
    2**63 - 512,
    2**63 - 1,
    -(2**63),
    -(2**53) - 1,
)
REALS: tuple[float, ...] = (
    -5.0,
    -1.5,
    -0.0,
    0.0,
    0.1,
    0.5,
    1.0,
    1.5,
    2.0,
    2.0**53,
    2.0**53 + 2,
    2.0**63,
    -(2.0**63),
    1e16,
    1e300,
)
# SQLite reads the second of each pair wrongly, in one version or another: as the first.
REALS += (2.9796229222775402e-308, 2.97962292227754e-308, 5e-324, -1.7976931348623157e308, 0.30000000000000004, 0.3)
REALS += (3.5963215353039113e-05, 3.596321535303911e-05, 8.602230769052791e-05, 8.60223076905279e-05)
PATTERNS = ("", "a", "^a", "b$", "^a.*b$", "\\[", "(?i)A", "\x00")
TYPES = ("null", "number", "string", "object", "array", "bool", "int", "double", "long", 1, 2, 16, 18)

_COMPARISONS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")


def short(make: Callable[[], st.SearchStrategy[Any]]) -> Callable[[], st.SearchStrategy[Any]]:
    """The same strategy, made once and shown by its name: in full it would be pages, which Hypothesis makes often."""
    made = functools.cache(make)

    def drawn(draw: st.DrawFn) -> Any:
        return draw(made())

    drawn.__name__ = make.__name__
    return st.composite(drawn)


def names() -> st.SearchStrategy[str]:
    """Names that a path can have as a step."""
    return st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(NAMES), st.sampled_from(ODD_NAMES))


def all_names() -> st.SearchStrategy[str]:
    return st.one_of(names(), st.sampled_from(NAMES + UNREACHABLE_NAMES))


@short
def scalars() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(INTEGERS),
        st.sampled_from(REALS),
        st.sampled_from(TEXTS),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=3),
    )


@short
def values() -> st.SearchStrategy[Any]:
    """Any JSON values that a filter takes as they are, most of them small."""
    return _nested(names())


@short
def documents() -> st.SearchStrategy[dict[str, Any]]:
    nested = _nested(all_names())
    parts = st.one_of(scalars(), st.dictionaries(all_names(), nested, max_size=3))
    arrays = st.lists(st.one_of(parts, parts, st.lists(parts, max_size=2)), max_size=4)
    return st.dictionaries(all_names(), st.one_of(scalars(), nested, arrays), max_size=5)


def _nested(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
        max_leaves=5,
    )


def paths() -> st.SearchStrategy[str]:
    """Dotted paths, mostly short."""
    return st.one_of(names(), st.lists(names(), min_size=1, max_size=3).map(".".join))


@short
def filters() -> st.SearchStrategy[dict[str, Any]]:
    """Filters of all operators, nested in each other."""
    return st.recursive(st.dictionaries(paths(), conditions(), min_size=1, max_size=2), _combined, max_leaves=4)


def _combined(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    operators = st.sampled_from(("$and", "$or", "$nor"))
    logical = st.dictionaries(operators, st.lists(inner, min_size=1, max_size=3), min_size=1, max_size=2)
    elements = st.tuples(paths(), inner).map(lambda pair: {pair[0]: {"$elemMatch": pair[1]}})
    return st.one_of(logical, logical, elements)


@short
def conditions() -> st.SearchStrategy[Any]:
    """What a filter says about a field."""
    patterns = st.sampled_from(PATTERNS).map(re.compile)
    single = operators()
    negated = st.one_of(single, patterns).map(lambda operand: {"$not": operand})
    elements = single.map(lambda operand: {"$elemMatch": operand})
    several = st.tuples(single, single).map(lambda pair: {**pair[0], **pair[1]})
    return st.one_of(values(), single, single, several, negated, elements, patterns)


@short
def operators() -> st.SearchStrategy[dict[str, Any]]:
    """A dict of one operator."""
    patterns = st.sampled_from(PATTERNS).map(re.compile)
    lists = st.lists(st.one_of(values(), values(), patterns), max_size=4)
    remainders = st.tuples(st.sampled_from((-4, -1, 1, 2, 3, 4, 2**63 - 1)), st.integers(-3, 3)).map(list)
    return st.one_of(
        _operator(_COMPARISONS, values()),
        _operator(_COMPARISONS, scalars()),
        _operator(("$in", "$nin", "$all"), lists),
        _operator(("$exists",), st.booleans()),
        _operator(("$type",), st.lists(st.sampled_from(TYPES), min_size=1, max_size=2)),
        _operator(("$size",), st.integers(0, 3)),
        _operator(("$mod",), remainders),
        _operator(("$regex",), st.sampled_from(PATTERNS)),
    )


def _operator(operators: tuple[str, ...], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(st.sampled_from(operators), operands).map(lambda pair: {pair[0]: pair[1]})
