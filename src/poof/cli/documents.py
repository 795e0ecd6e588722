"""The commands about documents: find, get, count, insert, update, delete.

Layer: cli.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from poof.cli import inputs
from poof.cli.failures import CommandError, ExitCode
from poof.cli.help import Command, example
from poof.cli.options import (
    CollectionArgument,
    DatabaseArgument,
    FileArgument,
    FilterArgument,
    FormatOption,
    KeyFileOption,
    OptionalFilterArgument,
    YesOption,
)
from poof.cli.output import Results, working, write_record
from poof.cli.values import Record, plural

if TYPE_CHECKING:
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
def find(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    filter_: OptionalFilterArgument = "{}",
    sort: Annotated[
        str | None,
        typer.Option(metavar="FIELDS", help="Fields to sort by, as city,-age; - is descending.", show_default=False),
    ] = None,
    skip: Annotated[int, typer.Option(metavar="N", help="Leave out the first N.", show_default=False)] = 0,
    limit: Annotated[int, typer.Option(metavar="N", help="At most N; 0 is all.", show_default=False)] = 0,
    project: Annotated[
        str | None,
        typer.Option(
            metavar="FIELDS", help="Fields to show, as name,age; or to hide, as -tags,-_objId.", show_default=False
        ),
    ] = None,
    format_: FormatOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Show the documents that a filter finds."""
    from poof.cli.session import in_collection, run, unlock

    async def show() -> None:
        async with in_collection(file, secret, database, collection) as found:
            cursor = found.find(query, fields or None).skip(skip).limit(limit)
            if order is not None:
                cursor.sort(order)
            with Results(format_) as results:
                async for document in cursor:
                    results.add(as_record(document) if shows_id else document.data)

    query = inputs.read_object(filter_, "filter")
    order = None if sort is None else inputs.parse_sort(sort)
    fields = {} if project is None else inputs.parse_projection(project)
    shows_id = fields.pop("_objId", 1) == 1  # which the library never leaves out
    secret = unlock(file, key_file)
    run(show())


@commands.command(cls=Command, rich_help_panel=PANEL, epilog=example("poof get cluster.poof my_db users Xh2Rk9Qw7LmZ"))
def get(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    obj_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the document.", show_default=False)],
    format_: FormatOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Show one document by its id."""
    from poof.cli.session import in_collection, run, unlock

    async def show() -> None:
        async with in_collection(file, secret, database, collection) as found:
            document = await found.find_by_id(obj_id)
        if document is None:
            raise CommandError(f"There is no document {obj_id!r} in {collection!r}.", ExitCode.NOT_FOUND)
        write_record(as_record(document), format_)

    secret = unlock(file, key_file)
    run(show())


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example("""poof count cluster.poof my_db users '{"age": {"$gte": 18}}'"""),
)
def count(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    filter_: OptionalFilterArgument = "{}",
    key_file: KeyFileOption = None,
) -> None:
    """Count the documents that a filter finds."""
    from poof.cli.session import in_collection, run, unlock

    async def show() -> None:
        async with in_collection(file, secret, database, collection) as found:
            with working("Counting"):
                number = await found.count_documents(query)
        print(number)

    query = inputs.read_object(filter_, "filter")
    secret = unlock(file, key_file)
    run(show())


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example(
        """poof insert cluster.poof my_db users '{"name": "Alice", "age": 25}'""",
        "poof insert cluster.poof my_db users people.json",
    ),
)
def insert(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    documents: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENTS",
            help="JSON, the name of a file with it, or - for stdin: an object, an array of them, or one in each line.",
            show_default=False,
        ),
    ],
    key_file: KeyFileOption = None,
) -> None:
    """Store documents, all or none, and print their ids. Database and collection are created where there are none."""
    from poof.cli.session import opened, run, unlock

    async def store() -> None:
        async with opened(file, secret) as cluster:
            with working("Inserting"):
                async with cluster.transaction():
                    target = await (await cluster.get_database(database)).get_collection(collection)
                    result = await target.insert_many(data)
        for obj_id in result.inserted_ids:
            print(obj_id)

    data = inputs.read_documents(documents)
    secret = unlock(file, key_file)
    run(store())


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example("""poof update cluster.poof my_db users '{"name": "Alice"}' '{"$inc": {"age": 1}}'"""),
)
def update(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    filter_: FilterArgument,
    change: Annotated[
        str,
        typer.Argument(
            metavar="UPDATE",
            help='MongoDB\'s update, as {"$set": ...}: JSON, the name of a file with it, or - for stdin.',
            show_default=False,
        ),
    ],
    many: Annotated[bool, typer.Option("--many", help="Every document that is found, not just the first.")] = False,
    upsert: Annotated[bool, typer.Option("--upsert", help="Insert a document where none is found.")] = False,
    format_: FormatOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Change the first document that a filter finds, or all of them."""
    from poof.cli.session import in_collection, run, unlock

    async def make() -> None:
        async with in_collection(file, secret, database, collection) as found:
            with working("Updating"):
                result = await (found.update_many if many else found.update_one)(query, operators, upsert=upsert)
        sentence = f"{plural(result.matched_count, 'document')} found, {result.modified_count:,} changed."
        if result.upserted_id is not None:
            sentence = f"Inserted {result.upserted_id}."
        record = {
            "matched_count": result.matched_count,
            "modified_count": result.modified_count,
            "upserted_id": result.upserted_id,
        }
        write_record(record, format_, sentence)

    query = inputs.read_object(filter_, "filter")
    operators = inputs.read_object(change, "update")
    secret = unlock(file, key_file)
    run(make())


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example("""poof delete cluster.poof my_db users '{"age": {"$lt": 18}}' --yes"""),
)
def delete(
    file: FileArgument,
    database: DatabaseArgument,
    collection: CollectionArgument,
    filter_: FilterArgument,
    yes: YesOption = False,
    format_: FormatOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Delete every document that a filter finds. Asks first, where that is more than one."""
    from poof.cli.session import find_collection, opened, run, unlock

    async def make() -> None:
        async with opened(file, secret) as cluster:
            found = await find_collection(cluster, database, collection)
            most = None
            if not yes:
                most = await found.count_documents(query)
                if most > 1:
                    confirm(f"Delete {plural(most, 'document')} of {collection}?", f"{most:,} documents would go")
            with working("Deleting"):
                async with cluster.transaction():
                    result = await found.delete_many(query)
                    if most is not None and result.deleted_count > max(most, 1):
                        raise CommandError("More documents fit now than when you were asked. Nothing was deleted.")
        record = {"deleted_count": result.deleted_count}
        write_record(record, format_, f"{plural(result.deleted_count, 'document')} deleted.")

    query = inputs.read_object(filter_, "filter")
    secret = unlock(file, key_file)
    run(make())


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
