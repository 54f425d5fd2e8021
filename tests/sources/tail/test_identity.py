"""Which file is it: inodes that come back, files that begin alike, links, globs (A1 to A16)."""

import gzip
import os
from pathlib import Path

import pytest

from exporter.sources.tail import records as records_module
from exporter.sources.tail.fingerprint import NOTHING, Mark
from tests.sources.tail.driver import (
    Tail,
    append,
    append_raw,
    compress,
    line,
    lines,
    overwrite,
    text,
)


def test_lines_are_read_once_as_they_come(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 3))
    assert tail.poll() == lines(1, 3)
    assert tail.poll() == []
    append(log, lines(4, 5))
    assert tail.poll() == lines(4, 5)
    assert tail.poll() == []


def test_a1_a_shorter_file_with_the_same_inode_is_read_from_the_start(
    tail: Tail, tmp_path: Path
) -> None:
    log, other = tmp_path / "app.log", tmp_path / "other.log"
    append(log, lines(1, 50))
    tail.poll()
    log.rename(other)
    overwrite(other, text(lines(60, 62)))
    assert tail.poll() == lines(60, 62)


def test_a1_a_file_that_nobody_asked_for_is_left_alone_whatever_its_inode(
    tail: Tail, tmp_path: Path
) -> None:
    tail.set("app.log")
    log, rotated, other = (tmp_path / name for name in ("app.log", "app.log.1", "other.log"))
    append(log, lines(1, 50))
    tail.poll()
    log.rename(rotated)
    append(log, line(51))
    tail.poll()
    tail.poll(after_s=61)
    if tail.mode == "killed":
        tail.stop()  # for an inode is given to another file only once nobody has it open
    append(tmp_path / "other.log.1", lines(60, 69))
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(rotated.read_bytes()))
    rotated.rename(other)
    overwrite(other, text(lines(70, 79)))
    assert tail.poll() == []
    other.rename(tmp_path / "other.log.2")
    append(other, lines(80, 89))
    append(log, line(52))
    assert tail.poll() == [line(52)]
    assert tail.poll() == []
    assert tail.lines == lines(1, 52)


def test_a2_a_longer_file_with_the_same_inode_is_read_from_the_start(
    tail: Tail, tmp_path: Path
) -> None:
    log, other = tmp_path / "app.log", tmp_path / "other.log"
    append(log, lines(1, 50))
    tail.poll()
    log.rename(other)
    overwrite(other, text(lines(60, 160)))
    assert tail.poll() == lines(60, 160)


def test_a3_a_file_with_the_same_name_and_inode_is_read_from_the_start(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 5))
    tail.poll()
    overwrite(log, text(lines(6, 30)))
    assert tail.poll() == lines(6, 30)


@pytest.mark.parametrize("count", [2, 60])
def test_a4_an_inode_that_came_back_while_down_is_read_from_the_start(
    tail: Tail, tmp_path: Path, count: int
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    tail.poll()
    with tail.down():
        log.unlink()
        new = tmp_path / "new.log"
        append(new, lines(100, 99 + count))
        (record,) = tail.records()
        record.inode = new.stat().st_ino  # what the file system does when it likes
        tail.store(record)
    assert tail.poll() == lines(100, 99 + count)


def test_a5_of_two_records_of_one_inode_the_valid_one_seen_last_is_used(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 10))
    tail.poll()
    with tail.down():
        (record,) = tail.records()
        invalid, older = tail.records() + tail.records()
        invalid.serial, invalid.seen = 7, record.seen + 2
        invalid.mark = Mark(record.position, record.mark.length, bytes(8))
        older.serial, older.seen = 8, record.seen - 5
        older.position, older.mark, older.marks = 0, NOTHING, []
        tail.store(invalid)
        tail.store(older)
        append(log, lines(11, 12))
    assert tail.poll() == lines(11, 12)
    assert [known.serial for known in tail.records()] == [record.serial]


