"""Requests of a block as columns: what pages and exports are made of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from exporter.record import Indices
from exporter.requestlog.columns import NUMBER_COLUMNS, START_TIME, Rows, Stored
from exporter.requestlog.names import LoggedKind, Names
from exporter.requestlog.request import FIELDS, LoggedRequest

_STEPS_SHOWN = {"time_to_first_token": 100.0, "latency": 100.0, "upstream_time": 100.0}
"""Stored steps of what is shown in another unit than the record's: ticks of a millisecond."""

_FIELD_OF = {
    f"{column.name}_ms" if column.name in _STEPS_SHOWN else column.name: column
    for column in NUMBER_COLUMNS
    if column is not START_TIME
}

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts that hardly ever come again, None where not reported."""

    cells: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class Named:
    """Values that come again and again.

    Attributes:
        values: each of them, None where not reported.
        numbers: which of them a row has; columns that differ together share them.
    """

    values: Sequence[Any]
    numbers: Indices

    @property
    def cells(self) -> Iterable[Any]:
        """Row by row."""
        return map(self.values.__getitem__, self.numbers.tolist())


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers in the unit that people read.

    Attributes:
        values: of any value where `is_unknown`.
    """

    values: Stored
    is_unknown: NDArray[np.bool_]

    @property
    def cells(self) -> list[Any]:
        """Row by row, None where not reported."""
        cells: list[Any] = self.values.tolist()
        for place in np.flatnonzero(self.is_unknown).tolist():
            cells[place] = None
        return cells


@dataclass(frozen=True, slots=True)
class Unknown:
    """A column that no row has."""

    @property
    def cells(self) -> Iterable[None]:
        """Without end."""
        return repeat(None)


Column = Texts | Named | Numbers | Unknown


@dataclass(frozen=True, slots=True)
class Table:
    """Requests of one block.

    Attributes:
        starts: start times, microseconds since 1970.
        columns: the other fields of `LoggedRequest`.
    """

    starts: NDArray[np.int64]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.starts)

    def cells(self, field: str) -> Iterable[Any]:
        """A field row by row; without end where all rows have the same."""
        return timestamps(self.starts) if field == "start_time" else self.columns[field].cells

    def requests(self) -> Iterator[LoggedRequest]:
        """Row by row."""
        return map(LoggedRequest, *map(self.cells, FIELDS))


def table(
    rows: Rows,
    places: Indices,
    first: int,
    file: str,
    kinds: Names[LoggedKind],
    attributes: Names[dict[str, str]],
) -> Table:
    """Some rows of a block.

    Args:
        places: which ones, from zero in the block.
        first: the block's first row.
        file, kinds, attributes: the day's name and dictionaries.
    """
    columns: dict[str, Column] = {}
    for name, column in _FIELD_OF.items():
        stored = rows.numbers.get(column.name)
        if stored is None:
            columns[name] = Unknown()
        else:
            chosen, steps = stored[places], _STEPS_SHOWN.get(column.name, column.steps)
            columns[name] = Numbers(
                chosen if steps == 1 else chosen / steps, chosen == column.unknown
            )
    present, numbers = np.unique(rows.kinds[places], return_inverse=True)
    named = zip(*kinds.at(present), strict=True)
    for name, values in zip(LoggedKind._fields, named, strict=True):
        columns[name] = Named([None if value == "" else value for value in values], numbers)
    for name in ("request_id", "trace_id"):
        texts = rows.texts.get(name)
        if texts is None:
            columns[name] = Unknown()
        else:
            columns[name] = Texts([texts[row] or None for row in places.tolist()])
    present, numbers = np.unique(rows.attributes[places], return_inverse=True)
    columns["attributes"] = Named(attributes.at(present), numbers)
    columns["key"] = Texts([f"{file}:{row}" for row in (places + first).tolist()])
    return Table(rows.number(START_TIME)[places].astype(np.int64), columns)


def timestamps(microseconds: NDArray[np.int64]) -> list[str]:
    """RFC 3339 in UTC, all equally long."""
    times = _encode(microseconds.astype("datetime64[us]").tolist()).decode()
    found = (times[2:-2].replace('","', 'Z","') + "Z").split('","')
    if (microseconds % 1_000_000 == 0).any():
        return [time if "." in time else f"{time[:-1]}.000000Z" for time in found]
    return found
