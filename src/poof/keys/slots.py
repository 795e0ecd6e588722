"""Key slots: the data key of a file, wrapped once for each key or password that may open it.

Layer: keys; pure, but for `open_slots` and `password_slot`, which derive keys from passwords and so are slow.

A slot's token is a standard Fernet token: `Fernet(user_key).encrypt(data_key)`. A slot for a password holds the salt
and cost that make the user key from it; the key that they make opens the slot as well as the password does.
"""

import base64
import binascii
import re
import secrets
import time
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, Self

from cryptography.fernet import Fernet, InvalidToken
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from poof.errors import InvalidKeyError
from poof.keys.kdf import DEFAULT_COST, KEY_SIZE, SALT_SIZE, Argon2Cost, check_password, derive_key

MAX_SLOTS = 8
MAX_LABEL_BYTES = 64
MAX_TIME = 2**53
"""Seconds; the largest whole number that every JSON reader keeps exactly."""
SLOT_ID_PATTERN = r"^[0-9a-f]{8}$"
TOKEN_SIZE = 140
"""Characters of a Fernet token over a 44-character key: 105 bytes, for which base64 needs no padding."""

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
    token: str = Field(pattern=rf"^[A-Za-z0-9_-]{{{TOKEN_SIZE}}}$")
    derivation: PasswordDerivation | None = None

    @field_validator("label")
    @classmethod
    def _bound_label(cls, label: str) -> str:
        if len(label.encode()) > MAX_LABEL_BYTES:
            raise ValueError("the label is too long")
        if any(unicodedata.category(character) in _CONTROLS for character in label):
            raise ValueError("the label holds control characters or line breaks")
        return label

    @model_validator(mode="after")
    def _check_derivation(self) -> Self:
        if (self.kind == "password") != (self.derivation is not None):
            raise ValueError("a slot for a password, and no other, says how its key is derived")
        return self

    def unwrap(self, user_key: bytes) -> bytes | None:
        """The 32-byte data key, or `None` where the user key does not open this slot."""
        try:
            data_key = base64.urlsafe_b64decode(Fernet(user_key).decrypt(self.token))
        except (InvalidToken, binascii.Error):
            return None
        return data_key if len(data_key) == KEY_SIZE else None


def parse_key(key: str | bytes) -> bytes:
    """A user's Fernet key in its 44-character form.

    Also takes the form that PoofDB 0.x printed, which is base64 of those 44 characters, and white space around either.

    Raises:
        InvalidKeyError: it is neither.
    """
    if isinstance(key, str):
        text = key.strip().encode("ascii", "replace")
    elif isinstance(key, bytes):
        text = key.strip()
    else:
        raise InvalidKeyError(f"A key is text (str or bytes), not {type(key).__name__}.")
    text = text.translate(bytes.maketrans(b"+/", b"-_"))
    if _DOUBLE_KEY_PATTERN.fullmatch(text):
        text = base64.urlsafe_b64decode(text)
    if not _KEY_PATTERN.fullmatch(text):
        raise InvalidKeyError(
            "This is not a key. A key is 44 characters of base64 (32 bytes, ending in '='). Make one with "
            "cryptography.fernet.Fernet.generate_key(), or leave key out when creating a new file and keep what "
            "get_encryption_key() returns."
        )
    return base64.urlsafe_b64encode(base64.urlsafe_b64decode(text))


def generate_data_key() -> bytes:
    """A new random 32-byte data key."""
    return secrets.token_bytes(KEY_SIZE)


def key_slot(data_key: bytes, user_key: bytes, *, label: str = "") -> KeySlot:
    """A slot that a Fernet key opens."""
    return _slot(data_key, user_key, "key", label, None)


def password_slot(
    data_key: bytes, password: str, *, label: str = "", cost: Argon2Cost = DEFAULT_COST
) -> tuple[KeySlot, bytes]:
    """A slot that a password opens, and the user key which the password makes."""
    check_password(password)
    salt = base64.urlsafe_b64encode(secrets.token_bytes(SALT_SIZE)).decode()
    derivation = PasswordDerivation(salt=salt, cost=cost)
    user_key = derivation.derive(password)
    return _slot(data_key, user_key, "password", label, derivation), user_key


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


def _slot(
    data_key: bytes,
    user_key: bytes,
    kind: Literal["key", "password"],
    label: str,
    derivation: PasswordDerivation | None,
) -> KeySlot:
    return KeySlot(
        id=secrets.token_hex(4),
        kind=kind,
        label=label,
        created=int(time.time()),
        token=Fernet(user_key).encrypt(base64.urlsafe_b64encode(data_key)).decode(),
        derivation=derivation,
    )
