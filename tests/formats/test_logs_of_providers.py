"""Formats that tell less: SGLang, Portkey, Bedrock; and our own, which tells all."""

from datetime import timedelta, timezone

import pytest

from exporter.record import Outcome
from tests.formats.reading import decode, mapping, named, record
from tests.formats.samples import bedrock, portkey, records, sglang


def test_sglang_tells_of_a_request_when_it_ends() -> None:
    found = record("sglang", sglang(), zone=timezone(timedelta(hours=8)))

    assert named(
        found,
        *("request_id", "model", "provider", "status_code", "streamed", "finish_reason"),
        *("latency", "input_tokens", "output_tokens", "cached_input_tokens", "operation"),
    ) == {
        "request_id": "5f1",
        "model": "",
        "provider": "sglang",
        "status_code": 200,
        "streamed": True,
        "finish_reason": "stop",
        "latency": 1.25,
        "input_tokens": 40,
        "output_tokens": 60,
        "cached_input_tokens": 32,
        "operation": "chat",
    }
    assert found.start_time == 1772356846.25 - 8 * 3600 - 1.25


def test_sglang_has_a_second_line_and_health_checks_which_are_skipped() -> None:
    decoded = decode(
        "sglang",
        {"timestamp": "2026-03-01T09:20:45", "event": "request.received", "rid": "5f1", "obj": {}},
        sglang(rid="HEALTH_CHECK_1772356846.25"),
        sglang(),
    )

    assert (len(decoded.batch), decoded.skipped) == (1, 2)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ({"type": "abort", "message": "Someone's text"}, Outcome.ABANDONED),
        ({"type": "abort", "status_code": 503, "message": "Full"}, Outcome.FAILURE),
        ({"type": "length", "length": 60}, Outcome.SUCCESS),
    ],
)
def test_sglang_aborts_for_the_client_or_with_a_status(
    reason: dict[str, object], outcome: Outcome
) -> None:
    line = sglang()
    line["out"]["meta_info"]["finish_reason"] = reason

    assert record("sglang", line).kind.outcome is outcome


def test_an_embedding_of_sglang_has_no_completion() -> None:
    line = sglang()
    del line["out"]["meta_info"]["completion_tokens"]

    assert record("sglang", line).kind.operation == "embeddings"


def test_a_model_can_be_given_to_what_names_none() -> None:
    spec = mapping("extends: sglang\nfields: {model: {value: qwen3-32b}}")

    assert record(spec, sglang()).kind.model == "qwen3-32b"


def test_a_cost_of_portkey_is_in_cents() -> None:
    found = record("portkey", portkey())

    assert named(
        found,
        *("trace_id", "model", "provider", "streamed", "currency", "start_time", "latency"),
        *("input_tokens", "output_tokens", "total_tokens", "cost", "time_to_first_token"),
    ) == {
        "trace_id": "trace-1",
        "model": "gpt-5-mini",
        "provider": "openai",
        "streamed": True,
        "currency": "USD",
        "start_time": 1769938215,
        "latency": 2.603,
        "input_tokens": 12,
        "output_tokens": 258,
        "total_tokens": 270,
        "cost": 0.000393,
        "time_to_first_token": None,
    }


@pytest.mark.parametrize(
    ("status", "hit"), [("HIT", True), ("SEMANTIC HIT", True), ("MISS", False)]
)
def test_a_cache_hit_of_portkey(status: str, hit: bool) -> None:
    assert record("portkey", portkey(cache_status=status)).kind.cache_hit is hit


@pytest.mark.parametrize(("success", "code"), [(1, 200), (0, 500)])
def test_portkey_without_a_status_still_says_whether_it_was_a_success(
    success: int, code: int
) -> None:
    line = portkey(response_status_code=None, is_success=success)

    assert record("portkey", line).kind.status_code == code


def test_tokens_of_bedrock_are_without_the_cached_ones_which_are_added() -> None:
    found = record("bedrock", bedrock(), attributes=["region"])

    assert named(
        found,
        *("request_id", "model", "provider", "streamed", "attributes", "latency", "finish_reason"),
        *("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens"),
        *("cache_creation_input_tokens", "start_time", "time_to_first_token", "operation"),
    ) == {
        "request_id": "req-1",
        "model": "eu.claude-v1:0",
        "provider": "aws.bedrock",
        "streamed": True,
        "attributes": ("eu-central-1",),
        "latency": 1.134,
        "finish_reason": "end_turn",
        "input_tokens": 1262,
        "output_tokens": 36,
        "total_tokens": 1298,
        "cached_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "start_time": 1786396359,
        "time_to_first_token": None,
        "operation": "chat",
    }


