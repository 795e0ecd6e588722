"""Where the command begins and ends: its exit code, and what it says when it fails.

Errors end here, as one line on stderr. What commands need is imported when they run, so that `--help` and the
completion of shells are quick.
"""

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence

from poof.cli.failures import ExitCode, PipeClosedError, describe, exit_code, one_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line, by default that of the process, and returns its exit code."""
    _prepare_streams()
    if arguments is None:
        _end_all_signals_alike()
    logging.basicConfig(format="poof: %(message)s", level=logging.WARNING)
    try:
        return _run(arguments)
    except (PipeClosedError, BrokenPipeError):
        _forget_output()
        return ExitCode.PIPE
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:
        _say(describe(error))
        try:
            sys.stdout.flush()
        except OSError:
            _forget_output()
        return exit_code(error)


def _run(arguments: Sequence[str] | None) -> int:
    import typer

    from poof.cli.app import command

    try:
        code = command().main(arguments, prog_name="poof", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:
        return _interrupted()
    except typer.TyperException as error:  # the command line is not valid
        context = getattr(error, "ctx", None)
        path = "poof" if context is None else context.command_path
        message = one_line(error.format_message())
        _say(f"{message if message.endswith(('.', '?')) else f'{message}.'} Try: {path} --help")
        return ExitCode.USAGE
    if code == ExitCode.INTERRUPTED:
        return _interrupted()
    return code if isinstance(code, int) else ExitCode.DONE


def _prepare_streams() -> None:
    """Text that a terminal or file cannot show ends no command: pipes and files get UTF-8, a terminal what it can."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _end_all_signals_alike() -> None:
    """A terminal that is closed, or a system that ends its programs, is like Ctrl-C: what is half done is undone."""
    for name in ("SIGHUP", "SIGTERM"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), lambda *_: signal.raise_signal(signal.SIGINT))


def _interrupted() -> int:
    if sys.stderr.isatty():
        sys.stderr.write("\n")  # after the ^C that the terminal shows
    return ExitCode.INTERRUPTED


def _say(line: str) -> None:
    with contextlib.suppress(OSError):
        print(f"poof: {line}", file=sys.stderr)


def _forget_output() -> None:
    """Lets the interpreter, which flushes stdout when it ends, write into nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
