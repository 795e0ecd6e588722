"""The commands of `poof`, one after another in this process: what they print, and with which code they end."""

import asyncio
import json
import os
import stat
import sys

import keyring
import keyring.backends.null
import pytest
from keyrings.alt.file import PlaintextKeyring

from poof import PoofCluster
from poof.cli.failures import ExitCode
from poof.cli.main import main

PEOPLE = [
    {"name": "Ann", "age": 29, "tags": ["friend"]},
    {"name": "Bob", "age": 41},
    {"name": "Cem", "age": 17, "city": "Paris"},
]


@pytest.fixture
def poof(capsys, monkeypatch, key, tmp_path):
    """Runs a command line with the key in POOF_KEY; returns its exit code, and what it wrote to stdout and stderr."""
    monkeypatch.setenv("POOF_KEY", key)
    monkeypatch.setattr("poof.cli.credentials.has_terminal", lambda: False)
    before = keyring.get_keyring()
    ring = PlaintextKeyring()
    ring.file_path = str(tmp_path / "keyring.cfg")
    keyring.set_keyring(ring)

    def call(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr("sys.stdin", stdin)
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    yield call
    keyring.set_keyring(before)


@pytest.fixture
def file(path, key):
    """A cluster with three people in the collection `people` of the database `db`."""

    async def fill():
        async with await PoofCluster.create(path, key) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            await people.insert_many(PEOPLE)

    asyncio.run(fill())
    return path


@pytest.fixture
def people(file):
    """The three arguments that name the collection."""
    return file, "db", "people"


def lines(output):
    return [json.loads(line) for line in output.splitlines()]


def names(output):
    return [document["name"] for document in lines(output)]


def test_find_writes_json_lines_where_stdout_is_no_terminal(poof, people):
    code, out, err = poof("find", *people)
    assert (code, err) == (0, "")
    assert [{**document, "_objId": ""} for document in lines(out)] == [{"_objId": "", **data} for data in PEOPLE]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (['{"age": {"$gte": 18}}'], ["Ann", "Bob"]),
        (["--sort", "-age"], ["Bob", "Ann", "Cem"]),
        (["--sort", "age", "--limit", "1"], ["Cem"]),
        (["--sort", "age", "--skip", "1"], ["Ann", "Bob"]),
        (['{"tags": "friend"}'], ["Ann"]),
        (['{"name": "nobody"}'], []),
    ],
)
def test_find_filters_sorts_and_limits(poof, people, arguments, found):
    assert names(poof("find", *people, *arguments)[1]) == found


def test_find_shows_the_fields_that_are_asked_for(poof, people):
    assert lines(poof("find", *people, "--limit", 1, "--project", "age,-_objId")[1]) == [{"age": 29}]
    assert set(lines(poof("find", *people, "--limit", 1, "--project=-tags")[1])[0]) == {"_objId", "name", "age"}


def test_find_writes_one_json_array(poof, people):
    assert [row["name"] for row in json.loads(poof("find", *people, "--format", "json")[1])] == ["Ann", "Bob", "Cem"]
    assert poof("find", *people, '{"age": 1}', "--format", "json")[1] == "[]\n"


def test_find_writes_a_table_without_colour_into_a_pipe(poof, people):
    out = poof("find", *people, "--format", "table", "--project", "name,age")[1]
    assert out.splitlines()[0].split() == ["_objId", "name", "age"]
    assert "\x1b" not in out
    assert "Ann" in out


def test_a_document_that_a_terminal_would_obey_is_shown_escaped(poof, people):
    assert poof("insert", *people, json.dumps({"name": "\x1b[31mred\u202e\x9b"}))[0] == 0
    for form in ("table", "json", "jsonl"):
        out = poof("find", *people, '{"name": {"$regex": "red"}}', "--format", form)[1]
        assert "\\u001b[31mred\\u202e\\u009b" in out
        assert not {"\x1b", "\u202e", "\x9b"} & set(out)


def test_get_shows_a_document_by_its_id(poof, people):
    document = lines(poof("find", *people, "--limit", 1)[1])[0]
    assert lines(poof("get", *people, document["_objId"])[1]) == [document]
    assert poof("get", *people, document["_objId"], "--format", "table")[1].splitlines()[1].split() == ["name", "Ann"]


