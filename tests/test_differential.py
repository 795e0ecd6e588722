"""SQL against the reference: whatever the documents and the filter, no verdict of SQL is wrong, and no order."""

from collections.abc import Iterator
from typing import Any

import apsw
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from query_strategies import documents, filters, paths

from poof.query.compile import compile_filter, compile_sort, sort_functions
from poof.query.match import matcher
from poof.query.order import sort_key
from poof.query.parse import parse_filter
from poof.query.paths import parse_path

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


def check_sort(table: apsw.Connection, rows: list[tuple[str, dict[str, Any]]], name: str, descending: bool) -> None:
    path = parse_path(name)
    term = compile_sort(path, descending)
    found: Any = table.execute(f"SELECT id FROM t ORDER BY {term.sql}, id", term.parameters).fetchall()
    keys = [sort_key({**document, "_objId": obj_id}, path, descending=descending) for obj_id, document in rows]
    expected = sorted(range(len(rows)), key=keys.__getitem__, reverse=descending)
    assert [number for (number,) in found] == expected


@given(found=st.lists(documents(), max_size=8), wanted=st.lists(filters(), max_size=8))
@QUICK
def test_no_verdict_of_sql_is_wrong(
    table: apsw.Connection, found: list[dict[str, Any]], wanted: list[dict[str, Any]]
) -> None:
    rows = fill(table, found)
    for one in wanted:
        check_filter(table, rows, one)


@given(found=st.lists(documents(), max_size=12), by=st.lists(paths(), max_size=6), descending=st.booleans())
@QUICK
def test_sql_sorts_as_the_keys_do(
    table: apsw.Connection, found: list[dict[str, Any]], by: list[str], descending: bool
) -> None:
    rows = fill(table, found)
    for name in by:
        check_sort(table, rows, name, descending)


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
    by=st.lists(paths(), min_size=SIDE, max_size=SIDE),
    descending=st.booleans(),
)
@CAMPAIGN
def test_sql_sorts_as_the_keys_do_in_many_examples(
    table: apsw.Connection, found: list[dict[str, Any]], by: list[str], descending: bool
) -> None:
    rows = fill(table, found)
    for name in by:
        check_sort(table, rows, name, descending)
