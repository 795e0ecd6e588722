"""The threads of a cluster, and clusters that are dropped at any moment."""

import subprocess
import sys
import threading

import pytest

from poof.engines.sqlite.turns.threads import Threads

COLLECTED_ANYWHERE = """
import asyncio, gc
from concurrent.futures import ThreadPoolExecutor
from poof import PoofCluster

executor = ThreadPoolExecutor(1)

async def main():
    for number in range(40):
        cluster = await PoofCluster.create(":memory:")
        gc.collect()
        gc.disable()
        cycle = [cluster]
        cycle.append(cycle)
        del cluster, cycle
        gc.set_threshold(gc.get_count()[0] + number, 1, 1)  # the collection falls somewhere into `submit`
        gc.enable()
        executor.submit(int)
        gc.set_threshold(700, 10, 10)

asyncio.run(main())
"""


def test_calls_are_made_in_order_and_their_results_are_kept():
    threads = Threads(1, "poof-test")
    futures = [threads.submit(pow, number, 2) for number in range(100)]
    threads.end(wait=True)
    assert [future.result() for future in futures] == [number**2 for number in range(100)]


def test_a_call_that_fails_ends_no_thread():
    threads = Threads(1, "poof-test")
    failing, going_on = threads.submit(divmod, 1, 0), threads.submit(divmod, 5, 3)
    assert isinstance(failing.exception(), ZeroDivisionError)
    assert going_on.result() == (1, 2)
    threads.end(wait=True)


def test_a_call_that_is_cancelled_in_line_is_not_made():
    threads = Threads(1, "poof-test")
    begun, go_on = threading.Event(), threading.Event()

    def hold():
        begun.set()
        go_on.wait()

    threads.submit(hold)
    begun.wait()
    made = []
    waiting = threads.submit(made.append, 1)
    assert waiting.cancel()
    go_on.set()
    threads.end(wait=True)
    assert made == []


def test_threads_that_ended_take_no_calls():
    threads = Threads(2, "poof-test")
    threads.end(wait=True)
    with pytest.raises(RuntimeError):
        threads.submit(int)


def test_no_more_threads_are_started_than_wanted():
    threads = Threads(2, "poof-test")
    for _ in range(20):
        threads.submit(int)
    assert len([thread for thread in threading.enumerate() if thread.name.startswith("poof-test")]) == 2
    threads.end(wait=True)


def test_a_cluster_may_be_collected_in_the_midst_of_any_code():
    """Such as in `submit` of an executor, which holds a lock that all executors share."""
    subprocess.run([sys.executable, "-c", COLLECTED_ANYWHERE], check=True, timeout=60)