def test_count_prints_a_number(poof, people):
    assert poof("count", *people)[1] == "3\n"
    assert poof("count", *people, '{"age": {"$lt": 30}}')[1] == "2\n"


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', '[{"a": 1}, {"a": 2}]', '{"a": 1}\n{"a": 2}\n\n{"a": 3}\n'],
    ids=["object", "array", "lines"],
)
@pytest.mark.parametrize("way", ["argument", "file", "stdin"])
def test_insert_takes_documents_from_anywhere_and_prints_their_ids(poof, people, tmp_path, text, way):
    source = tmp_path / "documents"
    source.write_text(text)
    argument = {"argument": text, "file": source, "stdin": "-"}[way]
    with source.open() as stdin:
        code, out, _ = poof("insert", *people, argument, stdin=stdin)
    assert code == 0
    assert [
        document["_objId"] for document in lines(poof("find", *people, '{"a": {"$exists": true}}')[1])
    ] == out.split()


def test_insert_creates_the_database_and_collection(poof, file):
    assert poof("insert", file, "new.one", "a/b c", '{"a": 1}')[0] == 0
    assert poof("count", file, "new.one", "a/b c")[1] == "1\n"


def test_an_insert_that_fails_leaves_nothing_behind(poof, file):
    code, _, err = poof("insert", file, "new", "things", '[{"a": 1}, {"a": 18446744073709551616}]')
    assert (code, err.count("\n")) == (2, 1)
    assert "beyond 64 bits" in err
    assert "new" not in poof("ls", file)[1]


def test_update_changes_the_first_or_all(poof, people):
    change = '{"$inc": {"age": 1}}'
    assert lines(poof("update", *people, "{}", change)[1])[0]["modified_count"] == 1
    assert lines(poof("update", *people, "{}", change, "--many")[1])[0]["modified_count"] == 3
    assert [person["age"] for person in lines(poof("find", *people)[1])] == [31, 42, 18]


def test_update_says_in_a_sentence_what_it_did(poof, people):
    out = poof("update", *people, '{"age": {"$gt": 20}}', '{"$set": {"old": true}}', "--many", "--format", "table")[1]
    assert out == "2 documents found, 2 changed.\n"


def test_update_inserts_where_it_finds_nothing(poof, people):
    out = poof("update", *people, '{"name": "Dan"}', '{"$set": {"age": 5}}', "--upsert")[1]
    found = lines(poof("find", *people, '{"name": "Dan"}')[1])
    assert [document["_objId"] for document in found] == [lines(out)[0]["upserted_id"]]


def test_delete_of_one_document_asks_nothing(poof, people):
    assert lines(poof("delete", *people, '{"name": "Ann"}')[1]) == [{"deleted_count": 1}]
    assert poof("count", *people)[1] == "2\n"


def test_delete_of_many_is_refused_where_there_is_nobody_to_ask(poof, people):
    code, _, err = poof("delete", *people, "{}")
    assert (code, err) == (
        2,
        "poof: 3 documents would go, and there is no terminal to ask in. Nothing was changed. To go on: --yes\n",
    )
    assert poof("count", *people)[1] == "3\n"
    assert lines(poof("delete", *people, "{}", "--yes")[1]) == [{"deleted_count": 3}]


def test_indexes_are_created_listed_and_dropped(poof, people):
    arguments = ["city,-age", "--unique", "--where", '{"city": {"$exists": true}}']
    assert poof("index", "create", *people, *arguments)[1] == "city_1_age_-1\n"
    assert poof("index", "create", *people, "seen", "--expire-after", "30d", "--name", "old")[1] == "old\n"
    assert poof("index", "create", *people, "phone", "--skip-null")[1] == "phone_1\n"
    first, second, third = lines(poof("index", "list", *people)[1])
    assert (first["name"], first["fields"], first["unique"]) == ("city_1_age_-1", {"city": 1, "age": -1}, True)
    assert first["where"] == {"city": {"$exists": True}}
    assert (second["name"], second["expire_after_seconds"]) == ("old", 30 * 86400)
    assert [index["skip_null"] for index in (first, second, third)] == [False, False, True]
    assert poof("index", "drop", *people, "old")[0] == 0
    assert poof("index", "drop", *people, "old")[0] == 4


