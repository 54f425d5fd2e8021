"""Envoy AI Gateway's access log."""

import pytest

from exporter.record import Outcome
from tests.formats.reading import decode, named, record
from tests.formats.samples import envoy_ai_gateway as entry

NO_ANSWER = {
    "gen_ai.response.model": None,
    "gen_ai.usage.input_tokens": None,
    "gen_ai.usage.cached_input_tokens": None,
    "gen_ai.usage.cache_creation_input_tokens": None,
    "gen_ai.usage.output_tokens": None,
    "gen_ai.usage.reasoning_tokens": None,
    "gen_ai.usage.total_tokens": None,
    "gen_ai.latency.ttft_ms": None,
}


def test_a_streamed_success() -> None:
    found = record("envoy-ai-gateway", entry(), attributes=["route", "upstream_cluster"])

    assert found._asdict() | found.kind._asdict() == {
        "request_id": "req-1",
        "trace_id": "",
        "kind": found.kind,
        "model": "qwen-plus",
        "response_model": "qwen-plus-2026-01",
        "provider": "default/bailian/route/llm/rule/0/ref/0",
        "operation": "chat",
        "status_code": 200,
        "error_type": "",
        "streamed": True,
        "cache_hit": False,
        "finish_reason": "",
        "attributes": ("llm/rule/0", "llm/rule/0"),
        "currency": "",
        "start_time": 1775116800.5,
        "latency": 2.5,
        "time_to_first_token": 0.3505,
        "input_tokens": 120,
        "output_tokens": 40,
        "total_tokens": 160,
        "cached_input_tokens": 64,
        "cache_creation_input_tokens": 8,
        "reasoning_output_tokens": 10,
        "images": None,
        "seconds": None,
        "characters": None,
        "cost": None,
        "upstream_time": None,
    }


def test_the_time_to_the_upstreams_headers_is_no_time_to_first_token() -> None:
    found = record("envoy-ai-gateway", entry(**{"gen_ai.latency.ttft_ms": None}))

    assert (found.kind.streamed, found.time_to_first_token) == (False, None)


def test_the_keys_of_older_documentation_are_understood() -> None:
    found = record(
        "envoy-ai-gateway",
        {
            "start_time": "2025-09-01T08:00:00.500Z",
            "response_code": 200,
            "response_flags": "-",
            "duration": 1500,
            "genai_model_name": "qwen-plus",
            "genai_backend_name": "default/bailian",
            "genai_tokens_input": 15,
            "genai_tokens_output": 7,
            "genai_tokens_total": 22,
        },
    )

    assert named(found, "model", "provider", "input_tokens", "output_tokens", "total_tokens") == {
        "model": "qwen-plus",
        "provider": "default/bailian",
        "input_tokens": 15,
        "output_tokens": 7,
        "total_tokens": 22,
    }


@pytest.mark.parametrize(
    ("code", "flags", "error_type", "outcome"),
    [
        (429, "-", "429", Outcome.FAILURE),
        (503, "UF,URX", "upstream_connection_failure", Outcome.FAILURE),
        (503, "UH", "no_healthy_upstream", Outcome.FAILURE),
        (503, "UO", "upstream_overflow", Outcome.FAILURE),
        (504, "UT", "upstream_request_timeout", Outcome.FAILURE),
        (404, "NR", "no_route", Outcome.FAILURE),
        (429, "RL", "rate_limited", Outcome.FAILURE),
        (429, "DC", "429", Outcome.FAILURE),
        (200, "UC", "stream_aborted", Outcome.FAILURE),
        (200, "SI", "stream_aborted", Outcome.FAILURE),
        (200, "DC", "client_aborted", Outcome.ABANDONED),
        (200, "DI", "", Outcome.SUCCESS),
    ],
)
def test_the_response_flags_tell_what_went_wrong(
    code: int, flags: str, error_type: str, outcome: Outcome
) -> None:
    line = entry(response_code=code, response_flags=flags, **NO_ANSWER)
    kind = record("envoy-ai-gateway", line).kind

    assert (kind.status_code, kind.error_type, kind.outcome) == (code, error_type, outcome)


@pytest.mark.parametrize("flags", ["DC", "-", None])
def test_no_response_code_means_that_the_client_left_before_there_was_one(
    flags: str | None,
) -> None:
    line = entry(response_code=0, response_flags=flags, **NO_ANSWER)
    found = record("envoy-ai-gateway", line)

    assert named(found, "status_code", "error_type", "latency") == {
        "status_code": 499,
        "error_type": "client_aborted",
        "latency": 2.5,
    }


def test_a_client_that_leaves_after_the_final_event_is_a_success() -> None:
    assert record("envoy-ai-gateway", entry(response_flags="DC")).kind.outcome is Outcome.SUCCESS


def test_a_failure_has_null_for_tokens_and_a_success_without_them_has_none_either() -> None:
    for code in (200, 500):
        found = record("envoy-ai-gateway", entry(response_code=code, **NO_ANSWER))
        assert {found.input_tokens, found.output_tokens, found.total_tokens} == {None}


def test_calls_of_tools_and_plain_http_are_skipped() -> None:
    mcp = {"method": "POST", "response_code": 200, "mcp.method.name": "tools/call"}
    decoded = decode(
        "envoy-ai-gateway",
        mcp | {"gen_ai.request.model": None, "gen_ai.provider.name": None},
        {"method": "GET", "response_code": 200, "gen_ai.request.model": "-"},
        entry(),
    )

    assert (len(decoded.batch), decoded.skipped) == (1, 2)


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/embeddings", "embeddings"),
        ("/v1/completions?x=1", "text_completion"),
        ("/anthropic/v1/messages", "chat"),
        ("/v1/images/generations", "image_generation"),
        ("/cohere/v2/rerank", "rerank"),
        (None, "chat"),
    ],
)
def test_the_path_tells_the_operation(path: str | None, operation: str) -> None:
    line = entry(**{"x-envoy-origin-path": path})

    assert record("envoy-ai-gateway", line).kind.operation == operation
