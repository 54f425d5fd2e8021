"""From a source's lines to series: committed, then published, counted once."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from exporter import pipeline
from exporter.formats.compile import Decoded, Decoder
from exporter.formats.lines import INVALID_JSON, NO_MATCH
from exporter.ledger import Ledger
from exporter.pipeline import Pipeline
from exporter.store import state
from exporter.store.state import StateStore
from exporter.vocabulary import REQUEST_DURATION, REQUESTS, TOKENS
from tests.feeding import HeldSource, feeding, line
from tests.waiting import wait_until

A_TURN = line(request_id="x" * pipeline.READ_BUDGET)
"""As much as a source may give at once."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a locked file."""
    monkeypatch.setattr(state, "BUSY_TIMEOUT_MS", 1)


@pytest.fixture
def source() -> HeldSource:
    return HeldSource("gateway")


class Trickle(HeldSource):
    """Has one more line each time that it is asked."""

    def read(self, budget: int) -> Iterator[bytes]:
        self.blocks.append(line())
        return super().read(budget)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Somebody else holds the state's file."""
    other = apsw.Connection(str(directory / "state.db"))
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.execute("rollback")
        other.close()


@contextmanager
def running(target: Pipeline) -> Iterator[None]:
    """A pipeline in a thread of its own; stopped in the end, and gone soon."""
    thread = threading.Thread(target=target.run)
    thread.start()
    try:
        yield
    finally:
        target.stop()
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize("details", [True, False])
def test_lines_become_series_and_positions(
    tmp_path: Path, source: HeldSource, details: bool
) -> None:
    source.blocks = [line(input_tokens=5) * 2, line(input_tokens=7, request_id="a", latency_s=0.1)]
    with feeding(tmp_path, source, details=details) as fed:
        assert fed.pipeline.step() is False
        assert fed.value(TOKENS, gen_ai_token_type="input") == 17
        assert fed.store.positions("gateway") == {"log": b"2"}
        assert source.durable == 2
        assert fed.pipeline.has_committed.is_set()
        shown = next(f for f in fed.ledger.snapshot() if f.instrument is REQUEST_DURATION).exemplars
        assert [exemplar.request_id for exemplar in shown[0].values()] == ["a"]


@pytest.mark.parametrize("details", [True, False])
def test_a_block_without_requests_takes_no_exemplar_away(
    tmp_path: Path, source: HeldSource, details: bool
) -> None:
    source.blocks = [line(request_id="a", latency_s=0.1), b"no request\n"]
    with feeding(tmp_path, source, details=details) as fed:
        fed.pipeline.step()
        shown = next(f for f in fed.ledger.snapshot() if f.instrument is REQUEST_DURATION).exemplars
        assert [exemplar.request_id for exemplar in shown[0].values()] == ["a"]


def test_a_restart_goes_on_where_the_last_commit_was(tmp_path: Path) -> None:
    blocks = [line(input_tokens=2**n) for n in range(5)]
    for read_before, blocks_there in enumerate(range(1, 6)):
        source = HeldSource("gateway", blocks[:blocks_there])
        with feeding(tmp_path, source) as fed:
            assert source.durable == read_before
            fed.pipeline.step()
            assert fed.value(TOKENS) == 2**blocks_there - 1


def test_a_failed_commit_publishes_nothing_and_is_repeated_before_more_is_read(
    tmp_path: Path, source: HeldSource
) -> None:
    source.blocks = [line(input_tokens=5)]
    with feeding(tmp_path, source) as fed:
        fed.pipeline.step()
        source.blocks += [line(input_tokens=7), line("second", input_tokens=11)]
        with locked(tmp_path):
            for _ in range(3):
                with pytest.raises(OSError, match="locked"):
                    fed.pipeline.step()
                source.blocks.append(line(input_tokens=13))
            assert (source.reads, source.durable) == (2, 1)
            assert fed.value(TOKENS) == 5
            assert fed.metric("lines_total", source="gateway") == 1
        fed.pipeline.step()
        assert (source.reads, source.durable) == (2, 3)
        assert fed.value(TOKENS) == 23
        assert fed.metric("lines_total", source="gateway") == 3
        fed.pipeline.step()
        assert fed.value(TOKENS) == 62
        assert fed.store.positions("gateway") == {"log": b"6"}


