"""Verify: whatever is wrong with a cluster is in the report, with the page and the documents; what is right is not."""

import asyncio
import contextlib
import random
import re
import shutil
from pathlib import Path

import pytest
from damaged import destroy, know, raw_connection, with_bad_sectors
from inside import block_of
from people import KEY, collection, open_people

from poof import DamagedFileError, PoofCluster, StorageError, TransactionError
from poof.engines.sqlite.tables import schema
from poof.format.layout import FRAME_SIZE, HEADER_COPY_SIZE, LOG_HEADER_SIZE, PAGE_SIZE, page_offset

SECRET = "a value of a document"


def make(path):
    """A cluster with documents of all sizes, and indexes."""

    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            for name in ("people", "places"):
                people = await collection(cluster, name)
                await people.insert_many(
                    {"n": number, "text": SECRET * (number % 40), "tags": [number, number + 1]} for number in range(300)
                )
                await people.create_index("n", unique=True)
                await people.create_index("tags")
            await people.insert({"n": -1, "text": "x" * 30_000})

    asyncio.run(story())
    return know(path)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return make(tmp_path_factory.mktemp("known") / "cluster.poof")


def verify(path, **options):
    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            return await cluster.verify(**options)

    return asyncio.run(story())


def texts(report):
    return [(problem.kind, problem.text) for problem in report.problems]


def test_nothing_is_wrong_with_a_cluster_in_use(story):
    async def whole(cluster, people):
        await people.create_index("tags")
        await people.insert_many({"n": number, "tags": [number]} for number in range(100))
        report = await cluster.verify()
        assert report.ok, report.problems
        assert (report.collections, report.documents, report.index_entries) == (1, 100, 300)
        assert report.log_frames > 0

    story(whole)


def test_every_page_of_the_file_is_counted(known, path):
    path.write_bytes(known.content)
    report = verify(path)
    assert (report.ok, report.pages, report.documents) == (True, known.count, 601)


def test_others_may_write_meanwhile(run, path):
    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            await people.create_index("n")
            await people.insert_many({"n": number, "text": "x" * 500} for number in range(2000))
            ended = False

            async def write():
                number = 0
                while not ended:
                    number += 1
                    document = await people.insert({"n": number, "text": "y" * 3000})
                    if number % 2:
                        await people.delete(document.objId)
                    if number % 100 == 0:
                        await cluster.save()
                    await asyncio.sleep(0)

            writing = asyncio.create_task(write())
            for _ in range(5):
                report = await cluster.verify()
                assert report.ok, report.problems
            ended = True
            await writing

    run(story())


@pytest.mark.parametrize("attempt", range(3))
def test_each_damaged_page_is_reported_with_the_documents_in_it(known, path, attempt):
    randomness = random.Random(attempt)
    path.write_bytes(known.content)
    with raw_connection(path) as connection:  # a cluster opens without each of these
        pages = [page for (page,) in connection.execute("SELECT pageno FROM dbstat WHERE name LIKE '%documents%'")]
    destroyed = sorted(randomness.sample(pages, 5))
    path.write_bytes(destroy(known.content, destroyed, randomness))
    report = verify(path)
    assert {problem.page for problem in report.problems if problem.kind == "page"} == set(destroyed)
    affected = {obj_id for problem in report.problems for obj_id in problem.documents}
    assert known.everything.keys() - known.whole(destroyed).keys() <= affected
    assert SECRET not in str(report)


def test_every_page_that_lets_the_cluster_open_is_reported(known, path):
    opened = 0
    for page in range(1, known.count + 1, 3):
        path.write_bytes(destroy(known.content, [page], random.Random(page)))
        try:
            report = verify(path)
        except DamagedFileError:
            continue
        opened += 1
        assert page in {problem.page for problem in report.problems}
    assert opened > known.count / 4


