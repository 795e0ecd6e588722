"""Reads a PoofDB cluster without PoofDB: it is an SQLite database, and every page of it is a Fernet token.

python decrypt_with_fernet.py CLUSTER KEY OUT.sqlite     (what is written to OUT.sqlite is not encrypted any more)
"""

import base64
import hmac
import re
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

SLOT, TOKEN, CONTENT, RESERVED = 8192, 8185, 8123, 69
LOCK_SLOT = 0x40000000 // SLOT  # stays empty: the page that would lie here lies in the next slot
HEADER_COPY = re.compile(rb"(PoofDB encrypted cluster, format 1\n\{.*\}\n)([0-9a-f]{64})\n\0*")
COLLECTIONS = "SELECT c.id, d.name, c.name FROM collections c JOIN databases d ON d.id = c.database_id ORDER BY c.id"


def open_header(block: bytes, user_key: Fernet) -> MultiFernet:
    copies = filter(None, map(HEADER_COPY.fullmatch, (block[:4096], block[4096:])))
    for copy in sorted(copies, key=lambda copy: -int(re.search(rb'"generation":(\d+)', copy[1])[1])):
        for token in re.findall(rb'"token":"([\w=-]+)"', copy[1]):
            with suppress(InvalidToken):  # where this slot is for another key
                data_key = user_key.decrypt(token)
                extracted = hmac.digest(bytes(32), base64.urlsafe_b64decode(data_key), "sha256")  # HKDF, RFC 5869
                header_key = hmac.digest(extracted, b"poof header\x01", "sha256")
                if hmac.compare_digest(hmac.digest(header_key, copy[1], "sha256"), bytes.fromhex(copy[2].decode())):
                    previous = re.findall(rb'"previous":"([\w=-]+)"', copy[1])  # while the data key is replaced
                    return MultiFernet(map(Fernet, [data_key, *map(Fernet(data_key).decrypt, previous)]))
    sys.exit("This key does not open the cluster, or its header is damaged.")


def read_page(file, number: int, data_key: MultiFernet) -> bytes:
    file.seek(SLOT * (number + 1 if number == LOCK_SLOT else number))
    slot = file.read(SLOT)
    try:
        plaintext = data_key.decrypt(base64.urlsafe_b64encode(slot[:TOKEN]))
    except InvalidToken:
        sys.exit(f"Page {number} is damaged or missing.")
    if plaintext[CONTENT:] != number.to_bytes(4, "big") or any(slot[TOKEN:]):
        sys.exit(f"Page {number} is not the page that belongs here.")
    return plaintext[:CONTENT] + bytes(RESERVED)


cluster, key, out = sys.argv[1:]
if (log := Path(f"{cluster}-wal")).exists() and log.stat().st_size:
    sys.exit(f"{log} holds newer writes. First save() or close() the cluster in the program that wrote them.")
with Path(cluster).open("rb") as file:
    data_key = open_header(file.read(SLOT), Fernet(key))
    first = read_page(file, 1, data_key)
    with Path(out).open("xb") as plain:
        plain.write(first[:18] + b"\1\1" + first[20:])  # "no write-ahead log": so sqlite3 makes no files beside it
        for number in range(2, int.from_bytes(first[28:32], "big") + 1):
            plain.write(bytes(SLOT) if number == LOCK_SLOT + 1 else read_page(file, number, data_key))
for table, *names in (connection := sqlite3.connect(out)).execute(COLLECTIONS):
    for row in connection.execute(f"SELECT obj_id, doc FROM documents_{table} ORDER BY id"):
        print(*names, *row)
