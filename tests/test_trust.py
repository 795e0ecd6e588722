"""Which copy of the header counts: the same one for a program that opens the file, and for one that has it open."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from inside import block_of

from poof import errors
from poof.errors import DamagedHeaderError, KeyReplacedError, PoofError, WrongKeyError
from poof.format.header import Header, encode_copy
from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE
from poof.format.subkeys import DataKeys
from poof.format.trust import TrustedHeader, changed, newest, unlock, wrap_previous
from poof.keys.slots import DataKey, KeySlot, key_slot, parse_key

VECTORS = Path(__file__).parent / "vectors"
INDEX = json.loads((VECTORS / "vectors.json").read_text(encoding="ascii"))["vectors"]
HEADERS = [
    pytest.param(vector, id=vector["name"])
    for vector in INDEX
    if not vector["name"].startswith(("one-token", "no-", "older-0.x"))
]
OF_THE_HEADER = {"WrongKeyError", "KeyRequiredError", "DamagedHeaderError", "NotAPoofFileError", "NewerFormatError"}
OF_THE_HEADER |= {"FileFormatError"}
"""All others are found out later, after the header was trusted."""

MINE, YOURS = Fernet.generate_key(), Fernet.generate_key()
CLUSTER, FILE = "c" * 32, "f" * 32
FIRST, SECOND, FOREIGN = DataKey.generate(), DataKey.generate(1), DataKey.generate(7)


def slots_of(data_key: DataKey) -> tuple[KeySlot, ...]:
    return key_slot(CLUSTER, data_key, MINE), key_slot(CLUSTER, data_key, YOURS)


PLAIN = Header(format=1, cluster=CLUSTER, file=FILE, generation=1, rotations=0, slots=slots_of(FIRST))
OLD, NEW, OTHER = PLAIN.key(FIRST), PLAIN.key(SECOND), PLAIN.key(FOREIGN)
BOTH = TrustedHeader(PLAIN, DataKeys(OLD))
YOURS_ALONE = TrustedHeader(changed(BOTH.header, slots=BOTH.header.slots[1:]), BOTH.keys)
ROTATED = TrustedHeader(
    changed(BOTH.header, rotations=1, slots=slots_of(SECOND), previous=wrap_previous(NEW, FIRST)), DataKeys(NEW, OLD)
)
ROTATED_YOURS_ALONE = TrustedHeader(changed(ROTATED.header, slots=ROTATED.header.slots[1:]), ROTATED.keys)


def copy_of(trusted: TrustedHeader, data_key: DataKey | None = None) -> bytes:
    return encode_copy(trusted.header, data_key or trusted.keys.current.data_key)


@pytest.mark.parametrize("vector", HEADERS)
def test_the_header_of_a_vector_is_trusted_or_refused_as_the_index_says(vector: dict[str, Any]) -> None:
    block = (VECTORS / vector["file"]).read_bytes()[:HEADER_BLOCK_SIZE]
    key = parse_key(vector["key"]) if "key" in vector else None
    error = vector.get("error")
    if error in OF_THE_HEADER and not vector["name"].startswith("records"):
        with pytest.raises(getattr(errors, error)):
            unlock(block, key, vector.get("password"), "x")
        return
    trusted, user_key = unlock(block, key, vector.get("password"), "x")
    assert newest(block, trusted.keys.current, [], "x") == trusted
    assert newest(block, trusted.header.key(FOREIGN), [user_key], "x") == trusted


@pytest.mark.parametrize("newer_first", [True, False])
def test_a_removed_key_opens_no_older_copy(newer_first: bool) -> None:
    halves = [copy_of(YOURS_ALONE), copy_of(BOTH)]
    block = block_of(*(halves if newer_first else reversed(halves)))
    with pytest.raises(WrongKeyError):
        unlock(block, MINE, None, "x")
    assert unlock(block, YOURS, None, "x").trusted == YOURS_ALONE
    assert newest(block, OLD, [MINE], "x") == YOURS_ALONE  # by the data key, which is known already


@pytest.mark.parametrize("newer_first", [True, False])
def test_a_removed_key_leads_an_open_cluster_to_no_new_data_key(newer_first: bool) -> None:
    """The data key was replaced, and then a slot removed, in one of the two copies so far."""
    halves = [copy_of(ROTATED_YOURS_ALONE), copy_of(ROTATED)]
    block = block_of(*(halves if newer_first else reversed(halves)))
    with pytest.raises(KeyReplacedError):
        newest(block, OLD, [MINE], "x")
    with pytest.raises(WrongKeyError):
        unlock(block, MINE, None, "x")
    assert newest(block, OLD, [MINE, YOURS], "x") == ROTATED_YOURS_ALONE
    assert newest(block, NEW, [MINE], "x") == ROTATED_YOURS_ALONE


OLDER = {
    "torn": lambda copy: copy[: HEADER_COPY_SIZE // 8] + bytes(HEADER_COPY_SIZE - HEADER_COPY_SIZE // 8),
    "forged": lambda copy: copy_of(ROTATED, FOREIGN),
    "destroyed": lambda copy: bytes(HEADER_COPY_SIZE),
}


@pytest.mark.parametrize("newer", OLDER.values(), ids=OLDER.keys())
def test_the_older_copy_counts_where_the_newer_one_is_not_genuine(newer: Any) -> None:
    block = block_of(newer(copy_of(ROTATED)), copy_of(BOTH))
    assert unlock(block, MINE, None, "x").trusted == BOTH
    assert newest(block, OLD, [MINE], "x") == BOTH


def test_a_newer_copy_that_cannot_be_read_may_be_genuine_to_a_program_without_a_slot() -> None:
    block = block_of(copy_of(ROTATED), copy_of(BOTH))
    with pytest.raises(KeyReplacedError):
        newest(block, OLD, [Fernet.generate_key()], "x")
    with pytest.raises(KeyReplacedError):
        newest(block, OLD, [], "x")


def test_while_the_data_key_is_replaced_the_header_leads_to_both() -> None:
    block = block_of(copy_of(ROTATED), copy_of(ROTATED))
    assert unlock(block, MINE, None, "x").trusted.keys == DataKeys(NEW, OLD)
    assert newest(block, OLD, [YOURS], "x").keys == DataKeys(NEW, OLD)


def test_no_error_shows_a_key() -> None:
    for wrong in (Fernet.generate_key(), None):
        with pytest.raises(PoofError) as raised:
            unlock(block_of(copy_of(BOTH), copy_of(BOTH)), wrong, None, "x")
        assert not any(key.decode() in str(raised.value) for key in (MINE, YOURS, *filter(None, [wrong])))


@pytest.mark.parametrize("generation", [2, 99])
@pytest.mark.parametrize("rotations", [0, 1, 99])
@pytest.mark.parametrize("first", [True, False])
def test_who_knew_the_data_key_before_makes_no_header_that_counts(generation: int, rotations: int, first: bool) -> None:
    """The old slots are known as well, as they stood in the file."""
    forged = BOTH.header.model_copy(update={"generation": generation, "rotations": rotations})
    halves = [encode_copy(forged, FIRST), copy_of(ROTATED)]
    block = block_of(*(halves if first else reversed(halves)))
    assert unlock(block, MINE, None, "x").trusted == ROTATED
    assert newest(block, OLD, [MINE], "x") == ROTATED


def test_a_header_of_another_copy_of_the_file_is_none_for_a_program_that_has_it_open() -> None:
    other = BOTH.header.model_copy(update={"file": "e" * 32, "generation": 9})
    assert newest(block_of(encode_copy(other, FIRST), copy_of(BOTH)), OLD, [MINE], "x") == BOTH
    with pytest.raises(DamagedHeaderError):
        newest(block_of(encode_copy(other, FIRST), encode_copy(other, FIRST)), OLD, [MINE], "x")


def test_a_slot_opens_in_no_other_cluster_and_under_no_other_id() -> None:
    slot = BOTH.header.slots[0]
    assert slot.unwrap(CLUSTER, MINE) == FIRST
    assert slot.unwrap("d" * 32, MINE) is None
    assert slot.model_copy(update={"id": "00000000"}).unwrap(CLUSTER, MINE) is None


def test_a_token_that_was_made_elsewhere_with_the_same_key_is_no_slot() -> None:
    token = Fernet(MINE).encrypt(FIRST.secret + bytes(4)).decode()
    assert BOTH.header.slots[0].model_copy(update={"token": token}).unwrap(CLUSTER, MINE) is None
