"""Where a key comes from: a function, as of a vault, or the keyring of the system, here a real one in a file."""

import asyncio
import functools
import logging
import threading

import keyring
import keyring.backends.fail
import keyring.backends.null
import pytest
from cryptography.fernet import Fernet
from keyrings.alt.file import PlaintextKeyring

from poof import InvalidKeyError, KeyRequiredError, KeyringError, NotAPoofFileError, PoofCluster, WrongKeyError
from poof.errors import MissingFolderError
from tests.support.people import collection, names

KEY = Fernet.generate_key()


class VaultError(Exception):
    """What a vault raises."""


async def opened(path, key=None, **options):
    async with await PoofCluster.create(path, key, **options) as cluster:
        people = await collection(cluster, "people")
        return cluster.get_encryption_key(), await people.count_documents()


# Functions.


class AsyncVault:
    async def __call__(self):
        return KEY


async def from_vault(key=KEY):
    await asyncio.sleep(0)
    return key


@pytest.mark.parametrize(
    "source",
    [
        lambda: KEY,
        lambda: KEY.decode(),
        from_vault,
        functools.partial(from_vault, KEY),
        lambda: from_vault(),
        AsyncVault(),
        AsyncVault().__call__,
    ],
    ids=["bytes", "text", "async", "partial", "returns an awaitable", "async callable", "async method"],
)
async def test_a_function_gets_the_key(where, source):
    assert (await opened(where, source))[0] == KEY.decode()
    assert (await opened(where, source))[0] == KEY.decode()


async def test_a_plain_function_is_called_once_and_not_on_the_loop(path):
    threads = []

    def source():
        threads.append(threading.current_thread())
        return KEY

    await opened(path, source)
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


@pytest.mark.parametrize("value", [None, 5, b"no key", "", [KEY]])
async def test_a_function_that_gets_no_key_is_refused_and_nothing_is_created(path, value):
    async def source():
        return value

    for each in (source, lambda: value):
        with pytest.raises(InvalidKeyError):
            await opened(path, each)
    assert names(path) == []


async def test_what_the_function_raises_comes_through_and_nothing_is_created(path):
    def plain():
        raise VaultError

    async def coroutine():
        raise VaultError

    for each in (plain, coroutine):
        with pytest.raises(VaultError):
            await opened(path, each)
    assert names(path) == []


async def test_a_function_and_a_password_are_one_too_many(path):
    with pytest.raises(InvalidKeyError):
        await opened(path, lambda: KEY, password="four random words here")


# Keyrings.


@pytest.fixture
def ring(tmp_path):
    """A keyring in a file, as the system's."""
    before = keyring.get_keyring()
    ring = PlaintextKeyring()
    ring.file_path = str(tmp_path / "keyring.cfg")
    keyring.set_keyring(ring)
    yield tmp_path / "keyring.cfg"
    keyring.set_keyring(before)


def entries(ring):
    return ring.read_text().splitlines() if ring.exists() else []


async def listed(path, key=None, **options):
    async with await PoofCluster.create(path, key, **options) as cluster:
        return [(each.kind, each.label) for each in await cluster.keys()]


async def create(path):
    """A new file whose key is in the keyring; returns its recovery code."""
    codes = []
    await opened(path, keyring=True, on_recovery_code=codes.append)
    (code,) = codes
    return code


async def test_a_new_file_opens_with_the_keyring_and_with_its_recovery_code(path, ring):
    code = await create(path)
    assert (await opened(path, keyring=True))[1] == 0
    assert (await opened(path, code))[1] == 0
    assert await listed(path, code) == [("key", "keyring"), ("key", "recovery")]
    with pytest.raises(KeyRequiredError):
        await opened(path)


async def test_the_key_in_use_is_the_keyrings_and_not_the_recovery_key(path, ring):
    code = await create(path)
    key, _ = await opened(path, keyring=True)
    assert await opened(path, key) == (key, 0)
    assert (await opened(path, code))[0] != key


async def test_a_file_that_was_moved_opens_all_the_same(path, ring):
    await create(path)
    moved = path.rename(path.with_name("moved.poof"))
    await opened(moved, keyring=True)


async def test_two_files_have_two_entries(path, ring):
    await create(path)
    await create(path.with_name("other.poof"))
    assert sum(" = " in line for line in entries(ring)) == 2
    await opened(path, keyring=True)


async def test_whoever_loses_the_keyring_opens_with_the_recovery_code_and_goes_on(path, ring):
    code = await create(path)
    ring.unlink()
    with pytest.raises(KeyRequiredError, match="recovery code"):
        await opened(path, keyring=True)
    await opened(path, code, keyring=True)
    await opened(path, keyring=True)
    assert len(await listed(path, code)) == 3


@pytest.mark.parametrize("options", [{"key": KEY}, {"password": "four random words here"}], ids=["key", "password"])
async def test_a_file_with_a_key_of_its_own_gets_one_in_the_keyring_as_well(path, ring, options):
    await opened(path, **options, keyring=True)
    await opened(path, **options, keyring=True)
    await opened(path, keyring=True)
    assert [label for _, label in await listed(path, keyring=True)] == ["", "keyring"]


