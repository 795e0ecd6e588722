"""What the operating system refuses - locks, permissions, room on the disk - becomes an error that says so."""

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import poof
from poof import PoofCluster

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions, limits and signals")

HOLD_THE_WRITE_LOCK = """
import sys
from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import unlock
from poof.keys.credentials import Credentials
from poof.engines.sqlite.turns.store import Settings, Store

path, key = sys.argv[1], sys.argv[2].encode()
store = Store(path, unlock(read_header_block(path), Credentials(key), path), Settings(timeout=0, cache_mib=1))
store._connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
store._connection.execute("ROLLBACK")
store.close()
"""

TRY_AS_NOBODY = """
import asyncio, json, os, sys
from poof import PoofCluster

async def use(path, key):
    async with await PoofCluster.create(path, key) as cluster:
        collection = await (await cluster.get_database("db")).get_collection("people")
        await collection.insert({"name": "Bob"})

asyncio.run(use(":memory:", sys.argv[2]))  # imports what is imported late, while it may
os.umask(0)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    asyncio.run(use(sys.argv[1], sys.argv[2]))
except Exception as error:
    classes = [cls.__name__ for cls in type(error).__mro__]
    print(json.dumps([classes, str(error)]))
else:
    print(json.dumps([["nothing"], ""]))
"""

FILL = """
import asyncio, json, sys
from poof import PoofCluster, PoofError

path, key = sys.argv[1], sys.argv[2]

async def main():
    cluster = await PoofCluster.create(path, key)
    collection = await (await cluster.get_database("db")).get_collection("people")
    stored, errors = [], []
    for n in range(3000):
        try:
            stored.append((await collection.insert({"n": n, "text": "x" * 2000})).objId)
        except PoofError as error:
            errors.append([[cls.__name__ for cls in type(error).__mro__], str(error)])
            if len(errors) == 3:
                break
    readable = [doc.objId for doc in await collection.find_all()] == stored
    try:
        await cluster.close()
    except PoofError:
        pass
    print(json.dumps([stored, errors, readable]))

asyncio.run(main())
"""

FILL_UNDER_A_SIZE_LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n" + FILL

CREATE = """
import asyncio, json, sys
from poof import PoofCluster, PoofError

async def main():
    try:
        await (await PoofCluster.create(sys.argv[1], sys.argv[2])).close()
    except PoofError as error:
        print(json.dumps([[cls.__name__ for cls in type(error).__mro__], str(error)]))

asyncio.run(main())
"""


