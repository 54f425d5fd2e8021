"""What of a family is told next: all of it since it began, or what came since it was told last."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from exporter.export.otlp.attributes import nanoseconds
from exporter.export.otlp.series import Window
from exporter.ledger import Exemplar, FamilySnapshot, named
from exporter.record import Numbers


class ToldSeries(msgspec.Struct, frozen=True, array_like=True):
    """A series as it was told last, durably.

    Attributes:
        labels: attribute to value, empty ones left out.
        created: Unix seconds; a series that began anew has another one.
        time: nanoseconds since 1970.
        value: of float64, as bytes.
    """

    labels: dict[str, str]
    created: float
    time: int
    value: bytes


class FamilyWindows:
    """The windows of one family for one destination.

    Args:
        told: what was told before a restart, if the windows are deltas.
    """

    def __init__(self, *, is_delta: bool, told: Sequence[ToldSeries] = ()) -> None:
        self._is_delta = is_delta
        self._loaded = {_key(series.labels): series for series in told}
        self._starts: list[int] = []
        self._told: Numbers | None = None
        self._now: Numbers | None = None
        self._exemplars: Mapping[int, Mapping[int, Exemplar]] = {}

    def next(self, family: FamilySnapshot, time: int) -> Window:
        """What is not told yet, up to the snapshot."""
        told = self._grown(family)
        self._now = family.values
        changed = family.values - told if self._is_delta else family.values
        rows = np.flatnonzero(changed.any(axis=1)) if self._is_delta else np.arange(len(changed))
        return Window(
            rows=rows,
            values=changed[rows],
            starts=[self._starts[row] for row in rows.tolist()],
            time=time,
            exemplars=_new(family.exemplars, self._exemplars),
        )

    def _grown(self, family: FamilySnapshot) -> Numbers:
        """What was told, with the series that are new to us."""
        known = len(self._starts)
        if self._told is None or known < len(family.labels):
            told = np.zeros_like(family.values)
            if self._told is not None:
                told[:known] = self._told
            for row in range(known, len(family.labels)):
                self._starts.append(nanoseconds(family.created[row]))
                if (before := self._loaded.pop(_labels_key(family, row), None)) is not None:
                    value = np.frombuffer(before.value, np.float64)
                    is_same = nanoseconds(family.created[row]) <= before.time
                    if is_same and len(value) == told.shape[1]:
                        told[row] = value
                        self._starts[row] = before.time
            self._told = told
        return self._told

    def delivered(self, window: Window, part: slice) -> None:
        """A part of the window has been told."""
        if self._is_delta and self._told is not None and self._now is not None:
            rows = window.rows[part]
            self._told[rows] = self._now[rows]
            for row in rows.tolist():
                self._starts[row] = window.time

    def finished(self, family: FamilySnapshot) -> None:
        """All of the window has been told, its exemplars too."""
        self._exemplars = family.exemplars

    def told(self, family: FamilySnapshot) -> list[ToldSeries]:
        """What has been told, to be kept over a restart."""
        if self._told is None:
            return list(self._loaded.values())
        return [
            ToldSeries(
                named(family.attributes, family.labels[row]),
                family.created[row],
                self._starts[row],
                value.tobytes(),
            )
            for row, value in enumerate(self._told)
            if value.any()
        ]


def _new(
    exemplars: Mapping[int, Mapping[int, Exemplar]], told: Mapping[int, Mapping[int, Exemplar]]
) -> dict[int, dict[int, Exemplar]]:
    found = {}
    for row, by_bucket in exemplars.items():
        before = told.get(row, {})
        new = {
            bucket: exemplar
            for bucket, exemplar in by_bucket.items()
            if before.get(bucket) is not exemplar
        }
        if new:
            found[row] = new
    return found


def _labels_key(family: FamilySnapshot, row: int) -> frozenset[tuple[str, str]]:
    return _key(named(family.attributes, family.labels[row]))


def _key(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())
