"""The tail source: looks at directories, reads what files have, and says up to where."""

import errno
import os
from collections.abc import Collection, Iterator, Mapping

import structlog

from exporter.sources.tail.arrivals import Arrivals
from exporter.sources.tail.complaints import TRIED_AGAIN, Complaints
from exporter.sources.tail.content import Replaced, Unready
from exporter.sources.tail.descriptors import Descriptors, Held
from exporter.sources.tail.discovery import Discovery, stands_at
from exporter.sources.tail.follower import Follower
from exporter.sources.tail.gzipped import STEP
from exporter.sources.tail.lineage import Lineage
from exporter.sources.tail.metrics import TailMetrics
from exporter.sources.tail.pipe import Pipe
from exporter.sources.tail.record import FileRecord
from exporter.sources.tail.records import Records
from exporter.sources.tail.roster import Roster
from exporter.sources.tail.rotation import lineage_of
from exporter.sources.tail.settings import STDIN, Clock, TailSettings
from exporter.sources.tail.share import WHOLE, Share

log = structlog.get_logger(__name__)

SILENT_SHARE = 16
"""Bytes that give no block (of a line that is too long, or skipped in a gzip file) cost the budget
this many times less, for nothing has to be decoded."""

PRUNE_INTERVAL_S = 3600.0

LATELY_S = 6 * 3600.0
"""Files that were seen since then are remembered whatever their number."""


