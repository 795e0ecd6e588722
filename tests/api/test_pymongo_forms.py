"""The small forms that programs written for PyMongo have."""

import pytest

from poof import InvalidQueryError

pytestmark = pytest.mark.every_engine

NUMBERS = [{"n": n, "even": n % 2 == 0} for n in (3, 1, 4, 0, 2)]


def read(documents):
    return [document.data["n"] for document in documents]


FORMS = {
    "find(sort=)": (lambda c: c.find(sort="n").to_list(), [0, 1, 2, 3, 4]),
    "find(sort=) of pairs": (lambda c: c.find(sort=[("even", -1), ("n", -1)]).to_list(), [4, 2, 0, 3, 1]),
    "find(sort=) of a dict": (lambda c: c.find({}, sort={"n": -1}).to_list(), [4, 3, 2, 1, 0]),
    "find(skip=, limit=)": (lambda c: c.find({"even": True}, None, sort="n", skip=1, limit=1).to_list(), [2]),
    "find(limit=0)": (lambda c: c.find(sort="n", limit=0).to_list(), [0, 1, 2, 3, 4]),
    "a later call holds": (lambda c: c.find(sort="n", skip=4, limit=1).sort("n", -1).skip(0).to_list(), [4]),
    "to_list(n)": (lambda c: c.find(sort="n").to_list(2), [0, 1]),
    "to_list(length=)": (lambda c: c.find(sort="n").to_list(length=2), [0, 1]),
    "to_list(length=None)": (lambda c: c.find(sort="n").to_list(length=None), [0, 1, 2, 3, 4]),
    "to_list(length=) beyond a limit": (lambda c: c.find(sort="n", limit=2).to_list(length=4), [0, 1]),
}


@pytest.mark.parametrize(("form", "expected"), FORMS.values(), ids=FORMS)
def test_a_form_of_pymongo_means_what_it_means_there(in_collection, form, expected):
    async def found(numbers):
        await numbers.insert_many(NUMBERS)
        return read(await form(numbers))

    assert in_collection(found) == expected


def test_find_one_takes_sort_and_skip(in_collection):
    async def found(numbers):
        await numbers.insert_many(NUMBERS)
        return [await numbers.find_one({"even": True}, sort={"n": -1}, skip=n) for n in range(4)]

    *three, none = in_collection(found)
    assert read(three) == [4, 2, 0]
    assert none is None


@pytest.mark.parametrize(
    "wrong", [{"skip": -1}, {"limit": -1}, {"limit": 1.5}, {"skip": True}, {"sort": "$n"}], ids=str
)
async def test_what_is_no_number_or_sort_is_refused_before_anything_is_read(open_collection, wrong):
    async with open_collection() as numbers:
        with pytest.raises(InvalidQueryError):
            numbers.find(**wrong)
