"""What an update makes of arrays: operators on them, and `$`, `$[]` and `$[name]` for their elements."""

import copy
import datetime
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poof import UpdateError
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter
from poof.query.order import encode_key
from poof.query.updates.update import parse_update

NOW = datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC)
ID = "AbCdEfGhIjKl"


def updated(document, update, array_filters=None, **options):
    before = copy.deepcopy(document)
    result = parse_update(update, array_filters).apply(document, now=NOW, **options)
    assert repr(document) == repr(before)
    return repr(result)


# array of the field "a", operators on it, the array afterwards
ARRAYS = {
    "$push": ([1], {"$push": 2}, [1, 2]),
    "$push a document": ([], {"$push": {"b": 1}}, [{"b": 1}]),
    "$push an array as one element": ([1], {"$push": [2, 3]}, [1, [2, 3]]),
    "$push each": ([1], {"$push": {"$each": [2, [3]]}}, [1, 2, [3]]),
    "$push none": ([1], {"$push": {"$each": []}}, [1]),
    "$push at the front": ([1, 2], {"$push": {"$each": [8, 9], "$position": 0}}, [8, 9, 1, 2]),
    "$push inside": ([1, 2], {"$push": {"$each": [8, 9], "$position": 1}}, [1, 8, 9, 2]),
    "$push beyond the end": ([1, 2], {"$push": {"$each": [9], "$position": 2**40}}, [1, 2, 9]),
    "$push before the last": ([1, 2, 3], {"$push": {"$each": [8, 9], "$position": -1}}, [1, 2, 8, 9, 3]),
    "$push before the beginning": ([1, 2], {"$push": {"$each": [9], "$position": -7}}, [9, 1, 2]),
    "$push at a position written as a float": ([1, 2], {"$push": {"$each": [9], "$position": 1.0}}, [1, 9, 2]),
    "$push and keep the first": ([1, 2], {"$push": {"$each": [3], "$slice": 2}}, [1, 2]),
    "$push and keep the last": ([1, 2], {"$push": {"$each": [3], "$slice": -2}}, [2, 3]),
    "$push and keep more than there are": ([1], {"$push": {"$each": [2], "$slice": -5}}, [1, 2]),
    "$push and keep none": ([1], {"$push": {"$each": [2], "$slice": 0}}, []),
    "$push to cut only": ([1, 2, 3], {"$push": {"$each": [], "$slice": 1}}, [1]),
    "$push and sort": ([3, 1], {"$push": {"$each": [2], "$sort": 1}}, [1, 2, 3]),
    "$push and sort down": ([3, 1], {"$push": {"$each": [2], "$sort": -1}}, [3, 2, 1]),
    "$push and sort across types": (
        [True, [1], {"b": 1}, "x"],
        {"$push": {"$each": [None, 2.5], "$sort": 1}},
        [None, 2.5, "x", {"b": 1}, [1], True],
    ),
    "$push to sort only": ([2, 1], {"$push": {"$each": [], "$sort": 1}}, [1, 2]),
    "$push and sort by fields": (
        [{"b": 2, "c": 1}, {"b": 1, "c": 1}],
        {"$push": {"$each": [{"b": 2, "c": 2}, {"b": 1, "c": 0}], "$sort": {"b": -1, "c": 1}}},
        [{"b": 2, "c": 1}, {"b": 2, "c": 2}, {"b": 1, "c": 0}, {"b": 1, "c": 1}],
    ),
    "$push and sort by a field inside": (
        [{"b": {"c": 2}}, {"b": {"c": 1}}],
        {"$push": {"$each": [], "$sort": {"b.c": 1}}},
        [{"b": {"c": 1}}, {"b": {"c": 2}}],
    ),
    "$push and sort what has no such field": (
        [{"b": 1}, 5, {}],
        {"$push": {"$each": [{"b": None}], "$sort": {"b": 1}}},
        [5, {}, {"b": None}, {"b": 1}],
    ),
    "$push and sort what is in an array as null": (
        [{"b": 1}, [{"b": 2}]],
        {"$push": {"$each": [], "$sort": {"b": 1}}},
        [[{"b": 2}], {"b": 1}],
    ),
    "$push and sort by the least of an array": (
        [{"b": [5]}, {"b": [9, 1]}],
        {"$push": {"$each": [], "$sort": {"b": 1}}},
        [{"b": [9, 1]}, {"b": [5]}],
    ),
    "$push and sort down by the greatest of an array": (
        [{"b": [5]}, {"b": [9, 1]}],
        {"$push": {"$each": [], "$sort": {"b": -1}}},
        [{"b": [9, 1]}, {"b": [5]}],
    ),
    "$push and sort down keeps equals in order": (
        [{"b": 1, "c": 1}, {"b": 1, "c": 2}],
        {"$push": {"$each": [{"b": 2}], "$sort": {"b": -1}}},
        [{"b": 2}, {"b": 1, "c": 1}, {"b": 1, "c": 2}],
    ),
    "$push in place, then sort, then cut": (
        [5, 1],
        {"$push": {"$each": [9, 3], "$position": 0, "$sort": 1, "$slice": 3}},
        [1, 3, 5],
    ),
    "$push whatever the order of the clauses": (
        [5, 1],
        {"$push": {"$slice": -1, "$sort": -1, "$each": [9, 3]}},
        [1],
    ),
    "$addToSet": ([1], {"$addToSet": 2}, [1, 2]),
    "$addToSet what is there": ([1, 2], {"$addToSet": 1}, [1, 2]),
    "$addToSet an equal number": ([1], {"$addToSet": 1.0}, [1]),
    "$addToSet true beside 1": ([1], {"$addToSet": True}, [1, True]),
    "$addToSet null": ([1], {"$addToSet": None}, [1, None]),
    "$addToSet an array as one element": ([1, 2], {"$addToSet": [1, 2]}, [1, 2, [1, 2]]),
    "$addToSet a document": ([{"b": 1}], {"$addToSet": {"b": 1}}, [{"b": 1}]),
    "$addToSet fields in another order": (
        [{"b": 1, "c": 2}],
        {"$addToSet": {"c": 2, "b": 1}},
        [{"b": 1, "c": 2}, {"c": 2, "b": 1}],
    ),
    "$addToSet each once": ([], {"$addToSet": {"$each": [1, 2, 2, 1]}}, [1, 2]),
    "$addToSet each in order": ([3], {"$addToSet": {"$each": [2, 3, 1, 2.0]}}, [3, 2, 1]),
    "$addToSet none": ([1, 1], {"$addToSet": {"$each": []}}, [1, 1]),
    "$addToSet leaves equals that were there": ([1, 1], {"$addToSet": 2}, [1, 1, 2]),
    "$pull": ([1, 2, 1, 3], {"$pull": 1}, [2, 3]),
    "$pull an equal number": ([1.0, True, "1"], {"$pull": 1}, [True, "1"]),
    "$pull null": ([None, 0, {}], {"$pull": None}, [0, {}]),
    "$pull an array is exact": ([[2, 1], [1, 2], 2, [2, 1, 0]], {"$pull": [2, 1]}, [[1, 2], 2, [2, 1, 0]]),
    "$pull does not open arrays": ([1, [1]], {"$pull": 1}, [[1]]),
    "$pull by operators": ([1, 5, 8, "9", None], {"$pull": {"$gte": 5}}, [1, "9", None]),
    "$pull by two operators": ([1, 5, 8], {"$pull": {"$gt": 1, "$lt": 8}}, [1, 8]),
    "$pull one of several": ([1, 2, "x", [1]], {"$pull": {"$in": [1, "x"]}}, [2, [1]]),
    "$pull all but": ([1, 2, 3], {"$pull": {"$ne": 2}}, [2]),
    "$pull by a pattern": (["ab", "b", 1, ["ab"]], {"$pull": re.compile("^a")}, ["b", 1, ["ab"]]),
    "$pull by $regex": (["AB", "b"], {"$pull": {"$regex": "^a", "$options": "i"}}, ["b"]),
    "$pull by a filter": ([{"b": 1, "c": 2}, {"b": 2}, 1, [{"b": 1}]], {"$pull": {"b": 1}}, [{"b": 2}, 1, [{"b": 1}]]),
    "$pull by a filter on two fields": (
        [{"b": 1, "c": 2}, {"b": 1, "c": 3}],
        {"$pull": {"b": 1, "c": {"$gt": 2}}},
        [{"b": 1, "c": 2}],
    ),
    "$pull by a filter inside": ([{"b": [{"c": 1}]}, {"b": []}], {"$pull": {"b.c": 1}}, [{"b": []}]),
    "$pull by $elemMatch in a filter": (
        [{"b": [{"c": 1, "d": 2}]}, {"b": [{"c": 1}, {"d": 2}]}],
        {"$pull": {"b": {"$elemMatch": {"c": 1, "d": 2}}}},
        [{"b": [{"c": 1}, {"d": 2}]}],
    ),
    "$pull by $or": ([{"b": 1}, {"c": 1}, {"d": 1}], {"$pull": {"$or": [{"b": 1}, {"c": 1}]}}, [{"d": 1}]),
    "$pull by a field called _objId": ([{"_objId": ID}, {"_objId": "x"}], {"$pull": {"_objId": ID}}, [{"_objId": "x"}]),
    "$pull by the empty filter": ([{"b": 1}, 1, {}], {"$pull": {}}, [1]),
    "$pull nothing": ([1], {"$pull": 2}, [1]),
    "$pullAll": ([1, 2, 3, 1, [1]], {"$pullAll": [1, 3.0]}, [2, [1]]),
    "$pullAll documents": ([{"b": 1}, {"b": 1, "c": 2}], {"$pullAll": [{"b": 1}]}, [{"b": 1, "c": 2}]),
    "$pullAll none": ([1], {"$pullAll": []}, [1]),
    "$pop the last": ([1, 2, 3], {"$pop": 1}, [1, 2]),
    "$pop the first": ([1, 2, 3], {"$pop": -1}, [2, 3]),
    "$pop as a float": ([1, 2], {"$pop": -1.0}, [2]),
    "$pop of none": ([], {"$pop": 1}, []),
}  # fmt: skip


