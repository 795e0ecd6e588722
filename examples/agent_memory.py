"""The private memory of a local agent: remember, recall, forget. No network, no model, one encrypted file.

python agent_memory.py remember "Ann is allergic to nuts" --tag people --tag food
python agent_memory.py remember "The guests come at seven" --tag today --hours 12
python agent_memory.py recall "what is ann allergic to" --tag people --days 30
python agent_memory.py forget ID

The key lies in agent.key, which only you can read. An agent that runs for long uses the class `Memory` as it is.
"""

import argparse
import asyncio
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel

from poof import F, Indexed, PoofCluster, PoofCollection, PoofDocument

FILE = Path("agent.poof")
KEY_FILE = Path("agent.key")
CANDIDATES = 1_000
"""How many memories are compared at most: the newest of those that have one of the words."""


class Fact(BaseModel):
    text: str
    words: Annotated[list[str], Indexed()]
    tags: Annotated[list[str], Indexed()] = []
    at: Annotated[datetime, Indexed(descending=True)]
    forget_at: Annotated[datetime | None, Indexed(expire_after=timedelta())] = None


class Memory:
    """What an agent knows. Everything is awaited, so that it thinks on while it remembers."""

    def __init__(self, facts: PoofCollection[Fact]) -> None:
        self._facts = facts

    @classmethod
    async def of(cls, cluster: PoofCluster) -> Self:
        database = await cluster.get_database("agent")
        return cls(await database.get_collection("facts", model=Fact))

    async def remember(self, text: str, *, tags: Collection[str] = (), keep: timedelta | None = None) -> str:
        """Stores a fact and returns its id. After `keep` it is forgotten by itself."""
        now = datetime.now(UTC)
        forget_at = None if keep is None else now + keep
        fact = Fact(text=text, words=sorted(words_of(text)), tags=sorted(set(tags)), at=now, forget_at=forget_at)
        return (await self._facts.insert(fact)).objId

    async def recall(
        self,
        query: str = "",
        *,
        tags: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 5,
    ) -> list[PoofDocument[Fact]]:
        """The facts that share words with the query, a rare word counting for more; the newest first among equals.

        Without a query, the newest of all. They have all of the tags, and are from between `since` and `until`.
        """
        asked = words_of(query)
        condition = (F.forget_at == None) | (F.forget_at > datetime.now(UTC))  # noqa: E711 - a condition, not a test
        if asked:
            condition &= F.words.in_(sorted(asked))
        if tags:
            condition &= F.tags.all_(sorted(tags))
        if since is not None:
            condition &= F.at >= since
        if until is not None:
            condition &= F.at < until
        newest = await self._facts.find(condition).sort("at", -1).limit(CANDIDATES if asked else limit).to_list()
        weights = {word: 1 / max(1, await self._facts.count_documents(F.words == word)) for word in asked}
        newest.sort(key=lambda doc: -sum(weights.get(word, 0) for word in doc.model.words))  # stable: newest first
        return newest[:limit]

    async def forget(self, obj_id: str) -> bool:
        """Forgets a fact at once. Returns whether it was known."""
        return await self._facts.delete(obj_id)


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def load_key() -> str | None:
    return KEY_FILE.read_text() if KEY_FILE.exists() else None


def keep_key(key: str) -> None:
    KEY_FILE.touch(mode=0o600)
    KEY_FILE.write_text(key)


@asynccontextmanager
async def open_memory() -> AsyncIterator[Memory]:
    key = load_key()
    async with PoofCluster.create(FILE, key) as cluster:
        if key is None:
            keep_key(cluster.get_encryption_key())
        yield await Memory.of(cluster)


async def main() -> None:
    parser = argparse.ArgumentParser(description="The private memory of an agent.")
    commands = parser.add_subparsers(dest="command", required=True)
    remember = commands.add_parser("remember", help="store a fact")
    remember.add_argument("text")
    remember.add_argument("--tag", action="append", default=[])
    remember.add_argument("--hours", type=float, help="forget it after so many hours")
    recall = commands.add_parser("recall", help="find facts")
    recall.add_argument("query", nargs="?", default="")
    recall.add_argument("--tag", action="append", default=[])
    recall.add_argument("--days", type=float, help="only from so many days")
    forget = commands.add_parser("forget", help="delete a fact")
    forget.add_argument("id")
    arguments = parser.parse_args()

    async with open_memory() as memory:
        if arguments.command == "remember":
            keep = None if arguments.hours is None else timedelta(hours=arguments.hours)
            print(await memory.remember(arguments.text, tags=arguments.tag, keep=keep))
        elif arguments.command == "recall":
            since = None if arguments.days is None else datetime.now(UTC) - timedelta(days=arguments.days)
            for doc in await memory.recall(arguments.query, tags=arguments.tag, since=since):
                print(f"{doc.objId}  {doc.model.at:%Y-%m-%d %H:%M}  {doc.model.text}")
        else:
            print("Forgotten." if await memory.forget(arguments.id) else "There is no such memory.")


if __name__ == "__main__":
    asyncio.run(main())
