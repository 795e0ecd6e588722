"""What the documents say is run: their Python, their commands, their links."""

import builtins
import re
import subprocess
import sys
from pathlib import Path

import pytest

import poof

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JSON_BLOCK = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")

AWAITING = """
import asyncio
import json
from poof import PoofCluster

async def main():
{body}

asyncio.run(main())
"""


ONE_PROGRAM = ("queries.md", "models.md")
"""Documents whose blocks follow each other. They begin with a database, and a collection of what the page shows."""

BEGINNING = """
cluster = await PoofCluster.create(":memory:")
database = await cluster.get_database("db")
people = await database.get_collection("people")
await people.insert_many(json.loads(line) for line in {sample!r}.splitlines())
"""
ENDING = "await cluster.close()"


def python_blocks():
    for document in DOCUMENTS:
        text = document.read_text()
        blocks = PYTHON_BLOCK.findall(text)
        if document.name in ONE_PROGRAM:
            blocks = ["\n".join([BEGINNING.format(sample="".join(JSON_BLOCK.findall(text))), *blocks, ENDING])]
        for number, block in enumerate(blocks, start=1):
            yield pytest.param(block, id=f"{document.name}-{number}")


@pytest.mark.parametrize("block", list(python_blocks()))
def test_python_in_a_document_runs(block, tmp_path):
    if "asyncio.run(" not in block:
        block = AWAITING.format(body="\n".join(f"    {line}" for line in block.splitlines()))
    script = tmp_path / "block.py"
    script.write_text(block)
    done = subprocess.run([sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_first_program_of_the_readme_prints_what_it_stored(tmp_path):
    block = PYTHON_BLOCK.findall((ROOT / "README.md").read_text())[0]
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Alice 25\n"
    assert [file.name for file in tmp_path.iterdir()] == ["cluster.poof"]


def test_the_quick_start_remembers_from_run_to_run(tmp_path):
    for count in (1, 2):
        done = subprocess.run(
            [sys.executable, ROOT / "examples" / "quickstart.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"The file holds {count} users" in done.stdout
    assert sorted(file.name for file in tmp_path.iterdir()) == ["quickstart.key", "quickstart.poof"]


def test_the_health_diary_answers(tmp_path):
    command = [sys.executable, "-W", "error", ROOT / "examples" / "queries.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("90 days, 23 of them bad.\nSymptoms: cough, headache\n")
    assert "by the index symptoms_1" in done.stdout
    assert not any(tmp_path.iterdir())


def test_ci_runs_the_commands_of_the_readme():
    commands = [line for block in SHELL_BLOCK.findall((ROOT / "README.md").read_text()) for line in block.splitlines()]
    assert len(commands) == 2
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert all(command in script for command in commands)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_between_documents_lead_somewhere(document):
    for target in LINK.findall(document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


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
