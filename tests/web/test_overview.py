"""The landing page says of each source what came of it, and why if nothing did."""

from collections.abc import Mapping

import pytest

from exporter.config import SourceConfig
from exporter.engine import Metrics
from exporter.web.overview import source_states

TAIL = {"tail": {"paths": ["/log/*.jsonl", "/old.log"], "format": "litellm"}}
PUSH: Mapping[str, object] = {"ingest": {}}
PROXY = {"proxy": {"listen": "127.0.0.1:8080", "upstream": "http://127.0.0.1:9000"}}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def told(
    metrics: Metrics, kind: Mapping[str, object], problem: str | None = None
) -> tuple[bool, str, str, str]:
    """Health, state, figures and place of a source called `gateway`."""
    source = SourceConfig.model_validate({"name": "gateway", **kind})
    (row,) = source_states([source], problem, metrics.registry)
    return row.healthy, row.state, row.counted, row.place


def test_of_a_log_that_is_read_it_tells_what_was_counted(metrics: Metrics) -> None:
    metrics.tail.of("gateway").known_files.set(2)
    metrics.pipeline.records.labels("gateway").inc(12_345)
    metrics.pipeline.records.labels("another").inc(7)
    assert told(metrics, TAIL) == (True, "reading", "12,345 counted", "/log/*.jsonl, /old.log")


def test_lines_that_did_not_count_stand_beside_with_their_reasons(metrics: Metrics) -> None:
    metrics.tail.of("gateway").open_files.set(1)
    metrics.pipeline.records.labels("gateway").inc()
    metrics.pipeline.skipped.labels("gateway", "no_request").inc(2)
    metrics.pipeline.rejected.labels("gateway", "no_status").inc(1000)
    metrics.pipeline.rejected.labels("gateway", "bad_value").inc(3)
    metrics.pipeline.rejected.labels("gateway", "invalid_json")
    healthy, state, counted, _ = told(metrics, TAIL)
    assert (healthy, state) == (True, "reading")
    assert counted == "1 counted, 1,003 rejected (bad_value, no_status), 2 skipped"


def test_without_a_file_it_says_so(metrics: Metrics) -> None:
    assert told(metrics, TAIL)[:3] == (False, "no file found", "0 counted")


def test_files_that_cannot_be_read_are_no_missing_ones(metrics: Metrics) -> None:
    metrics.tail.of("gateway").file_errors.inc()
    healthy, state, counted, _ = told(metrics, TAIL)
    assert (healthy, state) == (False, "nothing can be read")
    assert counted == "0 counted, file errors: 1 (see the log)"


@pytest.mark.parametrize("kind", [TAIL, PUSH])
def test_where_all_lines_are_rejected_the_format_is_wrong(
    metrics: Metrics, kind: Mapping[str, object]
) -> None:
    metrics.tail.of("gateway").known_files.set(1)
    metrics.pipeline.rejected.labels("gateway", "invalid_json").inc(20)
    healthy, state, counted, _ = told(metrics, kind)
    assert (healthy, state) == (False, "no line fits the format")
    assert counted == "0 counted, 20 rejected (invalid_json)"


@pytest.mark.parametrize(("kind", "place"), [(PUSH, "/ingest/{format}"), (PROXY, "127.0.0.1:8080")])
def test_doors_are_open_before_anybody_comes(
    metrics: Metrics, kind: Mapping[str, object], place: str
) -> None:
    assert told(metrics, kind) == (True, "open", "0 counted", place)


def test_a_problem_of_all_comes_first(metrics: Metrics) -> None:
    assert told(metrics, TAIL, "commits fail")[:2] == (False, "commits fail")
