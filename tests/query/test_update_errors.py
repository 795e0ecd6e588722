"""What is no update is refused before a document is seen, and the error says what is wrong."""

import re

import pytest

from poof import InvalidQueryError, PoofError
from poof.query.updates.update import parse_update

SECRET = "sentinel-5f1c"
NAN = float("nan")
KNOWN = (
    "$addToSet, $currentDate, $inc, $max, $min, $mul, $pop, $pull, $pullAll, $push, $rename, $set, $setOnInsert, $unset"
)


class Unknown:
    def __repr__(self) -> str:
        return SECRET


def refusal(update, array_filters=None) -> str:
    with pytest.raises(InvalidQueryError) as caught:
        parse_update(update, array_filters)
    assert isinstance(caught.value, PoofError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None
    text = str(caught.value)
    assert text.isascii()
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("update", [None, [], "a", 1, [{"$set": {"a": 1}}], Unknown()], ids=repr)
def test_what_is_no_dict_is_no_update(update):
    assert "An update is a dict of operators" in refusal(update)


def test_an_empty_update_is_refused():
    assert refusal({}) == "The update is empty; write operators, such as {'$set': {'age': 26}}."


@pytest.mark.parametrize(
    "update", [{"a": 1}, {"a": {"$set": 1}}, {"a": 1, "$set": {"b": 1}}, {"$set": {"b": 1}, "a": 1}]
)
def test_a_document_in_place_of_an_update_is_refused(update):
    text = refusal(update)
    assert text.startswith("'a' is no operator")
    assert "$set" in text
    assert "replace_one" in text


@pytest.mark.parametrize("name", [1, None, "", b"$set"], ids=repr)
def test_an_operator_is_text_that_begins_with_a_dollar(name):
    assert refusal({name: {"a": 1}}).startswith(f"{name!r} is no operator")


@pytest.mark.parametrize("name", ["$", "$Set", "$sets", "$bit", "$pushAll", "$each", "$replaceWith", "$gt"])
def test_an_unknown_operator_is_named_and_the_known_ones_listed(name):
    assert refusal({"$set": {"a": 1}, name: {"b": 1}}) == (
        f"Unknown operator {name!r}. The operators of an update are {KNOWN}."
    )


@pytest.mark.parametrize("operator", KNOWN.split(", "))
@pytest.mark.parametrize("fields", [1, None, "a", ["a"], [("a", 1)]], ids=repr)
def test_an_operator_takes_a_dict_of_fields(operator, fields):
    assert refusal({operator: fields}) == f"{operator} takes a dict of fields, not {type(fields).__name__}."


@pytest.mark.parametrize("operator", KNOWN.split(", "))
@pytest.mark.parametrize("name", ["", ".a", "a.", "a..b", 1, None, ("a",), "a.\ud800", ".".join("a" * 101)], ids=repr)
def test_a_field_has_a_name(operator, name):
    assert "field" in refusal({operator: {name: 1}})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("$a", "has the step '$a'"),
        ("a.$b", "has the step '$b'. Steps that begin with $ are $, $[] and $[name]"),
        ("a.$[B]", "has the step '$[B]'"),
        ("a.$[1x]", "has the step '$[1x]'"),
        ("a.$[x-y]", "has the step '$[x-y]'"),
        ("a.$[x", "has the step '$[x'"),
        ("a.$[x]y", "has the step '$[x]y'"),
        ("a.$$", "has the step '$$'"),
        ("$.a", "begins with $, which follows the name of an array"),
        ("$[].a", "begins with $[], which follows the name of an array"),
        ("$[x]", "begins with $[x]"),
        ("a.$.b.$", "has a $ behind another step that begins with $"),
        ("a.$.$", "has a $ behind another step"),
        ("a.$[].b.$", "has a $ behind another step"),
        ("a.$[]..b", "empty name"),
    ],
)
def test_a_step_that_begins_with_a_dollar_is_one_of_three_and_follows_a_name(name, says):
    assert says in refusal({"$set": {name: 1}}, [{"x": 1}])


@pytest.mark.parametrize(
    ("update", "collision"),
    [
        ({"$set": {"a": 1}, "$inc": {"a": 1}}, "'a' twice"),
        ({"$set": {"a.b": 1}, "$unset": {"a.b": ""}}, "'a.b' twice"),
        ({"$set": {"a": 1, "a.b": 1}}, "both 'a' and 'a.b' inside it"),
        ({"$set": {"a.b.c": 1}, "$push": {"a": 1}}, "both 'a' and 'a.b.c' inside it"),
        ({"$set": {"a.b": 1, "a-b": 1, "a": 1}}, "both 'a' and 'a.b' inside it"),
        ({"$set": {"a.0": 1, "a.10": 1, "a.0.b": 1}}, "both 'a.0' and 'a.0.b' inside it"),
        ({"$set": {"a.$[]": 1}, "$inc": {"a.$[]": 1}}, "'a.$[]' twice"),
        ({"$set": {"a": 1}, "$inc": {"a.$": 1}}, "both 'a' and 'a.$' inside it"),
        ({"$set": {"a": 1}, "$setOnInsert": {"a": 2}}, "'a' twice"),
        ({"$rename": {"a": "b"}, "$set": {"a": 1}}, "'a' twice"),
        ({"$rename": {"a": "b"}, "$set": {"b": 1}}, "'b' twice"),
        ({"$rename": {"a": "b"}, "$set": {"a.c": 1}}, "both 'a' and 'a.c' inside it"),
        ({"$rename": {"a": "b", "b": "c"}}, "'b' twice"),
        ({"$rename": {"a": "c", "b": "c"}}, "'c' twice"),
        ({"$rename": {"a": "a.b"}}, "both 'a' and 'a.b' inside it"),
        ({"$rename": {"a.b": "a"}}, "both 'a' and 'a.b' inside it"),
    ],
)
def test_paths_in_each_others_way_are_refused(update, collision):
    assert refusal(update) == f"The update changes {collision}; it can change a field only once."


