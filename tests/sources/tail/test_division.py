"""Files divided among processes: each has one, a log and its rotated files the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from exporter.sources.tail import TailMetrics, TailSettings, TailSource
from exporter.sources.tail.discovery import Found, State
from exporter.sources.tail.division import (
    Assigned,
    AssignedShare,
    Division,
    divided,
    gathered,
    log_of,
)
from exporter.sources.tail.record import VERSION, FileId, FileRecord, decode, encode
from exporter.sources.tail.records import STARTED
from exporter.sources.tail.share import Share
from tests.sources.tail.driver import append, line, lines, overwrite, text

ROTATED = [
    "/d/app.log.1",
    "/d/app.log.12.gz",
    "/d/app.log-20260101",
    "/d/app.log-20260101.gz",
    "/d/app.log-1767225600",
    "/d/app.log.2026-01-01_11-29-11",
    "/d/app-2026-01-01T11-29-11.123.log",
    "/d/app-2026-01-01T11-29-11.123.log.gz",
    "/d/app-20260101.log",
    "/d/app.2026-01-01.log",
    "/d/app.2026-01-01.3.log.gz",
    "/d/app-01-31-2026-1.log",
    "/d/app_2026-01-01-11.log",
    "/d/app.1.log",
]


@pytest.mark.parametrize("path", ROTATED)
def test_a_log_is_told_by_its_rotated_names_wherever_the_date_stands(path: str) -> None:
    assert log_of(path) == log_of("/d/app.log")


def test_all_runs_of_a_container_are_one_log_and_numbered_logs_are_several() -> None:
    runs = ["/pods/p/c/0.log", "/pods/p/c/1.log", "/pods/p/c/0.log.20260101-112911"]
    assert len(set(map(log_of, runs))) == 1
    assert log_of("/pods/p/c/0.log") != log_of("/pods/q/c/0.log")
    assert len({log_of(f"/d/gateway-{number}.jsonl") for number in range(20)}) == 20
    assert log_of("/d/gpt-4.1.jsonl") != log_of("/d/gpt-4o.jsonl")


class Processes:
    """All shares of a source, on files that are told of by hand."""

    def __init__(self, count: int) -> None:
        self.told: Sequence[Assigned] = ()
        self.division = Division(count, self._tell)
        self.others = [AssignedShare() for _ in range(1, count)]
        self.files: dict[FileId, Found] = {}

    def _tell(self, source: str, parts: Sequence[Assigned]) -> None:
        assert source == "log"
        self.told = parts
        for share, files in zip(self.others, parts[1:], strict=True):
            share.files = files

    def put(self, path: str, inode: int, size: int = 100) -> None:
        self.files[1, inode] = Found(path, (1, inode), State(size, 0))

    def look(self) -> dict[FileId, int]:
        """Who reads each file."""
        shares: list[Share] = [self.division.of("log"), *self.others]
        owners: dict[FileId, int] = {}
        for number, share in enumerate(shares):
            for file_id in share.of(self.files):
                assert file_id not in owners, "a file that two read is counted twice"
                owners[file_id] = number
        assert owners.keys() == self.files.keys(), "a file that nobody reads is lost"
        return owners


def test_new_logs_are_dealt_out_evenly() -> None:
    processes = Processes(3)
    for number in range(9):
        processes.put(f"/d/gateway-{number}.jsonl", number)
    owners = processes.look()
    assert sorted(owners.values()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert processes.look() == owners


def test_a_log_keeps_its_process_over_rotation_of_every_kind() -> None:
    processes = Processes(4)
    for number in range(8):
        processes.put(f"/d/gateway-{number}.jsonl", number)
    before = processes.look()
    processes.put("/d/gateway-3.jsonl.1", 3, size=150)  # renamed
    processes.put("/d/gateway-3.jsonl", 100, size=0)  # and begun anew
    processes.put("/d/gateway-4-20260101.jsonl", 101)  # copied
    processes.put("/d/gateway-4.jsonl", 4, size=0)  # and truncated
    processes.put("/d/gateway-5.bak", 5)  # renamed to a name that tells nothing
    after = processes.look()
    assert after[1, 3] == after[1, 100] == before[1, 3]
    assert after[1, 4] == after[1, 101] == before[1, 4]
    assert after[1, 5] == before[1, 5]


def test_an_inode_that_is_used_again_goes_where_its_log_goes() -> None:
    processes = Processes(2)
    processes.put("/d/a.log", 1, size=1000)
    processes.put("/d/b.log", 2, size=1000)
    before = processes.look()
    assert before[1, 1] != before[1, 2]
    del processes.files[1, 2]
    processes.files.pop((1, 1))
    processes.put("/d/b.log", 1, size=10)
    assert processes.look() == {(1, 1): before[1, 2]}


def a_record(serial: int, path: str, inode: int, seen: float = 1.0, position: int = 100) -> bytes:
    record = FileRecord(VERSION, serial, path, path, 0.0, 1, inode, seen=seen, position=position)
    return encode(record)


def test_whoever_has_the_record_of_a_log_reads_it_after_a_restart() -> None:
    processes = Processes(2)
    for number in range(6):
        key = f"{number + 1:010d}"
        value = a_record(number + 1, f"/d/gateway-{number}.jsonl", number)
        processes.division.know("log", 0 if number < 4 else 1, {STARTED: b"\x01", key: value})
    for number in range(6):
        processes.put(f"/d/gateway-{number}.jsonl", number)
    processes.put("/d/odd.jsonl", 5)  # renamed meanwhile
    processes.put("/d/gateway-5.jsonl", 6)
    processes.put("/d/new.jsonl", 7)
    assert [owner for _, owner in sorted(processes.look().items())] == [0, 0, 0, 0, 1, 1, 1, 1]


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["write", "rename", "copy", "truncate", "delete"]),
                st.integers(0, 3),
                st.sampled_from(["{}.log.1", "{}-20260101.log", "odd-{}.log", "{}.log"]),
            ),
            max_size=4,
        ),
        max_size=12,
    ),
)
def test_no_file_is_ever_read_by_two_or_by_nobody(
    count: int, looks: Sequence[Sequence[tuple[str, int, str]]]
) -> None:
    processes = Processes(count)
    for number in range(4):
        processes.put(f"/d/gateway-{number}.log", number, size=500)
    by_path = {f"/d/gateway-{number}.log": number for number in range(4)}
    for steps in looks:
        for what, number, name in steps:
            path, other = f"/d/gateway-{number}.log", "/d/" + name.format(f"gateway-{number}")
            inode = by_path.get(path)
            if what == "rename" and inode is not None:
                by_path[other] = by_path.pop(path)
            elif what == "copy" and inode is not None:
                by_path[other] = _free(by_path)
            elif what == "delete":
                by_path.pop(path, None)
            elif what == "write" and inode is None:
                by_path[path] = _free(by_path)
            sizes = {one: found.state.size for one, found in processes.files.items()}
            processes.files.clear()
            for one, of in by_path.items():
                cut = what == "truncate" and one == path
                processes.put(one, of, 10 if cut else sizes.get((1, of), 100) + 1)
        processes.look()


def _free(by_path: Mapping[str, int]) -> int:
    """An inode, maybe of a file that was deleted."""
    return next(inode for inode in range(100) if inode not in by_path.values())


@settings(deadline=None)
@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=12))
def test_positions_are_divided_by_log_and_gathered_again_without_loss(
    processes: int, files: Sequence[tuple[int, bool]]
) -> None:
    positions = {STARTED: b"\x01"}
    for serial, (log, is_rotated) in enumerate(files, 1):
        path = f"/d/gateway-{log}.log" + (f".{serial}" if is_rotated else "")
        positions[f"{serial:010d}"] = a_record(serial, path, serial, seen=serial)
    parts = divided(positions, processes)
    assert len(parts) == processes
    assert all(part[STARTED] == b"\x01" for part in parts)
    logs = [{log_of(record.lineage) for record in _records(part)} for part in parts]
    assert sum(map(len, logs)) == len({log for log, _ in files})
    assert max(map(len, logs)) - min(map(len, logs)) <= 1
    whole = gathered(parts)
    assert all(record.key == key for key, record in _by_key(whole).items())
    assert sorted(r.inode for r in _records(whole)) == sorted(r.inode for r in _records(positions))
    assert gathered([positions, {}]) == positions


def _by_key(positions: Mapping[str, bytes]) -> dict[str, FileRecord]:
    return {key: decode(key, value) for key, value in positions.items() if key != STARTED}


def _records(positions: Mapping[str, bytes]) -> list[FileRecord]:
    return list(_by_key(positions).values())


def test_what_was_rotated_before_anybody_looked_at_its_log_is_not_read_by_all(
    tmp_path: Path,
) -> None:
    other = AssignedShare()

    def tell(_: str, parts: Sequence[Assigned]) -> None:
        other.files = parts[1]

    tailing = TailSettings(paths=(f"{tmp_path}/app.log",), discover_interval_s=0)
    sources = [
        TailSource("log", tailing, {}, TailMetrics(CollectorRegistry()), share=share)
        for share in (Division(2, tell).of("log"), other)
    ]

    def read() -> list[bytes]:
        return [block for source in sources for block in source.read(1 << 20)]

    assert read() == []
    append(tmp_path / "app.log", line(1))
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    assert read() == []
    append(tmp_path / "app.log", line(2))
    assert read() == [text(line(2))]


class OneLog:
    """The share of a process that reads one log."""

    has_pipes = is_whole = False

    def __init__(self, path: Path) -> None:
        self._log = log_of(str(path))

    def of(self, files: Mapping[FileId, Found]) -> Mapping[FileId, Found]:
        return {key: each for key, each in files.items() if log_of(each.path) == self._log}


def test_a_file_of_another_process_is_not_read_for_its_inode(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours.log", tmp_path / "others.log"
    tailing = TailSettings(paths=(f"{tmp_path}/*.log",))
    processes: list[tuple[Share, dict[str, bytes]]] = [(OneLog(ours), {}), (OneLog(others), {})]

    def read() -> list[bytes]:
        blocks: list[bytes] = []
        for share, known in processes:
            metrics = TailMetrics(CollectorRegistry())
            source = TailSource("log", tailing, known, metrics, share=share)
            blocks += source.read(1 << 20)
            known |= {key: value for key, value in source.positions().items() if value}
            source.close()
        return blocks

    append(ours, line(1))
    append(others, line(2))
    assert read() == [text(line(1)), text(line(2))]
    ours.rename(tmp_path / "ours.log.1")
    append(ours, line(3))
    assert read() == [text(line(3))]
    others.rename(tmp_path / "others.log.2")
    (tmp_path / "ours.log.1").rename(others)
    overwrite(others, text(lines(4, 20)))
    assert read() == [text(lines(4, 20))]
    others.rename(tmp_path / "others.log.1")
    append(others, line(21))
    assert read() == [text(line(21))]