def test_ls_lists_collections_with_counts_sizes_and_indexes(poof, file, people):
    poof("index", "create", *people, "age")
    (row,) = lines(poof("ls", file)[1])
    assert (row["database"], row["collection"], row["documents"], row["indexes"]) == ("db", "people", 3, ["age_1"])
    assert row["size"] > 8192
    assert lines(poof("ls", file, "db")[1]) == [row]
    assert poof("ls", file, "none")[0] == 4


def test_info_needs_no_key(poof, file, monkeypatch):
    monkeypatch.delenv("POOF_KEY")
    (info,) = lines(poof("info", file)[1])
    assert (info["format"], info["generation"], info["size"]) == (1, 1, file.stat().st_size)
    assert len(info["cluster"]) == 32
    assert [(slot["kind"], slot["label"]) for slot in info["slots"]] == [("key", "")]
    assert "token" not in info["slots"][0]


def test_info_reads_a_file_that_is_open_and_unlocks_nothing(poof, file, key, run):
    async def look_while_a_transaction_is_open():
        async with await PoofCluster.create(file, key) as cluster, cluster.transaction():
            people = await (await cluster.get_database("db")).get_collection("people")
            await people.insert({"name": "Eve"})
            assert await asyncio.to_thread(main, ["info", str(file)]) == 0
            code = 'import sys; from poof.cli.main import main; sys.exit(main(["insert", *sys.argv[1:]]))'
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, str(file), "db", "people", '{"name": "Fay"}', stderr=asyncio.subprocess.PIPE
            )
            _, errors = await process.communicate()
            assert (process.returncode, b"locked" in errors) == (6, True)

    run(look_while_a_transaction_is_open())


def test_new_prints_the_key_that_opens_the_file(poof, path, monkeypatch):
    monkeypatch.delenv("POOF_KEY")
    code, out, err = poof("new", path)
    assert code == 0
    assert out.strip() not in err
    monkeypatch.setenv("POOF_KEY", out.strip())
    assert poof("ls", path)[0] == 0


def test_new_writes_its_key_into_a_file_of_the_owner(poof, path, tmp_path, monkeypatch):
    monkeypatch.delenv("POOF_KEY")
    key_file = tmp_path / "my.key"
    assert poof("new", path, "--key-file", key_file)[:2] == (0, "")
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert poof("ls", path, "--key-file", key_file)[0] == 0


def test_new_replaces_neither_a_key_file_nor_a_cluster(poof, path, file, tmp_path):
    key_file = tmp_path / "my.key"
    key_file.write_text("mine")
    other = path.with_name("other.poof")
    assert poof("new", other, "--key-file", key_file)[0] == 7
    assert (key_file.read_text(), other.exists()) == ("mine", False)
    before = file.read_bytes()
    assert poof("new", file, "--key-file", tmp_path / "another.key")[0] == 1
    assert (file.read_bytes(), (tmp_path / "another.key").exists()) == (before, False)


def test_new_leaves_no_key_file_where_the_cluster_cannot_be_made(poof, tmp_path):
    assert poof("new", tmp_path / "no" / "cluster.poof", "--key-file", tmp_path / "my.key")[0] == 7
    assert not any(tmp_path.glob("*.key"))


def test_new_takes_the_key_of_the_variable_and_prints_none(poof, path):
    code, out, _ = poof("new", path)
    assert (code, out) == (0, "")
    assert poof("ls", path)[0] == 0


def test_a_command_that_reads_creates_nothing(poof, file, path):
    for command in ("find", "count"):
        assert poof(command, path.with_name("none.poof"), "db", "people")[0] == 4
        assert poof(command, file, "none", "people")[0] == 4
        assert poof(command, file, "db", "none")[0] == 4
    assert [entry.name for entry in path.parent.iterdir()] == [file.name]
    assert len(lines(poof("ls", file)[1])) == 1


