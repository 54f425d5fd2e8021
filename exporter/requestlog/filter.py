"""What requests are looked for, and which rows of a block those are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import apsw
import numpy as np
from numpy.typing import NDArray

from exporter.record import Indices
from exporter.requestlog import blocks
from exporter.requestlog.columns import (
    ATTRIBUTES_COLUMN,
    KIND_COLUMN,
    LATENCY,
    START_TIME,
    TEXT_COLUMNS,
    decoded,
)
from exporter.requestlog.ids import lines_with
from exporter.requestlog.names import LoggedKind, Names

T = TypeVar("T")

ERROR, SUCCESS = "error", "success"
"""Statuses that stand for all failures and all successes."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What is looked for. Values of one field are alternatives, fields are joined by and.

    Attributes:
        earliest, latest: start times, microseconds since 1970, both included.
        statuses: codes ("429"), classes ("4xx"), `ERROR` or `SUCCESS`.
        min_latency: ticks of 10 µs; what has no latency has not that of any minimum above 0.
        attributes: name to values; "" is one that is unknown.
        request_id: what providers put before an id (`chatcmpl-`) makes no difference, nor do a
            UUID's dashes and case; "" is any.
    """

    earliest: int = 0
    latest: int = 2**62
    models: Sequence[str] = ()
    providers: Sequence[str] = ()
    operations: Sequence[str] = ()
    statuses: Sequence[str] = ()
    error_types: Sequence[str] = ()
    sources: Sequence[str] = ()
    streamed: bool | None = None
    min_latency: int = 0
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    request_id: str = ""

    @property
    def asks_for_kinds(self) -> bool:
        """Whether `wants_kind` leaves any out."""
        asked = (self.models, self.providers, self.operations, self.error_types, self.sources)
        return any(asked) or bool(self.statuses) or self.streamed is not None

    def wants_kind(self, kind: LoggedKind) -> bool:
        """Whether the names of a request are looked for."""
        return (
            (not self.models or kind.model in self.models)
            and (not self.providers or kind.provider in self.providers)
            and (not self.operations or kind.operation in self.operations)
            and (not self.error_types or kind.error_type in self.error_types)
            and (not self.sources or kind.source in self.sources)
            and (self.streamed is None or kind.streamed is self.streamed)
            and (not self.statuses or any(_has_status(kind, status) for status in self.statuses))
        )

    def wants_attributes(self, found: Mapping[str, str]) -> bool:
        """Whether the extra attributes of a request are looked for."""
        return all(found.get(name, "") in values for name, values in self.attributes.items())


def _has_status(kind: LoggedKind, status: str) -> bool:
    if status == SUCCESS:
        return not kind.error_type and 200 <= kind.status_code < 300
    if status == ERROR:
        return bool(kind.error_type) or not 200 <= kind.status_code < 300
    return str(kind.status_code) == status or f"{kind.status_code // 100}xx" == status


class _Wanted:
    """Some numbers of a dictionary, as a table to look up and as bits to compare with a block's."""

    def __init__(self, names: Names[T], wants: Callable[[T], bool] | None) -> None:
        chosen: Any = True if wants is None else [wants(name) for name in names]
        self.table = np.zeros(1 << 16, np.bool_)
        self.table[: len(names)] = chosen
        packed = np.packbits(self.table[: len(names)], bitorder="little")
        self.bits = int.from_bytes(packed.tobytes(), "little")


class Selection:
    """A filter, for one day's dictionaries.

    Attributes:
        kinds: by number, whether it is looked for.
    """

    def __init__(
        self, wanted: Filter, kinds: Names[LoggedKind], attributes: Names[dict[str, str]]
    ) -> None:
        self._wanted = wanted
        self._kinds = _Wanted(kinds, wanted.wants_kind if wanted.asks_for_kinds else None)
        self.kinds = self._kinds.table
        self._attributes = (
            _Wanted(attributes, wanted.wants_attributes) if wanted.attributes else None
        )

    def may_hold(self, block: blocks.Block) -> bool:
        """Whether a block's summary leaves the possibility."""
        return (
            block.latest >= self._wanted.earliest
            and block.earliest <= self._wanted.latest
            and block.longest >= self._wanted.min_latency
            and bool(block.kinds & self._kinds.bits)
            and (self._attributes is None or bool(block.attributes & self._attributes.bits))
        )

    def matches(
        self, database: apsw.Connection, block: blocks.Block
    ) -> tuple[Indices, NDArray[np.int64], NDArray[np.uint16]]:
        """The rows of a block that are looked for: places in it, start times (µs) and kinds."""
        with_id = self._with_id(database, block) if self._wanted.request_id else None
        if with_id is not None and not with_id.any():
            return _NONE
        columns = [KIND_COLUMN, START_TIME.id]
        if self._attributes is not None:
            columns.append(ATTRIBUTES_COLUMN)
        if self._wanted.min_latency:
            columns.append(LATENCY.id)
        rows = decoded(blocks.read(database, block.first, columns))
        starts = rows.number(START_TIME).astype(np.int64)
        selected = self._kinds.table[rows.kinds]
        if block.earliest < self._wanted.earliest or block.latest > self._wanted.latest:
            selected &= (starts >= self._wanted.earliest) & (starts <= self._wanted.latest)
        if self._attributes is not None:
            selected &= self._attributes.table[rows.attributes]
        if self._wanted.min_latency:
            latency = rows.number(LATENCY)
            selected &= (latency >= self._wanted.min_latency) & (latency != LATENCY.unknown)
        if with_id is not None:
            selected &= with_id
        places = np.flatnonzero(selected)
        return places, starts[places], rows.kinds[places]

    def _with_id(self, database: apsw.Connection, block: blocks.Block) -> NDArray[np.bool_]:
        """Which rows of a block have the id; looked at first, for hardly any has it."""
        found = np.zeros(block.rows, np.bool_)
        for text in blocks.read(database, block.first, [TEXT_COLUMNS["request_id"]]).values():
            found[lines_with(text, self._wanted.request_id)] = True
        return found


_NONE = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16)
