"""Requests of the log that a destination has not been sent yet.

Rows are numbered for life in their day's file, so that a cursor is a number for each day: late
requests are appended to days that have passed. Days are sent from the oldest on, each in the order
in which its requests were logged.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from exporter.export.otlp.memory import Memory
from exporter.requestlog import blocks
from exporter.requestlog.columns import Rows
from exporter.requestlog.files import BACKFILL, DayName, day_files, day_name
from exporter.requestlog.names import LoggedKind
from exporter.requestlog.open_day import OpenDay, open_day
from exporter.requestlog.search import Published

log = structlog.get_logger(__name__)

_BEGAN = "began"
"""Key that is there once the destination has cursors."""

_DAY = "day "
"""Before a day's name: key of its cursor, the number of its first row that is not sent."""

_SUFFIXES = ("", "-wal")


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one day to be sent.

    Attributes:
        first: number of the first one.
        kinds, attributes: the names of the rows, by their numbers.
    """

    day: DayName
    first: int
    rows: Rows
    kinds: Mapping[int, LoggedKind]
    attributes: Mapping[int, dict[str, str]]


class Backlog:
    """For one destination; used by one thread.

    A destination that is new gets what is logged from then on.

    Args:
        directory: of the request log.
        published: what of it may be shown.
    """

    def __init__(self, directory: Path, published: Published, memory: Memory) -> None:
        self._directory = directory
        self._published = published
        self._memory = memory
        self._settled: dict[DayName, tuple[int, ...]] = {}
        self._ends: dict[DayName, int] = {}
        known = memory.read()
        self._cursors = {
            day_name(key.removeprefix(_DAY)): int(value)
            for key, value in known.items()
            if key.startswith(_DAY)
        }
        if _BEGAN not in known:
            self._begin()

    def _names(self) -> list[DayName]:
        """Days of the daemon's own; what a backfill brought is no news."""
        return [name for name in day_files(self._directory) if name.part != BACKFILL]

    def _begin(self) -> None:
        for name in self._names():
            if (day := self._open(name)) is not None:
                with day:
                    self._cursors[name] = day.rows
        self._memory.write(
            {_BEGAN: b"", **{_key(name): _value(row) for name, row in self._cursors.items()}}
        )

    @property
    def waiting(self) -> int:
        """How many rows are not sent, as of the last `next`."""
        return sum(max(0, end - self._cursors.get(name, 0)) for name, end in self._ends.items())

    def next(self, limit: int) -> Piece | None:
        """The oldest rows that are not sent, at most `limit`; None if there are none.

        Raises:
            apsw.Error, StateError, OSError: a day or the directory cannot be read.
        """
        names = self._names()
        self._forget_deleted(names)
        found: Piece | None = None
        for name in names:
            if found is None or name not in self._ends:
                piece = self._look(name, limit)
                found = found or piece
        return found

    def sent(self, piece: Piece) -> None:
        """The rows need not be sent again.

        Raises:
            apsw.Error: this could not be made durable.
        """
        row = piece.first + len(piece.rows)
        self._memory.write({_key(piece.day): _value(row)})
        self._cursors[piece.day] = row

    def _look(self, name: DayName, limit: int) -> Piece | None:
        """What is unsent of a day, which is opened only if it may have changed."""
        stamp = self._stamp(name)
        if self._settled.get(name) == stamp:
            return None
        day = self._open(name)
        if day is None:
            return None
        with day:
            self._ends[name] = day.rows
            cursor = self._cursors.get(name, 0)
            if cursor > day.rows:  # The file was damaged, and begun anew.
                log.warning(
                    "otlp: a day of the request log was begun anew, and is sent from its start",
                    day=str(name),
                    sent_before=cursor,
                    requests=day.rows,
                )
                cursor = self._cursors[name] = 0
            if cursor < day.rows:
                return _piece(day, cursor, min(day.rows, cursor + limit))
            if day.rows == _rows_written(day):
                self._settled[name] = stamp
        return None

    def _stamp(self, name: DayName) -> tuple[int, ...]:
        """Changes with each commit to a day's file."""
        path = name.path(self._directory)
        found = []
        for suffix in _SUFFIXES:
            with suppress(FileNotFoundError):
                found.append(path.with_name(path.name + suffix).stat().st_mtime_ns)
        return tuple(found)

    def _open(self, name: DayName) -> OpenDay | None:
        return open_day(self._directory, name, self._published(name.part))

    def _forget_deleted(self, names: Sequence[DayName]) -> None:
        for name in self._ends.keys() | self._cursors.keys():
            if name not in names:
                unsent = self._ends.pop(name, 0) - self._cursors.pop(name, 0)
                self._settled.pop(name, None)
                self._memory.write({_key(name): None})
                if unsent > 0:
                    log.warning(
                        "otlp: a day of the request log was deleted before all of it was sent",
                        day=str(name),
                        requests=unsent,
                    )


def _piece(day: OpenDay, first: int, end: int) -> Piece:
    """Rows from `first` on, to the end of their block at most."""
    block = day.block_of(first)
    if block is None or block.end <= first:
        raise ValueError(f"{day.name}: row {first} is in no block")
    rows = blocks.rows_of(day.database, block)[first - block.first : end - block.first]
    kinds, attributes = np.unique(rows.kinds), np.unique(rows.attributes)
    return Piece(
        day.name,
        first,
        rows,
        dict(zip(kinds.tolist(), day.kinds.at(kinds), strict=True)),
        dict(zip(attributes.tolist(), day.attributes.at(attributes), strict=True)),
    )


def _rows_written(day: OpenDay) -> int:
    """Rows of the file, those of a batch that is not published yet too."""
    rows: list[Any] = day.database.execute("select value from facts where name = 'rows'").fetchall()
    return int(rows[0][0])


def _key(name: DayName) -> str:
    return f"{_DAY}{name}"


def _value(row: int) -> bytes:
    return str(row).encode()
