"""Which copy of the header counts, and which bytes change it.

Layer: format; pure. Others read and write the bytes.

Invariants: a copy counts only under a data key that authenticates it, and an older copy only for whoever has a slot in
it, while no newer copy is authentic under the same data key. So a slot that was removed opens nothing. Whatever moment
a change ends at, one whole copy is on the disk. A genuine copy is never written over by a program that cannot read it,
for pages may be sealed as it says.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from poof.errors import (
    DamagedHeaderError,
    FileFormatError,
    KeyReplacedError,
    KeyRequiredError,
    LimitError,
    NewerFormatError,
    NotAPoofFileError,
    WrongKeyError,
)
from poof.format.header import (
    FORMAT,
    MAX_GENERATION,
    Header,
    HeaderCopy,
    copies_in,
    encode_copy,
    is_of_preview,
    mac_of,
    named_format,
    parse_block,
    parse_copy,
)
from poof.format.layout import HEADER_STARTS
from poof.format.subkeys import DataKeys, FileKey
from poof.keys.slots import DataKey, KeySlot, Opener, unwrap_key, wrap_key


@dataclass(frozen=True, repr=False)
class TrustedHeader:
    """A header that is authentic, and the data keys that it leads to."""

    header: Header
    keys: DataKeys
    mac: bytes = field(default=b"", compare=False)
    """Of the copy that it was read from."""


class Opened(NamedTuple):
    """A trusted header, and the user key that opened one of its slots."""

    trusted: TrustedHeader
    user_key: bytes


OpenSlots = Callable[[str, Iterable[KeySlot]], Iterable[tuple[DataKey, bytes]]]
"""Yields each data key that a slot leads to, in a cluster of a number, with the user key that opened the slot."""


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
    trust = _trust(copies, Opener(key, password))
    if trust.header is not None and trust.user_key is not None:
        return Opened(trust.header, trust.user_key)
    if trust.slot_opened:
        raise DamagedHeaderError(
            f"the header of {label!r} is damaged or was altered. Nothing was changed. Restore the file from a backup."
        )
    secret = "password" if password is not None else "key"
    raise WrongKeyError(f"this {secret} does not open {label!r}. Nothing was changed.")


def newest(block: bytes, key: FileKey, user_keys: Iterable[bytes], label: str) -> TrustedHeader:
    """Returns the newest header, for a program that has a data key of the file, and user keys that may lead to another.

    A header of another file is none.

    These keys may not open the newest copy. If one of them has a slot in the older copy, the newest one was torn, since
    a new data key comes into all slots that there are. Without such a slot the newest copy may be genuine.

    Raises:
        KeyReplacedError: there is a newer header, and none of these keys belongs to it.
        DamagedHeaderError: no copy is readable.
    """
    copies = [copy for copy in parse_block(block) if copy.header.file == key.file.hex()]
    if not copies:
        raise DamagedHeaderError(f"both copies of the header of {label!r} are damaged. Nothing was changed.")
    openers = [Opener(user_key, None) for user_key in user_keys]

    def open_(cluster: str, slots: Iterable[KeySlot]) -> Iterable[tuple[DataKey, bytes]]:
        return chain.from_iterable(opener(cluster, slots) for opener in openers)

    trust = _trust(copies, open_, key.data_key)
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


def _trust(copies: Sequence[HeaderCopy], open_: OpenSlots, data_key: DataKey | None = None) -> _Trust:
    """Finds the copy that counts, newest first. A data key that is known already speaks for the newest copy only."""
    if data_key is not None and copies[0].is_authentic(data_key):
        return _Trust(_under(copies[0], data_key), None, False)
    slot_opened = False
    for number, copy in enumerate(copies):
        for found, user_key in open_(copy.header.cluster, copy.header.slots):
            if not copy.is_authentic(found):
                slot_opened = True
            elif not any(newer.is_authentic(found) for newer in copies[:number]):  # or the slot was removed since
                return _Trust(_under(copy, found), user_key, slot_opened)
    return _Trust(None, None, slot_opened)


def _under(copy: HeaderCopy, data_key: DataKey) -> TrustedHeader:
    key = copy.header.key(data_key)
    previous = None if copy.header.previous is None else unwrap_key(copy.header.previous, key.previous)
    keys = DataKeys(key, None if previous is None else copy.header.key(previous))
    return TrustedHeader(copy.header, keys, bytes.fromhex(copy.mac))


def readable_copies(block: bytes, label: str) -> list[HeaderCopy]:
    """Returns the copies in a header block, the newest first and at least one; not yet authenticated.

    Raises:
        NotAPoofFileError, NewerFormatError, DamagedHeaderError: there is none of this format.
        FileFormatError: the file is of the preview 1.0.0.dev1.
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
    if is_of_preview(block):
        raise FileFormatError(
            f"{label!r} is a file of PoofDB 1.0.0.dev1, a preview, which no other version reads. It was left as it is. "
            "Export its documents with that version."
        )
    raise DamagedHeaderError(
        f"both copies of the header of {label!r} are damaged. Nothing was changed. Restore the file from a backup."
    )


def opens(trusted: TrustedHeader, user_keys: Iterable[bytes]) -> bool:
    """Whether one of the user keys has a slot."""
    return any(opens_slot(trusted, slot, key) for key in user_keys for slot in trusted.header.slots)


def opens_slot(trusted: TrustedHeader, slot: KeySlot, user_key: bytes) -> bool:
    """Whether a user key leads to the data key by this slot."""
    return slot.unwrap(trusted.header.cluster, user_key) == trusted.keys.current.data_key


def changed(header: Header, **fields: object) -> Header:
    """Returns a header with other fields, of the next generation.

    Raises:
        LimitError: there is none.
    """
    if header.generation >= MAX_GENERATION:
        raise LimitError("The keys of this file were changed as often as they can be. Make a backup() of it.")
    return header.model_copy(update={**fields, "generation": header.generation + 1})


def wrap_previous(key: FileKey, previous: DataKey) -> str:
    """Returns the member of the header that leads from a data key to the previous one."""
    return wrap_key(previous, key.previous)


def written(header: Header, keys: DataKeys) -> tuple[TrustedHeader, bytes]:
    """Returns a header as it can be trusted once it is written, and the copy to write.

    Raises:
        LimitError: the header does not fit.
    """
    try:
        copy = encode_copy(header, keys.current.data_key)
    except ValueError:
        raise LimitError("There is no room left in the header. Give key slots shorter labels, or remove one.") from None
    return TrustedHeader(header, keys, mac_of(copy)), copy


def writes(block: bytes, old: TrustedHeader, copy: bytes) -> list[tuple[int, bytes]]:
    """Returns what replaces a header: offsets and bytes, to be written in this order, each followed by a sync.

    A change that was interrupted before is first carried through, so that there are two copies to lose one of.
    """
    present = dict(zip(HEADER_STARTS, copies_in(block), strict=True))
    newest_start = next(start for start in present if _is(present[start], old))
    (other_start,) = present.keys() - {newest_start}
    carried_through = [(other_start, present[newest_start])] if len(set(present.values())) > 1 else []
    return [*carried_through, (other_start, copy), (newest_start, copy)]


def alike(block: bytes, trusted: TrustedHeader) -> bool:
    """Whether both copies in a header block are this header, and so one of them is safe."""
    first, second = copies_in(block)
    return first == second and _is(first, trusted)


def _is(text: bytes, trusted: TrustedHeader) -> bool:
    copy = parse_copy(text)
    return copy is not None and copy.header == trusted.header and copy.is_authentic(trusted.keys.current.data_key)
