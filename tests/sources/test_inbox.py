"""What waits between event loops and the pipeline: bounded, in order, and never twice."""

import threading
from pathlib import Path
from unittest.mock import patch

import pytest

from exporter.config import Config
from exporter.documents import load
from exporter.engine import Engine, Metrics
from exporter.record import Kinds
from exporter.sources.inbox import RECORDS_A_BATCH, Inbox, Inboxes, RecordSource
from exporter.store.state import StateStore
from tests.counting import a_kind, a_record
from tests.waiting import wait_until


def an_inbox(capacity: int = 10) -> Inbox[object]:
    return Inbox(capacity, threading.Event())


def test_items_come_out_as_they_went_in() -> None:
    inbox = an_inbox()
    for item in "abc":
        assert inbox.offer(item)
    assert (inbox.take(2), inbox.take(2), inbox.take(2)) == (["a", "b"], ["c"], [])


def test_a_full_inbox_takes_nothing_until_there_is_room() -> None:
    inbox = an_inbox(capacity=10)
    assert inbox.offer("large", 8)
    assert not inbox.offer("more", 3)
    assert inbox.take(1) == ["large"]
    assert inbox.offer("more", 3)


def test_what_is_larger_than_the_inbox_is_let_in_alone() -> None:
    inbox = an_inbox(capacity=10)
    assert inbox.offer("huge", 50)
    assert not inbox.offer("small", 1)
    assert inbox.take(9) == ["huge"]


def test_only_what_is_urgent_wakes_the_pipeline() -> None:
    inboxes = Inboxes()
    inbox = inboxes.of_pushes("push")
    inbox.offer("later")
    assert not inboxes.arrived.is_set()
    inbox.offer("now", urgent=True)
    assert inboxes.arrived.is_set()


def test_a_source_finds_its_inbox_again_with_what_is_in_it() -> None:
    inboxes = Inboxes()
    before = a_record(a_kind())
    inboxes.of_records("edge", ()).offer(before)
    assert inboxes.of_pushes("edge").take(5) == []
    assert inboxes.of_records("other", ()).take(5) == []
    assert inboxes.of_records("edge", ()).take(5) == [before]


def test_nothing_is_lost_between_threads() -> None:
    inbox = an_inbox(capacity=10_000)
    threads = [
        threading.Thread(target=lambda n=n: [inbox.offer((n, i)) for i in range(1000)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    taken: list[object] = []
    while len(taken) < 4000:
        taken += inbox.take(100)
    for thread in threads:
        thread.join(5)
    assert len(set(taken)) == 4000
    assert inbox.size == 0


PROXY = "{name: edge, proxy: {listen: '127.0.0.1:0', upstream: 'http://127.0.0.1:1'}}"
TAIL = "{name: log, tail: {paths: [/x], format: records, poll_interval: 1m}}"
PUSH = "{name: push, ingest: {}}"


@pytest.mark.parametrize(
    ("sources", "commit_interval", "poll_interval_s"),
    [
        ([PROXY], "50ms", 0.05),
        ([PROXY], "60s", 1.0),
        ([PROXY, TAIL], "60s", 1.0),
        ([PUSH, TAIL], "1s", 60.0),
        ([PUSH], "50ms", 0.05),
    ],
)
def test_what_was_watched_is_looked_at_often_and_a_log_as_its_source_says(
    tmp_path: Path, sources: list[str], commit_interval: str, poll_interval_s: float
) -> None:
    text = (
        f"state_dir: {tmp_path}\ncommit_interval: {commit_interval}\n"
        f"sources: [{', '.join(sources)}]\n"
    )
    store = StateStore(tmp_path)
    with patch("exporter.engine.Pipeline") as pipeline:
        Engine(load(Path("config.yaml"), Config, text), store, Metrics(), Inboxes())
    store.close()
    assert pipeline.call_args.kwargs["poll_interval_s"] == poll_interval_s


def test_what_waits_for_a_late_commit_waits_in_no_inbox(tmp_path: Path) -> None:
    text = f"state_dir: {tmp_path}\ncommit_interval: 60s\nsources: [{PROXY}]\n"
    inboxes, store = Inboxes(), StateStore(tmp_path)
    engine = Engine(load(Path("config.yaml"), Config, text), store, Metrics(), inboxes)
    inbox = inboxes.of_records("edge", ())
    engine.start()
    try:
        for _ in range(3):
            inbox.offer(a_record(a_kind()))
            wait_until(lambda: len(inbox) == 0)
        assert store.batch <= 1
    finally:
        engine.stop(10)
        store.close()


def test_records_become_batches_of_what_is_known() -> None:
    kinds = Kinds()
    inboxes = Inboxes()
    inbox = inboxes.of_records("edge", ())
    kind = a_kind(streamed=True)
    record = a_record(
        kind,
        request_id="one",
        start_time=1_790_000_000.5,
        latency=2.0,
        time_to_first_token=0.5,
        input_tokens=7,
        output_tokens=3,
    )
    for _ in range(RECORDS_A_BATCH):
        inbox.offer(record)
    inbox.offer(record._replace(request_id="last", time_to_first_token=9.0, latency=None))
    source = RecordSource("edge", inboxes, kinds)
    first, second = source.read(1)
    assert (first.lines, second.lines) == (RECORDS_A_BATCH, 1)
    assert next(first.batch.records()) == record._replace(total_tokens=10.0)
    (last,) = second.batch.records()
    assert (last.request_id, last.latency, last.time_to_first_token) == ("last", None, None)
    assert list(source.read(1)) == []


def test_nothing_is_taken_out_while_commits_fail() -> None:
    inboxes = Inboxes()
    inboxes.of_records("edge", ()).offer(a_record(a_kind()))
    source = RecordSource("edge", inboxes, Kinds())
    assert list(source.read(0)) == []
    assert len(list(source.read(1))) == 1


@pytest.mark.parametrize(
    ("values", "attributes"),
    [(("search",), ("", "search")), (("search", "of a task from before"), ("", ""))],
)
def test_a_record_from_before_a_change_keeps_the_attributes_that_still_have_their_name(
    values: tuple[str, ...], attributes: tuple[str, ...]
) -> None:
    inboxes = Inboxes()
    source = RecordSource("edge", inboxes, Kinds(), ("workspace", "team"))
    inboxes.of_records("edge", ("team",)).offer(a_record(a_kind(attributes=values)))
    (decoded,) = source.read(1)
    (record,) = decoded.batch.records()
    assert record.kind.attributes == attributes
