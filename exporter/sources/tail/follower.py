"""One file being read: whole lines from its position on."""

import os
from contextlib import suppress

from exporter.sources.tail.content import Content, Replaced, Window, last_bytes
from exporter.sources.tail.directory import SETTLED_S
from exporter.sources.tail.discovery import Found, State
from exporter.sources.tail.fingerprint import STRONG, WINDOW, Mark, ending, mark, thin
from exporter.sources.tail.lines import fit
from exporter.sources.tail.metrics import SourceMetrics
from exporter.sources.tail.record import DISCARDING, FileRecord
from exporter.sources.tail.records import Records

BOM = b"\xef\xbb\xbf"


class Follower:
    """Reads a file and moves its record's position.

    Args:
        grew_at: when the file was written to last, by the monotonic clock.

    Attributes:
        content: the open file.
        cursor: bytes that were gone through; fewer than the record's position while replaying.
        state: of the file at the last look.
        at_end: all that is there was looked at.
        half: what is there ends with an unfinished line, or with NULs that may become one.
        replaying: the lines that were read last are counted already.
        grew_at, caught_up_at: when new bytes were read, when there were no more.
        away_since: since when no glob matches the file; None while one does.
        linked: it has a name somewhere.
    """

    def __init__(
        self,
        record: FileRecord,
        content: Content,
        found: Found,
        records: Records,
        metrics: SourceMetrics,
        max_line_bytes: int,
        grew_at: float,
    ) -> None:
        self.record = record
        self.content = content
        self.cursor = record.position
        self.file_id = found.file_id
        self.state = found.state
        self.at_end = False
        self.half = False
        self.replaying = False
        self.grew_at = self.caught_up_at = grew_at
        self.away_since: float | None = None
        self.linked = True
        self._records = records
        self._metrics = metrics
        self._max_line_bytes = max_line_bytes
        self._before: bytes | None = None
        self._looked_at: State | None = None
        self._nul_cursor = 0
        self._seen_to = 0

    @property
    def found(self) -> Found:
        """The file as it was last seen."""
        return Found(self.record.path, self.file_id, self.state)

    def replay(self) -> None:
        """Begin with the pieces of unfinished records, which are read again and not counted."""
        pending = self.record.pending.values()
        self.cursor = min([at for at in pending if at != DISCARDING], default=self.cursor)

    def look(self, state: State) -> None:
        """Take note of the file's state."""
        if state != self.state:
            self.state = state
            self.at_end = False

    def is_quiet(self, now: float) -> bool:
        """Whether all is read, and the file is as long as it was then; takes note of that.

        A content of the same length is told by the file's time, at the next look. Shortly after a
        write it could have the same time, so that reading has to tell.
        """
        if not self.at_end or self.half or self.content.gzip or now - self.grew_at < SETTLED_S:
            return False
        try:
            if self.content.length() != self.cursor:
                return False
        except OSError:
            return False  # reading tells
        self.caught_up_at = now
        return True

    def read(self, now: float) -> bytes:
        """The next whole lines; b"" where there are none, or none worth having.

        Raises:
            Replaced: the file no longer holds what was read of it.
            Unready: more has to be decompressed first.
            OSError: it can't be read.
        """
        if self.half and not self._changed():
            self.at_end = True
            return b""
        if self._before is None:
            self._before = self._known_before()
        window = self.content.window(self.cursor, self._before)
        self.replaying = self.cursor < self.record.position
        if self.replaying:
            return self._replay(window)
        self.half = False
        self.record.modified_ns = self.state.modified_ns
        self.at_end = window.at_end
        if self.at_end:
            self.caught_up_at = now
        if window.start == window.stop:
            return b""
        if (end_of_window := self.cursor + window.stop - window.start) > self._seen_to:
            self._seen_to = end_of_window
            self.grew_at = now
        if self.record.skipping:
            self._skip(window)
            return b""
        end = window.buffer.rfind(b"\n", window.start, window.stop) + 1
        if not end:
            self._read_half(window)
            return b""
        self.half = self.at_end and end < window.stop
        return self._take(bytes(memoryview(window.buffer)[window.start : end]))

    def _known_before(self) -> bytes:
        """The bytes before the cursor, by which each read sees whether the file is truncated.

        It may have been, between being recognised and this.

        Raises:
            Replaced: they are not those that were counted.
        """
        before = last_bytes(self.content, self.cursor)
        counted = self.record.mark
        if 0 < self.cursor == counted.position and not counted.fits(before):
            raise Replaced
        return before

    def rest(self) -> bytes:
        """The unfinished last line, as a line; for files that nobody writes to any more."""
        window = self.content.window(self.cursor, self._before or b"")
        data = bytes(memoryview(window.buffer)[window.start : window.stop])
        self.half = False
        if b"\n" in data or not data.strip(b"\0"):
            return b""
        return self._take(data)

    def unread(self) -> int:
        """Bytes on disk that were not looked at, as far as the file can be looked at."""
        return 0 if self.at_end else self.undelivered()

    def undelivered(self) -> int:
        """Those, and the ones of an unfinished line."""
        with suppress(OSError):
            return self.content.unread(self.cursor)
        return 0

    def _changed(self) -> bool:
        """Whether the file was written to since it was looked at and had no whole line."""
        state = State.of(os.fstat(self.content.fd))
        if state == self._looked_at:
            return False
        self._looked_at = state
        return True

    def _take(self, raw: bytes) -> bytes:
        """Move over `raw`, and make it fit for a decoder."""
        first = self.cursor == 0
        self._advance(raw)
        lines = raw if raw.endswith(b"\n") else raw + b"\n"
        if first:
            lines = lines.removeprefix(BOM)
        return fit(lines, self._max_line_bytes, self._metrics)

    def _replay(self, window: Window) -> bytes:
        """Lines before the position, for the pieces that stand in them."""
        self.at_end = False
        stop = min(window.stop, window.start + self.record.position - self.cursor)
        if stop == window.start:
            raise Replaced
        end = window.buffer.rfind(b"\n", window.start, stop) + 1
        raw = bytes(memoryview(window.buffer)[window.start : end or stop])
        self._advance(raw)
        return raw if end else b""

    def _skip(self, window: Window) -> None:
        """Move towards the end of a line that is left out."""
        end = window.buffer.find(b"\n", window.start, window.stop) + 1
        self.at_end = self.at_end and not end
        self._advance(bytes(memoryview(window.buffer)[window.start : end or window.stop]), not end)

    def _read_half(self, window: Window) -> None:
        """Decide on a window without a newline: NULs, a line that is too long, or half a line."""
        data = bytes(memoryview(window.buffer)[window.start : window.stop])
        rest = data.lstrip(b"\0")
        if not rest:
            self._pass_nuls()
        elif len(rest) < len(data):
            self._metrics.nul_bytes.inc(len(data) - len(rest))
            self._advance(data[: -len(rest)])
            self.at_end = False
        elif len(data) > self._max_line_bytes:
            self._metrics.lines_too_long.inc()
            self._advance(data, skipping=True)
        else:
            self.half = True

    def _pass_nuls(self) -> None:
        """Move to the first byte behind NULs; NULs with nothing behind them may still be filled in.

        A file has them where its writer goes on at its old offset after the file was truncated, and
        on network file systems for a moment before what was written is there.
        """
        content = self.content
        if self.at_end and not content.gzip:
            self.half = True
            return
        offset, is_data = content.data_from(max(self.cursor, self._nul_cursor))
        if is_data:
            self._metrics.nul_bytes.inc(offset - self.cursor)
            first = content.at(0, min(WINDOW, offset))
            self._moved_to(offset, last_bytes(content, offset), first, skipping=False)
            self._nul_cursor = 0
            self.at_end = False
        elif offset < content.length():
            self._nul_cursor = offset
        else:
            self._nul_cursor = 0
            self.half = self.at_end = True

    def _advance(self, raw: bytes, skipping: bool = False) -> None:
        before = self._before or b""
        record = self.record
        if self.cursor == record.position:
            self._mark_lines(before, raw)
        # Of what was read, not of the file: its content may be another one by now.
        first = (before + raw[:WINDOW])[:WINDOW] if self.cursor < WINDOW else b""
        self._moved_to(self.cursor + len(raw), ending(before, raw, len(raw)), first, skipping)

    def _mark_lines(self, before: bytes, raw: bytes) -> None:
        """Remember starts of lines by which a file is known again that was cut."""
        record, begin = self.record, self.cursor
        if not record.skipping:
            _append(record.marks, record.mark)
        if begin < STRONG <= begin + len(raw) and (at := raw.find(b"\n", STRONG - begin - 1) + 1):
            record.marks = [mark(begin + at, ending(before, raw, at))]
        if last := raw.rfind(b"\n", 0, len(raw) - 1) + 1:
            _append(record.marks, mark(begin + last, ending(before, raw, last)))

    def _moved_to(self, cursor: int, before: bytes, first: bytes, skipping: bool) -> None:
        """Take note of a position.

        Args:
            before: the bytes before it.
            first: those that the content begins with; b"" if they are known.
        """
        self.cursor, self._before = cursor, before
        self.content.passed(cursor)
        record = self.record
        if cursor > record.position:
            record.position = cursor
            record.mark = mark(cursor, before)
            record.skipping = skipping
            thin(record.marks, cursor)
            if first:
                self._records.set_head(record, mark(len(first), first))
            self._records.changed(record)


def _append(marks: list[Mark], newest: Mark) -> None:
    if newest.position > (marks[-1].position if marks else 0):
        marks.append(newest)
