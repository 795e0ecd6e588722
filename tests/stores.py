"""A store for tests that work below the event loop: each operation by its name, as a method."""

from functools import partial
from typing import Any

from poof.document import decode_document
from poof.engines.sqlite.file.judged import check_opened, judge_closed
from poof.engines.sqlite.file.unlock import Unlocked
from poof.engines.sqlite.tables import catalogue, log, rows, savepoints
from poof.engines.sqlite.turns.store import Settings, Store


class DirectStore:
    """An open connection to a cluster file, used from the test's own thread."""

    def __init__(self, path: str, unlocked: Unlocked, *, timeout: float, cache_mib: int, base: str = "") -> None:
        if not base:
            judge_closed(path, unlocked)
        check = None if base else check_opened
        self.store = Store(path, unlocked, Settings(timeout, cache_mib), base=base, check=check)
        self._connection = self.store._connection
        self.close = self.store.close
        self.database = partial(self.store.call, catalogue.create_database)
        self.collection = partial(self.store.call, catalogue.create_collection)

    def __getattr__(self, name: str) -> Any:
        (home,) = [module for module in (rows, catalogue, savepoints, log) if name in vars(module)]
        return partial(self.store.call, getattr(home, name))

    def find_all(self, collection_id: int) -> list[tuple[str, dict[str, Any]]]:
        found = self.store.call(rows.scan, collection_id)
        return [(obj_id, decode_document(text)) for obj_id, text in found]
