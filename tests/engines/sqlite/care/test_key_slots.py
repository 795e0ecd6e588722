"""Key slots of an open cluster: keys and passwords are added, changed and removed, and every process sees it."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from poof import (
    GoneError,
    InvalidKeyError,
    InvalidNameError,
    LimitError,
    PoofCluster,
    ReadOnlyError,
    TransactionError,
    WrongKeyError,
)
from poof.format.layout import HEADER_BLOCK_SIZE

PASSWORD = "four random words here"
OTHER_PASSWORD = "four other words here"

ADD_A_KEY = """
    import asyncio, sys
    from poof import PoofCluster

    async def main(path, key):
        async with await PoofCluster.create(path, key) as cluster:
            print(await cluster.add_key(label="from another process"))

    asyncio.run(main(*sys.argv[1:]))
"""


async def opens(path, **credentials) -> bool:
    try:
        async with await PoofCluster.create(path, **credentials):
            return True
    except WrongKeyError:
        return False


def labels(infos):
    return [info.label for info in infos]


async def only_key(cluster):
    (info,) = await cluster.keys()
    return info.id


async def test_a_new_cluster_has_one_slot_of_its_kind(path):
    async with await PoofCluster.create(path, password=PASSWORD) as cluster:
        (info,) = await cluster.keys()
        assert (info.kind, info.label) == ("password", "")
        assert timedelta() <= datetime.now(UTC) - info.created < timedelta(minutes=1)


async def test_an_added_key_opens_the_file(cluster):
    given = Fernet.generate_key().decode()
    assert await cluster.add_key(given, label="laptop") == given
    made = await cluster.add_key(label="phone")
    assert labels(await cluster.keys()) == ["", "laptop", "phone"]
    if cluster.path != ":memory:":
        assert await opens(cluster.path, key=given)
        assert await opens(cluster.path, key=made)


async def test_an_added_password_opens_the_file_and_so_does_its_key(path):
    async with await PoofCluster.create(path) as cluster:
        derived = await cluster.add_key(password=PASSWORD)
        assert [info.kind for info in await cluster.keys()] == ["key", "password"]
    assert await opens(path, password=PASSWORD)
    assert await opens(path, key=derived)


async def test_a_removed_key_opens_nothing_and_leaves_nothing_in_the_file(path):
    async with await PoofCluster.create(path) as cluster:
        key = cluster.get_encryption_key()
        removed = await only_key(cluster)
        token = json.loads(path.read_bytes().split(b"\n")[1])["slots"][0]["token"].encode()
        other = await cluster.add_key()
        await cluster.remove_key(removed)
        assert token not in path.read_bytes()
        assert removed not in [info.id for info in await cluster.keys()]
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert({"after": "the key was removed, who is in goes on"})
    assert not await opens(path, key=key)
    assert await opens(path, key=other)


async def test_a_changed_password_keeps_its_slot(path):
    async with await PoofCluster.create(path) as cluster:
        await cluster.add_key(password=PASSWORD, label="family")
        before = await cluster.keys()
        await cluster.change_password(PASSWORD, OTHER_PASSWORD)
        after = await cluster.keys()
        assert [(info.id, info.label) for info in after] == [(info.id, info.label) for info in before]
    assert await opens(path, password=OTHER_PASSWORD)
    assert not await opens(path, password=PASSWORD)


async def test_after_the_own_password_was_changed_the_encryption_key_is_that_of_the_new_one(path):
    async with await PoofCluster.create(path, password=PASSWORD) as cluster:
        before = cluster.get_encryption_key()
        await cluster.change_password(PASSWORD, OTHER_PASSWORD)
        after = cluster.get_encryption_key()
    assert not await opens(path, key=before)
    assert await opens(path, key=after)


async def test_other_processes_see_a_change(path, run_python):
    async with await PoofCluster.create(path) as cluster:
        await cluster.keys()
        key = cluster.get_encryption_key()
        added = await asyncio.to_thread(run_python, ADD_A_KEY, path, key, cwd=path.parent)
        assert labels(await cluster.keys()) == ["", "from another process"]
        await cluster.add_key(label="on top of it")
        assert labels(await cluster.keys()) == ["", "from another process", "on top of it"]
    assert await opens(path, key=added.strip())


async def test_changes_of_several_clusters_at_once_are_all_made(path):
    first = await PoofCluster.create(path)
    second = await PoofCluster.create(path, first.get_encryption_key())
    async with first, second:
        await asyncio.gather(*(cluster.add_key(label="x") for cluster in (first, second, first, second)))
        assert labels(await first.keys()) == ["", "x", "x", "x", "x"]
        assert await first.keys() == await second.keys()


async def test_the_last_key_stays(cluster):
    with pytest.raises(LimitError, match="only key slot"):
        await cluster.remove_key(await only_key(cluster))
    assert len(await cluster.keys()) == 1


def test_there_are_eight_slots_at_most(story):
    async def add(cluster, _):
        for _ in range(7):
            await cluster.add_key()
        with pytest.raises(LimitError, match="8 key slots"):
            await cluster.add_key()
        assert len(await cluster.keys()) == 8

    story(add)


REFUSED = {
    "a key and a password": (lambda cluster: cluster.add_key("k", password="p"), InvalidKeyError),
    "what is no key": (lambda cluster: cluster.add_key("no key"), InvalidKeyError),
    "an empty password": (lambda cluster: cluster.add_key(password=""), InvalidKeyError),
    "a key that opens it already": (lambda cluster: cluster.add_key(cluster.get_encryption_key()), InvalidKeyError),
    "a label too long": (lambda cluster: cluster.add_key(label="é" * 33), InvalidNameError),
    "a label with a line break": (lambda cluster: cluster.add_recovery_code(label="a\nb"), InvalidNameError),
    "a label with half a character": (lambda cluster: cluster.add_key(label="\ud800"), InvalidNameError),
    "a label that is no text": (lambda cluster: cluster.add_key(label=1), InvalidNameError),
    "an unknown id": (lambda cluster: cluster.remove_key("00000000"), GoneError),
    "a password where there is none": (lambda cluster: cluster.change_password(PASSWORD, "new"), WrongKeyError),
    "a new password that is empty": (lambda cluster: cluster.change_password(PASSWORD, ""), InvalidKeyError),
}


@pytest.mark.parametrize(("call", "error"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_is_refused_and_changes_nothing(path, call, error):
    async with await PoofCluster.create(path) as cluster:
        before = path.read_bytes()[:HEADER_BLOCK_SIZE]
        with pytest.raises(error):
            await call(cluster)
        assert path.read_bytes()[:HEADER_BLOCK_SIZE] == before


async def test_a_wrong_old_password_changes_nothing(path):
    async with await PoofCluster.create(path, password=PASSWORD) as cluster:
        with pytest.raises(WrongKeyError, match="opens no key slot"):
            await cluster.change_password("a guess", OTHER_PASSWORD)
    assert await opens(path, password=PASSWORD)


async def every_change(cluster, error):
    for change in (cluster.add_key(), cluster.remove_key("00000000"), cluster.change_password(PASSWORD, PASSWORD)):
        with pytest.raises(error):
            await change


async def test_a_cluster_that_is_read_only_changes_no_key(path):
    async with await PoofCluster.create(path, password=PASSWORD) as cluster:
        key = cluster.get_encryption_key()
    async with await PoofCluster.create(path, key, read_only=True) as cluster:
        await every_change(cluster, ReadOnlyError)
        assert len(await cluster.keys()) == 1


async def test_no_key_is_changed_inside_a_transaction():
    async with await PoofCluster.create(":memory:", password=PASSWORD) as cluster, cluster.transaction():
        await every_change(cluster, TransactionError)
        assert len(await cluster.keys()) == 1


async def test_a_change_of_keys_writes_nothing_but_the_header(path):
    async with await PoofCluster.create(path) as cluster:
        people = await (await cluster.get_database("db")).get_collection("people")
        await people.insert_many({"n": n} for n in range(100))
        await cluster.save()
        before = path.read_bytes()
        await cluster.add_key()
        await cluster.remove_key((await cluster.keys())[0].id)
        assert path.read_bytes()[HEADER_BLOCK_SIZE:] == before[HEADER_BLOCK_SIZE:]
        assert path.with_name("cluster.poof-wal").stat().st_size == 0


async def test_whose_key_was_removed_reads_and_writes_on_but_changes_no_keys(path):
    boss = await PoofCluster.create(path)
    guest = await PoofCluster.create(path, await boss.add_key(label="guest"))
    async with boss, guest:
        people = await (await guest.get_database("db")).get_collection("people")
        await boss.remove_key((await boss.keys())[1].id)
        await people.insert({"still": "in"})
        with pytest.raises(WrongKeyError, match="was removed"):
            await guest.add_key()
        assert len(await boss.keys()) == 1
