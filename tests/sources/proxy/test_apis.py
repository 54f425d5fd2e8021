"""What the APIs' requests and answers tell, each in its own shape."""

import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from exporter.record import Record
from exporter.sources.proxy.apis import Asked, api_of, asked, path_class
from exporter.sources.proxy.observation import Caller, Ending, Observation

CHAT, LEGACY, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
MESSAGES = "/v1/messages"
AIGC = "/api/v1/services/aigc"
QWEN = f"{AIGC}/text-generation/generation"
CALLER = Caller("id", "", "openai", 1_790_000_000.0, ())
EVENT_STREAM = b"text/event-stream"
SPOKEN = api_of("POST", "/v1/audio/transcriptions")


def observed(
    path: str,
    body: Any,
    *events: Any,
    answer: Any = None,
    status: int = 200,
    ending: Ending = "whole",
    content_type: bytes = b"application/json",
) -> Record:
    """The record of an answer with a body, or with events a tenth of a second apart."""
    observation = Observation(Asked(api_of("POST", path)), CALLER, 1 << 20)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    observation.take_request(sent, content_type)
    if events:
        observation.take_head(status, EVENT_STREAM, b"")
        for number, event in enumerate(events, 1):
            data = event if isinstance(event, str) else json.dumps(event)
            text = f"event: x\ndata: {data}\n\n"
            observation.take_part(text.encode(), number / 10)
    else:
        observation.take_head(status, b"application/json; charset=utf-8", b"")
        observation.take_part(json.dumps(answer).encode(), 0.1)
    assert observation.unparsed == 0
    return observation.end(ending, 10.0)


def figures(record: Record) -> dict[str, float]:
    """Those that are known, but for times."""
    times = ("start_time", "latency", "time_to_first_token")
    return {
        name: value
        for name, value in record._asdict().items()
        if isinstance(value, float) and name not in times
    }


def delta(**fields: Any) -> dict[str, Any]:
    return {"model": "m-1", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 30,
    "total_tokens": 130,
    "prompt_tokens_details": {"cached_tokens": 64},
    "completion_tokens_details": {"reasoning_tokens": 12},
}
FIGURES = {
    "input_tokens": 100.0,
    "output_tokens": 30.0,
    "total_tokens": 130.0,
    "cached_input_tokens": 64.0,
    "reasoning_output_tokens": 12.0,
}


def test_a_chat_completion_tells_its_usage() -> None:
    choice = {"message": {"content": "x"}, "finish_reason": "length"}
    answer = {"model": "m-1", "choices": [choice], "usage": USAGE}
    record = observed(CHAT, {"model": "m"}, answer=answer)
    assert figures(record) == FIGURES
    assert (record.kind.model, record.kind.response_model) == ("m", "m-1")
    assert (record.kind.finish_reason, record.kind.error_type) == ("length", "")
    assert (record.kind.streamed, record.time_to_first_token) == (False, None)


@pytest.mark.parametrize(
    "first",
    [
        delta(content="x"),
        delta(reasoning_content="hm"),
        delta(reasoning="hm"),
        delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]),
        delta(refusal="no"),
        {"choices": [{"text": "x"}]},
    ],
)
def test_the_first_token_is_the_first_output_and_not_the_role(first: Any) -> None:
    events = [
        delta(role="assistant", content=""),
        {**delta(role="assistant", content=None), "usage": None},
        first,
        delta(content="more"),
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": USAGE},
        "[DONE]",
    ]
    record = observed(CHAT, {"model": "m", "stream": True}, *events)
    assert record.time_to_first_token == 0.3
    assert figures(record) == FIGURES
    assert (record.kind.streamed, record.kind.error_type) == (True, "")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_usage_may_come_in_any_event(place: int) -> None:
    events: list[Any] = [delta(content="x"), delta(content="y"), delta(content="z")]
    events[place]["usage"] = USAGE
    assert figures(observed(CHAT, {}, *events, "[DONE]")) == FIGURES


def test_usage_in_each_event_is_the_last_ones() -> None:
    events = [
        {**delta(content="x"), "usage": {**USAGE, "completion_tokens": n}} for n in (1, 2, 30)
    ]
    assert figures(observed(CHAT, {}, *events, "[DONE]")) == FIGURES


