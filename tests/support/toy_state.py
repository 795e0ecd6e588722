"""What the toy engine holds: documents in dicts, found by the matcher.

A `State` is never changed once it counts: a write changes a copy, which takes its place. So a snapshot is a state, a
rollback forgets one, and a transaction inside another one has a state of its own until it ends.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from poof.document import decode_document
from poof.engines.contract import Change, Changed, Data
from poof.errors import GoneError, InvalidNameError
from poof.located import OURS, duplicate, located
from poof.object_ids import OBJECT_ID, new_object_id
from poof.query.filters.match import matcher
from poof.query.indexes.definition import MULTIKEY_MARK, IndexDefinition, keys_of
from poof.query.key_rows import Rows
from poof.query.query import Query

T = TypeVar("T")


class ToyRow(NamedTuple):
    """A document that a query finds."""

    number: int
    obj_id: str
    data: Data


class ToyIndex:
    """An index, which lists only what it must know: whose key each one is, if they are unique."""

    def __init__(self, name: str, definition: IndexDefinition) -> None:
        self.name = name
        self.definition = definition
        self.keys = keys_of(definition.encode())
        self.holders: dict[bytes, int] = {}

    def copy(self) -> "ToyIndex":
        """Returns an index that can be changed without this one."""
        copy = ToyIndex(self.name, self.definition)
        copy.holders = dict(self.holders)
        return copy


@dataclass
class Table:
    """The documents of a collection, by numbers that grow: ids and JSON texts in the order of insertion."""

    database: int
    name: str
    documents: dict[int, tuple[str, str]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    indexes: dict[str, ToyIndex] = field(default_factory=dict)
    last: int = 0

    def copy(self) -> "Table":
        """Returns a table that can be changed without this one."""
        indexes = {name: index.copy() for name, index in self.indexes.items()}
        return Table(self.database, self.name, dict(self.documents), dict(self.numbers), indexes, self.last)

    def row(self, number: int) -> ToyRow:
        """Returns a document, whose data is decoded anew each time: it belongs to who reads it."""
        obj_id, text = self.documents[number]
        return ToyRow(number, obj_id, decode_document(text))

    def find(self, query: Query) -> Iterator[ToyRow]:
        """Yields the documents that a query finds, one at a time unless they are sorted."""
        fits = matcher(query.node)
        found: Iterator[ToyRow] = (row for row in map(self.row, self.documents) if fits(row.data, row.obj_id))
        if query.sort:
            first = Rows(query.sort).first
            found = iter(sorted(found, key=lambda row: first({**row.data, OBJECT_ID: row.obj_id})))
        return itertools.islice(found, query.skip, None if query.limit is None else query.skip + query.limit)

    def add(self, text: str, given: str | None) -> str:
        """Stores a new document, unless it is refused, and returns its id."""
        if given in self.numbers:
            raise duplicate(None, (OBJECT_ID,), given)
        obj_id = given or new_object_id()
        self._store(self.last + 1, obj_id, text)
        self.last += 1
        return obj_id

    def put(self, number: int, text: str) -> None:
        """Stores new text for a document, unless it is refused."""
        self._store(number, self.documents[number][0], text)

    def remove(self, number: int) -> None:
        """Deletes a document."""
        for index in self.indexes.values():
            self._unlist(index, number)
        del self.numbers[self.documents.pop(number)[0]]

    def build(self, index: ToyIndex) -> None:
        """Lists every document in a new index."""
        for number, (obj_id, text) in self.documents.items():
            try:
                self._list(index, number, self._keys(index, number, text))
            except OURS as error:
                raise located(error, f"Document {obj_id}") from None
        self.indexes[index.name] = index

    def is_multikey(self, index: ToyIndex) -> bool:
        """Whether an index lists a document with an array."""
        return any(
            key.startswith(MULTIKEY_MARK)
            for number, (_, text) in self.documents.items()
            for key in index.keys(number, decode_document(text))
        )

    def _store(self, number: int, obj_id: str, text: str) -> None:
        # All of the keys first: a document that one index refuses must be in none.
        keys = [(index, self._keys(index, number, text)) for index in self.indexes.values()]
        for index, listed in keys:
            if number in self.documents:
                self._unlist(index, number)
            self._list(index, number, listed)
        self.documents[number] = (obj_id, text)
        self.numbers[obj_id] = number

    def _keys(self, index: ToyIndex, number: int, text: str) -> set[bytes]:
        keys = index.keys(number, decode_document(text))
        for key in keys if index.definition.unique else ():
            holder = index.holders.get(key, number)
            if holder != number:
                names = tuple(each.name for each in index.definition.fields)
                raise duplicate(index.name, names, self.documents[holder][0])
        return keys

    def _list(self, index: ToyIndex, number: int, keys: set[bytes]) -> None:
        if index.definition.unique:
            index.holders.update(dict.fromkeys(keys, number))

    def _unlist(self, index: ToyIndex, number: int) -> None:
        if index.definition.unique:
            for key in index.keys(number, decode_document(self.documents[number][1])):
                del index.holders[key]


class State:
    """Everything in the cluster at one moment."""

    def __init__(self, databases: dict[str, int], tables: dict[int, Table]) -> None:
        self.databases = databases
        self.tables = tables

    def copy(self) -> "State":
        """Returns a state whose parts are to be replaced, and not changed."""
        return State(dict(self.databases), dict(self.tables))

    def table(self, number: int) -> Table:
        """Returns a table to be read."""
        try:
            return self.tables[number]
        except KeyError:
            raise GoneError("The collection is gone: dropped, or its transaction was rolled back.") from None

    def own(self, number: int) -> Table:
        """Returns a table to be changed."""
        self.tables[number] = self.table(number).copy()
        return self.tables[number]

    def named(self, database: int) -> dict[str, int]:
        """Returns the numbers of the collections of a database, by their names in order."""
        found = {table.name: number for number, table in self.tables.items() if table.database == database}
        return dict(sorted(found.items()))


def rename_table(draft: State, number: int, name: str) -> None:
    """Gives a collection another name."""
    if draft.named(draft.table(number).database).get(name, number) != number:
        raise InvalidNameError(f"The database has another collection {name!r}. Drop it first.")
    draft.own(number).name = name


def on_document(obj_id: str, function: Callable[[Table, int], T], absent: T, table: Table) -> T:
    """Does something with the document of an id; `absent` where there is none."""
    number = table.numbers.get(obj_id)
    return absent if number is None else function(table, number)


def change_found(table: Table, query: Query, change: Change) -> Changed:
    """Makes a change, one document after another."""
    found = [row.number for row in table.find(query)]
    if not found:
        if change.insert is None:
            return Changed()
        given, text = change.insert()
        inserted = table.add(text, given)
        return Changed(inserted_id=inserted, obj_id=inserted, after=decode_document(text))
    last = table.row(found[-1])
    if change.replace is None:
        for number in found:
            table.remove(number)
        return Changed(len(found), len(found), obj_id=last.obj_id, before=last.data)
    modified = 0
    for row in map(table.row, found):
        changed = change.replace(row.obj_id, row.data)
        if changed is not None:
            put_located(table, row.number, changed)
            modified += 1
    return Changed(len(found), modified, obj_id=last.obj_id, before=last.data, after=table.row(last.number).data)


def put_located(table: Table, number: int, text: str) -> None:
    """Stores new text for a document. An error says which document it is about."""
    try:
        table.put(number, text)
    except OURS as error:
        raise located(error, f"Document {table.documents[number][0]}") from None
