"""The commands about indexes: list, create, drop.

Layer: cli.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from poof.cli import inputs
from poof.cli.failures import CommandError, ExitCode
from poof.cli.help import Command, example, new_group
from poof.cli.options import (
    CollectionArgument,
    DatabaseArgument,
    FileArgument,
    FormatOption,
    KeyFileOption,
)
from poof.cli.output import note, working, write_records
from poof.cli.values import Record

if TYPE_CHECKING:
    from poof.results import IndexInfo

commands = new_group("List, create and drop indexes.")


@commands.command("list", cls=Command, epilog=example("poof index list cluster.poof my_db users"))
def list_(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    format_: FormatOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """List the indexes of a collection."""
    from poof.cli.session import in_collection, run, unlock

    async def show() -> None:
        async with in_collection(file, secret, database, collection) as found:
            indexes = await found.list_indexes()
        write_records([as_record(index) for index in indexes], format_, empty=f"{collection!r} has no indexes.")

    secret = unlock(file, key_file)
    run(show())


@commands.command(
    cls=Command,
    epilog=example(
        "poof index create cluster.poof my_db users city,-age",
        """poof index create cluster.poof my_db users email --unique --where '{"email": {"$exists": true}}'""",
    ),
)
def create(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    fields: Annotated[
        str,
        typer.Argument(metavar="FIELDS", help="Fields, as city,-age; - is descending.", show_default=False),
    ],
    unique: Annotated[bool, typer.Option("--unique", help="Refuse documents with the same values.")] = False,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name; by default city_1_age_-1.", show_default=False)
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="FILTER",
            help="List only what this filter finds: JSON, the name of a file with it, or - for stdin.",
            show_default=False,
        ),
    ] = None,
    expire_after: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Delete documents so long after the time in the field: 90s, 15m, 12h or 30d.",
            show_default=False,
        ),
    ] = None,
    key_file: KeyFileOption = None,
) -> None:
    """Create an index, and print its name."""
    from poof.cli.session import in_collection, run, unlock

    async def make() -> None:
        async with in_collection(file, secret, database, collection) as found:
            with working("Indexing") as progress:
                made = await found.create_index(
                    order, unique=unique, name=name, where=condition, expire_after=expiry, progress=progress
                )
        print(made)

    order = inputs.parse_sort(fields)
    condition = None if where is None else inputs.read_object(where, "filter")
    expiry = None if expire_after is None else inputs.parse_time(expire_after)
    secret = unlock(file, key_file)
    run(make())


@commands.command(cls=Command, epilog=example("poof index drop cluster.poof my_db users city_1_age_-1"))
def drop(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the index.", show_default=False)],
    key_file: KeyFileOption = None,
) -> None:
    """Drop an index. The documents stay."""
    from poof.cli.session import in_collection, run, unlock

    async def make() -> None:
        async with in_collection(file, secret, database, collection) as found:
            if not await found.drop_index(name):
                raise CommandError(f"{collection!r} has no index {name!r}.", ExitCode.NOT_FOUND)
        note(f"Dropped {name}.")

    secret = unlock(file, key_file)
    run(make())


def as_record(index: "IndexInfo") -> Record:
    """An index, as results show it."""
    return {
        "name": index.name,
        "fields": dict(index.fields),
        "unique": index.unique,
        "multikey": index.multikey,
        "where": index.where,
        "expire_after_seconds": None if index.expire_after is None else index.expire_after.total_seconds(),
    }