def test_responses_tell_usage_in_their_last_event() -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 30,
        "total_tokens": 130,
        "input_tokens_details": {"cached_tokens": 64},
        "output_tokens_details": {"reasoning_tokens": 12},
    }
    events = [
        {"type": "response.created", "response": {"status": "in_progress", "usage": None}},
        {"type": "response.output_item.added", "item": {"type": "message"}},
        {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
        {"type": "response.output_text.delta", "delta": "x"},
        {
            "type": "response.completed",
            "response": {"model": "m-1", "status": "completed", "usage": usage, "error": None},
        },
    ]
    record = observed(RESPONSES, {"model": "m", "stream": True}, *events)
    assert figures(record) == FIGURES
    assert record.time_to_first_token == 0.3
    assert (record.kind.operation, record.kind.response_model) == ("chat", "m-1")
    whole = observed(RESPONSES, {}, answer={"model": "m-1", "output": [{}], "usage": usage})
    assert figures(whole) == FIGURES


@pytest.mark.parametrize(("path", "prefix"), [(CHAT, "prompt_tokens"), (RESPONSES, "input_tokens")])
@pytest.mark.parametrize("name", ["cache_creation_input_tokens", "cache_write_tokens"])
def test_tokens_that_were_written_to_the_cache_have_several_names(
    path: str, prefix: str, name: str
) -> None:
    usage = {prefix: 100, f"{prefix}_details": {"cached_tokens": 64, name: 16}}
    assert figures(observed(path, {}, answer={"usage": usage})) == {
        "input_tokens": 100.0,
        "cached_input_tokens": 64.0,
        "cache_creation_input_tokens": 16.0,
    }


@pytest.mark.parametrize(
    ("last", "error_type", "reason"),
    [
        (
            {"type": "response.failed", "response": {"error": {"code": "server_error"}}},
            "server_error",
            "",
        ),
        (
            {
                "type": "response.incomplete",
                "response": {"incomplete_details": {"reason": "content_filter"}},
            },
            "",
            "content_filter",
        ),
        (
            {"type": "error", "code": "rate_limit_exceeded", "message": "x"},
            "rate_limit_exceeded",
            "",
        ),
        (
            {"error": {"message": "secret words", "type": "overloaded", "code": None}},
            "overloaded",
            "",
        ),
        ({"error": "secret words"}, "error", ""),
    ],
)
def test_a_stream_that_ends_with_an_error_is_a_failure(
    last: Any, error_type: str, reason: str
) -> None:
    begun = {"type": "response.output_text.delta", "delta": "x"}
    record = observed(RESPONSES, {"stream": True}, begun, last)
    assert (record.kind.error_type, record.kind.finish_reason) == (error_type, reason)
    assert record.kind.status_code == 200


ANTHROPIC: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "model": "claude-x-1",
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 80,
                "cache_creation_input_tokens": 5,
                "output_tokens": 1,
            },
        },
    },
    {"type": "ping"},
    {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}},
    {"type": "content_block_stop"},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 30},
    },
    {"type": "message_stop"},
]
ANTHROPIC_FIGURES = {
    "input_tokens": 95.0,
    "output_tokens": 30.0,
    "cached_input_tokens": 80.0,
    "cache_creation_input_tokens": 5.0,
}


def test_anthropics_stream_tells_its_usage_in_two_events() -> None:
    record = observed(MESSAGES, {"model": "claude-x", "stream": True}, *ANTHROPIC)
    assert figures(record) == ANTHROPIC_FIGURES
    assert record.time_to_first_token == 0.4
    assert (record.kind.response_model, record.kind.finish_reason) == ("claude-x-1", "end_turn")
    assert record.kind.error_type == ""


