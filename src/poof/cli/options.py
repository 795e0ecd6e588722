"""Arguments and options that commands share.

Layer: cli.
"""

from pathlib import Path
from typing import Annotated

import typer

from poof.cli.output import Format

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The cluster file.", show_default=False)]
DatabaseArgument = Annotated[str, typer.Argument(metavar="DATABASE", help="A database in it.", show_default=False)]
CollectionArgument = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="A collection of that database.", show_default=False)
]
FilterArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILTER", help="MongoDB's filter: JSON, the name of a file with it, or - for stdin.", show_default=False
    ),
]
OptionalFilterArgument = Annotated[
    str,
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
