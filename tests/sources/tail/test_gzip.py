"""Compressed files, most of them the rotated form of one that was read (D1 to D9)."""

import gzip
import tracemalloc
import zlib
from pathlib import Path

import pytest

from exporter.sources.tail import gzipped
from exporter.sources.tail.content import BLOCK
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


@pytest.fixture(params=["app.log", "app.log*"])
def globbed(tail: Tail, request: pytest.FixtureRequest) -> Tail:
    """With compressed files outside of the glob, and within."""
    tail.set(request.param)
    return tail


@pytest.fixture
def all_logs(tail: Tail) -> Tail:
    tail.set("*.log*")
    return tail


@pytest.mark.parametrize("count", [3, 3000])
def test_d1_the_compressed_form_of_a_file_that_was_read_gives_nothing(
    globbed: Tail, tmp_path: Path, count: int
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, count))
    globbed.poll()
    log.rename(tmp_path / "app.log.1")
    append(log, line(count + 1))
    globbed.poll()
    compress(tmp_path / "app.log.1")
    globbed.poll()
    for _ in range(5):
        globbed.poll(after_s=30)
    (tmp_path / "app.log.1.gz").rename(tmp_path / "app.log.2.gz")
    globbed.poll()
    assert globbed.lines == lines(1, count + 1)


def test_d1_a_compressed_file_beside_its_original_is_a_copy(all_logs: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 300))
    all_logs.poll()
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    for _ in range(3):
        assert all_logs.poll(after_s=10) == []


def test_d1_the_compressed_form_may_have_the_inode_of_the_file_that_was_read(
    globbed: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 30))
    assert globbed.poll() == lines(1, 30)
    with globbed.down():
        log.rename(tmp_path / "app.log.1")
        packed = compress(tmp_path / "app.log.1")
        (record,) = globbed.records()
        record.inode = packed.stat().st_ino
        globbed.store(record)
        append(log, line(31))
    assert globbed.poll() == [line(31)]
    assert globbed.poll(after_s=100) == []


def compress_thousands(files: int, directory: Path, name: str, length: int) -> None:
    """So many files of a thousand lines each."""
    for number in range(1, files + 1):
        packed = gzip.compress(text(lines(number * 1000, number * 1000 + 999, length)))
        (directory / name.format(number)).write_bytes(packed)


def test_compressed_files_that_wait_to_be_read_take_little_memory(
    running_tail: Tail, tmp_path: Path
) -> None:
    running_tail.set("app.log*")
    compress_thousands(50, tmp_path, "app.log.{}.gz", length=2000)
    reading = running_tail.source.read(1)
    tracemalloc.start()
    first = next(reading)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20 << 20
    read = sum(block.count(b"\n") for block in (first, *reading))
    assert read + len(running_tail.read()) == 50_000


def test_compressed_files_that_are_read_in_turns_take_little_memory(
    running_tail: Tail, tmp_path: Path
) -> None:
    running_tail.set("*.log*")
    compress_thousands(30, tmp_path, "{}.log.1.gz", length=5000)
    tracemalloc.start()
    read = sum(block.count(b"\n") for block in running_tail.source.read(31 * BLOCK))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert running_tail.metric("open_files") == 30
    assert kept < 20 << 20
    assert read + len(running_tail.read()) == 30_000


@pytest.mark.parametrize("count", [30, 3000])
def test_d2_a_file_compressed_before_it_was_read_gives_only_the_rest(
    globbed: Tail, tmp_path: Path, count: int
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, count))
    globbed.poll()
    with globbed.down():
        append(log, lines(count + 1, 2 * count))
        log.rename(tmp_path / "app.log.1")
        append(log, line(2 * count + 1))
        compress(tmp_path / "app.log.1")
    globbed.poll()
    assert globbed.lines == lines(1, 2 * count + 1)
    assert globbed.poll() == []


