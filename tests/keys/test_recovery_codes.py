"""Recovery codes: a key that survives being printed, typed and read aloud."""

import base64
import itertools

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from poof import InvalidKeyError, PoofCluster
from poof.keys.recovery_codes import ALPHABET, GROUP_SIZE, GROUPS, key_of_code, looks_like_code, recovery_code
from poof.keys.slots import parse_key

KEY = b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
CODE = "000GC-40R4Y-0M301-E209M-185G2-R38EE-1W810-24GKG-2GAH0-C5RR1-34D1A-P70XT-3RFGY"
keys = st.binary(min_size=32, max_size=32).map(lambda raw: parse_key(base64.urlsafe_b64encode(raw)))


def groups_of(code: str) -> list[str]:
    return code.split("-")


def refusal(code: str) -> str:
    with pytest.raises(InvalidKeyError) as caught:
        key_of_code(code)
    return str(caught.value)


@given(keys)
def test_a_code_gives_its_key_back(key: bytes) -> None:
    assert key_of_code(recovery_code(key)) == key


def test_the_form_of_a_code_is_fixed() -> None:
    assert recovery_code(KEY) == CODE
    assert len(groups_of(CODE)) == GROUPS


FORMS = {
    "lower case": CODE.lower(),
    "spaces": CODE.replace("-", " "),
    "nothing between": CODE.replace("-", ""),
    "line breaks and more": CODE.replace("-", " -\n "),
    "long dashes": CODE.replace("-", "\N{EN DASH}"),
    "letters for digits": CODE.replace("0", "o").replace("1", "l"),
    "other letters for digits": CODE.replace("0", "O").replace("1", "I"),
    "white space around": f"\n {CODE}\t",
    "bytes": CODE.encode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_how_a_code_is_written_does_not_matter(form: str | bytes) -> None:
    assert parse_key(form) == KEY


def test_every_wrong_character_is_found_and_its_group_named() -> None:
    code = CODE.replace("-", "")
    for position, right in enumerate(code):
        for wrong in set(ALPHABET) - {right}:
            message = refusal(code[:position] + wrong + code[position + 1 :])
            assert f"in group {position // GROUP_SIZE + 1} of" in message


@given(keys, st.integers(0, GROUPS - 1), st.sampled_from(list(itertools.combinations(range(GROUP_SIZE), 2))))
def test_any_two_characters_of_a_group_that_changed_places_are_found(
    key: bytes, number: int, places: tuple[int, int]
) -> None:
    groups = groups_of(recovery_code(key))
    characters = list(groups[number])
    one, other = places
    characters[one], characters[other] = characters[other], characters[one]
    if characters == list(groups[number]):
        return
    groups[number] = "".join(characters)
    assert f"in group {number + 1} of" in refusal("-".join(groups))


@given(keys, st.integers(0, GROUPS * GROUP_SIZE - 2))
def test_neighbours_that_changed_places_are_found_also_across_groups(key: bytes, place: int) -> None:
    code = recovery_code(key).replace("-", "")
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert swapped == code or "group" in refusal(swapped)


@given(keys, st.sampled_from(list(itertools.combinations(range(GROUPS), 2))))
def test_groups_that_changed_places_are_both_named(key: bytes, places: tuple[int, int]) -> None:
    groups = groups_of(recovery_code(key))
    one, other = places
    groups[one], groups[other] = groups[other], groups[one]
    message = refusal("-".join(groups))
    assert f"in group {one + 1}, {other + 1} of" in message


def test_a_refusal_holds_nothing_of_the_code() -> None:
    groups = groups_of(CODE)
    groups[4] = "ZZZZZ"
    message = refusal("-".join(groups))
    assert not any(group in message for group in groups)


WRONG = {
    "a group too short": (CODE.replace("40R4Y", "40R4"), "Look at group 2"),
    "a group left out": (CODE[6:], "60 characters"),
    "a letter that no code has": ("U" + CODE[1:], "group 1 of"),
    "a letter beyond ASCII": ("é" + CODE[1:], "group 1 of"),
    "bits after the key": (CODE[:-5] + "3RFHE", "group 13 of"),
}


@pytest.mark.parametrize(("code", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said(code: str, said: str) -> None:
    with pytest.raises(InvalidKeyError, match=said):
        parse_key(code)


@given(keys)
def test_no_key_looks_like_a_code(key: bytes) -> None:
    assert not looks_like_code(key.decode())


async def test_a_code_opens_a_cluster(path) -> None:
    async with await PoofCluster.create(path) as cluster:
        code = await cluster.add_recovery_code()
        assert [info.label for info in await cluster.keys()] == ["", "recovery"]
    async with await PoofCluster.create(path, code.lower()) as cluster:
        assert cluster.get_encryption_key().encode() == parse_key(code)


def test_every_code_is_a_new_key() -> None:
    assert recovery_code(Fernet.generate_key()) != recovery_code(Fernet.generate_key())
