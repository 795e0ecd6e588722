"""Frames of the log: all of SQLite's header but the salts is one encrypted block, bound to its log, place and token.

A damaged frame ends the log that SQLite recovers, and is an error wherever else SQLite reads it.
"""

import hmac
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import inside
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from poof.engines.sqlite.file.build import create
from poof.engines.sqlite.file.unlock import new_header
from poof.engines.sqlite.pages.log_file import WalFile
from poof.errors import DamagedPageError
from poof.format.frames import BLOCK_SIZE, CHECKSUMS_OFFSET, FrameCodec, block_of, header_of
from poof.format.layout import FRAME_HEADER_SIZE, FRAME_SIZE, PAGE_SIZE, WAL_HEADER_SIZE, frame_start
from poof.keys.credentials import Credentials

KEYS = bytes(range(48))
TOKEN = os.urandom(8185) + bytes(7)
MAC = TOKEN[8153:8185]

headers = st.binary(min_size=FRAME_HEADER_SIZE, max_size=FRAME_HEADER_SIZE)
blocks = st.binary(min_size=BLOCK_SIZE, max_size=BLOCK_SIZE)
numbers = st.integers(1, 2**32 - 1)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(headers)
def test_the_block_is_all_of_sqlites_header_but_its_salts(header: bytes) -> None:
    assert block_of(memoryview(header)) == header[:8] + header[16:]
    assert header_of(block_of(header), header[8:16]) == header


@given(blocks, numbers)
def test_a_block_comes_back_through_views(block: bytes, number: int) -> None:
    codec = FrameCodec(KEYS)
    stored = codec.seal(number, block, memoryview(TOKEN))
    assert len(stored) == FRAME_HEADER_SIZE
    assert codec.open(number, memoryview(stored), memoryview(TOKEN)) == block


@given(blocks, numbers)
def test_a_stored_header_is_what_the_specification_says(block: bytes, number: int) -> None:
    encryptor = Cipher(algorithms.AES(KEYS[32:]), modes.CBC(MAC[:16])).encryptor()
    sealed = encryptor.update(block)
    tag = hmac.digest(KEYS[:32], number.to_bytes(4, "big") + sealed + MAC, "sha256")[:8]
    assert FrameCodec(KEYS).seal(number, block, TOKEN) == sealed + tag


@pytest.mark.parametrize("bit", range(8 * FRAME_HEADER_SIZE))
def test_any_changed_bit_is_found(bit: int) -> None:
    codec = FrameCodec(KEYS)
    stored = flipped(codec.seal(5, bytes(BLOCK_SIZE), TOKEN), bit)
    for use in (codec.open, codec.check):
        with pytest.raises(InvalidSignature):
            use(5, stored, TOKEN)


def test_a_header_belongs_to_its_place_its_token_and_its_log() -> None:
    codec = FrameCodec(KEYS)
    stored = codec.seal(5, bytes(BLOCK_SIZE), TOKEN)
    codec.check(5, stored, TOKEN)
    other_token = TOKEN[:8153] + os.urandom(32) + TOKEN[8185:]
    other_log = FrameCodec(os.urandom(48))
    for used, number, token in ((codec, 6, TOKEN), (codec, 5, other_token), (other_log, 5, TOKEN)):
        with pytest.raises(InvalidSignature):
            used.check(number, stored, token)


def test_the_same_block_is_stored_in_another_way_with_each_token() -> None:
    codec = FrameCodec(KEYS)
    tokens = [TOKEN[:8153] + os.urandom(32) + TOKEN[8185:] for _ in range(100)]
    assert len({codec.seal(5, bytes(BLOCK_SIZE), token)[:BLOCK_SIZE] for token in tokens}) == len(tokens)


LAST_FRAME = WAL_HEADER_SIZE + FRAME_SIZE


@pytest.fixture
def damaged_log(path: Path) -> Iterator[WalFile]:
    """A log of two frames, for pages 5 and 6, with one flipped bit in the second one's page."""
    unlocked = new_header(Credentials(), Fernet.generate_key())
    create(str(path), unlocked)
    with inside.files_of(path, unlocked.key) as (_, file):
        assert isinstance(file, WalFile)
        file.xWrite(bytes(WAL_HEADER_SIZE), 0)
        for number, frame in ((5, WAL_HEADER_SIZE), (6, LAST_FRAME)):
            file.xWrite(number.to_bytes(4, "big") + bytes(20), frame)
            file.xWrite(bytes(PAGE_SIZE), frame + FRAME_HEADER_SIZE)
        stored = Path(f"{path}-wal").read_bytes()
        Path(f"{path}-wal").write_bytes(flipped(stored, 8 * (frame_start(2) + 5000)))
        yield file


def assert_damaged(file: WalFile, amount: int, offset: int) -> None:
    with pytest.raises(apsw.IOError) as raised:
        file.xRead(amount, offset)
    assert isinstance(raised.value.__cause__, DamagedPageError)
    assert "frame 2 in the log" in str(raised.value.__cause__)


def test_a_damaged_frame_is_no_frame_while_a_log_is_recovered(damaged_log: WalFile) -> None:
    damaged_log.xRead(WAL_HEADER_SIZE, 0)
    assert bytes(damaged_log.xRead(FRAME_SIZE, WAL_HEADER_SIZE)) == (5).to_bytes(4, "big") + bytes(FRAME_SIZE - 4)
    assert bytes(damaged_log.xRead(FRAME_SIZE, LAST_FRAME)) == bytes(FRAME_SIZE)


@pytest.mark.parametrize("first", [None, (8, 24), (8, WAL_HEADER_SIZE + CHECKSUMS_OFFSET)])
@pytest.mark.parametrize("recovered_before", [True, False])
def test_a_damaged_frame_is_an_error_where_its_checksums_are_repaired(
    damaged_log: WalFile, first: tuple[int, int] | None, recovered_before: bool
) -> None:
    if recovered_before:
        damaged_log.xRead(WAL_HEADER_SIZE, 0)
    if first is None:
        damaged_log.xWrite(bytes(PAGE_SIZE), WAL_HEADER_SIZE + FRAME_HEADER_SIZE)
    else:
        damaged_log.xRead(*first)
    assert_damaged(damaged_log, FRAME_SIZE, LAST_FRAME)


@pytest.mark.parametrize("recovered_before", [True, False])
def test_a_damaged_page_of_the_log_is_an_error(damaged_log: WalFile, recovered_before: bool) -> None:
    if recovered_before:
        damaged_log.xRead(WAL_HEADER_SIZE, 0)
    assert_damaged(damaged_log, PAGE_SIZE, LAST_FRAME + FRAME_HEADER_SIZE)
