"""Stdin as a source of imports.

Invariant: Ctrl-C ends a command that waits for input. A read cannot be interrupted, so a thread makes it that nobody
waits for. It reads past Python's buffer, whose lock it would otherwise hold when the interpreter ends.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator

BLOCK_SIZE = 1024 * 1024
"""Bytes that are read at once."""
BLOCKS_AHEAD = 2
"""How many blocks are read before anybody asks for them."""


async def blocks() -> AsyncIterator[bytes]:
    """What comes from stdin, as it comes."""
    loop = asyncio.get_running_loop()
    found: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room = threading.Semaphore(BLOCKS_AHEAD)
    threading.Thread(target=_read, args=(sys.stdin.fileno(), loop, found, room), name="stdin", daemon=True).start()
    while block := await found.get():
        if isinstance(block, OSError):
            raise block
        yield block
        room.release()


async def whole_lines() -> AsyncIterator[bytes]:
    """The same, cut at ends of lines only."""
    begun: list[bytes] = []
    async for block in blocks():
        lines, end, rest = block.rpartition(b"\n")
        if end:
            yield b"".join((*begun, lines, end))
            begun = []
        begun.append(rest)
    if any(begun):
        yield b"".join(begun)


def _read(
    descriptor: int,
    loop: asyncio.AbstractEventLoop,
    found: "asyncio.Queue[bytes | OSError]",
    room: threading.Semaphore,
) -> None:
    block: bytes | OSError = b"?"
    with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody reads on
        while block and not isinstance(block, OSError):
            room.acquire()
            try:
                block = os.read(descriptor, BLOCK_SIZE)
            except OSError as error:
                block = error
            loop.call_soon_threadsafe(found.put_nowait, block)
