"""The error tree, and each error in a situation that really raises it."""

import asyncio
import copy
import io
import json
import os
import pickle
import sqlite3
import sys
import traceback
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import poof
from poof import PoofCluster, PoofError

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="
PAGE = 8192

BUILTIN_PARENTS = {
    "DecryptionError": ValueError,
    "DuplicateKeyError": ValueError,
    "InvalidQueryError": ValueError,
    "InvalidIdError": TypeError,
    "UpdateError": ValueError,
    "WrongKeyError": ValueError,
    "DamagedFileError": ValueError,
    "DamagedHeaderError": ValueError,
    "DamagedPageError": ValueError,
    "TruncatedFileError": ValueError,
    "LogMismatchError": ValueError,
    "LogMissingError": ValueError,
    "MixedFileError": ValueError,
    "OlderHeaderError": ValueError,
    "OlderFileError": ValueError,
    "InvalidReceiptError": ValueError,
    "InvalidKeyError": ValueError,
    "KeyRequiredError": ValueError,
    "KeyringError": RuntimeError,
    "KeyReplacedError": ValueError,
    "FileFormatError": ValueError,
    "NotAPoofFileError": ValueError,
    "NewerFormatError": ValueError,
    "LegacyFileError": ValueError,
    "LimitError": ValueError,
    "InvalidNameError": ValueError,
    "InvalidDocumentError": ValueError,
    "DocumentTooLargeError": ValueError,
    "NoModelError": TypeError,
    "BusyError": TimeoutError,
    "StorageError": OSError,
    "DiskFullError": OSError,
    "AccessDeniedError": PermissionError,
    "ReadOnlyError": PermissionError,
    "ClockError": OSError,
    "InvalidPathError": ValueError,
    "MissingFileError": FileNotFoundError,
    "MissingFolderError": FileNotFoundError,
    "NoMemoryError": MemoryError,
    "UncopyableError": TypeError,
    "ClosedError": RuntimeError,
    "GoneError": LookupError,
    "TransactionError": RuntimeError,
    "WrongLoopError": RuntimeError,
}
OUR_PARENTS = {
    "WrongKeyError": "DecryptionError",
    "DamagedFileError": "DecryptionError",
    "DamagedHeaderError": "DamagedFileError",
    "DamagedPageError": "DamagedFileError",
    "TruncatedFileError": "DamagedFileError",
    "LogMismatchError": "DamagedFileError",
    "LogMissingError": "LogMismatchError",
    "MixedFileError": "DamagedFileError",
    "OlderHeaderError": "DamagedFileError",
    "NotAPoofFileError": "FileFormatError",
    "NewerFormatError": "FileFormatError",
    "LegacyFileError": "FileFormatError",
    "DocumentTooLargeError": "InvalidDocumentError",
    "InvalidIdError": "InvalidQueryError",
    "DiskFullError": "StorageError",
    "InvalidPathError": "StorageError",
    "MissingFolderError": "MissingFileError",
    "ReadOnlyError": "AccessDeniedError",
}
ERRORS = [getattr(poof, name) for name in poof.__all__ if name.endswith("Error") and name != "PoofError"]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_a_poof_error_and_the_builtin_that_a_user_expects(error):
    assert issubclass(error, PoofError)
    assert issubclass(error, BUILTIN_PARENTS[error.__name__])
    assert issubclass(error, getattr(poof, OUR_PARENTS.get(error.__name__, "PoofError")))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_of_decryption_and_no_other_begins_with_decryption_failed(error):
    text = str(error("what happened"))
    expected = "Decryption failed: what happened" if issubclass(error, poof.DecryptionError) else "what happened"
    assert text == expected


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])  # noqa: S301
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_an_error_survives_copying_and_pickling(error, duplicate):
    one = error("what happened")
    other = duplicate(one)
    assert (type(other), str(other), repr(other)) == (type(one), str(one), repr(one))


def test_a_pickled_error_keeps_the_number_of_the_page():
    error = pickle.loads(pickle.dumps(poof.DamagedPageError("page 7 is damaged", 7)))  # noqa: S301
    assert (str(error), error.page) == ("Decryption failed: page 7 is damaged", 7)


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    """The bytes of a closed cluster of some pages, that opens with KEY."""
    path = tmp_path_factory.mktemp("cluster") / "cluster.poof"

    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("people")
            for n in range(40):
                await collection.insert({"n": n, "text": "x" * 1000})

    asyncio.run(story())
    return path.read_bytes()


async def read_everything(path, key=KEY, **options):
    async with await PoofCluster.create(path, key, **options) as cluster:
        collection = await (await cluster.get_database("db")).get_collection("people")
        return await collection.find_all()


