"""A real file of more than 1 GiB: the slot that holds SQLite's lock bytes stays unused, pages on both sides read back.

The campaign makes one of documents of 50 MB: about a minute, 1.1 GB of disk. The default suite makes a sparse one that
is real only around the lock bytes.
"""

import base64
import os
import shutil
from pathlib import Path

import inside
import pytest
from cryptography.fernet import Fernet
from stores import DirectStore

from poof.engines.sqlite.file.build import create
from poof.engines.sqlite.file.unlock import new_header
from poof.engines.sqlite.sqlite_errors import translated
from poof.format.layout import (
    CONTENT_SIZE,
    LOCK_PAGE,
    LOCK_SLOT,
    PAGE_SIZE,
    TOKEN_SIZE,
    file_size,
    page_count,
    page_offset,
)
from poof.keys.credentials import Credentials

KEY = Fernet.generate_key()
UNLOCKED = new_header(Credentials(key=KEY), KEY)
DOCUMENT_SIZE = 50_000_000
ROOM = 3 * 1024**3


def text_of(number: int) -> str:
    return f'{{"number":{number},"text":"{"abcdefghi " * (DOCUMENT_SIZE // 10)}","end":{number}}}'


def slot_at(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PAGE_SIZE)


def number_in(slot: bytes) -> int:
    """The number of the page in a slot, by plain Fernet."""
    fernet = Fernet(base64.urlsafe_b64encode(UNLOCKED.key.page))
    return int.from_bytes(fernet.decrypt(base64.urlsafe_b64encode(slot[:TOKEN_SIZE]))[-4:], "big")


def opened(path: Path) -> DirectStore:
    return DirectStore(str(path), UNLOCKED, timeout=0, cache_mib=8)


def test_around_the_lock_page_every_page_is_written_and_counted(path: Path) -> None:
    create(str(path), UNLOCKED)
    first = LOCK_SLOT - 3
    os.truncate(path, file_size(first))
    numbers = [number for number in range(first + 1, LOCK_PAGE + 4) if number != LOCK_PAGE]
    with inside.main_file(path, UNLOCKED.key) as file:
        for number in numbers:
            file.xWrite(number.to_bytes(4, "big") * (CONTENT_SIZE // 4) + bytes(84), (number - 1) * PAGE_SIZE)
            assert file.xFileSize() == number * PAGE_SIZE
        for number in numbers:
            assert bytes(file.xRead(4, (number - 1) * PAGE_SIZE)) == number.to_bytes(4, "big")
            assert number_in(slot_at(path, page_offset(number))) == number
        assert slot_at(path, LOCK_SLOT * PAGE_SIZE) == bytes(PAGE_SIZE)
        for number in reversed(numbers):
            file.xTruncate(number * PAGE_SIZE)
            assert file.xFileSize() == number * PAGE_SIZE
            assert bytes(file.xRead(4, (number - 1) * PAGE_SIZE)) == number.to_bytes(4, "big")
            assert path.stat().st_size == file_size(number)
        # Growing by several pages at once passes over the lock page, too.
        file.xWrite(bytes(PAGE_SIZE), (LOCK_PAGE + 2) * PAGE_SIZE)
        for number in numbers[1:]:
            assert number_in(slot_at(path, page_offset(number))) == number
        assert slot_at(path, LOCK_SLOT * PAGE_SIZE) == bytes(PAGE_SIZE)


@pytest.mark.campaign
def test_a_file_grows_past_the_lock_page_and_shrinks_again(path: Path) -> None:
    if shutil.disk_usage(path.parent).free < ROOM:
        pytest.skip("needs 3 GiB of free disk")
    create(str(path), UNLOCKED)
    sizes: set[int] = set()
    ids: list[str] = []
    store = opened(path)
    try:
        collection = store.collection(store.database("db"), "large")
        while page_count(path.stat().st_size) < LOCK_PAGE + 100:
            ids.append(store.insert(collection, text_of(len(ids))))
            store.save()  # or the log would grow as large as the file
            sizes.add(path.stat().st_size)
        # A few small documents as well, whose pages lie past the lock page.
        small = [store.insert(collection, f'{{"small":{number}}}') for number in range(300)]
    finally:
        store.close()
    pages = page_count(path.stat().st_size)
    assert path.stat().st_size == file_size(pages) > 2**30
    assert all(page_count(size) == page_count(size - 1) + 1 for size in sizes)

    assert slot_at(path, LOCK_SLOT * PAGE_SIZE) == bytes(PAGE_SIZE)  # never written: the bytes SQLite locks
    for number in (1, 2, LOCK_SLOT - 1, LOCK_SLOT, LOCK_PAGE + 1, LOCK_PAGE + 2, pages):
        assert number_in(slot_at(path, page_offset(number))) == number

    store = opened(path)
    try:
        assert [store.find(collection, obj_id)["number"] for obj_id in ids] == list(range(len(ids)))
        last = len(ids) - 1  # whose pages lie on both sides
        assert store.find(collection, ids[last])["text"] == "abcdefghi " * (DOCUMENT_SIZE // 10)
        assert [store.find(collection, obj_id)["small"] for obj_id in small] == list(range(300))
        with translated(str(path)):
            assert store._connection.execute("PRAGMA quick_check").get == "ok"
            assert store._connection.execute("PRAGMA page_count").get == pages
        for obj_id in ids[1:]:
            store.delete(collection, obj_id)
        with translated(str(path)):
            store._connection.execute("VACUUM")
        store.save()
        assert path.stat().st_size < 2 * DOCUMENT_SIZE
        assert store.find(collection, ids[0])["end"] == 0
        assert [store.find(collection, obj_id)["small"] for obj_id in small] == list(range(300))
    finally:
        store.close()
    assert page_count(path.stat().st_size) * PAGE_SIZE == path.stat().st_size - PAGE_SIZE
