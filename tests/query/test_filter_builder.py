"""`F` writes filters: the same dicts that could be written by hand."""

import copy
import datetime
import functools
import json
import operator
import pickle
import re

import pytest

from poof import InvalidQueryError
from poof.query.fields import parse_fields
from poof.query.filters.builder import Condition, F, FieldName
from poof.query.filters.match import matches
from poof.query.filters.parse import parse_filter

PATTERN = re.compile("^a")


@pytest.mark.parametrize(
    ("condition", "filter_"),
    [
        (F.age == 18, {"age": {"$eq": 18}}),
        (F.age != 18, {"age": {"$ne": 18}}),
        (F.age > 18, {"age": {"$gt": 18}}),
        (F.age >= 18, {"age": {"$gte": 18}}),
        (F.age < 18, {"age": {"$lt": 18}}),
        (F.age <= 18, {"age": {"$lte": 18}}),
        (18 == F.age, {"age": {"$eq": 18}}),  # noqa: SIM300 - it is the other side that is tested
        ("a" != F.age, {"age": {"$ne": "a"}}),  # noqa: SIM300 - as above
        (18 < F.age, {"age": {"$gt": 18}}),  # noqa: SIM300 - as above
        (18 <= F.age, {"age": {"$gte": 18}}),  # noqa: SIM300 - as above
        (18 > F.age, {"age": {"$lt": 18}}),  # noqa: SIM300 - as above
        (18 >= F.age, {"age": {"$lte": 18}}),  # noqa: SIM300 - as above
        (F.x == None, {"x": {"$eq": None}}),  # noqa: E711 - a condition, not a question
        (F.x != None, {"x": {"$ne": None}}),  # noqa: E711 - as above
        (None == F.x, {"x": {"$eq": None}}),  # noqa: E711, SIM300 - as above
        ([1] == F.x, {"x": {"$eq": [1]}}),  # noqa: SIM300 - as above
        ({"a": 1} == F.x, {"x": {"$eq": {"a": 1}}}),  # noqa: SIM300 - as above
        (F.x == {"$gt": 1}, {"x": {"$eq": {"$gt": 1}}}),
        (F.x > datetime.date(2024, 1, 1), {"x": {"$gt": datetime.date(2024, 1, 1)}}),
        (F.address.city == "Paris", {"address.city": {"$eq": "Paris"}}),
        (F["odd key"] == 1, {"odd key": {"$eq": 1}}),
        (F["a.b"].c == 1, {"a.b.c": {"$eq": 1}}),
        (F.a["b c"].d == 1, {"a.b c.d": {"$eq": 1}}),
        (F.tags[0] == 1, {"tags.0": {"$eq": 1}}),
        (F.rows[1][0].x == 1, {"rows.1.0.x": {"$eq": 1}}),
        (F._id == 1, {"_id": {"$eq": 1}}),
        (F._objId == "abc", {"_objId": {"$eq": "abc"}}),
        (F.__private == 1, {"__private": {"$eq": 1}}),
        (F.type == 1, {"type": {"$eq": 1}}),
        (F.pet["type"] == 1, {"pet.type": {"$eq": 1}}),
        (F["in_"].in_([1]), {"in_": {"$in": [1]}}),
        (F["__class__"] == 1, {"__class__": {"$eq": 1}}),
        (F.x.in_([1, PATTERN]), {"x": {"$in": [1, PATTERN]}}),
        (F.x.not_in((1, 2)), {"x": {"$nin": (1, 2)}}),
        (F.x.all_([1, 2]), {"x": {"$all": [1, 2]}}),
        (F.x.exists(), {"x": {"$exists": True}}),
        (F.x.is_null(), {"x": {"$eq": None}}),
        (F.x.is_null(False), {"x": {"$ne": None}}),
        (F.x.contains("a.b"), {"x": {"$regex": "a\\.b"}}),
        (F.x.icontains("a"), {"x": {"$regex": "a", "$options": "i"}}),
        (F.x.startswith("{"), {"x": {"$regex": "\\A\\{"}}),
        (F.x.endswith("$"), {"x": {"$regex": "\\$\\Z"}}),
        (F.x.exists(False), {"x": {"$exists": False}}),
        (F.x.type("string"), {"x": {"$type": "string"}}),
        (F.x.type(["string", 10]), {"x": {"$type": ["string", 10]}}),
        (F.x.size(2), {"x": {"$size": 2}}),
        (F.x.mod(4, 1), {"x": {"$mod": [4, 1]}}),
        (F.x.matches("^a"), {"x": {"$regex": "^a"}}),
        (F.x.matches("^a", "i"), {"x": {"$regex": "^a", "$options": "i"}}),
        (F.x.matches(PATTERN), {"x": {"$regex": PATTERN}}),
        (F.x.elem_match({"$gt": 1}), {"x": {"$elemMatch": {"$gt": 1}}}),
        (F.x.elem_match(F.a == 1), {"x": {"$elemMatch": {"a": {"$eq": 1}}}}),
        ((F.a == 1) & (F.b == 2), {"$and": [{"a": {"$eq": 1}}, {"b": {"$eq": 2}}]}),
        ((F.a == 1) | (F.b == 2), {"$or": [{"a": {"$eq": 1}}, {"b": {"$eq": 2}}]}),
        (~(F.a == 1), {"$nor": [{"a": {"$eq": 1}}]}),
        (~~(F.a == 1), {"$nor": [{"$nor": [{"a": {"$eq": 1}}]}]}),
        ((F.a == 1) & {"b": 2}, {"$and": [{"a": {"$eq": 1}}, {"b": 2}]}),
        ({"b": 2} & (F.a == 1), {"$and": [{"b": 2}, {"a": {"$eq": 1}}]}),
        ((F.a == 1) | {"b": 2}, {"$or": [{"a": {"$eq": 1}}, {"b": 2}]}),
        ({"b": 2} | (F.a == 1), {"$or": [{"b": 2}, {"a": {"$eq": 1}}]}),
        (F.a.exists() & F.b.exists() & F.c.exists(), {"$and": [{name: {"$exists": True}} for name in "abc"]}),
        (F.a.exists() | (F.b.exists() | F.c.exists()), {"$or": [{name: {"$exists": True}} for name in "abc"]}),
        (
            F.a.exists() & (F.b.exists() | F.c.exists()),
            {"$and": [{"a": {"$exists": True}}, {"$or": [{"b": {"$exists": True}}, {"c": {"$exists": True}}]}]},
        ),
        ((F.a == 1) & {"$and": [{"b": 1}]}, {"$and": [{"a": {"$eq": 1}}, {"$and": [{"b": 1}]}]}),
    ],
)
def test_an_expression_is_a_filter(condition, filter_):
    assert type(condition) is Condition
    assert condition == filter_
    parse_filter(condition)


