"""What the tests share: running coroutines, a fresh cluster, and the rule that nothing may leak."""

import asyncio
import os
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import apsw
import pytest
from cryptography.fernet import Fernet
from hypothesis import settings
from pydantic import BaseModel

import poof
from poof import PoofCluster, PoofCollection
from tests.support.faults.campaign import FIGURES, SCALE, SEED
from tests.support.people import TOY, Where, collection, open_cluster
from tests.support.places import ROOT

# A busy machine is no failure.
settings.register_profile("poof", deadline=None)
settings.load_profile("poof")

T = TypeVar("T")
IMPORTED_FROM = [Path(poof.__file__).parents[1], ROOT]
"""Where programs that tests start find PoofDB and what the tests share."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Runs whole folders of the default suite on all cores.

    Named files, campaigns (some start as many processes as there are cores) and `--pdb` run in this process, and so
    does everything without pytest-xdist. `-n` says otherwise.
    """
    options = config.option
    if getattr(options, "numprocesses", 0) is not None or options.dist != "no" or options.tx:
        return
    if options.usepdb or options.trace or options.collectonly or options.markexpr != "not campaign":
        return
    is_worker = "PYTEST_XDIST_WORKER" in os.environ  # or a run that a test started
    if not is_worker and all(Path(argument).is_dir() for argument in config.args):
        options.numprocesses, options.dist = "auto", "worksteal"
        os.environ["PYTHONHASHSEED"] = str(SEED)  # all workers must give the cases the same names


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Counter()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of a parallel run hands over its figures."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = dict(session.config.stash[FIGURES])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Takes the figures of a worker, if it lived to its end."""
    node.config.stash[FIGURES].update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_report_header() -> str:
    return f"POOF_SEED={SEED} POOF_CAMPAIGN_SCALE={SCALE:g}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the campaigns tried, in figures."""
    figures = config.stash[FIGURES]
    if figures:
        terminalreporter.section(f"what the campaigns tried (POOF_SEED={SEED})")
        for name, count in sorted(figures.items()):
            terminalreporter.write_line(f"{count:>12,}  {name}")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Counter[str]:
    """Where a campaign counts what it did; printed at the end of the session."""
    return request.config.stash[FIGURES]


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Runs a coroutine to its end on an event loop of its own."""
    return asyncio.run


@pytest.fixture
def key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test may put a cluster file; its folder holds nothing else."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    return folder / "cluster.poof"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs tests that are marked `every_engine` on the toy engine as well, unless one is marked `own_engine`."""
    marked = metafunc.definition.get_closest_marker
    toy = ["toy"] if marked("every_engine") and not marked("own_engine") else []
    if "where" in metafunc.fixturenames:
        metafunc.parametrize("where", ["file", "memory", *toy], indirect=True)
    if toy and "in_memory" in metafunc.fixturenames:
        metafunc.parametrize("in_memory", ["memory", *toy], indirect=True)


@pytest.fixture
def where(request: pytest.FixtureRequest, path: Path) -> Where:
    """On disk, in memory, and perhaps on the toy engine: what `open_cluster` takes."""
    return {"file": path, "memory": ":memory:", "toy": TOY}[request.param]


@pytest.fixture
def in_memory(request: pytest.FixtureRequest) -> Where:
    """In memory, and perhaps on the toy engine: what `open_cluster` takes."""
    return TOY if getattr(request, "param", "memory") == "toy" else ":memory:"


@pytest.fixture
def in_collection(key: str, in_memory: Where) -> Callable[..., Any]:
    """Runs a coroutine function on a collection of a cluster, which is in memory unless a path is given."""

    def run_story(
        story: Callable[[PoofCollection], Awaitable[T]],
        *,
        model: type[BaseModel] | None = None,
        where: Where = in_memory,
        fields: Literal["known", "any"] = "known",
    ) -> T:
        async def whole() -> T:
            async with await open_cluster(where, key) as cluster:
                database = await cluster.get_database("db")
                return await story(await database.get_collection("people", model, fields=fields))

        return asyncio.run(whole())

    return run_story


@pytest.fixture
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a program in a Python of its own, where warnings are errors; kills it if it outlives the test."""
    started = []

    def start(code: str, *args: object, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *map(str, args)],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, IMPORTED_FROM)), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def run_python(start_python: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """Runs a program to its end, which must be a success without a word on stderr; returns what it printed."""

    def run_to_end(code: str, *args: object, cwd: Path, **environment: str) -> str:
        process = start_python(code, *args, cwd=cwd, **environment)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        return output

    return run_to_end


@pytest.fixture
async def cluster(where: Where) -> AsyncIterator[PoofCluster]:
    """An open cluster, on disk and in memory."""
    async with await open_cluster(where) as opened:
        yield opened


@pytest.fixture
async def people(cluster: PoofCluster) -> PoofCollection:
    """An empty collection of `cluster`."""
    return await collection(cluster, "people")


@pytest.fixture
def open_collection(key: str, in_memory: Where) -> Callable[..., AbstractAsyncContextManager[PoofCollection]]:
    """Opens a collection of a cluster, which is in memory unless a path is given."""

    @asynccontextmanager
    async def opened(
        *,
        model: type[BaseModel] | None = None,
        where: Where = in_memory,
        fields: Literal["known", "any"] = "known",
    ) -> AsyncIterator[PoofCollection]:
        async with await open_cluster(where, key) as cluster:
            database = await cluster.get_database("db")
            yield await database.get_collection("people", model, fields=fields)

    return opened


@pytest.fixture(params=[False, True], ids=["outside", "inside"])
def filled(
    request: pytest.FixtureRequest, cluster: PoofCluster, people: PoofCollection
) -> Callable[[list[dict[str, Any]]], AbstractAsyncContextManager[PoofCollection]]:
    """Opens a collection of documents, outside and inside a transaction that is committed."""

    @asynccontextmanager
    async def opened(documents: list[dict[str, Any]]) -> AsyncIterator[PoofCollection]:
        await people.insert_many(documents)
        if not request.param:
            yield people
            return
        async with cluster.transaction():
            yield people
            inside = await people.find_all()
        assert await people.find_all() == inside

    return opened


@pytest.fixture
def story(run: Callable[..., Any], where: Where) -> Callable[..., None]:
    """Runs a coroutine function on a cluster and a collection of it."""

    def run_story(function: Callable[..., Any], place: Where = where) -> None:
        async def whole() -> None:
            async with await open_cluster(place) as cluster:
                await function(cluster, await collection(cluster, "people"))

        run(whole())

    return run_story


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """No test may leave a thread, a connection or a VFS of ours behind."""
    yield
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("poof")]
    for thread in threads:
        thread.join(timeout=10)  # the thread of a closed cluster is about to end
    assert not [thread.name for thread in threads if thread.is_alive()]
    assert not [connection for connection in apsw.connections() if connection.filename]
    assert not [name for name in apsw.vfs_names() if name.startswith("poof-")]
