"""The commands that bring documents in and out: import and export.

Layer: cli.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from poof.cli import inputs
from poof.cli.help import Command, example, new_group
from poof.cli.options import CollectionArgument, DatabaseArgument, FileArgument, KeyFileOption
from poof.cli.output import note, working
from poof.cli.values import plural

exports = new_group("Write documents into other files. All but legacy are plaintext.")
imports = new_group("Store the documents of other files.")

OutArgument = Annotated[
    str,
    typer.Argument(metavar="TO", help="The new file, which must not exist yet; - is stdout.", show_default=False),
]
NewFileArgument = Annotated[
    Path, typer.Argument(metavar="TO", help="The new file, which must not exist yet.", show_default=False)
]
SourceArgument = Annotated[
    str, typer.Argument(metavar="FROM", help="The file to read; - is stdin.", show_default=False)
]
WhereOption = Annotated[
    str,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="Only what this filter finds: JSON, the name of a file with it, or - for stdin.",
        show_default=False,
    ),
]


class Ids(StrEnum):
    """Which ids imported documents get."""

    KEEP = "keep"
    NEW = "new"


IdsOption = Annotated[Ids, typer.Option(help="Keep the ids that the file says, or give new ones.")]


@exports.command("jsonl", cls=Command, epilog=example("poof export jsonl cluster.poof my_db users users.jsonl"))
def export_jsonl(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    to: OutArgument = "-",
    filter_: WhereOption = "{}",
    key_file: KeyFileOption = None,
) -> None:
    """Write a collection as JSON Lines. It is plaintext."""
    _export(file, key_file, database, collection, to, "export_jsonl", filter_)


@exports.command("json", cls=Command, epilog=example("poof export json cluster.poof my_db users users.json"))
def export_json(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    to: OutArgument = "-",
    filter_: WhereOption = "{}",
    key_file: KeyFileOption = None,
) -> None:
    """Write a collection as one JSON array. It is plaintext."""
    _export(file, key_file, database, collection, to, "export_json", filter_)


@exports.command(
    "csv", cls=Command, epilog=example("poof export csv cluster.poof my_db users users.csv --fields name,address.city")
)
def export_csv(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    to: OutArgument = "-",
    filter_: WhereOption = "{}",
    fields: Annotated[
        str | None,
        typer.Option(metavar="FIELDS", help="The columns, as name,address.city; by default all.", show_default=False),
    ] = None,
    key_file: KeyFileOption = None,
) -> None:
    """Write a collection as CSV, for spreadsheets. It is plaintext."""
    columns = None if fields is None else inputs.parse_names(fields)
    _export(file, key_file, database, collection, to, "export_csv", filter_, fields=columns)


@exports.command(
    "sqlite-plaintext", cls=Command, epilog=example("poof export sqlite-plaintext cluster.poof plain.sqlite")
)
def export_sqlite_plaintext(file: FileArgument, to: NewFileArgument, key_file: KeyFileOption = None) -> None:
    """Write the whole cluster as an SQLite database. It is plaintext."""
    from poof.cli.session import opened, run, unlock

    async def write() -> None:
        async with opened(file, secret) as cluster:
            with working("Exporting") as progress:
                await cluster.export_sqlite_plaintext(to, progress=progress)

    secret = unlock(file, key_file)
    run(write())
    note(f"Wrote {os.fspath(to)}, which is not encrypted.")


@exports.command("legacy", cls=Command, epilog=example("poof export legacy cluster.poof old-form.poof"))
def export_legacy(file: FileArgument, to: NewFileArgument, key_file: KeyFileOption = None) -> None:
    """Write the whole cluster in the form of PoofDB 0.x, encrypted under the same key."""
    from poof.cli.session import opened, run, unlock

    async def write() -> None:
        async with opened(file, secret) as cluster:
            with working("Exporting"):
                await cluster.export_legacy(to)

    secret = unlock(file, key_file)
    run(write())
    note(f"Wrote {os.fspath(to)}.")


@imports.command("jsonl", cls=Command, epilog=example("poof import jsonl cluster.poof my_db users users.jsonl"))
def import_jsonl(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    source: SourceArgument = "-",
    ids: IdsOption = Ids.KEEP,
    key_file: KeyFileOption = None,
) -> None:
    """Store the documents of JSON Lines, all or none. Database and collection are created where there are none."""
    _import(file, key_file, database, collection, source, "import_jsonl", ids)


@imports.command("json", cls=Command, epilog=example("poof import json cluster.poof my_db users users.json --ids new"))
def import_json(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    source: SourceArgument = "-",
    ids: IdsOption = Ids.KEEP,
    key_file: KeyFileOption = None,
) -> None:
    """Store the documents of a JSON array, all or none. Database and collection are created where there are none."""
    _import(file, key_file, database, collection, source, "import_json", ids)


@imports.command(
    "legacy",
    cls=Command,
    epilog=example("poof import legacy cluster.poof old.poof --old-key-file old.key"),
)
def import_legacy(
    file: FileArgument,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The file of PoofDB 0.x.", show_default=False)],
    old_key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="A file with the key of the old file; or it is asked for.", show_default=False
        ),
    ] = None,
    key_file: KeyFileOption = None,
) -> None:
    """Bring the documents of a file of PoofDB 0.x into a cluster. The old file stays."""
    from poof.cli.credentials import ask, read_secret_file
    from poof.cli.session import look_at, opened, run, unlock

    async def store() -> None:
        async with opened(file, secret) as cluster:
            with working("Importing") as progress:
                await cluster.import_legacy(old, old_key, progress=progress)

    look_at(old)
    secret = unlock(file, key_file)
    old_key = ask(f"Key for {os.fspath(old)}: ") if old_key_file is None else read_secret_file(old_key_file)
    run(store())
    note(f"Imported {os.fspath(old)}.")


def _export(
    file: Path,
    key_file: Path | None,
    database: str,
    collection: str,
    to: str,
    method: str,
    filter_: str,
    **options: Any,
) -> None:
    from poof.cli.session import in_collection, run, unlock

    async def write() -> int:
        async with in_collection(file, secret, database, collection) as found:
            with working("Exporting") as progress:
                target = sys.stdout if to == "-" else to
                written: int = await getattr(found, method)(target, query, progress=progress, **options)
        return written

    query = inputs.read_object(filter_, "filter")
    secret = unlock(file, key_file)
    written = run(write())
    note(f"{plural(written, 'document')} exported.")


def _import(
    file: Path, key_file: Path | None, database: str, collection: str, source: str, method: str, ids: Ids
) -> None:
    from poof.cli import stdin
    from poof.cli.session import opened, run, unlock

    async def store() -> int:
        async with opened(file, secret) as cluster:
            with working("Importing") as progress:
                async with cluster.transaction():  # or the collection would stay where the import fails
                    target = await (await cluster.get_database(database)).get_collection(collection)
                    stored: int = await getattr(target, method)(origin(), ids=ids.value, progress=progress)
        return stored

    def origin() -> Any:
        if source != "-":
            return Path(source)
        return stdin.whole_lines() if method == "import_jsonl" else stdin.blocks()

    secret = unlock(file, key_file)
    stored = run(store())
    note(f"{plural(stored, 'document')} imported.")
