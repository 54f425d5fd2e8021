"""Files and directories in which nothing happens cost next to nothing, and nothing is late."""

import os
from pathlib import Path

import pytest

from tests.sources.tail.driver import Tail, append, line, lines, overwrite, text

POLL_S = 0.25


@pytest.fixture
def quiet(running_tail: Tail, tmp_path: Path) -> Tail:
    """With a log that was read, long ago."""
    append(tmp_path / "app.log", lines(1, 3))
    running_tail.poll()
    running_tail.settle()
    running_tail.poll(after_s=60)
    return running_tail


def test_quiet_files_are_not_read_and_their_directories_not_listed(
    quiet: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a system call that was not needed")

    with monkeypatch.context() as patched:
        for name in ("preadv", "listdir", "scandir"):
            patched.setattr(os, name, fail)
        for _ in range(8):
            assert quiet.poll(POLL_S) == []


def test_a_file_that_has_only_the_inode_of_a_known_one_is_opened_once(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = running_tail
    tail.set("app.log")
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    with tail.down():
        (tmp_path / "app.log").rename(tmp_path / "other")
        overwrite(tmp_path / "other", text(lines(4, 9)))
        tail.settle()
    tail.poll()
    with monkeypatch.context() as patched:
        patched.delattr(os, "open")
        for _ in range(8):
            assert tail.poll() == []


def test_a_line_in_a_quiet_file_is_read_at_once(quiet: Tail, tmp_path: Path) -> None:
    for number in range(4, 8):
        append(tmp_path / "app.log", line(number))
        assert quiet.poll(POLL_S) == [line(number)]
        assert quiet.poll(after_s=60) == []


def test_a_quiet_file_that_is_truncated_is_read_at_once(quiet: Tail, tmp_path: Path) -> None:
    overwrite(tmp_path / "app.log", text(line(4)))
    assert quiet.poll(POLL_S) == [line(4)]


def test_a_quiet_file_with_a_new_content_of_the_same_length_is_read_by_the_next_look(
    quiet: Tail, tmp_path: Path
) -> None:
    overwrite(tmp_path / "app.log", text(lines(4, 6)))
    assert quiet.poll() == lines(4, 6)


def test_a_file_with_a_new_content_of_the_same_length_and_time_is_read_just_after_it_grew(
    running_tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 3))
    running_tail.poll()
    before = log.stat()
    overwrite(log, text(lines(4, 6)))
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert running_tail.poll(POLL_S) == lines(4, 6)


@pytest.mark.parametrize("is_old", [False, True])
def test_a_file_that_comes_into_a_quiet_directory_is_read_by_the_next_look(
    quiet: Tail, tmp_path: Path, is_old: bool
) -> None:
    append(tmp_path / "new.log", line(4))
    if is_old:
        quiet.settle()
    assert quiet.poll() == [line(4)]


def test_a_file_that_comes_just_after_another_one_is_read_by_the_next_look(
    running_tail: Tail, tmp_path: Path
) -> None:
    append(tmp_path / "app.log", line(1))
    assert running_tail.poll() == [line(1)]
    before = tmp_path.stat()
    append(tmp_path / "new.log", line(2))
    os.utime(tmp_path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert running_tail.poll() == [line(2)]


def test_a_file_that_comes_into_a_directory_that_does_not_tell_is_read_after_ten_seconds(
    quiet: Tail, tmp_path: Path
) -> None:
    before = tmp_path.stat()
    append(tmp_path / "new.log", line(4))
    os.utime(tmp_path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert quiet.poll() == []
    assert quiet.poll(after_s=10) == [line(4)]


def test_a_directory_that_cannot_be_listed_is_told_of_until_it_can(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = running_tail
    append(tmp_path / "app.log", lines(1, 3))
    tail.settle()

    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", refuse)
        assert tail.poll() == tail.poll() == []
        assert tail.metric("file_errors_total") == 1
    assert tail.poll() == lines(1, 3)


def test_a_directory_that_cannot_be_listed_is_told_of_once_beside_a_file_that_is_found(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = running_tail
    tail.set("*.log", "app.log")
    append(tmp_path / "app.log", lines(1, 3))

    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert tail.poll() == lines(1, 3)
    for _ in range(3):
        assert tail.poll() == []
    assert tail.metric("file_errors_total") == 1


def test_hidden_files_are_only_read_if_a_glob_names_them(tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / ".hidden.log", line(1))
    append(tmp_path / "app.log", line(2))
    assert tail.poll() == [line(2)]
    with tail.down():
        tail.set("*.log", ".*.log")
    assert tail.poll() == [line(1)]
