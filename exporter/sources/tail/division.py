"""A source's files divided among processes: a log, with its rotated files, is read by one of them.

One process sees all files at each look and says whose each is, file by file, so that none is read
twice. Nothing is stored for that: whoever has the record of a file reads its log, also after a
restart.
"""

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from exporter.sources.tail.discovery import Found
from exporter.sources.tail.record import FileId, FileRecord, decode, encode
from exporter.sources.tail.records import STARTED
from exporter.sources.tail.rotation import lineage_of
from exporter.sources.tail.settings import DAY_S

FORGET_AFTER_S = 28 * DAY_S
"""How long it is known whose a file or log was that is gone: longer than there are records."""

_STAMPS = re.compile(
    r"""(?:^|(?<=.)[-._])
    (?: \d{4}[-_.]?\d\d[-_.]?\d\d [\dTZ:_-]* (?:\.\d+)?   # 20260101, 2026-01-01T11-29-11.123
      | \d\d[-_.]\d\d[-_.]\d{4} (?:[-.]\d+)?              # 01-31-2026-1
      | (?<=\.)\d{1,3}                                    # app.1.log
    )(?=\.|$)""",
    re.VERBOSE,
)

_CONTAINER_RUN = re.compile(r"\d+\.log")

Assigned = frozenset[tuple[FileId, str]]
"""Files of one process, each with the log that it is a file of."""


