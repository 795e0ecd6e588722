"""Keys and passwords, and the header that holds their slots."""

import asyncio
import base64
import json
import re
import unicodedata

import pytest
from cryptography.fernet import Fernet, InvalidToken
from inside import block_of
from pydantic import ValidationError

from poof import DamagedHeaderError, InvalidKeyError, KeyRequiredError, NotAPoofFileError, PoofCluster, WrongKeyError
from poof.format.header import copies_in
from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE, HEADER_STARTS
from poof.keys.kdf import Argon2Cost, derive_subkey
from poof.keys.slots import parse_key

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="
PASSWORD = "correct horse \N{LATIN SMALL LETTER E WITH ACUTE}"
FORMS = {
    "text": KEY,
    "bytes": KEY.encode(),
    "twice base64, as PoofDB 0.x printed it": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "twice base64, bytes": base64.urlsafe_b64encode(KEY.encode()),
    "white space around": f" \t{KEY}\r\n",
    "bytes with a line end": f"{KEY}\n".encode(),
    "white space around twice base64": f"\n{base64.urlsafe_b64encode(KEY.encode()).decode()} ",
    "standard alphabet": KEY.replace("-", "+").replace("_", "/"),
    "twice base64, standard alphabet": base64.b64encode(KEY.encode()).decode(),
}
MALFORMED = [
    "",
    " ",
    "your key",
    KEY[:-1],
    KEY[:-2] + "=",
    KEY + "=",
    KEY + "A",
    KEY[:20] + " " + KEY[20:],
    "é" * 44,
    "\ud800" * 44,
    "\x00" * 44,
    b"\xff" * 44,
    b"",
    base64.urlsafe_b64encode(b"not a key, but as long as one, in base64 ...").decode(),
    base64.urlsafe_b64encode(bytes(16)).decode(),
    base64.urlsafe_b64encode(bytes(64)).decode(),
]


async def create(path, **credentials):
    """Opens or makes a cluster, and says with which key."""
    async with await PoofCluster.create(path, **credentials) as cluster:
        return cluster.get_encryption_key()


@pytest.fixture
def with_key(run, path):
    """A cluster file that opens with KEY."""
    run(create(path, key=KEY))
    return path


@pytest.fixture(scope="module")
def password_file(tmp_path_factory):
    """The bytes of a file that opens with PASSWORD, and the key that the password makes."""
    path = tmp_path_factory.mktemp("password") / "cluster.poof"
    key = asyncio.run(create(path, password=PASSWORD))
    return path.read_bytes(), key


@pytest.fixture
def with_password(password_file, path):
    path.write_bytes(password_file[0])
    return path


def header_json(content: bytes, copy: int = 0) -> dict:
    return json.loads(content[HEADER_STARTS[copy] :].split(b"\n", 2)[1])


def with_header_changed(content: bytes, old: bytes, new: bytes) -> bytes:
    """The file with one text of both header copies replaced, the copies' sizes kept."""
    copies = []
    for copy in copies_in(content):
        assert old in copy
        copies.append(copy.replace(old, new, 1).rstrip(b"\x00").ljust(HEADER_COPY_SIZE, b"\x00"))
    return block_of(*copies, content) + content[HEADER_BLOCK_SIZE:]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_taken_in_every_form_and_given_back_in_one(run, with_key, form):
    assert run(create(with_key, key=form)) == KEY


@pytest.mark.parametrize("key", MALFORMED, ids=ascii)
def test_what_is_no_key_is_a_value_error_that_says_what_a_key_looks_like(run, path, key):
    with pytest.raises(InvalidKeyError, match=r"44 characters of base64.*Fernet\.generate_key\(\)") as caught:
        run(create(path, key=key))
    assert isinstance(caught.value, ValueError)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "key", [7, 1.5, True, [KEY], bytearray(KEY.encode()), ..., pytest.param(Fernet(KEY), id="Fernet")], ids=repr
)
def test_a_key_of_another_type_is_a_value_error(run, path, key):
    with pytest.raises(InvalidKeyError, match="A key is text"):
        run(create(path, key=key))


def test_a_malformed_key_is_not_shown():
    with pytest.raises(InvalidKeyError) as caught:
        parse_key("sentinel-5f1c" + KEY)
    assert "5f1c" not in str(caught.value) + repr(caught.value)


def test_keys_that_differ_only_in_unused_bits_are_one_key():
    assert parse_key(KEY[:-2] + "9=") == KEY.encode()


