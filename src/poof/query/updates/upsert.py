"""The document that an upsert starts from, where the filter found none.

Pure.

Of a filter it takes what is said by equality, as MongoDB does: `{"a": 1}`, `$eq`, a single value of `$in` or `$all`,
and these inside `$and`, or inside an `$or` of one filter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from poof.errors import InvalidQueryError
from poof.object_ids import MAX_ID_LENGTH, MIN_ID_LENGTH, OBJECT_ID, is_object_id
from poof.query.collisions import find_collision
from poof.query.nodes import And, Equal, Field, In, Node, Or, Path
from poof.query.typed import written


@dataclass(frozen=True, slots=True)
class Seed:
    """The data, and the id if the filter names one. The data shares its values with the filter."""

    data: dict[str, Any]
    obj_id: str | None = None


def seed(node: Node) -> Seed:
    """What a filter says of a document that is to be inserted, before the update is applied to it.

    Raises:
        InvalidQueryError: it says two things about one field, or names an id that no document can have.
    """
    equalities = [*_equalities(node)]
    _refuse_collision(path for path, _ in equalities)
    data: dict[str, Any] = {}
    for path, value in equalities:
        if path[0] != OBJECT_ID:
            _plant(data, path, value)
    return Seed(data, seed_id(node))


def seed_id(node: Node) -> str | None:
    """The id that a filter names for a document that is to be inserted: all that a replacement takes of it.

    Raises:
        InvalidQueryError: it names two, or one that no document can have.
    """
    equalities = [(path, value) for path, value in _equalities(node) if path[0] == OBJECT_ID]
    _refuse_collision(path for path, _ in equalities)
    return _read_id(*equalities[0]) if equalities else None


def _refuse_collision(paths: Iterable[Path]) -> None:
    collision = find_collision(paths)
    if collision is not None:
        raise InvalidQueryError(f"An upsert cannot begin a document with this filter: it gives {collision}.")


def _equalities(node: Node) -> Iterator[tuple[Path, Any]]:
    match node:
        case Field(path, Equal(value)) | Field(path, In((value,), ())):
            yield path, value
        case And(nodes):
            for part in nodes:
                yield from _equalities(part)
        case Or((part,)):
            yield from _equalities(part)


def _read_id(path: Path, value: object) -> str:
    if len(path) == 1 and is_object_id(value):
        return value
    raise InvalidQueryError(
        f"An upsert cannot insert a document with the {OBJECT_ID} of this filter: an id is text of "
        f"{MIN_ID_LENGTH} to {MAX_ID_LENGTH} visible ASCII characters."
    )


def _plant(data: dict[str, Any], path: Path, value: Any) -> None:
    for step in path[:-1]:
        data = data.setdefault(step, {})
    data[path[-1]] = written(value)
