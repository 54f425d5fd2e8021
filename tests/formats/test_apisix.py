"""APISIX: its access log as text and as JSON, and the object of its logger plugins."""

import pytest

from exporter.record import Outcome
from tests.formats.reading import decode, named, record
from tests.formats.samples import apisix, apisix_json, apisix_llm_summary

FIGURES = (
    *("latency", "time_to_first_token", "input_tokens", "output_tokens", "total_tokens"),
    *("cached_input_tokens", "reasoning_output_tokens", "upstream_time"),
)


def test_a_stream_in_the_text_access_log() -> None:
    found = record("apisix", apisix())

    assert named(found, "request_id", "model", "response_model", "provider", "operation") == {
        "request_id": "req-1",
        "model": "deepseek-chat",
        "response_model": "deepseek-chat-v3",
        "provider": "api.deepseek.com",
        "operation": "chat",
    }
    assert named(found, "status_code", "streamed", *FIGURES) == {
        "status_code": 200,
        "streamed": True,
        "latency": 5.77,
        "time_to_first_token": 0.412,
        "input_tokens": 23,
        "output_tokens": 120,
        "total_tokens": 143,
        "cached_input_tokens": None,
        "reasoning_output_tokens": None,
        "upstream_time": 5.765,
    }


def test_the_time_of_the_text_access_log_is_that_of_the_end() -> None:
    assert record("apisix", apisix()).start_time == 1774067283 - 5.77


def test_the_json_access_log_says_more() -> None:
    text = record("apisix", apisix())
    found = record("apisix-json", apisix_json())

    assert found == text._replace(
        start_time=1774067283.5 - 5.77,
        cached_input_tokens=16,
        cache_creation_input_tokens=0,
        reasoning_output_tokens=30,
    )


def test_a_stream_in_the_object_of_the_logger_plugins() -> None:
    found = record(
        "apisix-llm-summary", apisix_llm_summary(), attributes=["route", "service", "consumer"]
    )

    assert named(found, "request_id", "start_time", "attributes", *FIGURES) == {
        "request_id": "req-1",
        "start_time": 1_770_000_000.25,
        "attributes": ("llm-route", "", "shop"),
        "latency": pytest.approx(5.77),
        "time_to_first_token": 0.412,
        "input_tokens": 23,
        "output_tokens": 120,
        "total_tokens": 143,
        "cached_input_tokens": 16,
        "reasoning_output_tokens": 30,
        "upstream_time": 5.765,
    }


def test_the_duration_in_the_summary_is_none_but_the_time_to_first_token() -> None:
    whole = record("apisix-llm-summary", apisix_llm_summary(stream="false", duration=5765))

    assert (whole.kind.streamed, whole.time_to_first_token) == (False, None)
    assert whole.latency == pytest.approx(5.77)


def test_a_summary_from_before_it_said_whether_it_was_a_stream_has_no_time_to_first_token() -> None:
    line = apisix_llm_summary()
    del line["llm_summary"]["stream"]

    assert record("apisix-llm-summary", line).time_to_first_token is None


def test_the_cached_tokens_of_an_anthropic_route_are_input_too() -> None:
    cached = {"llm_cache_read_input_tokens": "18000", "llm_cache_creation_input_tokens": "700"}
    figures = {"llm_prompt_tokens": "3", "llm_completion_tokens": "120", "llm_total_tokens": "120"}
    found = record("apisix-json", apisix_json(**figures, **cached))

    assert (found.input_tokens, found.output_tokens, found.total_tokens) == (18_703, 120, 18_823)


@pytest.mark.parametrize("kind", ["ai_chat", "ai_stream"])
def test_a_failure_has_the_time_of_its_answer_and_the_text_0_for_tokens(kind: str) -> None:
    text = apisix(status="429", type=kind, ttft="204", input="0", output="0")
    zeros = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), "0")
    summary = apisix_llm_summary(
        429, duration=204, stream=str(kind == "ai_stream").lower(), **zeros
    )
    for found in (record("apisix", text), record("apisix-llm-summary", summary)):
        assert (found.kind.status_code, found.kind.error_type) == (429, "429")
        assert {found.time_to_first_token, found.input_tokens, found.output_tokens} == {None}


def test_a_stream_that_broke_before_its_usage_counts_as_one_without() -> None:
    found = record("apisix", apisix(input="0", output="0"))

    assert (found.kind.outcome, found.input_tokens) == (Outcome.SUCCESS, None)


def test_a_summary_of_a_dead_upstream_has_no_upstream_time() -> None:
    line = apisix_llm_summary(500, duration="0", prompt_tokens="0", upstream_response_time="")
    del line["upstream_latency"]
    found = record("apisix-llm-summary", line)

    assert (found.kind.error_type, found.upstream_time) == ("500", None)
    assert found.latency == pytest.approx(5.77)


def test_several_upstreams_are_lists_whose_times_add_up() -> None:
    lists = "192.0.2.1:443, 192.0.2.2:443 : 192.0.2.3:443 502, 504 : 200 0.100, - : 2.500"

    assert record("apisix", apisix(upstream=lists)).upstream_time == 2.6
    assert (
        record("apisix-json", apisix_json(upstream_response_time="0.1, 2.5")).upstream_time == 2.6
    )


@pytest.mark.parametrize("beside", [[], [apisix_json()]])
def test_a_list_of_other_things_than_times_is_rejected_whatever_stands_beside_it(
    beside: list[dict[str, object]],
) -> None:
    odd = apisix_json(upstream_response_time='{"model":"m","input_token":"5"}')

    assert decode("apisix-json", odd, *beside).rejected == {"bad_value": 1}


def test_the_format_of_ai_proxy_multi_has_one_time_more() -> None:
    found = record("apisix", apisix(upstream="- - - 5765"))

    assert (found.latency, found.upstream_time) == (5.77, None)


def test_requests_that_are_no_model_requests_are_skipped() -> None:
    plain = apisix(type="traditional_http", model="", asked="", input="0", output="0")
    assert decode("apisix", plain, apisix()).skipped == 1
    assert decode("apisix-json", apisix_json(request_type="traditional_http")).skipped == 1
    assert decode("apisix-llm-summary", {"response": {"status": 200}}).skipped == 1


def test_a_client_that_went_away() -> None:
    for name, line in (
        ("apisix", apisix(status="499")),
        ("apisix-json", apisix_json(status="499")),
        ("apisix-llm-summary", apisix_llm_summary(499)),
    ):
        assert record(name, line).kind.outcome is Outcome.ABANDONED


def test_two_torn_lines_of_text_do_not_fuse() -> None:
    line = apisix()

    assert decode("apisix", line[:150] + line, line).rejected == {"no_match": 1}


def test_the_array_of_http_logger_is_no_line_of_a_log() -> None:
    assert decode("apisix-llm-summary", "[{}]").rejected == {"wrong_type": 1}


def test_the_uri_of_the_upstream_tells_the_operation() -> None:
    text = apisix(url="https://api.deepseek.com/v1/embeddings")

    assert record("apisix", text).kind.operation == "embeddings"
    assert record("apisix-json", apisix_json(upstream_uri="/v1/embeddings")).kind.operation == (
        "embeddings"
    )
