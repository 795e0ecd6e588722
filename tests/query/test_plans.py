"""Which indexes a query uses, in which ranges of keys, and whether it comes sorted."""

import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from poof.query.fields import FieldOrder, parse_fields
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter
from poof.query.indexes.definition import IndexDefinition, keys_of
from poof.query.indexes.plan import EVERY_KEY, MAX_RANGES, Index, KeyRange, Plan, make_plan
from poof.query.key_rows import Rows
from poof.query.nodes import And
from poof.query.order import encode_key, invert
from tests.support.index_strategies import array_data, data, fitting_fields, in_elements, orders
from tests.support.query_strategies import values

VALUES: tuple[Any, ...] = (
    None, -1, 0, 1, 1.0, 1.5, 2, 2**53, 2**53 + 1, "", "a", "a\x00", "ab", "b", "é", {}, {"b": 1}, {"b": 2}, {"c": 0},
    [], [1], ["a"], [[1]], True, False,
)  # fmt: skip


def index(
    *fields: str | tuple[str, int],
    unique: bool = False,
    where: dict[str, Any] | None = None,
    multikey: bool = False,
    shared: bool = False,
) -> Index:
    definition = IndexDefinition(parse_fields(fields, what="index"), unique, where)
    return Index(len(fields), definition.default_name, definition, multikey or shared, shared)


def plan(wanted: dict[str, Any], *indexes: Index, sort: Any = ()) -> Plan:
    return make_plan(parse_filter(wanted), parse_fields(sort, what="sort") if sort else (), indexes)


def used(found: Plan) -> list[str]:
    """The names of the indexes in which a plan looks."""
    return [lookup.index.name for lookup in found.lookups or ()]


def is_listed(found: Plan, document: dict[str, Any]) -> bool:
    """Whether a plan finds a document among its candidates."""
    if found.lookups is None:
        return True
    for lookup in found.lookups:
        rows = keys_of(lookup.index.definition.encode())(0, document)
        if any(keys.first <= row < keys.end for keys in lookup.ranges for row in rows):
            return True
    return False


# Which index.

A, B, AB, BA = index("a"), index("b"), index("a", "b"), index("b", "a")
USES: list[tuple[dict[str, Any], list[Index], list[str]]] = [
    ({"a": 1}, [A, B], ["a_1"]),
    ({"a": None}, [A], ["a_1"]),
    ({"a": [1, 2]}, [A], ["a_1"]),
    ({"a": {"b": 1}}, [A], ["a_1"]),
    ({"a": {"$in": [1, "x"]}}, [A], ["a_1"]),
    ({"a": {"$gt": 1}}, [A], ["a_1"]),
    ({"a": {"$lte": "x"}}, [A], ["a_1"]),
    ({"a": {"$gte": None}}, [A], ["a_1"]),
    ({"a": {"$all": [1, 2]}}, [A], ["a_1"]),
    ({"a": {"$elemMatch": {"$gt": 1}}}, [A], ["a_1"]),
    ({"a": {"$elemMatch": {"b": 1}}}, [index("a.b")], ["a.b_1"]),
    ({"a.b": 1}, [A, index("a.b")], ["a.b_1"]),
    ({"$and": [{"c": 2}, {"a": 1}]}, [A], ["a_1"]),
    ({"a": 1, "b": 1}, [A, AB], ["a_1_b_1"]),
    ({"a": 1, "b": 1}, [A, B, BA], ["b_1_a_1"]),
    ({"a": 1, "b": {"$gt": 1}}, [AB], ["a_1_b_1"]),
    ({"a": {"$gt": 1}, "b": 1}, [AB, B], ["b_1"]),
    ({"b": 1}, [AB], []),
    ({"c": 1}, [A, B], []),
    ({}, [A], []),
    ({"a": {"$ne": 1}}, [A], []),
    ({"a": {"$nin": [1]}}, [A], []),
    ({"a": {"$not": {"$gt": 1}}}, [A], []),
    ({"$nor": [{"a": 1}]}, [A], []),
    ({"a": {"$exists": True}}, [A], []),
    ({"a": {"$regex": "^x"}}, [A], []),
    ({"a": {"$in": [1, re.compile("x")]}}, [A], []),
    ({"a": {"$gt": [1]}}, [A], []),
    ({"a": {"$elemMatch": {"$elemMatch": {"$gt": 1}}}}, [A], []),
    ({"a": {"$elemMatch": {"$elemMatch": {"b": 1}}}}, [index("a.b")], []),
    ({"$or": [{"a": 1}, {"b": 2}]}, [A, B], ["a_1", "b_1"]),
    ({"$or": [{"a": 1}, {"a": {"$gt": 5}}]}, [A], ["a_1", "a_1"]),
    ({"$or": [{"a": 1, "c": 1}, {"b": 2}]}, [A, B], ["a_1", "b_1"]),
    ({"$or": [{"a": 1}, {"c": 2}]}, [A, B], []),
    ({"$or": [{"a": 1}, {}]}, [A, B], []),
    ({"$or": [{"b": 1}, {"c": 1}], "a": 1}, [A, B], ["a_1"]),
    ({"$or": [{"b": 1}, {"b": 2}], "a": 1}, [AB], ["a_1_b_1"]),
    ({"$or": [{"$and": [{"a": 1}]}, {"$or": [{"b": 1}]}]}, [A, B], ["a_1", "b_1"]),
]


