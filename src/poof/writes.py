"""What an update, a replacement or an upsert makes of a document, for the engine to carry out.

Pure, apart from the clock. Here the language of updates meets the models: what is stored always fits the model of its
collection.
"""

import datetime
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from poof.document import encode_document
from poof.engines.contract import Change, Data, Merge
from poof.errors import InvalidQueryError
from poof.given import check_id, encode_given
from poof.located import OURS, located
from poof.models.binding import Binding
from poof.query.filters.parse import parse_filter
from poof.query.nodes import Node
from poof.query.updates.update import Update, same
from poof.query.updates.upsert import seed, seed_id
from poof.raising import brief, raise_alone

T = TypeVar("T")
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

    def replace(obj_id: str, data: Data) -> str | None:
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

    return Change(_naming_document(replace), insert if upsert else None)


def replace_change(data: object, node: Node, binding: Bound, *, upsert: bool) -> Change:
    """The change that a whole new document makes, to the one that a filter finds.

    An instance of the model leaves what the model does not know as it was. A dict replaces everything.

    Raises:
        InvalidDocumentError: it is no document but an update, or names the id of another document.
    """
    encoded, text, given = encode_given(data, binding)

    def insert() -> tuple[str | None, str]:
        named = seed_id(node)
        check_id(named or given, given)
        return named or given, text

    merge = _merging(encoded, text, data, binding)

    def replace(obj_id: str, old: Data) -> str | None:
        check_id(obj_id, given)
        new, new_text = (encoded, text) if merge is None else merge(obj_id, old)
        return None if same(new, old) else new_text

    return Change(_naming_document(replace), insert if upsert else None)


def merging(encoded: Data, text: str, data: object, binding: Bound) -> Merge | None:
    """What becomes of a document that an instance of the model replaces, which is encoded already: what the model does
    not know stays. `None` where all of the document is replaced.
    """
    merge = _merging(encoded, text, data, binding)
    return None if merge is None else _naming_document(merge)


def _merging(encoded: Data, text: str, data: object, binding: Bound) -> Merge | None:
    if binding is None or not isinstance(data, binding.model):
        return None

    def merge(obj_id: str, old: Data) -> tuple[Data, str]:
        return binding.encode_replacement(encoded, text, old, obj_id)

    return merge


def _naming_document(function: Callable[[str, Data], T]) -> Callable[[str, Data], T]:
    """The function, whose errors say which document they are about."""

    def call(obj_id: str, data: Data) -> T:
        try:
            return function(obj_id, data)
        except OURS as error:
            raise_alone(located(error, f"Document {obj_id}"))

    return call
