"""Clients of the proxy, and the API behind it: whole answers, broken ones, clients who leave."""

import asyncio
import json
import random
from collections.abc import Mapping
from multiprocessing.synchronize import Event
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.soak.sent import MODELS, TICK_S, Pace, Places, Sent

PATH = "/v1/chat/completions"
ENDINGS = ("whole",) * 46 + ("refused", "refused", "cut", "left")
MOST_AT_ONCE = 64
_TEXT = "How many? As many as that. " * 10
_LIMIT_S = 60.0


def ask_proxy(proxy: str, upstream_port: int, rate: float, stopping: Event) -> Sent:
    """Serve an API on the port, and ask it through the proxy, so often a second."""
    return asyncio.run(_ask_proxy(proxy, upstream_port, rate, stopping))


async def _ask_proxy(proxy: str, upstream_port: int, rate: float, stopping: Event) -> Sent:
    sent = Sent("proxy")
    draw = random.Random(5)
    app = web.Application()
    app.router.add_post(PATH, _answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", upstream_port).start()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        pace, places = Pace(rate), Places(group, MOST_AT_ONCE)
        while not stopping.is_set():
            await asyncio.sleep(TICK_S)
            for _ in range(pace.due()):
                await places.start(_ask(session, proxy + PATH, draw, sent))
    await runner.cleanup()
    return sent


async def _ask(session: aiohttp.ClientSession, url: str, draw: random.Random, sent: Sent) -> None:
    """One request, counted as the proxy must count it."""
    ending, model = draw.choice(ENDINGS), draw.choice(MODELS)
    tokens = draw.randrange(1, 4000), draw.randrange(1, 1000)
    streamed = ending in ("cut", "left") or draw.random() < 0.5
    question = {
        "model": model,
        "messages": [{"role": "user", "content": _TEXT}],
        "stream": streamed,
        "stream_options": {"include_usage": True},
        "metadata": {"ending": ending, "tokens": tokens},
    }
    sent.notes[f"{ending} answers"] += 1
    sent.count(model, 500 if ending == "refused" else 200, *(tokens if ending == "whole" else ()))
    headers = {"X-Request-Id": sent.take_id()}
    async with (
        asyncio.timeout(_LIMIT_S),
        session.post(url, json=question, headers=headers) as answer,
    ):
        assert answer.status == (500 if ending == "refused" else 200), answer.status
        if ending == "left":
            await answer.content.readline()
            answer.close()
            return
        try:
            body = await answer.read()
        except aiohttp.ClientPayloadError:
            assert ending == "cut"
            return
        assert ending != "cut", "a cut answer looks whole"
        assert ending == "refused" or str(tokens[1]).encode() in body


async def _answer(request: web.Request) -> web.StreamResponse:
    """What the question asks for in its metadata."""
    question = await request.json()
    ending, tokens = question["metadata"]["ending"], question["metadata"]["tokens"]
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    if ending == "refused":
        return web.json_response({"error": {"code": "overloaded", "message": "No."}}, status=500)
    if not question["stream"]:
        choice = {"message": {"content": _TEXT}, "finish_reason": "stop"}
        return web.json_response({"model": question["model"], "choices": [choice], "usage": usage})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in range(5):
        await response.write(_event({"choices": [{"delta": {"content": f"{word} "}}]}))
    if ending == "left":
        await _client_gone(request)
        return response
    if ending == "cut":
        assert request.transport is not None
        request.transport.abort()
        return response
    await response.write(_event({"choices": [{"delta": {}, "finish_reason": "stop"}]}))
    await response.write(_event({"choices": [], "usage": usage}) + b"data: [DONE]\n\n")
    return response


async def _client_gone(request: web.Request) -> None:
    async with asyncio.timeout(_LIMIT_S):
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(TICK_S)


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"
