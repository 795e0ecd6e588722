"""Rewriting a whole file while it is in use: to give space back, and to replace the data key.

Layer: storage. Long calls on the writer's thread, which keep all other writers waiting; readers go on.

A rewrite is SQLite's VACUUM: every page goes through an encrypted temporary file into the log, as one transaction, and
from there into the file. To replace the data key, the header is changed first: it names a new key, with which all is
sealed from then on, and holds the previous one, wrapped under the new one. Then everything is rewritten, and the header
forgets the previous key.

Invariants: at every moment the one header says how to open every page of file and log; it forgets a data key only when
every page of the file has been seen to open with the next one, and the log was emptied after they were written. Other
connections notice by themselves: a rewrite changes page 1, which SQLite reads anew before anything else, and a page
that does not open makes the VFS read the header.
"""

import contextlib
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from poof.engines.sqlite.calls import Calls
from poof.engines.sqlite.care.key_slots import change_header, read_header, slot_of_password, write_header
from poof.engines.sqlite.pages.state import MEMORY_BASE
from poof.engines.sqlite.tables import log, savepoints
from poof.engines.sqlite.tables.connections import ClusterConnection
from poof.engines.sqlite.turns.store import Stop
from poof.errors import BusyError, DamagedPageError, DiskFullError, KeyRequiredError, LimitError, WrongKeyError
from poof.format.layout import LOCK_PAGE, PAGE_SIZE
from poof.format.subkeys import DataKeys
from poof.format.trust import TrustedHeader, changed, opens_slot, wrap_previous
from poof.keys.kdf import check_password
from poof.keys.slots import MAX_ROTATIONS, DataKey, KeySlot
from poof.progress import Progress, Report

_LEFT = (
    "has a new data key, but pages under the one before are left in it: for the whole timeout, somebody was reading or "
    "writing. Nothing is lost; call rotate() again when that has ended."
)
REWRITE_PASSES, COPY_PASSES, CHECK_PASSES = 2, 1, 1
"""How often a page is handled: into the temporary file and into the log; from there into the file; read again."""


async def compact(calls: Calls, progress: Progress | None) -> None:
    """Gives the space of what was deleted back to the system."""
    stop = Stop()
    with calls.on_loop(progress) as report:
        await calls.alone(_compact, calls.timeout, report, stop, stop=stop)


async def rotate(
    calls: Calls, keys: Iterable[bytes], passwords: Iterable[str], remove_others: bool, progress: Progress | None
) -> None:
    """Replaces the data key, and brings the new one into the slots of known keys and passwords."""
    passwords = list(passwords)
    for password in passwords:
        check_password(password)
    trusted: TrustedHeader = await calls.read(read_header, read_header)
    given = await calls.off_loop(_user_keys, trusted, list(keys), passwords, calls.path)
    calls.user_keys.learn(given)  # so that this process's other connections can follow the new data key
    stop = Stop()
    plan = RotationPlan((*given, calls.user_keys.shown), remove_others, calls.timeout)
    with calls.on_loop(progress) as report:
        await calls.alone(_rotate, plan, report, stop, stop=stop)


@dataclass(frozen=True, repr=False)
class RotationPlan:
    """What a new data key is to be wrapped under."""

    user_keys: Sequence[bytes]
    remove_others: bool
    timeout: float
    """Seconds to wait for those who read."""


@dataclass
class _Watch:
    """Counts pages as they are handled, and ends the work between two of them where nobody waits for it any more."""

    pages: int
    passes: int
    report: Report
    stop: Stop
    report_pages: int
    _done: int = 0
    _limit: int = field(default=0, init=False)

    def begin(self, passes: int) -> None:
        """Begins the next passes over all pages."""
        self._done = self._limit
        self._limit += passes * self.pages
        self.report.tell(self._done, self.passes * self.pages, "pages")

    def page(self) -> None:
        """Counts one page."""
        if self.stop.stopped or self.report.is_ended:
            raise apsw.exception_for(apsw.SQLITE_INTERRUPT)
        self.count()

    def count(self) -> None:
        """Counts one page where the work cannot end."""
        self._done = min(self._done + 1, self._limit)
        if self._done % self.report_pages == 0:
            self.report.tell(self._done, self.passes * self.pages, "pages")


def _watch(connection: ClusterConnection, pages: int, passes: int, report: Report, stop: Stop) -> _Watch:
    return _Watch(pages, passes, report, stop, connection.tuning.report_pages)


