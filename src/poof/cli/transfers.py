"""The commands that bring documents in and out: import and export."""

import os
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poof.cli import inputs
from poof.cli.decorators import on_cluster, on_collection
from poof.cli.help import Command, example, new_group
from poof.cli.options import (
    AS_FILTER,
    CollectionArgument,
    DatabaseArgument,
    FileArgument,
    KeyFileOption,
    Parsed,
)
from poof.cli.output import note, working
from poof.cli.values import plural

if TYPE_CHECKING:
    from poof.cluster import PoofCluster
    from poof.collection import PoofCollection

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
    dict[str, Any] | None,
    AS_FILTER,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="Only what this filter finds: JSON, the name of a file with it, or - for stdin.",
        show_default=False,
    ),
]


class IdsChoice(StrEnum):
    """Which ids imported documents get."""

    KEEP = "keep"
    NEW = "new"


IdsOption = Annotated[IdsChoice, typer.Option(help="Keep the ids that the file says, or give new ones.")]


@exports.command("jsonl", cls=Command, epilog=example("poof export jsonl cluster.poof my_db users users.jsonl"))
@on_collection
async def export_jsonl(collection: "PoofCollection", to: OutArgument = "-", filter_: WhereOption = None) -> None:
    """Write a collection as JSON Lines. It is plaintext."""
    await _export(collection.export_jsonl, to, filter_)


@exports.command("json", cls=Command, epilog=example("poof export json cluster.poof my_db users users.json"))
@on_collection
async def export_json(collection: "PoofCollection", to: OutArgument = "-", filter_: WhereOption = None) -> None:
    """Write a collection as one JSON array. It is plaintext."""
    await _export(collection.export_json, to, filter_)


@exports.command(
    "csv", cls=Command, epilog=example("poof export csv cluster.poof my_db users users.csv --fields name,address.city")
)
@on_collection
async def export_csv(
    collection: "PoofCollection",
    to: OutArgument = "-",
    filter_: WhereOption = None,
    fields: Annotated[
        list[str] | None,
        Parsed(inputs.parse_names),
        typer.Option(metavar="FIELDS", help="The columns, as name,address.city; by default all.", show_default=False),
    ] = None,
) -> None:
    """Write a collection as CSV, for spreadsheets. It is plaintext."""
    await _export(partial(collection.export_csv, fields=fields), to, filter_)


@exports.command(
    "sqlite-plaintext", cls=Command, epilog=example("poof export sqlite-plaintext cluster.poof plain.sqlite")
)
@on_cluster
async def export_sqlite_plaintext(cluster: "PoofCluster", to: NewFileArgument) -> None:
    """Write the whole cluster as an SQLite database. It is plaintext."""
    with working("Exporting") as progress:
        await cluster.export_sqlite_plaintext(to, progress=progress)
    note(f"Wrote {os.fspath(to)}, which is not encrypted.")


@exports.command("legacy", cls=Command, epilog=example("poof export legacy cluster.poof old-form.poof"))
@on_cluster
async def export_legacy(cluster: "PoofCluster", to: NewFileArgument) -> None:
    """Write the whole cluster in the form of PoofDB 0.x, encrypted under the same key."""
    with working("Exporting"):
        await cluster.export_legacy(to)
    note(f"Wrote {os.fspath(to)}.")


@imports.command("jsonl", cls=Command, epilog=example("poof import jsonl cluster.poof my_db users users.jsonl"))
@on_cluster
async def import_jsonl(
    cluster: "PoofCluster",
    database: DatabaseArgument,
    collection: CollectionArgument,
    source: SourceArgument = "-",
    ids: IdsOption = IdsChoice.KEEP,
) -> None:
    """Store the documents of JSON Lines, all or none. Database and collection are created where there are none."""
    await _import(cluster, database, collection, source, "import_jsonl", ids)


@imports.command("json", cls=Command, epilog=example("poof import json cluster.poof my_db users users.json --ids new"))
@on_cluster
async def import_json(
    cluster: "PoofCluster",
    database: DatabaseArgument,
    collection: CollectionArgument,
    source: SourceArgument = "-",
    ids: IdsOption = IdsChoice.KEEP,
) -> None:
    """Store the documents of a JSON array, all or none. Database and collection are created where there are none."""
    await _import(cluster, database, collection, source, "import_json", ids)


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


async def _export(export: Callable[..., Awaitable[int]], to: str, filter_: dict[str, Any] | None) -> None:
    with working("Exporting") as progress:
        written = await export(sys.stdout if to == "-" else to, filter_, progress=progress)
    note(f"{plural(written, 'document')} exported.")


async def _import(
    cluster: "PoofCluster", database: str, collection: str, source: str, method: str, ids: IdsChoice
) -> None:
    from poof.cli import stdin

    origin: Any = Path(source)
    if source == "-":
        origin = stdin.whole_lines() if method == "import_jsonl" else stdin.blocks()
    with working("Importing") as progress:
        async with cluster.transaction():  # or the collection would stay where the import fails
            target = await (await cluster.get_database(database)).get_collection(collection)
            stored: int = await getattr(target, method)(origin, ids=ids.value, progress=progress)
    note(f"{plural(stored, 'document')} imported.")
