"""The made-up gateway writes what a gateway would, and never a torn line."""

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any, cast

import pytest
import yaml

from exporter.demo import configuration, greeting, payloads, write_traffic
from exporter.demo.log import BACKFILL, RotatedLog
from exporter.demo.traffic import day_curve
from exporter.formats import builtin
from exporter.formats.compile import Decoder
from exporter.record import Kinds
from tests.waiting import wait_until

Payload = dict[str, Any]
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()


@pytest.fixture(scope="module")
def traffic() -> list[Payload]:
    """Five thousand requests from noon on: about forty minutes."""
    return list(islice(payloads(seed=1, start=NOON), 5000))


@pytest.fixture(scope="module")
def answered(traffic: list[Payload]) -> list[Payload]:
    return [payload for payload in traffic if payload["status"] == "success"]


@pytest.fixture(scope="module")
def failed(traffic: list[Payload]) -> list[Payload]:
    return [payload for payload in traffic if payload["status"] == "failure"]


def test_equal_seeds_give_equal_lines() -> None:
    def first_lines(seed: int) -> list[Payload]:
        return list(islice(payloads(seed, NOON), 50))

    assert first_lines(7) == first_lines(7)
    assert first_lines(7) != first_lines(8)


def test_requests_stand_in_the_order_in_which_they_finish(traffic: list[Payload]) -> None:
    ends = [payload["endTime"] for payload in traffic]
    assert ends == sorted(ends)
    assert all(NOON < payload["startTime"] < payload["endTime"] for payload in traffic)


def test_each_request_has_an_id_of_its_own(traffic: list[Payload]) -> None:
    assert len({payload["litellm_call_id"] for payload in traffic}) == len(traffic)


def test_a_day_has_as_many_requests_as_its_rate_says() -> None:
    day = payloads(seed=1, start=NOON, rate=0.2)
    ends = [cast("float", payload["endTime"]) for payload in islice(day, 20_000)]
    a_day = sum(end < NOON + 86_400 for end in ends)
    assert a_day == pytest.approx(0.2 * 86_400, rel=0.03)


def test_afternoons_are_busier_than_nights() -> None:
    hours = [day_curve(hour * 3600) for hour in range(24)]
    assert hours.index(max(hours)) == 14
    assert hours.index(min(hours)) == 2
    assert mean(hours) == pytest.approx(1)


def test_only_streams_have_a_first_token_before_their_end(answered: list[Payload]) -> None:
    streams = [payload for payload in answered if payload["stream"]]
    assert len(answered) * 0.4 < len(streams) < len(answered) * 0.7
    for payload in answered:
        if payload["stream"]:
            assert payload["startTime"] < payload["completionStartTime"] <= payload["endTime"]
        else:
            assert payload["stream"] is None, "LiteLLM never writes false"
            assert payload["completionStartTime"] == payload["endTime"]


def test_usage_adds_up(answered: list[Payload]) -> None:
    for payload in answered:
        usage = payload["response"]["usage"]
        total = payload["prompt_tokens"] + payload["completion_tokens"]
        assert payload["total_tokens"] == usage["total_tokens"] == total
        assert cached_tokens(payload) <= payload["prompt_tokens"]
        assert reasoning_tokens(payload) <= payload["completion_tokens"]


def test_a_few_streams_end_without_usage(answered: list[Payload]) -> None:
    without = [payload for payload in answered if payload["total_tokens"] == 0]
    assert 0 < len(without) < len(answered) * 0.02
    assert all(payload["stream"] for payload in without)


def test_some_input_is_cached_and_some_output_is_reasoning(answered: list[Payload]) -> None:
    assert sum(map(cached_tokens, answered)) > 0
    reasoning_models = {p["model_group"] for p in answered if reasoning_tokens(p)}
    assert reasoning_models == {"deepseek-r1"}


def test_embeddings_have_no_output(answered: list[Payload]) -> None:
    embeddings = [payload for payload in answered if payload["call_type"] == "aembedding"]
    assert {payload["model_group"] for payload in embeddings} == {"text-embedding-v4"}
    assert all(p["completion_tokens"] == 0 < p["prompt_tokens"] for p in embeddings)
    assert all(payload["stream"] is None for payload in embeddings)


