"""The series: what was counted since the state began, by label values, and only what is committed.

A change comes in two steps. A fold works out the new totals of the series that a batch touches;
they are written to the store; and only then does `publish` let readers see them. So a scrape never
shows a count that a crash could take back, which Prometheus would read as a reset and count twice.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from exporter.record import Indices, Numbers
from exporter.vocabulary import Instrument, InstrumentKind

LabelValues = tuple[str, ...]

ROWS_WITH_EXEMPLARS = 256
"""Series of a family that keep exemplars, those with the newest: a scrape writes all of them."""


class Exemplar(NamedTuple):
    """One request, as an example of those in a bucket.

    Attributes:
        value: in the histogram's unit.
        timestamp: Unix seconds, NaN where unknown.
    """

    request_id: str
    trace_id: str
    value: float
    timestamp: float


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A series as the store keeps it.

    Attributes:
        labels: attribute to value, empty values left out.
        created: Unix seconds of its first count.
        value: shape (width,), float64.
    """

    id: int
    instrument: str
    labels: Mapping[str, str]
    created: float
    value: Numbers


class Family:
    """All series of one instrument.

    A counter's value has one number. A histogram's has the count of each bucket (not cumulated; the
    last is +Inf), then the sum.

    Attributes:
        attributes: names of the attributes whose values a series' labels are.
        labels, ids, created: of each series, by row; rows are only ever appended.
        published: rows from this one on are not committed yet.
        exemplars: by row, then by bucket.
    """

    def __init__(self, instrument: Instrument, attributes: tuple[str, ...]) -> None:
        self.instrument = instrument
        self.attributes = attributes
        is_histogram = instrument.kind is InstrumentKind.HISTOGRAM
        self.width = len(instrument.buckets) + 2 if is_histogram else 1
        self.labels: list[LabelValues] = []
        self.ids: list[int] = []
        self.created: list[float] = []
        self.published = 0
        self.exemplars: dict[int, dict[int, Exemplar]] = {}
        self._rows: dict[LabelValues, int] = {}
        self._values = np.zeros((16, self.width))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def values(self) -> Numbers:
        """Published totals, shape (series, width); zero for a series that is not committed yet."""
        return self._values[: len(self)]

    def find(self, labels: LabelValues) -> int | None:
        """The row of a series, if it exists."""
        return self._rows.get(labels)

    def append(self, labels: LabelValues, id: int, created: float) -> int:
        """A new series at zero; its row."""
        row = len(self)
        if row == len(self._values):
            grown = np.zeros((2 * row, self.width))
            grown[:row] = self._values
            self._values = grown
        self._rows[labels] = row
        self.labels.append(labels)
        self.ids.append(id)
        self.created.append(created)
        return row

    def show(self, row: int, bucket: int, exemplar: Exemplar) -> None:
        """Keep an exemplar, in the place of the bucket's last one."""
        of_row = self.exemplars.pop(row, {})
        of_row[bucket] = exemplar
        self.exemplars[row] = of_row
        if len(self.exemplars) > ROWS_WITH_EXEMPLARS:
            del self.exemplars[next(iter(self.exemplars))]


class Change(NamedTuple):
    """New totals of some series of a family.

    Attributes:
        rows: shape (changed,), ascending; those that are not published yet are new to the store.
        totals: shape (changed, width).
    """

    family: Family
    rows: Indices
    totals: Numbers


class PlacedExemplar(NamedTuple):
    """An exemplar, with the bucket of the series that it is one of."""

    instrument: Instrument
    row: int
    bucket: int
    exemplar: Exemplar


@dataclass(frozen=True, slots=True)
class FamilySnapshot:
    """A family as readers see it at one moment; see `Family`."""

    instrument: Instrument
    attributes: tuple[str, ...]
    labels: Sequence[LabelValues]
    created: Sequence[float]
    values: Numbers
    exemplars: Mapping[int, Mapping[int, Exemplar]]