def test_a_file_that_cannot_be_written_can_be_read(poof, people, file):
    if os.geteuid() == 0:
        pytest.skip("root writes to everything")
    file.chmod(0o400)
    assert poof("count", *people)[:2] == (0, "3\n")
    assert poof("insert", *people, "{}")[0] == 7


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["find"], 2, "Missing argument"),
        (["nonsense"], 2, "No such command"),
        (["count", "FILE", "db", "people", "--nonsense"], 2, "No such option"),
        (["count", "FILE", "db", "people", '{"age": '], 2, "not JSON"),
        (["count", "FILE", "db", "people", "[1]"], 2, "not a JSON object"),
        (["count", "FILE", "db", "people", "no-such-file"], 2, "neither JSON"),
        (["count", "FILE", "db", "people", '{"age": NaN}'], 2, "number"),
        (["count", "FILE", "db", "people", '{"age": {"$near": 1}}'], 2, "$near"),
        (["find", "FILE", "db", "people", "--limit", "-1"], 2, "limit"),
        (["update", "FILE", "db", "people", "{}", '{"$inc": {"name": 1}}'], 1, "$inc"),
        (["get", "FILE", "db", "people", "x"], 4, "no document"),
        (["index", "create", "FILE", "db", "people", "a", "--expire-after", "soon"], 2, "length of time"),
        (["upgrade", "NONE"], 4, "no file"),
        (["ls", "FILE", "--key-file", "NONE"], 3, "no key file"),
        (["ls", "FILE", "--key-file", "FOLDER"], 7, "directory"),
    ],
)
def test_an_error_is_one_line_and_a_code(poof, file, path, arguments, code, says):
    places = {"FILE": file, "NONE": path.with_name("none.poof"), "FOLDER": path.parent}
    got, out, err = poof(*(places.get(argument, argument) for argument in arguments))
    assert (got, out) == (code, "")
    assert err.startswith("poof: ")
    assert says in err
    assert err.count("\n") == 1


def test_a_wrong_key_ends_with_code_3(poof, people, monkeypatch):
    for text in ("A" * 43 + "=", "mistyped"):
        monkeypatch.setenv("POOF_KEY", text)
        code, _, err = poof("count", *people)
        assert code == 3
        assert text not in err


def test_no_key_and_no_terminal_ends_with_code_3(poof, people, monkeypatch):
    monkeypatch.delenv("POOF_KEY")
    assert poof("count", *people)[0] == 3


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (["find"], ["{"]),
        (["update"], ["{}", "{"]),
        (["insert"], ["{"]),
        (["index", "create"], ["at", "--expire-after", "soon"]),
        (["export", "csv"], ["--filter", "["]),
    ],
)
def test_an_argument_that_cannot_be_read_is_refused_before_the_key_is_asked_for(
    poof, people, monkeypatch, command, arguments
):
    monkeypatch.delenv("POOF_KEY")
    assert poof(*command, *people, *arguments)[0] == ExitCode.USAGE


def test_a_password_in_a_key_file_opens_the_file(poof, path, tmp_path, run):
    async def create():
        await (await PoofCluster.create(path, password="four random words here")).close()

    run(create())
    password = tmp_path / "password"
    password.write_text("four random words here\n")
    assert poof("ls", path, "--key-file", password)[0] == 0


@pytest.mark.parametrize("content", [b"", b"something else", b"PoofDB encrypted cluster, format 9\n"])
def test_a_file_that_is_no_cluster_ends_with_code_5_and_stays(poof, path, content):
    path.write_bytes(content)
    for command in ("info", "ls"):
        assert poof(command, path)[0] == 5
    assert path.read_bytes() == content


def test_an_old_file_is_upgraded_by_upgrade_only(poof, file, path, key, run, tmp_path):
    async def export():
        async with await PoofCluster.create(file, key) as cluster:
            await cluster.export_legacy(path.with_name("old.poof"))

    run(export())
    old = path.with_name("old.poof")
    before = old.read_bytes()
    assert poof("ls", old)[0] == 5
    assert lines(poof("info", old)[1])[0]["format"] == 0
    assert old.read_bytes() == before
    assert poof("upgrade", old)[0] == 0
    assert old.with_name("old.poof.v0.bak").read_bytes() == before
    assert poof("count", old, "db", "people")[1] == "3\n"
    assert "Nothing was changed" in poof("upgrade", old)[2]


