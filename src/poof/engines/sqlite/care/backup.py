"""Copies of an open cluster, made while others write.

Layer: storage.

SQLite copies page by page in a read transaction, so that the copy is of one moment and no commit makes it begin anew.
Each page is opened and sealed again on its way, under the data key of the copy, which may be another.

Invariant: a copy gets its name once it is whole, synced and verified. What was begun and not ended is removed.
"""

import apsw

from poof.engines.sqlite.care.rawpages import PAGES_A_STEP, page_numbers, raw_pages
from poof.engines.sqlite.file import build, unlock
from poof.engines.sqlite.file.unlock import Source
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.tables.connections import ClusterConnection, note_header, opened, prepare_pages
from poof.engines.sqlite.tables.savepoints import transaction
from poof.engines.sqlite.tuning import Tuning
from poof.engines.sqlite.turns.jobs import Job
from poof.engines.sqlite.turns.store import StoppedError
from poof.errors import StorageError
from poof.format.subkeys import DataKeys
from poof.format.trust import TrustedHeader
from poof.keys.credentials import Credentials
from poof.new_files import path_of_new


def back_up(connection: ClusterConnection, job: Job, source: Source, to: str, credentials: Credentials) -> None:
    """Copies the cluster of a connection into a new file; under the same data key and slots, or under new ones.

    Raises:
        StorageError: there is such a file, or the copy does not verify.
    """
    path = path_of_new(to)
    unlocked = (
        unlock.new_header(credentials, b"") if credentials else unlock.header_of_copy(unlock.newest_header(source))
    )
    pages = 0

    def copy(target: ClusterConnection, header: TrustedHeader) -> None:
        nonlocal pages
        prepare_pages(target)
        with transaction(connection, "DEFERRED"):
            connection.pragma("schema_version")  # begins the snapshot, which SQLite would else end after each step
            with target.backup("main", connection, "main") as backup:
                while not backup.done:
                    backup.step(PAGES_A_STEP)
                    pages = backup.page_count
                    job.report(pages - backup.remaining, 2 * pages)
        note_header(target, header)

    with build.built_beside(path, unlocked, prepare=copy) as new:
        _verify(Source(new.temporary, unlocked.key), job, path, pages, connection.tuning)
        new.place()


def _verify(copy: Source, job: Job, label: str, pages: int, tuning: Tuning) -> None:
    """Authenticates every page of a copy that nobody else knows of, and lets SQLite check what they hold."""
    with raw_pages(copy, label) as raw:
        whole = raw.count == pages
        for number in page_numbers(pages):
            whole = whole and raw.read(number) is not None
            if number % PAGES_A_STEP == 0:
                job.report(pages + number, 2 * pages)
    state = ClusterState(copy.path, DataKeys(copy.key), label=label, tuning=tuning)
    with opened(state, cache_mib=tuning.once_cache_mib) as connection:
        job.watch(connection)
        try:
            whole = whole and connection.execute("PRAGMA integrity_check(1)").get == "ok"
        except apsw.InterruptError:
            raise StoppedError from None
    if not whole:
        raise StorageError(f"The copy for {label!r} could not be read back as it was written, and was removed.")
    job.report(2 * pages, 2 * pages)
