"""A cluster with a collection `people`, as many tests want it; and the same for a program of its own."""

import enum
from pathlib import Path
from typing import Any

from poof import PoofCluster, PoofCollection
from tests.support.toy_engine import ToyEngine

KEY = "-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz9-Pn0q-_8tXz8="

PROGRAM = """
import asyncio, os, random, sys
from poof import PoofCluster
from poof.errors import *

async def open_people(**options):
    cluster = await PoofCluster.create(sys.argv[1], sys.argv[2], **options)
    return cluster, await (await cluster.get_database("db")).get_collection("people")
"""
"""What a program begins with that gets the path and the key as arguments."""


class Toy(enum.Enum):
    """What stands in place of a path where a test runs on the toy engine."""

    TOY = "toy"


TOY = Toy.TOY
Where = Path | str | Toy
"""Where a cluster is: at a path, at `":memory:"`, or nowhere but in the toy engine."""


async def open_cluster(where: Where, key: str | None = None, **options: Any) -> PoofCluster:
    """Opens a cluster on the engine that a test runs on. A toy is always a new one, and takes no other option."""
    if isinstance(where, Toy):
        return PoofCluster(ToyEngine(is_read_only=options.get("read_only", False)))
    return await PoofCluster.create(where, key, **options)


async def open_people(where: Where, **options: Any) -> tuple[PoofCluster, PoofCollection]:
    cluster = await open_cluster(where, KEY, **options)
    return cluster, await collection(cluster, "people")


async def collection(cluster: PoofCluster, name: str, database: str = "db") -> PoofCollection:
    return await (await cluster.get_database(database)).get_collection(name)


async def numbers(people: PoofCollection) -> list[Any]:
    return [document.data["n"] for document in await people.find_all()]


def names(path: Path) -> list[str]:
    """What lies in the folder of a file."""
    return sorted(file.name for file in path.parent.iterdir())


async def data(people: PoofCollection) -> list[dict[str, Any]]:
    return [document.data for document in await people.find_all()]


async def values(people: PoofCollection, field: str = "n") -> list[Any]:
    return [each.get(field) for each in await data(people)]
