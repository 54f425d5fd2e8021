"""What is kept: across crashes, days, damage and limits."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from exporter.errors import StateError
from exporter.requestlog import day, names
from exporter.requestlog import log as log_module
from exporter.requestlog.columns import BLOCK_ROWS
from exporter.requestlog.filter import Filter
from exporter.requestlog.log import INDEX_BLOCKS
from tests.requestlog.logging_requests import DAY_S, NOON, Logging, a_request, day_text, ids


def everything(log: Logging) -> list[str]:
    found = [r.request_id for table in log.search.export(Filter()) for r in table.requests()]
    return sorted(map(str, found))


def test_a_batch_that_the_state_does_not_know_of_is_taken_back_at_start(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(*[a_request(f"kept-{n:04}") for n in range(1500)])
    lost = [a_request(f"lost-{n}") for n in range(1000)]
    log.add(*lost)  # fills a block together with the rows before it
    log.log.commit(log.batch + 1)
    log.restart()
    assert everything(log) == [f"kept-{n:04}" for n in range(1500)]
    log.write(*lost)
    assert len(everything(log)) == 2500
    assert len(set(everything(log))) == 2500


def test_a_batch_is_taken_back_from_each_of_its_days(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("kept"), a_request("kept too", NOON - DAY_S))
    lost = [
        a_request("lost"),
        a_request("lost too", NOON - DAY_S),
        a_request("far", NOON - 5 * DAY_S),
    ]
    log.add(*lost)
    log.log.commit(log.batch + 1)
    log.restart()
    assert everything(log) == ["kept", "kept too"]


def test_what_is_taken_back_is_no_longer_found_by_its_id(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("kept"))
    log.add(a_request("lost"))
    log.log.commit(log.batch + 1)
    log.log.finish()  # its id is in the index
    log.restart()
    assert log.find("lost") == []
    assert ids(log.find("kept")) == ["kept"]
    log.write(a_request("lost"))  # the line is read again, and gets the same row
    log.log.finish()
    assert ids(log.find("lost")) == ["lost"]


def test_a_commit_that_is_tried_again_adds_nothing_twice(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.add(a_request("once"), a_request("then", NOON - DAY_S))
    log.log.commit(1)
    log.log.commit(1)  # the state's commit failed in between
    log.batch = 1
    log.log.committed()
    assert everything(log) == ["once", "then"]


def test_rows_of_another_state_are_kept(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    for n in range(3):
        log.write(a_request(f"before-{n}"))
    log.batch = 0  # the state was lost, and begins anew
    log.restart(state="another")
    log.write(a_request("after"))
    assert everything(log) == ["after", "before-0", "before-1", "before-2"]


def test_many_small_commits_become_few_blocks(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    for n in range(100):
        log.write(a_request(f"{n:03}"))
    assert everything(log) == [f"{n:03}" for n in range(100)]
    database = sqlite3.connect(tmp_path / f"{day_text()}.db")
    assert database.execute("select count(*) from blocks").fetchone()[0] <= 33
    database.close()


def test_a_request_goes_to_the_day_on_which_it_started(tmp_path: Path) -> None:
    midnight = NOON - 12 * 3600
    log = Logging(tmp_path)
    log.write(a_request("before", midnight - 0.001), a_request("at", midnight))
    assert [p.name for p in sorted(tmp_path.glob("*.db"))] == [
        f"{day_text(1)}.db",
        f"{day_text()}.db",
    ]
    assert ids(log.search.page(Filter(), 10).requests) == ["at", "before"]


@pytest.mark.parametrize("start", [float("nan"), NOON + DAY_S, -1.0, 1e300])
def test_a_start_that_is_unknown_or_impossible_is_the_arrival(tmp_path: Path, start: float) -> None:
    log = Logging(tmp_path, now=NOON + 60)
    log.write(a_request("odd", start))
    [found] = log.find("odd")
    assert found.start_time == "2026-11-23T12:01:00.000000Z"


def test_days_beyond_the_retention_are_deleted_and_late_requests_for_them_dropped(
    tmp_path: Path,
) -> None:
    log = Logging(tmp_path, days=2)
    log.write(a_request("today"), a_request("oldest", NOON - 2 * DAY_S))
    log.write(a_request("too late", NOON - 3 * DAY_S))
    assert everything(log) == ["oldest", "today"]
    assert log.value("rows_dropped_total", reason="expired") == 1
    log.now += DAY_S
    log.log.tend()
    assert everything(log) == ["today"]
    assert not list(tmp_path.glob(f"{day_text(2)}*"))


@pytest.mark.fault("clock that jumps back")
def test_a_clock_that_was_ahead_does_not_hold_the_retention_up(tmp_path: Path) -> None:
    log = Logging(tmp_path, days=2)
    log.now += 10 * DAY_S
    log.log.tend()
    log.now -= 10 * DAY_S
    log.write(a_request("today"), a_request("oldest", NOON - 2 * DAY_S))
    log.now += DAY_S
    log.log.tend()
    assert everything(log) == ["today"]


def test_the_oldest_days_go_when_the_size_limit_is_reached(tmp_path: Path) -> None:
    log = Logging(tmp_path, max_bytes=400_000)
    for ago in (3, 2, 1, 0):
        log.write(*[a_request(f"{ago}-{n}" * 20, NOON - ago * DAY_S) for n in range(1500)])
    log.log.tend()
    kept = {name[0] for name in everything(log)}
    assert "0" in kept
    assert "3" not in kept
    assert 0 < (log.value("bytes") or 0) <= 400_000


def test_a_day_that_cannot_be_indexed_holds_up_no_other_and_no_retention(tmp_path: Path) -> None:
    log = Logging(tmp_path, days=2)
    log.write(*[a_request(f"{days}", NOON - days * DAY_S) for days in (2, 1, 0)])
    damaged = apsw.Connection(str(tmp_path / f"{day_text(1)}.db"))
    damaged.execute("drop table ids")
    damaged.close()
    log.now += DAY_S
    for _ in range(4):
        log.log.tend()
    assert {path.name for path in tmp_path.iterdir() if day_text(1) not in path.name} == {
        f"{day_text(0)}.db"  # the oldest is deleted, this one closed
    }


def test_today_deleted_by_hand_does_not_end_the_retention(tmp_path: Path) -> None:
    log = Logging(tmp_path, days=2)
    log.write(a_request("old", NOON - 2 * DAY_S), a_request("now"))
    for path in tmp_path.glob(f"{day_text()}.db*"):
        path.unlink()
    log.now += DAY_S
    log.log.tend()
    assert list(tmp_path.glob("*.db")) == []


def test_today_alone_may_fill_the_log_and_then_requests_are_dropped_and_counted(
    tmp_path: Path,
) -> None:
    log = Logging(tmp_path, max_bytes=50_000)
    log.write(*[a_request(f"{n}" * 20) for n in range(2000)])
    log.log.tend()
    log.write(a_request("no room"))
    assert log.value("rows_dropped_total", reason="full") == 1
    assert "no room" not in everything(log)
    log.now += 15 * DAY_S
    log.log.tend()
    log.write(a_request("room again", log.now))
    assert everything(log) == ["room again"]


def test_a_day_that_is_over_is_indexed_little_by_little_and_closed(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    rows = BLOCK_ROWS * INDEX_BLOCKS + 5
    log.write(*[a_request(f"id-{n}") for n in range(rows)])
    log.log.tend()
    assert _indexed(tmp_path) == 0
    log.now = NOON + DAY_S
    for _ in range(2):
        log.log.tend()
        assert _indexed(tmp_path) == 0
    log.log.tend()
    assert _indexed(tmp_path) == rows
    log.log.tend()
    assert not list(tmp_path.glob("*-wal"))
    assert _indexed(tmp_path) == rows
    log.write(a_request("late"))
    assert ids(log.find("late")) == ["late"]
    assert ids(log.find("id-17")) == ["id-17"]


def test_days_that_are_over_are_closed_right_after_the_start(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(*[a_request(f"{ago}", NOON - ago * DAY_S) for ago in range(10)])
    log.log.finish()
    log.restart()
    assert {path.stem for path in tmp_path.glob("*-wal")} == {day_text()}


def test_a_day_without_ids_is_closed_as_any_other(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(*[a_request("") for _ in range(10)])
    log.now = NOON + DAY_S
    log.log.tend()
    log.log.tend()
    assert not list(tmp_path.glob("*-wal"))
    assert _indexed(tmp_path) == 10


def test_a_very_busy_day_is_indexed_while_it_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "MOST_UNINDEXED", BLOCK_ROWS)
    log = Logging(tmp_path)
    rows = (INDEX_BLOCKS + 4) * BLOCK_ROWS
    log.write(*[a_request(f"id-{n}") for n in range(rows)])
    for _ in range(3):
        log.log.tend()
    assert _indexed(tmp_path) == rows
    log.write(a_request("next"))
    for wanted in ("id-17", f"id-{rows - 1}", "next"):
        assert ids(log.find(wanted)) == [wanted]


def _indexed(directory: Path) -> int:
    database = apsw.Connection(str(directory / f"{day_text()}.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found: list[Any] = database.execute(
            "select value from facts where name = 'indexed'"
        ).fetchall()
        return int(found[0][0])
    finally:
        database.close()


def test_more_kinds_than_a_dictionary_has_room_for_are_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MOST_NAMES", 4)
    log = Logging(tmp_path)
    log.write(*[a_request(f"{n}", model=f"model-{n}") for n in range(6)])
    models = {r.request_id: r.model for r in log.search.page(Filter(), 10).requests}
    assert models == {
        "0": "model-0", "1": "model-1", "2": "model-2", "3": "other", "4": "other", "5": "other",
    }  # fmt: skip
    log.restart()
    log.write(a_request("6", model="model-6"), a_request("7", model="model-1"))
    models = {r.request_id: r.model for r in log.search.page(Filter(), 10).requests}
    assert (models["6"], models["7"]) == ("other", "model-1")


@pytest.mark.parametrize("restarts", [False, True])
def test_a_name_that_was_forgotten_is_a_name_like_any_other_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    for module in (names, day):
        monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    log = Logging(tmp_path)
    log.write(*[a_request(f"{n}", model=f"model-{n}") for n in range(5)])
    log.kinds.clear()
    if restarts:
        log.restart()
    log.write(a_request("5", model="model-0"), a_request("6", model="model-4"))

    assert ids(log.search.page(Filter(models=["model-0"]), 9).requests) == ["5", "0"]
    counted = log.search.counts(Filter()).kinds
    assert {kind.model: requests for kind, requests in counted.items()} == {
        "model-0": 2, "model-1": 1, "model-2": 1, "model-3": 1, "model-4": 2
    }  # fmt: skip
    assert _names(tmp_path) == [0, 1, 2, 3, 4, 0]


def _names(directory: Path) -> list[int]:
    """Numbers of the models that a day's kinds have, in the order of its dictionary."""
    database = apsw.Connection(str(directory / f"{day_text()}.db"), flags=apsw.SQLITE_OPEN_READONLY)
    query = "select value from names where dictionary = 0 order by number"
    found = [json.loads(text)[0] for (text,) in database.execute(query)]
    database.close()
    return [int(model.removeprefix("model-")) for model in found]


