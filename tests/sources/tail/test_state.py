"""What is stored, and starting from it (G1, G7, G8)."""

import json
from pathlib import Path

import msgspec
import pytest

from exporter.errors import StateError
from exporter.sources.tail.content import BLOCK
from exporter.sources.tail.record import encode
from tests.sources.tail.driver import Tail, append, line, lines


@pytest.mark.parametrize("damage", ["empty", "zeros", "cut", "version", "key"])
def test_g1_a_position_that_cannot_be_decoded_is_an_error_that_names_it(
    running_tail: Tail, tmp_path: Path, damage: str
) -> None:
    tail = running_tail
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    tail.stop()
    (record,) = tail.records()
    key, value = record.key, tail.stored[record.key]
    record.version = 99
    damaged = {
        "empty": b"",
        "zeros": bytes(len(value)),
        "cut": value[:-3],
        "version": encode(record),
        "key": value,
    }
    tail.stored["0000000042" if damage == "key" else key] = damaged[damage]
    with pytest.raises(StateError, match="stored position '00000000"):
        tail.poll()


def test_g7_a_file_that_stays_idle_is_read_by_the_next_look(tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", line(1))
    assert tail.poll() == [line(1)]
    append(tmp_path / "app.log", line(2))
    append(tmp_path / "new.log", line(3))
    assert sorted(tail.poll()) == lines(2, 3)


def test_g8_lines_written_while_down_are_read_after_the_start(tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    tail.poll()
    with tail.down():
        append(tmp_path / "app.log", lines(4, 5))
        append(tmp_path / "new.log", line(6))
    assert sorted(tail.poll()) == lines(4, 6)


def test_an_idle_source_has_nothing_to_store(running_tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", lines(1, 3))
    running_tail.poll()
    running_tail.poll()
    running_tail.read()
    assert running_tail.source.positions() == {}


def test_positions_are_told_again_until_they_are_committed(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail = running_tail
    append(tmp_path / "app.log", lines(1, 3))
    tail.read()
    told = tail.source.positions()
    assert told
    assert tail.source.positions() == told
    tail.source.committed()
    assert tail.source.positions() == {}


def test_each_block_is_covered_by_the_positions_after_it(
    running_tail: Tail, tmp_path: Path
) -> None:
    tail = running_tail
    for name in ("a", "b", "c"):
        append(tmp_path / f"{name}.log", line(ord(name)))
    tail.time.now += 1
    reading = tail.source.read(1 << 20)
    first = next(reading)
    tail.commit()
    tail.stop()
    assert sorted([*tail.poll(), *first.splitlines()]) == [line(ord(one)) for one in "abc"]


def test_no_byte_of_a_log_is_stored(running_tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / "app.log", b"a secret prompt", b"x" * 5000)
    running_tail.poll()
    assert all(b"secret" not in value for value in running_tail.stored.values())
    assert all(b"xxxx" not in value for value in running_tail.stored.values())
    assert msgspec.msgpack.decode(next(iter(running_tail.stored.values())))


def test_a_budget_is_kept_and_shared(running_tail: Tail, tmp_path: Path) -> None:
    append(tmp_path / "a.log", lines(1, 20_000, length=400))
    append(tmp_path / "b.log", lines(30_001, 50_000, length=400))
    running_tail.time.now += 1
    numbers: list[int] = []
    for _ in range(4):
        blocks = list(running_tail.source.read(BLOCK))
        assert sum(len(block) for block in blocks) <= 2 * BLOCK
        numbers += [json.loads(block.split(b"\n")[0])["request"] for block in blocks]
    of_a = [number for number in numbers if number <= 20_000]
    assert 2 * len(of_a) == len(numbers)
