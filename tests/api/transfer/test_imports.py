"""Imports: JSON Lines and JSON arrays, read in blocks, all of the documents or none, exactly as they were exported."""

import asyncio
import datetime
import io
import itertools
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from poof import (
    DocumentTooLargeError,
    DuplicateKeyError,
    InvalidDocumentError,
    PoofCluster,
    ReadOnlyError,
    StorageError,
)
from poof.transfer import imports, pieces
from poof.transfer.pieces import ArrayCutter, LineCutter
from tests.support.people import collection, data

pytestmark = pytest.mark.every_engine

SENTINEL = "sentinel of a value"
IDS = ["XyZ123AbCdEf", "a" * 26, "old.form-id_1"]


class NoneOfUsError(Exception):
    """What an iterator or a progress of a user raises."""


def line(number, obj_id=None, **more):
    return json.dumps(({} if obj_id is None else {"_objId": obj_id}) | {"n": number} | more)


def as_lines(objects):
    return "".join(f"{each}\n" for each in objects)


def as_array(objects):
    return f"[{','.join(objects)}]"


@pytest.fixture(params=["jsonl", "json"])
def form(request):
    """The name of the import, and how objects are put together for it."""
    return request.param, as_lines if request.param == "jsonl" else as_array


def import_of(people, form):
    return people.import_jsonl if form[0] == "jsonl" else people.import_json


async def test_ids_and_order_are_kept(people, form):
    objects = [line(number, obj_id) for number, obj_id in enumerate(IDS)]
    assert await import_of(people, form)(io.StringIO(form[1](objects))) == 3
    assert [(doc.objId, doc.data) for doc in await people.find_all()] == [
        (obj_id, {"n": number}) for number, obj_id in enumerate(IDS)
    ]


async def test_documents_without_an_id_get_one(people, form):
    await import_of(people, form)(io.StringIO(form[1]([line(1), line(2, IDS[0])])))
    first, second = await people.find_all()
    assert (len(first.objId) >= 12, second.objId) == (True, IDS[0])


async def test_new_ids_let_a_file_be_imported_twice(people, form):
    text = form[1]([line(1, IDS[0]), line(2, "no id")])
    for _ in range(2):
        assert await import_of(people, form)(io.StringIO(text), ids="new") == 2
    assert await data(people) == [{"n": 1}, {"n": 2}] * 2
    assert IDS[0] not in {doc.objId for doc in await people.find_all()}


async def test_ids_is_keep_or_new(people, form):
    with pytest.raises(ValueError, match="keep"):
        await import_of(people, form)(io.StringIO(""), ids="both")


@pytest.mark.parametrize(
    "make",
    [
        lambda path, text: path,
        lambda path, text: str(path),
        lambda path, text: io.BytesIO(text.encode()),
        lambda path, text: io.StringIO(text),
        lambda path, text: iter(text.splitlines()),
        lambda path, text: [part.encode() for part in text.splitlines(keepends=True)],
        lambda path, text: one_by_one(text),
        lambda path, text: path.open(),
    ],
    ids=["path", "text path", "bytes", "text", "lines", "lines of bytes", "async lines", "open file"],
)
async def test_sources_of_every_kind_give_the_same(people, form, tmp_path, make):
    objects = [line(number, text="ü\u2028\N{PILE OF POO}" * 100) for number in range(300)]
    text = form[1](objects)
    path = tmp_path / "source"
    path.write_text(text, encoding="utf-8")
    source = make(path, text)
    try:
        assert await import_of(people, form)(source) == 300
    finally:
        if isinstance(source, io.TextIOWrapper):
            assert not source.closed
            source.close()
    assert await data(people) == [json.loads(each) for each in objects]


async def one_by_one(text):
    for part in text.split("\n"):
        await asyncio.sleep(0)
        yield part


@pytest.mark.parametrize("source", [5, None, b"{}", [5], [None]])
async def test_what_is_no_source_is_refused(people, form, source):
    with pytest.raises(TypeError):
        await import_of(people, form)(source)


async def test_text_in_place_of_a_path_is_told_without_showing_it(people, form):
    for text in (f'{{"a":"{SENTINEL}"}}', f'  [{{"a":"{SENTINEL}"}}]'):
        with pytest.raises(TypeError, match="StringIO") as caught:
            await import_of(people, form)(text)
        assert SENTINEL not in str(caught.value)