@pytest.mark.fault("damaged day of the request log")
def test_a_damaged_day_is_moved_aside_and_the_others_are_shown(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("today"), a_request("yesterday", NOON - DAY_S))
    log.log.close()
    (tmp_path / f"{day_text(1)}.db").write_bytes(b"damaged" * 1000)
    log.restart()
    assert everything(log) == ["today"]
    assert list(tmp_path.glob(f"{day_text(1)}.db.corrupt-*"))


def damage_a_block(log: Logging) -> None:
    log.damage(1)


def damage_a_page(log: Logging) -> None:
    """While the log is closed: it does not look at that page when it opens the day."""
    log.log.close()
    path = log.directory / f"{day_text()}.db"
    database = apsw.Connection(str(path))
    query = "select rootpage, page_size from sqlite_schema, pragma_page_size where name = 'columns'"
    found: list[Any] = database.execute(query).fetchall()
    page, size = found[0]
    database.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"x" * size
    path.write_bytes(content)
    log.restart()


@pytest.mark.fault("damaged day of the request log")
@pytest.mark.parametrize("damage", [damage_a_block, damage_a_page])
def test_a_day_that_proves_to_be_damaged_holds_nothing_up_and_begins_anew(
    tmp_path: Path, damage: Callable[[Logging], None]
) -> None:
    log = Logging(tmp_path)
    for n in range(3):
        log.write(a_request(f"before-{n}"))
    damage(log)
    written = [f"{n:02}" for n in range(day.MOST_SMALL_BLOCKS)]
    for name in written:
        log.write(a_request(f"today-{name}"), a_request(f"yesterday-{name}", NOON - DAY_S))
    found = everything(log)
    today = [name.removeprefix("today-") for name in found if name.startswith("today-")]
    assert today
    assert found == [
        *(f"today-{name}" for name in written[-len(today) :]),
        *(f"yesterday-{name}" for name in written),
    ]
    assert len(list(tmp_path.glob(f"{day_text()}.db.corrupt-*"))) == 1


