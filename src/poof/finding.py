"""Finding documents: all of a query, the first, or the first while it is changed.

A projection says what is given of each document, and a model as a projection also says of which class `doc.model` is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, overload

from pydantic import BaseModel

from poof.cursor import PoofCursor, read_count
from poof.document import PoofDocument, make_document
from poof.engines.contract import Change, Documents
from poof.errors import InvalidQueryError
from poof.models.binding import Binding
from poof.models.reading import ModelT
from poof.query.fields import FieldsSpec, parse_fields
from poof.query.filters.parse import parse_filter
from poof.query.known import KnownFields
from poof.query.model_projection import project_model
from poof.query.nodes import Node
from poof.query.projection import Projection, ProjectionSpec, parse_projection
from poof.query.query import Query
from poof.query.updates.update import parse_update
from poof.results import ReturnDocument
from poof.writes import DELETE, parse_write_filter, replace_change, update_change

Data = BaseModel | Mapping[str, Any]
Filter = Mapping[str, Any] | None
ShownT = TypeVar("ShownT", bound=BaseModel)
Returned = ReturnDocument | Literal["before", "after"]


class Finding(Generic[ModelT]):
    """What a collection does to find documents."""

    _documents: Documents
    _binding: Binding[ModelT] | None
    _name: str

    @property
    def _known(self) -> KnownFields | None:
        raise NotImplementedError

    @overload
    def find(
        self,
        filter: Filter = None,
        projection: ProjectionSpec | None = None,
        *,
        sort: FieldsSpec | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> PoofCursor[ModelT]: ...

    @overload
    def find(
        self,
        filter: Filter,
        projection: type[ShownT],
        *,
        sort: FieldsSpec | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> PoofCursor[ShownT]: ...

    @overload
    def find(
        self,
        filter: Filter = None,
        *,
        projection: type[ShownT],
        sort: FieldsSpec | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> PoofCursor[ShownT]: ...

    def find(
        self,
        filter: Filter = None,  # noqa: A002 - PyMongo's name
        projection: ProjectionSpec | type[BaseModel] | None = None,
        *,
        sort: FieldsSpec | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> PoofCursor[Any]:
        """Returns a cursor over the documents that match a filter, as they are when the first one is read.

        >>> async def example(people: PoofCollection) -> None:
        ...     adults = await people.find({"age": {"$gte": 18}}).sort("name").to_list()
        ...     oldest = await people.find(projection=["name"], sort={"age": -1}, limit=3).to_list()

        The cursor reads in chunks, so a result of any size takes little memory.

        Args:
            filter: which documents; all by default.
            projection: the fields to return, or those to leave out. A Pydantic model stands for its fields, and
                `doc.model` is an instance of it.
            sort: the order, as the cursor's method of this name takes it.
            skip: how many documents to leave out first.
            limit: how many documents at most; 0 means all.
        """
        order = () if sort is None else parse_fields(sort, what="sort", known=self._known)
        query = Query(
            parse_filter(filter, self._known), order, read_count(skip, "skip"), read_count(limit, "limit") or None
        )
        shown, binding = self._shown(projection)
        return PoofCursor(self._documents, query, shown, binding, self._known)

    @overload
    async def find_one(
        self,
        filter: Filter = None,
        projection: ProjectionSpec | None = None,
        *,
        sort: FieldsSpec | None = None,
        skip: int = 0,
    ) -> PoofDocument[ModelT] | None: ...

    @overload
    async def find_one(
        self, filter: Filter, projection: type[ShownT], *, sort: FieldsSpec | None = None, skip: int = 0
    ) -> PoofDocument[ShownT] | None: ...

    @overload
    async def find_one(
        self, filter: Filter = None, *, projection: type[ShownT], sort: FieldsSpec | None = None, skip: int = 0
    ) -> PoofDocument[ShownT] | None: ...

    async def find_one(
        self,
        filter: Filter = None,  # noqa: A002 - PyMongo's name
        projection: ProjectionSpec | type[BaseModel] | None = None,
        *,
        sort: FieldsSpec | None = None,
        skip: int = 0,
    ) -> PoofDocument[Any] | None:
        """Returns the first document that matches a filter, or `None`, after `skip` others.

        For the projection see `find`.
        """
        order = () if sort is None else parse_fields(sort, what="sort", known=self._known)
        shown, binding = self._shown(projection)
        query = Query(parse_filter(filter, self._known), order, read_count(skip, "skip"), 1)
        return await PoofCursor(self._documents, query, shown, binding, self._known).first()

    @overload
    async def find_one_and_update(
        self,
        filter: Mapping[str, Any],
        update: Mapping[str, Any],
        projection: ProjectionSpec | None = None,
        *,
        sort: FieldsSpec | None = None,
        upsert: bool = False,
        return_document: Returned = "before",
        array_filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> PoofDocument[ModelT] | None: ...

    @overload
    async def find_one_and_update(
        self,
        filter: Mapping[str, Any],
        update: Mapping[str, Any],
        projection: type[ShownT],
        *,
        sort: FieldsSpec | None = None,
        upsert: bool = False,
        return_document: Returned = "before",
        array_filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> PoofDocument[ShownT] | None: ...

    async def find_one_and_update(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        update: Mapping[str, Any],
        projection: ProjectionSpec | type[BaseModel] | None = None,
        *,
        sort: FieldsSpec | None = None,
        upsert: bool = False,
        return_document: Returned = "before",
        array_filters: Sequence[Mapping[str, Any]] | None = None,
    ) -> PoofDocument[Any] | None:
        """Updates the first document that matches a filter, and returns it as it was before, or as it is after.

        Raises:
            UpdateError: the update cannot be applied to the document.
        """
        node = parse_write_filter(filter, self._known)
        change = update_change(parse_update(update, array_filters, self._known), node, self._binding, upsert=upsert)
        return await self._find_one_and_change(node, change, projection, sort, return_document)

    @overload
    async def find_one_and_replace(
        self,
        filter: Mapping[str, Any],
        replacement: ModelT | Data,
        projection: ProjectionSpec | None = None,
        *,
        sort: FieldsSpec | None = None,
        upsert: bool = False,
        return_document: Returned = "before",
    ) -> PoofDocument[ModelT] | None: ...

    @overload
    async def find_one_and_replace(
        self,
        filter: Mapping[str, Any],
        replacement: ModelT | Data,
        projection: type[ShownT],
        *,
        sort: FieldsSpec | None = None,
        upsert: bool = False,
        return_document: Returned = "before",
    ) -> PoofDocument[ShownT] | None: ...

    async def find_one_and_replace(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        replacement: ModelT | Data,
        projection: ProjectionSpec | type[BaseModel] | None = None,
        *,
        sort: FieldsSpec | None = None,
        upsert: bool = False,
        return_document: Returned = "before",
    ) -> PoofDocument[Any] | None:
        """Replaces the first document that matches a filter, and returns it as it was before, or as it is after.

        An instance of the collection's model keeps the stored fields that the model does not know: see `update`.
        """
        node = parse_write_filter(filter, self._known)
        change = replace_change(replacement, node, self._binding, upsert=upsert)
        return await self._find_one_and_change(node, change, projection, sort, return_document)

    @overload
    async def find_one_and_delete(
        self,
        filter: Mapping[str, Any],
        projection: ProjectionSpec | None = None,
        *,
        sort: FieldsSpec | None = None,
    ) -> PoofDocument[ModelT] | None: ...

    @overload
    async def find_one_and_delete(
        self, filter: Mapping[str, Any], projection: type[ShownT], *, sort: FieldsSpec | None = None
    ) -> PoofDocument[ShownT] | None: ...

    async def find_one_and_delete(
        self,
        filter: Mapping[str, Any],  # noqa: A002 - PyMongo's name
        projection: ProjectionSpec | type[BaseModel] | None = None,
        *,
        sort: FieldsSpec | None = None,
    ) -> PoofDocument[Any] | None:
        """Deletes the first document that matches a filter, and returns it."""
        return await self._find_one_and_change(
            parse_write_filter(filter, self._known), DELETE, projection, sort, "before"
        )

    async def _find_one_and_change(
        self,
        node: Node,
        change: Change,
        projection: ProjectionSpec | type[BaseModel] | None,
        sort: FieldsSpec | None,
        return_document: str,
    ) -> PoofDocument[Any] | None:
        if return_document not in ("before", "after"):
            raise InvalidQueryError("return_document is 'before' or 'after'.")
        shown, binding = self._shown(projection)
        order = () if sort is None else parse_fields(sort, what="sort", known=self._known)
        changed = await self._documents.change(Query(node, order, limit=1), change)
        data = changed.before if return_document == "before" else changed.after
        if data is None or changed.obj_id is None:
            return None
        return make_document(changed.obj_id, data if shown is None else shown.apply(data), binding)

    def _shown(
        self, projection: ProjectionSpec | type[BaseModel] | None
    ) -> tuple[Projection | None, Binding[Any] | None]:
        """What is given of each document, and the model that it is read as."""
        if isinstance(projection, type) and issubclass(projection, BaseModel):
            return project_model(projection), Binding(projection, self._name)
        return parse_projection(projection, self._known), self._binding
