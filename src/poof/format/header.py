"""The header block: bytes to `Header` and back, nothing else.

Pure.

The block is two 4096-byte copies of the same plaintext header, so that a torn write of one leaves the other. A copy is
three lines and zeros to its end:

    PoofDB encrypted cluster, format 1
    {"format":1,"cluster":...,"generation":...,"slots":[...]}     (and "previous" while the data key is replaced)
    <HMAC-SHA256, 64 hexadecimal digits, of every byte before this line>

Invariants: a header that cannot be authenticated is never believed further than to try keys on its slots; every size
and number in it is bounded before it is used.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from poof.format.layout import HEADER_BLOCK_SIZE, HEADER_COPY_SIZE
from poof.keys.kdf import derive_subkey
from poof.keys.slots import MAX_SLOTS, TOKEN_PATTERN, KeySlot

FORMAT: Final = 1
KEY_PURPOSE = b"poof header"
MAC_KEY_SIZE = 32
MAX_GENERATION = 2**53
"""The largest whole number that every JSON reader keeps exactly."""

_MAGIC_LINE = b"PoofDB encrypted cluster, format %d\n"
_ANY_MAGIC = re.compile(rb"PoofDB encrypted cluster, format (\d{1,9})\n")
_COPY = re.compile(
    rb"(?P<signed>PoofDB encrypted cluster, format 1\n(?P<json>\{[^\n\x00]*\})\n)(?P<mac>[0-9a-f]{64})\n\x00*"
)


class Header(BaseModel):
    """What the header of a cluster file says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    cluster: str = Field(pattern=r"^[0-9a-f]{32}$")
    """A random number that stays with the cluster."""
    generation: int = Field(ge=1, le=MAX_GENERATION)
    """Grows by one with each change of the header."""
    slots: Annotated[tuple[KeySlot, ...], Field(min_length=1, max_length=MAX_SLOTS)]
    previous: str | None = Field(default=None, pattern=TOKEN_PATTERN)
    """While the data key is being replaced, the previous one, wrapped under the new one."""

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        if len({slot.id for slot in self.slots}) != len(self.slots):
            raise ValueError("two slots have the same id")
        return self


@dataclass(frozen=True)
class HeaderCopy:
    """One readable copy of a header, not yet authenticated."""

    header: Header
    signed: bytes
    mac: str

    def is_authentic(self, data_key: bytes) -> bool:
        """Whether the copy was written by somebody who knew the data key."""
        return hmac.compare_digest(self.mac, _mac(self.signed, data_key))


def encode_copy(header: Header, data_key: bytes) -> bytes:
    """One 4096-byte copy of a header."""
    signed = _MAGIC_LINE % FORMAT + header.model_dump_json(exclude_none=True).encode() + b"\n"
    copy = signed + _mac(signed, data_key).encode() + b"\n"
    if len(copy) > HEADER_COPY_SIZE:
        raise ValueError("the header does not fit its block")
    return copy.ljust(HEADER_COPY_SIZE, b"\x00")


def encode_block(header: Header, data_key: bytes) -> bytes:
    """The 8192-byte header block of a new file: both copies alike."""
    return 2 * encode_copy(header, data_key)


def parse_block(block: bytes) -> list[HeaderCopy]:
    """The readable copies in a header block, the newest first; one of two equal copies."""
    found: dict[bytes, HeaderCopy] = {}
    for start in range(0, HEADER_BLOCK_SIZE, HEADER_COPY_SIZE):
        text = block[start : start + HEADER_COPY_SIZE]
        if text not in found and (copy := _parse_copy(text)) is not None:
            found[text] = copy
    return sorted(found.values(), key=lambda copy: copy.header.generation, reverse=True)


def named_format(block: bytes) -> int | None:
    """The highest format number that a magic line in the block names, or `None` where there is no magic line."""
    matches = (_ANY_MAGIC.match(block, start) for start in range(0, HEADER_BLOCK_SIZE, HEADER_COPY_SIZE))
    return max((int(match[1]) for match in matches if match), default=None)


def _parse_copy(text: bytes) -> HeaderCopy | None:
    match = _COPY.fullmatch(text)
    if match is None or len(text) != HEADER_COPY_SIZE:
        return None
    try:
        header = Header.model_validate_json(match["json"])
    except ValidationError:
        return None
    return HeaderCopy(header, match["signed"], match["mac"].decode())


def _mac(signed: bytes, data_key: bytes) -> str:
    key = derive_subkey(data_key, KEY_PURPOSE, MAC_KEY_SIZE)
    return hmac.new(key, signed, hashlib.sha256).hexdigest()
