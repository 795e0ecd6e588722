"""The commands that care for the file: stats, verify, compact, backup, salvage."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poof.cli.decorators import on_cluster
from poof.cli.failures import CommandError, ExitCode
from poof.cli.help import Command, example
from poof.cli.options import FileArgument, FormatOption, KeyFileOption, NewKeyOption
from poof.cli.output import Format, Results, note, working, write_record, write_records
from poof.cli.values import Record, day, plural, size

if TYPE_CHECKING:
    from poof.cluster import PoofCluster
    from poof.results import ClusterStats, SalvageReport, VerifyReport

PANEL = "The file"
commands = typer.Typer()

ToArgument = Annotated[
    Path, typer.Argument(metavar="TO", help="The new file, which must not exist yet.", show_default=False)
]


@commands.command(cls=Command, rich_help_panel=PANEL, epilog=example("poof stats cluster.poof"))
@on_cluster
async def stats(cluster: "PoofCluster", format_: FormatOption = None) -> None:
    """Show sizes, free space and the ages of pages."""
    with working("Looking at every page"):
        found = await cluster.stats()
    _write_stats(found, format_)


@commands.command(cls=Command, rich_help_panel=PANEL, epilog=example("poof verify cluster.poof"))
@on_cluster
async def verify(cluster: "PoofCluster", format_: FormatOption = None) -> None:
    """Look for everything that may be wrong with a file. Changes nothing; ends with code 5 if something is wrong."""
    with working("Verifying") as progress:
        report = await cluster.verify(progress=progress)
    _write_report(report, format_)
    if not report.ok:
        found = f"{plural(len(report.problems), 'problem')} in {cluster.path!r}"
        raise CommandError(f"{found}. To bring out what is whole: poof salvage", ExitCode.DAMAGED)


@commands.command(cls=Command, rich_help_panel=PANEL, epilog=example("poof compact cluster.poof"))
@on_cluster
async def compact(cluster: "PoofCluster") -> None:
    """Give free space back to the disk."""
    before = _file_size(cluster)
    with working("Compacting") as progress:
        await cluster.compact(progress=progress)
    note(f"{before} before, {_file_size(cluster)} now.")


@commands.command(
    cls=Command,
    rich_help_panel=PANEL,
    epilog=example(
        "poof backup cluster.poof backup.poof", "poof backup cluster.poof for-ann.poof --new-key for-ann.key"
    ),
)
def backup(
    file: FileArgument,
    to: ToArgument,
    new_key: NewKeyOption = None,
    password: Annotated[
        bool, typer.Option("--password", help="Ask for a password, which alone opens the copy.")
    ] = False,
    key_file: KeyFileOption = None,
) -> None:
    """Copy a cluster, also while programs write to it, and read the copy back. The same keys open it."""
    from poof.cli.credentials import Secret, ask_new_password, kept_key
    from poof.cli.session import opened, run, unlock

    async def copy() -> None:
        async with opened(file, secret) as cluster:
            with working("Copying") as progress:
                await cluster.backup(to, key=own.key, password=own.password, progress=progress)

    if password and new_key is not None:
        raise CommandError("--password and --new-key do not go together.", ExitCode.USAGE)
    secret = unlock(file, key_file)
    own = Secret(password=ask_new_password(f"New password for {os.fspath(to)}: ")) if password else Secret()
    if new_key is None:
        run(copy())
    else:
        with kept_key(new_key) as key:
            own = Secret(key=key)
            run(copy())
    note(f"{os.fspath(to)} is whole: {size(to.stat().st_size)}.")


@commands.command(cls=Command, rich_help_panel=PANEL, epilog=example("poof salvage damaged.poof saved.poof"))
def salvage(file: FileArgument, to: ToArgument, format_: FormatOption = None, key_file: KeyFileOption = None) -> None:
    """Bring what is whole of a damaged file into a new one, and say what is lost. The damaged one is only read."""
    from poof.cli.session import run, unlock
    from poof.cluster import PoofCluster

    async def save() -> "SalvageReport":
        with working("Salvaging") as progress:
            return await PoofCluster.salvage(file, to, secret.key, password=secret.password, progress=progress)

    secret = unlock(file, key_file)
    _write_salvage(run(save()), format_)


def _file_size(cluster: "PoofCluster") -> str:
    return size(Path(cluster.path).stat().st_size)


def _write_stats(found: "ClusterStats", chosen: Format | None) -> None:
    if Results(chosen).format is not Format.TABLE:
        write_record(dataclasses.asdict(found), chosen)
        return
    card = {
        "file": size(found.file_bytes),
        "log": size(found.log_bytes),
        "pages": found.pages,
        "free": f"{plural(found.free_pages, 'page')}, {size(found.free_bytes)}",
        "keys": found.key_slots,
        "header generation": found.header_generation,
        "oldest page": day(found.oldest_page),
        "newest page": day(found.newest_page),
        "pages by age": ", ".join(f"{age} {count:,}" for age, count in found.page_ages.items()),
    }
    write_record(card, chosen)
    print()
    rows: list[Record] = [
        {
            "database": collection.database,
            "collection": collection.name,
            "documents": f"{collection.documents:,}",
            "data": size(collection.document_bytes),
            "ids": size(collection.id_index_bytes),
            "indexes": ", ".join(f"{name} {size(count)}" for name, count in collection.index_bytes.items()),
        }
        for collection in found.collections
    ]
    write_records(rows, chosen, empty="There are no collections.")


def _write_report(report: "VerifyReport", chosen: Format | None) -> None:
    if Results(chosen).format is not Format.TABLE:
        write_record({"ok": report.ok, **dataclasses.asdict(report)}, chosen)
        return
    looked = (
        f"Looked at {plural(report.pages, 'page')}, {plural(report.log_frames, 'frame')} of the log, "
        f"{plural(report.documents, 'document')} and {report.index_entries:,} index entries."
    )
    note(looked)
    if report.ok:
        print("Nothing is wrong.")
    for problem in report.problems:
        card: dict[str, Any] = {"kind": problem.kind, "page": problem.page, "problem": problem.text}
        if problem.documents:
            card["documents"] = ", ".join(problem.documents)
        print()
        write_record(card, chosen)


def _write_salvage(report: "SalvageReport", chosen: Format | None) -> None:
    if Results(chosen).format is not Format.TABLE:
        write_record({"documents": report.documents, **dataclasses.asdict(report)}, chosen)
        return
    card = {
        "pages": report.pages,
        "damaged pages": len(report.damaged_pages),
        "missing pages": report.missing_pages,
        "pages from the log": report.log_frames,
        "pages left in the log": report.log_frames_left,
        "documents saved": report.documents,
        "of these in doubt": report.in_doubt,
        "documents known lost": len(report.lost),
        "indexes lost": len(report.lost_indexes),
    }
    write_record(card, chosen)
    for title, parts in (("Saved", report.collections), ("Lost", report.lost), ("Indexes lost", report.lost_indexes)):
        if parts:
            print(f"\n{title}:")
            write_records([dataclasses.asdict(part) for part in parts], chosen)
