"""Stats: sizes, free space, keys and ages of a cluster's file."""

from datetime import UTC, datetime, timedelta

import pytest

from poof import TransactionError
from poof.format.layout import PAGE_SIZE
from tests.support.people import collection


async def test_sizes_are_those_of_the_files(cluster, people, path):
    await people.insert_many({"text": "x" * 500} for _ in range(300))
    stats = await cluster.stats()
    assert stats.path == cluster.path
    if cluster.path != ":memory:":
        assert stats.file_bytes == path.stat().st_size
        assert stats.log_bytes == path.with_name("cluster.poof-wal").stat().st_size
    await cluster.save()
    stats = await cluster.stats()
    assert stats.log_bytes == 0
    assert stats.file_bytes == (stats.pages + 1) * PAGE_SIZE


async def test_each_collection_and_index_has_its_bytes(cluster, people):
    await people.insert_many({"n": number, "text": "x" * 500} for number in range(300))
    await people.create_index("n")
    await collection(cluster, "empty")
    stats = await cluster.stats()
    empty, full = stats.collections
    assert (empty.database, empty.name, empty.documents) == ("db", "empty", 0)
    assert (full.database, full.name, full.documents) == ("db", "people", 300)
    assert full.document_bytes >= 300 * 500
    assert full.id_index_bytes >= PAGE_SIZE
    assert list(full.index_bytes) == ["n_1"]
    everything = full.document_bytes + full.id_index_bytes + full.index_bytes["n_1"]
    assert full.total_bytes == everything < stats.pages * PAGE_SIZE


async def test_deleted_documents_leave_free_pages(cluster, people):
    await people.insert_many({"text": "x" * 5000} for _ in range(100))
    assert (await cluster.stats()).free_pages == 0
    await people.delete_many({})
    stats = await cluster.stats()
    assert stats.free_pages >= 90
    assert stats.free_bytes == stats.free_pages * PAGE_SIZE


async def test_the_header_and_the_ages_of_pages_are_told(cluster, people):
    await people.insert({"n": 1})
    await cluster.save()
    stats = await cluster.stats()
    assert (stats.header_generation, stats.key_slots) == (1, 1)
    now = datetime.now(UTC)
    assert now - timedelta(minutes=10) < stats.oldest_page <= stats.newest_page <= now
    assert stats.page_ages == {"day": stats.pages, "week": 0, "month": 0, "year": 0, "older": 0}


async def test_stats_inside_a_transaction_are_refused(cluster):
    async with cluster.transaction():
        with pytest.raises(TransactionError):
            await cluster.stats()
