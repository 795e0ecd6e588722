"""Databases: named groups of collections.

Layer: database.
"""

from typing import overload

from pydantic import BaseModel

from poof.collection import PoofCollection
from poof.document import ModelT
from poof.errors import InvalidNameError
from poof.storage.engine import Engine
from poof.storage.schema import MAX_NAME_LENGTH


class PoofDatabase:
    """A database of a cluster, got from `PoofCluster.get_database`. It has at most 50 collections."""

    def __init__(self, engine: Engine, database_id: int, name: str) -> None:
        self._engine = engine
        self._id = database_id
        self._name = name

    @property
    def name(self) -> str:
        """The name of the database."""
        return self._name

    @overload
    async def get_collection(self, name: str) -> PoofCollection: ...
    @overload
    async def get_collection(self, name: str, model: type[ModelT]) -> PoofCollection[ModelT]: ...
    async def get_collection(
        self, name: str, model: type[ModelT] | None = None
    ) -> PoofCollection[ModelT] | PoofCollection:
        """The collection of a name, which is created where there is none.

        With a model, everything that is written must fit it, and `doc.model` gives its instances:

        >>> class User(BaseModel):
        ...     name: str
        >>> async def example(database: PoofDatabase) -> None:
        ...     users = await database.get_collection("users", model=User)
        ...     doc = await users.insert({"name": "Alice"})
        ...     assert doc.model.name == "Alice"

        Raises:
            InvalidNameError: the name is empty, longer than 255 characters, or not text.
            LimitError: the database has 50 collections.
        """
        check_name(name, "collection")
        if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError("model must be a Pydantic model class")
        return PoofCollection(self._engine, await self._engine.collection(self._id, name), name, model)

    def __repr__(self) -> str:
        return f"<PoofDatabase {self._name!r} of {self._engine.path!r}>"


def check_name(name: str, what: str) -> None:
    """Raises `InvalidNameError` for what cannot name a database or a collection."""
    if not isinstance(name, str):
        raise InvalidNameError(f"The name of a {what} is text (str), not {type(name).__name__}.")
    if not name:
        raise InvalidNameError(f"The name of a {what} cannot be empty.")
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidNameError(
            f"The name of a {what} has at most {MAX_NAME_LENGTH} characters; this one has {len(name)}."
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InvalidNameError(f"The name of a {what} holds characters that are not valid Unicode text.") from None
