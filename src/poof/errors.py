"""The errors PoofDB raises: one tree under `PoofError`.

Layer: the first; imports nothing of PoofDB.

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
    """The data key was replaced while the file was open, and the key it was opened with has no slot any more."""


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


class LogMismatchError(DamagedFileError):
    """The log beside the file is of another file, or of another state of this one. Neither was changed."""


class LogMissingError(LogMismatchError):
    """The file was in use, and its log is gone. The file was not changed."""


class MixedFileError(DamagedFileError):
    """The file holds pages of several states, as a copy does that was taken while the file was written."""


class OlderHeaderError(DamagedFileError):
    """The header of the file is older than what is in it: keys that were removed since may be in it."""


class OlderFileError(PoofError, ValueError):
    """The file is older than a receipt says, or another one. It was not changed."""


class InvalidKeyError(PoofError, ValueError):
    """The key or password is not of a usable form; no file was touched."""


class KeyringError(PoofError, RuntimeError):
    """The keyring of the system cannot be used: it, or the library for it, is missing, locked or refuses."""


class KeyRequiredError(PoofError, ValueError):
    """An existing file was opened without a key, or with a password that it has no slot for."""


class FileFormatError(PoofError, ValueError):
    """The file is not one that this PoofDB reads. It was not changed."""


class NotAPoofFileError(FileFormatError):
    """The file is not a PoofDB cluster."""


class NewerFormatError(FileFormatError):
    """The file was written by a newer PoofDB."""


class LegacyFileError(FileFormatError):
    """A PoofDB 0.x file holds something that the current format cannot; it was left as it was."""


class LimitError(PoofError, ValueError):
    """There are as many databases, collections, indexes or key slots as there can be; or only one key slot is left."""


class InvalidReceiptError(PoofError, ValueError):
    """What was passed as a receipt is none; no file was touched."""


class InvalidNameError(PoofError, ValueError):
    """A name of a database or collection, or a label of a key, is empty, too long or not text."""


class InvalidDocumentError(PoofError, ValueError):
    """The data cannot be stored exactly; nothing was stored."""


class DocumentTooLargeError(InvalidDocumentError):
    """The document is larger than 64 MiB as JSON; nothing was stored."""


class InvalidQueryError(PoofError, ValueError):
    """A filter, update, sort or projection is not valid; nothing was read or changed."""


class InvalidIdError(InvalidQueryError, TypeError):
    """What was passed as the id of a document is not text; nothing was read or changed."""


class UpdateError(PoofError, ValueError):
    """An update cannot be applied to a document as it is; nothing was changed."""


class DuplicateKeyError(PoofError, ValueError):
    """A unique index refuses a document, since another one has the same values; nothing was changed.

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
        """The name of the unique index, or `None` where the `_objId` is taken."""
        self.fields = fields
        """The fields of the index, as dotted names."""
        self.position = position
        """Of the document in the data of `insert_many`, or of the request of `bulk_write`, from 0; else `None`."""
        self.obj_id = obj_id
        """The `_objId` of the document that is there already; `None` where that was not there before the call."""


class NoModelError(PoofError, TypeError):
    """`doc.model` was read on a document of a collection that is bound to no model."""


class UncopyableError(PoofError, TypeError):
    """A cluster, or what belongs to an open one, was to be pickled or copied."""


class BusyError(PoofError, TimeoutError):
    """The file stayed locked by another process or connection for longer than the timeout."""


class StorageError(PoofError, OSError):
    """The operating system failed to read or write the file."""


class DiskFullError(StorageError):
    """There is no room left on the disk; the write was not made."""


class ClockError(PoofError, OSError):
    """The clock of the system is before 1970, and nothing encrypted can be dated; the write was not made."""


class InvalidPathError(StorageError, ValueError):
    """No file can have this path: it has a null character, or is not valid Unicode."""


class NoMemoryError(PoofError, MemoryError):
    """There was not enough memory for a call."""


class AccessDeniedError(PoofError, PermissionError):
    """The operating system does not let this user read the file."""


class ReadOnlyError(AccessDeniedError):
    """The file or its folder cannot be written by this user."""


class MissingFileError(PoofError, FileNotFoundError):
    """There is no file to open; none was created."""


class MissingFolderError(MissingFileError):
    """The folder in which the file should lie does not exist."""


class GoneError(PoofError, LookupError):
    """The database, collection or key slot is gone, or was never there."""


class ClosedError(PoofError, RuntimeError):
    """The cluster was closed."""


class TransactionError(PoofError, RuntimeError):
    """A transaction was used outside its block or its task."""


class WrongLoopError(PoofError, RuntimeError):
    """A cluster was used on another event loop than its own, on none of asyncio's, or in a forked process."""
