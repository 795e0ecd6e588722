"""Records as tables, in as many columns as the terminal has."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from poof.cli.values import Record, escaped, to_json

NARROWEST = 8
"""Characters that a column keeps; where there is no room for that, each record is written by itself."""
BETWEEN = 2
"""Columns of the terminal between two of the table."""
STYLES = {bool: "magenta", int: "cyan", float: "cyan", type(None): "dim"}


def write_table(console: Console, records: Sequence[Record]) -> None:
    """Writes records below each other, a column for each field; or one by one, where they have too many fields."""
    names = list(dict.fromkeys(name for record in records for name in record))
    rows = [[cell(record[name]) if name in record else Text("") for name in names] for record in records]
    widths = [max(heading(name).cell_len, *(row[at].cell_len for row in rows)) for at, name in enumerate(names)]
    least = [width if name == "_objId" else min(width, NARROWEST) for name, width in zip(names, widths, strict=True)]
    room = console.width - BETWEEN * (len(names) - 1)
    if not names or sum(least) > room:
        for number, record in enumerate(records):
            if number:
                console.print()
            write_card(console, record)
        return
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for at, (name, width) in enumerate(zip(names, fitted(widths, least, room), strict=True)):
        numbers = all(type(record.get(name, 0)) in (int, float) for record in records)
        table.add_column(
            heading(name), width=width, no_wrap=True, overflow="ellipsis", justify="right" if numbers else "left",
            style="dim" if at == 0 and name == "_objId" else "",
        )  # fmt: skip
    for row in rows:
        table.add_row(*row)
    console.print(table)


def write_card(console: Console, record: Record) -> None:
    """Writes one record, a field to a line."""
    if not record:
        console.print("{}")
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, BETWEEN, 0, 0))
    table.add_column(style="bold", overflow="fold", max_width=max(NARROWEST, console.width // 2))
    table.add_column(overflow="fold")
    for name, value in record.items():
        table.add_row(heading(name), cell(value))
    console.print(table)


def heading(name: str) -> Text:
    """The name of a field."""
    return Text(escaped(name))


def cell(value: Any) -> Text:
    """A value: text as it is, everything else as JSON."""
    return Text(escaped(value) if isinstance(value, str) else to_json(value), style=STYLES.get(type(value), ""))


def fitted(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths that fit, none below its least: what can give way does, the widest first."""
    fitting = list(widths)
    while (excess := sum(fitting) - room) > 0:
        at = max((at for at in range(len(fitting)) if fitting[at] > least[at]), key=fitting.__getitem__)
        below = max((width for width in fitting if width < fitting[at]), default=0)
        fitting[at] = max(least[at], fitting[at] - excess, min(below, fitting[at] - 1))
    return fitting