@pytest.mark.parametrize(
    ("credentials", "error", "text"),
    [
        ({}, KeyRequiredError, "is an existing encrypted cluster: pass key= or password="),
        ({"key": Fernet.generate_key()}, WrongKeyError, "^Decryption failed: this key does not open"),
        ({"key": "your key"}, InvalidKeyError, "44 characters"),
        ({"password": "any"}, KeyRequiredError, "opens with a key, not with a password"),
        ({"password": ""}, InvalidKeyError, "password is empty"),
        ({"key": KEY, "password": "any"}, InvalidKeyError, "not both"),
    ],
    ids=["none", "wrong key", "malformed key", "password", "empty password", "both"],
)
def test_an_existing_file_does_not_open_without_its_key_and_stays_as_it_was(run, with_key, credentials, error, text):
    before = with_key.read_bytes()
    with pytest.raises(error, match=text) as caught:
        run(create(with_key, **credentials))
    assert isinstance(caught.value, ValueError)
    assert with_key.read_bytes() == before
    assert list(with_key.parent.iterdir()) == [with_key]


@pytest.mark.parametrize(
    "password",
    [PASSWORD, unicodedata.normalize("NFD", PASSWORD), unicodedata.normalize("NFC", PASSWORD)],
    ids=["as it was", "NFD", "NFC"],
)
def test_a_password_opens_its_file_in_every_unicode_form(run, with_password, password_file, password):
    assert run(create(with_password, password=password)) == password_file[1]


def test_the_key_derived_from_a_password_opens_the_file_as_well(run, with_password, password_file):
    key = password_file[1]
    Fernet(key)
    assert run(create(with_password, key=key)) == key


@pytest.mark.parametrize("password", ["correct horse e", PASSWORD + " ", PASSWORD.upper(), "\x00"], ids=ascii)
def test_a_wrong_password_is_a_wrong_key(run, with_password, password):
    before = with_password.read_bytes()
    with pytest.raises(WrongKeyError, match=r"^Decryption failed: this password does not open"):
        run(create(with_password, password=password))
    assert with_password.read_bytes() == before


@pytest.mark.parametrize("password", ["", 7, b"bytes", ["list"], True, "\ud800"], ids=ascii)
def test_what_cannot_be_a_password_is_a_value_error_and_makes_no_file(run, path, password):
    with pytest.raises(InvalidKeyError, match="assword"):
        run(create(path, password=password))
    assert list(path.parent.iterdir()) == []


def test_a_key_and_a_password_together_make_no_file(run, path):
    with pytest.raises(InvalidKeyError, match="a key or a password, not both"):
        run(create(path, key=KEY, password=PASSWORD))
    assert list(path.parent.iterdir()) == []


def test_the_same_password_makes_another_key_for_another_file(run, path, password_file):
    assert run(create(path, password=PASSWORD)) != password_file[1]


def test_the_header_holds_the_cost_that_rfc_9106_recommends(password_file):
    [slot] = header_json(password_file[0])["slots"]
    assert slot["kind"] == "password"
    assert slot["derivation"]["name"] == "argon2id"
    assert slot["derivation"]["cost"] == {"memory_kib": 65536, "passes": 3, "lanes": 4}
    assert len(base64.urlsafe_b64decode(slot["derivation"]["salt"])) == 16


def test_the_file_holds_neither_key_nor_password(with_key, password_file):
    content, derived = password_file
    for secret in (PASSWORD, PASSWORD.split()[0], derived):
        assert secret.encode() not in content
        assert base64.urlsafe_b64decode(derived) not in content
    assert KEY.encode() not in with_key.read_bytes()
    assert base64.urlsafe_b64decode(KEY) not in with_key.read_bytes()


def test_the_token_of_a_slot_is_plain_fernet_under_a_key_for_this_slot_alone(password_file):
    content, key = password_file
    header = header_json(content)
    slot = header["slots"][0]
    slot_key = derive_subkey(
        base64.urlsafe_b64decode(key), bytes.fromhex(header["cluster"]), b"poof 1 slot" + slot["id"].encode()
    )
    wrapped = Fernet(base64.urlsafe_b64encode(slot_key)).decrypt(slot["token"])
    assert (len(wrapped), wrapped[32:]) == (36, bytes(4))
    assert wrapped[:32] not in content
    with pytest.raises(InvalidToken):
        Fernet(key).decrypt(slot["token"])