def test_an_error_that_nobody_expected_shows_no_value_and_no_traceback(poof, people, monkeypatch):
    async def broken(*_):
        raise KeyError("a secret of a document")

    monkeypatch.setattr("poof.collection.PoofCollection.count_documents", broken)
    code, _, err = poof("count", *people)
    assert (code, err.count("\n")) == (1, 1)
    assert "KeyError in test_cli.py" in err
    assert "secret" not in err


def test_a_key_in_the_keyring_opens_the_file(poof, path, monkeypatch):
    monkeypatch.delenv("POOF_KEY")
    code, recovery, _ = poof("new", path, "--keyring")
    assert code == 0
    assert poof("ls", path)[0] == 0
    keyring.set_keyring(keyring.backends.null.Keyring())
    assert poof("ls", path)[0] == 3
    monkeypatch.setenv("POOF_KEY", recovery.strip())
    assert poof("ls", path)[0] == 0


def test_a_keyring_gets_a_key_of_a_file_that_is_there(poof, file, monkeypatch):
    assert poof("keys", "add", file, "--keyring")[0] == 0
    monkeypatch.delenv("POOF_KEY")
    assert poof("ls", file)[0] == 0


def test_keys_are_added_listed_and_removed(poof, file, key, tmp_path, monkeypatch):
    _, added, _ = poof("keys", "add", file, "--label", "laptop")
    _, recovery, _ = poof("keys", "recovery", file)
    new_key = tmp_path / "new.key"
    assert poof("keys", "add", file, "--new-key", new_key)[:2] == (0, "")
    assert stat.S_IMODE(new_key.stat().st_mode) == 0o600
    listed = lines(poof("keys", "list", file)[1])
    assert [(row["kind"], row["label"]) for row in listed] == [
        ("key", ""),
        ("key", "laptop"),
        ("key", "recovery"),
        ("key", ""),
    ]
    assert poof("ls", file, "--key-file", new_key)[0] == 0
    for secret in (added, recovery):
        monkeypatch.setenv("POOF_KEY", secret.strip())
        assert poof("ls", file)[0] == 0
    assert poof("keys", "remove", file, listed[1]["id"])[0] == 0
    monkeypatch.setenv("POOF_KEY", added.strip())
    assert poof("ls", file)[0] == 3
    monkeypatch.setenv("POOF_KEY", key)
    assert poof("keys", "remove", file, "00000000")[0] == 4