async def test_a_path_that_cannot_be_read_is_named(people, form, tmp_path):
    with pytest.raises(StorageError, match="none"):
        await import_of(people, form)(tmp_path / "none")
    with pytest.raises(StorageError):
        await import_of(people, form)(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "\ufeff", "\r\n"],
    ids=repr,
)
async def test_lines_without_documents(people, text):
    assert await people.import_jsonl(io.StringIO(text)) == 0


async def test_lines_may_end_in_any_way_begin_with_a_mark_and_be_blank(people):
    text = '\ufeff{"n":1}\r\n\n   \r\n {"n":2} \n{"n":3}'
    assert await people.import_jsonl(io.BytesIO(text.encode())) == 3
    assert await data(people) == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize("text", ["[]", " [ \n ] \n", "\ufeff[]"], ids=repr)
async def test_arrays_without_documents(people, text):
    assert await people.import_json(io.BytesIO(text.encode())) == 0


# What is wrong, and where.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"n":1}\n{"n":"sentinel of a value"', ["Line 2", "character"]),
        ('{"n":1}\n\n"sentinel of a value"\n', ["Line 3", "object"]),
        ('{"n":1}\n[]\n', ["Line 2", "object"]),
        ('{"a":{"b":[1,NaN]}}\n', ["Line 1", "a.b.1", "NaN"]),
        ('{"a":-Infinity}\n', ["Line 1", " a "]),
        ('{"a":1e999}\n', ["Line 1", " a "]),
        (f'{{"a":{2**63}}}\n', ["Line 1", " a ", "64 bits"]),
        (f'{{"a":{2**64}}}\n', ["Line 1", " a ", "64 bits"]),
        (f'{{"a":{-(2**63) - 1}}}\n', ["Line 1", " a ", "64 bits"]),
        (f'{{"a":{"9" * 5_000}}}\n', ["Line 1", "64 bits"]),
        ('{"a":"\\ud800sentinel of a value"}\n', ["Line 1", "surrogate"]),
        (f'{{"a":{"[" * 101}{"]" * 101}}}\n', ["Line 1", "nested"]),
        (f'{{"a":{"[" * 100_000}{"]" * 100_000}}}\n', ["Line 1", "nested"]),
        ('{"_objId":"sentinel of","n":1}\n', ["Line 1", "_objId"]),
        ('{"_objId":"sentinel of a value that is long","n":1}\n', ["Line 1", "_objId"]),
        ('{"_objId":"sentinel of val","n":1}\n', ["Line 1", "_objId"]),
        ('{"_objId":123456789012,"n":1}\n', ["Line 1", "_objId"]),
        ('{"n":1}{"n":2}\n', ["Line 1", "character 8"]),
    ],
)
async def test_a_line_that_is_wrong_is_named_with_its_field_and_nothing_is_imported(open_collection, text, words):
    async with open_collection() as people:
        await people.insert({"n": 0})
        with pytest.raises(InvalidDocumentError) as caught:
            await people.import_jsonl(io.StringIO(text))
        for word in words:
            assert word in str(caught.value)
        assert "sentinel" not in str(caught.value)
        assert "Nothing was" in str(caught.value)
        assert await data(people) == [{"n": 0}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not end"),
        ("[", "does not end"),
        ('[{"n":1}', "does not end"),
        ('[{"n":1},', "does not end"),
        ('[{"n":"sentinel of a value', "does not end"),
        ('{"n":1}', "Byte 1 should begin a JSON array"),
        ('[{"n":1},]', "Byte 10 should begin an object"),
        ('[,{"n":1}]', "Byte 2 should begin an object, or end"),
        ('[{"n":1} {"n":2}]', "Byte 10 should be a comma"),
        ('[{"n":1}][', "Byte 10 comes after the end"),
        ('[{"n":1}, 5]', "Byte 11 should begin an object"),
        ('[{"n":1}, "sentinel of a value"]', "Byte 11 should begin an object"),
        ('[{"n":1}, {"a":[}]]', r"Document 2 \(at byte 11\) is not JSON"),
        ('[{"n":1}, {"a":NaN}]', r"Document 2 \(at byte 11\): The field a"),
        ('[{"n":1}, {"a":"\xff sentinel of a value"}]', r"Document 2 \(at byte 11\) is not UTF-8"),
    ],
)
async def test_an_array_that_is_wrong_says_where_and_nothing_is_imported(open_collection, text, words):
    async with open_collection() as people:
        for source in (
            io.BytesIO(text.encode("latin-1")),
            [text[at : at + 1].encode("latin-1") for at in range(len(text))],
        ):
            with pytest.raises(InvalidDocumentError, match=words) as caught:
                await people.import_json(source)
            assert "sentinel" not in str(caught.value)
        assert await data(people) == []


