"""Truncation in place, and copies made before it (C1 to C9)."""

import os
import resource
from pathlib import Path

import pytest

from tests.sources.tail.driver import (
    Tail,
    append,
    append_raw,
    copytruncate,
    line,
    lines,
    overwrite,
    text,
)


@pytest.fixture(params=["app.log", "app.log*"])
def globbed(tail: Tail, request: pytest.FixtureRequest) -> Tail:
    """With copies outside of the glob, and within."""
    tail.set(request.param)
    return tail


def test_c1_a_truncated_file_is_read_from_the_start(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    tail.poll()
    overwrite(log, text(lines(31, 33)))
    assert tail.poll() == lines(31, 33)
    os.truncate(log, 0)
    assert tail.poll() == []
    append(log, lines(34, 35))
    assert tail.poll() == lines(34, 35)


def test_c1_a_truncated_file_is_read_though_there_are_no_descriptors_left(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    append(log, lines(1, 30))
    tail.poll()
    overwrite(log, text(lines(31, 33)))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(log, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        assert tail.poll() == lines(31, 33)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_c2_a_file_that_grew_back_past_the_position_is_read_from_the_start(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    tail.poll()
    overwrite(log, text(lines(31, 90)))
    assert tail.poll() == lines(31, 90)


def test_c2_a_file_of_the_same_size_is_read_from_the_start(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, lines(10, 39))
    tail.poll()
    overwrite(log, text(lines(40, 69)))
    assert tail.poll() == lines(40, 69)


def test_c3_a_file_that_grew_back_while_down_is_read_from_the_start(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    tail.poll()
    with tail.down():
        overwrite(log, text(lines(31, 90)))
    assert tail.poll() == lines(31, 90)


@pytest.mark.parametrize("count", [1, 5, 60])
def test_c4_a_file_that_begins_again_with_the_same_bytes_is_read_from_the_start(
    tail: Tail, tmp_path: Path, count: int
) -> None:
    log, header = tmp_path / "app.log", b"#" * 1000
    append(log, header, lines(1, 30))
    tail.poll()
    overwrite(log, text(header, lines(31, 30 + count)))
    assert tail.poll() == [header, *lines(31, 30 + count)]


def test_c4_a_file_that_was_seen_empty_is_read_from_the_start_whatever_it_begins_with(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 90))
    tail.poll()
    os.truncate(log, 0)
    tail.poll()
    append(log, lines(1, 89))
    assert tail.poll() == lines(1, 89)
    append(log, lines(90, 91))
    assert tail.poll() == lines(90, 91)


def test_c5_a_copy_is_not_read_twice_and_its_unread_tail_is_read_once(
    globbed: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    globbed.poll()
    append(log, lines(31, 33))
    copytruncate(log, tmp_path / "app.log.1")
    append(log, lines(34, 35))
    globbed.poll()
    globbed.poll()
    assert sorted(globbed.lines) == sorted(lines(1, 35))


def test_c5_a_copy_is_waited_with_while_it_is_made(globbed: Tail, tmp_path: Path) -> None:
    log, copy = tmp_path / "app.log", tmp_path / "app.log.1"
    append(log, lines(1, 90))
    globbed.poll()
    content = log.read_bytes()
    for start in range(0, len(content), 500):
        append_raw(copy, content[start : start + 500])
        assert globbed.poll() == []
    append(log, line(91))
    globbed.poll()
    os.truncate(log, 0)
    append(log, line(92))
    globbed.poll()
    globbed.poll()
    assert globbed.lines == lines(1, 92)


def test_c5_a_file_copied_twice_while_down_is_read_once(globbed: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    globbed.poll()
    with globbed.down():
        append(log, line(31))
        copytruncate(log, tmp_path / "app.log.1")
        append(log, lines(32, 70))
        (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
        copytruncate(log, tmp_path / "app.log.1")
        append(log, lines(71, 75))
    globbed.poll()
    globbed.poll()
    assert sorted(globbed.lines) == sorted(lines(1, 75))


def test_c6_nuls_of_a_writer_that_did_not_notice_the_truncation_are_skipped(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    with log.open("wb") as writer:
        writer.write(text(lines(1, 30)))
        writer.flush()
        tail.poll()
        offset = writer.tell()
        os.truncate(log, 0)
        writer.write(text(lines(31, 32)))
    assert log.read_bytes()[:offset] == bytes(offset)
    assert tail.poll() == lines(31, 32)
    append(log, line(33))
    assert tail.poll() == [line(33)]
    assert tail.metric("nul_bytes_skipped_total") >= offset


@pytest.mark.parametrize("is_hole", [True, False])
def test_c6_millions_of_nuls_are_skipped(tail: Tail, tmp_path: Path, is_hole: bool) -> None:
    log, size = tmp_path / "app.log", 5_000_000
    append(log, lines(1, 3))
    tail.poll()
    os.truncate(log, 0)
    if is_hole:
        os.truncate(log, size)
    else:
        append_raw(log, bytes(size))
    assert tail.poll() == []
    append(log, lines(4, 5))
    assert tail.poll() == lines(4, 5)
    assert tail.poll() == []


def test_c7_a_truncation_is_reported_before_anything_is_read(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    append(log, lines(1, 30))
    tail.poll()
    (before,) = tail.records()
    os.truncate(log, 0)
    assert tail.poll() == []
    (after,) = tail.records()
    assert (before.orphan, after.orphan) == (False, True)
    with tail.down():
        append(log, lines(1, 60))
    assert tail.poll() == lines(1, 60)


@pytest.mark.parametrize("count", [5, 90, 5000])
@pytest.mark.parametrize("cut", [1, 20, 300])
def test_c8_of_a_file_whose_end_was_cut_off_nothing_is_read_twice(
    tail: Tail, tmp_path: Path, count: int, cut: int
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, count, length=60))
    tail.poll()
    os.truncate(log, log.stat().st_size - cut)
    tail.poll()
    append(log, lines(count + 1, count + 3, length=60))
    tail.poll()
    whole = set(lines(1, count + 3, length=60))
    assert [one for one in tail.lines if one in whole][:count] == lines(1, count, length=60)
    assert tail.lines[-2:] == lines(count + 2, count + 3, length=60)
    assert len(tail.lines) == len(set(tail.lines))
    assert tail.metric("truncations_total") >= 1


def test_c8_of_a_file_cut_in_its_middle_nothing_is_read_twice(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    for number in range(0, 50_000, 5000):
        append(log, lines(number, number + 4999, length=60))
        tail.poll()
    os.truncate(log, len(text(lines(0, 20_000, length=60))))
    tail.poll()
    append(log, lines(60_000, 60_003, length=60))
    tail.poll()
    assert tail.lines == [*lines(0, 49_999, length=60), *lines(60_000, 60_003, length=60)]


def test_c9_a_position_beyond_the_end_is_told_and_put_right(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    tail.poll()
    with tail.down():
        overwrite(log, text(lines(31, 32)))
    assert tail.poll() == lines(31, 32)
    assert tail.metric("truncations_total") >= 1
    assert tail.poll() == []
