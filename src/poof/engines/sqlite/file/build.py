"""Building a new cluster file beside its place."""

import contextlib
from collections.abc import Callable, Iterator

import apsw

from poof.engines.sqlite.file.raw import raw_file
from poof.engines.sqlite.file.unlock import Unlocked
from poof.engines.sqlite.pages.state import ClusterState
from poof.engines.sqlite.tables.connections import ClusterConnection, opened, prepare_new
from poof.format.header import encode_block
from poof.format.trust import TrustedHeader
from poof.new_files import NewFile, new_file

Prepare = Callable[[ClusterConnection, TrustedHeader], None]
Populate = Callable[[ClusterConnection], None]


def build(
    path: str,
    unlocked: Unlocked,
    *,
    base: str = "",
    label: str | None = None,
    prepare: Prepare = prepare_new,
    populate: Populate | None = None,
) -> None:
    """Writes a complete new cluster file under a path that nobody else uses yet; errors call it by its label.

    `prepare` makes an empty file a cluster, in which its header is noted; `populate` fills that.
    """
    with raw_file(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE, base, label) as file:
        file.xWrite(encode_block(unlocked.header, unlocked.key.data_key), 0)
    with opened(ClusterState(path, unlocked.keys, base, label), new=True) as connection:
        prepare(connection, unlocked.trusted)
        if populate is not None:
            populate(connection)


@contextlib.contextmanager
def built_beside(
    path: str,
    unlocked: Unlocked,
    *,
    prepare: Prepare = prepare_new,
    populate: Populate | None = None,
    may_exist: bool = False,
) -> Iterator["NewFile"]:
    """A complete new cluster file that has no name yet; it is removed unless the block gives it one.

    Raises:
        StorageError: there is a file of this name already, unless it `may_exist` for now.
    """
    with new_file(path, may_exist=may_exist) as file:
        build(file.temporary, unlocked, label=path, prepare=prepare, populate=populate)
        file.sync()
        yield file


def create(path: str, unlocked: Unlocked) -> bool:
    """Creates a new cluster file; `False` where another process was first, whose file was left as it is."""
    with built_beside(path, unlocked, may_exist=True) as file:
        return file.try_to_place()
