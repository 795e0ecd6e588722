"""Errors hold no value of a document in what hangs on them, and show a user few frames of PoofDB."""

import ast
import json
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import pytest
from cryptography.fernet import Fernet
from pydantic import AfterValidator, BaseModel, Field, ValidationError

import poof
from poof import F, PoofCluster, PoofError
from poof.engines.sqlite.sqlite_errors import raise_translated
from tests.support.people import KEY

MARKER = "v4lue-of-a-document"
ROOT = Path(poof.__file__).parent
BEYOND = 10**30
"""An integer that no document holds."""


def read_badly(value: str) -> str:
    try:
        int(value)
    except ValueError:
        raise ValueError("is not a number") from None
    return value


class Person(BaseModel):
    name: str = ""
    age: int = 0
    number: Annotated[str, AfterValidator(read_badly)] = "1"
    kind: Literal["a", "b"] = "a"
    tags: list[Annotated[str, Field(max_length=3)]] = []


def shown(value: object) -> str:
    """Everything that a tool which collects errors may take out of an object."""
    parts = [repr(value), str(value)]
    if isinstance(value, BaseException):
        parts += [shown(list(value.args)), shown(dict(vars(value)))]
        parts += [
            shown(getattr(value, name)) for name in ("doc", "object", "pattern", "reason") if hasattr(value, name)
        ]
        parts += getattr(value, "__notes__", [])
    if isinstance(value, ValidationError):
        for line in value.errors():
            parts.append(repr(line))
            parts += [chain_text(item) for item in line.get("ctx", {}).values() if isinstance(item, BaseException)]
    if isinstance(value, list | tuple):
        parts += map(shown, value)
    if isinstance(value, dict):
        parts += map(shown, value.values())
    return "\n".join(parts)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and all that hang on it."""
    seen: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen[id(link)] = link
            yield link
            waiting += [link.__context__, link.__cause__]


def chain_text(error: BaseException) -> str:
    return "\n".join(map(shown, chain(error)))


async def upgraded(tmp_path: Path, content: object) -> None:
    path = tmp_path / "old.poof"
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(Fernet(KEY).encrypt(text))
    await PoofCluster.create(path, KEY)


def old(data: object) -> object:
    return {"db": {"people": [{"_objId": "XyZ123AbCdEf", "data": data}]}}


async def store_damaged(people: Any, text: str) -> None:
    """A document of which somebody with the key made something else."""

    def write(connection: Any) -> None:
        connection.execute(
            f'INSERT INTO "documents_{people._documents._id}" (obj_id, doc) VALUES (?, ?)', ("XyZ123AbCdEf", text)
        )

    await people._engine._calls.write(write)


FAILING = {
    "insert a misfit": lambda people, bound, _: bound.insert({"age": MARKER}),
    "insert what a validator refuses": lambda people, bound, _: bound.insert({"number": MARKER}),
    "insert no literal": lambda people, bound, _: bound.insert({"kind": MARKER}),
    "insert a misfit in a list": lambda people, bound, _: bound.insert({"tags": [MARKER]}),
    "insert many misfits": lambda people, bound, _: bound.insert_many([{"age": 1}, {"age": MARKER}]),
    "update to a misfit": lambda people, bound, _: bound.update_one({}, {"$set": {"age": MARKER}}),
    "replace by a misfit": lambda people, bound, _: bound.replace_one({}, {"age": MARKER}),
    "migrate to a misfit": lambda people, bound, _: bound.migrate(lambda data: {"age": MARKER}),
    "insert a huge integer": lambda people, bound, _: people.insert({"a": MARKER, "b": BEYOND}),
    "insert a lone surrogate": lambda people, bound, _: people.insert({"a": MARKER + "\ud800"}),
    "insert bytes": lambda people, bound, _: people.insert({"a": MARKER.encode()}),
    "insert a key that is none": lambda people, bound, _: people.insert({"a": {5: MARKER}}),
    "update to a lone surrogate": lambda people, bound, _: people.update_one({}, {"$set": {"a": MARKER + "\ud800"}}),
    "filter by a lone surrogate": lambda people, bound, _: people.find_one({"a": MARKER + "\ud800"}),
    "filter by a huge integer": lambda people, bound, _: people.find_one({"a": [MARKER, BEYOND]}),
    "filter by no pattern": lambda people, bound, _: people.find_one({"a": {"$regex": MARKER + "("}}),
    "filter by what is none": lambda people, bound, _: people.find_one({"a": {"$in": MARKER}}),
    "increment text": lambda people, bound, _: people.update_one({"name": MARKER}, {"$inc": {"name": 1}}),
    "push to text": lambda people, bound, _: people.update_one({"name": MARKER}, {"$push": {"name": MARKER}}),
    "import what is cut off": lambda people, bound, _: people.import_jsonl([f'{{"a": "{MARKER}"']),
    "import no UTF-8": lambda people, bound, _: people.import_jsonl([f'{{"a": "{MARKER}'.encode() + b'\xff"}']),
    "import a huge integer": lambda people, bound, _: people.import_jsonl([f'{{"a": "{MARKER}", "b": {"9" * 5000}}}']),
    "import what is too deep": lambda people, bound, _: people.import_jsonl([f'{{"a": "{MARKER}", "b": ' + "[" * 9999]),
    "import NaN": lambda people, bound, _: people.import_jsonl([f'{{"a": "{MARKER}", "b": NaN}}']),
    "import a misfit": lambda people, bound, _: bound.import_jsonl([f'{{"age": "{MARKER}"}}']),
    "read what is no JSON": lambda people, bound, _: spoiled(people, f'{{"a": "{MARKER}"'),
    "read what is no object": lambda people, bound, _: spoiled(people, f'["{MARKER}"]'),
    "index what is no JSON": lambda people, bound, _: spoiled(people, f'{{"a": "{MARKER}"', index=True),
    "upgrade what is no JSON": lambda people, bound, folder: upgraded(folder, f'{{"a": "{MARKER}"'.encode()),
    "upgrade something else": lambda people, bound, folder: upgraded(folder, {"db": MARKER}),
    "upgrade a huge integer": lambda people, bound, folder: upgraded(folder, old({"a": MARKER, "b": BEYOND})),
    "a name that is no Unicode": lambda people, bound, _: people.rename(MARKER + "\ud800"),
    "a password that is no Unicode": lambda people, bound, _: PoofCluster.create("x", password=MARKER + "\ud800"),
    "no key": lambda people, bound, _: PoofCluster.create("x", MARKER),
}


async def spoiled(people: Any, text: str, *, index: bool = False) -> None:
    await store_damaged(people, text)
    if index:
        await people.create_index("a")
    await people.find_all()


@pytest.mark.parametrize("call", FAILING.values(), ids=FAILING)
async def test_what_hangs_on_an_error_holds_no_value(tmp_path, call):
    async def failed():
        async with PoofCluster.create(tmp_path / "cluster.poof", KEY) as cluster:
            database = await cluster.get_database("db")
            people = await database.get_collection("people")
            bound = await database.get_collection("bound", model=Person)
            await people.insert({"name": MARKER})
            await bound.insert(Person())
            with pytest.raises((PoofError, ValidationError)) as caught:
                await call(people, bound, tmp_path)
            return caught.value

    error = await failed()
    assert MARKER not in chain_text(error)


async def test_a_value_that_a_unique_index_refuses_does_not_hang_on_the_error():
    async with PoofCluster.create(":memory:") as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.create_index("name", unique=True)
        await people.insert({"name": "Alice", "other": MARKER})
        for call in (
            people.insert({"name": "Alice", "other": MARKER}),
            people.insert_many([{"name": "Alice", "other": MARKER}]),
            people.import_jsonl([json.dumps({"name": "Alice", "other": MARKER})]),
            people.update_one({"name": "Bob"}, {"$set": {"name": "Alice", "other": MARKER}}, upsert=True),
        ):
            with pytest.raises(poof.DuplicateKeyError) as caught:
                await call
            assert caught.value.__context__ is None
            assert MARKER not in chain_text(caught.value)


def test_a_value_in_the_chain_would_be_found():
    for fails in (
        lambda: orjson.loads(f'{{"a": "{MARKER}"'),
        lambda: Person.model_validate({"age": MARKER}),
        lambda: (MARKER + "\ud800").encode(),
        lambda: re.compile(MARKER + "("),
    ):
        try:
            try:
                fails()
            except Exception:
                raise PoofError("ours") from None
        except PoofError as error:
            assert MARKER in chain_text(error)


def test_an_error_of_ours_out_of_sqlite_is_not_its_own_cause():
    import apsw

    ours = poof.DamagedPageError("page 2", 2)
    try:
        try:
            raise apsw.IOError("a page") from ours
        except apsw.Error as error:
            raise_translated(error, "cluster.poof")
    except PoofError as error:
        assert error is ours
        assert error.__cause__ is None
        assert error.__context__ is None


HARMLESS = re.compile(
    r"apsw\.\w+|InvalidToken|\w*ExistsError|FileNotFoundError|PermissionError|NotADirectoryError|OSError|ImportError"
    r"|RuntimeError|BusyError|MalformedPageError|keyring\.errors\.NoKeyringError|asyncio\.CancelledError|StorageError"
)
"""Errors that hold a name or a number at most. No value of a document, no key, no password comes near them."""
FORMAT_ONLY = {"format/btree.py", "format/trust.py"}
"""Where no document is read: the bytes of a page's structure, and of a header."""