class TailSource:
    """Reads files that grow, are rotated, copied, truncated and compressed: each whole line once.

    That holds over restarts and crashes if what `positions` says is made durable together with the
    blocks. Standard input and FIFOs have no positions: a crash loses what was not committed.

    It polls, one thread calls it, and it never waits. While commits fail, `read(0)` lets go of
    deleted files that must not be held for ever.

    Args:
        name: of the source, its label in metrics.
        known: the positions that were stored.
        share: which files are read here.
        descriptors: where what is open is left to the next source of the name, and taken from the
            one before.

    Raises:
        StateError: a position can't be decoded.
    """

    def __init__(
        self,
        name: str,
        settings: TailSettings,
        known: Mapping[str, bytes],
        metrics: TailMetrics,
        clock: Clock | None = None,
        share: Share = WHOLE,
        descriptors: Descriptors | None = None,
    ) -> None:
        self.name = name
        self._share = share
        self._descriptors = descriptors
        self._settings = settings
        self._clock = clock or Clock()
        self._metrics = metrics.of(name)
        self._complaints = Complaints(name, self._metrics.file_errors)
        self._records = Records(known)
        self._discovery = Discovery(settings, self._complaints)
        self._roster = Roster(name, settings, self._records, self._metrics, self._clock)
        self._arrivals = Arrivals(
            name,
            settings,
            self._records,
            self._roster,
            self._metrics,
            self._complaints,
        )
        self._pipes: dict[str, Pipe] = {}
        self._next_look = self._next_prune = float("-inf")
        self._first_turn = 0
        self._has_new = False

    def read(self, budget: int) -> Iterator[bytes]:
        """Lines that are there, of each log in turn; see `Source.read`."""
        now = self._clock.monotonic()
        has_looked = now >= self._next_look
        if has_looked:
            self._look(now)
        elif self._arrivals.unsettled:
            self._arrivals.settle(now)
        yield from self._read_pipes(budget)
        yield from self._read_files(budget, now)
        if has_looked:
            if budget > 0:
                yield from self._read_last_lines(now)
            self._roster.let_go(now, may_read=budget > 0)
            self._measure(now)

    def positions(self) -> Mapping[str, bytes | None]:
        """The records of files that have changed; see `Source.positions`."""
        return self._records.changes()

    def committed(self) -> None:
        """See `Source.committed`."""
        self._records.committed()

    def close(self) -> None:
        """Close all files, or leave them to the next source of this name."""
        files = [*self._roster.open_files(), *self._arrivals.open_files()]
        held = Held(self.name, self._metrics, files, self._pipes)
        if self._descriptors is None:
            held.close()
        else:
            self._descriptors.keep(held)
        self._metrics.open_files.set(0)

    def _look(self, now: float) -> None:
        """See which files there are."""
        is_first = self._next_look == float("-inf")
        self._next_look = now + self._settings.discover_interval_s
        matched, pipes = self._discovery.sweep(now)
        if is_first and not (matched or pipes):
            self._tell_that_there_is_none()
        files = self._share.of(matched)
        awaited = self._discovery.awaited() if self._share.is_whole else frozenset()
        lineages = self._roster.watched | {lineage_of(found.path) for found in files.values()}
        lineages |= {log.path for log in awaited}
        rotated = self._discovery.rotated(lineages, self._records.paths_of, matched, now)
        new = self._roster.update(files, rotated, awaited, now)
        pipes = pipes if self._share.has_pipes else []
        if self._descriptors and (held := self._descriptors.take(self.name)):
            self._take_over(held, pipes, now)
        if now >= self._next_prune:
            self._next_prune = now + PRUNE_INTERVAL_S
            self._prune()
        self._arrivals.take_in(new, now)
        self._roster.arrange()
        for path in pipes:
            if path not in self._pipes:
                self._open_pipe(path)

    def _take_over(self, held: Held, pipes: Collection[str], now: float) -> None:
        """Go on with what the source before this one had open.

        Files that no glob matches any more are closed, but not if they were deleted or moved: they
        are read to their end.
        """
        for fd, found, _ in held.files:
            if self._roster.is_there(found.file_id) or not stands_at(found.path, found.file_id):
                self._arrivals.take_back(fd, found, now)
            else:
                os.close(fd)
        for path, pipe in held.pipes.items():
            if path in pipes:
                pipe.adopt(self._settings)
                self._pipes[path] = pipe
            else:
                pipe.close()

    def _tell_that_there_is_none(self) -> None:
        if self._share.has_pipes:  # One process of those that share the files.
            paths = ", ".join(self._settings.paths)
            log.info("no file matches yet", source=self.name, paths=paths, so="looked for again")

    def _prune(self) -> None:
        now = self._clock.wall()
        long_ago, lately = now - self._settings.forget_after_s, now - LATELY_S
        self._metrics.partials_dropped.inc(self._records.prune(long_ago, lately, self._is_there))

    def _is_there(self, record: FileRecord) -> bool:
        if record.orphan:
            return False
        file_id = record.file_id
        is_open = self._roster.follows(record) or file_id in self._arrivals
        return is_open or self._roster.is_there(file_id) or stands_at(record.path, file_id)

    def _open_pipe(self, path: str) -> None:
        try:
            self._pipes[path] = Pipe(path, self._settings, self._metrics)
        except OSError as error:
            self._complaints.about(path, "open file", error, TRIED_AGAIN)
        else:
            self._complaints.over(path, "open file")

    def _read_pipes(self, budget: int) -> Iterator[bytes]:
        for path, pipe in list(self._pipes.items()):
            try:
                yield from pipe.read(budget)
            except OSError as error:
                self._complaints.about(path, "read file", error, "read no more")
                pipe.ended = True
            if pipe.ended and path != STDIN:
                pipe.close()
                del self._pipes[path]

    def _read_files(self, budget: int, now: float) -> Iterator[bytes]:
        """A block of each log in turn, again and again, until all are read or the budget is spent.

        A log's older file is read to its end before a newer one.
        """
        turns = self._roster.busy(now)
        first = self._first_turn % max(len(turns), 1)
        turns = turns[first:] + turns[:first]
        has_begun_again = self._has_new = False
        while turns and budget > 0:
            unfinished: list[Lineage] = []
            for turn, lineage in enumerate(turns):
                for follower in tuple(lineage.files):
                    data, spent = self._next_lines(lineage, follower, now)
                    budget -= spent if data else spent // SILENT_SHARE
                    if data:
                        yield data
                    if not follower.at_end:
                        if spent:
                            unfinished.append(lineage)
                        break
                if budget <= 0:
                    self._first_turn += turn + 1
                    break
            turns = unfinished
            if self._has_new and not has_begun_again:
                has_begun_again = True
                turns = list(self._roster.lineages.values())

    def _next_lines(self, lineage: Lineage, follower: Follower, now: float) -> tuple[bytes, int]:
        """The next lines to deliver, and how many bytes were gone through for them.

        Sets also whether a file was found to have another content, which may be of another log.
        """
        start = follower.cursor
        try:
            lines = follower.read(now)
        except Replaced:
            self._arrivals.replaced(follower, now)
            self._has_new = True
            return b"", 0
        except Unready:
            return b"", STEP
        except OSError as error:
            self._give_up(follower, error)
            return b"", 0
        self._complaints.over(follower.record.path, "read file")
        spent = follower.cursor - start
        if follower.record.gzip and follower.at_end:
            self._roster.finish(follower)
        return self._unwrapped(lineage, follower, start, lines), spent

    def _unwrapped(self, lineage: Lineage, follower: Follower, start: int, lines: bytes) -> bytes:
        if not lines:
            return b""
        data = lineage.unwrap(follower, start, lines)
        return b"" if follower.replaying else data

    def _give_up(self, follower: Follower, error: OSError) -> None:
        """Leave a file that can't be read until the next look, and don't hold up what follows."""
        self._complaints.about(follower.record.path, "read file", error, TRIED_AGAIN)
        follower.at_end = True
        if error.errno == errno.ESTALE and follower.away_since is None:
            self._roster.detach(follower)  # to be opened again by its path

    def _read_last_lines(self, now: float) -> Iterator[bytes]:
        for follower in self._roster.with_last_line(now):
            start = follower.cursor
            try:
                lines = follower.rest()
            except (Replaced, Unready, OSError):  # as reading it will tell, too
                continue
            lineage = self._roster.lineages[follower.record.lineage]
            if data := self._unwrapped(lineage, follower, start, lines):
                yield data

    def _measure(self, now: float) -> None:
        metrics = self._metrics
        followers = self._roster.followers.values()
        behind = [(follower.unread(), follower.caught_up_at) for follower in followers]
        behind += self._arrivals.unread()
        oldest = min((since for unread, since in behind if unread), default=now)
        metrics.behind_bytes.set(sum(unread for unread, _ in behind))
        metrics.behind_seconds.set(now - oldest)
        metrics.known_files.set(len(self._records))
        metrics.open_files.set(len(followers) + len(self._arrivals) + len(self._pipes))
