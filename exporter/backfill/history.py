"""The series of the past as OpenMetrics with timestamps: a file for each day.

A day a file because `promtool tsdb create-blocks-from openmetrics` reads its input once for each
block of two hours. Samples stand in the order of time; a series that does not change is told often
enough for Prometheus not to take it for gone.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import structlog

from exporter.backfill.reading import BackfillError
from exporter.export.scrape import SeriesWriter
from exporter.ledger import Change, FamilySnapshot, Ledger
from exporter.record import Numbers
from exporter.requestlog.files import day_of
from exporter.store.state import sync

log = structlog.get_logger(__name__)

TOLD_AGAIN_S = 240.0
"""Between two samples of a series: Prometheus looks back five minutes."""

_FILES = "????-??-??.om"

_END = b"# EOF\n"

Row = tuple[str, int]
"""A series: its instrument's name and its row."""


class History:
    """Writes samples of a ledger.

    Args:
        position: of what is written for sure, as `position` gave it; what comes after it in that
            file is cut off, and later files are deleted. None where the directory is not ours yet.

    Raises:
        BackfillError: the directory has files of another backfill, or ours were changed.
    """

    def __init__(
        self, directory: Path, ledger: Ledger, step_s: float, position: str | None = None
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._step_s = step_s
        self._writers = {
            family.instrument.name: SeriesWriter(family.instrument, openmetrics=False)
            for family in ledger
        }
        self._headers = b"".join(
            SeriesWriter(family.instrument, openmetrics=True).header for family in ledger
        )
        self._told: dict[Row, int] = {
            (family.instrument.name, row): -1 for family in ledger for row in range(len(family))
        }
        day, _, size = (position or "").partition(" ")
        self._day = date.fromisoformat(day) if day else None
        self._size = int(size or 0)
        self._unsynced: set[Path] = set()
        directory.mkdir(parents=True, exist_ok=True)
        if position is None:
            self._refuse_others()
        else:
            self._cut_back()

    def _refuse_others(self) -> None:
        other = min(self._directory.glob(_FILES), default=None)
        if other is not None:
            raise BackfillError(
                f"{other}: is of another backfill; name another directory with --metrics"
            )

    def _cut_back(self) -> None:
        last = str(self._day or "")
        if self._day is not None and self._size:
            self._cut(self._path(self._day))
        for path in self._directory.glob(_FILES):
            if path.stem > last or (path.stem == last and not self._size):
                path.unlink()

    def _cut(self, path: Path) -> None:
        try:
            with path.open("r+b") as file:
                if file.seek(0, os.SEEK_END) < self._size:
                    raise BackfillError(
                        f"{path}: is shorter than an earlier run left it; move it away to go on"
                    )
                file.truncate(self._size)
        except FileNotFoundError:
            log.warning("backfill: a day's file was moved away, and begins anew", file=str(path))
            self._size = 0

    def _path(self, day: date) -> Path:
        return self._directory / f"{day}.om"

    @property
    def position(self) -> str:
        """How far it is written."""
        return f"{self._day} {self._size}" if self._day else ""

    def pass_over(self, first: int, last: int) -> None:
        """Tell series again in steps from `first` up to `last`, in which nothing happened."""
        values = {family.instrument.name: family.values for family in self._ledger}
        for step in range(first, last):
            self._tell_again(step, values)

    def add(self, step: int, changes: Sequence[Change]) -> None:
        """Tell what a step changes and is not published yet; new series begin at zero."""
        values = {family.instrument.name: family.values for family in self._ledger}
        changed, born = [], []
        for family, rows, totals in changes:
            name = family.instrument.name
            changed += [(name, row) for row in rows.tolist()]
            born += [(name, row) for row in rows.tolist() if row >= family.published]
            values[name] = values[name].copy()
            values[name][rows] = totals
        self._write(step * self._step_s, born, {n: np.zeros_like(v) for n, v in values.items()})
        self._write(self._end_of(step), changed, values)
        self._told.update(dict.fromkeys(changed, step))
        self._tell_again(step, values)

    def _tell_again(self, step: int, values: Mapping[str, Numbers]) -> None:
        due = step - int(TOLD_AGAIN_S // self._step_s)
        rows = [row for row, told in self._told.items() if told <= due]
        self._write(self._end_of(step), rows, values)
        self._told.update(dict.fromkeys(rows, step))

    def _end_of(self, step: int) -> float:
        return (step + 1) * self._step_s - 0.001

    def _write(self, time_s: float, rows: Sequence[Row], values: Mapping[str, Numbers]) -> None:
        """Samples of some series at one time."""
        if not rows:
            return
        families = {family.instrument.name: family for family in self._ledger}
        lines = []
        for name, row in rows:
            family = families[name]
            shown = FamilySnapshot(
                family.instrument,
                family.attributes,
                family.labels,
                family.created,
                values[name],
                {},
            )
            lines.append(self._writers[name].lines(shown, row, row + 1))
        self._append(day_of(time_s), b"".join(lines).replace(b"\n", f" {time_s:.3f}\n".encode()))

    def _append(self, day: date, data: bytes) -> None:
        if day != self._day:
            self._finish_day()
            self._day, self._size = day, 0
        if not self._size:
            data = self._headers + data
            self._unsynced.add(self._directory)
        self._put(day, data)
        self._size += len(data)

    def _finish_day(self) -> None:
        if self._day is not None and self._size:
            self._put(self._day, _END)

    def _put(self, day: date, data: bytes) -> None:
        path = self._path(day)
        with path.open("ab") as file:
            file.write(data)
        self._unsynced.add(path)

    def sync(self) -> None:
        """Make all of it durable; only then its position may be."""
        for path in self._unsynced:
            sync(path)
        self._unsynced.clear()

    def close(self) -> None:
        """End the last file."""
        self._finish_day()
        self.sync()
