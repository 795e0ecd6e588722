"""The first script of PoofDB: a model goes into an encrypted file, and comes out of it again.

python simple_db.py KEY                                          (a key as new_cluster.py prints one)
"""

import asyncio
import sys

from pydantic import BaseModel

from poof import PoofCluster


class User(BaseModel):
    name: str
    age: int


async def main(key: str) -> None:
    cluster = await PoofCluster.create("cluster.poof", key=key)

    db = await cluster.get_database("my_db")
    coll = await db.get_collection("my_collection")

    user = User(name="Alice", age=25)
    doc = await coll.insert(user)
    print(f"Inserted: objId={doc.objId}, Name={user.name}, Age={user.age}")

    found_doc = await coll.find_by_id(doc.objId)
    if found_doc:
        user_data = User(**found_doc.data)
        print(f"Found: objId={found_doc.objId}, Name={user_data.name}, Age={user_data.age}")

    await cluster.save()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