@pytest.mark.parametrize(
    "usage",
    [
        {"output_tokens": 30, "input_tokens": 10},
        {
            "output_tokens": 30,
            "input_tokens": 10,
            "cache_read_input_tokens": 80,
            "cache_creation_input_tokens": 5,
        },
    ],
)
def test_anthropics_last_event_may_tell_the_input_again(usage: Any) -> None:
    events = [{**event, "usage": usage} if "usage" in event else event for event in ANTHROPIC]
    assert figures(observed(MESSAGES, {"stream": True}, *events)) == ANTHROPIC_FIGURES


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f"}},
        {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}},
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
    ],
)
def test_tools_and_thinking_are_output_of_anthropics_too(event: Any) -> None:
    events = [*ANTHROPIC[:3], event, *ANTHROPIC[3:]]
    assert observed(MESSAGES, {"stream": True}, *events).time_to_first_token == 0.4


def test_anthropics_errors_have_a_type_within_a_stream_and_without() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    inside = observed(MESSAGES, {"stream": True}, *ANTHROPIC[:4], error)
    assert inside.kind.error_type == "overloaded_error"
    whole = observed(MESSAGES, {}, answer=error, status=529)
    assert (whole.kind.status_code, whole.kind.error_type) == (529, "overloaded_error")


def test_anthropics_whole_message_tells_its_usage() -> None:
    usage = {**ANTHROPIC[0]["message"]["usage"], "output_tokens": 30}
    answer = {"type": "message", "model": "claude-x-1", "stop_reason": "refusal", "usage": usage}
    record = observed(MESSAGES, {"model": "claude-x"}, answer=answer)
    assert figures(record) == ANTHROPIC_FIGURES
    assert record.kind.finish_reason == "refusal"


def test_dashscopes_stream_goes_on_while_its_finish_reason_is_null_in_quotes() -> None:
    def event(text: str, reason: str, output_tokens: int) -> dict[str, Any]:
        choice = {"message": {"content": text, "role": "assistant"}, "finish_reason": reason}
        usage = {"input_tokens": 20, "output_tokens": output_tokens, "total_tokens": 20}
        return {"output": {"choices": [choice]}, "usage": usage, "request_id": "r"}

    events = [event("", "null", 0), event("a", "null", 1), event("b", "stop", 9)]
    record = observed(QWEN, {"model": "qwen-max", "input": {"messages": []}}, *events)
    assert (record.input_tokens, record.output_tokens) == (20, 9)
    assert record.time_to_first_token == 0.2
    assert (record.kind.finish_reason, record.kind.error_type) == ("stop", "")
    cut = observed(QWEN, {}, *events[:2])
    assert cut.kind.error_type == "stream_aborted"


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        (CHAT, "chat"),
        ("/openai/deployments/x/chat/completions", "chat"),
        ("/compatible-mode/v1/chat/completions", "chat"),
        (LEGACY, "text_completion"),
        (RESPONSES, "chat"),
        (MESSAGES, "chat"),
        ("/v1/embeddings", "embeddings"),
        ("/v1/images/generations", "image_generation"),
        ("/v1/images/edits", "image_generation"),
        ("/v1/audio/speech", "speech"),
        ("/v1/audio/transcriptions", "transcription"),
        ("/v1/audio/translations", "translation"),
        ("/v1/moderations", "moderation"),
        (QWEN, "chat"),
        (f"{AIGC}/multimodal-generation/generation", "chat"),
        (f"{AIGC}/text2image/image-synthesis", "image_generation"),
        (f"{AIGC}/video-generation/video-synthesis", "video_generation"),
        ("/api/v1/services/audio/asr/transcription", "transcription"),
        ("/api/v1/services/audio/tts/synthesis", "speech"),
        ("/api/v1/services/audio/speech-translation", "translation"),
        ("/api/v1/services/embeddings/text-embedding/text-embedding", "embeddings"),
    ],
)
def test_each_path_has_its_operation(path: str, operation: str) -> None:
    api = api_of("POST", path)
    assert (api.operation, api.is_known) == (operation, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", CHAT),
        ("POST", "/v1/threads/t/messages"),
        ("POST", "/v1/files"),
        ("GET", "/"),
    ],
)
def test_what_is_no_model_request_goes_through_uncounted(method: str, path: str) -> None:
    assert not api_of(method, path).is_known


def test_long_paths_are_not_remembered() -> None:
    tracemalloc.start()
    for number in range(300):
        assert not api_of("POST", f"/{number}/" + "x" * 50_000).is_known
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000