@pytest.mark.parametrize(("array", "operators", "result"), ARRAYS.values(), ids=ARRAYS)
def test_an_operator_changes_an_array(array, operators, result):
    update = {operator: {"a": operand} for operator, operand in operators.items()}
    assert updated({"a": array}, update) == repr({"a": result})
    inside = {operator: {"x.0.a": operand} for operator, operand in operators.items()}
    assert updated({"x": [{"a": array}]}, inside) == repr({"x": [{"a": result}]})


@pytest.mark.parametrize(
    ("update", "result"),
    [
        ({"$push": {"a": 1}}, {"a": [1]}),
        ({"$push": {"a.b": {"$each": [2, 1], "$sort": 1, "$slice": 1}}}, {"a": {"b": [1]}}),
        ({"$push": {"a": {"$each": []}}}, {"a": []}),
        ({"$addToSet": {"a": 1}}, {"a": [1]}),
        ({"$addToSet": {"a": {"$each": [1, 2, 2, 1]}}}, {"a": [1, 2]}),
        ({"$pull": {"a": 1}}, {}),
        ({"$pull": {"a.b": {"$gt": 1}}}, {}),
        ({"$pullAll": {"a": [1]}}, {}),
        ({"$pop": {"a": 1}}, {}),
        ({"$pop": {"a.b.c": -1}}, {}),
    ],
)
def test_of_a_missing_field_push_and_add_make_an_array_and_others_nothing(update, result):
    assert updated({}, update) == repr(result)


