"""Filters and sorts as SQL on the JSON text of documents.

Pure. It makes text and parameters; nothing here runs SQL.

The table has the columns `doc`, the JSON text as `document` writes it, and `obj_id`. A filter becomes an expression of
three values: 1 for a document that matches, 0 for one that does not, NULL where SQL cannot tell and `match` must
decide. AND, OR and NOT of SQL carry that on by themselves. It is NULL where an array lies on a path or at its end,
since SQL would not open it as MongoDB does, and where SQL would not be exact: patterns, equality of documents, names
that no path of SQLite holds safely.

Invariants: 1 and 0 are never wrong. No name and no value is part of the SQL, so that queries of one shape share a
prepared statement; a bound path costs nothing against one in the text.
"""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from poof.encoding.scalars import MAX_INTEGER, MIN_INTEGER
from poof.object_ids import OBJECT_ID
from poof.query.fields import FieldOrder
from poof.query.filters.match import MAX_INT, MIN_INT, is_zoned
from poof.query.key_rows import Rows
from poof.query.nodes import (
    And,
    Compare,
    ElementMatch,
    Equal,
    Exists,
    Field,
    In,
    Inside,
    Matches,
    Modulo,
    Node,
    Not,
    OfType,
    Or,
    Path,
    Size,
    Test,
    TypeName,
)
from poof.query.order import EMPTY_ARRAY_KEY, NULL_KEY, Type, decode_scalar, encode_key, type_of

SORT_KEY = "poof_sort_key"
"""The SQL function of what a document sorts by, where SQL alone cannot tell."""
EXACT_REAL = "poof_exact_real"
"""The SQL function of the double in a JSON text, which SQLite may miss by a few units in the last place."""

MAX_PARAMETERS = 5_000
"""Of one filter; SQLite takes 32,766 in a statement, which may hold the filter several times."""
MAX_NESTING = 300
"""Levels of AND, OR and NOT; SQLite takes 1,000 levels of all that an expression is made of."""

NEAR = 64
"""How many units in the last place SQLite's reading of a JSON number may be off; 3 are the most that was ever seen.
Within them a number is told by its text alone."""

LONGEST_SEARCH = 64
"""How many characters of a text are looked for in the JSON."""
MOST_SEARCHES = 8
"""How many texts are looked for in the JSON; with more, it is as quick to read it."""

_TYPES: Mapping[str, tuple[str, ...]] = {
    "null": ("null",),
    "number": ("integer", "real"),
    "int": (),
    "long": (),
    "double": ("real",),
    "string": ("text",),
    "object": ("object",),
    "array": ("array",),
    "bool": ("true", "false"),
}
"""The types that `json_type` tells; `int` and `long` are told by size."""


@dataclass(frozen=True, slots=True)
class Where:
    """An expression of SQL with the parameters of its question marks, in their order."""

    sql: str
    parameters: tuple[Any, ...] = ()


_DECIMALS = ("text", "integer", "real")
"""The types in which a decimal may be stored."""
_GLOB_SIGNS = str.maketrans({sign: f"[{sign}]" for sign in "*?["})
_IN = "IN (SELECT value FROM json_each(?))"
_UNKNOWN = Where("NULL")
_TRUE = Where("1")
_FALSE = Where("0")


def compile_filter(node: Node) -> Where:
    """The filter as an expression that is 1, 0 or, where `match` must decide, NULL."""
    where, depth = _compile(node)
    too_large = len(where.parameters) > MAX_PARAMETERS or depth > MAX_NESTING
    return _UNKNOWN if too_large else where


def compile_sort(fields: Sequence[FieldOrder]) -> list[Where]:
    """The terms of ORDER BY in which documents stand as by `rows.Rows.first`, one for each field.

    A term gives NULL for an empty array, minus infinity for null, numbers and texts as they are, and for all else the
    key as a blob: that is how SQLite sorts them. It calls the `sort_functions`.
    """
    terms = []
    for field in fields:
        key = _sort_key(field, [other for other in fields if other.path[:1] == field.path[:1]])
        terms.append(Where(f"{key.sql} {'DESC' if field.descending else 'ASC'}", key.parameters))
    return terms


def sort_functions() -> dict[str, Callable[..., Any]]:
    """The SQL functions that the terms of `compile_sort` call: deterministic, and without side effects."""
    return {SORT_KEY: _native_sort_key, EXACT_REAL: float}


# Nodes.


def _compile(node: Node) -> tuple[Where, int]:
    """The expression of a node, and how many levels of nodes it has."""
    match node:
        case Field(path, test):
            return _compile_field(path, test), 0
        case And(nodes):
            return _join("AND", [_compile(part) for part in nodes], _TRUE)
        case Or(nodes):
            return _join("OR", [_compile(part) for part in nodes], _FALSE)
        case Not(part):
            where, depth = _compile(part)
            return Where(f"NOT {where.sql}", where.parameters), depth + 1
        case Inside():
            return _UNKNOWN, 0


