"""The request log as it is written: which day a request belongs to, and how many days are kept."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import apsw
import numpy as np
import structlog
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge

from exporter.errors import StateError
from exporter.record import COLUMN_NAMES, Batch, Indices, Kind, Kinds, Numbers
from exporter.requestlog.columns import NUMBER_COLUMNS, Rows, Stored, joined
from exporter.requestlog.day import DayFile
from exporter.requestlog.files import (
    DAY_S,
    DayName,
    day_files,
    day_of,
    day_start,
    move_aside,
    size,
    unlink,
)
from exporter.requestlog.names import ATTRIBUTES, KINDS, logged

log = structlog.get_logger(__name__)

CLOCK_SKEW_S = 300
"""A start further in the future is a wrong clock's: the request gets the time of its arrival."""

INDEX_BLOCKS = 16
"""Blocks whose ids are indexed in one go, once a commit: up to 32,000 requests a second."""

FINISH_BLOCKS = 512
"""The same where nobody waits for a commit."""

MOST_UNINDEXED = 250_000
"""Rows of a day that lives whose ids need no index: a search reads them all in some 15 ms. Those
whose entries are being made come on top."""

RETENTION_EVERY_S = 10.0

_DAMAGE = (apsw.CorruptError, apsw.NotADBError)


class RequestLogMetrics:
    """What the request log says about itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "llm_gateway_exporter_request_log"
        self.rows = Counter(
            f"{prefix}_rows", "Requests written to the request log.", registry=registry
        )
        self.dropped = Counter(
            f"{prefix}_rows_dropped",
            "Requests counted and not logged, by reason: expired (older than the retention) or full"
            " (today alone has reached the size limit).",
            ["reason"],
            registry=registry,
        )
        self.bytes = Gauge(f"{prefix}_bytes", "Size of the request log's files.", registry=registry)
        self.oldest = Gauge(
            f"{prefix}_oldest_day_timestamp_seconds",
            "Begin of the oldest day that is kept.",
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class Retention:
    """How much is kept.

    Attributes:
        days: before today.
        max_bytes: of all files; the oldest days go first.
    """

    days: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Part:
    """Requests of a day, whose names have no numbers yet."""

    source: str
    kinds: Kinds
    kind: Indices
    numbers: dict[str, Stored]
    texts: dict[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.kind)


@dataclass
class _Day:
    """An open day, and the numbers that our kinds have in its dictionaries.

    Attributes:
        known: by source; shape (kinds or more, 2), -1 where not looked up yet.
    """

    file: DayFile
    generation: int = -1
    known: dict[str, NDArray[np.int32]] = field(default_factory=dict)


class RequestLog:
    """Writes requests to day files; used by one thread only.

    A batch is gathered with `add`, made durable with `commit` under the number that the state will
    commit it under right after, and let go with `committed`. If the state's commit fails, `commit`
    is called again with the same number, and adds nothing twice.

    Args:
        state, batch: whose numbers those are, and the last one: what a crash left of a later batch
            is taken back.
        attributes: names of the kinds' extra attributes.
        estimate_currency: of a kind's price in the price list.
        part: whose files these are; those of the daemon's main process are "".
        deletes: whether files of a part are deleted here when it is time. Of two processes that
            write to one directory each leaves the other's alone, and both see the same sizes.

    Raises:
        StateError: the directory cannot be used, or a file is of a later version.
    """

    def __init__(
        self,
        directory: Path,
        retention: Retention,
        metrics: RequestLogMetrics,
        *,
        state: str,
        batch: int,
        attributes: Sequence[str] = (),
        estimate_currency: Callable[[Kind], str] = lambda _: "",
        part: str = "",
        deletes: Callable[[str], bool] = lambda _: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._retention = retention
        self._metrics = metrics
        self._state = state
        self._attributes = attributes
        self._estimate_currency = estimate_currency
        self._part = part
        self._deletes = deletes
        self._clock = clock
        self._days: dict[date, _Day] = {}
        self._pending: dict[date, list[_Part]] = {}
        self._is_full = False
        self._is_failing = False
        self._retention_kept = -math.inf  # When it was, last.
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            for name in day_files(directory):
                if name.part == part:
                    self._open(name.day, batch)
                    self._close_if_done(name.day)  # Each day takes three descriptors.
        except (OSError, apsw.Error) as error:
            raise StateError(f"{directory}: {error}") from error

    def _open(self, day: date, batch: int = 0) -> _Day:
        """A day, made if it is not there; a damaged one is moved aside."""
        found = self._days.get(day)
        if found is not None:
            return found
        path = self._path(day)
        try:
            file = DayFile(path, self._state, batch)
        except _DAMAGE as damage:
            self._move_aside(day, damage)
            file = DayFile(path, self._state, batch)
        return self._days.setdefault(day, _Day(file))

    def _path(self, day: date) -> Path:
        return DayName(day, self._part).path(self._directory)

    def _move_aside(self, day: date, damage: apsw.Error) -> None:
        """Keep a damaged day for a look at it; it begins anew."""
        open_day = self._days.pop(day, None)
        if open_day is not None:
            open_day.file.close()
        path = self._path(day)
        kept = path.with_name(f"{path.name}.corrupt-{self._clock():.0f}")
        move_aside(path, kept)
        log.error(
            "request log: a day is damaged and moved aside",
            day=str(day),
            kept=str(kept),
            reason=str(damage),
        )

    def add(self, source: str, batch: Batch, estimate: Numbers | None = None) -> None:
        """Gather the requests of a batch; touches no file.

        Args:
            estimate: cost by the price list, for those whose gateway reports none; NaN where there
                is no price.
        """
        if not len(batch):
            return
        now = self._clock()
        starts = batch.start_times()
        starts = np.where((starts >= 0) & (starts <= now + CLOCK_SKEW_S), starts, now)
        figures = {name: getattr(batch.numbers, name) for name in COLUMN_NAMES}
        figures["start_time"] = starts
        if estimate is not None:
            figures["estimated_cost"] = np.where(figures["cost"] > 0, np.nan, estimate)
        numbers = {
            column.name: stored
            for column in NUMBER_COLUMNS
            if column.name in figures
            and (stored := column.stored(figures[column.name])) is not None
        }
        texts = {"request_id": batch.request_ids(), "trace_id": batch.trace_ids()}
        whole = _Part(source, batch.kinds, batch.kind, numbers, texts)
        days = np.floor_divide(starts, DAY_S)
        if days.min() == days.max():
            self._gather(float(days[0]), whole)
            return
        for day in np.unique(days).tolist():
            self._gather(day, _taken(whole, np.flatnonzero(days == day)))

    def _gather(self, ordinal: float, part: _Part) -> None:
        day = day_of(ordinal * DAY_S)
        if day < self._oldest_kept():
            self._metrics.dropped.labels("expired").inc(len(part))
        elif self._is_full:
            self._metrics.dropped.labels("full").inc(len(part))
        else:
            self._pending.setdefault(day, []).append(part)

    def _oldest_kept(self) -> date:
        return day_of(self._clock()) - timedelta(days=self._retention.days)

    def commit(self, batch: int) -> None:
        """Make what was gathered durable.

        Raises:
            OSError: it could not be written; nothing is lost, and it may be tried again.
        """
        for day, parts in self._pending.items():
            try:
                self._append(day, parts, batch)
            except apsw.Error as error:
                raise OSError(f"request log: {self._path(day)}: {error}") from error

    def _append(self, day: date, parts: Sequence[_Part], batch: int) -> None:
        """Write requests to their day, which may prove to be damaged only now."""
        try:
            self._write(day, parts, batch)
        except _DAMAGE as damage:
            self._move_aside(day, damage)
            self._write(day, parts, batch)

    def _write(self, day: date, parts: Sequence[_Part], batch: int) -> None:
        open_day = self._open(day, batch)
        open_day.file.append(joined([self._rows(open_day, part) for part in parts]), batch)

    def committed(self) -> None:
        """The state has committed the same batch: it may be read now, and is not ours to keep."""
        self._metrics.rows.inc(sum(len(part) for parts in self._pending.values() for part in parts))
        self._pending.clear()

    def _rows(self, day: _Day, part: _Part) -> Rows:
        found = self._known(day, part)[part.kind].astype(np.uint16)
        return Rows(found[:, KINDS], found[:, ATTRIBUTES], part.numbers, part.texts)

    def _known(self, day: _Day, part: _Part) -> NDArray[np.int32]:
        """Numbers of the part's kinds in the day's dictionaries, by kind."""
        if day.generation != part.kinds.generation:
            day.generation = part.kinds.generation
            day.known.clear()
        known = day.known.get(part.source)
        if known is None or len(known) < len(part.kinds):
            grown = np.full((2 * len(part.kinds), 2), -1, np.int32)
            if known is not None:
                grown[: len(known)] = known
            known = day.known[part.source] = grown
        for number in np.unique(part.kind[known[part.kind, KINDS] < 0]).tolist():
            kind = part.kinds[number]
            attributes = dict(zip(self._attributes, kind.attributes, strict=True))
            known[number, KINDS] = day.file.dictionaries[KINDS].of(
                logged(kind, part.source, self._estimate_currency(kind))
            )
            known[number, ATTRIBUTES] = day.file.dictionaries[ATTRIBUTES].of(
                {name: value for name, value in attributes.items() if value}
            )
        return known

    def tend(self) -> None:
        """A little of the work that can wait: indexes of ids, days to let go of, retention."""
        self._try(self._keep_retention, self._shorten_logs, self._index_some)

    def give_room(self) -> None:
        """Keep the retention, while commits fail: the disk may be full."""
        self._try(self._keep_retention)

    def _try(self, *works: Callable[[], None]) -> None:
        """Do each of some works, whatever becomes of the others."""
        troubles = [trouble for work in works if (trouble := _trouble_with(work)) is not None]
        if troubles and not self._is_failing:
            log.warning("request log: could not be tidied up; tried again", error=troubles[0])
        self._is_failing = bool(troubles)

    def _shorten_logs(self) -> None:
        for open_day in self._days.values():
            open_day.file.shorten_log()

    def _index_some(self) -> None:
        for day, open_day in self._days.items():
            file = open_day.file
            behind = file.rows - file.indexed
            if behind > (0 if self._is_over(day) else MOST_UNINDEXED):
                try:
                    file.index(INDEX_BLOCKS)
                except apsw.Error:
                    self._days[day] = self._days.pop(day)  # The others have their turn first.
                    raise
                return
            if self._close_if_done(day):
                return

    def _is_over(self, day: date) -> bool:
        return day < day_of(self._clock() - CLOCK_SKEW_S)

    def _close_if_done(self, day: date) -> bool:
        """Close a day if it is over, and indexed; whether it was."""
        file = self._days[day].file
        if not self._is_over(day) or day in self._pending or file.indexed < file.rows:
            return False
        file.close()
        del self._days[day]
        return True

    def _keep_retention(self) -> None:
        """Unlink days that are too old, then the oldest ones until the size fits; now and then."""
        now = self._clock()
        # Either way: a clock that was ahead is set back, maybe by days.
        if abs(now - self._retention_kept) < RETENTION_EVERY_S:
            return
        self._retention_kept = now
        names = day_files(self._directory)
        sizes = {name: size(name.path(self._directory)) for name in names}
        today = day_of(now)
        for name in names:
            too_old = name.day < self._oldest_kept()
            too_much = sum(sizes.values()) > self._retention.max_bytes and name.day < today
            if too_old or too_much:
                if self._deletes(name.part):
                    self._unlink(name, "expired" if too_old else "size limit")
                del sizes[name]
        total = sum(sizes.values())
        is_full = total > self._retention.max_bytes
        if is_full != self._is_full:
            self._is_full = is_full
            if is_full:
                log.warning("request log: today alone fills it; requests are counted, not logged")
            else:
                log.info("request log: has room again")
        self._metrics.bytes.set(total)
        self._metrics.oldest.set(day_start(min(sizes).day) if sizes else 0)

    def _unlink(self, name: DayName, reason: str) -> None:
        if name.part == self._part:
            self._pending.pop(name.day, None)
            open_day = self._days.pop(name.day, None)
            if open_day is not None:
                open_day.file.close()
        unlink(name.path(self._directory))
        log.info("request log: a day is deleted", day=str(name), reason=reason)

    def finish(self) -> None:
        """Index all days, and close them.

        Raises:
            apsw.Error: an index could not be written.
        """
        for open_day in self._days.values():
            while open_day.file.indexed < open_day.file.rows:
                open_day.file.index(FINISH_BLOCKS)
        self.close()

    def close(self) -> None:
        """Fold the write-ahead logs into the files."""
        for open_day in self._days.values():
            open_day.file.close()
        self._days.clear()


def _trouble_with(work: Callable[[], None]) -> str | None:
    """Why files could not be read, written or deleted in some work; None if they could."""
    try:
        work()
    except (apsw.Error, OSError) as error:
        return str(error)
    return None


def _taken(part: _Part, rows: Indices) -> _Part:
    """The given rows only."""
    chosen = rows.tolist()
    return _Part(
        part.source,
        part.kinds,
        part.kind[rows],
        {name: stored[rows] for name, stored in part.numbers.items()},
        {name: [column[row] for row in chosen] for name, column in part.texts.items()},
    )
