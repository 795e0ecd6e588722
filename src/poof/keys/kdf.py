"""Keys made from other secrets: a password to a Fernet key (Argon2id), a key to keys for one purpose each (HKDF).

Layer: keys; pure, but slow on purpose: `derive_key` takes a tenth of a second or more and must not run on an event
loop.

Invariant: no cost from a file is used before `Argon2Cost` has bounded it. A file is an attacker's to write, and the
header can be authenticated only once a key has been derived.
"""

import base64
import unicodedata

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, model_validator

from poof.errors import InvalidKeyError
from poof.raising import brief, raise_alone

SALT_SIZE = 16
KEY_SIZE = 32

MAX_MEMORY_KIB = 1024 * 1024
MAX_PASSES = 16
MAX_LANES = 16
MAX_WORK_KIB = 2 * MAX_MEMORY_KIB
"""Bounds memory times passes, over all slots of a header: what a hostile file can cost at most, some seconds."""

MIN_MEMORY_PER_LANE_KIB = 8


class Argon2Cost(BaseModel):
    """The cost of Argon2id."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    memory_kib: int = Field(ge=MIN_MEMORY_PER_LANE_KIB, le=MAX_MEMORY_KIB)
    passes: int = Field(ge=1, le=MAX_PASSES)
    lanes: int = Field(ge=1, le=MAX_LANES)

    @property
    def work_kib(self) -> int:
        """Memory times passes."""
        return self.memory_kib * self.passes

    @model_validator(mode="after")
    def _bound_work(self) -> "Argon2Cost":
        if self.work_kib > MAX_WORK_KIB:
            raise ValueError("memory times passes is out of bounds")
        if self.memory_kib < MIN_MEMORY_PER_LANE_KIB * self.lanes:
            raise ValueError("too little memory for the lanes")
        return self


DEFAULT_COST = Argon2Cost(memory_kib=64 * 1024, passes=3, lanes=4)
"""The second recommended option of RFC 9106, section 4."""


@brief(InvalidKeyError)
def check_password(password: str) -> None:
    """Raises `InvalidKeyError` for what cannot be a password."""
    if not isinstance(password, str):
        raise InvalidKeyError(f"A password is text (str), not {type(password).__name__}.")
    if not password:
        raise InvalidKeyError("The password is empty. Use one of several words, or a key.")
    try:
        password.encode()
    except UnicodeEncodeError:
        raise_alone(InvalidKeyError("The password holds characters that are not valid Unicode text."))


def derive_key(password: str, salt: bytes, cost: Argon2Cost) -> bytes:
    """The 44-character Fernet key of a password, after Unicode normalization to NFC (as in RFC 8265, section 4.2)."""
    derivation = Argon2id(
        salt=salt, length=KEY_SIZE, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib
    )
    text = unicodedata.normalize("NFC", password)
    return base64.urlsafe_b64encode(derivation.derive(text.encode()))


def derive_subkey(key: bytes, salt: bytes, info: bytes, size: int = KEY_SIZE) -> bytes:
    """A key for one purpose, from a 32-byte key (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=size, salt=salt, info=info).derive(key)