def raised_beside_another():
    """Every `raise` of a new error in an `except` block, and what that block handles."""
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("cli/") or name in FORMAT_ONLY:
            continue
        for handler in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(handler, ast.ExceptHandler):
                kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
                for node in ast.walk(handler):
                    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                        yield name, node.lineno, [ast.unparse(kind) if kind else "everything" for kind in kinds]


def test_what_is_raised_beside_an_error_that_may_hold_a_value_is_raised_alone():
    found = [
        f"{name}:{line} beside {', '.join(kinds)}"
        for name, line, kinds in raised_beside_another()
        if not all(HARMLESS.fullmatch(kind) for kind in kinds)
    ]
    assert found == []


MISTAKES = {
    "a filter": lambda people: people.find_one({"$foo": 1}),
    "deep in a filter": lambda people: people.find_one({"$or": [{"a": {"$not": {"$elemMatch": {"b": {"$foo": 1}}}}}]}),
    "no filter": lambda people: people.count_documents(5),
    "a filter of what exists": lambda people: people.exists({"a": {"$size": -1}}),
    "a pattern": lambda people: people.find_one({"a": {"$regex": "("}}),
    "an operand": lambda people: people.find_one({"a": float("nan")}),
    "an update": lambda people: people.update_one({}, {"mood": 1}),
    "an operand of an update": lambda people: people.update_many({}, {"$push": {"a": {"$each": 5}}}),
    "an update of one that is found": lambda people: people.find_one_and_update({}, {"$set": {"a..b": 1}}),
    "a filter of an update": lambda people: people.update_one(None, {"$set": {"a": 1}}),
    "a filter of a delete": lambda people: people.delete_one({"a": {"$foo": 1}}),
    "filters of arrays": lambda people: people.update_one({}, {"$set": {"a.$[x]": 1}}, array_filters=[{"$foo": 1}]),
    "a sort": lambda people: people.find_one(sort=[("a", 2)]),
    "a sort of a cursor": lambda people: people.find().sort("a..b").to_list(),
    "a sort of a change": lambda people: people.find_one_and_delete({}, sort="$a"),
    "a projection": lambda people: people.find_one({}, {"a": 1, "b": 0}),
    "a limit": lambda people: people.find(limit=-1).to_list(),
    "a length": lambda people: people.find().to_list(length=-1),
    "a field of distinct": lambda people: people.distinct("a..b"),
    "a key of an index": lambda people: people.create_index({"a": "up"}),
    "a filter of an index": lambda people: people.create_index("a", where={"a": {"$foo": 1}}),
    "a filter of an export": lambda people: people.export_jsonl("none.jsonl", {"$foo": 1}),
    "a name": lambda people: people.rename(""),
    "a key": lambda people: PoofCluster.create("none.poof", "no key"),
    "a filter in Python": lambda people: people.find_one(F.a.matches("(")),
}


@pytest.mark.parametrize("call", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_shows_few_frames(in_collection, call):
    async def mistaken(people):
        with pytest.raises(PoofError) as caught:
            await call(people)
        return caught.value

    error = in_collection(mistaken)
    frames = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    ours = [path for path in frames if path.is_relative_to(ROOT)]
    assert Path(__file__) in frames
    assert len(ours) <= 2, ours
    assert error.__context__ is None


async def test_a_mistake_in_a_block_shows_few_frames():
    with pytest.raises(poof.InvalidKeyError) as caught:
        async with PoofCluster.open("none.poof", "no key"):
            pass
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert sum(Path(frame.filename).is_relative_to(ROOT) for frame in frames) <= 2


def test_an_error_in_poofdb_itself_keeps_its_frames(in_collection, monkeypatch):
    def broken(*_args):
        return [].pop()

    monkeypatch.setattr("poof.query.filters.parse._parse_entry", broken)

    async def failing(people):
        with pytest.raises(IndexError) as caught:
            await people.find_one({"a": 1})
        return caught.value

    names = [frame.name for frame in traceback.extract_tb(in_collection(failing).__traceback__)]
    assert {"find_one", "parse_filter", "_parse_filter", "broken"} <= set(names)
