"""The user keys that a program knows of one open cluster.

Pure.

Invariant: keys are only ever added, and each addition replaces one tuple by another, so any thread may read them.
"""

from collections.abc import Iterable, Iterator


class UserKeys:
    """One key is shown to the user. That one and all others may lead to a new data key."""

    def __init__(self, shown: bytes) -> None:
        self._shown = shown
        self._known: tuple[bytes, ...] = (shown,)

    @property
    def shown(self) -> bytes:
        """The key that opens the file, as the user is shown it, in its 44-character form."""
        return self._shown

    def learn(self, keys: Iterable[bytes]) -> None:
        """Adds keys that have a slot by now."""
        self._known = tuple(dict.fromkeys((*self._known, *keys)))

    def replace_shown(self, key: bytes) -> None:
        """Shows another key from now on, as after a change of the password. The previous one stays known."""
        self.learn([key])
        self._shown = key

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._known)