def test_d2_a_copy_that_was_truncated_and_compressed_gives_only_the_rest(
    globbed: Tail, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    append(log, lines(1, 300))
    globbed.poll()
    with globbed.down():
        append(log, lines(301, 400))
        (tmp_path / "app.log.1").write_bytes(log.read_bytes())
        log.write_bytes(text(lines(401, 403)))
        compress(tmp_path / "app.log.1")
    globbed.poll()
    assert sorted(globbed.lines) == sorted(lines(1, 403))


def test_d3_positions_count_decompressed_bytes(all_logs: Tail, tmp_path: Path) -> None:
    data = text(lines(1, 3000))
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(data))
    assert all_logs.poll() == lines(1, 3000)
    (record,) = all_logs.records()
    assert record.position == len(data)


def test_d4_what_is_compressed_tells_files_apart(all_logs: Tail, tmp_path: Path) -> None:
    one = gzip.compress(text(lines(1, 30)), mtime=0)
    two = gzip.compress(text(lines(31, 60)), mtime=0)
    assert one[:10] == two[:10]
    (tmp_path / "1.log.gz").write_bytes(one)
    (tmp_path / "2.log.gz").write_bytes(two)
    all_logs.poll()
    assert sorted(all_logs.lines) == sorted(lines(1, 60))


def test_d5_a_half_written_file_is_read_on_when_it_has_grown(
    all_logs: Tail, tmp_path: Path
) -> None:
    whole = gzip.compress(text(lines(1, 3000, length=100)))
    path = tmp_path / "old.log.gz"
    for start in range(0, len(whole), 2000):
        append_raw(path, whole[start : start + 2000])
        all_logs.poll()
    assert all_logs.lines == lines(1, 3000, length=100)
    assert all_logs.metric("gzip_errors_total") == 0


def test_d5_a_temporary_file_is_left_out_until_it_has_its_name(
    all_logs: Tail, tmp_path: Path
) -> None:
    whole = gzip.compress(text(lines(1, 30)))
    temporary = tmp_path / "0.log.20260101-112911.tmp"
    append_raw(temporary, whole[:20])
    assert all_logs.poll() == []
    append_raw(temporary, whole[20:])
    temporary.rename(tmp_path / "0.log.20260101-112911.gz")
    assert all_logs.poll() == lines(1, 30)


def test_d5_half_a_compressed_file_is_not_another_one_that_was_cut(
    all_logs: Tail, tmp_path: Path
) -> None:
    banner = b"# " + b"=" * 1500
    plain, compressed = tmp_path / "app.log.1", tmp_path / "app.log.1.gz"
    compressed.write_bytes(gzip.compress(text(banner, line(1))))
    append(plain, banner, line(2))
    all_logs.poll()
    whole = gzip.compress(plain.read_bytes(), compresslevel=0)
    overwrite(compressed, whole[:1550])
    all_logs.poll()
    append_raw(compressed, whole[1550:])
    plain.unlink()
    for _ in range(3):
        all_logs.poll(after_s=10)
    assert sorted(all_logs.lines) == sorted([banner, banner, line(1), line(2)])


def test_d5_a_compressed_file_in_the_making_is_no_second_original(
    all_logs: Tail, tmp_path: Path
) -> None:
    log, path = tmp_path / "app.log.1", tmp_path / "app.log.1.gz"
    append(log, lines(1, 3000, length=100))
    all_logs.poll()
    whole = gzip.compress(log.read_bytes())
    for start in range(0, len(whole), 2000):
        append_raw(path, whole[start : start + 2000])
        assert all_logs.poll(after_s=8) == []
    log.unlink()
    for _ in range(4):
        assert all_logs.poll(after_s=40) == []


@pytest.mark.parametrize("is_checksum", [True, False])
def test_d6_what_stands_before_an_error_is_counted_once(
    all_logs: Tail, tmp_path: Path, is_checksum: bool
) -> None:
    data = text(lines(1, 3000, length=100))
    if is_checksum:
        whole = bytearray(gzip.compress(data))
        whole[-6] ^= 0xFF
    else:
        deflate = zlib.compressobj(wbits=31)
        whole = bytearray(deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))
        whole += b"\x07" * 100_000  # a block of a type that there isn't
    (tmp_path / "old.log.gz").write_bytes(whole)
    for _ in range(3):
        all_logs.poll()
    assert all_logs.lines == lines(1, 3000, length=100)
    if all_logs.mode == "running":
        assert all_logs.metric("gzip_errors_total") == 1


