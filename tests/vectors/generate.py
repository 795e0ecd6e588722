"""Makes the test vectors: small cluster files, whole and broken, and `vectors.json`, which says what each holds.

    python tests/vectors/generate.py [FOLDER]

Every key is fixed and all randomness is a stream of SHA-256, so that the same PoofDB with the same SQLite makes the
same bytes again. That is for test files only: keys, IVs and salts that repeat protect nothing.
"""

import base64
import contextlib
import copy
import dataclasses
import hashlib
import hmac
import json
import os
import random
import shutil
import string
import struct
import subprocess
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
from poof.engines.sqlite.care.key_slots import change_header, with_slot
from poof.engines.sqlite.care.logs import add_up
from poof.engines.sqlite.file.build import build
from poof.engines.sqlite.file.judged import take_receipt
from poof.engines.sqlite.file.unlock import new_unlocked
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.catalogue import add_collection, add_database, read_catalogue
from poof.engines.sqlite.tables.connections import connect
from poof.engines.sqlite.tables.indexes import create_index
from poof.engines.sqlite.tables.savepoints import transaction
from poof.format import pages
from poof.format.frames import NUMBER_AND_SIZE, FrameCodec
from poof.format.header import Header, encode_copy
from poof.format.layout import (
    FRAME_HEADER_SIZE,
    FRAME_SIZE,
    HEADER_COPY_SIZE,
    HEADER_STARTS,
    LOG_HEADER_SIZE,
    PAGE_SIZE,
    RECORD_SIZE,
    RECORD_STARTS,
    frame_start,
)
from poof.format.logs import LogHeader, decode_log
from poof.format.pages import PageCodec
from poof.format.records import Records, newest_record
from poof.format.subkeys import DataKeys, FileKey
from poof.format.trust import wrap_previous
from poof.keys.kdf import Argon2Cost
from poof.keys.slots import DataKey, KeySlot, PasswordDerivation, Secret, key_slot, password_slot
from poof.keys.user_keys import UserKeys
from poof.query.fields import FieldOrder
from poof.query.indexes.definition import IndexDefinition

USER_KEY = base64.urlsafe_b64encode(bytes(range(32)))
OTHER_USER_KEY = base64.urlsafe_b64encode(bytes(range(32, 64)))
DATA_KEY = DataKey(bytes(range(64, 96)))
NEXT_DATA_KEY = DataKey(bytes(range(96, 128)), 1)
OTHER_DATA_KEY = DataKey(bytes(range(128, 160)))
PASSWORD = "Zw\u00f6lf Boxk\u00e4mpfer jagen Viktor"
CHEAP = Argon2Cost(memory_kib=64, passes=3, lanes=4)
NOW = 1_700_000_000
"""The time of everything, in seconds: 2023-11-14 22:13:20 UTC."""

DAMAGED_PAGE = 10
"""The table of the documents, in the small cluster that the broken files are made from."""
INDEX_PAGE = 11

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
MULTIKEY: Tree = {
    "my_db": {
        "people": [
            {"_objId": "Alice1234567", "data": {"tags": ["a", "b", None], "at": "2026-01-31T12:00:00.000000Z"}},
            {"_objId": "Bob123456789ABCDEFGHIJKLMN", "data": {"tags": [], "pets": [{"kind": "cat"}, {"legs": 2}]}},
            {"_objId": "Carol1234567", "data": {"tags": [["a"]], "pets": {"kind": "dog", "legs": 4}}},
        ]
    }
}
MULTIKEY_INDEXES = [
    IndexDefinition((FieldOrder(("tags",)),)),
    IndexDefinition((FieldOrder(("pets", "kind")), FieldOrder(("pets", "legs"), descending=True))),
    IndexDefinition((FieldOrder(("tags", "0")),)),
    IndexDefinition((FieldOrder(("at",)),), expire_after=10**9),
]
INDEXES = [
    IndexDefinition((FieldOrder(("pet",)), FieldOrder(("age",), descending=True))),
    IndexDefinition((FieldOrder(("name",)),), unique=True, where={"name": {"$exists": True}}),
]
MORE = {"_objId": "Later1234567", "data": {"number": 5}}
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
        slots: Callable[[str], list[KeySlot]],
        holds: Tree,
        data_key: DataKey = DATA_KEY,
        indexes: Sequence[IndexDefinition] = (),
        fill_with: Callable[[apsw.Connection], None] | None = None,
    ) -> Path:
        """Writes a whole cluster file; each collection has the indexes."""
        self.path(name).unlink(missing_ok=True)
        self.randomness.restart(name)
        cluster, file = self.randomness.bytes(16).hex(), self.randomness.bytes(16).hex()
        header = Header(format=1, cluster=cluster, file=file, generation=1, rotations=0, slots=tuple(slots(cluster)))
        unlocked = new_unlocked(header, data_key, USER_KEY)
        build(
            str(self.path(name)), unlocked, populate=fill_with or (lambda connection: fill(connection, holds, indexes))
        )
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