@lru_cache(maxsize=65_536)
def log_of(path: str) -> str:
    """What a file and those that it is rotated to have in common, also where no rule is known.

    Dates and numbers are left out wherever they stand in the name (`app-20260101.log`), and all
    runs of a container are one log.
    """
    directory, name = os.path.split(lineage_of(path))
    if _CONTAINER_RUN.fullmatch(name):
        return directory
    return os.path.join(directory, _STAMPS.sub("", name))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as it was last seen.

    Attributes:
        owner: number of the process that reads it.
        look: number of that look; 0 for what a record tells.
        at: time of day.
    """

    log: str
    size: int
    owner: int
    look: int
    at: float


class Division:
    """Says whose each file is: that of the process which reads its log, or the fewest logs.

    Args:
        processes: how many there are; numbers count from 0, which is this one.
        tell: is called with a source's name and the files of each process, when they change.
        clock: time of day.
    """

    def __init__(
        self,
        processes: int,
        tell: Callable[[str, Sequence[Assigned]], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.processes = processes
        self.tell = tell
        self.clock = clock
        self._sources: dict[str, DividedSource] = {}

    def of(self, source: str) -> "DividedSource":
        """A source's division, and this process's share of it."""
        return self._sources.setdefault(source, DividedSource(source, self))

    def know(self, source: str, owner: int, positions: Mapping[str, bytes]) -> None:
        """Take note of the records that a process has.

        Raises:
            StateError: one can't be decoded.
        """
        self.of(source).know(owner, _records(positions))

    def loads(self) -> Counter[int]:
        """How many logs each process reads, of all sources together."""
        return sum((source.loads for source in self._sources.values()), Counter())


class DividedSource:
    """Whose the files of one source are; the share of process 0.

    Attributes:
        loads: how many logs each process reads of it.
    """

    has_pipes = True
    is_whole = False

    def __init__(self, name: str, division: Division) -> None:
        self.loads: Counter[int] = Counter()
        self._name = name
        self._division = division
        self._look = 0
        self._seen: dict[FileId, _Seen] = {}
        self._owners: dict[str, tuple[int, float]] = {}
        self._told: Sequence[Assigned] | None = None

    def know(self, owner: int, records: Iterable[FileRecord]) -> None:
        """Take note of the records that a process has."""
        for record in sorted(records, key=lambda record: record.seen):
            log = log_of(record.lineage)
            if record.seen >= self._owners.get(log, (owner, 0.0))[1]:
                self._owners[log] = owner, record.seen
            if not record.orphan:
                size = record.disk_size if record.gzip else record.position
                seen = _Seen(log_of(record.path), size, owner, 0, record.seen)
                before = self._seen.get(record.file_id, seen)
                self._seen[record.file_id] = max(before, seen, key=lambda one: one.at)

    def of(self, files: Mapping[FileId, Found]) -> Mapping[FileId, Found]:
        """See `Share`; decides whose each file is, and tells the others."""
        self._look += 1
        now = self._division.clock()
        unknown: list[Found] = []
        owners: dict[str, int] = {}
        for found in files.values():
            owner = self._owner(found)
            if owner is None:
                unknown.append(found)
            else:
                self._take(found, owner, now)
                owners[log_of(found.path)] = owner
        self.loads = Counter(owners.values())
        for found in sorted(unknown):
            log = log_of(found.path)
            if log not in owners:
                loads = self._division.loads()
                # Of equals the last: the first serves the web as well.
                owners[log] = min(range(self._division.processes), key=lambda n: (loads[n], -n))
                self.loads[owners[log]] += 1
            self._take(found, owners[log], now)
        self._tell(files)
        self._forget(now - FORGET_AFTER_S)
        return {key: found for key, found in files.items() if self._seen[key].owner == 0}

    def _owner(self, found: Found) -> int | None:
        """Whose a file is already.

        A file that was renamed stays whose it was. It is told by its inode from one that was put in
        the place of a deleted one by its size: logs only grow.
        """
        log = log_of(found.path)
        before = self._seen.get(found.file_id)
        if before is not None:
            stayed = before.log == log and before.look == self._look - 1
            if stayed or found.state.size >= before.size:
                return before.owner
        owner = self._owners.get(log)
        return owner[0] if owner else None

    def _take(self, found: Found, owner: int, now: float) -> None:
        log = log_of(found.path)
        self._seen[found.file_id] = _Seen(log, found.state.size, owner, self._look, now)
        self._owners[log] = self._owners.get(log, (owner, now))[0], now

    def _tell(self, files: Mapping[FileId, Found]) -> None:
        parts = [
            frozenset(
                (key, self._seen[key].log) for key in files if self._seen[key].owner == number
            )
            for number in range(self._division.processes)
        ]
        if parts != self._told:
            self._told = parts
            self._division.tell(self._name, parts)

    def _forget(self, before: float) -> None:
        """Let go of what has not been there for long."""
        if self._look % 10_000 == 0:
            self._seen = {key: seen for key, seen in self._seen.items() if seen.at >= before}
            self._owners = {log: owner for log, owner in self._owners.items() if owner[1] >= before}


class AssignedShare:
    """The share of a process that is told which files are its own.

    Attributes:
        files: those, None before it was told for the first time.
    """

    has_pipes = is_whole = False

    def __init__(self) -> None:
        self.files: Assigned | None = None

    def of(self, files: Mapping[FileId, Found]) -> Mapping[FileId, Found]:
        """See `Share`."""
        mine = self.files or frozenset()
        return {key: each for key, each in files.items() if (key, log_of(each.path)) in mine}


def gathered(parts: Sequence[Mapping[str, bytes]]) -> dict[str, bytes]:
    """The positions of several processes as those of one; the first one's stay as they are.

    Raises:
        StateError: one can't be decoded.
    """
    own, *others = map(dict, parts)
    serial = max((record.serial for record in _records(own)), default=0)
    for part in others:
        for record in sorted(_records(part), key=lambda record: record.serial):
            serial += 1
            record.serial = serial
            own[record.key] = encode(record)
        if STARTED in part:
            own[STARTED] = part[STARTED]
    return own


def divided(positions: Mapping[str, bytes], processes: int) -> list[dict[str, bytes]]:
    """The positions of one process as those of several, the logs seen last dealt out evenly.

    Raises:
        StateError: one can't be decoded.
    """
    by_log: dict[str, list[FileRecord]] = {}
    for record in _records(positions):
        by_log.setdefault(log_of(record.lineage), []).append(record)
    started = {STARTED: positions[STARTED]} if STARTED in positions else {}
    parts = [dict(started) for _ in range(processes)]
    newest_first = sorted(
        by_log.items(), key=lambda log: (-max(record.seen for record in log[1]), log[0])
    )
    for number, (_, records) in enumerate(newest_first):
        parts[number % processes].update((record.key, encode(record)) for record in records)
    return parts


def _records(positions: Mapping[str, bytes]) -> list[FileRecord]:
    return [decode(key, value) for key, value in positions.items() if key != STARTED]
