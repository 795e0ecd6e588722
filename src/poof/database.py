"""Databases: named groups of collections."""

from typing import Literal, overload

from pydantic import BaseModel

from poof.collection import PoofCollection
from poof.engines.contract import Documents, Engine
from poof.indexed import declared_indexes
from poof.models.reading import ModelT
from poof.names import check_name
from poof.uncopyable import Uncopyable


class PoofDatabase(Uncopyable):
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
    async def get_collection(
        self, name: str, model: type[ModelT], *, fields: Literal["known", "any"] = "known"
    ) -> PoofCollection[ModelT]: ...
    async def get_collection(
        self, name: str, model: type[ModelT] | None = None, *, fields: Literal["known", "any"] = "known"
    ) -> PoofCollection[ModelT] | PoofCollection:
        """Returns the collection with this name, and creates it if there is none.

        With a model, everything that is written must fit it, and `doc.model` is an instance of it:

        >>> class User(BaseModel):
        ...     name: str
        >>> async def example(database: PoofDatabase) -> None:
        ...     users = await database.get_collection("users", model=User)
        ...     doc = await users.insert({"name": "Alice"})
        ...     assert doc.model.name == "Alice"

        Creates the indexes that the model declares with `Indexed`, unless they exist. Refuses a filter, sort, update,
        projection or new index that names a field which the model does not store.

        Args:
            name: the name of the collection.
            model: a Pydantic model class.
            fields: the fields that queries may name: `"known"` those of the model, `"any"` all.

        Raises:
            InvalidNameError: the name is empty, longer than 255 characters, or not text.
            LimitError: the database has 50 collections.
        """
        check_name(name, "collection")
        if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError("model must be a Pydantic model class")
        if fields not in ("known", "any"):
            raise ValueError('fields is "known" or "any"')
        documents = self._engine.documents(await self._engine.collection(self._id, name))
        if model is not None and not self._engine.is_read_only:
            await _create_declared(documents, model)
        return PoofCollection(self._engine, documents, name, model, takes_any_field=fields == "any")

    async def list_collection_names(self) -> list[str]:
        """Returns the names of all collections, sorted."""
        return await self._engine.list_collections(self._id)

    async def drop_collection(self, name: str) -> bool:
        """Deletes a collection with its documents and indexes. Returns whether there was one."""
        return await self._engine.drop_collection(self._id, name)

    async def rename_collection(self, name: str, new_name: str) -> None:
        """Gives a collection another name.

        Raises:
            InvalidNameError: the new name is not valid, or another collection has it.
            GoneError: there is no collection with the old name.
        """
        check_name(new_name, "collection")
        await self._engine.rename_collection(self._id, name, new_name)

    def __repr__(self) -> str:
        return f"<PoofDatabase {self._name!r} of {self._engine.path!r}>"


async def _create_declared(documents: Documents, model: type[BaseModel]) -> None:
    declared = declared_indexes(model)
    if declared:
        there = [index.definition for index in await documents.list_indexes()]  # under whatever name
        for name, definition in declared:
            if definition not in there:
                await documents.create_index(name, definition, None)
