"""Killed at any write while the data key is replaced, the file compacted or a key changed, a program loses nothing.

The program kills itself at the nth write or sync of any kind; the header's writes are torn as well. POOF_SEED replays a
campaign.
"""

import random
import shutil
import signal
import sys

import pytest

from poof import PoofCluster
from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import unlock
from poof.format.layout import HEADER_COPY_SIZE
from poof.keys.credentials import Credentials
from tests.support.faults.campaign import SEED

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="
OTHER_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
DOCUMENTS = 400
SECTOR = 512

# Prints how many writes there were, unless it kills itself at one of them.
DO_AND_DIE = """
    import asyncio, os, signal, sys
    from poof import PoofCluster
    from tests.support import inside
    from poof.engines.sqlite.pages import main_file, vfs

    path, key, other_key, call, last, size = sys.argv[1:]
    inside.tune(rewrite_cache_mib=0.25)
    count = 0

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(method):
        def write(self, *args):
            global count
            count += 1
            if count == int(last):
                if method.__name__ == "write_header":
                    method(self, args[0], args[1][: int(size)])
                die()
            return method(self, *args)
        return write

    async def main():
        async with await PoofCluster.create(path, key) as cluster:
            for kind in (main_file.EncryptedFile, vfs.MainFile, vfs.WalFile, vfs.TemporaryFile):
                for name in ("xWrite", "xSync", "xTruncate", "write_header"):
                    if name in vars(kind):
                        setattr(kind, name, counted(getattr(kind, name)))
            if call == "add_key":
                await cluster.add_key(other_key)
            elif call == "rotate":
                await cluster.rotate(keys=[other_key])
            elif call == "remove_others":
                await cluster.rotate(remove_others=True)
            else:
                await cluster.compact()
            print(count)

    asyncio.run(main())
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

CALLS = ["add_key", "rotate", "remove_others", "compact"]


async def people_of(cluster):
    return await (await cluster.get_database("db")).get_collection("people")


class Story:
    """A file, copies of it in which a program is killed, and what must be true of them afterwards."""

    def __init__(self, run, tmp_path, start_python, call):
        self.run, self.start, self.call = run, start_python, call
        self.original = tmp_path / "original.poof"
        self.folder = tmp_path / "killed"
        run(self._make())

    async def _make(self):
        async with await PoofCluster.create(self.original, KEY) as cluster:
            people = await people_of(cluster)
            await people.create_index("n")
            await people.insert_many({"n": n, "text": "x" * 1_000} for n in range(2 * DOCUMENTS))
            await people.delete_many({"n": {"$gte": DOCUMENTS}})
            if self.call in ("rotate", "remove_others"):
                await cluster.add_key(OTHER_KEY)

    def count(self):
        """How many writes the call makes."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        path = shutil.copy(self.original, self.folder / "cluster.poof")
        process = self.start(DO_AND_DIE, path, KEY, OTHER_KEY, self.call, 0, 0, cwd=self.folder)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        return int(output)

    async def kill(self, last, size, watched):
        """Kills the program at one write, while this one has the file open or not, and looks at what it left."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        path = shutil.copy(self.original, self.folder / "cluster.poof")
        expected = DOCUMENTS
        witness = await PoofCluster.create(path, KEY) if watched else None
        process = self.start(DO_AND_DIE, path, KEY, OTHER_KEY, self.call, last, size, cwd=self.folder)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output, errors) == (-signal.SIGKILL, "", "")
        if witness is not None:
            people = await people_of(witness)
            assert await people.count_documents() == expected
            await people.insert({"n": DOCUMENTS})
            expected += 1
            await witness.close()
        async with await PoofCluster.create(path, KEY) as cluster:
            people = await people_of(cluster)
            assert [doc.data["n"] for doc in await people.find_all()] == list(range(expected))
            assert await people.count_documents({"n": {"$gte": 10}}) == expected - 10
            store = cluster._engine._calls._writer.store
            assert store._connection.execute("PRAGMA integrity_check").get == "ok"
            await cluster.rotate(remove_others=True)
            await people.insert({"n": "after"})
        after = unlock(read_header_block(str(path)), Credentials(key=KEY.encode()), str(path))
        assert (after.previous, len(after.header.slots)) == (None, 1)
        assert [file.name for file in self.folder.iterdir()] == ["cluster.poof"]


def test_killed_in_the_middle_it_loses_nothing(run, tmp_path, start_python):
    story = Story(run, tmp_path, start_python, "rotate")
    writes = story.count()
    for last in (writes // 3, writes - 2):
        run(story.kill(last, SECTOR, watched=last == writes // 3))


@pytest.mark.campaign
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_many_writes_it_loses_nothing(run, tmp_path, start_python, call):
    rng = random.Random(SEED)
    story = Story(run, tmp_path, start_python, call)
    writes = story.count()
    for last in sorted(rng.sample(range(1, writes + 1), min(writes, 40))):
        run(story.kill(last, rng.randrange(0, HEADER_COPY_SIZE + 1, SECTOR), watched=rng.random() < 0.5))
