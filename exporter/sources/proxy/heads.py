"""Heads of messages: that of a request for the upstream, that of an answer for the client."""

from collections.abc import Mapping
from typing import NamedTuple

from aiohttp import web

from exporter.sources.proxy import headers as h
from exporter.sources.proxy.apis import Api, error_body
from exporter.sources.proxy.upstream import Connection, Upstream

_REASONS = {408: "Request Timeout", 502: "Bad Gateway", 503: "Service Unavailable"}


class Framing(NamedTuple):
    """How the client learns where the body of its answer ends.

    Attributes:
        size: in bytes; None where it is not told.
        chunked: in chunks, of which the last is empty.
        bodiless: there is none, whatever the head speaks of.
    """

    size: int | None = None
    chunked: bool = False
    bodiless: bool = False

    @property
    def ends_with_connection(self) -> bool:
        """Whether only the end of the connection is the end of the body."""
        return self.size is None and not self.chunked and not self.bodiless

    def frame(self, data: bytes) -> bytes:
        """A part of the body as it is sent."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self.chunked else data


def request_head(
    request: web.BaseRequest,
    found: Mapping[bytes, bytes],
    upstream: Upstream,
    request_id: bytes,
    body: bytes | None,
    *,
    unpacked: bool,
) -> bytes:
    """The head of a request, for the upstream.

    Args:
        found: the request's headers by lower-case name.
        body: None where it follows bit by bit.
        unpacked: the answer must not be packed.
    """
    dropped = h.dropped(found, h.OURS_TO_MAKE)
    if unpacked:
        dropped |= {b"accept-encoding"}
    target = f"{request.method} {upstream.path}{request.raw_path} HTTP/1.1\r\n"
    added = [
        *h.forwarded(found, request.remote or "", request.scheme),
        (b"X-Request-Id", request_id),
    ]
    if b"websocket" in found.get(b"upgrade", b"").lower():
        added += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    if body is None:
        size = request.content_length
        added.append(
            (b"Transfer-Encoding", b"chunked")
            if size is None
            else (b"Content-Length", b"%d" % size)
        )
    elif body or b"content-length" in found or b"transfer-encoding" in found:
        added.append((b"Content-Length", b"%d" % len(body)))
    return b"".join(
        [
            target.encode("utf-8", "surrogateescape"),
            b"Host: %b\r\n" % upstream.host,
            *[b"%b: %b\r\n" % e for e in request.raw_headers if e[0].lower() not in dropped],
            *[b"%b: %b\r\n" % each for each in added],
            b"\r\n",
        ]
    )


def answer_head(
    request: web.BaseRequest,
    connection: Connection,
    found: Mapping[bytes, bytes],
    request_id: bytes,
    framing: Framing,
    *,
    is_event_stream: bool,
) -> bytes:
    """The head of an upstream's answer, for the client.

    Args:
        found: the answer's headers by lower-case name.
    """
    dropped = h.dropped(found, h.HOP_BY_HOP if framing.bodiless else h.NOT_FOR_CLIENTS)
    added: h.RawHeaders = []
    if b"x-request-id" not in found:
        added.append((b"X-Request-Id", request_id))
    if is_event_stream and b"x-accel-buffering" not in found:
        added.append((b"X-Accel-Buffering", b"no"))  # Else nginx before us gathers the events.
    if framing.size is not None:
        added.append((b"Content-Length", b"%d" % framing.size))
    elif framing.chunked:
        added.append((b"Transfer-Encoding", b"chunked"))
    if not request.keep_alive or framing.ends_with_connection:
        added.append((b"Connection", b"close"))
    elif request.version < (1, 1):
        added.append((b"Connection", b"keep-alive"))
    return b"".join(
        [
            b"HTTP/1.1 %d %b\r\n" % (connection.status, connection.reason),
            *[b"%b: %b\r\n" % e for e in connection.headers if e[0].lower() not in dropped],
            *[b"%b: %b\r\n" % each for each in added],
            b"\r\n",
        ]
    )


def switching_head(connection: Connection, found: Mapping[bytes, bytes]) -> bytes:
    """The head of an answer after which both sides speak WebSocket."""
    dropped = h.dropped(found, h.HOP_BY_HOP)
    return b"".join(
        [
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            *[b"%b: %b\r\n" % e for e in connection.headers if e[0].lower() not in dropped],
            b"\r\n",
        ]
    )


def error_answer(api: Api, status: int, message: str, error_type: str, request_id: bytes) -> bytes:
    """A whole answer of the proxy's own, after which the connection ends."""
    body = error_body(api.family, status, message, error_type, request_id.decode("ascii"))
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Content-Length", b"%d" % len(body)),
        (b"X-Request-Id", request_id),
        (b"Connection", b"close"),
    ]
    if status == 503:
        headers.append((b"Retry-After", b"1"))
    reason = _REASONS.get(status, "Gateway Timeout")
    return f"HTTP/1.1 {status} {reason}\r\n".encode("ascii") + b"".join(
        [*[b"%b: %b\r\n" % each for each in headers], b"\r\n", body]
    )
