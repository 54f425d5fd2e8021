"""Searching the request log: newest first, page by page, within a budget of time.

Blocks are skipped by their summaries; of those that remain only the columns that a filter needs are
read. A page says how far back it has looked, so that a search that ran out of time can be gone on
with. Nothing here holds a transaction for longer than a budget: the write-ahead log would grow.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from heapq import merge
from itertools import groupby, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from exporter.requestlog.blocks import Block
from exporter.requestlog.files import DayName, day_files, day_name, day_of
from exporter.requestlog.filter import Filter
from exporter.requestlog.names import LoggedKind
from exporter.requestlog.open_day import OpenDay, open_day
from exporter.requestlog.request import LoggedRequest
from exporter.requestlog.table import Table

Published = Callable[[str], int | None]
"""The last batch of a part of the log that may be shown; None if all that is in its files may."""


class Place(NamedTuple):
    """Where a row stands in the order of a search; greater ones come first.

    Attributes:
        start: microseconds since 1970.
        file: name of its day's file.
    """

    start: int
    file: str
    row: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the requests that were found, newest first.

    Attributes:
        searched_to: microseconds since 1970; all that started from here on was looked at.
        next: what the next page comes after; None if there is nothing older.
    """

    requests: Sequence[LoggedRequest]
    searched_to: int
    next: Place | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each kind was found.

    Attributes:
        searched_to: as of `Page`; the filter's earliest if all was counted.
    """

    kinds: Counter[LoggedKind]
    searched_to: int


class RequestSearch:
    """Reads the day files of a directory; safe to use in several threads at once.

    Args:
        published: what may be shown; left out, all that is in the files.
    """

    def __init__(self, directory: Path, published: Published = lambda _: None) -> None:
        self._directory = directory
        self._published = published

    def _open(self, name: DayName) -> OpenDay | None:
        """A day's file; None if it is gone, or not made yet."""
        return open_day(self._directory, name, self._published(name.part))

    def _days(self, wanted: Filter) -> Iterator[tuple[date, list[DayName]]]:
        """Days that the filter reaches into with their files, newest first."""
        first, last = day_of(wanted.earliest / 1e6), day_of(wanted.latest / 1e6)
        names = [name for name in day_files(self._directory) if first <= name.day <= last]
        for day, files in groupby(reversed(names), key=lambda name: name.day):
            yield day, list(files)

    def oldest(self) -> date | None:
        """The oldest day that is kept."""
        return min((name.day for name in day_files(self._directory)), default=None)

    def page(
        self, wanted: Filter, limit: int, after: Place | None = None, budget_s: float = 1.0
    ) -> Page:
        """The newest requests that match, from `after` on into the past, at most `limit`.

        When the budget is used up, the page holds what is certain: nothing newer than `searched_to`
        is missing from it. Each page looks at something that the one before has not looked at.

        Raises:
            apsw.Error, StateError, OSError: a file or the directory cannot be read.
        """
        walk = _Walk(time.monotonic() + budget_s)
        found: list[LoggedRequest] = []
        for day, names in self._days(wanted):
            if after is not None and day > day_of(after.start / 1e6):
                continue
            with ExitStack() as files:
                hits = _Hits(wanted, limit - len(found), after)
                for file, block in walk.blocks(self._enter(files, names), wanted, after):
                    if hits.are_complete(block):
                        break
                    hits.look(file, block)
                newest = hits.until(walk.stopped_at)
                found += _requests(newest)
            if walk.stopped_at is not None and len(found) < limit:
                stop = walk.stopped_at
                return Page(found, stop, Place(stop, "", -1))
            if len(found) == limit:
                last = newest[-1].place
                return Page(found, last.start, last)
        return Page(found, wanted.earliest, None)

    def _enter(self, files: ExitStack, names: Sequence[DayName]) -> list[OpenDay]:
        opened = [file for name in names if (file := self._open(name)) is not None]
        return [files.enter_context(file) for file in opened]

    def counts(self, wanted: Filter, budget_s: float = 1.0) -> Counts:
        """How many requests match, by kind; of the newest ones when the budget is used up."""
        walk = _Walk(time.monotonic() + budget_s)
        counted: Counter[LoggedKind] = Counter()
        for _, names in self._days(wanted):
            with ExitStack() as files:
                opened = self._enter(files, names)
                totals = {file.name: np.zeros(len(file.kinds), np.int64) for file in opened}
                for file, block in walk.blocks(opened, wanted, None):
                    totals[file.name] += file.count(block, wanted)
                for file in opened:
                    found = np.flatnonzero(totals[file.name])
                    numbers = totals[file.name][found].tolist()
                    for kind, requests in zip(file.kinds.at(found), numbers, strict=True):
                        counted[kind] += requests
            if walk.stopped_at is not None:
                return Counts(counted, walk.stopped_at)
        return Counts(counted, wanted.earliest)

    def get(self, key: str) -> LoggedRequest | None:
        """The request of this key."""
        file_name, _, number = key.rpartition(":")
        try:
            name, row = day_name(file_name), int(number)
        except ValueError:
            return None
        with ExitStack() as files:
            for file in self._enter(files, [name]):
                block = file.block_of(row) if 0 <= row < file.rows else None
                if block is not None:
                    return next(file.table(block, [row]).requests())
        return None

    def export(self, wanted: Filter) -> Iterator[Table]:
        """All requests that match, a block at a time, day by day in the order in which they came.

        What comes after the start of the export is not in it.

        Raises:
            FileNotFoundError: a day was deleted meanwhile, so that the export is not whole.
        """
        ends: list[tuple[DayName, int]] = []
        for _, names in self._days(wanted):
            for name in names:
                with ExitStack() as files:
                    ends += [(name, file.rows) for file in self._enter(files, [name])]
        for name, end in reversed(ends):
            file = self._open(name)
            if file is None:
                raise FileNotFoundError(f"{name}: deleted by retention during the export")
            with file.closing():
                yield from _export_day(file, wanted, end)


