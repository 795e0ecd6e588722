"""How a query is answered: which indexes find the candidates, and whether they come in the order that is asked for.

Pure.

Invariants: the candidates are never too few, and what an index lists is checked against the whole filter again; a plan
is good for one state of the data only, since the next document may make an index multikey.

A plan is made for each query, so its parts are tuples: a frozen dataclass takes several times as long to make.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from poof.object_ids import OBJECT_ID
from poof.query.fields import FieldOrder
from poof.query.indexes.definition import MULTIKEY_MARK, IndexDefinition
from poof.query.nodes import (
    EVERYTHING,
    And,
    Compare,
    ElementMatch,
    Equal,
    Exists,
    Field,
    FieldKind,
    In,
    Inside,
    Node,
    Not,
    OfType,
    Or,
    Path,
    Test,
)
from poof.query.order import encode_decimal_key, encode_key, encoder_of, invert, read_decimal, whole_array_key
from poof.query.paths import parse_index

MAX_RANGES = 1_000
"""How many ranges of keys a plan looks into at most."""
ID_PATH: Path = (OBJECT_ID,)
_EXACT_INTEGERS = 2**53
"""Up to here every integer is a double."""


class KeyRange(NamedTuple):
    """The keys from those that begin with `first` to those that begin with `last`."""

    first: bytes
    last: bytes

    @property
    def end(self) -> bytes:
        """The first key beyond the range."""
        last = self.last.rstrip(b"\xff")
        return last[:-1] + bytes((last[-1] + 1,)) if last else MULTIKEY_MARK

    @property
    def is_point(self) -> bool:
        """Whether the field has one single value in the range."""
        return self.first == self.last

    def inverted(self) -> "KeyRange":
        """The same values in a field that descends."""
        return KeyRange(invert(self.last), invert(self.first))

    def behind(self, prefix: bytes) -> "KeyRange":
        """The same values, behind these of the fields before."""
        return KeyRange(prefix + self.first, prefix + self.last)

    def common(self, other: "KeyRange") -> "KeyRange | None":
        """The keys that are in both ranges, if there are any."""
        both = KeyRange(max(self.first, other.first), min(self, other, key=lambda keys: keys.end).last)
        return both if both.first < both.end else None


EVERY_KEY = KeyRange(b"", b"")


@dataclass(frozen=True, slots=True)
class Index:
    """An index as it is at one moment."""

    id: int
    name: str
    definition: IndexDefinition
    multikey: bool
    shared: bool = False
    """Whether several of its fields lead into one array of a document. Then it is multikey too."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """The documents that an index lists in these ranges."""

    index: Index
    ranges: tuple[KeyRange, ...]
    only_key: bytes | None = None
    """The one whole key that is looked up, where it is just one."""


Order = Literal["insertion", "forward", "backward"]


class Plan(NamedTuple):
    """Where the candidates come from: all documents, unless `ids` or `lookups` say otherwise."""

    ids: tuple[str, ...] | None = None
    """The ids of the candidates."""
    lookups: tuple[Lookup, ...] | None = None
    """Together these list the candidates."""
    order: Order = "insertion"
    """The order in which they come: that of the documents, or of the one lookup's keys, from either end."""
    is_sorted: bool = False
    """Whether that is the order that was asked for."""
    rest: Node | None = None
    """What is left to check of the candidates; the whole filter, if nothing is said here."""


class _Asked(NamedTuple):
    """What is asked of the keys of a field."""

    path: Path
    test: Test
    elements: tuple[tuple[Path, int], ...] = ()
    """The arrays whose single element must meet it: the path of each, and a number for what asks."""


class _Choice(NamedTuple):
    """What an index can do for a query."""

    lookup: Lookup
    order: Order
    is_sorted: bool
    equalities: int
    score: tuple[Any, ...]


def make_plan(node: Node, sort: Sequence[FieldOrder], indexes: Iterable[Index]) -> Plan:
    """The plan for a filter and a sort, which may be empty."""
    if not sort and isinstance(node, Field) and (simple := _simple(node, indexes)) is not None:
        return simple
    conditions = tuple(_conditions(node))
    ids = _object_ids(conditions)
    if ids is not None:
        return Plan(ids=ids, is_sorted=not sort)
    best = _best(indexes, conditions, sort)
    if best is not None:
        rest = _rest(best.lookup.index, best.equalities, conditions)
        return Plan(lookups=(best.lookup,), order=best.order, is_sorted=best.is_sorted, rest=rest)
    for condition in conditions:
        if isinstance(condition, Or) and (lookups := _lookups_of_branches(condition, conditions, indexes)):
            return Plan(lookups=lookups, is_sorted=not sort)
    return Plan(is_sorted=not sort)


