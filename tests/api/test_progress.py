"""`progress=`: one convention for every long operation, on the event loop, that can end what it watches."""

import asyncio
import threading

import pytest

from poof.progress import Report

pytestmark = pytest.mark.every_engine


class NoneOfUsError(Exception):
    """What a progress of a user raises."""


async def on_thread(progress, work):
    """Runs work on a thread with a report of a progress, and waits for its end on the event loop."""
    with Report(progress, asyncio.get_running_loop()) as report:
        await asyncio.to_thread(work, report)


async def test_a_report_arrives_on_the_event_loop():
    calls = []
    await on_thread(
        lambda *args: calls.append((*args, threading.current_thread())), lambda report: report(3, 10, "documents")
    )
    assert calls == [(3, 10, "documents", threading.main_thread())]


async def test_without_a_progress_nothing_is_told():
    await on_thread(None, lambda report: report(3, 10, "documents"))


async def test_reports_that_come_faster_than_the_loop_turns_wait_as_one_and_the_last_arrives():
    calls = []
    with Report(lambda *args: calls.append(args), asyncio.get_running_loop()) as report:
        thread = threading.Thread(target=lambda: [report(n, 9_999, "pages") for n in range(10_000)])
        thread.start()
        thread.join()  # and so the loop does not turn meanwhile
        assert calls == []
        await asyncio.sleep(0)
        assert calls == [(9_999, 9_999, "pages")]
    assert len(calls) == 1


async def test_reports_come_in_order_and_never_twice():
    calls = []

    def count(report):
        for n in range(20_000):
            report(n, 19_999, "pages")

    await on_thread(lambda *args: calls.append(args), count)
    assert calls == sorted(set(calls))
    assert calls[-1] == (19_999, 19_999, "pages")


@pytest.mark.parametrize("error", [NoneOfUsError, StopIteration, asyncio.CancelledError])
async def test_what_a_progress_raises_ends_the_work_and_is_what_its_caller_gets(error):
    def progress(done, total, unit):
        raise error

    def work(report):
        while True:
            report(1, 2, "pages")

    async def whole():
        try:
            with Report(progress, asyncio.get_running_loop()) as report:
                await asyncio.to_thread(work, report)
        except BaseException as raised:
            return raised

    raised = await whole()
    assert type(raised) is error


async def test_an_error_of_the_work_itself_is_not_hidden_by_one_of_the_progress():
    def progress(done, total, unit):
        raise NoneOfUsError

    def work(report):
        report(1, 2, "pages")
        raise KeyError("of the work")

    with pytest.raises(KeyError):
        await on_thread(progress, work)


@pytest.mark.parametrize("documents", [10, 1_100], ids=["at its last report", "at its first"])
async def test_an_index_whose_progress_raises_is_not_created(people, documents):
    def progress(done, total, unit):
        raise NoneOfUsError

    await people.insert_many([{"n": n} for n in range(documents)])
    with pytest.raises(NoneOfUsError):
        await people.create_index("n", progress=progress)
    assert await people.list_indexes() == []
    assert await people.create_index("n") == "n_1"


async def test_a_progress_that_raises_in_a_transaction_undoes_its_own_part_only(cluster, people):
    def progress(done, total, unit):
        raise NoneOfUsError

    async with cluster.transaction():
        await people.insert({"n": 1})
        with pytest.raises(NoneOfUsError):
            await people.create_index("n", progress=progress)
    assert await people.count_documents({}) == 1
    assert await people.list_indexes() == []


@pytest.mark.own_engine
@pytest.mark.parametrize("call", ["compact", "rotate"])
async def test_a_rewrite_whose_progress_raises_ends_early_and_the_file_stays_whole(cluster, people, call):
    def progress(done, total, unit):
        raise NoneOfUsError

    await people.insert_many([{"n": n, "text": "x" * 1_000} for n in range(3_000)])
    await people.delete_many({"n": {"$gte": 2_000}})
    with pytest.raises(NoneOfUsError):
        await getattr(cluster, call)(progress=progress)
    assert await people.count_documents() == 2_000
    await getattr(cluster, call)()
    assert await people.count_documents() == 2_000