@pytest.mark.parametrize(("wanted", "indexes", "expected"), USES)
def test_a_query_looks_into_the_index_that_tells_most(
    wanted: dict[str, Any], indexes: list[Index], expected: list[str]
) -> None:
    assert used(plan(wanted, *indexes)) == expected


def test_a_unique_index_comes_first() -> None:
    assert used(plan({"a": 1, "b": 1}, A, index("b", unique=True))) == ["b_1"]


@pytest.mark.parametrize("wanted", [{"_objId": "x"}, {"_objId": {"$in": ["x", 1]}}, {"a": 1, "_objId": "x"}])
def test_an_id_is_found_without_an_index(wanted: dict[str, Any]) -> None:
    assert plan(wanted, A) == Plan(ids=("x",), is_sorted=True)


def test_an_id_that_is_no_text_is_nowhere() -> None:
    assert plan({"_objId": 1}).ids == ()


def test_a_list_that_is_too_long_uses_no_index() -> None:
    assert used(plan({"a": {"$in": [*range(MAX_RANGES)]}}, A)) == ["a_1"]
    assert used(plan({"a": {"$in": [*range(MAX_RANGES + 1)]}}, A)) == []


def test_two_lists_are_multiplied_only_as_far_as_the_ranges_go() -> None:
    wanted = {"a": {"$in": [*range(100)]}, "b": {"$in": [*range(100)]}}
    (lookup,) = plan(wanted, AB).lookups or ()
    assert len(lookup.ranges) == 100
    (lookup,) = plan({**wanted, "b": {"$in": [1, 2]}}, AB).lookups or ()
    assert len(lookup.ranges) == 200


# Ranges.


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("operator", ["$eq", "$gt", "$gte", "$lt", "$lte"])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_range_holds_what_matches_and_nothing_of_another_type(operator: str, value: Any, direction: int) -> None:
    wanted = {"a": {operator: value}}
    found = plan(wanted, index(("a", direction), multikey=True))
    for other in VALUES:
        document = {"a": other}
        listed = is_listed(found, document)
        if matches(parse_filter(wanted), document):
            assert listed
        elif found.lookups is not None and not isinstance(other, list):
            assert not listed or encode_key(other) == encode_key(value)  # the end of a range that is open there


def test_a_missing_field_is_listed_as_null() -> None:
    assert is_listed(plan({"a": None}, A), {})
    assert is_listed(plan({"a": {"$in": [None]}}, index(("a", -1))), {})
    assert is_listed(plan({"a.b": None}, index("a.b")), {"a": 1})


