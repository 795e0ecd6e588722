"""Files that somebody hostile made: an error or the truth, in bounded time and memory, which the system enforces."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from inside import block_of
from stores import DirectStore

import poof
from poof.engines.sqlite.file.build import create
from poof.engines.sqlite.file.unlock import Unlocked, new_header, unlock
from poof.format.header import encode_block, encode_copy
from poof.format.layout import FRAME_SIZE, HEADER_COPY_SIZE, LOG_HEADER_SIZE, PAGE_SIZE
from poof.format.trust import changed
from poof.keys.credentials import Credentials
from poof.keys.slots import key_slot

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")

KEY = Fernet.generate_key()
OTHER_KEY = Fernet.generate_key()
GIANT = 2**36
"""Bytes; the files have holes."""


def fill(path: Path, unlocked: Unlocked) -> None:
    store = DirectStore(str(path), unlocked, timeout=0, cache_mib=1)
    people = store.collection(store.database("db"), "people")
    for number in range(20):
        store.insert(people, json.dumps({"number": number, "text": "x" * 900}))
    store.close()


@pytest.fixture
def files(path: Path, tmp_path: Path) -> tuple[bytes, bytes, Unlocked]:
    """Two clusters under the same key, and what opens the first."""
    contents = []
    for place in (path, tmp_path / "other.poof"):
        unlocked = new_header(Credentials(key=KEY), KEY)
        create(str(place), unlocked)
        fill(place, unlocked)
        contents.append((place.read_bytes(), unlocked))
    path.unlink()
    (first, unlocked), (second, _) = contents
    return first, second, unlocked


def json_of(block: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(block.split(b"\n")[1])
    return found


def with_json(block: bytes, text: bytes) -> bytes:
    """A header block whose two copies say something else, under the MAC that was there."""
    lines = block[:HEADER_COPY_SIZE].split(b"\n")
    copy = b"\n".join([lines[0], text, *lines[2:]])[:HEADER_COPY_SIZE].ljust(HEADER_COPY_SIZE, b"\x00")
    return block_of(copy, copy, block)


def hostile(first: bytes, second: bytes, unlocked: Unlocked) -> dict[str, tuple[bytes, bytes, set[str]]]:
    """Main files and logs by what was done to them, with what may come of it."""
    block, pages = first[:PAGE_SIZE], first[PAGE_SIZE:]
    header = json_of(block)
    older, newer = encode_copy(unlocked.header, unlocked.key.data_key), _next(unlocked)
    slots = [*header["slots"], *json_of(second)["slots"]]  # type: ignore[misc] # it is a list
    refused = {"DamagedHeaderError", "NotAPoofFileError"}
    found = {
        "the header of another file": (second[:PAGE_SIZE] + pages, b"", {"DamagedPageError"}),
        "the slots of another file": (
            with_json(block, json.dumps({**header, "slots": json_of(second)["slots"]}).encode()) + pages,
            b"",
            {"WrongKeyError"},
        ),
        "a slot of another file added": (
            with_json(block, json.dumps({**header, "slots": slots}).encode()) + pages,
            b"",
            refused,
        ),
        "a newer header before an older one": (block_of(newer, older, block) + pages, b"", {"opened"}),
        "an older header before a newer one": (block_of(older, newer, block) + pages, b"", {"opened"}),
        "a newer header, torn": (
            block_of(older, newer[:700].ljust(HEADER_COPY_SIZE, b"\0"), block) + pages,
            b"",
            {"opened"},
        ),
        "giant JSON": (with_json(block, b'{"slots":[' + b'{"id":"' + b"x" * 3_400 + b'"}]}') + pages, b"", refused),
        "deep JSON": (with_json(block, b'{"slots":' + b"[" * 3_400) + pages, b"", refused),
        "a log of garbage": (first, os.urandom(2 * FRAME_SIZE), {"opened", "DamagedFileError"}),
        "a log of zeros": (first, bytes(2 * FRAME_SIZE), {"opened", "DamagedFileError"}),
        "a token of 0.x that nobody made": (b"gAAAA" + b"A" * 3_000_000, b"", {"WrongKeyError"}),
        "nothing": (b"", b"", {"NotAPoofFileError"}),
    }
    for field in header:
        altered = with_json(block, json.dumps({**header, field: 7}).encode())
        found[f"another {field}"] = (altered + pages, b"", refused)
    return found


def _next(unlocked: Unlocked) -> bytes:
    """The next header of a file, in which the key has a new slot and another one has its own."""
    cluster, data_key = unlocked.header.cluster, unlocked.key.data_key
    slots = (key_slot(cluster, data_key, KEY), key_slot(cluster, data_key, OTHER_KEY))
    return encode_copy(changed(unlocked.header, slots=slots), data_key)


@pytest.fixture
def open_all(start_python: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> Callable[..., list[str]]:
    """Opens files in a program under limits; returns what came of each."""

    def run(paths: list[Path], key: str = KEY.decode(), password: str = "") -> list[str]:
        process = start_python(
            "from faults.bounded import main; main()",
            *(key, password),
            cwd=tmp_path,
        )
        output, errors = process.communicate("".join(f"{path}\n" for path in paths), timeout=120)
        assert (process.returncode, errors) == (0, "")
        return output.split()

    return run


def test_a_hostile_file_is_refused_or_true_in_bounded_time_and_memory(
    files: tuple[bytes, bytes, Unlocked], open_all: Callable[..., list[str]], tmp_path: Path
) -> None:
    cases = hostile(*files)
    paths = []
    for number, (main, log, _) in enumerate(cases.values()):
        paths.append(tmp_path / f"hostile-{number}.poof")
        paths[-1].write_bytes(main)
        if log:
            Path(f"{paths[-1]}-wal").write_bytes(log)
    for (name, (_, _, expected)), came in zip(cases.items(), open_all(paths), strict=True):
        assert came in expected, name


@pytest.mark.parametrize("grown", ["the file", "the log", "both"])
def test_a_file_or_log_of_giant_size_costs_nothing(
    files: tuple[bytes, bytes, Unlocked], open_all: Callable[..., list[str]], path: Path, grown: str
) -> None:
    path.write_bytes(files[0])
    log = Path(f"{path}-wal")
    log.write_bytes(os.urandom(LOG_HEADER_SIZE + FRAME_SIZE) if grown == "the log" else b"")
    for file in {"the file": [path], "the log": [log], "both": [path, log]}[grown]:
        os.truncate(file, GIANT)
    assert open_all([path]) == ["opened"]


HOSTILE_COSTS = [
    {"memory_kib": 2**40, "passes": 1, "lanes": 1},
    {"memory_kib": 1024 * 1024, "passes": 16, "lanes": 1},
    {"memory_kib": 64 * 1024, "passes": 2**31, "lanes": 4},
    {"memory_kib": 64 * 1024, "passes": 3, "lanes": 2**24},
]


def test_a_hostile_cost_of_a_password_is_not_paid(open_all: Callable[..., list[str]], tmp_path: Path) -> None:
    unlocked = new_header(Credentials(password="secret"), KEY)
    block = encode_block(unlocked.header, unlocked.key.data_key)
    paths = []
    for number, cost in enumerate(HOSTILE_COSTS):
        header = json_of(block)
        header["slots"][0]["derivation"]["cost"] = cost  # type: ignore[index] # as JSON has it
        paths.append(tmp_path / f"costly-{number}.poof")
        paths[-1].write_bytes(with_json(block, json.dumps(header, separators=(",", ":")).encode()) + bytes(PAGE_SIZE))
    assert set(open_all(paths, "", "secret")) <= {"NotAPoofFileError", "DamagedHeaderError"}


def test_a_header_that_was_rolled_back_beside_a_newer_one_does_not_count(files: tuple[bytes, bytes, Unlocked]) -> None:
    """A slot that was removed by the newer one opens nothing, wherever the older one lies."""
    _, _, unlocked = files
    data_key = unlocked.key.data_key
    removed = changed(unlocked.header, slots=(key_slot(unlocked.header.cluster, data_key, OTHER_KEY),))
    newer, older = encode_copy(removed, data_key), encode_copy(unlocked.header, data_key)
    for block in (block_of(newer, older), block_of(older, newer)):
        assert unlock(block, Credentials(key=OTHER_KEY), "rolled back").header.generation == 2
        with pytest.raises(poof.WrongKeyError):
            unlock(block, Credentials(key=KEY), "rolled back")
