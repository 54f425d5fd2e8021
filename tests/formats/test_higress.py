"""Higress's access log: strings, and JSON in a string."""

import json

import pytest

from exporter.record import Outcome
from tests.formats.reading import decode, named, record
from tests.formats.samples import HIGRESS_AI_LOG as AI
from tests.formats.samples import higress as entry


def test_a_streamed_success_of_strings_only() -> None:
    found = record("higress", entry(AI), attributes=["route", "consumer"])

    assert named(
        found,
        *("request_id", "model", "provider", "operation", "status_code", "streamed", "attributes"),
        *("start_time", "latency", "time_to_first_token", "upstream_time"),
        *("input_tokens", "output_tokens", "trace_id"),
    ) == {
        "request_id": "req-1",
        "model": "qwen-max",
        "provider": "bailian",
        "operation": "chat",
        "status_code": 200,
        "streamed": True,
        "attributes": ("ai-route-bailian.internal", "shop"),
        "start_time": 1769904000.25,
        "latency": 3.105,
        "time_to_first_token": 0.42,
        "upstream_time": 3.1,
        "input_tokens": 200,
        "output_tokens": 50,
        "trace_id": "",
    }


def test_numbers_are_numbers_in_newer_versions() -> None:
    numbers = {key: int(value) if value.isdigit() else value for key, value in AI.items()}

    assert record("higress", entry(numbers)) == record("higress", entry(AI))


def test_details_are_json_in_the_string_in_the_string() -> None:
    details = {
        "input_token_details": json.dumps({"cached_tokens": 150}),
        "output_token_details": json.dumps({"reasoning_tokens": 20}),
    }
    plain = {"cached_tokens": "150", "reasoning_tokens": "20"}
    for ai in (AI | details, AI | plain):
        found = record("higress", entry(ai))
        assert (found.cached_input_tokens, found.reasoning_output_tokens) == (150, 20)


@pytest.mark.parametrize(
    ("input_details", "output_details", "figures"),
    [
        pytest.param(
            {"cache_read_input_tokens": 18_000, "cache_creation_input_tokens": 700},
            {},
            (18_900, 50, 18_000, 700, None),
            id="Anthropic",
        ),
        pytest.param(
            {"cached_content_token_count": 150, "tool_use_prompt_token_count": 9},
            {"thoughts_token_count": 60},
            (209, 110, 150, None, 60),
            id="Gemini",
        ),
        pytest.param(
            {"cached_tokens": 150, "cache_creation_input_tokens": 30},
            {},
            (200, 50, 150, 30, None),
            id="Bailian",
        ),
    ],
)
def test_each_provider_has_its_own_words_for_what_was_cached_or_thought(
    input_details: dict[str, int], output_details: dict[str, int], figures: tuple[int | None, ...]
) -> None:
    details = {
        "input_token_details": json.dumps(input_details),
        "output_token_details": json.dumps(output_details),
    }
    found = record("higress", entry(AI | details))

    assert figures == (
        *(found.input_tokens, found.output_tokens, found.cached_input_tokens),
        *(found.cache_creation_input_tokens, found.reasoning_output_tokens),
    )


def test_only_streams_have_a_time_to_first_token_and_by_that_they_are_known() -> None:
    streamed = {key: value for key, value in AI.items() if key != "response_type"}
    whole = {key: value for key, value in streamed.items() if "first_token" not in key}

    assert record("higress", entry(streamed)).kind.streamed
    assert not record("higress", entry(whole)).kind.streamed


def test_a_stream_without_usage_still_has_its_latency() -> None:
    without = {key: value for key, value in AI.items() if not key.endswith("put_token")}
    found = record("higress", entry(without))

    assert (found.latency, found.input_tokens, found.output_tokens) == (3.105, None, None)


@pytest.mark.parametrize("broken", ['{"model":"qwen-max","question":"cut', "{}", "[]", "17"])
def test_an_ai_log_that_was_cut_is_still_a_request(broken: str) -> None:
    found = record("higress", entry(broken))

    assert (found.kind.model, found.kind.status_code, found.latency) == ("", 200, 3.105)


def test_half_an_emoji_in_a_question_costs_only_what_stands_beside_it() -> None:
    found = record("higress", entry('{"model":"qwen-max","question":"\\ud83d"}'))

    assert found.latency == 3.105


def test_a_request_that_a_plugin_refused_is_known_by_its_path() -> None:
    line = entry(None, response_code="429", response_code_details="ai_token_ratelimit")
    found = record("higress", line)

    assert named(found, "status_code", "error_type", "model") == {
        "status_code": 429,
        "error_type": "ai_token_ratelimit",
        "model": "",
    }


def test_what_envoy_says_in_braces_is_no_error_type() -> None:
    details = "upstream_reset_before_response_started{connection_timeout|someone's text}"
    line = entry(None, response_code="503", response_code_details=details, response_flags="UF")

    assert record("higress", line).kind.error_type == "upstream_reset_before_response_started"


def test_a_failure_of_the_provider_has_its_status() -> None:
    assert record("higress", entry(AI, response_code="500")).kind.error_type == "500"


@pytest.mark.parametrize(
    ("code", "flags", "usage", "outcome"),
    [
        ("0", "DC", False, Outcome.ABANDONED),
        ("200", "DC", False, Outcome.ABANDONED),
        ("200", "DC", True, Outcome.SUCCESS),
        ("200", "UC", False, Outcome.FAILURE),
    ],
)
def test_who_ended_an_answer_before_its_end(
    code: str, flags: str, usage: bool, outcome: Outcome
) -> None:
    ai = AI if usage else {"model": "qwen-max"}
    line = entry(ai, response_code=code, response_flags=flags)

    assert record("higress", line).kind.outcome is outcome


def test_an_answer_from_the_cache() -> None:
    hit = {"model": "qwen-max", "cache_status": "hit", "input_token": "200"}
    for line in (entry(hit), entry("{}", response_code_details="ai-cache.hit")):
        found = record("higress", line)
        assert (found.kind.cache_hit, found.kind.outcome) == (True, Outcome.SUCCESS)
        assert found.input_tokens is None
    assert not record("higress", entry(AI | {"cache_status": "miss"})).kind.cache_hit


def test_what_is_no_model_request_is_skipped() -> None:
    decoded = decode(
        "higress",
        entry(None, path="/healthz", method="GET"),
        entry(None, path="/v1/models", method="GET"),
        entry(None, path="/shop"),
        entry(AI),
    )

    assert (len(decoded.batch), decoded.skipped) == (1, 3)
