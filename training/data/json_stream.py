"""Reads a JSON file that is a long list or object one element at a time: memory does not grow with the file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

CHUNK = 1 << 16  # characters read at a time; twice as many whenever an element is longer
LONGEST = 1 << 26  # characters that one element may have


def iter_list(path: Path) -> Iterator[Any]:
    """The elements of a file that holds a list.

    Raises:
        ValueError: the file is no list in UTF-8 JSON; the message says after which element.
    """
    with path.open(encoding="utf-8") as file:
        window = _Window(file)
        for _ in window.until("[", "]"):
            yield window.value()


def iter_object(path: Path) -> Iterator[tuple[str, Any]]:
    """The keys and values of a file that holds an object; raises ValueError as `iter_list` does."""
    with path.open(encoding="utf-8") as file:
        window = _Window(file)
        for _ in window.until("{", "}"):
            key = window.value()
            window.take(":")
            yield key, window.value()


class _Window:
    """The part of a file that was read and not yet used."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._done = 0  # elements

    def until(self, opening: str, closing: str) -> Iterator[None]:
        """Once for each element, which the caller then takes; checks the brackets, the commas and the end."""
        self.take(opening)
        if self._next() != closing:
            yield
            self._done += 1
            while self._next() == ",":
                self._at += 1
                yield
                self._done += 1
        self.take(closing)
        if self._next():
            raise self._error("there is more behind its end")

    def take(self, character: str) -> None:
        if self._next() != character:
            raise self._error(f"{character!r} is missing")
        self._at += 1

    def value(self) -> Any:
        self._next()
        size = CHUNK
        while True:
            try:
                found, end = json.JSONDecoder().raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # It may only be cut off.
                if len(self._text) - self._at > LONGEST or not self._read(size):
                    raise self._error(error.msg) from error
            else:
                # A number may go on behind the window.
                if end < len(self._text) or not self._read(size):
                    self._at = end
                    return found
            size *= 2

    def _next(self) -> str:
        """The next character that is no space, "" at the end of the file."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text) or not self._read(CHUNK):
                return self._text[self._at : self._at + 1]

    def _read(self, size: int) -> bool:
        more = self._file.read(size)
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)

    def _error(self, what: str) -> ValueError:
        return ValueError(f"after element {self._done}: {what}")