def test_documents_below_a_damaged_page_of_the_tree_are_named(known, path):
    path.write_bytes(known.content)
    with raw_connection(path) as connection:
        page, name = connection.execute(
            "SELECT pageno, name FROM dbstat WHERE name LIKE 'documents%' AND pagetype = 'internal' LIMIT 1"
        ).fetchone()
        documents = {obj_id for (obj_id,) in connection.execute(f"SELECT obj_id FROM {name}")}
    path.write_bytes(destroy(known.content, [page], random.Random(1)))
    (problem,) = verify(path).problems
    assert problem.page == page
    assert set(problem.documents) == documents


def test_damage_while_the_cluster_is_open_is_found(run, known, path):
    path.write_bytes(known.content)

    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            assert (await cluster.verify()).ok
            with path.open("r+b") as file:
                file.seek(page_offset(20))
                file.write(bytes(PAGE_SIZE))
            assert [problem.page for problem in (await cluster.verify()).problems] == [20]

    # Closing a descriptor drops this process's locks on the file, which nobody else uses.
    run(story())


def test_a_damaged_copy_of_the_header_is_reported(known, path):
    block = block_of(known.content[:HEADER_COPY_SIZE], bytes(HEADER_COPY_SIZE), known.content)
    path.write_bytes(block + known.content[PAGE_SIZE:])
    assert texts(verify(path)) == [("header", "The second copy of the header is damaged. The other one is used.")]


def in_use(path, damage):
    """Verifies a cluster whose files are damaged while it is open, with a log of many commits."""

    async def story():
        cluster, people = await open_people(path)
        for number in range(20):
            await people.insert({"n": number, "text": "x" * 3000})
        damage()
        report = await cluster.verify()
        with contextlib.suppress(DamagedFileError, StorageError):  # which cannot be copied into the file
            await cluster.close()
        return report

    return asyncio.run(story())


def test_a_damaged_frame_of_the_log_is_reported(path):
    log = Path(f"{path}-wal")

    def damage():
        content = bytearray(log.read_bytes())
        content[LOG_HEADER_SIZE + FRAME_SIZE + 5000] ^= 1
        with log.open("r+b") as file:
            file.write(content)

    report = in_use(path, damage)
    (text,) = [problem.text for problem in report.problems if problem.kind == "log"]
    assert text.startswith("Frame 2 of the log is damaged")


def test_a_damaged_header_of_the_log_is_reported_and_mended_by_a_save(path, run):
    def damage():
        with Path(f"{path}-wal").open("r+b") as log:
            log.write(b"damaged")

    async def story():
        cluster, people = await open_people(path)
        await people.insert({"n": 1})
        damage()
        [(kind, text)] = texts(await cluster.verify())
        assert kind == "log"
        assert text.startswith("The header of the log is damaged")
        await cluster.save()
        assert (await cluster.verify()).ok
        await cluster.close()

    run(story())
    assert verify(path).documents == 1


