"""Key slots: the data key of a file, wrapped once for each key or password that may open it.

Layer: keys; pure, but for `open_slots` and secrets of passwords, which derive keys from them and so are slow.

A slot's token is a standard Fernet token over the data key and the number of its rotations. Its key is derived from the
user key for this one slot of this one cluster, so a token from anywhere else opens nothing. A slot for a password holds
the salt and cost that make the user key from it; the key that they make opens the slot as well as the password does.
"""

import base64
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Self

from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from poof.errors import InvalidKeyError, InvalidNameError
from poof.keys import clock
from poof.keys.kdf import (
    DEFAULT_COST,
    KEY_SIZE,
    SALT_SIZE,
    Argon2Cost,
    check_password,
    derive_key,
    derive_subkey,
)
from poof.keys.recovery_codes import key_of_code, looks_like_code
from poof.raising import brief, raise_alone

MAX_SLOTS = 8
MAX_LABEL_BYTES = 64
MAX_TIME = 2**53
"""Seconds; the largest whole number that every JSON reader keeps exactly."""
SLOT_ID_PATTERN = r"^[0-9a-f]{8}$"
TOKEN_SIZE = 140
"""Characters of a Fernet token over a wrapped data key: 105 bytes, for which base64 needs no padding."""
TOKEN_PATTERN = rf"^[A-Za-z0-9_-]{{{TOKEN_SIZE}}}$"

SLOT_PURPOSE = b"poof 1 slot"
ROTATIONS_SIZE = 4
MAX_ROTATIONS = 2 ** (8 * ROTATIONS_SIZE) - 1

_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_KEY_PATTERN = re.compile(rb"[A-Za-z0-9_-]{43}=")
_DOUBLE_KEY_PATTERN = re.compile(rb"[A-Za-z0-9_-]{59}=")


@dataclass(frozen=True, repr=False)
class DataKey:
    """The random key that everything in a file is encrypted under, and how often it has replaced another one."""

    secret: bytes
    rotations: int = 0

    @classmethod
    def generate(cls, rotations: int = 0) -> Self:
        """Returns a new random one."""
        return cls(secrets.token_bytes(KEY_SIZE), rotations)


class PasswordDerivation(BaseModel):
    """How the user key of a password slot is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Literal["argon2id"] = "argon2id"
    salt: str
    cost: Argon2Cost

    @field_validator("salt")
    @classmethod
    def _check_salt(cls, salt: str) -> str:
        decoded = base64.b64decode(salt, altchars=b"-_", validate=True)
        if len(decoded) != SALT_SIZE or base64.urlsafe_b64encode(decoded).decode() != salt:
            raise ValueError("wrong salt")
        return salt

    def derive(self, password: str) -> bytes:
        """The user key of a password."""
        return derive_key(password, base64.urlsafe_b64decode(self.salt), self.cost)


class KeySlot(BaseModel):
    """One way to the data key. It holds no secret in the clear."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str = Field(pattern=SLOT_ID_PATTERN)
    kind: Literal["key", "password"]
    label: str
    created: int = Field(ge=0, le=MAX_TIME)
    """Seconds since 1970-01-01 UTC."""
    token: str = Field(pattern=TOKEN_PATTERN)
    derivation: PasswordDerivation | None = None

    @field_validator("label")
    @classmethod
    def _check_label(cls, label: str) -> str:
        return _bound_label(label)

    @model_validator(mode="after")
    def _check_derivation(self) -> Self:
        if (self.kind == "password") != (self.derivation is not None):
            raise ValueError("a slot for a password, and no other, says how its key is derived")
        return self

    def unwrap(self, cluster: str, user_key: bytes) -> DataKey | None:
        """The data key, or `None` where the user key does not open this slot of the cluster of that number."""
        return unwrap_key(self.token, _slot_key(cluster, self.id, user_key))

    def rewrapped(self, cluster: str, data_key: DataKey, user_key: bytes) -> Self:
        """The same slot, for another data key."""
        return self.model_copy(update={"token": wrap_key(data_key, _slot_key(cluster, self.id, user_key))})


@dataclass(frozen=True, repr=False)
class Secret:
    """What a slot is made for: a user key and, where a password makes it, how."""

    user_key: bytes
    derivation: PasswordDerivation | None = None

    @classmethod
    def of_password(cls, password: str, *, cost: Argon2Cost = DEFAULT_COST) -> Self:
        """The secret of a password, with a salt of its own. Slow."""
        check_password(password)
        salt = base64.urlsafe_b64encode(secrets.token_bytes(SALT_SIZE)).decode()
        derivation = PasswordDerivation(salt=salt, cost=cost)
        return cls(derivation.derive(password), derivation)

    def slot(self, cluster: str, data_key: DataKey, *, label: str = "", slot_id: str = "") -> KeySlot:
        """A new slot that the secret opens; in place of the one of that id, if any."""
        slot_id = slot_id or secrets.token_hex(4)
        return KeySlot(
            id=slot_id,
            kind="key" if self.derivation is None else "password",
            label=label,
            created=clock.seconds(),
            token=wrap_key(data_key, _slot_key(cluster, slot_id, self.user_key)),
            derivation=self.derivation,
        )


