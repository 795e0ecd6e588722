"""Random examples of documents, indexes, questions and changes that meet.

What is drawn has few names and few values, so that filters find something and indexes meet arrays.
"""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from poof.query.fields import FieldOrder
from poof.query.filters.parse import parse_filter
from poof.query.indexes.definition import IndexDefinition
from poof.query.paths import MISSING, parse_path, values_at
from poof.query.query import Query
from tests.support.query_strategies import documents, filters, short

PATHS = ("a", "b", "a.b", "a.0", "b.a", "a.b.0", "b.0.a", "0", "a.a", "a.0.b", "a.1.a", "a.b.a", "a.b.b")
FAVOURITES = ("a", "b", "a.b", "a.0")
"""Paths that come up more often."""
TOGETHER = ("a.a", "a.b", "a.0", "a", "a.b.a", "a.b.b", "a.0.b", "a.0.a", "b")
"""Paths of which several lead into one array, most of them."""
SCALARS = (None, True, False, 0, 1, 1.0, 2, 2.5, 2**53 + 1, "", "a", "b", "a\x00")
ARRAYS: tuple[Any, ...] = (
    [],
    [[]],
    [1],
    [[1]],
    [[1], 2],
    [1, 2],
    [{"b": 1}],
    [[{"b": 1}]],
    [{"b": [1, 2]}, {"b": 3}],
    [None],
)
TYPES = ("null", "number", "string", "object", "array", "bool")
COMPARISONS = ("$gt", "$gte", "$lt", "$lte")
PARTS: tuple[dict[str, Any], ...] = (
    {"b": 1},
    {"b": {"$exists": True}},
    {"a": {"$gt": 1}},
    {"a.b": None},
    {"a": {"$elemMatch": {"b": 1}}},
    {"b": {"$elemMatch": {"$elemMatch": {"$gte": 1}}}},
    {"a": {"$size": 1}},
    {"a": {"$in": [1, "a", [], None]}},
    {"$or": [{"a": 1}, {"b": {"$type": "number"}}]},
)
"""Filters of partial indexes, and parts of filters."""


@short
def values() -> st.SearchStrategy[Any]:
    names = st.sampled_from(("a", "b", "0"))
    scalars = st.sampled_from(SCALARS)
    nested = st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=2)),
        max_leaves=4,
    )
    return st.one_of(scalars, nested, st.sampled_from(ARRAYS), st.sampled_from(ARRAYS))


@short
def data() -> st.SearchStrategy[dict[str, Any]]:
    """A document; one in four is as wild as those of `documents`."""
    documents_with_objects = st.fixed_dictionaries(
        {"a": st.fixed_dictionaries({"b": values()})}, optional={"b": values()}
    )
    plain = st.fixed_dictionaries({}, optional={"a": values(), "b": values(), "0": values()})
    return st.one_of(plain, plain, documents_with_objects, documents(), array_data(), array_data())


@short
def array_data() -> st.SearchStrategy[dict[str, Any]]:
    """A document with an array of documents, and of much else."""
    scalars = st.sampled_from(SCALARS[:7])
    small = st.dictionaries(st.sampled_from(("a", "b", "0")), scalars, max_size=2)
    inner = st.one_of(scalars, scalars, scalars, small, st.lists(st.one_of(scalars, small), max_size=2))
    elements = st.dictionaries(st.sampled_from(("a", "b", "a", "b", "0")), inner, max_size=3)
    others = st.one_of(scalars, st.lists(st.one_of(scalars, elements), max_size=2))
    arrays = st.lists(st.one_of(elements, elements, elements, others), max_size=3)
    return st.fixed_dictionaries({"a": arrays}, optional={"b": st.one_of(scalars, scalars, arrays)})


def paths() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(FAVOURITES), st.sampled_from(PATHS))


