"""What a user gives to open a cluster, or to make one."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Credentials:
    """What the user gave to open the file: a key in its 44-character form, or a password, or neither."""

    key: bytes | None = None
    password: str | None = None
    cluster: str | None = None
    """The number of the cluster, should it be new."""
    recovery: bytes | None = None
    """One more key for it, should it be new; then the other one is a keyring's."""

    def __bool__(self) -> bool:
        return self.key is not None or self.password is not None


LoadKey = Callable[[str], bytes | None]
"""Gets the key of a cluster, by its number, from where it is kept. Blocks."""
StoreKey = Callable[[str, bytes], None]
"""Keeps the key of a cluster. Blocks."""
