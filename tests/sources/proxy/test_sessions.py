"""WebSockets go through, and a session is one request."""

import asyncio
import json
import time
import tracemalloc
from functools import partial
from itertools import cycle
from operator import xor
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exporter.sources.proxy.tunnel import Messages
from tests.sources.proxy.conftest import Proxied, StartProxy
from tests.sources.proxy.upstreams import answering
from tests.web.serving import read_to_end

REALTIME, INFERENCE = "/v1/realtime?model=gpt-realtime", "/api-ws/v1/inference"
USAGE = {
    "input_tokens": 10,
    "output_tokens": 4,
    "input_token_details": {"cached_tokens": 3, "audio_tokens": 10},
    "output_token_details": {"reasoning_tokens": 1},
}
DONE = {"type": "response.done", "response": {"status": "completed", "usage": USAGE}}


RUN_TASK = {
    "header": {"action": "run-task", "task_id": "t", "streaming": "duplex"},
    "payload": {"task_group": "audio", "model": "cosyvoice-v3-flash", "input": {}},
}
EVENTS: list[tuple[str, Any]] = [
    ("task-started", {}),
    ("result-generated", {"output": {"sentence": {"words": []}}, "usage": None}),
    ("result-generated", {"output": {}, "usage": {"characters": 5, "duration": 2}}),
    ("result-generated", {"output": {}, "usage": {"characters": 9, "duration": 3}}),
    ("task-finished", {"output": {}, "usage": None}),
]


async def realtime(request: web.Request) -> web.WebSocketResponse:
    """Echoes what it gets; tells the usage of an answer for each message."""
    socket = web.WebSocketResponse(compress=True)
    await socket.prepare(request)
    async for message in socket:
        if message.type == aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        else:
            await socket.send_str(message.data)
            await socket.send_json(DONE)
    return socket


async def inference(request: web.Request) -> web.WebSocketResponse:
    """Tells of each task, again and again, what it came to so far."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == aiohttp.WSMsgType.TEXT:
            for event, payload in EVENTS:
                await socket.send_json({"header": {"event": event}, "payload": payload})
    return socket


def session(start_proxy: StartProxy, talk: Any, target: str = REALTIME) -> Proxied:
    """A proxy before a real WebSocket server, after `talk` with it."""
    first = start_proxy(answering(b""))

    async def listen() -> tuple[web.AppRunner, int]:
        app = web.Application()
        app.router.add_get("/v1/realtime", realtime)
        app.router.add_get(INFERENCE, inference)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    runner, port = first.loop.run(listen())
    proxy = start_proxy(answering(b""), upstream=f"http://127.0.0.1:{port}")

    async def run() -> None:
        async with aiohttp.ClientSession() as client:
            url = f"ws://127.0.0.1:{proxy.port}{target}"
            id_ = {"X-Request-Id": "s-1"}
            async with client.ws_connect(url, headers=id_, compress=15) as socket:
                await talk(socket)

    try:
        asyncio.run(run())
    finally:
        first.loop.run(runner.cleanup())
    return proxy


def test_messages_go_both_ways_and_usage_is_summed(start_proxy: StartProxy) -> None:
    async def talk(socket: aiohttp.ClientWebSocketResponse) -> None:
        for text in ("a", "b" * 70_000):
            await socket.send_str(text)
            assert await socket.receive_str() == text
            assert await socket.receive_json() == DONE
        sound = bytes(range(256)) * 1000
        await socket.send_bytes(sound)
        assert await socket.receive_bytes() == sound

    record = session(start_proxy, talk).record()
    assert (record.input_tokens, record.output_tokens) == (20, 8)
    assert (record.cached_input_tokens, record.reasoning_output_tokens) == (6, 2)
    assert (record.kind.operation, record.kind.status_code) == ("realtime", 200)
    assert (record.kind.error_type, record.request_id) == ("", "s-1")
    assert record.kind.model == "gpt-realtime"


def test_the_tasks_of_a_session_are_summed_each_by_its_last_figures(
    start_proxy: StartProxy,
) -> None:
    async def talk(socket: aiohttp.ClientWebSocketResponse) -> None:
        await socket.send_bytes(bytes(range(256)))
        for _ in range(2):
            await socket.send_json(RUN_TASK)
            for event, _payload in EVENTS:
                assert (await socket.receive_json())["header"]["event"] == event

    record = session(start_proxy, talk, INFERENCE).record()
    assert (record.characters, record.seconds) == (18, 6)
    assert (record.kind.provider, record.kind.operation) == ("dashscope", "realtime")
    assert record.kind.model == "cosyvoice-v3-flash"


def test_a_session_that_is_refused_ends_its_connection(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(b"{}", "401 Unauthorized"))
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    with proxy.raw(b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (REALTIME.encode(), upgrade)) as s:
        got = read_to_end(s)
    assert got.startswith(b"HTTP/1.1 401 ")
    assert b"Connection: close\r\n" in got
    assert proxy.record().kind.status_code == 401


def frame(payload: bytes, opcode: int = 1, last: bool = True, mask: bytes = b"") -> bytes:
    size, is_masked = len(payload), 0x80 if mask else 0
    if size < 126:
        length = bytes([is_masked | size])
    elif size < 1 << 16:
        length = bytes([is_masked | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([is_masked | 127]) + size.to_bytes(8, "big")
    if mask:
        payload = mask + bytes(map(xor, payload, cycle(mask)))
    return bytes([opcode | 0x80 * last]) + length + payload


@pytest.mark.parametrize("mask", [b"", b"\x01\xff\x00\x80"])
def test_text_messages_are_found_in_frames_cut_anywhere(mask: bytes) -> None:
    framed = partial(frame, mask=mask)
    long = json.dumps({"x": "y" * 70_000}).encode()
    stream = b"".join(
        [
            framed(b"one"),
            framed(b"\x00" * 300, opcode=2),
            framed(b"tw", last=False),
            framed(b"ping", opcode=9),
            framed(b"o", opcode=0),
            framed(long),
            framed(b"s" * 3_000_000, opcode=2),
            framed(b""),
            framed(b"three"),
        ]
    )
    expected = [b"one", b"two", long, b"", b"three"]
    for step in (1_000_003, 4099, len(stream)):
        messages = Messages()
        parts = [stream[start : start + step] for start in range(0, len(stream), step)]
        assert [found for part in parts for found in messages.feed(part)] == expected


def test_a_message_in_very_many_frames_takes_no_time_and_no_memory() -> None:
    messages = Messages()
    assert list(messages.feed(frame(b"a", last=False))) == []
    tracemalloc.start()
    began = time.thread_time()
    for part in (frame(b"b", opcode=0, last=False), frame(b"", opcode=0, last=False)):
        for _ in range(10):
            assert list(messages.feed(part * 2000)) == []
    assert time.thread_time() - began < 1
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 250_000
    assert list(messages.feed(frame(b"c", opcode=0))) == [b"a" + b"b" * 20_000 + b"c"]
