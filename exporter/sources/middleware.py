"""For gateways written in Python: the records of the proxy, from within the gateway itself.

Whatever goes wrong in here must not be felt by the traffic: it is logged once, and not counted.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.record import Record
from exporter.sources.proxy import headers as h
from exporter.sources.proxy.apis import Asked, api_of
from exporter.sources.proxy.observation import Caller, Ending, Observation

log = structlog.get_logger(__name__)

MOST_BYTES = 8 << 20
"""Of a body, as much is looked into."""

Sink = Callable[[Record], object]
"""Takes each record, on the event loop: it must not block."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Write = Callable[..., Awaitable[None]]


def record_line(record: Record) -> bytes:
    """The record as a line of the format `records`, for a log file or for `/ingest/records`."""
    fields = {
        name: value for name, value in record._asdict().items() if value not in (None, "")
    } | record.kind._asdict()
    del fields["kind"], fields["attributes"]
    named = {_LINE_NAMES.get(name, name): value for name, value in fields.items()}
    return msgspec.json.encode(named) + b"\n"


_LINE_NAMES = {
    "latency": "latency_s",
    "time_to_first_token": "time_to_first_token_s",
    "upstream_time": "upstream_time_s",
}


class AsgiMiddleware:
    """Watches an ASGI application's model requests (ASGI 3.0, HTTP).

    Args:
        provider: in series; "" for that of the API that is spoken.
    """

    def __init__(self, app: AsgiApp, sink: Sink, provider: str = "") -> None:
        self._app = app
        self._sink = sink
        self._provider = provider

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not api_of(scope["method"], scope["path"]).is_known:
            await self._app(scope, receive, send)
            return
        watch = _Watch(scope["method"], scope["path"], scope["headers"], self._provider, self._sink)

        async def watched_receive() -> Message:
            message = await receive()
            watch.step(_take_received, watch, message)
            return message

        async def watched_send(message: Message) -> None:
            await send(message)
            watch.step(_take_sent, watch, message)

        try:
            await self._app(scope, watched_receive, watched_send)
        except BaseException as error:
            watch.failed(error)
            raise
        watch.end()


def _take_received(watch: "_Watch", message: Message) -> None:
    if message["type"] == "http.request":
        watch.take_request(message.get("body", b""), last=not message.get("more_body"))
    elif message["type"] == "http.disconnect":
        watch.client_left = True


def _take_sent(watch: "_Watch", message: Message) -> None:
    if message["type"] == "http.response.start":
        watch.take_head(message["status"], message.get("headers", ()))
    elif message["type"] == "http.response.body":
        watch.take_part(message.get("body", b""), last=not message.get("more_body"))


def watch_aiohttp(app: web.Application, sink: Sink, provider: str = "") -> None:
    """Watch an aiohttp application's model requests; call it before the application starts.

    Args:
        provider: in series; "" for that of the API that is spoken.
    """

    @web.middleware
    async def watch_request(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not api_of(request.method, request.path).is_known:
            return await handler(request)
        watch = _Watch(request.method, request.path, request.raw_headers, provider, sink)
        request[_WATCH] = watch
        try:
            response = await handler(request)
        except BaseException as error:
            await watch.take_body_of(request)
            watch.failed(error)
            raise
        if isinstance(response, web.Response):
            await watch.take_body_of(request)
            watch.take_head(response.status, _raw(response))
            body = response.body if isinstance(response.body, bytes | bytearray) else b""
            watch.take_part(bytes(body), last=True)
        else:
            watch.take_part(b"", last=not watch.client_left)
        watch.end()
        return response

    async def prepared(request: web.Request, response: web.StreamResponse) -> None:
        watch = request.get(_WATCH)
        if watch is None or isinstance(response, web.Response):
            return
        await watch.take_body_of(request)
        watch.take_head(response.status, _raw(response))
        response.write = watch.writing(response.write, last=False)  # type: ignore[method-assign]
        response.write_eof = watch.writing(response.write_eof, last=True)  # type: ignore[method-assign]

    app.middlewares.append(watch_request)
    app.on_response_prepare.append(prepared)


async def _read_by_handler(request: web.Request) -> tuple[bytes, bytes]:
    """The body and its content type; empty where the handler has not read all, or kept nothing.

    A handler may stream the body or take a form apart, so that nothing is read before it or beside
    it. A form that aiohttp has taken apart is told of as JSON.
    """
    if not request.content.at_eof():
        return b"", b""
    if body := await request.read():
        return body, request.headers.get("Content-Type", "").encode()
    form = await request.post()
    known = {"model": form.get("model"), "stream": form.get("stream") == "true"}
    return msgspec.json.encode(known), b"application/json"


def _raw(response: web.StreamResponse) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in response.headers.items()]