def _compact(connection: ClusterConnection, timeout: float, report: Report, stop: Stop) -> None:
    """Rewrites the file without the pages that are free. Ends a replacement of the data key that was interrupted."""
    is_rotating = read_header(connection).keys.previous is not None
    watch = _watch(connection, _used_pages(connection), REWRITE_PASSES + COPY_PASSES + is_rotating, report, stop)
    _vacuum(connection, watch)
    _empty_log(
        connection,
        timeout,
        watch,
        "is compacted in its log, but could not be made one file: for the whole timeout, somebody was reading. Nothing "
        "is lost; save() does the rest when the reading has ended.",
    )
    if is_rotating:
        _forget_previous(connection, timeout, watch)
    watch.begin(0)


def _rotate(connection: ClusterConnection, plan: RotationPlan, report: Report, stop: Stop) -> None:
    """Replaces the data key; ends a replacement that was interrupted first."""
    whole = REWRITE_PASSES + COPY_PASSES + CHECK_PASSES
    trusted = read_header(connection)
    _refuse_others(_others(trusted, plan), plan)
    is_rotating = trusted.keys.previous is not None
    pages = _used_pages(connection)
    watch = _watch(connection, pages, COPY_PASSES + whole * (1 + is_rotating), report, stop)
    _empty_log(
        connection,
        plan.timeout,
        watch,
        "could not get a new data key: for the whole timeout, somebody was reading or writing. Nothing was changed; "
        "call rotate() again when the reading has ended.",
    )
    _check_room(connection.cluster_state.path, pages, in_memory=connection.cluster_state.base == MEMORY_BASE)
    if is_rotating:
        _rewrite_under_new_key(connection, plan.timeout, watch)
    with savepoints.transaction(connection):
        old = read_header(connection)
        if old.keys.previous is not None:  # and a third data key would make the first unknown
            raise BusyError(
                f"Another program began to replace the data key of {connection.cluster_state.label!r} just now. Call "
                "rotate() again when it has ended."
            )
        others = _others(old, plan)
        _refuse_others(others, plan)
        if others:
            # By itself, so that a new data key is always in all slots of the header before: see `trust.newest`.
            old = write_header(connection, old, _without(old, others))
        write_header(connection, old, rotated(old, plan.user_keys))
    _rewrite_under_new_key(connection, plan.timeout, watch)
    watch.begin(0)


def _rewrite_under_new_key(connection: ClusterConnection, timeout: float, watch: _Watch) -> None:
    _vacuum(connection, watch)
    _empty_log(
        connection,
        timeout,
        watch,
        _LEFT,
    )
    _forget_previous(connection, timeout, watch)


def _vacuum(connection: ClusterConnection, watch: _Watch) -> None:
    state = connection.cluster_state
    cache = connection.pragma("cache_size")
    watch.begin(REWRITE_PASSES)
    try:
        with state.before_each_page(watch.page):
            if state.base != MEMORY_BASE:
                connection.pragma("temp_store", "file")
            connection.pragma("cache_size", -1024 * connection.tuning.rewrite_cache_mib)
            connection.execute("VACUUM")
    except BaseException:
        with contextlib.suppress(apsw.Error):  # which gives back the room that the log took
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        raise
    finally:
        connection.pragma("cache_size", cache)
        connection.pragma("temp_store", "memory")


def _empty_log(connection: ClusterConnection, timeout: float, watch: _Watch, busy: str) -> None:
    watch.begin(COPY_PASSES)
    try:
        with connection.cluster_state.after_each_copy(watch.count):
            log.save(connection, timeout)
    except apsw.BusyError:
        raise BusyError(f"{connection.cluster_state.label!r} {busy}") from None


def _forget_previous(connection: ClusterConnection, timeout: float, watch: _Watch) -> None:
    """Ends a replacement of the data key, once every page has been seen to open with the new one."""
    watch.begin(CHECK_PASSES)
    last = connection.pragma("page_count")
    state = connection.cluster_state
    data_key = state.keys.current
    old_pages = _not_current(connection, range(1, last + 1), watch)
    # Another process may have written one into the file at just that moment, under the new key.
    old_pages = _not_current(connection, old_pages, watch)

    def forget(old: TrustedHeader) -> TrustedHeader:
        if old.keys.current != data_key or old.keys.previous is None:
            return old  # another process has ended this replacement, and may have begun the next one
        if old_pages:
            raise DamagedPageError(
                f"page {old_pages[0]} in the file {connection.cluster_state.label!r} was damaged as soon as it was "
                "written. Check the disk, and restore the file from a backup.",
                old_pages[0],
            )
        return TrustedHeader(changed(old.header, previous=None), DataKeys(data_key))

    end = time.monotonic() + timeout
    while True:
        with savepoints.transaction(connection):
            if _forget_old_log(connection):
                change_header(connection, forget)
                return
        if time.monotonic() > end:
            raise BusyError(f"{state.label!r} {_LEFT}")
        _empty_log(connection, timeout, watch, _LEFT)  # somebody has written meanwhile


