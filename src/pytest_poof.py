"""The pytest plugin of PoofDB: the fixtures `poof_cluster` and `poof_run`.

It lies outside the package `poof`, which is so not imported in a run of tests that does not use it.

A cluster belongs to the event loop it was opened on. So the loop that will run the test is found first, and the
cluster is opened on it: that of pytest-asyncio, for whatever scope; that of anyio; or one of our own, for a test that
is a plain function.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from poof import PoofCluster

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture
def poof_cluster(request: pytest.FixtureRequest) -> "Iterator[PoofCluster]":
    """A new PoofDB cluster in memory, which is closed after the test.

    A test that is a coroutine function awaits it, with pytest-asyncio or anyio. One that is not uses `poof_run`.
    """
    if not _is_coroutine_test(request):
        run = request.getfixturevalue("poof_run")
        cluster = run(_open())
        yield cluster
        run(cluster.close())
    elif "anyio_backend" in request.fixturenames:
        if request.getfixturevalue("anyio_backend_name") != "asyncio":
            pytest.fail('PoofDB runs on asyncio only: let a fixture `anyio_backend` of yours return "asyncio".')
        yield request.getfixturevalue("_poof_cluster_on_anyio")
    elif (marker := request.node.get_closest_marker("asyncio")) is not None:
        yield request.getfixturevalue(_on_pytest_asyncio(request.config, marker))
    else:
        pytest.fail("A coroutine function needs a plugin that runs it: mark the test for pytest-asyncio or anyio.")


@pytest.fixture
def poof_run(request: pytest.FixtureRequest) -> Iterator[Run[Any]]:
    """Runs a coroutine to its end, on the event loop of `poof_cluster`: for tests that are plain functions."""
    if _is_coroutine_test(request):
        pytest.fail("poof_run is for tests that are plain functions; this one can await.")
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
async def _poof_cluster_on_anyio(anyio_backend: object) -> "AsyncIterator[PoofCluster]":
    async with await _open() as cluster:
        yield cluster


def _on_pytest_asyncio(config: pytest.Config, marker: pytest.Mark) -> str:
    """The name of a fixture that opens a cluster on the loop which pytest-asyncio runs a test on; made when needed."""
    scope = marker.kwargs.get("loop_scope") or config.getini("asyncio_default_test_loop_scope")
    name = f"_poof_cluster_on_{scope}_loop"
    if not config.pluginmanager.has_plugin(name):
        import pytest_asyncio

        @pytest_asyncio.fixture(name=name, loop_scope=scope)
        async def opened() -> "AsyncIterator[PoofCluster]":
            async with await _open() as cluster:
                yield cluster

        plugin = ModuleType(name)
        plugin.opened = opened  # type: ignore[attr-defined] # a module, as any plugin is, that holds one fixture
        config.pluginmanager.register(plugin, name)
    return name


def _is_coroutine_test(request: pytest.FixtureRequest) -> bool:
    function = getattr(request.node, "obj", None)
    hypothesis = getattr(function, "hypothesis", None)  # whose decorator hides what the function is
    return inspect.iscoroutinefunction(getattr(hypothesis, "inner_test", function))


async def _open() -> "PoofCluster":
    from poof import PoofCluster

    return await PoofCluster.create(":memory:")
