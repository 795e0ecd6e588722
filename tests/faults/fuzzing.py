"""What is fuzzed: each takes whatever somebody without the key may put there, and accepts the truth or a refusal.

A fuzzer only has to call these; a property test and a coverage-guided one find the same things with them.
"""

import json
from pathlib import Path
from typing import Any

from cryptography.fernet import InvalidToken

from poof import DecryptionError, InvalidQueryError, PoofError
from poof.engines.sqlite.file.unlock import new_header, unlock
from poof.errors import FileFormatError
from poof.format.header import encode_block, parse_block
from poof.format.layout import HEADER_COPY_SIZE, HEADER_STARTS, PAGE_SIZE, RESERVED_SIZE
from poof.format.pages import PageCodec
from poof.keys.credentials import Credentials
from poof.query.filters.compile import compile_filter
from poof.query.filters.match import matcher
from poof.query.filters.parse import parse_filter

KEY = b"-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="
UNLOCKED = new_header(Credentials(key=KEY), KEY)
BLOCK = encode_block(UNLOCKED.header, UNLOCKED.key.data_key)
PAGE_NUMBER = 7
PAGE = bytes(range(256)) * 31 + bytes(PAGE_SIZE - 256 * 31)
SLOT = bytes(PageCodec(UNLOCKED.key.page).seal(PAGE_NUMBER, PAGE))
DOCUMENTS: list[Any] = [
    {},
    {"a": 1, "b": [1, 2, {"a": "x"}], "c": {"a": None}},
    {"a": [], "b": "text", "0": [[1], [2, [3]]]},
    json.loads('{"a": 9007199254740993, "b": 1e300, "c": -0.0}'),
]
assert PAGE[-RESERVED_SIZE:] == bytes(RESERVED_SIZE)


def fuzz_header(block: bytes) -> None:
    """Only a copy that was written here is authentic, and only it opens."""
    genuine = {BLOCK[:HEADER_COPY_SIZE]}
    for start in HEADER_STARTS:
        [*copies] = parse_block(bytes(start) + block[start : start + HEADER_COPY_SIZE])
        for copy in copies:
            assert not copy.is_authentic(UNLOCKED.key.data_key) or block[start : start + HEADER_COPY_SIZE] in genuine
    try:
        opened = unlock(block, Credentials(key=KEY), "fuzzed")
    except (DecryptionError, FileFormatError):
        return
    assert opened.header == UNLOCKED.header


def fuzz_page(slot: bytes) -> None:
    """Only a token that was written here opens, and only as its own page."""
    codec = PageCodec(UNLOCKED.key.page)
    for number in (PAGE_NUMBER, PAGE_NUMBER + 1):
        try:
            page = codec.open(number, slot)
        except InvalidToken:
            continue
        assert (number, slot, bytes(page)) == (PAGE_NUMBER, SLOT, PAGE)


def fuzz_log(path: Path, main: bytes, log: bytes, known: list[Any], read: Any) -> None:
    """A log gives what was committed by it, up to some commit, or an error."""
    path.write_bytes(main)
    Path(f"{path}-wal").write_bytes(log)
    try:
        found = read(path)
    except (DecryptionError, PoofError):
        return
    assert found in known


def fuzz_filter(filter_: Any) -> bool:
    """A filter is refused as such, or can be compiled, and asked of any document; returns whether it is one."""
    try:
        node = parse_filter(filter_)
    except InvalidQueryError:
        return False
    compile_filter(node)
    fits = matcher(node)
    for document in DOCUMENTS:
        assert fits(document, "A" * 12) in (True, False)
    return True
