"""Heads of messages: that of a request for the upstream, that of an answer for the client."""

from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import ParamSpec

import msgspec

from exporter.sources.proxy import headers as h
from exporter.sources.proxy.apis import Api, error_body
from exporter.sources.proxy.chunk import CHUNK
from exporter.sources.proxy.known import KnownHead
from exporter.sources.proxy.request import Request
from exporter.sources.proxy.upstream import Answer, Upstream

P = ParamSpec("P")


class Framing(msgspec.Struct, frozen=True, gc=False):
    """How the client learns where the body of its answer ends.

    Attributes:
        size: in bytes, as text; None where it is not told.
        chunked: in chunks, of which the last is empty.
        bodiless: there is none, whatever the head speaks of.
        ends_with_connection: else it would not know.
    """

    size: bytes | None = None
    chunked: bool = False
    bodiless: bool = False
    ends_with_connection: bool = False

    def frame(self, data: bytes) -> bytes:
        """A part of the body as it is sent."""
        return CHUNK % (len(data), data) if self.chunked else data


def request_head(
    request: Request, upstream: Upstream, request_id: bytes, body: bytes | None, *, unpacked: bool
) -> bytes:
    """The head of a request, for the upstream.

    Args:
        body: None where it follows bit by bit.
        unpacked: the answer must not be packed.
    """
    known = None if unpacked else request.known
    # Pieces, of which one is made at the end: each that is formatted by itself takes 0.3 µs.
    pieces = _passed_on(known, _request_pieces, request, upstream, unpacked)
    pieces += (
        *(b"X-Request-Id: ", request_id, b"\r\n"),
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n" if request.is_session else b"",
        _body_header(request, body),
        b"\r\n",
    )
    return b"".join(pieces)


def _passed_on(
    known: KnownHead | None,
    make: Callable[P, list[bytes]],
    *arguments: P.args,
    **named: P.kwargs,
) -> list[bytes]:
    """What of a head is the same each time that it comes: made once, if it is known."""
    if known and known.passed_on:
        return [known.passed_on]
    pieces = make(*arguments, **named)
    if known:
        known.passed_on = b"".join(pieces)
    return pieces


def _request_pieces(request: Request, upstream: Upstream, unpacked: bool) -> list[bytes]:
    dropped = h.dropped(request.found, h.OURS_TO_MAKE)
    if unpacked:
        dropped |= {b"accept-encoding"}
    return [
        *(request.method.encode(), b" ", upstream.path, request.target),
        *(b" HTTP/1.1\r\nHost: ", upstream.host, b"\r\n"),
        *h.lines(request.headers, dropped),
        *h.forwarded(request.found, request.remote, request.scheme),
    ]


def _body_header(request: Request, body: bytes | None) -> bytes:
    """How the upstream learns where the body ends."""
    if body is not None:
        return b"Content-Length: %d\r\n" % len(body) if body or request.has_body else b""
    length = request.length
    if length is None:
        return b"Transfer-Encoding: chunked\r\n"
    return b"Content-Length: %d\r\n" % length


def answer_head(request: Request, answer: Answer, request_id: bytes, framing: Framing) -> bytes:
    """The head of an upstream's answer, for the client."""
    found = answer.found
    parts = _passed_on(answer.known, _answer_pieces, answer, framing)
    if b"x-request-id" not in found:
        parts += (b"X-Request-Id: ", request_id, b"\r\n")
    if answer.is_event_stream and b"x-accel-buffering" not in found:
        parts.append(b"X-Accel-Buffering: no\r\n")  # Else nginx before us gathers the events.
    if framing.size is not None:
        parts += (b"Content-Length: ", framing.size, b"\r\n")
    elif framing.chunked:
        parts.append(b"Transfer-Encoding: chunked\r\n")
    if not request.keep_alive or framing.ends_with_connection:
        parts.append(b"Connection: close\r\n")
    elif request.version == "1.0":
        parts.append(b"Connection: keep-alive\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def _answer_pieces(answer: Answer, framing: Framing) -> list[bytes]:
    dropped = h.dropped(answer.found, h.HOP_BY_HOP if framing.bodiless else h.NOT_FOR_CLIENTS)
    return [_status_line(answer.status, answer.reason), *h.lines(answer.headers, dropped)]


@lru_cache
def _status_line(status: int, reason: bytes) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def switching_head(answer: Answer) -> bytes:
    """The head of an answer after which both sides speak WebSocket."""
    dropped = h.dropped(answer.found, h.HOP_BY_HOP)
    return b"".join(
        [
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
            *h.lines(answer.headers, dropped),
            b"\r\n",
        ]
    )


def plain_answer(status: int, text: str) -> bytes:
    """A whole answer to a request that belongs to no API, after which the connection ends."""
    body = f"{status}: {text}\n".encode()
    return b"".join(
        [
            b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode()),
            b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n",
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
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
    return b"".join(
        [
            b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode()),
            *[b"%b: %b\r\n" % each for each in headers],
            b"\r\n",
            body,
        ]
    )
