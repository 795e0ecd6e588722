"""The page codec: a slot of the file is a token that any Fernet opens, of this page and of no other."""

import base64
import hmac
import os
import struct

import pytest
from cryptography.fernet import Fernet, InvalidToken
from hypothesis import given, settings
from hypothesis import strategies as st

from poof.format.layout import (
    CIPHERTEXT_OFFSET,
    CONTENT_SIZE,
    MAC_OFFSET,
    PAGE_SIZE,
    RESERVED_SIZE,
    TOKEN_IV_SIZE,
    TOKEN_SIZE,
)
from poof.format.pages import PageCodec

DATA_KEY = bytes(range(32))
MAX_NUMBER = 2**32 - 1
FERNET = Fernet(base64.urlsafe_b64encode(DATA_KEY))
IV = slice(CIPHERTEXT_OFFSET - TOKEN_IV_SIZE, CIPHERTEXT_OFFSET)

numbers = st.integers(1, MAX_NUMBER)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Content of a page: free bytes at a free place, the rest one repeated byte."""
    filler = draw(st.binary(min_size=1, max_size=1))
    drawn = draw(st.binary(max_size=400))
    start = draw(st.integers(0, CONTENT_SIZE - len(drawn)))
    return (filler * start + drawn).ljust(CONTENT_SIZE, filler)


def make_page(content: bytes) -> bytes:
    return content + bytes(RESERVED_SIZE)


def number_bytes(number: int, place: tuple[int, int] = (0, 0)) -> bytes:
    """What stands behind the content: where the page was written, and its number."""
    return struct.pack(">QII", *place, number)


def slot_of(token: bytes) -> bytes:
    """The slot for a token as Fernet makes it."""
    return base64.urlsafe_b64decode(token).ljust(PAGE_SIZE, b"\x00")


def sealed(number: int, content: bytes) -> bytes:
    return bytes(PageCodec(DATA_KEY).seal(number, make_page(content)))


@given(contents(), numbers)
def test_plain_fernet_opens_every_slot(content: bytes, number: int) -> None:
    token = base64.urlsafe_b64encode(sealed(number, content)[:TOKEN_SIZE])
    assert FERNET.decrypt(token) == content + number_bytes(number)


@given(contents(), numbers, st.integers(0, 2**63))
def test_a_token_that_fernet_made_is_opened(content: bytes, number: int, time: int) -> None:
    token = FERNET.encrypt_at_time(content + number_bytes(number), time)
    assert bytes(PageCodec(DATA_KEY).open(number, slot_of(token))) == make_page(content)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), numbers, contents()), max_size=12))
def test_one_codec_seals_and_opens_in_any_order(steps: list[tuple[bool, int, bytes]]) -> None:
    codec = PageCodec(DATA_KEY)
    kept: list[tuple[int, bytes, bytes]] = []
    for opens, number, content in steps:
        kept.append((number, content, bytes(codec.seal(number, make_page(content)))))
        if opens:
            for kept_number, kept_content, slot in kept:
                assert bytes(codec.open(kept_number, slot)) == make_page(kept_content)
    for number, content, slot in kept:
        assert FERNET.decrypt(base64.urlsafe_b64encode(slot[:TOKEN_SIZE])) == content + number_bytes(number)


def test_a_codec_works_on_after_what_it_refused() -> None:
    codec = PageCodec(DATA_KEY)
    slot = sealed(5, bytes(CONTENT_SIZE))
    for damaged in (bytes(PAGE_SIZE), slot[:-1], b"\x81" + slot[1:]):
        with pytest.raises(InvalidToken):
            codec.open(5, damaged)
    with pytest.raises(InvalidToken):
        codec.open(6, slot)
    assert bytes(codec.open(5, slot)) == bytes(PAGE_SIZE)
    assert bytes(codec.open(5, bytes(codec.seal(5, bytes(PAGE_SIZE))))) == bytes(PAGE_SIZE)


def test_no_flipped_bit_of_a_slot_is_accepted() -> None:
    codec = PageCodec(DATA_KEY)
    slot = bytearray(sealed(3, os.urandom(CONTENT_SIZE)))
    accepted = []
    for offset in range(PAGE_SIZE):
        for bit in range(8):
            slot[offset] ^= 1 << bit
            try:
                codec.open(3, slot)
            except InvalidToken:
                pass
            else:
                accepted.append((offset, bit))
            slot[offset] ^= 1 << bit
    assert accepted == []
    codec.open(3, slot)


@given(numbers, numbers)
def test_a_page_is_not_opened_under_another_number(number: int, other: int) -> None:
    slot = sealed(number, bytes(CONTENT_SIZE))
    codec = PageCodec(DATA_KEY)
    if number == other:
        codec.open(other, slot)
        return
    with pytest.raises(InvalidToken):
        codec.open(other, slot)


@pytest.mark.parametrize("bit", range(256))
def test_a_page_is_not_opened_under_another_key(bit: int) -> None:
    key = bytearray(DATA_KEY)
    key[bit // 8] ^= 1 << bit % 8
    slot = sealed(1, b"x" * CONTENT_SIZE)
    # The first half of a key signs. The second encrypts: then the token authenticates, but holds no page number.
    with pytest.raises(InvalidToken):
        PageCodec(bytes(key)).open(1, slot)


@pytest.mark.parametrize("offset", range(TOKEN_SIZE, PAGE_SIZE))
@pytest.mark.parametrize("byte", [1, 0x80, 0xFF])
def test_slack_that_is_not_zero_is_refused(offset: int, byte: int) -> None:
    slot = bytearray(sealed(1, bytes(CONTENT_SIZE)))
    slot[offset] = byte
    with pytest.raises(InvalidToken):
        PageCodec(DATA_KEY).open(1, slot)


@pytest.mark.parametrize("size", [0, 1, 8, 25, TOKEN_SIZE - 1, TOKEN_SIZE, PAGE_SIZE - 1, PAGE_SIZE + 1, 2 * PAGE_SIZE])
def test_a_slot_of_another_size_is_refused(size: int) -> None:
    slot = (sealed(1, bytes(CONTENT_SIZE)) * 2)[:size]
    with pytest.raises(InvalidToken):
        PageCodec(DATA_KEY).open(1, slot)


@pytest.mark.parametrize("missing", range(1, 16))
def test_an_authentic_token_with_longer_padding_is_refused(missing: int) -> None:
    # As long as a page's token. The number is taken from where it belongs, padding included.
    plaintext = bytes(CONTENT_SIZE + 16 - missing)
    padded = plaintext + bytes([missing + 1]) * (missing + 1)
    number = int.from_bytes(padded[CONTENT_SIZE + 12 : CONTENT_SIZE + 16], "big")
    slot = slot_of(FERNET.encrypt(plaintext))
    assert len(slot) == PAGE_SIZE
    with pytest.raises(InvalidToken):
        PageCodec(DATA_KEY).open(number, slot)


def test_an_authentic_token_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidToken):
        PageCodec(DATA_KEY).open(1, slot_of(FERNET.encrypt(b"short")))


@pytest.mark.parametrize("version", [0x00, 0x7F, 0x81, 0xFF])
def test_an_authentic_token_of_another_version_is_refused(version: int) -> None:
    slot = bytearray(sealed(1, bytes(CONTENT_SIZE)))
    slot[0] = version
    slot[MAC_OFFSET:TOKEN_SIZE] = hmac.digest(DATA_KEY[:16], slot[:MAC_OFFSET], "sha256")
    with pytest.raises(InvalidToken):
        PageCodec(DATA_KEY).open(1, slot)


def test_equal_pages_have_no_block_of_ciphertext_in_common() -> None:
    codec = PageCodec(DATA_KEY)
    blocks: set[bytes] = set()
    count = 0
    for _ in range(50):
        slot = bytes(codec.seal(1, bytes(PAGE_SIZE)))
        for offset in range(IV.start, MAC_OFFSET, 16):
            blocks.add(slot[offset : offset + 16])
            count += 1
    assert len(blocks) == count


def test_no_iv_repeats() -> None:
    codec = PageCodec(DATA_KEY)
    ivs = [bytes(codec.seal(1, bytes(PAGE_SIZE))[IV]) for _ in range(4000)]
    assert len(set(ivs)) == len(ivs)


def test_codecs_of_the_same_key_do_not_make_the_same_ivs() -> None:
    ivs = [sealed(1, bytes(CONTENT_SIZE))[IV] for _ in range(500)]
    assert len(set(ivs)) == len(ivs)


def test_the_bits_of_an_iv_are_even() -> None:
    codec = PageCodec(DATA_KEY)
    rounds = 2000
    ones = [0] * 128
    for _ in range(rounds):
        iv = int.from_bytes(codec.seal(1, bytes(PAGE_SIZE))[IV], "big")
        for bit in range(128):
            ones[bit] += iv >> bit & 1
    # Seven standard deviations of a fair coin: off once in 10**9 runs of this test.
    assert all(abs(count - rounds / 2) < 7 * (rounds / 4) ** 0.5 for count in ones)


@given(contents(), numbers, st.binary(min_size=RESERVED_SIZE, max_size=RESERVED_SIZE))
def test_reserved_bytes_are_left_out_and_read_back_zero(content: bytes, number: int, reserved: bytes) -> None:
    codec = PageCodec(DATA_KEY)
    page = codec.open(number, bytes(codec.seal(number, content + reserved)))
    assert bytes(page[CONTENT_SIZE:]) == bytes(RESERVED_SIZE)
    assert bytes(page[:CONTENT_SIZE]) == content


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))])
def test_any_buffer_is_sealed_and_opened_and_left_as_it_is(kind: type) -> None:
    codec = PageCodec(DATA_KEY)
    page = make_page(b"p" * CONTENT_SIZE)
    given_page = kind(page)
    slot = bytes(codec.seal(9, given_page))
    given_slot = kind(slot)
    assert bytes(codec.open(9, given_slot)) == page
    assert (bytes(given_page), bytes(given_slot)) == (page, slot)


def test_what_seal_returns_can_be_opened_by_the_same_codec_without_a_copy() -> None:
    codec = PageCodec(DATA_KEY)
    page = make_page(b"p" * CONTENT_SIZE)
    assert bytes(codec.open(9, codec.seal(9, page))) == page


def test_opening_leaves_the_sealed_view_and_sealing_the_opened_one() -> None:
    codec = PageCodec(DATA_KEY)
    first = make_page(b"1" * CONTENT_SIZE)
    slot = codec.seal(1, first)
    copy = bytes(slot)
    page = codec.open(1, copy)
    assert bytes(slot) == copy
    codec.seal(2, make_page(b"2" * CONTENT_SIZE))
    assert bytes(page) == first


def test_a_returned_view_is_a_whole_slot_or_page() -> None:
    codec = PageCodec(DATA_KEY)
    assert len(codec.seal(1, bytes(PAGE_SIZE))) == PAGE_SIZE
    assert len(codec.open(1, codec.seal(1, bytes(PAGE_SIZE)))) == PAGE_SIZE


@pytest.mark.parametrize("number", [1, 2, 255, 256, 0x01010101, 2**31, MAX_NUMBER])
def test_every_page_number_of_sqlite_fits(number: int) -> None:
    codec = PageCodec(DATA_KEY)
    assert bytes(codec.open(number, codec.seal(number, bytes(PAGE_SIZE)))) == bytes(PAGE_SIZE)


places = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))


@given(contents(), numbers, places)
def test_a_page_tells_where_in_the_log_it_was_written(content: bytes, number: int, place: tuple[int, int]) -> None:
    codec = PageCodec(DATA_KEY)
    slot = bytes(codec.seal(number, make_page(content), place))
    assert FERNET.decrypt(base64.urlsafe_b64encode(slot[:TOKEN_SIZE])) == content + number_bytes(number, place)
    assert bytes(codec.open_any(slot)) == make_page(content)
    assert (codec.number, codec.place) == (number, place)
