"""The files that stood one after another at one path: the older is read before the newer."""

import re
from collections.abc import Iterable

from exporter.sources.tail.envelope import Unwrapper
from exporter.sources.tail.follower import Follower
from exporter.sources.tail.joiner import Joiner
from exporter.sources.tail.metrics import SourceMetrics
from exporter.sources.tail.record import DISCARDING, FileRecord
from exporter.sources.tail.records import Records
from exporter.sources.tail.rotation import age
from exporter.sources.tail.settings import TailSettings

_CONTAINER_RUN = re.compile(r"(?P<directory>.*/)(?P<run>\d+)\.log")
"""The kubelet's name of a container's log; the number grows with each restart of the container."""


class Lineage:
    """Files of one log, and the pieces of records that go from one file into the next.

    Args:
        path: where the file that is written to stands.

    Attributes:
        files: being read, the oldest first.
        there_at: when a file of the log was there.
    """

    def __init__(
        self, path: str, settings: TailSettings, metrics: SourceMetrics, records: Records
    ) -> None:
        self.path = path
        self.files: list[Follower] = []
        self.there_at = float("-inf")
        self._metrics = metrics
        self._joiner = Joiner(settings.max_line_bytes, metrics)
        self._unwrapper = Unwrapper(settings.envelope, self._joiner)
        self._records = records
        self._holders: set[FileRecord] = set()

    def add(self, follower: Follower) -> None:
        """Read this file too."""
        self.files.append(follower)
        pending = follower.record.pending
        if pending and follower.record not in self._holders:  # whose pieces are here already
            self._holders.add(follower.record)
            follower.replay()
            for stream, position in pending.items():
                if position == DISCARDING:
                    self._joiner.discard(stream)

    def sort(self) -> None:
        """Put the oldest file first; the last is that at the path itself.

        Of those that were met at one look, the names tell.
        """
        self.files.sort(
            key=lambda follower: (
                follower.away_since is None and follower.record.path == self.path,
                follower.record.met,
                age(follower.record.path),
                follower.record.serial,
            )
        )

    def unwrap(self, follower: Follower, start: int, lines: bytes) -> bytes:
        """The lines without their envelope, records joined.

        Args:
            start: position from which on the lines stand in the file.
        """
        before = dict(self._joiner.open)
        data = self._unwrapper.unwrap(lines)
        if (before or self._joiner.open) and not follower.replaying:
            self._hold(follower.record, start, before.items())
        return data

    def has_pieces(self) -> bool:
        """Whether a record is unfinished."""
        return bool(self._holders)

    def is_over(self, paths: Iterable[str]) -> bool:
        """Whether all is read, and a later run of the container has its log among the paths."""
        if not all(follower.at_end for follower in self.files):
            return False
        mine = _CONTAINER_RUN.fullmatch(self.path)
        others = (_CONTAINER_RUN.fullmatch(path) for path in paths)
        return mine is not None and any(
            other is not None
            and other["directory"] == mine["directory"]
            and int(other["run"]) > int(mine["run"])
            for other in others
        )

    def drop_pieces(self) -> None:
        """What is unfinished will stay so."""
        streams = {
            stream
            for record in self._holders
            for stream, position in record.pending.items()
            if position != DISCARDING
        }
        self._metrics.partials_dropped.inc(len(streams))
        self._joiner.open.clear()
        for record in self._holders:
            record.pending.clear()
            self._records.changed(record)
        self._holders.clear()

    def _hold(self, record: FileRecord, start: int, before: Iterable[tuple[str, object]]) -> None:
        """Note in the files' records from where on they must be read again after a restart.

        Positions move on past pieces: lines of the other stream that stand behind them are counted
        and must not be read again. What is read again gives only the pieces.
        """
        now_open = self._joiner.open
        for stream, unfinished in before:
            if now_open.get(stream) is not unfinished:
                self._release(stream)
        for stream, unfinished in now_open.items():
            if unfinished.discarding:
                self._release(stream)
            record.pending.setdefault(stream, DISCARDING if unfinished.discarding else start)
        if now_open:
            self._holders.add(record)
            self._records.changed(record)
        self._holders = {holder for holder in self._holders if holder.pending}

    def _release(self, stream: str) -> None:
        """No file has to be read again for this stream."""
        for holder in self._holders:
            if holder.pending.pop(stream, None) is not None:
                self._records.changed(holder)