def _simple(condition: Field, indexes: Iterable[Index]) -> Plan | None:
    """The plan for the most common of all filters: one value of one field, which an index lists alone.

    It is what the general way comes to, in a fifth of its time.
    """
    if not isinstance(condition.test, Equal):
        return None
    value = condition.test.value
    for index in indexes:
        definition = index.definition
        field = definition.fields[0]
        if field.path != condition.path or len(definition.fields) > 1 or definition.where is not None:
            continue
        if (value is not None or not definition.skip_null) and _settles(condition, index, field.kind):
            key = encode_key(value) if field.kind is None else encode_decimal_key(value)
            key = invert(key) if field.descending else key
            return Plan(lookups=(Lookup(index, (KeyRange(key, key),), key),), is_sorted=True, rest=EVERYTHING)
    return None


def _conditions(node: Node) -> Iterator[Node]:
    """What must hold for every document that matches, one by one."""
    match node:
        case And():
            for part in node.nodes:
                yield from _conditions(part)
        case Inside():
            yield from _conditions(node.node)
        case _:
            yield node


def _fields(conditions: Iterable[Node]) -> Iterator[_Asked]:
    """What the conditions ask of the keys of fields. What they ask of an array's element is asked of its array's keys.

    Not what they ask of an element that is an array itself: no path opens that, so no index lists what is in it.
    """
    for condition in conditions:
        match condition:
            case Field((), ElementMatch()):
                pass
            case Field(path, ElementMatch(element)):
                for part in _fields(_conditions(element)):
                    if _is_listed(path, part):
                        inner = tuple((path + array, asker) for array, asker in part.elements)
                        yield _Asked(path + part.path, part.test, ((path, id(element)), *inner))
            case Field(path, test):
                yield _Asked(path, test)


def _is_listed(path: Path, part: _Asked) -> bool:
    """Whether an index lists under its value what an element of the array at a path must have."""
    if not part.path:
        return parse_index(path[-1]) is None  # what a position chose is listed as one value
    # An element that is an array has no fields but its positions, and is passed over.
    return parse_index(part.path[0]) is None and not _accepts_null(part.test)


def _accepts_null(test: Test) -> bool:
    match test:
        case Equal(value):
            return value is None
        case In(values, _):
            return any(value is None for value in values)
        case _:
            return False


def _needs_value(test: Test) -> bool:
    """Whether nothing passes that is null or missing."""
    match test:
        case Exists():
            return False
        case OfType(names):
            return "null" not in names
        case _:
            return not _accepts_null(test)


def _object_ids(conditions: Iterable[Node]) -> tuple[str, ...] | None:
    for condition in conditions:
        if isinstance(condition, Field) and condition.path == ID_PATH:
            match condition.test:
                case Equal(value):
                    return (value,) if isinstance(value, str) else ()
                case In(values, ()):
                    return tuple(dict.fromkeys(value for value in values if isinstance(value, str)))
    return None


def _admits(index: Index, conditions: Iterable[Node], asked: Iterable[_Asked]) -> bool:
    """Whether the index lists every document that meets the conditions. `asked`: what these ask of the keys."""
    if index.definition.skip_null and not _excludes_null(index, conditions, asked):
        return False
    if index.definition.where is None:
        return True
    return all(
        any(_is_same(needed, condition) for condition in conditions) for needed in _conditions(index.definition.node())
    )


def _excludes_null(index: Index, conditions: Iterable[Node], asked: Iterable[_Asked]) -> bool:
    """Whether a field of the index has a value in every document that meets the conditions."""
    paths = {field.path for field in index.definition.fields}
    if any(one.path in paths and _needs_value(one.test) for one in asked):
        return True
    return any(
        isinstance(condition, Not)
        and isinstance(condition.node, Field)
        and condition.node.path in paths
        and _accepts_null(condition.node.test)
        for condition in conditions
    )


def _is_same(one: Node, other: Node) -> bool:
    # To Python 1 is True and the order of fields is nothing, which the texts tell; but they cut long patterns short.
    return one == other and repr(one) == repr(other)


def _best(indexes: Iterable[Index], conditions: Sequence[Node], sort: Sequence[FieldOrder]) -> _Choice | None:
    asked = tuple(_fields(conditions))
    paths = {one.path for one in asked}
    best = None
    for index in indexes:
        useful = sort or index.definition.skip_null or index.definition.fields[0].path in paths
        if useful and _admits(index, conditions, asked):
            choice = _choose(index, asked, sort)
            if choice is not None and (best is None or choice.score > best.score):
                best = choice
    return best


