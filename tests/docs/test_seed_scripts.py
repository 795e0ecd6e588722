"""The two scripts that PoofDB was introduced with run as they are, and leave one encrypted file."""

import re

import pytest
from cryptography.fernet import Fernet

SIMPLE_DB = """
import asyncio
from pydantic import BaseModel
from poof import PoofCluster

class User(BaseModel):
    name: str
    age: int

async def main():
    # Use an existing key or generate a new one (see "Generating a New Key")
    key = "your key"
    
    # Create cluster
    cluster = await PoofCluster.create("cluster.poof", key=key)
    
    # Get database and collection
    db = await cluster.get_database("my_db")
    coll = await db.get_collection("my_collection")
    
    # Insert document
    user = User(name="Alice", age=25)
    doc = await coll.insert(user)
    print(f"Inserted: objId={doc.objId}, Name={user.name}, Age={user.age}")
    
    # Read document
    found_doc = await coll.find_by_id(doc.objId)
    if found_doc:
        user_data = User(**found_doc.data)
        print(f"Found: objId={found_doc.objId}, Name={user_data.name}, Age={user_data.name}")
    
    # Save cluster
    await cluster.save()

if __name__ == "__main__":
    asyncio.run(main())
"""  # noqa: W293 - verbatim, as is the age in its last line of output, which is a name

NEW_CLUSTER_KEY = """
import asyncio
from poof import PoofCluster

async def main():
    cluster = await PoofCluster.create("new_cluster.poof")
    key = cluster.get_encryption_key()
    print(f"New encryption key: {key}")
    await cluster.save()
    print(f"New cluster created at: new_cluster.poof")

if __name__ == "__main__":
    asyncio.run(main())
"""

READ_ALL = """
import asyncio, sys
from poof import PoofCluster

async def main():
    async with await PoofCluster.create(sys.argv[1], key=sys.argv[2]) as cluster:
        collection = await (await cluster.get_database("my_db")).get_collection("my_collection")
        print([doc.data for doc in await collection.find_all()])

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_the_quick_start_inserts_finds_and_leaves_one_file(run_python, folder, key):
    output = run_python(SIMPLE_DB.replace("your key", key), cwd=folder)
    assert re.fullmatch(
        r"Inserted: objId=([A-Za-z0-9]{12,26}), Name=Alice, Age=25\nFound: objId=\1, Name=Alice, Age=Alice\n", output
    )
    assert [file.name for file in folder.iterdir()] == ["cluster.poof"]
    assert b"Alice" not in (folder / "cluster.poof").read_bytes()


def test_the_quick_start_run_again_adds_to_the_same_file(run_python, folder, key):
    script = SIMPLE_DB.replace("your key", key)
    run_python(script, cwd=folder)
    run_python(script, cwd=folder)
    assert [file.name for file in folder.iterdir()] == ["cluster.poof"]
    assert run_python(READ_ALL, "cluster.poof", key, cwd=folder) == f"{2 * [{'name': 'Alice', 'age': 25}]}\n"


def test_the_quick_start_with_its_placeholder_is_told_what_a_key_looks_like(start_python, folder):
    process = start_python(SIMPLE_DB, cwd=folder)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "A key is 44 characters" in errors
    assert list(folder.iterdir()) == []


def test_the_key_script_prints_the_key_that_opens_the_one_file_it_leaves(run_python, folder):
    output = run_python(NEW_CLUSTER_KEY, cwd=folder)
    match = re.fullmatch(r"New encryption key: (\S{44})\nNew cluster created at: new_cluster.poof\n", output)
    assert [file.name for file in folder.iterdir()] == ["new_cluster.poof"]
    Fernet(match[1])
    assert run_python(READ_ALL, "new_cluster.poof", match[1], cwd=folder) == "[]\n"
