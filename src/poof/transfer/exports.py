"""Exports: the documents that a query finds, as they are at one moment, into a file.

Invariants: one snapshot, in bounded memory; a path names a whole file afterwards, or none.
"""

import asyncio
import io
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from poof.engines.contract import Documents, Row, Snapshot
from poof.new_files import NewFile
from poof.paths import path_text
from poof.progress import Progress, Report
from poof.query.query import Query
from poof.system_errors import system_translated
from poof.transfer.forms import Form
from poof.waiting import on_thread

BLOCK_SIZE = 256 * 1024
"""Bytes that are written at once, roughly."""
REPORTED_DOCUMENTS = 100
"""How many documents there are from one report to the next."""

Write = Callable[[bytes], object]


async def export(documents: Documents, query: Query, form: Form, to: object, progress: Progress | None) -> int:
    """Writes the documents to a path or into a file object, and returns how many they are."""
    with Report(progress, asyncio.get_running_loop()) as report:
        if isinstance(to, str | os.PathLike):
            return await _write_file(documents, query, form, NewFile(path_text(to)), report)
        write = partial(_write_documents, form=form, write=_writer_to(to), report=report)
        return await documents.read_snapshot(query, write)


async def _write_file(documents: Documents, query: Query, form: Form, file: NewFile, report: Report) -> int:
    def write(snapshot: Snapshot) -> int:
        with system_translated(file.path):
            with open(file.temporary, "wb") as opened:  # noqa: PTH123 - as short
                done = _write_documents(snapshot, form, opened.write, report)
            file.sync()
        return done

    try:
        await on_thread(file.begin)
        done = await documents.read_snapshot(query, write)
        report.check()
        await on_thread(file.place)
    finally:
        file.discard()
    return done


def _write_documents(snapshot: Snapshot, form: Form, write: Write, report: Report) -> int:
    total = snapshot.count() if report.is_wanted else 0
    encoder = form(snapshot.rows)
    done = 0

    def counted() -> Iterator[Row]:
        nonlocal done
        for row in snapshot.rows():
            yield row
            done += 1
            if done % REPORTED_DOCUMENTS == 0:
                report(done, total, "documents")

    block = bytearray(encoder.head)
    for row in counted():
        if done:
            block += encoder.between
        block += encoder.document(row)
        if len(block) >= BLOCK_SIZE:
            write(bytes(block))
            block.clear()
    write(bytes(block + encoder.tail))
    report(done, total, "documents")
    return done


def _writer_to(file: Any) -> Write:
    """What writes bytes into a file object, of text or of bytes.

    Raises:
        TypeError: it is no file.
    """
    if not callable(getattr(file, "write", None)):
        raise TypeError("An export goes to a path, or to a file that is open for writing.")
    if isinstance(file, io.TextIOBase) or hasattr(file, "encoding"):
        return lambda block: file.write(block.decode())

    def write(block: bytes) -> None:
        while block:
            written = file.write(block)
            # A file without a buffer may take less than it is given.
            block = block[written:] if isinstance(file, io.RawIOBase) else b""

    return write
