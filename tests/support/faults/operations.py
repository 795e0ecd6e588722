"""What the campaigns do to a cluster: a table of operations.

Each chooses its arguments, which are JSON; says what it makes of a state; and does it to a cluster. So a process can
announce what it is about to do, and another knows what must come of it.
"""

import asyncio
import copy
import datetime
import json
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from poof import PoofCluster, PoofCollection, SalvageReport, StorageError
from poof.engines.sqlite.tables import log
from tests.support import inside
from tests.support.faults.content import DATABASE, KEY, State, document, documents, read_all

SIZES = [10, 10, 200, 900, 4_000, 30_000]
"""Characters of a text."""
MOST_COLLECTIONS = 4
BACKUP = "backup"
"""What the names of copies begin with."""
EXTRA = "extra"
"""The label of a key that comes and goes."""
MOST_DOCUMENTS = 60
"""Of a collection: from then on it only shrinks, so that a check stays quick."""
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

Args = list[Any]


class PlannedError(Exception):
    """Raised inside a transaction, to roll part of it back."""


class Bench:
    """An open cluster that operations are done to."""

    def __init__(self, path: str, key: str = KEY, **options: Any) -> None:
        self.path = path
        self.key = key
        self.options = options
        self.cluster: PoofCluster

    async def open(self) -> None:
        """Opens the cluster, and creates it where there is none."""
        self.cluster = await PoofCluster.create(self.path, self.key, **self.options)

    async def collection(self, name: str) -> PoofCollection:
        return await (await self.cluster.get_database(DATABASE)).get_collection(name)


@dataclass(frozen=True)
class Operation:
    """One row of the table. `changes` may alter the state it is given."""

    choose: Callable[[random.Random, State], Args | None]
    """`None` where there is nothing to do it to."""
    changes: Callable[..., None]
    perform: Callable[..., Awaitable[object]]
    weight: int = 1


def _fresh(rng: random.Random) -> str:
    return f"{rng.randrange(16**8):08x}"


def _value(rng: random.Random) -> Args:
    return [rng.randrange(10**6), rng.choice(SIZES)]


def _any_collection(rng: random.Random, state: State, least: int = 0, most: int = 10**6) -> str | None:
    fitting = [name for name, each in state.items() if least <= len(each["documents"]) <= most]
    return rng.choice(fitting) if fitting else None


def _no_change(_state: State, *_args: Any) -> None:
    pass


def _nothing(_rng: random.Random, _state: State) -> Args:
    return []


# One document


def _choose_insert(rng: random.Random, state: State) -> Args | None:
    place = _any_collection(rng, state, most=MOST_DOCUMENTS)
    return None if place is None else [place, _fresh(rng), *_value(rng)]


def _insert(state: State, place: str, name: str, salt: int, size: int) -> None:
    state[place]["documents"][name] = [salt, size, 0]


async def _do_insert(bench: Bench, place: str, name: str, salt: int, size: int) -> None:
    await (await bench.collection(place)).insert(document(name, salt, size, 0))


def _choose_one(rng: random.Random, state: State) -> Args | None:
    place = _any_collection(rng, state, least=1)
    return None if place is None else [place, rng.choice(list(state[place]["documents"]))]


def _choose_update(rng: random.Random, state: State) -> Args | None:
    chosen = _choose_one(rng, state)
    return None if chosen is None else [*chosen, *_value(rng)]


def _update(state: State, place: str, name: str, salt: int, size: int) -> None:
    state[place]["documents"][name] = [salt, size, 7]


async def _do_update(bench: Bench, place: str, name: str, salt: int, size: int) -> None:
    collection = await bench.collection(place)
    found = await collection.find_one({"name": name})
    assert found is not None
    assert await collection.update(found.objId, document(name, salt, size, 7))


def _delete(state: State, place: str, name: str) -> None:
    del state[place]["documents"][name]


async def _do_delete(bench: Bench, place: str, name: str) -> None:
    result = await (await bench.collection(place)).delete_one({"name": name})
    assert result.deleted_count == 1


# Many documents


def _choose_insert_many(rng: random.Random, state: State) -> Args | None:
    place = _any_collection(rng, state, most=MOST_DOCUMENTS)
    return None if place is None else [place, [[_fresh(rng), *_value(rng)] for _ in range(rng.choice([2, 10, 30]))]]


def _insert_many(state: State, place: str, rows: list[Args]) -> None:
    for row in rows:
        _insert(state, place, *row)


async def _do_insert_many(bench: Bench, place: str, rows: list[Args]) -> None:
    await (await bench.collection(place)).insert_many(document(name, salt, size, 0) for name, salt, size in rows)


def _choose_place(rng: random.Random, state: State) -> Args | None:
    place = _any_collection(rng, state)
    return None if place is None else [place]


