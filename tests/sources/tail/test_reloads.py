"""A changed configuration: what only the process has open goes from one source to the next."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sources.tail.driver import Tail, append, line, lines, overwrite, text
from tests.sources.tail.test_envelopes import cri


def delete(log: Path) -> None:
    log.unlink()


def move(log: Path) -> None:
    (log.parent / "elsewhere").mkdir()
    log.rename(log.parent / "elsewhere" / log.name)


def replace(log: Path) -> None:
    log.unlink()
    append(log, line(0))


vanishing = pytest.mark.parametrize("vanish", [delete, move, replace])


@vanishing
@pytest.mark.parametrize("is_first", [True, False], ids=["before the reload", "within it"])
def test_what_was_unread_of_a_file_that_is_gone_is_read_after_a_reload(
    running_tail: Tail, tmp_path: Path, vanish: Callable[[Path], None], is_first: bool
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    tail.set("app.log", max_line_bytes=4096)
    append(log, lines(1, 20_000, length=400))
    (block,) = tail.source.read(1)
    tail.commit()
    if is_first:
        vanish(log)
    tail.reload()
    if not is_first:
        vanish(log)
    tail.poll()
    read = block[:-1].split(b"\n") + [one for one in tail.lines if one != line(0)]
    assert read == lines(1, 20_000, length=400)
    tail.poll(after_s=3601)
    tail.poll()
    assert tail.metric("open_files") == (vanish is replace)
    assert tail.metric("abandoned_bytes_total") == 0


@vanishing
def test_a_file_that_is_gone_is_read_on_over_many_reloads(
    running_tail: Tail, tmp_path: Path, vanish: Callable[[Path], None]
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    append(log, line(1))
    tail.poll()
    with log.open("ab", buffering=0) as writer:
        vanish(log)
        tail.poll()
        for number in range(2, 5):
            writer.write(text(line(number)))
            tail.reload()
            assert tail.poll() == [line(number)]


def test_a_file_that_was_empty_when_it_was_moved_away_is_read_after_a_reload(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    log.touch()
    tail.poll()
    move(log)
    tail.reload()
    tail.poll()
    append(tmp_path / "elsewhere" / "app.log", line(1))
    assert tail.poll() == [line(1)]


def test_pieces_in_a_deleted_file_are_joined_after_a_reload(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "0.log"
    append(log, cri(line(1)), cri(line(2)[:9], "P"))
    assert tail.poll() == [line(1)]
    with log.open("ab", buffering=0) as writer:
        log.unlink()
        tail.reload()
        writer.write(text(cri(line(2)[9:])))
        assert tail.poll() == [line(2)]


def test_a_deleted_file_whose_content_was_replaced_is_read_anew_after_a_reload(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    append(log, lines(1, 50))
    tail.poll()
    os.link(log, tmp_path / "other name")
    log.unlink()
    tail.reload()
    overwrite(tmp_path / "other name", text(lines(60, 70)))
    (tmp_path / "other name").unlink()
    assert tail.poll() == lines(60, 70)


def test_a_file_that_the_globs_no_longer_match_is_left_alone_after_a_reload(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail = running_tail
    append(tmp_path / "app.log", line(1))
    append(tmp_path / "other.log", line(11))
    tail.poll()
    tail.reload()
    tail.set("app.log")
    append(tmp_path / "other.log", line(12))
    assert tail.poll() == []
    tail.poll()
    assert tail.metric("open_files") == 1


def test_what_is_unread_of_a_deleted_file_is_counted_when_its_source_is_no_more(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    append(tmp_path / "other.log", line(1))
    append(log, lines(1, 3))
    tail.poll()
    append(tmp_path / "other.log", line(2))
    append(log, lines(4, 5))
    log.unlink()
    tail.reload()
    tail.descriptors.close(but=["test"])
    assert tail.metric("abandoned_bytes_total") == 0
    tail.descriptors.close(but=["of another name"])
    assert tail.metric("abandoned_bytes_total") == len(text(lines(4, 5)))
    assert tail.poll() == [line(2)]


def test_a_source_that_ends_before_its_first_look_leaves_all_to_the_next_one(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "app.log"
    append(log, line(1))
    tail.poll()
    append(log, line(2))
    log.unlink()
    tail.reload()
    assert tail.source.positions() == {}
    tail.reload()
    assert tail.poll() == [line(2)]


def test_a_fifo_has_a_reader_and_its_unfinished_line_over_a_reload(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, path = running_tail, tmp_path / "pipe.log"
    os.mkfifo(path)
    tail.poll()
    with path.open("wb", buffering=0) as writer:
        writer.write(text(line(1)) + line(2)[:9])
        assert tail.poll() == [line(1)]
        tail.reload()
        writer.write(line(2)[9:] + b"\n" + text(cri(line(3)[:9], "P")))
        assert tail.poll() == [line(2)]
        tail.reload()
        tail.set(max_line_bytes=200)
        writer.write(text(cri(line(3)[9:])) + b"x" * 201 + b"\n")
        assert tail.poll() == [line(3)]
    assert tail.metric("lines_too_long_total") == 1


def test_a_fifo_that_the_globs_no_longer_match_is_closed_at_a_reload(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, path = running_tail, tmp_path / "pipe.log"
    os.mkfifo(path)
    tail.poll()
    with path.open("wb", buffering=0) as writer:
        tail.reload()
        tail.set("app.log")
        tail.poll()
        with pytest.raises(BrokenPipeError):
            writer.write(text(line(1)))
