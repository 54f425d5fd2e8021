"""Whatever a writer, a rotation and the daemon do in turn: each whole line is delivered once."""

import gzip
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs

from tests.examples import examples
from tests.sources.tail.driver import Interrupted, Tail, line

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
        file = self._file or self._open()
        for _ in range(count):
            one = line(next(self._numbers))
            file.write((self.half_rest(one) or one) + b"\n")
            self.whole.append(self._current or one)
            self.half = self._current = b""
        if half_length and not self.half:
            self._current = line(next(self._numbers))
            self.half = self._current[:half_length]
            file.write(self.half)
        file.flush()

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

    def _open(self) -> BinaryIO:
        self._file = file = self.path.open("ab")
        if self._has_banner:
            file.write(BANNER + b"\n")
            file.flush()
        return file

    def shift(self) -> None:
        """Make room for a file called .1."""
        rotated = self.path.parent.glob(f"{self.path.name}.*")
        numbered = [(int(path.name.split(".")[2]), path) for path in rotated]
        for number, path in sorted(numbered, reverse=True):
            path.rename(path.with_name(path.name.replace(f".{number}", f".{number + 1}")))

    def rename(self) -> None:
        self.shift()
        self.path.rename(self.rotated)
        self._is_renamed = True

    def copy(self) -> None:
        self.finish()
        self.shift()
        self.rotated.write_bytes(self.path.read_bytes())

    def truncate(self) -> None:
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
    """Two logs, one source that now and then is reloaded, restarted or killed."""

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
    hows = strategies.sampled_from(["rename", "copy", "compress"])
    meanwhiles = strategies.sampled_from(["nothing", "nothing", "poll", "poll and restart"])

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

    @rule(which=logs_, between=meanwhiles)
    def rotate_by_copy(self, which: int, between: str) -> None:
        log = self.logs[which]
        if not log.is_renamed and log.path.exists():
            log.copy()
            self.meanwhile(between)
            log.truncate()

    @rule(which=logs_, between=meanwhiles)
    def compress(self, which: int, between: str) -> None:
        log = self.logs[which]
        if not log.is_renamed and log.rotated.exists():
            target = log.rotated.with_name(log.rotated.name + ".gz")
            whole = gzip.compress(log.rotated.read_bytes())
            target.write_bytes(whole[: len(whole) // 2])
            self.meanwhile(between)
            target.write_bytes(whole)
            self.meanwhile(between)
            log.rotated.unlink()

    @rule(which=logs_, how=strategies.lists(hows, min_size=2, max_size=4))
    def rotate_in_a_row(self, which: int, how: list[str]) -> None:
        """Several times between two looks, a line between two rotations or none."""
        for each in how:
            if each == "copy":
                self.rotate_by_copy(which, "nothing")
            elif each == "rename":
                self.rotate_by_rename(which)
                self.reopen(which)
            else:
                self.compress(which, "nothing")
            self.write(which, 1, 0)

    @rule(
        which=logs_,
        how=strategies.lists(hows, min_size=1, max_size=2),
        call=strategies.integers(1, 60),
    )
    def rotate_in_the_middle_of_a_look(self, which: int, how: list[str], call: int) -> None:
        """Before a system call of the look, if it has so many."""
        with pytest.MonkeyPatch.context() as patch:
            Interrupted(patch, call, lambda: self.rotate_in_a_row(which, how))
            self.poll(1)

    def meanwhile(self, what: str) -> None:
        if what != "nothing":
            self.poll(1)
        if what == "poll and restart":
            self.restart()

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
    def settle(self) -> None:
        self.tail.settle()

    @rule()
    def restart(self) -> None:
        self.tail.stop()

    @rule()
    def reload(self) -> None:
        self.tail.reload()

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
    max_examples=examples(60),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.fault("random histories of rotation")
def test_each_line_is_delivered_once_with_rotated_names_outside_of_the_glob() -> None:
    with capture_logs():
        run_state_machine_as_test(Tailing, settings=OPTIONS)


@pytest.mark.fault("random histories of rotation")
def test_each_line_is_delivered_once_with_rotated_names_within_the_glob() -> None:
    with capture_logs():
        run_state_machine_as_test(TailingRotatedFilesToo, settings=OPTIONS)


class Container(RuleBasedStateMachine):
    """A container's log: records in pieces, on two streams, over rotated and compressed files."""

    @initialize()
    def begin(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.log = Path(self._directory.name) / "0.log"
        self.tail = Tail(self.log.parent, "running")
        self.whole: list[bytes] = []
        self.unfinished: dict[bytes, bytes] = {}
        self.written: dict[bytes, int] = {}
        self.numbers = iter(range(10**6))
        self.rotations = iter(range(10**6))
        self.ticks = iter(range(10**6))
        self.write(b"stdout", 0)
        self.poll()

    @rule(stream=strategies.sampled_from([b"stdout", b"stderr"]), pieces=strategies.integers(0, 3))
    def write(self, stream: bytes, pieces: int) -> None:
        """Some pieces of a record, or a whole one, or the end of the unfinished one."""
        record = self.unfinished.setdefault(stream, line(next(self.numbers)))
        start = self.written.get(stream, 0)
        with self.log.open("ab") as file:
            for _ in range(pieces):
                file.write(self.entry(stream, b"P", record[start : start + 3]))
                start += 3
            if not pieces:
                file.write(self.entry(stream, b"F", record[start:]))
                self.whole.append(self.unfinished.pop(stream))
                start = 0
        self.written[stream] = start

    def entry(self, stream: bytes, tag: bytes, piece: bytes) -> bytes:
        time = b"2026-01-01T00:00:00.%06dZ" % next(self.ticks)
        return b" ".join([time, stream, tag, piece]) + b"\n"

    @rule(is_compressed=strategies.booleans())
    def rotate(self, is_compressed: bool) -> None:
        for old in self.log.parent.glob("0.log.*"):
            if is_compressed and old.suffix != ".gz":
                whole = gzip.compress(old.read_bytes())
                temporary = old.with_name(old.name + ".tmp")
                temporary.write_bytes(whole)
                temporary.rename(old.with_name(old.name + ".gz"))
                old.unlink()
        self.log.rename(self.log.with_name(f"0.log.20260101-{next(self.rotations):06}"))
        self.log.touch()

    @rule()
    def poll(self) -> None:
        self.tail.poll()

    @rule()
    def settle(self) -> None:
        self.tail.settle()

    @rule()
    def restart(self) -> None:
        self.tail.stop()

    @rule()
    def reload(self) -> None:
        self.tail.reload()

    @rule()
    def kill(self) -> None:
        self.tail.time.now += 1
        self.tail.read()
        self.tail.stop()

    def teardown(self) -> None:
        if not hasattr(self, "tail"):
            return
        for stream in list(self.unfinished):
            self.write(stream, 0)
        for _ in range(3):
            self.tail.poll(after_s=6)
        self.tail.stop()
        self._directory.cleanup()
        assert sorted(self.tail.lines) == sorted(self.whole)


@pytest.mark.fault("random histories of rotation")
def test_each_record_of_a_container_is_joined_and_delivered_once() -> None:
    with capture_logs():
        run_state_machine_as_test(Container, settings=OPTIONS)
