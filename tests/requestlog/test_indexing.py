"""The index of ids, made a part at a time: in the end it has each id once, come what may."""

import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.requestlog import indexing
from exporter.requestlog import log as log_module
from exporter.requestlog.columns import BLOCK_ROWS
from exporter.requestlog.ids import ROW_BITS
from tests.counting import MEMORY
from tests.requestlog.logging_requests import Logging, a_request, day_text, ids

STEPS = st.one_of(st.integers(1, 1500), st.sampled_from(["tend", "tend", "tend", "kill", "lose"]))


@pytest.fixture
def little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block in each go, the entries of two together."""
    monkeypatch.setattr(log_module, "MOST_UNINDEXED", 0)
    monkeypatch.setattr(log_module, "INDEX_BLOCKS", 1)
    monkeypatch.setattr(indexing, "TOGETHER", 2)


def entries(directory: Path) -> list[int]:
    database = apsw.Connection(str(directory / f"{day_text()}.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [entry for (entry,) in database.execute("select entry from ids order by entry")]
    finally:
        database.close()


@pytest.mark.usefixtures("little_at_a_time")
@example([*[BLOCK_ROWS] * 4, *["tend"] * 3, "kill", *["tend"] * 2, 10])
@example([*[BLOCK_ROWS] * 4, *["tend"] * 4, "kill", 700, *["tend"] * 9, "kill"])
@example([*[BLOCK_ROWS] * 2, *["tend"] * 9, "lose", BLOCK_ROWS, *["tend"] * 9])
@given(st.lists(STEPS, max_size=30))
@settings(max_examples=60, deadline=None)
def test_each_id_is_in_the_index_once_and_found_meanwhile(steps: list[int | str]) -> None:
    with TemporaryDirectory(dir=MEMORY) as directory:
        take(steps, Path(directory))


def take(steps: list[int | str], directory: Path) -> None:
    log = Logging(directory)
    written: list[str] = []
    before: list[str] = []
    for turn, step in enumerate([5, *steps]):
        if isinstance(step, int):
            before = list(written)
            written += [f"{turn}-{number}" for number in range(step)]
            log.write(*map(a_request, written[len(before) :]))
        elif step == "tend":
            log.log.tend()
        else:
            if step == "lose" and len(before) < len(written):
                log.batch -= 1  # The state's last commit did not last.
                written = list(before)
            log.restart()
        for request_id in {*written[:1], *written[len(written) // 2 :][:1], *written[-1:]}:
            assert ids(log.find(request_id)) == [request_id]
    log.log.finish()
    expected = ((zlib.crc32(each.encode()) << ROW_BITS) | row for row, each in enumerate(written))
    assert entries(directory) == sorted(expected)


@pytest.mark.usefixtures("little_at_a_time")
def test_a_part_is_a_range_of_the_index(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(*(a_request(f"id-{number}") for number in range(2 * BLOCK_ROWS)))
    log.log.tend()
    assert entries(tmp_path) == []
    log.log.tend()
    some = entries(tmp_path)
    log.log.tend()
    everything = entries(tmp_path)
    assert len(everything) == 2 * BLOCK_ROWS
    assert some == everything[:BLOCK_ROWS]