def _lookups_of_branches(
    alternatives: Or, conditions: Sequence[Node], indexes: Iterable[Index]
) -> tuple[Lookup, ...] | None:
    """A lookup for each alternative, if each has one."""
    lookups = []
    for branch in alternatives.nodes:
        met = (*_conditions(branch), *(condition for condition in conditions if condition is not alternatives))
        best = _best(indexes, met, ())
        if best is None:
            return None
        lookups.append(best.lookup)
    return tuple(lookups)


def _choose(index: Index, asked: Sequence[_Asked], sort: Sequence[FieldOrder]) -> _Choice | None:
    if not index.shared:
        return _choose_first(index, asked, sort)
    # What is taken for the first field tells what can be taken for others.
    first = index.definition.fields[0].path
    others = [one for one in asked if one.path != first]
    choices = [_choose_first(index, [one, *others], sort) for one in asked if one.path == first]
    return max(filter(None, choices), key=lambda choice: choice.score, default=None)


def _choose_first(index: Index, asked: Sequence[_Asked], sort: Sequence[FieldOrder]) -> _Choice | None:
    fields = index.definition.fields
    taken: list[_Asked] = []
    prefixes = [b""]
    equalities = 0
    ranges: list[KeyRange] | None = None
    for field in fields:
        values = _values(field, index, asked, taken)
        if values is None or len(prefixes) * len(values) > MAX_RANGES:
            break
        if not all(keys.is_point for keys in values):
            ranges = [keys.behind(prefix) for prefix in prefixes for keys in values]
            break
        prefixes = [prefix + keys.first for prefix in prefixes for keys in values]
        equalities += 1
    if ranges is None:
        ranges = [KeyRange(prefix, prefix) for prefix in prefixes]
    order, is_sorted = _order(index, equalities, len(prefixes) == 1 and len(ranges) == 1, sort)
    is_bounded = ranges != [EVERY_KEY]
    if not is_bounded and (order == "insertion" or not is_sorted) and not index.definition.skip_null:
        return None
    score = (
        index.definition.unique and equalities == len(fields),
        equalities,
        is_bounded,
        not all(keys.is_point for keys in ranges),  # a range on one field more
        is_sorted,
        -len(fields),
    )
    only_key = ranges[0].first if equalities == len(fields) and len(ranges) == 1 else None
    return _Choice(Lookup(index, tuple(ranges), only_key), order, is_sorted, equalities, score)


def _rest(index: Index, equalities: int, conditions: Sequence[Node]) -> Node:
    """The conditions but those that hold for whatever the index lists, since it lists by equal values."""
    if equalities == 0:
        return And(tuple(conditions))
    kinds = {field.path: field.kind for field in index.definition.fields[:equalities]}
    if index.multikey:  # of several conditions on a field, only one was looked up
        times = Counter(one.path for one in _fields(conditions))
        kinds = {path: kind for path, kind in kinds.items() if times[path] == 1}
    on_fields = [part for part in conditions if isinstance(part, Field) and part.path in kinds]
    settled = [part for part in on_fields if _settles(part, index, kinds[part.path])]
    return And(tuple(part for part in conditions if not any(part is one for one in settled)))


def _settles(condition: Field, index: Index, kind: FieldKind) -> bool:
    """Whether a condition holds for whatever an index lists under its values. `kind`: how the index compares these."""
    match condition.test:
        case Equal(value):
            values: tuple[Any, ...] = (value,)
        case In(values, ()) if len(values) <= MAX_RANGES:
            pass
        case _:
            return False
    for value in values:
        if isinstance(value, list) or not _is_exact(value, kind):
            return False
    if not index.multikey:
        return True
    if index.definition.expire_after is not None:
        return False  # a time is listed as it is written, and as it might be
    # Elements are listed like values. But an index in the path means one array's own, and nothing counts as null.
    return None not in values and not any(step.isdigit() for step in condition.path)


def _is_exact(value: Any, kind: FieldKind) -> bool:
    """Whether an index lists under the key of a value just what is equal to it."""
    if kind is None:
        return not isinstance(value, Decimal)
    return isinstance(value, Decimal) or read_decimal(value) is None


