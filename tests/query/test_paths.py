"""What a dotted path is, and what it leads to in a document."""

import copy
import pickle

import pytest

from poof import InvalidQueryError
from poof.encoding.scalars import MAX_DEPTH
from poof.query.paths import MISSING, candidates_at, parse_index, parse_path, values_at


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a", ("a",)),
        ("a.b.c", ("a", "b", "c")),
        ("a.0", ("a", "0")),
        ("odd key", ("odd key",)),
        ("a$b.c$", ("a$b", "c$")),
        ("_id", ("_id",)),
        ("\u00e9.\x00", ("\u00e9", "\x00")),
        (".".join("a" * MAX_DEPTH), ("a",) * MAX_DEPTH),
    ],
)
def test_a_path_is_its_steps(name, path):
    assert parse_path(name) == path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (1, "not int"),
        (None, "not NoneType"),
        (b"a", "not bytes"),
        (("a", "b"), "not tuple"),
        ("", "empty"),
        (".", "empty"),
        (".a", "'.a' has an empty"),
        ("a.", "'a.' has an empty"),
        ("a..b", "'a..b' has an empty"),
        ("$a", "'$a' has a step that begins with $"),
        ("a.$", "begins with $"),
        ("a.$b.c", "begins with $"),
        (".".join("a" * (MAX_DEPTH + 1)), "101 steps"),
        ("a.\ud800", "Unicode"),
    ],
)
def test_what_is_no_path_is_refused(name, says):
    with pytest.raises(InvalidQueryError) as caught:
        parse_path(name)
    assert says in str(caught.value)
    assert str(caught.value).isascii()


def test_the_error_says_what_the_path_is_for():
    with pytest.raises(InvalidQueryError, match=r"The sort field 'a\.\.b' has an empty name"):
        parse_path("a..b", what="sort field")


@pytest.mark.parametrize(
    ("step", "index"),
    [
        ("0", 0),
        ("7", 7),
        ("120", 120),
        ("01", None),
        ("00", None),
        ("-1", None),
        ("+1", None),
        ("1 ", None),
        ("1_0", None),
        ("1.0", None),
        ("\u0661", None),
        ("\u00b2", None),
        ("9" * 5000, None),
        ("a", None),
        ("", None),
    ],
)
def test_an_index_is_written_in_one_way_only(step, index):
    assert parse_index(step) == index


# document, path, values at it, candidates at it
TRAVERSALS = {
    "a field": ({"a": 1}, "a", [1], [1]),
    "null": ({"a": None}, "a", [None], [None]),
    "no field": ({"b": 1}, "a", [MISSING], [MISSING]),
    "a field inside": ({"a": {"b": 1}}, "a.b", [1], [1]),
    "nothing inside": ({"a": {}}, "a.b", [MISSING], [MISSING]),
    "nothing inside what is not there": ({}, "a.b.c", [MISSING], [MISSING]),
    "nothing inside a number": ({"a": 4}, "a.b", [MISSING], [MISSING]),
    "nothing inside null": ({"a": None}, "a.b", [MISSING], [MISSING]),
    "an index is a key of a document": ({"a": {"0": 1}}, "a.0", [1], [1]),
    "an index of text is nothing": ({"a": "text"}, "a.0", [MISSING], [MISSING]),
    "an array at the end": ({"a": [1, 2]}, "a", [[1, 2]], [1, 2, [1, 2]]),
    "an array in an array at the end": ({"a": [[1], 2]}, "a", [[[1], 2]], [[1], 2, [[1], 2]]),
    "an empty array at the end": ({"a": []}, "a", [[]], [[]]),
    "an array deep at the end": ({"a": {"b": [1]}}, "a.b", [[1]], [1, [1]]),
    "an empty array on the way": ({"a": []}, "a.b", [], []),
    "an array of numbers on the way": ({"a": [4, None]}, "a.b", [], []),
    "an array of documents": (
        {"a": [{"b": 5}, 3, {}, {"b": [9, 11]}, {"b": 7}]},
        "a.b",
        [5, MISSING, [9, 11], 7],
        [5, MISSING, 9, 11, [9, 11], 7],
    ),
    "arrays in documents in arrays": ({"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": []}]}, "a.b.c", [1, 2], [1, 2]),
    "an array in an array on the way is passed over": ({"a": [[{"b": 1}]]}, "a.b", [], []),
    "an index": ({"a": [5, 7, 3]}, "a.1", [7], [7]),
    "an index beyond the end": ({"a": [5]}, "a.1", [], []),
    "an index with a zero before it": ({"a": [5, 7]}, "a.01", [], []),
    "an index to an array does not open it": ({"a": [5, [2, 4]]}, "a.1", [[2, 4]], [[2, 4]]),
    "an index is a key as well": ({"a": [5, {"1": 4}]}, "a.1", [4, {"1": 4}], [4, {"1": 4}]),
    "a key that is missing, and an index": ({"a": [{"b": 4}]}, "a.0", [MISSING, {"b": 4}], [MISSING, {"b": 4}]),
    "inside an indexed document": ({"a": [5, {"b": [4]}]}, "a.1.b", [MISSING, [4]], [MISSING, 4, [4]]),
    "inside an indexed array": ({"a": [5, [{"b": 4}, 6]]}, "a.1.b", [4], [4]),
    "inside an indexed number": ({"a": [5]}, "a.0.b", [], []),
    "an index in an indexed array": ({"a": [[1, 2], [3, 4]]}, "a.1.0", [3], [3]),
}


@pytest.mark.parametrize(
    ("document", "name", "values"),
    [(document, name, values) for document, name, values, _ in TRAVERSALS.values()],
    ids=TRAVERSALS,
)
def test_a_path_leads_to_values(document, name, values):
    assert values_at(document, parse_path(name)) == values


@pytest.mark.parametrize(
    ("document", "name", "candidates"),
    [(document, name, candidates) for document, name, _, candidates in TRAVERSALS.values()],
    ids=TRAVERSALS,
)
def test_a_test_is_made_of_the_elements_of_an_array_too(document, name, candidates):
    assert candidates_at(document, parse_path(name)) == candidates


@pytest.mark.parametrize("element", [5, None, {"b": 1}, [1, [2]], []])
def test_the_empty_path_leads_to_the_element_itself(element):
    assert values_at(element, ()) == [element]
    assert candidates_at(element, ()) == [element]


def test_a_path_changes_nothing_in_the_document():
    document = {"a": [{"b": [1]}, [2]]}
    values_at(document, ("a", "b")).append(3)
    candidates_at(document, ("a",)).append(3)
    assert document == {"a": [{"b": [1]}, [2]]}


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])  # noqa: S301
def test_missing_stays_itself(make):
    assert make(MISSING) is MISSING


def test_missing_is_not_null():
    assert MISSING is not None
    assert repr(MISSING) == "MISSING"