async def test_bytes_that_are_not_utf_8_are_named(people):
    for source in (io.BytesIO(b'{"n":1}\n{"n":"\xff"}\n'), ['{"n":1}', '{"n":"\ud800"}']):
        with pytest.raises(InvalidDocumentError, match="Line 2 is not UTF-8, at its byte 7"):
            await people.import_jsonl(source)
    with pytest.raises(InvalidDocumentError, match="Line 1 is not UTF-8"):
        await people.import_jsonl(io.BytesIO('{"n":1}\n'.encode("utf-16")))


async def test_an_id_that_is_there_already_is_named(people, form):
    text = form[1]([line(1), line(2, IDS[0]), line(3, IDS[0])])
    with pytest.raises(DuplicateKeyError, match=IDS[0]) as caught:
        await import_of(people, form)(io.StringIO(text))
    assert str(caught.value).startswith(("Line 3: ", "Document 3 (at byte 46): "))
    assert await data(people) == []


async def test_a_unique_index_refuses_the_whole_import(people, form):
    await people.create_index("n", unique=True)
    with pytest.raises(DuplicateKeyError, match=r"(Line|Document) 2.*n_1"):
        await import_of(people, form)(io.StringIO(form[1]([line(1), line(1)])))
    assert await data(people) == []


async def test_a_document_that_is_too_large_is_refused_also_before_it_ends(people, form, monkeypatch):
    monkeypatch.setattr(pieces, "LONGEST", 1_000_000)
    endless = itertools.chain([b'{"a":"' if form[0] == "jsonl" else b'[{"a":"'], itertools.repeat(b"x" * 100_000))
    taken = []
    with pytest.raises(DocumentTooLargeError, match="1"):
        await import_of(people, form)(Endless(endless, taken))
    assert len(taken) < 20


class Endless:
    """A file that can only be read."""

    def __init__(self, blocks, taken):
        self._blocks = blocks
        self._taken = taken

    def read(self, size):
        self._taken.append(size)
        return next(self._blocks)


# Models.


class Visit(BaseModel):
    model_config = ConfigDict(strict=True)
    at: datetime.datetime
    note: str = "none"


async def test_models_validate_and_rich_values_come_back(open_collection):
    async with open_collection(model=Visit) as visits:
        await visits.import_jsonl(['{"at":"2024-05-01T10:00:00+02:00"}'])
        (doc,) = await visits.find_all()
        assert doc.data == {"at": "2024-05-01T08:00:00.000000Z", "note": "none"}
        assert doc.model.at.hour == 8


async def test_a_document_that_does_not_fit_the_model_is_named_without_its_value(open_collection):
    async with open_collection(model=Visit) as visits:
        with pytest.raises(ValidationError) as caught:
            await visits.import_jsonl(['{"at":"2024-05-01T10:00:00Z"}', f'{{"at":"{SENTINEL}"}}'])
        assert "line 2" in str(caught.value)
        assert SENTINEL not in str(caught.value)
        assert await visits.count_documents() == 0


# All or nothing.


async def test_an_import_takes_part_in_a_transaction(cluster, people, form):
    with pytest.raises(NoneOfUsError):
        async with cluster.transaction():
            await import_of(people, form)(io.StringIO(form[1]([line(1)])))
            assert await people.count_documents() == 1
            raise NoneOfUsError
    assert await people.count_documents() == 0
    async with cluster.transaction():
        await people.insert({"n": 0})
        with pytest.raises(InvalidDocumentError):
            await import_of(people, form)(io.StringIO(form[1]([line(1), "5"])))
    assert await data(people) == [{"n": 0}]


async def test_progress_says_how_much_was_read(people, form, tmp_path):
    text = form[1](line(number, text="x" * 1_000) for number in range(3_000))
    (tmp_path / "source").write_text(text)
    calls = []
    await import_of(people, form)(tmp_path / "source", progress=lambda *args: calls.append(args))
    assert len(calls) > 1
    assert {call[1:] for call in calls} == {(len(text), "bytes")}
    assert calls[-1][0] == len(text)
    calls.clear()
    await import_of(people, form)(io.StringIO(text), ids="new", progress=lambda *args: calls.append(args))
    assert {call[1:] for call in calls} == {(0, "bytes")}
    assert calls[-1][0] == len(text)