@pytest.mark.parametrize("operator", ["$push", "$addToSet", "$pull", "$pullAll", "$pop"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "null"), (1, "a number"), ("x", "text"), ({}, "a document"), (False, "true or false")],
)
def test_an_operator_on_arrays_refuses_other_values(operator, value, kind):
    update = parse_update({operator: {"a": [1] if operator == "$pullAll" else 1}})
    with pytest.raises(UpdateError) as caught:
        update.apply({"a": value}, now=NOW)
    assert str(caught.value) == (
        f"{operator} of the field 'a' takes an array, and the document holds {kind} there. Nothing was changed."
    )


@pytest.mark.parametrize("operator", ["$push", "$addToSet", "$pull", "$pop"])
def test_an_operator_on_arrays_refuses_a_path_through_other_values(operator):
    with pytest.raises(UpdateError, match="cannot be reached: 'a' holds a number"):
        updated({"a": 1}, {operator: {"a.b": 1}})
    with pytest.raises(UpdateError, match="cannot be reached: 'a' is an array"):
        updated({"a": [{"b": [1]}]}, {operator: {"a.b": 1}})


# document, update, array filters, what becomes of it
ELEMENTS = {
    "every element": ({"a": [1, 2]}, {"$inc": {"a.$[]": 1}}, None, {"a": [2, 3]}),
    "every element of none": ({"a": []}, {"$inc": {"a.$[]": 1}}, None, {"a": []}),
    "in every element": ({"a": [{"b": 1}, {}]}, {"$set": {"a.$[].b": 0}}, None, {"a": [{"b": 0}, {"b": 0}]}),
    "every element in every element": ({"a": [[1], [2, 3]]}, {"$mul": {"a.$[].$[]": 2}}, None, {"a": [[2], [4, 6]]}),
    "remove every element": ({"a": [1, 2]}, {"$unset": {"a.$[]": ""}}, None, {"a": [None, None]}),
    "push to every element": ({"a": [[1], []]}, {"$push": {"a.$[]": 9}}, None, {"a": [[1, 9], [9]]}),
    "filtered elements": ({"a": [1, 5, 9]}, {"$set": {"a.$[x]": 0}}, [{"x": {"$gt": 4}}], {"a": [1, 0, 0]}),
    "filtered by equality": ({"a": [1, 5, 1.0]}, {"$set": {"a.$[x]": 0}}, [{"x": 1}], {"a": [0, 5, 0]}),
    "no element fits": ({"a": [1]}, {"$set": {"a.$[x]": 0}}, [{"x": 2}], {"a": [1]}),
    "in filtered elements": (
        {"a": [{"b": 1, "c": 0}, {"b": 2, "c": 0}, 3]},
        {"$inc": {"a.$[item].c": 1}},
        [{"item.b": {"$gte": 2}}],
        {"a": [{"b": 1, "c": 0}, {"b": 2, "c": 1}, 3]},
    ),
    "filtered by two conditions": (
        {"a": [{"b": 1, "c": 1}, {"b": 1, "c": 2}]},
        {"$set": {"a.$[x].d": 1}},
        [{"x.b": 1, "x.c": {"$gt": 1}}],
        {"a": [{"b": 1, "c": 1}, {"b": 1, "c": 2, "d": 1}]},
    ),
    "filtered by alternatives": (
        {"a": [1, 2, 3]},
        {"$set": {"a.$[x]": 0}},
        [{"$or": [{"x": 1}, {"$and": [{"x": {"$gt": 2}}]}]}],
        {"a": [0, 2, 0]},
    ),
    "two names": (
        {"a": [{"b": [1, 2]}, {"b": [2, 3], "c": 1}]},
        {"$inc": {"a.$[outer].b.$[inner]": 10}},
        [{"outer.c": 1}, {"inner": {"$lt": 3}}],
        {"a": [{"b": [1, 2]}, {"b": [12, 3], "c": 1}]},
    ),
    "a name used twice": (
        {"a": [1, 5], "b": [5, 1]},
        {"$set": {"a.$[x]": 0, "b.$[x]": 0}},
        [{"x": 5}],
        {"a": [1, 0], "b": [0, 1]},
    ),
    "different fields of the same elements": (
        {"a": [{"b": 1}, {"b": 2}]},
        {"$set": {"a.$[x].c": 0, "a.0.d": 0}, "$inc": {"a.$[].b": 1}},
        [{"x.b": 2}],
        {"a": [{"b": 2, "d": 0}, {"b": 3, "c": 0}]},
    ),
    "different elements": (
        {"a": [1, 2]},
        {"$set": {"a.$[x]": "low", "a.$[y]": "high"}},
        [{"x": {"$lt": 2}}, {"y": {"$gte": 2}}],
        {"a": ["low", "high"]},
    ),
    "new fields in the order of their names": (
        {"a": [{}]},
        {"$set": {"a.$[].b": 1, "a.0.c": 1}},
        None,
        {"a": [{"b": 1, "c": 1}]},
    ),
    "on insert only": ({"a": 1}, {"$setOnInsert": {"a.$[]": 1}}, None, {"a": 1}),
}


