"""Records that a container runtime has cut into pieces, put together again."""

from exporter.sources.tail.metrics import SourceMetrics


class Unfinished:
    """The pieces of one record so far; none are kept once it is too long."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.length = 0
        self.discarding = False


class Joiner:
    """Joins pieces by stream: stdout and stderr of a container are interleaved.

    Attributes:
        open: by stream, the record whose last piece hasn't come.
        limit: bytes of a joined record; longer ones are dropped up to their last piece.
    """

    def __init__(self, limit: int, metrics: SourceMetrics) -> None:
        self.open: dict[str, Unfinished] = {}
        self.limit = limit
        self._metrics = metrics

    def add(self, stream: str, piece: bytes) -> None:
        """A piece that others follow."""
        record = self.open.setdefault(stream, Unfinished())
        record.length += len(piece)
        if record.length <= self.limit and not record.discarding:
            record.pieces.append(piece)
        elif not record.discarding:
            self.discard(stream)
            self._metrics.lines_too_long.inc()

    def finish(self, stream: str, piece: bytes) -> bytes | None:
        """The record that this last piece completes, None if it is dropped."""
        record = self.open.pop(stream, None)
        if record is None:
            return piece
        if record.discarding:
            return None
        if record.length + len(piece) > self.limit:
            self._metrics.lines_too_long.inc()
            return None
        return b"".join([*record.pieces, piece])

    def discard(self, stream: str) -> None:
        """Drop the record that the stream is in the middle of."""
        record = self.open.setdefault(stream, Unfinished())
        record.discarding = True
        record.pieces.clear()
