"""rotate(): the data key is replaced while the file is in use, and whoever has it open follows, or is told."""

import asyncio
import base64
import contextlib
import shutil

import inside
import pytest
from cryptography.fernet import Fernet, InvalidToken
from rewrites import cancelled
from stores import DirectStore

from poof import (
    BusyError,
    DamagedPageError,
    DiskFullError,
    InvalidKeyError,
    KeyReplacedError,
    KeyRequiredError,
    PoofCluster,
    ReadOnlyError,
    TransactionError,
    WrongKeyError,
)
from poof.engines.sqlite.care import rotation
from poof.engines.sqlite.care.key_slots import change_header
from poof.engines.sqlite.care.rotation import rotated
from poof.engines.sqlite.file.build import create
from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import new_header, unlock
from poof.format.header import copies_in
from poof.format.layout import HEADER_BLOCK_SIZE, PAGE_SIZE, TOKEN_SIZE
from poof.format.subkeys import DataKeys
from poof.format.trust import TrustedHeader, changed
from poof.keys.credentials import Credentials

PASSWORD = "four random words here"
KEY = Fernet.generate_key()

OPEN_AND_WAIT = """
    import asyncio, sys
    from poof import PoofCluster, PoofError

    async def main(path, key):
        async with await PoofCluster.create(path, key) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            print(await people.count_documents(), flush=True)
            while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) != "end":
                try:
                    if line == "write":
                        await people.insert({"n": -1})
                    elif line == "stream":
                        print(len([doc async for doc in people.find()]), flush=True)
                        continue
                    print(await people.count_documents(), flush=True)
                except PoofError as error:
                    print(type(error).__name__, flush=True)

    asyncio.run(main(*sys.argv[1:]))
"""


