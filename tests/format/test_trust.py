"""Which copy of the header counts: the same one for a program that opens the file, and for one that has it open."""

import json
from typing import Any

import pytest
from cryptography.fernet import Fernet

from poof import errors
from poof.errors import KeyReplacedError, PoofError, WrongKeyError
from poof.format.header import Header, encode_copy
from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE
from poof.format.trust import DataKeys, TrustedHeader, changed, newest, unlock, wrap_previous
from poof.keys.slots import generate_data_key, key_slot, parse_key
from tests.support.places import TESTS

VECTORS = TESTS / "vectors"
INDEX = json.loads((VECTORS / "vectors.json").read_text(encoding="ascii"))["vectors"]
HEADERS = [
    pytest.param(vector, id=vector["name"]) for vector in INDEX if not vector["name"].startswith(("one-token", "no-"))
]
OF_THE_PAGES = {"DamagedPageError", "TruncatedFileError"}
"""What is found out later, after the header was trusted."""

MINE, YOURS = Fernet.generate_key(), Fernet.generate_key()
FIRST, SECOND, FOREIGN = generate_data_key(), generate_data_key(), generate_data_key()
BOTH = TrustedHeader(
    Header(format=1, cluster="f" * 32, generation=1, slots=(key_slot(FIRST, MINE), key_slot(FIRST, YOURS))),
    DataKeys(FIRST),
)
YOURS_ALONE = TrustedHeader(changed(BOTH.header, slots=BOTH.header.slots[1:]), BOTH.keys)
ROTATED = TrustedHeader(
    changed(
        BOTH.header,
        slots=(key_slot(SECOND, MINE), key_slot(SECOND, YOURS)),
        previous=wrap_previous(SECOND, FIRST),
    ),
    DataKeys(SECOND, FIRST),
)
ROTATED_YOURS_ALONE = TrustedHeader(changed(ROTATED.header, slots=ROTATED.header.slots[1:]), ROTATED.keys)


def copy_of(trusted: TrustedHeader, data_key: bytes | None = None) -> bytes:
    return encode_copy(trusted.header, data_key or trusted.keys.current)


@pytest.mark.parametrize("vector", HEADERS)
def test_the_header_of_a_vector_is_trusted_or_refused_as_the_index_says(vector: dict[str, Any]) -> None:
    block = (VECTORS / vector["file"]).read_bytes()[:HEADER_BLOCK_SIZE]
    key = parse_key(vector["key"]) if "key" in vector else None
    error = vector.get("error")
    if error is not None and error not in OF_THE_PAGES:
        with pytest.raises(getattr(errors, error)):
            unlock(block, key, vector.get("password"), "x")
        return
    trusted, user_key = unlock(block, key, vector.get("password"), "x")
    assert newest(block, trusted.keys.current, [], "x") == trusted
    assert newest(block, FOREIGN, [user_key], "x") == trusted


@pytest.mark.parametrize("newer_first", [True, False])
def test_a_removed_key_opens_no_older_copy(newer_first: bool) -> None:
    halves = [copy_of(YOURS_ALONE), copy_of(BOTH)]
    block = b"".join(halves if newer_first else reversed(halves))
    with pytest.raises(WrongKeyError):
        unlock(block, MINE, None, "x")
    assert unlock(block, YOURS, None, "x").trusted == YOURS_ALONE
    assert newest(block, FIRST, [MINE], "x") == YOURS_ALONE  # by the data key, which is known already


@pytest.mark.parametrize("newer_first", [True, False])
def test_a_removed_key_leads_an_open_cluster_to_no_new_data_key(newer_first: bool) -> None:
    """The data key was replaced, and then a slot removed, in one of the two copies so far."""
    halves = [copy_of(ROTATED_YOURS_ALONE), copy_of(ROTATED)]
    block = b"".join(halves if newer_first else reversed(halves))
    with pytest.raises(KeyReplacedError):
        newest(block, FIRST, [MINE], "x")
    with pytest.raises(WrongKeyError):
        unlock(block, MINE, None, "x")
    assert newest(block, FIRST, [MINE, YOURS], "x") == ROTATED_YOURS_ALONE
    assert newest(block, SECOND, [MINE], "x") == ROTATED_YOURS_ALONE


OLDER = {
    "torn": lambda copy: copy[: HEADER_COPY_SIZE // 8] + bytes(HEADER_COPY_SIZE - HEADER_COPY_SIZE // 8),
    "forged": lambda copy: copy_of(ROTATED, FOREIGN),
    "destroyed": lambda copy: bytes(HEADER_COPY_SIZE),
}


@pytest.mark.parametrize("newer", OLDER.values(), ids=OLDER.keys())
def test_the_older_copy_counts_where_the_newer_one_is_not_genuine(newer: Any) -> None:
    block = newer(copy_of(ROTATED)) + copy_of(BOTH)
    assert unlock(block, MINE, None, "x").trusted == BOTH
    assert newest(block, FIRST, [MINE], "x") == BOTH


def test_a_newer_copy_that_cannot_be_read_may_be_genuine_to_a_program_without_a_slot() -> None:
    block = copy_of(ROTATED) + copy_of(BOTH)
    with pytest.raises(KeyReplacedError):
        newest(block, FIRST, [Fernet.generate_key()], "x")
    with pytest.raises(KeyReplacedError):
        newest(block, FIRST, [], "x")


def test_while_the_data_key_is_replaced_the_header_leads_to_both() -> None:
    block = 2 * copy_of(ROTATED)
    assert unlock(block, MINE, None, "x").trusted.keys == DataKeys(SECOND, FIRST)
    assert newest(block, FIRST, [YOURS], "x").keys == DataKeys(SECOND, FIRST)


def test_no_error_shows_a_key() -> None:
    for wrong in (Fernet.generate_key(), None):
        with pytest.raises(PoofError) as raised:
            unlock(2 * copy_of(BOTH), wrong, None, "x")
        assert not any(key.decode() in str(raised.value) for key in (MINE, YOURS, *filter(None, [wrong])))