def test_a_condition_goes_wherever_a_filter_goes():
    condition = (F.age >= 18) & F.tags.elem_match(F.name.matches("^A", "i"))
    node = parse_filter({"$or": [condition, {"vip": True}]})
    assert matches(node, {"age": 18, "tags": [{"name": "ann"}]})
    assert matches(node, {"vip": True})
    assert not matches(node, {"age": 18, "tags": [{"name": "bob"}]})
    assert json.loads(json.dumps(condition)) == condition


def test_a_value_from_outside_is_never_an_operator():
    from_outside = {"$ne": None}
    assert not matches(parse_filter(F.password == from_outside), {"password": "x"})


def test_combining_changes_no_condition():
    one, other = F.a == 1, F.b == 2
    both = one & other
    both &= F.c == 3
    assert one == {"a": {"$eq": 1}}
    assert other == {"b": {"$eq": 2}}
    assert both == {"$and": [one, other, {"c": {"$eq": 3}}]}


def test_an_assignment_with_or_is_the_or_of_filters():
    condition = earlier = F.a == 1
    condition |= F.a == 2
    assert condition == {"$or": [{"a": {"$eq": 1}}, {"a": {"$eq": 2}}]}
    assert earlier == {"a": {"$eq": 1}}


@pytest.mark.parametrize("combine", [operator.and_, operator.or_])
def test_a_long_chain_of_conditions_is_not_deep(combine):
    node = parse_filter(functools.reduce(combine, [F.a == n for n in range(300)]))
    assert len(node.nodes) == 300


