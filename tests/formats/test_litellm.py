"""LiteLLM's StandardLoggingPayload."""

from datetime import timedelta, timezone
from typing import Any

import pytest

from exporter.record import Outcome
from tests.formats.reading import decode, named, record
from tests.formats.samples import START
from tests.formats.samples import litellm as payload


def failure(code: str | None, error_class: str, **changes: Any) -> dict[str, Any]:
    """A failure; LiteLLM says null for its stream, and zero for its tokens and cost."""
    error = {"error_code": code, "error_class": error_class, "llm_provider": "bedrock"}
    changes = {"stream": None, "completionStartTime": START + 4, **changes}
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "response_cost": 0.0}
    return payload(status="failure", response={}, error_information=error, **zeros | changes)


def test_a_streamed_success_has_all_that_a_record_can_have() -> None:
    found = record("litellm", payload(), attributes=["team", "api_key_alias", "deployment"])

    assert found._asdict() | found.kind._asdict() == {
        "request_id": "chatcmpl-8f1",
        "trace_id": "trace-1",
        "kind": found.kind,
        "model": "sonnet",
        "response_model": "claude-sonnet-4-6-v2",
        "provider": "bedrock",
        "operation": "chat",
        "status_code": 200,
        "error_type": "",
        "streamed": True,
        "cache_hit": False,
        "finish_reason": "length",
        "attributes": ("web", "search", "deployment-7"),
        "currency": "USD",
        "start_time": START,
        "latency": 4,
        "time_to_first_token": 0.5,
        "input_tokens": 1200,
        "output_tokens": 80,
        "total_tokens": 1280,
        "cached_input_tokens": 1000,
        "cache_creation_input_tokens": 150,
        "reasoning_output_tokens": 30,
        "images": None,
        "seconds": None,
        "characters": None,
        "cost": 0.0123,
        "upstream_time": None,
    }


@pytest.mark.parametrize(
    ("code", "error_class", "status"),
    [
        ("429", "RateLimitError", 429),
        ("500", "APIConnectionError", 500),
        ("invalid_parameter_error", "BadRequestError", 400),
        ("context_length_exceeded", "ContextWindowExceededError", 400),
        ("", "ContentPolicyViolationError", 400),
        (None, "AuthenticationError", 401),
        (None, "PermissionDeniedError", 403),
        (None, "NotFoundError", 404),
        ("TIMEOUT", "Timeout", 408),
        (None, "UnprocessableEntityError", 422),
        (None, "BudgetExceededError", 429),
        (None, "BadGatewayError", 502),
        (None, "ServiceUnavailableError", 503),
        (None, "SomethingNobodyKnows", 500),
        ("4290", "RateLimitError", 429),
        ("600", "", 500),
    ],
)
def test_a_failure_has_the_status_of_its_code_or_else_of_its_class(
    code: str | None, error_class: str, status: int
) -> None:
    kind = record("litellm", failure(code, error_class)).kind

    assert (kind.status_code, kind.error_type) == (status, error_class or str(status))
    assert kind.outcome is Outcome.FAILURE


def test_zero_tokens_of_a_failure_are_none() -> None:
    found = record("litellm", failure("429", "RateLimitError"))

    assert {found.input_tokens, found.output_tokens, found.total_tokens} == {None}
    assert found.time_to_first_token is None


def test_a_stream_that_failed_midway_keeps_its_whole_latency_and_what_it_used() -> None:
    """Its response_time is that to the first token, and it does not say that it was a stream."""
    found = record(
        "litellm",
        failure(
            "500",
            "MidStreamFallbackError",
            completionStartTime=START + 0.5,
            prompt_tokens=1200,
            completion_tokens=7,
        ),
    )

    assert found.latency == 4
    assert found.time_to_first_token is None
    assert (found.input_tokens, found.output_tokens) == (1200, 7)


def test_a_client_that_went_away_is_neither_success_nor_failure() -> None:
    cancelled = record("litellm", failure("500", "CancelledError")).kind
    closed = record("litellm", failure("499", "HTTPException")).kind

    for kind in (cancelled, closed):
        assert (kind.status_code, kind.error_type) == (499, "client_aborted")
        assert kind.outcome is Outcome.ABANDONED


