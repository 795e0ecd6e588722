"""The candidates of a plan: the documents that its indexes list, as SQL, with SQL's verdict on each.

Plain functions of a connection. `queries` turns the candidates into results.

A value that is bound as `?` in a LIMIT, or to a column of a join, makes SQLite prepare the statement anew for each
value, which costs as much as many a query. As `+?` it does not.

Invariants: the plan and the rows are of one snapshot; SQL may leave a document undecided, but never decides wrongly;
the order is that of the sort, and of insertion among equals, whichever indexes there are.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson

from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.connections import ClusterConnection
from poof.engines.sqlite.tables.indexes import with_indexes
from poof.query.filters.compile import Where, compile_filter, compile_sort
from poof.query.indexes.plan import Index, Lookup, Plan, make_plan
from poof.query.nodes import Node
from poof.query.query import Query

Candidate = tuple[int, str, Any, int | None]
"""Rowid, id, text and verdict of a document that SQL does not rule out; 0 for the text of a large one."""
Candidates = Iterator[Candidate]


class FromClause(NamedTuple):
    """The candidates of a plan, as the rows `d` of the documents."""

    sql: str
    """From FROM to the conditions, to which more can be added with AND."""
    parameters: tuple[Any, ...]
    order: str


def find_candidates(connection: ClusterConnection, collection_id: int, query: Query, *, quick: bool) -> Candidates:
    """The candidates of the best plan for a query, in the order that is asked for."""

    def find(indexes: list[Index]) -> Candidates:
        plan = make_plan(query.node, query.sort, indexes)
        return look(connection, collection_id, query, plan, quick=quick)

    return with_indexes(connection, collection_id, find)


def look(connection: ClusterConnection, collection_id: int, query: Query, plan: Plan, *, quick: bool) -> Candidates:
    """The candidates of a plan, in the order that the query asks for."""
    bound = None if query.limit is None else query.skip + query.limit
    if plan.is_sorted or bound is None:
        return _run(connection, collection_id, query, plan, quick=quick)
    rows = list(_run(connection, collection_id, query, plan, quick=quick, bound=bound))
    if len(rows) == bound and any(verdict is None for *_, verdict in rows):
        return _run(connection, collection_id, query, plan, quick=quick)  # some of these may not count
    return iter(rows)


def _run(
    connection: ClusterConnection,
    collection_id: int,
    query: Query,
    plan: Plan,
    *,
    quick: bool,
    bound: int | None = None,
) -> Candidates:
    most = connection.tuning.quick_document if quick else None
    where, clause = where_of(query, plan, most), from_clause(collection_id, plan)
    columns = f"d.id, d.obj_id, {text_of(most)}, ({where.sql})"
    chosen = f"{clause.sql} AND ({where.sql}) IS NOT 0"
    parameters: tuple[Any, ...] = (*clause.parameters, *where.parameters)
    if not plan.is_sorted:
        # Sorted by their rowids alone, then read one by one: a sort that held the documents would hold all of them.
        terms = compile_sort(query.sort)
        keys = ", ".join(term.sql for term in terms)
        inner = f"SELECT d.id AS found {chosen} ORDER BY {keys}, d.id LIMIT +?"
        chosen = f"FROM ({inner}) CROSS JOIN {schema.documents(collection_id)} AS d ON d.id = found"
        parameters += (*(value for term in terms for value in term.parameters), -1 if bound is None else bound)
    sql = f"SELECT {columns} {chosen} {clause.order if plan.is_sorted else ''}"
    rows: Any = connection.execute(sql, (*where.parameters, *parameters))
    return iter(rows)


@cache
def text_of(most: int | None) -> str:
    """The JSON of a document; or 0 for one that has more than `most` bytes, which SQLite then does not read."""
    return "d.doc" if most is None else f"iif(octet_length(d.doc) <= {most}, d.doc, 0)"


def where_of(query: Query, plan: Plan, most: int | None = None) -> Where:
    """The verdict on a candidate; none on a document that has more than `most` bytes, which SQLite does not read."""
    where = compile_filter(left_to_check(query, plan))
    if most is None or not where.parameters:
        return where
    return Where(f"iif(octet_length(d.doc) <= {most}, {where.sql}, NULL)", where.parameters)


def left_to_check(query: Query, plan: Plan) -> Node:
    """What the indexes do not answer."""
    return query.node if plan.rest is None else plan.rest


def from_clause(collection_id: int, plan: Plan) -> FromClause:
    """Where SQL finds the candidates."""
    table = schema.documents(collection_id)
    if plan.ids is not None:
        ids = orjson.dumps(plan.ids).decode()
        found = "d.obj_id IN (SELECT value FROM json_each(?))"
        return FromClause(f"FROM {table} AS d WHERE {found}", (ids,), "ORDER BY d.id")
    if plan.lookups is None:
        return FromClause(f"FROM {table} AS d WHERE 1", (), "ORDER BY d.id")
    first = plan.lookups[0]
    joined = f"FROM {schema.entries(first.index.id)} AS e CROSS JOIN {table} AS d ON d.id = e.document"
    if plan.order != "insertion":
        (keys,) = first.ranges
        direction = "DESC" if plan.order == "backward" else "ASC"
        order = f"ORDER BY e.key {direction}, e.document"
        return FromClause(f"{joined} WHERE e.key >= +? AND e.key < +?", (keys.first, keys.end), order)
    if len(plan.lookups) == 1 and (key := first.only_key) is not None:
        return FromClause(f"{joined} WHERE e.key = +?", (key,), "ORDER BY e.document")
    selects, parameters = _listed(plan.lookups)
    return FromClause(f"FROM {table} AS d WHERE d.id IN ({selects})", parameters, "ORDER BY d.id")


def _listed(lookups: Sequence[Lookup]) -> tuple[str, tuple[Any, ...]]:
    """The rowids of the documents that lookups list, in one subquery for each index."""
    ranges: dict[int, list[tuple[str, str]]] = {}
    for lookup in lookups:
        pairs = [(keys.first.hex(), keys.end.hex()) for keys in lookup.ranges]
        ranges.setdefault(lookup.index.id, []).extend(pairs)
    selects = [
        f"SELECT e.document FROM json_each(?) AS r CROSS JOIN {schema.entries(index_id)} AS e "  # noqa: S608 - a number
        "ON e.key >= unhex(r.value ->> 0) AND e.key < unhex(r.value ->> 1)"
        for index_id in ranges
    ]
    return " UNION ALL ".join(selects), tuple(orjson.dumps(pairs).decode() for pairs in ranges.values())
