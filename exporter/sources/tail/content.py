"""A file's content, as the position counts it: plain bytes here, decompressed ones in `gzipped`."""

import errno
import os
from typing import NamedTuple, Protocol

from exporter.sources.tail.fingerprint import WINDOW, Mark

BLOCK = 2 << 20
"""Bytes read at once: enough that of lines of 12 KB so many come that numpy is worth its calls."""

SCAN_LIMIT = 64 << 20
"""NUL bytes looked through in one go."""


class Replaced(Exception):
    """The bytes before the position are not those that were read: the file was truncated."""


class Unready(Exception):
    """More has to be read or decompressed first than is done in one go; ask again."""


class Window(NamedTuple):
    """Content from a position on: `buffer[start:stop]`, valid until the next read.

    Attributes:
        at_end: there is no more content behind it now.
    """

    buffer: bytearray
    start: int
    stop: int
    at_end: bool


class Content(Protocol):
    """An open file. Each call may raise OSError, and `Unready` where it is compressed."""

    fd: int
    gzip: bool

    @property
    def complete(self) -> bool:
        """Nothing can follow: the end of a compressed stream is reached."""

    @property
    def broken(self) -> bool:
        """The compressed stream has an error; there is no more behind it."""

    def window(self, cursor: int, before: bytes) -> Window:
        """Content from `cursor` on.

        Raises:
            Replaced: `before` doesn't stand before it.
        """

    def at(self, offset: int, length: int) -> bytes:
        """That many bytes, or fewer where the content ends."""

    def length(self) -> int:
        """Bytes of content there are now."""

    def matches(self, mark: Mark) -> bool:
        """Whether the mark is of this content."""

    def data_from(self, offset: int) -> tuple[int, bool]:
        """Where the NUL bytes from `offset` on end, as far as looked, and whether they do."""

    def unread(self, cursor: int) -> int:
        """Bytes of the file behind `cursor`; compressed ones where it is compressed."""

    def passed(self, cursor: int) -> None:
        """What is before `cursor` was read; a window of it is no longer valid."""


class PlainContent:
    """A file that holds its content as it is.

    Args:
        buffer: shared by all files of a source, since one is read at a time.
    """

    gzip = False
    complete = False
    broken = False

    def __init__(self, fd: int, buffer: bytearray) -> None:
        self.fd = fd
        self._buffer = buffer
        self._into = [buffer]

    def window(self, cursor: int, before: bytes) -> Window:
        """One system call verifies what was read and reads on."""
        kept = len(before)
        got = os.preadv(self.fd, self._into, cursor - kept)
        if got < kept or not self._buffer.startswith(before):
            raise Replaced
        return Window(self._buffer, kept, got, got < len(self._buffer))

    def at(self, offset: int, length: int) -> bytes:
        return os.pread(self.fd, length, offset)

    def length(self) -> int:
        return os.lseek(self.fd, 0, os.SEEK_END)  # a third of what fstat takes

    def matches(self, mark: Mark) -> bool:
        return mark.fits(self.at(mark.position - mark.length, mark.length))

    def data_from(self, offset: int) -> tuple[int, bool]:
        end = min(self.length(), offset + SCAN_LIMIT)
        while offset < end:
            try:
                offset = os.lseek(self.fd, offset, os.SEEK_DATA)  # over a hole, whatever its size
            except OSError as error:
                if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                    break
            data = os.pread(self.fd, BLOCK, offset)
            if rest := data.lstrip(b"\0"):
                return offset + len(data) - len(rest), True
            offset += len(data) or BLOCK
        return offset, False

    def unread(self, cursor: int) -> int:
        return max(0, self.length() - cursor)

    def passed(self, cursor: int) -> None:
        """It holds nothing of its own."""


def last_bytes(content: Content, length: int) -> bytes:
    """The last `WINDOW` bytes of the first `length` ones.

    Raises:
        Replaced: there are not so many.
    """
    kept = min(length, WINDOW)
    found = content.at(length - kept, kept)
    if len(found) < kept:
        raise Replaced
    return found