def test_one_and_true_are_apart() -> None:
    assert not is_listed(plan({"a": 1}, A), {"a": True})
    assert not is_listed(plan({"a": {"$in": [True]}}, A), {"a": 1})
    assert is_listed(plan({"a": 1}, A), {"a": 1.0})


@pytest.mark.parametrize("direction", [1, -1])
def test_bounds_of_one_field_meet(direction: int) -> None:
    found = plan({"a": {"$gt": 1, "$lte": 5}}, index(("a", direction)))
    assert [value for value in range(9) if is_listed(found, {"a": value})] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "wanted",
    [{"a": {"$gt": 5, "$lt": "x"}}, {"a": {"$gt": 5, "$lt": 4}}, {"$and": [{"a": 1}, {"a": 2}]}, {"a": {"$in": []}}],
)
def test_bounds_that_do_not_meet_list_nothing(wanted: dict[str, Any]) -> None:
    (lookup,) = plan(wanted, A).lookups or ()
    assert lookup.ranges == ()


MULTIKEY: list[dict[str, Any]] = [
    {"a": {"$gt": 4, "$lt": 6}},
    {"$and": [{"a": 3}, {"a": 7}]},
    {"a": {"$all": [3, 7]}},
    {"a": {"$gt": 5, "$in": [3]}},
    {"a": {"$elemMatch": {"$eq": 3}, "$eq": 7}},
]


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("wanted", MULTIKEY)
def test_bounds_do_not_meet_where_elements_may_meet_them_one_by_one(wanted: dict[str, Any], direction: int) -> None:
    assert matches(parse_filter(wanted), {"a": [3, 7]})
    assert is_listed(plan(wanted, index(("a", direction), multikey=True)), {"a": [3, 7]})


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("second", [1, -1])
def test_a_compound_index_is_looked_up_by_its_first_fields(direction: int, second: int) -> None:
    both = index(("a", direction), ("b", second))
    documents = [{"a": a, "b": b} for a in range(3) for b in range(3)]
    found = plan({"a": 1, "b": {"$gte": 1}}, both)
    assert [one for one in documents if is_listed(found, one)] == [{"a": 1, "b": 1}, {"a": 1, "b": 2}]
    found = plan({"a": 1}, both)
    assert [one for one in documents if is_listed(found, one)] == [{"a": 1, "b": b} for b in range(3)]
    found = plan({"a": {"$gt": 1}, "b": 1}, both)  # behind a range there is no looking further
    assert [one for one in documents if is_listed(found, one)] == [{"a": a, "b": b} for a in (1, 2) for b in range(3)]


# Positions, and arrays that fields share.

POSITION, SHARED = index("a.0", multikey=True), index("a.x", "a.y", shared=True)
NESTED = index("a.b.x", "a.b.y", shared=True)
LOOKED_UP: list[tuple[dict[str, Any], Index, list[Any] | None]] = [
    ({"a.0": 1}, POSITION, [1]),
    ({"a.0": None}, POSITION, None),
    ({"a.0": None}, index("a.0"), [None]),
    ({"a.0": {"$in": [1, None]}}, POSITION, None),
    ({"a.0": {"$elemMatch": {"$gt": 1}}}, POSITION, None),
    ({"a": {"$elemMatch": {"0": 1}}}, POSITION, None),
    ({"a": {"$elemMatch": {"x": None}}}, SHARED, None),
    ({"a.x": 1, "a.y": 2}, SHARED, [1]),
    ({"a.x": 1, "a.y": 2}, index("a.x", "a.y", multikey=True), [1, 2]),
    ({"a": {"$elemMatch": {"x": 1, "y": 2}}}, SHARED, [1, 2]),
    ({"a": {"$elemMatch": {"x": {"$in": [1, 5]}, "y": {"$gt": 2}}}, "a.x": 7}, SHARED, [1, 2]),
    ({"$and": [{"a": {"$elemMatch": {"x": 1}}}, {"a": {"$elemMatch": {"y": 2}}}]}, SHARED, [1]),
    ({"a": {"$elemMatch": {"x": 1}}, "a.y": 2}, SHARED, [1]),
    ({"a": {"$elemMatch": {"b.x": 1, "b.y": 2}}}, NESTED, [1]),
    ({"a.b": {"$elemMatch": {"x": 1, "y": 2}}}, NESTED, [1, 2]),
    ({"a": {"$elemMatch": {"b": {"$elemMatch": {"x": 1, "y": 2}}}}}, NESTED, [1, 2]),
    ({"a": {"$elemMatch": {"b.x": 1, "z": 2}}}, index("a.b.x", "a.z", shared=True), [1, 2]),
    ({"a": {"$elemMatch": {"x": 1}}, "b": 2}, index("a.x", "b", "a.y", shared=True), [1, 2]),
]


