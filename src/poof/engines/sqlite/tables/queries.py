"""Queries: SQL judges the candidates of a plan, and the matcher decides where SQL cannot.

Plain functions of a connection.
"""

import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

import apsw

from poof.document import decode_document, decode_documents
from poof.engines.contract import Make
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.budget import OverBudgetError
from poof.engines.sqlite.tables.candidates import (
    Candidate,
    find_candidates,
    from_clause,
    left_to_check,
    look,
    text_of,
    where_of,
)
from poof.engines.sqlite.tables.collector import paused_collector
from poof.engines.sqlite.tables.connections import Call, ClusterConnection
from poof.engines.sqlite.tables.indexes import NoSnapshotError, find_indexes, with_indexes
from poof.engines.sqlite.tables.savepoints import execute_whole
from poof.engines.sqlite.tuning import Tuning
from poof.query.distinct import distinct_values
from poof.query.fields import FieldOrder
from poof.query.filters.match import matcher
from poof.query.indexes.definition import MULTIKEY_MARK
from poof.query.indexes.plan import Index, KeyRange, Plan, make_plan
from poof.query.nodes import EVERYTHING
from poof.query.order import NULL_KEY, invert
from poof.query.paths import values_at
from poof.query.query import Query
from poof.results import Explanation


class Row(NamedTuple):
    """A document that a query finds."""

    rowid: int
    obj_id: str
    data: dict[str, Any]
    size: int
    """Characters of its JSON."""


T = TypeVar("T")
Args = TypeVarTuple("Args")
_Found = tuple[int, str, dict[str, Any], int]
"""What a `Row` has, in a tuple that is quicker to make."""


class _Few(NamedTuple):
    """A few documents that a query finds, column by column, which is quicker than row by row."""

    rowids: Sequence[int]
    ids: Sequence[str]
    documents: Sequence[dict[str, Any]]
    sizes: Sequence[int]


_NONE = _Few((), (), (), ())


@contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """Makes all reads in the block see one state."""
    if connection.in_transaction:
        yield
        return
    execute_whole(connection, "BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            execute_whole(connection, "COMMIT")


def find_rows(connection: ClusterConnection, collection_id: int, query: Query) -> Iterator[Row]:
    """The documents that a query finds; lazily, so in the transaction that the caller keeps open."""
    yield from map(Row._make, _judge(query, find_candidates(connection, collection_id, query, quick=False)))


def _judge(query: Query, candidates: Iterable[Candidate], most: int | None = None) -> Iterator[_Found]:
    """Yields those of the candidates that the query finds.

    Raises:
        OverBudgetError: there are more than `most` candidates, or one is a large document that was not read.
    """
    matches: Callable[[Mapping[str, Any], str], bool] | None = None
    skip, left = query.skip, query.limit
    for examined, (rowid, obj_id, text, verdict) in enumerate(candidates):
        if text == 0 or examined == most:
            raise OverBudgetError
        data = decode_document(text)
        if verdict is None:
            matches = matches or matcher(query.node)
            if not matches(data, obj_id):
                continue
        if skip:
            skip -= 1
            continue
        yield rowid, obj_id, data, len(text)
        if left is not None:
            left -= 1
            if left == 0:
                return


def read_all(rows: Call[*Args, Iterator[Row]], connection: ClusterConnection, *args: *Args) -> list[Row]:
    """All rows that a call gives."""
    with snapshot(connection):
        return list(rows(connection, *args))


def read_chunk(rows: Iterator[Row], tuning: Tuning) -> list[Row]:
    """The next rows; none at the end. As many as are quick to make and do not take much memory."""
    chunk = []
    size = 0
    for row in itertools.islice(rows, tuning.chunk_documents):
        chunk.append(row)
        size += row.size
        if size >= tuning.chunk_bytes:
            break
    return chunk


def make_many(connection: ClusterConnection, collection_id: int, query: Query, make: Make[T]) -> list[T]:
    """What is made of the documents that a query finds."""
    with snapshot(connection), paused_collector():
        found = _judge(query, find_candidates(connection, collection_id, query, quick=False))
        return make((obj_id, data) for _, obj_id, data, _ in found)


def make_quick(connection: ClusterConnection, collection_id: int, query: Query, make: Make[T]) -> list[T]:
    """`make_many` within the budget of the event loop."""
    few = _find_few(connection, collection_id, query)
    return make(zip(few.ids, few.documents, strict=True))


def find_rows_quick(connection: ClusterConnection, collection_id: int, query: Query) -> list[Row]:
    """`find_rows` within the budget of the event loop; all of them at once."""
    return list(map(Row, *_find_few(connection, collection_id, query)))


def _find_few(connection: ClusterConnection, collection_id: int, query: Query) -> _Few:
    try:
        few = _first(connection, collection_id, query)  # by one statement, which is a snapshot of its own
    except NoSnapshotError:
        with snapshot(connection):
            few = _first(connection, collection_id, query)
    tuning = connection.tuning
    if len(few.ids) > tuning.quick_documents or sum(few.sizes) > tuning.quick_characters:
        raise OverBudgetError
    return few


def _first(connection: ClusterConnection, collection_id: int, query: Query) -> _Few:
    """What a query finds, cut short one beyond what is little."""
    tuning = connection.tuning

    def find(indexes: list[Index]) -> _Few:
        plan = make_plan(query.node, query.sort, indexes)
        if plan.is_sorted and left_to_check(query, plan) == EVERYTHING:
            return _fetch(connection, collection_id, query, plan)
        found = _judge(query, look(connection, collection_id, query, plan, quick=True), tuning.quick_candidates)
        return _columns(itertools.islice(found, tuning.quick_documents + 1))

    return with_indexes(connection, collection_id, find)


def _fetch(connection: ClusterConnection, collection_id: int, query: Query, plan: Plan) -> _Few:
    """The first documents that a plan finds, of which nothing is left to check."""
    tuning = connection.tuning
    clause = from_clause(collection_id, plan)
    most = tuning.quick_documents + 1 if query.limit is None else min(query.limit, tuning.quick_documents + 1)
    sql = f"SELECT d.id, d.obj_id, {text_of(tuning.quick_document)} {clause.sql} {clause.order} LIMIT +? OFFSET +?"
    rows: Any = connection.execute(sql, (*clause.parameters, most, query.skip)).fetchall()
    if not rows:
        return _NONE
    rowids, ids, texts = zip(*rows, strict=True)
    if 0 in texts or sum(map(len, texts)) > tuning.quick_characters:  # before the time is spent on decoding them
        raise OverBudgetError
    return _Few(rowids, ids, decode_documents(texts), list(map(len, texts)))


def _columns(found: Iterable[_Found]) -> _Few:
    rows = list(found)
    return _Few(*zip(*rows, strict=True)) if rows else _NONE


def next_rows(connection: apsw.Connection, collection_id: int, last: int, n: int) -> list[Row]:
    """The next `n` documents after the one of a rowid."""
    rows: Any = connection.execute(schema.next_documents(collection_id), (last, n))
    return [Row(rowid, obj_id, decode_document(text), len(text)) for rowid, obj_id, text in rows]


class SqliteSnapshot:
    """The documents that a query finds, in the transaction that is open on a connection."""

    def __init__(self, connection: ClusterConnection, collection_id: int, query: Query) -> None:
        self._of = connection, collection_id, query

    def rows(self) -> Iterator[Row]:
        """The documents, lazily."""
        return find_rows(*self._of)

    def count(self) -> int:
        """How many they are."""
        return count(*self._of)


def read_snapshot(
    connection: ClusterConnection, collection_id: int, query: Query, function: Callable[[SqliteSnapshot], T]
) -> T:
    """What a function makes of the documents that a query finds, all of one state."""
    with snapshot(connection):
        return function(SqliteSnapshot(connection, collection_id, query))


def find_by_rowid(connection: apsw.Connection, collection_id: int, rowid: int) -> tuple[str, str]:
    """The id and JSON text of a document."""
    row: Any = connection.execute(schema.find_by_rowid(collection_id), (rowid,)).fetchone()
    obj_id, text = row
    return obj_id, text


def find_rowids(connection: ClusterConnection, collection_id: int, query: Query) -> "array[int]":
    """The rowids of the documents that a query finds."""
    return array("q", (row.rowid for row in find_rows(connection, collection_id, query)))


def count(connection: ClusterConnection, collection_id: int, query: Query, *, quick: bool = False) -> int:
    """How many documents a query finds. With `quick`, it keeps to the budget of the event loop."""
    with snapshot(connection):
        if query.skip or query.limit is not None:
            most = connection.tuning.quick_candidates if quick else None
            return sum(1 for _ in _judge(query, find_candidates(connection, collection_id, query, quick=quick), most))
        if query.node == EVERYTHING:
            return int(connection.execute(schema.count_documents(collection_id)).get)
        return with_indexes(
            connection,
            collection_id,
            lambda indexes: _count(connection, collection_id, query, make_plan(query.node, (), indexes), quick),
        )


def count_quick(connection: ClusterConnection, collection_id: int, query: Query) -> int:
    """How many documents a query finds, where Python has not much to decide."""
    return count(connection, collection_id, query, quick=True)


def _count(connection: ClusterConnection, collection_id: int, query: Query, plan: Plan, quick: bool) -> int:
    where = where_of(query, plan, connection.tuning.quick_document if quick else None)
    clause = from_clause(collection_id, plan)
    verdicts = f"SELECT ({where.sql}) AS verdict {clause.sql} AND verdict IS NOT 0"
    totals: Any = connection.execute(
        f"SELECT count(*), count(verdict) FROM ({verdicts})",  # noqa: S608 - SQL of our own
        (*where.parameters, *clause.parameters),
    ).fetchone()
    possible, sure = totals
    if possible == sure:
        return int(sure)
    if quick:
        raise OverBudgetError
    undecided = f"SELECT d.obj_id, d.doc {clause.sql} AND ({where.sql}) IS NULL"
    rows: Any = connection.execute(undecided, (*clause.parameters, *where.parameters))
    matches = matcher(query.node)
    return int(sure) + sum(matches(decode_document(text), obj_id) for obj_id, text in rows)


def distinct_quick(connection: ClusterConnection, collection_id: int, field: FieldOrder, query: Query) -> list[Any]:
    """`distinct` within the budget of the event loop."""
    return distinct_values(field, [row.data for row in find_rows_quick(connection, collection_id, query)])


def distinct(connection: ClusterConnection, collection_id: int, field: FieldOrder, query: Query) -> list[Any]:
    """The different values of a field, those of arrays one by one; in the order of sorts."""
    with snapshot(connection):
        return distinct_values(field, _documents_with_all_values(connection, collection_id, field, query))


def explain(connection: ClusterConnection, collection_id: int, query: Query) -> Explanation:
    """Says how a query is answered, by its plan and a statement of its own that judges the candidates of the plan.

    It judges all of them, unless an index gives the order and enough are found.
    """
    with snapshot(connection):
        plan = make_plan(query.node, query.sort, find_indexes(connection, collection_id))
        where, clause = where_of(query, plan), from_clause(collection_id, plan)
        sql = f"SELECT d.obj_id, d.doc, ({where.sql}) {clause.sql} {clause.order}"
        enough = query.skip + query.limit if plan.is_sorted and query.limit is not None else None
        matches = matcher(query.node)
        examined = found = 0
        exact = True
        rows: Any = connection.execute(sql, (*where.parameters, *clause.parameters))
        for obj_id, text, verdict in rows:
            examined += 1
            exact = exact and verdict is not None
            found += matches(decode_document(text), obj_id) if verdict is None else verdict
            if found == enough:
                break
    returned = max(found - query.skip, 0)
    returned = returned if query.limit is None else min(returned, query.limit)
    names = ", ".join(dict.fromkeys(lookup.index.name for lookup in plan.lookups or ())) or None
    return Explanation(_in_words(plan, names), names, exact, examined, returned)


def _documents_with_all_values(
    connection: ClusterConnection, collection_id: int, field: FieldOrder, query: Query
) -> Iterator[dict[str, Any]]:
    """Documents that have among them every value of the field that the query finds."""
    if query == Query():
        for index in find_indexes(connection, collection_id):
            definition = index.definition
            listed = [(one.path, one.kind) for one in definition.fields]
            if listed == [(field.path, field.kind)] and definition.where is None and not definition.skip_null:
                yield from _one_for_each_key(connection, collection_id, index)
                return
    yield from (row.data for row in find_rows(connection, collection_id, query))


def _one_for_each_key(connection: apsw.Connection, collection_id: int, index: Index) -> Iterator[dict[str, Any]]:
    """Documents that have among them every value of an index on one field."""
    rowids: Any = connection.execute(schema.one_for_each_key(index.id), (MULTIKEY_MARK,)).fetchall()
    for (rowid,) in rowids:
        yield decode_document(find_by_rowid(connection, collection_id, rowid)[1])
    # The one for null may have nothing there, and another one null.
    (field,) = index.definition.fields
    key = invert(NULL_KEY) if field.descending else NULL_KEY
    nulls: Any = connection.execute(schema.find_entries(index.id), (key, KeyRange(key, key).end))
    for (rowid,) in nulls:
        data = decode_document(find_by_rowid(connection, collection_id, rowid)[1])
        yield data
        if None in values_at(data, field.path):
            return


def _in_words(plan: Plan, names: str | None) -> str:
    if plan.ids is not None:
        words = "Finds the documents by their _objId."
    elif plan.lookups is None:
        words = "Looks at every document."
    elif plan.order == "insertion":
        words = f"Finds the documents by the {'indexes' if names and ',' in names else 'index'} {names}."
    else:
        words = f"Reads the index {names} in the order of the sort."
    return words if plan.is_sorted else f"{words} Sorts what it finds."
