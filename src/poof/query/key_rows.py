"""The keys of a document's values, field by field, as sorts and indexes see them.

Pure.

A document has a row for each combination of values that its fields have together, with a key for each field. Two fields
inside one array have their values from the same element, as in MongoDB: `{"a": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]}`
has the rows 1, 2 and 3, 4 for `a.x` and `a.y`. Arrays in different places are combined each with each.

A step that is a number is a position where there is an array, and the name of a field in its elements. Both readings
count, except that one which leads nowhere gives no null beside the other. An array that the last step chose by its
position is one value and is not opened, as in filters.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from poof.query.fields import FieldOrder
from poof.query.order import EMPTY_ARRAY_KEY, NULL_KEY, encoder_of, invert, whole_array_key
from poof.query.paths import MISSING, parse_index

Row = tuple[bytes, ...]
"""A key for each field, inverted where the field descends: rows sort as the fields say. A field that a row says nothing
about, while it is being made, has an empty key."""


class Listing(NamedTuple):
    """Under which rows an index lists a document."""

    rows: Sequence[Row]
    """At least one, each of them once."""
    multikey: bool = False
    """Whether there was an array on the way of a field, or at its end."""
    shared: bool = False
    """Whether several fields led into one array: then not every value of one has a row with every value of another."""
    parallel: tuple[FieldOrder, FieldOrder] | None = None
    """Two fields that led into arrays in different places, if there were any."""


class _Found(NamedTuple):
    """What some of the fields lead to from one place in a document."""

    rows: Sequence[Row]
    """None where the way ends in an element that is passed over."""
    leads: bool = False
    """Whether there is a value, even if it is null."""
    opened: int | None = None
    """The first field that was led into an array, if there is an array."""


_NOTHING = _Found(())


class _Branch:
    """Fields whose paths begin with the same steps, and how these go on."""

    __slots__ = ("encode", "ending", "members", "onward")

    def __init__(self, fields: Sequence[FieldOrder], members: list[int], depth: int) -> None:
        self.members = members
        self.ending = [number for number in members if len(fields[number].path) == depth]
        self.encode = encoder_of(fields[self.ending[0]].kind if self.ending else None)
        steps: dict[str, list[int]] = {}
        for number in members:
            if len(fields[number].path) > depth:
                steps.setdefault(fields[number].path[depth], []).append(number)
        self.onward: list[tuple[str, int | None, _Branch]] = []
        for step, inner in steps.items():
            self.onward.append((step, parse_index(step), _Branch(fields, inner, depth + 1)))


class Rows:
    """The rows that documents have for some fields."""

    def __init__(self, fields: Sequence[FieldOrder]) -> None:
        self.fields = fields
        self._columns = [(field.path, field.descending, encoder_of(field.kind)) for field in fields]
        self._root = _Branch(fields, [*range(len(fields))], 0)

    def listing(self, document: Any) -> Listing:
        """Under what an index on the fields lists a document.

        An array at the end of a field has a key for each element and, beyond all others, one for the array as a whole.
        A field that leads to nothing has the key of null.
        """
        plain = self._plain(document)
        if plain is not None:
            return Listing((plain,))
        walk = _Walk(self.fields, best_only=False)
        rows = walk.rows(document, self._root)
        return Listing(rows, walk.multikey, walk.shared, walk.parallel)

    def first(self, document: Any) -> Row:
        """The first of a document's rows, by which it sorts.

        So it has the least element where there is an array, or the greatest where the field descends. An empty array
        comes before null, and null stands for what is missing.
        """
        plain = self._plain(document)
        return plain or _Walk(self.fields, best_only=True).rows(document, self._root)[0]

    def sort_key(self, document: Any, number: int) -> bytes:
        """The key of one of the fields in the first row, not inverted."""
        key = self.first(document)[number]
        return invert(key) if self.fields[number].descending else key

    def _plain(self, document: Any) -> Row | None:
        """The one row of a document that has no array on the way of any field, or at its end; else None."""
        row = []
        for path, descending, encode in self._columns:
            value = document
            for step in path:
                if type(value) is not dict:
                    break
                value = value.get(step, MISSING)
            else:
                if type(value) is not list:
                    key = encode(value)
                    row.append(invert(key) if descending else key)
                    continue
            if type(value) is list:
                return None
            row.append(invert(NULL_KEY) if descending else NULL_KEY)
        return tuple(row)


class _Walk:
    """The search for the rows of one document. With `best_only`, it keeps only the first of the rows of each place."""

    def __init__(self, fields: Sequence[FieldOrder], *, best_only: bool) -> None:
        self._fields = fields
        self._best_only = best_only
        self.multikey = self.shared = False
        self.parallel: tuple[FieldOrder, FieldOrder] | None = None

    def rows(self, document: Any, root: _Branch) -> Sequence[Row]:
        return self._at(document, root).rows or [self._row(root.members, NULL_KEY)]

    # Loops, below: a comprehension takes one more frame of Python's stack at each level.

    def _at(self, value: Any, branch: _Branch, *, chosen: bool = False) -> _Found:
        """What the fields of a branch lead to from a value at its steps, the last of which may be a position."""
        if type(value) is list:
            return self._in_array(value, branch, chosen=chosen)
        parts = []
        if branch.ending:
            parts.append((branch.ending, self._end(branch.ending, branch.encode(value), leads=value is not MISSING)))
        for step, _, inner in branch.onward:
            if type(value) is dict:
                parts.append((inner.members, self._at(value.get(step, MISSING), inner)))
            else:
                parts.append((inner.members, _NOTHING if chosen else self._end(inner.members, NULL_KEY, leads=False)))
        return self._together(parts)

    def _in_array(self, array: list[Any], branch: _Branch, *, chosen: bool) -> _Found:
        """The rows of each element, where an element has one."""
        self.multikey = True
        self.shared = self.shared or len(branch.members) > 1
        if not branch.onward:
            return self._ended(array, branch, chosen=chosen)
        columns = []  # for some of the fields, what they lead to in each element
        if branch.ending:
            columns.append((branch.ending, self._elements(array, branch, chosen=chosen)))
        for step, index, inner in branch.onward:
            columns.append((inner.members, self._inside(array, step, index, inner)))
        columns = self._shortened(columns)
        rows: dict[Row, None] = {}
        leads = False
        for number in range(len(columns[0][1])):
            if len(columns) == 1:
                found = columns[0][1][number]
            else:
                found = self._together([(members, column[number]) for members, column in columns])
            rows.update(dict.fromkeys(found.rows))
            leads = leads or found.leads
        if branch.ending and not self._best_only and not (chosen and array):
            rows[self._whole_row(array, branch)] = None
        return self._kept(rows, leads, branch.members[0])

    def _ended(self, array: list[Any], branch: _Branch, *, chosen: bool) -> _Found:
        """The rows of an array at which all fields end."""
        if chosen and array:
            return self._end(branch.ending, branch.encode(array))
        keys = [branch.encode(element) for element in array] or [EMPTY_ARRAY_KEY]
        if not self._best_only:
            keys.append(whole_array_key(array))
        rows = dict.fromkeys([self._row(branch.ending, key) for key in keys])
        return self._kept(rows, True, None if chosen else branch.members[0])

    def _kept(self, rows: Mapping[Row, None], leads: bool, opened: int | None) -> _Found:
        return _Found([min(rows)] if rows and self._best_only else [*rows], leads, opened)

    def _elements(self, array: list[Any], branch: _Branch, *, chosen: bool) -> list[_Found]:
        """An array at the end of a path, seen from each of its elements."""
        ending, encode = branch.ending, branch.encode
        if not array:
            return [self._end(ending, EMPTY_ARRAY_KEY)]
        if chosen:
            return [self._end(ending, encode(array))] * len(array)
        return [self._end(ending, encode(element)) for element in array]

    def _inside(self, array: list[Any], step: str, index: int | None, branch: _Branch) -> list[_Found]:
        """What a step leads to in each element of an array: by the name of a field, and by a position."""
        by_name = []
        for element in array:
            by_name.append(self._at(element.get(step, MISSING), branch) if type(element) is dict else _NOTHING)
        if index is None or index >= len(array):
            return by_name or [_NOTHING]
        there = self._at(array[index], branch, chosen=True)
        if not any(found.leads for found in by_name):
            return [there] * len(array) if there.rows else by_name
        if not there.leads:
            return by_name
        return [_either(there, found) if found.leads else there for found in by_name]

    def _shortened(self, columns: list[tuple[list[int], list[_Found]]]) -> list[tuple[list[int], list[_Found]]]:
        """The same, but just one element where all lead to the same, by positions."""
        varied = [members for members, column in columns if not _is_fixed(column)]
        if not varied:
            return [(members, column[:1]) for members, column in columns]
        for _, column in columns:
            if _is_fixed(column) and column[0].opened is not None:  # an array in one element, beside each of the others
                self._refuse(column[0].opened, varied[0][0])
        return columns

    def _together(self, parts: Sequence[tuple[list[int], _Found]]) -> _Found:
        """Rows of some of the fields, and of others, each with each."""
        if len(parts) == 1:
            return parts[0][1]
        opened = [found.opened for _, found in parts if found.opened is not None]
        if len(opened) > 1:
            self._refuse(opened[0], opened[1])
        first = opened[0] if opened else None
        if not any(found.rows for _, found in parts):
            return _Found((), False, first)
        columns = [found.rows or [self._row(members, NULL_KEY)] for members, found in parts]
        if self.parallel and not self._best_only:  # every pair may be too many
            columns = [rows[:1] for rows in columns]
        return _Found([_merged(rows) for rows in product(*columns)], any(found.leads for _, found in parts), first)

    def _refuse(self, one: int, other: int) -> None:
        self.parallel = self.parallel or (self._fields[one], self._fields[other])

    def _end(self, members: list[int], key: bytes, *, leads: bool = True) -> _Found:
        return _Found((self._row(members, key),), leads)

    def _whole_row(self, array: list[Any], branch: _Branch) -> Row:
        nulls = [number for number in branch.members if number not in branch.ending]
        return _merged((self._row(branch.ending, whole_array_key(array)), self._row(nulls, NULL_KEY)))

    def _row(self, members: list[int], key: bytes) -> Row:
        if len(self._fields) == 1:
            return (invert(key) if self._fields[0].descending else key,)
        row = [b""] * len(self._fields)
        for number in members:
            row[number] = invert(key) if self._fields[number].descending else key
        return tuple(row)


def _is_fixed(column: list[_Found]) -> bool:
    return all(found is column[0] for found in column)


def _either(one: _Found, other: _Found) -> _Found:
    return _Found([*one.rows, *other.rows], True, other.opened if one.opened is None else one.opened)


def _merged(rows: Sequence[Row]) -> Row:
    """One row of rows that say something about different fields."""
    return tuple(map(max, *rows)) if len(rows) > 1 else rows[0]
