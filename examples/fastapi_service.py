"""A service that keeps notes in an encrypted file: FastAPI, with the cluster open for as long as the service runs.

pip install fastapi uvicorn
python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())" > notes.key
python fastapi_service.py                                  (notes.poof, notes.key, 127.0.0.1:8000; or NOTES_PORT)
curl localhost:8000/notes -H 'content-type: application/json' -d '{"title": "Milk", "tags": ["shop"]}'
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, Field

from poof import F, Indexed, PoofCluster, PoofCollection, PoofDocument

FILE = Path(os.environ.get("NOTES_FILE", "notes.poof"))
KEY_FILE = Path(os.environ.get("NOTES_KEY_FILE", "notes.key"))  # not in the folder that is backed up


class NewNote(BaseModel, extra="forbid"):
    title: Annotated[str, Field(min_length=1, max_length=200)]
    text: str = ""
    tags: list[str] = []


class Note(NewNote):
    tags: Annotated[list[str], Indexed()] = []
    written: Annotated[datetime, Indexed(descending=True)]


class StoredNote(Note):
    id: str


def load_key() -> str:
    return KEY_FILE.read_text().strip()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the cluster on the event loop that serves the requests, and closes it after the last of them."""
    async with PoofCluster.create(FILE, load_key()) as cluster:
        database = await cluster.get_database("service")
        app.state.notes = await database.get_collection("notes", model=Note)
        yield


def get_notes(request: Request) -> PoofCollection[Note]:
    notes: PoofCollection[Note] = request.app.state.notes
    return notes


Notes = Annotated[PoofCollection[Note], Depends(get_notes)]
app = FastAPI(title="Notes", lifespan=lifespan)


def show(doc: PoofDocument[Note]) -> StoredNote:
    return StoredNote(id=doc.objId, **doc.model.model_dump())


@app.post("/notes", status_code=201)
async def write(note: NewNote, notes: Notes) -> StoredNote:
    return show(await notes.insert(Note(**note.model_dump(), written=datetime.now(UTC))))


@app.get("/notes")
async def find(
    notes: Notes, tag: str | None = None, skip: int = Query(0, ge=0), limit: int = Query(20, ge=1, le=100)
) -> list[StoredNote]:
    found = notes.find({} if tag is None else F.tags == tag).sort("written", -1).skip(skip).limit(limit)
    return [show(doc) for doc in await found.to_list()]


@app.get("/notes/{note_id}")
async def read(note_id: str, notes: Notes) -> StoredNote:
    doc = await notes.find_by_id(note_id)
    if doc is None:
        raise HTTPException(404, "There is no such note.")
    return show(doc)


@app.post("/notes/{note_id}/tags/{tag}")
async def add_tag(note_id: str, tag: str, notes: Notes) -> StoredNote:
    """Two requests at once lose no tag: the file adds it, not the program."""
    doc = await notes.find_one_and_update({"_objId": note_id}, {"$addToSet": {"tags": tag}}, return_document="after")
    if doc is None:
        raise HTTPException(404, "There is no such note.")
    return show(doc)


@app.delete("/notes/{note_id}", status_code=204)
async def delete(note_id: str, notes: Notes) -> None:
    if not await notes.delete(note_id):
        raise HTTPException(404, "There is no such note.")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("NOTES_PORT", "8000")))
