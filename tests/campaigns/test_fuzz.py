"""Fuzzed: the header, pages, the log, and filters. Nothing but the truth, or an error of ours."""

import datetime
import re
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.campaigns.test_tampering import make, read
from tests.support.faults.campaign import SEED, scaled
from tests.support.faults.fuzzing import BLOCK, SLOT, fuzz_filter, fuzz_header, fuzz_log, fuzz_page
from tests.support.query_strategies import filters

QUICK, LONG = 40, scaled(3_000)
LOOSE = list(HealthCheck)

edits = st.lists(
    st.tuples(
        st.sampled_from(["put", "insert", "delete", "copy"]),
        st.integers(0, 2**16),
        st.one_of(
            st.binary(min_size=1, max_size=40), st.sampled_from([b'"', b"{", b"}", b"\n", b"0", b"9" * 20, b",,"])
        ),
        st.integers(0, 2**16),
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, changes: list[tuple[str, int, bytes, int]]) -> bytes:
    """Some bytes after several edits."""
    for kind, where, put, source in changes:
        at, start = where % (len(data) + 1), source % (len(data) + 1)
        size = {"put": len(put), "insert": 0, "delete": len(put), "copy": 16 * len(put)}[kind]
        new = {"put": put, "insert": put, "delete": b"", "copy": data[start : start + size]}[kind]
        data = data[:at] + new + data[at + size :]
    return data


OPERATORS = ("$and", "$or", "$nor", "$not", "$in", "$nin", "$all", "$elemMatch", "$regex", "$options", "$type", "$mod")
OPERATORS += ("$size", "$exists", "$eq", "$ne", "$gt", "$lte", "$where", "$", "$expr")
NAMES = ("a", "b", "a.b", "a.0", "0", "", ".", "a.", "a..b", "\x00", "_objId", "\ud800", "a" * 2_000, "a." * 300 + "a")
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63) - 1, 2**5_000, float("nan"), float("inf"), -0.0, 1e308]),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.sampled_from(["(", "[", "(?P<a", "*", "\\", "(?i)a", "a" * 3_000, "\ud800"]),
    st.sampled_from([re.compile("a"), re.compile(b"a"), Decimal("NaN"), Decimal(1), uuid.UUID(int=1), object(), int]),
    st.sampled_from(
        [datetime.datetime.max, datetime.datetime.min, datetime.date(1, 1, 1), datetime.time(0), {1}, range(3)]
    ),
)
odd_filters = st.recursive(
    odd_values,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(OPERATORS + NAMES), inner, max_size=3),
        st.dictionaries(st.one_of(st.integers(), st.none(), st.binary(max_size=2)), inner, max_size=1),
    ),
    max_leaves=8,
)


def nested(levels: int, inside: Any) -> list[Any]:
    """The same nested in all the ways there are."""
    found = [inside] * 4
    for _ in range(levels):
        found = [
            {"$and": [found[0]]},
            {"a": {"$elemMatch": found[1]}},
            {"a": {"$not": {"$all": [found[2]]}}},
            [found[3]],
        ]
    return found


def try_all(amount: int, path: Path) -> Counter[str]:
    """As many examples of each."""
    tried: Counter[str] = Counter()
    bounded = settings(max_examples=amount, deadline=None, suppress_health_check=LOOSE, database=None)
    cluster = make(path)
    known = [documents for _, documents in cluster.states]

    @seed(SEED)
    @bounded
    @given(edits)
    def header(changes: Any) -> None:
        tried["headers"] += 1
        fuzz_header(edited(BLOCK, changes))
        fuzz_header(edited(BLOCK[: len(BLOCK) // 2], changes) * 2)

    @seed(SEED)
    @bounded
    @given(edits)
    def page(changes: Any) -> None:
        tried["pages"] += 1
        fuzz_page(edited(SLOT, changes))

    @seed(SEED)
    @settings(bounded, max_examples=max(1, amount // 3))
    @given(edits)
    def log(changes: Any) -> None:
        tried["logs"] += 1
        fuzz_log(path, cluster.main, edited(cluster.log, changes), known, read)

    @seed(SEED)
    @bounded
    @given(st.one_of(odd_filters, filters()))
    def filter_(value: Any) -> None:
        tried["filters"] += 1
        tried["filters that are valid"] += fuzz_filter(value)

    for target in (header, page, log, filter_):
        target()
    return tried


def test_what_is_fuzzed_is_refused_or_true(path: Path) -> None:
    assert try_all(QUICK, path)["filters that are valid"] > 0


@pytest.mark.campaign
def test_what_is_fuzzed_for_long_is_refused_or_true(path: Path, figures: Counter[str]) -> None:
    for name, count in try_all(LONG, path).items():
        figures[f"4 tampering: fuzzed {name}"] += count


@pytest.mark.parametrize("levels", [10, 90, 110, 900, 5_000])
def test_filters_nested_to_any_depth_are_refused_or_compiled(levels: int) -> None:
    for filter_ in nested(levels, 1) + nested(levels, {"a": 1}):
        fuzz_filter(filter_)
