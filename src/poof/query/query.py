"""A query: which documents, in which order, and how many of them. Pure values."""

from dataclasses import dataclass

from poof.query.fields import FieldOrder
from poof.query.nodes import EVERYTHING, Node


@dataclass(frozen=True, slots=True)
class Query:
    """Which documents, in which order, and how many of them."""

    node: Node = EVERYTHING
    sort: tuple[FieldOrder, ...] = ()
    skip: int = 0
    limit: int | None = None