@pytest.mark.parametrize(("wanted", "one", "values"), LOOKED_UP)
def test_conditions_meet_in_one_key_only_where_one_element_must_meet_them(
    wanted: dict[str, Any], one: Index, values: list[Any] | None
) -> None:
    lookups = plan(wanted, one).lookups
    if values is None:
        assert lookups is None
    else:
        assert lookups is not None
        assert lookups[0].ranges[0].first == b"".join(map(encode_key, values))


# Sorts.

SORTS: list[tuple[dict[str, Any], Any, Index, str, bool]] = [
    ({}, "a", A, "forward", True),
    ({}, [("a", -1)], A, "backward", True),
    ({}, "a", index(("a", -1)), "backward", True),
    ({}, "b", A, "insertion", False),
    ({}, ["a", "b"], AB, "forward", True),
    ({}, [("a", -1), ("b", -1)], AB, "backward", True),
    ({}, [("a", 1), ("b", -1)], AB, "insertion", False),
    ({}, [("a", 1), ("b", -1)], index("a", ("b", -1)), "forward", True),
    ({}, [("a", -1), ("b", 1)], index("a", ("b", -1)), "backward", True),
    ({}, "a", AB, "insertion", False),
    ({}, ["a", "b"], A, "insertion", False),
    ({"a": 1}, "a", A, "insertion", True),
    ({"a": 1}, "b", AB, "forward", True),
    ({"a": 1}, [("b", -1)], AB, "backward", True),
    ({"a": 1}, ["a", "b"], AB, "forward", True),
    ({"a": 1}, ["b", "a"], AB, "forward", True),
    ({"a": 1}, "b", index("a", "b", "c"), "insertion", False),
    ({"a": 1, "b": 2}, "c", index("a", "b", "c"), "forward", True),
    ({"a": {"$gt": 1}}, "a", A, "forward", True),
    ({"a": {"$gt": 1}}, "b", AB, "insertion", False),
    ({"a": {"$in": [1, 2]}}, "a", A, "insertion", False),
    ({"a": {"$in": [1]}}, "b", AB, "forward", True),
    ({}, "a", index("a", multikey=True), "insertion", False),
    ({"a": 1}, "b", index("a", "b", multikey=True), "insertion", False),
    ({"a": 1}, "a", index("a", multikey=True), "insertion", False),
    ({}, "a", index("a", where={"b": 1}), "insertion", False),
    ({"b": 1}, "a", index("a", where={"b": 1}), "forward", True),
    ({"$or": [{"a": 1}, {"a": 2}]}, "a", A, "forward", True),
    ({"_objId": "x"}, "a", A, "insertion", False),
]


@pytest.mark.parametrize(("wanted", "sort", "one", "order", "is_sorted"), SORTS)
def test_an_index_sorts_where_its_order_is_the_sort(
    wanted: dict[str, Any], sort: Any, one: Index, order: str, is_sorted: bool
) -> None:
    found = plan(wanted, one, sort=sort)
    assert (found.order, found.is_sorted) == (order, is_sorted)


def test_an_index_that_only_sorts_is_read_as_a_whole() -> None:
    (lookup,) = plan({"c": 1}, A, sort="a").lookups or ()
    assert lookup.ranges == (EVERY_KEY,)