def test_a_batch_that_begins_a_damaged_day_anew_is_taken_back_as_any_other(
    tmp_path: Path,
) -> None:
    log = Logging(tmp_path)
    for n in range(day.MOST_SMALL_BLOCKS):
        log.write(a_request(f"before-{n}"))
    log.write(a_request("kept", NOON - DAY_S))
    log.damage(1)
    batch = a_request("again"), a_request("again too", NOON - DAY_S)
    log.add(*batch)
    for _ in range(2):  # The state's commit fails after the first one.
        log.log.commit(log.batch + 1)
        assert everything(log) == ["kept"]
    log.restart()
    assert everything(log) == ["kept"]
    log.write(*batch)
    assert everything(log) == ["again", "again too", "kept"]


@pytest.mark.fault("state of another version")
def test_a_file_of_a_later_format_is_a_refusal_that_names_it(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("today"))
    log.log.close()
    path = tmp_path / f"{day_text()}.db"
    database = sqlite3.connect(path)
    database.execute("pragma user_version = 2")
    database.close()
    with pytest.raises(StateError, match=rf"{path}: a request log of format 2, .* writes 1"):
        log.restart()
    with pytest.raises(StateError, match="of format 2, not 1"):
        everything(log)


def test_a_commit_that_cannot_be_written_is_an_os_error_and_loses_nothing(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    log.write(a_request("first"))
    log.add(a_request("second"))
    path = tmp_path / f"{day_text()}.db"
    other = apsw.Connection(str(path))
    other.execute("begin immediate")
    with pytest.raises(OSError, match=f"request log: {path}: .*locked"):
        log.commit()
    other.close()
    log.commit()
    assert everything(log) == ["first", "second"]


def test_kinds_may_be_forgotten_between_two_batches(tmp_path: Path) -> None:
    log = Logging(tmp_path)
    for model in ("one", "two"):
        log.write(a_request(model, model=model))
        log.kinds.clear()
    assert {r.request_id: r.model for r in log.search.page(Filter(), 9).requests} == {
        "one": "one",
        "two": "two",
    }


def test_half_a_surrogate_pair_from_a_client_does_no_harm(tmp_path: Path) -> None:
    log = Logging(tmp_path, attributes=["team"])
    log.write(a_request("id-\ud800", model="\udcff", attributes=("\ud800x",)))
    [found] = log.search.page(Filter(), 9).requests
    assert (found.request_id, found.model, found.attributes) == ("id-?", "?", {"team": "?x"})


@pytest.mark.scenario("G6")
def test_readers_cannot_make_the_write_ahead_log_grow_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day, "MOST_LOG_BYTES", 1 << 16)
    log = Logging(tmp_path)
    log.write(a_request("first"))
    write_ahead = tmp_path / f"{day_text()}.db-wal"

    def write_much() -> None:
        for number in range(20):
            log.write(*(a_request(f"id-{number}-{row}" * 4) for row in range(100)))
        log.log.tend()

    reader = apsw.Connection(str(tmp_path / f"{day_text()}.db"))
    reader.execute("begin")
    reader.execute("select * from facts").fetchall()
    write_much()
    assert write_ahead.stat().st_size > 1 << 16, "what a reader still sees must stay"
    reader.close()
    write_much()
    assert write_ahead.stat().st_size <= 1 << 16
    assert len(log.search.page(Filter(), 10).requests) == 10
