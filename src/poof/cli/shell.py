"""The command shell: lines of calls, one after another, on an open cluster.

Invariants: nothing that is typed is kept on disk: the history is in memory and ends with the shell. All calls are made
by one task, to which an open transaction belongs.
"""

import contextlib
import dataclasses
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poof.cli.decorators import on_cluster
from poof.cli.documents import as_record
from poof.cli.failures import CommandError, describe
from poof.cli.help import Command, example
from poof.cli.indexes import as_record as index_record
from poof.cli.options import FormatOption
from poof.cli.output import Format, note, working, write_record, write_records
from poof.cli.values import Record, escaped, to_json

if TYPE_CHECKING:
    from poof.cli.completion import Known
    from poof.cluster import PoofCluster
    from poof.engines.contract import Transaction

commands = typer.Typer()

SHOWN_DOCUMENTS = 50
"""How many documents of a cursor are shown; `.limit(n)` asks for more."""
SAMPLED = 5
"""How many documents of a collection are looked at for the names of their fields."""

HELP = """\
use NAME                                  work in a database
show databases | collections | indexes    what there is
users.find({"age": {"$gte": 18}}).sort("name").limit(5)
users.find((F.age >= 18) & (F.city == "Paris"))
users.insert({"name": "Alice", "age": 25})
users.update_many({}, {"$inc": {"age": 1}})
db["odd name"].count_documents()          a collection of any name
begin | commit | rollback                 a transaction
exit                                      or Ctrl-D
The methods are those of the Python API, without await. Tab completes."""


@commands.command(cls=Command, rich_help_panel="Documents", epilog=example("poof shell cluster.poof my_db"))
@on_cluster
async def shell(
    cluster: "PoofCluster",
    database: Annotated[
        str | None, typer.Argument(metavar="DATABASE", help="The database to begin in.", show_default=False)
    ] = None,
    format_: FormatOption = None,
) -> None:
    """Work with a cluster line by line, as users.find({"age": 25}). Reads lines from stdin where that is a pipe."""
    await Shell(cluster, cluster.path, database, format_).run()


