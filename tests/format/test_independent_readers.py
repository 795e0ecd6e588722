"""A cluster can be read without PoofDB: with `cryptography.fernet` and `sqlite3`, with Fernet for JavaScript, and, log
included, by what `docs/format.md` says."""

import ast
import base64
import hmac
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

from poof import PoofCluster
from poof.engines.sqlite.tables import log
from tests.format.test_vectors import as_text
from tests.support.places import ROOT, TESTS

READER = ROOT / "examples" / "decrypt_with_fernet.py"
VECTORS = TESTS / "vectors"
INDEX = {vector["name"]: vector for vector in json.loads((VECTORS / "vectors.json").read_text())["vectors"]}
KEY = INDEX["empty"]["key"]
TABLES = "SELECT d.name, c.name, c.id FROM databases d LEFT JOIN collections c ON c.database_id = d.id"

NPM_FERNET = "fernet@0.4.0"
# Its `decode` checks version and HMAC, decrypts, and reads the plaintext as UTF-8. Only this last step is replaced.
NODE_READER = """
const fs = require('fs'), fernet = require('fernet'), AES = require('crypto-js/aes');
const [cluster, userKey, ...numbers] = process.argv.slice(2);
const file = fs.readFileSync(cluster);
const decode = (token, key) => new fernet.Token({token, secret: new fernet.Secret(key), ttl: 0}).decode();

const header = JSON.parse(file.subarray(0, 4096).toString().split('\\n')[1]);
const dataKey = decode(header.slots[0].token, userKey);

fernet.decryptMessage = (ciphertext, key, iv) => AES.decrypt({ciphertext}, key, {iv}).toString(fernet.Hex);
for (const number of numbers) {
  const token = file.subarray(8192 * number, 8192 * number + 8185);
  try { console.log(decode(token.toString('base64url'), dataKey)); } catch (error) { console.log(error.message); }
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


def unwrapped_data_key(cluster: bytes, user_key: str) -> bytes:
    header = json.loads(cluster[:4096].split(b"\n")[1])
    return base64.urlsafe_b64decode(Fernet(user_key).decrypt(header["slots"][0]["token"]))


def subkey(data_key: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA256 without salt, up to 32 bytes (RFC 5869)."""
    extracted = hmac.digest(bytes(32), data_key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")[:size]


def frame_header_decryptor(data_key: bytes) -> CipherContext:
    key = subkey(data_key, b"poof wal frame header", 16)
    return Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305 - as specified


def opened_page(sealed: bytes, number: int, data_key: bytes) -> bytes:
    plaintext = Fernet(base64.urlsafe_b64encode(data_key)).decrypt(base64.urlsafe_b64encode(sealed[:8185]))
    if plaintext[8123:] != number.to_bytes(4, "big") or any(sealed[8185:]):
        raise InvalidToken
    return plaintext[:8123] + bytes(69)


def checksums(start: tuple[int, int], data: bytes, magic: int) -> tuple[int, int]:
    s, t = start
    for x, y in struct.iter_unpack(">II" if magic & 1 else "<II", data):
        s = (s + x + t) % 2**32
        t = (t + y + s) % 2**32
    return s, t


def committed_pages(log: bytes, data_key: bytes) -> tuple[dict[int, bytes], int]:
    """What a log holds up to its end: the pages, and how many the database has (0 where the log holds nothing)."""
    magic, _version, size, _count, salts = struct.unpack(">4IQ", log[:24])
    running = checksums((0, 0), log[:24], magic)
    assert (magic & ~1, size, running) == (0x377F0682, 8192, struct.unpack(">II", log[24:32]))
    frame_headers = frame_header_decryptor(data_key)
    committed: dict[int, bytes] = {}
    transaction: dict[int, bytes] = {}
    pages = 0
    for start in range(32, len(log) - 8215, 8216):
        number, pages_after_commit = struct.unpack(">II", log[start : start + 8])
        place, *frame_checksums = struct.unpack(">QII", frame_headers.update(log[start + 8 : start + 24]))
        try:
            page = opened_page(log[start + 24 : start + 8216], number, data_key)
        except InvalidToken:
            break
        running = checksums(running, log[start : start + 8] + page, magic)
        if number == 0 or place ^ start != salts or tuple(frame_checksums) != running:
            break
        transaction[number] = page
        if pages_after_commit:
            committed |= transaction
            transaction, pages = {}, pages_after_commit
    return committed, pages


def read_with_log(cluster: bytes, log: bytes, key: str, out: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Reads a small cluster and its log as the specification says."""
    data_key = unwrapped_data_key(cluster, key)
    newer, pages = committed_pages(log, data_key)
    database = bytearray()
    for number in range(1, pages + 1):
        database += newer.get(number) or opened_page(cluster[8192 * number : 8192 * (number + 1)], number, data_key)
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
    assert len(source.splitlines()) <= 60
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


async def test_the_reader_reads_a_fresh_cluster(path, out):
    async def fill() -> tuple[str, dict[str, Any]]:
        async with await PoofCluster.create(path) as cluster:
            collection = await (await cluster.get_database("db")).get_collection("coll")
            inserted = [await collection.insert({"n": n, "text": "x" * n}) for n in range(0, 30_000, 1_000)]
            return cluster.get_encryption_key(), {"db": {"coll": [doc.model_dump(by_alias=True) for doc in inserted]}}

    key, holds = await fill()
    result = read_independently(path, key, out)
    assert result.returncode == 0, result.stderr
    assert documents(out) == holds


def test_the_reader_asks_for_save_where_the_log_holds_newer_writes(tmp_path, out):
    result = read_independently(VECTORS / "live-log.poof", KEY, out)
    assert result.returncode == 1
    assert "live-log.poof-wal holds newer writes" in result.stderr
    assert "save()" in result.stderr
    assert not out.exists()


async def test_the_reader_reads_what_save_moved_into_the_file(path, out):
    async with await PoofCluster.create(path, key=KEY) as cluster:
        collection = await (await cluster.get_database("db")).get_collection("coll")
        document = await collection.insert({"saved": True})
        await cluster.save()
        result = read_independently(path, KEY, out)
        assert result.returncode == 0, result.stderr
        assert documents(out) == {"db": {"coll": [document.model_dump(by_alias=True)]}}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong-key", "This key does not open the cluster"),
        ("label-changed", "its header is damaged"),
        ("page-flipped", "Page 8 is damaged"),
        ("page-foreign", "Page 8 is damaged"),
        ("page-zeroed", "Page 8 is damaged"),
        ("pages-swapped", "Page 8 is not the page that belongs here"),
        ("page-copied", "Page 8 is not the page that belongs here"),
        ("slack-filled", "Page 8 is not the page that belongs here"),
        ("truncated", "Page 9 is damaged or missing"),
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
    fernet = Fernet(base64.urlsafe_b64encode(unwrapped_data_key(cluster, KEY)))
    tokens = [base64.urlsafe_b64encode(cluster[8192 * number : 8192 * number + 8185]) for number in pages]
    expected = [fernet.decrypt(token).hex() for token in tokens]
    opened = open_in_node(node_reader, VECTORS / f"{name}.poof", KEY, pages)
    assert opened == expected
    assert bytes.fromhex(opened[0]).startswith(b"SQLite format 3\0")
    assert [int(page[-8:], 16) for page in opened] == list(pages)


def test_fernet_for_javascript_finds_a_flipped_bit_by_its_hmac(node_reader):
    opened = open_in_node(node_reader, VECTORS / "page-flipped.poof", KEY, range(7, 10))
    assert opened[1] == "Invalid Token: HMAC"
    assert {len(opened[0]), len(opened[2])} == {2 * 8127}


@pytest.mark.parametrize("name", ["live-log", "damaged-log"])
def test_a_log_is_read_as_the_specification_says(name, out):
    cluster, log = (VECTORS / f"{name}.poof").read_bytes(), (VECTORS / f"{name}.poof-wal").read_bytes()
    assert read_with_log(cluster, log, KEY, out) == INDEX[name]["holds"]


async def restart_log(cluster: PoofCluster) -> None:
    """What the engine does when the log has grown long."""
    await cluster._engine._calls._writer.exclusive(log.restart_log)


async def test_a_log_that_was_begun_anew_is_read_as_the_specification_says(path, tmp_path, out):
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

    holds = await fill()
    cluster, log = (tmp_path / path.name).read_bytes(), (tmp_path / f"{path.name}-wal").read_bytes()
    frame_headers = frame_header_decryptor(unwrapped_data_key(cluster, KEY))
    place = int.from_bytes(frame_headers.update(log[-8216:][8:24])[:8], "big")
    assert place ^ (len(log) - 8216) != int.from_bytes(
        log[16:24], "big"
    )  # the last frame is an old one, of other salts
    assert read_with_log(cluster, log, KEY, out) == holds


def worked_example() -> dict[str, str]:
    """The lines of the worked example in the specification, by their names, without spaces."""
    text = (ROOT / "docs" / "format.md").read_text(encoding="utf-8").partition(" A worked example")[2]
    lines = "\n".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL)).splitlines()
    return {line[:16].strip(): line[16:].replace(" ", "") for line in lines if line}


def test_the_worked_example_is_true():
    cluster, log = (VECTORS / "empty.poof").read_bytes(), (VECTORS / "live-log.poof-wal").read_bytes()
    magic_line, header, mac, _ = cluster[:4096].rstrip(b"\0").split(b"\n")
    wrapped = json.loads(header)["slots"][0]["token"]
    data_key = unwrapped_data_key(cluster, KEY)
    header_key, frame_key = subkey(data_key, b"poof header", 32), subkey(data_key, b"poof wal frame header", 16)
    sealed, frame = cluster[8192:16384], log[32:56]
    page = Fernet(base64.urlsafe_b64encode(data_key)).decrypt(base64.urlsafe_b64encode(sealed[:8185]))
    signed = magic_line + b"\n" + header + b"\n"
    assert len(signed) == 338
    assert hmac.digest(header_key, signed, "sha256").hex() == mac.decode()
    assert worked_example() == {
        "user key": KEY,
        "header": header.decode(),
        "mac": mac.decode(),
        "opened token": Fernet(KEY).decrypt(wrapped).decode(),
        "data key": data_key.hex(),
        "HKDF extracted": hmac.digest(bytes(32), data_key, "sha256").hex(),
        "header key": header_key.hex(),
        "frame key": frame_key.hex(),
        "version": sealed[:1].hex(),
        "time": sealed[1:9].hex(),
        "IV": sealed[9:25].hex(),
        "ciphertext": f"{sealed[25:41].hex()}...{sealed[8137:8153].hex()}",
        "HMAC": sealed[8153:8185].hex(),
        "slack": sealed[8185:].hex(),
        "content": f"{page[:32].hex()}...",
        "page number": page[8123:].hex(),
        "log header": log[:32].hex(),
        "frame, clear": frame[:8].hex(),
        "frame, stored": frame[8:].hex(),
        "frame, opened": frame_header_decryptor(data_key).update(frame[8:]).hex(),
    }