def test_path_classes_are_few() -> None:
    assert [path_class(path) for path in ("/v1/models/x", "/v1/files", "/x/y")] == [
        "models",
        "files",
        "other",
    ]


@pytest.mark.parametrize(
    ("path", "request_", "answer", "expected"),
    [
        (
            "/v1/embeddings",
            {"model": "m", "input": ["a", "b"]},
            {"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
            {"input_tokens": 8.0, "total_tokens": 8.0},
        ),
        (
            "/api/v1/services/embeddings/text-embedding/text-embedding",
            {"model": "text-embedding-v4", "input": {"texts": ["a"]}},
            {"output": {"embeddings": [{"text_index": 0}]}, "usage": {"total_tokens": 27}},
            {"input_tokens": 27.0, "total_tokens": 27.0},
        ),
        (
            "/api/v1/services/rerank/text-rerank/text-rerank",
            {"model": "gte-rerank-v2", "input": {"query": "a", "documents": ["b"]}},
            {"output": {"results": [{"index": 0}]}, "usage": {"total_tokens": 79}},
            {"input_tokens": 79.0, "total_tokens": 79.0},
        ),
        (
            "/compatible-api/v1/reranks",
            {"model": "qwen3-rerank", "query": "a", "documents": ["b"]},
            {"object": "list", "results": [{"index": 0}], "usage": {"total_tokens": 79}},
            {"input_tokens": 79.0, "total_tokens": 79.0},
        ),
        (
            "/v1/images/generations",
            {"model": "m", "prompt": "a cat", "n": 2},
            {"created": 1, "data": [{"url": "x"}, {"url": "y"}]},
            {"images": 2.0},
        ),
        (
            "/v1/audio/transcriptions",
            {"model": "m"},
            {"text": "x", "usage": {"type": "duration", "seconds": 12}},
            {"seconds": 12.0},
        ),
        (
            "/v1/audio/translations",
            {"model": "m"},
            {"text": "x", "duration": "3.5"},
            {"seconds": 3.5},
        ),
        ("/v1/moderations", {"model": "m"}, {"model": "m", "results": [{"flagged": True}]}, {}),
        (
            f"{AIGC}/text2image/image-synthesis",
            {"model": "wanx"},
            {"output": {"results": [{"url": "x"}]}, "usage": {"image_count": 1}},
            {"images": 1.0},
        ),
        (
            f"{AIGC}/text2image/image-synthesis",
            {"model": "wanx"},
            {"output": {"results": [{"url": "x"}, {"url": "y"}]}},
            {"images": 2.0},
        ),
        (
            f"{AIGC}/image2image/image-synthesis",
            {"model": "wanx"},
            {"output": {"results": {"url": "x"}}, "usage": {"input_tokens": 4}},
            {"input_tokens": 4.0},
        ),
        (
            f"{AIGC}/video-generation/video-synthesis",
            {"model": "wan"},
            {"output": {"task_status": "SUCCEEDED"}, "usage": {"video_duration": 5}},
            {"seconds": 5.0},
        ),
        (
            f"{AIGC}/multimodal-generation/generation",
            {"model": "qwen-tts", "input": {"text": "hallo", "voice": "v"}},
            {"output": {"audio": {"url": "x"}}, "usage": {"input_tokens": 4, "output_tokens": 9}},
            {"input_tokens": 4.0, "output_tokens": 9.0, "characters": 5.0},
        ),
    ],
)
def test_each_api_tells_its_units(
    path: str, request_: Any, answer: Any, expected: dict[str, float]
) -> None:
    assert figures(observed(path, request_, answer=answer)) == expected


def test_speech_is_billed_by_the_characters_that_are_asked_for() -> None:
    observation = Observation(Asked(api_of("POST", "/v1/audio/speech")), CALLER, 1 << 20)
    body = json.dumps({"model": "tts-1", "input": "héllo"}, ensure_ascii=False).encode()
    observation.take_request(body, b"application/json")
    observation.take_head(200, b"audio/mpeg", b"")
    observation.take_part(b"\xff\xfb", 0.1)
    assert figures(observation.end("whole", 1.0)) == {"characters": 5.0}


def test_the_model_is_found_in_a_form() -> None:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: audio/wav\r\n\r\nRIFF\x00\xff\r\n--x\r\n"
        b'Content-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n'
    )
    record = observed(
        "/v1/audio/transcriptions", form, answer={"text": "x"}, content_type=b"multipart/form-data"
    )
    assert record.kind.model == "whisper-1"