@pytest.mark.parametrize("name", ["_objId", "_objId.a"])
@pytest.mark.parametrize("operator", ["$set", "$setOnInsert", "$unset", "$rename"])
def test_the_id_cannot_be_changed(name, operator):
    assert "The _objId of a document cannot be changed" in refusal({operator: {name: "AbCdEfGhIjKl"}})


def test_nothing_is_renamed_to_the_id():
    assert "The _objId of a document cannot be changed" in refusal({"$rename": {"a": "_objId"}})


# operand of the operator for the field "a.b", and what the error says after naming both
OPERANDS = {
    "$inc": {
        "takes a number, not str": ["1"],
        "takes a number, not bool": [True],
        "takes a number, not NoneType": [None],
        "takes a number, not list": [[1]],
        "takes a number, not dict": [{"$inc": 1}],
        "is NaN or infinite": [NAN, float("inf")],
        "is an integer beyond 64 bits": [2**63],
    },
    "$mul": {"takes a number, not str": ["2"], "takes a number, not bool": [False], "is NaN": [NAN]},
    "$set": {
        "is NaN or infinite": [NAN, -float("inf")],
        "is an integer beyond 64 bits": [2**63],
        "is bytes": [b"a"],
        "is of type Unknown, which PoofDB cannot store": [Unknown()],
        "takes no pattern": [re.compile("a")],
        "not valid Unicode": ["\ud800", {"c": "\ud800"}],
    },
    "$setOnInsert": {"is NaN": [NAN]},
    "$min": {"is NaN": [NAN], "is bytes": [b"a"]},
    "$max": {"is NaN": [NAN], "is of type Unknown": [Unknown()]},
    "$currentDate": {
        "takes True, {'$type': 'date'} or {'$type': 'timestamp'}": [
            False, 1, None, "date", {}, {"$type": "time"}, {"$type": "date", "a": 1}, {"type": "date"}, ["date"],
        ],
    },
    "$rename": {
        "takes the new name as text, not int": [1],
        "takes the new name as text, not NoneType": [None],
        "takes the new name as text, not dict": [{"c": 1}],
        "has the same name as its new one": ["a.b"],
        "takes no $, $[] or $[name]": ["c.$", "c.$[]", "c.$[x].d"],
    },
    "$push": {
        "has '$every' beside or in place of $each, $position, $slice, $sort": [{"$every": [1]}],
        "has 'c' beside or in place of $each": [{"$each": [1], "c": 1}, {"c": 1, "$each": [1]}],
        "has clauses and no $each among them": [{"$slice": 1}, {"$sort": 1, "$position": 0}],
        "is NaN": [NAN],
    },
    "$each": {"takes a list, not int": [1], "takes a list, not dict": [{"a": 1}], "takes a list, not str": ["ab"]},
    "$position": {"takes a whole number": [0.5, "0", None, True, [0]], "is NaN": [NAN]},
    "$slice": {"takes a whole number": [0.5, "0", None, True, [0, 1]]},
    "$sort": {"takes 1 or -1, or a dict of fields with 1 or -1": [0, 2, True, "a", None, [("a", 1)]]},
    "$addToSet": {
        "has '$slice' beside or in place of $each": [{"$each": [1], "$slice": 1}],
        "has '$in' beside or in place of $each": [{"$in": [1]}],
        "has 'c' beside": [{"$each": [1], "c": 1}],
        "is NaN": [NAN],
    },
    "$pull": {"holds both operators and fields": [{"$gt": 1, "c": 1}], "is NaN": [NAN]},
    "$pullAll": {"takes a list, not int": [1], "takes a list, not dict": [{"$in": [1]}]},
    "$pop": {
        "takes 1, for the last element, or -1, for the first": [0, 2, -2, 0.5, True, None, "1", "", [1], {}, NAN],
    },
}  # fmt: skip
CLAUSES = ("$each", "$position", "$slice", "$sort")


