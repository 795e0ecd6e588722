"""The examples run as a stranger would run them: as programs, against a real server, from a folder of their own."""

import asyncio
import contextlib
import importlib.util
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from poof import PoofCluster
from tests.docs.test_seed_scripts import READ_ALL
from tests.support.places import ROOT, TESTS

EXAMPLES = ROOT / "examples"


@pytest.fixture
def example(tmp_path):
    """Runs an example to its end in a folder of its own, and returns what it printed."""

    def run(name, *arguments):
        command = [sys.executable, "-W", "error", EXAMPLES / name, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    return run


def test_every_example_is_run_by_a_test():
    tests = "".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in tests] == []


def test_the_quick_start_remembers_from_run_to_run(example, tmp_path):
    for count in (1, 2):
        assert f"The file holds {count} users" in example("quickstart.py")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["quickstart.key", "quickstart.poof"]


def test_the_health_diary_answers(example, tmp_path):
    printed = example("queries.py")
    assert printed.startswith("90 days, 23 of them bad.\nSymptoms: cough, headache\n")
    assert "by the index symptoms_1" in printed
    assert not any(tmp_path.iterdir())


def test_the_new_cluster_prints_a_key_that_opens_it(example, run_python, tmp_path):
    key = re.fullmatch(r"New encryption key: (\S{44})\nNew cluster created at: new_cluster.poof\n",
                       example("new_cluster.py"))[1]  # fmt: skip
    assert run_python(READ_ALL, "new_cluster.poof", key, cwd=tmp_path) == "[]\n"
    assert [file.name for file in tmp_path.iterdir()] == ["new_cluster.poof"]


def test_the_simple_database_adds_to_the_file_of_its_key(example, run_python, tmp_path, key):
    for _ in range(2):
        printed = example("simple_db.py", key)
        assert re.fullmatch(
            r"Inserted: objId=(\w{12,26}), Name=Alice, Age=25\nFound: objId=\1, Name=Alice, Age=25\n", printed
        )
    assert run_python(READ_ALL, "cluster.poof", key, cwd=tmp_path) == f"{2 * [{'name': 'Alice', 'age': 25}]}\n"
    assert [file.name for file in tmp_path.iterdir()] == ["cluster.poof"]


class Service:
    """The FastAPI example as a process of its own, on a port that the system chooses."""

    def __init__(self, folder, key):
        (folder / "notes.key").write_text(key)
        self._folder = folder

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, EXAMPLES / "fastapi_service.py"],
            cwd=self._folder,
            env={"NOTES_PORT": "0", "PATH": ""},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        log = []
        for line in self._process.stderr:
            log.append(line)
            if address := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
                self._client = httpx.Client(base_url=address[1])
                return self._client
        raise AssertionError("".join(log))

    def __exit__(self, *_):
        self._client.close()
        self._process.send_signal(signal.SIGTERM)
        _, rest = self._process.communicate(timeout=60)
        assert "Application shutdown complete" in rest
        assert "Traceback" not in rest


def test_the_service_answers_over_http_and_keeps_what_it_was_given(tmp_path, key):
    with Service(tmp_path, key) as client:
        answer = client.post("/notes", json={"title": "Milk", "tags": ["shop"]})
        assert answer.status_code == 201
        milk = answer.json()
        tea = client.post("/notes", json={"title": "Tea", "text": "green"}).json()
        assert client.post("/notes", json={"title": ""}).status_code == 422
        assert client.post("/notes", json={"title": "Tea", "titel": "Tea"}).status_code == 422
        assert client.post(f"/notes/{tea['id']}/tags/shop").json()["tags"] == ["shop"]
        assert [note["title"] for note in client.get("/notes").json()] == ["Tea", "Milk"]

    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes.key", "notes.poof"]
    assert b"Milk" not in (tmp_path / "notes.poof").read_bytes()

    with Service(tmp_path, key) as client:
        assert client.get(f"/notes/{milk['id']}").json() == milk
        assert [note["title"] for note in client.get("/notes", params={"tag": "shop", "limit": 1}).json()] == ["Tea"]
        assert client.delete(f"/notes/{tea['id']}").status_code == 204
        assert client.delete(f"/notes/{tea['id']}").status_code == 404
        assert client.get(f"/notes/{tea['id']}").status_code == 404
        assert client.post("/notes/nothing/tags/shop").status_code == 404
        assert [note["title"] for note in client.get("/notes", params={"tag": "shop"}).json()] == ["Milk"]


async def test_requests_at_once_lose_no_tag(tmp_path, key):
    tags = {f"tag{number}" for number in range(20)}

    async def add_all(address, note_id):
        async with httpx.AsyncClient(base_url=address) as client:
            await asyncio.gather(*(client.post(f"/notes/{note_id}/tags/{tag}") for tag in tags))

    with Service(tmp_path, key) as client:
        note = client.post("/notes", json={"title": "Milk"}).json()
        await add_all(client.base_url, note["id"])
        assert set(client.get(f"/notes/{note['id']}").json()["tags"]) == tags


def test_the_agent_remembers_from_run_to_run(example, tmp_path):
    fact = example("agent_memory.py", "remember", "Ann is allergic to nuts", "--tag", "people", "--tag", "food").strip()
    example("agent_memory.py", "remember", "Bob is tall", "--tag", "people")
    recalled = example("agent_memory.py", "recall", "what is ann allergic to?", "--tag", "people", "--days", "1")
    assert [line.split("  ")[2] for line in recalled.splitlines()] == ["Ann is allergic to nuts", "Bob is tall"]
    assert example("agent_memory.py", "forget", fact) == "Forgotten.\n"
    assert "Ann" not in example("agent_memory.py", "recall")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["agent.key", "agent.poof"]
    assert (tmp_path / "agent.key").stat().st_mode & 0o077 == 0


@pytest.fixture
def agent_memory():
    """Opens the memory of an agent."""
    spec = importlib.util.spec_from_file_location("agent_memory", EXAMPLES / "agent_memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    @contextlib.asynccontextmanager
    async def opened():
        async with await PoofCluster.create(":memory:") as cluster:
            yield await module.Memory.of(cluster)

    return opened


def texts(docs):
    return [doc.model.text for doc in docs]


async def test_the_agent_recalls_by_words_tags_and_time(agent_memory):
    async with agent_memory() as memory:
        before = datetime.now(UTC)
        await memory.remember("The red door is locked", tags=["house"])
        between = datetime.now(UTC)
        await memory.remember("The red car is new", tags=["car", "red"])
        await memory.remember("The garden is wet", tags=["house"])

        assert texts(await memory.recall("is the red DOOR open")) == [
            "The red door is locked",
            "The red car is new",
            "The garden is wet",
        ]
        assert texts(await memory.recall("is the red DOOR open", limit=1)) == ["The red door is locked"]
        assert texts(await memory.recall("piano")) == []
        assert texts(await memory.recall(tags=["house"])) == ["The garden is wet", "The red door is locked"]
        assert texts(await memory.recall(tags=["red", "car"])) == ["The red car is new"]
        assert texts(await memory.recall("red", since=between)) == ["The red car is new"]
        assert texts(await memory.recall(since=before, until=between)) == ["The red door is locked"]


async def test_the_agent_forgets_in_time(agent_memory):
    async with agent_memory() as memory:
        await memory.remember("A word for now", keep=timedelta())
        await memory.remember("A word for an hour", keep=timedelta(hours=1))
        assert texts(await memory.recall("word")) == ["A word for an hour"]