def test_without_a_sort_documents_come_as_inserted() -> None:
    assert plan({"a": {"$gt": 1}}, A).order == "insertion"


# Partial indexes.

PARTIAL: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"b": 1}, {"a": 1, "b": 1}, True),
    ({"b": 1}, {"$and": [{"b": 1}, {"a": 1}]}, True),
    ({"b": 1, "c": 2}, {"a": 1, "c": 2, "b": 1}, True),
    ({}, {"a": 1}, True),
    ({"b": {"$gt": 1}}, {"a": 1, "b": {"$gt": 1, "$lt": 3}}, True),
    ({"$or": [{"b": 1}, {"c": 1}]}, {"a": 1, "$or": [{"b": 1}, {"c": 1}]}, True),
    ({"b": {"$not": {"$gt": 1}}}, {"a": 1, "b": {"$not": {"$gt": 1}}}, True),
    ({"b": {"$regex": "x"}}, {"a": 1, "b": re.compile("x")}, True),
    ({"b": {"$elemMatch": {"c": 1}}}, {"a": 1, "b": {"$elemMatch": {"c": 1}}}, True),
    ({"b": 1}, {"a": 1}, False),
    ({"b": 1, "c": 2}, {"a": 1, "b": 1}, False),
    ({"b": 1}, {"a": 1, "b": True}, False),
    ({"b": True}, {"a": 1, "b": 1}, False),
    ({"b": [1]}, {"a": 1, "b": [True]}, False),
    ({"b": {"c": 1, "d": 2}}, {"a": 1, "b": {"d": 2, "c": 1}}, False),
    ({"b": {"$in": [1]}}, {"a": 1, "b": {"$in": [True]}}, False),
    ({"b": 1}, {"$or": [{"a": 1, "b": 1}, {"a": 2}]}, False),
    ({"b": 1}, {"a": 1, "$nor": [{"b": 1}]}, False),
    ({"b": 1}, {"a": 1, "b": {"$elemMatch": {"$eq": 1}}}, False),
    ({"b": {"$size": 1}}, {"a": 1, "b": {"$elemMatch": {"$size": 1}}}, False),
    ({"b.c": 1}, {"a": 1, "b": {"$elemMatch": {"$elemMatch": {"c": 1}}}}, False),
    ({"b": {"$regex": "x" * 300 + "y"}}, {"a": 1, "b": re.compile("x" * 300 + "z")}, False),
    ({"b": {"$regex": "x"}}, {"a": 1, "b": re.compile("x", re.IGNORECASE)}, False),
]


@pytest.mark.parametrize(("listed", "wanted", "is_used"), PARTIAL)
def test_a_partial_index_serves_queries_that_ask_for_as_much(
    listed: dict[str, Any], wanted: dict[str, Any], is_used: bool
) -> None:
    assert bool(used(plan(wanted, index("a", where=listed)))) is is_used


def test_a_partial_index_serves_an_alternative_that_asks_for_as_much() -> None:
    partial = index("a", where={"b": 1})
    assert used(plan({"$or": [{"a": 1, "b": 1}, {"b": 2}]}, partial, B)) == ["a_1", "b_1"]
    assert used(plan({"b": 1, "$or": [{"a": 1}, {"a": 2}]}, partial)) == ["a_1", "a_1"]
    assert used(plan({"$or": [{"a": 1, "b": 1}, {"a": 2}]}, partial)) == []


# What is left to check.

SETTLED: list[tuple[dict[str, Any], Index, list[dict[str, Any]]]] = [
    ({"a": 1}, A, []),
    ({"a": None}, A, []),
    ({"a": {"$in": [1, 2]}, "c": 1}, A, [{"c": 1}]),
    ({"a": 1, "b": {"$gt": 1}}, AB, [{"b": {"$gt": 1}}]),
    ({"a": 1}, index("a", multikey=True), []),
    ({"a.b": 1}, index("a.b", multikey=True), []),
]
UNSETTLED: list[tuple[dict[str, Any], Index]] = [
    ({"a": [1]}, A),
    ({"a": {"$gt": 1}}, A),
    ({"a": None}, index("a", multikey=True)),
    ({"a": [1]}, index("a", multikey=True)),
    ({"a.0": 1}, index("a.0", multikey=True)),
    ({"$and": [{"a": 1}, {"a": 2}]}, index("a", multikey=True)),
    ({"$and": [{"a": {"$in": [1, 2]}}, {"a": None}]}, index("a", multikey=True)),
    ({"a": {"$elemMatch": {"$eq": 1}, "$eq": 5}}, index("a", multikey=True)),
]


