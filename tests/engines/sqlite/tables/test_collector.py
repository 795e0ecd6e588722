"""The garbage collector rests while very many documents are made, and never longer."""

import gc
import os
import threading
from collections.abc import Iterator

import pytest

from poof.engines.sqlite.tables.collector import paused_collector


@pytest.fixture(autouse=True)
def enabled_again() -> Iterator[None]:
    yield
    gc.enable()


def test_it_rests_inside_the_block_only():
    assert gc.isenabled()
    with paused_collector():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_error_ends_the_pause():
    with pytest.raises(KeyError), paused_collector():
        raise KeyError
    assert gc.isenabled()


def test_it_rests_as_long_as_one_of_two_threads_asks_for_it():
    began, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with paused_collector():
            began.set()
            go_on.wait()

    thread = threading.Thread(target=other)
    thread.start()
    began.wait()
    with paused_collector():
        go_on.set()
        thread.join()
        assert not gc.isenabled()
    assert gc.isenabled()


FORK = """
import gc, os, threading, warnings
from poof.engines.sqlite.tables.collector import paused_collector

warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, about forks beside threads
began, go_on = threading.Event(), threading.Event()

def other():
    with paused_collector():
        began.set()
        go_on.wait()

thread = threading.Thread(target=other)
thread.start()
began.wait()
child = os.fork()
if child == 0:
    with paused_collector():
        assert not gc.isenabled()
    os._exit(0 if gc.isenabled() else 1)
assert not gc.isenabled()
go_on.set()
thread.join()
assert gc.isenabled()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_it_runs_in_a_fork_whatever_the_threads_of_the_parent_asked_for(run_python, path):
    assert run_python(FORK, cwd=path.parent) == "0\n"


def test_one_that_the_program_switched_off_stays_so():
    gc.disable()
    with paused_collector():
        pass
    assert not gc.isenabled()


@pytest.mark.parametrize("read", ["find_all", "to_list"])
def test_a_read_of_many_documents_leaves_it_running(read: str, in_collection):
    async def story(people):
        await people.insert_many({"number": number} for number in range(500))
        documents = await (people.find_all() if read == "find_all" else people.find().to_list())
        assert len(documents) == 500
        assert gc.isenabled()

    in_collection(story)
