"""What the daemon has logged itself: no request is to have a second row."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporter.record import Batch, Indices
from exporter.requestlog import blocks
from exporter.requestlog.columns import TEXT_COLUMNS
from exporter.requestlog.files import BACKFILL, DAY_S, day_files, day_of
from exporter.requestlog.filter import Filter
from exporter.requestlog.ids import encoded
from exporter.requestlog.names import OTHER
from exporter.requestlog.open_day import OpenDay, open_day

MOST_DAYS = 3
"""In memory at once: requests come by their ends, and some began the day before."""

_ID = TEXT_COLUMNS["request_id"]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a source that started on one day.

    Attributes:
        earliest: start, microseconds since 1970.
        ids: their hashes, ascending, 8 bytes each: a busy day has millions.
    """

    earliest: int
    ids: Indices

    def have(self, batch: Batch) -> NDArray[np.bool_]:
        """Which requests of that day are among them, or may be."""
        ids = _hashes(map(encoded, batch.request_ids()))
        places = np.searchsorted(self.ids, ids).clip(max=len(self.ids) - 1)
        may_be = np.rint(batch.start_times() * 1e6) >= self.earliest
        return np.where(ids == hash(b""), may_be, self.ids[places] == ids)


class LoggedRequests:
    """The requests of a source that the daemon has logged.

    Args:
        directory: of the request log.
    """

    def __init__(self, directory: Path, source: str) -> None:
        self._directory = directory
        # Where a day has more names than it can number, the source is `other` as well.
        self._wanted = Filter(sources=(source, OTHER))
        self._rows_of = lru_cache(MOST_DAYS)(self._read)

    def have(self, batch: Batch) -> NDArray[np.bool_]:
        """Which requests have a row, or may have one: without an id, all from the day's first on.

        Raises:
            StateError, apsw.Error: a day's file cannot be read.
        """
        found = np.zeros(len(batch), np.bool_)
        days = np.floor_divide(batch.start_times(), DAY_S)
        for day in np.unique(days).tolist():
            rows = self._rows_of(day_of(day * DAY_S))
            if rows is not None:
                places = np.flatnonzero(days == day)
                found[places] = rows.have(batch.take(places))
        return found

    def _read(self, day: date) -> _Rows | None:
        """Those of a day; None if there are none."""
        parts: list[tuple[int, Indices]] = []
        for name in day_files(self._directory):
            if name.day == day and name.part != BACKFILL:
                opened = open_day(self._directory, name, None)
                if opened is not None:
                    with opened:
                        parts += self._read_blocks(opened)
        if not parts:
            return None
        earliest, ids = zip(*parts, strict=True)
        return _Rows(min(earliest), np.sort(np.concatenate(ids)))

    def _read_blocks(self, day: OpenDay) -> Iterator[tuple[int, Indices]]:
        """Of each block with such rows, their earliest start and the hashes of their ids."""
        selection = day.selection(self._wanted)
        for block in day.blocks(self._wanted, self._wanted.latest):
            places, starts, _ = selection.matches(day.database, block)
            if len(places):
                text = blocks.read(day.database, block.first, [_ID]).get(_ID)
                ids = text.split(b"\n") if text else [b""] * block.rows
                yield int(starts.min()), _hashes(ids[place] for place in places.tolist())


def _hashes(ids: Iterable[bytes]) -> Indices:
    return np.fromiter(map(hash, ids), np.int64)
