"""PoofDB: one encrypted file, documents, Pydantic models, asyncio, no server."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    """The version of the package."""

    from poof.bulk import DeleteMany, DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
    from poof.cluster import PoofCluster
    from poof.collection import PoofCollection
    from poof.cursor import PoofCursor
    from poof.database import PoofDatabase
    from poof.document import PoofDocument
    from poof.encoding.identity import DocumentId
    from poof.errors import (
        AccessDeniedError,
        BusyError,
        ClockError,
        ClosedError,
        DamagedFileError,
        DamagedHeaderError,
        DamagedPageError,
        DecryptionError,
        DiskFullError,
        DocumentTooLargeError,
        DuplicateKeyError,
        FileFormatError,
        GoneError,
        InvalidDocumentError,
        InvalidIdError,
        InvalidKeyError,
        InvalidNameError,
        InvalidPathError,
        InvalidQueryError,
        InvalidReceiptError,
        KeyReplacedError,
        KeyRequiredError,
        KeyringError,
        LegacyFileError,
        LimitError,
        LogMismatchError,
        LogMissingError,
        MissingFileError,
        MissingFolderError,
        MixedFileError,
        NewerFormatError,
        NoMemoryError,
        NoModelError,
        NotAPoofFileError,
        OlderFileError,
        OlderHeaderError,
        PoofError,
        ReadOnlyError,
        StorageError,
        TransactionError,
        TruncatedFileError,
        UncopyableError,
        UpdateError,
        WrongKeyError,
        WrongLoopError,
    )
    from poof.indexed import Indexed
    from poof.progress import Progress
    from poof.query.filters.builder import F
    from poof.results import (
        BulkWriteResult,
        ClusterStats,
        CollectionStats,
        DeleteResult,
        Explanation,
        IndexInfo,
        InsertManyResult,
        KeyInfo,
        LostDocument,
        LostIndex,
        Misfit,
        Problem,
        ReturnDocument,
        SalvagedCollection,
        SalvageReport,
        SkippedDocument,
        UpdateResult,
        VerifyReport,
    )

__all__ = [
    "AccessDeniedError",
    "BulkWriteResult",
    "BusyError",
    "ClockError",
    "ClosedError",
    "ClusterStats",
    "CollectionStats",
    "DamagedFileError",
    "DamagedHeaderError",
    "DamagedPageError",
    "DecryptionError",
    "DeleteMany",
    "DeleteOne",
    "DeleteResult",
    "DiskFullError",
    "DocumentId",
    "DocumentTooLargeError",
    "DuplicateKeyError",
    "Explanation",
    "F",
    "FileFormatError",
    "GoneError",
    "IndexInfo",
    "Indexed",
    "InsertManyResult",
    "InsertOne",
    "InvalidDocumentError",
    "InvalidIdError",
    "InvalidKeyError",
    "InvalidNameError",
    "InvalidPathError",
    "InvalidQueryError",
    "InvalidReceiptError",
    "KeyInfo",
    "KeyReplacedError",
    "KeyRequiredError",
    "KeyringError",
    "LegacyFileError",
    "LimitError",
    "LogMismatchError",
    "LogMissingError",
    "LostDocument",
    "LostIndex",
    "Misfit",
    "MissingFileError",
    "MissingFolderError",
    "MixedFileError",
    "NewerFormatError",
    "NoMemoryError",
    "NoModelError",
    "NotAPoofFileError",
    "OlderFileError",
    "OlderHeaderError",
    "PoofCluster",
    "PoofCollection",
    "PoofCursor",
    "PoofDatabase",
    "PoofDocument",
    "PoofError",
    "Problem",
    "Progress",
    "ReadOnlyError",
    "ReplaceOne",
    "ReturnDocument",
    "SalvageReport",
    "SalvagedCollection",
    "SkippedDocument",
    "StorageError",
    "TransactionError",
    "TruncatedFileError",
    "UncopyableError",
    "UpdateError",
    "UpdateMany",
    "UpdateOne",
    "UpdateResult",
    "VerifyReport",
    "WrongKeyError",
    "WrongLoopError",
]

if not TYPE_CHECKING:  # to whom the imports above say more
    _HOMES = (
        "cluster",
        "database",
        "collection",
        "cursor",
        "document",
        "encoding.identity",
        "bulk",
        "errors",
        "indexed",
        "progress",
        "query.filters.builder",
        "results",
    )

    def __getattr__(name):
        """A public name, from where it is defined. The command line needs none of them to show its help."""
        if name in __all__:
            for home in _HOMES:
                found = vars(importlib.import_module(f"poof.{home}"))
                if name in found:
                    return globals().setdefault(name, found[name])
        elif name == "__version__":
            return globals().setdefault(name, importlib.import_module("importlib.metadata").version("poofdb"))
        elif not name.startswith("_"):
            try:
                return importlib.import_module(f"poof.{name}")
            except ModuleNotFoundError:
                pass
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__, "__version__"})
