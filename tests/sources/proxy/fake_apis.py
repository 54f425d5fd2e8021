"""An upstream that speaks OpenAI's and Anthropic's APIs as their SDKs understand them.

The model's name says what happens: `plain`, `tools`, `slow`, `limited`, `broken`.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.sources.proxy.upstreams import STREAM_HEAD, Received, Wire, answering

WORDS = ["Hello", ", ", "world", "!"]
INPUT, OUTPUT, CACHED = 21, 9, 4


@dataclass
class FakeApis:
    """Answers, and keeps the bytes of each answer's body."""

    sent: list[bytes] = field(default_factory=list)

    async def answer(self, request: Received, wire: Wire) -> None:
        asked: dict[str, Any] = json.loads(request.body)
        path = request.target.partition("?")[0]
        speak = {
            "/v1/chat/completions": (_chat, _chat_events),
            "/v1/responses": (_response, _response_events),
            "/v1/messages": (_message, _message_events),
            "/v1/embeddings": (_embedding, _no_events),
        }
        whole, events = speak[path]
        if asked["model"] == "limited":
            error = {"type": "rate_limit_error", "code": "rate_limited", "message": "slow down"}
            await self._send(wire, {"type": "error", "error": error}, "429 Too Many Requests")
        elif asked.get("stream"):
            await self._stream(wire, events(asked), asked["model"])
        else:
            await self._send(wire, whole(asked), "200 OK")

    async def _send(self, wire: Wire, answer: Any, status: str) -> None:
        body = json.dumps(answer).encode()
        self.sent.append(body)
        await answering(body, status)(Received("", "", []), wire)

    async def _stream(self, wire: Wire, events: Iterable[bytes], model: str) -> None:
        await wire.send(STREAM_HEAD)
        sent = b""
        for number, event in enumerate(events):
            if model == "broken" and number == 3:
                wire.cut()
                break
            await wire.chunk(event)
            sent += event
            if model == "slow":
                await asyncio.sleep(0.1)
        else:
            await wire.end_chunks()
        self.sent.append(sent)


def _data(*events: Any) -> Iterable[bytes]:
    for event in events:
        name = f"event: {event['type']}\n" if "type" in event else ""
        yield f"{name}data: {json.dumps(event)}\n\n".encode()


def _no_events(_: dict[str, Any]) -> Iterable[bytes]:
    return ()


CALL = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"at":"x"}'}}


def _usage() -> dict[str, Any]:
    return {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "total_tokens": INPUT + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }


def _chat(asked: dict[str, Any]) -> dict[str, Any]:
    tools = asked["model"] == "tools"
    message: dict[str, Any] = {"role": "assistant", "content": None if tools else "".join(WORDS)}
    if tools:
        message["tool_calls"] = [CALL]
    choice: dict[str, Any] = {
        "index": 0,
        "message": message,
        "finish_reason": "tool_calls" if tools else "stop",
    }
    return _completion("chat.completion", [choice], asked) | {"usage": _usage()}


def _completion(kind: str, choices: list[Any], asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1_790_000_000,
        "model": f"{asked['model']}-2026",
        "choices": choices,
    }


def _chat_events(asked: dict[str, Any]) -> Iterable[bytes]:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if asked["model"] == "tools":
        deltas.append({"tool_calls": [{"index": 0, **CALL}]})
    else:
        deltas += [{"content": word} for word in WORDS]
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [_completion("chat.completion.chunk", [choice], asked) for choice in choices]
    if (asked.get("stream_options") or {}).get("include_usage"):
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append(_completion("chat.completion.chunk", [], asked) | {"usage": _usage()})
    yield from _data(*chunks)
    yield b"data: [DONE]\n\n"


def _response(asked: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    item = {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [text],
    }
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": f"{asked['model']}-2026",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "usage": {
            "input_tokens": INPUT,
            "output_tokens": OUTPUT,
            "total_tokens": INPUT + OUTPUT,
            "input_tokens_details": {"cached_tokens": CACHED},
            "output_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _response_events(asked: dict[str, Any]) -> Iterable[bytes]:
    done = _response(asked)
    begun = {**done, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg-1", "output_index": 0, "content_index": 0, "logprobs": []}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        *({"type": "response.output_text.delta", **place, "delta": word} for word in WORDS),
        {"type": "response.completed", "response": done},
    ]
    yield from _data(*({**each, "sequence_number": n} for n, each in enumerate(events)))


def _message(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "model": f"{asked['model']}-2026",
        "content": [{"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": INPUT - CACHED,
            "cache_read_input_tokens": CACHED,
            "cache_creation_input_tokens": 0,
            "output_tokens": OUTPUT,
        },
    }


def _message_events(asked: dict[str, Any]) -> Iterable[bytes]:
    done = _message(asked)
    begun = {**done, "content": [], "stop_reason": None}
    begun["usage"] = {**done["usage"], "output_tokens": 1}
    deltas = [{"type": "text_delta", "text": word} for word in WORDS]
    block: dict[str, Any] = {"type": "text", "text": ""}
    if asked["model"] == "tools":
        block = {"type": "tool_use", "id": "c", "name": "weather", "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": '{"at":"x"}'}]
    yield from _data(
        {"type": "message_start", "message": begun},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": OUTPUT},
        },
        {"type": "message_stop"},
    )


def _embedding(asked: dict[str, Any]) -> dict[str, Any]:
    return {
        "object": "list",
        "model": f"{asked['model']}-2026",
        "data": [{"object": "embedding", "index": 0, "embedding": "AACAPwAAAEA="}],
        "usage": {"prompt_tokens": INPUT, "total_tokens": INPUT},
    }
