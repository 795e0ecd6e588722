"""For tests of rotate() and compact(): a call that is cancelled at a known place."""

import asyncio
import threading

import pytest

from poof import PoofCluster
from poof.engines.sqlite.care import rotation


async def cancelled(cluster: PoofCluster, call: str, passes: float) -> None:
    """Cancels a call after so many passes over all pages; its thread waits there until the task has ended."""
    ended = threading.Event()
    loop = asyncio.get_running_loop()
    page = rotation._Watch.page

    def page_or_cancel(watch: rotation._Watch) -> None:
        if watch._done >= passes * watch.pages and not ended.is_set():
            loop.call_soon_threadsafe(task.cancel)
            assert ended.wait(timeout=30)
        page(watch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rotation._Watch, "page", page_or_cancel)
        task = asyncio.create_task(getattr(cluster, call)())
        task.add_done_callback(lambda _: ended.set())
        with pytest.raises(asyncio.CancelledError):
            await task
        await cluster.save()  # which waits for the turn to end
