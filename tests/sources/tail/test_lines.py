"""Lines that are too long, NULs, byte order marks (F1 to F5); pipes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sources.tail.driver import Tail, append, append_raw, line, lines, text


@pytest.mark.parametrize("length", [101, 1000, 50_000_000])
def test_f1_a_line_that_is_too_long_is_skipped_and_counted_once(
    tail: Tail, tmp_path: Path, length: int
) -> None:
    log = tmp_path / "app.log"
    limit = 100 if length < 10_000 else 1 << 20
    tail.set(max_line_bytes=limit)
    append(log, lines(1, 3), b"x" * length, lines(4, 5))
    assert tail.poll() == lines(1, 5)
    if tail.mode == "running":
        assert tail.metric("lines_too_long_total") == 1
    append(log, line(6))
    assert tail.poll() == [line(6)]


def test_f1_a_line_that_grows_too_long_is_skipped_over_restarts(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    tail.set(max_line_bytes=1000)
    append(log, line(1))
    for _ in range(50):
        append_raw(log, b"x" * 100)
        tail.poll()
    append_raw(log, b"\n")
    append(log, line(2))
    tail.poll()
    assert tail.lines == lines(1, 2)


@pytest.mark.parametrize("limit", [99, 100])
def test_f1_a_line_of_just_the_limit_is_read(tail: Tail, tmp_path: Path, limit: int) -> None:
    tail.set(max_line_bytes=limit)
    append(tmp_path / "app.log", b"x" * 100, line(1), b"y" * 99)
    expected = [b"x" * 100] * (limit == 100) + [line(1), b"y" * 99]
    assert tail.poll() == expected


def test_f2_the_position_moves_over_what_gives_no_line(running_tail: Tail, tmp_path: Path) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    tail.set(max_line_bytes=100)
    append_raw(log, b"x" * 5_000_000)
    assert tail.poll() == []
    (record,) = tail.records()
    assert (record.position, record.skipping) == (5_000_000, True)


def test_f3_what_is_between_the_newlines_is_left_to_the_decoder(tail: Tail, tmp_path: Path) -> None:
    rows = [
        b"",
        b" ",
        b"a\r",
        b"null",
        b"[1]",
        b'{"a":1}{"a":2}',
        b'{"a":',
        b"1}",
        b"a\0b",
        b"\xff",
    ]
    append(tmp_path / "app.log", rows)
    assert tail.poll() == rows


def test_f3_a_byte_order_mark_is_removed_at_the_start_of_a_file_only(
    tail: Tail, tmp_path: Path
) -> None:
    mark = b"\xef\xbb\xbf"
    append_raw(tmp_path / "app.log", mark + text(line(1), mark + line(2)))
    assert tail.poll() == [line(1), mark + line(2)]
    append(tmp_path / "app.log", mark + line(3))
    assert tail.poll() == [mark + line(3)]


def test_f3_nuls_at_the_start_of_a_line_are_removed(tail: Tail, tmp_path: Path) -> None:
    append_raw(tmp_path / "app.log", text(line(1)) + b"\0\0" + text(line(2)) + b"\0" * 9)
    assert tail.poll() == lines(1, 2)
    append(tmp_path / "app.log", line(3))
    assert tail.poll() == [line(3)]


@pytest.mark.parametrize("count", [1, 20])
def test_f5_bytes_that_are_not_there_yet_are_read_when_they_are(
    tail: Tail, tmp_path: Path, count: int
) -> None:
    log = tmp_path / "app.log"
    append(log, line(1))
    tail.poll()
    size, more = log.stat().st_size, text(lines(2, 1 + count))
    os.truncate(log, size + len(more))
    assert tail.poll() == []
    assert tail.poll() == []
    with log.open("r+b") as file:
        file.seek(size)
        file.write(more)
    assert tail.poll() == lines(2, 1 + count)


def test_f5_a_new_file_of_nuls_is_read_when_its_bytes_are_there(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_bytes(bytes(len(text(lines(1, 3)))))
    assert tail.poll() == []
    with log.open("r+b") as file:
        file.write(text(lines(1, 3)))
    assert tail.poll() == lines(1, 3)


@pytest.fixture
def standard_input() -> Iterator[list[int]]:
    """A pipe in the place of standard input; its writing end."""
    before = os.dup(0)
    reader, writer = os.pipe()
    os.dup2(reader, 0)
    os.close(reader)
    yield [writer]
    os.dup2(before, 0)
    os.close(before)


def test_standard_input_is_read_as_it_comes(running_tail: Tail, standard_input: list[int]) -> None:
    tail, (writer,) = running_tail, standard_input
    tail.set("-", max_line_bytes=1000)
    assert tail.poll() == []
    os.write(writer, text(lines(1, 2)) + line(3)[:9])
    assert tail.poll() == lines(1, 2)
    os.write(writer, line(3)[9:] + b"\n" + b"x" * 900)
    assert tail.poll() == [line(3)]
    os.write(writer, b"x" * 900)
    assert tail.poll() == []
    os.write(writer, b"x\n" + text(line(4)) + line(5))
    assert tail.poll() == [line(4)]
    os.close(writer)
    assert tail.poll() == [line(5)]
    assert tail.poll() == []
    assert tail.metric("lines_too_long_total") == 1
    assert tail.records() == []


def test_half_a_line_of_standard_input_outlives_a_reload(
    running_tail: Tail, standard_input: list[int]
) -> None:
    tail, (writer,) = running_tail, standard_input
    tail.set("-")
    os.write(writer, line(1)[:9])
    assert tail.poll() == []
    tail.reload()
    os.write(writer, line(1)[9:] + b"\n")
    assert tail.poll() == [line(1)]
    os.close(writer)
    assert tail.poll() == []


def test_a_fifo_is_read_whoever_writes_to_it(running_tail: Tail, tmp_path: Path) -> None:
    tail, path = running_tail, tmp_path / "pipe.log"
    os.mkfifo(path)
    append(tmp_path / "app.log", line(1))
    assert tail.poll() == [line(1)]
    for number in (2, 3):
        append(path, line(number))
        assert tail.poll() == [line(number)]
