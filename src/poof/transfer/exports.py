"""Exports: the documents that a query finds, as they are at one moment, into a file.

Layer: transfer.

Invariants: one snapshot, in bounded memory; a path names a whole file afterwards, or none.
"""

import io
import os
from collections.abc import Callable, Iterator
from typing import Any

from poof.errors import PoofError
from poof.progress import Progress, Report
from poof.storage.candidates import Query
from poof.storage.engine import Engine
from poof.storage.faults import os_error
from poof.storage.files import NewFile
from poof.storage.paths import path_text
from poof.storage.queries import Row, count, find_rows, snapshot
from poof.transfer.forms import Form

BLOCK_SIZE = 256 * 1024
"""Bytes that are written at once, roughly."""
REPORTED_DOCUMENTS = 100
"""How many documents there are from one report to the next."""

Write = Callable[[bytes], object]


async def export(
    engine: Engine, collection_id: int, query: Query, form: Form, to: object, progress: Progress | None
) -> int:
    """Writes the documents to a path or into a file object, and returns how many they are."""
    with engine.on_loop(progress) as report:
        if isinstance(to, str | os.PathLike):
            return await engine.write_file(path_text(to), report, _write_file, collection_id, query, form)
        write = _writer_to(to)
        done: int = await engine.read_to_end(_write_documents, collection_id, query, form, write, report)
        return done


def _write_file(connection: Any, collection_id: int, query: Query, form: Form, target: NewFile, report: Report) -> int:
    try:
        with open(target.temporary, "wb") as file:  # noqa: PTH123 - as short
            done = _write_documents(connection, collection_id, query, form, file.write, report)
        target.sync()
    except OSError as error:
        if isinstance(error, PoofError):
            raise
        raise os_error(error, target.path) from error
    return done


def _write_documents(
    connection: Any, collection_id: int, query: Query, form: Form, write: Write, report: Report
) -> int:
    with snapshot(connection):
        total = count(connection, collection_id, query) if report.is_wanted else 0
        encoder = form(lambda: find_rows(connection, collection_id, query))
        done = 0

        def counted() -> Iterator[Row]:
            nonlocal done
            for row in find_rows(connection, collection_id, query):
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
