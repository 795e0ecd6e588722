"""What the shell offers while somebody types, and its colours."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

from poof.cli import language

COMMANDS = ("begin", "commit", "exit", "help", "quit", "rollback", "show", "use")
SHOWN = ("collections", "databases", "indexes")
OPERATORS = (
    "$addToSet", "$all", "$and", "$comment", "$currentDate", "$each", "$elemMatch", "$eq", "$exists", "$gt", "$gte",
    "$in", "$inc", "$lt", "$lte", "$max", "$min", "$mod", "$mul", "$ne", "$nin", "$nor", "$not", "$options",
    "$or", "$pop", "$position", "$pull", "$pullAll", "$push", "$regex", "$rename", "$set", "$setOnInsert",
    "$size", "$slice", "$sort", "$type", "$unset",
)  # fmt: skip

_OPERATOR = re.compile(r"""["'](\$\w*)$""")
_NAME_IN_QUOTES = re.compile(r"""["']([\w.]*)$""")
_MEMBER = re.compile(r"(?P<of>[\w.]+|[\])])\.(?P<start>\w*)$")
_WORD = re.compile(r"(\w*)$")
_TOKEN = re.compile(
    r"""(?P<operator>["']\$\w*["']?)|(?P<string>"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)"""
    r"""|(?P<number>\b\d[\d.]*\b)|(?P<method>(?<=\.)\w+(?=\())|(?P<word>\b\w+\b)"""
)
_WORDS = frozenset({*language.VALUES, *language.TYPES, *language.NAMES, "True", "False", "None"})

STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "operator": "ansimagenta",
        "string": "ansigreen",
        "number": "ansicyan",
        "method": "ansiblue",
        "word": "ansiyellow",
    }
)


@dataclass
class Known:
    """The names that a completion can offer."""

    databases: list[str] = field(default_factory=list)
    collections: list[str] = field(default_factory=list)
    fields: set[str] = field(default_factory=set)


def offers(text: str, known: Known) -> tuple[str, list[str]]:
    """What has been typed of the last word, and everything that it may become."""
    if match := _OPERATOR.search(text):
        return _matching(match[1], OPERATORS)
    if _is_open(text) and (match := _NAME_IN_QUOTES.search(text)):
        return _matching(match[1], known.fields)
    if _is_open(text):
        return "", []
    if text.startswith("use "):
        return _matching(text.removeprefix("use "), known.databases)
    if text.startswith("show "):
        return _matching(text.removeprefix("show "), SHOWN)
    if match := _MEMBER.search(text):
        return _matching(match["start"], _members(match["of"], known))
    match = _WORD.search(text)
    start = match[1] if match else ""
    names = [name for name in known.collections if name.isidentifier()]
    words = (*names, *language.VALUES, *language.TYPES, *language.NAMES)
    return _matching(start, (*words, *COMMANDS) if start == text else words)


def _members(of: str, known: Known) -> Iterable[str]:
    if of == "F" or of.startswith("F."):
        return (*(name for name in known.fields if name.isidentifier()), *(language.FIELD_METHODS if of != "F" else ()))
    if of == "db":
        return (*(name for name in known.collections if name.isidentifier()), *language.DATABASE_METHODS)
    if of == "cluster":
        return language.CLUSTER_METHODS
    return language.CURSOR_METHODS if of == ")" else language.COLLECTION_METHODS


def _matching(start: str, names: Iterable[str]) -> tuple[str, list[str]]:
    return start, sorted({name for name in names if name.startswith(start)})


def _is_open(text: str) -> bool:
    """Whether the text ends inside quotes."""
    quote = ""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\" and quote:
            escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
    return bool(quote)


class ShellCompleter(Completer):
    """Offers what is known. It reads no database: what is known is brought up to date after each line."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """The offers at the cursor."""
        start, names = offers(document.text_before_cursor, self._known)
        for name in names:
            yield Completion(name, start_position=-len(start))


class ShellLexer(Lexer):
    """Colours strings, operators, numbers, methods and the words of the language."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """The coloured parts of each line."""
        return lambda number: highlighted(document.lines[number])


def highlighted(line: str) -> StyleAndTextTuples:
    """A line in coloured parts."""
    parts: StyleAndTextTuples = []
    end = 0
    for match in _TOKEN.finditer(line):
        kind = match.lastgroup or ""
        if kind == "word" and match[0] not in _WORDS:
            kind = ""
        parts.append(("", line[end : match.start()]))
        parts.append((f"class:{kind}" if kind else "", match[0]))
        end = match.end()
    parts.append(("", line[end:]))
    return parts
