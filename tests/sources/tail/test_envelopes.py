"""Lines in pieces, and in a container runtime's envelope (E1 to E11)."""

import gzip
import json
import os
from pathlib import Path

import pytest

from exporter.sources.tail.settings import TailSettings
from tests.sources.tail.driver import Tail, append, append_raw, line, lines


def cri(
    piece: bytes, tag: str = "F", stream: str = "stdout", nanoseconds: str = "123456789"
) -> bytes:
    return b"2026-01-01T11:29:11.%sZ %s %s %s" % (
        nanoseconds.encode(),
        stream.encode(),
        tag.encode(),
        piece,
    )


def docker(piece: str, stream: str = "stdout") -> bytes:
    entry = {"log": piece, "stream": stream, "time": "2026-01-01T11:29:11.123456789Z"}
    return json.dumps(entry, separators=(",", ":")).encode()


@pytest.fixture
def log(tail: Tail, tmp_path: Path) -> Path:
    """A container's log, rotated names outside of the glob, as Kubernetes' globs have it."""
    tail.set("*.log")
    return tmp_path / "0.log"


def rotate(log: Path, stamp: str = "20260101-112911") -> Path:
    return log.rename(log.with_name(f"{log.name}.{stamp}"))


def test_e1_half_a_line_waits_for_the_other_half(tail: Tail, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    append_raw(log, line(1) + b"\n" + line(2)[:20])
    assert tail.poll() == [line(1)]
    assert tail.poll(after_s=1000) == []
    append_raw(log, line(2)[20:] + b"\n")
    assert tail.poll() == [line(2)]


@pytest.mark.parametrize("glob", ["app.log", "app.log*"])
def test_e2_half_a_line_at_the_end_of_a_rotated_file_is_delivered_once(
    tail: Tail, tmp_path: Path, glob: str
) -> None:
    tail.set(glob)
    append(tmp_path / "app.log", line(1))
    tail.poll()
    append_raw(tmp_path / "app.log", line(2))
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    append(tmp_path / "app.log", line(3))
    assert tail.poll() == [line(3)]
    polled = [tail.poll(after_s=50), tail.poll(after_s=50), tail.poll(after_s=50)]
    if tail.mode == "running":
        assert polled[0] == []
    else:  # after a restart it is waited for anew; in the end it is delivered all the same
        tail.mode = "running"
        for _ in range(3):
            tail.poll(after_s=50)
    assert tail.lines == [line(1), line(3), line(2)]


def test_e2_half_a_line_at_the_end_of_a_deleted_file_is_delivered(
    running_tail: Tail, tmp_path: Path
) -> None:
    append_raw(tmp_path / "app.log", line(1))
    running_tail.poll()
    (tmp_path / "app.log").unlink()
    running_tail.poll()
    assert running_tail.poll(after_s=61) == [line(1)]
    assert running_tail.poll(after_s=61) == []
    assert running_tail.metric("open_files") == 0


def test_e2_half_a_line_at_the_end_of_a_rotated_file_outlasts_commits_that_fail(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail = running_tail
    tail.set("app.log")
    append_raw(tmp_path / "app.log", line(1))
    tail.poll()
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    append(tmp_path / "app.log", line(2))
    assert tail.poll() == [line(2)]
    for _ in range(100):
        tail.time.now += 1
        assert list(tail.source.read(0)) == []
    assert tail.poll() == [line(1)]
    assert tail.poll(after_s=61) == []
    assert tail.metric("open_files") == 1


def test_b7_half_a_line_of_a_deleted_file_is_let_go_of_when_nothing_is_read_for_long(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail = running_tail
    append_raw(tmp_path / "app.log", line(1))
    tail.poll()
    (tmp_path / "app.log").unlink()
    for _ in range(3):
        tail.time.now += 1900
        assert list(tail.source.read(0)) == []
    assert tail.metric("abandoned_bytes_total") == len(line(1))
    assert tail.metric("open_files") == 0


def test_e2_half_a_line_at_the_end_of_a_compressed_file_is_delivered(
    running_tail: Tail, tmp_path: Path
) -> None:
    running_tail.set("*.gz")
    (tmp_path / "old.gz").write_bytes(gzip.compress(line(1) + b"\n" + line(2)))
    assert running_tail.poll() == [line(1)]
    assert running_tail.poll(after_s=61) == [line(2)]
    running_tail.poll()
    assert running_tail.metric("open_files") == 0


def test_whole_lines_lose_their_envelope(tail: Tail, log: Path, tmp_path: Path) -> None:
    append(log, cri(line(1)), cri(line(2), stream="stderr"), cri(line(3), nanoseconds="5"))
    append(log, cri(b""), cri(line(4), tag="F:tag"))
    assert tail.poll() == [*lines(1, 3), b"", line(4)]
    append(tmp_path / "docker.log", docker(line(5).decode() + "\n"), docker("é\n", "stderr"))
    assert tail.poll() == [line(5), "é".encode()]


def test_e3_pieces_are_joined_by_stream(tail: Tail, log: Path) -> None:
    append(log, cri(line(1)), cri(line(2)[:9], "P"), cri(line(3)[:5], "P", "stderr"))
    append(log, cri(line(2)[9:20], "P"))
    assert tail.poll() == [line(1)]
    append(log, cri(line(3)[5:], "F", "stderr"), cri(line(4), "F", "stderr"))
    assert tail.poll() == lines(3, 4)
    append(log, cri(line(2)[20:]), cri(line(5)))
    assert tail.poll() == [line(2), line(5)]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_e4_pieces_in_two_files_are_joined(tail: Tail, log: Path, is_compressed: bool) -> None:
    append(log, cri(line(1)), cri(line(2)[:9], "P"))
    tail.poll()
    append(log, cri(line(2)[9:15], "P"))
    old = rotate(log)
    if is_compressed:
        tail.poll()
        old.with_name(old.name + ".gz").write_bytes(gzip.compress(old.read_bytes()))
        old.unlink()
    append(log, cri(line(3), stream="stderr"))
    assert tail.poll() == [line(3)]
    append(log, cri(line(2)[15:20], "P"))
    assert tail.poll() == []
    append(log, cri(line(2)[20:]), cri(line(4)))
    assert tail.poll() == [line(2), line(4)]
    assert tail.poll() == []


def test_e4_pieces_in_three_files_are_joined(tail: Tail, log: Path) -> None:
    append(log, cri(line(1)[:9], "P"))
    tail.poll()
    rotate(log, "20260101-000000")
    append(log, cri(line(1)[9:15], "P"))
    tail.poll()
    rotate(log, "20260102-000000")
    append(log, cri(line(1)[15:]), cri(line(2)))
    assert tail.poll() == lines(1, 2)


def test_e5_a_piece_whose_container_ended_is_dropped_and_counted(
    tail: Tail, log: Path, tmp_path: Path
) -> None:
    append(log, cri(line(1)), cri(line(2)[:9], "P"))
    assert tail.poll() == [line(1)]
    append(tmp_path / "1.log", cri(line(3)[20:]), cri(line(4)))
    assert tail.poll() == [line(3)[20:], line(4)]
    tail.poll()
    assert tail.metric("partial_records_dropped_total") >= 1
    assert [record.pending for record in tail.records()] == [{}, {}]
    dropped = tail.metric("partial_records_dropped_total")
    tail.poll()
    assert tail.metric("partial_records_dropped_total") == dropped


def test_e5_a_piece_whose_log_is_gone_is_dropped_and_counted(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "0.log"
    append(log, cri(line(1)[:9], "P"))
    tail.poll()
    log.unlink()
    tail.poll(after_s=30)
    assert tail.metric("partial_records_dropped_total") == 0
    tail.poll(after_s=61)
    tail.poll()
    assert tail.metric("partial_records_dropped_total") == 1


def test_e6_after_a_restart_only_the_pieces_are_read_again(tail: Tail, log: Path) -> None:
    append(log, cri(line(1)[:9], "P"))
    tail.poll()
    for number in range(2, 40):
        append(log, cri(line(number), stream="stderr"))
        assert tail.poll() == [line(number)]
        if number % 10 == 0:
            tail.stop()
    append(log, cri(line(1)[9:]))
    assert tail.poll() == [line(1)]


@pytest.mark.parametrize("is_rotated", [False, True])
def test_e7_docker_cuts_lines_anywhere(tail: Tail, log: Path, is_rotated: bool) -> None:
    whole = '{"answer":"é\\"ü"}\n'
    append(log, docker(line(1).decode() + "\n"), docker(whole[:13]), docker("a\n", "stderr"))
    assert tail.poll() == [line(1), b"a"]
    if is_rotated:
        rotate(log, "1")
    append(log, docker(whole[13:14]), docker(whole[14:]), docker(line(2).decode() + "\n"))
    assert tail.poll() == [whole[:-1].encode(), line(2)]


@pytest.mark.parametrize("nuls", [10, 4000])
def test_e8_a_record_overwritten_with_nuls_does_not_hide_the_next(
    tail: Tail, log: Path, nuls: int
) -> None:
    append(log, docker(line(1).decode() + "\n"))
    assert tail.poll() == [line(1)]
    append_raw(log, bytes(nuls) + docker(line(2).decode() + "\n")[30:] + b"\n")
    append(log, docker(line(3).decode() + "\n"))
    assert tail.poll()[-1] == line(3)


def test_e9_a_joined_line_may_be_long_but_not_too_long(tail: Tail, log: Path) -> None:
    tail.set(max_line_bytes=100_000)
    long, too_long = b"x" * 99_000, b"y" * 101_000
    for whole, number in ((long, 1), (too_long, 2)):
        for start in range(0, len(whole), 16_384):
            append(log, cri(whole[start : start + 16_384], "P"))
            tail.poll()
        append(log, cri(b""), cri(line(number)))
        tail.poll()
    assert tail.lines == [long, line(1), line(2)]
    assert tail.metric("lines_too_long_total") >= 1


def test_e9_without_end_pieces_take_no_memory_and_no_time_at_a_restart(
    tail: Tail, log: Path
) -> None:
    tail.set(max_line_bytes=1000)
    for number in range(30):
        append(log, cri(b"x" * 100, "P"), cri(line(number), stream="stderr"))
        tail.poll()
    assert tail.lines == lines(0, 29)
    (record,) = tail.records()
    assert record.pending == {"stdout": -1}
    append(log, cri(b""), cri(line(30)))
    assert tail.poll() == [line(30)]


def test_e10_kubernetes_names_by_the_hundred(tail: Tail, tmp_path: Path) -> None:
    tail.set("*/*/*.log")
    for pod in range(20):
        directory = tmp_path / f"ns_pod-{pod}_uid" / "gateway"
        directory.mkdir(parents=True)
        for run in range(10):
            log = directory / f"{run}.log"
            append(log, cri(line(pod * 100 + run)))
        append(directory / "9.log.20250101-112911", cri(b"an older file"))
        (directory / "9.log.20250101-112910.gz").write_bytes(gzip.compress(b"older still\n"))
        append(directory / "9.log.20250101-112911.tmp", b"in the making")
        for old in directory.glob("9.log.*"):
            os.utime(old, (1e9, 1e9))
    expected = [line(pod * 100 + run) for pod in range(20) for run in range(10)]
    assert sorted(tail.poll()) == sorted(expected)
    assert tail.poll() == []


def test_e10_temporary_files_are_left_out_by_default() -> None:
    assert TailSettings(paths=("x",)).exclude == ("*.tmp",)


def test_e11_a_container_may_go_on_writing_to_a_renamed_file(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail, log = running_tail, tmp_path / "0.log"
    append(log, cri(line(1)))
    tail.poll()
    old = rotate(log)
    for number in range(2, 6):
        tail.poll(after_s=900)
        append(old, cri(line(number)))
    tail.poll()
    assert tail.lines == lines(1, 5)
    with tail.down():
        append(old, cri(line(6)))
    assert tail.poll() == [line(6)]


@pytest.mark.parametrize("setting", ["none", "cri", "docker"])
def test_an_envelope_that_is_set_is_not_guessed(tail: Tail, tmp_path: Path, setting: str) -> None:
    tail.set(envelope=setting)
    append(tmp_path / "app.log", cri(line(1)), docker(line(2).decode() + "\n"))
    expected = {
        "none": [cri(line(1)), docker(line(2).decode() + "\n")],
        "cri": [line(1), docker(line(2).decode() + "\n")],
        "docker": [cri(line(1)), line(2)],
    }
    assert tail.poll() == expected[setting]


def test_an_envelope_is_found_behind_damaged_lines(tail: Tail, log: Path) -> None:
    append(log, b"damaged", b"", cri(line(1)))
    assert tail.poll() == [b"damaged", b"", line(1)]


def test_a_gateways_own_log_field_is_no_envelope(tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", b'{"log":"x","level":"info"}', b'{"log":{"a":1}}')
    assert tail.poll() == [b'{"log":"x","level":"info"}', b'{"log":{"a":1}}']
