"""The commands together."""

from typing import Any

import typer

from poof.cli import care, documents, files, indexes, keys, shell, transfers
from poof.cli.help import new_group


def command() -> Any:
    """The whole command line, as Typer's command."""
    app = new_group(
        "An encrypted document database in one file.",
        epilog="The key comes from --key-file, the variable POOF_KEY, the system's keyring, or a hidden prompt; never "
        "from an argument.",
    )
    for commands in (documents.commands, shell.commands, files.commands, care.commands):
        app.add_typer(commands)
    for name, group in (("index", indexes.commands), ("import", transfers.imports), ("export", transfers.exports)):
        app.add_typer(group, name=name, rich_help_panel="Documents")
    app.add_typer(keys.commands, name="keys", rich_help_panel="Keys")
    return typer.main.get_command(app)
