"""Key slots: the data key of a file, wrapped once for each key or password that may open it.

Pure, but slow where a password is involved: `open_slots` and `SlotSecret.of_password` derive keys.

A slot's token is a standard Fernet token: `Fernet(user_key).encrypt(data_key)`. A slot for a password holds the salt
and cost that make the user key from it; the key that they make opens the slot as well as the password does.
"""

import base64
import binascii
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
from poof.keys.kdf import DEFAULT_COST, KEY_SIZE, SALT_SIZE, Argon2Cost, check_password, derive_key
from poof.keys.recovery_codes import key_of_code, looks_like_code
from poof.raising import brief, raise_alone

MAX_SLOTS = 8
MAX_LABEL_BYTES = 64
MAX_TIME = 2**53
"""Seconds; the largest whole number that every JSON reader keeps exactly."""
SLOT_ID_PATTERN = r"^[0-9a-f]{8}$"
TOKEN_SIZE = 140
"""Characters of a Fernet token over a 44-character key: 105 bytes, for which base64 needs no padding."""
TOKEN_PATTERN = rf"^[A-Za-z0-9_-]{{{TOKEN_SIZE}}}$"

_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_KEY_PATTERN = re.compile(rb"[A-Za-z0-9_-]{43}=")
_DOUBLE_KEY_PATTERN = re.compile(rb"[A-Za-z0-9_-]{59}=")


class PasswordDerivation(BaseModel):
    """How the user key of a password slot is made."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Literal["argon2id"] = "argon2id"
    salt: str
    cost: Argon2Cost

    @field_validator("salt")
    @classmethod
    def _check_salt(cls, salt: str) -> str:
        if len(base64.b64decode(salt, altchars=b"-_", validate=True)) != SALT_SIZE:
            raise ValueError("wrong salt size")
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

    def unwrap(self, user_key: bytes) -> bytes | None:
        """The 32-byte data key, or `None` where the user key does not open this slot."""
        return unwrap_key(self.token, user_key)

    def rewrapped(self, data_key: bytes, user_key: bytes) -> Self:
        """The same slot, for another data key."""
        return self.model_copy(update={"token": wrap_key(data_key, user_key)})


@dataclass(frozen=True, repr=False)
class SlotSecret:
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

    def slot(self, data_key: bytes, *, label: str = "") -> KeySlot:
        """A new slot that the secret opens."""
        return KeySlot(
            id=secrets.token_hex(4),
            kind="key" if self.derivation is None else "password",
            label=label,
            created=clock.seconds(),
            token=wrap_key(data_key, self.user_key),
            derivation=self.derivation,
        )


def wrap_key(data_key: bytes, key: bytes) -> str:
    """A data key as a Fernet token under another key."""
    return Fernet(key).encrypt_at_time(base64.urlsafe_b64encode(data_key), clock.seconds()).decode()


def unwrap_key(token: str, key: bytes) -> bytes | None:
    """The 32-byte data key in a token, or `None` where the key does not open it."""
    try:
        data_key = base64.urlsafe_b64decode(Fernet(key).decrypt(token))
    except (InvalidToken, binascii.Error):
        return None
    return data_key if len(data_key) == KEY_SIZE else None


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


def generate_data_key() -> bytes:
    """A new random 32-byte data key."""
    return secrets.token_bytes(KEY_SIZE)


def key_slot(data_key: bytes, user_key: bytes, *, label: str = "") -> KeySlot:
    """A slot that a Fernet key opens."""
    return SlotSecret(user_key).slot(data_key, label=label)


def password_slot(
    data_key: bytes, password: str, *, label: str = "", cost: Argon2Cost = DEFAULT_COST
) -> tuple[KeySlot, bytes]:
    """A slot that a password opens, and the user key which the password makes."""
    secret = SlotSecret.of_password(password, cost=cost)
    return secret.slot(data_key, label=label), secret.user_key


def open_slots(slots: Iterable[KeySlot], user_key: bytes | None, password: str | None) -> Iterator[tuple[bytes, bytes]]:
    """Each data key that the user's key or password opens, with the user key that opened it.

    A key is tried on slots of both kinds. More than one can open only where slots have been tampered with; the caller
    takes the first under which the header authenticates.
    """
    for slot in slots:
        if password is not None:
            if slot.derivation is None:
                continue
            user_key = slot.derivation.derive(password)
        if user_key is not None and (data_key := slot.unwrap(user_key)) is not None:
            yield data_key, user_key


def _bound_label(label: str) -> str:
    if any(unicodedata.category(character) in _CONTROLS for character in label):
        raise ValueError("the label holds control characters or line breaks")
    if len(label.encode()) > MAX_LABEL_BYTES:
        raise ValueError("the label is too long")
    return label
