"""`poof` as people and programs meet it: in a pseudo-terminal and in pipes, as a process of its own."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import poof
from poof import PoofCluster

pexpect = pytest.importorskip("pexpect", reason="there are no pseudo-terminals here")

MANY = 40_000
POOF = [sys.executable, "-W", "error", "-m", "poof"]
COLOUR = "\x1b["


@pytest.fixture(scope="module")
def key():
    """One for all tests, so that a large file can be made once."""
    return Fernet.generate_key().decode()


@pytest.fixture
def environment(tmp_path, key):
    """Of a user with a home of their own, in a terminal with colours."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    home = tmp_path / "home"
    home.mkdir()
    return {
        **kept,
        "PYTHONPATH": str(Path(poof.__file__).parents[1]),
        "TERM": "xterm-256color",
        "HOME": str(home),
        "POOF_KEY": key,
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }


@pytest.fixture
def terminal(environment):
    """Starts `poof` in a terminal of 80 columns; a variable that is None is left out."""
    started = []

    def start(*arguments, program=POOF, **changed):
        variables = {name: value for name, value in {**environment, **changed}.items() if value is not None}
        command = [*program, *map(str, arguments)]
        child = pexpect.spawn(command[0], command[1:], env=variables, encoding="utf-8", timeout=20, dimensions=(40, 80))
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


@pytest.fixture
def piped(environment):
    """Runs `poof` without a terminal; returns its exit code, stdout and stderr."""

    def run(*arguments, stdin="", **changed):
        variables = {name: value for name, value in {**environment, **changed}.items() if value is not None}
        done = subprocess.run(
            [*POOF, *map(str, arguments)],
            env=variables,
            input=stdin,
            capture_output=True,
            text=True,
            start_new_session=True,  # or it could ask in the terminal in which the tests run
        )
        return done.returncode, done.stdout, done.stderr

    return run


def fill(path, key, documents):
    async def insert():
        async with await PoofCluster.create(path, key) as cluster:
            await (await (await cluster.get_database("db")).get_collection("people")).insert_many(documents)

    asyncio.run(insert())


async def count(path, key, query=None):
    async with await PoofCluster.create(path, key) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        return await people.count_documents(query)


@pytest.fixture
def people(path, key):
    """The three arguments that name a collection of two people."""
    fill(path, key, [{"name": "Ann", "age": 29}, {"name": "Bob", "age": 41}])
    return path, "db", "people"


@pytest.fixture(scope="module")
def large_file(tmp_path_factory, key):
    path = tmp_path_factory.mktemp("large") / "large.poof"
    fill(path, key, ({"number": number, "text": "x" * 50} for number in range(MANY)))
    return path


@pytest.fixture
def many(path, large_file):
    """The three arguments that name a collection of many documents."""
    shutil.copy(large_file, path)
    return path, "db", "people"


def ended(child):
    """All that was still written, and the exit code."""
    rest = child.read()
    child.close()
    return rest, child.exitstatus


def test_a_terminal_gets_a_table_in_colours(terminal, people):
    output, code = ended(terminal("find", *people))
    assert code == 0
    assert COLOUR in output
    assert "─" in output


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_no_colour_where_the_user_wants_none(terminal, people, variables):
    output, code = ended(terminal("find", *people, **variables))
    assert code == 0
    assert COLOUR not in output
    assert "Ann" in output


def test_no_colour_and_no_bar_in_a_pipe_whatever_the_variables_say(piped, many, tmp_path):
    variables = {"FORCE_COLOR": "1", "GITHUB_ACTIONS": "1", "TTY_COMPATIBLE": "1"}
    export = piped("export", "jsonl", *many, tmp_path / "out.jsonl", **variables)
    assert export == (0, "", f"{MANY:,} documents exported.\n")
    code, out, err = piped("find", *many, "--limit", "2", "--format", "table", **variables)
    assert (code, err) == (0, "")
    assert "\x1b" not in out + piped("--help", **variables)[1]


def test_the_key_is_asked_for_and_not_shown(terminal, people, key):
    child = terminal("count", *people, POOF_KEY=None)
    child.expect_exact(f"Key for {people[0]}: ")
    child.sendline(key)
    output, code = ended(child)
    assert (output.strip(), code) == ("2", 0)


async def test_the_key_is_asked_for_where_stdin_is_a_pipe(terminal, people, key):
    line = f"""echo '{{"name": "Cem"}}' | "{sys.executable}" -m poof insert {people[0]} db people -"""
    child = terminal(line, program=["sh", "-c"], POOF_KEY=None)
    child.expect_exact("Key for ")
    child.sendline(key)
    assert ended(child)[1] == 0
    assert await count(people[0], key) == 3


def test_ctrl_c_at_the_prompt_ends_the_command(terminal, people):
    child = terminal("count", *people, POOF_KEY=None)
    child.expect_exact("Key for ")
    child.sendintr()
    output, code = ended(child)
    assert code == 130
    assert "Traceback" not in output


def test_a_new_password_is_asked_for_twice(terminal, path):
    child = terminal("new", path, "--password", POOF_KEY=None)
    child.expect_exact("New password for ")
    child.sendline("four random words here")
    child.expect_exact("The same again: ")
    child.sendline("four random words hear")
    output, code = ended(child)
    assert (code, path.exists()) == (3, False)
    child = terminal("new", path, "--password", POOF_KEY=None)
    for _ in range(2):
        child.expect_exact(": ")
        child.sendline("four random words here")
    output, code = ended(child)
    assert code == 0
    assert "four" not in output
    child = terminal("ls", path, POOF_KEY=None)
    child.expect_exact("Password for ")
    child.sendline("four random words here")
    assert ended(child)[1] == 0


