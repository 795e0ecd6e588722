"""The documents that all peers store: some 250 bytes of JSON, the same ones for each peer."""

import random
from typing import Any

STREETS = 5_000
"""How many different values the field has that filters ask for, and an index lists."""
TAGS = 3 * STREETS
"""Of which a document has three: as many documents have a tag as live in a street."""

Document = dict[str, Any]


def make_document(number: int, chance: random.Random) -> Document:
    return {
        "number": number,
        "name": f"User {number}",
        "email": f"user{number}@example.com",
        "address": {"street": f"Street {chance.randrange(STREETS)}", "zip": number % 1000},
        "tags": [f"tag{chance.randrange(TAGS)}" for _ in range(3)],
        "active": number % 2 == 0,
        "text": chance.randbytes(30).hex(),
    }


def make_documents(first: int, count: int) -> list[Document]:
    """So many documents, numbered from the first."""
    chance = random.Random(first)
    return [make_document(number, chance) for number in range(first, first + count)]
