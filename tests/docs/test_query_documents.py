"""The tables of `docs/queries.md`: every row is run, in a file and in memory, and none is missing."""

import datetime
import json
import re

import pytest

from poof import F, PoofCluster, PoofCollection, PoofCursor, PoofDatabase
from poof.query.filters import parse
from poof.query.filters.builder import FieldName
from poof.query.updates import operands, update
from tests.support.places import ROOT

pytestmark = pytest.mark.every_engine

PAGE = (ROOT / "docs" / "queries.md").read_text(encoding="utf-8")
SAMPLE = [json.loads(line) for line in re.search(r"^```json\n(.*?)^```$", PAGE, re.M | re.S)[1].splitlines()]
FIELDS = ["name", "age", "city", "tags", "scores", "pet", "pet.kind", "orders", "orders.item", "orders.n", "scores.1"]
NAME = re.compile(r"`(\$[\w[\]]*)`")


class Now:
    """Equal to the text of any time not long ago."""

    def __eq__(self, other):
        return datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(other) < datetime.timedelta(1)


def table(*head):
    """The rows of the table with this head."""
    begin = "| " + " | ".join(head) + " |\n"
    assert PAGE.count(begin) == 1
    for line in PAGE.partition(begin)[2].partition("\n\n")[0].splitlines()[1:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert len(cells) == len(head)
        yield cells


def cases(rows):
    return [pytest.param(*row, id=row[1].strip("`")) for row in rows]


def value(cell):
    """What the Python in a cell is."""
    code = cell.removeprefix("`").removesuffix("`")
    return eval(code, {"F": F, "re": re, "now": Now()})  # noqa: S307 - written in our own document


def operators(rows):
    return {name for row in rows for name in NAME.findall(row[0])}


FILTERS = [*table("operator", "filter", "finds", "because")]
BUILDERS = [*table("Python", "filter")]
PROJECTIONS = [*table("projection", "of", "gives")]
UPDATES = [*table("operator", "before", "update", "after")]
STEPS = [*table("step", "before", "call", "after")]


@pytest.mark.parametrize("indexed", [False, True], ids=["", "indexed"])
@pytest.mark.parametrize(("operator", "filter_", "finds", "_because"), cases(FILTERS))
async def test_a_filter_finds_whom_the_table_says(operator, filter_, finds, _because, indexed, where, open_collection):
    async with open_collection(where=where) as people:
        await people.insert_many(SAMPLE)
        if indexed:
            for field in FIELDS:
                await people.create_index(field)
        found = await people.find(value(filter_)).to_list()
        assert [doc.data["name"] for doc in found] == finds.replace("nobody", "").replace(",", "").split()
        assert await people.count_documents(value(filter_)) == len(found)
    assert operator == "a value" or operator.strip("`") in filter_


def test_the_table_of_filters_has_every_operator():
    assert operators(FILTERS) == {*parse._OPERATORS, *parse._REGEX, *parse._BESIDE_FIELDS}


@pytest.mark.parametrize(("code", "filter_"), [pytest.param(*row, id=row[0].strip("`")) for row in BUILDERS])
def test_a_condition_is_the_filter_that_the_table_says(code, filter_):
    assert value(code) == value(filter_)


def test_the_table_of_conditions_has_every_method():
    methods = {name for name in vars(FieldName) if not name.startswith("_")}
    assert methods == {name for row in BUILDERS for name in re.findall(r"\.(\w+)\(", row[0])}


@pytest.mark.parametrize(("projection", "name", "gives"), [pytest.param(*row, id=row[0]) for row in PROJECTIONS])
async def test_a_projection_gives_what_the_table_says(projection, name, gives, where, open_collection):
    async with open_collection(where=where) as people:
        await people.insert_many(SAMPLE)
        found = await people.find_one({"name": name}, value(projection))
        assert json.dumps(found.data) == json.dumps(value(gives))


@pytest.mark.parametrize(("operator", "before", "change", "after"), [pytest.param(*row, id=row[2]) for row in UPDATES])
async def test_an_update_makes_what_the_table_says(operator, before, change, after, where, open_collection):
    async with open_collection(where=where) as collection:
        await collection.insert(value(before))
        await collection.update_one({}, value(change))
        assert_same((await collection.find_all())[0].data, value(after))
    assert operator.strip("`") in change


def assert_same(data, expected):
    assert data == expected
    if not any(isinstance(item, Now) for item in expected.values()):
        assert json.dumps(data) == json.dumps(expected)  # in which 2 is not 2.0, and the order counts


def test_the_table_of_updates_has_every_operator():
    assert operators(UPDATES) == {*operands.OPERATORS, update._RENAME, *operands._CLAUSES}


@pytest.mark.parametrize(("step", "before", "call", "after"), [pytest.param(*row, id=row[2]) for row in STEPS])
async def test_a_call_makes_what_the_table_says(step, before, call, after, where, open_collection):
    async with open_collection(where=where) as collection:
        if before != "nothing":
            await collection.insert(value(before))
        await eval(f"collection.{call.strip('`')}")  # noqa: S307 - as above
        (stored,) = await collection.find_all()
        assert json.dumps(stored.data) == json.dumps(value(after))
    assert step == "upsert" or step.strip("`") in call


USES = [
    ({"city": "Paris"}, None, "city_1"),
    ({"city": None}, None, "city_1"),
    ({"city": {"$in": ["Paris", "Rome"]}}, None, "city_1"),
    ({"city": {"$in": ["Paris", re.compile("R")]}}, None, None),
    ({"city": {"$gt": "Paris"}}, None, "city_1"),
    ({"pet.kind": "cat", "name": {"$lt": "B"}}, None, "pet.kind_1_name_1"),
    ({"pet.kind": "cat"}, None, "pet.kind_1_name_1"),
    ({"name": "Ann"}, None, None),
    ({"city": "Paris", "age": {"$ne": 30}}, None, "city_1"),
    ({"age": 30}, None, None),
    ({"tags": {"$all": ["friend"]}}, None, "tags_1"),
    ({"orders": {"$elemMatch": {"item": "tea", "n": 2}}}, None, "orders.item_1"),
    ({"$or": [{"city": "Paris"}, {"tags": "friend"}]}, None, "city_1, tags_1"),
    ({"$or": [{"city": "Paris"}, {"age": 30}]}, None, None),
    *(
        ({"city": condition}, None, None)
        for condition in (
            {"$ne": "Paris"},
            {"$nin": ["Paris"]},
            {"$not": {"$gt": "Paris"}},
            {"$exists": True},
            {"$type": "string"},
            {"$size": 1},
            {"$mod": [2, 1]},
            {"$regex": "^P"},
        )
    ),
    ({"$nor": [{"city": "Paris"}]}, None, None),
    ({}, "city", "city_1"),
    ({}, [("city", -1), ("age", 1)], "city_1_age_-1"),
    ({}, [("city", 1), ("age", 1)], None),
    ({"city": "Paris"}, "age", "city_1_age_-1"),
    ({}, "tags", None),
]
"""What the section on indexes says: a filter, a sort, and the index that the query uses."""


@pytest.mark.own_engine
@pytest.mark.parametrize(("filter_", "sort", "index"), USES, ids=str)
async def test_a_query_uses_the_index_that_the_page_says(filter_, sort, index, open_collection):
    async with open_collection() as people:
        await people.insert_many(SAMPLE)
        for fields in ("city", [("city", 1), ("age", -1)], "tags", "orders.item", ["pet.kind", "name"]):
            await people.create_index(fields)
        cursor = people.find(filter_)
        how = await (cursor if sort is None else cursor.sort(sort)).explain()
        assert how.index == index


PUBLIC = [
    (cls, name)
    for cls in (PoofCluster, PoofDatabase, PoofCollection, PoofCursor)
    for name in vars(cls)
    if not name.startswith("_")
]


@pytest.mark.parametrize(("cls", "name"), PUBLIC, ids=lambda part: getattr(part, "__name__", part))
def test_every_method_is_in_the_documents(cls, name):
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert any(re.search(rf"\b{name}\b", code) for file in documents for code in code_of(file.read_text()))


def code_of(text):
    return re.findall(r"^```python\n.*?^```$|`[^`\n]+`", text, re.M | re.S)