@pytest.mark.parametrize(("wanted", "one", "rest"), SETTLED)
def test_what_the_keys_say_is_not_checked_again(wanted: dict[str, Any], one: Index, rest: list[dict[str, Any]]) -> None:
    assert plan(wanted, one).rest == And(tuple(map(parse_filter, rest)))


@pytest.mark.parametrize(("wanted", "one"), UNSETTLED)
def test_what_the_keys_do_not_say_is_checked(wanted: dict[str, Any], one: Index) -> None:
    found = plan(wanted, one)
    assert used(found)
    everything = parse_filter(wanted)
    for document in ({"a": 1}, {"a": 5}, {"a": [1, 5]}, {"a": [1, 2]}, {"a": []}, {"a": [[1]]}, {"a": [2, None]}, {}):
        assert found.rest is not None
        assert matches(found.rest, document) == matches(everything, document)


# Ranges of keys.


@given(values(), values(), values(), values(), values(), st.booleans())
def test_common_keys_are_those_in_both(
    first: Any, end: Any, other: Any, other_end: Any, value: Any, turn: bool
) -> None:
    one, two = KeyRange(*sorted(map(encode_key, (first, end)))), KeyRange(*sorted(map(encode_key, (other, other_end))))
    key = encode_key(value)
    if turn:
        one, two, key = one.inverted(), two.inverted(), invert(key)
    common = one.common(two)
    is_in_both = one.first <= key < one.end and two.first <= key < two.end
    assert is_in_both == (common is not None and common.first <= key < common.end)


@given(values(), values())
def test_a_point_holds_one_value(value: Any, other: Any) -> None:
    key, other_key = encode_key(value), encode_key(other)
    point = KeyRange(key, key)
    for keys, found in ((point, other_key), (point.inverted(), invert(other_key))):
        assert (keys.first <= found < keys.end) == (key == other_key)


# Any of them.


FOUND = st.lists(array_data() | data(), min_size=1, max_size=4)


def check_plan(found: list[dict[str, Any]], fields: tuple[FieldOrder, ...], drawn: st.DataObject) -> None:
    listings = [Rows(fields).listing(document) for document in found]
    found = [document for document, listing in zip(found, listings, strict=True) if listing.parallel is None]
    assume(found)
    one = Index(
        1,
        "one",
        IndexDefinition(fields),
        any(listing.multikey for listing in listings),
        any(listing.shared for listing in listings),
    )
    for wanted in drawn.draw(st.lists(fitting_fields(found, fields) | in_elements(), min_size=1, max_size=4)):
        looked_up = plan(wanted, one)
        fits = [document for document in found if matches(parse_filter(wanted), document)]
        assert all(is_listed(looked_up, document) for document in fits), wanted


@given(found=FOUND, fields=orders(3), drawn=st.data())
@settings(deadline=None, max_examples=100)
def test_a_plan_finds_every_document_that_matches(
    found: list[dict[str, Any]], fields: tuple[FieldOrder, ...], drawn: st.DataObject
) -> None:
    check_plan(found, fields, drawn)


@pytest.mark.campaign
@given(found=FOUND, fields=orders(3), drawn=st.data())
@settings(deadline=None, max_examples=5_000)
def test_a_plan_finds_every_document_that_matches_in_many_examples(
    found: list[dict[str, Any]], fields: tuple[FieldOrder, ...], drawn: st.DataObject
) -> None:
    check_plan(found, fields, drawn)