def _join(operator: str, parts: Sequence[tuple[Where, int]], empty: Where) -> tuple[Where, int]:
    """All parts with an operator between them, in pairs of pairs: as a chain they would be as deep as they are many."""
    if not parts:
        return empty, 0
    if len(parts) == 1:
        return parts[0]
    levels = (len(parts) - 1).bit_length()
    sql = _join_texts(operator, [where.sql for where, _ in parts])
    parameters = tuple(parameter for where, _ in parts for parameter in where.parameters)
    return Where(sql, parameters), max(depth for _, depth in parts) + levels


def _join_texts(operator: str, texts: list[str]) -> str:
    while len(texts) > 1:
        odd = texts[len(texts) // 2 * 2 :]
        pairs = zip(texts[::2], texts[1::2], strict=False)
        texts = [f"({left} {operator} {right})" for left, right in pairs] + odd
    return texts[0]


def _compile_field(path: Path, test: Test) -> Where:
    if path[:1] == (OBJECT_ID,):
        return _compile_object_id(test) if len(path) == 1 else _missing(test)
    field = _JsonField.at(path)
    where = _UNKNOWN if field is None else _compile_test(field, test)
    return _search_first(_texts_needed(Field(path, test)), where)


def _search_first(texts: Sequence[str], where: Where) -> Where:
    """The same, but 0 at once for a document whose JSON has none of the texts."""
    if not texts or where.sql == "0":
        return where
    searches = " OR ".join("doc GLOB ?" for _ in texts)
    # Not AND, of which SQLite works out both sides.
    return Where(f"CASE WHEN {searches} THEN {where.sql} ELSE 0 END", (*map(_as_glob, texts), *where.parameters))


def _texts_needed(node: Node) -> Sequence[str]:
    """Texts of which a document that matches has at least one among its values; none where that is unknown."""
    match node:
        case Field(path) if path[:1] == (OBJECT_ID,):
            return ()
        case Field(_, Equal(str(value))) if value:
            return (value,)
        case Field(_, In(values, ())) if len(values) <= MOST_SEARCHES:
            return values if all(isinstance(value, str) and value for value in values) else ()
        case Field(_, ElementMatch(element)):
            return _texts_needed(element)
        case Inside(part):
            return _texts_needed(part)
        case And(nodes):
            return next(filter(None, map(_texts_needed, nodes)), ())
    return ()


def _as_glob(text: str) -> str:
    """A pattern of SQLite's GLOB for JSON that has a text in it, or its first characters."""
    # Without the quote before it, which stands everywhere: GLOB is as quick as its first character is rare.
    written = orjson.dumps(text).decode()[1:]
    return f"*{written[:LONGEST_SEARCH].translate(_GLOB_SIGNS)}*"


def _compile_object_id(test: Test) -> Where:
    """What a test says of the id, which is always text. Compared with a number, the column would turn it into text."""
    match test:
        case Equal(str(value)):
            return Where("obj_id = ?", (value,))
        case Compare(operator, str(value)):
            return Where(f"obj_id {operator} ?", (value,))
        case In(values, patterns):
            texts = _as_json(value for value in values if isinstance(value, str))
            found = Where(f"obj_id {_IN}", (texts,))
            return Where(f"nullif({found.sql}, 0)", found.parameters) if patterns else found
        case Exists():
            return _TRUE
        case OfType(names):
            return _TRUE if "string" in names else _FALSE
        case Matches():
            return _UNKNOWN
        case _:
            return _FALSE


def _missing(test: Test) -> Where:
    """What a test says of a field that no document has."""
    return _TRUE if _accepts_missing(test) else _FALSE


def _accepts_missing(test: Test) -> bool:
    match test:
        case Equal(value):
            return value is None
        case In(values, _):
            return None in values
        case _:
            return False


# Tests of a field in the JSON text.


@dataclass(frozen=True, slots=True)
class _JsonField:
    """A field of the document, by its path and the paths on the way to it, as SQLite writes them."""

    path: str
    on_the_way: tuple[str, ...]

    @classmethod
    def at(cls, path: Path) -> "_JsonField | None":
        """None where a name has characters that would need escapes in a path of SQLite."""
        paths = []
        text = "$"
        for step in path:
            if '"' in step or "\\" in step or min(step, default=" ") < " ":
                return None
            text += f'."{step}"'
            paths.append(text)
        return cls(paths[-1], tuple(paths[:-1])) if paths else None

    def value(self) -> Where:
        """The value as SQLite has it."""
        return Where("json_extract(doc, ?)", (self.path,))

    def compared(self, comparison: str, *operands: Any) -> Where:
        """What a comparison says of the value."""
        return Where(f"json_extract(doc, ?) {comparison}", (self.path, *operands))

    def by_type(
        self,
        cases: Mapping[str, Where],
        *,
        missing: Where = _FALSE,
        other: Where = _FALSE,
        opened: Where = _UNKNOWN,
    ) -> Where:
        """An expression for each type of `json_type`, for a missing field, and for all other types.

        `opened` is for documents whose arrays must be opened: those on the way, and one at the end if no case is its.
        """
        cases = {**cases, "array": cases.get("array", opened)}
        if self.on_the_way:
            # No path of ours leads into an array: what lies behind one seems to be missing.
            places = ", ".join("json_type(doc, ?)" for _ in self.on_the_way)
            sql = f"CASE WHEN 'array' IN ({places}) THEN {opened.sql} ELSE {missing.sql} END"
            missing = Where(sql, (*self.on_the_way, *opened.parameters, *missing.parameters))
        kind = "json_type(doc, ?)"
        if missing != other:
            kind = f"ifnull({kind}, '')"
            cases[""] = missing
        branches = " ".join(f"WHEN '{name}' THEN {case.sql}" for name, case in cases.items())
        parameters = [parameter for case in cases.values() for parameter in case.parameters]
        return Where(f"CASE {kind} {branches} ELSE {other.sql} END", (self.path, *parameters, *other.parameters))


def _compile_test(field: _JsonField, test: Test) -> Where:
    match test:
        case Equal(value):
            return field.by_type(_compare(field, "=", value), missing=_missing(test))
        case Compare(operator, value, same_zone):
            cases = _compare(field, operator, value)
            if same_zone:
                zone = field.compared("GLOB ?", "*Z" if is_zoned(value) else "*[^Z]")
                compared = cases["text"]
                cases["text"] = Where(f"({compared.sql} AND {zone.sql})", (*compared.parameters, *zone.parameters))
            return field.by_type(cases)
        case In():
            return field.by_type(_find_in(field, test), missing=_missing(test))
        case Exists():
            return field.by_type({"array": _TRUE}, other=_TRUE)
        case OfType(names):
            return field.by_type(_types(field, names))
        case Size(size):
            return field.by_type({"array": Where("json_array_length(doc, ?) = ?", (field.path, size))})
        case Modulo(divisor, remainder):
            return field.by_type({"integer": field.compared("% ? = ?", divisor, remainder), "real": _UNKNOWN})
        case Matches():
            return field.by_type({"text": _UNKNOWN})
        case ElementMatch():
            return field.by_type({})


def _types(field: _JsonField, names: frozenset[TypeName]) -> dict[str, Where]:
    cases = {}
    if names >= {"int", "long"}:
        cases["integer"] = _TRUE
    elif "int" in names:
        cases["integer"] = field.compared("BETWEEN ? AND ?", MIN_INT, MAX_INT)
    elif "long" in names:
        cases["integer"] = field.compared("NOT BETWEEN ? AND ?", MIN_INT, MAX_INT)
    return cases | {kind: _TRUE for name in names for kind in _TYPES[name]}


def _compare(field: _JsonField, operator: str, value: Any) -> dict[str, Where]:
    if isinstance(value, Decimal):
        return dict.fromkeys(_DECIMALS, _UNKNOWN)
    match type_of(value):
        case "null":
            return {"null": _TRUE}
        case "bool":
            signs = {"true": True - value, "false": False - value}
            return {name: _constant(operator, sign) for name, sign in signs.items()}
        case "string":
            return {"text": field.compared(f"{operator} ?", value)}
        case "number":
            return {"integer": field.compared(f"{operator} ?", value), "real": _compare_real(field, operator, value)}
        case "object":
            return {"object": _UNKNOWN}
        case "array":
            return {}


def _constant(operator: str, sign: int) -> Where:
    """The verdict on a value that is less (-1), equal (0) or greater (1)."""
    accepted = {"=": (0,), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}
    return _TRUE if sign in accepted[operator] else _FALSE


def _compare_real(field: _JsonField, operator: str, number: float) -> Where:
    """SQLite does not always read the double that is nearest to a JSON text, so what is near is told by its text."""
    least, greatest = _neighbourhood(number)
    below, same, above = (_constant(operator, sign).sql for sign in (-1, 0, 1))
    return Where(
        f"CASE WHEN json_extract(doc, ?) < ? THEN {below} WHEN json_extract(doc, ?) > ? THEN {above} "
        f"ELSE CASE doc -> ? WHEN ? THEN {same} END END",
        (field.path, least, field.path, greatest, field.path, _real_text(number)),
    )


def _neighbourhood(number: float) -> tuple[float, float]:
    double = float(number)
    margin = NEAR * math.ulp(double)
    return double - margin, double + margin


def _real_text(number: float) -> str | None:
    """The JSON text of the number as a double, if there is such a double."""
    double = float(number)
    return orjson.dumps(double).decode() if double == number else None


def _find_in(field: _JsonField, test: In) -> dict[str, Where]:
    """Lists are bound as one JSON text each. That of reals holds their texts, for the reason in `_compare_real`."""
    by_type: dict[Type, list[Any]] = {}
    decimals = False
    for value in test.values:
        if isinstance(value, Decimal):
            decimals = True
        else:
            by_type.setdefault(type_of(value), []).append(value)
    cases: dict[str, Where] = {}
    if strings := by_type.get("string"):
        cases["text"] = field.compared(_IN, _as_json(strings))
    if test.patterns:
        found = cases.get("text", _FALSE)
        cases["text"] = Where(f"nullif({found.sql}, 0)", found.parameters)
    if numbers := by_type.get("number"):
        integers = _as_json(int(number) for number in numbers if _is_integer(number))
        cases["integer"] = field.compared(_IN, integers)
        cases["real"] = _find_real(field, numbers)
    if "null" in by_type:
        cases["null"] = _TRUE
    if "object" in by_type:
        cases["object"] = _UNKNOWN
    cases.update(("true" if value else "false", _TRUE) for value in by_type.get("bool", ()))
    return cases | dict.fromkeys(_DECIMALS, _UNKNOWN) if decimals else cases


def _find_real(field: _JsonField, numbers: list[float]) -> Where:
    least, greatest = _neighbourhood(min(numbers))[0], _neighbourhood(max(numbers))[1]
    texts = _as_json(text for number in numbers if (text := _real_text(number)) is not None)
    return Where(
        f"CASE WHEN json_extract(doc, ?) NOT BETWEEN ? AND ? THEN 0 ELSE nullif((doc -> ?) {_IN}, 0) END",
        (field.path, least, greatest, field.path, texts),
    )


def _is_integer(number: float) -> bool:
    return number == int(number) and MIN_INTEGER <= number <= MAX_INTEGER


def _as_json(values: Iterable[Any]) -> str:
    return orjson.dumps(list(values)).decode()


# Sorts.


def _sort_key(field: FieldOrder, together: Sequence[FieldOrder]) -> Where:
    """The key of one field, which may lead into one array together with these, of which it is one."""
    null = Where("-9e999")
    path = field.path
    if path[:1] == (OBJECT_ID,):
        return Where("obj_id") if len(path) == 1 else null
    whole = _called("doc", (), together, together.index(field))
    place = _JsonField.at(path)
    if place is None:
        return whole
    alone = _called("doc -> ?", (place.path,), [FieldOrder((), field.descending, field.kind)], 0)
    leads_on = any(len(other.path) > len(path) and other.path[: len(path)] == path for other in together)
    cases = {
        "text": place.value() if field.kind is None else alone,
        "integer": place.value() if field.kind is None else alone,
        "real": Where(f"{EXACT_REAL}(doc -> ?)", (place.path,)) if field.kind is None else alone,
        "object": alone,
        "array": whole if leads_on else alone,
        "true": _blob(True),
        "false": _blob(False),
    }
    return place.by_type(cases, missing=null, other=null, opened=whole)


def _blob(value: Any) -> Where:
    return Where(f"x'{encode_key(value).hex()}'")


def _called(text: str, parameters: tuple[Any, ...], fields: Sequence[FieldOrder], number: int) -> Where:
    described = _as_json([field.path, field.descending, field.kind] for field in fields)
    return Where(f"{SORT_KEY}({text}, ?, ?)", (*parameters, described, number))


def _native_sort_key(text: str, fields: str, number: int) -> float | str | bytes | None:
    """What `compile_sort` sorts by: of the document in a text, the key of one of the fields in a JSON array."""
    rows = _rows(fields)
    key = rows.sort_key(orjson.loads(text), number)
    if key == EMPTY_ARRAY_KEY:
        return None
    if key == NULL_KEY:
        return -math.inf
    if rows.fields[number].kind is not None:
        return key  # the key of a decimal sorts before those of texts, and so these must be keys too
    scalar = decode_scalar(key)
    return key if scalar is None else scalar


@functools.lru_cache(maxsize=256)
def _rows(fields: str) -> Rows:
    return Rows([FieldOrder(tuple(path), descending, kind) for path, descending, kind in orjson.loads(fields)])
