"""Kong's log object with the `ai` part of its AI plugins."""

import pytest

from exporter.record import Outcome
from tests.formats.reading import decode, named, record
from tests.formats.samples import kong, kong_plugin


def test_a_streamed_success() -> None:
    found = record("kong", kong(), attributes=["workspace", "consumer", "route", "service"])

    assert found._asdict() | found.kind._asdict() == {
        "request_id": "req-1",
        "trace_id": "",
        "kind": found.kind,
        "model": "claude-sonnet-4-6",
        "response_model": "claude-sonnet-4-6-v2",
        "provider": "anthropic",
        "operation": "chat",
        "status_code": 200,
        "error_type": "",
        "streamed": True,
        "cache_hit": False,
        "finish_reason": "",
        "attributes": ("default", "shop", "llm-route", "llm-service"),
        "currency": "USD",
        "start_time": 1_770_000_000.25,
        "latency": pytest.approx(3.2),
        "time_to_first_token": 0.7,
        "input_tokens": 300,
        "output_tokens": 90,
        "total_tokens": 390,
        "cached_input_tokens": 256,
        "cache_creation_input_tokens": None,
        "reasoning_output_tokens": 40,
        "images": None,
        "seconds": None,
        "characters": None,
        "cost": 0.002,
        "upstream_time": 3.1,
    }


@pytest.mark.parametrize(
    "place",
    [
        *("proxy", "ai-proxy", "ai-proxy-advanced", "ai-request-transformer"),
        *("ai-response-transformer", "ai-llm-as-judge"),
    ],
)
def test_every_place_that_the_figures_have_stood_at_is_found(place: str) -> None:
    assert record("kong", kong({place: kong_plugin()})) == record("kong", kong())


def test_figures_without_a_place_of_their_own_are_found() -> None:
    assert record("kong", kong(kong_plugin())) == record("kong", kong())


def test_of_several_objects_with_figures_only_that_of_the_proxy_counts() -> None:
    proxy = kong_plugin()
    del proxy["usage"]["time_to_first_token"], proxy["usage"]["cost"]
    judge = kong_plugin(prompt_tokens=9000)
    ai = {"ai-llm-as-judge": judge, "ai-request-transformer": judge, "proxy": proxy}
    found = record("kong", kong(ai))

    assert (found.input_tokens, found.time_to_first_token, found.cost) == (300, None, None)


def test_a_payload_beside_the_plugins_is_no_plugin() -> None:
    ai = {"payload": {"request": "A secret?"}, "compressor": {"save_token_count": 3}}
    decoded = decode("kong", kong(ai), kong(ai | {"proxy": kong_plugin()}))

    assert (len(decoded.batch), decoded.skipped) == (1, 1)


def test_old_names_of_the_token_counts_are_understood() -> None:
    plugin = kong_plugin()
    plugin["usage"] = {"prompt_token": 28, "completion_token": 20, "total_tokens": 48}

    assert named(record("kong", kong({"ai-proxy": plugin})), "input_tokens", "output_tokens") == {
        "input_tokens": 28,
        "output_tokens": 20,
    }


def test_zero_beside_a_name_that_is_used_is_no_figure() -> None:
    audio = kong_plugin(prompt_tokens=0, completion_tokens=0, input_tokens=70, output_tokens=30)
    audio["usage"] |= {"prompt_tokens_details": {}, "completion_tokens_details": {}}
    found = record("kong", kong({"proxy": audio}))

    assert (found.input_tokens, found.output_tokens) == (70, 30)


def test_a_time_to_first_token_of_an_answer_in_one_piece_is_its_whole_time() -> None:
    plugin = kong_plugin(time_to_first_token=3099)
    plugin["meta"]["request_mode"] = "oneshot"
    found = record("kong", kong({"proxy": plugin}))

    assert (found.kind.streamed, found.time_to_first_token) == (False, None)


