"""What an update, a replacement or an upsert makes of a document, for the engine to carry out.

Layer: writes; pure but for the clock. Here the language of updates meets the models: what is stored always fits the
model of its collection.
"""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from poof.document import encode_document
from poof.engines.contract import Change
from poof.errors import InvalidQueryError
from poof.given import check_id, encode_given
from poof.models.binding import Binding
from poof.query.filters.parse import parse_filter
from poof.query.nodes import Node
from poof.query.updates.update import Update, same
from poof.query.updates.upsert import seed, seed_id
from poof.raising import brief

Bound = Binding[Any] | None
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


def update_change(update: Update, node: Node, binding: Bound, *, upsert: bool) -> Change:
    """The change that an update makes, to the documents that a filter finds."""
    now = datetime.datetime.now(datetime.UTC)

    def replace(obj_id: str, data: dict[str, Any]) -> str | None:
        draft = update.draft(data, now=now, node=node, obj_id=obj_id)
        if same(draft.document, data):
            return None
        if binding is None:
            encoded, text = encode_document(draft.document)
        else:
            name = f"document {obj_id}"
            encoded, text = binding.encode_update(data, draft.document, draft.written, obj_id, name)
        return None if same(encoded, data) else text

    def insert() -> tuple[str | None, str]:
        start = seed(node)
        data = update.apply(start.data, now=now, inserting=True)
        if binding is None:
            return start.obj_id, encode_document(data)[1]
        return start.obj_id, binding.encode_parsed(encode_document(data)[0], start.obj_id, "the new document")[1]

    return Change(replace, insert if upsert else None)


def replace_change(data: object, node: Node, binding: Bound, *, upsert: bool) -> Change:
    """The change that a whole new document makes, to the one that a filter finds.

    An instance of the model leaves what the model does not know as it was. A dict replaces everything.

    Raises:
        InvalidDocumentError: it is no document but an update, or names the id of another document.
    """
    encoded, text, given = encode_given(data, binding)
    is_instance = binding is not None and isinstance(data, binding.model)
    becomes = replacement(encoded, text, binding if is_instance else None)

    def replace(obj_id: str, data: dict[str, Any]) -> str | None:
        check_id(obj_id, given)
        return becomes(obj_id, data)

    def insert() -> tuple[str | None, str]:
        named = seed_id(node)
        check_id(named or given, given)
        return named or given, text

    return Change(replace, insert if upsert else None)


def replacement(encoded: dict[str, Any], text: str, instance_of: Bound) -> Callable[[str, dict[str, Any]], str | None]:
    """What becomes of a document that is replaced: by all of a dict, or by what an instance of a model knows."""

    def replace(obj_id: str, data: dict[str, Any]) -> str | None:
        if instance_of is None:
            return None if same(encoded, data) else text
        kept, kept_text = instance_of.encode_replacement(encoded, text, data, obj_id)
        return None if same(kept, data) else kept_text

    return replace
