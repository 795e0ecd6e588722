"""How transactions and savepoints begin and end on a connection."""

from collections.abc import Iterator
from contextlib import contextmanager

import apsw


@contextmanager
def transaction(connection: apsw.Connection, mode: str = "IMMEDIATE") -> Iterator[None]:
    """A transaction, or a savepoint in the one that is open: undone where the block raises."""
    nested = connection.in_transaction
    execute_whole(connection, BEGIN_NESTED if nested else f"BEGIN {mode}")
    try:
        yield
        execute_whole(connection, COMMIT_NESTED if nested else "COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite itself may have rolled all of it back
            execute_whole(connection, ROLLBACK_NESTED if nested else "ROLLBACK")
        raise


def execute_whole(connection: apsw.Connection, sql: str) -> None:
    """Begins or ends a transaction, whoever looks at its progress.

    SQLite counts the steps of a prepared statement over all its runs, and could interrupt one of the many runs of this
    one after it has taken effect. So it is prepared anew.
    """
    connection.execute(sql, can_cache=False)


# Savepoints share a name, by which SQLite means the innermost.
BEGIN_NESTED = "SAVEPOINT nested"
COMMIT_NESTED = "RELEASE nested"
ROLLBACK_NESTED = "ROLLBACK TO nested; RELEASE nested"


def begin(connection: apsw.Connection) -> None:
    """Opens a transaction that writes."""
    connection.execute("BEGIN IMMEDIATE")


def begin_snapshot(connection: apsw.Connection) -> None:
    """Opens a transaction that reads."""
    connection.execute("BEGIN")


def end_snapshot(connection: apsw.Connection) -> None:
    """Ends it, unless SQLite has: it does where the file cannot be read."""
    if connection.in_transaction:
        connection.execute("COMMIT")


def begin_nested(connection: apsw.Connection) -> None:
    """Opens a savepoint."""
    connection.execute(BEGIN_NESTED)


def commit(connection: apsw.Connection) -> None:
    """Commits the open transaction."""
    connection.execute("COMMIT")


def commit_nested(connection: apsw.Connection) -> None:
    """Ends the innermost savepoint; what was done since is part of the transaction."""
    connection.execute(COMMIT_NESTED)


def rollback(connection: apsw.Connection) -> None:
    """Ends the open transaction, if there is one, with nothing changed."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def rollback_nested(connection: apsw.Connection) -> None:
    """Undoes what was done since the innermost savepoint, and ends it."""
    connection.execute(ROLLBACK_NESTED)