@pytest.mark.parametrize(("document", "update", "array_filters", "result"), ELEMENTS.values(), ids=ELEMENTS)
def test_a_step_stands_for_elements(document, update, array_filters, result):
    assert updated(document, update, array_filters) == repr(result)


@pytest.mark.parametrize(
    ("document", "update", "says"),
    [
        ({}, {"$set": {"a.$[]": 1}}, "$set of the field 'a.$[]' needs an array at 'a', and the document holds nothing"),
        ({"a": 1}, {"$set": {"a.$[]": 1}}, "needs an array at 'a', and the document holds a number there"),
        ({"a": {"0": 1}}, {"$unset": {"a.$[]": 1}}, "the document holds a document there"),
        ({"a": [1, [2]]}, {"$set": {"a.$[].$[]": 1}}, "needs an array at 'a.0', and the document holds a number"),
        ({"a": [{"b": 1}, 2]}, {"$set": {"a.$[].b": 1}}, "'a.1.b' cannot be reached: 'a.1' holds a number"),
        ({"a": [1, "x"]}, {"$inc": {"a.$[]": 1}}, "$inc of the field 'a.1' takes a number"),
        ({"a": [1]}, {"$set": {"a.$[]": 1, "a.0": 2}}, "changes 'a.0' twice"),
        ({"a": [{}]}, {"$set": {"a.$[]": 1, "a.0.b": 2}}, "changes both 'a.0' and 'a.0.b' inside it"),
    ],
)  # fmt: skip
def test_elements_that_the_document_has_not_are_refused(document, update, says):
    with pytest.raises(UpdateError) as caught:
        updated(document, update)
    assert says in str(caught.value)
    assert str(caught.value).endswith(" Nothing was changed.")


