"""Against a plain dict: whatever tasks, transactions, cancellations and reopenings do, the cluster holds the same."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from poof import PoofCluster

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="
PLACES = ["db/people", "db/pets", "other/people"]

sizes = st.sampled_from([0, 0, 0, 10, 5_000, 20_000, 100_000])
places = st.sampled_from(PLACES)
picks = st.integers(0, 1_000)
"""Which document of the place; or one that is not there."""


def pick(known, index):
    return "unknown" * 2 if index % 8 == 0 or not known else list(known)[index % len(known)]


class PlannedError(Exception):
    """Raised inside a transaction to roll it back."""


class ClusterMachine(RuleBasedStateMachine):
    """`model` maps each place to its documents by id, in the order of insertion."""

    where = ":memory:"

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model = {place: {} for place in PLACES}
        self.count = 0
        self.run(self.open())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    async def open(self):
        self.cluster = await PoofCluster.create(self.where, KEY, cache_mib=1)
        self.collections = {}
        for place in PLACES:
            database, name = place.split("/")
            self.collections[place] = await (await self.cluster.get_database(database)).get_collection(name)

    def data(self, size):
        self.count += 1
        return {"n": self.count, "text": "x" * size}

    def teardown(self):
        self.run(self.cluster.close())
        self.run(self.loop.shutdown_asyncgens())
        self.loop.close()

    # One call, made on the cluster and on a model. Each awaits once, so the two change together for other tasks too.

    async def make(self, model, step):
        kind, place, index, size = step
        people, known = self.collections[place], model[place]
        obj_id = pick(known, index)
        if kind == "insert":
            data = self.data(size)
            doc = await people.insert(data)
            assert doc.data == data
            known[doc.objId] = data
        elif kind == "insert_many":
            items = [self.data(size % 1_000) for _ in range(size // 500 + 1)]
            result = await people.insert_many(items)
            known.update(zip(result.inserted_ids, items, strict=True))
        elif kind == "update":
            data = self.data(size)
            doc = await people.update(obj_id, data)
            assert (doc is not None) == (obj_id in known)
            if doc is not None:
                known[obj_id] = data
        elif kind == "delete":
            assert await people.delete(obj_id) == (known.pop(obj_id, None) is not None)
        elif kind == "find_by_id":
            doc = await people.find_by_id(obj_id)
            assert (doc and doc.data) == known.get(obj_id)
        elif kind == "find":
            assert {doc.objId: doc.data async for doc in people.find()} == known
        else:
            assert [(doc.objId, doc.data) for doc in await people.find_all()] == list(known.items())

    async def read_all(self):
        return {place: {doc.objId: doc.data for doc in await it.find_all()} for place, it in self.collections.items()}

    async def all_written(self):
        """A write whose task was cancelled may be on the thread, and is made all the same."""
        await self.cluster._engine._calls._writer.exclusive(lambda connection: None)

    kinds = st.sampled_from(["insert", "insert", "insert_many", "update", "update", "delete", "find_by_id", "find_all"])
    steps = st.tuples(kinds, places, picks, sizes)
    blocks = st.lists(
        st.one_of(steps, st.tuples(st.lists(steps, max_size=4), st.booleans())),
        max_size=6,
    )

    @rule(step=steps)
    def one_call(self, step):
        self.run(self.make(self.model, step))

    @rule(steps=st.lists(st.tuples(places, sizes), min_size=2, max_size=60))
    def many_tasks_insert(self, steps):
        async def together():
            calls = [(place, self.data(size)) for place, size in steps]
            docs = await asyncio.gather(*(self.collections[place].insert(data) for place, data in calls))
            for (place, data), doc in zip(calls, docs, strict=True):
                self.model[place][doc.objId] = data

        self.run(together())

    @rule(tasks=st.lists(st.tuples(picks, sizes, st.booleans()), min_size=2, max_size=12), place=places)
    def many_tasks_change(self, tasks, place):
        """Writes of several tasks happen in the order in which they were called."""

        async def together():
            people, known = self.collections[place], self.model[place]
            calls, expected = [], []
            for index, size, deletes in tasks:
                obj_id = pick(known, index)
                expected.append(obj_id in known)
                if deletes:
                    known.pop(obj_id, None)
                    calls.append(people.delete(obj_id))
                else:
                    data = self.data(size)
                    if obj_id in known:
                        known[obj_id] = data
                    calls.append(people.update(obj_id, data))
            assert [bool(result) for result in await asyncio.gather(*calls)] == expected

        self.run(together())

    async def run_block(self, block, fails, transaction=None, drafts=None):
        """A transaction, with nested ones in it. Returns what the cluster then holds."""
        draft = {place: dict(known) for place, known in self.model.items()}
        async with transaction or self.cluster.transaction():
            for part in block:
                if isinstance(part[0], str):
                    await self.make(draft, part)
                    continue
                steps, inner_fails = part
                inner = {place: dict(known) for place, known in draft.items()}
                with contextlib.suppress(PlannedError):
                    async with self.cluster.transaction():
                        for step in steps:
                            await self.make(inner, step)
                        if inner_fails:
                            raise PlannedError
                    draft = inner
            if fails:
                raise PlannedError
            if drafts is not None:
                drafts.append(draft)
        return draft

    @rule(block=blocks, fails=st.booleans(), disturbed=st.booleans())
    def transaction(self, block, fails, disturbed):
        seen = {}

        async def disturb():
            await asyncio.sleep(0)
            seen.update(await self.read_all())

        async def together():
            other = asyncio.create_task(disturb()) if disturbed else None
            with contextlib.suppress(PlannedError):
                draft = await self.run_block(block, fails)
            if other is not None:
                await other
                # Reads of several collections, before or after the transaction; each sees all of it or nothing.
                for place in PLACES:
                    assert seen[place] in ([self.model[place]] if fails else [self.model[place], draft[place]])
            if not fails:
                self.model = draft

        self.run(together())

    @rule(block=blocks, turns=st.integers(0, 60))
    def cancelled_transaction(self, block, turns):
        transaction, drafts = self.cluster.transaction(), []

        async def cancel():
            task = asyncio.create_task(self.run_block(block, False, transaction, drafts))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await self.all_written()
            if not task.cancelled():
                self.model = task.result()
            return await self.read_all()

        stored = self.run(cancel())
        if stored != self.model:
            # Cancelled while it was being committed: then it happened, and as a whole.
            assert transaction.state == "committed"
            assert stored == drafts[-1]
            self.model = stored
        else:
            assert transaction.state != "committed" or drafts[-1] == stored

    @rule(step=steps, turns=st.integers(0, 12))
    def cancelled_call(self, step, turns):
        draft = {place: dict(known) for place, known in self.model.items()}

        async def cancel():
            task = asyncio.create_task(self.make(draft, step))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await self.all_written()
            if not task.cancelled():
                task.result()
            return await self.read_all()

        stored = self.run(cancel())
        kind, place, index, size = step
        obj_id = pick(self.model[place], index)
        changed = {it: data for it, data in stored[place].items() if self.model[place].get(it) != data}
        gone = self.model[place].keys() - stored[place].keys()
        sizes_of_change = {"insert": {0, 1}, "insert_many": {0, size // 500 + 1}, "update": {0, 1}}
        assert len(changed) in sizes_of_change.get(kind, {0})
        assert gone <= ({obj_id} if kind == "delete" else set())
        assert all(stored[it] == self.model[it] for it in PLACES if it != place)
        self.model = stored

    @rule(place=places, abandon_after=st.integers(1, 400))
    def abandoned_stream(self, place, abandon_after):
        async def read():
            docs = await self.collections[place].find().to_list(abandon_after)
            known = list(self.model[place].items())[:abandon_after]
            assert [(doc.objId, doc.data) for doc in docs] == known

        self.run(read())

    @rule()
    def save(self):
        self.run(self.cluster.save())

    @invariant()
    def nothing_is_held(self):
        writer = self.cluster._engine._calls._writer
        assert writer.is_held or not writer.store.in_transaction


class FileMachine(ClusterMachine):
    """The same on a file, which can be reopened."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.where = Path(self.folder.name) / "cluster.poof"
        super().__init__()

    @rule(other_first=st.booleans())
    def reopen(self, other_first):
        async def reopen():
            old = self.cluster
            if other_first:
                await self.open()
                await old.close()
            else:
                await old.close()
                await self.open()
            assert await self.read_all() == self.model

        self.run(reopen())

    @rule()
    def check_everything(self):
        assert self.run(self.read_all()) == self.model
        writer = self.cluster._engine._calls._writer
        assert self.run(writer.exclusive(lambda it: it.execute("PRAGMA integrity_check").get)) == "ok"

    def teardown(self):
        super().teardown()
        assert [file.name for file in Path(self.folder.name).iterdir()] == ["cluster.poof"]
        self.folder.cleanup()


SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def check(machine, examples, steps):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=SLOW, database=None
        ),
    )


@pytest.mark.parametrize("machine", [FileMachine, ClusterMachine])
def test_a_cluster_holds_what_a_dict_holds(machine):
    check(machine, 20, 25)


@pytest.mark.campaign
@pytest.mark.parametrize("machine", [FileMachine, ClusterMachine])
def test_a_cluster_holds_what_a_dict_holds_for_long(machine):
    check(machine, 300, 60)
