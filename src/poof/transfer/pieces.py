"""Blocks of bytes, as they are read, cut into the text of one document each.

Pure. It knows as much of JSON as it takes to find where an object ends.

Invariant: no more is kept than one block and the document that goes on after it, which may have `LONGEST` bytes.
"""

import re
from typing import Protocol

from poof.encoding.scalars import MAX_DOCUMENT_SIZE
from poof.errors import DocumentTooLargeError, InvalidDocumentError
from poof.transfer.objects import Piece

LONGEST = 4 * MAX_DOCUMENT_SIZE
"""Bytes of the text of one document. Spaces and escapes can make it longer than what is stored of it."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_SPACE = b" \t\r\n"
_NEXT = re.compile(rb"[^ \t\r\n]")
_PLAIN = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"){0,100}+', re.DOTALL)
"""Whole strings, and all else but brackets: where no object begins or ends. Bounded, as its parts take memory."""
_INSIDE = re.compile(rb'["\\]')


class Cutter(Protocol):
    """Cuts blocks into pieces."""

    def feed(self, block: bytes) -> list[Piece]:
        """The pieces that end in the next block."""

    def end(self) -> list[Piece]:
        """What is left after the last block."""


class LineCutter:
    """One document on each line; lines without anything on them are skipped."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._line = 0

    def feed(self, block: bytes) -> list[Piece]:
        """The pieces that end in the next block."""
        if b"\n" not in block:
            self._parts.append(block)
            self._size += len(block)
            _check_size(self._size, f"Line {self._line + 1}")
            return []
        *lines, rest = b"".join([*self._parts, block]).split(b"\n")
        self._parts, self._size = [rest], len(rest)
        return self._pieces(lines)

    def end(self) -> list[Piece]:
        """The last line, which need not be ended."""
        return self._pieces([b"".join(self._parts)])

    def _pieces(self, lines: list[bytes]) -> list[Piece]:
        if self._line == 0:
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        first = self._line + 1
        self._line += len(lines)
        return [
            Piece(f"Line {number}", line) for number, line in enumerate(lines, first) if line and not line.isspace()
        ]


class ArrayCutter:
    """One JSON array of documents."""

    def __init__(self) -> None:
        self._text = b""
        self._offset = 0
        """Of the text in all bytes."""
        self._at = 0
        """How far the text was looked at."""
        self._start = 0
        """Of the object that is being read."""
        self._depth = 0
        """How many brackets are open inside the array."""
        self._in_string = False
        self._expected = "["
        self._number = 0

    def feed(self, block: bytes) -> list[Piece]:
        """The pieces that end in the next block."""
        keep = self._start if self._depth else self._at
        self._text = self._text[keep:] + block
        self._offset += keep
        self._at -= keep
        self._start = 0
        pieces = []
        while self._find_end() if self._depth else self._find_start():
            if self._depth == 0:
                pieces.append(Piece(self._place(), self._text[self._start : self._at]))
                self._expected = ",]"
        _check_size(len(self._text) - self._start if self._depth else 0, self._place())
        return pieces

    def end(self) -> list[Piece]:
        """Nothing, where the array is whole."""
        if self._expected:
            raise InvalidDocumentError("The JSON array does not end. Nothing was imported.")
        return []

    def _find_start(self) -> bool:
        """Goes on to the next object; `False` where there is none in the text."""
        if self._offset == 0 and self._expected == "[":
            mark = self._text[: len(BYTE_ORDER_MARK)]
            if mark != BYTE_ORDER_MARK and BYTE_ORDER_MARK.startswith(mark):
                return False  # more of it may come
            self._at = max(self._at, len(BYTE_ORDER_MARK) if mark == BYTE_ORDER_MARK else 0)
        while found := _NEXT.search(self._text, self._at):
            character = found[0].decode("latin-1")
            if character not in self._expected or not self._expected:
                self._refuse(found.start())
            self._at = found.end()
            match character:
                case "[":
                    self._expected = "{]"
                case ",":
                    self._expected = "{"
                case "]":
                    self._expected = ""
                case _:
                    self._start, self._depth = found.start(), 1
                    self._number += 1
                    return True
        self._at = len(self._text)
        return False

    def _find_end(self) -> bool:
        """Goes on to the end of the object that has begun; `False` where it is not in the text."""
        text, end = self._text, len(self._text)
        while self._at < end:
            if self._in_string:
                found = _INSIDE.search(text, self._at)
                if found is None:
                    self._at = end
                elif found[0] == b"\\":
                    if found.end() == end:
                        self._at = found.start()  # what it escapes is yet to come
                        return False
                    self._at = found.end() + 1
                else:
                    self._in_string = False
                    self._at = found.end()
                continue
            start, self._at = self._at, _end_of_plain(text, self._at)
            match text[self._at : self._at + 1]:
                case b"{" | b"[":
                    self._depth += 1
                    self._at += 1
                case b"}" | b"]":
                    self._depth -= 1
                    self._at += 1
                    if self._depth == 0:
                        return True
                case b'"' if self._at == start:  # a string that does not end in this text
                    self._in_string = True
                    self._at += 1
        return False

    def _refuse(self, at: int) -> None:
        where = f"Byte {self._offset + at + 1}"
        expected = {
            "[": "should begin a JSON array",
            "{]": "should begin an object, or end the array",
            "{": "should begin an object",
            ",]": "should be a comma before the next object, or end the array",
            "": "comes after the end of the JSON array",
        }[self._expected]
        raise InvalidDocumentError(f"{where} {expected}. Nothing was imported.")

    def _place(self) -> str:
        return f"Document {self._number} (at byte {self._offset + self._start + 1})"


def _end_of_plain(text: bytes, at: int) -> int:
    found = _PLAIN.match(text, at)
    return at if found is None else found.end()


def _check_size(size: int, place: str) -> None:
    if size > LONGEST:
        raise DocumentTooLargeError(
            f"{place} has more than {LONGEST:,} bytes; a document has at most {MAX_DOCUMENT_SIZE:,} (64 MiB). "
            "Nothing was imported."
        )