def test_a_key_file_that_exists_is_not_replaced_and_no_key_is_added(poof, file, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert poof("keys", "add", file, "--new-key", taken)[0] == 7
    assert taken.read_text() == "mine"
    assert len(lines(poof("keys", "list", file)[1])) == 1


def test_rotate_keeps_the_keys_that_are_given(poof, file, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for each in (first, second):
        poof("keys", "add", file, "--new-key", each)
    code, _, err = poof("keys", "rotate", file, "--keep", first)
    assert (code, err.count("\n")) == (3, 1)
    assert "--remove-others" in err and "keys=" not in err
    assert poof("keys", "rotate", file, "--keep", first, "--remove-others")[0] == 0
    assert [poof("count", file, "db", "people", *options)[0] for options in ((), ("--key-file", first))] == [0, 0]
    assert poof("ls", file, "--key-file", second)[0] == 3


def test_a_backup_opens_with_the_same_key_or_one_of_its_own(poof, file, tmp_path):
    assert poof("backup", file, tmp_path / "same.poof")[0] == 0
    assert poof("count", tmp_path / "same.poof", "db", "people")[1] == "3\n"
    assert poof("backup", file, tmp_path / "own.poof", "--new-key", tmp_path / "own.key")[0] == 0
    assert poof("ls", tmp_path / "own.poof")[0] == 3
    assert poof("ls", tmp_path / "own.poof", "--key-file", tmp_path / "own.key")[0] == 0
    assert poof("backup", file, tmp_path / "same.poof", "--new-key", tmp_path / "other.key")[0] == 7
    assert not (tmp_path / "other.key").exists()


def test_stats_and_verify_say_what_is_there(poof, file):
    (stats,) = lines(poof("stats", file)[1])
    assert (stats["key_slots"], stats["collections"][0]["documents"]) == (1, 3)
    (report,) = lines(poof("verify", file)[1])
    assert (report["ok"], report["documents"], report["problems"]) == (True, 3, [])
    assert "Nothing is wrong." in poof("verify", file, "--format", "table")[1]
    assert "people" in poof("stats", file, "--format", "table")[1]


def test_verify_finds_damage_and_salvage_brings_back_the_rest(poof, file, tmp_path):
    poof("insert", file, "db", "more", json.dumps([{"text": "x" * 500}] * 200))
    content = bytearray(file.read_bytes())
    content[-4096] ^= 1
    file.write_bytes(content)
    code, out, err = poof("verify", file)
    assert (code, err.count("\n")) == (5, 1)
    assert not lines(out)[0]["ok"]
    code, out, _ = poof("salvage", file, tmp_path / "saved.poof")
    assert code == 0
    assert lines(out)[0]["damaged_pages"]
    assert poof("count", tmp_path / "saved.poof", "db", "people")[1] == "3\n"


def test_compact_gives_space_back(poof, file):
    poof("insert", file, "db", "more", json.dumps([{"text": "x" * 500}] * 500))
    poof("delete", file, "db", "more", "{}", "--yes")
    before = file.stat().st_size
    assert poof("compact", file)[0] == 0
    assert file.stat().st_size < before


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_what_is_exported_can_be_imported(poof, people, file, tmp_path, form):
    target = tmp_path / "people"
    assert poof("export", form, *people, target, "--filter", '{"age": {"$gt": 18}}')[:2] == (0, "")
    assert poof("import", form, file, "new", "people", target)[0] == 0
    assert poof("find", file, "new", "people")[1] == poof("find", *people, '{"age": {"$gt": 18}}')[1]
    code, _, err = poof("import", form, file, "new", "people", target)
    assert (code, err.count("\n")) == (1, 1)
    assert poof("import", form, file, "new", "people", target, "--ids", "new")[0] == 0
    assert poof("count", file, "new", "people")[1] == "4\n"


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_an_import_reads_stdin(poof, file, tmp_path, form):
    rows = [json.dumps({"number": number, "text": "x" * 1_000}) for number in range(3_000)]
    source = tmp_path / "rows"
    source.write_text("[" + ",".join(rows) + "]" if form == "json" else "\n".join(rows))
    with source.open() as stdin:
        assert poof("import", form, file, "new", "rows", stdin=stdin)[0] == 0
    assert poof("count", file, "new", "rows")[1] == "3000\n"


def test_an_import_that_fails_leaves_nothing_behind(poof, file, tmp_path):
    source = tmp_path / "bad.jsonl"
    source.write_text('{"a": 1}\n{"a": \n')
    assert poof("import", "jsonl", file, "new", "things", source)[0] == 2
    assert "new" not in poof("ls", file)[1]


def test_an_export_to_stdout_is_for_pipes(poof, people):
    assert names(poof("export", "jsonl", *people)[1]) == ["Ann", "Bob", "Cem"]
    assert poof("export", "csv", *people, "--fields", "name,age")[1].splitlines()[1] == "Ann,29"


def test_the_whole_cluster_is_exported_as_sqlite_and_in_the_old_form(poof, file, key, tmp_path):
    assert poof("export", "sqlite-plaintext", file, tmp_path / "plain.sqlite")[0] == 0
    assert (tmp_path / "plain.sqlite").read_bytes().startswith(b"SQLite format 3")
    assert poof("export", "legacy", file, tmp_path / "old.poof")[0] == 0
    (tmp_path / "old.key").write_text(key)
    new = tmp_path / "new.poof"
    poof("new", new)
    assert poof("import", "legacy", new, tmp_path / "old.poof", "--old-key-file", tmp_path / "old.key")[0] == 0
    assert poof("count", new, "db", "people")[1] == "3\n"
