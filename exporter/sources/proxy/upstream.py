"""The upstream's side: HTTP/1.1 on asyncio.Protocol and httptools, with kept connections.

aiohttp's client took 73 µs of a core for a small answer, and one of this kind 9. Proxying is all it
does: it parses answers, bounds waiting and buffers, and knows nothing of what is carried.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import cast
from urllib.parse import urlsplit

import httptools

from exporter.sources.proxy.errors import (
    CutError,
    InvalidAnswerError,
    TimedOutError,
    UnreachableError,
    UpstreamError,
)
from exporter.sources.proxy.headers import RawHeaders

MOST_BUFFERED = 1 << 18
"""Bytes of an answer that wait for a slow client; then nothing more is read for it."""

MOST_IDLE = 256
"""Connections to an upstream that are kept for later."""

MOST_HEADER_BYTES = 1 << 17
"""Of an answer's head; a longer one is no answer."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an upstream may take, in seconds.

    Attributes:
        connect: until there is a connection, TLS included.
        answer: until an answer begins.
        idle: until the next part of one, or of a request's body.
        kept: that a connection without a request is kept.
    """

    connect: float
    answer: float
    idle: float
    kept: float = 30.0

    @property
    def tick(self) -> float:
        """How often the clock is looked at: a deadline is missed by as much at most."""
        return min(self.answer, self.idle, self.kept)


class Connection(asyncio.Protocol):
    """One connection; one exchange at a time, from `begin` to `release`.

    Attributes:
        status, reason, headers: of the answer, once `answered` has returned.
        buffered: bytes of the body that were not read yet.
        is_reused: it has carried an exchange before.
        is_whole: the answer has come to its end; what was not read yet is still there.
        is_switched: the answer was 101, and the connection speaks another protocol now.
    """

    def __init__(self, upstream: "Upstream") -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = inf
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._writing_paused = self._reading_paused = False
        self._in_use = False
        self.is_reused = False
        self._reset(head_only=False)

    def _reset(self, *, head_only: bool) -> None:
        self._head_only = head_only
        self._head_bytes = 0
        self._has_answer = self._has_bytes = False
        self._keep = False
        self._parts: list[bytes] = []
        self.buffered = 0
        self._error: UpstreamError | None = None
        self.is_whole = self.is_switched = False
        self.status = 0
        self.reason = b""
        self.headers: RawHeaders = []

    # What the exchange asks for.

    def begin(self, data: bytes, *, head_only: bool) -> None:
        """Send a request's head, and as much of its body as there is.

        Args:
            head_only: the answer will have no body, as that to HEAD.
        """
        self._reset(head_only=head_only)
        self._in_use = True
        self._expect(self._upstream.patience.answer)
        self.write(data)

    def write(self, data: bytes) -> None:
        """Send more of the request."""
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the upstream takes more.

        Raises:
            UpstreamError: it won't.
        """
        self._expect(self._upstream.patience.answer)
        if self._writing_paused and self._transport is not None:
            self._writable = self._loop.create_future()
            await self._writable
        if self._error is not None:
            raise self._error

    async def answered(self) -> None:
        """Wait for the answer's head.

        Raises:
            UpstreamError: there won't be one.
        """
        while not self._has_answer:
            if self._error is not None:
                raise self._error
            self._waiter = self._loop.create_future()
            await self._waiter

    async def read(self) -> bytes:
        """The next part of the body, without its framing; b"" at its end.

        Raises:
            UpstreamError: it ended before it was whole, or nothing came for too long.
        """
        while not self._parts:
            if self.is_whole:
                return b""
            if self._error is not None:
                raise self._error
            self._waiter = self._loop.create_future()
            await self._waiter
        parts, self._parts = self._parts, []
        self.buffered = 0
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._expect(self._upstream.patience.idle)
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def take(self) -> bytes:
        """What of the body is there already."""
        data = b"".join(self._parts)
        self._parts.clear()
        self.buffered = 0
        return data

    def release(self) -> None:
        """End the exchange: keep the connection for the next one, if it is fit for it."""
        self._in_use = False
        transport = self._transport
        if transport is None:
            return
        sound = self.is_whole and self._keep and not self.is_switched and self._error is None
        if sound and not self._writing_paused and self._upstream.keep(self):
            self.is_reused = True
            self._expect(self._upstream.patience.kept)
        else:
            self.abort()

    def abort(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.is_switched:
            self._take_part(data)
        elif not self._in_use or self.is_whole:
            self.abort()  # Bytes that nobody asked for.
            return
        else:
            self._has_bytes = True
            self._parse(data)
        self._wake()
        if self.buffered > MOST_BUFFERED and not self._reading_paused and self._transport:
            self._reading_paused = True
            self._deadline = inf  # It is the client that is slow.
            self._transport.pause_reading()
        else:
            self._deadline = self._loop.time() + self._upstream.patience.idle

    def eof_received(self) -> None:
        """The transport closes itself, and `connection_lost` does the rest."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._upstream.forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_answer and exc is None and self._ends_with_connection():
            self.is_whole = True
        if not self.is_whole:
            self._fail(CutError(unanswered=not self._has_bytes))
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self.is_whole:
            self._keep = False  # A second answer, to no request.

    def on_status(self, reason: bytes) -> None:
        if not self._has_answer:
            self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_answer:
            return  # A trailer; they are not passed on.
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MOST_HEADER_BYTES:
            raise InvalidAnswerError("the answer's head is too long")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._has_answer:
            return
        status = self._parser.get_status_code()
        if status < 200 and status != 101:  # 100 is ours to give, 103 a hint.
            self.headers, self.reason, self._head_bytes = [], b"", 0
            return
        self.status = status
        # Asked later, the parser would have forgotten.
        self._keep = self._parser.should_keep_alive()
        self._has_answer = True
        self.is_switched = status == 101
        if self._head_only:
            # The parser waits for the body that the head speaks of, so it is of no more use.
            self.is_whole, self._keep = True, False

    def on_body(self, data: bytes) -> None:
        if not self.is_whole:
            self._take_part(data)

    def on_message_complete(self) -> None:
        if self._has_answer and not self.is_switched:
            self.is_whole = True

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.is_switched:
                rest = data[upgrade.args[0] :]
                if rest:
                    self._take_part(rest)
            else:
                self._broken()
        except httptools.HttpParserError:
            self._broken()

    def _ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the answer's body."""
        names = {name.lower() for name, _ in self.headers}
        return self.is_switched or not names & {b"content-length", b"transfer-encoding"}

    def _broken(self) -> None:
        if not self.is_whole:
            self._fail(InvalidAnswerError("not HTTP"))
        self.abort()

    def _take_part(self, data: bytes) -> None:
        self._parts.append(data)
        self.buffered += len(data)

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None:
            self._error = error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # Time.

    def _expect(self, within_s: float) -> None:
        """Something must come within this time, or the connection ends.

        A timer for each request would cost as much as parsing its answer: one ticks for all.
        """
        self._deadline = self._loop.time() + within_s
        if self._timer is None:
            self._timer = self._loop.call_later(self._upstream.patience.tick, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        if now < self._deadline:
            again = min(self._deadline, now + self._upstream.patience.tick)
            self._timer = self._loop.call_at(again, self._look)
            return
        if self._in_use and not self.is_whole:
            self._fail(TimedOutError("nothing came for too long"))
        self._wake()
        self.abort()


class Upstream:
    """One address, and the connections to it.

    Args:
        tls: for https.
        server_name: that the upstream's certificate must have, if it is not the host's.

    Attributes:
        host: as a Host header names it.
        path: that requests' paths are appended to.
    """

    def __init__(
        self,
        url: str,
        patience: Patience,
        tls: Callable[[], ssl.SSLContext] | None = None,
        server_name: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.patience = patience
        self.host = parts.netloc.encode("idna" if not parts.netloc.isascii() else "ascii")
        self.path = parts.path.rstrip("/")
        self._host = parts.hostname or ""
        is_tls = parts.scheme == "https"
        self._port = parts.port or (443 if is_tls else 80)
        self._tls = tls() if is_tls and tls else None
        self._server_name = (server_name or self._host) if is_tls else None
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    async def connection(self, *, fresh: bool = False) -> Connection:
        """One without an exchange: kept, if there is one, or new.

        Raises:
            UpstreamError: there is none to be had.
        """
        while self._idle and not fresh:
            kept = self._idle.pop()
            if kept.is_open:
                return kept
        try:
            async with asyncio.timeout(self.patience.connect):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self),
                    self._host,
                    self._port,
                    ssl=self._tls,
                    server_hostname=self._server_name,
                )
        except TimeoutError:
            raise UnreachableError("no connection in time") from None
        except (OSError, ssl.SSLError) as error:
            raise UnreachableError(_reason(error)) from error
        self._all.add(connection)
        return connection

    def keep(self, connection: Connection) -> bool:
        """Take a connection back, unless there are enough."""
        if len(self._idle) >= MOST_IDLE:
            return False
        self._idle.append(connection)
        return True

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """End all connections."""
        for connection in list(self._all):
            connection.abort()


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return error.strerror or type(error).__name__
