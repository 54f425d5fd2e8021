"""The decompressed content of a gzip file, complete or still being written.

Lines are delivered as they come, not only once the stream is complete: positions count decompressed
bytes, which stay the same however far the file has been written, so waiting would gain nothing and
would need the stream to be decompressed twice.
"""

import os
import zlib

from exporter.sources.tail.content import BLOCK, Replaced, Unready, Window
from exporter.sources.tail.fingerprint import WINDOW, Mark

MAGIC = b"\x1f\x8b\x08"
GZIP_WINDOW_BITS = 31

RAW_BLOCK = 64 << 10
GLANCE = 16 << 10
"""Bytes decompressed in one go where a few are wanted: hundreds of files may wait to be read."""

STEP = 16 << 20
"""Bytes decompressed in one go before another file has its turn; about 30 ms."""


class GzipContent:
    """Decompresses forwards in bounded memory; what lies behind is had by beginning again.

    Args:
        wanted: bytes that a window holds where there are as many.
    """

    gzip = True

    def __init__(self, fd: int, wanted: int) -> None:
        self.fd = fd
        self._wanted = wanted
        self._first = b""
        self._matched: dict[Mark, bool] = {}
        self._length: tuple[int, int] | None = None
        self._begin()

    def _begin(self) -> None:
        self._inflate = zlib.decompressobj(GZIP_WINDOW_BITS)
        self._raw = b""
        self._raw_offset = 0
        self._start = 0
        self._buffer = bytearray()
        self.broken = False

    @property
    def complete(self) -> bool:
        return not self.broken and self._inflate.eof and not self._raw

    def window(self, cursor: int, before: bytes) -> Window:
        self._reach(cursor)
        if self._end < cursor:
            raise Replaced
        at_end = False
        while self._end - cursor < self._wanted and not at_end:
            at_end = not self._more()
        start = cursor - self._start
        return Window(self._buffer, start, len(self._buffer), at_end)

    def at(self, offset: int, length: int) -> bytes:
        if offset + length <= len(self._first):
            return self._first[offset : offset + length]
        self._reach(offset)
        while self._end < offset + length and self._more(GLANCE):
            pass
        data = bytes(self._buffer[offset - self._start :][:length])
        if offset == 0:
            self._first = data
        return data

    def length(self) -> int:
        size = os.fstat(self.fd).st_size
        if self._length is None or self._length[0] != size:
            self._reach(None)
            self._length = size, self._end
        return self._length[1]

    def matches(self, mark: Mark) -> bool:
        if mark not in self._matched:
            data = self.at(mark.position - mark.length, mark.length)
            if len(data) < mark.length and not (self.complete or self.broken):
                return False
            self._matched[mark] = mark.fits(data)
        return self._matched[mark]

    def data_from(self, offset: int) -> tuple[int, bool]:
        window = self.window(offset, b"")
        data = window.buffer[window.start :]
        nul_bytes = len(data) - len(data.lstrip(b"\0"))
        return offset + nul_bytes, nul_bytes > 0

    def unread(self, cursor: int) -> int:
        return max(0, os.fstat(self.fd).st_size - self._raw_offset + len(self._raw))

    def passed(self, cursor: int) -> None:
        self._drop_before(min(cursor, self._end))

    @property
    def _end(self) -> int:
        return self._start + len(self._buffer)

    def _reach(self, offset: int | None) -> None:
        """Bring `offset` into the buffer, or the end of the content; keep `WINDOW` bytes before it.

        Raises:
            Unready: it is farther than one step.
        """
        if offset is not None and offset < self._start:
            self._begin()
        limit = self._end + STEP
        while offset is None or self._end < offset:
            if self._end >= limit:
                raise Unready
            if not self._more():
                break
            self._drop_before(self._end if offset is None else min(offset, self._end))
        if offset is not None:
            self._drop_before(min(offset, self._end))

    def _drop_before(self, offset: int) -> None:
        spare = offset - WINDOW - self._start
        if spare > 0:
            del self._buffer[:spare]
            self._start += spare

    def _more(self, most: int = BLOCK) -> bool:
        """Decompress some more; False where the file has no more to give now.

        Args:
            most: bytes, about.

        Raises:
            Replaced: the file is shorter than what was read of it.
        """
        if self.broken or not (self._raw or self._read_raw()):
            return False
        if self._inflate.eof and not self._next_member():
            return False
        checkpoint = self._inflate.copy()
        try:
            got = self._inflate.decompress(self._raw, most)
            self._buffer += got
            while len(got) == most and not self._inflate.unconsumed_tail:
                got = self._inflate.decompress(b"", most)  # what it still held back
                self._buffer += got
        except zlib.error:
            self._buffer += _before_error(checkpoint, self._raw)
            self._break_off()
            return False
        self._raw = self._inflate.unused_data or self._inflate.unconsumed_tail
        return True

    def _read_raw(self) -> bool:
        raw = os.pread(self.fd, RAW_BLOCK, self._raw_offset)
        if not raw and os.fstat(self.fd).st_size < self._raw_offset:
            raise Replaced
        self._raw_offset += len(raw)
        self._raw += raw
        return bool(raw)

    def _next_member(self) -> bool:
        """Go on with the member glued behind the last one; False where none has begun."""
        self._raw = self._raw.lstrip(b"\0")  # padding, as on tapes
        while len(self._raw) < len(MAGIC):
            if not self._read_raw():
                return False
            self._raw = self._raw.lstrip(b"\0")
        if not self._raw.startswith(MAGIC):
            self._break_off()
            return False
        self._inflate = zlib.decompressobj(GZIP_WINDOW_BITS)
        return True

    def _break_off(self) -> None:
        self.broken = True
        self._raw = b""


def _before_error(inflate: "zlib._Decompress", raw: bytes) -> bytes:
    """What the part of `raw` before its error decompresses to."""
    good = b""
    while len(raw) > 1:
        half = raw[: len(raw) // 2]
        attempt = inflate.copy()
        try:
            good += attempt.decompress(half)
        except zlib.error:
            raw = half
        else:
            inflate, raw = attempt, raw[len(half) :]
    return good
