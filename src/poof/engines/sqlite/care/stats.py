"""What a cluster's file is made of: sizes, free space, ages.

Everything inside the database is of one moment. The file and its log are read past SQLite, and may change meanwhile.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import apsw

from poof.engines.sqlite.care.logs import raw_log
from poof.engines.sqlite.care.rawpages import PAGES_A_STEP, page_numbers, raw_pages
from poof.engines.sqlite.file.raw import open_raw_file
from poof.engines.sqlite.file.unlock import RawFile, newest_header
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.savepoints import transaction
from poof.engines.sqlite.turns.jobs import Job
from poof.format.layout import PAGE_SIZE
from poof.results import ClusterStats, CollectionStats

_DAY = 24 * 60 * 60
AGES = {"day": _DAY, "week": 7 * _DAY, "month": 30 * _DAY, "year": 365 * _DAY}
"""Seconds up to which a page counts as written within the last day, week, month or year."""
OLDER = "older"
_LATEST = 2**36
"""Seconds after 1970 from which a time is no time that a page was written at."""


def read_stats(connection: apsw.Connection, job: Job, raw_file: RawFile, name: str) -> ClusterStats:
    """The figures of an open cluster, which calls itself by a name."""
    with transaction(connection, "DEFERRED"):
        sizes: dict[str, int] = dict(_rows(connection, schema.SIZES))
        job.check()
        collections = _collections(connection, job, sizes)
        pages, free = connection.pragma("page_count"), connection.pragma("freelist_count")
    trusted = newest_header(raw_file)
    header = trusted.header
    with open_raw_file(raw_file.path, apsw.SQLITE_OPEN_READONLY, raw_file.base) as file:
        file_bytes = file.xFileSize()
    with raw_log(raw_file, trusted.keys) as log:
        log_bytes = log.size if log else 0
    oldest, newest, ages = _ages(job, raw_file)
    return ClusterStats(
        path=name,
        file_bytes=file_bytes,
        log_bytes=log_bytes,
        pages=pages,
        free_pages=free,
        free_bytes=free * PAGE_SIZE,
        header_generation=header.generation,
        key_slots=len(header.slots),
        oldest_page=oldest,
        newest_page=newest,
        page_ages=ages,
        collections=tuple(collections),
    )


def _collections(connection: apsw.Connection, job: Job, sizes: dict[str, int]) -> list[CollectionStats]:
    found = []
    for database, name, number in _rows(connection, schema.LIST_COLLECTIONS):
        if number is None:
            continue
        job.check()
        table = schema.documents(number)
        indexes = _rows(connection, schema.FIND_INDEXES, number)
        found.append(
            CollectionStats(
                database=database,
                name=name,
                documents=connection.execute(schema.count_documents(number)).get,
                document_bytes=sizes.get(table, 0),
                id_index_bytes=sizes.get(schema.id_index(number), 0),
                index_bytes={index: sizes.get(schema.entries(index_id), 0) for index_id, index, _ in indexes},
            )
        )
    return found


def _ages(job: Job, raw_file: RawFile) -> tuple[datetime | None, datetime | None, dict[str, int]]:
    """When the oldest and the newest page of the file were written, and how many were in which span of time."""
    ages = dict.fromkeys((*AGES, OLDER), 0)
    now = time.time()
    oldest, newest = _LATEST, -1
    with raw_pages(raw_file) as raw:
        count = raw.count
        for number in page_numbers(count):
            if number % PAGES_A_STEP == 0:
                job.check()
            written = raw.written_at(number)
            if written is None or written >= _LATEST:
                continue
            oldest, newest = min(oldest, written), max(newest, written)
            ages[next((span for span, seconds in AGES.items() if now - written <= seconds), OLDER)] += 1
    if newest < 0:
        return None, None, ages
    return datetime.fromtimestamp(oldest, UTC), datetime.fromtimestamp(newest, UTC), ages


def _rows(connection: apsw.Connection, sql: str, *values: Any) -> Iterable[Any]:
    return connection.execute(sql, values).fetchall()
