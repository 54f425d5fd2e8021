"""Log files that grow and are rotated, as logrotate has it done."""

import gzip
import os
import shutil
from collections.abc import Iterator, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

from benchmarks.soak.sent import TICK_S, Lines, Pace, Sent

KEPT = 6
"""Rotated files of each log; the oldest goes."""

SCHEMES = ("create", "copytruncate", "compress", "copytruncate-compress")


class RotatedLog:
    """A log that is rotated when it has grown.

    Args:
        scheme: one of `SCHEMES`.
    """

    def __init__(self, path: Path, scheme: str, rotate_at_bytes: int) -> None:
        self._path = path
        self._copies = scheme.startswith("copytruncate")
        self._compresses = scheme.endswith("compress")
        self._rotate_at = rotate_at_bytes
        self._file = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, data: bytes) -> bool:
        """Write, and rotate if it is time; whether it was."""
        while data:
            data = data[os.write(self._file, data) :]
        if os.fstat(self._file).st_size < self._rotate_at:
            return False
        self._rotate()
        return True

    def _rotate(self) -> None:
        suffix = ".gz" if self._compresses else ""
        for number in range(KEPT, 0, -1):
            old = Path(f"{self._path}.{number}{suffix}")
            if old.exists():
                old.rename(f"{self._path}.{number + 1}{suffix}")
        Path(f"{self._path}.{KEPT + 1}{suffix}").unlink(missing_ok=True)
        rotated = Path(f"{self._path}.1")
        if self._copies:
            shutil.copyfile(self._path, rotated)
            os.truncate(self._path, 0)
        else:
            os.close(self._file)
            self._path.rename(rotated)
            self._file = self._open()
        if self._compresses:
            with rotated.open("rb") as plain, gzip.open(f"{rotated}.gz", "wb", 1) as packed:
                shutil.copyfileobj(plain, packed)
            rotated.unlink()


def write_logs(
    directory: Path, rate: float, rotate_at_bytes: Sequence[int], stopping: Event
) -> Sent:
    """Two logs of each scheme of rotation, in turns, so many lines a second in all.

    Args:
        rotate_at_bytes: of the two; different ones, so that rotations fall together by chance only.
    """
    sent = Sent("tail")
    lines = Lines(sent)
    logs = [
        RotatedLog(directory / f"{scheme}-{number}.jsonl", scheme, size)
        for scheme in SCHEMES
        for number, size in enumerate(rotate_at_bytes)
    ]
    pace = Pace(rate)
    while not stopping.wait(TICK_S):
        due = pace.due()
        for log, lines_due in zip(logs, _shares(due, len(logs), sent.numbers), strict=True):
            data = b"".join([lines.line() for _ in range(lines_due)])
            sent.notes["rotations"] += log.append(data)
    return sent


def _shares(due: int, logs: int, begin: int) -> Iterator[int]:
    """So many lines as nearly the same number for each log."""
    for number in range(logs):
        yield (due + (number + begin) % logs) // logs