def test_the_loop_keeps_turning_while_a_password_is_made_a_key(run):
    async def story():
        turns = 0
        creating = asyncio.create_task(PoofCluster.create(":memory:", password=PASSWORD))
        while not creating.done():
            turns += 1
            await asyncio.sleep(0)
        await (await creating).close()
        return turns

    assert run(story()) > 100  # it is 4 or fewer where the derivation holds the loop


HOSTILE_COSTS = [
    {"memory_kib": 2**31},
    {"memory_kib": 2**40},
    {"passes": 2**31},
    {"lanes": 2**20},
    {"memory_kib": 1024 * 1024, "passes": 16},
    {"memory_kib": 0},
    {"passes": 0},
    {"lanes": 0},
    {"memory_kib": -1},
    {"memory_kib": 8, "lanes": 16},
    {"memory_kib": 65536.5},
    {"memory_kib": "65536"},
    {"memory_kib": True},
    {"unknown": 1},
]


@pytest.mark.parametrize("cost", HOSTILE_COSTS, ids=str)
def test_a_cost_out_of_bounds_is_no_cost(cost):
    with pytest.raises(ValidationError):
        Argon2Cost(**cost)


@pytest.mark.parametrize("cost", HOSTILE_COSTS[:5], ids=str)
def test_a_file_with_a_hostile_cost_is_refused_and_the_cost_not_paid(run, path, password_file, cost):
    honest = {"memory_kib": 65536, "passes": 3, "lanes": 4}
    old, new = (json.dumps(it, separators=(",", ":")).encode() for it in (honest, {**honest, **cost}))
    path.write_bytes(with_header_changed(password_file[0], old, new))
    with pytest.raises(DamagedHeaderError, match=r"^Decryption failed: both copies of the header"):
        run(create(path, password=PASSWORD))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"passes":3', b'"passes":1'),
        (b'"generation":1', b'"generation":2'),
        (b'"label":""', b'"label":"mine"'),
        (b'"kind":"password"', b'"kind":"key"'),
    ],
)
def test_a_header_that_was_altered_in_any_field_does_not_open_with_the_key(run, path, password_file, old, new):
    content, key = password_file
    path.write_bytes(with_header_changed(content, old, new))
    with pytest.raises(DamagedHeaderError, match=r"^Decryption failed: .*header of .* damaged"):
        run(create(path, key=key))


@pytest.mark.parametrize("copy", [0, 1], ids=["A", "B"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda copy: bytes(len(copy)),
        lambda copy: b"\xff" * len(copy),
        lambda copy: copy[:100] + bytes(len(copy) - 100),
        lambda copy: copy[:512] + b"\xff" * (len(copy) - 512),
        lambda copy: copy[:-1] + b"\x01",
        lambda copy: copy.replace(b'"generation":1', b'"generation":9'),
        lambda copy: b"x" + copy[1:],
    ],
    ids=["zeros", "ones", "torn into zeros", "torn into ones", "last byte", "altered", "magic"],
)
def test_one_damaged_copy_of_the_header_locks_nobody_out(run, with_key, copy, damage):
    content = with_key.read_bytes()
    start = HEADER_STARTS[copy]
    damaged = damage(content[start : start + HEADER_COPY_SIZE])
    assert len(damaged) == HEADER_COPY_SIZE
    with_key.write_bytes(content[:start] + damaged + content[start + HEADER_COPY_SIZE :])
    assert run(create(with_key, key=KEY)) == KEY
    with pytest.raises(WrongKeyError):
        run(create(with_key, key=Fernet.generate_key()))


@pytest.mark.parametrize(
    ("keep", "error"), [(0, NotAPoofFileError), (100, DamagedHeaderError)], ids=["destroyed", "torn"]
)
def test_without_a_whole_copy_of_the_header_the_file_does_not_open(run, with_key, keep, error):
    content = with_key.read_bytes()
    copy = content[:keep].ljust(HEADER_COPY_SIZE, b"\x00")
    with_key.write_bytes(block_of(copy, copy, content) + content[HEADER_BLOCK_SIZE:])
    with pytest.raises(error, match="header"):
        run(create(with_key, key=KEY))


def test_both_copies_of_the_header_are_alike_and_name_poofdb(with_key):
    content = with_key.read_bytes()
    first, second = copies_in(content)
    assert first == second
    assert re.match(rb"PoofDB encrypted cluster, format 1\n\{", content)
