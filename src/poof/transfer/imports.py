"""Imports: the documents of a file into a collection, all of them or none.

What is read is read in blocks, on a thread; an iterator is the caller's own code, and is asked on the event loop. The
documents of each block are parsed, validated and stored on the thread that writes, inside one transaction.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from poof.engines.contract import Documents, Engine
from poof.errors import AccessDeniedError, DuplicateKeyError, StorageError
from poof.located import located
from poof.models.binding import Binding
from poof.paths import path_text
from poof.progress import Progress
from poof.raising import raise_alone
from poof.transfer.objects import IdPolicy, Piece, read_document
from poof.transfer.pieces import Cutter
from poof.waiting import one_by_one

BLOCK_SIZE = 1024 * 1024
"""Bytes, or characters, that are read at once."""
TAKEN_LINES = 200
"""How many lines of an iterator are taken at once."""

_Block = tuple[bytes, int]
"""Bytes of a source, and how many bytes it has in all; 0 where nobody knows."""
Lines = Iterable[str | bytes] | AsyncIterable[str | bytes]


async def import_documents(
    engine: Engine,
    documents: Documents,
    source: Any,
    cutter: Cutter,
    ids: IdPolicy,
    binding: Binding[Any] | None,
    progress: Progress | None,
    *,
    separator: bytes = b"",
) -> int:
    """Stores the documents of a source and returns how many they are. `separator`: what ends a line of an iterator."""
    if ids not in ("keep", "new"):
        raise ValueError("ids= is 'keep' or 'new'")
    engine.check_writable()
    count: int = 0
    done = 0
    with contextlib.ExitStack() as stack:
        async with engine.transaction():
            async for block, total in _open(source, separator, stack):
                count += await _store(documents, partial(cutter.feed, block), ids, binding)
                done += len(block)
                if progress is not None:
                    progress(done, total, "bytes")
            count += await _store(documents, cutter.end, ids, binding)
    return count


async def _store(
    documents: Documents, cut: Callable[[], list[Piece]], ids: IdPolicy, binding: Binding[Any] | None
) -> int:
    """Stores the documents of one block."""
    place = ""

    def rows() -> Iterator[tuple[str, str]]:
        nonlocal place
        for piece in cut():
            place = piece.place
            yield read_document(piece, ids, binding)

    try:
        return await documents.insert_rows(rows())
    except DuplicateKeyError as error:
        raise_alone(located(error, place))


def _open(source: Any, separator: bytes, stack: contextlib.ExitStack) -> AsyncIterator[_Block]:
    if isinstance(source, str) and source.lstrip().startswith(("{", "[")):
        # An error about a file of this name would show what is in the documents.
        raise TypeError("This is JSON text rather than a path. Pass io.StringIO(text), or a path as pathlib.Path.")
    if isinstance(source, str | os.PathLike):
        file = stack.enter_context(contextlib.closing(_PathReader(path_text(source))))
        return _read_blocks(file)
    if callable(getattr(source, "read", None)):
        return _read_blocks(source)
    if isinstance(source, Iterable | AsyncIterable) and not isinstance(source, bytes | bytearray | memoryview):
        return _gather(source, separator)
    raise TypeError("An import comes from a path, a file that is open for reading, or an iterator of lines.")


class _PathReader:
    """A file that a path names, opened by the first read, on its thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._closed = False
        self._lock = threading.Lock()
        """A task that is cancelled closes the file while a thread may be about to open it."""
        self.size = 0

    def read(self, size: int) -> bytes:
        with self._lock:
            try:
                if self._file is None and not self._closed:
                    self._file = Path(self._path).open("rb")  # noqa: SIM115 - `close` is for that
                    self.size = os.fstat(self._file.fileno()).st_size
                return b"" if self._closed or self._file is None else self._file.read(size)
            except OSError as error:
                raise _read_error(error, self._path) from error

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()


async def _read_blocks(file: Any) -> AsyncIterator[_Block]:
    # Not on a thread of the cluster, which would wait at its end for a read that may take forever.
    while block := await asyncio.to_thread(file.read, BLOCK_SIZE):
        yield _to_bytes(block), file.size if isinstance(file, _PathReader) else 0


async def _gather(lines: Lines, separator: bytes) -> AsyncIterator[_Block]:
    taken: list[bytes] = []
    size = 0
    async for line in one_by_one(lines):
        text = _to_bytes(line)
        taken.append(text if text.endswith(separator) else text + separator)
        size += len(text)
        if len(taken) >= TAKEN_LINES or size >= BLOCK_SIZE:
            yield b"".join(taken), 0
            taken, size = [], 0
    if taken:
        yield b"".join(taken), 0


def _to_bytes(text: object) -> bytes:
    if isinstance(text, str):
        return text.encode(errors="surrogatepass")  # is not UTF-8 then, which is found where its place is known
    if isinstance(text, bytes | bytearray):
        return bytes(text)
    raise TypeError(f"What is imported is text (str or bytes), not {type(text).__name__}.")


def _read_error(error: OSError, path: str) -> OSError:
    if isinstance(error, PermissionError):
        return AccessDeniedError(f"{path!r} cannot be read by this user. Nothing was imported.")
    return StorageError(f"{path!r} cannot be read: {error.strerror}. Nothing was imported.")
