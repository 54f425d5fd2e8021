"""Files that have turned up, and deciding what each of them is."""

import errno
import os
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager

import structlog

from exporter.sources.tail.complaints import TRIED_AGAIN, Complaints
from exporter.sources.tail.content import Content, Replaced, Unready
from exporter.sources.tail.descriptors import OpenFile
from exporter.sources.tail.discovery import Found
from exporter.sources.tail.fingerprint import NOTHING, STRONG, Mark
from exporter.sources.tail.follower import Follower
from exporter.sources.tail.identity import Counted, Match, Original, counted, original_of, orphan_of
from exporter.sources.tail.metrics import SourceMetrics
from exporter.sources.tail.record import FileId, FileRecord
from exporter.sources.tail.records import Records
from exporter.sources.tail.roster import Roster
from exporter.sources.tail.rotation import lineage_of
from exporter.sources.tail.settings import TailSettings
from exporter.sources.tail.stranger import Opener, Stranger

log = structlog.get_logger(__name__)

ANY_FILE = "*"
"""Stands for a path where there are no descriptors for any."""


class Arrivals:
    """Recognises files over renames, copies, truncations and restarts; new ones are read whole.

    A file may be, in this order: the one that a record is of, by inode and content; the copy or
    the compressed form of one whose content is gone from where it stood; a copy of one that is
    still being read, which is waited for; or a new one.

    Attributes:
        unsettled: a decision waits for content to be read or decompressed, not for something to
            happen.
    """

    def __init__(
        self,
        name: str,
        settings: TailSettings,
        records: Records,
        roster: Roster,
        metrics: SourceMetrics,
        complaints: Complaints,
    ) -> None:
        self.unsettled = False
        self._name = name
        self._settings = settings
        self._records = records
        self._roster = roster
        self._metrics = metrics
        self._complaints = complaints
        self._opener = Opener(settings.max_line_bytes)
        self._strangers: dict[FileId, Stranger] = {}
        self._shut: dict[FileId, tuple[Found, float]] = {}
        self._from_end: set[FileId] | None = None
        self._has_opened = self._lacks_descriptors = False

    def __len__(self) -> int:
        return len(self._strangers)

    def __contains__(self, file_id: FileId) -> bool:
        return file_id in self._strangers

    def take_in(self, new: Set[str], now: float) -> None:
        """Meet the files that the roster has found and does not follow, and decide on them.

        Args:
            new: paths that are looked at for the first time. What was rotated from there before is
                left alone where no glob matches it, for nobody asked for it.
        """
        if self._from_end is None:
            at_end = self._settings.start == "end" and not self._records.had_started
            self._from_end = set(self._roster.files if at_end else ())
        self._from_end &= self._roster.files.keys()
        self._has_opened = self._lacks_descriptors = False
        for found in self._roster.strays():
            is_known = found.file_id in self or bool(self._records.at(found.file_id))
            if lineage_of(found.path) in new and not is_known:
                self._leave_alone(found)
            elif found.state.size or is_known:
                self._meet(found, now)
        for found in self._roster.files.values():
            self._meet(found, now)
        self._shut = {one: at for one, at in self._shut.items() if self._roster.is_there(one)}
        if self._has_opened and not self._lacks_descriptors:
            self._complaints.over(ANY_FILE, "open file")
        self.settle(now)

    def settle(self, now: float) -> None:
        """Decide on files as far as that can be done now."""
        self.unsettled = False
        for stranger in list(self._strangers.values()):
            with self._trying(stranger):
                stranger.look(self._opener, now)
                self._recognise(stranger, now)
                if self._has_gone(stranger, now):
                    self._dismiss(stranger)
        for stranger in sorted(self._strangers.values(), key=self._order):
            with self._trying(stranger):
                self._decide(stranger, now)

    @contextmanager
    def _trying(self, stranger: Stranger) -> Iterator[None]:
        try:
            yield
        except Unready:
            self.unsettled = True
        except Replaced:
            stranger.begin_again()
        except OSError as error:
            self._complaints.about(stranger.found.path, "read file", error, TRIED_AGAIN)
            self._dismiss(stranger)

    def replaced(self, follower: Follower, now: float) -> None:
        """A file no longer holds what was read of it: decide on it again."""
        self.take_back(self._roster.hand_over(follower), follower.found, now)
        self.settle(now)

    def take_back(self, fd: int, found: Found, now: float) -> None:
        """Meet a file that is open, and was met before."""
        self._strangers[found.file_id] = Stranger(fd, found, self._roster.looked_at, now)

    def unread(self) -> Iterator[tuple[int, float]]:
        """Of files that cannot be opened: bytes that are not read, and since when."""
        for file_id, (found, since) in self._shut.items():
            positions = (one.position for one in self._records.at(file_id) if not one.gzip)
            yield max(0, found.state.size - max(positions, default=0)), since

    def open_files(self) -> Iterator[OpenFile]:
        """What is not decided on."""
        for stranger in self._strangers.values():
            yield OpenFile(stranger.fd, stranger.found)

    def _order(self, stranger: Stranger) -> tuple[bool, bool, int, bool]:
        """Originals before their copies: known files, plain ones, the longest, the unrotated."""
        found = stranger.found
        return (
            not self._records.at(found.file_id),
            stranger.content is not None and stranger.content.gzip,
            -found.state.size,
            found.path != lineage_of(found.path),
        )

    def _meet(self, found: Found, now: float) -> None:
        """Open a file to decide on it, unless that is done."""
        file_id = found.file_id
        _, since = self._shut.pop(file_id, (found, now))
        if stranger := self._strangers.get(file_id):
            stranger.found = found._replace(state=stranger.state)
        elif not (self._roster.has(file_id) or self._roster.recognise_finished(found)):
            fd = self._open(found)
            if fd is None:
                self._shut[file_id] = found, since
            else:
                from_end = self._from_end is not None and file_id in self._from_end
                met = self._roster.looked_at
                self._strangers[file_id] = Stranger(fd, found, met, now, from_end=from_end)

    def _leave_alone(self, found: Found) -> None:
        """Remember a file as read to its end; one that is compressed as what it is on disk."""
        lineage, met = lineage_of(found.path), self._roster.looked_at
        record = self._records.add(found.path, lineage, met, found.file_id)
        self._roster.finish_as(record, found.state)
        fd = self._open(found)
        if fd is None:
            return
        try:
            content = self._opener.content(fd)
            record.gzip = content is not None and content.gzip
            if content is not None and not content.gzip:
                length = content.length()
                is_half = content.at(length - 1, 1) != b"\n"
                self._records.place(record, content, length, skipping=is_half)
        except OSError as error:
            self._complaints.about(found.path, "read file", error, "left alone")
        except Replaced:
            pass  # Somebody writes to it: it is another one at the next look, and read.
        finally:
            os.close(fd)

    def _open(self, found: Found) -> int | None:
        if not self._roster.make_room(len(self._strangers)):
            return None
        try:
            fd = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:  # renamed since; it is found again under its new name
            return None
        except OSError as error:
            lacks_descriptors = error.errno in (errno.EMFILE, errno.ENFILE)
            self._lacks_descriptors |= lacks_descriptors
            path = ANY_FILE if lacks_descriptors else found.path
            self._complaints.about(path, "open file", error, TRIED_AGAIN)
            return None
        self._has_opened = True
        self._complaints.over(found.path, "open file")
        info = os.fstat(fd)
        if (info.st_dev, info.st_ino) != found.file_id:
            os.close(fd)
            return None
        return fd

    def _has_gone(self, stranger: Stranger, now: float) -> bool:
        """Whether a file was removed, or rotated and left, before anything was written to it."""
        waited = now - stranger.grew_at >= self._settings.rotated_wait_s
        is_away = stranger.found.file_id not in self._roster.files and waited
        return stranger.content is None and (is_away or not stranger.linked)

    def _decide(self, stranger: Stranger, now: float) -> None:
        """Find out what the file is, unless that has to wait.

        Raises:
            Unready: not before more of a content is read or decompressed.
        """
        found, content = stranger.found, stranger.content
        if content is None:
            return
        if stranger.from_end:
            self._begin_at_end(stranger, content, now)
            return
        alike = self._records.alike(content)
        records = self._records.at(found.file_id)
        known = next(iter(self._matches(content, records)), None)
        if known is None and any(map(self._is_on_the_move, alike)):
            return  # The next look sees where that one is, of which this may be a copy.
        orphans = [
            record for record in alike if self._is_orphan(record, found.file_id, content.gzip)
        ]
        match = orphan_of(found, content, orphans)
        original = self._original_of(stranger, content, alike)
        longest = max(
            known.counted.position if known else 0,
            match.counted.position if match else 0,
            original.agreed if original else 0,
        )
        if known and known.counted.position == longest:
            self._go_on(stranger, content, known, now)
        elif match and match.counted.position == longest:
            self._lose(records, stranger)
            self._take_over(stranger, content, match, now)
        elif original:
            self._decide_on_copy(stranger, content, original, known, now)
        else:
            self._lose(records, stranger)
            self._count_anew(stranger, content, now)

    def _recognise(self, stranger: Stranger, now: float) -> None:
        """Go on in a file that is known by its inode and by enough of its content.

        That comes before all else: what a file turns out not to be may be found elsewhere.
        """
        content = stranger.content
        records = self._records.at(stranger.found.file_id)
        matches = [] if content is None else self._matches(content, records)
        if not matches:
            is_empty = content is None
            self._lose([one for one in records if not is_empty or one.head != NOTHING], stranger)
        elif content is not None:
            record, kept = matches[0]
            if kept.position >= STRONG or kept.position < record.position:
                self._go_on(stranger, content, matches[0], now)

    def _matches(self, content: Content, records: Iterable[FileRecord]) -> list[Match]:
        """Those of the records whose content it is; a compressed one is never cut."""
        return [
            Match(record, kept)
            for record in records
            if record.gzip == content.gzip
            and (kept := counted(record, content)) is not None
            and (kept.position == record.position or not content.gzip)
        ]

    def _lose(self, records: Iterable[FileRecord], stranger: Stranger) -> None:
        """The records' inode has another content: the file was truncated, or the inode reused."""
        for record in records:
            if record.position and record.path == stranger.found.path:
                self._metrics.truncations.inc()
                log.warning(
                    "file has a new content, which is read from the start",
                    source=self._name,
                    path=record.path,
                )
            self._orphan(record)

    def _orphan(self, record: FileRecord) -> None:
        """The content isn't where it was, but there may be a copy of it."""
        if record.head == NOTHING:
            self._records.forget(record)
        else:
            self._records.orphan(record)

    def _is_orphan(self, record: FileRecord, file_id: FileId, gzip: bool) -> bool:
        """Whether the record's content may stand in the file of this inode instead of its own."""
        if record.orphan:  # as it was it is there no more; compressed it may be
            return record.file_id != file_id or record.gzip != gzip
        return not (
            self._roster.has(record.file_id)
            or self._roster.is_there(record.file_id)
            or record.file_id in self._strangers
        )

    def _is_on_the_move(self, record: FileRecord) -> bool:
        """Whether the record's file was rotated in the middle of this look, and nobody has it."""
        file_id = record.file_id
        is_held = self._roster.has(file_id) or file_id in self._strangers
        return not (record.orphan or is_held) and self._roster.has_moved(file_id)

    def _original_of(
        self, stranger: Stranger, content: Content, alike: Iterable[FileRecord]
    ) -> Original | None:
        """The file that a stranger may be a copy of, among those that begin like it."""
        path = stranger.found.path
        lineage = self._roster.lineages.get(lineage_of(path))
        followers = list(lineage.files if lineage else ())  # a copy may not be that long yet
        idle: list[FileRecord] = []
        for record in filter(self._roster.follows, alike):
            if follower := self._roster.followers.get(record.file_id):
                followers.append(follower)
            else:
                idle.append(record)
        return original_of(path, content, followers, idle)

    def _decide_on_copy(
        self,
        stranger: Stranger,
        content: Content,
        original: Original,
        known: Match | None,
        now: float,
    ) -> None:
        """What equals a file that is being read is a copy, or just not different yet.

        A copy's original is truncated soon, which ends the copy's waiting, or goes away. A file
        that stays, while the original stays too, is one of its own. Compressed ones never are.
        """
        record = original.record
        waited = now - stranger.grew_at >= self._settings.copy_grace_s
        ready = (content.complete or content.broken) if content.gzip else waited
        if not ready:
            return
        if content.gzip or record.gzip or not original.linked:
            is_heir = not original.linked and original.agreed == record.position
            is_covered = original.at_end or content.length() <= record.position
            is_whole = content.at(original.agreed - 1, 1) == b"\n"  # half a line may differ yet
            if is_heir or record.pending:
                return  # it takes over when the original is closed
            if not is_covered:
                raise Unready
            if is_whole and original.agreed <= record.position:
                self._metrics.copies.inc()
                self._count(stranger, content, Counted(original.agreed), now)
        elif known:
            self._go_on(stranger, content, known, now)
        elif stranger.linked:
            self._count_anew(stranger, content, now)
        else:
            self._dismiss(stranger)

    def _go_on(self, stranger: Stranger, content: Content, match: Match, now: float) -> None:
        for other in self._records.at(stranger.found.file_id):
            if other is not match.record:
                self._records.forget(other)
        record, kept = match
        if kept == (record.position, record.skipping):
            self._records.rebind(record, stranger.found.path, stranger.found.file_id)
            self._follow(stranger, content, record, now)
            return
        self._metrics.truncations.inc()
        log.warning(
            "file is shorter than what was counted of it: reading goes on at its end",
            source=self._name,
            path=record.path,
        )
        self._orphan(record)
        self._count(stranger, content, kept, now, record.marks)

    def _take_over(self, stranger: Stranger, content: Content, match: Match, now: float) -> None:
        """Go on in a copy.

        One that ends before the record's position was made earlier, or is another content that
        begins alike: the record stays for a longer one.
        """
        self._metrics.copies.inc()
        record, kept = match
        if kept == (record.position, record.skipping):
            self._records.rebind(record, stranger.found.path, stranger.found.file_id)
            self._follow(stranger, content, record, now)
        else:
            self._count(stranger, content, kept, now, record.marks)

    def _count_anew(self, stranger: Stranger, content: Content, now: float) -> None:
        """Count a file from its start; one that was met for its inode alone is no log's.

        Unless nothing is counted of it yet: then its first line was unfinished until now.
        """
        found = stranger.found
        if found.by_inode and not any(
            record.file_id == found.file_id and not record.position
            for record in self._records.alike(content)
        ):
            self._dismiss(stranger)
        else:
            self._count(stranger, content, Counted(0), now)

    def _count(
        self,
        stranger: Stranger,
        content: Content,
        kept: Counted,
        now: float,
        marks: Iterable[Mark] = (),
    ) -> None:
        """Begin a record of the file, of which that much is counted."""
        found = stranger.found
        record = self._records.add(found.path, lineage_of(found.path), stranger.met, found.file_id)
        record.marks = list(marks)
        try:
            self._records.place(record, content, *kept)
        except Replaced:
            self._records.forget(record)
            raise
        self._follow(stranger, content, record, now)

    def _begin_at_end(self, stranger: Stranger, content: Content, now: float) -> None:
        """Leave out the lines that are there; an unfinished one is read when it is whole."""
        length = content.length()
        if content.gzip:
            self._count(stranger, content, Counted(length), now)
            return
        looked_at = min(length, self._settings.max_line_bytes)
        last = content.at(length - looked_at, looked_at).rfind(b"\n") + 1
        if last or looked_at == length:
            self._count(stranger, content, Counted(length - looked_at + last), now)
        else:
            self._count(stranger, content, Counted(length, skipping=True), now)

    def _follow(self, stranger: Stranger, content: Content, record: FileRecord, now: float) -> None:
        del self._strangers[stranger.found.file_id]
        record.gzip, record.finished = content.gzip, False
        self._roster.attach(record, content, stranger.found, now)

    def _dismiss(self, stranger: Stranger) -> None:
        if self._strangers.pop(stranger.found.file_id, None):
            stranger.close()