def one_key(cluster: str) -> list[KeySlot]:
    return [key_slot(cluster, DATA_KEY, USER_KEY, label="laptop")]


def one_password(cluster: str) -> list[KeySlot]:
    return [password_slot(cluster, DATA_KEY, PASSWORD, label="caf\u00e9", cost=CHEAP)[0]]


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

    vectors.cluster("multikey", one_key, MULTIKEY, indexes=MULTIKEY_INDEXES)
    about = "indexes over arrays, over documents in arrays, over a position, and one by which documents expire"
    vectors.add("multikey", about, key=USER_KEY, holds=MULTIKEY)

    path = vectors.cluster("password", one_password, {})
    vectors.add("password", "a slot for a password, at a low cost", password=PASSWORD, holds={})
    decomposed = unicodedata.normalize("NFD", PASSWORD)
    about = "the same password in Unicode normalization form D"
    vectors.add("password-decomposed", about, of="password", password=decomposed, holds={})
    derivation = PasswordDerivation.model_validate(header_fields(path.read_bytes())["slots"][0]["derivation"])
    about = "the key that the password makes"
    vectors.add("password-derived-key", about, of="password", key=derivation.derive(PASSWORD), holds={})

    vectors.cluster("two-slots", lambda cluster: [*one_key(cluster), *one_password(cluster)], {})
    vectors.add("two-slots", "a slot for a key and one for a password: the key", key=USER_KEY, holds={})
    vectors.add("two-slots-password", "the same: the password", of="two-slots", password=PASSWORD, holds={})


def make_readable_headers(vectors: Vectors) -> None:
    def destroy(file: bytearray) -> None:
        file[:HEADER_COPY_SIZE] = bytes(HEADER_COPY_SIZE)

    def change_half(file: bytearray) -> None:
        header = header_of(file)
        slots = (key_slot(header.cluster, DATA_KEY, OTHER_USER_KEY),)
        header = header.model_copy(update={"generation": 2, "slots": slots})
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
    """The data key is being replaced: the header leads from the new one to the one before."""

    def begin(file: bytearray) -> Header:
        header = header_of(file)
        key, before = header.key(NEXT_DATA_KEY), header.key(DATA_KEY)
        header = header.model_copy(
            update={
                "generation": 2,
                "rotations": 1,
                "slots": (header.slots[0].rewrapped(header.cluster, NEXT_DATA_KEY, USER_KEY),),
                "previous": wrap_previous(key, before.data_key),
            }
        )
        write_copies(file, encode_copy(header, NEXT_DATA_KEY))
        return header

    def half(file: bytearray) -> None:
        header = begin(file)
        old_codec, new_codec = PageCodec(header.key(DATA_KEY).page), PageCodec(header.key(NEXT_DATA_KEY).page)
        for number in (1, INDEX_PAGE):
            page = bytes(old_codec.open(number, file[slot(number)]))
            file[slot(number)] = new_codec.seal(number, page, old_codec.place)

    vectors.randomness.restart("half-rotated")
    vectors.changed("half-rotated", "people", half)
    about = "the data key is being replaced: pages 1 and 11 are under the new one, the others under the one before"
    vectors.add("half-rotated", about, key=USER_KEY, holds=PEOPLE)

    vectors.randomness.restart("rotated-log")
    vectors.changed("rotated-log", "live-log", lambda file: begin(file) and None)
    shutil.copyfile(log_of(vectors, "live-log"), log_of(vectors, "rotated-log"))
    about = "the data key was just replaced, in the header alone: file, state and log are under the one before"
    vectors.add("rotated-log", about, key=USER_KEY, holds={"my_db": {"log": LOGGED}})