async def test_the_recovery_code_is_neither_in_the_keyring_nor_in_the_log(path, ring, caplog):
    caplog.set_level(logging.DEBUG)
    code = await create(path)
    key = (await opened(path, code))[0]
    text = ring.read_text() + caplog.text
    assert code not in text
    assert key not in text
    assert code.encode() not in path.read_bytes()


async def test_without_a_handler_the_new_cluster_has_the_code_and_no_later_one_has(path, ring):
    async def whole():
        async with await PoofCluster.create(path, keyring=True) as cluster:
            code = cluster.recovery_code
            assert code not in repr(cluster)
        for credentials in ({"keyring": True}, {"key": code}):
            async with await PoofCluster.create(path, **credentials) as cluster:
                assert cluster.recovery_code is None
        assert [each.label for each in await _keys(path, code)] == ["keyring", "recovery"]

    async def _keys(path, code):
        async with await PoofCluster.create(path, code) as cluster:
            return await cluster.keys()

    await whole()


async def test_the_handler_has_the_code_before_there_is_a_file_and_may_be_async(path, ring):
    seen = []

    async def handler(code):
        await asyncio.sleep(0)
        seen.append((names(path), threading.current_thread() is threading.main_thread()))

    await opened(path, keyring=True, on_recovery_code=handler)
    assert seen == [([], True)]


async def test_a_handler_that_raises_leaves_neither_file_nor_entry(path, ring):
    def handler(code):
        raise VaultError

    with pytest.raises(VaultError):
        await opened(path, keyring=True, on_recovery_code=handler)
    assert (names(path), entries(ring)) == ([], [])


async def test_a_file_that_cannot_be_created_leaves_no_entry(path, ring):
    with pytest.raises(MissingFolderError):
        await opened(path.parent / "none" / "cluster.poof", keyring=True, on_recovery_code=lambda code: None)
    assert not any(" = " in line for line in entries(ring))


async def test_who_comes_second_opens_the_file_of_the_first(path, ring):
    async def handler(code):
        async with await PoofCluster.create(path, keyring=True, on_recovery_code=first.append):
            pass

    first = []
    async with await PoofCluster.create(path, keyring=True, on_recovery_code=handler) as cluster:
        assert [each.label for each in await cluster.keys()] == ["keyring", "recovery"]
    await opened(path, first[0])
    assert sum(" = " in line for line in entries(ring)) == 1


async def test_an_entry_that_does_not_open_the_file_is_told(path, ring):
    await create(path)
    ((name,),) = [[line.split(" = ")[0]] for line in entries(ring) if " = " in line]
    keyring.set_password("poofdb", name, Fernet.generate_key().decode())
    with pytest.raises(WrongKeyError):
        await opened(path, keyring=True)
    keyring.set_password("poofdb", name, "sentinel")
    with pytest.raises(KeyringError) as caught:
        await opened(path, keyring=True)
    assert "sentinel" not in str(caught.value)


@pytest.mark.parametrize("backend", [keyring.backends.fail.Keyring, keyring.backends.null.Keyring])
@pytest.mark.parametrize("key", [None, KEY], ids=["alone", "with a key"])
async def test_without_a_keyring_that_keeps_keys_nothing_is_left(path, ring, backend, key):
    handler = None if key else [].append
    keyring.set_keyring(backend())
    with pytest.raises(KeyringError):
        await opened(path, key, keyring=True, on_recovery_code=handler)
    if path.exists():  # under the key that was given
        assert await listed(path, key) == [("key", "")]


async def test_a_backend_that_fails_is_told_without_its_words(path, ring):
    class Locked(PlaintextKeyring):
        def get_password(self, service, username):
            raise keyring.errors.KeyringLocked("sentinel")

    keyring.set_keyring(Locked())
    with pytest.raises(KeyringError, match="KeyringLocked") as caught:
        await opened(path, keyring=True, on_recovery_code=[].append)
    assert "sentinel" not in str(caught.value)


def test_without_the_library_the_extra_is_named(path, run_python):
    code = """
import asyncio, sys
sys.modules["keyring"] = None
from poof import KeyringError, PoofCluster

try:
    asyncio.run(PoofCluster.create(sys.argv[1], keyring=True, on_recovery_code=print))
except KeyringError as error:
    print(error)
"""
    assert "poofdb[keyring]" in run_python(code, path, cwd=path.parent)
    assert names(path) == []


async def test_what_needs_no_keyring_says_so(path, ring):
    with pytest.raises(InvalidKeyError, match="memory"):
        await opened(":memory:", keyring=True)
    with pytest.raises(ValueError, match="keyring=True"):
        await opened(path, on_recovery_code=print)
    path.write_bytes(b"something else")
    with pytest.raises(NotAPoofFileError):
        await opened(path, keyring=True)
    path.write_bytes(Fernet(KEY).encrypt(b"{}"))
    with pytest.raises(KeyRequiredError, match=r"0\.x"):
        await opened(path, keyring=True)
    await opened(path, KEY, keyring=True)
    await opened(path, keyring=True)


async def test_a_cluster_is_opened_only_to_read_with_the_keyring(path, ring):
    async def read_only():
        async with await PoofCluster.create(path, keyring=True, read_only=True) as cluster:
            return len(await cluster.keys())

    await create(path)
    assert await read_only() == 2
