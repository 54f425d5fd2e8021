"""Gateways in Python: the same records, from an ASGI and from an aiohttp application."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, FormData, web

from exporter.formats import builtin
from exporter.formats.compile import Decoder
from exporter.record import Kinds, Record
from exporter.sources.middleware import AsgiMiddleware, record_line, watch_aiohttp

CHAT = "/v1/chat/completions"
ANSWER = b'{"model": "m-1", "usage": {"prompt_tokens": 11, "completion_tokens": 3}}'
EVENTS = [
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3}}\n\n',
    b"data: [DONE]\n\n",
]


async def asgi_gateway(scope: Any, receive: Any, send: Any) -> None:
    """Answers a JSON body, or a stream where one is asked for; `model` says what goes wrong."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    asked = json.loads(body)
    if asked["model"] == "raises":
        raise ZeroDivisionError
    kind = b"text/event-stream" if asked.get("stream") else b"application/json"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    parts = EVENTS if asked.get("stream") else [ANSWER[:20], ANSWER[20:]]
    if asked["model"] == "stops":
        parts = parts[:1]
    for part in parts:
        await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": part, "more_body": True})
    if asked["model"] != "stops":
        await send({"type": "http.response.body"})


def asgi(asked: dict[str, Any], path: str = CHAT) -> list[Record]:
    records: list[Record] = []
    body = json.dumps(asked).encode()
    messages = [
        {"type": "http.request", "body": body[:5], "more_body": True},
        {"type": "http.request", "body": body[5:]},
    ]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(_: Any) -> None:
        pass

    headers = [(b"content-type", b"application/json"), (b"x-request-id", b"r-1")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    app = AsgiMiddleware(asgi_gateway, records.append)
    if asked["model"] == "raises":
        with pytest.raises(ZeroDivisionError):
            asyncio.run(app(scope, receive, send))
    else:
        asyncio.run(app(scope, receive, send))
    return records


async def aiohttp_gateway(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    if asked["model"] == "raises":
        raise web.HTTPTooManyRequests
    if not asked.get("stream"):
        return web.Response(body=ANSWER, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in EVENTS[:1] if asked["model"] == "stops" else EVENTS:
        await asyncio.sleep(0.01)
        await response.write(event)
    return response


def aiohttp(asked: dict[str, Any], path: str = CHAT) -> list[Record]:
    _, records = served(aiohttp_gateway, path, json=asked)
    return records


def served(
    gateway: Callable[[web.Request], Awaitable[web.StreamResponse]],
    path: str,
    take: Callable[[ClientResponse], Awaitable[bytes]] = ClientResponse.read,
    **request: Any,
) -> tuple[bytes, list[Record]]:
    """What a client of an aiohttp gateway takes of the answer to one request, and its records."""
    records: list[Record] = []

    async def run() -> bytes:
        app = web.Application()
        app.router.add_post(path, gateway)
        watch_aiohttp(app, records.append)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
        async with ClientSession() as client:
            headers = {"X-Request-Id": "r-1"}
            async with client.post(url, headers=headers, **request) as answer:
                body = await take(answer)
        await runner.cleanup()
        return body

    return asyncio.run(run()), records


Gateway = Callable[..., list[Record]]
both = pytest.mark.parametrize("gateway", [asgi, aiohttp])


@both
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_becomes_a_record(gateway: Gateway, stream: bool) -> None:
    (record,) = gateway({"model": "m", "stream": stream})
    assert (record.input_tokens, record.output_tokens) == (11, 3)
    assert (record.kind.model, record.kind.provider) == ("m", "openai")
    assert (record.kind.status_code, record.kind.error_type) == (200, "")
    assert (record.kind.streamed, record.request_id) == (stream, "r-1")
    assert (record.time_to_first_token is not None) is stream


@both
def test_a_stream_that_stops_early_is_a_failure(gateway: Gateway) -> None:
    (record,) = gateway({"model": "stops", "stream": True})
    assert record.kind.error_type == "stream_aborted"


@pytest.mark.parametrize(("gateway", "status"), [(asgi, 500), (aiohttp, 429)])
def test_what_the_gateway_raises_is_a_failure(gateway: Gateway, status: int) -> None:
    (record,) = gateway({"model": "raises"})
    assert (record.kind.status_code, record.kind.error_type) == (status, str(status))


@both
def test_what_is_no_model_request_is_not_watched(gateway: Gateway) -> None:
    assert gateway({"model": "m"}, path="/v1/other") == []


async def takes_form(request: web.Request) -> web.Response:
    form = await request.post()
    return web.json_response([str(form["model"]), len(form["file"].file.read())])  # type: ignore[union-attr]


async def takes_parts(request: web.Request) -> web.Response:
    parts = await request.multipart()
    return web.json_response([len(await part.read()) async for part in parts])  # type: ignore[union-attr]


async def streams_body(request: web.Request) -> web.Response:
    return web.json_response(sum([len(part) async for part in request.content.iter_any()]))


def speech_form() -> FormData:
    form = FormData({"model": "whisper"})
    form.add_field("file", b"x" * 1000, filename="speech.wav")
    return form


@pytest.mark.parametrize(
    ("gateway", "body", "answer", "model"),
    [
        (takes_form, speech_form, ["whisper", 1000], "whisper"),
        (takes_parts, speech_form, [7, 1000], ""),
        (streams_body, lambda: BytesIO(b"x" * (2 << 20)), 2 << 20, ""),
    ],
)
def test_the_body_is_left_to_the_aiohttp_gateway(
    gateway: Any, body: Callable[[], Any], answer: object, model: str
) -> None:
    told, (record,) = served(gateway, "/v1/audio/transcriptions", data=body())
    assert json.loads(told) == answer
    assert (record.kind.model, record.kind.status_code) == (model, 200)


def test_what_comes_with_the_end_of_an_aiohttp_stream_is_seen() -> None:
    async def gateway(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write_eof(b"".join(EVENTS))
        return response

    told, (record,) = served(gateway, CHAT, json={"model": "m", "stream": True})
    assert told == b"".join(EVENTS)
    assert (record.kind.error_type, record.output_tokens) == ("", 3)


@pytest.mark.parametrize("raises", [True, False])
def test_a_client_that_leaves_an_aiohttp_stream_is_named(raises: bool) -> None:
    async def gateway(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            while True:
                await response.write(EVENTS[0])
                await asyncio.sleep(0.01)
        except ConnectionError:
            if raises:
                raise
        return response

    async def leave(answer: ClientResponse) -> bytes:
        part = await answer.content.readany()
        answer.close()
        return part

    _, (record,) = served(gateway, CHAT, leave, json={"model": "m", "stream": True})
    assert (record.kind.status_code, record.kind.error_type) == (200, "client_aborted")


def test_a_record_as_a_line_reads_as_the_same_record() -> None:
    (record,) = asgi({"model": "m", "stream": True})
    decoded = Decoder(builtin("records"), Kinds()).decode(record_line(record))
    (read,) = decoded.batch.records()
    assert read._replace(kind=record.kind) == record._replace(total_tokens=14)
    assert read.kind._replace(currency="") == record.kind
