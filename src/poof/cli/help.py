"""How `--help` looks: sections of commands, plain usage lines, an example at the end."""

import shutil
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

WIDEST = 80
"""Columns; longer lines are hard to read."""


class Command(TyperCommand):
    """A command whose usage line reads `FILE DATABASE [FILTER]`."""

    def get_help(self, ctx: Any) -> str:
        """The help, as wide as the terminal."""
        return _fitted_help(self, ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Without the braces that Typer puts around what is required."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


class SectionedGroup(TyperGroup):
    """A group whose help lists the commands in sections: those of their `rich_help_panel`."""

    def get_help(self, ctx: Any) -> str:
        """The help, as wide as the terminal."""
        return _fitted_help(self, ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the sections in the order in which their first command was added."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.commands[name]
            panel = getattr(command, "rich_help_panel", None)
            title = panel if isinstance(panel, str) else "Commands"
            sections.setdefault(title, []).append((name, command.get_short_help_str(limit=200)))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def example(*lines: str) -> str:
    """The end of a command's help: how it is used."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def new_group(help_text: str, **settings: Any) -> typer.Typer:
    """A group of commands, which shows its help when it is called without one."""
    app = typer.Typer(
        help=help_text,
        cls=SectionedGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
        **settings,
    )

    @app.callback(invoke_without_command=True, help=help_text)
    def show_help(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return app


def _fitted_help(command: TyperCommand | TyperGroup, ctx: Any) -> str:
    """Typer's help is never narrower than 50 columns, and gives 30 of them to the names of options."""
    formatter = ctx.make_formatter()
    formatter.width = min(shutil.get_terminal_size().columns, WIDEST) - 2
    formatter.write_dl = partial(formatter.write_dl, col_max=min(30, formatter.width // 3))
    command.format_help(ctx, formatter)
    return str(formatter.getvalue()).rstrip("\n")