def _order(index: Index, equalities: int, is_one_range: bool, sort: Sequence[FieldOrder]) -> tuple[Order, bool]:
    """In which order to read the index, and whether that is the sort."""
    if index.multikey or not is_one_range or not sort:
        return "insertion", not sort
    fixed = index.definition.fields[:equalities]
    settled = {(field.path, field.kind) for field in fixed}
    wanted = [field for field in sort if (field.path, field.kind) not in settled]
    given = index.definition.fields[equalities:]
    if not wanted:
        return "insertion", True
    # All of them: one more would order the documents that the sort leaves in the order of insertion.
    if [(field.path, field.kind) for field in given] != [(field.path, field.kind) for field in wanted]:
        return "insertion", False
    turned = {a.descending != b.descending for a, b in zip(given, wanted, strict=True)}
    if len(turned) > 1:
        return "insertion", False
    return ("backward" if turned.pop() else "forward"), True


def _values(field: FieldOrder, index: Index, asked: Iterable[_Asked], taken: list[_Asked]) -> list[KeyRange] | None:
    """The ranges in which the field's values lie, ascending; None where nothing is asked of it.

    `taken` is what was taken for the fields before it in a multikey index; what is taken for this one is added.
    """
    options = [
        (one, ranges)
        for one in asked
        if one.path == field.path
        if (ranges := _ranges(one.test, field.kind)) is not None
    ]
    if index.multikey:
        options = [(one, ranges) for one, ranges in options if _lists_all(one) and _is_beside(one, taken, index)]
    if not options:
        return None
    one, found = options[0]
    if index.multikey:  # each condition may be met by another element
        one, found = min(options, key=lambda option: (not all(keys.is_point for keys in option[1]), len(option[1])))
        taken.append(one)
    else:
        for _, option in options[1:]:
            pairs = itertools.product(found, option)
            found = [both for one, other in pairs if (both := one.common(other)) is not None]
    found = sorted(set(found), key=lambda keys: keys.first)
    return [keys.inverted() for keys in reversed(found)] if field.descending else found


def _lists_all(asked: _Asked) -> bool:
    """Whether the index lists all that meets it: not, where a position and a name are one step, what has just one."""
    return not (_accepts_null(asked.test) and any(parse_index(step) is not None for step in asked.path))


def _is_beside(asked: _Asked, taken: Iterable[_Asked], index: Index) -> bool:
    """Whether what meets it stands in one key with what meets those taken before."""
    return not index.shared or all(_is_one_element(asked, other) for other in taken)


def _is_one_element(one: _Asked, other: _Asked) -> bool:
    """Whether the fields lead into no array together, or are asked of one element of the last such array."""
    pairs = itertools.takewhile(lambda steps: steps[0] == steps[1], zip(one.path, other.path, strict=False))
    common = tuple(step for step, _ in pairs)
    return not common or any(array == common and (array, asker) in other.elements for array, asker in one.elements)


def _ranges(test: Test, kind: FieldKind) -> list[KeyRange] | None:
    """The keys of the values that pass a test, or of more; None where an index of the kind cannot tell."""
    match test:
        case Equal(value) if _is_listed_by_value(value, kind):
            return _points(value, kind)
        case In(values, ()) if len(values) <= MAX_RANGES and all(_is_listed_by_value(value, kind) for value in values):
            return [point for value in values for point in _points(value, kind)]
        case Compare(operator, value) if not isinstance(value, list) and _is_sorted_alike(value, kind):
            key = encoder_of(kind)(value)
            if operator in (">", ">="):
                return [KeyRange(key, encode_key(True) if isinstance(value, bool) else key[:1])]
            return [KeyRange(encode_key(False) if isinstance(value, bool) else key[:1], key)]
    return None


def _is_sorted_alike(value: Any, kind: FieldKind) -> bool:
    """Whether an index sorts the values of this one's type as a comparison with it does."""
    is_decimal = isinstance(value, Decimal)
    return not is_decimal if kind is None else is_decimal or isinstance(value, bool | dict)


def _is_listed_by_value(value: Any, kind: FieldKind) -> bool:
    """Whether an index lists all that is equal to a value under the keys of `_points`, maybe with more."""
    if kind is None:
        return not isinstance(value, Decimal)
    # Beyond, a double and an integer may be equal whose shortest numerals are not.
    return not isinstance(value, int | float) or abs(value) <= _EXACT_INTEGERS


def _points(value: Any, kind: FieldKind) -> list[KeyRange]:
    keys = [encoder_of(kind)(value)]
    if isinstance(value, list):
        keys.append(whole_array_key(value))
    return [KeyRange(key, key) for key in keys]
