"""A store for tests that work below the event loop: each operation by its name, as a method."""

from functools import partial
from typing import Any

from poof.document import decode_document
from poof.storage import operations
from poof.storage.files import Unlocked
from poof.storage.store import Settings, Store


class DirectStore:
    """An open connection to a cluster file, used from the test's own thread."""

    def __init__(self, path: str, unlocked: Unlocked, *, timeout: float, cache_mib: int, base: str = "") -> None:
        self.store = Store(path, unlocked, Settings(timeout, cache_mib), base=base)
        self._connection = self.store._connection
        self.close = self.store.close
        self.database = partial(self.store.call, operations.create_database)
        self.collection = partial(self.store.call, operations.create_collection)

    def __getattr__(self, name: str) -> Any:
        return partial(self.store.call, getattr(operations, name))

    def find_all(self, collection_id: int) -> list[tuple[str, dict[str, Any]]]:
        rows = self.store.call(operations.scan, collection_id)
        return [(obj_id, decode_document(text)) for obj_id, text in rows]
