"""Names of databases, collections and indexes."""

from poof.errors import InvalidNameError
from poof.raising import raise_alone

MAX_NAME_LENGTH = 255
"""Characters."""


def check_name(name: str, what: str) -> None:
    """Raises `InvalidNameError` for what cannot name a database, a collection or an index."""
    if not isinstance(name, str):
        raise InvalidNameError(f"The name of a {what} is text (str), not {type(name).__name__}.")
    if not name:
        raise InvalidNameError(f"The name of a {what} cannot be empty.")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidNameError(
            f"The name of a {what} has at most {MAX_NAME_LENGTH} characters; this one has {len(name)}."
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise_alone(InvalidNameError(f"The name of a {what} holds characters that are not valid Unicode text."))
