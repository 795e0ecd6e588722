"""A cluster can be read without PoofDB: with `cryptography.fernet` and `sqlite3`, with Fernet for JavaScript, and, log
included, by what `docs/format.md` says."""

import ast
import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from test_vectors import as_text

from poof import PoofCluster
from poof.engines.sqlite.tables import log

ROOT = Path(__file__).parent.parent
READER = ROOT / "examples" / "decrypt_with_fernet.py"
VECTORS = Path(__file__).parent / "vectors"
INDEX = {vector["name"]: vector for vector in json.loads((VECTORS / "vectors.json").read_text())["vectors"]}
KEY = INDEX["empty"]["key"]
TABLES = "SELECT d.name, c.name, c.id FROM databases d LEFT JOIN collections c ON c.database_id = d.id"

NPM_FERNET = "fernet@0.4.0"
# Its `decode` checks version and HMAC, decrypts, and reads the plaintext as UTF-8. Only this last step is replaced.
NODE_READER = """
const fs = require('fs'), crypto = require('crypto'), fernet = require('fernet'), AES = require('crypto-js/aes');
const [cluster, userKey, ...numbers] = process.argv.slice(2);
const file = fs.readFileSync(cluster);
const decode = (token, key) => new fernet.Token({token, secret: new fernet.Secret(key), ttl: 0}).decode();

const derived = (key, number, purpose) =>
  Buffer.from(crypto.hkdfSync('sha256', key, Buffer.from(number, 'hex'), purpose, 32)).toString('base64url') + '=';
fernet.decryptMessage = (ciphertext, key, iv) => AES.decrypt({ciphertext}, key, {iv}).toString(fernet.Hex);

const header = JSON.parse(file.subarray(0, 3584).toString().split('\\n')[1]);
const slot = header.slots[0];
const slotKey = derived(Buffer.from(userKey, 'base64url'), header.cluster, 'poof 1 slot' + slot.id);
const dataKey = Buffer.from(decode(slot.token, slotKey), 'hex').subarray(0, 32);
const pageKey = derived(dataKey, header.file, 'poof 1 page');
for (const number of numbers) {
  const token = file.subarray(8192 * number, 8192 * number + 8185);
  try { console.log(decode(token.toString('base64url'), pageKey)); } catch (error) { console.log(error.message); }
}
"""


def read_independently(cluster: Path, key: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, READER, cluster, key, out]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONUTF8": "1"})


