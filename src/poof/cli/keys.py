"""The commands about keys: list, add, remove, change-password, recovery, rotate."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poof.cli.decorators import on_cluster
from poof.cli.failures import CommandError, ExitCode
from poof.cli.help import Command, example, new_group
from poof.cli.options import FileArgument, FormatOption, KeyFileOption, NewKeyOption
from poof.cli.output import Format, Results, note, working, write_records
from poof.cli.values import day

if TYPE_CHECKING:
    from poof.cli.credentials import Secret
    from poof.cluster import PoofCluster

commands = new_group("List, add, remove and replace the keys and passwords of a file.")

LabelOption = Annotated[
    str, typer.Option("--label", metavar="TEXT", help="What the list of keys calls it.", show_default=False)
]


@commands.command("list", cls=Command, epilog=example("poof keys list cluster.poof"))
@on_cluster
async def list_(cluster: "PoofCluster", format_: FormatOption = None) -> None:
    """List the keys and passwords that open a file: id, kind, label, when created. Never the secrets."""
    for_people = Results(format_).format is Format.TABLE
    write_records(
        [
            {
                "id": key.id,
                "kind": key.kind,
                "label": key.label,
                "created": day(key.created) if for_people else key.created.isoformat(),
            }
            for key in await cluster.keys()
        ],
        format_,
    )


@commands.command(
    cls=Command,
    epilog=example(
        "poof keys add cluster.poof --label laptop --new-key laptop.key", "poof keys add cluster.poof --password"
    ),
)
def add(
    file: FileArgument,
    label: LabelOption = "",
    new_key: NewKeyOption = None,
    password: Annotated[bool, typer.Option("--password", help="Ask for a password instead of making a key.")] = False,
    keyring: Annotated[
        bool, typer.Option("--keyring", help="Give the system's keyring a key of its own, for this computer.")
    ] = False,
    key_file: KeyFileOption = None,
) -> None:
    """Let one more key or password open a file. A new key is printed, once, or written into a file."""
    from poof.cli.credentials import ask_new_password, kept_key
    from poof.cli.session import opened, run, unlock

    async def make(key: str | None = None, new_password: str | None = None) -> str:
        async with opened(file, secret) as cluster:
            return await cluster.add_key(key, password=new_password, label=label)

    if sum((password, keyring, new_key is not None)) > 1:
        raise CommandError("Of --new-key, --password and --keyring there can be one.", ExitCode.USAGE)
    secret = unlock(file, key_file)
    if keyring:
        run(_enrol(file, secret))
        note("The keyring has a key of the file now.")
    elif password:
        run(make(new_password=ask_new_password(f"New password for {os.fspath(file)}: ")))
        note("The password opens the file now.")
    elif new_key is not None:
        with kept_key(new_key) as key:
            run(make(key))
        note(f"The key in {os.fspath(new_key)} opens the file now.")
    else:
        print(run(make()))
        note("This key opens the file now, and is shown only once.")


@commands.command(cls=Command, epilog=example("poof keys recovery cluster.poof"))
@on_cluster
async def recovery(cluster: "PoofCluster", label: LabelOption = "recovery") -> None:
    """Make a recovery code: a key to print and put away, which can be typed or read over the telephone."""
    print(await cluster.add_recovery_code(label=label))
    note("This code opens the file in place of a key, and is shown only once. Keep it on paper, away from the file.")


@commands.command(cls=Command, epilog=example("poof keys remove cluster.poof 3f9a2c1e"))
@on_cluster
async def remove(
    cluster: "PoofCluster",
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id of the key, as poof keys list shows it.", show_default=False)
    ],
) -> None:
    """Let a key or password no longer open a file. The last one stays."""
    await cluster.remove_key(key_id)
    note(f"Removed {key_id}. Who kept an older copy of the file can still open that: poof keys rotate")


@commands.command("change-password", cls=Command, epilog=example("poof keys change-password cluster.poof"))
def change_password(file: FileArgument) -> None:
    """Replace a password by another one. Asks for both."""
    from poof.cli.credentials import Secret, ask, ask_new_password
    from poof.cli.session import check_format, opened, run

    async def make() -> None:
        async with opened(file, Secret(password=old)) as cluster:
            await cluster.change_password(old, new)

    path = os.fspath(file)
    check_format(file)
    old = ask(f"Old password for {path}: ")
    new = ask_new_password(f"New password for {path}: ")
    run(make())
    note("The new password opens the file now, the old one no longer.")


@commands.command(
    cls=Command,
    epilog=example("poof keys rotate cluster.poof --keep laptop.key", "poof keys rotate cluster.poof --remove-others"),
)
def rotate(
    file: FileArgument,
    keep: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="A file with another key or password that stays. May be given again.",
            show_default=False,
        ),
    ] = None,
    remove_others: Annotated[
        bool, typer.Option("--remove-others", help="Remove every key and password that is not given.")
    ] = False,
    key_file: KeyFileOption = None,
) -> None:
    """Encrypt the whole file anew under a new data key. For a key that leaked, or a reader who must not read on."""
    from poof.cli.credentials import read_secret
    from poof.cli.session import check_format, opened, run, unlock

    async def make() -> None:
        async with opened(file, secret) as cluster:
            with working("Encrypting anew") as progress:
                await cluster.rotate(keys=keys, passwords=passwords, remove_others=remove_others, progress=progress)

    header = check_format(file)
    others = [read_secret(path, header) for path in keep or ()]
    keys = [other.key for other in others if other.key is not None]
    passwords = [other.password for other in others if other.password is not None]
    secret = unlock(file, key_file)
    run(make())
    note("Every page is encrypted under a new data key.")


async def _enrol(file: Path, secret: "Secret") -> None:
    from poof.cluster import PoofCluster

    await (await PoofCluster.create(file, secret.key, password=secret.password, keyring=True)).close()
