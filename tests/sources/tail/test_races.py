"""A rotation between any two system calls of a look, where nobody expects it."""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.sources.tail.driver import Tail, append, compress, copytruncate, lines

CALLS = ("open", "fstat", "stat", "lseek", "pread", "preadv", "scandir")
"""By which files are found, known and read."""

Rotation = Callable[[Path], None]


def by_copy(log: Path) -> None:
    copytruncate(log, _first_place(log))


def by_name(log: Path) -> None:
    log.rename(_first_place(log))


def by_copy_and_compressed(log: Path) -> None:
    by_copy(log)
    compress(log.with_name("app.log.1"))


def by_name_and_compressed(log: Path) -> None:
    by_name(log)
    compress(log.with_name("app.log.1"))


def _first_place(log: Path) -> Path:
    """Where a log is rotated to, after the one that is there has gone on."""
    for suffix in ("", ".gz"):
        first = log.with_name("app.log.1" + suffix)
        if first.exists():
            first.rename(log.with_name("app.log.2" + suffix))
    return log.with_name("app.log.1")


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


@pytest.mark.fault("rotation in the middle of a look")
@pytest.mark.parametrize("is_restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("is_second", [False, True], ids=["", "after another one"])
@pytest.mark.parametrize("after", [1, 60, 400], ids=["shorter", "as long", "longer"])
@pytest.mark.parametrize(
    "rotate", [by_copy, by_name, by_copy_and_compressed, by_name_and_compressed]
)
def test_a_rotation_at_any_step_of_a_look_loses_nothing_and_doubles_nothing(
    tmp_path: Path, rotate: Rotation, after: int, is_second: bool, is_restarted: bool
) -> None:
    for number in count(1):
        directory = tmp_path / str(number)
        directory.mkdir()
        log, tail = directory / "app.log", Tail(directory, "running")
        tail.set("app.log*")
        append(log, lines(1, 60))
        tail.poll()
        append(log, lines(61, 63))
        if is_second:
            rotate(log)
            append(log, lines(64, 200))
        if is_restarted:
            tail.stop()

        def act(log: Path = log) -> None:
            rotate(log)
            append(log, lines(201, 200 + after))

        with pytest.MonkeyPatch.context() as patch:
            interrupted = Interrupted(patch, number, act)
            tail.poll()
        if not interrupted.has_acted:
            assert number > 5
            return
        for _ in range(3):
            tail.poll(60.0)
        tail.stop()
        written = [*lines(1, 63), *(lines(64, 200) if is_second else ()), *lines(201, 200 + after)]
        assert sorted(tail.lines) == sorted(written), f"before call {number}"
