"""Exports: JSON Lines, JSON arrays and CSV, of one moment, into a whole file or none."""

import asyncio
import csv
import io
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from poof import InvalidQueryError, PoofCluster, StorageError
from poof.errors import MissingFolderError
from tests.support.people import PROGRAM, collection, names

pytestmark = pytest.mark.every_engine

FULL = Path("/dev/full")
MANY = [{"n": n, "text": "x" * 100} for n in range(3_000)]


class NoneOfUsError(Exception):
    """What a progress of a user raises."""


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def objects(documents):
    return [{"_objId": document.objId, **document.data} for document in documents]


@pytest.fixture
def target(tmp_path):
    """Where an export may go; its folder holds nothing else."""
    folder = tmp_path / "exports"
    folder.mkdir()
    return folder / "people.jsonl"


async def test_each_line_is_an_object_with_its_id_in_the_order_of_insertion(filled, target):
    async with filled(MANY) as people:
        target.unlink(missing_ok=True)
        assert await people.export_jsonl(target) == 3_000
        assert lines(target.read_text()) == objects(await people.find_all())


async def test_an_array_is_one_json_text(filled, target):
    async with filled(MANY) as people:
        target.unlink(missing_ok=True)
        assert await people.export_json(target) == 3_000
        assert json.loads(target.read_text()) == objects(await people.find_all())


async def test_of_an_empty_collection(people):
    for export, text in [
        (people.export_jsonl, ""),
        (people.export_json, "[\n]\n"),
        (people.export_csv, "_objId\r\n"),
    ]:
        file = io.StringIO()
        assert await export(file) == 0
        assert file.getvalue() == text


async def test_a_filter_chooses_the_documents(people):
    await people.insert_many(MANY)
    file = io.StringIO()
    assert await people.export_jsonl(file, {"n": {"$lt": 5}}) == 5
    assert [each["n"] for each in lines(file.getvalue())] == [0, 1, 2, 3, 4]
    with pytest.raises(InvalidQueryError):
        await people.export_jsonl(file, {"n": {"$no": 5}})


@pytest.mark.parametrize("field", ["_objId", "$_objId", "$$_objId"])
async def test_a_field_that_is_called_as_the_id_is_told_from_it(people, field):
    await people.import_jsonl([json.dumps({f"${field}": "mine", "other_objId": 1})])
    [doc] = await people.find_all()
    assert doc.data == {field: "mine", "other_objId": 1}
    file = io.StringIO()
    await people.export_jsonl(file)
    assert lines(file.getvalue()) == [{"_objId": doc.objId, f"${field}": "mine", "other_objId": 1}]


async def test_files_of_text_and_of_bytes_get_the_same(people, tmp_path):
    await people.insert_many([*MANY, {"text": "ü\N{PILE OF POO}\u2028"}])
    text, data = io.StringIO(), io.BytesIO()
    await people.export_jsonl(text)
    await people.export_jsonl(data)
    with (tmp_path / "raw").open("wb", buffering=0) as raw:
        await people.export_jsonl(raw)
    assert text.getvalue().encode() == data.getvalue() == (tmp_path / "raw").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
async def test_a_pipe_that_takes_little_at_a_time_gets_everything(people):
    await people.insert_many(MANY)
    reading, writing = os.pipe()
    received = []
    with os.fdopen(reading, "rb") as source, os.fdopen(writing, "wb", buffering=0) as file:
        thread = threading.Thread(target=lambda: received.append(source.read()))
        thread.start()
        assert await people.export_jsonl(file) == 3_000
        file.close()
        thread.join()
    assert len(received[0].splitlines()) == 3_000


def test_standard_output_is_such_a_file(run_python, path):
    code = (
        PROGRAM
        + """
async def main():
    cluster, people = await open_people()
    async with cluster:
        await people.insert({"name": "Ann"})
        await people.export_jsonl(sys.stdout)
asyncio.run(main())
"""
    )
    (line,) = run_python(code, path, "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8=", cwd=path.parent).splitlines()
    assert json.loads(line)["name"] == "Ann"