@pytest.mark.fault("commits that fail")
def test_a_batch_whose_commit_never_succeeded_is_read_again_after_a_restart(
    tmp_path: Path, source: HeldSource
) -> None:
    source.blocks = [line(input_tokens=5)]
    with feeding(tmp_path, source) as fed, locked(tmp_path), pytest.raises(OSError, match="locked"):
        fed.pipeline.step()
    with feeding(tmp_path, HeldSource("gateway", source.blocks)) as fed:
        fed.pipeline.step()
        assert fed.value(TOKENS) == 5


def test_readers_see_a_batch_only_once_it_is_durable(
    tmp_path: Path, source: HeldSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def publish(ledger: Ledger, *arguments: object) -> None:
        other = apsw.Connection(str(tmp_path / "state.db"))
        seen.extend(other.execute("select value from positions").fetchall())
        other.close()

    monkeypatch.setattr(Ledger, "publish", publish)
    source.blocks = [line()]
    with feeding(tmp_path, source) as fed:
        fed.pipeline.step()
    assert seen == [(b"1",)]


def test_a_running_pipeline_tries_again_and_says_so_once(
    tmp_path: Path, source: HeldSource
) -> None:
    source.blocks = [line(input_tokens=5)]
    with feeding(tmp_path, source) as fed, capture_logs() as logs:
        with locked(tmp_path), running(fed.pipeline):
            wait_until(lambda: (fed.metric("commit_failures_total") or 0) >= 2)
            assert "locked" in (fed.pipeline.commit_error or "")
            assert not fed.pipeline.has_committed.is_set()
        assert [entry["log_level"] for entry in logs] == ["error"]
        assert fed.value(TOKENS) is None
        fed.pipeline.step()
        assert fed.pipeline.commit_error is None
        assert fed.value(TOKENS) == 5
        assert [entry["log_level"] for entry in logs] == ["error", "info"]


@pytest.mark.fault("commits that fail")
def test_a_running_pipeline_recovers_by_itself(tmp_path: Path, source: HeldSource) -> None:
    source.blocks = [line(input_tokens=5)]
    with feeding(tmp_path, source) as fed, ExitStack() as until_unlocked:
        until_unlocked.enter_context(locked(tmp_path))
        with running(fed.pipeline):
            wait_until(lambda: fed.pipeline.commit_error)
            until_unlocked.close()
            wait_until(lambda: fed.value(TOKENS) == 5)
        assert fed.pipeline.commit_error is None


@pytest.mark.fault("full disk")
def test_while_commits_fail_sources_let_go_of_what_holds_the_disk(
    tmp_path: Path, source: HeldSource
) -> None:
    source.blocks = [line(input_tokens=5)]
    with feeding(tmp_path, source) as fed:
        with locked(tmp_path), running(fed.pipeline):
            wait_until(lambda: source.budgets[-1] == 0)
            source.blocks.append(line(input_tokens=7))
            wait_until(lambda: source.budgets.count(0) == 2)
            assert len(source.budgets) == 3
        fed.pipeline.step()
        fed.pipeline.step()
        assert fed.value(TOKENS) == 12


def test_a_pipeline_that_stops_commits_what_is_there(tmp_path: Path, source: HeldSource) -> None:
    with feeding(tmp_path, source, poll_interval_s=60) as fed:
        with running(fed.pipeline):
            wait_until(fed.pipeline.has_committed.is_set)
            source.blocks.append(line(input_tokens=5))
        assert fed.value(TOKENS) == 5


def test_a_pipeline_that_never_runs_dry_commits_in_time_and_stops(tmp_path: Path) -> None:
    class Endless(HeldSource):
        def read(self, budget: int) -> Iterator[bytes]:
            self.blocks.append(line(input_tokens=1, request_id="x" * budget))
            return super().read(budget)

    source = Endless("gateway")
    ticks = itertools.count()
    with feeding(tmp_path, source, commit_interval_s=2, clock=lambda: next(ticks)) as fed:
        assert fed.pipeline.step() is True
        assert source.reads == 2
        before = fed.value(TOKENS) or 0
        with running(fed.pipeline):
            wait_until(lambda: (fed.value(TOKENS) or 0) > before)


def test_a_source_that_gave_little_is_not_asked_again_at_once(tmp_path: Path) -> None:
    source = Trickle("gateway")
    with feeding(tmp_path, source) as fed:
        assert fed.pipeline.step() is False
        assert source.reads == 1


def test_what_is_there_is_read_in_turns_and_committed_at_once(tmp_path: Path) -> None:
    big = line(input_tokens=1, request_id="x" * 100_000)
    sources = [HeldSource("a", [big] * 100), HeldSource("b", [big])]
    with feeding(tmp_path, *sources, commit_interval_s=60) as fed:
        assert fed.pipeline.step() is False
        assert [source.reads for source in sources] == [3, 3]
        assert fed.value(TOKENS) == 101
        assert fed.store.facts.batch == 0
    with feeding(tmp_path, *sources) as fed:
        assert fed.store.facts.batch == 1


def test_a_little_traffic_is_committed_once_an_interval(tmp_path: Path, source: HeldSource) -> None:
    now = 100.0
    with feeding(tmp_path, source, commit_interval_s=1, clock=lambda: now) as fed:

        def seen_after_a_look(tokens: int) -> float | None:
            source.blocks.append(line(input_tokens=tokens))
            assert fed.pipeline.step(may_wait=True) is False
            return fed.value(TOKENS)

        assert seen_after_a_look(1) == 1
        assert seen_after_a_look(2) == 1
        now = 100.9
        assert seen_after_a_look(4) == 1
        assert source.durable == 1
        now = 101.0
        assert seen_after_a_look(8) == 15
        assert source.durable == 4
    with feeding(tmp_path, source) as fed:
        assert fed.store.facts.batch == 2


def test_much_traffic_does_not_wait_for_its_commit(
    tmp_path: Path, source: HeldSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MOST_WAITING", 3)
    with feeding(tmp_path, source, commit_interval_s=60) as fed:
        for lines, durable in ((1, 1), (2, 1), (1, 3), (2, 3)):
            source.blocks.append(line() * lines)
            fed.pipeline.step(may_wait=True)
            assert source.durable == durable


def test_what_somebody_waits_for_is_committed_at_once_and_the_rest_with_it(
    tmp_path: Path, source: HeldSource
) -> None:
    arrived = threading.Event()
    intervals = {"commit_interval_s": 60, "poll_interval_s": 0.01}
    with feeding(tmp_path, source, **intervals, arrived=arrived) as fed, running(fed.pipeline):
        source.blocks.append(line(input_tokens=1))
        wait_until(lambda: fed.value(TOKENS) == 1)
        source.blocks.append(line(input_tokens=2))
        looks = source.reads
        wait_until(lambda: source.reads > looks + 1)
        assert fed.value(TOKENS) == 1
        arrived.set()
        wait_until(lambda: fed.value(TOKENS) == 3)


def test_a_backlog_is_committed_in_parts_however_long_the_interval_is(
    tmp_path: Path, source: HeldSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MOST_TOGETHER", 2)
    source.blocks = [A_TURN] * 5
    with feeding(tmp_path, source, commit_interval_s=60) as fed:
        for durable in (2, 4, 5):
            fed.pipeline.step()
            assert source.durable == durable


def test_a_push_does_not_wait_for_the_end_of_a_backlog(tmp_path: Path) -> None:
    class Backlog(HeldSource):
        def read(self, budget: int) -> Iterator[bytes]:
            if self.reads == 1:
                pushed.blocks.append(line(input_tokens=7))
                arrived.set()
            return super().read(budget)

    arrived = threading.Event()
    pushed, backlog = HeldSource("pushed"), Backlog("gateway", [A_TURN] * 9)
    with feeding(tmp_path, pushed, backlog, commit_interval_s=60, arrived=arrived) as fed:
        assert fed.pipeline.step() is True
        assert (pushed.durable, backlog.durable) == (1, 3)


def test_a_commit_that_is_due_does_not_wait_for_the_next_look(tmp_path: Path) -> None:
    source = Trickle("gateway")
    intervals = {"commit_interval_s": 0.1, "poll_interval_s": 60}
    with feeding(tmp_path, source, **intervals) as fed, running(fed.pipeline):
        wait_until(lambda: source.durable >= 3)


def test_idleness_is_no_commit(tmp_path: Path, source: HeldSource) -> None:
    with feeding(tmp_path, source) as fed:
        for _ in range(3):
            assert fed.pipeline.step() is False
        assert fed.pipeline.has_committed.is_set()
        assert fed.metric("commit_duration_seconds_count") == 0
    with feeding(tmp_path, source) as fed:
        assert fed.store.facts.batch == 0


def test_lines_without_a_request_move_the_position(tmp_path: Path, source: HeldSource) -> None:
    source.blocks = [b"\n\n", b"no json\n", b'{"model": "qwen"}\n']
    with feeding(tmp_path, source) as fed:
        fed.pipeline.step()
        assert fed.store.positions("gateway") == {"log": b"3"}


def test_what_a_rule_watches_for_is_there_before_it_happens(
    tmp_path: Path, source: HeldSource
) -> None:
    """Growth is counted from a series' first sample."""
    with feeding(tmp_path, source) as fed:
        for reason in (INVALID_JSON, NO_MATCH, pipeline.DECODER_FAILED):
            assert fed.metric("lines_rejected_total", source="gateway", reason=reason) == 0
        for label in ("gen_ai_request_model", "gen_ai_provider_name", "error_type"):
            assert fed.metric("series_folded_total", label=label) == 0


def test_metrics_tell_of_what_was_committed(tmp_path: Path, source: HeldSource) -> None:
    source.blocks = [line(), line("junk", 404), b"no json\n", line(latency_s=1e99)]
    with feeding(tmp_path, source, HeldSource("idle")) as fed:
        fed.pipeline.step()
        assert fed.metric("lines_total", source="gateway") == 4
        assert fed.metric("lines_total", source="idle") == 0
        assert fed.metric("records_total", source="gateway") == 2
        rejected = [
            sample
            for family in fed.registry.collect()
            for sample in family.samples
            if sample.name.endswith("lines_rejected_total") and sample.value
        ]
        assert sum(sample.value for sample in rejected) == 2
        assert {sample.labels["source"] for sample in rejected} == {"gateway"}
        assert len({sample.labels["reason"] for sample in rejected}) == 2
        assert fed.metric("series_folded_total", label="gen_ai_request_model") == 1
        assert fed.metric("commit_duration_seconds_count") == 1
        assert fed.metric("series") == sum(map(len, fed.ledger)) > 0
        assert (fed.metric("last_commit_timestamp_seconds") or 0) > 1e9


def test_rejected_lines_are_told_of_once_for_each_reason(
    tmp_path: Path, source: HeldSource
) -> None:
    source.blocks = [b"a prompt\n", b"a prompt\n", line(latency_s=1e99), b"a prompt\n"]
    with feeding(tmp_path, source) as fed, capture_logs() as logs:
        fed.pipeline.step()
        source.blocks.append(b"a prompt\n")
        fed.pipeline.step()
        told = [(entry["event"], entry["source"], entry["reason"]) for entry in logs]
        assert sorted(told) == [
            ("lines cannot be read", "gateway", "bad_value"),
            ("lines cannot be read", "gateway", "invalid_json"),
        ]
        assert "prompt" not in str(logs)


@pytest.mark.parametrize("failure", [OSError(5, "Input/output error"), ValueError("a prompt")])
def test_a_source_that_fails_stops_no_other_and_is_tried_again(
    tmp_path: Path, source: HeldSource, failure: Exception
) -> None:
    source.blocks = [line(input_tokens=5)]
    source.failure = failure
    other = HeldSource("other", [line(input_tokens=7)])
    with feeding(tmp_path, source, other) as fed, capture_logs() as logs:
        fed.pipeline.step()
        assert fed.value(TOKENS) == 12
        source.blocks.append(line(input_tokens=11))
        fed.pipeline.step()
        assert fed.value(TOKENS) == 23
        assert fed.metric("source_failures_total", source="gateway") == 2
        assert [entry["source"] for entry in logs] == ["gateway"]
        assert "prompt" not in str(logs)
        assert fed.metric("commit_failures_total") == 0
        source.failure = None
        fed.pipeline.step()
        source.failure = failure
        fed.pipeline.step()
        assert len(logs) == 2
        assert fed.store.positions("gateway") == {"log": b"2"}


def test_a_source_that_fails_after_the_commit_is_not_counted_again(tmp_path: Path) -> None:
    class Deaf(HeldSource):
        def committed(self) -> None:
            raise OSError("cannot close the file")

    source = Deaf("gateway", [line(input_tokens=5)])
    other = HeldSource("other", [line(input_tokens=7)])
    with feeding(tmp_path, source, other) as fed:
        for _ in range(3):
            fed.pipeline.step()
        assert fed.value(TOKENS) == 12
        assert other.durable == 1
        assert fed.metric("source_failures_total", source="gateway") == 3


def test_a_line_that_the_decoder_fails_on_costs_no_other(
    tmp_path: Path, source: HeldSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = Decoder.decode

    def fragile(decoder: Decoder, data: bytes) -> Decoded:
        if b"secret" in data:
            raise IndexError(data.decode())
        return decode(decoder, data)

    monkeypatch.setattr(Decoder, "decode", fragile)
    source.blocks = [line(input_tokens=5) + line("secret") + line(input_tokens=7) + line("secret")]
    with feeding(tmp_path, source) as fed, capture_logs() as logs:
        fed.pipeline.step()
        assert fed.value(TOKENS) == 12
        assert fed.metric("lines_total", source="gateway") == 4
        rejected = {"source": "gateway", "reason": pipeline.DECODER_FAILED}
        assert fed.metric("lines_rejected_total", **rejected) == 2
        assert [entry["source"] for entry in logs] == ["gateway"]
        assert "IndexError at" in logs[0]["error"]
        assert "secret" not in str(logs)


def test_a_mistake_in_the_program_ends_the_run_loudly(
    tmp_path: Path, source: HeldSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise TypeError("a mistake")

    source.blocks = [line()]
    with feeding(tmp_path, source) as fed:
        monkeypatch.setattr(StateStore, "commit", broken)
        with pytest.raises(TypeError, match="a mistake"):
            fed.pipeline.run()
        assert fed.value(REQUESTS) is None


@pytest.mark.parametrize(("in_use", "forgets"), [(1, True), (20, False)])
def test_names_are_remembered_while_not_many_more_than_those_in_use(
    tmp_path: Path,
    source: HeldSource,
    monkeypatch: pytest.MonkeyPatch,
    in_use: int,
    forgets: bool,
) -> None:
    monkeypatch.setattr(pipeline, "FEW_KINDS", 10)
    usual = b"".join(line(status=200 + number) for number in range(in_use))
    with feeding(tmp_path, source) as fed:
        for number in range(100):
            source.blocks.append(usual + line(f"junk-{number}", 404))
            fed.pipeline.step()
        assert (fed.kinds.generation > 0) is forgets
        assert fed.value(REQUESTS) == 100 * (in_use + 1)


@pytest.mark.fault("names that clients invent")
def test_invented_names_are_forgotten_and_counted_on(
    tmp_path: Path, source: HeldSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MOST_KINDS", 10)
    source.blocks = [
        line(f"junk-{n}", 404) + line(f"junk-{n + 1}", 404) + line(input_tokens=1)
        for n in range(0, 100, 2)
    ]
    with feeding(tmp_path, source) as fed:
        most = 0
        while fed.pipeline.step():
            most = max(most, len(fed.kinds))
        assert most <= 13
        assert fed.kinds.generation > 5
        assert fed.value(REQUESTS, gen_ai_request_model="other") == 100
        assert fed.value(REQUESTS, gen_ai_request_model="qwen") == 50
        assert fed.value(TOKENS) == 50
        assert fed.metric("series_folded_total", label="gen_ai_request_model") == 100