async def test_delete_asks_before_it_deletes_many(terminal, people, key):
    for answer, left in (("n", 2), ("y", 0)):
        child = terminal("delete", *people, "{}")
        child.expect_exact("Delete 2 documents of people?")
        child.sendline(answer)
        assert ended(child)[1] == (0 if answer == "y" else 1)
        assert await count(people[0], key) == left


async def test_what_takes_long_shows_a_bar_and_ctrl_c_leaves_nothing_half_done(terminal, many, key):
    child = terminal("update", *many, "{}", '{"$set": {"done": true}}', "--many")
    child.expect_exact("Updating")
    child.sendintr()
    output, code = ended(child)
    assert code == 130
    assert "Traceback" not in output
    assert await count(many[0], key, {"done": True}) in (0, MANY)  # all, where the signal came during the commit


@pytest.mark.parametrize("form", ["jsonl", "json"])
async def test_ctrl_c_ends_an_import_that_waits_for_input(terminal, people, key, form):
    child = terminal("import", form, *people)
    child.expect_exact("Importing")
    child.sendline('[{"name": "Eve"},' if form == "json" else '{"name": "Eve"}')
    child.expect_exact("Eve")
    child.sendintr()
    output, code = ended(child)
    assert code == 130
    assert "Traceback" not in output
    assert await count(people[0], key) == 2


def test_a_reader_that_ends_early_ends_the_command_quietly(environment, many):
    find = subprocess.Popen(
        [*POOF, "find", *map(str, many)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with find:
        assert find.stdout.readline()
        find.stdout.close()
        assert find.stderr.read() == b""
    assert find.returncode == 141
    assert [entry.name for entry in many[0].parent.iterdir()] == [many[0].name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_new_cluster_whose_key_could_not_be_written_is_taken_away_again(environment, path):
    del environment["POOF_KEY"]
    command = [*POOF, "new", str(path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (7, "poof: No space left on device\n")
    assert not any(path.parent.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_from_outside_ends_with_130_and_leaves_nothing_half_done(environment, many, tmp_path, number):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [*POOF, "import", "jsonl", *map(str, many), str(pipe)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    with process, pipe.open("w") as source:  # which waits until the command has opened its end
        source.write('{"name": "Eve"}\n')
        source.flush()
        process.send_signal(number)
        source.close()
        assert process.stderr.read() == ""
    assert process.returncode == 130
    assert [entry.name for entry in many[0].parent.iterdir()] == [many[0].name]


def test_without_the_extra_one_line_says_which(environment):
    code = "import sys; sys.modules['typer'] = None; from poof.cli.main import main; sys.exit(main(['--help']))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "poof: this needs an extra. Install it with: python -m pip install 'poofdb[cli]'\n"


def test_help_loads_no_part_of_the_library_that_takes_time(environment):
    code = "import sys; from poof.cli.main import main; main(['find', '--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "typer" in loaded
    assert not loaded & {"apsw", "asyncio", "cryptography", "keyring", "orjson", "prompt_toolkit", "rich"}


def test_completion_offers_commands(environment):
    variables = {**environment, "_POOF_COMPLETE": "complete_bash", "COMP_WORDS": "poof ke", "COMP_CWORD": "1"}
    done = subprocess.run(POOF, env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["keys"]


def test_the_shell_answers_completes_and_keeps_nothing(terminal, people, environment):
    child = terminal("shell", people[0])
    child.expect_exact("db>")
    child.sendline('people.find({"age": {"$gt": 30}})')
    child.expect_exact("Bob")
    child.expect_exact("db>")
    child.send("people.find_on\t")
    child.expect_exact("find_one_and_delete")
    child.sendintr()
    child.expect_exact("db>")
    for line, complaint in (("nonsense(", "Not understood"), ("people.secret.find()", "is not known")):
        child.sendline(line)
        child.expect_exact(complaint)
        child.expect_exact("db>")
    child.sendeof()
    assert ended(child)[1] == 0
    assert not any(Path(environment["HOME"]).rglob("*"))
    assert [entry.name for entry in people[0].parent.iterdir()] == [people[0].name]


async def test_a_transaction_of_the_shell_shows_in_its_prompt_and_is_rolled_back_at_the_end(terminal, people, key):
    child = terminal("shell", people[0])
    child.expect_exact("db>")
    child.sendline("begin")
    child.expect_exact("db*>")
    child.sendline("people.delete_many({})")
    child.expect_exact("deleted_count")
    child.expect_exact("db*>")
    assert re.sub(r"\x1b\[[\d;?]*\w", "", child.before).split() == ["2"]
    child.sendline("exit")
    output, code = ended(child)
    assert code == 0
    assert "rolled back" in output
    assert await count(people[0], key) == 2


def test_ctrl_c_in_the_shell_ends_the_call_and_not_the_shell(terminal, many):
    child = terminal("shell", many[0])
    child.expect_exact("db>")
    child.sendline('people.update_many({}, {"$set": {"done": true}})')
    child.expect_exact("Working")
    child.sendintr()
    child.expect_exact("Ended.")
    child.expect_exact("db>")
    child.sendline('people.count_documents({"done": true})')
    child.expect(rf"\D(0|{MANY})\r\n")
    child.expect_exact("db>")
    child.sendline("exit")
    assert ended(child)[1] == 0


async def test_the_shell_answers_the_lines_of_a_pipe_up_to_the_first_error(piped, people, key):
    lines = 'people.insert({"name": "Cem"})\nbegin\npeople.delete_many({})\ncommit\npeople.nonsense()\npeople.drop()\n'
    code, out, err = piped("shell", people[0], stdin=lines)
    assert (code, err.startswith("poof: There is no method nonsense")) == (2, True)
    assert out.splitlines()[1] == '{"deleted_count": 3}'
    assert await count(people[0], key) == 0