def test_a6_live_files_that_begin_alike_are_both_counted(tail: Tail, tmp_path: Path) -> None:
    banner = [b"# banner " + b"=" * 2000]
    append(tmp_path / "a.log", banner, lines(1, 3))
    append(tmp_path / "b.log", banner, lines(11, 13))
    tail.poll()
    append(tmp_path / "a.log", line(4))
    append(tmp_path / "b.log", line(14))
    tail.poll()
    assert sorted(tail.lines) == sorted([*banner * 2, *lines(1, 4), *lines(11, 14)])


def test_a6_live_files_that_are_equal_for_now_are_both_counted(tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / "a.log", lines(1, 30))
    append(tmp_path / "b.log", lines(1, 30))
    tail.poll()
    if tail.mode == "running":
        assert tail.lines == lines(1, 30)
        tail.poll(after_s=6)
    else:  # a restart begins the waiting anew
        append(tmp_path / "b.log", line(31))
        tail.poll()
        assert tail.lines.pop() == line(31)
    assert sorted(tail.lines) == sorted(2 * lines(1, 30))


def test_a6_of_files_that_begin_alike_only_the_one_that_waits_is_held_back(
    tail: Tail, tmp_path: Path
) -> None:
    append(tmp_path / "a.log", b"# banner", lines(1, 3))
    append(tmp_path / "b.log", b"# banner")
    tail.poll()
    append(tmp_path / "b.log", lines(11, 12))
    tail.poll()
    assert sorted(tail.lines) == sorted([b"# banner", *lines(1, 3), b"# banner", *lines(11, 12)])


def test_a7_a_file_that_follows_a_deleted_one_with_the_same_beginning_is_read_whole(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, banner = running_tail, [b"# banner " + b"=" * 2000]
    append(tmp_path / "a.log", banner, lines(1, 3))
    tail.poll()
    append(tmp_path / "a.log", lines(4, 5))
    (tmp_path / "a.log").unlink()
    append(tmp_path / "b.log", banner, lines(11, 13))
    tail.poll()
    assert tail.lines[4:] == [*lines(4, 5), *banner, *lines(11, 13)]


def test_a8_a_short_line_is_counted_when_its_newline_comes(tail: Tail, tmp_path: Path) -> None:
    append_raw(tmp_path / "app.log", b"x" * 60)
    assert tail.poll() == []
    append_raw(tmp_path / "app.log", b"\n")
    assert tail.poll() == [b"x" * 60]
    assert tail.poll() == []


def test_a8_a_short_line_is_counted_though_the_file_was_given_a_name_that_tells_nothing(
    tail: Tail, tmp_path: Path
) -> None:
    tail.set("app.log")
    append_raw(tmp_path / "app.log", line(1)[:20])
    assert tail.poll() == []
    append_raw(tmp_path / "app.log", line(1)[20:] + b"\n")
    (tmp_path / "app.log").rename(tmp_path / "old")
    assert tail.poll() == [line(1)]


def test_a9_a_file_that_grows_past_the_hashed_beginning_is_the_same_file(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, b"0123456789")
    assert tail.poll() == [b"0123456789"]
    for number in range(40):
        append(log, line(number))
        assert tail.poll() == [line(number)]


def test_a10_a_file_that_begins_with_a_deleted_ones_short_content_is_read_from_the_start(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, line(1))
    tail.poll()
    log.unlink()
    tail.poll()
    (tmp_path / "spare").write_bytes(b"takes the inode")
    append(log, lines(1, 30))
    assert tail.poll() == lines(1, 30)


def test_a11_a_device_number_that_changed_is_no_reason_to_read_again(
    tail: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    append(tmp_path / "short.log", line(1))
    tail.poll()
    with tail.down():
        tail.change_device()
        append(log, line(31))
        append(tmp_path / "short.log", line(2))
    assert sorted(tail.poll()) == sorted([line(31), line(2)])


def test_a12_a_file_that_was_out_of_sight_is_not_read_again(tail: Tail, tmp_path: Path) -> None:
    log, hidden = tmp_path / "app.log", tmp_path / "mounted-late"
    append(log, lines(1, 30))
    tail.poll()
    log.rename(hidden)
    for _ in range(12):
        tail.poll(after_s=600)
    hidden.rename(log)
    append(log, line(31))
    assert tail.poll() == [line(31)]


def test_a13_a_hundred_thousand_dead_records_are_pruned_at_the_start(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail = running_tail
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    tail.stop()
    (record,) = tail.records()
    alive = record.serial
    for number in range(1, 100_001):
        record.serial = alive + number
        record.path = record.lineage = f"/var/log/pods/gone_{number}/0.log"
        record.inode, record.seen = number, tail.time.day - 15 * 86_400
        tail.store(record)
    assert tail.poll() == []
    assert [known.serial for known in tail.records()] == [alive]


def test_a13_after_many_rotations_the_files_seen_last_are_remembered(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "MOST_RECORDS", 4)
    tail, log = running_tail, tmp_path / "app.log"
    tail.set("*.log", rotated_wait_s=1)
    contents = [lines(10 * n, 10 * n + 5, length=100) for n in range(7)]
    for content in contents:
        append(log, content)
        assert tail.poll(after_s=60) == content
        log.rename(tmp_path / "app.log.1")
    for _ in range(5):
        tail.poll(after_s=3600)
    assert len(tail.records()) == 7
    for _ in range(3):
        tail.poll(after_s=3600)
    assert len(tail.records()) == 4
    (tmp_path / "app.log.1").unlink()
    for number, content in enumerate(contents[3:], 2):
        append(tmp_path / f"app.log.{number}", content)
        compress(tmp_path / f"app.log.{number}")
    assert tail.poll(after_s=20) == []


def test_a13_a_deleted_file_that_is_being_read_is_remembered(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "MOST_RECORDS", 0)
    tail, log = running_tail, tmp_path / "app.log"
    append(log, lines(1, 60_000, length=400))
    read = 0
    while blocks := list(tail.source.read(1)):
        log.unlink(missing_ok=True)
        read += sum(block.count(b"\n") for block in blocks)
        tail.commit()
        assert len(tail.records()) == 1
        tail.time.now += 3500
    assert tail.time.now > 1000 + 7 * 3600
    assert read == 60_000


def test_a13_a_file_that_is_there_is_remembered_however_old(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 3))
    tail.poll()
    for _ in range(3):
        assert tail.poll(after_s=20 * 86_400) == []
    append(log, line(4))
    assert tail.poll() == [line(4)]


def test_a14_a_file_with_many_names_is_read_once(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 3))
    (tmp_path / "link.log").symlink_to(log)
    os.link(log, tmp_path / "hard.log")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "linked.log").symlink_to(log)
    tail.set("*.log", "app*", "**/*.log")
    assert tail.poll() == lines(1, 3)
    append(log, line(4))
    assert tail.poll() == [line(4)]