def test_a_bad_sector_is_reported(known, path):
    for page in (1, known.count // 2):
        path.write_bytes(known.content)
        bad: list[int] = []

        async def story(bad=bad, page=page):
            async with await PoofCluster.create(path, KEY) as cluster:
                bad.append(page_offset(page) + 1000)
                report = await cluster.verify()
                bad.clear()
                return report

        with with_bad_sectors(path, bad):
            report = asyncio.run(story())
        unplaced, placed = report.problems
        assert (unplaced.page, placed.page, placed.text) == (None, page, f"Page {page} is damaged.")
        assert "check the disk" in unplaced.text


def test_a_bad_sector_in_the_log_is_reported(path):
    bad: list[int] = []
    with with_bad_sectors(Path(f"{path}-wal"), bad):
        report = in_use(path, lambda: bad.append(LOG_HEADER_SIZE + FRAME_SIZE + 5000))
    assert ("log", "Frame 2 of the log cannot be read.") in texts(report)


def test_a_page_that_the_log_holds_may_be_damaged_in_the_file(path):
    def damage():
        with path.open("r+b") as file:
            file.seek(page_offset(2))
            file.write(bytes(PAGE_SIZE))

    assert in_use(path, damage).ok


def changed(known, path, *statements):
    """Verifies a cluster after statements that PoofDB would not make; `{}` is the number of a collection."""
    path.write_bytes(known.content)
    with raw_connection(path) as connection:
        (number,) = connection.execute("SELECT id FROM collections WHERE name = 'people'").fetchone()
        rows = connection.execute("SELECT name, id FROM indexes WHERE collection_id = ?", (number,)).fetchall()
        indexes = dict(rows)
        for statement in statements:
            connection.execute(
                statement.format(
                    documents=schema.documents(number),
                    n=schema.entries(indexes["n_1"]),
                    tags=schema.entries(indexes["tags_1"]),
                )
            )
        ids = dict(connection.execute(f"SELECT id, obj_id FROM {schema.documents(number)}").fetchall())
    return verify(path), ids


def changed_document(known, path, text):
    """The same for one document, whose JSON SQL makes; its entries stay as they are."""
    triggers = ("DROP TRIGGER {n}_update", "DROP TRIGGER {tags}_update")
    return changed(known, path, *triggers, f"UPDATE {{documents}} SET doc = {text} WHERE id = 3")


def test_a_missing_entry_is_reported_with_its_document(known, path):
    report, ids = changed(known, path, "DELETE FROM {n} WHERE document = 7")
    (problem,) = report.problems
    assert problem.kind == "index"
    assert problem.text == "The index 'n_1' of 'db'.'people' does not list a document as it should."
    assert problem.documents == (ids[7],)


def test_an_entry_too_many_is_reported_with_its_document(known, path):
    report, ids = changed(known, path, "INSERT INTO {n} VALUES (x'20ff', 7), (x'20fe', 123456)")
    (problem,) = report.problems
    assert problem.text == "The index 'n_1' of 'db'.'people' has entries that no document gives."
    assert problem.documents == (ids[7],)


def test_a_missing_multikey_mark_is_reported(known, path):
    report, ids = changed(known, path, "DELETE FROM {tags} WHERE key >= x'ff' AND document = 9")
    (problem,) = report.problems
    assert problem.kind == "index"
    assert problem.documents == (ids[9],)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("DROP TRIGGER {n}_update", "The trigger entries_update is missing."),
        ("CREATE TABLE other (a)", "The table other belongs to nothing in the catalogue."),
        ("CREATE VIEW other AS SELECT 1", "The view other belongs to nothing in the catalogue."),
        ("DELETE FROM indexes WHERE name = 'n_1'", "The table entries_ belongs to nothing in the catalogue."),
        ("DELETE FROM collections WHERE name = 'people'", "The table documents_ belongs to nothing in the catalogue."),
        ("INSERT INTO collections VALUES (5, 6, 'x')", "The collection 'x' belongs to a database that is not there."),
        ("UPDATE indexes SET definition = '[]'", "The index 'n_1' of 'db'.'people' has no valid definition."),
        ("INSERT INTO indexes VALUES (5, 6, 'x', '')", "The index 'x' belongs to a collection that is not there."),
    ],
)
def test_a_catalogue_that_does_not_fit_is_reported(known, path, statement, text):
    report, _ = changed(known, path, statement)
    found = [problem.text for problem in report.problems if problem.kind == "catalogue"]
    assert text in [re.sub(r"_\d{3,}", "_", each).replace("__", "_") for each in found]


@pytest.mark.parametrize("value", ["[1]", "{{", "5", "nothing"])
def test_a_document_that_is_no_object_is_reported(known, path, value):
    report, ids = changed_document(known, path, f"'{value}'")
    problem = next(problem for problem in report.problems if problem.kind == "document")
    assert problem.text == "A document of 'db'.'people' is not a JSON object."
    assert problem.documents == (ids[3],)


@pytest.mark.parametrize("text", ["\\/", "\\u0041", "\\u001F", "\\u000a", "\\u00e9", "\\\\\\/"])
def test_a_text_that_is_escaped_more_than_it_must_be_is_reported(known, path, text):
    report, ids = changed_document(known, path, f"json_set(doc, '$.x', json('\"{text}\"'))")
    found = [problem for problem in report.problems if problem.kind == "document"]
    assert [(problem.text, problem.documents) for problem in found] == [
        ("Filters may miss a document of 'db'.'people', whose text is escaped more than it must be.", (ids[3],))
    ]