def test_two_names_for_one_element_are_refused():
    array_filters = [{"x": {"$gt": 1}}, {"y": {"$lt": 3}}]
    update = {"$set": {"a.$[x]": 0}, "$inc": {"a.$[y]": 1}}
    assert updated({"a": [1, 3]}, update, array_filters) == repr({"a": [2, 0]})
    with pytest.raises(UpdateError, match=r"changes 'a\.1' twice"):
        updated({"a": [1, 2, 3]}, update, array_filters)


# filter, document, index of the element that "a.$" stands for
POSITIONS = {
    "a value": ({"a": 5}, {"a": [3, 5, 5]}, 1),
    "an operator": ({"a": {"$gt": 3}}, {"a": [3, 5, 7]}, 1),
    "two operators on one element": ({"a": {"$gt": 3, "$lt": 6}}, {"a": [7, 2, 5]}, 2),
    "one of several": ({"a": {"$in": [7, 5]}}, {"a": [3, 5, 7]}, 1),
    "null": ({"a": None}, {"a": [1, None]}, 1),
    "a pattern": ({"a": re.compile("^x")}, {"a": ["ax", "xa"]}, 1),
    "all of these, the first": ({"a": {"$elemMatch": {"$gte": 5, "$lt": 8}}}, {"a": [3, 9, 6]}, 2),
    "an array in the array": ({"a": [1, 2]}, {"a": [[2, 1], [1, 2]]}, 1),
    "a field inside": ({"a.b": 2}, {"a": [{"b": 1}, {"b": 2}]}, 1),
    "a field deeper inside": ({"a.b.c": 2}, {"a": [{"b": {"c": 1}}, {"b": [{"c": 2}]}]}, 1),
    "a field inside, not in arrays in the array": ({"a.b": 2}, {"a": [[{"b": 2}], {"b": 2}]}, 1),
    "no field inside, but in a document": ({"a.b": None}, {"a": [5, {"c": 1}]}, 1),
    "a field called like an index": ({"a.0": 4}, {"a": [{"1": 4}, {"0": 4}]}, 1),
    "two fields inside": ({"a.b": 1, "a.c": 4}, {"a": [{"b": 1, "c": 0}, {"b": 1, "c": 4}]}, 1),
    "$elemMatch": ({"a": {"$elemMatch": {"b": 1, "c": 4}}}, {"a": [{"b": 1}, {"c": 4}, {"b": 1, "c": 4}]}, 2),
    "a negation inside $elemMatch": ({"a": {"$elemMatch": {"$ne": 1}}}, {"a": [1, 2]}, 1),
    "beside another field": ({"x": 1, "a": 5}, {"a": [3, 5], "x": 1}, 1),
    "beside another array": ({"x": 7, "a": 5}, {"a": [3, 5], "x": [7]}, 1),
    "beside a size": ({"a": {"$size": 2, "$gt": 3}}, {"a": [3, 5]}, 1),
    "beside a negation": ({"a": {"$ne": 9, "$gt": 3}}, {"a": [3, 5]}, 1),
    "beside presence": ({"$and": [{"a": {"$exists": True}}, {"a": 5}]}, {"a": [3, 5]}, 1),
    "beside the type of the array": ({"a": {"$type": "array", "$gt": 3}}, {"a": [3, 5]}, 1),
    "beside another index": ({"a.0": 3, "a": 5}, {"a": [3, 5]}, 1),
    "the alternative that is true": ({"$or": [{"x": 1, "a": 3}, {"x": 2, "a": 5}]}, {"a": [3, 5], "x": 2}, 1),
    "the alternative that is about the array": ({"$or": [{"x": 2}, {"a": 5}]}, {"a": [3, 5], "x": 2}, 1),
    "the alternative with the id": ({"$or": [{"_objId": "x", "a": 3}, {"_objId": ID, "a": 5}]}, {"a": [3, 5]}, 1),
}


