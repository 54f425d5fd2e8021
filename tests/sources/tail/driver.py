"""A tail source with the pipeline's side of the contract, a clock to set, a store in memory."""

import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time_ns
from typing import Any, Literal

import pytest
from prometheus_client import CollectorRegistry

from exporter.sources.tail import Clock, Descriptors, TailMetrics, TailSettings, TailSource
from exporter.sources.tail.record import FileRecord, decode, encode
from exporter.sources.tail.records import STARTED

Mode = Literal["running", "restarted", "killed"]
BUDGET = 4 << 20

CALLS = ("open", "fstat", "stat", "lseek", "pread", "preadv", "scandir")
"""By which files are found, known and read."""


@dataclass
class Time:
    """Seconds that pass when a test says so; the time of day begins at the real one."""

    now: float = 1000.0
    day: float = field(default_factory=lambda: __import__("time").time())

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.now, wall=lambda: self.day + self.now - 1000.0)


class Tail:
    """Polls a source as the pipeline does.

    Args:
        mode: between two polls the source runs on, or is restarted, or a poll's first attempt is
            killed after it has read and before it has committed.

    Attributes:
        lines: those that were committed, in their order.
        stored: positions that were committed.
        descriptors: what is open over reloads.
    """

    def __init__(self, directory: Path, mode: Mode) -> None:
        self.directory = directory
        self.mode = mode
        self.settings = TailSettings(paths=(f"{directory}/*.log",))
        self.time = Time()
        self.lines: list[bytes] = []
        self.stored: dict[str, bytes] = {}
        self.descriptors = Descriptors()
        self.registry = CollectorRegistry()
        self._metrics = TailMetrics(self.registry)
        self._source: TailSource | None = None

    def set(self, *paths: str, **settings: object) -> None:
        """Change settings before the first poll, or while the source is down."""
        assert self._source is None
        if paths:
            settings["paths"] = tuple(
                path if path == "-" else str(self.directory / path) for path in paths
            )
        self.settings = replace(self.settings, **settings)  # type: ignore[arg-type]

    def poll(self, after_s: float = 1.0) -> list[bytes]:
        """Let time pass, read all there is, commit; the lines that this gave."""
        self.time.now += after_s
        if self.mode == "killed":
            self.read()
            self.stop()
        lines = self.read()
        self.commit()
        self.lines += lines
        if self.mode == "restarted":
            self.stop()
        return lines

    def read(self, budget: int = BUDGET) -> list[bytes]:
        """Read until there is nothing more, without a commit."""
        lines: list[bytes] = []
        for _ in range(1000):
            blocks = list(self.source.read(budget))
            for block in blocks:
                assert block.endswith(b"\n")
                lines += block[:-1].split(b"\n")
            if not blocks:
                return lines
        raise AssertionError("the source never comes to an end")

    def commit(self) -> None:
        for key, value in self.source.positions().items():
            if value is None:
                self.stored.pop(key, None)
            else:
                self.stored[key] = value
        self.source.committed()

    @property
    def source(self) -> TailSource:
        if self._source is None:
            self._source = TailSource(
                "test",
                self.settings,
                dict(self.stored),
                self._metrics,
                self.time.clock(),
                descriptors=self.descriptors,
            )
        return self._source

    def settle(self) -> None:
        """Let the last change of the directory be one of some time ago."""
        then = time_ns() - 10 * 10**9
        os.utime(self.directory, ns=(then, then))

    def stop(self) -> None:
        """End the process; the next poll begins one from what is stored."""
        self.reload()
        self.descriptors.close()

    def reload(self) -> None:
        """End the source; the next poll begins one in the same process."""
        if self._source is not None:
            self._source.close()
            self._source = None

    @contextmanager
    def down(self) -> Iterator[None]:
        """While the source does not run."""
        self.stop()
        yield

    def metric(self, name: str) -> float:
        value = self.registry.get_sample_value(
            f"llm_gateway_exporter_tail_{name}", {"source": "test"}
        )
        assert value is not None, name
        return value

    def records(self) -> list[FileRecord]:
        """What is stored."""
        return [decode(key, value) for key, value in self.stored.items() if key != STARTED]

    def store(self, record: FileRecord) -> None:
        self.stored[record.key] = encode(record)

    def change_device(self) -> None:
        """As if the file system had been mounted with another device number."""
        for record in self.records():
            record.device += 1
            self.store(record)


class Interrupted:
    """Does something before the system call of a number; says whether there was such a one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], None]):
        self.has_acted = False
        self._left = number
        self._act = act
        for name in CALLS:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))

    def _counting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self.has_acted = True
                self._act()
            return call(*arguments, **options)

        return counted


def line(number: int, length: int = 0) -> bytes:
    """A line of its own, of that length at least, without its newline."""
    return b'{"request":%d,"model":"qwen-plus","note":"%s"}' % (number, b"x" * (length - 42))


def lines(first: int, last: int, length: int = 0) -> list[bytes]:
    """The lines of those numbers, the last included."""
    return [line(number, length) for number in range(first, last + 1)]


def text(*parts: bytes | list[bytes]) -> bytes:
    """Lines as they stand in a file."""
    rows: list[bytes] = []
    for part in parts:
        rows += [part] if isinstance(part, bytes) else part
    return b"".join(row + b"\n" for row in rows)


def append(path: Path, *parts: bytes | list[bytes]) -> None:
    """Write lines as a logger does."""
    append_raw(path, text(*parts))


def append_raw(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def overwrite(path: Path, data: bytes) -> None:
    """Truncate a file in place, and write to it: the inode stays."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(data)


def copytruncate(path: Path, copy: Path) -> None:
    copy.write_bytes(path.read_bytes())
    os.truncate(path, 0)


def compress(path: Path, target: Path | None = None) -> Path:
    """As gzip(1) does: the compressed file stands there before the plain one goes."""
    target = target or path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()
    return target
