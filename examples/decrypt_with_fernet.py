"""Reads a PoofDB cluster without PoofDB: it is an SQLite database, and every page of it is a Fernet token.

python decrypt_with_fernet.py CLUSTER KEY OUT.sqlite     (what is written to OUT.sqlite is not encrypted any more)
"""

import base64
import hmac
import json
import re
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

SLOT, TOKEN, CONTENT, RESERVED = 8192, 8185, 8111, 81
LOCK_SLOT = 0x40000000 // SLOT  # stays empty: the page that would lie here lies in the next slot
HEADER_COPY = re.compile(rb"(PoofDB encrypted cluster, format 1\n(\{.*\})\n)([0-9a-f]{64})\n\0*")
COLLECTIONS = "SELECT c.id, d.name, c.name FROM collections c JOIN databases d ON d.id = c.database_id ORDER BY c.id"


def derived(key: bytes, number: str, purpose: str) -> bytes:
    return hmac.digest(hmac.digest(bytes.fromhex(number), key, "sha256"), purpose.encode() + b"\1", "sha256")  # HKDF


def fernet(key: bytes, number: str, purpose: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derived(key, number, purpose)))


def open_header(block: bytes, user_key: bytes) -> tuple[str, list[bytes]]:
    matches = filter(None, map(HEADER_COPY.fullmatch, (block[:3584], block[4096:7680])))
    copies = [(json.loads(match[2]), match[1], match[3].decode()) for match in matches]
    for header, signed, mac in sorted(copies, key=lambda copy: (-copy[0]["rotations"], -copy[0]["generation"])):
        for slot in header["slots"]:
            with suppress(InvalidToken):  # where this slot is for another key
                wrapped = fernet(user_key, header["cluster"], "poof 1 slot" + slot["id"]).decrypt(slot["token"])
                right = hmac.digest(derived(wrapped[:32], header["file"], "poof 1 header"), signed, "sha256").hex()
                if hmac.compare_digest(right, mac) and header["rotations"] == int.from_bytes(wrapped[32:], "big"):
                    previous = [header["previous"]] if "previous" in header else []  # while the data key is replaced
                    opener = fernet(wrapped[:32], header["file"], "poof 1 previous")
                    return header["file"], [wrapped[:32], *(opener.decrypt(token)[:32] for token in previous)]
    sys.exit("This key does not open the cluster, or its header is damaged.")


def read_state(block: bytes, file_number: str, data_keys: list[bytes]) -> bytes:
    """Where the newest page in the file was written: base of a log and frame, 12 bytes."""
    keys = [derived(key, file_number, "poof 1 state") for key in data_keys]
    records = [block[start : start + 128] for start in (3584, 7680)]
    genuine = [each for each in records if any(hmac.digest(key, each[:96], "sha256") == each[96:] for key in keys)]
    newest = max(genuine, key=lambda record: record[:8], default=None)
    if newest is None:
        sys.exit("The state of the file is damaged.")
    if newest[7] % 2 == 0:  # an even epoch
        sys.exit("The file is in use, or was when it was copied: its log, which is not there, holds newer writes.")
    return newest[84:92] + newest[40:44]


def read_page(file, number: int, page_key: MultiFernet, newest: bytes) -> bytes:
    file.seek(SLOT * (number + 1 if number == LOCK_SLOT else number))
    slot = file.read(SLOT)
    try:
        plaintext = page_key.decrypt(base64.urlsafe_b64encode(slot[:TOKEN]))
    except InvalidToken:
        sys.exit(f"Page {number} is damaged or missing.")
    if plaintext[CONTENT + 12 :] != number.to_bytes(4, "big") or any(slot[TOKEN:]):
        sys.exit(f"Page {number} is not the page that belongs here.")
    if plaintext[CONTENT : CONTENT + 12] > newest:
        sys.exit(f"Page {number} is newer than the file: this is a copy that was made while the file was written.")
    return plaintext[:CONTENT] + bytes(RESERVED)


cluster, key, out = sys.argv[1:]
if (log := Path(f"{cluster}-wal")).exists() and log.stat().st_size:
    sys.exit(f"{log} holds newer writes. First save() or close() the cluster in the program that wrote them.")
with Path(cluster).open("rb") as file:
    file_number, data_keys = open_header(block := file.read(SLOT), base64.urlsafe_b64decode(key))
    newest = read_state(block, file_number, data_keys)
    page_key = MultiFernet(fernet(each, file_number, "poof 1 page") for each in data_keys)
    first = read_page(file, 1, page_key, newest)
    with Path(out).open("xb") as plain:
        plain.write(first[:18] + b"\1\1" + first[20:])  # "no write-ahead log": so sqlite3 makes no files beside it
        for number in range(2, int.from_bytes(first[28:32], "big") + 1):
            plain.write(bytes(SLOT) if number == LOCK_SLOT + 1 else read_page(file, number, page_key, newest))
for table, *names in (connection := sqlite3.connect(out)).execute(COLLECTIONS):
    for row in connection.execute(f"SELECT obj_id, doc FROM documents_{table} ORDER BY id"):
        print(*names, *row)