def _count_up(state: State, place: str) -> None:
    for value in state[place]["documents"].values():
        value[2] += 1


async def _do_count_up(bench: Bench, place: str) -> None:
    await (await bench.collection(place)).update_many({}, {"$inc": {"count": 1}})


def _choose_thin_out(rng: random.Random, state: State) -> Args | None:
    place = _any_collection(rng, state, least=20)
    return None if place is None else [place, rng.choice("0123456789abcde")]


def _thin_out(state: State, place: str, limit: str) -> None:
    kept = {name: value for name, value in state[place]["documents"].items() if name < limit}
    state[place]["documents"] = kept


async def _do_thin_out(bench: Bench, place: str, limit: str) -> None:
    await (await bench.collection(place)).delete_many({"name": {"$gte": limit}})


# A transaction over two collections, part of which fails


def _choose_move(rng: random.Random, state: State) -> Args | None:
    source = _any_collection(rng, state, least=1)
    others = [name for name in state if name != source]
    if source is None or not others:
        return None
    return [source, rng.choice(others), rng.choice(list(state[source]["documents"])), _fresh(rng), *_value(rng)]


def _move(state: State, source: str, target: str, name: str, new: str, salt: int, size: int) -> None:
    state[target]["documents"][name] = state[source]["documents"].pop(name)
    _count_up(state, target)
    _insert(state, source, new, salt, size)


async def _do_move(bench: Bench, source: str, target: str, name: str, new: str, salt: int, size: int) -> None:
    giver, taker = await bench.collection(source), await bench.collection(target)
    async with bench.cluster.transaction():
        moved = await giver.find_one_and_delete({"name": name})
        assert moved is not None
        try:
            async with bench.cluster.transaction():
                await taker.insert_many({"name": f"never{n}", "text": "x" * 5_000} for n in range(3))
                raise PlannedError
        except PlannedError:
            pass
        await taker.insert(moved.data)
        await taker.update_many({}, {"$inc": {"count": 1}})
        await giver.insert(document(new, salt, size, 0))


# Collections and indexes


def _choose_create(rng: random.Random, state: State) -> Args | None:
    return [_fresh(rng)] if len(state) < MOST_COLLECTIONS else None


def _create(state: State, name: str) -> None:
    state[name] = {"documents": {}, "indexes": []}


async def _do_create(bench: Bench, name: str) -> None:
    await bench.collection(name)


def _choose_drop(rng: random.Random, state: State) -> Args | None:
    return [rng.choice(list(state))] if len(state) == MOST_COLLECTIONS else None


def _drop(state: State, name: str) -> None:
    del state[name]


async def _do_drop(bench: Bench, name: str) -> None:
    assert await (await bench.cluster.get_database(DATABASE)).drop_collection(name)


def _choose_rename(rng: random.Random, state: State) -> Args | None:
    return [rng.choice(list(state)), _fresh(rng)] if state else None


def _rename(state: State, old: str, new: str) -> None:
    state[new] = state.pop(old)


async def _do_rename(bench: Bench, old: str, new: str) -> None:
    await (await bench.cluster.get_database(DATABASE)).rename_collection(old, new)


UNIQUE = "name"
"""The field whose index is unique."""


def _choose_index(rng: random.Random, state: State) -> Args | None:
    place = _any_collection(rng, state)
    return None if place is None else [place, rng.choice([UNIQUE, "count", "text"])]


def _index(state: State, place: str, field: str) -> None:
    """Made where it is not there, dropped where it is."""
    state[place]["indexes"] = sorted({field} ^ set(state[place]["indexes"]))


async def _do_index(bench: Bench, place: str, field: str) -> None:
    collection = await bench.collection(place)
    for index in await collection.list_indexes():
        if index.fields[0][0] == field:
            await collection.drop_index(index.name)
            return
    await collection.create_index(field, unique=field == UNIQUE)


async def _do_expire(bench: Bench, place: str) -> None:
    """Documents that have expired, and an index that has them swept away: no state knows them."""
    collection = await bench.collection(place)
    await collection.insert_many({"name": secrets.token_hex(4), "at": PAST} for _ in range(5))
    for index in await collection.list_indexes():
        if index.expire_after is not None:
            await collection.drop_index(index.name)
    await collection.create_index("at", expire_after=datetime.timedelta(0))


# The file


async def _do_save(bench: Bench) -> None:
    await bench.cluster.save()


async def _do_checkpoint(bench: Bench) -> None:
    engine = inside.calls_of(bench.cluster)
    async with engine._checkpointer.paused():
        await engine._writer.exclusive(log.restart_log, renews_log=True)


