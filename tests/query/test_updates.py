"""What each operator of an update makes of a document: MongoDB's rules, one case each."""

import copy
import datetime
import decimal
import enum
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poof import InvalidQueryError, UpdateError
from poof.query.paths import parse_path, values_at
from poof.query.updates.update import parse_update, same

NOW = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC)
BIG = 2**63 - 1


class Color(enum.Enum):
    RED = "red"


def updated(document, update, **options):
    """The text of the new document: types and the order of fields count."""
    before = copy.deepcopy(document)
    result = parse_update(update).apply(document, now=NOW, **options)
    assert repr(document) == repr(before)
    return repr(result)


# document, update, what becomes of it
UPDATES = {
    "$set a new field": ({"a": 1}, {"$set": {"b": 2}}, {"a": 1, "b": 2}),
    "$set a field in its place": ({"a": 1, "b": 2}, {"$set": {"a": "x"}}, {"a": "x", "b": 2}),
    "$set null": ({"a": 1}, {"$set": {"a": None}}, {"a": None}),
    "$set a field inside": ({"a": {"b": 1, "c": 2}}, {"$set": {"a.b": 3}}, {"a": {"b": 3, "c": 2}}),
    "$set makes documents": ({}, {"$set": {"a.b.c": 1}}, {"a": {"b": {"c": 1}}}),
    "$set replaces a document whole": ({"a": {"b": 1}}, {"$set": {"a": {"c": 2}}}, {"a": {"c": 2}}),
    "$set an element": ({"a": [1, 2]}, {"$set": {"a.1": 3}}, {"a": [1, 3]}),
    "$set the next element": ({"a": [1]}, {"$set": {"a.1": 3}}, {"a": [1, 3]}),
    "$set pads an array": ({"a": []}, {"$set": {"a.3": 1}}, {"a": [None, None, None, 1]}),
    "$set in a padded element": ({"a": [0]}, {"$set": {"a.2.b": 1}}, {"a": [0, None, {"b": 1}]}),
    "$set in an element": ({"a": [{"b": 1}, {"b": 2}]}, {"$set": {"a.1.b": 3}}, {"a": [{"b": 1}, {"b": 3}]}),
    "$set in arrays in arrays": ({"a": [[1, 2]]}, {"$set": {"a.0.1": 3}}, {"a": [[1, 3]]}),
    "$set an index makes a key of a document": ({}, {"$set": {"a.0": 1}}, {"a": {"0": 1}}),
    "$set an index is a key of a document": ({"a": {"0": 1}}, {"$set": {"a.0": 2}}, {"a": {"0": 2}}),
    "$set takes an odd name": ({}, {"$set": {"odd key": 1, "a$": 2}}, {"a$": 2, "odd key": 1}),
    "$set a document with names that look like operators": ({}, {"$set": {"a": {"$inc": 1}}}, {"a": {"$inc": 1}}),
    "$set rich values": (
        {},
        {"$set": {"a": Color.RED, "b": decimal.Decimal("1.50"), "c": (1, 2), "d": NOW}},
        {"a": "red", "b": "1.50", "c": [1, 2], "d": "2024-02-29T12:30:00.000000Z"},
    ),
    "$unset": ({"a": 1, "b": 2}, {"$unset": {"a": ""}}, {"b": 2}),
    "$unset whatever its operand": ({"a": 1, "b": 2}, {"$unset": {"a": None, "b": object()}}, {}),
    "$unset null": ({"a": None}, {"$unset": {"a": 1}}, {}),
    "$unset inside": ({"a": {"b": 1}}, {"$unset": {"a.b": ""}}, {"a": {}}),
    "$unset an element leaves null": ({"a": [1, 2, 3]}, {"$unset": {"a.1": ""}}, {"a": [1, None, 3]}),
    "$unset in an element": ({"a": [{"b": 1}]}, {"$unset": {"a.0.b": ""}}, {"a": [{}]}),
    "$unset nothing creates nothing": ({"a": 1}, {"$unset": {"b": "", "c.d.e": ""}}, {"a": 1}),
    "$unset beyond an array": ({"a": [1]}, {"$unset": {"a.5": ""}}, {"a": [1]}),
    "$unset in a number": ({"a": 1}, {"$unset": {"a.b": ""}}, {"a": 1}),
    "$unset a name in an array": ({"a": [{"b": 1}]}, {"$unset": {"a.b": ""}}, {"a": [{"b": 1}]}),
    "$inc": ({"a": 1}, {"$inc": {"a": 2}}, {"a": 3}),
    "$inc down": ({"a": 1}, {"$inc": {"a": -2}}, {"a": -1}),
    "$inc by a fraction": ({"a": 1}, {"$inc": {"a": 0.5}}, {"a": 1.5}),
    "$inc a float stays one": ({"a": 1.0}, {"$inc": {"a": 1}}, {"a": 2.0}),
    "$inc to the largest integer": ({"a": BIG - 1}, {"$inc": {"a": 1}}, {"a": BIG}),
    "$inc what is missing": ({}, {"$inc": {"a": 5, "b.c": 0.5}}, {"a": 5, "b": {"c": 0.5}}),
    "$inc an element": ({"a": [1, 2]}, {"$inc": {"a.1": 1}}, {"a": [1, 3]}),
    "$inc a field and an index": ({"a": {"0": 1}}, {"$inc": {"a.0": 1}}, {"a": {"0": 2}}),
    "$mul": ({"a": 3}, {"$mul": {"a": 2}}, {"a": 6}),
    "$mul by a fraction": ({"a": 3}, {"$mul": {"a": 0.5}}, {"a": 1.5}),
    "$mul what is missing": ({}, {"$mul": {"a": 5, "b": 2.5}}, {"a": 0, "b": 0.0}),
    "$min less": ({"a": 5}, {"$min": {"a": 3}}, {"a": 3}),
    "$min greater": ({"a": 5}, {"$min": {"a": 7}}, {"a": 5}),
    "$min equal keeps the value": ({"a": 1}, {"$min": {"a": 1.0}}, {"a": 1}),
    "$min of what is missing": ({}, {"$min": {"a": 3}}, {"a": 3}),
    "$min across types": ({"a": "x"}, {"$min": {"a": 9}}, {"a": 9}),
    "$min null stays": ({"a": None}, {"$min": {"a": 9}}, {"a": None}),
    "$max greater": ({"a": 5}, {"$max": {"a": 7}}, {"a": 7}),
    "$max less": ({"a": 5}, {"$max": {"a": 3}}, {"a": 5}),
    "$max of what is missing": ({}, {"$max": {"a": None}}, {"a": None}),
    "$max text over a number": ({"a": 5}, {"$max": {"a": "x"}}, {"a": "x"}),
    "$max true over an array": ({"a": [5]}, {"$max": {"a": True}}, {"a": True}),
    "$max number under text": ({"a": "x"}, {"$max": {"a": 99}}, {"a": "x"}),
    "$max of dates": ({"a": "2023-01-01T00:00:00.000000Z"}, {"$max": {"a": NOW}}, {"a": "2024-02-29T12:30:00.000000Z"}),
    "$rename": ({"a": 1, "b": 2}, {"$rename": {"a": "c"}}, {"b": 2, "c": 1}),
    "$rename over a field": ({"a": 1, "b": 2}, {"$rename": {"a": "b"}}, {"b": 1}),
    "$rename out of a document": ({"a": {"b": 1, "c": 2}}, {"$rename": {"a.b": "d"}}, {"a": {"c": 2}, "d": 1}),
    "$rename into a new document": ({"a": 1}, {"$rename": {"a": "b.c"}}, {"b": {"c": 1}}),
    "$rename inside a document": ({"a": {"b": 1}}, {"$rename": {"a.b": "a.c"}}, {"a": {"c": 1}}),
    "$rename an array": ({"a": [1]}, {"$rename": {"a": "b"}}, {"b": [1]}),
    "$rename over an array": ({"a": 1, "b": [1]}, {"$rename": {"a": "b"}}, {"b": 1}),
    "$rename nothing": ({"b": 2}, {"$rename": {"a": "b", "c.d": "e"}}, {"b": 2}),
    "$currentDate": ({"a": 1}, {"$currentDate": {"a": True}}, {"a": "2024-02-29T12:30:00.000000Z"}),
    "$currentDate as a date": ({}, {"$currentDate": {"a": {"$type": "date"}}}, {"a": "2024-02-29T12:30:00.000000Z"}),
    "$currentDate as a timestamp": (
        {},
        {"$currentDate": {"a.b": {"$type": "timestamp"}}},
        {"a": {"b": "2024-02-29T12:30:00.000000Z"}},
    ),
    "$setOnInsert of a document that is there": ({"a": 1}, {"$setOnInsert": {"a": 2, "b.c": 3}}, {"a": 1}),
    "$setOnInsert where it could not be": ({"a": 1}, {"$setOnInsert": {"a.b": 2}}, {"a": 1}),
    "several operators": (
        {"a": 1, "b": 2, "c": 3, "d": 4},
        {"$set": {"a": 0}, "$inc": {"b": 1}, "$unset": {"c": ""}, "$rename": {"d": "e"}},
        {"a": 0, "b": 3, "e": 4},
    ),
    "neighbours": ({"a": {"b": 1}}, {"$set": {"a.c": 2}, "$inc": {"a.b": 1}}, {"a": {"b": 2, "c": 2}}),
    "names that only begin alike": ({}, {"$set": {"ab": 1, "a.b": 2, "a.bc": 3}}, {"a": {"b": 2, "bc": 3}, "ab": 1}),
    "new fields in the order of their names": (
        {},
        {"$set": {"b": 1, "10": 2, "9": 3, "a": 4}},
        {"9": 3, "10": 2, "a": 4, "b": 1},
    ),
    "no fields": ({"a": 1}, {"$set": {}, "$inc": {}}, {"a": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("document", "update", "result"), UPDATES.values(), ids=UPDATES)
def test_an_update_makes_a_new_document(document, update, result):
    assert updated(document, update) == repr(result)


@pytest.mark.parametrize(
    ("document", "update", "says"),
    [
        ({"a": 12}, {"$set": {"a.b": 1}}, "$set of the field 'a.b' cannot be reached: 'a' holds a number"),
        ({"a": None}, {"$set": {"a.b": 1}}, "'a' holds null"),
        ({"a": "x"}, {"$set": {"a.b.c": 1}}, "'a' holds text"),
        ({"a": {"b": True}}, {"$set": {"a.b.c": 1}}, "'a.b' holds true or false"),
        ({"a": [None]}, {"$set": {"a.0.b": 1}}, "'a.0' holds null"),
        ({"a": []}, {"$set": {"a.f": 1}}, "'a' is an array, whose elements are named by their indexes"),
        ({"a": [{"b": 1}]}, {"$set": {"a.b": 1}}, "'a' is an array"),
        ({"a": [1]}, {"$set": {"a.00": 1}}, "'a' is an array"),
        ({"a": [1]}, {"$set": {"a.-1": 1}}, "'a' is an array"),
        ({"a": [1]}, {"$set": {"a.100002": 1}}, "lies more than 100,000 elements beyond the end of the array"),
        ({"a": [1]}, {"$set": {"a.999999999": 1}}, "lies more than 100,000"),
        ({"a": [1]}, {"$push": {"a.999999.b": 1}}, "lies more than 100,000"),
        *[
            ({"a": value}, {operator: {"a": 1}},
             f"{operator} of the field 'a' takes a number, and the document holds {kind} there")
            for operator in ("$inc", "$mul")
            for value, kind in [
                (None, "null"), (True, "true or false"), ("1", "text"), ([1], "an array"), ({"b": 1}, "a document"),
            ]
        ],
        ({"a": BIG}, {"$inc": {"a": 1}}, "$inc of the field 'a' leads to an integer beyond 64 bits"),
        ({"a": -BIG}, {"$inc": {"a": -2}}, "leads to an integer beyond 64 bits"),
        ({"a": 2**40}, {"$mul": {"a": 2**40}}, "$mul of the field 'a' leads to an integer beyond 64 bits"),
        ({"a": 1.7e308}, {"$inc": {"a": 1.7e308}}, "leads to a number beyond what a float can hold"),
        ({"a": 1e300}, {"$mul": {"a": -1e300}}, "leads to a number beyond what a float can hold"),
        ({"a": 1}, {"$max": {"a.b": 1}}, "$max of the field 'a.b' cannot be reached"),
        ({"a": 1}, {"$currentDate": {"a.b": True}}, "$currentDate of the field 'a.b' cannot be reached"),
        ({"a": [1]}, {"$rename": {"a.0": "b"}}, "$rename of the field 'a.0' cannot move what is in an array"),
        ({"a": [{"b": 1}]}, {"$rename": {"a.0.b": "c"}}, "cannot move what is in an array, and 'a' is one"),
        ({"a": [{"b": 1}]}, {"$rename": {"a.b": "c"}}, "cannot move what is in an array, and 'a' is one"),
        ({"a": 1, "b": [1]}, {"$rename": {"a": "b.0"}}, "cannot move what is in an array, and 'b' is one"),
        ({"a": 1, "b": [{"c": 1}]}, {"$rename": {"a": "b.0.c"}}, "cannot move what is in an array, and 'b' is one"),
        ({"a": 1, "b": 2}, {"$rename": {"a": "b.c"}}, "cannot be reached: 'b' holds a number"),
        ({"a": 1}, {"$rename": {"a.b": "c"}}, "$rename of the field 'a.b' cannot be reached: 'a' holds a number"),
    ],
)  # fmt: skip
def test_an_update_that_the_document_does_not_allow_is_refused(document, update, says):
    before = copy.deepcopy(document)
    with pytest.raises(UpdateError) as caught:
        parse_update(update).apply(document, now=NOW)
    assert says in str(caught.value)
    assert str(caught.value).endswith(" Nothing was changed.")
    assert repr(document) == repr(before)


def test_a_refused_update_shows_no_value():
    with pytest.raises(UpdateError) as caught:
        parse_update({"$inc": {"a": 4711}}).apply({"a": "sentinel"}, now=NOW)
    assert "sentinel" not in str(caught.value)
    assert "4711" not in str(caught.value)


def test_a_refused_update_has_changed_nothing_of_the_document_though_its_other_parts_were_possible():
    document = {"a": {"b": [1]}, "c": "x", "d": {"e": 1}}
    before = copy.deepcopy(document)
    with pytest.raises(UpdateError):
        parse_update({"$push": {"a.b": 2}, "$inc": {"c": 1}, "$unset": {"d.e": ""}}).apply(document, now=NOW)
    assert document == before


def test_the_longest_padding_is_possible():
    result = parse_update({"$set": {"a.100000": 1}}).apply({"a": []}, now=NOW)
    assert len(result["a"]) == 100_001


def test_set_on_insert_sets_what_is_inserted():
    assert updated({"a": 1}, {"$setOnInsert": {"b.c": 2}, "$set": {"d": 3}}, inserting=True) == repr(
        {"a": 1, "b": {"c": 2}, "d": 3}
    )


def test_an_update_may_be_any_mapping():
    assert updated({}, types.MappingProxyType({"$set": types.MappingProxyType({"a": 1})})) == repr({"a": 1})


def test_an_update_keeps_nothing_of_what_it_was_made_from():
    values = [1]
    update = parse_update({"$set": {"a": values}})
    values.append(2)
    assert update.apply({}, now=NOW) == {"a": [1]}


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (1, True, False),
        (0, False, False),
        (0.0, -0.0, False),
        (0.1, 0.1, True),
        ("a", "a", True),
        (None, None, True),
        (None, False, False),
        ([1, [2]], [1, [2]], True),
        ([1, [2]], [1, [2.0]], False),
        ([1], [1, 2], False),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ({}, [], False),
    ],
    ids=repr,
)
def test_values_are_the_same_where_their_json_is(one, other, is_same):
    assert same(one, other) is is_same
    assert same(other, one) is is_same


