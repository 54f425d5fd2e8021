"""agentgateway's log, as text and as JSON."""

import pytest

from exporter.record import Outcome
from tests.formats.reading import decode, named, record
from tests.formats.samples import agentgateway, agentgateway_json

END = 1783545432.059908


def test_a_streamed_success_in_both_forms() -> None:
    found = record("agentgateway-json", agentgateway_json(), attributes=["route", "listener"])

    assert found == record("agentgateway", agentgateway(), attributes=["route", "listener"])
    assert found._asdict() | found.kind._asdict() == {
        "request_id": "",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "kind": found.kind,
        "model": "mistral-large",
        "response_model": "mistral-large-2512",
        "provider": "mistral",
        "operation": "chat",
        "status_code": 200,
        "error_type": "",
        "streamed": True,
        "cache_hit": False,
        "finish_reason": "",
        "attributes": ("internal/llm", "llm"),
        "currency": "USD",
        "start_time": pytest.approx(END - 2.603),
        "latency": 2.603,
        "time_to_first_token": 0.412,
        "input_tokens": 12,
        "output_tokens": 258,
        "total_tokens": 270,
        "cached_input_tokens": 8,
        "cache_creation_input_tokens": 2,
        "reasoning_output_tokens": 100,
        "images": None,
        "seconds": None,
        "characters": None,
        "cost": 0.000393,
        "upstream_time": None,
    }


@pytest.mark.parametrize(
    ("fraction", "seconds"),
    [(".59908", 0.059908), (".5", 0.000005), (".059908", 0.059908), (".599080", 0.59908), ("", 0)],
)
def test_the_fraction_of_the_time_is_a_number_of_microseconds_padded_or_not(
    fraction: str, seconds: float
) -> None:
    time = f"2026-07-08T21:17:12{fraction}Z"
    whole = 1783545432 - 2.603
    for found in (
        record("agentgateway-json", agentgateway_json(time=time)),
        record("agentgateway", agentgateway(time=time)),
    ):
        assert found.start_time == pytest.approx(whole + seconds, abs=1e-6)


def test_lines_without_a_time_are_records_without_one() -> None:
    assert record("agentgateway", agentgateway(time=None)).start_time is None


def test_a_request_without_a_first_token_was_no_stream() -> None:
    found = record("agentgateway", agentgateway(**{"agw.ai.time_to_first_token": None}))

    assert (found.kind.streamed, found.time_to_first_token) == (False, None)


def test_the_reason_of_a_failure_is_a_word_and_its_error_a_sentence_which_is_not_kept() -> None:
    error = {
        "http.status": 503,
        "error": "upstream call failed: Connect: someone's host reason=Forged",
        "reason": "UpstreamFailure",
    }
    for found in (
        record("agentgateway-json", agentgateway_json(**error)),
        record("agentgateway", agentgateway(**error)),
    ):
        assert (found.kind.status_code, found.kind.error_type) == (503, "UpstreamFailure")


def test_without_a_reason_a_failure_has_its_status() -> None:
    assert record("agentgateway", agentgateway(**{"http.status": 429})).kind.error_type == "429"


def test_a_stream_that_broke_is_a_failure() -> None:
    kind = record("agentgateway", agentgateway(reason="UpstreamFailure")).kind

    assert (kind.error_type, kind.outcome) == ("stream_aborted", Outcome.FAILURE)


def test_an_answer_that_the_gateway_gave_itself_is_none() -> None:
    assert record("agentgateway", agentgateway(reason="DirectResponse")).kind.error_type == ""


def test_a_line_without_tokens_is_a_request_whose_usage_is_missing() -> None:
    tokens = {key: None for key in agentgateway_json() if ".usage." in key}
    found = record("agentgateway", agentgateway(**tokens))

    assert {found.input_tokens, found.output_tokens, found.cost} == {None}


def test_other_protocols_and_other_scopes_are_skipped() -> None:
    decoded = decode(
        "agentgateway",
        agentgateway(protocol="mcp"),
        agentgateway(protocol=None),
        agentgateway(scope="proxy::gateway"),
        "2026-07-08T21:17:10.1Z\tinfo\tapp\tserving UI at http://localhost:15000/ui",
        agentgateway(),
    )

    assert (len(decoded.batch), decoded.skipped, decoded.rejected) == (1, 4, {})


def test_other_protocols_and_other_scopes_are_skipped_in_json() -> None:
    decoded = decode(
        "agentgateway-json",
        agentgateway_json(protocol="mcp"),
        {"level": "info", "time": "2026-07-08T21:17:10.1Z", "scope": "app", "message": "hello"},
        agentgateway_json(),
    )

    assert (len(decoded.batch), decoded.skipped, decoded.rejected) == (1, 2, {})


def test_the_keys_from_before_october_2025_are_understood() -> None:
    line = (
        "2025-09-01T08:00:00.250000Z\tinfo\trequest gateway=default http.status=200 "
        "llm.provider=openai llm.request.model=gpt-4o llm.request.tokens=20 "
        "llm.response.model=gpt-4o-2024 llm.response.tokens=9 duration=1200ms"
    )

    assert named(
        record("agentgateway", line), "provider", "model", "input_tokens", "output_tokens"
    ) == {"provider": "openai", "model": "gpt-4o", "input_tokens": 20, "output_tokens": 9}
