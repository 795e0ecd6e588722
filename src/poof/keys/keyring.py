"""Keys in the keyring of the system, through the `keyring` library.

Calls may block for as long as the system asks its user, so make them on a thread.

An entry is named by the cluster number in the header of the file, which anybody can read without a key, and which stays
with a file that is moved or renamed. It holds a Fernet key that has a slot of its own in the file, and no other.
"""

from typing import Any

from poof.errors import InvalidKeyError, KeyringError
from poof.keys.slots import parse_key
from poof.raising import raise_alone

SERVICE = "poofdb"


def load_key(cluster: str) -> bytes | None:
    """The key of a cluster, or `None` where the keyring has none.

    Raises:
        KeyringError: the keyring cannot be used, or holds something else under this name.
    """
    try:
        key = _call("get_password", cluster)
        return None if key is None else parse_key(key)
    except InvalidKeyError:
        raise_alone(KeyringError(f"The entry {cluster!r} of {SERVICE!r} in the system's keyring is not a key."))


def store_key(cluster: str, key: bytes) -> None:
    """Keeps the key of a cluster.

    Raises:
        KeyringError: the keyring cannot be used, refuses, or forgets, as the one does that stands for none.
    """
    _call("set_password", cluster, key.decode())
    if load_key(cluster) != key:
        raise KeyringError("The system's keyring did not keep the key.")


def delete_key(cluster: str) -> None:
    """Forgets the key of a cluster.

    Raises:
        KeyringError: the keyring cannot be used, or has none.
    """
    _call("delete_password", cluster)


def _call(name: str, *args: str) -> Any:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise KeyringError(
            "keyring=True needs the library keyring, which is not installed: pip install 'poofdb[keyring]'"
        ) from None
    try:
        return getattr(keyring, name)(SERVICE, *args)
    except keyring.errors.NoKeyringError:
        raise KeyringError(
            "This system has no keyring that the library keyring can use. Pass key= or password= instead, or install "
            "one of its backends."
        ) from None
    except Exception as error:  # a backend raises what its system does
        # Its text is not shown: who knows what a backend says of a key.
        raise_alone(
            KeyringError(
                f"The system's keyring refused, with {type(error).__name__}: it is locked, perhaps, or access was "
                "denied."
            )
        )
