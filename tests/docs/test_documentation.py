"""What the documents say is run: their Python, their commands, their links."""

import builtins
import doctest
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import poof
from tests.support.documents import DOCUMENTS, ROOT, blocks, called, prose, run_on_a_terminal, sessions
from tests.support.places import TESTS

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")

AWAITING = """
import asyncio
import json
from poof import PoofCluster

async def main():
{body}

asyncio.run(main())
"""

ONE_PROGRAM = ("docs/queries.md", "docs/models.md", "docs/guides/notebook.md")
"""Documents whose blocks follow each other. They begin with a database, and a collection of what the page shows."""

BEGINNING = """
from poof import PoofCluster
cluster = await PoofCluster.create(":memory:")
database = await cluster.get_database("db")
people = await database.get_collection("people")
await people.insert_many(json.loads(line) for line in {sample!r}.splitlines())
"""
ENDING = "await cluster.close()"

RUN_BY_TESTS_OF_THEIR_OWN = {"diary_app.py": "docs/test_desktop_guide.py"}
"""Files of documents that no command on the page runs."""


def python_blocks():
    for document in DOCUMENTS:
        programs = [block.text for block in blocks(document, "python") if block.title is None]
        if called(document) in ONE_PROGRAM:
            sample = "".join(block.text for block in blocks(document, "json"))
            programs = ["\n".join([BEGINNING.format(sample=sample), *programs, ENDING])]
        for number, program in enumerate(programs, start=1):
            yield pytest.param(program, id=f"{called(document)}-{number}")


@pytest.mark.parametrize("block", list(python_blocks()))
def test_python_in_a_document_runs(block, tmp_path):
    if "asyncio.run(" not in block:
        block = AWAITING.format(body="\n".join(f"    {line}" for line in block.splitlines()))
    script = tmp_path / "block.py"
    script.write_text(block)
    done = subprocess.run([sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("document", [each for each in DOCUMENTS if any(b.title for b in blocks(each))], ids=called)
def test_commands_in_a_document_print_what_it_shows(document, tmp_path):
    """Blocks with a title are files; blocks of a console are commands, in the folder of these files."""
    differences = []
    for block in blocks(document):
        if block.title is not None:
            (tmp_path / block.title).write_text(block.text)
        for command, expected in sessions(block.text) if block.language == "console" else ():
            status, output = run_on_a_terminal(command, tmp_path)
            options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
            if status != 0 or not doctest.OutputChecker().check_output(expected, output, options):
                differences.append((command, status, output))
    assert differences == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=called)
def test_every_file_in_a_document_is_run(document):
    text = "".join(block.text for block in blocks(document))
    for block in blocks(document, "python"):
        if block.title in RUN_BY_TESTS_OF_THEIR_OWN:
            assert (TESTS / RUN_BY_TESTS_OF_THEIR_OWN[block.title]).exists()
        elif block.title is not None:
            stem = block.title.removesuffix(".py")
            ways = r"\$ pytest" if stem.startswith("test_") else rf"(\$ .*\bpython {stem}\.py|from {stem} import)"
            assert re.search(rf"^{ways}", text, re.MULTILINE), block.title


def test_the_first_program_of_the_readme_prints_what_it_stored(tmp_path):
    block = blocks(ROOT / "README.md", "python")[0]
    done = subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Alice 25\n"
    assert [file.name for file in tmp_path.iterdir()] == ["cluster.poof"]


def test_ci_runs_the_commands_of_the_readme():
    commands = [line for block in blocks(ROOT / "README.md", "bash") for line in block.text.splitlines()]
    assert len(commands) == 2
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert all(command in script for command in commands)


def test_contributors_are_told_of_every_session_of_nox():
    sessions_there = re.findall(r"^@nox.session\ndef (\w+)", (ROOT / "noxfile.py").read_text(), re.MULTILINE)
    assert len(sessions_there) > 3
    assert set(re.findall(r"nox -s (\w+)", (ROOT / "CONTRIBUTING.md").read_text())) == set(sessions_there)


@pytest.mark.parametrize("document", DOCUMENTS, ids=called)
def test_links_between_documents_lead_somewhere(document):
    for target in LINK.findall(prose(document)):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_reference_has_every_public_name():
    """By itself, or with the module that it is from."""
    reference = set(re.findall(r"^::: (\S+)", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    homes = {public: getattr(getattr(poof, public), "__module__", "") for public in poof.__all__}
    assert {public for public, home in homes.items() if not {f"poof.{public}", home} & reference} == {"F"}
    assert "\n### F\n" in (ROOT / "docs" / "api.md").read_text()


def test_the_site_has_a_link_to_every_page():
    """`mkdocs build --strict` says the same, where it is installed."""
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [document.relative_to(ROOT / "docs") for document in DOCUMENTS if (ROOT / "docs") in document.parents]
    assert [str(page) for page in pages if f": {page}\n" not in navigation] == []


def test_the_architecture_names_every_module():
    lines = (ROOT / "docs" / "architecture.md").read_text().splitlines()
    named = {name for line in lines if line.startswith("| `") for name in re.findall(r"(\w+)`", line)}
    assert {module.stem for module in Path(poof.__file__).parent.rglob("*.py")} - named == {"__init__"}


def test_every_error_of_the_readme_is_exported_with_the_builtin_it_names():
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| `(\w+)` \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) > 8
    for names, builtin in rows:
        for name in re.findall(r"`(\w+Error)\b", names):
            if name != "ValidationError":
                assert issubclass(getattr(poof, name), getattr(builtins, builtin))


INSTALLS_FROM_THE_INDEX = re.compile(r"pip install[^\n`]*\bpoofdb\b")
NAME_AN_EXTRA = {"keyring.py", "failures.py"}
"""Modules with a message about an extra that is missing: where PoofDB is installed, pip adds the extra alone."""


def test_nothing_says_to_install_the_package_from_the_index():
    """Before there is a release it would bring an empty wheel. `docs/install.md` says how; other pages lead there."""
    texts = [*DOCUMENTS, *(ROOT / "examples").glob("*.py"), *(ROOT / "src").rglob("*.py")]
    found = [called(text) for text in texts if INSTALLS_FROM_THE_INDEX.search(text.read_text(encoding="utf-8"))]
    assert {Path(name).name for name in found} <= NAME_AN_EXTRA
    for page in ("README.md", "docs/index.md", "docs/tutorial.md", "docs/cli.md", "docs/key-sources.md"):
        assert "install.md)" in (ROOT / page).read_text(encoding="utf-8"), page


def test_the_install_lines_name_extras_that_there_are():
    lines = [line for block in blocks(ROOT / "docs" / "install.md") for line in block.text.splitlines()]
    named = {extra for line in lines for group in re.findall(r"\[(.*?)\]", line) for extra in group.split(",")}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"cli", "keyring"} <= named <= set(extras)
    assert all(re.fullmatch(r"python -m pip install ('?)\.(\[[\w,]+\])?\1", line) for line in lines)
