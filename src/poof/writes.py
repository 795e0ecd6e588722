"""What an update, a replacement or an upsert makes of a document, for the engine to carry out.

Layer: writes; pure but for the clock. Here the language of updates meets the models: what is stored always fits the
model of its collection.
"""

import datetime
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from poof.document import encode_document, parse_model
from poof.errors import InvalidQueryError
from poof.query.nodes import Node
from poof.query.parse import parse_filter
from poof.query.update import Update, same
from poof.query.upsert import seed, seed_id
from poof.raising import brief
from poof.storage.changes import Change

Model = type[BaseModel] | None
DELETE = Change(replace=None)


@brief(InvalidQueryError)
def parse_write_filter(filter: Mapping[str, Any]) -> Node:  # noqa: A002 - MongoDB's name for it
    """The meaning of a filter of what is to be changed.

    Raises:
        InvalidQueryError: it is no filter. None is none here: one that was forgotten must not mean every document.
    """
    if filter is None:
        raise InvalidQueryError("The filter of what is to be changed is None; write {} for every document.")
    return parse_filter(filter)


def update_change(update: Update, node: Node, model: Model, *, upsert: bool) -> Change:
    """The change that an update makes, to the documents that a filter finds."""
    now = datetime.datetime.now(datetime.UTC)

    def replace(obj_id: str, data: dict[str, Any]) -> str | None:
        updated = update.apply(data, now=now, node=node, obj_id=obj_id)
        if same(updated, data):
            return None
        encoded, text = _encode(updated, model, f"document {obj_id}")
        return None if same(encoded, data) else text

    def insert() -> tuple[str | None, str]:
        start = seed(node)
        return start.obj_id, _encode(update.apply(start.data, now=now, inserting=True), model, "the new document")[1]

    return Change(replace, insert if upsert else None)


def replace_change(replacement: BaseModel | Mapping[str, Any], node: Node, model: Model, *, upsert: bool) -> Change:
    """The change that a whole new document makes, to the one that a filter finds.

    Raises:
        InvalidQueryError: it is no document but an update, which begins with an operator.
    """
    encoded, text = encode_document(replacement, model)
    first = next(iter(encoded), "")
    if first.startswith("$"):
        raise InvalidQueryError(
            f"A replacement is a whole document; {first} is an operator, of which updates are made."
        )

    def replace(_obj_id: str, data: dict[str, Any]) -> str | None:
        return None if same(encoded, data) else text

    def insert() -> tuple[str | None, str]:
        return seed_id(node), text

    return Change(replace, insert if upsert else None)


def _encode(data: dict[str, Any], model: Model, name: str) -> tuple[dict[str, Any], str]:
    """Data that is JSON already, as the model has it, and its JSON text. `name`: what an error calls the document."""
    if model is None:
        return encode_document(data)
    return encode_document(parse_model(model, data, f"{model.__name__}, {name}"), model)