class _Watch:
    """One request and its answer."""

    def __init__(self, method: str, path: str, headers: Any, provider: str, sink: Sink) -> None:
        self._began = perf_counter()
        self._sink = sink
        found = h.by_name(headers)
        api = api_of(method, path)
        caller = Caller(
            request_id=h.request_id(found.get(b"x-request-id", b"")).decode("ascii"),
            trace_id=h.trace_id(found.get(b"traceparent", b"")),
            provider=provider or api.family,
            started=time.time(),
            attributes=(),
        )
        self._content_type = found.get(b"content-type", b"")
        self._observation = Observation(Asked(api), caller, MOST_BYTES)
        self._body: list[bytes] = []
        self._size = 0
        self._answered = self._whole = False
        self._sound = True
        self.client_left = False

    def step(self, work: Callable[..., None], *arguments: Any) -> None:
        """Do a step of the watching, unless one before it has failed."""
        if not self._sound:
            return
        try:
            work(*arguments)
        except Exception as error:
            self._sound = False
            log.error("a request cannot be counted", error=type(error).__name__)

    def take_request(self, data: bytes, *, last: bool) -> None:
        self._size += len(data)
        if self._size <= MOST_BYTES:
            self._body.append(data)
            if last:
                body = b"".join(self._body)
                self._body.clear()
                self.step(self._observation.take_request, body, self._content_type)

    async def take_body_of(self, request: web.Request) -> None:
        """See what the handler has read; a request without it counts, but for an unknown model."""
        try:
            body, content_type = await _read_by_handler(request)
        except Exception as error:
            log.debug("a request's body is not known", error=type(error).__name__)
            return
        if len(body) <= MOST_BYTES:
            self.step(self._observation.take_request, body, content_type)

    def take_head(self, status: int, headers: Any) -> None:
        self._answered = True
        found = h.by_name(headers)
        self.step(
            self._observation.take_head,
            status,
            found.get(b"content-type", b"").lower(),
            found.get(b"content-encoding", b""),
        )

    def take_part(self, data: bytes, *, last: bool) -> None:
        if data:
            self.step(self._observation.take_part, data, perf_counter() - self._began)
        self._whole = self._whole or last

    def writing(self, write: Write, *, last: bool) -> Write:
        """Write parts of an aiohttp stream, and see them."""

        async def watched(data: bytes = b"") -> None:
            try:
                await write(data)
            except ConnectionError:  # By default, nothing else tells that the client has left.
                self.client_left = True
                raise
            self.take_part(bytes(data), last=last)

        return watched

    def failed(self, error: BaseException) -> None:
        """The application gave up: its server answers for it, or the client has left."""
        if isinstance(error, web.HTTPException):
            self.take_head(error.status, ())
            self._whole = True
        elif not self._answered and isinstance(error, Exception):
            self.step(self._observation.take_error, 500, "500")
        else:
            self.client_left = self.client_left or not isinstance(error, Exception)
        self.end()

    def end(self) -> None:
        """Hand the record over."""
        ending: Ending = "client_left" if self.client_left else "cut"
        elapsed_s = perf_counter() - self._began
        self.step(self._end, "whole" if self._whole else ending, elapsed_s)

    def _end(self, ending: Ending, elapsed_s: float) -> None:
        self._sink(self._observation.end(ending, elapsed_s))


_WATCH = web.RequestKey("watch", _Watch)