@pytest.mark.parametrize(("filter_", "document", "index"), POSITIONS.values(), ids=POSITIONS)
def test_the_position_is_that_of_the_first_element_that_made_the_filter_fit(filter_, document, index):
    node = parse_filter(filter_)
    assert matches(node, document, ID)
    result = parse_update({"$set": {"a.$": "here"}}).apply(document, now=NOW, node=node, obj_id=ID)
    assert [at for at, element in enumerate(result["a"]) if element == "here"] == [index]


def test_the_position_stands_in_any_operator_and_before_other_steps():
    document = {"x": {"a": [{"b": 1, "c": [1]}, {"b": 2, "c": [2]}]}}
    node = parse_filter({"x.a.b": 2})
    update = parse_update({"$inc": {"x.a.$.b": 5}, "$push": {"x.a.$.c": 3}, "$set": {"x.a.$.d": 0}})
    expected = {"x": {"a": [{"b": 1, "c": [1]}, {"b": 7, "c": [2, 3], "d": 0}]}}
    assert update.apply(document, now=NOW, node=node) == expected
    update = parse_update({"$inc": {"x.a.$.c.$[]": 5}})
    assert update.apply(document, now=NOW, node=node)["x"]["a"][1] == {"b": 2, "c": [7]}


@pytest.mark.parametrize(
    ("filter_", "document"),
    [
        ({}, {"a": [1]}),
        ({"x": 1}, {"a": [1], "x": 1}),
        ({"x": 1}, {"a": [1], "x": [1]}),
        ({"a": {"$ne": 5}}, {"a": [1]}),
        ({"a": {"$not": {"$gt": 5}}}, {"a": [1]}),
        ({"$nor": [{"a": 5}]}, {"a": [1]}),
        ({"a": {"$exists": True}}, {"a": [1]}),
        ({"a": {"$size": 1}}, {"a": [1]}),
        ({"a": {"$size": 1}}, {"a": [[1]]}),
        ({"a": [1]}, {"a": [1]}),
        ({"a.0": 1}, {"a": [1]}),
        ({"a": {"$gt": 4, "$lt": 6}}, {"a": [3, 7]}),
    ],
)
def test_a_position_that_no_single_element_is_at_is_refused(filter_, document):
    node = parse_filter(filter_)
    assert matches(node, document)
    with pytest.raises(
        UpdateError, match=r"\$set of the field 'a\.\$' has a \$, and the filter found no single element"
    ):
        parse_update({"$set": {"a.$": 0}}).apply(document, now=NOW, node=node)


