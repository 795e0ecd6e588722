"""The time that Fernet tokens and key slots carry."""

import time

from poof.errors import ClockError


def seconds() -> int:
    """Whole seconds since 1970-01-01 UTC, as the clock of the system has it.

    Raises:
        ClockError: it is before that, and a token has no negative time.
    """
    now = int(time.time())
    if now < 0:
        raise ClockError(
            "The clock of this system is before 1970, and what is encrypted carries the time. Set the clock, then try "
            "again. Nothing was changed; reading works as ever."
        )
    return now
