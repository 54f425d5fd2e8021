"""A request as the log tells it again: for a page, an API, a file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from exporter.record import Indices
from exporter.requestlog.columns import NUMBER_COLUMNS, START_TIME, NumberColumn, Rows, Stored
from exporter.requestlog.names import LoggedKind

Text = Annotated[str | None, Meta(description="null: not reported")]
Count = Annotated[int, Meta(ge=0)] | None
Amount = Annotated[float, Meta(ge=0)] | None


class LoggedRequest(msgspec.Struct, frozen=True, gc=False):
    """A request; null is what was not reported."""

    request_id: Text
    start_time: Annotated[str, Meta(description="RFC 3339, UTC, microseconds")]
    model: Annotated[Text, Meta(description="that was asked for")]
    total_tokens: Count
    input_tokens: Annotated[Count, Meta(description="cached tokens included")]
    output_tokens: Annotated[Count, Meta(description="reasoning tokens included")]
    time_to_first_token_ms: Annotated[Amount, Meta(description="of streamed successes")]
    latency_ms: Annotated[Amount, Meta(description="in steps of 0.01 ms")]
    status_code: Annotated[int, Meta(ge=0, le=599)]
    error_type: Annotated[Text, Meta(description="null: a success")]
    response_model: Annotated[Text, Meta(description="that answered")]
    provider: Text
    operation: Text
    streamed: bool
    cache_hit: Annotated[bool, Meta(description="answered from the gateway's own cache")]
    finish_reason: Text
    cached_input_tokens: Count
    cache_creation_input_tokens: Count
    reasoning_output_tokens: Count
    images: Count
    seconds: Annotated[Amount, Meta(description="of audio or video that are billed")]
    characters: Count
    cost: Annotated[Amount, Meta(description="as reported by the gateway")]
    currency: Annotated[Text, Meta(description="ISO 4217, of cost")]
    estimated_cost: Annotated[Amount, Meta(description="by the price list")]
    estimate_currency: Annotated[Text, Meta(description="ISO 4217, of estimated_cost")]
    upstream_time_ms: Annotated[Amount, Meta(description="of the latency")]
    trace_id: Text
    attributes: dict[str, str]
    source: Annotated[Text, Meta(description="of the exporter's configuration")]
    key: Annotated[str, Meta(description="the row's own name, of this log only")]


FIELDS = LoggedRequest.__struct_fields__

_STEPS_SHOWN = {"time_to_first_token": 100.0, "latency": 100.0, "upstream_time": 100.0}
"""Stored steps of what is shown in another unit than the record's: ticks of a millisecond."""

_FIELD_OF = {
    f"{column.name}_ms" if column.name in _STEPS_SHOWN else column.name: column
    for column in NUMBER_COLUMNS
}


@dataclass(frozen=True, slots=True)
class Table:
    """Requests of one block as columns of `LoggedRequest`.

    Attributes:
        starts: start times, microseconds since 1970.
        columns: by field, but for the start time; endless where all rows have the same.
    """

    starts: NDArray[np.int64]
    columns: dict[str, Iterable[Any]]

    def __len__(self) -> int:
        return len(self.starts)

    def requests(self) -> Iterator[LoggedRequest]:
        """Row by row."""
        times = timestamps(self.starts)
        columns = [times if name == "start_time" else self.columns[name] for name in FIELDS]
        return map(LoggedRequest, *columns)


def table(
    rows: Rows,
    places: Indices,
    first: int,
    file: str,
    kinds: Sequence[LoggedKind],
    attributes: Sequence[dict[str, str]],
) -> Table:
    """Some rows of a block.

    Args:
        places: which ones, from zero in the block.
        first: the block's first row.
        file, kinds, attributes: the day's name and dictionaries.
    """
    columns: dict[str, Iterable[Any]] = {
        name: _shown(column, rows.numbers.get(column.name), places)
        for name, column in _FIELD_OF.items()
        if column is not START_TIME
    }
    known = [kinds[number] for number in rows.kinds[places].tolist()]
    for name, names in zip(LoggedKind._fields, zip(*known, strict=True), strict=True):
        columns[name] = [None if value == "" else value for value in names]
    chosen = places.tolist()
    for name in ("request_id", "trace_id"):
        texts = rows.texts.get(name)
        columns[name] = repeat(None) if texts is None else [texts[row] or None for row in chosen]
    columns["attributes"] = [attributes[number] for number in rows.attributes[places].tolist()]
    columns["key"] = [f"{file}:{first + row}" for row in chosen]
    return Table(rows.number(START_TIME)[places].astype(np.int64), columns)


def _shown(column: NumberColumn, stored: Stored | None, places: Indices) -> Iterable[Any]:
    """A column's numbers in the unit that people read, None where unknown."""
    if stored is None:
        return repeat(None)
    chosen = stored[places]
    is_unknown = chosen == column.unknown
    steps = _STEPS_SHOWN.get(column.name, column.steps)
    values: list[Any] = (chosen if steps == 1 else chosen / steps).tolist()
    for place in np.flatnonzero(is_unknown).tolist():
        values[place] = None
    return values


def timestamps(microseconds: NDArray[np.int64]) -> list[str]:
    """RFC 3339 in UTC."""
    times = microseconds.astype("datetime64[us]")
    found: list[str] = np.datetime_as_string(times, timezone="UTC").tolist()
    return found
