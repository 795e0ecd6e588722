"""Models and documents that drift apart: which documents do not fit any more, and how all of them are brought up."""

import inspect
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from poof.document import encode_document
from poof.engines.contract import Documents, Engine
from poof.errors import NoModelError
from poof.given import check_id, encode_given
from poof.located import LOCATED, located
from poof.models.binding import Binding
from poof.progress import Progress
from poof.query.query import Query
from poof.query.updates.update import same
from poof.raising import raise_alone
from poof.results import Misfit, UpdateResult

MIGRATED_DOCUMENTS = 100
"""How many documents `migrate` holds at a time."""


async def find_misfits(documents: Documents, binding: Binding[Any] | None) -> list[Misfit]:
    """Returns the documents that do not fit a model."""
    if binding is None:
        raise NoModelError("The collection is bound to no model; use get_collection(name, model=YourModel).")
    misfits = []
    async for chunk in documents.stream(Query()):
        for row in chunk:
            try:
                binding.parse(row.obj_id, row.data)
            except ValidationError as error:
                misfits.append(Misfit(row.obj_id, error))
    return misfits


async def migrate(
    engine: Engine,
    documents: Documents,
    function: Callable[[dict[str, Any]], Any],
    binding: Binding[Any] | None,
    progress: Progress | None,
) -> UpdateResult:
    """Gives every document the data that a function makes of its own, in one transaction."""
    done = modified = 0
    async with engine.transaction():
        total = await documents.count(Query())
        rows, end = await documents.next_rows(None, MIGRATED_DOCUMENTS)
        while rows:
            changed = []
            for row in rows:
                before = encode_document(row.data)[0]
                made = function(row.data)
                if inspect.isawaitable(made):
                    made = await made
                try:
                    encoded, text = _encode_migrated(made, row.obj_id, before, binding)
                except LOCATED as error:
                    raise_alone(located(error, f"Document {row.obj_id}"))
                if not same(encoded, before):
                    changed.append((row.obj_id, text))
            await documents.replace_rows(changed)
            done += len(rows)
            modified += len(changed)
            if progress is not None:
                progress(done, total, "documents")
            rows, end = await documents.next_rows(end, MIGRATED_DOCUMENTS)
    return UpdateResult(done, modified)


def _encode_migrated(
    made: Any, obj_id: str, before: dict[str, Any], binding: Binding[Any] | None
) -> tuple[dict[str, Any], str]:
    """What is stored of what a migration made: a dict as it is, an instance with what its model does not know."""
    if binding is None or isinstance(made, binding.model):
        encoded, text, given = encode_given(made, binding, obj_id, kept=before.keys())
    else:
        encoded, text, given = encode_given(made, kept=before.keys())
        binding.parse(obj_id, encoded)
    check_id(obj_id, given)
    if binding is not None and isinstance(made, binding.model):
        return binding.encode_replacement(encoded, text, before, obj_id)
    return encoded, text
