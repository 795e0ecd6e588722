"""Many ids in little memory read like a list of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poof.object_ids import ObjectIds, new_object_id

BULKS = st.lists(st.integers(1, 5).map(lambda count: [new_object_id() for _ in range(count)]), max_size=6)


def packed(batches):
    return ObjectIds([(ObjectIds.pack(batch), len(batch)) for batch in batches])


@given(BULKS, st.slices(12))
def test_they_read_like_a_list(batches, some):
    expected = [obj_id for batch in batches for obj_id in batch]
    ids = packed(batches)
    assert len(ids) == len(expected)
    assert list(ids) == expected
    assert [ids[number] for number in range(len(ids))] == expected
    assert [ids[-1 - number] for number in range(len(ids))] == expected[::-1]
    assert list(reversed(ids)) == expected[::-1]
    assert ids[some] == expected[some]
    assert all(obj_id in ids for obj_id in expected)


@given(BULKS, BULKS)
def test_they_are_equal_to_the_same_ids(batches, others):
    expected = [obj_id for batch in batches for obj_id in batch]
    other = [obj_id for batch in others for obj_id in batch]
    assert packed(batches) == expected
    assert packed(batches) == packed([expected] if expected else [])
    assert (packed(batches) == other) == (expected == other)
    assert packed(batches) != tuple(expected)


def test_there_is_none_beyond_the_last():
    for ids in (ObjectIds(), packed([[new_object_id()]])):
        for number in (len(ids), -len(ids) - 1):
            with pytest.raises(IndexError):
                ids[number]


def test_they_show_the_first_few():
    ids = [new_object_id() for _ in range(1_000)]
    assert repr(packed([ids[:2]])) == f"<2 ids: {ids[0]}, {ids[1]}>"
    assert repr(packed([ids])) == f"<1000 ids: {ids[0]}, {ids[1]}, {ids[2]}, ...>"
    assert repr(ObjectIds()) == "<0 ids>"
