"""Old log files, read in the order of time: pieces of one step each."""

import gzip
import heapq
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from exporter.errors import ExporterError
from exporter.formats.compile import Decoder
from exporter.record import Batch, Indices, Numbers

CHUNK_BYTES = 1 << 20
"""Of a file that is being read; with what is made of it, it takes some 7 MB."""

FIRST_BYTES = 1 << 14
"""Looked at to see when a file begins."""

_GZIP = b"\x1f\x8b"


class BackfillError(ExporterError):
    """Old logs cannot be read, or their results not be written."""


class Position(NamedTuple):
    """How far a file has been read.

    Attributes:
        offset: of the chunk being read, in bytes of text.
        pieces: of that chunk that are done.
        newest: step that was reached before it.
    """

    offset: int = 0
    pieces: int = 0
    newest: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Requests of one file that ended within one step.

    Attributes:
        step: Unix seconds, divided by the step's length.
        after: the file's position once they are done.
    """

    path: Path
    step: int
    batch: Batch
    after: Position


@dataclass(frozen=True, slots=True)
class _Begin:
    """Where the pieces of a file that is not open yet may begin."""

    step: int


@dataclass
class Report:
    """What was met.

    Attributes:
        untimed: requests that name no time.
        recent: requests that the daemon counts itself, for they ended after it began.
        logged: requests that get no row, for the daemon has logged them.
        expired: requests that are too old for the request log.
    """

    lines: int = 0
    skipped: int = 0
    rejected: int = 0
    untimed: int = 0
    recent: int = 0
    requests: int = 0
    logged: int = 0
    expired: int = 0


class OldLogs:
    """Several files, merged by time.

    Args:
        until: Unix seconds; requests that ended from then on are left out.
        reached: the step up to which an earlier run has gone.
        read_bytes: is told how much of the files, as they are on disk, has been read.

    Attributes:
        decoder: of what is read from now on.

    Raises:
        BackfillError: a file cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        decoder: Decoder,
        *,
        step_s: float,
        until: float,
        reached: int,
        known: Mapping[Path, Position],
        report: Report,
        read_bytes: Callable[[int], None],
    ) -> None:
        self._paths = paths
        self.decoder = decoder
        self._step_s = step_s
        self._until = until
        self._reached = reached
        self._known = known
        self._report = report
        self._read_bytes = read_bytes

    def pieces(self) -> Iterator[Piece]:
        """All that is left, in order of steps.

        A file is opened when the step has come that it begins with, for there may be thousands.
        """
        files = [self._file(path) for path in self._paths]
        for place in heapq.merge(*files, key=lambda place: place.step):
            if isinstance(place, Piece):
                yield place

    def _file(self, path: Path) -> Iterator["Piece | _Begin"]:
        """Where a file begins, then its pieces."""
        begin = self._known.get(path, Position())
        newest = begin.newest
        if path in self._known and not begin.pieces:
            # What was appended since, or is late, comes after what is written already.
            newest = max(newest, self._reached + 1)
        try:
            yield _Begin(self._first_step(path, begin.offset, newest))
            yield from self._pieces_of(path, begin, newest)
        except (OSError, EOFError, zlib.error) as error:
            raise BackfillError(f"{path}: {error}") from error

    def _first_step(self, path: Path, offset: int, newest: int) -> int:
        """No piece of the file is of an earlier one."""
        with path.open("rb") as raw:
            for _, _, data in self._chunks(raw, offset, FIRST_BYTES):
                _, steps = self._steps(self.decoder.decode(data).batch, newest)
                return int(steps[0]) if len(steps) else newest
        return newest

    def _pieces_of(self, path: Path, begin: Position, newest: int) -> Iterator[Piece]:
        """The pieces of a file; a late line belongs to the step that was reached before it."""
        with path.open("rb") as raw:
            for offset, end, data in self._chunks(raw, begin.offset, CHUNK_BYTES):
                before = newest
                steps, batch = self._decoded(data, before)
                bounds = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
                for number in range(len(bounds) - 1 if len(steps) else 0):
                    rows = np.arange(bounds[number], bounds[number + 1])
                    newest = int(steps[rows[0]])
                    is_last = bounds[number + 1] == len(steps)
                    after = (
                        Position(end, 0, newest)
                        if is_last
                        else Position(offset, number + 1, before)
                    )
                    if offset == begin.offset and number < begin.pieces:
                        continue
                    yield Piece(path, newest, batch.take(rows), after)

    def _chunks(self, raw: BinaryIO, begin: int, size: int) -> Iterator[tuple[int, int, bytes]]:
        """Lines, with where they begin and end in the text; the last one may lack its newline."""
        is_gzip = raw.read(2) == _GZIP
        raw.seek(0)
        text = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if is_gzip else raw
        text.seek(begin)
        offset, on_disk = begin, 0
        while lines := text.readlines(size):
            data = b"".join(lines)
            end = offset + len(data)
            yield offset, end, data if data.endswith(b"\n") else data + b"\n"
            offset = end
            self._read_bytes(raw.tell() - on_disk)
            on_disk = raw.tell()

    def _decoded(self, data: bytes, newest: int) -> tuple[Indices, Batch]:
        """The requests of a chunk that have a time, and their steps, which never go back."""
        decoded = self.decoder.decode(data)
        rows, steps = self._steps(decoded.batch, newest)
        untimed = int((~_is_timed(_ends(decoded.batch))).sum())
        report = self._report
        report.lines += decoded.lines
        report.skipped += decoded.skipped
        report.rejected += decoded.rejected.total()
        report.untimed += untimed
        report.recent += len(decoded.batch) - untimed - len(rows)
        return steps, decoded.batch.take(rows)

    def _steps(self, batch: Batch, newest: int) -> tuple[Indices, Indices]:
        """The rows that are old and have a time, and their steps."""
        ends = _ends(batch)
        rows = np.flatnonzero(_is_timed(ends) & (ends < self._until))
        steps = (ends[rows] // self._step_s).astype(np.int64)
        return rows, np.maximum.accumulate(np.maximum(steps, newest))


def _ends(batch: Batch) -> Numbers:
    """When requests ended, Unix seconds."""
    return batch.start_times() + np.nan_to_num(batch.numbers.latency)


def _is_timed(ends: Numbers) -> NDArray[np.bool_]:
    return np.isfinite(ends) & (ends >= 0)
