"""Which copy of the header counts, and which bytes change it.

Pure: others read and write the bytes.

Invariants: a copy counts only under a data key that authenticates it, and an older copy only for whoever has a slot in
it, while no newer copy is authentic under the same data key. So a slot that was removed opens nothing. Whatever moment
a change ends at, one whole copy is on the disk. A genuine copy is never written over by a program that cannot read it,
for pages may be sealed as it says.
"""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from poof.errors import (
    DamagedHeaderError,
    KeyReplacedError,
    KeyRequiredError,
    LimitError,
    NewerFormatError,
    NotAPoofFileError,
    WrongKeyError,
)
from poof.format.header import FORMAT, Header, HeaderCopy, encode_copy, named_format, parse_block
from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE
from poof.keys.slots import KeySlot, open_slots, unwrap_key, wrap_key


@dataclass(frozen=True, repr=False)
class DataKeys:
    """The data key of a file and, while it is being replaced, the previous one: pages may still be sealed with that."""

    current: bytes
    previous: bytes | None = None


@dataclass(frozen=True, repr=False)
class TrustedHeader:
    """A header that is authentic, and the data keys that it leads to."""

    header: Header
    keys: DataKeys


class Opened(NamedTuple):
    """A trusted header, and the user key that opened one of its slots."""

    trusted: TrustedHeader
    user_key: bytes


OpenSlots = Callable[[Iterable[KeySlot]], Iterable[tuple[bytes, bytes]]]
"""Yields each data key that a slot leads to, with the user key that opened the slot."""


def unlock(block: bytes, key: bytes | None, password: str | None, label: str) -> Opened:
    """Opens a header block with the user's key or password. Slow where a password is given.

    Raises:
        NotAPoofFileError, NewerFormatError, DamagedHeaderError: the block holds no header of this format.
        KeyRequiredError: there is no key, or only a password where no slot takes one.
        WrongKeyError: no slot opens.
    """
    copies = readable_copies(block, label)
    if key is None and password is None:
        raise KeyRequiredError(f"{label!r} is an existing encrypted cluster: pass key= or password= to open it.")
    if password is not None and not any(slot.derivation for copy in copies for slot in copy.header.slots):
        raise KeyRequiredError(f"{label!r} opens with a key, not with a password: pass key=.")
    trust = _trust(copies, lambda slots: open_slots(slots, key, password))
    if trust.header is not None and trust.user_key is not None:
        return Opened(trust.header, trust.user_key)
    if trust.slot_opened:
        raise DamagedHeaderError(
            f"the header of {label!r} is damaged or was altered. Nothing was changed. Restore the file from a backup."
        )
    secret = "password" if password is not None else "key"
    raise WrongKeyError(f"this {secret} does not open {label!r}. Nothing was changed.")


def newest(block: bytes, data_key: bytes, user_keys: Iterable[bytes], label: str) -> TrustedHeader:
    """Returns the newest header, for a program that has a data key of the file, and user keys that may lead to another.

    These keys may not open the newest copy. If one of them has a slot in the older copy, the newest one was torn, since
    a new data key comes into all slots that there are. Without such a slot the newest copy may be genuine.

    Raises:
        KeyReplacedError: there is a newer header, and none of these keys belongs to it.
        DamagedHeaderError: no copy is readable.
    """
    copies = parse_block(block)
    if not copies:
        raise DamagedHeaderError(f"both copies of the header of {label!r} are damaged. Nothing was changed.")
    keys = list(user_keys)
    trust = _trust(copies, lambda slots: chain.from_iterable(open_slots(slots, key, None) for key in keys), data_key)
    if trust.header is not None:
        return trust.header
    raise KeyReplacedError(
        f"the data key of {label!r} was replaced, and the key that it was opened with is not in use any more. Nothing "
        "is lost: open it again with a key or password that is."
    )


class _Trust(NamedTuple):
    header: TrustedHeader | None
    user_key: bytes | None
    slot_opened: bool
    """Whether a slot opened that led to no header."""


def _trust(copies: Sequence[HeaderCopy], open_: OpenSlots, data_key: bytes | None = None) -> _Trust:
    """Finds the copy that counts, newest first. A data key that is known already speaks for the newest copy only."""
    if data_key is not None and copies[0].is_authentic(data_key):
        return _Trust(_under(copies[0].header, data_key), None, False)
    slot_opened = False
    for number, copy in enumerate(copies):
        for found, user_key in open_(copy.header.slots):
            if not copy.is_authentic(found):
                slot_opened = True
            elif not any(newer.is_authentic(found) for newer in copies[:number]):  # or the slot was removed since
                return _Trust(_under(copy.header, found), user_key, slot_opened)
    return _Trust(None, None, slot_opened)


def _under(header: Header, data_key: bytes) -> TrustedHeader:
    previous = None if header.previous is None else unwrap_key(header.previous, fernet_key(data_key))
    return TrustedHeader(header, DataKeys(data_key, previous))


def readable_copies(block: bytes, label: str) -> list[HeaderCopy]:
    """Returns the copies in a header block, the newest first and at least one; not yet authenticated.

    Raises:
        NotAPoofFileError, NewerFormatError, DamagedHeaderError: there is none of this format.
    """
    copies = parse_block(block)
    if copies:
        return copies
    number = named_format(block)
    if number is None:
        what = "is empty" if not block else "is not a PoofDB cluster, or its header is destroyed"
        raise NotAPoofFileError(f"{label!r} {what}. It was left as it is.")
    if number > FORMAT:
        raise NewerFormatError(
            f"{label!r} has format {number}; this PoofDB reads up to {FORMAT}. It was left as it is. Upgrade PoofDB."
        )
    raise DamagedHeaderError(
        f"both copies of the header of {label!r} are damaged. Nothing was changed. Restore the file from a backup."
    )


def opens(trusted: TrustedHeader, user_keys: Iterable[bytes]) -> bool:
    """Whether one of the user keys has a slot."""
    return any(slot.unwrap(key) == trusted.keys.current for key in user_keys for slot in trusted.header.slots)


def changed(header: Header, **fields: object) -> Header:
    """Returns a header with other fields, of the next generation."""
    return header.model_copy(update={**fields, "generation": header.generation + 1})


def wrap_previous(data_key: bytes, previous: bytes) -> str:
    """Returns the member of the header that leads from a data key to the previous one."""
    return wrap_key(previous, fernet_key(data_key))


def writes(block: bytes, old: TrustedHeader, new: TrustedHeader) -> list[tuple[int, bytes]]:
    """Returns what replaces a header: offsets and bytes, to be written in this order, each followed by a sync.

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
    """Returns a data key in the form that Fernet takes."""
    return base64.urlsafe_b64encode(data_key)


def _is(text: bytes, trusted: TrustedHeader) -> bool:
    copies = parse_block(text)
    return any(copy.header == trusted.header and copy.is_authentic(trusted.keys.current) for copy in copies)
