"""Lines to columns: what the readers of each kind of line have in common."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

from exporter.formats.paths import Path

Column: TypeAlias = Sequence[Any]

SCALARS = (str, int, float, bool, type(None))
"""Types of values that can be a name or a figure; a list or an object cannot."""

INVALID_JSON = "invalid_json"
WRONG_TYPE = "wrong_type"
TOO_DEEP = "too_deep"
BAD_VALUE = "bad_value"
NO_STATUS = "no_status"
NO_MATCH = "no_match"

REASONS = (INVALID_JSON, WRONG_TYPE, TOO_DEEP, BAD_VALUE, NO_STATUS, NO_MATCH)
"""Why lines are rejected."""

BLANK = b"\0 \t\r\v\f"
"""What a line may have around it: NULs where a log was truncated under its writer."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Rejected(Exception):
    """A line that cannot be read.

    Attributes:
        reason: for the metric.
        hint: for a person; holds nothing of the line.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Use(Enum):
    """What a column is wanted for, on which its values' types depend."""

    NAME = "name"
    FIGURE = "figure"
    PRESENCE = "presence"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column that a mapping refers to."""

    path: Path
    use: Use


class Lines(Protocol):
    """Turns blocks of lines into rows, and rows into the columns that were asked for."""

    def rows(self, data: memoryview, rejected: Counter[str]) -> Sequence[Any]:
        """The lines that can be read, in order; the others are counted in `rejected` by reason."""
        ...

    def row(self, line: bytes) -> Any:
        """One line, not blank.

        Raises:
            Rejected: it cannot be read.
        """
        ...

    def columns(self, rows: Sequence[Any]) -> list[Column]:
        """One column for each that is wanted, shape (len(rows),); None where nothing stands."""
        ...


def not_blank(data: bytes) -> Iterator[bytes]:
    """The lines in `data` that hold something, without what surrounds it."""
    for line in data.split(b"\n"):
        if stripped := line.strip(BLANK).removeprefix(BYTE_ORDER_MARK):
            yield stripped


def one_by_one(data: memoryview, row: Callable[[bytes], Any], rejected: Counter[str]) -> list[Any]:
    """The rows of the lines in `data` that `row` can read; the others are counted by reason."""
    rows = []
    for line in not_blank(bytes(data)):
        try:
            rows.append(row(line))
        except Rejected as error:
            rejected[error.reason] += 1
    return rows


def last_lines(data: bytes, count: int) -> bytes:
    """The last lines of some, each of which ends with a newline."""
    start = len(data)
    for _ in range(count):
        start = data.rfind(b"\n", 0, max(start - 1, 0)) + 1
        if not start:
            break
    return data[start:]


def pieces(data: bytes, size: int) -> Iterator[memoryview]:
    """The lines in `data`, as many at a time as are in `size` bytes, but one at least."""
    view, start = memoryview(data), 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + size) + 1 or data.find(b"\n", start) + 1
        yield view[start : end or len(data)]
        start = end or len(data)