def sqlite_file(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()


NOT_OURS = {
    "empty": lambda path, content: path.write_bytes(b""),
    "one byte": lambda path, content: path.write_bytes(b"P"),
    "text": lambda path, content: path.write_text("Dear diary, ...\n" * 1000),
    "zeros": lambda path, content: path.write_bytes(bytes(3 * PAGE)),
    "random": lambda path, content: path.write_bytes(os.urandom(3 * PAGE)),
    "a folder": lambda path, content: path.mkdir(),
    "a fifo": lambda path, content: os.mkfifo(path),
    "a link to itself": lambda path, content: path.symlink_to(path),
    "a SQLite database": lambda path, content: sqlite_file(path),
    "the pages of a cluster": lambda path, content: path.write_bytes(content[PAGE:]),
    "the first line of a cluster, elsewhere": lambda path, content: path.write_bytes(b"\n" + content[:-1]),
}


@pytest.mark.parametrize("credentials", [{"key": KEY}, {"key": None}, {"key": None, "password": "x"}], ids=str)
@pytest.mark.parametrize("make", NOT_OURS.values(), ids=NOT_OURS)
def test_a_file_that_is_no_cluster_is_refused_and_left_as_it_was(run, path, content, make, credentials):
    make(path, content)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(poof.NotAPoofFileError) as caught:
        run(read_everything(path, **credentials))
    assert str(path) in str(caught.value)
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - iterdir would follow nothing either
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("number", [b"2", b"999999999"])
@pytest.mark.parametrize("credentials", [{"key": KEY}, {"key": None}], ids=str)
def test_a_newer_format_is_named_and_the_file_left_as_it_was(run, path, content, number, credentials):
    newer = content.replace(b"cluster, format 1\n", b"cluster, format " + number + b"\n")
    path.write_bytes(newer)
    with pytest.raises(poof.NewerFormatError, match=rf"has format {number.decode()}.*Upgrade PoofDB"):
        run(read_everything(path, **credentials))
    assert path.read_bytes() == newer


def test_a_damaged_page_is_named_by_its_number(run, path, content):
    pages = len(content) // PAGE - 1
    assert pages > 5
    for number in range(1, pages + 1):
        damaged = bytearray(content)
        damaged[number * PAGE + 4000] ^= 1
        path.write_bytes(damaged)
        try:
            docs = run(read_everything(path))
        except poof.DamagedPageError as error:
            assert error.page == number
            assert f"page {number} in the file {str(path)!r} is damaged or was altered" in str(error)
        else:  # a page of an index that reading everything does not need
            assert len(docs) == 40
        assert path.read_bytes() == damaged
    assert number == pages


@pytest.mark.parametrize("size", [PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE, -PAGE, -1], ids=str)
def test_a_truncated_file_is_refused_as_such(run, path, content, size):
    path.write_bytes(content[:size])
    with pytest.raises(poof.TruncatedFileError, match=r"^Decryption failed: .* is truncated: page \d+ is missing"):
        run(read_everything(path))
    assert path.read_bytes() == content[:size]
    assert list(path.parent.iterdir()) == [path]


def test_a_file_with_a_page_too_many_is_refused_or_reads_as_before(run, path, content):
    path.write_bytes(content + content[-PAGE:])
    before = path.read_bytes()
    try:
        assert len(run(read_everything(path))) == 40
    except poof.DamagedFileError:
        assert path.read_bytes() == before


def test_a_missing_folder_is_a_file_not_found_error_and_is_not_made(run, tmp_path):
    path = tmp_path / "missing" / "cluster.poof"
    with pytest.raises(poof.MissingFolderError, match=r"does not exist\. Create it first") as caught:
        run(read_everything(path))
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_path_below_a_file_is_denied(run, path):
    path.write_bytes(b"")
    with pytest.raises(poof.AccessDeniedError, match="does not lie in a folder"):
        run(read_everything(path / "cluster.poof"))


@pytest.mark.skipif(sys.platform == "win32", reason="other limits on Windows")
@pytest.mark.parametrize("name", ["x" * 255, "x" * 300, "x" * 240])
def test_a_name_too_long_for_the_file_system_is_a_poof_error_or_works(run, tmp_path, name):
    folder = tmp_path / "names"
    folder.mkdir()
    try:
        run(read_everything(folder / name))
    except PoofError as error:
        assert name in str(error)
        assert list(folder.iterdir()) == []
    else:
        assert [file.name for file in folder.iterdir()] == [name]


@pytest.mark.parametrize("arguments", [{"timeout": -1}, {"timeout": float("nan")}, {"timeout": "5"}, {"cache_mib": 0}])
def test_an_option_out_of_range_is_a_value_error(run, path, arguments):
    with pytest.raises(ValueError, match="must be"):
        run(read_everything(path, **arguments))
    assert not path.exists()


CALLS = {
    "get_database": lambda cluster, database, people: cluster.get_database("db"),
    "save": lambda cluster, database, people: cluster.save(),
    "export_legacy": lambda cluster, database, people: cluster.export_legacy("never.poof"),
    "import_legacy": lambda cluster, database, people: cluster.import_legacy("never.poof", KEY),
    "export_sqlite_plaintext": lambda cluster, database, people: cluster.export_sqlite_plaintext("never.db"),
    "export_jsonl": lambda cluster, database, people: people.export_jsonl("never.jsonl"),
    "export_json": lambda cluster, database, people: people.export_json(io.StringIO()),
    "import_jsonl": lambda cluster, database, people: people.import_jsonl([]),
    "get_collection": lambda cluster, database, people: database.get_collection("people"),
    "insert": lambda cluster, database, people: people.insert({}),
    "find_by_id": lambda cluster, database, people: people.find_by_id("AAAAAAAAAAAA"),
    "find_all": lambda cluster, database, people: people.find_all(),
    "update": lambda cluster, database, people: people.update("AAAAAAAAAAAA", {}),
    "delete": lambda cluster, database, people: people.delete("AAAAAAAAAAAA"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_on_a_closed_cluster_is_a_runtime_error_that_names_the_file(run, path, call):
    async def story():
        cluster = await PoofCluster.create(path, KEY)
        database = await cluster.get_database("db")
        people = await database.get_collection("people")
        await cluster.close()
        with pytest.raises(poof.ClosedError, match=r"is closed. Open it again") as caught:
            await call(cluster, database, people)
        assert str(path) in str(caught.value)
        assert cluster.get_encryption_key() == KEY

    run(story())


SECRET_KEY = Fernet.generate_key().decode()
SENTINEL = "sentinel-5f1c"


async def insert_unstorable(path):
    async with await PoofCluster.create(path, SECRET_KEY) as cluster:
        await (await (await cluster.get_database("db")).get_collection("c")).insert(
            {"v": [SENTINEL, SENTINEL.encode()]}
        )


async def open_damaged(path):
    async with await PoofCluster.create(path, SECRET_KEY) as cluster:
        await (await (await cluster.get_database("db")).get_collection("people")).insert({"v": SENTINEL})
    content = bytearray(path.read_bytes())
    content[PAGE + 100] ^= 1
    path.write_bytes(content)
    await read_everything(path, SECRET_KEY)


async def open_with_wrong_password(path):
    await (await PoofCluster.create(path, SECRET_KEY)).close()
    await PoofCluster.create(path, password=SENTINEL)


async def open_with_wrong_key(path):
    await (await PoofCluster.create(path)).close()
    await PoofCluster.create(path, SECRET_KEY)


async def upgrade_unstorable(path):
    tree = {"db": {"people": [{"_objId": "AAAAAAAAAAAA", "data": {"v": [SENTINEL, float("nan")]}}]}}
    path.write_bytes(Fernet(SECRET_KEY).encrypt(json.dumps(tree).encode()))
    await PoofCluster.create(path, SECRET_KEY)


async def upgrade_of_other_json(path):
    path.write_bytes(Fernet(SECRET_KEY).encrypt(b'["%s"]' % SENTINEL.encode()))
    await PoofCluster.create(path, SECRET_KEY)


async def open_as_both(path):
    await PoofCluster.create(path, SECRET_KEY, password=SENTINEL)


async def open_with_malformed_key(path):
    await PoofCluster.create(path, SECRET_KEY + SENTINEL)


LEAKY = [
    insert_unstorable,
    open_damaged,
    open_with_wrong_password,
    open_with_wrong_key,
    upgrade_unstorable,
    upgrade_of_other_json,
    open_as_both,
    open_with_malformed_key,
]


@pytest.mark.parametrize("situation", LEAKY, ids=lambda it: it.__name__)
def test_no_key_password_or_content_is_in_an_error_or_a_log(run, path, caplog, situation):
    caplog.set_level(0)
    with pytest.raises(PoofError) as caught:
        run(situation(path))
    error = caught.value
    shown = f"{error} {error!r} {error.args} {vars(error)} {caplog.text}" + "".join(traceback.format_exception(error))
    assert SENTINEL not in shown
    assert SECRET_KEY not in shown


def test_the_reprs_of_all_objects_show_no_key_and_no_content(run, path):
    async def story():
        async with await PoofCluster.create(path, SECRET_KEY) as cluster:
            database = await cluster.get_database("db")
            collection = await database.get_collection("people")
            doc = await collection.insert({"v": SENTINEL})
            engine = cluster._engine._calls
            objects = [
                cluster,
                database,
                collection,
                doc,
                engine,
                engine._writer.store,
                *vars(engine._writer.store).values(),
            ]
            shown = " ".join(f"{it!r} {it}" for it in objects if not isinstance(it, bytes))
        assert SENTINEL not in shown
        assert SECRET_KEY not in shown
        assert repr(cluster) == f"<PoofCluster {str(path)!r}, closed>"

    run(story())