def test_the_model_is_found_behind_headers_of_its_part() -> None:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="model"\r\n'
        b"Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nwhisper-1\r\n--x--\r\n"
    )
    record = observed(
        "/v1/audio/transcriptions", form, answer={"text": "x"}, content_type=b"multipart/form-data"
    )
    assert record.kind.model == "whisper-1"


@pytest.mark.parametrize(
    "look",
    [
        lambda: asked(SPOKEN, b'name="model"\r\n' * 10_000, b"multipart/form-data"),
        lambda: api_of("POST", "/services/audio/" * 40_000),
    ],
    ids=["a part that begins again and again", "a path of places"],
)
def test_what_a_client_repeats_takes_no_time(look: Callable[[], object]) -> None:
    began = time.thread_time()
    look()
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    ("answer", "status", "error_type"),
    [
        ({"error": {"code": "rate_limit_exceeded", "type": "tokens"}}, 429, "rate_limit_exceeded"),
        ({"error": {"code": None, "type": "invalid_request_error"}}, 400, "invalid_request_error"),
        ({"error": {"code": 400, "message": "x"}}, 400, "400"),
        ({"code": "DataInspectionFailed", "message": "x"}, 400, "DataInspectionFailed"),
        ({"code": "Throttling.RateQuota"}, 429, "Throttling.RateQuota"),
        ({"error": {"code": "a whole sentence of somebody's words"}}, 500, "500"),
        ({"detail": "x"}, 404, "404"),
    ],
)
def test_an_error_is_called_by_its_code(answer: Any, status: int, error_type: str) -> None:
    record = observed(CHAT, {"model": "m", "stream": True}, answer=answer, status=status)
    assert (record.kind.status_code, record.kind.error_type) == (status, error_type)
    assert record.kind.streamed


STREAM = [delta(content="x"), {"choices": [{"delta": {}, "finish_reason": "stop"}]}, "[DONE]"]


@pytest.mark.parametrize(
    ("events", "ending", "error_type"),
    [
        (STREAM, "whole", ""),
        (STREAM, "client_left", ""),
        (STREAM, "cut", ""),
        (STREAM[:2], "whole", ""),
        (STREAM[:1], "whole", "stream_aborted"),
        (STREAM[:2], "cut", "stream_aborted"),
        (STREAM[:1], "cut", "stream_aborted"),
        (STREAM[:2], "client_left", "client_aborted"),
        (STREAM[:1], "client_left", "client_aborted"),
    ],
)
def test_how_a_stream_ended_decides_whether_it_is_a_success(
    events: list[Any], ending: Ending, error_type: str
) -> None:
    record = observed(CHAT, {"stream": True}, *events, ending=ending)
    assert (record.kind.status_code, record.kind.error_type) == (200, error_type)


@pytest.mark.parametrize(
    ("ending", "error_type"),
    [("cut", "upstream_aborted"), ("client_left", "client_aborted")],
)
def test_a_body_that_was_not_passed_on_whole_is_no_success(ending: Ending, error_type: str) -> None:
    assert observed(CHAT, {}, answer={}, ending=ending).kind.error_type == error_type


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": 7}', b'{"stream": "x"}'])
def test_a_body_that_is_not_understood_is_no_trouble(body: bytes) -> None:
    record = observed(CHAT, body, answer={"usage": USAGE})
    assert figures(record) == FIGURES


@pytest.mark.parametrize(
    "part",
    [
        b"data: {\n\n",
        b'data: {"usage": {"prompt_tokens": "many"}}\n\n',
        b"data: \xff\n\n",
        b'data: {"model": "\xff"}\n\n',
        b"data: 7\n\n",
    ],
)
def test_an_event_that_is_not_understood_is_counted_and_passed_over(part: bytes) -> None:
    observation = Observation(Asked(api_of("POST", CHAT)), CALLER, 1 << 20)
    observation.take_head(200, EVENT_STREAM, b"")
    good = b'data: {"usage": {"prompt_tokens": 3}}\n\ndata: [DONE]\n\n'
    observation.take_part(part + good, 0.1)
    record = observation.end("whole", 1.0)
    assert (record.input_tokens, observation.unparsed) == (3.0, 1)


