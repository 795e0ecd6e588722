"""The header of a cluster file that is open: what it says to whoever holds a key, and how it is changed.

Layer: storage; decisions only, which bytes to believe and which to write. The VFS reads and writes them, through the
file that SQLite itself has open.

Invariants: whatever moment a change ends at, one whole copy is on the disk; a genuine copy is never written over by
somebody who cannot read it, for pages may be sealed as it says.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from poof.errors import DamagedHeaderError, KeyReplacedError, LimitError
from poof.format.header import Header, HeaderCopy, encode_copy, parse_block
from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE
from poof.keys.slots import open_slots, unwrap_key, wrap_key


@dataclass(frozen=True, repr=False)
class DataKeys:
    """The data key of a file and, while it is being replaced, the one before: pages may still be sealed with that."""

    current: bytes
    previous: bytes | None = None


@dataclass(frozen=True, repr=False)
class Believed:
    """A header that is authentic, and the data keys that it leads to."""

    header: Header
    keys: DataKeys


def previous_key(header: Header, data_key: bytes) -> bytes | None:
    """The data key before this one, while pages may still be sealed with it."""
    return None if header.previous is None else unwrap_key(header.previous, fernet_key(data_key))


def wrap_previous(data_key: bytes, previous: bytes) -> str:
    """The member of the header that leads from a data key to the one before."""
    return wrap_key(previous, fernet_key(data_key))


def newest(block: bytes, data_key: bytes, user_keys: Iterable[bytes], label: str) -> Believed:
    """The newest header in a block, for whoever has a data key of the file, and user keys that may lead to a new one.

    A newer copy that these keys do not open was torn, and is passed over, if a user key has a slot in the older one: a
    new data key comes into all slots that there are. Without such a slot the copy may be genuine.

    Raises:
        KeyReplacedError: there is a newer header, and none of these keys belongs to it.
        DamagedHeaderError: no copy is readable.
    """
    user_keys = list(user_keys)
    copies = parse_block(block)
    if not copies:
        raise DamagedHeaderError(f"both copies of the header of {label!r} are damaged. Nothing was changed.")
    for copy in copies:
        found = _believe(copy, data_key, user_keys)
        if found is not None and (copy is copies[0] or opens(found, user_keys)):
            return found
    raise KeyReplacedError(
        f"the data key of {label!r} was replaced, and the key that it was opened with is not in use any more. Nothing "
        "is lost: open it again with a key or password that is."
    )


def opens(believed: Believed, user_keys: Iterable[bytes]) -> bool:
    """Whether one of the user keys has a slot."""
    return any(slot.unwrap(key) == believed.keys.current for key in user_keys for slot in believed.header.slots)


def changed(header: Header, **fields: object) -> Header:
    """A header with other fields, of the next generation."""
    return header.model_copy(update={**fields, "generation": header.generation + 1})


def writes(block: bytes, old: Believed, new: Believed) -> list[tuple[int, bytes]]:
    """What replaces a header: offsets and bytes, to be written in this order, each followed by a sync.

    A change that was interrupted before is first carried through, so that there are two copies to lose one of.

    Raises:
        LimitError: the new header does not fit.
    """
    try:
        copy = encode_copy(new.header, new.keys.current)
    except ValueError:
        raise LimitError("There is no room left in the header. Give key slots shorter labels, or remove one.") from None
    starts = range(0, HEADER_BLOCK_SIZE, HEADER_COPY_SIZE)
    present = {start: block[start : start + HEADER_COPY_SIZE] for start in starts}
    newest_start = next(start for start in present if _is(present[start], old))
    (other_start,) = present.keys() - {newest_start}
    carried_through = [(other_start, present[newest_start])] if len(set(present.values())) > 1 else []
    return [*carried_through, (other_start, copy), (newest_start, copy)]


def fernet_key(data_key: bytes) -> bytes:
    """A data key in the form that Fernet takes."""
    return base64.urlsafe_b64encode(data_key)


def _is(text: bytes, believed: Believed) -> bool:
    copies = parse_block(text)
    return any(copy.header == believed.header and copy.is_authentic(believed.keys.current) for copy in copies)


def _believe(copy: HeaderCopy, data_key: bytes, user_keys: list[bytes]) -> Believed | None:
    opened = (found for key in user_keys for found, _ in open_slots(copy.header.slots, key, None))
    for candidate in (data_key, *opened):
        if copy.is_authentic(candidate):
            return Believed(copy.header, DataKeys(candidate, previous_key(copy.header, candidate)))
    return None
