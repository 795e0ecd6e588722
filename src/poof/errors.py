"""The errors PoofDB raises: one tree under `PoofError`.

It imports nothing of PoofDB.

Every class also inherits the builtin that a Python user would catch. A message says what happened, to which file, what
is still safe and what to do. It never holds a key, a password or a value of a document.
"""


class PoofError(Exception):
    """The root of every error that PoofDB raises itself."""


class DecryptionError(PoofError, ValueError):
    """Something in the file could not be opened with the key; the text begins with `Decryption failed`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Decryption failed: {reason}")
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason,)


class WrongKeyError(DecryptionError):
    """The key or password opens none of the file's key slots. Nothing was read or changed."""


class KeyReplacedError(WrongKeyError):
    """The data key was replaced while the file was open, and the key that opened it was removed."""


class DamagedFileError(DecryptionError):
    """The file was altered or damaged after PoofDB wrote it."""


class DamagedHeaderError(DamagedFileError):
    """Neither copy of the header is whole and authentic."""


class DamagedPageError(DamagedFileError):
    """A page does not authenticate, or is not the page that belongs there."""

    def __init__(self, reason: str, page: int | None = None) -> None:
        super().__init__(reason)
        self.page = page
        """The 1-based number of the damaged page, or `None` where damage shows only between pages."""

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.reason, self.page)


class TruncatedFileError(DamagedFileError):
    """The file ends before its last page."""


class InvalidKeyError(PoofError, ValueError):
    """The key or password does not have a valid form; no file was touched."""


class KeyringError(PoofError, RuntimeError):
    """The keyring of the system, or the library for it, is missing, locked or refuses."""


class KeyRequiredError(PoofError, ValueError):
    """An existing file was opened without a key, or with a password although only keys open it."""


class FileFormatError(PoofError, ValueError):
    """This PoofDB cannot read the file. It was not changed."""


class NotAPoofFileError(FileFormatError):
    """The file is not a PoofDB cluster."""


class NewerFormatError(FileFormatError):
    """The file was written by a newer PoofDB."""


class LegacyFileError(FileFormatError):
    """A PoofDB 0.x file holds something that the current format cannot store. The file was not changed."""


class LimitError(PoofError, ValueError):
    """The number of databases, collections, indexes or key slots is at its limit, or only one key slot is left."""


class InvalidNameError(PoofError, ValueError):
    """The name of a database or collection, or the label of a key, is empty, too long or not text."""


class InvalidDocumentError(PoofError, ValueError):
    """The data cannot be stored exactly; nothing was stored."""


class DocumentTooLargeError(InvalidDocumentError):
    """The document is larger than 64 MiB as JSON; nothing was stored."""


class InvalidQueryError(PoofError, ValueError):
    """A filter, update, sort or projection is not valid; nothing was read or changed."""


class InvalidIdError(InvalidQueryError, TypeError):
    """The id of a document is not text; nothing was read or changed."""


class UpdateError(PoofError, ValueError):
    """An update cannot be applied to a document as it is; nothing was changed."""


class DuplicateKeyError(PoofError, ValueError):
    """A unique index refuses a document, because another one has the same values; nothing was changed.

    The text names the index, the fields and the other document, and shows no value.
    """

    def __init__(
        self,
        message: str,
        *,
        index: str | None = None,
        fields: tuple[str, ...] = (),
        position: int | None = None,
        obj_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.index = index
        """The name of the unique index, or `None` if the `_objId` is taken."""
        self.fields = fields
        """The fields of the index, as dotted names."""
        self.position = position
        """The position of the document in `insert_many`, or of the request in `bulk_write`, from 0; else `None`."""
        self.obj_id = obj_id
        """The `_objId` of the document that exists already; `None` if it did not exist before the call."""


class NoModelError(PoofError, TypeError):
    """`doc.model` was read, but the collection is not bound to a model."""


class UncopyableError(PoofError, TypeError):
    """A cluster, or an object that belongs to an open cluster, cannot be pickled or copied."""


class BusyError(PoofError, TimeoutError):
    """The file stayed locked by another process or connection for longer than the timeout."""


class StorageError(PoofError, OSError):
    """The operating system failed to read or write the file."""


class DiskFullError(StorageError):
    """The disk is full; the write was not made."""


class ClockError(PoofError, OSError):
    """The clock of the system is before 1970, which encrypted pages cannot store; the write was not made."""


class InvalidPathError(StorageError, ValueError):
    """The path has a null character or is not valid Unicode, so no file can have it."""


class NoMemoryError(PoofError, MemoryError):
    """A call ran out of memory."""


class AccessDeniedError(PoofError, PermissionError):
    """The operating system does not let this user read the file."""


class ReadOnlyError(AccessDeniedError):
    """The file or its folder cannot be written by this user."""


class MissingFileError(PoofError, FileNotFoundError):
    """There is no file to open; none was created."""


class MissingFolderError(MissingFileError):
    """The folder of the file does not exist."""


class GoneError(PoofError, LookupError):
    """The database, collection or key slot does not exist, or was deleted."""


class ClosedError(PoofError, RuntimeError):
    """The cluster was closed."""


class TransactionError(PoofError, RuntimeError):
    """A transaction was used outside its block or its task."""


class WrongLoopError(PoofError, RuntimeError):
    """A cluster was used on another event loop, without an asyncio event loop, or in a forked process."""


class UnsupportedError(PoofError, NotImplementedError):
    """The engine of the cluster cannot do this. The text says what does it instead."""