def test_every_answer_with_usage_has_its_cost(answered: list[Payload]) -> None:
    for payload in answered:
        cost = payload["response_cost"] + payload["saved_cache_cost"]
        assert (cost > 0) == (payload["total_tokens"] > 0)
        assert math.isclose(cost, payload["cost_breakdown"]["total_cost"])


def test_an_answer_from_the_gateways_cache_is_fast_and_free(answered: list[Payload]) -> None:
    hits = [payload for payload in answered if payload["cache_hit"]]
    assert 0 < len(hits) < len(answered) * 0.05
    assert all(payload["response_cost"] == 0 for payload in hits)
    assert all(payload["endTime"] - payload["startTime"] < 0.01 for payload in hits)


def test_failures_have_litellms_class_and_code_and_no_usage(failed: list[Payload]) -> None:
    kinds = {
        (payload["error_information"]["error_class"], payload["error_information"]["error_code"])
        for payload in failed
    }
    assert kinds == {
        ("RateLimitError", "429"),
        ("BadRequestError", "invalid_parameter_error"),
        ("InternalServerError", "500"),
        ("Timeout", "408"),
        ("ContentPolicyViolationError", "400"),
        ("ServiceUnavailableError", "503"),
        ("NotFoundError", "404"),
    }
    assert all(payload["total_tokens"] == payload["response_cost"] == 0 for payload in failed)
    assert all(payload["completionStartTime"] == payload["endTime"] for payload in failed)


def test_wrong_model_names_only_ever_fail(answered: list[Payload], failed: list[Payload]) -> None:
    served = {payload["model_group"] for payload in answered}
    wrong = {payload["model_group"] for payload in failed} - served
    assert len(served) == 7
    assert wrong
    for payload in failed:
        not_found = payload["error_information"]["error_class"] == "NotFoundError"
        assert (payload["model_group"] in wrong) == not_found


def test_a_busy_provider_refuses_more(traffic: list[Payload]) -> None:
    def refused(payload: Payload) -> bool:
        return bool(payload["error_information"]["error_class"] == "RateLimitError")

    def minute(payload: Payload) -> float:
        return float(payload["startTime"] / 60 % 60)

    deepseek = [payload for payload in traffic if payload["model_group"] == "deepseek-v3"]
    busy = [refused(payload) for payload in deepseek if 20 <= minute(payload) < 26]
    quiet = [refused(payload) for payload in deepseek if not 20 <= minute(payload) < 26]
    assert mean(busy) > 0.25
    assert mean(quiet) < 0.05


def test_a_line_is_of_a_real_lines_size_and_holds_no_prompt(traffic: list[Payload]) -> None:
    sizes = [len(json.dumps(payload, separators=(",", ":"))) for payload in traffic]
    assert min(sizes) > 1000
    assert max(sizes) < 2000
    texts = {message["content"] for payload in traffic for message in payload["messages"]}
    assert texts == {"redacted-by-litellm"}


def test_the_litellm_format_reads_every_line(traffic: list[Payload]) -> None:
    log = b"".join(json.dumps(payload).encode() + b"\n" for payload in traffic)
    decoded = Decoder(builtin("litellm"), Kinds(), attributes=["team"]).decode(log)
    records = list(decoded.batch.records())
    assert len(records) == decoded.lines == len(traffic)

    statuses = {record.kind.status_code for record in records}
    assert statuses == {200, 400, 404, 408, 429, 500, 503}
    assert {record.kind.attributes for record in records} == {
        ("search",),
        ("support",),
        ("research",),
    }
    assert [record.kind.model for record in records] == [p["model_group"] for p in traffic]
    not_from_cache = [payload for payload in traffic if not payload["cache_hit"]]
    assert sum(record.output_tokens or 0 for record in records) == sum(
        payload["completion_tokens"] for payload in not_from_cache
    )
    assert sum(record.time_to_first_token is not None for record in records) == sum(
        payload["stream"] is not None for payload in not_from_cache
    )
    assert sum(record.cost or 0 for record in records) == pytest.approx(
        sum(payload["response_cost"] for payload in traffic)
    )