def wrap_key(data_key: DataKey, key: bytes) -> str:
    """A data key as a Fernet token under another key, of 32 bytes."""
    wrapped = data_key.secret + data_key.rotations.to_bytes(ROTATIONS_SIZE, "big")
    return Fernet(base64.urlsafe_b64encode(key)).encrypt_at_time(wrapped, clock.seconds()).decode()


def unwrap_key(token: str, key: bytes) -> DataKey | None:
    """The data key in a token, or `None` where the key does not open it."""
    try:
        wrapped = Fernet(base64.urlsafe_b64encode(key)).decrypt(token)
    except InvalidToken:
        return None
    if len(wrapped) != KEY_SIZE + ROTATIONS_SIZE:
        return None
    return DataKey(wrapped[:KEY_SIZE], int.from_bytes(wrapped[KEY_SIZE:], "big"))


def _slot_key(cluster: str, slot_id: str, user_key: bytes) -> bytes:
    secret = base64.urlsafe_b64decode(user_key)
    return derive_subkey(secret, bytes.fromhex(cluster), SLOT_PURPOSE + slot_id.encode())


@brief(InvalidNameError)
def check_label(label: str) -> None:
    """Raises `InvalidNameError` for what cannot be the label of a slot."""
    if not isinstance(label, str):
        raise InvalidNameError(f"A label is text (str), not {type(label).__name__}.")
    try:
        _bound_label(label)
    except ValueError as error:
        raise_alone(
            InvalidNameError(
                f"This cannot be a label: {error}. It may have {MAX_LABEL_BYTES} bytes, and no line breaks."
            )
        )


@brief(InvalidKeyError)
def parse_key(key: str | bytes) -> bytes:
    """A user's Fernet key in its 44-character form.

    Also takes a recovery code, and the form that PoofDB 0.x printed, which is base64 of those 44 characters; and white
    space around any.

    Raises:
        InvalidKeyError: it is none of these.
    """
    if isinstance(key, str):
        text = key.strip().encode("utf-8", "replace")
    elif isinstance(key, bytes):
        text = key.strip()
    else:
        raise InvalidKeyError(f"A key is text (str or bytes), not {type(key).__name__}.")
    if looks_like_code(letters := text.decode("utf-8", "replace")):
        return key_of_code(letters)
    text = text.translate(bytes.maketrans(b"+/", b"-_"))
    if _DOUBLE_KEY_PATTERN.fullmatch(text):
        text = base64.urlsafe_b64decode(text)
    if not _KEY_PATTERN.fullmatch(text):
        raise InvalidKeyError(
            "This is not a key. A key is 44 characters of base64 (32 bytes, ending in '='), or a recovery code. Make "
            "one with cryptography.fernet.Fernet.generate_key(), or leave key out when creating a new file and keep "
            "what get_encryption_key() returns."
        )
    return base64.urlsafe_b64encode(base64.urlsafe_b64decode(text))


def key_slot(cluster: str, data_key: DataKey, user_key: bytes, *, label: str = "") -> KeySlot:
    """A slot that a Fernet key opens."""
    return Secret(user_key).slot(cluster, data_key, label=label)


def password_slot(
    cluster: str, data_key: DataKey, password: str, *, label: str = "", cost: Argon2Cost = DEFAULT_COST
) -> tuple[KeySlot, bytes]:
    """A slot that a password opens, and the user key which the password makes."""
    secret = Secret.of_password(password, cost=cost)
    return secret.slot(cluster, data_key, label=label), secret.user_key


class Opener:
    """Opens slots with a key, or with a password, of which each salt and cost is derived once."""

    def __init__(self, user_key: bytes | None, password: str | None) -> None:
        self._user_key = user_key
        self._password = password
        self._derived: dict[PasswordDerivation, bytes] = {}

    def __call__(self, cluster: str, slots: Iterable[KeySlot]) -> Iterator[tuple[DataKey, bytes]]:
        """Yields each data key that a slot leads to, with the user key that opened the slot.

        A key is tried on slots of both kinds. More than one can open only where slots have been tampered with; the
        caller takes the first under which the header authenticates.
        """
        for slot in slots:
            user_key = self._user_key if self._password is None else self._derive(slot, self._password)
            if user_key is not None and (data_key := slot.unwrap(cluster, user_key)) is not None:
                yield data_key, user_key

    def _derive(self, slot: KeySlot, password: str) -> bytes | None:
        if slot.derivation is None:
            return None
        if slot.derivation not in self._derived:
            self._derived[slot.derivation] = slot.derivation.derive(password)
        return self._derived[slot.derivation]


def _bound_label(label: str) -> str:
    if any(unicodedata.category(character) in _CONTROLS for character in label):
        raise ValueError("the label holds control characters or line breaks")
    if len(label.encode()) > MAX_LABEL_BYTES:
        raise ValueError("the label is too long")
    return label
