"""The process of one peer at one size. `run.py` tells it what to do, a line for each work; it answers with numbers.

    python benchmarks/worker.py PEER SIZE FOLDER KEY

It imports the adapter of its peer only, so that it also runs in an environment that has nothing else.
"""

import asyncio
import gc
import json
import sys
from pathlib import Path

from peers import ADAPTERS
from works import INDEX, WORKS, Bench


async def serve(name: str, size: int, folder: Path, key: bytes) -> None:
    kind = next(adapter for adapter in ADAPTERS if adapter.name == name).load()
    works = {work.name: work for work in (*WORKS, INDEX)}
    bench = Bench(kind, folder, key, size, await kind.open(folder, key))
    try:
        # The loop goes on meanwhile, as in any program that waits for its next request.
        while line := await asyncio.to_thread(sys.stdin.readline):
            value = await works[json.loads(line)].run(bench)
            gc.collect()
            print(json.dumps(value), flush=True)
    finally:
        await bench.peer.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), bytes.fromhex(sys.argv[4])))
