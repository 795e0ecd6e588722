"""A program of a user, for type checkers: `mypy --strict` and pyright find the types that it asserts."""

import asyncio
from contextlib import AsyncExitStack
from typing import assert_type

from pydantic import BaseModel

from poof import PoofCluster, PoofDocument, __version__


class User(BaseModel):
    name: str


class Mine(PoofCluster):
    """A subclass, as a program may have."""


async def forms() -> None:
    async with PoofCluster.create("cluster.poof") as cluster:
        assert_type(cluster, PoofCluster)
    async with await PoofCluster.create("cluster.poof") as cluster:
        assert_type(cluster, PoofCluster)
    async with Mine.open("cluster.poof", password="four random words here", read_only=True) as mine:
        assert_type(mine, Mine)
    assert_type(await Mine.create(), Mine)
    assert_type(await asyncio.create_task(Mine.open()), Mine)
    assert_type(await asyncio.wait_for(Mine.open(), 1), Mine)
    one, other = await asyncio.gather(Mine.open(), PoofCluster.open())
    assert_type(one, Mine)
    assert_type(other, PoofCluster)
    async with AsyncExitStack() as stack:
        assert_type(await stack.enter_async_context(Mine.create()), Mine)


async def queries(cluster: PoofCluster) -> None:
    users = await (await cluster.get_database("db")).get_collection("users", model=User)
    assert_type(await users.find({"name": "Ann"}, sort="name", skip=1, limit=2).to_list(), list[PoofDocument[User]])
    assert_type(await users.find(sort={"name": -1}).to_list(length=3), list[PoofDocument[User]])
    found = await users.find_one(sort=[("name", 1)], skip=1)
    assert_type(found, PoofDocument[User] | None)


def run() -> None:
    assert_type(asyncio.run(Mine.create()), Mine)
    assert_type(asyncio.run(PoofCluster.open("cluster.poof")), PoofCluster)
    assert_type(__version__, str)
