"""The quick start: a Pydantic model in an encrypted file. Run it twice, and the file remembers.

python examples/quickstart.py
"""

import asyncio
from pathlib import Path

from pydantic import BaseModel

from poof import PoofCluster

KEY_FILE = Path("quickstart.key")  # in a real program: a keyring, a vault, or a password that the user types


class User(BaseModel):
    name: str
    age: int


def load_key() -> str | None:
    return KEY_FILE.read_text() if KEY_FILE.exists() else None


def keep_key(key: str) -> None:
    KEY_FILE.touch(mode=0o600)
    KEY_FILE.write_text(key)


async def main() -> None:
    key = load_key()

    async with PoofCluster.create("quickstart.poof", key=key) as cluster:
        if key is None:
            keep_key(cluster.get_encryption_key())

        db = await cluster.get_database("my_db")
        users = await db.get_collection("users", model=User)

        doc = await users.insert(User(name="Alice", age=25))
        print(f"Inserted: objId={doc.objId}, {doc.model}")

        doc = await users.update(doc.objId, {"name": "Alice", "age": 26})
        print(f"Updated:  objId={doc.objId}, {doc.model}")

        print(f"The file holds {len(await users.find_all())} users, all of them encrypted.")
        await cluster.save()


if __name__ == "__main__":
    asyncio.run(main())
    print("On disk:", Path("quickstart.poof").read_bytes()[8192:8224].hex(" "), "...")