@pytest.fixture
def reachable_folder():
    """A folder that every user can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for entry in [folder, *folder.rglob("*")]:
        entry.chmod(0o700)
    shutil.rmtree(folder)


async def make(path):
    async with await PoofCluster.create(path, KEY) as cluster:
        await (await (await cluster.get_database("db")).get_collection("people")).insert({"name": "Alice"})


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {file.name: (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) for file in folder.iterdir()}


@pytest.mark.parametrize("timeout", [0, 0.1])
async def test_a_file_locked_by_another_process_is_a_timeout_error_to_writers_and_open_to_readers(
    path, start_python, timeout
):
    await make(path)
    other = start_python(HOLD_THE_WRITE_LOCK, path, KEY, cwd=path.parent)
    assert other.stdout.readline() == "locked\n"
    async with await PoofCluster.create(path, KEY, timeout=timeout) as cluster:
        database = await cluster.get_database("db")
        collection = await database.get_collection("people")
        [alice] = await collection.find_all()
        for call in (
            lambda: collection.insert({"name": "Bob"}),
            lambda: collection.update(alice.objId, {"name": "Bob"}),
            lambda: collection.delete(alice.objId),
            lambda: database.get_collection("new"),
            lambda: cluster.get_database("new"),
        ):
            with pytest.raises(poof.BusyError, match=r"is locked by another process.*Nothing was changed") as caught:
                await call()
            assert isinstance(caught.value, TimeoutError)
            assert str(path) in str(caught.value)
        assert await collection.find_all() == [alice]

        other.communicate("done\n", timeout=60)
        bob = await collection.insert({"name": "Bob"})
        assert await collection.find_all() == [alice, bob]
    assert other.returncode == 0


async def test_a_writer_waits_for_the_lock_of_another_process(path, start_python):
    await make(path)
    other = start_python(HOLD_THE_WRITE_LOCK, path, KEY, cwd=path.parent)
    assert other.stdout.readline() == "locked\n"

    async def count():
        async with await PoofCluster.create(path, KEY) as cluster:
            return len(await (await (await cluster.get_database("db")).get_collection("people")).find_all())

    async def story():
        async with await PoofCluster.create(path, KEY, timeout=60) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("people")
            inserting = asyncio.create_task(collection.insert({"name": "Bob"}))
            for _ in range(20):  # time enough for a writer that does not wait
                assert await count() == 1
            assert not inserting.done()
            other.communicate("done\n", timeout=60)
            await inserting
            assert await count() == 2

    await story()
    assert other.returncode == 0


async def test_the_loop_keeps_turning_while_a_writer_waits_for_a_lock(path, start_python):
    await make(path)
    other = start_python(HOLD_THE_WRITE_LOCK, path, KEY, cwd=path.parent)
    assert other.stdout.readline() == "locked\n"

    async def story():
        async with await PoofCluster.create(path, KEY, timeout=1) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("people")
            inserting = asyncio.create_task(collection.insert({"name": "Bob"}))
            turns = 0
            while not inserting.done():
                turns += 1
                await asyncio.sleep(0)
            assert isinstance(inserting.exception(), poof.BusyError)
            return turns

    assert await story() > 20_000  # some 200,000, and 3,000 where SQLite sleeps with Python's lock held


PERMISSIONS = {
    "read-only file": ("file", 0o444, 0o777, "ReadOnlyError"),
    "file that cannot be read": ("file", 0o000, 0o777, "AccessDeniedError"),
    "read-only folder with a file": ("file", 0o666, 0o555, "AccessDeniedError"),
    "read-only folder without a file": (None, 0, 0o555, "ReadOnlyError"),
    "folder that cannot be entered": ("file", 0o666, 0o666, "AccessDeniedError"),
    "folder that cannot be entered, without a file": (None, 0, 0o666, "AccessDeniedError"),
    "read-only file of 0.x": ("legacy", 0o444, 0o777, "ReadOnlyError"),
    "read-only folder of a file of 0.x": ("legacy", 0o666, 0o555, "ReadOnlyError"),
}


@pytest.mark.parametrize(("kind", "file_mode", "folder_mode", "expected"), PERMISSIONS.values(), ids=PERMISSIONS)
async def test_what_the_permissions_forbid_is_a_permission_error_and_changes_nothing(
    reachable_folder, run_python, kind, file_mode, folder_mode, expected
):
    folder = reachable_folder / "folder"
    folder.mkdir()
    path = folder / "cluster.poof"
    if kind == "file":
        await make(path)
    elif kind == "legacy":
        path.write_bytes(Fernet(KEY).encrypt(b'{"db": {"people": []}}'))
    if kind:
        path.chmod(file_mode)
    before = snapshot(folder) if os.geteuid() == 0 or (file_mode & 0o400 and folder_mode & 0o100) else None
    folder.chmod(folder_mode)
    classes, text = json.loads(run_python(TRY_AS_NOBODY, path, KEY, cwd=Path("/")))
    folder.chmod(0o700)
    assert expected in classes
    assert "PermissionError" in classes
    assert str(path) in text
    assert before is None or snapshot(folder) == before


async def test_a_file_of_another_user_that_may_be_written_works(reachable_folder, run_python):
    folder = reachable_folder / "folder"
    folder.mkdir()
    path = folder / "cluster.poof"
    await make(path)
    path.chmod(0o666)
    folder.chmod(0o777)
    assert json.loads(run_python(TRY_AS_NOBODY, path, KEY, cwd=Path("/"))) == [["nothing"], ""]
    assert [file.name for file in folder.iterdir()] == ["cluster.poof"]


@pytest.fixture
def on_a_full_disk(tmp_path):
    """Runs a program with a file on a disk of 500 KiB that only this program sees; returns what it printed."""

    def run_there(code: str, used_kib: int = 0) -> str:
        disk = tmp_path / "disk"
        disk.mkdir(exist_ok=True)
        mount = f"mount -t tmpfs -o size=500k tmpfs {disk} && head -c {used_kib}k /dev/zero > {disk}/used"
        alone = ["unshare", "--mount", "sh", "-c", f'{mount} || exit 99; exec "$@"', "sh"]
        environment = {**os.environ, "PYTHONPATH": str(Path(poof.__file__).parents[1])}
        done = subprocess.run(
            [*alone, sys.executable, "-W", "error", "-c", code, disk / "cluster.poof", KEY],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.stderr.startswith(("unshare:", "mount:")):
            pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("needs Linux with unshare, to mount a small disk")
    return run_there


def test_a_full_disk_is_a_disk_full_error_and_loses_nothing(on_a_full_disk):
    stored, errors, readable = json.loads(on_a_full_disk(FILL))
    assert len(stored) > 5
    assert readable
    assert len(errors) == 3
    for classes, text in errors:
        assert classes[0] == "DiskFullError"
        assert "OSError" in classes
        assert "There is no room left for" in text
        assert "cluster.poof" in text


def test_a_file_that_cannot_be_created_for_lack_of_room_is_a_disk_full_error(on_a_full_disk):
    classes, text = json.loads(on_a_full_disk(CREATE, used_kib=496))
    assert classes[0] == "DiskFullError"
    assert "cluster.poof" in text


async def test_a_write_that_the_system_fails_is_an_os_error_and_loses_nothing(path, run_python):
    """A limit on the size of files stands for a disk that fails."""
    stored, errors, readable = json.loads(run_python(FILL_UNDER_A_SIZE_LIMIT, path, KEY, cwd=path.parent))
    assert readable
    assert errors
    for classes, text in errors:
        assert "StorageError" in classes
        assert "OSError" in classes
        assert str(path) in text

    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("people")
            return [doc.objId for doc in await collection.find_all()]

    found = await story()
    assert found == stored
    assert list(path.parent.iterdir()) == [path]
