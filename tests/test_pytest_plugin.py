"""The pytest plugin that the package ships, as others use it: in runs of their own, each in a process of its own."""

import pytest

pytest_plugins = ["pytester"]

USE = """
    people = await (await poof_cluster.get_database("db")).get_collection("people")
    assert await people.count_documents() == 0
    await people.insert({"name": "Ann"})
    assert [doc.data["name"] for doc in await people.find_all()] == ["Ann"]
"""
AWAITED = f"""
import pytest

anyio_backend = pytest.fixture(lambda: "BACKEND")

@pytest.mark.MARK
@pytest.mark.parametrize("time", [1, 2])
async def test_it_is_new_each_time(poof_cluster, time): {USE}
"""
PLAIN = f"""
import pytest

async def use(poof_cluster): {USE}

@pytest.fixture
def filled(poof_cluster, poof_run):
    poof_run(poof_cluster.get_database("first"))

@pytest.mark.parametrize("time", [1, 2])
def test_it_is_new_each_time(poof_cluster, poof_run, time):
    poof_run(use(poof_cluster))

def test_a_fixture_may_use_it(filled, poof_cluster, poof_run):
    assert poof_run(poof_cluster.list_database_names()) == ["first"]
"""
AWAITED_FIXTURE = """
import pytest
import pytest_asyncio

@pytest_asyncio.fixture
async def people(poof_cluster):
    people = await (await poof_cluster.get_database("db")).get_collection("people")
    await people.insert({"name": "Ann"})
    return people

@pytest.mark.asyncio
async def test_it(people, poof_cluster):
    assert await people.count_documents() == 1
    assert await poof_cluster.list_database_names() == ["db"]
"""
UNUSED = """
import sys

def test_nothing_of_it_is_imported():
    assert "pytest_poof" in sys.modules
    assert not {"poof", "apsw", "pydantic", "cryptography", "pytest_asyncio"} & set(sys.modules)
"""
NOTHING_LEAKS = """
import gc, threading

import pytest

@pytest.fixture(autouse=True)
def closed():
    yield
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("poof")]
"""
ALONE = ("-p", "no:asyncio", "-p", "no:anyio")
"""As where no plugin for coroutines is installed."""


def awaited(mark, backend="asyncio"):
    return AWAITED.replace("MARK", mark).replace("BACKEND", backend)


@pytest.fixture
def run_tests(pytester):
    """Runs files of tests, where warnings are errors, and returns what is printed."""

    def run(files, *arguments, **outcomes):
        pytester.makepyfile(**files)
        unset = 'ignore:The configuration option "asyncio_default_fixture_loop_scope" is unset'
        result = pytester.runpytest_subprocess("-W", "error", "-W", unset, "-p", "no:cacheprovider", *arguments)
        result.assert_outcomes(**outcomes)
        return result.stdout

    pytester.makeconftest(NOTHING_LEAKS)
    return run


def test_a_test_gets_a_new_cluster_on_the_loop_that_runs_it(run_tests):
    files = {
        "test_of_pytest_asyncio": awaited("asyncio"),
        "test_on_a_loop_for_all": awaited('asyncio(loop_scope="session")'),
        "test_of_anyio": awaited("anyio"),
        "test_with_a_fixture_that_awaits": AWAITED_FIXTURE,
        "test_that_is_a_function": PLAIN,
    }
    run_tests(files, passed=10)


def test_the_loop_may_be_chosen_in_the_settings_of_pytest_asyncio(run_tests):
    settings = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_test_loop_scope=module")
    run_tests({"test_it": awaited("filterwarnings")}, *settings, passed=2)


def test_a_coroutine_that_nothing_runs_on_asyncio_is_told_what_to_do(run_tests):
    files = {"test_trio": awaited("anyio", "trio"), "test_unmarked": awaited("filterwarnings")}
    shown = run_tests(files, errors=4)
    shown.fnmatch_lines(["*PoofDB runs on asyncio only*", "*needs a plugin that runs it*"])


def test_it_imports_nothing_before_it_is_used_and_needs_no_other_plugin(run_tests):
    run_tests({"test_1_without": UNUSED, "test_2_with": PLAIN}, *ALONE, passed=4)
