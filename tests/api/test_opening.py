"""What `PoofCluster.create` and `PoofCluster.open` return, and what `open` does not create."""

import asyncio
import contextlib
import gc
import inspect
import threading
import warnings

import pytest

import poof
from poof import (
    MissingFileError,
    MissingFolderError,
    PoofCluster,
    WrongKeyError,
)
from tests.support.people import KEY


def names_beside(path):
    return sorted(entry.name for entry in path.parent.iterdir())


class Mine(PoofCluster):
    """A subclass, as a program may have."""


async def in_block(opening):
    async with opening as cluster:
        return type(cluster)


async def awaited(opening):
    async with await opening as cluster:
        return type(cluster)


async def as_task(opening):
    async with await asyncio.get_running_loop().create_task(opening) as cluster:
        return type(cluster)


async def in_time(opening):
    async with await asyncio.wait_for(opening, 60) as cluster:
        return type(cluster)


async def gathered(opening):
    [cluster] = await asyncio.gather(opening)
    await cluster.close()
    return type(cluster)


async def on_a_stack(opening):
    async with contextlib.AsyncExitStack() as stack:
        return type(await stack.enter_async_context(opening))


FORMS = [in_block, awaited, as_task, in_time, gathered, on_a_stack]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_cluster_opens_in_every_form(form, path):
    for make in (Mine.create, Mine.open):
        assert asyncio.run(form(make(path, KEY)), debug=True) is Mine


def test_a_runner_runs_it(path):
    with asyncio.Runner() as runner:
        cluster = runner.run(PoofCluster.create(path, KEY))
        assert cluster.path == str(path)
        runner.run(cluster.close())


def test_it_is_a_coroutine_to_whoever_looks():
    opening = PoofCluster.create(":memory:")
    assert inspect.iscoroutine(opening)
    assert asyncio.iscoroutine(opening)
    assert inspect.isawaitable(opening)
    assert inspect.getcoroutinestate(opening) == inspect.CORO_CREATED
    assert opening.__qualname__ == "PoofCluster.create"
    assert "PoofCluster.create" in repr(opening)
    opening.close()
    assert inspect.getcoroutinestate(opening) == inspect.CORO_CLOSED


@pytest.mark.parametrize("name", ["create", "open"])
def test_one_that_nobody_awaits_warns_once_by_its_name(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(PoofCluster, name)(":memory:")
        gc.collect()
    assert [str(warning.message) for warning in caught] == [f"coroutine 'PoofCluster.{name}' was never awaited"]


async def test_it_opens_once():
    opening = PoofCluster.create(":memory:")
    async with opening:
        with pytest.raises(RuntimeError, match="already awaited"):
            await opening


def test_it_takes_an_exception_like_a_coroutine(path):
    opening = PoofCluster.create(path, KEY)
    with pytest.raises(KeyError):
        opening.throw(KeyError("mine"))
    assert not path.exists()


async def test_the_block_closes_the_cluster_whatever_ends_it(path):
    with pytest.raises(ZeroDivisionError):
        async with PoofCluster.create(path, KEY) as cluster:
            1 / 0  # noqa: B018
    with pytest.raises(poof.ClosedError):
        await cluster.list_database_names()


async def test_an_opening_that_fails_enters_no_block(path):
    await in_block(PoofCluster.create(path, KEY))

    with pytest.raises(WrongKeyError):
        async with PoofCluster.create(path, KEY[1:8] + KEY[:1] + KEY[8:]):
            raise AssertionError("the block was entered")


async def test_a_block_that_is_cancelled_while_it_opens_leaves_no_file_behind(path):
    asked = asyncio.Event()

    async def never():
        asked.set()
        await asyncio.Event().wait()

    opening = asyncio.create_task(in_block(PoofCluster.create(path, never)))
    await asked.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    for turns in range(1, 40):  # at some moments of the opening itself
        opening = asyncio.create_task(in_block(PoofCluster.create(path, KEY)))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
    for thread in threading.enumerate():
        if thread.name.startswith("poof"):
            thread.join(10)  # it closes what it opened for nobody
    assert set(names_beside(path)) <= {path.name}


@pytest.mark.parametrize(
    ("name", "error"),
    [("none.poof", MissingFileError), ("none/none.poof", MissingFolderError), ("link.poof", MissingFileError)],
)
@pytest.mark.parametrize(
    ("make", "options"),
    [
        (PoofCluster.open, {}),
        (PoofCluster.open, {"read_only": True}),
        (PoofCluster.open, {"exclusive": True, "password": "x", "key": None}),
        (PoofCluster.create, {"read_only": True}),
    ],
    ids=["open", "open to read", "open exclusively", "create to read"],
)
async def test_a_file_that_is_not_there_is_not_created(path, make, options, name, error):
    (path.parent / "link.poof").symlink_to(path.parent / "gone.poof")
    with pytest.raises(FileNotFoundError) as caught:
        await make(path.parent / name, **{"key": KEY, **options})
    assert type(caught.value) is error
    assert isinstance(caught.value, MissingFileError)
    assert names_beside(path) == ["link.poof"]


async def test_a_file_that_is_there_is_opened(path):
    async def twice():
        async with PoofCluster.create(path, KEY) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            await people.insert({"name": "Alice"})
        async with PoofCluster.open(path, KEY, read_only=True) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            return await people.count_documents()

    assert await twice() == 1


async def test_a_cluster_in_memory_is_never_there():
    with pytest.raises(MissingFileError, match="create"):
        await PoofCluster.open(":memory:")


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert poof.__version__ == version("poofdb")
    assert "__version__" in dir(poof)


def test_to_import_poof_is_not_to_look_for_the_version(run_python, path):
    code = "import sys, poof; assert 'importlib.metadata' not in sys.modules; print(poof.__version__)"
    assert run_python(code, cwd=path.parent).strip() == poof.__version__
