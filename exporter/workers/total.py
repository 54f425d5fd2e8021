"""The sum of the main process's series and the workers'."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from exporter.ledger import (
    Change,
    Exemplar,
    FamilySnapshot,
    LabelValues,
    Ledger,
    PlacedExemplar,
)
from exporter.record import Indices
from exporter.vocabulary import Instrument
from exporter.workers.messages import AllSeries, Committed


class Mirror:
    """A worker's series as it last told of them; they stay when it dies.

    Args:
        ledger: with the series that the worker begins with.
        batch: as of `batch`.

    Attributes:
        ledger: a worker that begins anew has another one here.
        batch: the worker's last commit that was told of.
    """

    def __init__(self, ledger: Ledger, batch: int) -> None:
        self.ledger = ledger
        self.batch = batch
        self._generation: int | None = None

    def refitted(self, empty: Ledger) -> "Mirror":
        """The same under a new configuration, until the worker tells of it; this one stays."""
        bounds = {each.name: each.buckets for each in self.ledger.instruments}
        same = {each.name for each in empty.instruments if bounds.get(each.name) == each.buckets}
        empty.load([one for one in self.ledger.stored() if one.instrument in same])
        return Mirror(empty, self.batch)

    def begin(self, told: AllSeries, empty: Ledger) -> None:
        """The worker has begun."""
        empty.load(told.series)
        self.ledger, self.batch, self._generation = empty, told.batch, told.generation

    def add(self, told: Committed) -> None:
        """The worker has committed."""
        if told.generation != self._generation:
            return  # It has not heard of the new configuration yet, and will tell of all again.
        families = {family.instrument.name: family for family in self.ledger}
        changes = []
        for instrument, rows, totals, born, created in told.changes:
            family = families[instrument]
            for labels, time_s in zip(born, created, strict=True):
                family.append(labels, 0, time_s)
            changes.append(Change(family, rows, totals))
        exemplars = [
            PlacedExemplar(families[name].instrument, row, bucket, exemplar)
            for name, row, bucket, exemplar in told.exemplars
        ]
        self.ledger.publish(changes, exemplars)
        self.batch = told.batch


class Total:
    """Reads several ledgers as one; safe to use in several threads at once.

    Args:
        own: the main process's, whose vocabulary the others have too.
    """

    def __init__(self, own: Ledger, mirrors: Sequence[Mirror]) -> None:
        self._own = own
        self._mirrors = mirrors
        self._sums = {each.name: _FamilySum() for each in own.instruments}
        self._lock = threading.Lock()

    @property
    def instruments(self) -> Sequence[Instrument]:
        """One for each family."""
        return self._own.instruments

    def snapshot(self) -> list[FamilySnapshot]:
        """See `SeriesReader`; each ledger's series are those of one moment."""
        with self._lock:
            ledgers = [self._own, *(mirror.ledger for mirror in self._mirrors)]
            of_each = [ledger.snapshot() for ledger in ledgers]
            return [
                self._sums[parts[0].instrument.name].of(ledgers, parts)
                for parts in zip(*of_each, strict=True)
            ]


class _FamilySum:
    """One family of all ledgers; its rows are only ever appended."""

    def __init__(self) -> None:
        self._rows: dict[LabelValues, int] = {}
        self._labels: list[LabelValues] = []
        self._created: list[float] = []
        self._places: dict[int, tuple[Ledger, Indices]] = {}

    def of(self, ledgers: Sequence[Ledger], parts: Sequence[FamilySnapshot]) -> FamilySnapshot:
        """The sum of the ledgers' parts."""
        of_each = [
            self._placed(number, ledger, part)
            for number, (ledger, part) in enumerate(zip(ledgers, parts, strict=True))
        ]
        values = np.zeros((len(self._labels), parts[0].values.shape[1]))
        exemplars: dict[int, dict[int, Exemplar]] = {}
        for places, part in zip(of_each, parts, strict=True):
            values[places] += part.values
            for row, by_bucket in part.exemplars.items():
                _show(exemplars.setdefault(int(places[row]), {}), by_bucket)
        return FamilySnapshot(
            instrument=parts[0].instrument,
            attributes=parts[0].attributes,
            labels=self._labels[:],
            created=self._created[:],
            values=values,
            exemplars=exemplars,
        )

    def _placed(self, number: int, ledger: Ledger, part: FamilySnapshot) -> Indices:
        """The rows that a ledger's rows are summed in."""
        of, places = self._places.get(number, (ledger, np.zeros(0, np.int64)))
        if of is not ledger:
            places = np.zeros(0, np.int64)
        known = len(places)
        if known < len(part.labels):
            new = [
                self._row(labels, created)
                for labels, created in zip(part.labels[known:], part.created[known:], strict=True)
            ]
            places = np.concatenate([places, np.array(new, np.int64)])
        self._places[number] = ledger, places
        return places

    def _row(self, labels: LabelValues, created: float) -> int:
        row = self._rows.setdefault(labels, len(self._labels))
        if row == len(self._labels):
            self._labels.append(labels)
            self._created.append(created)
        self._created[row] = min(created, self._created[row])
        return row


def _show(shown: dict[int, Exemplar], by_bucket: Mapping[int, Exemplar]) -> None:
    """Keep the newest exemplar of each bucket; one of an unknown time gives way."""
    for bucket, exemplar in by_bucket.items():
        before = shown.get(bucket)
        if before is None or not before.timestamp >= exemplar.timestamp:
            shown[bucket] = exemplar