def test_before_request_mode_the_content_type_tells_a_stream() -> None:
    plugin = kong_plugin()
    del plugin["meta"]["request_mode"]
    json_answer = {"status": 200, "headers": {"content-type": "application/json"}}

    assert record("kong", kong({"proxy": plugin})).kind.streamed
    assert not record("kong", kong({"proxy": plugin}, response=json_answer)).kind.streamed


def test_a_cache_hit_shows_the_usage_of_the_original_answer_which_is_not_counted_again() -> None:
    plugin = kong_plugin() | {"cache": {"cache_status": "Hit", "fetch_latency": 12}}
    del plugin["meta"]["llm_latency"]
    latencies = {"kong": 30, "proxy": -1, "request": 31, "receive": 0}
    line = kong({"proxy": plugin}, source="kong", upstream_status="", latencies=latencies)
    found = record("kong", line)

    assert found.kind.cache_hit
    assert found.latency == 0.031
    assert {found.input_tokens, found.output_tokens, found.cost, found.upstream_time} == {None}
    assert found.time_to_first_token is None
    for cache in ({}, {"cache_status": "Miss"}, {"cache_status": "Bypass"}):
        assert not record("kong", kong({"proxy": kong_plugin() | {"cache": cache}})).kind.cache_hit


def test_a_failure_has_zeros_or_an_estimate_and_neither_counts() -> None:
    plugin = kong_plugin(prompt_tokens=280, completion_tokens=0, total_tokens=280, cost=0)
    plugin["meta"]["response_model"] = plugin["meta"]["request_model"]
    found = record("kong", kong({"proxy": plugin}, response={"status": 429}))

    assert named(found, "status_code", "error_type", "input_tokens", "total_tokens", "cost") == {
        "status_code": 429,
        "error_type": "429",
        "input_tokens": None,
        "total_tokens": None,
        "cost": None,
    }


def test_unspecified_is_no_name() -> None:
    plugin = kong_plugin()
    plugin["meta"] |= {"provider_name": "UNSPECIFIED", "request_model": "UNSPECIFIED"}
    kind = record("kong", kong({"proxy": plugin})).kind

    assert (kind.provider, kind.model) == ("", "")


def test_empty_tables_of_lua_are_empty_objects() -> None:
    plugin = kong_plugin(prompt_tokens_details={}, completion_tokens_details={})
    plugin["tried_targets"] = {}
    found = record("kong", kong({"proxy": plugin}))

    assert (found.cached_input_tokens, found.reasoning_output_tokens) == (None, None)


def test_a_cost_of_zero_means_that_the_model_has_no_prices() -> None:
    assert record("kong", kong({"proxy": kong_plugin(cost=0)})).cost is None


def test_a_client_that_went_away() -> None:
    assert record("kong", kong(response={"status": 499})).kind.outcome is Outcome.ABANDONED


def test_requests_that_no_ai_plugin_saw_are_skipped() -> None:
    plain, refused = kong(), kong(response={"status": 401}, source="kong")
    del plain["ai"], refused["ai"]
    decoded = decode("kong", plain, refused)

    assert (len(decoded.batch), decoded.skipped) == (0, 2)


@pytest.mark.parametrize(
    ("route_type", "operation"),
    [
        ("llm/v1/completions", "text_completion"),
        ("llm/v1/embeddings", "embeddings"),
        ("image/v1/images/generations", "image_generation"),
        ("audio/v1/audio/speech", "speech"),
        ("preserve", "chat"),
    ],
)
def test_the_route_type_of_the_last_target_tells_the_operation(
    route_type: str, operation: str
) -> None:
    plugin = kong_plugin()
    plugin["tried_targets"] = [{"route_type": "llm/v1/chat"}, {"route_type": route_type}]

    assert record("kong", kong({"proxy": plugin})).kind.operation == operation


def test_without_targets_the_path_tells_the_operation() -> None:
    plugin = kong_plugin()
    del plugin["tried_targets"]
    line = kong({"proxy": plugin}, request={"id": "a", "uri": "/v1/embeddings?x=1"})

    assert record("kong", line).kind.operation == "embeddings"