@pytest.mark.parametrize(
    ("operator", "says", "operand"),
    [
        pytest.param(operator, says, operand, id=f"{operator}-{str(operand)[:40]}")
        for operator, reasons in OPERANDS.items()
        for says, operands in reasons.items()
        for operand in operands
    ],
)
def test_an_operand_that_an_operator_cannot_take_is_refused(operator, says, operand):
    update = (
        {"$push": {"a.b": {"$each": [], operator: operand}}} if operator in CLAUSES else {operator: {"a.b": operand}}
    )
    text = refusal({"$set": {"z": 1}} | update if operator != "$set" else update)
    assert text.startswith(f"{operator} of the field 'a.b")
    assert says in text


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({}, "The $sort of the field 'a' names no field"),
        ({"b": 0}, "The direction of a field of the $sort of the field 'a' is 1 (ascending) or -1 (descending)"),
        ({"b": True}, "The direction of a field of the $sort of the field 'a'"),
        ({"b": 1, "c": "1"}, "The direction of a field of the $sort of the field 'a'"),
        ({"b..c": 1}, "The field 'b..c' has an empty name"),
        ({"$b": 1}, "The field '$b' has a step that begins with $"),
    ],
)
def test_the_sort_of_a_push_names_fields_and_directions(order, says):
    assert refusal({"$push": {"a": {"$each": [], "$sort": order}}}).startswith(says)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ({"$foo": 1}, "Unknown operator '$foo' of the field 'a'"),
        ({"b": {"$foo": 1}}, "Unknown operator '$foo' of the field 'a.b'"),
        ({"$in": 1}, "$in of the field 'a' takes a list, not int"),
        ({"$or": []}, "$or takes a list of at least one filter"),
        ({"b..c": 1}, "The field 'b..c' has an empty name"),
    ],
)
def test_the_condition_of_a_pull_is_a_filter(condition, says):
    assert refusal({"$pull": {"a": condition}}).startswith(says)


@pytest.mark.parametrize("name", ["$set", "$push", "$addToSet", "$pullAll", "$min"])
def test_a_value_that_cannot_be_stored_is_named_by_its_place(name):
    operand = [1, {"b": [0, NAN]}]
    where = "a.1.b.1"
    assert refusal({name: {"a": operand}}).startswith(f"{name} of the field '{where}' is NaN or infinite")


ONE = {"$set": {"a.$[x]": 1}}


@pytest.mark.parametrize(
    ("update", "array_filters", "says"),
    [
        (ONE, None, "The field 'a.$[x]' has the step $[x] and no array filter for it"),
        (ONE, [], "has the step $[x] and no array filter for it"),
        ({"$set": {"a.$[x].b.$[y]": 1}}, [{"x": 1}], "has the step $[y] and no array filter for it"),
        (ONE, [{"x": 1}, {"y": 1}], "The array filter for 'y' has no use: the update has no step $[y]"),
        ({"$set": {"a": 1}}, [{"x": 1}], "The array filter for 'x' has no use"),
        ({"$set": {"a.$[]": 1}}, [{"x": 1}], "The array filter for 'x' has no use"),
        (ONE, [{"x": 1}, {"x.b": 2}], "There are two array filters for 'x'; write both conditions into one"),
        (ONE, [{}], "An array filter speaks of one name"),
        (ONE, [None], "An array filter speaks of one name"),
        (ONE, [{"x": 1, "y": 1}], "and not of 2"),
        (ONE, [{"$or": [{"x": 1}, {"y.b": 1}]}], "and not of 2"),
        (ONE, [{"X": 1}], "The array filter for 'X' has no valid name: letters and digits"),
        (ONE, [{"x y": 1}], "The array filter for 'x y' has no valid name"),
        (ONE, [{"_objId": 1}], "The array filter for '_objId' has no valid name"),
        (ONE, [{"x": {"$foo": 1}}], "Unknown operator '$foo' of the field 'x'"),
        (ONE, [{"$foo": 1}], "Unknown operator '$foo'"),
        (ONE, ["x"], "A filter is a dict"),
        (ONE, [{1: 1}], "The name of a field is text"),
        (ONE, {"x": 1}, "The array filters are a list of filters, not dict"),
        (ONE, "x", "The array filters are a list of filters, not str"),
        (ONE, 1, "The array filters are a list of filters, not int"),
    ],
)
def test_array_filters_and_the_steps_that_use_them_fit_together(update, array_filters, says):
    assert says in refusal(update, array_filters)


@pytest.mark.parametrize(
    ("update", "array_filters"),
    [
        ({"$set": {"a": {SECRET: NAN}}}, None),
        ({"$set": {"a": [SECRET, Unknown()]}}, None),
        ({"$inc": {"a": SECRET}}, None),
        ({"$push": {"a": {"$each": SECRET}}}, None),
        ({"$push": {"a": {"$each": [], "$sort": SECRET}}}, None),
        ({"$pop": {"a": SECRET}}, None),
        ({"$pull": {"a": {"$in": SECRET}}}, None),
        ({"$currentDate": {"a": {"$type": SECRET}}}, None),
        (ONE, [{"x": {"$size": SECRET}}]),
        ([SECRET], None),
    ],
)
def test_an_error_shows_no_value(update, array_filters):
    text = refusal(update, array_filters)
    assert SECRET not in text.replace(f"'a.{SECRET}'", "")  # a name may be shown
