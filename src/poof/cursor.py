"""Cursors: queries, and their documents as they are read."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any, Generic, Self

from poof.document import PoofDocument, make_document
from poof.engines.contract import Documents
from poof.errors import InvalidQueryError
from poof.models.binding import Binding
from poof.models.reading import ModelT
from poof.query.fields import FieldsSpec, parse_fields
from poof.query.known import KnownFields
from poof.query.projection import Projection
from poof.query.query import Query
from poof.results import Explanation
from poof.uncopyable import Uncopyable

MOST_DOCUMENTS = 2**48
"""More than a file can hold. A larger number counts as this one: SQLite knows no integers beyond 64 bits."""


class PoofCursor(Uncopyable, Generic[ModelT]):
    """A cursor over the documents that match a query, got from `PoofCollection.find`. It reads only when asked.

    >>> async def example(people: PoofCollection) -> None:
    ...     async for doc in people.find({"age": {"$gte": 18}}).sort("name").limit(10):
    ...         print(doc.data["name"])

    Without `sort`, documents come in the order in which they were inserted. Each loop and each call reads again.
    """

    def __init__(
        self,
        documents: Documents,
        query: Query,
        projection: Projection | None,
        binding: Binding[ModelT] | None,
        known: KnownFields | None = None,
    ) -> None:
        self._documents = documents
        self._query = query
        self._projection = projection
        self._binding = binding
        self._known = known

    def sort(self, fields: FieldsSpec, direction: int = 1) -> Self:
        """Sorts by one field or several; 1 is ascending, -1 descending. Equal documents keep the order of insertion.

        >>> async def example(people: PoofCollection) -> None:
        ...     people.find().sort("age")
        ...     people.find().sort("age", -1)
        ...     people.find().sort([("city", 1), ("age", -1)])

        Values of different types sort as in MongoDB: null and missing, numbers, text, documents, arrays, booleans.
        An array sorts by its smallest element; in descending order, by its greatest.

        Raises:
            InvalidQueryError: no field is named, a field is named twice, or a direction is neither 1 nor -1.
        """
        self._query = replace(self._query, sort=parse_fields(fields, direction, what="sort", known=self._known))
        return self

    def skip(self, n: int) -> Self:
        """Skips the first `n` documents."""
        self._query = replace(self._query, skip=read_count(n, "skip"))
        return self

    def limit(self, n: int) -> Self:
        """Returns at most `n` documents; 0 means all, as in MongoDB."""
        self._query = replace(self._query, limit=read_count(n, "limit") or None)
        return self

    async def __aiter__(self) -> AsyncIterator[PoofDocument[ModelT]]:
        async for chunk in self._documents.stream(self._query):
            for document in self._make((row.obj_id, row.data) for row in chunk):
                yield document

    async def to_list(self, length: int | None = None) -> list[PoofDocument[ModelT]]:
        """Returns the documents as a list, or the first `length` of them."""
        query = self._query
        if length is not None:
            length = read_count(length, "to_list")
            if length == 0:
                return []
            if query.limit is None or length < query.limit:
                query = replace(query, limit=length)
        return await self._documents.find(query, self._make)

    async def first(self) -> PoofDocument[ModelT] | None:
        """Returns the first document, or `None`."""
        documents = await self.to_list(1)
        return documents[0] if documents else None

    async def count(self) -> int:
        """Returns how many documents the cursor yields, after `skip` and `limit`."""
        return await self._documents.count(self._query)

    async def explain(self) -> Explanation:
        """Returns which index answers the query, and how many documents it examines. `str()` puts it in a sentence."""
        return await self._documents.explain(self._query)

    def _make(self, found: Iterable[tuple[str, dict[str, Any]]]) -> list[PoofDocument[ModelT]]:
        binding, projection = self._binding, self._projection
        if projection is None:
            return [make_document(obj_id, data, binding) for obj_id, data in found]
        return [make_document(obj_id, projection.apply(data), binding) for obj_id, data in found]


def read_count(n: object, what: str) -> int:
    """Returns a number of documents, as a method such as `skip` takes it.

    Raises:
        InvalidQueryError: it is not a whole number, or it is negative.
    """
    if type(n) is int and 0 <= n <= MOST_DOCUMENTS:
        return n
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise InvalidQueryError(f"{what}() takes a whole number, 0 or more.")
    return min(n, MOST_DOCUMENTS)