@pytest.mark.parametrize("thing", [5, None, [], b"people.jsonl"])
async def test_what_is_neither_path_nor_file_is_refused(people, thing):
    with pytest.raises(TypeError):
        await people.export_jsonl(thing)


# Whole or not at all.


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
async def test_a_file_is_readable_by_its_owner_only(people, target):
    await people.export_jsonl(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


async def test_a_file_that_exists_is_left_as_it_is(people, target):
    target.write_text("mine")
    with pytest.raises(StorageError, match="exists"):
        await people.export_jsonl(target)
    assert target.read_text() == "mine"
    assert names(target) == [target.name]


async def test_a_file_that_comes_to_exist_meanwhile_is_left_as_it_is(people, target):
    await people.insert_many(MANY)
    with pytest.raises(StorageError, match="exists"):
        await people.export_jsonl(target, progress=lambda *_: target.write_text("mine"))
    assert target.read_text() == "mine"
    assert names(target) == [target.name]


async def test_a_folder_that_does_not_exist_is_named(people, target):
    with pytest.raises(MissingFolderError):
        await people.export_jsonl(target.parent / "none" / "people.jsonl")


@pytest.mark.parametrize("documents", [10, 3_000])
async def test_a_progress_that_raises_leaves_nothing(people, target, documents):
    def progress(done, total, unit):
        raise NoneOfUsError

    await people.insert_many(MANY[:documents])
    with pytest.raises(NoneOfUsError):
        await people.export_json(target, progress=progress)
    assert names(target) == []


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_an_export_that_is_cancelled_leaves_nothing_and_the_cluster_goes_on(cluster, people, target, inside):
    await people.insert_many(MANY)

    async def export():
        async with cluster.transaction() if inside else asyncio.timeout(None):
            await people.export_jsonl(target, progress=lambda *_: exporting.cancel())

    exporting = asyncio.create_task(export())
    await asyncio.wait([exporting])
    assert exporting.cancelled()
    assert names(target) == []
    assert await people.export_jsonl(target) == 3_000


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 20])
async def test_at_whatever_moment_it_is_cancelled_the_file_is_whole_or_not_there(people, target, turns):
    await people.insert_many(MANY[:300])
    exporting = asyncio.create_task(people.export_jsonl(target))
    for _ in range(turns):
        await asyncio.sleep(0)
    exporting.cancel()
    await asyncio.wait([exporting])
    await people.find_all()
    if target.exists():
        assert len(lines(target.read_text())) == 300
    assert set(names(target)) <= {target.name}


async def test_a_file_that_fails_gives_its_own_error_and_the_cluster_goes_on(people):
    class Failing(io.StringIO):
        def write(self, text):
            raise NoneOfUsError

    await people.insert_many(MANY)
    with pytest.raises(NoneOfUsError):
        await people.export_jsonl(Failing())
    assert await people.count_documents({}) == 3_000


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_of_the_system(story):
    async def full(_cluster, people):
        await people.insert_many(MANY)
        with pytest.raises(OSError, match="space"):
            await people.export_jsonl(file)

    with FULL.open("wb", buffering=0) as file:
        story(full)


async def test_progress_says_how_many_of_how_many(people):
    await people.insert_many(MANY)
    calls = []
    await people.export_jsonl(
        io.StringIO(),
        {"n": {"$lt": 1_000}},
        progress=lambda *args: calls.append((*args, threading.current_thread())),
    )
    assert {tuple(rest) for _, *rest in calls} == {(1_000, "documents", threading.main_thread())}
    assert calls[-1][0] == 1_000


async def test_an_export_is_of_one_moment(path):
    async with await PoofCluster.create(path) as cluster:
        people = await collection(cluster, "people")
        await people.insert_many(MANY)
        file = io.StringIO()
        begun = asyncio.Event()
        exporting = asyncio.create_task(people.export_jsonl(file, progress=lambda *_: begun.set()))
        await begun.wait()
        await people.delete_many({})
        assert await exporting == len(lines(file.getvalue())) == 3_000


async def test_a_read_only_cluster_is_exported(path, key):
    async with await PoofCluster.create(path, key) as cluster:
        await (await collection(cluster, "people")).insert({"n": 1})
    async with await PoofCluster.create(path, key, read_only=True) as cluster:
        file = io.StringIO()
        assert await (await collection(cluster, "people")).export_jsonl(file) == 1


