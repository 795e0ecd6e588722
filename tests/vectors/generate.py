"""Makes the test vectors: small cluster files, whole and broken, and `vectors.json`, which says what each holds.

    python tests/vectors/generate.py [FOLDER]

Every key is fixed and all randomness is a stream of SHA-256, so that the same PoofDB with the same SQLite makes the
same bytes again. That is for test files only: keys, IVs and salts that repeat protect nothing.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import random
import shutil
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
from cryptography.fernet import Fernet

from poof.document import encode_document
from poof.engines.sqlite.file.build import build
from poof.engines.sqlite.file.unlock import Unlocked
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.catalogue import add_collection, add_database, read_catalogue
from poof.engines.sqlite.tables.connections import connect
from poof.engines.sqlite.tables.indexes import create_index
from poof.engines.sqlite.tables.savepoints import transaction
from poof.format import pages
from poof.format.header import KEY_PURPOSE, MAC_KEY_SIZE, Header, encode_block, encode_copy
from poof.format.layout import FRAME_HEADER_SIZE, FRAME_SIZE, HEADER_COPY_SIZE, PAGE_SIZE, WAL_HEADER_SIZE
from poof.format.pages import PageCodec
from poof.format.trust import DataKeys, wrap_previous
from poof.keys.kdf import Argon2Cost, derive_subkey
from poof.keys.slots import KeySlot, PasswordDerivation, key_slot, password_slot
from poof.query.fields import FieldOrder
from poof.query.indexes.definition import IndexDefinition

USER_KEY = base64.urlsafe_b64encode(bytes(range(32)))
OTHER_USER_KEY = base64.urlsafe_b64encode(bytes(range(32, 64)))
DATA_KEY = bytes(range(64, 96))
OTHER_DATA_KEY = bytes(range(96, 128))
PASSWORD = "Zw\u00f6lf Boxk\u00e4mpfer jagen Viktor"
CHEAP = Argon2Cost(memory_kib=64, passes=3, lanes=4)
NOW = 1_700_000_000
"""The time of everything, in seconds: 2023-11-14 22:13:20 UTC."""

DAMAGED_PAGE = 8
"""The table of the documents, in the small cluster that the broken files are made from."""
INDEX_PAGE = 9

Tree = dict[str, dict[str, list[dict[str, Any]]]]

PEOPLE: Tree = {
    "my_db": {
        "people": [
            {"_objId": "Alice1234567", "data": {"name": "Alice", "age": 25}},
            {"_objId": "Bob123456789ABCDEFGHIJKLMN", "data": {"name": "Bob", "age": 31}},
        ]
    }
}
DOCUMENTS: Tree = {
    "my_db": {
        "many kinds": [
            {"_objId": "Empty1234567", "data": {}},
            {"_objId": "Unicode12345", "data": {"gr\u00fc\u00df": "\u4f60\u597d \U0001f40d \u202e \u0000 \"\\'"}},
            {"_objId": "Numbers12345", "data": {"min": -(2**63), "max": 2**63 - 1, "float": 1.0, "tiny": 5e-324}},
            {"_objId": "Nested123456", "data": {"a": [{"b": [None, True, [1, [2, [3]]]]}, {}], "": {"$x.y": []}}},
            {"_objId": "Large1234567", "data": {"text": "0123456789abcdef" * 1250}},
        ],
        "nothing": [],
    },
    "\U0001f40d \"quoted\" 'names'; --/..\\": {"\u00e9": [{"_objId": "Accent123456", "data": {"n": 1}}]},
    "empty": {},
}
INDEXED: Tree = {
    "my_db": {
        "people": [
            {"_objId": "Alice1234567", "data": {"name": "Alice", "age": 25, "pet": {"kind": "cat", "legs": 4}}},
            {"_objId": "Bob123456789ABCDEFGHIJKLMN", "data": {"name": "Bob", "age": -31.5, "pet": None}},
            {"_objId": "Carol1234567", "data": {"name": "Car\u0001o\u0000l", "age": 2**63 - 1, "pet": False}},
            {"_objId": "Unnamed12345", "data": {}},
        ]
    }
}
INDEXES = [
    IndexDefinition((FieldOrder(("pet",)), FieldOrder(("age",), descending=True))),
    IndexDefinition((FieldOrder(("name",)),), unique=True, where={"name": {"$exists": True}}),
]
LOGGED = [{"_objId": f"Logged{number:06}", "data": {"number": number}} for number in range(5)]


class FixedRandomness:
    """Bytes that look random and are always the same: SHA-256 over a name and a count."""

    def __init__(self) -> None:
        self._name = b""
        self._count = 0

    def restart(self, name: str) -> None:
        """Makes what follows depend on the name alone."""
        self._name = name.encode()
        self._count = 0
        apsw.randomness(0)  # SQLite's own generator takes a new seed at its next use

    def bytes(self, size: int) -> bytes:
        stream = b""
        while len(stream) < size:
            stream += hashlib.sha256(b"%s %d" % (self._name, self._count)).digest()
            self._count += 1
        return stream[:size]


class SeedingVFS(apsw.VFS):
    """The system's VFS, but SQLite's random generator is seeded from the stream. It draws the salts of the log."""

    def __init__(self, randomness: FixedRandomness) -> None:
        self._randomness = randomness
        super().__init__("poof-vectors", "", makedefault=True)

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802
        return self._randomness.bytes(numbytes)


@contextlib.contextmanager
def fixed_randomness() -> Iterator[FixedRandomness]:
    """Inside the block nothing in this process is random, and time stands still."""
    randomness = FixedRandomness()
    real = os.urandom, random._urandom, time.time, pages.BLOCKS_DRAWN
    vfs = SeedingVFS(randomness)
    os.urandom = random._urandom = randomness.bytes
    time.time = lambda: float(NOW)
    pages.BLOCKS_DRAWN = 1
    try:
        yield randomness
    finally:
        os.urandom, random._urandom, time.time, pages.BLOCKS_DRAWN = real
        vfs.unregister()


class Vectors:
    """A folder of vectors in the making, and their index."""

    def __init__(self, folder: Path, randomness: FixedRandomness) -> None:
        self.folder = folder
        self.randomness = randomness
        self._entries: list[dict[str, Any]] = []

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.poof"

    def add(self, name: str, about: str, of: str | None = None, **fields: Any) -> None:
        """An entry of the index: what a reader with this `key` or `password` finds, or the error it meets."""
        fields = {key: value.decode() if isinstance(value, bytes) else value for key, value in fields.items()}
        self._entries.append({"name": name, "file": self.path(of or name).name, "about": about, **fields})

    def cluster(
        self,
        name: str,
        slots: Callable[[], list[KeySlot]],
        holds: Tree,
        data_key: bytes = DATA_KEY,
        indexes: Sequence[IndexDefinition] = (),
    ) -> Path:
        """Writes a whole cluster file; each collection has the indexes."""
        self.randomness.restart(name)
        header = Header(format=1, cluster=self.randomness.bytes(16).hex(), generation=1, slots=tuple(slots()))
        unlocked = Unlocked(header, data_key, USER_KEY)
        build(str(self.path(name)), unlocked, populate=lambda connection: fill(connection, holds, indexes))
        return self.path(name)

    def changed(self, name: str, of: str, change: Callable[[bytearray], None]) -> None:
        """Writes a changed copy of a file."""
        file = bytearray(self.path(of).read_bytes())
        change(file)
        self.path(name).write_bytes(file)

    def write_index(self) -> None:
        index = {"made_with": {"sqlite": apsw.sqlite_lib_version()}, "vectors": self._entries}
        text = json.dumps(index, indent=1) + "\n"
        (self.folder / "vectors.json").write_text(text, encoding="ascii", newline="\n")


def one_key() -> list[KeySlot]:
    return [key_slot(DATA_KEY, USER_KEY, label="laptop")]


def one_password() -> list[KeySlot]:
    return [password_slot(DATA_KEY, PASSWORD, label="caf\u00e9", cost=CHEAP)[0]]


def fill(connection: apsw.Connection, holds: Tree, indexes: Sequence[IndexDefinition]) -> None:
    with transaction(connection):
        for database, collections in holds.items():
            database_id = add_database(connection, database)
            for collection, documents in collections.items():
                collection_id = add_collection(connection, database_id, collection)
                for document in documents:
                    insert(connection, collection_id, document)
                for definition in indexes:
                    create_index(connection, collection_id, definition.default_name, definition, lambda *_: None)


def insert(connection: apsw.Connection, collection_id: int, document: dict[str, Any]) -> None:
    text = encode_document(document["data"])[1]
    connection.execute(schema.insert_document(collection_id), (document["_objId"], text))


def make_whole(vectors: Vectors) -> None:
    vectors.cluster("empty", one_key, {})
    vectors.add("empty", "no database yet", key=USER_KEY, holds={})
    vectors.cluster("people", one_key, PEOPLE)
    vectors.add("people", "two documents in one collection", key=USER_KEY, holds=PEOPLE)
    vectors.cluster("documents", one_key, DOCUMENTS)
    about = "Unicode names and text, exact numbers, nesting, and a document that takes overflow pages"
    vectors.add("documents", about, key=USER_KEY, holds=DOCUMENTS)

    vectors.cluster("indexed", one_key, INDEXED, indexes=INDEXES)
    vectors.add("indexed", "a compound index, and one that is unique and partial", key=USER_KEY, holds=INDEXED)

    path = vectors.cluster("password", one_password, {})
    vectors.add("password", "a slot for a password, at a low cost", password=PASSWORD, holds={})
    decomposed = unicodedata.normalize("NFD", PASSWORD)
    about = "the same password in Unicode normalization form D"
    vectors.add("password-decomposed", about, of="password", password=decomposed, holds={})
    derivation = PasswordDerivation.model_validate(header_fields(path.read_bytes())["slots"][0]["derivation"])
    about = "the key that the password makes"
    vectors.add("password-derived-key", about, of="password", key=derivation.derive(PASSWORD), holds={})

    vectors.cluster("two-slots", lambda: [*one_key(), *one_password()], {})
    vectors.add("two-slots", "a slot for a key and one for a password: the key", key=USER_KEY, holds={})
    vectors.add("two-slots-password", "the same: the password", of="two-slots", password=PASSWORD, holds={})


def make_readable_headers(vectors: Vectors) -> None:
    def destroy(file: bytearray) -> None:
        file[:HEADER_COPY_SIZE] = bytes(HEADER_COPY_SIZE)

    def change_half(file: bytearray) -> None:
        slots = (key_slot(DATA_KEY, OTHER_USER_KEY),)
        header = Header(format=1, cluster=header_fields(file)["cluster"], generation=2, slots=slots)
        file[:HEADER_COPY_SIZE] = encode_copy(header, DATA_KEY)

    vectors.changed("one-copy", "empty", destroy)
    vectors.add("one-copy", "the first header copy is destroyed, the second is whole", key=USER_KEY, holds={})

    vectors.randomness.restart("half-changed")
    vectors.changed("half-changed", "empty", change_half)
    about = "a header change was interrupted: the first copy is of generation 2, with another key than the second"
    vectors.add("half-changed", about, key=OTHER_USER_KEY, holds={})
    about = "the same: the old key, which has no slot in the newer copy"
    vectors.add("half-changed-old-key", about, of="half-changed", key=USER_KEY, error="WrongKeyError")


def make_rotations(vectors: Vectors) -> None:
    """The data key is being replaced: the header leads from the new one to the previous one."""
    new_codec, old_codec = PageCodec(OTHER_DATA_KEY), PageCodec(DATA_KEY)

    def reseal(file: bytearray, number: int) -> None:
        page = bytes(old_codec.open(number, file[slot(number)]))
        file[slot(number)] = new_codec.seal(number, page)

    def begin(file: bytearray) -> None:
        header = Header(
            format=1,
            cluster=header_fields(file)["cluster"],
            generation=2,
            slots=(KeySlot.model_validate(header_fields(file)["slots"][0]).rewrapped(OTHER_DATA_KEY, USER_KEY),),
            previous=wrap_previous(OTHER_DATA_KEY, DATA_KEY),
        )
        file[:PAGE_SIZE] = encode_block(header, OTHER_DATA_KEY)
        for number in (1, INDEX_PAGE):
            reseal(file, number)

    vectors.randomness.restart("half-rotated")
    vectors.changed("half-rotated", "people", begin)
    about = "the data key is being replaced: pages 1 and 9 are under the new one, the others under the one before"
    vectors.add("half-rotated", about, key=USER_KEY, holds=PEOPLE)


def make_logs(vectors: Vectors) -> None:
    with tempfile.TemporaryDirectory() as elsewhere:
        path = shutil.copy(vectors.cluster("live-log", one_key, {"my_db": {"log": []}}), elsewhere)
        connection = connect(ClusterState(path, DataKeys(DATA_KEY)))
        collection_id = read_catalogue(connection)["my_db"]["log"]
        for document in LOGGED:
            insert(connection, collection_id, document)
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", f"{vectors.path('live-log')}{suffix}")
        connection.close()
    about = "five documents in the log, none in the file: copied while the cluster was open"
    vectors.add("live-log", about, key=USER_KEY, holds={"my_db": {"log": LOGGED}})

    log = bytearray((vectors.folder / "live-log.poof-wal").read_bytes())
    assert len(log) == WAL_HEADER_SIZE + 2 * len(LOGGED) * FRAME_SIZE  # a page of the table and one of its index
    damaged_frame = 5  # counted from 0: the last of the third transaction
    log[WAL_HEADER_SIZE + damaged_frame * FRAME_SIZE + FRAME_HEADER_SIZE + PAGE_SIZE // 2] ^= 1
    (vectors.folder / "damaged-log.poof-wal").write_bytes(log)
    shutil.copyfile(vectors.path("live-log"), vectors.path("damaged-log"))
    about = "one bit flipped in the page of the sixth of ten frames: the log ends with the second of five transactions"
    vectors.add("damaged-log", about, key=USER_KEY, holds={"my_db": {"log": LOGGED[:2]}})


def make_legacy(vectors: Vectors) -> None:
    vectors.randomness.restart("one-token")
    vectors.path("one-token").write_bytes(Fernet(USER_KEY).encrypt(json.dumps(PEOPLE).encode()))
    vectors.add("one-token", "a file of PoofDB 0.x", key=USER_KEY, holds=PEOPLE)
    printed = base64.urlsafe_b64encode(USER_KEY)
    about = "the same, with its key as PoofDB 0.x printed it"
    vectors.add("one-token-printed-key", about, of="one-token", key=printed, holds=PEOPLE)
    about = "the same, with another key"
    vectors.add("one-token-wrong-key", about, of="one-token", key=OTHER_USER_KEY, error="WrongKeyError")


def make_refused_secrets(vectors: Vectors) -> None:
    vectors.add("wrong-key", "another key", of="people", key=OTHER_USER_KEY, error="WrongKeyError")
    vectors.add("wrong-password", "another password", of="password", password="guess", error="WrongKeyError")
    vectors.add("no-key", "neither key nor password", of="people", error="KeyRequiredError")
    about = "a password, where no slot is for one"
    vectors.add("no-password-slot", about, of="people", password=PASSWORD, error="KeyRequiredError")


def make_broken_headers(vectors: Vectors) -> None:
    def damage_both(file: bytearray) -> None:
        for start in (0, HEADER_COPY_SIZE):
            file[start + 100] ^= 1

    def change_label(file: bytearray) -> None:
        file[:PAGE_SIZE] = file[:PAGE_SIZE].replace(b'"laptop"', b'"lapdog"')

    def raise_cost(file: bytearray) -> None:
        fields = header_fields(file)
        fields["slots"][0]["derivation"]["cost"]["memory_kib"] = 2**32 - 1
        file[:PAGE_SIZE] = 2 * signed_copy(1, fields)

    def raise_format(file: bytearray) -> None:
        file[:PAGE_SIZE] = 2 * signed_copy(2, {**header_fields(file), "format": 2})

    vectors.path("no-cluster").write_bytes(b"Dear diary, this is not a cluster.\n")
    vectors.add("no-cluster", "some other file", key=USER_KEY, error="NotAPoofFileError")
    vectors.path("no-bytes").write_bytes(b"")
    vectors.add("no-bytes", "a file of no bytes", key=USER_KEY, error="NotAPoofFileError")
    for name, about, error, change in (
        ("header-damaged", "one bit flipped in each header copy", "DamagedHeaderError", damage_both),
        ("label-changed", "a slot's label changed in both copies, the MAC not", "DamagedHeaderError", change_label),
        ("newer-format", "format 2, rightly signed", "NewerFormatError", raise_format),
    ):
        vectors.changed(name, "empty", change)
        vectors.add(name, about, key=USER_KEY, error=error)
    vectors.changed("hostile-cost", "password", raise_cost)
    about = "4 TiB of memory for Argon2id, rightly signed"
    vectors.add("hostile-cost", about, password=PASSWORD, error="DamagedHeaderError")


def make_broken_pages(vectors: Vectors) -> None:
    foreign = vectors.cluster("other", lambda: [key_slot(OTHER_DATA_KEY, USER_KEY)], PEOPLE, OTHER_DATA_KEY)
    foreign_page = foreign.read_bytes()[slot(DAMAGED_PAGE)]
    foreign.unlink()

    def flip(file: bytearray) -> None:
        file[DAMAGED_PAGE * PAGE_SIZE + PAGE_SIZE // 2] ^= 1

    def swap(file: bytearray) -> None:
        file[slot(DAMAGED_PAGE)], file[slot(INDEX_PAGE)] = file[slot(INDEX_PAGE)], file[slot(DAMAGED_PAGE)]

    def copy(file: bytearray) -> None:
        file[slot(DAMAGED_PAGE)] = file[slot(INDEX_PAGE)]

    def zero(file: bytearray) -> None:
        file[slot(DAMAGED_PAGE)] = bytes(PAGE_SIZE)

    def fill_slack(file: bytearray) -> None:
        file[slot(DAMAGED_PAGE).stop - 1] = 1

    def transplant(file: bytearray) -> None:
        file[slot(DAMAGED_PAGE)] = foreign_page

    def truncate(file: bytearray) -> None:
        del file[-PAGE_SIZE:]

    for name, about, error, change in (
        ("page-flipped", "one bit flipped in page 8", "DamagedPageError", flip),
        ("pages-swapped", "pages 8 and 9 swapped", "DamagedPageError", swap),
        ("page-copied", "page 9 copied over page 8", "DamagedPageError", copy),
        ("page-zeroed", "page 8 is zeros", "DamagedPageError", zero),
        ("slack-filled", "the last byte of page 8, after its token, is not zero", "DamagedPageError", fill_slack),
        ("page-foreign", "page 8 is from another cluster with the same user key", "DamagedPageError", transplant),
        ("truncated", "the last page is missing", "TruncatedFileError", truncate),
    ):
        vectors.changed(name, "people", change)
        vectors.add(name, about, key=USER_KEY, error=error)


def slot(page: int) -> slice:
    """Where in a small file a page lies."""
    return slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)


def header_fields(file: bytes) -> dict[str, Any]:
    """The JSON in the second copy of a file's header."""
    fields: dict[str, Any] = json.loads(file[HEADER_COPY_SIZE:].split(b"\n")[1])
    return fields


def signed_copy(number: int, fields: dict[str, Any]) -> bytes:
    """A header copy that `Header` would refuse to make, with the right MAC."""
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    signed = f"PoofDB encrypted cluster, format {number}\n{text}\n".encode()
    mac = hmac.new(derive_subkey(DATA_KEY, KEY_PURPOSE, MAC_KEY_SIZE), signed, hashlib.sha256)
    return (signed + mac.hexdigest().encode() + b"\n").ljust(HEADER_COPY_SIZE, b"\x00")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with fixed_randomness() as randomness:
        vectors = Vectors(folder, randomness)
        make_whole(vectors)
        make_readable_headers(vectors)
        make_logs(vectors)
        make_legacy(vectors)
        make_refused_secrets(vectors)
        make_broken_headers(vectors)
        make_broken_pages(vectors)
        make_rotations(vectors)
    vectors.write_index()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
