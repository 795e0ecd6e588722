"""Results on stdout, as a table, JSON or JSON Lines; everything else on stderr.

Invariant: nothing is coloured or moves where the stream is no terminal, or where NO_COLOR or TERM=dumb says so.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from poof.cli.values import Record, amount, escaped, to_json

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int, str], object]

TABLE_ROWS = 1_000
"""A longer result is written in several tables, so that it takes little memory."""
PATIENCE = 0.3
"""Seconds before a bar is shown: most commands are done by then."""
NARROW = 60
"""Columns of a terminal in which a bar has no room for more than itself."""


class Format(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


def console(stream: IO[str]) -> "Console":
    """What writes to a stream in colour, if it is a terminal that wants it."""
    from rich.console import Console

    shows_colour = is_lively(stream) and not os.environ.get("NO_COLOR")
    return Console(
        file=stream,
        force_terminal=stream.isatty(),
        color_system="auto" if shows_colour else None,
        no_color=not shows_colour,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


def is_lively(stream: IO[str]) -> bool:
    """Whether a stream is a terminal on which something may move."""
    return stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def note(text: str) -> None:
    """Says something beside the results."""
    print(escaped(text), file=sys.stderr)


class Results:
    """Writes records as they come. `end` must be called, as `with` does."""

    def __init__(self, chosen: Format | None = None) -> None:
        self.format = chosen or (Format.TABLE if sys.stdout.isatty() else Format.JSONL)
        self._waiting: list[Record] = []
        self._written = 0

    def __enter__(self) -> "Results":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._end()

    def add(self, record: Record) -> None:
        """Writes one record, perhaps together with the next ones."""
        match self.format:
            case Format.TABLE:
                self._waiting.append(record)
                if len(self._waiting) == TABLE_ROWS:
                    self._write_table()
            case Format.JSON:
                sys.stdout.write(("[\n" if self._written == 0 else ",\n") + to_json(record))
            case Format.JSONL:
                sys.stdout.write(to_json(record) + "\n")
        self._written += 1

    def _end(self) -> None:
        if self.format is Format.TABLE:
            self._write_table()
        elif self.format is Format.JSON:
            sys.stdout.write("\n]\n" if self._written else "[]\n")
        sys.stdout.flush()

    def _write_table(self) -> None:
        if self._waiting:
            from poof.cli.tables import write_table

            write_table(console(sys.stdout), self._waiting)
            self._waiting = []


def write_records(records: Sequence[Record], chosen: Format | None, *, empty: str = "") -> None:
    """Writes some records; in a terminal, that there are none."""
    with Results(chosen) as results:
        for record in records:
            results.add(record)
    if not records and empty and results.format is Format.TABLE:
        note(empty)


def write_record(record: Record, chosen: Format | None, sentence: str | None = None) -> None:
    """Writes one record; for people as a sentence, or one field to a line."""
    form = Results(chosen).format
    if form is not Format.TABLE:
        sys.stdout.write(to_json(record) + "\n")
    elif sentence is not None:
        sys.stdout.write(escaped(sentence) + "\n")
    else:
        from poof.cli.tables import write_card

        write_card(console(sys.stdout), record)
    sys.stdout.flush()


@contextlib.contextmanager
def working(label: str) -> Iterator[Progress | None]:
    """Shows on stderr that something long is under way, and how far it is; nothing if that is no terminal.

    For use on an event loop. The function it gives takes how much is done, of how much, and of what.
    """
    if not is_lively(sys.stderr):
        yield None
        return
    import asyncio

    bar = _Bar(label)
    timer = asyncio.get_running_loop().call_later(PATIENCE, bar.show)
    try:
        yield bar.update
    finally:
        timer.cancel()
        bar.hide()


class _Bar:
    """A bar of Rich, which is made when it is shown first."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._shown: Any = None
        self._task: Any = None
        self._last: tuple[int, int, str] = (0, 0, "")
        self._drawn = 0.0

    def show(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        screen = console(sys.stderr)
        wide = () if screen.width < NARROW else (TextColumn("{task.fields[amount]}"), TimeRemainingColumn())
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[part]}"), *wide)
        self._shown = Progress(*columns, console=screen, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._task = self._shown.add_task(self._label, total=None, part="", amount="")
        self._shown.start()
        self.update(*self._last)

    def update(self, done: int, total: int, unit: str) -> None:
        self._last = (done, total, unit)
        now = time.monotonic()
        if self._shown is not None and now - self._drawn > 0.05:
            self._drawn = now
            part = f"{done / total:4.0%}" if total else ""
            self._shown.update(
                self._task, completed=done, total=total or None, part=part, amount=amount(done, total, unit)
            )

    def hide(self) -> None:
        if self._shown is not None:
            self._shown.stop()