def test_the_end_in_place_of_the_first_token_is_no_time_to_first_token() -> None:
    found = record("litellm", payload(completionStartTime=START + 4))

    assert found.time_to_first_token is None


def test_null_for_stream_means_that_it_was_none() -> None:
    found = record("litellm", payload(stream=None))

    assert (found.kind.streamed, found.time_to_first_token) == (False, None)


@pytest.mark.parametrize("hit", [True, pytest.param("True", id="text")])
def test_a_cache_hit_has_not_used_the_original_answers_tokens_again(hit: object) -> None:
    line = payload(cache_hit=hit, id="chatcmpl-8f1_cache_hit1770000000.1", saved_cache_cost=0.01)
    found = record("litellm", line)

    assert found.kind.cache_hit
    assert found.latency == 4
    assert {found.input_tokens, found.output_tokens, found.total_tokens, found.cost} == {None}
    assert {found.cached_input_tokens, found.time_to_first_token} == {None}


@pytest.mark.parametrize("hit", [None, False, pytest.param("None", id="text")])
def test_a_cache_that_was_not_asked_was_not_hit(hit: object) -> None:
    assert not record("litellm", payload(cache_hit=hit)).kind.cache_hit


def test_times_may_be_strings_without_a_zone() -> None:
    line = payload(
        startTime="2026-03-01 09:20:46.250000",
        completionStartTime="2026-03-01 09:20:46.750000",
        endTime="2026-03-01 09:20:50.250000",
    )
    there = record("litellm", line, zone=timezone(timedelta(hours=2)))
    here = record("litellm", line)

    assert (here.latency, here.time_to_first_token) == (4, 0.5)
    assert here.start_time == 1772356846.25
    assert there.start_time == 1772356846.25 - 2 * 3600


def test_nulls_where_objects_stand_elsewhere_are_absent() -> None:
    found = record(
        "litellm",
        payload(
            error_information=None,
            response=None,
            metadata=None,
            hidden_params=None,
            custom_llm_provider=None,
            trace_id=None,
            model_group="",
        ),
    )

    assert named(found, "model", "provider", "response_model", "trace_id") == {
        "model": "bedrock/claude-sonnet-4-6",
        "provider": "",
        "response_model": "",
        "trace_id": "",
    }


def test_an_answer_that_was_redacted_costs_only_what_stood_in_it() -> None:
    found = record("litellm", payload(response="redacted-by-litellm"))

    assert (found.input_tokens, found.cached_input_tokens) == (1200, None)


def test_null_between_the_objects_of_the_generic_api_is_rejected_and_harms_no_other() -> None:
    decoded = decode("litellm", payload(), "null", payload())

    assert (len(decoded.batch), decoded.rejected) == (2, {"wrong_type": 1})