def test_a15_a_symlink_that_moves_on_leaves_nothing_unread(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, link = running_tail, tmp_path / "current.log"
    append(tmp_path / "1.txt", lines(1, 3))
    link.symlink_to(tmp_path / "1.txt")
    tail.poll()
    append(tmp_path / "1.txt", lines(4, 5))
    append(tmp_path / "2.txt", lines(6, 7))
    link.unlink()
    link.symlink_to(tmp_path / "2.txt")
    assert tail.poll() == lines(4, 7)
    append(tmp_path / "1.txt", line(8))
    assert tail.poll() == [line(8)]


def test_a15_broken_links_loops_and_directories_are_no_files(tail: Tail, tmp_path: Path) -> None:
    (tmp_path / "broken.log").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.log").symlink_to(tmp_path / "loop.log")
    (tmp_path / "directory.log").mkdir()
    append(tmp_path / "app.log", lines(1, 3))
    assert tail.poll() == lines(1, 3)
    append(tmp_path / "nowhere", line(4))
    assert tail.poll() == [line(4)]


def test_a16_known_files_keep_their_positions_when_the_globs_change(
    tail: Tail, tmp_path: Path
) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    with tail.down():
        tail.set("**/a*")
        append(tmp_path / "app.log", line(4))
    assert tail.poll() == [line(4)]


def test_a16_files_that_the_globs_no_longer_match_are_left_alone(
    tail: Tail, tmp_path: Path
) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    append(tmp_path / "other.log", lines(11, 13))
    tail.poll()
    with tail.down():
        tail.set("app.log")
        append(tmp_path / "other.log", line(14))
    assert tail.poll() == []
