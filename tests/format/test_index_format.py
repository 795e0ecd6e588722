"""What `docs/format.md` says about indexes is enough to compute their entries without PoofDB."""

import json
import re
import sqlite3
import struct
from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import BaseModel

from poof import InvalidDocumentError, PoofCluster
from poof.query.fields import parse_fields
from poof.query.indexes.definition import IndexDefinition, keys_of
from tests.format.test_independent_readers import INDEX, KEY, VECTORS, read_independently
from tests.support.index_strategies import array_data, data, orders
from tests.support.places import ROOT

FORMAT = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
MISSING = object()
NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|-?Infinity")
ROW = re.compile(r"^\| (`\{.*) \| (`[0-9a-f].*) \|$", re.M)
TABLE = re.compile(r"^\| document 5, of an index on (.*) \| keys \|\n((?:\|.*\n)+)", re.M)


def text(value):
    return value.encode().replace(b"\1", b"\1\2").replace(b"\0", b"\1\1") + b"\0"


def number(value):
    double = float(value) + 0.0
    packed = struct.pack(">d", double)
    turned = bytes(255 - byte for byte in packed) if double < 0 else bytes([packed[0] ^ 0x80]) + packed[1:]
    more = value - int(double) if isinstance(value, int) else 0
    return b"\x20" + turned + struct.pack(">H", 0x8000 + more)


def key(value):
    """The key of a value, from the table of the specification."""
    if value is None or value is MISSING:
        return b"\x10"
    if isinstance(value, bool):
        return b"\x61" if value else b"\x60"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, str):
        return b"\x30" + text(value)
    if isinstance(value, list):
        return b"\x50" + b"".join(map(key, value)) + b"\0"
    members = [bytes([key(item)[0] & 0xF0]) + text(name) + key(item) for name, item in value.items()]
    return b"\x40" + b"".join(members) + b"\0"


