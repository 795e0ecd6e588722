"""Nothing secret leaves the program but inside tokens: every write is traced, and all that it says is searched.

The writes are seen where SQLite's VFS makes them, and in the campaign as the system calls that they are. POOF_SEED
replays the texts.
"""

import base64
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from faults.campaign import SEED
from stores import DirectStore
from test_leaks import find, random_texts, windows

import poof
from poof.engines.sqlite.file.build import create
from poof.engines.sqlite.file.raw import read_header_block
from poof.engines.sqlite.file.unlock import new_header, unlock
from poof.format.layout import (
    CIPHERTEXT_OFFSET,
    FRAME_HEADER_SIZE,
    FRAME_SIZE,
    LOG_HEADER_SIZE,
    MAC_OFFSET,
    PAGE_SIZE,
    TOKEN_SIZE,
)
from poof.keys.credentials import Credentials

KEY = Fernet.generate_key().decode()
PASSWORD = "correct horse battery staple"
NAME = r"(cluster|backup|legacy|password|\.poof-[0-9a-f]{16})"
OUR_FILES = re.compile(rf"{NAME}(\.poof|\.new|\.tmp)(-wal|-shm|-journal|\.v0\.bak)?")
LEFT = ["backup.poof", "cluster.poof", "legacy.poof", "legacy.poof.v0.bak", "password.poof"]
PROGRAM = "import sys; from faults.secretive import main; main(*sys.argv[1:])"


class Secrets:
    """What a program is given, and the search for it."""

    def __init__(self) -> None:
        rng = random.Random(SEED)
        self.texts, self.names = random_texts(rng, 350), random_texts(rng, 3)
        self.given = {"key": KEY, "password": PASSWORD, "names": self.names, "texts": self.texts}
        self.documents = windows(self.texts)
        self.stored = self.documents | windows(self.names)

    def check_written(self, data: bytes) -> None:
        assert find(data, self.stored) == []
        self.check_keys(data)

    def check_told(self, said: str) -> None:
        """Names of databases and collections may be told; no value of a document, key or password may."""
        assert find(said.encode(), self.documents) == []
        self.check_keys(said.encode())

    def check_keys(self, data: bytes) -> None:
        for secret in (KEY.encode()[:30], PASSWORD.encode(), base64.urlsafe_b64decode(KEY)[:16]):
            assert secret not in data


def environment() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(Path(poof.__file__).parents[1]), str(Path(__file__).parent)])}


def test_nothing_secret_is_written_or_told(
    path: Path, tmp_path: Path, start_python: Callable[..., subprocess.Popen[str]]
) -> None:
    secrets = Secrets()
    trace = tmp_path / "trace"
    process = start_python(PROGRAM, path.parent, trace, cwd=tmp_path)
    output, errors = process.communicate(json.dumps(secrets.given) + "\n", timeout=120)
    assert (process.returncode, errors) == (0, "")
    report = json.loads(output)
    data = trace.read_bytes()
    assert len(data) > 2_000_000
    secrets.check_written(data)
    assert len(report["told"]) > 100
    for said in report["told"]:
        secrets.check_told(said)
    beside = [name for name in report["written"] if not Path(name).is_relative_to(path.parent)]
    assert beside == [os.devnull] or beside == []
    inside = [name for name in report["written"] if Path(name).is_relative_to(path.parent)]
    assert all(OUR_FILES.fullmatch(Path(name).name) for name in inside), inside
    assert sorted(file.name for file in path.parent.iterdir()) == LEFT


SYSTEM_WRITE = re.compile(rb'(?:write|pwrite64|pwritev|writev|sendto)\((\d+)<([^>]*)>, .*?"((?:\\x[0-9a-f]{2})*)"')
SYSTEM_OPEN = re.compile(rb'open(?:at)?\([^"]*"((?:\\x[0-9a-f]{2})*)", ([A-Z_|]+)')


def unescaped(text: bytes) -> bytes:
    return bytes.fromhex(text.decode().replace("\\x", ""))


