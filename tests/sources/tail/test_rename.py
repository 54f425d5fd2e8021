"""Rotation by rename, and deletion (B1 to B13)."""

import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sources.tail.driver import (
    Tail,
    append,
    append_raw,
    compress,
    copytruncate,
    line,
    lines,
    text,
)


def rotate(directory: Path, name: str = "app.log", keep: int = 9) -> None:
    """app.log.1 becomes app.log.2, and so on; app.log becomes app.log.1."""
    for number in range(keep, 0, -1):
        source = directory / (f"{name}.{number - 1}" if number > 1 else name)
        if source.exists():
            source.rename(directory / f"{name}.{number}")


@pytest.fixture(params=["app.log", "app.log*"])
def globbed(tail: Tail, request: pytest.FixtureRequest) -> Tail:
    """With rotated names outside of the glob, and within."""
    tail.set(request.param)
    return tail


def test_b1_what_was_unread_of_a_renamed_file_is_read(globbed: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    globbed.poll()
    append(tmp_path / "app.log", lines(4, 5))
    rotate(tmp_path)
    append(tmp_path / "app.log", lines(6, 7))
    assert globbed.poll() == lines(4, 7)
    append(tmp_path / "app.log", line(8))
    assert globbed.poll() == [line(8)]


def test_b2_a_renamed_file_is_not_read_again(globbed: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", lines(1, 30))
    globbed.poll()
    rotate(tmp_path)
    assert globbed.poll() == []
    append(tmp_path / "app.log", line(31))
    assert globbed.poll() == [line(31)]
    rotate(tmp_path)
    assert globbed.poll() == []


def test_b3_two_rotations_between_two_looks_lose_nothing(globbed: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    globbed.poll()
    rotate(tmp_path)
    append(tmp_path / "app.log", lines(4, 6))
    globbed.poll()
    append(tmp_path / "app.log", line(7))
    rotate(tmp_path)
    append(tmp_path / "app.log", lines(8, 9))
    rotate(tmp_path)
    append(tmp_path / "app.log", lines(10, 11))
    assert globbed.poll() == lines(7, 11)
    assert globbed.poll() == []


def test_b3_a_file_that_came_and_was_rotated_between_two_looks_is_read(
    globbed: Tail, tmp_path: Path
) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    globbed.poll()
    rotate(tmp_path)
    compress(tmp_path / "app.log.1")
    assert globbed.poll(after_s=100) == []
    assert globbed.poll(after_s=100) == []
    append(tmp_path / "app.log", line(4))
    rotate(tmp_path)
    assert globbed.poll() == [line(4)]


@pytest.fixture
def awaiting(running_tail: Tail, tmp_path: Path) -> Tail:
    """With a log whose path is configured, and which was not there when it was looked for."""
    running_tail.set("logs/app.log")
    (tmp_path / "logs").mkdir()
    running_tail.poll()
    return running_tail


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("times", [1, 2])
def test_b3_a_new_log_that_was_rotated_before_it_was_looked_at_is_read(
    awaiting: Tail, tmp_path: Path, times: int, is_compressed: bool
) -> None:
    directory = tmp_path / "logs"
    for number in range(times):
        append(directory / "app.log", line(number))
        rotate(directory)
    if is_compressed:
        compress(directory / "app.log.1")
    assert sorted(awaiting.poll()) == lines(0, times - 1)
    assert awaiting.poll(after_s=100) == []
    append(directory / "app.log", line(times))
    assert awaiting.poll() == [line(times)]


def test_b3_a_new_log_and_its_rotated_file_are_read(awaiting: Tail, tmp_path: Path) -> None:
    append(tmp_path / "logs/app.log", lines(1, 3))
    rotate(tmp_path / "logs")
    append(tmp_path / "logs/app.log", line(4))
    assert awaiting.poll() == lines(1, 4)


def test_b3_what_was_rotated_before_the_first_look_is_left_alone_without_a_log(
    tail: Tail, old_files: Path
) -> None:
    tail.set("app.log")
    (old_files / "app.log").unlink()
    assert tail.poll() == []
    append(old_files / "app.log", lines(1, 3))
    assert tail.poll() == lines(1, 3)
    rotate(old_files)
    assert tail.poll() == []


@pytest.mark.parametrize("had_directory", [False, True])
def test_b3_what_comes_with_a_directory_is_left_alone(
    running_tail: Tail, old_files: Path, had_directory: bool
) -> None:
    """As when a file system is mounted."""
    running_tail.set("logs/app.log")
    if had_directory:
        (old_files / "logs").mkdir()
    running_tail.poll()
    if had_directory:
        (old_files / "logs").rename(old_files / "mount-point")
    (old_files / "logs").mkdir()
    for path in old_files.glob("app.log*"):
        path.rename(old_files / "logs" / path.name)
    assert running_tail.poll() == lines(1, 3)


@pytest.fixture
def old_files(tmp_path: Path) -> Path:
    """A directory in which a log was rotated before anybody looked at it."""
    append(tmp_path / "app.log.1", lines(101, 102))
    (tmp_path / "app.log.2.gz").write_bytes(gzip.compress(text(lines(103, 104))))
    append_raw(tmp_path / "app.log.3", text(line(105)) + b"half a line")
    append(tmp_path / "app.log", lines(1, 3))
    return tmp_path


def test_b3_what_was_rotated_before_the_first_look_is_left_alone(
    tail: Tail, old_files: Path
) -> None:
    tail.set("app.log")
    for number in range(4, 8):
        tail.poll(after_s=40)
        rotate(old_files)
        append(old_files / "app.log", line(number))
    tail.poll(after_s=40)
    compress(old_files / "app.log.5")
    tail.poll(after_s=40)
    with tail.down():
        tail.change_device()
    tail.poll()
    assert tail.lines == lines(1, 7)


def test_b3_a_line_added_to_a_file_rotated_before_the_first_look_is_read(
    tail: Tail, old_files: Path
) -> None:
    tail.set("app.log")
    tail.poll()
    append(old_files / "app.log.1", line(4))
    assert tail.poll() == [line(4)]


def test_b3_a_file_rotated_before_the_first_look_that_cannot_be_read_is_left_alone(
    tail: Tail, old_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail.set("app.log")
    real_open = os.open

    def refuse(path: str, flags: int) -> int:
        if path.endswith(".1"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real_open(path, flags)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        tail.poll()
    tail.poll()
    assert tail.lines == lines(1, 3)


def test_b4_lines_written_to_a_renamed_file_are_read(running_tail: Tail, tmp_path: Path) -> None:
    tail = running_tail
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    rotate(tmp_path)
    append(tmp_path / "app.log", line(4))
    tail.poll()
    for number in range(5, 10):
        append(tmp_path / "app.log.1", line(number))
        assert tail.poll(after_s=50) == [line(number)]
    assert tail.metric("open_files") == 2
    tail.poll(after_s=50)
    assert tail.poll(after_s=50) == []
    tail.poll()
    assert tail.metric("open_files") == 1


def test_b4_a_file_renamed_while_it_was_empty_is_read_when_it_is_written_to(
    globbed: Tail, tmp_path: Path
) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    globbed.poll()
    copytruncate(tmp_path / "app.log", tmp_path / "app.log.1")
    for _ in range(20):
        assert globbed.poll(after_s=6) == []
    rotate(tmp_path)
    for _ in range(20):
        assert globbed.poll(after_s=6) == []
    append(tmp_path / "app.log.1", line(4))
    globbed.poll()
    rotate(tmp_path)
    globbed.poll()
    assert globbed.lines == lines(1, 4)


@pytest.mark.parametrize("times", [1, 5])
def test_b5_files_rotated_while_down_are_read(globbed: Tail, tmp_path: Path, times: int) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    globbed.poll()
    with globbed.down():
        append(tmp_path / "app.log", line(4))
        for number in range(times):
            rotate(tmp_path)
            append(tmp_path / "app.log", line(5 + number))
    globbed.poll()
    assert globbed.lines == lines(1, 4 + times)
    assert globbed.poll() == []


@pytest.mark.parametrize(
    "rotated",
    [
        "app.log-202601{:02}",
        "app.log.202601{:02}-112911",
        "app.log.2026-01-{:02}_11-29-11",
        "app-2026-01-{:02}T11-29-11.123.log",
    ],
)
def test_b5_files_with_a_date_for_a_number_are_found_too(
    globbed: Tail, tmp_path: Path, rotated: str
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 3))
    globbed.poll()
    with globbed.down():
        append(log, line(4))
        log.rename(tmp_path / rotated.format(9))
        append(log, line(5))
        log.rename(tmp_path / rotated.format(10))
        append(log, lines(6, 7))
        log.rename(tmp_path / rotated.format(11))
        append(log, line(8))
        compress(tmp_path / rotated.format(9))
    assert globbed.poll() == lines(4, 8)
    assert globbed.poll(after_s=100) == []


def test_b6_a_deleted_file_is_read_to_its_end(running_tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    running_tail.poll()
    append(tmp_path / "app.log", lines(4, 5))
    (tmp_path / "app.log").unlink()
    assert running_tail.poll() == lines(4, 5)


def test_b7_a_deleted_file_is_let_go_of_when_nothing_is_read_for_long(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail = running_tail
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    append(tmp_path / "app.log", lines(4, 5))
    (tmp_path / "app.log").unlink()
    for _ in range(3):
        tail.time.now += 1900
        assert list(tail.source.read(0)) == []
    assert tail.metric("abandoned_bytes_total") == sum(len(one) + 1 for one in lines(4, 5))
    assert tail.metric("open_files") == 0
    assert tail.poll() == []


def test_b7_a_deleted_file_that_was_let_go_of_goes_on_where_it_was_when_it_is_put_back(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    tail.set("app.log*")
    append(log, lines(1, 3))
    tail.poll()
    append(log, lines(4, 5))
    backup = log.read_bytes()
    log.unlink()
    for _ in range(3):
        tail.time.now += 1900
        assert list(tail.source.read(0)) == []
    assert tail.metric("open_files") == 0
    (tmp_path / "app.log.1").write_bytes(backup)
    assert tail.poll() == lines(4, 5)


def test_b7_a_deleted_file_that_is_being_read_is_kept(running_tail: Tail, tmp_path: Path) -> None:
    tail = running_tail
    tail.set(max_line_bytes=4096)
    append(tmp_path / "app.log", lines(1, 20_000, length=400))
    tail.time.now += 1
    (block,) = tail.source.read(1)
    (tmp_path / "app.log").unlink()
    read = block.count(b"\n")
    while blocks := list(tail.source.read(1)):
        tail.time.now += 3000
        read += sum(block.count(b"\n") for block in blocks)
    assert read == 20_000
    assert tail.metric("abandoned_bytes_total") == 0


def test_b8_a_rotated_file_is_read_before_the_one_that_replaced_it(
    globbed: Tail, tmp_path: Path
) -> None:
    append(tmp_path / "app.log", line(1))
    globbed.poll()
    append(tmp_path / "app.log", lines(2, 9000, length=400))
    rotate(tmp_path)
    append(tmp_path / "app.log", lines(9001, 9100))
    globbed.poll()
    assert globbed.lines == [*lines(1, 1), *lines(2, 9000, length=400), *lines(9001, 9100)]


def test_b9_only_files_of_the_very_first_look_are_read_from_their_end(
    globbed: Tail, tmp_path: Path
) -> None:
    globbed.set(start="end")
    append(tmp_path / "app.log", lines(1, 30))
    append_raw(tmp_path / "app.log", line(31))
    assert globbed.poll() == []
    append_raw(tmp_path / "app.log", b"\n")
    append(tmp_path / "app.log", line(32))
    assert globbed.poll() == lines(31, 32)
    rotate(tmp_path)
    append(tmp_path / "app.log", lines(33, 40))
    assert globbed.poll() == lines(33, 40)


def test_b9_a_first_look_that_finds_nothing_was_the_first_look(tail: Tail, tmp_path: Path) -> None:
    tail.set(start="end")
    tail.poll()
    append(tmp_path / "app.log", lines(1, 3))
    assert tail.poll() == lines(1, 3)


@pytest.mark.parametrize("modified", [0, 4_000_000_000])
def test_b10_the_age_of_a_file_does_not_matter(tail: Tail, tmp_path: Path, modified: float) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 3))
    os.utime(log, (modified, modified))
    assert tail.poll() == lines(1, 3)
    append(log, lines(4, 5))
    os.utime(log, (modified, modified))
    assert tail.poll() == lines(4, 5)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_b11_with_more_files_than_may_be_open_none_is_lost(
    running_tail: Tail, tmp_path: Path, is_restarted: bool
) -> None:
    tail = running_tail
    tail.set("[0-9].log", max_open=3)
    for number in range(10):
        append(tmp_path / f"{number}.log", line(number))
    for _ in range(5):
        tail.poll()
    assert sorted(tail.lines) == lines(0, 9)
    if is_restarted:
        tail.stop()
    for number in range(10):
        append(tmp_path / f"{number}.log", line(10 + number))
        if number % 2:
            (tmp_path / f"{number}.log").rename(tmp_path / f"{number}.log.1")
            append(tmp_path / f"{number}.log", line(20 + number))
    for _ in range(100):
        tail.poll(after_s=30)
        assert tail.metric("open_files") <= 3
    assert sorted(tail.lines) == sorted([*lines(0, 19), *(line(20 + n) for n in range(1, 10, 2))])


def test_b12_what_is_unread_shows_in_bytes_and_seconds(running_tail: Tail, tmp_path: Path) -> None:
    tail = running_tail
    data = lines(1, 20_000, length=400)
    append(tmp_path / "app.log", data)
    size = (tmp_path / "app.log").stat().st_size
    tail.time.now += 30
    (block,) = tail.source.read(1)
    assert tail.metric("behind_bytes") == size - len(block)
    assert 29 <= tail.metric("behind_seconds") < 40
    tail.poll()
    tail.poll()
    assert tail.metric("behind_bytes") == tail.metric("behind_seconds") == 0


def test_b12_a_file_that_cannot_be_opened_is_unread(
    tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    tail.stop()
    append(tmp_path / "app.log", lines(4, 5))
    append(tmp_path / "other.log", lines(6, 8))
    append(tmp_path / "gone.log", lines(9, 9))
    unread = (tmp_path / "other.log").stat().st_size + len(b"".join(lines(4, 5))) + 2
    gone = (tmp_path / "gone.log").stat().st_size

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        tail.poll()
        assert tail.metric("behind_bytes") == unread + gone
        (tmp_path / "gone.log").unlink()
        tail.poll(after_s=30)
        assert tail.metric("behind_bytes") == unread
        if tail.mode == "running":
            assert tail.metric("behind_seconds") == 30
    tail.poll()
    tail.poll()
    assert tail.lines == lines(1, 8)
    assert tail.metric("behind_bytes") == tail.metric("behind_seconds") == 0


def test_b13_a_file_that_cannot_be_opened_is_tried_again(
    tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    append(tmp_path / "other.log", lines(4, 6))
    opened = os.open

    def refuse(path: str, flags: int) -> int:
        if path.endswith("app.log"):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        assert tail.poll() == lines(4, 6)
        assert tail.poll() == []
    if tail.mode == "running":
        assert tail.metric("file_errors_total") == 1
    assert tail.poll() == lines(1, 3)


def test_b13_a_lack_of_descriptors_is_told_each_time_that_it_begins(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = running_tail
    opened = os.open

    def refuse(path: str, flags: int) -> int:
        if path.endswith("a.log"):
            return opened(path, flags)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    for times in (1, 2):
        first = 10 * times
        for number, name in enumerate("abc", first):
            append(tmp_path / f"{times}-{name}.log", line(number))
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", refuse)
            assert tail.poll() == [line(first)]
            append(tmp_path / f"{times}-aa.log", line(first + 3))
            assert tail.poll() == [line(first + 3)]
            assert tail.metric("file_errors_total") == times
        assert tail.poll() == lines(first + 1, first + 2)


@pytest.mark.parametrize("number", [5, 116])  # EIO, ESTALE
def test_b13_a_file_that_cannot_be_read_is_tried_again(
    tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    append(tmp_path / "app.log", lines(1, 30))
    assert tail.poll() == lines(1, 30)
    append(tmp_path / "app.log", lines(31, 33))

    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "preadv", fail)
        assert tail.poll() == []
        assert tail.poll() == []
    assert tail.poll() == lines(31, 33)


def test_b13_a_trouble_with_reading_a_file_is_told_each_time_that_it_begins(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for times in (1, 2):
        append(tmp_path / "app.log", line(times))
        with monkeypatch.context() as patched:
            patched.setattr(os, "preadv", fail)
            assert running_tail.poll() == running_tail.poll() == []
        assert running_tail.metric("file_errors_total") == times
        assert running_tail.poll() == [line(times)]


def test_b13_a_file_that_another_machine_deletes_holds_up_no_other(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    append(log, line(1))
    append(tmp_path / "other.log", line(2))
    assert sorted(tail.poll()) == lines(1, 2)
    inode, looked = log.stat().st_ino, os.fstat
    log.unlink()
    for name in ("fstat", "preadv", "lseek"):
        call = getattr(os, name)

        def on_network(fd: int, *arguments: object, call: Callable[..., object] = call) -> object:
            if looked(fd).st_ino == inode:
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return call(fd, *arguments)

        monkeypatch.setattr(os, name, on_network)
    append(tmp_path / "other.log", line(3))
    tail.time.now += 1
    assert list(tail.source.read(0)) == []  # a commit fails
    assert tail.poll() == [line(3)]
    assert tail.poll(after_s=100) == []
    assert tail.metric("open_files") == 1


def test_b13_a_file_that_is_gone_before_it_is_opened_is_no_trouble(
    tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    opened = os.open

    def vanish(path: str, flags: int) -> int:
        (tmp_path / "app.log").rename(tmp_path / "renamed.log")
        return opened(path, flags)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", vanish)
        tail.time.now += 1
        assert tail.read() == []
    assert tail.poll() == lines(1, 3)
    assert tail.metric("file_errors_total") == 0


def test_what_is_written_to_a_rotated_file_is_read_though_its_directory_is_unchanged(
    tail: Tail, tmp_path: Path
) -> None:
    tail.set("app.log")
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    rotate(tmp_path)
    append(tmp_path / "app.log", line(4))
    for _ in range(20):
        os.utime(tmp_path, (1e9, 1e9))
        tail.poll(after_s=9)
    append(tmp_path / "app.log.1", line(5))
    for _ in range(2):
        tail.poll(after_s=9)
    assert tail.lines == lines(1, 5)
