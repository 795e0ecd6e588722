"""The header block: bytes to a header and back, two copies of which either is enough, and no trust in what it says."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import block_of

from poof.engines.sqlite.file.unlock import Unlocked, unlock
from poof.errors import DamagedHeaderError, FileFormatError, NewerFormatError, NotAPoofFileError, WrongKeyError
from poof.format.header import (
    MAX_GENERATION,
    Header,
    HeaderCopy,
    encode_block,
    encode_copy,
    named_format,
    parse_block,
)
from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE, HEADER_STARTS, RECORD_SIZE, RECORD_STARTS
from poof.keys.credentials import Credentials
from poof.keys.kdf import MAX_LANES, MAX_MEMORY_KIB, MAX_PASSES, MAX_WORK_KIB
from poof.keys.slots import MAX_LABEL_BYTES, MAX_ROTATIONS, MAX_SLOTS, TOKEN_SIZE, DataKey, KeySlot, key_slot

MAGIC = b"PoofDB encrypted cluster, format 1\n"
USER_KEY = Fernet.generate_key()
DATA_KEY = DataKey.generate()
CLUSTER, FILE = "00112233445566778899aabbccddeeff", "ff112233445566778899aabbccddeeff"
SLOT = key_slot(CLUSTER, DATA_KEY, USER_KEY)
HEADER = Header(format=1, cluster=CLUSTER, file=FILE, generation=7, rotations=0, slots=(SLOT,))


def header_of(generation: int) -> Header:
    return HEADER.model_copy(update={"generation": generation})


def open_with_key(block: bytes, key: bytes = USER_KEY) -> Unlocked:
    return unlock(block, Credentials(key=key), "cluster.poof")


def widest_slot(number: int, label: str) -> dict[str, Any]:
    """A slot as large as one can be."""
    cost = {"memory_kib": MAX_WORK_KIB // MAX_PASSES // MAX_SLOTS, "passes": MAX_PASSES, "lanes": MAX_LANES}
    return {
        "id": f"{number:08x}",
        "kind": "password",
        "label": label,
        "created": MAX_GENERATION,
        "token": "A" * TOKEN_SIZE,
        "derivation": {"name": "argon2id", "salt": "A" * 22 + "==", "cost": cost},
    }


def widest_header(label: str) -> Header:
    slots = [widest_slot(number, label) for number in range(MAX_SLOTS)]
    return Header.model_validate_json(
        json.dumps(
            {
                "format": 1,
                "cluster": "f" * 32,
                "file": "e" * 32,
                "generation": MAX_GENERATION,
                "rotations": MAX_ROTATIONS,
                "slots": slots,
            }
        )
    )


def copy_with_json(text: bytes) -> bytes:
    """A copy with any text where its JSON belongs."""
    return (MAGIC + text + b"\n" + b"0" * 64 + b"\n").ljust(HEADER_COPY_SIZE, b"\x00")


def with_field(path: str, value: object) -> bytes:
    """The header's JSON with one field changed; the path's steps are separated by dots."""
    fields = json.loads(widest_header("").model_dump_json(exclude_none=True))
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    target = fields
    for step in steps:
        target = target[step]
    target[last] = value
    return json.dumps(fields, separators=(",", ":")).encode()


def twice(copy: bytes) -> bytes:
    return block_of(copy[:HEADER_COPY_SIZE], copy[:HEADER_COPY_SIZE])


def test_a_header_comes_back_from_either_copy() -> None:
    block = encode_block(HEADER, DATA_KEY)
    for copies in (
        parse_block(block),
        parse_block(block[:4096] + bytes(4096)),
        parse_block(bytes(4096) + block[4096:]),
    ):
        assert [copy.header for copy in copies] == [HEADER]
        assert copies[0].is_authentic(DATA_KEY)


def test_the_block_is_two_equal_copies_and_two_equal_records() -> None:
    block = encode_block(HEADER, DATA_KEY)
    assert len(block) == HEADER_BLOCK_SIZE
    assert block[:4096] == block[4096:]
    assert block[:HEADER_COPY_SIZE] == encode_copy(HEADER, DATA_KEY)
    assert block[RECORD_STARTS[0] + RECORD_SIZE : 4096].strip(b"\0") == b""


def test_a_copy_is_three_lines_and_zeros() -> None:
    magic, text, mac, rest = encode_copy(HEADER, DATA_KEY).split(b"\n")
    assert magic + b"\n" == MAGIC
    assert json.loads(text)["cluster"] == HEADER.cluster
    assert len(bytes.fromhex(mac.decode())) == 32
    assert rest.strip(b"\x00") == b""


def test_a_header_holds_no_secret_in_the_clear() -> None:
    block = encode_block(HEADER, DATA_KEY)
    assert DATA_KEY.secret not in block
    assert DATA_KEY.secret.hex().encode() not in block
    assert USER_KEY not in block


@pytest.mark.parametrize("newer_first", [True, False])
def test_the_newer_of_two_copies_wins_wherever_it_lies(newer_first: bool) -> None:
    halves = [encode_copy(header_of(generation), DATA_KEY) for generation in (4, 3)]
    block = block_of(*(halves if newer_first else reversed(halves)))
    assert [copy.header.generation for copy in parse_block(block)] == [4, 3]
    assert open_with_key(block).header.generation == 4


@pytest.mark.parametrize("forged_first", [True, False])
def test_a_newer_copy_that_is_not_authentic_is_passed_over(forged_first: bool) -> None:
    forged = encode_copy(header_of(9), DataKey.generate())  # with the right slot, but signed under another key
    halves = [forged, encode_copy(header_of(3), DATA_KEY)]
    block = block_of(*(halves if forged_first else reversed(halves)))
    assert open_with_key(block).header.generation == 3


def test_a_copy_with_another_generation_pasted_in_is_not_authentic() -> None:
    pasted = encode_copy(HEADER, DATA_KEY).replace(b'"generation":7', b'"generation":8')
    [newer, older] = parse_block(block_of(pasted, encode_copy(HEADER, DATA_KEY)))
    assert (newer.is_authentic(DATA_KEY), older.is_authentic(DATA_KEY)) == (False, True)


def test_two_copies_that_are_not_authentic_are_a_damaged_header() -> None:
    with pytest.raises(DamagedHeaderError, match=r"^Decryption failed"):
        open_with_key(encode_block(HEADER, DataKey.generate()))


def test_a_key_that_opens_no_slot_is_a_wrong_key_and_not_damage() -> None:
    with pytest.raises(WrongKeyError, match=r"^Decryption failed"):
        open_with_key(encode_block(HEADER, DATA_KEY), Fernet.generate_key())


@pytest.mark.parametrize("start", HEADER_STARTS)
def test_any_flipped_bit_of_one_copy_leaves_the_other(start: int) -> None:
    block = bytearray(encode_block(HEADER, DATA_KEY))
    text_size = len(bytes(block[:HEADER_COPY_SIZE]).rstrip(b"\x00"))
    # Every bit of the text, then one bit of each byte of the zeros, in turn.
    flips = [(offset, bit) for offset in range(text_size) for bit in range(8)]
    flips += [(offset, offset % 8) for offset in range(text_size, HEADER_COPY_SIZE)]
    for offset, bit in flips:
        block[start + offset] ^= 1 << bit
        authentic = [copy.header for copy in parse_block(bytes(block)) if copy.is_authentic(DATA_KEY)]
        assert authentic == [HEADER], (offset, bit)
        block[start + offset] ^= 1 << bit


def test_a_torn_write_of_one_copy_leaves_the_other() -> None:
    old, new = encode_copy(header_of(1), DATA_KEY), encode_copy(header_of(2), DATA_KEY)
    text_size = len(new.rstrip(b"\x00"))
    for torn_at in range(0, HEADER_COPY_SIZE + 1, 7):
        block = block_of(new[:torn_at] + old[torn_at:], old)
        assert open_with_key(block).header.generation == (2 if torn_at >= text_size else 1)


@settings(max_examples=300)
@given(st.binary(max_size=2 * HEADER_BLOCK_SIZE))
def test_garbage_has_no_copies(garbage: bytes) -> None:
    assert parse_block(garbage) == []


@settings(max_examples=300)
@given(st.binary(max_size=HEADER_COPY_SIZE - 120))
def test_garbage_after_the_magic_line_has_no_copies(garbage: bytes) -> None:
    assert parse_block(twice(copy_with_json(garbage))) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=20,
)
FIELDS = ["format", "cluster", "generation", "slots", "slots.0", "slots.0.id", "slots.0.kind", "slots.0.label"]
FIELDS += ["slots.0.created", "slots.0.token", "slots.0.derivation", "slots.0.derivation.name", "extra"]
FIELDS += ["slots.0.derivation.salt", "slots.0.derivation.cost", "slots.0.derivation.cost.memory_kib"]
FIELDS += ["slots.0.derivation.cost.passes", "slots.0.derivation.cost.lanes", "slots.0.derivation.extra"]


@settings(max_examples=300)
@given(st.sampled_from(FIELDS), json_values)
def test_any_json_in_any_field_is_a_copy_that_is_not_authentic_or_none(path: str, value: object) -> None:
    block = twice(copy_with_json(with_field(path, value)).ljust(HEADER_COPY_SIZE, b"\0"))
    assert not any(copy.is_authentic(DATA_KEY) for copy in parse_block(block))


REFUSED = {
    "another format": ("format", 2),
    "a cluster id of other characters": ("cluster", "F" * 32),
    "a file number of other length": ("file", "f" * 31),
    "a generation of 0": ("generation", 0),
    "a generation that is true": ("generation", True),
    "a generation with a fraction": ("generation", 1.0),
    "a negative number of rotations": ("rotations", -1),
    "more rotations than there can be": ("rotations", MAX_ROTATIONS + 1),
    "nothing for the key before": ("previous", None),
    "stray bits in a salt": ("slots.0.derivation.salt", "A" * 21 + "B=="),
    "slots that cost too much together": ("slots.0.derivation.cost.memory_kib", MAX_WORK_KIB // MAX_PASSES),
    "a huge generation": ("generation", MAX_GENERATION + 1),
    "a generation that is text": ("generation", "7"),
    "no slots": ("slots", []),
    "too many slots": ("slots", [widest_slot(number, "") for number in range(MAX_SLOTS + 1)]),
    "two slots of the same id": ("slots", [widest_slot(1, ""), widest_slot(1, "")]),
    "an unknown field": ("extra", 1),
    "an unknown field in a slot": ("slots.0.extra", 1),
    "an unknown kind": ("slots.0.kind", "fingerprint"),
    "a long label": ("slots.0.label", "x" * (MAX_LABEL_BYTES + 1)),
    "a label of control characters": ("slots.0.label", "\x1b[2J"),
    "a long token": ("slots.0.token", "A" * (TOKEN_SIZE + 1)),
    "a token of other characters": ("slots.0.token", "é" * TOKEN_SIZE),
    "a negative time": ("slots.0.created", -1),
    "a password without a derivation": ("slots.0.derivation", None),
    "a key with a derivation": ("slots.0.kind", "key"),
    "another derivation": ("slots.0.derivation.name", "pbkdf2"),
    "a short salt": ("slots.0.derivation.salt", "AAAA"),
    "a salt that is not base64": ("slots.0.derivation.salt", "!" * 24),
    "too much memory": ("slots.0.derivation.cost.memory_kib", MAX_MEMORY_KIB + 1),
    "too many passes": ("slots.0.derivation.cost.passes", MAX_PASSES + 1),
    "too many lanes": ("slots.0.derivation.cost.lanes", MAX_LANES + 1),
    "too much work": ("slots.0.derivation.cost.memory_kib", MAX_WORK_KIB // MAX_PASSES + 1),
    "no memory": ("slots.0.derivation.cost.memory_kib", 0),
}


@pytest.mark.parametrize(("path", "value"), REFUSED.values(), ids=REFUSED.keys())
def test_a_header_with_an_unbounded_or_unknown_value_is_not_read(path: str, value: object) -> None:
    assert parse_block(twice(copy_with_json(with_field("generation", 1))))
    assert parse_block(twice(copy_with_json(with_field(path, value)))) == []


HOSTILE = {
    "deep arrays": b'{"slots":' + b"[" * 1700 + b"]" * 1700 + b"}",
    "deep objects": b'{"a":' * 500 + b"1" + b"}" * 600,
    "a long number": b'{"generation":' + b"9" * 3400 + b"}",
    "a long exponent": b'{"generation":1e' + b"9" * 3400 + b"}",
    "a long fraction": b'{"generation":0.' + b"9" * 3400 + b"}",
    "the same key many times": b"{" + b'"a":1,' * 500 + b'"a":1}',
    "no end": b"{" + b'"a":[' * 600 + b"}",
    "escapes": b'{"cluster":"' + b"\\u0000" * 500 + b'"}',
    "lone surrogates": b'{"cluster":"' + b"\\ud800" * 500 + b'"}',
    "not UTF-8": b'{"cluster":"' + b"\xff" * 3000 + b'"}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_not_read(text: bytes) -> None:
    copy = copy_with_json(text)
    assert len(copy) == HEADER_COPY_SIZE
    assert parse_block(twice(copy)) == []


def test_text_after_the_three_lines_is_not_read() -> None:
    copy = bytearray(encode_copy(HEADER, DATA_KEY))
    copy[-1] = 1
    assert parse_block(twice(bytes(copy))) == []


@pytest.mark.parametrize("label", ["x" * 64, "é" * 32, "\N{GRINNING FACE}" * 16])
def test_eight_slots_with_the_widest_labels_fit_a_copy(label: str) -> None:
    header = widest_header(label)
    assert len(label.encode()) == MAX_LABEL_BYTES
    copy = encode_copy(header, DATA_KEY)
    assert len(copy) == HEADER_COPY_SIZE
    assert parse_block(twice(copy))[0].header == header


def test_a_header_that_does_not_fit_is_refused_and_not_cut() -> None:
    header = HEADER.model_copy(update={"cluster": "0" * HEADER_COPY_SIZE})
    with pytest.raises(ValueError, match="does not fit"):
        encode_copy(header, DATA_KEY)
    with pytest.raises(ValueError, match="does not fit"):
        encode_copy(widest_header('"' * 64), DATA_KEY)


NAMED: dict[str, tuple[Callable[[bytes], bytes], int | None]] = {
    "this one": (lambda block: block, 1),
    "a newer one": (lambda block: block.replace(b"format 1\n", b"format 2\n"), 2),
    "a newer one in the second copy alone": (lambda block: bytes(4096) + block[4096:].replace(b"t 1\n", b"t 3\n"), 3),
    "none": (lambda block: bytes(len(block)), None),
    "too long a number": (lambda block: block.replace(b"format 1\n", b"format 1234567890\n"), None),
}


@pytest.mark.parametrize(("change", "number"), NAMED.values(), ids=NAMED.keys())
def test_the_magic_line_names_the_format(change: Callable[[bytes], bytes], number: int | None) -> None:
    assert named_format(change(encode_block(HEADER, DATA_KEY))) == number


def test_a_newer_format_is_told_from_something_else() -> None:
    block = encode_block(HEADER, DATA_KEY)
    with pytest.raises(NewerFormatError, match="format 2"):
        open_with_key(block.replace(b"format 1\n", b"format 2\n"))
    with pytest.raises(NotAPoofFileError):
        open_with_key(os.urandom(HEADER_BLOCK_SIZE))
    with pytest.raises(NotAPoofFileError, match="empty"):
        open_with_key(b"")
    with pytest.raises(DamagedHeaderError):
        open_with_key(twice(MAGIC.ljust(HEADER_COPY_SIZE, b"x")))


def test_a_slot_whose_token_is_not_ascii_is_not_opened() -> None:
    header = HEADER.model_dump(mode="json", exclude_none=True)
    header["slots"][0]["token"] = "é" * TOKEN_SIZE
    copy = copy_with_json(json.dumps(header, ensure_ascii=False).encode())
    with pytest.raises((WrongKeyError, DamagedHeaderError)):
        open_with_key(twice(copy))


def test_a_copy_and_a_slot_do_not_show_more_than_the_file() -> None:
    [copy] = parse_block(encode_block(HEADER, DATA_KEY))
    assert isinstance(copy, HeaderCopy)
    assert isinstance(copy.header.slots[0], KeySlot)
    for secret in (DATA_KEY.secret.hex(), USER_KEY.decode()):
        assert secret not in repr(copy)


def test_a_member_that_is_there_twice_is_not_read() -> None:
    text = with_field("generation", 1)
    assert parse_block(twice(copy_with_json(text)))
    assert parse_block(twice(copy_with_json(b'{"generation":1,' + text[1:]))) == []


@pytest.mark.parametrize("rotations", [1, 2**32 - 1])
def test_a_copy_is_authentic_only_under_the_number_of_rotations_in_the_token(rotations: int) -> None:
    copy = encode_copy(HEADER.model_copy(update={"rotations": rotations}), DATA_KEY)
    with pytest.raises(DamagedHeaderError):
        open_with_key(twice(copy))


def test_a_file_of_the_preview_is_refused_by_name() -> None:
    text = (
        b'PoofDB encrypted cluster, format 1\n{"format":1,"cluster":"00112233445566778899aabbccddeeff","generation":1,'
        b'"slots":[]}\n' + b"0" * 64 + b"\n"
    )
    with pytest.raises(FileFormatError, match=r"1\.0\.0\.dev1") as raised:
        open_with_key(text.ljust(4096, b"\0") * 2)
    assert type(raised.value) is FileFormatError