def documents(database: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """What plain `sqlite3` finds in a file, in the form of the index."""
    connection = sqlite3.connect(database)
    tree: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for database_name, collection_name, table in connection.execute(TABLES).fetchall():
        collections = tree.setdefault(database_name, {})
        if table is not None:
            rows = connection.execute(f"SELECT obj_id, doc FROM documents_{table} ORDER BY id")
            collections[collection_name] = [{"_objId": obj_id, "data": json.loads(doc)} for obj_id, doc in rows]
    connection.close()
    return tree


def header_of(cluster: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(cluster[:3584].split(b"\n")[1])
    return header


def unwrapped_data_key(cluster: bytes, user_key: str) -> bytes:
    header = header_of(cluster)
    slot = header["slots"][0]
    number, info = bytes.fromhex(header["cluster"]), b"poof 1 slot" + slot["id"].encode()
    slot_key = subkey(base64.urlsafe_b64decode(user_key), number, info)
    return Fernet(base64.urlsafe_b64encode(slot_key)).decrypt(slot["token"])[:32]


def subkey(key: bytes, number: bytes, info: bytes, size: int = 32) -> bytes:
    """HKDF-SHA256 (RFC 5869) with a number as its salt."""
    extracted = hmac.digest(number, key, "sha256")
    made, block = b"", b""
    while len(made) < size:
        block = hmac.digest(extracted, block + info + bytes([len(made) // 32 + 1]), "sha256")
        made += block
    return made[:size]


def page_fernet(cluster: bytes, key: str) -> Fernet:
    file = bytes.fromhex(header_of(cluster)["file"])
    return Fernet(base64.urlsafe_b64encode(subkey(unwrapped_data_key(cluster, key), file, b"poof 1 page")))


def opened_slot(slot: bytes, number: int, pages: Fernet) -> tuple[bytes, tuple[int, int]]:
    """A page, and where it was written."""
    plaintext = pages.decrypt(base64.urlsafe_b64encode(slot[:8185]))
    base, frame, written = struct.unpack(">QII", plaintext[8111:])
    if written != number or any(slot[8185:]):
        raise InvalidToken
    return plaintext[:8111] + bytes(81), (base, frame)


def state_of(cluster: bytes, data_key: bytes, file: bytes) -> tuple[Any, ...]:
    """Epoch, mark, log, frames and base of the newest state record."""
    key = subkey(data_key, file, b"poof 1 state")
    records = [cluster[start : start + 128] for start in (3584, 7680)]
    genuine = [record for record in records if hmac.digest(key, record[:96], "sha256") == record[96:]]
    epoch, mark, log, frames, _generation, _mac, base = struct.unpack(
        ">Q16s16sIQ32sQ4x", max(genuine, key=lambda record: record[:8])[:96]
    )
    return epoch, mark, log, frames, base


def checksums(start: tuple[int, int], data: bytes, magic: int) -> tuple[int, int]:
    s, t = start
    for x, y in struct.iter_unpack(">II" if magic & 1 else "<II", data):
        s = (s + x + t) % 2**32
        t = (t + y + s) % 2**32
    return s, t


def log_header(cluster: bytes, log: bytes, key: str) -> tuple[int, bytes, bytes]:
    """Base, id and SQLite's header of a log, which must be that of the file."""
    data_key, file = unwrapped_data_key(cluster, key), bytes.fromhex(header_of(cluster)["file"])
    magic, of, base, on, log_id, sqlite = struct.unpack(">8s16sQ16s16s32s", log[:96])
    assert (magic, of) == (b"PoofLog\1", file)
    assert hmac.digest(subkey(data_key, file, b"poof 1 log"), log[:96], "sha256")[:24] == log[96:120]
    assert hashlib.sha256(log[:120]).digest()[:8] == log[120:128]
    epoch, mark, known, frames, _ = state_of(cluster, data_key, file)
    assert log_id == known or (on == mark and (epoch % 2 == 1 or frames == 0))
    return base, log_id, sqlite


def frames_of(cluster: bytes, log: bytes, key: str) -> Iterator[tuple[bytes, bytes]]:
    """The opened header of each frame, and its slot, up to the first that was not written there in this log."""
    data_key, file = unwrapped_data_key(cluster, key), bytes.fromhex(header_of(cluster)["file"])
    keys = subkey(data_key, file, b"poof 1 frame" + log_header(cluster, log, key)[1], 48)
    for number, start in enumerate(range(128, len(log) - 8215, 8216), start=1):
        sealed, tag, slot = log[start : start + 16], log[start + 16 : start + 24], log[start + 24 : start + 8216]
        mac = slot[8153:8185]
        if hmac.digest(keys[:32], number.to_bytes(4, "big") + sealed + mac, "sha256")[:8] != tag:
            return
        yield Cipher(algorithms.AES(keys[32:]), modes.CBC(mac[:16])).decryptor().update(sealed), slot


def committed_pages(cluster: bytes, log: bytes, key: str) -> tuple[dict[int, bytes], int]:
    """What a log holds up to its end: the pages, and how many the database has (0 where the log holds nothing)."""
    base, _, sqlite = log_header(cluster, log, key)
    magic, _version, size = struct.unpack(">3I", sqlite[:12])
    running = checksums((0, 0), sqlite[:24], magic)
    assert (magic & ~1, size, running) == (0x377F0682, 8192, struct.unpack(">II", sqlite[24:]))
    committed: dict[int, bytes] = {}
    transaction: dict[int, bytes] = {}
    pages = 0
    for frame, (block, slot) in enumerate(frames_of(cluster, log, key), start=1):
        number, pages_after_commit, *frame_checksums = struct.unpack(">4I", block)
        try:
            page, place = opened_slot(slot, number, page_fernet(cluster, key))
        except InvalidToken:
            break
        running = checksums(running, block[:8] + page, magic)
        if number == 0 or place != (base, frame) or tuple(frame_checksums) != running:
            break
        transaction[number] = page
        if pages_after_commit:
            committed |= transaction
            transaction, pages = {}, pages_after_commit
    return committed, pages


def read_with_log(cluster: bytes, log: bytes, key: str, out: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Reads a small cluster and its log as the specification says."""
    newer, pages = committed_pages(cluster, log, key)
    fernet = page_fernet(cluster, key)
    data_key, file = unwrapped_data_key(cluster, key), bytes.fromhex(header_of(cluster)["file"])
    _, _, _, frames, base = state_of(cluster, data_key, file)
    database = bytearray()
    for number in range(1, pages + 1):
        if number in newer:
            database += newer[number]
            continue
        page, place = opened_slot(cluster[8192 * number : 8192 * (number + 1)], number, fernet)
        assert place <= (base, frames)
        database += page
    database[18:20] = b"\1\1"
    out.write_bytes(database)
    return documents(out)


def copy_in_use(cluster: Path, folder: Path) -> None:
    """Copies a cluster that is open here, and its log. Another process does it: closing drops a process's locks."""
    program = "import shutil, sys; [shutil.copy(file, sys.argv[-1]) for file in sys.argv[1:-1]]"
    subprocess.run([sys.executable, "-c", program, cluster, f"{cluster}-wal", folder], check=True)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.sqlite"


@pytest.fixture(scope="session")
def node_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program for node that opens pages with npm's `fernet`."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}")
    command = [
        shutil.which("npm"),
        "install",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        "--prefer-offline",
        NPM_FERNET,
    ]
    try:
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install {NPM_FERNET} within a minute")
    if installed.returncode:
        pytest.skip(f"npm could not install {NPM_FERNET}: {installed.stderr.strip()[-200:]}")
    reader = folder / "reader.js"
    reader.write_text(NODE_READER)
    return reader


def open_in_node(reader: Path, cluster: Path, key: str, pages: range) -> list[str]:
    """For each page what `fernet` decrypts it to, in hexadecimal, or its error."""
    command = ["node", reader, cluster, key, *map(str, pages)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_the_reader_is_short_and_needs_only_the_standard_library_and_fernet():
    source = READER.read_text()
    assert len(source.splitlines()) <= 100
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported - sys.stdlib_module_names == {"cryptography.fernet"}


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "people",
        "documents",
        "indexed",
        "multikey",
        "new-header",
        "one-copy",
        "two-slots",
        "password-derived-key",
        "half-changed",
        "half-rotated",
    ],
)
def test_the_reader_finds_what_a_vector_holds(name, out):
    vector = INDEX[name]
    result = read_independently(VECTORS / vector["file"], vector["key"], out)
    assert result.returncode == 0, result.stderr
    assert as_text(documents(out)) == as_text(vector["holds"])


def test_the_reader_prints_every_document(out):
    lines = read_independently(VECTORS / "people.poof", KEY, out).stdout.splitlines()
    assert lines == [
        'my_db people Alice1234567 {"name":"Alice","age":25}',
        'my_db people Bob123456789ABCDEFGHIJKLMN {"name":"Bob","age":31}',
    ]


def test_the_reader_writes_an_ordinary_database_that_lies_alone(out):
    read_independently(VECTORS / "documents.poof", KEY, out)
    assert [file.name for file in out.parent.iterdir()] == [out.name]
    connection = sqlite3.connect(out)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()


def test_the_reader_reads_a_fresh_cluster(path, out, run):
    async def fill() -> tuple[str, dict[str, Any]]:
        async with await PoofCluster.create(path) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("coll")
            inserted = [await collection.insert({"n": n, "text": "x" * n}) for n in range(0, 30_000, 1_000)]
            return cluster.get_encryption_key(), {"db": {"coll": [doc.model_dump(by_alias=True) for doc in inserted]}}

    key, holds = run(fill())
    result = read_independently(path, key, out)
    assert result.returncode == 0, result.stderr
    assert documents(out) == holds


def test_the_reader_asks_for_save_where_the_log_holds_newer_writes(tmp_path, out):
    result = read_independently(VECTORS / "live-log.poof", KEY, out)
    assert result.returncode == 1
    assert "live-log.poof-wal holds newer writes" in result.stderr
    assert "save()" in result.stderr
    assert not out.exists()


def test_the_reader_reads_what_save_moved_into_the_file(path, out, run):
    async def fill() -> None:
        async with await PoofCluster.create(path, key=KEY) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("coll")
            document = await collection.insert({"saved": True})
            await cluster.save()
            result = read_independently(path, KEY, out)
            assert result.returncode == 0, result.stderr
            assert documents(out) == {"db": {"coll": [document.model_dump(by_alias=True)]}}

    run(fill())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong-key", "This key does not open the cluster"),
        ("label-changed", "its header is damaged"),
        ("page-flipped", "Page 10 is damaged"),
        ("page-foreign", "Page 10 is damaged"),
        ("page-zeroed", "Page 10 is damaged"),
        ("pages-swapped", "Page 10 is not the page that belongs here"),
        ("page-copied", "Page 10 is not the page that belongs here"),
        ("slack-filled", "Page 10 is not the page that belongs here"),
        ("mixed", "Page 10 is newer than the file"),
        ("records-damaged", "The state of the file is damaged"),
        ("lost-log", "in use"),
        ("truncated", "Page 11 is damaged or missing"),
    ],
)
def test_the_reader_refuses_a_broken_vector(name, message, out):
    vector = INDEX[name]
    result = read_independently(VECTORS / vector["file"], vector["key"], out)
    assert result.returncode == 1
    assert message in result.stderr


def test_the_reader_does_not_replace_a_file(out):
    out.write_bytes(b"precious")
    assert read_independently(VECTORS / "people.poof", KEY, out).returncode == 1
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["people", "documents"])
def test_fernet_for_javascript_opens_every_page(name, node_reader):
    cluster = (VECTORS / f"{name}.poof").read_bytes()
    pages = range(1, len(cluster) // 8192)
    fernet = page_fernet(cluster, KEY)
    tokens = [base64.urlsafe_b64encode(cluster[8192 * number : 8192 * number + 8185]) for number in pages]
    expected = [fernet.decrypt(token).hex() for token in tokens]
    opened = open_in_node(node_reader, VECTORS / f"{name}.poof", KEY, pages)
    assert opened == expected
    assert bytes.fromhex(opened[0]).startswith(b"SQLite format 3\0")
    assert [int(page[-8:], 16) for page in opened] == list(pages)


def test_fernet_for_javascript_finds_a_flipped_bit_by_its_hmac(node_reader):
    opened = open_in_node(node_reader, VECTORS / "page-flipped.poof", KEY, range(9, 12))
    assert opened[1] == "Invalid Token: HMAC"
    assert {len(opened[0]), len(opened[2])} == {2 * 8127}


LOGS = ["live-log", "copied-log", "stale-tail", "damaged-log", "damaged-frame", "big-endian-log", "torn-checkpoint"]


@pytest.mark.parametrize("name", [*LOGS, "torn-record"])
def test_a_log_is_read_as_the_specification_says(name, out):
    cluster, log = (VECTORS / f"{name}.poof").read_bytes(), (VECTORS / f"{name}.poof-wal").read_bytes()
    assert read_with_log(cluster, log, KEY, out) == INDEX[name]["holds"]


async def restart_log(cluster: PoofCluster) -> None:
    """What the engine does when the log has grown long."""
    await cluster._engine._calls._writer.alone(log.restart_log)


def test_a_log_that_was_begun_anew_is_read_as_the_specification_says(path, tmp_path, out, run):
    # A log that is all in the file is written over from its start: frames of the old one follow those of the new one.
    async def fill() -> dict[str, Any]:
        async with await PoofCluster.create(path, key=KEY) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("coll")
            for number in range(20):
                await collection.insert({"number": number, "text": "x" * 500})
            first = (await collection.find_all())[0]
            await restart_log(cluster)
            await collection.update(first.objId, {"updated": True})
            copy_in_use(path, tmp_path)
            return {"db": {"coll": [doc.model_dump(by_alias=True) for doc in await collection.find_all()]}}

    holds = run(fill())
    cluster, log = (tmp_path / path.name).read_bytes(), (tmp_path / f"{path.name}-wal").read_bytes()
    assert 0 < len(list(frames_of(cluster, log, KEY))) < len(log) // 8216  # the last frame is an old one
    assert read_with_log(cluster, log, KEY, out) == holds


def worked_example() -> dict[str, str]:
    """The lines of the worked example in the specification, by their names, without spaces."""
    text = (ROOT / "docs" / "format.md").read_text(encoding="utf-8").partition(" A worked example")[2]
    lines = "\n".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL)).splitlines()
    return {line[:16].strip(): line[16:].replace(" ", "") for line in lines if line}


def test_the_worked_example_is_true():
    cluster, live = (VECTORS / "empty.poof").read_bytes(), (VECTORS / "live-log.poof").read_bytes()
    log = (VECTORS / "live-log.poof-wal").read_bytes()
    magic_line, text, mac, _ = cluster[:3584].rstrip(b"\0").split(b"\n")
    header = header_of(cluster)
    file, data_key = bytes.fromhex(header["file"]), unwrapped_data_key(cluster, KEY)
    slot_info = b"poof 1 slot" + header["slots"][0]["id"].encode()
    slot_key = subkey(base64.urlsafe_b64decode(KEY), bytes.fromhex(header["cluster"]), slot_info)
    header_key, page_key = subkey(data_key, file, b"poof 1 header"), subkey(data_key, file, b"poof 1 page")
    slot, page = cluster[8192:16384], page_fernet(cluster, KEY).decrypt(base64.urlsafe_b64encode(cluster[8192:16377]))
    signed = magic_line + b"\n" + text + b"\n"
    assert hmac.digest(header_key, signed, "sha256").hex() == mac.decode()
    record = cluster[3584:3712]
    block, _ = next(frames_of(live, log, KEY))
    live_file = bytes.fromhex(header_of(live)["file"])
    frame_keys = subkey(unwrapped_data_key(live, KEY), live_file, b"poof 1 frame" + log_header(live, log, KEY)[1], 48)
    assert worked_example() == {
        "user key": KEY,
        "header": text.decode(),
        "mac": mac.decode(),
        "slot key": slot_key.hex(),
        "data key": data_key.hex(),
        "header key": header_key.hex(),
        "page key": page_key.hex(),
        "state key": subkey(data_key, file, b"poof 1 state").hex(),
        "record": record[:44].hex() + record[44:84].hex() + record[84:96].hex() + record[96:].hex(),
        "version": slot[:1].hex(),
        "time": slot[1:9].hex(),
        "IV": slot[9:25].hex(),
        "ciphertext": f"{slot[25:41].hex()}...{slot[8137:8153].hex()}",
        "HMAC": slot[8153:8185].hex(),
        "slack": slot[8185:].hex(),
        "content": f"{page[:32].hex()}...",
        "base, frame": page[8111:8123].hex(),
        "page number": page[8123:].hex(),
        "log header": log[:128].hex(),
        "frame keys": frame_keys.hex(),
        "frame, stored": log[128:152].hex(),
        "frame, opened": block.hex(),
    }
