"""A rotation between any two system calls of a look, where nobody expects it."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from tests.sources.tail.driver import Interrupted, Tail, append, compress, copytruncate, lines

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


@pytest.mark.fault("rotation in the middle of a look")
@pytest.mark.parametrize("is_restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("is_taken", [False, True], ids=["", "inode taken"])
@pytest.mark.parametrize("is_second", [False, True], ids=["", "after another one"])
@pytest.mark.parametrize("after", [1, 60, 400], ids=["shorter", "as long", "longer"])
@pytest.mark.parametrize(
    "rotate", [by_copy, by_name, by_copy_and_compressed, by_name_and_compressed]
)
def test_a_rotation_at_any_step_of_a_look_loses_nothing_and_doubles_nothing(
    tmp_path: Path,
    rotate: Rotation,
    after: int,
    is_second: bool,
    is_taken: bool,
    is_restarted: bool,
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
            if is_taken:  # The inode of a file that is deleted goes to the next one.
                (tmp_path / f"taken by {log.parent.name}").touch()
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
