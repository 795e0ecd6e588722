"""Salvage: every document whose pages are whole comes out of a damaged cluster, and never a wrong one.

POOF_SEED replays the random tests.
"""

import asyncio
import os
import random
import shutil
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from damaged import destroy, everything, know, raw_connection, read, with_bad_sectors
from faults.campaign import SEED
from people import KEY, collection, names, open_people

from poof import (
    AccessDeniedError,
    BusyError,
    DamagedHeaderError,
    NotAPoofFileError,
    PoofCluster,
    StorageError,
    WrongKeyError,
)
from poof.engines.sqlite.care.rawpages import RawPages
from poof.engines.sqlite.tables import schema
from poof.format.layout import FRAME_SIZE, HEADER_COPY_SIZE, HEADER_STARTS, LOG_HEADER_SIZE, PAGE_SIZE, page_offset

WORDS = ("a", "b" * 40, "c" * 400, "d" * 900)


async def fill(cluster, documents, randomness, collections=3):
    """Collections with indexes and free pages, small documents and some large ones."""
    for name in [f"c{number}" for number in range(collections)]:
        people = await collection(cluster, name)
        await people.insert_many(
            {"n": number, "text": "".join(randomness.choices(WORDS, k=2)) + "x" * (randomness.random() < 0.01) * 20_000}
            for number in range(documents)
        )
        await people.create_index("n")
        await people.create_index("text", unique=False, where={"n": {"$lt": documents // 4}})
        await people.delete_many({"n": {"$gte": documents // 2, "$lt": documents // 2 + documents // 5}})
        await people.update_many({"n": {"$gte": documents - 5}}, {"$set": {"more": "y" * 2500}})


def make(path, documents=600, seed=1, collections=3):
    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            await fill(cluster, documents, random.Random(seed), collections)

    asyncio.run(story())
    return know(path)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return make(tmp_path_factory.mktemp("known") / "cluster.poof")


@pytest.fixture
def to(path):
    return path.with_name("salvaged.poof")


def salvage(path, to, key=KEY, **options):
    return asyncio.run(PoofCluster.salvage(path, to, key, **options))


def check(known, path, to, destroyed):
    """Salvages a file of which some pages were destroyed, and compares what came out with what there was."""
    report = salvage(path, to)
    found = asyncio.run(read(to))
    in_doubt = {(collection.database, collection.name): collection.in_doubt for collection in report.collections}
    back = {}
    for place, documents in found.items():
        deleted = documents.keys() - known.everything.keys()
        assert len(deleted) <= in_doubt[place]
        living = {obj_id: data for obj_id, data in documents.items() if obj_id not in deleted}
        is_known = place in known.documents
        for obj_id, data in living.items():
            assert data == (known.documents[place] if is_known else known.everything)[obj_id]
            back[obj_id] = data
        if is_known:  # and in order
            assert list(living) == [obj_id for obj_id in known.documents[place] if obj_id in living]
    assert not known.whole(destroyed).keys() - back.keys()
    assert set(report.damaged_pages) == set(destroyed)
    assert report.documents == sum(map(len, found.values()))
    lost = {document.objId for document in report.lost}
    assert not lost & back.keys()
    return report


def test_all_of_a_whole_cluster_comes_out(known, path, to):
    path.write_bytes(known.content)
    report = check(known, path, to, [])
    assert asyncio.run(read(to)) == known.documents
    assert (report.pages, report.damaged_pages, report.missing_pages) == (known.count, [], 0)
    assert (report.lost, report.lost_indexes, report.in_doubt, report.log_used) == ([], [], 0, False)


def test_the_salvaged_cluster_is_sound_and_has_the_indexes(known, path, to, run):
    path.write_bytes(destroy(known.content, [known.count // 2], random.Random(1)))
    salvage(path, to)

    async def story():
        async with await PoofCluster.create(to, KEY) as cluster:
            assert (await cluster.verify()).ok
            indexes = await (await collection(cluster, "c1")).list_indexes()
            assert [(index.name, index.where) for index in indexes] == [("n_1", None), ("text_1", {"n": {"$lt": 150}})]

    run(story())


@pytest.mark.parametrize("attempt", range(4))
def test_every_document_comes_back_whose_pages_are_whole(known, path, to, attempt):
    randomness = random.Random(SEED + attempt)
    destroyed = [page for page in range(2, known.count + 1) if randomness.random() < 0.03]
    path.write_bytes(destroy(known.content, destroyed, randomness))
    check(known, path, to, destroyed)


@pytest.mark.parametrize("page", range(1, 8))
def test_documents_survive_the_loss_of_each_page_of_the_catalogue(known, path, to, page):
    path.write_bytes(destroy(known.content, [page], random.Random(page)))
    report = check(known, path, to, [page])
    assert report.documents >= len(known.everything)


def test_each_lost_document_is_named(known, path, to):
    victim = next(iter(known.documents["db", "c1"]))
    (page, *_) = known.pages[victim]
    path.write_bytes(destroy(known.content, [page], random.Random(1)))
    report = check(known, path, to, [page])
    gone = known.everything.keys() - known.whole([page]).keys()
    assert {document.objId for document in report.lost} == gone
    assert {(document.database, document.collection) for document in report.lost} == {("db", "c1")}


def test_a_document_whose_overflow_is_lost_is_named(known, path, to):
    victim = next(obj_id for obj_id, pages in known.pages.items() if len(pages) == 3)
    leaf = next(page for page in known.pages[victim] if sum(page in pages for pages in known.pages.values()) > 1)
    (page, *_) = known.pages[victim] - {leaf}
    path.write_bytes(destroy(known.content, [page], random.Random(1)))
    report = check(known, path, to, [page])
    assert [document.objId for document in report.lost] == [victim]


def free_list(path):
    with raw_connection(path) as connection:
        used = {page for (page,) in connection.execute("SELECT pageno FROM dbstat").fetchall()}
    return [page for page in range(1, path.stat().st_size // PAGE_SIZE) if page not in used]


def test_a_lost_list_of_free_pages_brings_no_deleted_document_back(known, path, to):
    path.write_bytes(known.content)
    destroyed = free_list(path)[:1] + free_list(path)[-1:]
    with raw_connection(path) as connection:
        interior = [
            page
            for (page,) in connection.execute(
                "SELECT pageno FROM dbstat WHERE name LIKE 'documents%' AND pagetype = 'internal'"
            )
        ]
    for trunk in free_list(path):
        content = destroy(known.content, [trunk, *interior], random.Random(1))
        path.write_bytes(content)
        to.unlink(missing_ok=True)
        report = check(known, path, to, [trunk, *interior])
        assert report.documents == len(known.whole([trunk, *interior]))
        if report.in_doubt:
            break
    else:
        pytest.fail("none of the free pages holds the list")
    assert destroyed


def with_log(path):
    """A cluster that was copied while it was open, with most of it in its log; and what it held."""

    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            ids = (await people.insert_many({"n": number, "text": "x" * 800} for number in range(200))).inserted_ids
            await cluster.save()
            await people.update_many({"n": {"$lt": 50}}, {"$set": {"text": "changed"}})
            await people.delete_many({"n": {"$gte": 150}})
            await people.insert_many({"n": number} for number in range(200, 300))
            folder = path.parent.parent / "copied"
            folder.mkdir()
            for file in path.parent.iterdir():
                if not file.name.endswith("-shm"):
                    shutil.copy(file, folder)
            assert len(ids) == 200
            return folder / path.name, await everything(cluster)

    return asyncio.run(story())


def test_the_log_counts_before_the_file(path):
    copied, documents = with_log(path)
    report = salvage(copied, copied.with_name("salvaged.poof"))
    assert asyncio.run(read(copied.with_name("salvaged.poof"))) == documents
    assert report.log_used
    assert report.log_frames_left == 0


def test_a_log_ends_where_it_is_damaged(path):
    copied, documents = with_log(path)
    log = Path(f"{copied}-wal")
    content = bytearray(log.read_bytes())
    frames = (len(content) - LOG_HEADER_SIZE) // FRAME_SIZE
    content[LOG_HEADER_SIZE + FRAME_SIZE + 5000] ^= 1
    log.write_bytes(content)
    report = salvage(copied, copied.with_name("salvaged.poof"))
    assert report.log_frames_left == frames - 2
    before = asyncio.run(read(copied.with_name("salvaged.poof")))["db", "people"]
    assert [data["n"] for data in before.values()] == list(range(200))
    assert documents["db", "people"].keys() - before.keys()


def test_a_log_whose_header_is_damaged_is_left_as_a_whole(path):
    copied, _ = with_log(path)
    log = Path(f"{copied}-wal")
    content = bytearray(log.read_bytes())
    content[20] ^= 1
    log.write_bytes(content)
    report = salvage(copied, copied.with_name("salvaged.poof"))
    assert not report.log_used
    assert report.log_frames_left == (len(content) - LOG_HEADER_SIZE) // FRAME_SIZE
    before = asyncio.run(read(copied.with_name("salvaged.poof")))["db", "people"]
    assert [data["n"] for data in before.values()] == list(range(200))


def test_a_page_that_is_read_once_and_not_again_is_reported(known, path, to, monkeypatch):
    victim = next(iter(known.documents["db", "c1"]))
    (page, *_) = known.pages[victim]
    read_well = RawPages.read
    reads = []

    def read_once(pages, number):
        reads.append(number)
        return None if number == page and reads.count(page) > 1 else read_well(pages, number)

    monkeypatch.setattr(RawPages, "read", read_once)
    path.write_bytes(known.content)
    report = check(known, path, to, [page])
    assert {document.objId for document in report.lost} == known.everything.keys() - known.whole([page]).keys()


def test_a_bad_sector_is_a_damaged_page(known, path, to):
    path.write_bytes(known.content)
    pages = [3, known.count // 2, known.count]
    with with_bad_sectors(path, [page_offset(page) + 1000 for page in pages]):
        check(known, path, to, pages)


def test_a_bad_sector_ends_the_log(path):
    copied, _ = with_log(path)
    log = Path(f"{copied}-wal")
    frames = (log.stat().st_size - LOG_HEADER_SIZE) // FRAME_SIZE
    last = log.stat().st_size - 10
    for sector, left, documents in ((10, frames, 200), (LOG_HEADER_SIZE + 5000, frames, 200), (last, 1, 150)):
        to = copied.with_name(f"salvaged{sector}.poof")
        with with_bad_sectors(log, [sector]):
            report = salvage(copied, to)
        assert report.log_frames_left == left
        assert len(asyncio.run(read(to))["db", "people"]) == documents


def test_the_damaged_files_are_not_changed(path):
    copied, _ = with_log(path)
    log = Path(f"{copied}-wal")
    copied.write_bytes(destroy(copied.read_bytes(), [5], random.Random(1)))
    content = copied.read_bytes(), log.read_bytes()
    salvage(copied, copied.with_name("salvaged.poof"))
    assert (copied.read_bytes(), log.read_bytes()) == content
    assert names(copied) == ["cluster.poof", "cluster.poof-wal", "salvaged.poof"]


def test_a_file_that_lost_its_end_gives_what_is_left(known, path, to):
    path.write_bytes(known.content[: -20 * PAGE_SIZE - 100])
    report = salvage(path, to)
    assert report.missing_pages == 21
    found = {obj_id for documents in asyncio.run(read(to)).values() for obj_id in documents}
    assert known.whole(range(known.count - 20, known.count + 1)).keys() <= found


def test_one_copy_of_the_header_is_enough(known, path, to):
    path.write_bytes(bytes(HEADER_COPY_SIZE) + known.content[HEADER_COPY_SIZE:])
    check(known, path, to, [])


def test_without_a_header_there_is_no_key(known, path, to):
    path.write_bytes(bytes(PAGE_SIZE) + known.content[PAGE_SIZE:])
    with pytest.raises(NotAPoofFileError):
        salvage(path, to)
    damaged = bytearray(known.content)
    damaged[100] ^= 1
    damaged[HEADER_STARTS[1] + 100] ^= 1
    path.write_bytes(damaged)
    with pytest.raises((DamagedHeaderError, WrongKeyError)):
        salvage(path, to)
    assert names(path) == ["cluster.poof"]


def test_a_wrong_key_salvages_nothing(known, path, to):
    path.write_bytes(known.content)
    with pytest.raises(WrongKeyError):
        salvage(path, to, Fernet.generate_key().decode())


def test_the_salvaged_cluster_opens_with_the_password_and_has_another_data_key(run, path, to):
    async def story():
        async with await PoofCluster.create(path, password="four random words") as cluster:
            await (await collection(cluster, "people")).insert({"n": 1})
            derived = cluster.get_encryption_key()
        await PoofCluster.salvage(path, to, password="four random words")
        async with await PoofCluster.create(to, password="four random words") as cluster:
            assert cluster.get_encryption_key() != derived
            assert [*(await everything(cluster))["db", "people"].values()] == [{"n": 1}]

    run(story())


def test_a_cluster_that_is_open_is_refused(run, path, to):
    async def story():
        cluster, _ = await open_people(path)
        async with cluster:
            with pytest.raises(BusyError, match="open"):
                await PoofCluster.salvage(path, to, KEY)
        await PoofCluster.salvage(path, to, KEY)

    run(story())


def test_a_cluster_that_is_open_elsewhere_is_refused(run, path, to, start_python):
    program = """
        import asyncio, sys
        from poof import PoofCluster
        async def main():
            async with await PoofCluster.create(sys.argv[1], sys.argv[2]):
                print("open", flush=True)
                sys.stdin.read()
        asyncio.run(main())
    """
    process = start_python(program, path, KEY)
    assert process.stdout.readline() == "open\n"
    with pytest.raises(BusyError, match="open"):
        salvage(path, to)
    process.communicate("")
    salvage(path, to)


def test_no_file_is_replaced_by_a_salvage(known, path, to):
    path.write_bytes(known.content)
    to.write_bytes(b"something")
    with pytest.raises(StorageError, match="exists"):
        salvage(path, to)
    with pytest.raises(StorageError, match="exists"):
        salvage(path, path)
    assert to.read_bytes() == b"something"


def test_a_file_that_is_not_there_is_an_error(path, to):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        salvage(path, to)


def test_a_file_that_cannot_be_written_is_salvaged(known, path, to):
    path.write_bytes(known.content)
    path.chmod(0o400)
    check(known, path, to, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_log_that_cannot_be_read_is_not_passed_over(path):
    copied, _ = with_log(path)
    Path(f"{copied}-wal").chmod(0)
    with pytest.raises(AccessDeniedError):
        salvage(copied, copied.with_name("salvaged.poof"))


def test_a_log_that_is_no_file_is_an_error(path):
    copied, _ = with_log(path)
    log = Path(f"{copied}-wal")
    log.unlink()
    log.mkdir()
    with pytest.raises(NotAPoofFileError):
        salvage(copied, copied.with_name("salvaged.poof"))


def test_a_salvage_that_is_cancelled_leaves_nothing(known, path, to, run):
    path.write_bytes(known.content)

    async def story():
        task = asyncio.create_task(PoofCluster.salvage(path, to, KEY, progress=lambda *_: task.cancel()))
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story())
    assert names(path) == ["cluster.poof"]


def test_a_unique_index_that_cannot_be_built_is_reported(run, path, to):
    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            await people.create_index("n", unique=True)
            await people.insert_many([{"n": 1}, {"n": 2}])

    run(story())
    with raw_connection(path) as connection:
        _table, *triggers = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'entries%'")
        ]
        for trigger in triggers:
            connection.execute(f"DROP TRIGGER {trigger}")
        (number,) = connection.execute("SELECT id FROM collections").fetchone()
        connection.execute(f"""UPDATE {schema.documents(number)} SET doc = '{{"n":1}}'""")
    report = salvage(path, to)
    assert [(index.database, index.collection, index.name) for index in report.lost_indexes] == [
        ("db", "people", "n_1")
    ]
    assert "1" not in report.lost_indexes[0].reason
    assert len(asyncio.run(read(to))["db", "people"]) == 2


def test_the_report_counts_pages_as_progress_does(known, path, to):
    path.write_bytes(known.content)
    reports = []
    salvage(path, to, progress=lambda *report: reports.append(report))
    assert reports[-1] == (2 * known.count, 2 * known.count, "pages")
    assert [done for done, _, _ in reports] == sorted(done for done, _, _ in reports)


def test_ten_databases_leave_room_for_what_is_salvaged(run, path, to):
    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            for number in range(10):
                await (await collection(cluster, "people", f"db{number}")).insert({"n": number})

    run(story())
    known = know(path)
    path.write_bytes(destroy(known.content, [1], random.Random(1)))
    check(known, path, to, [1])


@pytest.fixture(scope="module")
def known_longer(tmp_path_factory):
    return make(tmp_path_factory.mktemp("longer") / "cluster.poof", documents=2500, collections=1)


@pytest.mark.parametrize("at", [1, 2])
def test_a_program_that_is_killed_leaves_a_whole_new_cluster_or_none(known_longer, path, to, start_python, at):
    known = known_longer
    content = destroy(known.content, [9], random.Random(1))
    path.write_bytes(content)
    program = """
        import asyncio, os, signal, sys
        from poof import PoofCluster
        reports = []
        def progress(*report):
            reports.append(report)
            if len(reports) == int(sys.argv[4]):
                os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(PoofCluster.salvage(sys.argv[1], sys.argv[3], sys.argv[2], progress=progress))
    """
    process = start_python(program, path, KEY, to, at)
    process.communicate()
    assert process.returncode == -9
    assert path.read_bytes() == content
    if to.exists():  # the thread went on while the loop was about to kill it
        assert len(asyncio.run(read(to))["db", "c0"]) >= len(known.whole([9]))
        to.unlink()
    check(known, path, to, [9])


@pytest.mark.campaign
def test_campaign_one_percent_destroyed(tmp_path):
    """Clusters of several thousand documents, of which a hundredth of the pages is destroyed, the first one too."""
    randomness = random.Random(SEED)
    for attempt in range(6):
        path = tmp_path / f"{attempt}.poof"
        known = make(path, documents=2500, seed=SEED + attempt, collections=4)
        for trial in range(10):
            count = max(1, known.count // 100)
            destroyed = randomness.sample(range(1 if trial == 0 else 2, known.count + 1), count)
            if trial == 0:
                destroyed = sorted({1, *destroyed})
            path.write_bytes(destroy(known.content, destroyed, randomness))
            to = tmp_path / "salvaged.poof"
            check(known, path, to, destroyed)
            to.unlink()


@pytest.mark.campaign
def test_campaign_each_page_destroyed(tmp_path):
    """Each page of a small cluster in turn, and each pair of neighbours."""
    path, to = tmp_path / "cluster.poof", tmp_path / "salvaged.poof"
    known = make(path, documents=150, collections=2)
    for page in range(1, known.count + 1):
        for destroyed in ([page], [page, page + 1]):
            if destroyed[-1] <= known.count:
                path.write_bytes(destroy(known.content, destroyed, random.Random(page)))
                check(known, path, to, destroyed)
                to.unlink()
