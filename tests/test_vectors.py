"""The test vectors: what is whole opens and holds what the index says, what is broken is refused and left alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from cryptography.fernet import Fernet

import poof
from poof import (
    DamagedPageError,
    LogMismatchError,
    LogMissingError,
    NewerFormatError,
    PoofCluster,
    PoofError,
)

VECTORS = Path(__file__).parent / "vectors"
INDEX = json.loads((VECTORS / "vectors.json").read_text(encoding="ascii"))
WHOLE = [pytest.param(vector, id=vector["name"]) for vector in INDEX["vectors"] if "holds" in vector]
BROKEN = [pytest.param(vector, id=vector["name"]) for vector in INDEX["vectors"] if "error" in vector]
LEGACY_BACKUP = ".v0.bak"

Vector = dict[str, Any]


def copied(vector: Vector, folder: Path) -> Path:
    """A copy of a vector's file, and of its log where it has one, in a folder of its own."""
    folder = folder / "copy"
    folder.mkdir()
    for file in VECTORS.glob(vector["file"] + "*"):
        shutil.copyfile(file, folder / file.name)
    return folder / vector["file"]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def options(vector: Vector) -> dict[str, Any]:
    """How a vector is opened."""
    return {name: vector[name] for name in ("key", "password", "at_least") if name in vector}


async def read_everything(path: Path, vector: Vector) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """All documents, by the names that are found in the file, each read in both ways."""
    exported = path.parent.parent / "exported"
    async with await PoofCluster.open(path, **options(vector)) as cluster:
        await cluster.export_legacy(exported)
        holds = json.loads(Fernet(cluster.get_encryption_key()).decrypt(exported.read_bytes()))
        for database_name, collections in holds.items():
            database = await cluster.get_database(database_name)
            for collection_name, documents in collections.items():
                collection = await database.get_collection(collection_name)
                found = await collection.find_all()
                assert [document.model_dump(by_alias=True) for document in found] == documents
                for document in found:
                    assert await collection.find_by_id(document.objId) == document
        return holds


def as_text(holds):
    """Documents as text, in which 1 and 1.0 are not the same."""
    return {
        database: {collection: json.dumps(documents) for collection, documents in collections.items()}
        for database, collections in holds.items()
    }


@pytest.mark.parametrize("vector", WHOLE)
def test_a_whole_file_holds_what_the_index_says(vector, tmp_path, run):
    holds = run(read_everything(copied(vector, tmp_path), vector))
    assert as_text(holds) == as_text(vector["holds"])


@pytest.mark.parametrize("vector", WHOLE)
def test_a_whole_file_lies_alone_after_it_was_closed(vector, tmp_path, run):
    path = copied(vector, tmp_path)
    run(read_everything(path, vector))
    names = {file.name for file in path.parent.iterdir()}
    assert names - {path.name + LEGACY_BACKUP} == {path.name}


@pytest.mark.parametrize("vector", BROKEN)
def test_a_broken_file_is_refused_with_the_error_of_the_index(vector, tmp_path, run):
    with pytest.raises(PoofError) as caught:
        run(read_everything(copied(vector, tmp_path), vector))
    assert type(caught.value) is getattr(poof, vector["error"])


@pytest.mark.parametrize("vector", BROKEN)
def test_a_broken_file_is_left_as_it_is(vector, tmp_path, run):
    path = copied(vector, tmp_path)
    before = contents(path.parent)
    with pytest.raises(PoofError):
        run(read_everything(path, vector))
    assert contents(path.parent) == before


@pytest.mark.parametrize("vector", [case for case in BROKEN if case.values[0]["error"] == "DamagedPageError"])
def test_the_error_of_a_damaged_page_names_its_number(vector, tmp_path, run):
    with pytest.raises(DamagedPageError) as caught:
        run(read_everything(copied(vector, tmp_path), vector))
    assert caught.value.page == 10
    assert "page 10" in str(caught.value)


def test_an_upgraded_file_keeps_the_old_one_beside_it(tmp_path, run):
    vector = next(vector for vector in INDEX["vectors"] if vector["name"] == "one-token")
    path = copied(vector, tmp_path)
    before = path.read_bytes()
    run(read_everything(path, vector))
    assert Path(f"{path}{LEGACY_BACKUP}").read_bytes() == before