class Additions:
    """What a batch adds: for each family, rows (any of them several times) and amounts."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[Indices, Numbers]]] = {}

    def add(self, family: Family, rows: Indices, amounts: Numbers) -> None:
        """Add amounts, shape (len(rows), width), to rows of a family."""
        self._parts.setdefault(family.instrument.name, []).append((rows, amounts))

    def of(self, family: Family) -> Sequence[tuple[Indices, Numbers]]:
        """All that was added to a family."""
        return self._parts.get(family.instrument.name, ())


class SeriesReader(Protocol):
    """What readers need of a ledger, or of the sum of several."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """One for each family."""

    def snapshot(self) -> list[FamilySnapshot]:
        """All published series at one moment; from one to the next, rows are only appended."""


Listener = Callable[[Sequence[Change], Sequence[PlacedExemplar]], None]
"""Is told of what is about to be published, and is durable already."""


def nobody(changes: Sequence[Change], exemplars: Sequence[PlacedExemplar]) -> None:
    """The listener that does not care."""


class Ledger:
    """All families.

    Args:
        instruments: one family each.
        identity: attributes that every series has.
        clock: Unix seconds.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        identity: tuple[str, ...],
        clock: Callable[[], float] = time.time,
        listener: Listener = nobody,
    ) -> None:
        self._listener = listener
        self._families = {
            instrument.name: Family(instrument, identity + instrument.attributes)
            for instrument in instruments
        }
        self._clock = clock
        self._next_id = 1
        self._publishing = threading.Lock()

    def __getitem__(self, instrument: Instrument) -> Family:
        return self._families[instrument.name]

    def __iter__(self) -> Iterator[Family]:
        return iter(self._families.values())

    @property
    def instruments(self) -> Sequence[Instrument]:
        """One for each family."""
        return [family.instrument for family in self]

    def load(self, series: Sequence[StoredSeries]) -> Sequence[StoredSeries]:
        """Take over what was committed before; returns those that no longer fit.

        A series fits if its instrument still exists with as many buckets and has all of its
        attributes. One of before an attribute was added is a series without that label.
        """
        unfit = []
        for stored in series:
            self._next_id = max(self._next_id, stored.id + 1)
            family, labels = self._place(stored)
            if family is None:
                unfit.append(stored)
                continue
            row = family.append(labels, stored.id, stored.created)
            family.values[row] = stored.value
        for family in self:
            family.published = len(family)
        return unfit

    def _place(self, stored: StoredSeries) -> tuple[Family | None, LabelValues]:
        """Where a series belongs; no family if it does not fit."""
        family = self._families.get(stored.instrument)
        if (
            family is None
            or stored.value.shape != (family.width,)
            or not stored.labels.keys() <= set(family.attributes)
        ):
            return None, ()
        return family, tuple(stored.labels.get(name, "") for name in family.attributes)

    def joined(self, series: Iterable[StoredSeries]) -> list[Change]:
        """The changes that add the series of other ledgers; those that do not fit are left out.

        A series of several has the earliest time of birth: readers of their sum had it before.
        """
        additions = Additions()
        for stored in series:
            family, labels = self._place(stored)
            if family is not None:
                row = family.find(labels)
                if row is None:
                    row = family.append(labels, self._next_id, stored.created)
                    self._next_id += 1
                family.created[row] = min(stored.created, family.created[row])
                additions.add(family, np.array([row]), stored.value[np.newaxis])
        return self.changes(additions)

    def stored(self) -> list[StoredSeries]:
        """What is published, as `load` takes it."""
        with self._publishing:
            return [
                StoredSeries(
                    id=family.ids[row],
                    instrument=family.instrument.name,
                    labels=named(family.attributes, family.labels[row]),
                    created=family.created[row],
                    value=family.values[row].copy(),
                )
                for family in self
                for row in range(family.published)
            ]

    def row(self, instrument: Instrument, labels: LabelValues) -> int:
        """The row of a series, born at zero now if it is new."""
        family = self._families[instrument.name]
        row = family.find(labels)
        if row is None:
            row = family.append(labels, self._next_id, self._clock())
            self._next_id += 1
        return row

    def changes(self, additions: Additions) -> list[Change]:
        """The new totals, with the series that were born since the last commit."""
        changes = []
        for family in self:
            parts = additions.of(family)
            born = np.arange(family.published, len(family))
            rows = np.unique(np.concatenate([born, *(rows for rows, _ in parts)]))
            if len(rows):
                totals = family.values[rows]
                for part, amounts in parts:
                    _add(totals, np.searchsorted(rows, part), amounts)
                changes.append(Change(family, rows, totals))
        return changes

    def publish(self, changes: Sequence[Change], exemplars: Sequence[PlacedExemplar] = ()) -> None:
        """Let readers see what is committed now, with exemplars, the newest last."""
        self._listener(changes, exemplars)
        with self._publishing:
            for family, rows, totals in changes:
                family.values[rows] = totals
                family.published = len(family)
            for instrument, row, bucket, exemplar in exemplars:
                self[instrument].show(row, bucket, exemplar)

    def snapshot(self) -> list[FamilySnapshot]:
        """All published series at one moment: no publishing falls into the middle of it."""
        with self._publishing:
            return [
                FamilySnapshot(
                    instrument=family.instrument,
                    attributes=family.attributes,
                    labels=family.labels[: family.published],
                    created=family.created[: family.published],
                    values=family.values[: family.published].copy(),
                    exemplars={row: dict(of_row) for row, of_row in family.exemplars.items()},
                )
                for family in self
            ]


def named(attributes: Sequence[str], labels: LabelValues) -> dict[str, str]:
    """Attribute to value, empty values left out."""
    return {name: value for name, value in zip(attributes, labels, strict=True) if value}


def _add(totals: Numbers, places: Indices, amounts: Numbers) -> None:
    """Add amounts to rows of totals, cell by cell: numpy takes five times as long row by row."""
    width = totals.shape[1]
    cells = places[:, np.newaxis] * width + np.arange(width)
    np.add.at(totals.reshape(-1), cells.ravel(), amounts.ravel())