@short
def operators() -> st.SearchStrategy[dict[str, Any]]:
    def one(names: tuple[str, ...], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        return st.builds(lambda name, operand: {name: operand}, st.sampled_from(names), operands)

    lists = st.lists(values(), max_size=4)
    return st.one_of(
        st.builds(lambda low, high: {**low, **high}, one(COMPARISONS[:2], values()), one(COMPARISONS[2:], values())),
        one(COMPARISONS, values()),
        one(("$in", "$in", "$in", "$all", "$nin"), lists),
        st.one_of(
            one(("$eq", "$ne"), values()),
            one(("$exists",), st.booleans()),
            one(("$type",), st.sampled_from(TYPES)),
            one(("$size",), st.integers(0, 3)),
            one(("$regex",), st.sampled_from(("", "^a", "x"))),
        ),
    )


@short
def conditions() -> st.SearchStrategy[Any]:
    """What a filter says about a field."""
    elements = st.one_of(operators(), simple(), operators().map(lambda inner: {"$elemMatch": inner}))
    return st.one_of(
        values(),
        operators(),
        elements.map(lambda inner: {"$elemMatch": inner}),
        operators().map(lambda inner: {"$not": inner}),
    )


@short
def simple() -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(paths(), st.one_of(values(), operators()), min_size=1, max_size=2)


@short
def wanted() -> st.SearchStrategy[dict[str, Any]]:
    """A filter; a few are as wild as those of `filters`."""
    plain = st.dictionaries(paths(), conditions(), min_size=1, max_size=3)
    part = st.one_of(simple(), plain, st.sampled_from(PARTS))
    logical = st.builds(
        lambda name, parts, rest: {name: parts, **rest},
        st.sampled_from(("$or", "$or", "$and", "$nor")),
        st.lists(part, min_size=1, max_size=3),
        st.one_of(st.just({}), plain),
    )
    equal = st.builds(lambda path, value: {path: value}, st.sampled_from(FAVOURITES), values())
    either = st.builds(lambda *branches: {"$or": branches}, equal, st.one_of(equal, simple()))
    both = st.builds(
        lambda path, *found: {"$and": [{path: one} for one in found]},
        st.sampled_from(FAVOURITES),
        st.one_of(values(), conditions()),
        st.one_of(values(), conditions()),
    )
    parts = st.sampled_from(PARTS[:4])
    with_part = st.builds(lambda part, rest: {**rest, **part}, parts, st.one_of(st.just({}), simple()))
    return st.one_of(simple(), simple(), plain, logical, either, both, with_part, with_part, in_elements(), filters())


@short
def in_elements() -> st.SearchStrategy[dict[str, Any]]:
    """A filter on several fields of one element, or of several."""
    scalars = st.sampled_from(SCALARS[:7])
    asked = st.one_of(
        scalars, scalars, st.builds(lambda name, value: {name: value}, st.sampled_from(COMPARISONS), scalars)
    )
    fields = st.dictionaries(st.sampled_from(("a", "b", "0", "b.a", "b.b")), asked, min_size=1, max_size=3)
    one = st.builds(lambda path, inner: {path: {"$elemMatch": inner}}, st.sampled_from(("a", "a", "a.b")), fields)
    nested = st.builds(lambda inner, outer: {"a": {"$elemMatch": {**inner, **outer}}}, one, fields)
    several = st.dictionaries(st.sampled_from(TOGETHER), asked, min_size=1, max_size=3)
    return st.one_of(one, several, nested, st.builds(lambda *found: {"$and": found}, one, st.one_of(one, several)))


def orders(most: int) -> st.SearchStrategy[tuple[FieldOrder, ...]]:
    return st.one_of(_orders(paths(), most), _orders(st.sampled_from(TOGETHER), most))


def _orders(names: st.SearchStrategy[str], most: int) -> st.SearchStrategy[tuple[FieldOrder, ...]]:
    fields = st.builds(lambda name, descending: FieldOrder(parse_path(name), descending), names, st.booleans())
    return st.lists(fields, min_size=1, max_size=most, unique_by=lambda one: one.path).map(tuple)


@short
def sorts() -> st.SearchStrategy[tuple[FieldOrder, ...]]:
    return st.one_of(st.just(()), orders(1), orders(3))


@short
def definitions() -> st.SearchStrategy[IndexDefinition]:
    where = st.sampled_from((*[None] * 9, *PARTS, *PARTS[:4]))
    unique = st.sampled_from((False, False, False, False, True))
    return st.builds(IndexDefinition, st.one_of(orders(1), orders(3)), unique, where)


@dataclass(frozen=True)
class Question:
    """A query to be answered twice."""

    wanted: dict[str, Any]
    sort: tuple[FieldOrder, ...] = ()
    skip: int = 0
    limit: int | None = None

    @property
    def query(self) -> Query:
        return Query(parse_filter(self.wanted), self.sort, self.skip, self.limit)


@short
def questions() -> st.SearchStrategy[Question]:
    return asked_of(wanted())


def asked_of(filters: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Question]:
    limits = st.one_of(st.none(), st.none(), st.integers(1, 4))
    return st.builds(Question, filters, sorts(), st.sampled_from((0, 0, 0, 1, 3)), limits)


@st.composite
def fitting(draw: st.DrawFn, found: list[dict[str, Any]]) -> dict[str, Any]:
    """A filter that fits one of these documents, most likely: what is drawn at random rarely finds anything."""
    document = draw(st.sampled_from(found))
    parts = [draw(fitting_part(document)) for _ in range(draw(st.integers(1, 2)))]
    if draw(st.booleans()):
        parts.append(draw(st.sampled_from((*PARTS[:4], {"$or": [parts[0], draw(simple())]}))))
    return {"$and": parts}


@st.composite
def fitting_part(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    found = [path for path in PATHS if values_at(document, parse_path(path)) not in ([], [MISSING])]
    path = draw(st.one_of(paths(), st.sampled_from(found or PATHS)))
    wholes = values_at(document, parse_path(path))
    items = [item for whole in wholes for item in (whole if isinstance(whole, list) else [whole])] + wholes
    one, other = (draw(st.sampled_from(items or [MISSING])) for _ in range(2))
    if one is MISSING or other is MISSING or "$" in str((one, other)):
        return {path: None}
    if isinstance(one, list) and one and draw(st.booleans()):  # for arrays in arrays
        innermost = {"$in": one} if draw(st.booleans()) else {"$gte": one[0]}
        return {path: {"$elemMatch": {"$elemMatch": innermost}}}
    simple_ones = [{"$eq": one}, {"$in": [one, 1]}, {"$gte": one, "$lte": other}, {"$size": size(one)}]
    element = draw(st.sampled_from(simple_ones))
    fits = st.sampled_from(
        [*simple_ones[:3], {"$all": [one, other]}, {"$in": [one, None]}, {"$elemMatch": element}, element]
    )
    nested = one if isinstance(one, dict) and one and set(one) <= {"a", "b", "0"} else {"b": draw(values())}
    return draw(
        st.one_of(
            st.builds(lambda condition: {path: condition}, fits),
            st.builds(lambda first, second: {"$and": [{path: first}, {path: second}]}, fits, fits),
            st.just({path: {"$elemMatch": nested}}),
        )
    )


@st.composite
def fitting_fields(draw: st.DrawFn, found: list[dict[str, Any]], fields: tuple[FieldOrder, ...]) -> dict[str, Any]:
    """A filter on what these fields of a document have, or one of its elements, or null."""
    document = draw(st.sampled_from(found))
    wanted: dict[str, Any] = {}
    inside: dict[str, Any] = {}
    for field in fields:
        found_there = values_at(document, field.path)
        items = [item for one in found_there for item in (one if isinstance(one, list) else [one]) if is_plain(item)]
        value = draw(st.sampled_from([*items, *items, None]))
        if field.path[0] == "a" and len(field.path) > 1 and draw(st.booleans()):
            inside[".".join(field.path[1:])] = value
        else:
            wanted[field.name] = value
    return {**wanted, "a": {"$elemMatch": inside}} if inside else wanted


def is_plain(item: Any) -> bool:
    return item is not MISSING and "$" not in str(item)


def size(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


@dataclass(frozen=True)
class Step:
    """A change of the documents, or of the indexes where there is no filter."""

    kind: str
    question: Question
    argument: Any = None


@short
def steps() -> st.SearchStrategy[Step]:
    path = paths()
    updates = st.one_of(
        st.builds(lambda name, value: {"$set": {name: value}}, path, values()),
        st.builds(lambda name, value: {"$push": {name: value}}, path, values()),
        st.builds(lambda name: {"$unset": {name: ""}}, path),
    )
    replacements = data().filter(lambda document: not any(name.startswith(("$", "_objId")) for name in document))
    nothing = st.just(Question({}))
    return st.one_of(
        st.builds(Step, st.just("insert"), nothing, data()),
        st.builds(Step, st.just("update"), questions(), updates),
        st.builds(Step, st.just("replace"), questions(), replacements),
        st.builds(Step, st.just("delete"), questions()),
        st.builds(Step, st.just("index"), nothing, definitions()),
        st.builds(Step, st.just("drop"), nothing, st.integers(0, 4)),
    )


@dataclass(frozen=True)
class Example:
    """Documents and indexes, what is asked, and what happens then."""

    documents: list[dict[str, Any]]
    indexes: list[IndexDefinition]
    questions: list[Question]
    steps: list[Step]


@st.composite
def examples(draw: st.DrawFn, *, least: int = 0, most: int, steps_at_most: int) -> Example:
    found = draw(st.lists(data(), min_size=least, max_size=most))
    fields = draw(_orders(st.sampled_from(TOGETHER), 3))
    fits = [asked_of(fitting(found)), asked_of(fitting_fields(found, fields))] if found else []
    question = st.one_of(questions(), *fits)
    others = draw(st.lists(definitions(), min_size=min(least, 1), max_size=5))
    return Example(
        found,
        draw(st.permutations([IndexDefinition(fields), *others])),
        draw(st.lists(question, min_size=least, max_size=most)),
        draw(st.lists(steps(), max_size=steps_at_most)),
    )
