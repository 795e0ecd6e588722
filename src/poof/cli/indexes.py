"""The commands about indexes: list, create, drop."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poof.cli import inputs
from poof.cli.decorators import on_collection
from poof.cli.failures import CommandError, ExitCode
from poof.cli.help import Command, example, new_group
from poof.cli.options import AS_FILTER, FormatOption, Parsed
from poof.cli.output import note, working, write_records
from poof.cli.values import Record

if TYPE_CHECKING:
    from poof.collection import PoofCollection
    from poof.results import IndexInfo

commands = new_group("List, create and drop indexes.")


@commands.command("list", cls=Command, epilog=example("poof index list cluster.poof my_db users"))
@on_collection
async def list_(collection: "PoofCollection", format_: FormatOption = None) -> None:
    """List the indexes of a collection."""
    indexes = await collection.list_indexes()
    write_records([as_record(index) for index in indexes], format_, empty=f"{collection.name!r} has no indexes.")


@commands.command(
    cls=Command,
    epilog=example(
        "poof index create cluster.poof my_db users city,-age",
        """poof index create cluster.poof my_db users email --unique --where '{"email": {"$exists": true}}'""",
    ),
)
@on_collection
async def create(
    collection: "PoofCollection",
    fields: Annotated[
        list[tuple[str, int]],
        Parsed(inputs.parse_sort),
        typer.Argument(metavar="FIELDS", help="Fields, as city,-age; - is descending.", show_default=False),
    ],
    unique: Annotated[bool, typer.Option("--unique", help="Refuse documents with the same values.")] = False,
    skip_null: Annotated[
        bool, typer.Option("--skip-null", help="Leave out documents in which all of the fields are null or missing.")
    ] = False,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its name; by default city_1_age_-1.", show_default=False)
    ] = None,
    where: Annotated[
        dict[str, Any] | None,
        AS_FILTER,
        typer.Option(
            metavar="FILTER",
            help="List only what this filter finds: JSON, the name of a file with it, or - for stdin.",
            show_default=False,
        ),
    ] = None,
    expire_after: Annotated[
        timedelta | None,
        Parsed(inputs.parse_time),
        typer.Option(
            metavar="TIME",
            help="Delete documents so long after the time in the field: 90s, 15m, 12h or 30d.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Create an index, and print its name."""
    with working("Indexing") as progress:
        made = await collection.create_index(
            fields,
            unique=unique,
            name=name,
            where=where,
            expire_after=expire_after,
            skip_null=skip_null,
            progress=progress,
        )
    print(made)


@commands.command(cls=Command, epilog=example("poof index drop cluster.poof my_db users city_1_age_-1"))
@on_collection
async def drop(
    collection: "PoofCollection",
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the index.", show_default=False)],
) -> None:
    """Drop an index. The documents stay."""
    if not await collection.drop_index(name):
        raise CommandError(f"{collection.name!r} has no index {name!r}.", ExitCode.NOT_FOUND)
    note(f"Dropped {name}.")


def as_record(index: "IndexInfo") -> Record:
    """An index, as results show it."""
    return {
        "name": index.name,
        "fields": dict(index.fields),
        "unique": index.unique,
        "skip_null": index.skip_null,
        "multikey": index.multikey,
        "where": index.where,
        "expire_after_seconds": None if index.expire_after is None else index.expire_after.total_seconds(),
    }