MISTAKES = {
    "and": lambda: F.a == 1 and F.b == 2,
    "or": lambda: F.a == 1 or F.b == 2,
    "not": lambda: not F.a.exists(),
    "a chain": lambda: 1 < F.a < 5,
    "if": lambda: 1 if F.a.exists() else 2,
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_condition_is_neither_true_nor_false(mistake):
    with pytest.raises(TypeError, match=r"Combine conditions with &, \| and ~"):
        mistake()


OTHER_MISTAKES = {
    "a field as a condition": (lambda: bool(F.a), r"neither true nor false; use F\['a'\]\.exists\(\)"),
    "a field with and": (lambda: F.a and F.b, "Conditions are combined with &, \\| and ~, not with and"),
    "in": (lambda: 1 in F.tags, r"F\['tags'\] == value"),
    "a field to iterate over": (lambda: list(F.tags), "nothing to iterate"),
    "all fields to iterate over": (lambda: list(F), "cannot be iterated"),
    "a name in F": (lambda: "a" in F, "exists"),
    "a method for a field": (lambda: F.pet.type == "dog", r"F\['pet'\].type is a method. .* write F\['pet.type'\]"),
    "a method for a field in between": (lambda: F.pet.size.width, r"write F\['pet.size'\]"),
    "a method and an index": (lambda: F.a.contains[0] > 1, r"write F\['a.contains'\]"),
    "a method for a condition": (lambda: F.a.is_null & (F.b == 1), r"write F\['a.is_null'\]"),
    "a method as a key": (lambda: {F.a.mod: 1}, r"write F\['a.mod'\]"),
    "a method as a name": (lambda: parse_fields(F.a.matches, what="sort"), r"write F\['a.matches'\]"),
    "comparisons without parentheses": (lambda: F.mood > 3 & F.title == "x", r"put each comparison in parentheses"),
    "alternatives without parentheses": (
        lambda: F.mood == 3 | F.title == "x",
        r"\| joins conditions, and F",
    ),
    "a condition and a field": (lambda: (F.mood > 3) & F.title == "x", "put each comparison in parentheses"),
    "a field and a condition": (lambda: F.title & (F.mood > 3), "put each comparison in parentheses"),
    "not a field": (lambda: ~F.done, r"write F\['done'\] != True"),
    "a search for no text": (lambda: F.a.contains(PATTERN), r"For patterns, use matches\(\)"),
    "a negative index": (lambda: F.a[-1], "0 or more"),
    "a slice": (lambda: F.a[1:2], "named by text"),
    "no name": (lambda: F[None], "named by text"),
    "an operator without a condition": (lambda: (F.a == 1) & True, "unsupported operand"),
    "an operator after no condition": (lambda: 1 | (F.a == 1), "unsupported operand"),
    "an operator on a field": (lambda: F.a & F.b, "& joins conditions, and F"),
}


@pytest.mark.parametrize(("mistake", "says"), OTHER_MISTAKES.values(), ids=OTHER_MISTAKES)
def test_a_mistake_raises_at_once(mistake, says):
    with pytest.raises(TypeError, match=says):
        mistake()


@pytest.mark.parametrize("assign", [lambda: setattr(F, "a", 1), lambda: setattr(F.a, "b", 1)])
def test_nothing_is_assigned_to_a_field(assign):
    with pytest.raises(AttributeError):
        assign()


@pytest.mark.parametrize("wrong", [F.a == F.b, F[""] == 1, F["$or"] == [1], F["a.$gt"] == 1], ids=repr)
def test_what_is_no_filter_is_refused_when_it_is_used(wrong):
    with pytest.raises(InvalidQueryError):
        parse_filter(wrong)


@pytest.mark.parametrize(
    "name", ["__len__", "__html__", "__deepcopy__", "__array_interface__", "__wrapped__", "__name__"]
)
def test_a_protocol_of_python_is_no_field(name):
    assert not hasattr(F, name)
    assert not hasattr(F.a, name)
    with pytest.raises(AttributeError, match=f"write F\\['{name}'\\]"):
        getattr(F, name)


COPIES = [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]  # noqa: S301 - our own bytes


@pytest.mark.parametrize("make", COPIES)
def test_fields_and_conditions_can_be_copied(make):
    assert make(F) is F
    assert type(make(F.a.b)) is FieldName
    assert (make(F.a.b) == 1) == {"a.b": {"$eq": 1}}
    condition = (F.a == 1) & (F.b == 2)
    assert make(condition) == condition
    assert type(make(condition)) is Condition


def test_fields_show_how_they_are_written():
    assert repr(F) == "F"
    assert repr(F.a["b c"][0]) == "F['a.b c.0']"
    assert repr(F.a == 1) == "{'a': {'$eq': 1}}"


@pytest.mark.parametrize(
    ("condition", "fitting", "others"),
    [
        (F.x.contains("a.\n"), ["a.\n", "xa.\nx", ["b", "a.\n"]], ["a", "ab\n", "A.\n", 1, None]),
        (F.x.icontains("\u00c4b"), ["x\u00e4B"], ["ab"]),
        (F.x.startswith("a"), ["a", "ab"], ["ba", "b\na", ""]),
        (F.x.endswith("a"), ["a", "ba"], ["ab", "a\n", ""]),
        (F.x.contains(""), ["", "x"], [1, None]),
        (F.x.is_null(), [None, [None]], ["", 0, []]),
        (F.x.is_null(False), ["", 0, [], [1]], [None, [1, None]]),
    ],
)
def test_text_is_searched_as_it_is(condition, fitting, others):
    node = parse_filter(condition)
    assert [matches(node, {"x": value}) for value in fitting + others] == [True] * len(fitting) + [False] * len(others)


async def test_a_field_names_itself_wherever_names_are_taken(open_collection):
    async with open_collection() as people:
        await people.insert_many([{"age": 1, "pet": {"size": 5}, "l": [{"n": 1}]}, {"age": 2, "l": []}])
        await people.create_index(F.age)
        await people.create_index([(F.pet["size"], -1), F.age], where={F.age: {"$gt": 0}}, name="both")
        assert {index.name for index in await people.list_indexes()} == {"age_1", "both"}
        assert await people.distinct(F.age, {F.age: {"$gt": 1}}) == [2]
        assert [doc.data["age"] for doc in await people.find(sort={F.age: -1}).to_list()] == [2, 1]
        assert [doc.data["age"] for doc in await people.find().sort(F.age).to_list()] == [1, 2]
        update = {"$inc": {F.age: 1, F.pet["size"]: 1}, "$set": {F.l["$[it]"].n: 7}, "$rename": {"age": F.years}}
        with pytest.raises(InvalidQueryError, match=r"changes 'age' twice"):
            await people.update_one({}, update)
        del update["$inc"][F.age]
        await people.update_one({F.pet["size"]: 5}, update, array_filters=[{F.it.n: 1}])
        assert (await people.find_one({}, [F.pet, F.years, F.l])).data == {
            "pet": {"size": 6},
            "l": [{"n": 7}],
            "years": 1,
        }
        assert await people.drop_index(F.age) or await people.drop_index([F.age])
