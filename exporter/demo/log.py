"""The made-up gateway's log: a file that grows by whole lines and is rotated by renaming."""

import json
import os
import time
from pathlib import Path
from threading import Event
from typing import Self

from exporter.demo.traffic import Traffic

# A new log begins with about so many requests, so that the first look finds something. They fit
# into one file: two rotations before the first read would lose some.
BACKFILL = 600
ROTATE_BYTES = 2 << 20


class RotatedLog:
    """A file that grows by whole lines and is renamed to `….1` when it is large, over the last one.

    Raises:
        OSError: the file cannot be opened, written or renamed.
    """

    def __init__(self, path: Path, rotate_bytes: int) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._file)

    def write(self, line: bytes) -> None:
        """Append a line, in one piece as long as the disk has room."""
        if self._size and self._size + len(line) > self._rotate_bytes:
            full = self._file
            self._path.rename(f"{self._path}.1")
            self._open()
            os.close(full)
        self._size += len(line)
        while line:
            line = line[os.write(self._file, line) :]

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._file = os.open(self._path, flags, 0o644)
        self._size = os.fstat(self._file).st_size


def write_traffic(path: Path, rate: float, seed: int, stop: Event) -> None:
    """Append requests to a log as they finish, until told to stop; a new log begins in the past.

    Args:
        path: the log; `….1` beside it is the one before.
        rate: requests per second, averaged over a day.
        seed: what the traffic is drawn from, together with the time of the start.
        stop: set it to end this within moments.

    Raises:
        OSError: the log cannot be written.
    """
    began, clock = time.time(), time.monotonic()
    start = began if path.exists() else began - BACKFILL / rate
    with RotatedLog(path, ROTATE_BYTES) as log:
        for request in Traffic(seed, start, rate).requests():
            ahead_s = request.end - began - (time.monotonic() - clock)
            if stop.wait(max(0, ahead_s)):
                return
            log.write(json.dumps(request.payload(), separators=(",", ":")).encode() + b"\n")
