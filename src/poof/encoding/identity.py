"""The field of a model that holds the id of its document.

Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from poof.errors import InvalidDocumentError
from poof.object_ids import OBJECT_ID


@dataclass(frozen=True)
class DocumentId:
    """Marks the field of a model that holds the id of its document. It is filled on reading, and not stored.

    >>> class User(BaseModel):
    ...     id: Annotated[str | None, DocumentId()] = None
    ...     name: str

    In a model inside another one the field is an ordinary one.
    """


@lru_cache(maxsize=1024)
def id_field(model: type[BaseModel]) -> str | None:
    """The name of the field that is marked with `DocumentId`, or has the alias `_objId`.

    Raises:
        InvalidDocumentError: there are two.
    """
    marked = [
        name
        for name, info in model.model_fields.items()
        if any(map(_is_marker, (*info.metadata, *_metadata(info.annotation))))
        or OBJECT_ID in (info.alias, info.serialization_alias)
    ]
    if len(marked) > 1:
        raise InvalidDocumentError(
            f"{model.__name__} marks {' and '.join(marked)} with DocumentId; a document has one id."
        )
    return marked[0] if marked else None


def _metadata(annotation: Any) -> Iterator[Any]:
    """What is annotated on the parts of a union, as of `Annotated[str, DocumentId()] | None`."""
    if get_origin(annotation) in (Union, UnionType):
        for choice in get_args(annotation):
            yield from getattr(choice, "__metadata__", ())


def _is_marker(item: object) -> bool:
    return isinstance(item, DocumentId) or item is DocumentId