class Other:
    """Another process, which has the file open."""

    def __init__(self, start_python, path, key):
        self.process = start_python(OPEN_AND_WAIT, path, key, cwd=path.parent)
        self.first = self.process.stdout.readline().strip()

    def say(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        _, errors = self.process.communicate("end\n", timeout=30)
        return self.process.returncode, errors


@contextlib.asynccontextmanager
async def filled(path, count=300, **options):
    """An open cluster with a collection and an index."""
    async with await PoofCluster.create(path, **options) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.create_index("n")
        await people.insert_many({"n": n, "text": "x" * 500} for n in range(count))
        yield cluster, people


def unlocked(path, key):
    return unlock(read_header_block(str(path)), Credentials(key=key.encode()), str(path))


def pages_under(path, key):
    """How many pages of a file plain Fernet opens with a data key, and how many it does not."""
    fernet = Fernet(base64.urlsafe_b64encode(key.page))
    data = path.read_bytes()
    opened = []
    for start in range(PAGE_SIZE, len(data), PAGE_SIZE):
        try:
            fernet.decrypt(base64.urlsafe_b64encode(data[start : start + TOKEN_SIZE]))
            opened.append(True)
        except InvalidToken:
            opened.append(False)
    return opened.count(True), opened.count(False)


def test_no_page_opens_with_the_old_data_key_afterwards(run, path):
    async def story():
        async with filled(path) as (cluster, people):
            key = cluster.get_encryption_key()
            old = unlocked(path, key).key
            await cluster.rotate()
            new = unlocked(path, key)
            assert (new.key != old, new.previous) == (True, None)
            assert pages_under(path, old)[0] == 0
            assert pages_under(path, new.key)[1] == 0
            assert await people.count_documents({"n": {"$gte": 0}}) == 300

    run(story())


def test_the_same_keys_and_documents_are_there_afterwards(story):
    async def rotate(cluster, people):
        await people.insert_many({"n": n} for n in range(100))
        before = await cluster.keys(), await people.find_all(), cluster.get_encryption_key()
        await cluster.rotate()
        assert (await cluster.keys(), await people.find_all(), cluster.get_encryption_key()) == before
        await people.insert({"n": "after"})
        assert await people.count_documents() == 101

    story(rotate)


def test_keys_and_passwords_that_are_given_are_kept(run, path):
    async def story():
        async with await PoofCluster.create(path, password=PASSWORD) as cluster:
            first = await cluster.add_key()
            code = await cluster.add_recovery_code()
        async with filled(path, key=first) as (cluster, _):
            slots = await cluster.keys()
            await cluster.rotate(keys=[code], passwords=[PASSWORD])
            assert await cluster.keys() == slots
        for secret in ({"key": first}, {"key": code}, {"password": PASSWORD}):
            async with await PoofCluster.create(path, **secret) as cluster:
                assert await cluster.list_database_names() == ["db"]

    run(story())


def test_keys_that_are_not_given_are_named_and_nothing_is_changed(run, path):
    async def story():
        async with filled(path) as (cluster, _):
            await cluster.add_key(label="Ann's laptop")
            await cluster.save()
            before = path.read_bytes()
            with pytest.raises(KeyRequiredError, match=r"[0-9a-f]{8} \(key \"Ann's laptop\"\)"):
                await cluster.rotate()
            assert path.read_bytes() == before

    run(story())


def test_others_are_removed_where_that_is_asked_for(run, path):
    async def story():
        async with filled(path) as (cluster, _):
            added = await cluster.add_key(label="Ann")  # known to this process, but not given
            await cluster.rotate(remove_others=True)
            assert [info.label for info in await cluster.keys()] == [""]
        with pytest.raises(WrongKeyError):
            await PoofCluster.create(path, added)

    run(story())


REFUSED = {
    "a key without a slot": ({"keys": [Fernet.generate_key()]}, WrongKeyError),
    "a password without a slot": ({"passwords": ["a guess"]}, WrongKeyError),
    "a text in place of a list of keys": ({"keys": KEY.decode()}, InvalidKeyError),
    "a text in place of a list of passwords": ({"passwords": PASSWORD}, InvalidKeyError),
    "what is no key": ({"keys": ["no key"]}, InvalidKeyError),
    "an empty password": ({"passwords": [""]}, InvalidKeyError),
}


@pytest.mark.parametrize(("given", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_a_secret_that_is_none_is_refused(run, path, given, error):
    async def story():
        async with filled(path) as (cluster, _):
            await cluster.save()
            before = path.read_bytes()
            with pytest.raises(error):
                await cluster.rotate(**given)
            assert path.read_bytes() == before

    run(story())


@pytest.mark.parametrize("call", ["rotate", "compact"])
def test_neither_is_part_of_a_transaction_or_made_read_only(run, path, call):
    async def story():
        async with filled(path) as (cluster, _):
            key = cluster.get_encryption_key()
            async with cluster.transaction():
                with pytest.raises(TransactionError):
                    await getattr(cluster, call)()
        async with await PoofCluster.create(path, key, read_only=True) as cluster:
            with pytest.raises(ReadOnlyError):
                await getattr(cluster, call)()

    run(story())


def test_another_process_follows(run, path, start_python):
    async def story():
        async with filled(path) as (cluster, people):
            other = Other(start_python, path, cluster.get_encryption_key())
            assert other.first == "300"
            await cluster.rotate()
            assert other.say("count") == "300"
            assert other.say("write") == "301"
            await cluster.rotate()
            assert other.say("write") == "302"
            assert await people.count_documents() == 302
            assert other.say("stream") == "302"
            assert other.end() == (0, "")

    run(story())


def test_another_process_follows_through_an_interrupted_rotation_and_two_more(run, path, start_python):
    async def story():
        async with filled(path, 1_000) as (cluster, people):
            other = Other(start_python, path, cluster.get_encryption_key())
            await cancelled(cluster, "rotate", 1.5)
            await people.insert({"n": 1})
            assert other.say("count") == "1001"
            await cluster.rotate()
            assert other.say("write") == "1002"
            assert await people.count_documents() == 1_002
            assert other.end() == (0, "")

    run(story())


def test_another_process_whose_key_was_removed_is_told_and_ends_well(run, path, start_python):
    async def story():
        async with filled(path) as (cluster, people):
            other = Other(start_python, path, await cluster.add_key())
            await cluster.rotate(remove_others=True)
            assert other.say("count") == "KeyReplacedError"
            assert other.say("write") == "KeyReplacedError"
            assert other.say("stream") == "KeyReplacedError"
            assert other.end() == (0, "")
            assert await people.count_documents() == 300
            await people.insert({"n": 1})

    run(story())


def test_a_reader_that_is_open_all_the_time_keeps_everything_as_it_is(run, path):
    async def story():
        async with filled(path, timeout=0) as (cluster, people):
            await cluster.save()
            before = path.read_bytes()[HEADER_BLOCK_SIZE:]
            header = copies_in(path.read_bytes())
            reading = people.find().__aiter__()
            await anext(reading)
            await people.insert({"n": 1})
            with pytest.raises(BusyError, match="Nothing was changed"):
                await cluster.rotate()
            assert path.read_bytes()[HEADER_BLOCK_SIZE:] == before
            assert copies_in(path.read_bytes()) == header
            assert len([doc async for doc in reading]) == 299
            await cluster.rotate()

    run(story())


def test_a_reader_that_comes_in_between_reads_on_and_the_next_rotate_ends_it(run, path, monkeypatch):
    async def story():
        async with filled(path, timeout=0) as (cluster, people):
            key = cluster.get_encryption_key()
            first = unlocked(path, key).key
            guest = await PoofCluster.create(path, key)
            guests = await (await guest.get_database("db")).get_collection("people")
            reading = guests.find().__aiter__()
            vacuum, loop = rotation._vacuum, asyncio.get_running_loop()

            def read_first(*args):
                asyncio.run_coroutine_threadsafe(anext(reading), loop).result()
                vacuum(*args)

            monkeypatch.setattr(rotation, "_vacuum", read_first)
            with pytest.raises(BusyError, match="pages under the one before"):
                await cluster.rotate()
            monkeypatch.setattr(rotation, "_vacuum", vacuum)
            assert unlocked(path, key).previous == first
            assert len([doc async for doc in reading]) == 299
            assert await guests.count_documents() == await people.count_documents() == 300
            await guests.insert({"n": 1})
            await guest.close()
            await cluster.rotate()
            assert unlocked(path, key).previous is None
            assert pages_under(path, unlocked(path, key).key)[1] == 0
            assert await people.count_documents() == 301

    run(story())


def test_cancelled_half_way_everything_is_usable_and_the_next_rotate_ends_it(run, path, caplog):
    async def story():
        async with filled(path, 1_000) as (cluster, people):
            key = cluster.get_encryption_key()
            await cancelled(cluster, "rotate", 1.5)
            await people.insert({"n": "after"})
            assert unlocked(path, key).previous is not None
            assert await people.count_documents() == 1_001
        async with await PoofCluster.create(path, key) as cluster:
            assert "rotate() ends it" in caplog.text
            people = await (await cluster.get_database("db")).get_collection("people")
            assert await people.count_documents() == 1_001
            await cluster.rotate()
            assert unlocked(path, key).previous is None
            assert pages_under(path, unlocked(path, key).key)[1] == 0
            assert await people.count_documents() == 1_001

    run(story())


def test_compact_ends_a_rotation_that_was_cancelled(run, path):
    async def story():
        async with filled(path, 1_000) as (cluster, people):
            key = cluster.get_encryption_key()
            await cancelled(cluster, "rotate", 1.5)
            await people.insert({"n": "after"})
            await cluster.compact()
            assert unlocked(path, key).previous is None
            assert pages_under(path, unlocked(path, key).key)[1] == 0

    run(story())


def test_progress_grows_to_its_end_on_the_loop(run, path, monkeypatch):
    inside.tune(monkeypatch, report_pages=8)

    async def story():
        async with filled(path, 1_000) as (cluster, _):
            for call in (cluster.rotate, cluster.compact):
                seen = []
                await call(progress=lambda done, total, unit, seen=seen: seen.append((done, total, unit)))
                await asyncio.sleep(0)
                assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
                assert {unit for _, _, unit in seen} == {"pages"}
                assert len({total for _, total, _ in seen}) == 1
                assert seen[0][0] == 0
                assert seen[-1][0] == seen[-1][1]
                assert len(seen) > 5

    run(story())


def test_too_little_room_is_found_out_before_anything_is_changed(run, path, monkeypatch):
    async def story():
        async with filled(path) as (cluster, _):
            await cluster.save()
            before = path.read_bytes()
            full = shutil.disk_usage(path.parent)._replace(free=PAGE_SIZE)
            monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
            with pytest.raises(DiskFullError, match="free disk"):
                await cluster.rotate()
            assert path.read_bytes() == before

    run(story())


def test_a_changed_password_goes_into_a_new_data_key(run, path):
    async def story():
        async with filled(path, password=PASSWORD) as (cluster, people):
            await cluster.change_password(PASSWORD, "other words")
            await cluster.rotate()
            assert await people.count_documents() == 300
        async with await PoofCluster.create(path, password="other words") as cluster:
            assert await cluster.list_database_names() == ["db"]

    run(story())


def test_a_rotation_that_another_one_overtook_leaves_its_header_alone(run, path, monkeypatch):
    """The other one ends the first rotation, and begins the next, just before the first would forget its old key."""

    async def story():
        async with filled(path, 1_000) as (cluster, people):
            key = cluster.get_encryption_key()
            other = await PoofCluster.create(path, key)
            not_current, loop = rotation._not_current, asyncio.get_running_loop()

            async def overtake():
                monkeypatch.setattr(rotation, "_not_current", not_current)
                await cancelled(other, "rotate", 5.5)  # that is: the first is ended, the next one begun

            def overtaken(*args):
                if rotation._not_current is overtaken:
                    asyncio.run_coroutine_threadsafe(overtake(), loop).result()
                return not_current(*args)

            monkeypatch.setattr(rotation, "_not_current", overtaken)
            await cluster.rotate()
            assert unlocked(path, key).previous is not None
            assert await people.count_documents() == 1_000
            await other.close()
            await cluster.rotate()
            assert unlocked(path, key).previous is None
            assert len(await people.find_all()) == 1_000

    run(story())


def test_a_rotation_that_begins_while_another_one_does_is_refused(run, path, monkeypatch):
    async def story():
        async with filled(path, 1_000) as (cluster, people):
            key = cluster.get_encryption_key()
            other = await PoofCluster.create(path, key)
            check_room, loop = rotation._check_room, asyncio.get_running_loop()

            def begun(*args, **options):
                monkeypatch.setattr(rotation, "_check_room", check_room)
                asyncio.run_coroutine_threadsafe(cancelled(other, "rotate", 1.5), loop).result()
                check_room(*args, **options)

            monkeypatch.setattr(rotation, "_check_room", begun)
            with pytest.raises(BusyError, match="Another program"):
                await cluster.rotate()
            assert len(await people.find_all()) == 1_000
            await cluster.rotate()
            await other.close()
            assert len(await people.find_all()) == 1_000

    run(story())


class TwoKeys:
    """Two connections to a file whose data key was just replaced in the header: one knows, the other does not yet."""

    def __init__(self, path):
        self.path = path
        first = new_header(Credentials(key=KEY), KEY)
        assert create(str(path), first)
        self.knows, self.does_not = (DirectStore(str(path), first, timeout=0, cache_mib=1) for _ in range(2))
        self.collection = self.knows.collection(self.knows.database("db"), "x")
        self.written = []
        self.write(self.does_not)
        self.knows.store.call(change_header, lambda old: rotated(old, [KEY]))

    def write(self, store):
        text = f'{{"n":{len(self.written)}}}'
        self.written.append(store.insert(self.collection, text))

    def close(self):
        self.knows.close()
        self.does_not.close()


@pytest.fixture
def two_keys(path):
    both = TwoKeys(path)
    yield both
    both.close()


def test_one_that_has_not_noticed_goes_on_under_the_old_key_and_all_is_read(two_keys):
    for store in (two_keys.does_not, two_keys.knows, two_keys.does_not, two_keys.knows):
        two_keys.write(store)
    for store in (two_keys.does_not, two_keys.knows):
        assert [obj_id for obj_id, _ in store.find_all(two_keys.collection)] == two_keys.written


def test_a_log_with_frames_under_both_keys_is_recovered(two_keys, tmp_path):
    for store in (two_keys.does_not, two_keys.knows, two_keys.does_not, two_keys.knows):
        two_keys.write(store)
    copy = tmp_path / "copy.poof"
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{two_keys.path}{suffix}", f"{copy}{suffix}")
    store = DirectStore(str(copy), unlocked(copy, KEY.decode()), timeout=0, cache_mib=1)
    try:
        assert [obj_id for obj_id, _ in store.find_all(two_keys.collection)] == two_keys.written
        assert store._connection.execute("PRAGMA integrity_check").get == "ok"
    finally:
        store.close()


def test_a_page_under_a_key_that_the_header_has_forgotten_is_damage(two_keys):
    two_keys.write(two_keys.knows)
    two_keys.does_not.save()
    two_keys.knows.store.call(
        change_header, lambda old: TrustedHeader(changed(old.header, previous=None), DataKeys(old.keys.current))
    )
    store = DirectStore.__new__(DirectStore)
    with pytest.raises(DamagedPageError):
        store.__init__(str(two_keys.path), unlocked(two_keys.path, KEY.decode()), timeout=0, cache_mib=1)
        store.find_all(two_keys.collection)


def test_whoever_knew_the_old_key_forgets_it_with_the_header(two_keys):
    two_keys.write(two_keys.knows)
    assert two_keys.does_not.find_all(two_keys.collection)
    assert two_keys.does_not.store._state.keys.previous is not None
    two_keys.does_not.save()
    two_keys.knows.store.call(
        change_header, lambda old: TrustedHeader(changed(old.header, previous=None), DataKeys(old.keys.current))
    )
    with pytest.raises(DamagedPageError):  # for it lies under the old one, where no such page should be
        two_keys.does_not.store.call(lambda connection: connection.execute("PRAGMA integrity_check").get)


def test_a_key_that_was_replaced_is_no_damaged_page():
    assert issubclass(KeyReplacedError, WrongKeyError)
    assert not issubclass(KeyReplacedError, DamagedPageError)
