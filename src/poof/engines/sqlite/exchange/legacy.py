"""Files of PoofDB 0.x: one Fernet token over `{database: {collection: [{"_objId": ..., "data": ...}]}}`.

Invariants: an old file is never changed, only moved aside, once the new one beside it is complete, synced and
counted. Of several processes that upgrade one file, one does, under a lock that ends with its process; the others
find the new file.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import apsw
import orjson
from cryptography.fernet import Fernet, InvalidToken
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError

from poof.document import encode_document
from poof.engines.sqlite.file.build import built_beside
from poof.engines.sqlite.file.raw import is_legacy, locked, open_raw_file
from poof.engines.sqlite.file.unlock import Unlocked, new_header
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.catalogue import (
    add_collection,
    add_database,
    create_collection,
    create_database,
    read_catalogue,
)
from poof.engines.sqlite.tables.connections import ClusterConnection, opened
from poof.engines.sqlite.tables.rows import insert_rows
from poof.engines.sqlite.tables.savepoints import transaction
from poof.errors import (
    DuplicateKeyError,
    InvalidDocumentError,
    KeyRequiredError,
    LegacyFileError,
    NotAPoofFileError,
    ReadOnlyError,
    StorageError,
    WrongKeyError,
)
from poof.keys import clock
from poof.keys.credentials import Credentials
from poof.located import located
from poof.new_files import write_new
from poof.object_ids import OBJECT_ID_PATTERN
from poof.paths import missing_file
from poof.progress import Report
from poof.raising import raise_alone

BACKUP_SUFFIX = ".v0.bak"


class _LegacyDocument(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    obj_id: str = Field(alias="_objId", pattern=OBJECT_ID_PATTERN)
    data: dict[str, Any]


_Name = Annotated[
    str, Field(min_length=1, max_length=schema.MAX_NAME_LENGTH), AfterValidator(lambda name: name.encode().decode())
]
"""Valid Unicode: JSON can hold lone surrogates, SQLite cannot."""


class LegacyCluster(RootModel[dict[_Name, dict[_Name, list[_LegacyDocument]]]]):
    """What a 0.x file holds: documents, by database and collection."""


def upgrade(path: str, credentials: Credentials, timeout: float) -> None:
    """Replaces a 0.x file by one of the current format with the same documents and key; keeps it as `<name>.v0.bak`.

    Returns with nothing done where another process has upgraded the file in the meantime.

    Raises:
        KeyRequiredError, WrongKeyError: there is no key, or not the right one.
        LegacyFileError: the file holds what the current format cannot, or the place of the backup is taken.
        BusyError: another process held the file for longer than `timeout` seconds.
    """
    if credentials.key is None:
        raise KeyRequiredError(f"{path!r} is a file of PoofDB 0.x: pass its key= to upgrade it.")
    if not os.access(path, os.W_OK):
        raise ReadOnlyError(f"{path!r} is a file of PoofDB 0.x and read-only, so it cannot be upgraded.")
    busy = f"{path!r} is locked by another process. Nothing was changed; try again."
    with open_raw_file(path, apsw.SQLITE_OPEN_READWRITE) as file, locked(file, busy, timeout):
        token = file.xRead(file.xFileSize(), 0)
        with open_raw_file(path, apsw.SQLITE_OPEN_READONLY) as present:
            if present.xRead(len(token), 0) != token:
                return
        old = _decode(token, credentials.key, path)
        unlocked = new_header(credentials, credentials.key)

        def populate(connection: apsw.Connection) -> None:
            _populate(connection, old, path)

        with built_beside(path, unlocked, populate=populate, may_exist=True) as new:
            _verify(new.temporary, path, unlocked, old)
            _keep_backup(path, token)
            new.replace()


def write_legacy(documents: Mapping[str, Mapping[str, list[tuple[str, dict[str, Any]]]]], key: bytes, to: str) -> None:
    """Writes documents as a new file in the form of PoofDB 0.x. A file that exists is not replaced."""
    tree = {
        database: {
            collection: [{"_objId": obj_id, "data": data} for obj_id, data in rows]
            for collection, rows in collections.items()
        }
        for database, collections in documents.items()
    }
    token = Fernet(key).encrypt_at_time(orjson.dumps(tree), clock.seconds())
    write_new(to, token)


def read_legacy(path: str, key: bytes) -> LegacyCluster:
    """What a file of PoofDB 0.x holds.

    Raises:
        MissingFileError: there is no file.
        NotAPoofFileError: it is none of PoofDB 0.x.
        WrongKeyError, LegacyFileError: the key is wrong, or the file holds what 0.x does not write.
    """
    if not os.path.lexists(path):
        raise missing_file(path)
    if not Path(path).is_file():
        raise NotAPoofFileError(f"{path!r} is not a file.")
    with open_raw_file(path, apsw.SQLITE_OPEN_READONLY) as file:
        token = file.xRead(file.xFileSize(), 0)
    if not is_legacy(token):
        raise NotAPoofFileError(f"{path!r} is not a file of PoofDB 0.x.")
    return _decode(token, key, path)


def add_legacy(connection: ClusterConnection, old: LegacyCluster, path: str, report: Report) -> None:
    """Adds the documents of a 0.x file, in a transaction: all of them or none.

    Raises:
        LegacyFileError: PoofDB cannot store one of them exactly.
        DuplicateKeyError: there is a document with the id of one, or its key in a unique index.
        LimitError: there would be too many databases or collections.
    """
    total = sum(len(documents) for collections in old.root.values() for documents in collections.values())
    done, step = 0, connection.tuning.chunk_documents
    with transaction(connection):
        for database, collections in old.root.items():
            database_id = create_database(connection, database)
            for collection, documents in collections.items():
                collection_id = create_collection(connection, database_id, collection)
                for start in range(0, len(documents), step):
                    chunk = documents[start : start + step]
                    try:
                        insert_rows(connection, collection_id, (_to_row(document, path) for document in chunk))
                    except DuplicateKeyError as error:
                        raise_alone(located(error, f"{path!r}, collection {collection!r}"))
                    done += len(chunk)
                    report(done, total, "documents")
        report(done, total, "documents")


def _decode(token: bytes, key: bytes, path: str) -> LegacyCluster:
    try:
        text = Fernet(key).decrypt(token)
    except InvalidToken:
        raise WrongKeyError(
            f"this key does not open {path!r}, a file of PoofDB 0.x, or the file is damaged. Nothing was changed."
        ) from None
    try:
        return LegacyCluster.model_validate(json.loads(text))
    except (ValueError, RecursionError, ValidationError):
        raise_alone(
            LegacyFileError(
                f"{path!r} opens with the key, but does not hold what PoofDB 0.x writes. It was left as it is."
            )
        )


def _populate(connection: apsw.Connection, old: LegacyCluster, path: str) -> None:
    with transaction(connection):
        for database, collections in old.root.items():
            database_id = add_database(connection, database)
            for collection, documents in collections.items():
                collection_id = add_collection(connection, database_id, collection)
                for document in documents:
                    _copy(connection, collection_id, document, path)


def _to_row(document: _LegacyDocument, path: str) -> tuple[str, str]:
    try:
        return document.obj_id, encode_document(document.data)[1]
    except InvalidDocumentError as error:
        raise_alone(LegacyFileError(f"{path!r}, document {document.obj_id}: {error}"))


def _copy(connection: apsw.Connection, collection_id: int, document: _LegacyDocument, path: str) -> None:
    try:
        _, text = encode_document(document.data)
        connection.execute(schema.insert_document(collection_id), (document.obj_id, text))
    except InvalidDocumentError as error:
        raise_alone(
            LegacyFileError(f"{path!r} was not upgraded and left as it is. Document {document.obj_id}: {error}")
        )
    except apsw.ConstraintError:
        raise LegacyFileError(
            f"{path!r} was not upgraded and left as it is. Two documents of a collection have the id {document.obj_id}."
        ) from None


def _verify(copy: str, path: str, unlocked: Unlocked, old: LegacyCluster) -> None:
    """Counts the documents of the copy that is to take the place of the file."""
    expected = {
        database: {collection: len(documents) for collection, documents in collections.items()}
        for database, collections in old.root.items()
    }
    with opened(ClusterState(copy, unlocked.keys, label=path)) as connection:
        found = {
            database: {
                collection: connection.execute(schema.count_documents(collection_id)).get
                for collection, collection_id in collections.items()
            }
            for database, collections in read_catalogue(connection).items()
        }
    if found != expected:
        raise StorageError(f"The copy of {path!r} does not hold all documents; the file was left as it is.")


def _keep_backup(path: str, content: bytes) -> None:
    """Gives the old file a second name, by which it stays when the first comes to name the new file."""
    backup = path + BACKUP_SUFFIX
    if os.path.lexists(backup):
        if os.path.samestat(os.lstat(backup), Path(path).stat()) or _holds(backup, content):
            return  # an upgrade was interrupted just here
        raise LegacyFileError(f"{path!r} was not upgraded: {backup!r} exists. Move it away first.")
    try:
        os.link(path, backup)
    except OSError:
        write_new(backup, content)  # a file system without hard links


def _holds(path: str, content: bytes) -> bool:
    """Whether a file that is not the cluster itself holds just this."""
    try:
        return Path(path).read_bytes() == content
    except OSError:
        return False
