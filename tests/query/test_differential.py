"""SQL against the reference: whatever the documents and the filter, no verdict of SQL is wrong, and no order."""

from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poof.query.fields import FieldOrder
from poof.query.filters.compile import compile_filter, compile_sort, sort_functions
from poof.query.filters.match import matcher
from poof.query.filters.parse import parse_filter
from poof.query.key_rows import Rows
from poof.query.paths import parse_path
from tests.support.query_strategies import documents, filters, names, paths

PAIRS = 100_000
"""Of a document and a filter, in the campaign."""
SIDE = 16
"""So many documents and so many filters meet in one example of the campaign."""

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CAMPAIGN = settings(QUICK, max_examples=PAIRS // SIDE**2 + 1)


@pytest.fixture(scope="module")
def table() -> Iterator[apsw.Connection]:
    connection = apsw.Connection(":memory:")
    for name, function in sort_functions().items():
        connection.create_scalar_function(name, function, deterministic=True)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, obj_id TEXT NOT NULL UNIQUE, doc TEXT NOT NULL)")
    yield connection
    connection.close()


def fill(table: apsw.Connection, found: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Makes these the documents of the table; their ids run against the order of insertion."""
    rows = [(f"id{len(found) - number:010}", document) for number, document in enumerate(found)]
    table.execute("DELETE FROM t")
    texts = [(number, obj_id, orjson.dumps(document).decode()) for number, (obj_id, document) in enumerate(rows)]
    table.executemany("INSERT INTO t VALUES (?, ?, ?)", texts)
    return rows


def check_filter(table: apsw.Connection, rows: list[tuple[str, dict[str, Any]]], wanted: dict[str, Any]) -> None:
    node = parse_filter(wanted)
    fits, where = matcher(node), compile_filter(node)
    verdicts: Any = table.execute(f"SELECT {where.sql} FROM t ORDER BY id", where.parameters).fetchall()
    for (obj_id, document), (verdict,) in zip(rows, verdicts, strict=True):
        assert verdict in (None, fits(document, obj_id)), (document, wanted)
    chosen: Any = table.execute(f"SELECT id FROM t WHERE ({where.sql}) IS NOT 0 ORDER BY id", where.parameters)
    assert [number for (number,) in chosen] == [number for number, (verdict,) in enumerate(verdicts) if verdict != 0]


def check_sort(table: apsw.Connection, rows: list[tuple[str, dict[str, Any]]], fields: Sequence[FieldOrder]) -> None:
    terms = compile_sort(fields)
    parameters = [value for term in terms for value in term.parameters]
    order = ", ".join(term.sql for term in terms)
    found: Any = table.execute(f"SELECT id FROM t ORDER BY {order}, id", parameters).fetchall()
    keys = [Rows(fields).first({**document, "_objId": obj_id}) for obj_id, document in rows]
    assert [number for (number,) in found] == sorted(range(len(rows)), key=keys.__getitem__)


def sorts() -> st.SearchStrategy[list[FieldOrder]]:
    """Sorts by one field, and by several that may lead into one array."""
    inside = st.lists(names(), max_size=2).map(lambda steps: ".".join(["a", *steps]))
    fields = st.builds(
        lambda name, descending: FieldOrder(parse_path(name), descending), paths() | inside, st.booleans()
    )
    return st.lists(fields, min_size=1, max_size=3, unique_by=lambda one: one.path)


@given(found=st.lists(documents(), max_size=8), wanted=st.lists(filters(), max_size=8))
@QUICK
def test_no_verdict_of_sql_is_wrong(
    table: apsw.Connection, found: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    rows = fill(table, found)
    for one in wanted:
        check_filter(table, rows, one)


@given(found=st.lists(documents(), max_size=12), by=st.lists(sorts(), max_size=6))
@QUICK
def test_sql_sorts_as_the_keys_do(
    table: apsw.Connection, found: list[dict[str, Any]], by: list[list[FieldOrder]]
) -> None:
    rows = fill(table, found)
    for fields in by:
        check_sort(table, rows, fields)


@pytest.mark.campaign
@given(
    found=st.lists(documents(), min_size=SIDE, max_size=SIDE),
    wanted=st.lists(filters(), min_size=SIDE, max_size=SIDE),
)
@CAMPAIGN
def test_no_verdict_of_sql_is_wrong_in_many_examples(
    table: apsw.Connection, found: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    rows = fill(table, found)
    for one in wanted:
        check_filter(table, rows, one)


@pytest.mark.campaign
@given(
    found=st.lists(documents(), min_size=SIDE, max_size=SIDE),
    by=st.lists(sorts(), min_size=SIDE, max_size=SIDE),
)
@CAMPAIGN
def test_sql_sorts_as_the_keys_do_in_many_examples(
    table: apsw.Connection, found: list[dict[str, Any]], by: list[list[FieldOrder]]
) -> None:
    rows = fill(table, found)
    for fields in by:
        check_sort(table, rows, fields)
