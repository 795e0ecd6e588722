"""Arguments and options that commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from poof.cli.inputs import read_object
from poof.cli.output import Format


@dataclass(frozen=True)
class Parsed:
    """Marks an argument that a decorated command gets parsed. It is parsed before the key is asked for."""

    parse: Callable[[str], Any]


AS_FILTER = Parsed(partial(read_object, what="filter"))

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The cluster file.", show_default=False)]
DatabaseArgument = Annotated[str, typer.Argument(metavar="DATABASE", help="A database in it.", show_default=False)]
CollectionArgument = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="A collection of that database.", show_default=False)
]
FilterArgument = Annotated[
    dict[str, Any],
    AS_FILTER,
    typer.Argument(
        metavar="FILTER", help="MongoDB's filter: JSON, the name of a file with it, or - for stdin.", show_default=False
    ),
]
OptionalFilterArgument = Annotated[
    dict[str, Any] | None,
    AS_FILTER,
    typer.Argument(
        metavar="FILTER",
        help="MongoDB's filter: JSON, the name of a file with it, or - for stdin. Without it: all documents.",
        show_default=False,
    ),
]
KeyFileOption = Annotated[
    Path | None,
    typer.Option("--key-file", metavar="PATH", help="A file that holds the key or the password.", show_default=False),
]
FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="How results are written. By default: table in a terminal, jsonl elsewhere.",
        show_default=False,
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.", show_default=False)]
NewKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--new-key",
        metavar="PATH",
        help="Write a new key into this file, which must not exist yet.",
        show_default=False,
    ),
]
