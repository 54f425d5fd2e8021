"""Requests for tests of the counting: records become batches, series become plain dictionaries."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from exporter.accounting import Accountant, Labelling
from exporter.ledger import FamilySnapshot, Ledger
from exporter.prices import Prices
from exporter.record import COLUMN_NAMES, Batch, Columns, Kind, Kinds, Record
from exporter.store.state import StateStore
from exporter.tally import Tally
from exporter.vocabulary import IDENTITY, INSTRUMENTS, Instrument, InstrumentKind

MEMORY = Path("/dev/shm") if Path("/dev/shm").exists() else None
"""A file system in memory, where there is one: for tests that commit often and pull no plug."""

Labels = frozenset[tuple[str, str]]
"""A series' labels by attribute, empty ones left out."""

Series = dict[tuple[str, Labels], list[float]]
"""Values as a ledger has them, by instrument and labels."""


def a_kind(
    model: str = "qwen", status: int = 200, error_type: str | None = None, **names: Any
) -> Kind:
    """A kind that is usual but for what is given; a failure's error type is its status."""
    usual: dict[str, Any] = {
        "model": model,
        "response_model": "",
        "provider": "openai",
        "operation": "chat",
        "status_code": status,
        "error_type": ("" if status < 300 else str(status)) if error_type is None else error_type,
        "streamed": False,
        "cache_hit": False,
        "finish_reason": "",
        "attributes": (),
        "currency": "",
    }
    return Kind(**{**usual, **names})


def a_record(
    kind: Kind | None = None, request_id: str = "", trace_id: str = "", **numbers: float
) -> Record:
    return Record(request_id, trace_id, kind or a_kind(), **numbers)


def a_batch(kinds: Kinds, records: Sequence[Record]) -> Batch:
    """The records as a decoder would give them."""

    def column(name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([getattr(record, name) for record in records], np.float64)

    return Batch(
        kinds=kinds,
        kind=np.array([kinds.number(record.kind) for record in records], np.int64),
        numbers=Columns(*map(column, COLUMN_NAMES)),
        request_ids=lambda: [record.request_id for record in records],
        trace_ids=lambda: [record.trace_id for record in records],
        start_times=lambda: column("start_time"),
    )


class Counting:
    """Counts into a state directory as the pipeline does, from its opening to `close`.

    Args:
        known: instruments, if not the usual ones.
    """

    def __init__(
        self,
        directory: Path,
        labelling: Labelling | None = None,
        prices: Prices | None = None,
        known: Sequence[Instrument] = INSTRUMENTS,
    ) -> None:
        labelling = labelling or Labelling()
        prices = prices or Prices()
        self.store = StateStore(directory)
        self.ledger = Ledger(known, IDENTITY + labelling.attributes)
        self.unfit = self.ledger.load(self.store.series(known))
        self.store.forget(self.unfit)
        self.kinds = Kinds()
        self.prices = prices
        self.accountant = Accountant(self.ledger, labelling, prices)
        self.tally = Tally(known)

    def commit(self, *batches: Sequence[Record]) -> Mapping[str, int]:
        """Count batches in one commit; what was folded."""
        newest = None
        for records in batches:
            newest = a_batch(self.kinds, records)
            self.tally.add(newest, self.prices.estimate(newest))
        fold = self.accountant.fold(self.tally, self.kinds)
        changes = self.ledger.changes(fold.additions)
        exemplars = self.accountant.exemplars(newest) if newest else ()
        self.store.commit(changes, {})
        self.ledger.publish(changes, exemplars)
        self.tally.clear()
        return fold.folded

    def series(self) -> Series:
        return series_of(self.ledger)

    def value(self, instrument: Instrument, **labels: str) -> float | None:
        """The sum over an instrument's series with these labels (`_` for `.`); a histogram's count.

        None if there is none of them.
        """
        return value_of(self.series(), instrument, **labels)

    def close(self) -> None:
        self.store.close()


@contextmanager
def counting(directory: Path | None = None, *arguments: Any, **named: Any) -> Iterator[Counting]:
    """A `Counting` in the directory, or in one of its own."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as own:
        found = Counting(directory or Path(own), *arguments, **named)
        try:
            yield found
        finally:
            found.close()


def series_of(ledger: Ledger) -> Series:
    """All that readers of a ledger see."""
    return {
        (family.instrument.name, labels_of(family, row)): family.values[row].tolist()
        for family in ledger.snapshot()
        for row in range(len(family.labels))
    }


def labels_of(family: FamilySnapshot, row: int) -> Labels:
    named = zip(family.attributes, family.labels[row], strict=True)
    return frozenset((name, value) for name, value in named if value)


def value_of(series: Series, instrument: Instrument, **labels: str) -> float | None:
    wanted = labels.items()
    found = [
        values
        for (name, of_series), values in series.items()
        if name == instrument.name
        and wanted <= {(name.replace(".", "_"), value) for name, value in of_series}
    ]
    if not found:
        return None
    is_histogram = instrument.kind is InstrumentKind.HISTOGRAM
    return sum(sum(values[:-1]) if is_histogram else values[0] for values in found)
