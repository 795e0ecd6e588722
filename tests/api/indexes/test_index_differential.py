"""Queries and changes over indexes against a reference in plain Python: no index ever changes what is found, or when.

The reference knows the matcher, the keys of sorts, and a list of documents in the order of their insertion.
"""

import contextlib
import itertools
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import apsw
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from poof.document import encode_document
from poof.engines.sqlite.tables import catalogue, changing, indexes, queries, schema
from poof.engines.sqlite.tables.budget import OverBudgetError
from poof.engines.sqlite.tables.connections import ClusterConnection, _add_functions
from poof.errors import DuplicateKeyError, InvalidDocumentError, UpdateError
from poof.query.fields import FieldOrder
from poof.query.filters.match import matcher
from poof.query.filters.parse import parse_filter
from poof.query.indexes.definition import MULTIKEY_MARK, IndexDefinition, keys_of
from poof.query.key_rows import Rows
from poof.query.nodes import NOTHING
from poof.query.order import encode_key
from poof.query.paths import MISSING, parse_path, values_at
from poof.query.query import Query
from poof.query.updates.update import parse_update
from poof.writes import DELETE, replace_change, update_change
from tests.support.index_entries import check_entries
from tests.support.index_strategies import PATHS, Example, Question, Step, examples

PAIRS = 20_000
"""Of a document and a filter, in the campaign."""
SIDE = 12
"""So many documents and so many filters meet in one example of the campaign."""

PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
"""Not `Phase.explain`, which traces every line for minutes."""
QUICK = settings(max_examples=60, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
CAMPAIGN = settings(QUICK, max_examples=PAIRS // SIDE**2 + 1)
REFUSALS = (DuplicateKeyError, InvalidDocumentError, UpdateError)


@dataclass
class Reference:
    """Documents by their ids, in the order of insertion, and the indexes that may refuse some."""

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexes: dict[str, IndexDefinition] = field(default_factory=dict)

    def find(self, question: Question) -> list[str]:
        fits = matcher(parse_filter(question.wanted))
        found = [obj_id for obj_id, document in self.documents.items() if fits(document, obj_id)]
        rows = Rows(question.sort)
        found.sort(key=lambda obj_id: rows.first({**self.documents[obj_id], "_objId": obj_id}))
        found = found[question.skip :]
        return found if question.limit is None else found[: question.limit]

    def distinct(self, path: tuple[str, ...], question: Question) -> list[bytes]:
        found = [value for obj_id in self.find(question) for value in values_at(self.documents[obj_id], path)]
        items = itertools.chain.from_iterable(value if isinstance(value, list) else [value] for value in found)
        return sorted({encode_key(item) for item in items if item is not MISSING})

    def put(self, obj_id: str, document: dict[str, Any]) -> None:
        """Stores a document, unless an index refuses it."""
        for definition in self.indexes.values():
            self.check(definition, document, [one for other, one in self.documents.items() if other != obj_id])
        self.documents[obj_id] = document

    def check(self, definition: IndexDefinition, document: dict[str, Any], others: list[dict[str, Any]]) -> None:
        keys = values_listed(definition, document)
        if definition.unique and any(keys & values_listed(definition, other) for other in others):
            raise DuplicateKeyError("refused")

    def create(self, name: str, definition: IndexDefinition) -> None:
        before: list[dict[str, Any]] = []
        for document in self.documents.values():
            self.check(definition, document, before)
            before.append(document)
        self.indexes[name] = definition


def values_listed(definition: IndexDefinition, document: dict[str, Any]) -> set[bytes]:
    """The keys of a document but the mark, which no two documents share."""
    return {key for key in keys_of(definition.encode())(0, document) if not key.startswith(MULTIKEY_MARK)}


class Both:
    """A collection in SQLite and the reference, which get the same steps and the same questions.

    A second connection is asked too, which knows nothing of the steps: it finds the indexes changed, or gone.
    """

    def __init__(self, connection: apsw.Connection, reader: apsw.Connection) -> None:
        connection.execute(schema.CATALOGUE)
        self.connection, self.reader = connection, reader
        self.id = catalogue.create_collection(connection, catalogue.create_database(connection, "db"), "people")
        self.reference = Reference()
        self.ids = map("id{}".format, itertools.count())

    def take(self, step: Step) -> None:
        before = dict(self.reference.documents)
        try:
            self.change_reference(step)
        except REFUSALS:
            self.reference.documents = before
            with pytest.raises(REFUSALS):  # not always the same: which index is first to refuse is not said
                self.change(step)
        else:
            self.change(step)
        self.check_state()

    def change_reference(self, step: Step) -> None:
        reference, question = self.reference, step.question
        match step.kind:
            case "insert":
                self.next_id = next(self.ids)
                reference.put(self.next_id, step.argument)
            case "update":
                change = update_change(parse_update(step.argument), question.query.node, None, upsert=False)
                for obj_id in reference.find(question):
                    text = change.replace(obj_id, reference.documents[obj_id])
                    reference.put(obj_id, reference.documents[obj_id] if text is None else orjson.loads(text))
            case "replace":
                for obj_id in reference.find(question):
                    reference.put(obj_id, step.argument)
            case "delete":
                for obj_id in reference.find(question):
                    del reference.documents[obj_id]
            case "index":
                if step.argument not in reference.indexes.values():
                    self.next_name = next(self.ids)
                    reference.create(self.next_name, step.argument)
            case "drop":
                for name in list(reference.indexes)[step.argument : step.argument + 1]:
                    del reference.indexes[name]

    def change(self, step: Step) -> None:
        query = step.question.query
        match step.kind:
            case "insert":
                insert = changing.Change(None, lambda: (self.next_id, encode_document(step.argument)[1]))
                changing.change_all(self.connection, self.id, Query(NOTHING), insert)
            case "update":
                update = parse_update(step.argument)
                change = update_change(update, query.node, None, upsert=False)
                changing.change_all(self.connection, self.id, query, change)
            case "replace":
                change = replace_change(step.argument, query.node, None, upsert=False)
                changing.change_all(self.connection, self.id, query, change)
            case "delete":
                changing.change_all(self.connection, self.id, query, DELETE)
            case "index":
                there = [index.definition for index in indexes.find_indexes(self.connection, self.id)]
                if step.argument not in there:
                    indexes.create_index(self.connection, self.id, self.next_name, step.argument, lambda *_: None)
            case "drop":
                listed = {index.name for index in indexes.find_indexes(self.connection, self.id)}
                for name in listed - set(self.reference.indexes):
                    assert indexes.drop_index(self.connection, self.id, name)

    def check_state(self) -> None:
        """The documents are the reference's, and every index lists each of them under its keys, and nothing else."""
        rows = queries.read_all(queries.find_rows, self.connection, self.id, Query())
        assert {row.obj_id: row.data for row in rows} == self.reference.documents
        assert [row.obj_id for row in rows] == list(self.reference.documents)
        listed = indexes.find_indexes(self.connection, self.id)
        assert {index.name: index.definition for index in listed} == self.reference.indexes
        check_entries(self.connection)

    def ask(self, question: Question) -> None:
        for connection in (self.reader, self.connection):
            self.ask_by(connection, question)

    def ask_by(self, connection: apsw.Connection, question: Question) -> None:
        expected = self.reference.find(question)
        call = (connection, self.id, question.query)
        assert [row.obj_id for row in queries.read_all(queries.find_rows, *call)] == expected
        with contextlib.suppress(OverBudgetError):
            assert queries.find_rows_quick(*call) == queries.read_all(queries.find_rows, *call)
        assert queries.count(*call) == len(expected)
        explanation = queries.explain(*call)
        assert explanation.returned == len(expected) <= explanation.documents_examined

    def ask_distinct(self, name: str, question: Question) -> None:
        path = parse_path(name)
        found = queries.distinct(self.connection, self.id, FieldOrder(path), question.query)
        assert [encode_key(value) for value in found] == self.reference.distinct(path, question)


def connect() -> ClusterConnection:
    connection = ClusterConnection("/poof-test", vfs="memdb")  # what is in memory, and has several connections
    _add_functions(connection)
    return connection


def check(example: Example) -> None:
    with closing(connect()) as connection, closing(connect()) as reader:
        both = Both(connection, reader)
        for definition in example.indexes[::2]:  # before there are documents, and after
            both.take(Step("index", Question({}), definition))
        for document in example.documents:
            both.take(Step("insert", Question({}), document))
        for definition in example.indexes[1::2]:
            both.take(Step("index", Question({}), definition))
        for question in example.questions:
            both.ask(question)
        for step in example.steps:
            both.take(step)
            for question in example.questions[:3]:
                both.ask(question)
        for question in example.questions:
            both.ask(question)
            for name in ("a", "b", "a.b"):
                both.ask_distinct(name, question)
        for name in PATHS:
            both.ask_distinct(name, Question({}))


@given(examples(most=8, steps_at_most=4))
@QUICK
def test_indexes_change_nothing_that_is_found(example: Example) -> None:
    check(example)


@pytest.mark.campaign
@given(examples(least=SIDE, most=SIDE, steps_at_most=3))
@CAMPAIGN
def test_indexes_change_nothing_that_is_found_in_many_examples(example: Example) -> None:
    check(example)
