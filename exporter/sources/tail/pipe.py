"""Standard input and named pipes: read as they come; what was read is counted at most once."""

import os
from collections.abc import Iterator

from exporter.sources.tail.envelope import Unwrapper
from exporter.sources.tail.joiner import Joiner
from exporter.sources.tail.lines import fit
from exporter.sources.tail.metrics import SourceMetrics
from exporter.sources.tail.settings import STDIN, TailSettings

CHUNK = 1 << 20


class Pipe:
    """Has no position to go on from: a crash loses what was read and not committed.

    Args:
        path: of a FIFO, or "-" for standard input.

    Attributes:
        ended: nothing more will come.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: str, settings: TailSettings, metrics: SourceMetrics) -> None:
        self.path = path
        self.ended = False
        if path == STDIN:
            self._fd = os.dup(0)
            os.set_blocking(self._fd, False)
        else:  # for writing too, so that it doesn't end when its last writer leaves
            self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._metrics = metrics
        self._half = b""
        self._is_skipping = False
        self._joiner = Joiner(settings.max_line_bytes, metrics)
        self.adopt(settings)

    def adopt(self, settings: TailSettings) -> None:
        """Read as these settings say, and go on with what is unfinished."""
        self._limit = self._joiner.limit = settings.max_line_bytes
        self._unwrapper = Unwrapper(settings.envelope, self._joiner)

    def read(self, budget: int) -> Iterator[bytes]:
        """Whole lines, until there are no more or about `budget` bytes were read.

        Raises:
            OSError: it can't be read.
        """
        while budget > 0 and not self.ended:
            try:
                data = os.read(self._fd, CHUNK)
            except BlockingIOError:
                return
            budget -= len(data)
            self.ended = not data
            if lines := self._lines(data or b"\n" * bool(self._half)):
                yield lines

    def close(self) -> None:
        """Close it; standard input itself stays open, as it was."""
        os.set_blocking(self._fd, True)
        os.close(self._fd)

    def _lines(self, data: bytes) -> bytes:
        if self._is_skipping:
            _, newline, data = data.partition(b"\n")
            self._is_skipping = not newline
        if self._is_skipping:
            return b""
        data = self._half + data
        end = data.rfind(b"\n") + 1
        self._half = data[end:]
        if len(self._half) > self._limit:
            self._metrics.lines_too_long.inc()
            self._half = b""
            self._is_skipping = True
        return self._unwrapper.unwrap(fit(data[:end], self._limit, self._metrics)) if end else b""