def test_a_new_log_begins_in_the_past_and_goes_on_with_the_clock(tmp_path: Path) -> None:
    log = tmp_path / "gateway.jsonl"
    started = time.time()
    with written(log, rate=5):
        wait_until(lambda: any(payload["endTime"] > started + 0.5 for payload in lines(log)))
    past = [payload for payload in lines(log) if payload["endTime"] < started]
    assert len(past) == pytest.approx(BACKFILL * day_curve(started), rel=0.35)
    first = min(payload["startTime"] for payload in past)
    assert started - BACKFILL / 5 < first < started - BACKFILL / 5 + 10
    assert lines(log)[-1]["endTime"] <= time.time()


def test_a_log_that_is_there_is_continued_without_a_past(tmp_path: Path) -> None:
    log = tmp_path / "gateway.jsonl"
    log.write_text('{"model": "before"}\n')
    started = time.time()
    with written(log, rate=200):
        wait_until(lambda: len(lines(log)) > 20)
    before, *after = lines(log)
    assert before == {"model": "before"}
    assert all(payload["startTime"] >= started for payload in after)


def test_a_large_log_is_renamed_and_one_old_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "gateway.jsonl"
    with RotatedLog(path, rotate_bytes=100) as log:
        for number in range(10):
            log.write(f'{{"number": {number}, "text": "{"x" * 20}"}}\n'.encode())
    assert {file.name for file in tmp_path.iterdir()} == {"gateway.jsonl", "gateway.jsonl.1"}
    assert [line["number"] for line in lines(tmp_path / "gateway.jsonl.1")] == [6, 7]
    assert [line["number"] for line in lines(path)] == [8, 9]


def test_stopping_does_not_wait_for_the_next_request(tmp_path: Path) -> None:
    log = tmp_path / "gateway.jsonl"
    log.touch()
    with written(log, rate=1e-6) as writer:
        pass
    assert not writer.is_alive()


def test_the_configuration_names_files_under_a_directory_of_any_name() -> None:
    directory = Path('/tmp/a "quoted" $dir: #1')
    loaded = yaml.safe_load(configuration(directory))
    assert loaded["state_dir"] == f"{directory}/state"
    assert loaded["sources"][0]["tail"]["paths"] == [
        f"{directory}/gateway.jsonl",
        f"{directory}/gateway.jsonl.1",
    ]


def test_the_greeting_says_what_to_open() -> None:
    text = greeting(Path(".run"), "127.0.0.1:9478")
    assert "http://127.0.0.1:9478/ " in text
    assert "http://127.0.0.1:9478/requests " in text
    assert "http://127.0.0.1:9478/metrics " in text
    assert ".run/gateway.jsonl" in text


@pytest.mark.parametrize("everywhere", [":9478", "0.0.0.0:9478", "[::]:9478"])
def test_the_greeting_names_an_address_that_can_be_opened(everywhere: str) -> None:
    assert "http://localhost:9478/requests " in greeting(Path(".run"), everywhere)


@contextmanager
def written(log: Path, rate: float) -> Iterator[threading.Thread]:
    """A thread that writes traffic to a log; it has been told to stop when the block ends."""
    stop = threading.Event()
    writer = threading.Thread(target=write_traffic, args=(log, rate, 1, stop), daemon=True)
    writer.start()
    try:
        yield writer
    finally:
        stop.set()
        writer.join(10)


def lines(log: Path) -> list[Payload]:
    """The whole lines of a log that may still grow."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_text().rpartition("\n")[0].splitlines()]


def cached_tokens(payload: Payload) -> int:
    details = payload["response"]["usage"]["prompt_tokens_details"]
    return int(details["cached_tokens"]) if details else 0


def reasoning_tokens(payload: Payload) -> int:
    details = payload["response"]["usage"]["completion_tokens_details"]
    return int(details["reasoning_tokens"]) if details else 0
