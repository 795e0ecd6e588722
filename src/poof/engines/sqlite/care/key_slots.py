"""The key slots of an open cluster: listed, added, removed, changed.

Layer: storage. Passwords become keys on a thread; a change itself is a call on the writer's.

Invariant: a change is decided on the newest header, while SQLite's write lock keeps everybody else from changing it.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.fernet import Fernet

from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.file.unlock import KEYRING_LABEL
from poof.engines.sqlite.tables.connections import ClusterConnection, note_header
from poof.engines.sqlite.tables.savepoints import transaction
from poof.errors import GoneError, InvalidKeyError, LimitError, WrongKeyError
from poof.format.header import Header
from poof.format.trust import TrustedHeader, changed, opens_slot
from poof.keys.credentials import LoadKey, StoreKey
from poof.keys.kdf import check_password
from poof.keys.slots import MAX_SLOTS, KeySlot, Secret, check_label
from poof.results import KeyInfo

Decide = Callable[[TrustedHeader], TrustedHeader]
"""Makes the next header of the newest one."""


async def list_slots(calls: Calls) -> list[KeyInfo]:
    """Returns what is known about each slot."""
    trusted: TrustedHeader = await calls.read(read_header, read_header)
    return [_info(slot) for slot in trusted.header.slots]


async def add_slot(calls: Calls, key: bytes | None, password: str | None, label: str) -> bytes:
    """Adds a slot for a key, a password or, without them, a new key; returns the key that opens it."""
    check_label(label)
    if password is not None:
        secret: Secret = await calls.off_loop(Secret.of_password, password)
    else:
        secret = Secret(key or Fernet.generate_key())
    await calls.alone(change_header, lambda old: with_slot(old, secret, label))
    calls.user_keys.learn([secret.user_key])
    return secret.user_key


async def remove_slot(calls: Calls, slot_id: str) -> None:
    """Removes a slot, unless it is the last one."""
    await calls.alone(change_header, lambda old: without_slot(old, slot_id))


async def enrol(calls: Calls, load: LoadKey, store: StoreKey) -> None:
    """Adds a slot for a keyring, unless the keyring has a key that opens the file."""
    header = (await calls.read(read_header, read_header)).header
    known = await asyncio.to_thread(load, header.cluster)
    if known is not None and any(slot.unwrap(header.cluster, known) is not None for slot in header.slots):
        return
    key = await add_slot(calls, None, None, KEYRING_LABEL)
    try:
        await asyncio.to_thread(store, header.cluster, key)
    except BaseException:
        for slot in (await calls.read(read_header, read_header)).header.slots:
            if slot.unwrap(header.cluster, key) is not None:
                await remove_slot(calls, slot.id)
        raise


async def change_password(calls: Calls, old: str, new: str) -> None:
    """Makes the slot that one password opens open with another one."""
    for password in (old, new):
        check_password(password)
    trusted: TrustedHeader = await calls.read(read_header, read_header)
    found = await calls.off_loop(slot_of_password, trusted, old)
    if found is None:
        raise WrongKeyError(f"this password opens no key slot of {calls.path!r}. Nothing was changed.")
    slot, user_key = found
    secret = await calls.off_loop(Secret.of_password, new)
    await calls.alone(change_header, lambda newest: with_other_secret(newest, slot.id, user_key, secret))
    if user_key == calls.user_keys.shown:
        calls.user_keys.replace_shown(secret.user_key)


def read_header(connection: ClusterConnection) -> TrustedHeader:
    """The newest header, with changes that other processes made."""
    return connection.cluster_state.header()


def change_header(connection: ClusterConnection, decide: Decide) -> TrustedHeader:
    """Replaces the header; nothing is written where the decision raises, or is to leave it."""
    with transaction(connection):
        old = connection.cluster_state.header()
        new = decide(old)
        return old if new is old else write_header(connection, old, new)


def write_header(connection: ClusterConnection, old: TrustedHeader, new: TrustedHeader) -> TrustedHeader:
    """Replaces the header in a transaction that writes, and notes it in the database: it holds also if that fails."""
    written = connection.cluster_state.change_header(old, new)
    note_header(connection, written)
    return written


def with_slot(old: TrustedHeader, secret: Secret, label: str) -> TrustedHeader:
    """A header with one slot more."""
    slots = old.header.slots
    if len(slots) >= MAX_SLOTS:
        raise LimitError(f"The cluster has {MAX_SLOTS} key slots, the most that one can have. Remove one first.")
    cluster = old.header.cluster
    known = next((slot for slot in slots if slot.unwrap(cluster, secret.user_key) is not None), None)
    if known is not None:
        raise InvalidKeyError(f"This key opens the file already, by the key slot {known.id!r}. Nothing was changed.")
    taken = {slot.id for slot in slots}
    while (added := secret.slot(cluster, old.keys.current.data_key, label=label)).id in taken:
        pass
    return _with_slots(old, (*slots, added))


def without_slot(old: TrustedHeader, slot_id: str) -> TrustedHeader:
    """A header without a slot."""
    removed = slot_in(old.header, slot_id)
    if len(old.header.slots) == 1:
        raise LimitError(
            f"{slot_id!r} is the only key slot, and without it nobody could open the file. Add another one first."
        )
    return _with_slots(old, tuple(slot for slot in old.header.slots if slot is not removed))


def with_other_secret(old: TrustedHeader, slot_id: str, user_key: bytes, secret: Secret) -> TrustedHeader:
    """A header in which a slot, if it still opens with the user key, opens with another secret."""
    replaced = slot_in(old.header, slot_id)
    if not opens_slot(old, replaced, user_key):
        raise WrongKeyError("the password was changed by somebody else meanwhile. Nothing was changed.")
    new = secret.slot(old.header.cluster, old.keys.current.data_key, label=replaced.label, slot_id=replaced.id)
    return _with_slots(old, tuple(new if slot is replaced else slot for slot in old.header.slots))


def slot_in(header: Header, slot_id: str) -> KeySlot:
    """The slot of an id."""
    for slot in header.slots:
        if slot.id == slot_id:
            return slot
    raise GoneError(f"The cluster has no key slot {slot_id!r}. keys() lists those that it has.")


def slot_of_password(trusted: TrustedHeader, password: str) -> tuple[KeySlot, bytes] | None:
    """The slot that a password opens, and the user key that it makes. Slow."""
    for slot in trusted.header.slots:
        if slot.derivation is not None:
            user_key = slot.derivation.derive(password)
            if opens_slot(trusted, slot, user_key):
                return slot, user_key
    return None


def _with_slots(old: TrustedHeader, slots: tuple[KeySlot, ...]) -> TrustedHeader:
    return TrustedHeader(changed(old.header, slots=slots), old.keys)


def _info(slot: KeySlot) -> KeyInfo:
    return KeyInfo(slot.id, slot.kind, slot.label, datetime.fromtimestamp(slot.created, UTC))