def test_cached_tokens_are_found_where_the_response_was_not_kept() -> None:
    usage = {
        "prompt_tokens_details": {"cached_tokens": 900},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    found = record("litellm", payload(response={}, metadata={"usage_object": usage}))

    assert (found.cached_input_tokens, found.reasoning_output_tokens) == (900, 20)


def test_the_overhead_of_the_gateway_is_what_the_provider_did_not_take() -> None:
    found = record("litellm", payload(hidden_params={"litellm_overhead_time_ms": 250.0}))

    assert found.upstream_time == 3.75


@pytest.mark.parametrize(
    ("call_type", "operation"),
    [
        ("completion", "chat"),
        ("anthropic_messages", "chat"),
        ("aresponses", "chat"),
        ("agenerate_content_stream", "chat"),
        ("allm_passthrough_route", "chat"),
        ("pass_through_endpoint", "chat"),
        ("atext_completion", "text_completion"),
        ("aembedding", "embeddings"),
        ("aimage_generation", "image_generation"),
        ("aimage_edit", "image_generation"),
        ("acreate_video", "video_generation"),
        ("aspeech", "speech"),
        ("atranscription", "transcription"),
        ("arerank", "rerank"),
        ("amoderation", "moderation"),
        ("_arealtime", "realtime"),
        ("aocr", "other"),
        ("", "chat"),
    ],
)
def test_the_call_type_tells_the_operation(call_type: str, operation: str) -> None:
    assert record("litellm", payload(call_type=call_type)).kind.operation == operation


@pytest.mark.parametrize(
    "call_type",
    [
        *("call_mcp_tool", "list_mcp_tools", "acreate_batch", "aretrieve_batch", "afile_content"),
        *("acreate_file", "avector_store_search", "acreate_container", "avideo_content"),
        *("create_fine_tuning_job", "aget_assistants", "a_add_message", "aget_messages"),
        *(
            "asend_message",
            "alist_input_items",
            "acreate_skill",
            "arun_thread",
            "adelete_responses",
        ),
    ],
)
def test_calls_that_ask_nothing_of_a_model_are_skipped(call_type: str) -> None:
    decoded = decode("litellm", payload(call_type=call_type))

    assert (len(decoded.batch), decoded.skipped) == (0, 1)


def test_its_own_log_in_the_same_output_is_no_request() -> None:
    access = {
        "message": '10.0.0.7:57640 - "POST /v1/chat/completions HTTP/1.1" 200',
        "level": "INFO",
    }
    error = {"message": "Exception occured", "level": "ERROR", "stacktrace": "Traceback"}
    decoded = decode("litellm", access, payload(), error)

    assert (len(decoded.batch), decoded.skipped, decoded.rejected) == (1, 2, {})


def test_its_own_health_checks_are_skipped_but_not_what_a_client_calls_one() -> None:
    own = payload(metadata={"user_api_key_alias": "litellm-internal-health-check"})
    claimed = payload(request_tags=["litellm-internal-health-check"])
    decoded = decode("litellm", own, claimed)

    assert (len(decoded.batch), decoded.skipped) == (1, 1)


def test_images_are_counted_only_where_images_were_asked_for() -> None:
    made = payload(call_type="aimage_generation", response={"data": [{"b64": "a"}, {"b64": "b"}]})
    embedded = payload(call_type="aembedding", response={"data": [{"embedding": [0.1]}]})

    assert record("litellm", made).images == 2
    assert record("litellm", embedded).images is None


@pytest.mark.parametrize(("usage", "parameters"), [({"output_image_count": 3}, {}), ({}, {"n": 3})])
def test_without_messages_images_are_as_many_as_were_counted_or_asked_for(
    usage: dict[str, Any], parameters: dict[str, Any]
) -> None:
    told = {"metadata": {"usage_object": usage}, "model_parameters": parameters}
    line = payload(call_type="aimage_generation", response={"text": "redacted-by-litellm"}, **told)

    assert record("litellm", line).images == 3
    assert record("litellm", payload(**told)).images is None


@pytest.mark.parametrize(
    ("call_type", "usage"),
    [
        ("avideo_generation", {"duration_seconds": 8.0}),
        ("atranscription", {"type": "duration", "seconds": 8}),
    ],
)
def test_seconds_are_known_without_messages(call_type: str, usage: dict[str, Any]) -> None:
    line = payload(
        call_type=call_type,
        metadata={"usage_object": usage},
        response={"text": "redacted-by-litellm"},
    )

    assert record("litellm", line).seconds == 8


def test_a_guardrail_that_stepped_in_shows_as_the_reason_why_it_ended() -> None:
    line = payload(response={}, status_fields={"guardrail_status": "guardrail_intervened"})

    assert record("litellm", line).kind.finish_reason == "guardrail_intervened"


def test_an_attempt_keeps_an_id_of_its_own_and_shares_the_trace_of_its_request() -> None:
    attempts = [failure("429", "RateLimitError", id="a"), payload(id="b")]
    found = [record("litellm", attempt) for attempt in attempts]

    assert [(each.request_id, each.trace_id) for each in found] == [
        ("a", "trace-1"),
        ("b", "trace-1"),
    ]
