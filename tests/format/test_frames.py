"""Frames of the log: of the header, page number and size stay readable, salts and checksums are one encrypted block.

A damaged frame ends the log that SQLite recovers, and is an error wherever else SQLite reads it.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from poof.engines.sqlite.pages.log_file import WalFile
from poof.errors import DamagedPageError
from poof.format.frames import CHECKSUMS_OFFSET, CLEAR_SIZE, FrameHeaderCodec
from poof.format.layout import FRAME_HEADER_SIZE, FRAME_SIZE, PAGE_SIZE, WAL_HEADER_SIZE
from tests.support import inside

DATA_KEY = bytes(range(32))
PLACE = 32 + 5 * 8216
"""The offset of the sixth frame."""
SALTS = slice(CLEAR_SIZE, CHECKSUMS_OFFSET)
CHECKSUMS = slice(CHECKSUMS_OFFSET, FRAME_HEADER_SIZE)
BLOCK = slice(CLEAR_SIZE, FRAME_HEADER_SIZE)

headers = st.binary(min_size=FRAME_HEADER_SIZE, max_size=FRAME_HEADER_SIZE)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def difference(one: bytes, other: bytes) -> int:
    """In how many bits two headers differ."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def test_the_parts_are_those_of_the_log_of_sqlite() -> None:
    assert (CLEAR_SIZE, CHECKSUMS_OFFSET, FRAME_HEADER_SIZE) == (8, 16, 24)


@given(headers)
def test_a_header_comes_back(header: bytes) -> None:
    codec = FrameHeaderCodec(DATA_KEY)
    assert codec.open(codec.seal(header, PLACE), PLACE) == header


@given(headers)
def test_a_header_comes_back_through_views(header: bytes) -> None:
    codec = FrameHeaderCodec(DATA_KEY)
    assert codec.open(memoryview(codec.seal(memoryview(header), PLACE)), PLACE) == header


@given(headers)
def test_page_number_and_size_stay_as_they_are(header: bytes) -> None:
    assert FrameHeaderCodec(DATA_KEY).seal(header, PLACE)[:CLEAR_SIZE] == header[:CLEAR_SIZE]


@given(headers)
def test_neither_salts_nor_checksums_are_stored(header: bytes) -> None:
    stored = FrameHeaderCodec(DATA_KEY).seal(header, PLACE)
    assert header[SALTS] not in stored[BLOCK]
    assert header[CHECKSUMS] not in stored[BLOCK]


@given(headers)
def test_the_block_is_aes_under_a_key_derived_by_rfc_5869(header: bytes) -> None:
    extracted = hmac.digest(bytes(32), DATA_KEY, hashlib.sha256)
    derived = hmac.digest(extracted, b"poof wal frame header\x01", hashlib.sha256)[:16]
    encryptor = Cipher(algorithms.AES(derived), modes.ECB()).encryptor()  # noqa: S305 - one block
    placed = (int.from_bytes(header[SALTS], "big") ^ PLACE).to_bytes(8, "big") + header[CHECKSUMS]
    assert FrameHeaderCodec(DATA_KEY).seal(header, PLACE)[BLOCK] == encryptor.update(placed)


@given(headers, st.integers(0, 2**40))
def test_a_header_opened_in_another_place_has_other_salts(header: bytes, place: int) -> None:
    codec = FrameHeaderCodec(DATA_KEY)
    assert (codec.open(codec.seal(header, PLACE), place)[SALTS] == header[SALTS]) == (place == PLACE)


@pytest.mark.parametrize("bit", range(8 * CLEAR_SIZE, 8 * FRAME_HEADER_SIZE))
def test_any_changed_bit_changes_both_salts_and_checksums(bit: int) -> None:
    codec = FrameHeaderCodec(DATA_KEY)
    header = bytes(range(100, 100 + FRAME_HEADER_SIZE))
    opened = codec.open(flipped(codec.seal(header, PLACE), bit), PLACE)
    assert opened[SALTS] != header[SALTS]
    assert opened[CHECKSUMS] != header[CHECKSUMS]
    assert opened[:CLEAR_SIZE] == header[:CLEAR_SIZE]


def test_a_changed_bit_changes_half_of_the_block_on_average() -> None:
    codec = FrameHeaderCodec(DATA_KEY)
    header = bytes(range(100, 100 + FRAME_HEADER_SIZE))
    bits = range(8 * CLEAR_SIZE, 8 * FRAME_HEADER_SIZE)
    opened = [codec.open(flipped(codec.seal(header, PLACE), bit), PLACE) for bit in bits]
    assert 60 < sum(difference(header, other) for other in opened) / len(opened) < 68


def test_the_same_change_has_another_effect_under_every_key() -> None:
    header = bytes(FRAME_HEADER_SIZE)
    codecs = [FrameHeaderCodec(os.urandom(32)) for _ in range(100)]
    assert len({codec.open(flipped(codec.seal(header, PLACE), 64), PLACE) for codec in codecs}) == len(codecs)


@pytest.mark.parametrize("bit", range(8 * CLEAR_SIZE))
def test_a_changed_bit_of_the_clear_part_is_left_to_the_checksum_of_sqlite(bit: int) -> None:
    codec = FrameHeaderCodec(DATA_KEY)
    header = bytes(range(FRAME_HEADER_SIZE))
    assert codec.open(flipped(codec.seal(header, PLACE), bit), PLACE) == flipped(header, bit)


def test_another_key_does_not_open_a_header() -> None:
    header = bytes(FRAME_HEADER_SIZE)
    assert FrameHeaderCodec(bytes(32)).open(FrameHeaderCodec(DATA_KEY).seal(header, PLACE), PLACE) != header


LAST_FRAME = WAL_HEADER_SIZE + FRAME_SIZE


@pytest.fixture
def damaged_log(path: Path) -> Iterator[WalFile]:
    """A log of two frames, for pages 5 and 6, with one flipped bit in the second one's page."""
    path.touch()  # SQLite gives a log the mode of its main file
    flags = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    with inside.file_of(inside.state_of(path, DATA_KEY), f"{path}-wal", flags) as file:
        assert isinstance(file, WalFile)
        file.xWrite(bytes(WAL_HEADER_SIZE), 0)
        for number, frame in ((5, WAL_HEADER_SIZE), (6, LAST_FRAME)):
            file.xWrite(number.to_bytes(4, "big") + bytes(20), frame)
            file.xWrite(bytes(PAGE_SIZE), frame + FRAME_HEADER_SIZE)
        stored = Path(f"{path}-wal").read_bytes()
        Path(f"{path}-wal").write_bytes(flipped(stored, 8 * (LAST_FRAME + 5000)))
        yield file


def assert_damaged(file: WalFile, amount: int, offset: int) -> None:
    with pytest.raises(apsw.IOError) as raised:
        file.xRead(amount, offset)
    assert isinstance(raised.value.__cause__, DamagedPageError)
    assert raised.value.__cause__.page == 6


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