ODD: list[dict[str, Any]] = [
    {"message": ["x"]},
    {"output": {"choices": "x"}},
    {"type": 7, "error": False, "item": [1], "code": []},
]


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_such_thing_as_elsewhere_loses_nothing_beside_it(odd: Any) -> None:
    answer = {"model": "m-1", **odd, "usage": USAGE}
    whole = Observation(Asked(api_of("POST", CHAT)), CALLER, 1 << 20)
    whole.take_head(200, b"application/json", b"")
    whole.take_part(json.dumps(answer).encode(), 0.1)
    stream = Observation(Asked(api_of("POST", CHAT)), CALLER, 1 << 20)
    stream.take_head(200, EVENT_STREAM, b"")
    event = {**delta(content="x"), **answer}
    stream.take_part(b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(event).encode(), 0.1)
    for observation in (whole, stream):
        record = observation.end("whole", 1.0)
        assert figures(record) == FIGURES
        assert (record.kind.response_model, record.kind.error_type) == ("m-1", "")
        assert observation.unparsed == 1
    assert record.time_to_first_token == 0.1


def test_events_before_a_part_that_does_not_unpack_count() -> None:
    observation = Observation(Asked(api_of("POST", CHAT)), CALLER, 1 << 20)
    observation.take_head(200, EVENT_STREAM, b"gzip")
    packer = zlib.compressobj(wbits=31)
    for event in ({"choices": [{"delta": {"content": "a"}}]}, {"usage": {"prompt_tokens": 3}}):
        packed = packer.compress(f"data: {json.dumps(event)}\n\n".encode())
        observation.take_part(packed + packer.flush(zlib.Z_SYNC_FLUSH), 0.1)
    observation.take_part(b"\xff" * 100, 0.2)
    record = observation.end("cut", 1.0)
    assert (record.input_tokens, observation.unparsed) == (3.0, 1)


@pytest.mark.parametrize(
    ("most_bytes", "model", "found", "unparsed"),
    [(4 << 20, "m", FIGURES, 0), (1 << 20, "", {}, 2)],
)
def test_packed_bodies_are_looked_into_up_to_the_limit(
    most_bytes: int, model: str, found: dict[str, float], unparsed: int
) -> None:
    observation = Observation(Asked(api_of("POST", CHAT)), CALLER, most_bytes)
    padding = "x" * (2 << 20)
    question = json.dumps({"padding": padding, "model": "m"}).encode()
    observation.take_request(gzip.compress(question), b"application/json", b"gzip")
    observation.take_head(200, b"application/json", b"gzip")
    answer = json.dumps({"padding": padding, "usage": USAGE}).encode()
    observation.take_part(gzip.compress(answer), 0.1)
    record = observation.end("whole", 1.0)
    assert (record.kind.model, figures(record)) == (model, found)
    assert observation.unparsed == unparsed


def test_a_name_that_is_not_utf_8_is_unknown_and_loses_nothing_beside_it() -> None:
    observation = Observation(Asked(api_of("POST", CHAT)), CALLER, 1 << 20)
    observation.take_request(b'{"model": "\xff"}', b"application/json")
    observation.take_head(200, b"application/json", b"")
    observation.take_part(b'{"model": "\xff", "usage": {"prompt_tokens": 3}}', 0.1)
    record = observation.end("whole", 1.0)
    assert (record.kind.model, record.kind.response_model) == ("", "")
    assert (record.kind.error_type, record.input_tokens) == ("", 3.0)


def test_a_body_beyond_the_limit_is_not_looked_into() -> None:
    observation = Observation(Asked(api_of("POST", CHAT)), CALLER, 100)
    observation.take_head(200, b"application/json", b"")
    for _ in range(11):
        observation.take_part(b" " * 10, 0.1)
    record = observation.end("whole", 1.0)
    assert (record.kind.error_type, observation.unparsed) == ("", 1)
