"""Whatever a writer, a rotation and the daemon do in turn: each whole line is delivered once."""

import gzip
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs

from tests.sources.tail.driver import Tail, line

BANNER = b"# " + b"=" * 1500


class Log:
    """A log with a writer, which may not notice at once that its file was renamed."""

    def __init__(self, path: Path, numbers: Iterator[int], has_banner: bool) -> None:
        self.path = path
        self.whole: list[bytes] = []
        self.half = b""
        self._numbers = numbers
        self._has_banner = has_banner
        self._file: BinaryIO | None = None
        self._is_renamed = False

    @property
    def is_renamed(self) -> bool:
        return self._is_renamed

    def write(self, count: int, half_length: int) -> None:
        """Finish a half line, write whole ones, and begin another."""
        if self._file is None:
            self._open()
        for _ in range(count):
            one = line(next(self._numbers))
            self._file.write((self.half_rest(one) or one) + b"\n")
            self.whole.append(self._current or one)
            self.half = self._current = b""
        if half_length and not self.half:
            self._current = line(next(self._numbers))
            self.half = self._current[:half_length]
            self._file.write(self.half)
        self._file.flush()

    _current = b""

    def half_rest(self, _: bytes) -> bytes:
        return self._current[len(self.half) :] if self._current else b""

    def finish(self) -> None:
        if self.half:
            self.write(1, 0)

    def reopen(self) -> None:
        """What a rotation tells a writer to do; lines are whole then."""
        self.finish()
        self.close()
        self._is_renamed = False
        self._open()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open(self) -> None:
        self._file = self.path.open("ab")
        if self._has_banner:
            self._file.write(BANNER + b"\n")
            self._file.flush()

    def shift(self) -> None:
        """Make room for a file called .1."""
        for number in range(9, 0, -1):
            for ending in ("", ".gz"):
                old = self.path.with_name(f"{self.path.name}.{number}{ending}")
                if old.exists():
                    old.rename(self.path.with_name(f"{self.path.name}.{number + 1}{ending}"))

    def rename(self) -> None:
        self.shift()
        self.path.rename(self.rotated)
        self._is_renamed = True

    def copy_and_truncate(self) -> None:
        self.finish()
        self.shift()
        self.rotated.write_bytes(self.path.read_bytes())
        with self.path.open("r+b") as file:
            file.truncate(0)
        self.half = b""
        if self._has_banner and self._file is not None:
            self._file.write(BANNER + b"\n")
            self._file.flush()

    @property
    def rotated(self) -> Path:
        return self.path.with_name(self.path.name + ".1")


class Tailing(RuleBasedStateMachine):
    """Two logs, one source that now and then is restarted or killed."""

    glob = "*.log"

    @initialize(has_banner=strategies.booleans())
    def begin(self, has_banner: bool) -> None:
        has_banner = has_banner and self.glob == "*.log*"
        self._directory = tempfile.TemporaryDirectory()
        directory = Path(self._directory.name)
        numbers = iter(range(10**6))
        self.logs = [Log(directory / f"{name}.log", numbers, has_banner) for name in "ab"]
        self.tail = Tail(directory, "running")
        self.tail.set(self.glob)
        for log in self.logs:
            log.write(1, 0)
        self.tail.poll()

    logs_ = strategies.integers(0, 1)

    @rule(which=logs_, count=strategies.integers(0, 40), half=strategies.sampled_from([0, 0, 9]))
    def write(self, which: int, count: int, half: int) -> None:
        self.logs[which].write(count, half)

    @rule(which=logs_)
    def rotate_by_rename(self, which: int) -> None:
        log = self.logs[which]
        if not log.is_renamed and log.path.exists():
            log.rename()

    @rule(which=logs_)
    def reopen(self, which: int) -> None:
        log = self.logs[which]
        if log.is_renamed:
            log.reopen()

    @rule(which=logs_)
    def rotate_by_copy(self, which: int) -> None:
        log = self.logs[which]
        if not log.is_renamed and log.path.exists():
            log.copy_and_truncate()

    @rule(which=logs_)
    def compress(self, which: int) -> None:
        log = self.logs[which]
        if not log.is_renamed and log.rotated.exists():
            target = log.rotated.with_name(log.rotated.name + ".gz")
            target.write_bytes(gzip.compress(log.rotated.read_bytes()))
            log.rotated.unlink()

    @rule(which=logs_)
    def delete_what_was_read(self, which: int) -> None:
        log = self.logs[which]
        if not log.is_renamed:
            for _ in range(2):
                self.tail.poll(after_s=6)
            for old in log.path.parent.glob(f"{log.path.name}.*"):
                old.unlink()

    @rule(seconds=strategies.sampled_from([0.1, 1, 1, 1, 8]))
    def poll(self, seconds: float) -> None:
        self.tail.poll(after_s=seconds)

    @rule()
    def restart(self) -> None:
        self.tail.stop()

    @rule()
    def kill(self) -> None:
        self.tail.time.now += 1
        self.tail.read()
        self.tail.stop()

    @invariant()
    def nothing_is_delivered_twice(self) -> None:
        if hasattr(self, "tail"):
            counts = Counter(self.tail.lines)
            assert [one for one, count in counts.items() if count > 1 and one != BANNER] == []

    def teardown(self) -> None:
        if not hasattr(self, "tail"):
            return
        for log in self.logs:
            log.finish()
        for _ in range(4):
            self.tail.poll(after_s=6)
        delivered = sorted(one for one in self.tail.lines if one != BANNER)
        assert delivered == sorted(one for log in self.logs for one in log.whole)
        for log in self.logs:
            log.close()
        self.tail.stop()
        self._directory.cleanup()


class TailingRotatedFilesToo(Tailing):
    """With rotated names within the glob."""

    glob = "*.log*"


OPTIONS = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_each_line_is_delivered_once_with_rotated_names_outside_of_the_glob() -> None:
    with capture_logs():
        run_state_machine_as_test(Tailing, settings=OPTIONS)


def test_each_line_is_delivered_once_with_rotated_names_within_the_glob() -> None:
    with capture_logs():
        run_state_machine_as_test(TailingRotatedFilesToo, settings=OPTIONS)
