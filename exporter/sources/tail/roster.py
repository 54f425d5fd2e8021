"""The files being read: opened, closed and let go of as they come, grow, move and vanish."""

import errno
import os
from collections.abc import Iterator, Mapping, Set
from typing import NamedTuple

import structlog

from exporter.sources.tail.content import Content
from exporter.sources.tail.descriptors import OpenFile
from exporter.sources.tail.discovery import Awaited, Found, State
from exporter.sources.tail.follower import Follower
from exporter.sources.tail.lineage import Lineage
from exporter.sources.tail.metrics import SourceMetrics
from exporter.sources.tail.record import FileId, FileRecord
from exporter.sources.tail.records import Records
from exporter.sources.tail.rotation import lineage_of
from exporter.sources.tail.settings import Clock, TailSettings

log = structlog.get_logger(__name__)

SEEN_AGAIN_S = 3600.0
"""How old the time may be that is stored as when a file was last seen."""


class Idle(NamedTuple):
    """A file that was read to its end and closed.

    Attributes:
        state: of the file then; when it is another one the file is opened again.
    """

    record: FileRecord
    state: State


class Roster:
    """The files of one source, and those of them that are being read.

    Attributes:
        followers: files being read, by device and inode.
        lineages: the same by the path that they have in turn.
        idle: files closed because they are finished, or to make room for others.
        files: what the globs matched at the last look.
        rotated: what stood beside them then, and no glob matched.
        watched: the paths at which files stood a while ago, or stand.
        looked_at: time of day of that look.
    """

    def __init__(
        self,
        name: str,
        settings: TailSettings,
        records: Records,
        metrics: SourceMetrics,
        clock: Clock,
    ) -> None:
        self.followers: dict[FileId, Follower] = {}
        self.lineages: dict[str, Lineage] = {}
        self.idle: dict[FileId, Idle] = {}
        self.files: Mapping[FileId, Found] = {}
        self.rotated: Mapping[FileId, Found] = {}
        self.looked_at = 0.0
        self._ids: dict[str, FileId] = {}
        self._rotated_from: Set[str] = frozenset()
        self._awaited: Set[Awaited] = frozenset()
        self._there_at = dict.fromkeys(records.lineages(), float("-inf"))
        self._name = name
        self._settings = settings
        self._records = records
        self._metrics = metrics
        self._clock = clock
        self._seen_again_s = min(SEEN_AGAIN_S, settings.forget_after_s / 2)

    @property
    def watched(self) -> Set[str]:
        return self._there_at.keys()

    def update(
        self,
        files: Mapping[FileId, Found],
        rotated: Mapping[FileId, Found],
        awaited: Set[Awaited],
        now: float,
    ) -> set[str]:
        """Take note of what is there now.

        Args:
            files: what the globs match.
            rotated: what stands beside them; the same object as long as it was not listed anew.
            awaited: logs whose first file, too, is known to be a new one when it comes.

        Returns:
            The paths that are looked at for the first time.
        """
        are_listed_anew = rotated is not self.rotated
        self.files, self.rotated = files, rotated
        self._ids = {found.path: file_id for file_id, found in files.items()}
        self.looked_at = self._clock.wall()
        if are_listed_anew:
            self._rotated_from = {lineage_of(found.path) for found in rotated.values()}
        for follower in self.followers.values():
            if found := files.get(follower.file_id):
                self._see(follower.record, found)
                follower.away_since = None
                follower.look(found.state)
            else:
                if found := rotated.get(follower.file_id):
                    self._see(follower.record, found)
                self._away(follower, now)
        for file_id in list(self.idle) if are_listed_anew else self.idle.keys() & files.keys():
            idle, found = self.idle[file_id], self._found(file_id)
            if found is None or found.state != idle.state:
                del self.idle[file_id]  # if it is there it is met, and recognised
            else:
                self._see(idle.record, found)
        return self._watch(awaited, now)

    def _watch(self, awaited: Set[Awaited], now: float) -> set[str]:
        there = {lineage_of(found.path) for found in self.files.values()}
        new = there | {log.path for log in awaited}
        new -= self._there_at.keys() | self._records.lineages()
        new -= {log.path for log in awaited & self._awaited}
        self._awaited = awaited
        there |= self._rotated_from & self._there_at.keys() | self.lineages.keys()
        self._there_at |= dict.fromkeys(there, now)
        self._there_at = {
            path: at
            for path, at in self._there_at.items()
            if now - at <= self._settings.rotated_wait_s
        }
        return new

    def _found(self, file_id: FileId) -> Found | None:
        return self.files.get(file_id) or self.rotated.get(file_id)

    def is_there(self, file_id: FileId) -> bool:
        """Whether the file was there at the last look."""
        return self._found(file_id) is not None

    def has_moved(self, file_id: FileId) -> bool:
        """Whether the file was there at the last look, and has been renamed or deleted since."""
        found = self._found(file_id)
        if found is None:
            return False
        try:
            info = os.stat(found.path)
        except OSError as error:
            return error.errno == errno.ENOENT
        return (info.st_dev, info.st_ino) != file_id

    def attach(self, record: FileRecord, content: Content, found: Found, now: float) -> None:
        """Read a file from its record's position on."""
        wall = self._clock.wall()
        record.modified_ns = found.state.modified_ns
        record.seen = wall
        idle_s = max(0.0, wall - found.state.modified_ns / 1e9)
        follower = Follower(
            record,
            content,
            found,
            self._records,
            self._metrics,
            self._settings.max_line_bytes,
            grew_at=now - idle_s,
        )
        if found.file_id not in self.files:
            self._away(follower, now)
        self.followers[found.file_id] = follower
        if record.lineage not in self.lineages:
            self.lineages[record.lineage] = Lineage(
                record.lineage, self._settings, self._metrics, self._records
            )
        self.lineages[record.lineage].add(follower)

    def detach(self, follower: Follower) -> None:
        """Read a file no more; its record stays."""
        os.close(self.hand_over(follower))

    def hand_over(self, follower: Follower) -> int:
        """Read a file no more; returns its descriptor, which is still open."""
        del self.followers[follower.file_id]
        self.lineages[follower.record.lineage].files.remove(follower)
        return follower.content.fd

    def open_files(self) -> Iterator[OpenFile]:
        """All that are being read."""
        for follower in self.followers.values():
            yield OpenFile(follower.content.fd, follower.found, follower.undelivered())

    def arrange(self) -> None:
        """Put each log's files in order."""
        for lineage in self.lineages.values():
            if len(lineage.files) > 1:
                lineage.sort()

    def busy(self, now: float) -> list[Lineage]:
        """The logs of which there may be something to read."""
        followers = self.followers.values()
        busy = {one.record.lineage for one in followers if not one.is_quiet(now)}
        return [lineage for path, lineage in self.lineages.items() if path in busy]

    def make_room(self, wanted: int) -> bool:
        """Whether one more file may be opened beside the followers and `wanted` others.

        For that a file is closed to which nothing was written for the longest time.
        """
        spare = self._settings.max_open - wanted - len(self.followers)
        if spare < 1:
            closable = filter(self._may_close, self.followers.values())
            for follower in sorted(closable, key=lambda follower: follower.grew_at):
                state = State.of(os.fstat(follower.content.fd))
                if state.size == follower.cursor:
                    self._rest(follower, state)
                    return True
        return spare > 0

    def finish(self, follower: Follower) -> None:
        """Close a gzip file if nothing more is to come of it."""
        content = follower.content
        if content.broken:
            self._metrics.gzip_errors.inc()
            log.warning(
                "gzip file is broken",
                source=self._name,
                path=follower.record.path,
                so="what stands before the error is counted",
            )
        elif follower.half or not content.complete or content.unread(follower.cursor):
            return
        self._finish(follower)

    def _finish(self, follower: Follower) -> None:
        """Close a file to which nothing more is going to be written, as far as one can tell."""
        self.finish_as(follower.record, follower.state)
        self._rest(follower, follower.state)

    def finish_as(self, record: FileRecord, state: State) -> None:
        """The file needs not be opened while that is its state."""
        record.finished, record.disk_size, record.modified_ns = True, *state
        self._records.changed(record)

    def recognise_finished(self, found: Found) -> bool:
        """Whether nothing was written to the file since it was finished, so that it stays closed.

        The device's number may have changed.
        """
        for record in self._records.with_inode(found.file_id[1]):
            as_it_was = State(record.disk_size, record.modified_ns) == found.state
            is_same = record.file_id == found.file_id or record.lineage == lineage_of(found.path)
            if record.finished and as_it_was and is_same and not record.pending:
                if record.file_id != found.file_id:
                    self._records.rebind(record, found.path, found.file_id)
                self.idle[found.file_id] = Idle(record, found.state)
                self._see(record, found)
                return True
        return False

    def strays(self) -> list[Found]:
        """Those of the rotated files that are not being read, and were not read to their end.

        One that was listed for its inode may have turned out to be another file since.
        """
        followers, idle, with_inode = self.followers, self.idle, self._records.with_inode
        return [
            found
            for file_id, found in self.rotated.items()
            if file_id not in idle and file_id not in followers
            if not found.by_inode or with_inode(found.file_id[1])
        ]

    def has(self, file_id: FileId) -> bool:
        """Whether the file is being read, or was read to its end."""
        return file_id in self.followers or file_id in self.idle

    def follows(self, record: FileRecord) -> bool:
        """Whether the file that the record is of is being read, or was read to its end."""
        return not record.orphan and self.has(record.file_id)

    def with_last_line(self, now: float) -> Iterator[Follower]:
        """Files that end with an unfinished line which nobody is going to finish."""
        for follower in list(self.followers.values()):
            over = self._is_superseded(follower) or not follower.linked or follower.content.complete
            waited = now - follower.grew_at >= self._settings.rotated_wait_s
            if follower.half and follower.at_end and over and waited:
                yield follower

    def let_go(self, now: float, *, may_read: bool) -> None:
        """Close files that were rotated or deleted, once they have not grown for a while.

        What is unfinished in a log that has ended is dropped.

        One that still has a name, while nothing new stands at its old path, is kept for longer:
        its writer may not have noticed (a kubelet that ended between rename and reopen).

        Args:
            may_read: else an unfinished last line could not be delivered before, and is waited for.
        """
        settings = self._settings
        for follower in list(self.followers.values()):
            if follower.away_since is None:
                continue
            idle_s = now - max(follower.grew_at, follower.away_since)
            if follower.at_end and (may_read or not follower.half):
                ended = not follower.linked or self._is_superseded(follower)
                if idle_s >= (settings.rotated_wait_s if ended else settings.unlinked_limit_s):
                    self._finish(follower)
            elif not follower.linked and idle_s >= settings.unlinked_limit_s:
                self._abandon(follower)
        for path, lineage in list(self.lineages.items()):
            if lineage.files or path in self._ids:
                lineage.there_at = now
            waited = now - lineage.there_at >= settings.rotated_wait_s
            if lineage.has_pieces() and (waited or lineage.is_over(self._ids)):
                lineage.drop_pieces()
            if not lineage.files and not lineage.has_pieces():
                del self.lineages[path]

    def _abandon(self, follower: Follower) -> None:
        unread = follower.undelivered()
        self._metrics.abandoned_bytes.inc(unread)
        log.error(
            "deleted file let go of unread, to give its disk space back",
            source=self._name,
            path=follower.record.path,
            bytes=unread,
        )
        self.detach(follower)

    def _rest(self, follower: Follower, state: State) -> None:
        self.detach(follower)
        self.idle[follower.file_id] = Idle(follower.record, state)

    def _see(self, record: FileRecord, found: Found) -> None:
        """Note that a file is there, and where."""
        is_due = self.looked_at - record.seen >= self._seen_again_s
        if is_due or found.path != record.path:
            record.seen, record.path = self.looked_at, found.path
            self._records.changed(record)

    def _away(self, follower: Follower, now: float) -> None:
        """No glob matches the file: read on from what is open."""
        if follower.away_since is None:
            follower.away_since = now
        try:
            info = os.fstat(follower.content.fd)
        except OSError:  # another machine has deleted it; reading it will tell
            follower.linked = follower.at_end = False
            return
        follower.linked = info.st_nlink > 0
        follower.look(State.of(info))

    def _is_superseded(self, follower: Follower) -> bool:
        """Whether a newer file stands at the path where this one stood."""
        lineage = follower.record.lineage
        at_path = self._ids.get(lineage, follower.file_id)
        return at_path != follower.file_id or self.lineages[lineage].files[-1] is not follower

    def _may_close(self, follower: Follower) -> bool:
        """Whether the file can be opened again without losing anything."""
        return (
            follower.at_end
            and not follower.half
            and follower.away_since is None
            and not follower.record.gzip
            and not self.lineages[follower.record.lineage].has_pieces()
        )