def decimal_key(value):
    """The key of a value in a field of decimals, from the table of the specification."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text_of = repr(value) if is_number else value
    if not isinstance(text_of, str) or not NUMERAL.fullmatch(text_of):
        return key(value)
    sign, digits, exponent = Decimal(text_of).as_tuple()
    if exponent == "F":
        return b"\x28\0" if sign else b"\x28\4"
    if not any(digits):
        return b"\x28\2"
    written = bytes(48 + digit for digit in digits).strip(b"0") + b"\0"
    payload = (len(digits) - 1 + exponent + 2**63).to_bytes(8, "big") + written
    return b"\x28\1" + bytes(255 - byte for byte in payload) if sign else b"\x28\3" + payload


def rows(value, paths, chosen=False, key=key):
    """What fields lead to: rows as dicts from the number of a field to a key, None for missing."""
    steps = {}
    for number, path in paths.items():
        steps.setdefault(path[0] if path else None, {})[number] = path[1:]
    ends = steps.pop(None, {})
    if not isinstance(value, list):
        parts = [by_name(value, step, inner, chosen, key) for step, inner in steps.items()]
        ending = None if value is MISSING else key(value)
        return combined([*parts, [dict.fromkeys(ends, ending)] if ends else []])
    readings = [by_element(value, step, inner, key) for step, inner in steps.items()]
    found = []
    for number, element in enumerate(value):
        ending = [dict.fromkeys(ends, key(value if chosen else element))] if ends else []
        found += combined([ending, *(reading[number] for reading in readings)])
    if ends and not value:
        found.append(dict.fromkeys(ends, b"\x08"))
    if ends and not (chosen and value):
        found.append(dict.fromkeys(ends, b"\x70" + KEY_OF_ARRAY(value)))
    return found


KEY_OF_ARRAY = key


def by_name(value, step, paths, passed, key):
    if isinstance(value, dict):
        return rows(value.get(step, MISSING), paths, key=key)
    return [] if passed else [dict.fromkeys(paths)]


def by_element(array, step, paths, key):
    """The rows by a step in each element of an array."""
    names = [by_name(element, step, paths, True, key) for element in array]
    if step not in map(str, range(len(array))):
        return names
    there = rows(array[int(step)], paths, True, key)
    if not any(map(has_value, names)):
        return [there or own for own in names]
    return [(there + own if has_value(own) else there) if has_value(there) else own for own in names]


def has_value(found):
    return any(value is not None for row in found for value in row.values())


def combined(parts):
    kept = [part for part in parts if part]
    return [{name: value for row in one for name, value in row.items()} for one in product(*kept)] if kept else []


def meets_array(value, path):
    for step in path:
        if not isinstance(value, dict):
            break
        value = value.get(step)
    return isinstance(value, list)


def entries(fields, document_id, document, types=(), skip_null=False):
    """The keys of a document, in an index that is neither partial nor expires; of decimals, with one field."""
    encode = decimal_key if "decimal" in types else key
    paths = {number: path for number, (path, _) in enumerate(fields)}
    found = set()
    listed = rows(document, paths, key=encode) or [{}]
    if skip_null and not meets_array(document, paths[0]) and all(row.get(0) in (None, key(None)) for row in listed):
        return found
    for row in listed:
        keys = [row.get(number) or key(None) for number in paths]
        turned = [bytes(255 - byte for byte in one) if fields[number][1] else one for number, one in enumerate(keys)]
        found.add(b"".join(turned))
    if any(meets_array(document, path) for path in paths.values()):
        mark = b"\xff\xff" if is_shared(document, [*paths.values()]) else b"\xff"
        found.add(mark + document_id.to_bytes(8, "big"))
    return found


def is_shared(value, paths):
    """Whether several fields come to one array together."""
    if isinstance(value, list):
        elements = [element for element in value if isinstance(element, dict)]
        chosen = [
            (value[int(step)], [path[1:] for path in paths if path and path[0] == step])
            for step in {path[0] for path in paths if path}
            if step in map(str, range(len(value)))
        ]
        inside = [(element, [path for path in paths if path]) for element in elements]
        return len(paths) > 1 or any(is_shared(*one) for one in [*chosen, *inside])
    if not isinstance(value, dict):
        return False
    steps = {path[0] for path in paths if path}
    return any(is_shared(value.get(step), [path[1:] for path in paths if path and path[0] == step]) for step in steps)


def lists(where, document):
    """Whether a partial index lists a document; of filters this knows just the one that the vector has."""
    return where is None or (where == {"name": {"$exists": True}} and "name" in document)


def stored_and_expected(database):
    """The entries of each index in a file, and those that it should have."""
    connection = sqlite3.connect(database)
    for index, collection, definition in connection.execute("SELECT id, collection_id, definition FROM indexes"):
        defined = json.loads(definition)
        assert list(defined) == ["kind", "fields", "types", "unique", "skip_null", "where", "expire"]
        assert defined["kind"] == "ordered"
        fields, types, skip_null, where = (defined[name] for name in ("fields", "types", "skip_null", "where"))
        documents = connection.execute(f"SELECT id, doc FROM documents_{collection}").fetchall()
        stored = connection.execute(f"SELECT key, document FROM entries_{index}").fetchall()
        expected = {
            (key, number)
            for number, doc in documents
            if lists(where, json.loads(doc))
            for key in entries(fields, number, json.loads(doc), types.values(), skip_null)
        }
        assert len(stored) == len(set(stored))
        yield set(stored), expected
    connection.close()


def test_the_entries_of_the_vector_are_those_of_the_specification(tmp_path):
    out = tmp_path / "out.sqlite"
    assert read_independently(VECTORS / INDEX["indexed"]["file"], KEY, out).returncode == 0
    indexes = [*stored_and_expected(out)]
    assert len(indexes) == 2
    for stored, expected in indexes:
        assert stored == expected


VALUES = [
    *(None, True, False, 0, -0.0, 1, 1.5, -2, 1e308, -5e-324, 2**63 - 1, 2**53 + 1, -(2**63)),
    *("", "a\0b\1c", "\u00e9\U0001f40d"),
    *([], [[]], [1, "x", None], [[1, 2], [3]], [{"b": 1}, {"b": [2, 3]}, 4]),
    *({"b": [{"c": 1}]}, {"b": None}, {"0": 5, "b": {}}),
]
PATHS = ["a", "a.b", "a.0", "a.b.c", "a.0.b", ["c", "a"], [("a", -1), ("c", 1)], ["a.b", "a.0"], [("a", -1), "a.b"]]


async def test_the_entries_of_all_kinds_of_values_are_those_of_the_specification(path, tmp_path):
    async with await PoofCluster.create(path, KEY) as cluster:
        values = await (await cluster.get_database("db")).get_collection("values")
        for fields in PATHS[::2]:
            await values.create_index(fields)
        await values.insert_many({"a": value, "c": "x"} for value in VALUES)
        await values.update_many({"a": 1}, {"$set": {"a": [1, 2]}})
        await values.delete_many({"a": 1.5})
        for fields in PATHS[1::2]:
            await values.create_index(fields)
    assert read_independently(path, KEY, tmp_path / "out.sqlite").returncode == 0
    indexes = [*stored_and_expected(tmp_path / "out.sqlite")]
    assert len(indexes) == len(PATHS)
    for stored, expected in indexes:
        assert stored == expected


class Priced(BaseModel):
    a: Any = None
    price: Decimal | list[Decimal] | None = None


PRICES = ["10.00", 10, -2.5, "1e400", "-0", "-0.000125", "Infinity", "x", " 1", None, ["1", "1.0", None, "x"], [], {}]


async def test_the_entries_of_decimals_and_of_what_is_not_null_are_those_of_the_specification(path, tmp_path):
    async with await PoofCluster.create(path, KEY) as cluster:
        database = await cluster.get_database("db")
        priced = await database.get_collection("priced", Priced)
        await priced.create_index("price")
        await priced.create_index({"price": -1}, skip_null=True)
        await priced.create_index("a", skip_null=True)
        plain = await database.get_collection("priced")
        await plain.insert_many({"price": price, "a": price} for price in PRICES)
        await plain.insert_many([{}, {"a": [None]}, {"a": {"b": None}}])
    assert read_independently(path, KEY, tmp_path / "out.sqlite").returncode == 0
    indexes = [*stored_and_expected(tmp_path / "out.sqlite")]
    assert len(indexes) == 3
    for stored, expected in indexes:
        assert stored == expected


def test_without_the_function_the_documents_can_be_read_and_not_written(tmp_path):
    out = tmp_path / "out.sqlite"
    read_independently(VECTORS / INDEX["indexed"]["file"], KEY, out)
    connection = sqlite3.connect(out)
    (table,) = connection.execute("SELECT 'documents_' || id FROM collections").fetchone()
    assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (4,)
    with pytest.raises(sqlite3.OperationalError, match="no such function"):
        connection.execute(f"DELETE FROM {table}")
    connection.close()


EXAMPLES = [
    (re.findall(r"`([^`]+)`", head.replace("of type", "")), documents, keys)
    for head, table in TABLE.findall(FORMAT)
    for documents, keys in ROW.findall(table)
]


@pytest.mark.parametrize(("names", "documents", "keys"), EXAMPLES)
def test_the_examples_of_the_specification_are_true(names, documents, keys):
    kind = "decimal" if names[-1] == "decimal" else None
    names = [name for name in names if name != "decimal"]
    expected = {bytes.fromhex(key) for key in re.findall(r"`([0-9a-f ]+)`", keys)}
    for document in re.findall(r"`([^`]+)`", documents):
        assert entries([(name.split("."), False) for name in names], 5, json.loads(document), [kind]) == expected
        fields = [replace(field, kind=kind) for field in parse_fields(names, what="index")]
        definition = IndexDefinition(tuple(fields)).encode()
        assert keys_of(definition)(5, json.loads(document)) == expected


def test_the_specification_has_examples():
    assert len(EXAMPLES) >= 19
    assert {names[-1] for names, _, _ in EXAMPLES} == {"a", "a.y", "a.0", "decimal"}


@given(document=array_data() | data(), fields=orders(3))
@settings(deadline=None)
def test_the_entries_of_any_document_are_those_of_the_specification(document, fields):
    try:
        keys = keys_of(IndexDefinition(fields).encode())(5, document)
    except InvalidDocumentError:
        assert len(fields) > 1
    else:
        assert keys == entries([(list(field.path), field.descending) for field in fields], 5, document)


async def test_a_document_with_arrays_in_two_fields_is_refused(open_collection):
    async with open_collection() as collection:
        await collection.create_index(["a", "b"])
        with pytest.raises(InvalidDocumentError):
            await collection.insert({"a": [], "b": [1]})
        assert await collection.count_documents() == 0
