"""Opens a cluster file that somebody hostile made, under limits of the system on time and memory.

Prints what came of it: the class of the error, or "opened". Arguments: the path, a key or "", a password or "".
"""

import asyncio
import resource
import sys

from poof import PoofCluster, PoofError

SECONDS = 20
"""Of the processor."""
MEMORY = 2**30
"""Of the address space, beyond what the program has at its beginning."""


async def look(path: str, key: str, password: str) -> str:
    """Reads everything there is."""
    try:
        async with await PoofCluster.create(path, key or None, password=password or None) as cluster:
            for database in await cluster.list_database_names():
                names = await (await cluster.get_database(database)).list_collection_names()
                for name in names:
                    await (await (await cluster.get_database(database)).get_collection(name)).find_all()
            return "opened"
    except PoofError as error:
        return type(error).__name__


def main() -> None:
    """The program."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - not a file of ours
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    for line in sys.stdin:
        print(asyncio.run(look(line.rstrip("\n"), *sys.argv[1:])), flush=True)