def _export_day(file: OpenDay, wanted: Filter, end: int) -> Iterator[Table]:
    selection = file.selection(wanted)
    row = 0
    while row < end:
        found: Table | None = None
        with file.view():
            # Not the one behind the last one, for small ones are merged meanwhile.
            block = file.next_in_time(row, wanted)
            if block is None:
                return
            if selection.may_hold(block):
                places, _, _ = selection.matches(file.database, block)
                rows = places + block.first
                chosen = rows[(rows >= row) & (rows < end)]
                if len(chosen):
                    found = file.table(block, chosen.tolist())
        if found is not None:
            yield found
        row = block.end


class _Walk:
    """Blocks from the newest to the oldest, until the time is up.

    Attributes:
        stopped_at: microseconds; when it was up, all from here on had been looked at.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._has_begun = False
        self.stopped_at: int | None = None

    def blocks(
        self, files: Sequence[OpenDay], wanted: Filter, after: Place | None
    ) -> Iterator[tuple[OpenDay, Block]]:
        """Those of a day's files that may hold what is wanted."""
        latest = wanted.latest if after is None else min(wanted.latest, after.start)
        of_each = [zip(repeat(file), file.blocks(wanted, latest)) for file in files]
        for file, block in merge(*of_each, key=lambda one: one[1].latest, reverse=True):
            stop = block.latest + 1
            # The next page must come further than this one, whatever it has to read again.
            comes_further = self._has_begun and (after is None or stop < after.start)
            if comes_further and time.monotonic() > self._deadline:
                self.stopped_at = stop
                return
            self._has_begun = True
            yield file, block


class _Hit(NamedTuple):
    place: Place
    file: OpenDay
    block: Block


class _Hits:
    """The newest rows that were found so far."""

    def __init__(self, wanted: Filter, limit: int, after: Place | None) -> None:
        self._wanted = wanted
        self._limit = limit
        self._after = after
        self._found: list[_Hit] = []

    def are_complete(self, block: Block) -> bool:
        """Whether neither this block nor an older one can add to them."""
        return len(self._found) == self._limit and block.latest < self._found[-1].place.start

    def look(self, file: OpenDay, block: Block) -> None:
        """Take what a block adds."""
        places, starts, _ = file.selection(self._wanted).matches(file.database, block)
        floor = self._found[-1].place.start if len(self._found) == self._limit else 0
        fits = (starts >= floor) & (places + block.first < file.rows)
        if self._after is not None:
            fits &= starts <= self._after.start
        for start, place in zip(starts[fits].tolist(), places[fits].tolist(), strict=True):
            here = Place(start, str(file.name), block.first + place)
            if self._after is None or here < self._after:
                self._found.append(_Hit(here, file, block))
        self._found.sort(key=lambda hit: hit.place, reverse=True)
        del self._found[self._limit :]

    def until(self, stopped_at: int | None) -> list[_Hit]:
        """Those that are certain."""
        if stopped_at is None:
            return self._found
        return [hit for hit in self._found if hit.place.start >= stopped_at]


def _requests(hits: Sequence[_Hit]) -> list[LoggedRequest]:
    """The whole rows, in the order given; each block is read once."""
    by_block: dict[tuple[str, int], list[_Hit]] = {}
    for hit in hits:
        by_block.setdefault((hit.place.file, hit.block.first), []).append(hit)
    found: dict[tuple[str, int], LoggedRequest] = {}
    for of_block in by_block.values():
        file, block = of_block[0].file, of_block[0].block
        rows = [hit.place.row for hit in of_block]
        for row, request in zip(rows, file.table(block, rows).requests(), strict=True):
            found[of_block[0].place.file, row] = request
    return [found[hit.place.file, hit.place.row] for hit in hits]
