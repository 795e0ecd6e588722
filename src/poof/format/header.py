"""The header block: bytes to `Header` and back, nothing else.

Layer: format; pure.

The block is two copies of the same plaintext header, so that a torn write of one leaves the other, and a state record
behind each (see `records`). A copy is three lines and zeros to its end, 3584 bytes:

    PoofDB encrypted cluster, format 1
    {"format":1,"cluster":...,"file":...,"generation":...,"rotations":...,"slots":[...]}
    <HMAC-SHA256, 64 hexadecimal digits, of every byte before this line>

While the data key is replaced, `previous` leads from the new one to the one before.

Invariants: a header that cannot be authenticated is never believed further than to try keys on its slots; every size
and number in it is bounded before it is used.
"""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from poof.format.layout import HEADER_COPY_SIZE, HEADER_STARTS, RECORD_SIZE
from poof.format.records import first_record
from poof.format.subkeys import FileKey
from poof.keys.kdf import MAX_WORK_KIB
from poof.keys.slots import MAX_ROTATIONS, MAX_SLOTS, TOKEN_PATTERN, DataKey, KeySlot

FORMAT: Final = 1
NUMBER_PATTERN = r"^[0-9a-f]{32}$"
MAX_GENERATION = 2**53
"""The largest whole number that every JSON reader keeps exactly."""

_MAGIC_LINE = b"PoofDB encrypted cluster, format %d\n"
_ANY_MAGIC = re.compile(rb"PoofDB encrypted cluster, format (\d{1,9})\n")
_PREVIEW = re.compile(
    rb'PoofDB encrypted cluster, format 1\n\{"format":1,"cluster":"[0-9a-f]{32}","generation":\d{1,16},"slots":'
)
_COPY = re.compile(
    rb"(?P<signed>PoofDB encrypted cluster, format 1\n(?P<json>\{[^\n\x00]*\})\n)(?P<mac>[0-9a-f]{64})\n\x00*"
)


class Header(BaseModel):
    """What the header of a cluster file says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1]
    cluster: str = Field(pattern=NUMBER_PATTERN)
    """A random number that stays with the cluster."""
    file: str = Field(pattern=NUMBER_PATTERN)
    """A random number of this file alone: a backup has another one."""
    generation: int = Field(ge=1, le=MAX_GENERATION)
    """Grows by one with each change of the header."""
    rotations: int = Field(ge=0, le=MAX_ROTATIONS)
    """How often the data key was replaced."""
    slots: Annotated[tuple[KeySlot, ...], Field(min_length=1, max_length=MAX_SLOTS)]
    previous: str | None = Field(default=None, pattern=TOKEN_PATTERN)
    """While the data key is being replaced, the previous one, wrapped under the new one."""

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        if len({slot.id for slot in self.slots}) != len(self.slots):
            raise ValueError("two slots have the same id")
        if sum(slot.derivation.cost.work_kib for slot in self.slots if slot.derivation is not None) > MAX_WORK_KIB:
            raise ValueError("the passwords cost too much together")
        return self

    def key(self, data_key: DataKey) -> FileKey:
        """The data key, as the file with this header uses it."""
        return FileKey(data_key, bytes.fromhex(self.file))


@dataclass(frozen=True)
class HeaderCopy:
    """One readable copy of a header, not yet authenticated."""

    header: Header
    signed: bytes
    mac: str

    def is_authentic(self, data_key: DataKey) -> bool:
        """Whether the copy was written by somebody who knew the data key, after as many rotations as that one tells."""
        if self.header.rotations != data_key.rotations:
            return False
        return hmac.compare_digest(self.mac, _mac(self.signed, self.header.key(data_key)))


def encode_copy(header: Header, data_key: DataKey) -> bytes:
    """One copy of a header, 3584 bytes."""
    signed = _MAGIC_LINE % FORMAT + header.model_dump_json(exclude_none=True).encode() + b"\n"
    copy = signed + _mac(signed, header.key(data_key)).encode() + b"\n"
    if len(copy) > HEADER_COPY_SIZE:
        raise ValueError("the header does not fit its block")
    return copy.ljust(HEADER_COPY_SIZE, b"\x00")


def mac_of(copy: bytes) -> bytes:
    """The MAC in a copy that `encode_copy` made, 32 bytes."""
    return bytes.fromhex(copy.split(b"\n", 3)[2].decode())


def encode_block(header: Header, data_key: DataKey) -> bytes:
    """The 8192-byte header block of a new file: both copies alike, and both records."""
    copy = encode_copy(header, data_key)
    record = first_record(header.generation, mac_of(copy)).encode(header.key(data_key).state)
    return 2 * (copy + record).ljust(HEADER_STARTS[1], b"\x00")


def copies_in(block: bytes) -> list[bytes]:
    """The bytes of the two copies in a header block, readable or not; those in front come first."""
    return [block[start : start + HEADER_COPY_SIZE] for start in HEADER_STARTS]


def parse_block(block: bytes) -> list[HeaderCopy]:
    """The readable copies in a header block, the newest first; one of two equal copies."""
    found = {text: copy for text in copies_in(block) if (copy := parse_copy(text)) is not None}
    return sorted(found.values(), key=lambda copy: (copy.header.rotations, copy.header.generation), reverse=True)


def named_format(block: bytes) -> int | None:
    """The highest format number that a magic line in the block names, or `None` where there is no magic line."""
    matches = (_ANY_MAGIC.match(block, start) for start in HEADER_STARTS)
    return max((int(match[1]) for match in matches if match), default=None)


def is_of_preview(block: bytes) -> bool:
    """Whether a block has a header as PoofDB 1.0.0.dev1 wrote it, which no file number stood in."""
    return any(_PREVIEW.match(block, start) is not None for start in HEADER_STARTS)


def parse_copy(text: bytes) -> HeaderCopy | None:
    """A readable copy in 3584 bytes, or `None`."""
    match = _COPY.fullmatch(text)
    if match is None or len(text) != HEADER_COPY_SIZE:
        return None
    try:
        header = Header.model_validate_json(match["json"])
        json.loads(match["json"], object_pairs_hook=_check_members, parse_float=_refuse, parse_constant=_refuse)
    except ValueError:  # a ValidationError is one
        return None
    return HeaderCopy(header, match["signed"], match["mac"].decode())


def _check_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses what readers of JSON take differently: a member twice, null, and truth values, which may be numbers."""
    if len(dict(members)) != len(members) or any(isinstance(value, bool) or value is None for _, value in members):
        raise ValueError("a member is there twice, is null, or a truth value")
    return dict(members)


def _refuse(_text: str) -> NoReturn:
    raise ValueError("no whole number in decimal digits")


def _mac(signed: bytes, key: FileKey) -> str:
    return hmac.new(key.header, signed, hashlib.sha256).hexdigest()


assert HEADER_STARTS[1] >= HEADER_COPY_SIZE + RECORD_SIZE  # noqa: S101 - constants stated twice must agree