def test_d7_members_glued_together_are_one_content(all_logs: Tail, tmp_path: Path) -> None:
    path = tmp_path / "old.log.gz"
    append_raw(path, gzip.compress(text(lines(1, 30))[:-7]))
    assert all_logs.poll() == lines(1, 29)
    append_raw(path, bytes(512) + gzip.compress(text(lines(1, 30))[-7:]) + gzip.compress(b""))
    append_raw(path, gzip.compress(text(lines(31, 40))))
    assert all_logs.poll() == lines(30, 40)


def test_d7_empty_and_zero_filled_and_plain_files_called_gz(all_logs: Tail, tmp_path: Path) -> None:
    (tmp_path / "empty.log.gz").write_bytes(gzip.compress(b""))
    (tmp_path / "nothing.log.gz").write_bytes(b"")
    (tmp_path / "zeros.log.gz").write_bytes(bytes(5000))
    append(tmp_path / "plain.log.gz", lines(1, 3))
    assert all_logs.poll() == lines(1, 3)
    (tmp_path / "zeros.log.gz").write_bytes(gzip.compress(text(lines(4, 6))))
    assert all_logs.poll() == lines(4, 6)
    assert all_logs.metric("gzip_errors_total") == 0


def test_d7_garbage_behind_the_end_is_an_error(running_tail: Tail, tmp_path: Path) -> None:
    running_tail.set("*.gz")
    (tmp_path / "old.gz").write_bytes(gzip.compress(text(lines(1, 3))) + b"garbage")
    assert running_tail.poll() == lines(1, 3)
    running_tail.poll()
    assert running_tail.metric("gzip_errors_total") == 1


def test_d8_a_restart_in_the_middle_goes_on_there(running_tail: Tail, tmp_path: Path) -> None:
    tail = running_tail
    tail.set("*.log*", max_line_bytes=4096)
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(text(lines(1, 20_000, length=400)), 1))
    read: list[bytes] = []
    while len(read) < 20_000:
        tail.time.now += 1
        (block,) = tail.source.read(1)
        tail.commit()
        read += block.splitlines()
        tail.stop()
    assert read == lines(1, 20_000, length=400)


def test_d8_a_long_way_to_the_position_is_gone_in_steps(
    running_tail: Tail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gzipped, "STEP", 1 << 20)
    tail, path = running_tail, tmp_path / "old.log.gz"
    tail.set("*.log*")
    whole = gzip.compress(text(lines(1, 50_000, length=400)), 1)
    path.write_bytes(whole[:-100])
    tail.poll()
    with tail.down():
        path.write_bytes(whole)
    assert tail.poll() == []
    for _ in range(20):
        tail.poll()
    assert tail.lines == lines(1, 50_000, length=400)


def test_d9_a_file_that_was_read_is_not_read_again_after_a_restart(
    all_logs: Tail, tmp_path: Path
) -> None:
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(text(lines(1, 3000))))
    assert all_logs.poll() == lines(1, 3000)
    with all_logs.down():
        (tmp_path / "old.log.gz").rename(tmp_path / "renamed.log.2.gz")
    for _ in range(3):
        assert all_logs.poll(after_s=20 * 86_400) == []


def test_d9_a_file_that_was_read_is_not_kept_open(running_tail: Tail, tmp_path: Path) -> None:
    running_tail.set("*.gz")
    (tmp_path / "old.gz").write_bytes(gzip.compress(text(lines(1, 3))))
    running_tail.poll()
    running_tail.poll()
    assert running_tail.metric("open_files") == 0


def test_a_compressed_file_is_decompressed_in_bounded_memory(
    running_tail: Tail, tmp_path: Path
) -> None:
    running_tail.set("*.gz")
    deflate = zlib.compressobj(9, wbits=31)
    with (tmp_path / "bomb.gz").open("wb") as file:
        for _ in range(300):
            file.write(deflate.compress(b"x" * 1_000_000))
        file.write(deflate.compress(b"\n" + text(lines(1, 3))))
        file.write(deflate.flush())
    for _ in range(10):
        running_tail.poll()
    assert running_tail.lines == lines(1, 3)
    assert running_tail.metric("lines_too_long_total") == 1
