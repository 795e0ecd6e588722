"""What is no filter is refused, and the error says which operator of which field is wrong."""

import datetime
import decimal
import re

import pytest

from poof import InvalidQueryError, PoofError
from poof.query.filters.parse import parse_element_filter, parse_filter
from poof.query.operands import MAX_FILTER_DEPTH

SECRET = "sentinel-5f1c"
NAN = float("nan")


class Unknown:
    def __repr__(self) -> str:
        return SECRET


def refusal(filter_) -> str:
    with pytest.raises(InvalidQueryError) as caught:
        parse_filter(filter_)
    assert isinstance(caught.value, PoofError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None
    text = str(caught.value)
    assert text.isascii()
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("filter_", [[], "a", 1, True, False, [{"a": 1}], {"a"}, Unknown(), b"a"], ids=repr)
def test_what_is_no_dict_is_no_filter(filter_):
    assert "A filter is a dict" in refusal(filter_)


@pytest.mark.parametrize("name", ["$where", "$expr", "$text", "$comments", "$jsonSchema", "$", "$AND", "$foo"])
def test_an_unknown_operator_beside_fields_is_named_and_the_known_ones_listed(name):
    text = refusal({"a": 1, name: 1})
    assert f"Unknown operator {name!r}" in text
    assert "$and, $comment, $nor, $or" in text
    assert "$all, $elemMatch, $eq, $exists, $gt, $gte, $in, $lt, $lte, $mod, $ne, $nin, $not, $options, $regex" in text


@pytest.mark.parametrize("name", ["$where", "$near", "$geoWithin", "$bitsAllSet", "$", "$GT", "$foo"])
@pytest.mark.parametrize(
    "inside", [lambda entry: entry, lambda entry: {"$not": entry}, lambda entry: {"$gt": 1} | entry]
)
def test_an_unknown_operator_of_a_field_is_named_with_the_field_and_the_known_ones_listed(name, inside):
    text = refusal({"a.b": inside({name: 1})})
    assert f"Unknown operator {name!r} of the field 'a.b'" in text
    assert "$all, $elemMatch, $eq, $exists, $gt, $gte, $in, $lt, $lte, $mod, $ne, $nin, $not, $options, $regex" in text


@pytest.mark.parametrize("name", ["$gt", "$not", "$elemMatch", "$regex", "$options", "$exists"])
def test_an_operator_of_a_field_needs_a_field(name):
    assert f"{name} is an operator of a field: write {{'field': {{'{name}': ...}}}}" in refusal({name: 1})


@pytest.mark.parametrize("name", ["$and", "$or", "$nor"])
def test_an_operator_that_takes_filters_is_none_of_a_field(name):
    assert refusal({"a": {name: [{"$gt": 1}]}}).startswith(f"{name} of the field 'a' is not possible")


@pytest.mark.parametrize("name", ["$and", "$or", "$nor"])
@pytest.mark.parametrize("operand", [[], (), {}, {"a": 1}, None, "a", 1, {1}], ids=repr)
def test_an_operator_that_takes_filters_needs_a_list_of_some(name, operand):
    assert refusal({name: operand}) == f"{name} takes a list of at least one filter."


@pytest.mark.parametrize("name", ["$and", "$or", "$nor"])
@pytest.mark.parametrize("item", [None, 1, "a", []], ids=repr)
def test_an_operator_that_takes_filters_takes_nothing_else(name, item):
    assert "A filter is a dict" in refusal({name: [{"a": 1}, item]})


@pytest.mark.parametrize("name", ["", ".a", "a..b", "a.$b", 1, None, ("a",), b"a"], ids=repr)
def test_a_field_has_a_name(name):
    refusal({name: 1})


@pytest.mark.parametrize("value", [{"$gt": 1, "b": 2}, {"b": 2, "$gt": 1}, {"$eq": 1, 2: 3}], ids=repr)
def test_operators_and_fields_are_not_mixed(value):
    mixed = "of the field 'a' holds both operators and fields"
    assert mixed in refusal({"a": value})
    assert mixed in refusal({"a": {"$not": value}})
    assert mixed in refusal({"a": {"$elemMatch": value}})
    assert mixed in refusal({"a": {"$in": [value]}})


# operand of the operator of the field "a.b", and what the error says after naming both
OPERANDS = {
    "$not": {
        "takes operators, such as {'$gt': 5}, or a pattern": ["a", 1, None, True, [], [{"$gt": 1}], {}, {"b": 1}],
        "takes text or a pattern of text, not bytes": [re.compile(b"a")],
    },
    "$in": {
        "takes a list, not str": ["ab"],
        "takes a list, not dict": [{"a": 1}, {}],
        "takes a list, not NoneType": [None],
        "takes a list, not Pattern": [re.compile("a")],
        "takes a list, not generator": [(n for n in [1])],
        "takes values, not operators": [[{"$gt": 1}], [1, {"$elemMatch": {"a": 1}}]],
        "is NaN": [[1, NAN]],
        "takes text or a pattern of text, not bytes": [[re.compile(b"a")]],
    },
    "$nin": {"takes a list, not int": [1], "takes values, not operators": [[{"$in": [1]}]]},
    "$all": {
        "takes a list, not int": [1],
        "takes a list, not dict": [{"$elemMatch": {"a": 1}}],
        "takes values, not operators": [[{"$gt": 1}], [1, {"$not": {"$gt": 1}}]],
        "takes values, or nothing but $elemMatch, each in a dict of its own": [
            [{"$elemMatch": {"a": 1}}, 5],
            [5, {"$elemMatch": {"a": 1}}],
            [{"$elemMatch": {"a": 1}}, {"$gt": 5}],
            [{"$elemMatch": {"a": 1}, "$gt": 5}],
        ],
    },
    "$elemMatch": {
        "takes a filter or operators, in a dict, not int": [1],
        "takes a filter or operators, in a dict, not list": [[{"a": 1}]],
        "takes a filter or operators, in a dict, not NoneType": [None],
        "takes a filter or operators, in a dict, not Pattern": [re.compile("a")],
    },
    "$exists": {
        "takes true or false, not str": ["", "true"],
        "takes true or false, not int": [2, -1],
        "takes true or false, not float": [0.5],
        "takes true or false, not NoneType": [None],
        "takes true or false, not list": [[]],
    },
    "$type": {
        "takes types of JSON: array, bool, double, int, long, null, number, object, string": [
            "text", "String", "", "objectId", "date", "decimal", 0, 5, 19, -1, 2.5, True, None, {"a": 1}, ["string", 5],
            [["string"]],
        ],
        "takes at least one type": [[]],
    },
    "$size": {
        "takes a whole number that is not negative": [-1, 0.5, "1", "", None, True, False, [1], {"$gt": 1}, -1.0],
    },
    "$mod": {
        "takes a list of two numbers": [[], [4], [4, 0, 0], 4, "40", None, {"4": 0}],
        "takes numbers": [["4", 0], [4, None], [True, 0], [4, False], [[4], 0]],
        "has the divisor 0": [[0, 0], [0, 1], [0.5, 0], [-0.9, 0]],
        "takes integers of at most 64 bits": [[1e300, 0], [4, -1e300]],
        "is NaN": [[NAN, 0], [4, float("inf")]],
    },
    "$regex": {
        "takes text or a pattern of text, not int": [1],
        "takes text or a pattern of text, not NoneType": [None],
        "takes text or a pattern of text, not dict": [{"$gt": 1}],
        "takes text or a pattern of text, not bytes": [re.compile(b"a")],
        "is bytes": [b"a"],
        "is not a valid pattern": ["(", "[", "*", "(?P<n>a)(?P<n>b)", "a{99999999999999999999}", "(" * 5000],
        "not valid Unicode": ["\ud800"],
    },
    "$eq": {"takes no pattern; $regex, $in, $nin, $all and $not do": [re.compile("a")]},
    "$ne": {"takes no pattern": [re.compile("a")]},
    "$gt": {"takes no pattern": [re.compile("a")]},
    "$lte": {"takes no pattern": [re.compile("a")]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "says", "operand"),
    [
        pytest.param(operator, says, operand, id=f"{operator}-{str(operand).partition(' at ')[0][:40]}")
        for operator, reasons in OPERANDS.items()
        for says, operands in reasons.items()
        for operand in operands
    ],
)
def test_an_operand_that_an_operator_cannot_take_is_refused(operator, says, operand):
    text = refusal({"c": 1, "a.b": {operator: operand}})
    assert text.startswith(f"{operator} of the field 'a.b")
    assert says in text


@pytest.mark.parametrize("options", ["g", "u", "ig", "I", "i ", 1, None, ["i"], re.IGNORECASE], ids=repr)
def test_options_of_a_pattern_are_letters_of_imsx(options):
    text = refusal({"a": {"$regex": "b", "$options": options}})
    assert text == "$options of the field 'a' takes text of the letters i, m, s and x."


@pytest.mark.parametrize(
    "operators", [{"$options": "i"}, {"$options": "i", "$gt": 1}, {"$not": {"$options": "i"}}], ids=repr
)
def test_options_need_a_pattern(operators):
    assert refusal({"a": operators}) == "$options of the field 'a' needs a $regex beside it."


def test_options_beside_flags_of_the_pattern_are_refused():
    text = refusal({"a": {"$regex": re.compile("b", re.IGNORECASE), "$options": "m"}})
    assert "$regex of the field 'a' has flags of its own" in text


UNSTORABLE = {
    "is NaN or infinite": [NAN, float("inf"), decimal.Decimal("NaN")],
    "is an integer beyond 64 bits": [2**63, -(2**63) - 1],
    "is bytes": [b"a"],
    "is of type Unknown, which PoofDB cannot store": [Unknown()],
    "is of type Pattern": [[re.compile("a")]],
    "is a datetime out of range": [
        datetime.datetime(9999, 12, 31, 23, tzinfo=datetime.timezone(-datetime.timedelta(hours=2)))
    ],
    "not valid Unicode": ["\ud800", ["\ud800"], {"b": "\ud800"}, {"\ud800": 1}, {"\ud800", "b"}],
    "a key of type int": [{1: 2}],
}


@pytest.mark.parametrize(
    ("says", "value"),
    [
        pytest.param(says, value, id=f"{says}-{n}")
        for says, values in UNSTORABLE.items()
        for n, value in enumerate(values)
    ],
)
def test_a_value_that_no_document_can_hold_is_refused(says, value):
    for operator in ("$eq", "$ne", "$gt", "$lte"):
        text = refusal({"a": {operator: value}})
        assert text.startswith(f"{operator} of the field 'a")
        assert says in text
    for filter_ in ({"a": value}, {"a": {"$in": [1, value]}}, {"a": {"$all": [value]}}):
        text = refusal(filter_)
        assert "of the field 'a" in text
        assert says in text


def test_an_error_names_the_field_inside_a_value():
    assert "The value of the field 'a.b.c.1' is NaN" in refusal({"a.b": {"c": [1, NAN]}})


def test_an_error_names_the_field_inside_an_element():
    assert "$size of the field 'a.b.c'" in refusal({"a": {"$elemMatch": {"$or": [{"b.c": {"$size": -1}}]}}})
    assert "$size of the field 'a'" in refusal({"a": {"$elemMatch": {"$size": -1}}})


@pytest.mark.parametrize(
    "filter_",
    [
        {"a": Unknown()},
        {"a": {"$in": SECRET}},
        {"a": {"$size": SECRET}},
        {"a": {"$type": SECRET}},
        {"a": {"$regex": f"({SECRET}"}},
        {"a": {"$regex": "a", "$options": SECRET}},
        {"a": {"$mod": [SECRET, SECRET]}},
        {"a": {"$not": SECRET}},
        {"a": {"$elemMatch": SECRET}},
        {"$or": SECRET},
        SECRET,
    ],
    ids=repr,
)
def test_an_error_shows_no_value(filter_):
    assert SECRET not in refusal(filter_)


def nested(wrap, levels):
    filter_ = {"a": 1}
    for _ in range(levels):
        filter_ = wrap(filter_)
    return filter_


WRAPS = {
    "$and": lambda inner: {"$and": [inner]},
    "$or": lambda inner: {"b": 1, "$or": [inner, {"a": 2}]},
    "$nor": lambda inner: {"$nor": [inner]},
    "$elemMatch": lambda inner: {"a": {"$elemMatch": inner}},
    "$all": lambda inner: {"a": {"$all": [{"$elemMatch": inner}]}},
    "$not": lambda inner: {"a": {"$not": inner["a"] if isinstance(inner["a"], dict) else {"$eq": 1}}},
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("levels", [MAX_FILTER_DEPTH + 1, 2000])
def test_a_filter_that_is_nested_too_deep_is_refused(wrap, levels):
    assert refusal(nested(wrap, levels)) == "The filter is nested deeper than 100 levels."


def test_a_filter_that_holds_itself_is_refused():
    endless: dict = {}
    endless["$and"] = [endless]
    assert "nested deeper" in refusal(endless)
    operators: dict = {}
    operators["$not"] = operators
    assert "nested deeper" in refusal({"a": operators})
    value: list = []
    value.append(value)
    assert "nested deeper" in refusal({"a": value})


@pytest.mark.parametrize("condition", [1, None, [1], "a", {"$foo": 1}, {"$gt": 1, "b": 2}], ids=repr)
def test_an_element_filter_is_refused_in_the_same_words(condition):
    with pytest.raises(InvalidQueryError, match="of the field 'tags'"):
        parse_element_filter(condition, "tags")


def test_an_element_filter_names_the_operator_that_takes_it():
    with pytest.raises(InvalidQueryError, match=r"^\$pull of the field 'tags' takes a filter or operators"):
        parse_element_filter(1, "tags", "$pull")