def test_a_document_that_is_inserted_has_no_position():
    with pytest.raises(UpdateError, match="the filter found no single element"):
        parse_update({"$set": {"a.$": 0}}).apply({"a": [1]}, now=NOW, node=parse_filter({"a": 1}), inserting=True)


def test_a_position_in_what_is_no_array_is_refused():
    with pytest.raises(UpdateError, match="needs an array at 'a', and the document holds a number there"):
        parse_update({"$set": {"a.$": 0}}).apply({"a": 1}, now=NOW, node=parse_filter({"a": 1}))


ELEMENT = st.integers(-2, 2) | st.sampled_from([True, None, "x", 1.0]) | st.lists(st.integers(0, 1), max_size=2)
ARRAY = st.lists(ELEMENT, max_size=6)


@given(ARRAY, ARRAY)
@settings(deadline=None)
def test_what_was_added_to_a_set_is_in_it_once_and_nothing_else_has_changed(array, values):
    result = parse_update({"$addToSet": {"a": {"$each": values}}}).apply({"a": array}, now=NOW)["a"]
    assert repr(result[: len(array)]) == repr(array)
    added = [*map(encode_key, result[len(array) :])]
    assert len(added) == len(set(added))
    assert set(added) == set(map(encode_key, values)) - set(map(encode_key, array))


@given(ARRAY, ELEMENT)
@settings(deadline=None)
def test_what_was_pulled_is_what_is_equal(array, value):
    result = parse_update({"$pull": {"a": value}}).apply({"a": array}, now=NOW)["a"]
    assert repr(result) == repr([element for element in array if encode_key(element) != encode_key(value)])


@given(ARRAY, st.sampled_from([{"$gt": 0}, {"$in": [1, "x"]}, {"$type": "number"}, {"$lte": True}]))
@settings(deadline=None)
def test_elements_named_by_a_filter_are_those_that_it_fits(array, operators):
    update = parse_update({"$set": {"a.$[x]": "here"}}, [{"x": operators}])
    node = parse_filter({"x": operators})
    expected = ["here" if matches(node, {"x": element}) else element for element in array]
    assert repr(update.apply({"a": array}, now=NOW)["a"]) == repr(expected)