async def _do_keys(bench: Bench) -> None:
    """A key more, or all but the first one away."""
    added = [info for info in await bench.cluster.keys() if info.label == EXTRA]
    if not added:
        await bench.cluster.add_key(label=EXTRA)
    for info in added:
        await bench.cluster.remove_key(info.id)


async def _do_rotate(bench: Bench) -> None:
    await bench.cluster.rotate(remove_others=True)


async def _do_compact(bench: Bench) -> None:
    await bench.cluster.compact()


def _choose_copy(rng: random.Random, _state: State) -> Args:
    return [f"{BACKUP}-{_fresh(rng)}"]


async def _do_backup(bench: Bench, name: str) -> None:
    copy = Path(bench.path).with_name(name)
    await bench.cluster.backup(copy)
    await _compare(bench, copy)


async def _do_salvage(bench: Bench, name: str) -> None:
    """All of a file that is whole comes out, its log included. What a report says is missing is this one's error."""
    copy = Path(bench.path).with_name(name)
    await bench.cluster.close()
    report = await PoofCluster.salvage(bench.path, copy, bench.key)
    if tells_of_a_loss(report):
        raise StorageError(f"{bench.path} was read in part: {report}")
    await bench.open()
    await _compare(bench, copy)


def tells_of_a_loss(report: SalvageReport) -> bool:
    """Whether a report says that something may be missing."""
    pages = report.damaged_pages or report.missing_pages or report.log_frames_left
    return bool(pages or report.lost or report.lost_indexes)


async def _compare(bench: Bench, path: Path) -> None:
    async with await PoofCluster.create(path, bench.key) as copy:
        assert await read_all(copy) == await read_all(bench.cluster)


async def _do_reopen(bench: Bench) -> None:
    await bench.cluster.close()
    await bench.open()


OPERATIONS = {
    "insert": Operation(_choose_insert, _insert, _do_insert, 6),
    "update": Operation(_choose_update, _update, _do_update, 4),
    "delete": Operation(_choose_one, _delete, _do_delete, 3),
    "insert_many": Operation(_choose_insert_many, _insert_many, _do_insert_many, 3),
    "update_many": Operation(_choose_place, _count_up, _do_count_up, 2),
    "delete_many": Operation(_choose_thin_out, _thin_out, _do_thin_out, 2),
    "transaction": Operation(_choose_move, _move, _do_move, 4),
    "create": Operation(_choose_create, _create, _do_create),
    "drop": Operation(_choose_drop, _drop, _do_drop),
    "rename": Operation(_choose_rename, _rename, _do_rename),
    "index": Operation(_choose_index, _index, _do_index, 3),
    "expire": Operation(_choose_place, _no_change, _do_expire),
    "save": Operation(_nothing, _no_change, _do_save, 2),
    "checkpoint": Operation(_nothing, _no_change, _do_checkpoint, 2),
    "reopen": Operation(_nothing, _no_change, _do_reopen),
    "keys": Operation(_nothing, _no_change, _do_keys),
    "rotate": Operation(_nothing, _no_change, _do_rotate),
    "compact": Operation(_nothing, _no_change, _do_compact),
    "backup": Operation(_choose_copy, _no_change, _do_backup),
    "salvage": Operation(_choose_copy, _no_change, _do_salvage),
}

Step = tuple[str, Args]
"""An operation and its arguments."""


def choose(rng: random.Random, state: State) -> Step:
    """What to do next."""
    names, weights = list(OPERATIONS), [operation.weight for operation in OPERATIONS.values()]
    while True:
        [name] = rng.choices(names, weights)
        args = OPERATIONS[name].choose(rng, state)
        if args is not None:
            return name, args


def after(state: State, step: Step) -> State:
    """The state that a step makes of one."""
    changed = copy.deepcopy(state)
    OPERATIONS[step[0]].changes(changed, *step[1])
    return changed


async def perform(bench: Bench, step: Step) -> None:
    """Does a step, and lets what it started go on."""
    await OPERATIONS[step[0]].perform(bench, *step[1])
    await asyncio.sleep(0)


def story(rng: random.Random, length: int, state: State) -> list[tuple[Step, State]]:
    """Steps from a state on, with what the cluster holds after each."""
    steps = []
    for _ in range(length):
        step = choose(rng, state) if state else ("create", ["first"])
        state = after(state, step)
        steps.append((step, state))
    return steps


def write_legacy(path: Path, state: State, key: str = KEY) -> None:
    """A file of PoofDB 0.x that holds the documents of a state."""
    tree = {
        DATABASE: {
            place: [{"_objId": f"old{name:>012}", "data": data} for name, data in documents(collection).items()]
            for place, collection in state.items()
        }
    }
    path.write_bytes(Fernet(key).encrypt(json.dumps(tree).encode()))
