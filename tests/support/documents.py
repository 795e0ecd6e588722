"""The documents of the project, and what in their blocks of code is to be run."""

import errno
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?[^\n]*\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LONGEST_COMMAND = 60
"""Seconds."""
PASSWORD = b"four random words here\n"
"""What is typed where a program asks for a password."""


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its title, which is the name of a file, and its text."""

    language: str
    title: str | None
    text: str


def called(document: Path) -> str:
    """The name of a document, from the root of the project."""
    return str(document.relative_to(ROOT))


def blocks(document: Path, *languages: str) -> list[Block]:
    """The blocks of a document, all or those in some languages."""
    found = [Block(*match.groups()) for match in BLOCK.finditer(document.read_text())]
    return [block for block in found if not languages or block.language in languages]


def prose(document: Path) -> str:
    """The text of a document without its blocks of code."""
    return BLOCK.sub("", document.read_text())


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """The commands that a block of a console shows, each with the output that it shows."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def run_on_a_terminal(command: str, folder: Path) -> tuple[int, str]:
    """Runs a command of a shell on a terminal, and types the password wherever it is asked for one."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",  # no folder among the files that the document shows
        "PYTHONWARNINGS": "error,ignore:The configuration option",  # which pytest-asyncio wants in a settings file
        "TERM": "dumb",
        "NO_COLOR": "1",
        "COLUMNS": "80",
    }
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    output = b""
    try:
        while select.select([master], [], [], LONGEST_COMMAND)[0]:
            try:
                read = os.read(master, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                break  # the program has ended
            if not read:
                break
            output += read
            if re.search(rb"[Pp]assword[^\n]*: $", output):
                os.write(master, PASSWORD)
                output += b"\n"
        else:
            process.kill()
    finally:
        os.close(master)
        status = process.wait()
    return status, output.decode().replace("\r\n", "\n").replace("\n\n", "\n")