def _forget_old_log(connection: ClusterConnection) -> bool:
    """Sees that nothing but pages is left under the previous data key: no log, no state record.

    Returns `False` where there is a log in use. Nobody else writes meanwhile.
    """
    state = connection.cluster_state
    if state.log is None or state.main is None:
        raise AssertionError("the file is open")
    if not state.log.is_empty():
        return False
    state.log.sync()  # or the log that was emptied could come back, under the previous data key
    return state.records.renew(state.main.sync)


def _not_current(connection: ClusterConnection, numbers: Iterable[int], watch: _Watch) -> list[int]:
    main = connection.cluster_state.main
    if main is None:
        raise AssertionError("the file is open")
    found = []
    for number in numbers:
        watch.page()
        if number != LOCK_PAGE and not main.is_current(number):
            found.append(number)
    return found


def _used_pages(connection: ClusterConnection) -> int:
    return int(connection.pragma("page_count") - connection.pragma("freelist_count"))


def _check_room(path: str, pages: int, *, in_memory: bool) -> None:
    """Refuses to begin what would end half way: the pages will lie in a temporary file, and in the log."""
    if not in_memory and shutil.disk_usage(Path(path).parent).free < 2 * pages * PAGE_SIZE:
        raise DiskFullError(
            f"To get a new data key, {path!r} needs {2 * pages * PAGE_SIZE} bytes of free disk for a while. "
            "Nothing was changed."
        )


def _others(trusted: TrustedHeader, plan: RotationPlan) -> list[KeySlot]:
    return [slot for slot in trusted.header.slots if _key_of(slot, plan.user_keys, trusted) is None]


def _refuse_others(others: list[KeySlot], plan: RotationPlan) -> None:
    if others and not plan.remove_others:
        listed = ", ".join(f"{slot.id} ({slot.kind} {slot.label!r})" for slot in others)
        raise KeyRequiredError(
            f"The new data key can be given only to keys and passwords that are known, and these are not: {listed}. "
            "Pass them as keys= and passwords=, or remove_others=True to remove their slots. Nothing was changed."
        )


def _without(old: TrustedHeader, others: list[KeySlot]) -> TrustedHeader:
    kept = tuple(slot for slot in old.header.slots if slot not in others)
    return TrustedHeader(changed(old.header, slots=kept), old.keys)


def rotated(old: TrustedHeader, user_keys: Sequence[bytes]) -> TrustedHeader:
    """A header with a new data key, wrapped under these user keys; it leads to the previous one as well."""
    before = old.keys.current
    if before.data_key.rotations >= MAX_ROTATIONS:
        raise LimitError("The data key was replaced as often as it can be. Nothing was changed. Make a backup() of it.")
    data_key = DataKey.generate(before.data_key.rotations + 1)
    key = old.header.key(data_key)
    slots = tuple(
        slot.rewrapped(old.header.cluster, data_key, user_key)
        for slot in old.header.slots
        if (user_key := _key_of(slot, user_keys, old)) is not None
    )
    previous = wrap_previous(key, before.data_key)
    header = changed(old.header, rotations=data_key.rotations, slots=slots, previous=previous)
    return TrustedHeader(header, DataKeys(key, before))


def _key_of(slot: KeySlot, user_keys: Iterable[bytes], trusted: TrustedHeader) -> bytes | None:
    return next((key for key in user_keys if opens_slot(trusted, slot, key)), None)


def _user_keys(trusted: TrustedHeader, keys: list[bytes], passwords: list[str], path: str) -> tuple[bytes, ...]:
    """The user keys of keys and passwords, each of which must have a slot. Slow."""
    for key in keys:
        if not any(opens_slot(trusted, slot, key) for slot in trusted.header.slots):
            raise WrongKeyError(f"one of the keys opens no key slot of {path!r}. Nothing was changed.")
    derived = []
    for password in passwords:
        found = slot_of_password(trusted, password)
        if found is None:
            raise WrongKeyError(f"one of the passwords opens no key slot of {path!r}. Nothing was changed.")
        derived.append(found[1])
    return (*keys, *derived)
