"""A file of which it isn't known yet whether it is a new one, and what is counted of it."""

import os

from exporter.sources.tail.content import BLOCK, Content, PlainContent
from exporter.sources.tail.discovery import Found, State
from exporter.sources.tail.fingerprint import WINDOW
from exporter.sources.tail.gzipped import MAGIC, GzipContent


class Opener:
    """Opens files; plain ones share a buffer, since one is read at a time.

    Args:
        max_line_bytes: a window holds more than that.
    """

    def __init__(self, max_line_bytes: int) -> None:
        self._wanted = max(BLOCK, max_line_bytes + 1)
        self._buffer = bytearray(WINDOW + self._wanted)

    def content(self, fd: int) -> Content | None:
        """The content by its first bytes, not by the file's name; None while there is none yet.

        NULs alone are none: on network file systems a file has them before what was written.
        """
        first = os.pread(fd, len(MAGIC), 0)
        if first == MAGIC:
            return GzipContent(fd, self._wanted)
        plain = PlainContent(fd, self._buffer)
        if MAGIC.startswith(first):  # as far as it goes, which may be nowhere
            return None
        if not first.strip(b"\0"):
            data_at, is_data = plain.data_from(0)
            if not is_data and data_at >= plain.length():
                return None
        return plain


class Stranger:
    """An open file to decide on. It is kept open, so that nothing is lost if it is deleted.

    Args:
        met: time of day of the look at which it was met.
        from_end: it was there at the source's first look ever, and is to be read from its end.

    Attributes:
        content: None while there is none.
        grew_at: when it was met or seen to have grown.
        linked: it has a name.
    """

    def __init__(
        self,
        fd: int,
        found: Found,
        met: float,
        now: float,
        *,
        from_end: bool = False,
    ) -> None:
        self.fd = fd
        self.found = found
        self.met = met
        self.from_end = from_end
        self.content: Content | None = None
        self.grew_at = now
        self.linked = True

    @property
    def state(self) -> State:
        """At the last look."""
        return self.found.state

    def look(self, opener: Opener, now: float) -> None:
        """See whether it has grown."""
        info = os.fstat(self.fd)
        self.linked = info.st_nlink > 0
        state = State.of(info)
        if state != self.state:
            self.grew_at = now
        if self.content is None or state.size < self.state.size:
            self.content = opener.content(self.fd)
        self.found = self.found._replace(state=state)

    def begin_again(self) -> None:
        """Its content was replaced: look at it anew."""
        self.content = None

    def close(self) -> None:
        os.close(self.fd)
