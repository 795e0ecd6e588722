"""The commands about the file: new, info, ls, upgrade."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poof.cli.decorators import on_cluster
from poof.cli.failures import CommandError, ExitCode
from poof.cli.help import Command, example
from poof.cli.options import FileArgument, FormatOption, KeyFileOption
from poof.cli.output import Format, Results, note, working, write_record, write_records
from poof.cli.values import size

if TYPE_CHECKING:
    from poof.cluster import PoofCluster
    from poof.keys.slots import KeySlot
    from poof.results import ClusterStats

PANEL = "The file"
commands = typer.Typer()


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example("poof new cluster.poof --key-file cluster.key", "poof new cluster.poof --password"),
)
def new(
    file: FileArgument,
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write the new key into this file, which must not exist, instead of printing it.",
            show_default=False,
        ),
    ] = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a password instead of making a key.")] = False,
    keyring: Annotated[
        bool, typer.Option("--keyring", help="Keep the key in the system's keyring, and print a recovery code.")
    ] = False,
) -> None:
    """Create a cluster, and print its new key, once. If POOF_KEY is set, that is its key."""
    from cryptography.fernet import Fernet

    from poof.cli.credentials import VARIABLE, ask_new_password, kept_key
    from poof.keys.slots import parse_key

    path = os.fspath(file)
    if os.path.lexists(path):
        raise CommandError(f"{path!r} exists, and was left as it is.")
    if sum((password, keyring, key_file is not None)) > 1:
        raise CommandError("Of --key-file, --password and --keyring there can be one.", ExitCode.USAGE)
    given = os.environ.get(VARIABLE)
    if keyring:
        _create_with_keyring(path)
        note(
            f"Created {path}. The keyring opens it; this recovery code too, which is shown only now: keep it on paper."
        )
    elif password:
        _create(path, password=ask_new_password(f"New password for {path}: "))
        note(f"Created {path}. The password opens it, and cannot be recovered if it is lost.")
    elif key_file is not None:
        with kept_key(key_file) as key:
            _create(path, key=key)
        note(f"Created {path}. The key in {os.fspath(key_file)} opens it, and cannot be recovered if it is lost.")
    elif given:
        _create(path, key=parse_key(given).decode())
        note(f"Created {path}. The key in {VARIABLE} opens it.")
    else:
        _create_and_print(path, Fernet.generate_key().decode())
        note(f"Created {path}. This key opens it, is shown only now, and cannot be recovered if it is lost.")


@commands.command(cls=Command, rich_help_panel=PANEL, epilog=example("poof info cluster.poof"))
def info(file: FileArgument, format_: FormatOption = None) -> None:
    """Show what the header of a file says. Needs no key, and so cannot tell whether the header was altered."""
    from poof.cli.session import look_at

    found = look_at(file)
    header = found.header
    record: dict[str, Any] = {"file": os.fspath(file), "size": found.size}
    if header is None:
        record |= {"format": 0, "cluster": None, "generation": None, "slots": []}
    else:
        slots = [_slot_record(slot) for slot in header.slots]
        record |= {
            "format": header.format,
            "cluster": header.cluster,
            "generation": header.generation,
            "slots": slots,
        }
    if Results(format_).format is not Format.TABLE:
        write_record(record, format_)
        return
    slots = record.pop("slots")
    write_record({**record, "size": size(found.size)}, format_)
    if header is None:
        note("This is a file of PoofDB 0.x: poof upgrade")
        return
    print()
    write_records([{**slot, "created": slot["created"][:16].replace("T", " ")} for slot in slots], format_)


@commands.command(
    cls=Command, rich_help_panel=PANEL, epilog=example("poof ls cluster.poof", "poof ls cluster.poof my_db")
)
@on_cluster
async def ls(
    cluster: "PoofCluster",
    database: Annotated[
        str | None, typer.Argument(metavar="DATABASE", help="Only this database.", show_default=False)
    ] = None,
    format_: FormatOption = None,
) -> None:
    """List databases and collections: how many documents, how much room, which indexes."""
    from poof.cli.session import find_database

    if database is not None:
        await find_database(cluster, database)
    names = await cluster.list_database_names()
    with working("Looking at every page"):
        found = await cluster.stats()
    _write_list([name for name in names if database in (None, name)], found, format_)


@commands.command(cls=Command, rich_help_panel=PANEL, epilog=example("poof upgrade old.poof"))
def upgrade(file: FileArgument, key_file: KeyFileOption = None) -> None:
    """Bring a file of PoofDB 0.x to the current format. The old one stays beside it, as FILE.v0.bak."""
    from poof.cli.credentials import find_secret
    from poof.cli.session import look_at, opened, run

    async def make() -> None:
        with working("Upgrading"):
            async with opened(file, secret):
                pass

    path = os.fspath(file)
    found = look_at(file)
    if found.header is not None:
        note(f"{path} has the current format, {found.header.format}. Nothing was changed.")
        return
    secret = find_secret(path, None, key_file)
    run(make())
    note(f"Upgraded {path}. The old file is {os.path.realpath(path)}.v0.bak.")


def _create(path: str, *, key: str | None = None, password: str | None = None) -> None:
    from poof.cli.session import run
    from poof.cluster import PoofCluster

    async def create() -> None:
        await (await PoofCluster.create(path, key, password=password)).close()

    run(create())


def _create_with_keyring(path: str) -> None:
    from poof.cli.session import run
    from poof.cluster import PoofCluster

    async def create() -> None:
        await (await PoofCluster.create(path, keyring=True, on_recovery_code=print_at_once)).close()

    def print_at_once(code: str) -> None:
        print(code, flush=True)

    run(create())


def _create_and_print(path: str, key: str) -> None:
    """A cluster whose key nobody could read is taken away again."""
    _create(path, key=key)
    try:
        sys.stdout.write(f"{key}\n")
        sys.stdout.flush()
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise


def _write_list(databases: Sequence[str], stats: "ClusterStats", chosen: Format | None) -> None:
    """What `ls` says: a record for each collection, and one for a database without any."""
    for_people = Results(chosen).format is Format.TABLE
    records: list[dict[str, Any]] = []
    for name in databases:
        collections = [collection for collection in stats.collections if collection.database == name]
        for collection in collections:
            indexes, size_ = list(collection.index_bytes), collection.total_bytes
            records.append(
                {
                    "database": name,
                    "collection": collection.name,
                    "documents": collection.documents,
                    "size": size(size_) if for_people else size_,
                    "indexes": ", ".join(indexes) if for_people else indexes,
                }
            )
        if not collections:
            records.append({"database": name})
    write_records(records, chosen, empty="There are no databases.")


def _slot_record(slot: "KeySlot") -> dict[str, Any]:
    created = datetime.fromtimestamp(slot.created, UTC)
    return {"id": slot.id, "kind": slot.kind, "label": slot.label, "created": created.isoformat()}