@contextlib.contextmanager
def in_use(vectors: Vectors, name: str) -> Iterator[tuple[apsw.Connection, int, Callable[[str], None]]]:
    """A cluster of its own with an empty collection, open; and what copies its files as they are, under a name."""
    source = vectors.cluster(name, one_key, {"my_db": {"log": []}})
    with tempfile.TemporaryDirectory() as elsewhere:
        path = shutil.copy(source, elsewhere)
        keys = DataKeys(key_of(source.read_bytes()))
        connection = connect(ClusterState(path, keys, user_keys=UserKeys(USER_KEY)))

        def copy(to: str) -> None:
            for suffix in ("", "-wal"):
                shutil.copyfile(f"{path}{suffix}", f"{vectors.path(to)}{suffix}")

        yield connection, read_catalogue(connection)["my_db"]["log"], copy
        connection.close()


def make_logs(vectors: Vectors) -> None:
    logged = {"my_db": {"log": LOGGED}}
    with in_use(vectors, "live-log") as (connection, collection_id, copy):
        for document in LOGGED:
            insert(connection, collection_id, document)
        copy("live-log")
        about = "five documents in the log, none in the file: copied while the cluster was open"
        vectors.add("live-log", about, key=USER_KEY, holds=logged)

        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        copy("copied-log")
        about = "the same log, all of which is in the file"
        vectors.add("copied-log", about, key=USER_KEY, holds=logged)

        insert(connection, collection_id, MORE)
        copy("stale-tail")
        about = "a log that was begun anew: frames of the one before lie behind its own"
        vectors.add("stale-tail", about, key=USER_KEY, holds={"my_db": {"log": [*LOGGED, MORE]}})

    live, log = vectors.path("live-log").read_bytes(), log_of(vectors, "live-log").read_bytes()
    assert len(log) == frame_start(1 + 2 * len(LOGGED))  # a page of the table and one of its index
    damaged_frame = 6  # the last of the third transaction

    def variant(name: str, about: str, file: bytes, log: bytes | None, **fields: Any) -> None:
        vectors.path(name).write_bytes(file)
        if log is not None:
            log_of(vectors, name).write_bytes(log)
        vectors.add(name, about, key=USER_KEY, **fields)

    about = "one bit flipped in the page of the sixth of ten frames: the log ends with the second of five transactions"
    damaged = flipped(log, frame_start(damaged_frame) + FRAME_HEADER_SIZE + PAGE_SIZE // 2)
    variant("damaged-log", about, live, damaged, holds={"my_db": {"log": LOGGED[:2]}})
    about = "one bit flipped in the header of the sixth frame"
    damaged = flipped(log, frame_start(damaged_frame))
    variant("damaged-frame", about, live, damaged, holds={"my_db": {"log": LOGGED[:2]}})
    about = "the log of live-log, as a computer writes it that has its words in the other order"
    variant("big-endian-log", about, live, big_endian(live, log), holds=logged)
    about = "a checkpoint was torn: a page of the log is in the file, and the first part of another"
    variant("torn-checkpoint", about, torn_checkpoint(live, log), log, holds=logged)
    about = "a state record was torn; the other one knows the log as well"
    variant("torn-record", about, torn_record(live), log, holds=logged)
    variant("lost-log", "the file of live-log alone: its log was not copied", live, None, error="LogMissingError")
    about = "the header of the log was torn, which is no log, and the file was in use"
    variant("log-header-torn", about, live, log[:64], error="LogMissingError")
    about = "a checkpoint was begun, and the log lost: the file holds a part of a state"
    variant("lost-log-in-checkpoint", about, torn_checkpoint(live, log), None, error="LogMissingError")
    about = "a log from which frames are gone that may be in the file"
    variant("short-log", about, torn_checkpoint(live, log), log[: frame_start(5)], error="LogMismatchError")
    about = "the log was altered, and its sum, which is no secret, was made to fit"
    variant("log-header-forged", about, live, forged_header(log), error="LogMismatchError")
    with in_use(vectors, "foreign") as (connection, collection_id, copy):
        insert(connection, collection_id, MORE)
        copy("foreign")
    foreign = log_of(vectors, "foreign").read_bytes()
    for path in (vectors.path("foreign"), log_of(vectors, "foreign")):
        path.unlink()
    variant("log-of-another-file", "the log of another cluster", live, foreign, error="LogMismatchError")
    about = "a file that is newer than its log: that of copied-log, which was begun anew since"
    newer, older = vectors.path("stale-tail").read_bytes(), log
    variant("log-of-another-state", about, newer, older, error="LogMismatchError")


def make_states(vectors: Vectors) -> None:
    """Files whose parts are of several states, and older ones."""
    with in_use(vectors, "old-state") as (connection, collection_id, copy):
        insert(connection, collection_id, MORE)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        copy("old-state")
        for document in LOGGED:
            insert(connection, collection_id, document)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        copy("new-state")
        receipt = take_receipt(connection)
        change_header(connection, lambda old: with_slot(old, Secret(OTHER_USER_KEY), "phone"))
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        copy("new-header")
    for name in ("old-state", "new-state", "new-header"):
        log_of(vectors, name).unlink()
    holds = {"my_db": {"log": [MORE, *LOGGED]}}
    vectors.add("old-state", "a file with one document", key=USER_KEY, holds={"my_db": {"log": [MORE]}})
    vectors.add("new-state", "the same file, later, with five documents more", key=USER_KEY, holds=holds)
    vectors.add("new-header", "the same file, later, with one more key", key=OTHER_USER_KEY, holds=holds)
    fields = {"key": USER_KEY, "at_least": receipt}
    vectors.add("receipt", "the file of which it is the receipt", of="new-state", **fields, holds=holds)
    vectors.add("receipt-of-older", "a newer file", of="new-header", **fields, holds=holds)
    vectors.add("older-file", "an older copy of the file", of="old-state", **fields, error="OlderFileError")
    vectors.add("another-file", "another cluster", of="people", **fields, error="OlderFileError")
    vectors.add("older-0.x", "a file of PoofDB 0.x", of="one-token", **fields, error="OlderFileError")

    newer = vectors.path("new-state").read_bytes()

    def mix(file: bytearray) -> None:
        file[slot(DAMAGED_PAGE)] = newer[slot(DAMAGED_PAGE)]

    def put_back(file: bytearray) -> None:
        write_copies(file, newer[:HEADER_COPY_SIZE])

    vectors.changed("mixed", "old-state", mix)
    about = "an older file, with page 10 of a newer one: as in a copy that was made while the file was written"
    vectors.add("mixed", about, key=USER_KEY, error="MixedFileError")
    vectors.changed("older-header", "new-header", put_back)
    about = "both copies of the header are from before a key was added"
    vectors.add("older-header", about, key=USER_KEY, error="OlderHeaderError")

    def damage_records(file: bytearray) -> None:
        for start in RECORD_STARTS:
            file[start + RECORD_SIZE // 2] ^= 1

    vectors.changed("records-damaged", "old-state", damage_records)
    vectors.add("records-damaged", "one bit flipped in each state record", key=USER_KEY, error="DamagedHeaderError")


def key_of(file: bytes, data_key: DataKey = DATA_KEY) -> FileKey:
    return header_of(file).key(data_key)


def log_of(vectors: Vectors, name: str) -> Path:
    return Path(f"{vectors.path(name)}-wal")


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def records_of(file: bytes) -> Records:
    found = newest_record(file[:PAGE_SIZE], [key_of(file).state])
    assert found is not None
    return found


def log_header(file: bytes, log: bytes) -> LogHeader:
    header = decode_log(log[:LOG_HEADER_SIZE], [key_of(file).log])
    assert header is not None
    return header


def torn_checkpoint(file: bytes, log: bytes) -> bytes:
    """The file, with one page of its log and a part of another, and the record that says so."""
    torn, header, found = bytearray(file), log_header(file, log), records_of(file)
    record = found.newest.in_use(header.id, header.base, (len(log) - LOG_HEADER_SIZE) // FRAME_SIZE)
    start = RECORD_STARTS[found.slot_for(header.id)]
    torn[start : start + RECORD_SIZE] = record.encode(key_of(file).state)
    codec = PageCodec(key_of(file).page)
    for frame, size in ((9, PAGE_SIZE), (10, 512)):
        token = log[frame_start(frame) + FRAME_HEADER_SIZE : frame_start(frame + 1)]
        codec.open_any(token)
        torn[codec.number * PAGE_SIZE : codec.number * PAGE_SIZE + size] = token[:size]
    return bytes(torn)


def torn_record(file: bytes) -> bytes:
    """The file, without the record that was written last."""
    start = RECORD_STARTS[records_of(file).slot]
    return file[:start] + bytes(RECORD_SIZE // 2) + file[start + RECORD_SIZE // 2 :]


def forged_header(log: bytes) -> bytes:
    """A log whose header says something else, under its old MAC."""
    forged = flipped(log[:120], 32)
    return forged + hashlib.sha256(forged).digest()[:8] + log[LOG_HEADER_SIZE:]


def big_endian(file: bytes, log: bytes) -> bytes:
    """A log as a computer of the other order of bytes writes it."""
    key, header = key_of(file), log_header(file, log)
    sums = add_up(">", sqlite := b"\x37\x7f\x06\x83" + header.sqlite[4:24], (0, 0))
    header = dataclasses.replace(header, sqlite=sqlite + struct.pack(">2I", *sums))
    frames, codec = FrameCodec(key.frames(header.id)), PageCodec(key.page)
    written = header.encode(key.log)
    for number in range(1, (len(log) - LOG_HEADER_SIZE) // FRAME_SIZE + 1):
        stored = log[frame_start(number) : frame_start(number + 1)]
        token = stored[FRAME_HEADER_SIZE:]
        start = frames.open(number, stored[:FRAME_HEADER_SIZE], token)[:NUMBER_AND_SIZE]
        sums = add_up(">", bytes(codec.open_any(token)), add_up(">", start, sums))
        written += frames.seal(number, start + struct.pack(">2I", *sums), token) + token
    return written


def make_features(vectors: Vectors) -> None:
    def use(connection: apsw.Connection) -> None:
        fill(connection, PEOPLE, ())
        connection.execute("INSERT INTO features VALUES ('what comes next')")

    vectors.cluster("newer-feature", one_key, PEOPLE, fill_with=use)
    about = "the file uses what nobody knows yet: it can be read, and writing to it is a NewerFormatError"
    vectors.add("newer-feature", about, key=USER_KEY, holds=PEOPLE, read_only=True)


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
        for start in HEADER_STARTS:
            file[start + 100] ^= 1

    def change_label(file: bytearray) -> None:
        file[:PAGE_SIZE] = file[:PAGE_SIZE].replace(b'"laptop"', b'"lapdog"')

    def raise_cost(file: bytearray) -> None:
        fields = header_fields(file)
        fields["slots"][0]["derivation"]["cost"]["memory_kib"] = 2**32 - 1
        write_copies(file, signed_copy(1, fields))

    def add_up_costs(file: bytearray) -> None:
        fields = header_fields(file)
        costly = copy.deepcopy(fields["slots"][0])
        costly["derivation"]["cost"] = {"memory_kib": 2**19, "passes": 3, "lanes": 4}
        fields["slots"] += [{**costly, "id": "00000000"}, {**costly, "id": "00000001"}]
        write_copies(file, signed_copy(1, fields))

    def raise_format(file: bytearray) -> None:
        write_copies(file, signed_copy(2, {**header_fields(file), "format": 2}))

    def text_of(file: bytearray) -> str:
        return compact(header_fields(file))

    def repeat_member(file: bytearray) -> None:
        write_copies(file, signed_text(1, '{"generation":1,' + text_of(file)[1:]))

    def say_true(file: bytearray) -> None:
        write_copies(file, signed_text(1, text_of(file).replace('"generation":1', '"generation":true')))

    def say_null(file: bytearray) -> None:
        write_copies(file, signed_text(1, text_of(file)[:-1] + ',"previous":null}'))

    def stray_bits(file: bytearray) -> None:
        fields = header_fields(file)
        salt = fields["slots"][0]["derivation"]["salt"]
        following = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
        fields["slots"][0]["derivation"]["salt"] = salt[:21] + following[following.index(salt[21]) + 1] + "=="
        write_copies(file, signed_copy(1, fields))

    def take_rotations(file: bytearray) -> None:
        write_copies(file, signed_copy(1, {**header_fields(file), "rotations": 7}))

    def as_preview(file: bytearray) -> None:
        fields = header_fields(file)
        fields = {name: fields[name] for name in ("format", "cluster", "generation", "slots")}
        file[:PAGE_SIZE] = 2 * signed_copy(1, fields, of=header_of(file)).ljust(4096, b"\0")

    vectors.path("no-cluster").write_bytes(b"Dear diary, this is not a cluster.\n")
    vectors.add("no-cluster", "some other file", key=USER_KEY, error="NotAPoofFileError")
    vectors.path("no-bytes").write_bytes(b"")
    vectors.add("no-bytes", "a file of no bytes", key=USER_KEY, error="NotAPoofFileError")
    for name, about, error, change in (
        ("header-damaged", "one bit flipped in each header copy", "DamagedHeaderError", damage_both),
        ("label-changed", "a slot's label changed in both copies, the MAC not", "DamagedHeaderError", change_label),
        ("newer-format", "format 2, rightly signed", "NewerFormatError", raise_format),
        ("preview", "a file of the preview 1.0.0.dev1", "FileFormatError", as_preview),
        ("member-twice", "a member is there twice, rightly signed", "DamagedHeaderError", repeat_member),
        ("true-as-number", "a number is true, rightly signed", "DamagedHeaderError", say_true),
        ("null-member", "a member is null, rightly signed", "DamagedHeaderError", say_null),
        ("other-rotations", "not the number of rotations that is in the slot", "DamagedHeaderError", take_rotations),
    ):
        vectors.changed(name, "empty", change)
        vectors.add(name, about, key=USER_KEY, error=error)
    vectors.changed("hostile-cost", "password", raise_cost)
    about = "4 TiB of memory for Argon2id, rightly signed"
    vectors.add("hostile-cost", about, password=PASSWORD, error="DamagedHeaderError")
    for name, about, change in (
        ("hostile-costs", "three slots whose costs are too high together, rightly signed", add_up_costs),
        ("stray-bits", "bits in a salt's last digit that belong to no byte, rightly signed", stray_bits),
    ):
        vectors.changed(name, "password", change)
        vectors.add(name, about, password=PASSWORD, error="DamagedHeaderError")


def make_broken_pages(vectors: Vectors) -> None:
    foreign = vectors.cluster(
        "other", lambda cluster: [key_slot(cluster, OTHER_DATA_KEY, USER_KEY)], PEOPLE, OTHER_DATA_KEY
    )
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
        ("page-flipped", "one bit flipped in page 10", "DamagedPageError", flip),
        ("pages-swapped", "pages 10 and 11 swapped", "DamagedPageError", swap),
        ("page-copied", "page 11 copied over page 10", "DamagedPageError", copy),
        ("page-zeroed", "page 10 is zeros", "DamagedPageError", zero),
        ("slack-filled", "the last byte of page 10, after its token, is not zero", "DamagedPageError", fill_slack),
        ("page-foreign", "page 10 is from another cluster with the same user key", "DamagedPageError", transplant),
        ("truncated", "the last page is missing", "TruncatedFileError", truncate),
    ):
        vectors.changed(name, "people", change)
        vectors.add(name, about, key=USER_KEY, error=error)


def slot(page: int) -> slice:
    """Where in a small file a page lies."""
    return slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)


def header_fields(file: bytes) -> dict[str, Any]:
    """The JSON in the second copy of a file's header."""
    fields: dict[str, Any] = json.loads(file[HEADER_STARTS[1] :].split(b"\n")[1])
    return fields


def header_of(file: bytes) -> Header:
    """The header in the second copy of a file's."""
    return Header.model_validate_json(file[HEADER_STARTS[1] :].split(b"\n")[1])


def write_copies(file: bytearray, copy: bytes) -> None:
    for start in HEADER_STARTS:
        file[start : start + HEADER_COPY_SIZE] = copy


def compact(fields: dict[str, Any]) -> str:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def signed_copy(number: int, fields: dict[str, Any], of: Header | None = None) -> bytes:
    """A header copy that `Header` would refuse to make, with the right MAC."""
    return signed_text(number, compact(fields), of.file if of else fields["file"])


def signed_text(number: int, text: str, file: str = "") -> bytes:
    signed = f"PoofDB encrypted cluster, format {number}\n{text}\n".encode()
    key = FileKey(DATA_KEY, bytes.fromhex(file or json.loads(text)["file"])).header
    mac = hmac.new(key, signed, hashlib.sha256)
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
        make_states(vectors)
        make_features(vectors)
    vectors.write_index()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # by which sets are in the same order each time
        command = [sys.executable, *sys.argv]
        sys.exit(subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