class Shell:
    """Lines read, evaluated and answered."""

    def __init__(self, cluster: "PoofCluster", path: str, database: str | None, chosen: Format | None) -> None:
        from poof.cli.language import Evaluator

        self._cluster = cluster
        self._path = path
        self._format = chosen
        self._evaluator: Evaluator = Evaluator(cluster, database)
        self._transaction: Transaction | None = None

    async def run(self) -> None:
        """Answers lines until they end. A transaction that is still open then is rolled back."""
        if self._evaluator.database is None:
            names = await self._cluster.list_database_names()
            self._evaluator.database = names[0] if len(names) == 1 else None
        try:
            if sys.stdin.isatty() and sys.stdout.isatty():
                await self._converse()
            else:
                for line in sys.stdin:
                    if not await self.answer(line.strip()):
                        break
        finally:
            if self._transaction is not None:
                await self._end_transaction(commits=False)
                note("The transaction was rolled back.")

    async def answer(self, line: str) -> bool:
        """Does what a line says; `False` where it ends the shell."""
        words = line.split(maxsplit=1)
        match words:
            case [] | ["#", *_]:
                pass
            case ["exit" | "quit"]:
                return False
            case ["help"]:
                print(HELP)
            case ["use", name]:
                self._evaluator.database = name
            case ["show", what]:
                await self._show(what)
            case ["begin"]:
                await self._begin()
            case ["commit"]:
                await self._end_transaction(commits=True)
            case ["rollback"]:
                await self._end_transaction(commits=False)
            case _:
                await self._write(await self._evaluator.evaluate(line))
        sys.stdout.flush()
        return True

    async def _converse(self) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import InMemoryHistory
        from prompt_toolkit.output import ColorDepth

        from poof.cli.completion import STYLE, Known, ShellCompleter, ShellLexer

        logging.getLogger("poof").setLevel(logging.ERROR)  # that a transaction is open shows in the prompt
        known = Known()
        session: PromptSession[str] = PromptSession(
            history=InMemoryHistory(),
            completer=ShellCompleter(known),
            complete_while_typing=False,
            lexer=ShellLexer(),
            style=STYLE,
            color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
        )
        print(f"{escaped(self._path)}. help shows what there is, exit ends.")
        while True:
            await self._learn(known)
            try:
                line = await session.prompt_async([("class:prompt", self._prompt())], handle_sigint=False)
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            with _failures_told(), _ended_by_ctrl_c():
                with working("Working"):
                    goes_on = await self.answer(line.strip())
                if not goes_on:
                    return

    def _prompt(self) -> str:
        return f"{escaped(self._evaluator.database or '')}{'*' if self._transaction else ''}> "

    async def _learn(self, known: "Known") -> None:
        """Brings up to date what completions offer."""
        with contextlib.suppress(Exception):  # a cluster that cannot be read says so when it is asked for something
            known.databases[:] = await self._cluster.list_database_names()
            known.collections.clear()
            if self._evaluator.database in known.databases:
                database = await self._cluster.get_database(self._evaluator.database)
                known.collections[:] = await database.list_collection_names()
                for name in known.collections:
                    for document in await (await database.get_collection(name)).find().limit(SAMPLED).to_list():
                        known.fields.update(document.data)

    async def _show(self, what: str) -> None:
        match what:
            case "databases":
                records: list[Record] = [{"database": name} for name in await self._cluster.list_database_names()]
                write_records(records, self._format, empty="There are no databases.")
            case "collections":
                names = await self._evaluator.evaluate("db.list_collection_names()")
                write_records([{"collection": name} for name in names], self._format, empty="There are no collections.")
            case "indexes":
                records = []
                for name in await self._evaluator.evaluate("db.list_collection_names()"):
                    for index in await self._evaluator.evaluate(f"db[{name!r}].list_indexes()"):
                        records.append({"collection": name, **index_record(index)})
                write_records(records, self._format, empty="There are no indexes.")
            case _:
                raise CommandError("There is: show databases, show collections, show indexes.")

    async def _begin(self) -> None:
        if self._transaction is not None:
            raise CommandError("A transaction is open: commit or rollback.")
        transaction = self._cluster.transaction()
        await transaction.__aenter__()
        self._transaction = transaction

    async def _end_transaction(self, *, commits: bool) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            raise CommandError("No transaction is open: begin.")
        error = None if commits else CommandError("rolled back")
        await transaction.__aexit__(None if error is None else type(error), error, None)

    async def _write(self, result: Any) -> None:
        from poof.cursor import PoofCursor
        from poof.document import PoofDocument
        from poof.results import Explanation, IndexInfo, InsertManyResult

        match result:
            case PoofCursor():
                await self._write_cursor(result)
            case PoofDocument():
                write_record(as_record(result), self._format)
            case Explanation() if self._format is not Format.JSON:
                print(escaped(str(result)))
            case InsertManyResult():
                print(f"Inserted {len(result.inserted_ids):,}.")
            case list() if result and isinstance(result[0], PoofDocument):
                write_records([as_record(document) for document in result], self._format)
            case list() if result and isinstance(result[0], IndexInfo):
                write_records([index_record(index) for index in result], self._format)
            case _ if dataclasses.is_dataclass(result) and not isinstance(result, type):
                write_record(dataclasses.asdict(result), self._format)
            case list() | dict() | str() | int() | float() | None:
                print(to_json(result))
            case _:
                raise CommandError("This is part of a call; help shows whole ones.")

    async def _write_cursor(self, cursor: Any) -> None:
        documents = await cursor.to_list(SHOWN_DOCUMENTS + 1)
        write_records([as_record(document) for document in documents[:SHOWN_DOCUMENTS]], self._format, empty="Nothing.")
        if len(documents) > SHOWN_DOCUMENTS:
            note(f"The first {SHOWN_DOCUMENTS}. For more: .to_list()")


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
    """Says what went wrong, and lets the shell go on."""
    try:
        yield
    except Exception as error:
        note(describe(error))


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C end the call that is under way, and not the shell."""
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None or os.name == "nt":  # where the loop knows no signals
        yield
        return
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        yield
    except asyncio.CancelledError:
        if task.uncancel() > 0:
            raise
        note("Ended.")
    finally:
        loop.remove_signal_handler(signal.SIGINT)
