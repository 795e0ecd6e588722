"""Whether a file, its log and its header go together: looked at when the file is opened.

Layer: storage.

Invariant: no page is used before file and log were found to go together, and what is refused is left as it is.
"""

import time

import apsw

from poof.engines.sqlite.file.raw import locked, raw_file, read_header_block, read_log_start
from poof.engines.sqlite.file.unlock import Unlocked
from poof.engines.sqlite.tables import schema
from poof.engines.sqlite.tables.connections import ClusterConnection
from poof.errors import DamagedFileError, DamagedHeaderError, LogMismatchError, LogMissingError
from poof.format.layout import HEADER_BLOCK_SIZE, RECORD_STARTS
from poof.format.logs import check_count, judge
from poof.format.receipts import Found, Receipt, check_receipt
from poof.format.records import Records, newest_record

FEATURES: frozenset[str] = frozenset()
"""What files may use beyond format 1, and this program knows."""
_TRIES = 50
_PAUSE = 0.001


def judge_closed(path: str, unlocked: Unlocked, base: str = "") -> None:
    """Looks at a file and the start of its log, before SQLite does.

    Raises:
        DamagedHeaderError: the file does not say in which state it is.
        LogMissingError, LogMismatchError: the log is not that of the file.
    """
    for again in range(_TRIES, -1, -1):
        found = _records(path, unlocked, base)
        log = read_log_start(path, base)
        try:
            judge(log, found.newest, unlocked.keys, path)
        except LogMismatchError:
            # Others may be at work: the file and its log were not read at one moment.
            if not again or (_records(path, unlocked, base) == found and read_log_start(path, base) == log):
                raise
            time.sleep(_PAUSE)
        else:
            return


def settle(path: str, unlocked: Unlocked, timeout: float, base: str = "") -> None:
    """Gives up a log that is missing: the file is what it was before that was begun.

    Raises:
        LogMissingError: the file holds a part of the log.
        LogMismatchError: there is another log.
        BusyError: another program has the file open.
    """
    busy = f"{path!r} is open in a program, which has its log. Nothing was changed."
    with raw_file(path, apsw.SQLITE_OPEN_READWRITE, base) as file, locked(file, busy, timeout):
        block = file.xRead(HEADER_BLOCK_SIZE, 0)
        found = _records_in(block, path, unlocked)
        try:
            judge(read_log_start(path, base), found.newest, unlocked.keys, path)
        except LogMissingError:
            if not found.newest.is_at_mark:
                raise
        else:
            return
        file.xWrite(found.newest.settled(0).encode(unlocked.key.state), RECORD_STARTS[found.slot])
        file.xSync(apsw.SQLITE_SYNC_FULL)


def check_opened(connection: ClusterConnection, at_least: Receipt | None = None) -> None:
    """Looks at an open file: its log as far as it is committed, its header, and a receipt.

    Raises:
        LogMissingError, LogMismatchError: the log is not that of the file, or not all of it.
        OlderHeaderError: the header is older than the file.
        OlderFileError: all of it is older than the receipt.
    """
    state = connection.cluster_state
    found = look(connection)
    row = connection.execute(schema.FIND_HEADER).fetchone()
    if row is None:
        raise DamagedFileError(f"{state.label!r} does not say which header it has. Restore the file from a backup.")
    generation, mac = row
    state.expect_header(found.record.generation, found.record.mac)
    state.expect_header(generation, bytes.fromhex(mac))
    state.current_header()
    state.unknown_features = [name for (name,) in connection.execute(schema.LIST_FEATURES) if name not in FEATURES]
    if at_least is not None:
        check_receipt(at_least, found, state.label)


def look(connection: ClusterConnection) -> Found:
    """What an open file is now.

    Raises:
        LogMissingError, LogMismatchError: the log is not that of the file, or not all of it.
    """
    state = connection.cluster_state
    connection.pragma("schema_version")  # has SQLite look for the log
    for again in range(_TRIES, -1, -1):
        # In this order: what is committed only grows, until another log is begun.
        record = state.records.newest()
        count = _count_committed(connection)
        log = None if state.log is None else state.log.header()
        try:
            check_count(log, count, record, state.label)
        except LogMismatchError:
            if not again or state.records.newest() == record:
                raise
        else:
            break
    header = state.current_header().header
    key = state.keys.current
    cluster = bytes.fromhex(header.cluster)
    if log is None:
        return Found(cluster, key.file, key.data_key.rotations, header.generation, record)
    return Found(cluster, key.file, key.data_key.rotations, header.generation, record, log.id, log.base, count)


def _count_committed(connection: ClusterConnection) -> int:
    try:
        return max(0, connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)[0])
    except (apsw.ReadOnlyError, apsw.BusyError):  # the index is another user's; another program copies the log
        log = connection.cluster_state.log
        return 0 if log is None else log.count_committed()


def take_receipt(connection: ClusterConnection) -> str:
    """The receipt of an open file, which names nothing that a loss of power could take."""
    state = connection.cluster_state
    found = look(connection)
    for file in (state.log, state.main):  # after it was looked at: what others commit meanwhile may not be safe
        if file is not None:
            file.sync()
    return found.receipt().encode()


def _records(path: str, unlocked: Unlocked, base: str) -> Records:
    return _records_in(read_header_block(path, base), path, unlocked)


def _records_in(block: bytes, path: str, unlocked: Unlocked) -> Records:
    found = newest_record(block, (key.state for key in unlocked.keys))
    if found is None:
        raise DamagedHeaderError(
            f"both state records of {path!r} are damaged or were altered. Nothing was changed. Restore the file from a "
            "backup; salvage() reads what there is."
        )
    return found
