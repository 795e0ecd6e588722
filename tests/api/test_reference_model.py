"""A collection behaves as a dict that keeps its order, whatever is done to it, and however often it is reopened."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.strategies import DataObject

from poof import PoofCluster

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
COLLECTIONS = st.sampled_from([("a", "x"), ("a", "y"), ("b", "x")])
NAMES = st.text(max_size=5).filter(lambda name: name[:1] != "$")
DATA = st.dictionaries(NAMES, st.none() | st.integers(-9, 9) | st.text(max_size=2000), max_size=3)
LIMITS = settings(max_examples=12, stateful_step_count=20, deadline=None)


class ClusterInMemory(RuleBasedStateMachine):
    """Every step is done to the cluster and to plain dicts of dicts, which must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.expected: dict[tuple[str, str], dict[str, dict]] = {}
        self.folder = tempfile.TemporaryDirectory()
        self.cluster = self.runner.run(PoofCluster.create(self.where(), KEY))

    def where(self) -> str | Path:
        return ":memory:"

    def teardown(self) -> None:
        self.runner.run(self.cluster.close())
        self.runner.close()
        self.folder.cleanup()

    async def collection(self, place: tuple[str, str]):
        return await (await self.cluster.get_database(place[0])).get_collection(place[1])

    def call(self, place: tuple[str, str], method: str, *args):
        async def calling():
            return await getattr(await self.collection(place), method)(*args)

        return self.runner.run(calling())

    def any_id(self, place: tuple[str, str], data: DataObject) -> str:
        """An id of this collection, of another, or of none."""
        return data.draw(st.sampled_from([*(i for docs in self.expected.values() for i in docs), "unknown12345"]))

    @rule(place=COLLECTIONS, document=DATA)
    def insert(self, place, document):
        doc = self.call(place, "insert", document)
        assert doc.objId not in self.expected.setdefault(place, {})
        assert doc.data == document
        self.expected[place][doc.objId] = document

    @rule(place=COLLECTIONS, document=DATA, data=st.data())
    def update(self, place, document, data):
        docs = self.expected.setdefault(place, {})
        obj_id = self.any_id(place, data)
        updated = self.call(place, "update", obj_id, document)
        assert (updated is not None) == (obj_id in docs)
        if updated is not None:
            assert (updated.objId, updated.data) == (obj_id, document)
            docs[obj_id] = document

    @rule(place=COLLECTIONS, data=st.data())
    def delete(self, place, data):
        docs = self.expected.setdefault(place, {})
        obj_id = self.any_id(place, data)
        assert self.call(place, "delete", obj_id) is (docs.pop(obj_id, None) is not None)

    @rule(place=COLLECTIONS, data=st.data())
    def find_by_id(self, place, data):
        obj_id = self.any_id(place, data)
        doc = self.call(place, "find_by_id", obj_id)
        assert (doc and doc.data) == self.expected.get(place, {}).get(obj_id)

    @rule()
    def save(self):
        self.runner.run(self.cluster.save())

    @invariant()
    def all_documents_are_there_in_order(self):
        for place, docs in self.expected.items():
            assert [(doc.objId, doc.data) for doc in self.call(place, "find_all")] == list(docs.items())


class ClusterInFile(ClusterInMemory):
    def where(self) -> str | Path:
        return Path(self.folder.name) / "cluster.poof"

    @precondition(lambda self: self.expected)
    @rule()
    def reopen(self):
        self.runner.run(self.cluster.close())
        assert [file.name for file in Path(self.folder.name).iterdir()] == ["cluster.poof"]
        self.cluster = self.runner.run(PoofCluster.create(self.where(), KEY))


ClusterInMemory.TestCase.settings = LIMITS
ClusterInFile.TestCase.settings = LIMITS
TestClusterInMemory = ClusterInMemory.TestCase
TestClusterInFile = ClusterInFile.TestCase