def test_events_of_a_stream_of_bedrock_are_a_list_which_may_end_with_a_text() -> None:
    output = {"outputBodyJson": [{"type": "message_start"}, "[DONE]"], "outputTokenCount": 0}
    line = bedrock(operation="InvokeModelWithResponseStream", input={}, output=output)
    found = record("bedrock", line)

    assert (found.kind.streamed, found.latency, found.input_tokens) == (True, None, None)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("ThrottlingException", 429),
        ("ValidationException", 400),
        ("AccessDeniedException", 403),
        ("ModelTimeoutException", 408),
        ("ModelErrorException", 424),
        ("ServiceUnavailableException", 503),
        ("InternalServerException", 500),
    ],
)
def test_the_error_code_of_bedrock_stands_for_a_status(error: str, status: int) -> None:
    kind = record("bedrock", bedrock(errorCode=error, output={})).kind

    assert (kind.status_code, kind.error_type) == (status, error)


def test_a_record_of_our_own_is_read_as_it_stands() -> None:
    line = records(
        operation="transcription",
        error_type="",
        seconds=12.5,
        cost=0.1,
        currency="EUR",
        upstream_time_s=2,
        workspace="prod",
    )
    found = record("records", line, attributes=["workspace", "team"])

    assert named(
        found,
        *("request_id", "operation", "seconds", "cost", "currency", "upstream_time", "latency"),
        *("time_to_first_token", "input_tokens", "attributes", "start_time"),
    ) == {
        "request_id": "req-1",
        "operation": "transcription",
        "seconds": 12.5,
        "cost": 0.1,
        "currency": "EUR",
        "upstream_time": 2,
        "latency": 2.5,
        "time_to_first_token": 0.25,
        "input_tokens": 100,
        "attributes": ("prod", ""),
        "start_time": 1_770_000_000.25,
    }


@pytest.mark.parametrize(
    ("error_type", "outcome"),
    [("stream_aborted", Outcome.FAILURE), ("client_aborted", Outcome.ABANDONED)],
)
def test_a_record_of_our_own_can_say_that_a_200_was_no_success(
    error_type: str, outcome: Outcome
) -> None:
    assert record("records", records(error_type=error_type)).kind.outcome is outcome
    if outcome is Outcome.ABANDONED:
        left = record("records", records(error_type=error_type, status_code=None))
        assert left.kind.status_code == 499


def test_an_error_type_that_is_a_sentence_is_no_error_type() -> None:
    kind = record("records", records(status_code=400, error_type="no such user: someone")).kind

    assert kind.error_type == "400"


TGI = r"""
description: TGI's JSON log; it has no model and no token counts, but they can be worked out.
request_if: [{path: message, is: [Success]}]
fields:
  model: {value: mistral-7b}
  provider: {value: tgi}
  operation: {path: span.name, map: {generate: text_completion}, default: chat}
  status_code: {value: 200}
  end_time: timestamp
  latency: span.total_time
  output_tokens: {divide: [span.inference_time, span.time_per_token]}
  upstream_time: {add: [span.inference_time, span.queue_time]}
"""


def test_the_language_can_carry_tgi_whose_durations_have_units_and_which_counts_no_tokens() -> None:
    span = {
        "name": "generate",
        "total_time": "4.5s",
        "validation_time": "955.594µs",
        "queue_time": "500ms",
        "inference_time": "4s",
        "time_per_token": "39.6ms",
    }
    line = {"timestamp": "2026-02-14T06:49:51.437631Z", "message": "Success", "span": span}
    decoded = decode(mapping(TGI), line, {"message": "Shutting down", "timestamp": "2026-02-14"})
    (found,) = decoded.batch.records()

    assert decoded.skipped == 1
    assert named(found, "latency", "output_tokens", "upstream_time", "operation") == {
        "latency": 4.5,
        "output_tokens": 101,
        "upstream_time": 4.5,
        "operation": "text_completion",
    }
