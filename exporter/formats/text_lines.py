"""Lines of text: those that a regular expression reads whole, and those of key=value pairs."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from exporter.formats.lines import NO_MATCH, Column, Rejected, Wanted, one_by_one


class TextLines:
    """Lines that a regular expression with named groups reads whole."""

    def __init__(self, pattern: str, wanted: Sequence[Wanted]) -> None:
        self._pattern = re.compile(pattern)
        self._groups = [self._pattern.groupindex[str(column.path[0])] - 1 for column in wanted]

    def rows(self, data: memoryview, rejected: Counter[str]) -> Sequence[Any]:
        """See `Lines`."""
        return one_by_one(data, self.row, rejected)

    def row(self, line: bytes) -> Any:
        """See `Lines`."""
        match = self._pattern.fullmatch(line.decode("utf-8", "replace"))
        if match is None:
            raise Rejected(NO_MATCH, "the pattern does not match the whole line")
        return match.groups()

    def columns(self, rows: Sequence[Any]) -> list[Column]:
        """See `Lines`."""
        return [[row[group] for row in rows] for group in self._groups]


_PAIR = re.compile(r'(?<![^\s="])([^\s="]++)=("(?:[^"\\]|\\.)*+"|\S*)')
"""A key is looked for where it may begin and nowhere in it: a long word is gone through once."""

_ESCAPED = re.compile(r"\\(.)")


class LogfmtLines:
    """Lines of `key=value key="quoted value"`, after a part that a pattern may read."""

    def __init__(self, pattern: str | None, wanted: Sequence[Wanted]) -> None:
        self._head = re.compile(pattern or "")
        self._has_pattern = pattern is not None
        self._keys = [str(column.path[0]) for column in wanted]

    def rows(self, data: memoryview, rejected: Counter[str]) -> Sequence[Any]:
        """See `Lines`."""
        return one_by_one(data, self.row, rejected)

    def row(self, line: bytes) -> Any:
        """See `Lines`."""
        text = line.decode("utf-8", "replace")
        head = self._head.match(text)
        if head is None:
            raise Rejected(NO_MATCH, "the pattern does not match the beginning of the line")
        found: dict[str, str | None] = head.groupdict()
        pairs = _PAIR.findall(text, head.end())
        if not pairs and not self._has_pattern:
            raise Rejected(NO_MATCH, "there is no key=value in the line")
        found.update(pairs)
        return found

    def columns(self, rows: Sequence[Any]) -> list[Column]:
        """See `Lines`."""
        return [[_unquoted(row.get(key)) for row in rows] for key in self._keys]


def _unquoted(value: str | None) -> str | None:
    if value is None or not value.startswith('"'):
        return value
    return _ESCAPED.sub(r"\1", value[1:-1])