@pytest.mark.campaign
def test_no_system_call_writes_a_secret(path: Path, tmp_path: Path, figures: Counter[str]) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    secrets = Secrets()
    log, trace = tmp_path / "strace", tmp_path / "trace"
    calls = "trace=open,openat,creat,write,pwrite64,pwritev,writev,sendto"
    tracing = ["strace", "-f", "-y", "-xx", "-s", "100000", "-e", calls, "-o", str(log)]
    done = subprocess.run(
        [*tracing, sys.executable, "-c", PROGRAM, path.parent, trace],
        input=json.dumps(secrets.given) + "\n",
        env={**os.environ, **environment()},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if "ptrace" in done.stderr:
        pytest.skip(f"nothing can be traced here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")
    count = 0
    for line in log.read_bytes().splitlines():
        wrote = SYSTEM_WRITE.search(line)
        if wrote is not None and wrote[1] not in (b"1", b"2"):  # what it prints is told, not stored
            data = unescaped(wrote[3])
            secrets.check_written(data)
            count += len(data)
        opened = SYSTEM_OPEN.search(line)
        if opened is not None and re.search(rb"O_(WRONLY|RDWR|CREAT)", opened[2]):
            name = Path(os.fsdecode(unescaped(opened[1])))
            assert OUR_FILES.fullmatch(name.name) or name in (trace, Path(os.devnull)) or name.suffix == ".pyc", name
    assert count > 4_000_000  # each twice, as the trace itself is written too
    figures["5 leaks: bytes of traced system calls searched"] += count


def equal_documents(path: Path, count: int, save: bool) -> DirectStore:
    """Many documents that are all the same."""
    unlocked = new_header(Credentials(key=KEY.encode()), KEY.encode())
    create(str(path), unlocked)
    store = DirectStore(str(path), unlocked, timeout=0, cache_mib=1)
    people = store.collection(store.database("db"), "people")
    for _ in range(count):
        store.insert(people, json.dumps({"text": "the same " * 850}))
    if save:
        store.save()
    return store


def tokens(data: bytes) -> list[bytes]:
    return [data[start : start + TOKEN_SIZE] for start in range(PAGE_SIZE, len(data), PAGE_SIZE)]


def blocks(token: bytes) -> list[bytes]:
    """The blocks of a token's IV and ciphertext."""
    return [token[start : start + 16] for start in range(CIPHERTEXT_OFFSET - 16, MAC_OFFSET, 16)]


def test_equal_documents_have_no_block_of_ciphertext_in_common(path: Path, tmp_path: Path) -> None:
    seen: set[bytes] = set()
    total = 0
    for place in (path, tmp_path / "again.poof"):
        equal_documents(place, 150, save=True).close()
        for token in tokens(place.read_bytes()):
            total += len(blocks(token))
            seen.update(blocks(token))
    assert total > 100_000
    assert len(seen) == total


def test_no_two_frames_of_the_log_have_a_sealed_header_in_common(path: Path) -> None:
    store = equal_documents(path, 60, save=False)
    log = Path(f"{path}-wal").read_bytes()
    store.close()
    headers = [log[start : start + FRAME_HEADER_SIZE] for start in range(LOG_HEADER_SIZE, len(log), FRAME_SIZE)]
    assert len(headers) > 60
    assert len({header[:16] for header in headers}) == len({header[16:] for header in headers}) == len(headers)


def chi_square(data: bytes) -> float:
    """How far bytes are from evenly spread: some 255, give or take 23, for random ones."""
    expected = len(data) / 256
    return sum((count - expected) ** 2 / expected for count in (data.count(bytes([byte])) for byte in range(256)))


FARTHEST = 255 + 7 * 22.6
"""Seven standard deviations: once in a million million runs."""


def test_the_bytes_of_pages_are_evenly_spread(path: Path) -> None:
    equal_documents(path, 200, save=True).close()
    sealed = [token[CIPHERTEXT_OFFSET - 16 :] for token in tokens(path.read_bytes())]
    assert chi_square(b"".join(sealed)) < FARTHEST
    for part in (slice(0, 16), slice(16, 32), slice(-64, -32), slice(-32, None)):  # IV, first and last blocks, MAC
        assert chi_square(b"".join(token[part] for token in sealed)) < FARTHEST
    assert chi_square(b"the same " * 10_000) > 10 * FARTHEST
    unlocked = unlock(read_header_block(str(path)), Credentials(key=KEY.encode()), str(path))
    assert unlocked.key.data_key.secret not in path.read_bytes()
