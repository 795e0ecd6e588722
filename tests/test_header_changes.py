"""The header is changed in place: at every moment, and wherever a write is torn, one whole copy is there."""

import inside
import pytest
from cryptography.fernet import Fernet

from poof.engines.sqlite.file.unlock import unlock
from poof.errors import DamagedHeaderError, KeyReplacedError
from poof.format.header import Header, copies_in, encode_block, encode_copy
from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE, HEADER_STARTS
from poof.format.subkeys import DataKeys
from poof.format.trust import TrustedHeader, changed, newest, wrap_previous, writes
from poof.keys.credentials import Credentials
from poof.keys.slots import DataKey, key_slot

SECTOR = 512
KEYS = [Fernet.generate_key() for _ in range(3)]
CLUSTER = "c" * 32
OLD_DATA_KEY, NEW_DATA_KEY = DataKey.generate(), DataKey.generate(1)
HEADER = Header(
    format=1,
    cluster=CLUSTER,
    file="f" * 32,
    generation=7,
    rotations=0,
    slots=tuple(key_slot(CLUSTER, OLD_DATA_KEY, key) for key in KEYS[:2]),
)
OLD_KEY, NEW_KEY = HEADER.key(OLD_DATA_KEY), HEADER.key(NEW_DATA_KEY)
OLD = TrustedHeader(HEADER, DataKeys(OLD_KEY))
REMOVED = TrustedHeader(changed(OLD.header, slots=OLD.header.slots[:1]), OLD.keys)
ROTATED = TrustedHeader(
    changed(
        REMOVED.header,
        rotations=1,
        slots=(REMOVED.header.slots[0].rewrapped(CLUSTER, NEW_DATA_KEY, KEYS[0]),),
        previous=wrap_previous(NEW_KEY, OLD_DATA_KEY),
    ),
    DataKeys(NEW_KEY, OLD_KEY),
)
NEXT = {"a slot is removed": (OLD, REMOVED), "the data key is replaced": (REMOVED, ROTATED)}


def copy_of(trusted: TrustedHeader) -> bytes:
    return encode_copy(trusted.header, trusted.keys.current.data_key)


def block_of(trusted: TrustedHeader) -> bytes:
    copy, block = copy_of(trusted), encode_block(trusted.header, trusted.keys.current.data_key)
    return inside.block_of(copy, copy, block)


def after(block: bytes, offset: int, written: bytes) -> bytes:
    return block[:offset] + written + block[offset + len(written) :]


def torn(block: bytes, plan: list[tuple[int, bytes]]) -> list[bytes]:
    """The block at every moment of a change: sectors are written one by one, from either end."""
    moments = []
    for offset, copy in plan:
        for size in range(0, HEADER_COPY_SIZE, SECTOR):
            moments.append(after(block, offset, copy[:size]))
            moments.append(after(block, offset + size, copy[size:]))
        block = after(block, offset, copy)
    return [*moments, block]


@pytest.mark.parametrize(("old", "new"), NEXT.values(), ids=NEXT.keys())
def test_a_change_torn_at_any_sector_leaves_the_old_header_or_the_new_one(
    old: TrustedHeader, new: TrustedHeader
) -> None:
    moments = torn(block_of(old), writes(block_of(old), old, copy_of(new)))
    assert len(moments) == 29
    found = [newest(block, OLD_KEY, [KEYS[0]], "x") for block in moments]
    assert all(trusted in (old, new) for trusted in found)
    assert found[0] == old
    assert found[-1] == new


@pytest.mark.parametrize(("old", "new"), NEXT.values(), ids=NEXT.keys())
def test_whoever_keeps_a_key_can_open_the_file_at_any_moment(old: TrustedHeader, new: TrustedHeader) -> None:
    for block in torn(block_of(old), writes(block_of(old), old, copy_of(new))):
        assert unlock(block, Credentials(key=KEYS[0]), "x").key in (OLD_KEY, NEW_KEY)


@pytest.mark.parametrize(("old", "new"), NEXT.values(), ids=NEXT.keys())
def test_after_a_change_both_copies_are_the_new_header(old: TrustedHeader, new: TrustedHeader) -> None:
    block = torn(block_of(old), writes(block_of(old), old, copy_of(new)))[-1]
    assert copies_in(block) == [copy_of(new), copy_of(new)]


@pytest.mark.parametrize(("old", "interrupted"), NEXT.values(), ids=NEXT.keys())
@pytest.mark.parametrize("first", HEADER_STARTS)
def test_an_interrupted_change_is_first_carried_through(
    old: TrustedHeader, interrupted: TrustedHeader, first: int
) -> None:
    block = after(block_of(old), first, copy_of(interrupted))
    trusted = newest(block, OLD_KEY, [KEYS[0]], "x")
    assert trusted == interrupted
    new = TrustedHeader(changed(trusted.header, slots=trusted.header.slots), trusted.keys)
    plan = writes(block, trusted, copy_of(new))
    assert plan == [
        (sum(HEADER_STARTS) - first, copy_of(interrupted)),
        (sum(HEADER_STARTS) - first, copy_of(new)),
        (first, copy_of(new)),
    ]
    for moment in torn(block, plan):
        assert newest(moment, OLD_KEY, [KEYS[0]], "x") in (interrupted, new)


@pytest.mark.parametrize("damaged", HEADER_STARTS)
def test_a_damaged_copy_is_mended_before_the_other_is_touched(damaged: int) -> None:
    block = after(block_of(OLD), damaged, bytes(HEADER_COPY_SIZE))
    plan = writes(block, OLD, copy_of(REMOVED))
    assert plan[0] == (damaged, copy_of(OLD))
    assert all(newest(moment, OLD_KEY, [KEYS[0]], "x") in (OLD, REMOVED) for moment in torn(block, plan))


def test_a_header_with_a_data_key_that_is_out_of_reach_is_never_written_over() -> None:
    """The power failed between the two copies, and a program with a removed key and the old data key goes on."""
    block = after(block_of(REMOVED), 0, copy_of(ROTATED))
    with pytest.raises(KeyReplacedError, match="was replaced"):
        newest(block, OLD_KEY, [KEYS[1]], "x")


def test_a_removed_user_key_and_a_known_data_key_still_read_the_header() -> None:
    assert newest(block_of(REMOVED), OLD_KEY, [KEYS[1]], "x") == REMOVED


def test_a_user_key_leads_from_the_old_data_key_to_the_new_one() -> None:
    trusted = newest(block_of(ROTATED), OLD_KEY, [KEYS[2], KEYS[0]], "x")
    assert trusted.keys == DataKeys(NEW_KEY, OLD_KEY)


def test_of_two_destroyed_copies_nothing_is_trusted() -> None:
    with pytest.raises(DamagedHeaderError):
        newest(bytes(HEADER_BLOCK_SIZE), OLD_KEY, [KEYS[0]], "x")
