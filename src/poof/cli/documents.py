"""The commands about documents: find, get, count, insert, update, delete."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poof.cli import inputs
from poof.cli.decorators import on_cluster, on_collection
from poof.cli.failures import CommandError, ExitCode
from poof.cli.help import Command, example
from poof.cli.options import (
    CollectionArgument,
    DatabaseArgument,
    FilterArgument,
    FormatOption,
    OptionalFilterArgument,
    Parsed,
    YesOption,
)
from poof.cli.output import Results, working, write_record
from poof.cli.values import Record, plural

if TYPE_CHECKING:
    from poof.cluster import PoofCluster
    from poof.collection import PoofCollection
    from poof.document import PoofDocument

PANEL = "Documents"
commands = typer.Typer()


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example(
        """poof find cluster.poof my_db users '{"age": {"$gte": 18}}' --sort -age""",
        """poof find cluster.poof my_db users --project name,age --format json""",
    ),
)
@on_collection
async def find(
    collection: "PoofCollection",
    filter_: OptionalFilterArgument = None,
    sort: Annotated[
        list[tuple[str, int]] | None,
        Parsed(inputs.parse_sort),
        typer.Option(metavar="FIELDS", help="Fields to sort by, as city,-age; - is descending.", show_default=False),
    ] = None,
    skip: Annotated[int, typer.Option(metavar="N", help="Leave out the first N.", show_default=False)] = 0,
    limit: Annotated[int, typer.Option(metavar="N", help="At most N; 0 is all.", show_default=False)] = 0,
    project: Annotated[
        dict[str, int] | None,
        Parsed(inputs.parse_projection),
        typer.Option(
            metavar="FIELDS", help="Fields to show, as name,age; or to hide, as -tags,-_objId.", show_default=False
        ),
    ] = None,
    format_: FormatOption = None,
) -> None:
    """Show the documents that a filter finds."""
    fields = project or {}
    shows_id = fields.pop("_objId", 1) == 1  # which the library never leaves out
    cursor = collection.find(filter_, fields or None).skip(skip).limit(limit)
    if sort is not None:
        cursor.sort(sort)
    with Results(format_) as results:
        async for document in cursor:
            results.add(as_record(document) if shows_id else document.data)


@commands.command(cls=Command, rich_help_panel=PANEL, epilog=example("poof get cluster.poof my_db users Xh2Rk9Qw7LmZ"))
@on_collection
async def get(
    collection: "PoofCollection",
    obj_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the document.", show_default=False)],
    format_: FormatOption = None,
) -> None:
    """Show one document by its id."""
    document = await collection.find_by_id(obj_id)
    if document is None:
        raise CommandError(f"There is no document {obj_id!r} in {collection.name!r}.", ExitCode.NOT_FOUND)
    write_record(as_record(document), format_)


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example("""poof count cluster.poof my_db users '{"age": {"$gte": 18}}'"""),
)
@on_collection
async def count(collection: "PoofCollection", filter_: OptionalFilterArgument = None) -> None:
    """Count the documents that a filter finds."""
    with working("Counting"):
        number = await collection.count_documents(filter_)
    print(number)


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example(
        """poof insert cluster.poof my_db users '{"name": "Alice", "age": 25}'""",
        "poof insert cluster.poof my_db users people.json",
    ),
)
@on_cluster
async def insert(
    cluster: "PoofCluster",
    database: DatabaseArgument,
    collection: CollectionArgument,
    documents: Annotated[
        list[dict[str, Any]],
        Parsed(inputs.read_documents),
        typer.Argument(
            metavar="DOCUMENTS",
            help="JSON, the name of a file with it, or - for stdin: an object, an array of them, or one in each line.",
            show_default=False,
        ),
    ],
) -> None:
    """Store documents, all or none, and print their ids. Database and collection are created where there are none."""
    with working("Inserting"):
        async with cluster.transaction():
            target = await (await cluster.get_database(database)).get_collection(collection)
            result = await target.insert_many(documents)
    for obj_id in result.inserted_ids:
        print(obj_id)


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example("""poof update cluster.poof my_db users '{"name": "Alice"}' '{"$inc": {"age": 1}}'"""),
)
@on_collection
async def update(
    collection: "PoofCollection",
    filter_: FilterArgument,
    change: Annotated[
        dict[str, Any],
        Parsed(partial(inputs.read_object, what="update")),
        typer.Argument(
            metavar="UPDATE",
            help='MongoDB\'s update, as {"$set": ...}: JSON, the name of a file with it, or - for stdin.',
            show_default=False,
        ),
    ],
    many: Annotated[bool, typer.Option("--many", help="Every document that is found, not just the first.")] = False,
    upsert: Annotated[bool, typer.Option("--upsert", help="Insert a document where none is found.")] = False,
    format_: FormatOption = None,
) -> None:
    """Change the first document that a filter finds, or all of them."""
    make = collection.update_many if many else collection.update_one
    with working("Updating"):
        result = await make(filter_, change, upsert=upsert)
    sentence = f"{plural(result.matched_count, 'document')} found, {result.modified_count:,} changed."
    if result.upserted_id is not None:
        sentence = f"Inserted {result.upserted_id}."
    record = {
        "matched_count": result.matched_count,
        "modified_count": result.modified_count,
        "upserted_id": result.upserted_id,
    }
    write_record(record, format_, sentence)


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example("""poof delete cluster.poof my_db users '{"age": {"$lt": 18}}' --yes"""),
)
@on_cluster
async def delete(
    cluster: "PoofCluster",
    database: DatabaseArgument,
    collection: CollectionArgument,
    filter_: FilterArgument,
    yes: YesOption = False,
    format_: FormatOption = None,
) -> None:
    """Delete every document that a filter finds. Asks first, where that is more than one."""
    from poof.cli.session import find_collection

    found = await find_collection(cluster, database, collection)
    most = None
    if not yes:
        most = await found.count_documents(filter_)
        if most > 1:
            confirm(f"Delete {plural(most, 'document')} of {collection}?", f"{most:,} documents would go")
    with working("Deleting"):
        async with cluster.transaction():
            result = await found.delete_many(filter_)
            if most is not None and result.deleted_count > max(most, 1):
                raise CommandError("More documents fit now than when you were asked. Nothing was deleted.")
    record = {"deleted_count": result.deleted_count}
    write_record(record, format_, f"{plural(result.deleted_count, 'document')} deleted.")


def confirm(question: str, consequence: str) -> None:
    """Asks whether to go on.

    Raises:
        CommandError: there is no terminal to ask in.
        typer.Abort: the answer is no.
    """
    from poof.cli.credentials import is_interactive

    if not is_interactive():
        raise CommandError(
            f"{consequence}, and there is no terminal to ask in. Nothing was changed. To go on: --yes", ExitCode.USAGE
        )
    if not typer.confirm(question, err=True):
        raise CommandError("Nothing was changed.")


def as_record(document: "PoofDocument") -> Record:
    """A document with its id, as results show it."""
    return {"_objId": document.objId, **{name: value for name, value in document.data.items() if name != "_objId"}}