async def test_an_export_in_a_transaction_sees_what_was_written_in_it(cluster, people):
    async with cluster.transaction():
        await people.insert({"n": 1})
        file = io.StringIO()
        assert await people.export_jsonl(file) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="another system tells otherwise")
def test_memory_stays_bounded(path):
    program = """
import asyncio, sys
from tests.support.memory import peak_memory
from poof import PoofCluster

async def main():
    async with await PoofCluster.create(sys.argv[1], cache_mib=4) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert_many({"n": n, "text": "x" * 5_000} for n in range(5_000))
        await people.export_jsonl(sys.argv[1] + ".1")
        before = peak_memory()
        await people.export_json(sys.argv[1] + ".2")
        await people.export_csv(sys.argv[1] + ".3")
        other = await (await cluster.get_database("db")).get_collection("other")
        await other.import_json(sys.argv[1] + ".2")
        async with cluster.transaction():
            await people.export_json(sys.argv[1] + ".4")
        print(peak_memory() - before)

asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 15 * 1024  # KiB, of 25 MiB of documents


# CSV.


def table(file):
    return list(csv.reader(io.StringIO(file.getvalue(), newline="")))


async def test_csv_flattens_documents_and_writes_arrays_as_json(people):
    first = await people.insert({"name": "Ann", "address": {"city": "Ghent", "zip": {"n": 9000}}, "tags": ["a", "b"]})
    second = await people.insert({"name": "Bob", "address": None, "ok": True, "empty": {}})
    file = io.StringIO()
    assert await people.export_csv(file) == 2
    assert table(file) == [
        ["_objId", "name", "address.city", "address.zip.n", "tags", "address", "ok", "empty"],
        [first.objId, "Ann", "Ghent", "9000", '["a","b"]', "", "", ""],
        [second.objId, "Bob", "", "", "", "", "true", "{}"],
    ]


async def test_csv_of_chosen_fields_has_these_columns(people):
    doc = await people.insert({"name": "Ann", "address": {"city": "Ghent"}})
    file = io.StringIO()
    await people.export_csv(file, fields=["address", "name", "address.city", "none", "_objId"])
    assert table(file) == [
        ["address", "name", "address.city", "none", "_objId"],
        ['{"city":"Ghent"}', "Ann", "Ghent", "", doc.objId],
    ]


@pytest.mark.parametrize("fields", ["name", [], ["a..b"], [5], ["$a"]])
async def test_fields_that_are_none_are_refused(people, fields):
    with pytest.raises(InvalidQueryError):
        await people.export_csv(io.StringIO(), fields=fields)


async def test_csv_quotes_what_would_break_a_row(people):
    await people.insert({"text": 'a,b "c"\r\nd\ne'})
    file = io.StringIO()
    await people.export_csv(file, fields=["text"])
    assert table(file)[1] == ['a,b "c"\r\nd\ne']


@pytest.mark.parametrize("start", "=+-@\t\r")
async def test_text_that_a_spreadsheet_would_calculate_is_not_written_as_such(people, start):
    await people.insert({"text": f"{start}1+1", f"{start}name": -5})
    file = io.StringIO()
    await people.export_csv(file)
    (_, *header), (_, *row) = table(file)
    assert header == ["text", f"'{start}name"]
    assert row == [f"'{start}1+1", "-5"]


async def test_fields_with_dots_in_their_names_have_columns_of_their_own(people):
    await people.insert({"a.b": 1, "a": {"b": 2}})
    file = io.StringIO()
    await people.export_csv(file)
    (_, *header), (_, *row) = table(file)
    assert (header, row) == (["a.b", "a.b"], ["1", "2"])


async def test_documents_with_endlessly_different_fields_ask_for_chosen_ones(people, target):
    await people.insert_many([{f"field {n}_{m}": 1 for m in range(100)} for n in range(101)])
    with pytest.raises(InvalidQueryError, match="fields="):
        await people.export_csv(target)
    assert names(target) == []
