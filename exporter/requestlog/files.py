"""Day files and their names."""

from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

DAY_S = 86_400

BACKFILL = "backfill"
"""Part of the request log that a backfill writes."""

_SUFFIXES = ("-wal", "-shm", "")
"""Of a database's files. The log goes first: SQLite would take it for that of a later file."""


class DayName(NamedTuple):
    """Which requests a file holds.

    Attributes:
        day: on which they started, UTC.
        part: "" for the daemon's main process, else who wrote them: `BACKFILL`, or a worker.
    """

    day: date
    part: str = ""

    def __str__(self) -> str:
        return f"{self.day}.{self.part}" if self.part else str(self.day)

    def path(self, directory: Path) -> Path:
        """The file in the request log's directory."""
        return directory / f"{self}.db"


def day_name(text: str) -> DayName:
    """The name again, from its `str()`.

    Raises:
        ValueError: it is none.
    """
    day, _, part = text.partition(".")
    return DayName(date.fromisoformat(day), part)


def day_files(directory: Path) -> list[DayName]:
    """All that there are, oldest first.

    Raises:
        OSError: the directory cannot be read.
    """
    found = []
    with suppress(FileNotFoundError):
        # Not by `glob`, to which a directory that may not be read is an empty one.
        for path in directory.iterdir():
            with suppress(ValueError):  # Not one of ours.
                if path.match("????-??-??*.db"):
                    found.append(day_name(path.stem))
    return sorted(found)


def day_of(time_s: float) -> date:
    """The day of a time, UTC; the last one there is for a time beyond it."""
    try:
        return datetime.fromtimestamp(time_s, UTC).date()
    except (ValueError, OverflowError, OSError):
        return date.max if time_s > 0 else date.min


def day_start(day: date) -> float:
    """When a day begins, Unix seconds."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def size(path: Path) -> int:
    """Bytes of a database and its write-ahead log."""
    total = 0
    for suffix in ("", "-wal"):
        try:
            total += path.with_name(path.name + suffix).stat().st_size
        except FileNotFoundError:
            continue
    return total


def unlink(path: Path) -> None:
    """Delete a database whose writer has closed it; who reads it reads on."""
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def move_aside(path: Path, to: Path) -> None:
    """Rename a database with its write-ahead log."""
    for suffix in _SUFFIXES:
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(to.with_name(to.name + suffix))
