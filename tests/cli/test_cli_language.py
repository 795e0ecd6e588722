"""The language of `poof shell`: what its lines mean, what they may not do, and what is offered to complete them."""

import re
from datetime import UTC, datetime

import pytest

from poof import F, PoofCluster, PoofCollection, PoofCursor, PoofDocument
from poof.cli import language
from poof.cli.completion import OPERATORS, Known, highlighted, offers
from poof.cli.failures import CommandError
from poof.cli.language import Evaluator
from tests.support.places import ROOT


@pytest.fixture
def evaluate(run):
    """Evaluates lines on a cluster in memory with two people; returns what the last one gives."""

    def evaluate_all(*lines):
        async def whole():
            async with await PoofCluster.create(":memory:") as cluster:
                people = await (await cluster.get_database("db")).get_collection("people")
                await people.insert_many([{"name": "Ann", "age": 29}, {"name": "Bob", "age": 41}])
                evaluator = Evaluator(cluster, "db")
                for line in lines:
                    result = await evaluator.evaluate(line)
                return await result.to_list() if isinstance(result, PoofCursor) else result

        return run(whole())

    return evaluate_all


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("people.find()", ["Ann", "Bob"]),
        ('people.find({"age": {"$gte": 30}})', ["Bob"]),
        ('people.find({"city": null, "name": "Ann"})', ["Ann"]),
        ('people.find().sort("age", -1).limit(1)', ["Bob"]),
        ("people.find(F.age >= 30)", ["Bob"]),
        ("people.find((F.age < 30) | (F.name == 'Bob'))", ["Ann", "Bob"]),
        ("people.find((F.age < 50) & ~(F.name == 'Bob'))", ["Ann"]),
        ("people.find(F['name'].in_(['Bob', 'Cem']))", ["Bob"]),
        ("people.find(F.exists.exists(false))", ["Ann", "Bob"]),
        ('db.people.find({"name": "Ann"})', ["Ann"]),
        ('db["people"].find_all()', ["Ann", "Bob"]),
        ('people.find({"age": {"$gt": -1}, "name": "Bob"})', ["Bob"]),
    ],
)
def test_a_line_finds_what_the_same_call_finds(evaluate, line, names):
    assert [document.data["name"] for document in evaluate(line)] == names


def test_a_line_is_awaited(evaluate):
    assert evaluate("people.count_documents()") == 2
    assert isinstance(evaluate('people.find_one({"name": "Ann"})'), PoofDocument)


def test_dates_can_be_written(evaluate):
    found = evaluate('people.insert({"at": datetime(2026, 1, 31, tzinfo=UTC)})', "people.find(F.at.exists())")
    assert found[0].data["at"] == datetime(2026, 1, 31, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_first_write_creates_the_collection(evaluate):
    assert evaluate('things.insert({"a": 1})', "things.count_documents()") == 1


async def test_a_first_write_that_fails_leaves_no_collection():
    async with await PoofCluster.create(":memory:") as cluster:
        evaluator = Evaluator(cluster, "db")
        with pytest.raises(ValueError, match="beyond 64 bits"):
            await evaluator.evaluate('things.insert({"a": 99999999999999999999})')
        assert await cluster.list_database_names() == []


@pytest.mark.parametrize(
    "line",
    [
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "people.__class__",
        "people.find.__globals__",
        "people._engine",
        "db._engine.path",
        "cluster.get_encryption_key()",
        "cluster.path",
        "cluster.close()",
        "people.migrate(print)",
        "people.export_jsonl('/tmp/x')",
        "F._FieldNames__name.format(people)",
        "F.name.__class__()",
        "(lambda: 1)()",
        "[x for x in people]",
        "people if true else people",
        "9 ** 9 ** 9",
        "'a' * 1000000000",
        "f'{people}'",
        "people.find(*[1])",
        "people.find(**{'filter': {}})",
        "{**{}}",
        "{1: 2}",
        "1 < 2",
        "1 < F.age < 2",
        "F.age & 1",
        "x = 1",
        "import os",
        "people.find({",
        "people",
        "db",
        "F.age",
        "cluster",
        "none.find()",
        "people.find(1, 2, 3, 4)",
        "datetime(1)",
        "(" * 1000 + ")" * 1000,
        "\x00",
    ],
)
def test_everything_else_is_refused_in_one_line(evaluate, line):
    with pytest.raises(CommandError) as error:
        evaluate(line)
    assert "\n" not in str(error.value)


async def test_without_a_database_in_use_a_line_says_how_to_choose_one():
    async with await PoofCluster.create(":memory:") as cluster:
        with pytest.raises(CommandError, match="use NAME"):
            await Evaluator(cluster).evaluate("people.find()")


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        (PoofCluster, language.CLUSTER_METHODS),
        (PoofCollection, language.COLLECTION_METHODS),
        (PoofCursor, language.CURSOR_METHODS),
        (F.age, language.FIELD_METHODS),
    ],
)
def test_every_method_of_the_language_is_one_of_the_api(kind, methods):
    assert all(callable(getattr(kind, name)) and not name.startswith("_") for name in methods)


KNOWN = Known(["db", "other"], ["people", "odd name"], {"name", "age", "odd field"})


@pytest.mark.parametrize(
    ("text", "offered"),
    [
        ("peo", ["people"]),
        ("he", ["help"]),
        ("use ", ["db", "other"]),
        ("show c", ["collections"]),
        ("people.find_o", ["find_one", "find_one_and_delete", "find_one_and_replace", "find_one_and_update"]),
        ("db.p", ["people"]),
        ('db["odd name"].dr', ["drop", "drop_index"]),
        ("cluster.s", ["save"]),
        ("people.find().s", ["skip", "sort"]),
        ('people.find({"na', ["name"]),
        ('people.find({"age": {"$gt', ["$gt", "$gte"]),
        ("people.find({'$no", ["$nor", "$not"]),
        ("people.find(F.a", ["age"]),
        ("people.find(F.age.in", ["in_"]),
        ("people.find(F", ["F"]),
        ('people.find({"x y', []),
    ],
)
def test_tab_offers(text, offered):
    assert offers(text, KNOWN)[1] == offered


def test_every_operator_of_the_documents_is_offered_and_no_other():
    text = (ROOT / "docs" / "queries.md").read_text()
    documented = set(re.findall(r"`(\$[a-zA-Z]+)`", text))
    assert set(OPERATORS) == documented - {"$where", "$expr", "$text"}


def test_colours_change_no_text():
    line = """people.find({"a": {"$gt": 1.5}, 'b': "x\\"y"}).sort("a") # begin"""
    parts = highlighted(line)
    assert "".join(text for _, text, *_ in parts) == line
    assert {("class:operator", '"$gt"'), ("class:number", "1.5"), ("class:method", "find")} <= {
        part[:2] for part in parts
    }