def test_the_index_names_every_file_in_the_folder():
    named = {"vectors.json", "generate.py"}
    for vector in INDEX["vectors"]:
        named |= {vector["file"], vector["file"] + "-wal"}
    lying = {file.name for file in VECTORS.iterdir() if file.is_file()}
    assert lying <= named
    assert {vector["file"] for vector in INDEX["vectors"]} <= lying


def test_the_vectors_stay_small():
    assert sum(file.stat().st_size for file in VECTORS.iterdir() if file.is_file()) < 7_000_000


@pytest.mark.skipif(
    INDEX["made_with"]["sqlite"] != apsw.sqlite_lib_version(),
    reason="another SQLite writes its own version number into page 1",
)
def test_the_generator_makes_the_same_bytes_again(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, VECTORS / "generate.py", tmp_path], check=True, env=environment)
    made = contents(tmp_path)
    assert made == {name: (VECTORS / name).read_bytes() for name in made}
    assert {vector["file"] for vector in INDEX["vectors"]} <= set(made)


@pytest.mark.parametrize("vector", WHOLE)
def test_nothing_is_wrong_with_a_whole_vector(vector, tmp_path, run):
    async def verify():
        async with await PoofCluster.create(copied(vector, tmp_path), **options(vector)) as cluster:
            return (await cluster.verify()).problems

    # A change of the header that was interrupted leaves copies that differ, each of them whole.
    assert [problem for problem in run(verify()) if problem.kind != "header"] == []


SALVAGED = [vector for vector in WHOLE if not (VECTORS / vector.values[0]["file"]).read_bytes().startswith(b"gAAAA")]


@pytest.mark.parametrize("vector", SALVAGED)
def test_all_of_a_whole_vector_is_salvaged(vector, tmp_path, run):
    path, to = copied(vector, tmp_path), tmp_path / "to" / "salvaged.poof"
    to.parent.mkdir()
    before = contents(path.parent)

    async def salvage():
        await PoofCluster.salvage(path, to, vector.get("key"), password=vector.get("password"))
        return await read_everything(to, {**vector, "at_least": None})

    assert as_text(run(salvage())) == as_text(vector["holds"])
    assert contents(path.parent) == before


def test_a_file_that_uses_what_is_not_known_is_not_written_to(tmp_path, run):
    vector = next(vector for vector in INDEX["vectors"] if vector["name"] == "newer-feature")
    path = copied(vector, tmp_path)
    before = path.read_bytes()

    async def write():
        async with PoofCluster.open(path, vector["key"]) as cluster:
            people = await (await cluster.get_database("my_db")).get_collection("people")
            with pytest.raises(NewerFormatError, match="what comes next"):
                await people.insert({})
            with pytest.raises(NewerFormatError):
                await cluster.add_key()

    run(write())
    assert path.read_bytes() == before


def test_a_lost_log_is_given_up_where_that_is_asked_for_and_the_file_is_whole(tmp_path, run):
    async def open_without(name):
        vector = next(vector for vector in INDEX["vectors"] if vector["name"] == name)
        (tmp_path / name).mkdir()
        path = copied(vector, tmp_path / name)
        async with PoofCluster.open(path, vector["key"], without_log=True) as cluster:
            log = await (await cluster.get_database("my_db")).get_collection("log")
            assert await log.find_all() == []
        async with PoofCluster.open(path, vector["key"]):
            pass

    run(open_without("lost-log"))
    with pytest.raises(LogMissingError, match="only a part"):
        run(open_without("lost-log-in-checkpoint"))


def test_no_file_is_created_beside_a_log_that_lost_its_own(tmp_path, run):
    vector = next(vector for vector in INDEX["vectors"] if vector["name"] == "live-log")
    path = copied(vector, tmp_path)
    path.unlink()
    before = contents(path.parent)
    with pytest.raises(LogMismatchError, match="is not"):
        run(PoofCluster.create(path, vector["key"]))
    assert contents(path.parent) == before
