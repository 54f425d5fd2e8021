"""The columns of a block of requests, as they are stored.

Numbers are unsigned integers of a fixed unit, the largest one meaning "unknown"; a column that is
unknown in all of a block is not stored at all. Names are numbers of the day's dictionaries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from exporter.record import Numbers

BLOCK_ROWS = 2048
"""Requests of a full block: enough to make a blob worth it, few enough to be read at once."""

Stored = NDArray[Any]
"""A column as it is stored, shape (rows,), of its column's type."""

Names = NDArray[np.uint16]
"""Numbers of a dictionary of the day, shape (rows,)."""


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A number of a request.

    Attributes:
        id: in the file; never given to another column.
        type: unsigned integer type that it is stored as.
        steps: how many make up a unit of the record (a second, a token, …).
    """

    id: int
    name: str
    type: type[np.unsignedinteger[Any]]
    steps: float = 1.0

    @property
    def unknown(self) -> int:
        """The number that stands for an unknown one."""
        return int(np.iinfo(self.type).max)

    def stored(self, values: Numbers) -> Stored | None:
        """Values in the record's unit, NaN where unknown, as they are stored; None if all are."""
        is_unknown = np.isnan(values)
        if is_unknown.all():
            return None
        most = float(min(self.unknown - 1, 2**62))  # Near 2**64, floats lie too far apart.
        steps = np.rint(np.clip(np.nan_to_num(values), 0.0, most / self.steps) * self.steps)
        stored = steps.astype(self.type)
        stored[is_unknown] = self.unknown
        return stored


TICKS = 100_000
"""Steps of a duration in a second: 10 µs in 32 bits last for half a day."""

START_TIME = NumberColumn(0, "start_time", np.uint64, 1e6)
LATENCY = NumberColumn(1, "latency", np.uint32, TICKS)
NUMBER_COLUMNS = (
    START_TIME,
    LATENCY,
    NumberColumn(2, "time_to_first_token", np.uint32, TICKS),
    NumberColumn(3, "input_tokens", np.uint32),
    NumberColumn(4, "output_tokens", np.uint32),
    NumberColumn(5, "total_tokens", np.uint32),
    NumberColumn(6, "cached_input_tokens", np.uint32),
    NumberColumn(7, "cache_creation_input_tokens", np.uint32),
    NumberColumn(8, "reasoning_output_tokens", np.uint32),
    NumberColumn(9, "images", np.uint32),
    NumberColumn(10, "seconds", np.uint32, 1e3),
    NumberColumn(11, "characters", np.uint32),
    NumberColumn(12, "cost", np.uint64, 1e9),
    NumberColumn(13, "upstream_time", np.uint32, TICKS),
    NumberColumn(14, "estimated_cost", np.uint64, 1e9),
)

KIND_COLUMN, ATTRIBUTES_COLUMN = 20, 21
"""Columns of names, 16 bits each."""

TEXT_COLUMNS: Mapping[str, int] = {"request_id": 22, "trace_id": 23}
"""Columns of texts, joined by newlines."""

COLUMN_LIMIT = 32
"""Column numbers stay below this: a blob's key in the file is `first row * 32 + column`."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Requests of one day, as columns; those that are unknown in all rows are missing.

    Attributes:
        kinds, attributes: numbers of the day's dictionaries.
        numbers, texts: by the column's name.
    """

    kinds: Names
    attributes: Names
    numbers: Mapping[str, Stored]
    texts: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.kinds)

    def number(self, column: NumberColumn) -> Stored:
        """A column, filled with its unknown value if it is missing."""
        found = self.numbers.get(column.name)
        return np.full(len(self), column.unknown, column.type) if found is None else found

    def text(self, name: str) -> Sequence[str]:
        """A column, filled with "" if it is missing."""
        found = self.texts.get(name)
        return [""] * len(self) if found is None else found

    def __getitem__(self, rows: slice) -> "Rows":
        return Rows(
            self.kinds[rows],
            self.attributes[rows],
            {name: values[rows] for name, values in self.numbers.items()},
            {name: values[rows] for name, values in self.texts.items()},
        )


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, in order."""
    numbers = [c for c in NUMBER_COLUMNS if any(c.name in part.numbers for part in parts)]
    texts = [name for name in TEXT_COLUMNS if any(name in part.texts for part in parts)]
    return Rows(
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.attributes for part in parts]),
        {c.name: np.concatenate([part.number(c) for part in parts]) for c in numbers},
        {name: [text for part in parts for text in part.text(name)] for name in texts},
    )


def encoded(rows: Rows) -> dict[int, bytes]:
    """Blobs by column number."""
    blobs = {KIND_COLUMN: rows.kinds.tobytes(), ATTRIBUTES_COLUMN: rows.attributes.tobytes()}
    for column in NUMBER_COLUMNS:
        stored = rows.numbers.get(column.name)
        if stored is not None and (stored != column.unknown).any():
            blobs[column.id] = stored.tobytes()
    for name, texts in rows.texts.items():
        if any(texts):
            blobs[TEXT_COLUMNS[name]] = _lines(texts).encode("utf-8", "replace")
    return blobs


def _lines(texts: Sequence[str]) -> str:
    text = "\n".join(texts)
    if text.count("\n") == len(texts) - 1:
        return text
    return "\n".join(one.replace("\n", " ") for one in texts)  # A client's joke: an id of lines.


def decoded(blobs: Mapping[int, bytes]) -> Rows:
    """The rows again, or those of their columns that were read.

    Raises:
        apsw.CorruptError: they are no such columns.
    """
    try:
        return Rows(
            np.frombuffer(blobs.get(KIND_COLUMN, b""), np.uint16),
            np.frombuffer(blobs.get(ATTRIBUTES_COLUMN, b""), np.uint16),
            {c.name: np.frombuffer(blobs[c.id], c.type) for c in NUMBER_COLUMNS if c.id in blobs},
            {name: blobs[i].decode().split("\n") for name, i in TEXT_COLUMNS.items() if i in blobs},
        )
    except ValueError as error:
        raise apsw.CorruptError(f"a block of the request log is damaged: {error}") from error