async def test_a_progress_or_an_iterator_that_raises_undoes_the_import(people, form):
    def lines():
        yield from ["[", line(1), ","] if form[0] == "json" else [line(1)] * 500
        raise NoneOfUsError

    def progress(*_):
        raise NoneOfUsError

    with pytest.raises(NoneOfUsError):
        await import_of(people, form)(lines())
    with pytest.raises(NoneOfUsError):
        await import_of(people, form)(io.StringIO(form[1]([line(1)])), progress=progress)
    assert await people.count_documents() == 0


async def test_an_import_that_is_cancelled_leaves_nothing(people, form, tmp_path):
    (tmp_path / "source").write_text(form[1](line(number, text="x" * 1_000) for number in range(3_000)))
    importing = asyncio.create_task(
        import_of(people, form)(tmp_path / "source", progress=lambda *_: importing.cancel())
    )
    await asyncio.wait([importing])
    assert importing.cancelled()
    assert await people.count_documents() == 0
    await people.insert({"n": 1})


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
async def test_at_whatever_moment_it_is_cancelled_it_is_made_or_not(people, form, tmp_path, turns):
    (tmp_path / "source").write_text(form[1](line(number) for number in range(100)))
    importing = asyncio.create_task(import_of(people, form)(tmp_path / "source"))
    for _ in range(turns):
        await asyncio.sleep(0)
    importing.cancel()
    await asyncio.wait([importing])
    assert await people.count_documents() in ({0, 100} if importing.cancelled() else {100})


async def test_a_read_only_cluster_takes_no_import(path, key, form):
    async with await PoofCluster.create(path, key) as cluster:
        await collection(cluster, "people")
    async with await PoofCluster.create(path, key, read_only=True) as cluster:
        with pytest.raises(ReadOnlyError):
            await import_of(await collection(cluster, "people"), form)(io.StringIO(form[1]([line(1)])))


# There and back.

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["_objId", "$_objId", "$$_objId"]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text('"\\[]{},:a', max_size=8)
VALUES = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=6)


def exact(documents):
    """Documents as text that tells 1 from 1.0 and 0.0 from -0.0, with their order."""
    return repr([(doc.objId, doc.data) for doc in documents])


@settings(max_examples=40, deadline=None)
@given(documents=DOCUMENTS, is_lines=st.booleans(), block=st.integers(1, 64))
def test_what_is_exported_is_imported_exactly(documents, is_lines, block):
    async def whole():
        async with await PoofCluster.create(":memory:", "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8=") as cluster:
            source, target = await collection(cluster, "source"), await collection(cluster, "target")
            # An import may store names that insert() refuses.
            escaped = [{f"${n}" if n.strip("$") == "_objId" else n: v for n, v in data.items()} for data in documents]
            await source.import_jsonl(json.dumps(data) for data in escaped)
            file = io.BytesIO()
            await (source.export_jsonl if is_lines else source.export_json)(file)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "file"
                path.write_bytes(file.getvalue())
                await (target.import_jsonl if is_lines else target.import_json)(path)
            assert exact(await target.find_all()) == exact(await source.find_all())

    before, imports.BLOCK_SIZE = imports.BLOCK_SIZE, block
    try:
        asyncio.run(whole())
    finally:
        imports.BLOCK_SIZE = before


@settings(max_examples=100, deadline=None)
@given(
    documents=DOCUMENTS,
    indent=st.sampled_from([None, 0, 1]),
    ascii_only=st.booleans(),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_wherever_an_array_is_cut_its_documents_are_found(documents, indent, ascii_only, cuts):
    text = json.dumps(documents, indent=indent, ensure_ascii=ascii_only).encode()
    cutter = ArrayCutter()
    found = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        found += cutter.feed(text[start:end])
    found += cutter.end()
    assert [json.loads(piece.text) for piece in found] == documents
    assert [text[int(piece.place.split()[-1][:-1]) - 1 :].startswith(piece.text) for piece in found] == [True] * len(
        found
    )


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.binary(max_size=6).filter(lambda text: b"\n" not in text)), cuts=st.lists(st.integers(0, 60)))
def test_wherever_lines_are_cut_they_are_found_with_their_numbers(lines, cuts):
    text = b"\n".join(lines)
    cutter = LineCutter()
    found = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        found += cutter.feed(text[start:end])
    found += cutter.end()
    expected = [
        (f"Line {number}", each)
        for number, each in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1)
        if each.strip(b" \t\r\n\x0b\x0c")
    ]
    assert [tuple(piece) for piece in found] == expected
