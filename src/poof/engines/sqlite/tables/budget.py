"""The budget of the event loop: what may run on it, and how a call says that it would take too long.

A call runs on the loop while it stays within a budget of steps, documents and characters, which `Tuning` sets. Else it
is made again on a thread. A function that keeps to the budget has a name that ends in `_quick`. It changes nothing, and
raises `OverBudgetError`, where it would exceed it. The stores make `OVER_BUDGET` of that, a value that is quick to ask
for.
"""

from enum import Enum
from typing import Final


class OverBudgetError(Exception):
    """Ends a quick call that would hold the event loop for too long. Internal: users never see it."""


class Steps:
    """Counts the steps that SQLite makes for a quick call, as its progress handler asks now and then."""

    __slots__ = ("looks",)

    def __init__(self) -> None:
        self.looks: int | None = None
        """How often the handler has asked during the quick call that is being made; `None` while there is none."""

    def are_too_many(self) -> bool:
        """Whether a quick call is being made that is to end."""
        if self.looks is None:
            return False
        # SQLite counts the steps of a prepared statement over all its runs: the first look of a call tells nothing.
        self.looks += 1
        return self.looks > 1


class OverBudget(Enum):
    """Says that a call was not made, because it might hold the event loop for too long."""

    VALUE = "over budget"


OVER_BUDGET: Final = OverBudget.VALUE
