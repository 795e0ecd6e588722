"""What arguments say: documents, filters, fields, times.

A document or filter is JSON in the argument itself, which begins with a bracket; or the name of a file; or `-` for
stdin. An argument can be seen by other users of the machine, a file or stdin cannot.
"""

import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from poof.cli.failures import CommandError, ExitCode

_JSON_START = ("{", "[")
_TIME = re.compile(r"(\d{1,9})([smhd])")
_TIME_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_object(argument: str, what: str) -> dict[str, Any]:
    """The one JSON object that an argument stands for: a filter, an update, an id's new data."""
    value = _parse(_text(argument, what), what)
    if not isinstance(value, dict):
        raise _usage(f"The {what} is not a JSON object, as {{...}} is.")
    return value


def read_documents(argument: str) -> list[dict[str, Any]]:
    """The documents that an argument stands for: one JSON object, an array of them, or one in each line."""
    text = _text(argument, "document")
    if not text.strip():
        return []
    try:
        value = _parse(text, "document")
    except CommandError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].rstrip().endswith("}"):
            raise
        value = [_parse(line, f"document in line {number}") for number, line in enumerate(lines, start=1)]
    documents = value if isinstance(value, list) else [value]
    if not all(isinstance(document, dict) for document in documents):
        raise _usage("A document is a JSON object, as {...} is.")
    return documents


def parse_sort(text: str) -> list[tuple[str, int]]:
    """Fields with their directions: `city,-age`."""
    return [(name.removeprefix("-"), -1 if name.startswith("-") else 1) for name in parse_names(text)]


def parse_projection(text: str) -> dict[str, int]:
    """The fields to show, as `name,age`, or those to leave out, as `-tags`."""
    return {name.removeprefix("-"): 0 if name.startswith("-") else 1 for name in parse_names(text)}


def parse_time(text: str) -> timedelta:
    """A length of time: `90s`, `15m`, `12h` or `30d`."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise _usage(f"{text!r} is not a length of time, as 90s, 15m, 12h or 30d is.")
    return timedelta(**{_TIME_UNITS[match[2]]: int(match[1])})


def parse_names(text: str) -> list[str]:
    """Names with commas between them."""
    return [name.strip() for name in text.split(",")]


def _text(argument: str, what: str) -> str:
    if argument.lstrip().startswith(_JSON_START):
        return argument
    try:
        return sys.stdin.read() if argument == "-" else Path(argument).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _usage(f"The {what} {argument!r} is neither JSON, as {{...}} is, nor the name of a file.") from None
    except UnicodeDecodeError:
        raise _usage(f"The {what} is not UTF-8 text.") from None


def _parse(text: str, what: str) -> Any:
    # Not by orjson, which takes an integer beyond 64 bits for a fraction.
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _usage(f"The {what} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except (RecursionError, ValueError):
        raise _usage(
            f"The {what} is not JSON that can be stored: too deep, or a number that JSON does not know."
        ) from None


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


def _usage(message: str) -> CommandError:
    return CommandError(message, ExitCode.USAGE)