@pytest.mark.parametrize(
    ("document", "update"),
    [
        ({"a": 1}, {"$set": {"a": 1}}),
        ({"a": {"b": [1]}}, {"$set": {"a": {"b": [1]}}}),
        ({"a": 1}, {"$inc": {"a": 0}}),
        ({"a": 1}, {"$mul": {"a": 1}}),
        ({"a": 1}, {"$min": {"a": 2}}),
        ({"a": 1}, {"$unset": {"b": ""}}),
        ({"a": [None]}, {"$unset": {"a.0": ""}}),
        ({"a": 1}, {"$rename": {"b": "a"}}),
        ({"a": [1]}, {"$addToSet": {"a": 1}}),
        ({"a": [1]}, {"$pull": {"a": 2}}),
        ({"a": []}, {"$pop": {"a": 1}}),
        ({"a": [1]}, {"$push": {"a": {"$each": []}}}),
    ],
)
def test_an_update_that_changes_nothing_makes_the_same_document(document, update):
    assert same(parse_update(update).apply(document, now=NOW), document)


@pytest.mark.parametrize(("value", "new"), [(1, True), (1, 1.0), (False, 0), ({"b": 1, "c": 2}, {"c": 2, "b": 1})])
def test_an_update_to_an_equal_value_that_is_stored_otherwise_makes_another_document(value, new):
    assert not same(parse_update({"$set": {"a": new}}).apply({"a": value}, now=NOW), {"a": value})


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.5, "", "x"])
NAMES = st.sampled_from(["a", "b", "0", "1"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
OPERANDS = {
    "$set": VALUES,
    "$unset": st.just(""),
    "$inc": st.integers(-3, 3),
    "$mul": st.sampled_from([0, 2, -0.5]),
    "$min": VALUES,
    "$max": VALUES,
    "$rename": PATHS,
    "$push": SCALARS
    | st.builds(lambda values, n: {"$each": values, "$slice": n}, st.lists(VALUES), st.integers(-2, 2)),
    "$addToSet": SCALARS,
    "$pull": SCALARS | st.just({"$gt": 0}) | st.just({"a": 1}),
    "$pullAll": st.lists(SCALARS, max_size=2),
    "$pop": st.sampled_from([1, -1]),
}
UPDATES_OF_ANY_KIND = st.fixed_dictionaries(
    {}, optional={name: st.dictionaries(PATHS, operand, max_size=2) for name, operand in OPERANDS.items()}
).filter(bool)


@given(DOCUMENTS, UPDATES_OF_ANY_KIND)
@settings(max_examples=300, deadline=None)
def test_an_update_never_changes_what_it_is_given_and_does_the_same_each_time(document, update):
    before = repr(document)
    try:
        parsed = parse_update(update)
        result = repr(parsed.apply(document, now=NOW))
    except (InvalidQueryError, UpdateError):
        result = None
    assert repr(document) == before
    if result is not None:
        assert repr(parsed.apply(document, now=NOW)) == result
        assert repr(parse_update(dict(reversed(update.items()))).apply(document, now=NOW)) == result


@given(DOCUMENTS, PATHS, VALUES)
@settings(max_examples=200, deadline=None)
def test_what_was_set_is_found_at_its_path(document, path, value):
    try:
        result = parse_update({"$set": {path: value}}).apply(document, now=NOW)
    except UpdateError:
        return
    assert any(same(found, value) for found in values_at(result, parse_path(path)))


@given(DOCUMENTS, PATHS, VALUES)
@settings(max_examples=200, deadline=None)
def test_a_new_field_that_is_set_and_unset_leaves_the_other_fields_as_they_were(document, name, value):
    set_ = parse_update({"$set": {f"new.{name}": value}}).apply(document, now=NOW)
    assert same(parse_update({"$unset": {"new": ""}}).apply(set_, now=NOW), document)
