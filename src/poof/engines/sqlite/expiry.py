"""Documents that expire: what a TTL index lists is deleted when its time has come.

A client of the engine. A sweep runs when the cluster is opened, and once a minute afterwards while there is a TTL
index.

Invariant: a document is deleted only if, in the very transaction that deletes it, the index is there and says so.
"""

import asyncio
import datetime
import logging
from contextvars import Context
from typing import Any, NamedTuple

import apsw

from poof.document import decode_document
from poof.encoding.values import encode_value
from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.queries import snapshot
from poof.engines.sqlite.tables.savepoints import transaction
from poof.engines.sqlite.tuning import DEFAULT, Tuning
from poof.errors import ClosedError, PoofError
from poof.query.filters.match import matcher
from poof.query.indexes.definition import IndexDefinition, decode_definition, times_at
from poof.query.nodes import Path
from poof.query.order import encode_key

_NEVER = "0"
"""Before every time."""

_log = logging.getLogger("poof")


class Expiry:
    """Sweeps a cluster, for as long as it has a TTL index."""

    def __init__(self, calls: Calls, tuning: Tuning = DEFAULT) -> None:
        self._calls = calls
        self._tuning = tuning
        self._timer: asyncio.Handle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_due = False
        self._stopped = False

    def start(self) -> None:
        """Sweeps soon, and goes on if there is a TTL index."""
        if self._task is not None:
            self._is_due = True  # the sweep under way may have looked for indexes already
        elif not self._stopped:
            self._cancel_timer()
            # In a context of its own, since a transaction that the caller is in is none of the sweep's.
            self._timer = asyncio.get_running_loop().call_soon(self._begin, context=Context())

    async def stop(self) -> None:
        """Ends the sweeps."""
        self._stopped = True
        self._cancel_timer()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        self._is_due = False
        self._task = asyncio.get_running_loop().create_task(self._sweep_safely())

    async def _sweep_safely(self) -> None:
        goes_on = True
        try:
            goes_on = await self._sweep()
        except ClosedError:
            goes_on = False
        except PoofError as error:
            _log.warning("Expired documents could not be deleted, and will be tried again: %s", error)
        finally:
            self._task = None
        if (goes_on or self._is_due) and not self._stopped:
            pause = 0.0 if self._is_due else self._tuning.sweep_interval
            self._timer = asyncio.get_running_loop().call_later(pause, self._begin)

    async def _sweep(self) -> bool:
        """Deletes what has expired; `False` where no index asks for that."""
        now = datetime.datetime.now(datetime.UTC)
        # In line with the writes, so that an index is seen which a transaction creates that is open now.
        indexes = await self._calls.write(find_expiring)
        for index in indexes:
            limit = _limit(index.definition, now)
            rowids = await self._calls.read(find_expired, index, limit, quick=True)
            step = self._tuning.sweep_documents
            for start in range(0, len(rowids), step):
                await self._calls.write(delete_expired, index, rowids[start : start + step], limit, long=True)
        return bool(indexes)


class _Expiring(NamedTuple):
    """A TTL index."""

    collection_id: int
    id: int
    definition: IndexDefinition


def find_expiring(connection: apsw.Connection) -> list[_Expiring]:
    """All TTL indexes."""
    rows: Any = connection.execute(schema.LIST_INDEXES)
    listed = [_Expiring(collection_id, index_id, decode_definition(text)) for collection_id, index_id, text in rows]
    return [index for index in listed if index.definition.expire_after is not None]


def find_expired(connection: apsw.Connection, index: _Expiring, limit: str) -> list[int]:
    """The rowids of the documents whose time came before `limit`, and maybe of others."""
    with snapshot(connection):
        if not _is_there(connection, index):
            return []
        rows: Any = connection.execute(schema.find_entries(index.id), (encode_key(_NEVER), encode_key(limit)))
        return [rowid for (rowid,) in rows]


def delete_expired(connection: apsw.Connection, index: _Expiring, rowids: list[int], limit: str) -> None:
    """Deletes those of the documents whose time came before `limit`."""
    path = index.definition.fields[0].path
    matches = matcher(index.definition.node())
    with transaction(connection):
        if not _is_there(connection, index):
            return
        for rowid in rowids:
            row: Any = connection.execute(schema.find_by_rowid(index.collection_id), (rowid,)).fetchone()
            if row is None:
                continue
            obj_id, text = row
            data = decode_document(text)
            if matches(data, obj_id) and _has_expired(data, path, limit):
                connection.execute(schema.delete_by_rowid(index.collection_id), (rowid,))


def _is_there(connection: apsw.Connection, index: _Expiring) -> bool:
    return connection.execute(schema.FIND_INDEX_BY_NUMBER, (index.id,)).get is not None


def _limit(definition: IndexDefinition, now: datetime.datetime) -> str:
    try:
        text: str = encode_value(now - datetime.timedelta(seconds=definition.expire_after or 0))
    except OverflowError:  # before the year 1
        return _NEVER
    return text


def _has_expired(data: dict[str, Any], path: Path, limit: str) -> bool:
    return any(moment <= limit for moment in times_at(data, path).values())
