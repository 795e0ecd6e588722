"""The collector rests while very many documents are made, and threads take turns often while ours work; no longer."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from poof.storage.interpreter import SWITCH_INTERVAL, paused_collector, short_turns
from poof.storage.threads import Threads

USUAL = 0.005


@pytest.fixture(autouse=True)
def usual_settings() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(USUAL)
    yield
    gc.enable()
    sys.setswitchinterval(before)


def collector_rests() -> bool:
    return not gc.isenabled()


def turns_are_short() -> bool:
    return sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL)


Setting = Callable[[], AbstractContextManager[None]]

SETTINGS = pytest.mark.parametrize(
    ("setting", "is_changed"), [(paused_collector, collector_rests), (short_turns, turns_are_short)]
)


@SETTINGS
def test_a_setting_is_changed_inside_the_block_only(setting: Setting, is_changed: Callable[[], bool]):
    assert not is_changed()
    with setting():
        assert is_changed()
    assert not is_changed()


@SETTINGS
def test_an_error_ends_it(setting: Setting, is_changed: Callable[[], bool]):
    with pytest.raises(KeyError), setting():
        raise KeyError
    assert not is_changed()


@SETTINGS
def test_it_lasts_as_long_as_one_of_two_threads_asks_for_it(setting: Setting, is_changed: Callable[[], bool]):
    began, go_on = threading.Event(), threading.Event()

    def other() -> None:
        with setting():
            began.set()
            go_on.wait()

    thread = threading.Thread(target=other)
    thread.start()
    began.wait()
    with setting():
        go_on.set()
        thread.join()
        assert is_changed()
    assert not is_changed()


def test_a_collector_that_the_program_switched_off_stays_so():
    gc.disable()
    with paused_collector():
        pass
    assert collector_rests()


@pytest.mark.parametrize("chosen", [0.0001, 0.02])
def test_an_interval_that_the_program_chooses_meanwhile_stays(chosen: float):
    with short_turns():
        sys.setswitchinterval(chosen)
    assert sys.getswitchinterval() == pytest.approx(chosen)


def test_an_interval_that_is_shorter_already_stays():
    sys.setswitchinterval(0.0001)
    with short_turns():
        assert sys.getswitchinterval() == pytest.approx(0.0001)


def test_turns_are_short_while_a_thread_of_ours_works():
    threads = Threads(1, "poof-test")
    try:
        assert threads.submit(turns_are_short).result()
    finally:
        threads.end(wait=True)
    assert not turns_are_short()


@pytest.mark.parametrize("read", ["find_all", "to_list"])
def test_a_read_of_many_documents_leaves_the_collector_running(read: str, in_collection):
    async def story(people):
        await people.insert_many({"number": number} for number in range(500))
        documents = await (people.find_all() if read == "find_all" else people.find().to_list())
        assert len(documents) == 500
        assert not collector_rests()

    in_collection(story)