def test_what_is_written_by_poofdb_is_escaped_no_more_than_it_must_be(run, path):
    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            people = await (await cluster.get_database("db")).get_collection("people")
            await people.insert_many({"text": f"{chr(code)}\\{chr(code)}/{chr(code)}"} for code in range(0x300))
            await people.insert_many({"text": text} for text in ("\\/", "\\u0041", "\\\\/", "\u2028", "\U0001f600"))
            assert (await cluster.verify()).ok

    run(story())


def test_an_id_that_is_none_is_reported(known, path):
    report, _ = changed(known, path, "UPDATE {documents} SET obj_id = 'short' WHERE id = 3")
    assert texts(report) == [("document", "An id in 'db'.'people' is not valid.")]


def test_a_structure_that_sqlite_refuses_is_reported(known, path):
    """The index of ids of one collection in place of that of the other: every page is authentic."""
    path.write_bytes(known.content)
    with raw_connection(path) as connection:
        connection.config(1010, 0)  # SQLITE_DBCONFIG_DEFENSIVE
        connection.pragma("writable_schema", True)
        roots = connection.execute(
            "SELECT name, rootpage FROM sqlite_schema WHERE name LIKE 'sqlite_autoindex_documents%'"
        ).fetchall()
        for (name, _), (_, root) in zip(roots, reversed(roots), strict=True):
            connection.execute("UPDATE sqlite_schema SET rootpage = ? WHERE name = ?", (root, name))
    report = verify(path)
    assert any(problem.kind == "structure" for problem in report.problems)


def test_a_file_that_lost_its_end_is_reported_or_refused(known, path):
    async def story():
        path.write_bytes(known.content)
        async with await PoofCluster.create(path, KEY) as cluster:
            with path.open("r+b") as file:
                file.truncate(len(known.content) - 5 * PAGE_SIZE)
            return await cluster.verify()

    report = asyncio.run(story())
    assert not report.ok


def test_verify_changes_nothing(known, path):
    content = destroy(known.content, [30], random.Random(1))
    path.write_bytes(content)
    verify(path)
    assert path.read_bytes() == content


def test_progress_is_told_in_pages_and_then_in_documents(known, path):
    path.write_bytes(known.content)
    reports = []
    verify(path, progress=lambda *report: reports.append(report))
    assert (known.count, known.count, "pages") in reports
    assert reports[-1] == (601, 601, "documents")


def test_verifying_can_be_cancelled(run, known, path):
    path.write_bytes(known.content)

    async def story():
        async with await PoofCluster.create(path, KEY) as cluster:
            task = asyncio.create_task(cluster.verify(progress=lambda *_: task.cancel()))
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await cluster.verify()).ok

    run(story())


def test_verifying_inside_a_transaction_is_refused(story):
    async def inside(cluster, _people):
        async with cluster.transaction():
            with pytest.raises(TransactionError):
                await cluster.verify()

    story(inside)


def test_a_crashed_cluster_is_sound_after_its_log_was_recovered(run, path):
    async def story():
        cluster, people = await open_people(path)
        copied = path.parent.parent / "copied"
        copied.mkdir()
        async with cluster:
            for number in range(50):
                await people.insert({"n": number})
            for file in path.parent.iterdir():
                if not file.name.endswith("-shm"):
                    shutil.copy(file, copied)
        log = copied / "cluster.poof-wal"
        log.write_bytes(log.read_bytes()[:-1000])  # torn
        cluster, people = await open_people(copied / "cluster.poof")
        async with cluster:
            assert (await cluster.verify()).ok
            assert 40 < await people.count_documents({}) < 50

    run(story())


def test_nothing_is_wrong_while_the_data_key_is_replaced(run, path):
    async def story():
        cluster, people = await open_people(path)
        async with cluster:
            await people.create_index("n")
            await people.insert_many({"n": number, "text": "x" * 500} for number in range(1000))
            rotating = asyncio.create_task(cluster.rotate())
            while not rotating.done():
                report = await cluster.verify()
                assert report.ok, report.problems
            await rotating
            report = await cluster.verify()
            assert report.ok, report.problems

    run(story())
