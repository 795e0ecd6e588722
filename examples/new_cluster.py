"""The second script of PoofDB: a new file with a new key.

python new_cluster.py
"""

import asyncio

from poof import PoofCluster


async def main() -> None:
    cluster = await PoofCluster.create("new_cluster.poof")
    key = cluster.get_encryption_key()
    print(f"New encryption key: {key}")
    await cluster.save()
    print("New cluster created at: new_cluster.poof")


if __name__ == "__main__":
    asyncio.run(main())
