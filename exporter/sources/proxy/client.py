"""Clients' connections: requests one after the other, and what is refused before it is one."""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Protocol, cast

import httptools
import structlog

from exporter.listener import ConnectionMetrics, Limits
from exporter.sources.proxy.errors import InvalidBodyError
from exporter.sources.proxy.headers import lines
from exporter.sources.proxy.heads import plain_answer
from exporter.sources.proxy.peer import MOST_BYTES, Peer, TooLongError
from exporter.sources.proxy.request import Request

log = structlog.get_logger(__name__)

LINGER_S = 1
"""For the rest of an unwanted body, as many a client reads its answer only when all is sent; in the
end, for the first request of a client that has just connected."""

MOST_WAITING = 64
"""Requests of one client that wait for their turn; hardly any client sends a second one early."""

_FRAMING = (b"content-length", b"transfer-encoding")


class Carrier(Protocol):
    """What carries one request."""

    async def run(self) -> bool:
        """Answer it; whether the connection may stay."""


Handle = Callable[[Request], Carrier | None]
"""What is to carry a request; None if it is refused, and the connection must go."""


class Client(Peer):
    """One connection; its requests are answered in their order."""

    incoming: Request
    _parser: httptools.HttpRequestParser
    _example: Request | None

    def __init__(self, clients: "Clients") -> None:
        super().__init__(tick_s=clients.limits.head_s / 4)
        self._clients = clients
        self._remote = self._scheme = b""
        self.incoming = self._new_request()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._mistake = ""
        self._is_idle = self._is_new = True
        self._is_ending = self._is_session = self._is_priming = False
        self.serving: asyncio.Task[None] | None = None

    def _new_request(self) -> Request:
        return Request(self, remote=self._remote, scheme=self._scheme)

    def finish(self) -> None:
        """Answer no more requests than the one under way; over a new connection, the first."""
        self._is_ending = True
        self.incoming.keep_alive = False
        if self._is_new:
            self.loop.call_later(LINGER_S, self._leave_if_idle)
        else:
            self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self._is_idle and not self._waiting and self._transport is not None:
            self._transport.close()

    # Answering.

    async def _serve(self) -> None:
        try:
            while await self._answer_next():
                self._expect(self._clients.limits.head_s)
        finally:
            if self._transport is not None:
                self._transport.close()

    async def _answer_next(self) -> bool:
        """Answer the next request, once there is one; whether another one may follow."""
        self._is_idle = True
        while not self._waiting:
            if self._mistake:
                await self._refuse()
            if self._mistake or (self._is_ending and not self._is_new):
                return False
            self._arrived = self.loop.create_future()
            await self._arrived
        self._is_idle = self._is_new = False
        request = self._waiting.popleft()
        if not self._waiting:
            self.resume_reading()
        self._deadline = inf
        try:
            carrier = self._clients.handle(request)
            stays = carrier is not None and await carrier.run()
        except ConnectionError:
            stays = False
        except Exception as error:
            self._failed(request, error)
            stays = False
        if self.is_writing_paused:
            await self.drain()
        has_rest = not request.is_whole or request.buffered > 0
        if has_rest and not await self._rest_came(request):
            return False
        return stays and not self._is_ending

    def _failed(self, request: Request, error: Exception) -> None:
        self._clients.metrics.requests_failed.inc()
        log.error("request failed", path=request.path, exc_info=error)
        if not request.is_answered:
            request.answer(plain_answer(500, "Internal Server Error"))

    async def _rest_came(self, request: Request) -> bool:
        """Take the rest of a body that nobody wants, and wait a while for it to come."""
        try:
            async with asyncio.timeout(LINGER_S):
                while await request.read():
                    pass
        except (TimeoutError, InvalidBodyError, ConnectionError):
            return False
        return True

    async def _refuse(self) -> None:
        self.write(plain_answer(400, self._mistake))
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()
        # Closed with bytes unread, the connection would be reset, and the answer with it.
        await asyncio.sleep(LINGER_S)

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Writing counts as paused until all that was written is on its way. Over TLS, what is
        # encrypted is taken for sent; there, `head_s` ends the wait for an answer's rest.
        cast(asyncio.Transport, transport).set_write_buffer_limits(0)
        address = transport.get_extra_info("peername")
        self._remote = address[0].encode() if address else b""
        self._scheme = b"https" if transport.get_extra_info("sslcontext") else b"http"
        self._clients.connections.add(self)
        self.serving = self.loop.create_task(self._serve())
        self._expect(self._clients.limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._clients.connections.discard(self)
        self.incoming.fail(ConnectionResetError("the client left"))
        if self.serving is not None:
            self.serving.cancel()

    def pause_writing(self) -> None:
        """The client does not take what it is sent: that is borne for a while only."""
        super().pause_writing()
        self._patience = self.loop.call_later(self._clients.limits.answer_s, self.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def data_received(self, data: bytes) -> None:
        if self._is_session:
            self.incoming.add(data)
        elif not self._mistake:
            request = self.incoming
            if request.is_whole:
                self._take_begin(data, may_be_known=request.keep_alive)
            elif rest := self._take_owed(data) if self._owed_bytes else data:
                self._read(rest)
            request.wake()  # The parser may be at the next one.
            if self._waiting and not self._is_idle:
                self.pause_reading()  # One request at a time: others wait in the kernel.

    def _follow_example(self) -> None:
        example = cast(Request, self._example)
        self.incoming = Request(
            self,
            remote=self._remote,
            scheme=self._scheme,
            target=example.target,
            method=example.method,
            version=example.version,
            keep_alive=example.keep_alive,
        )
        self._waiting.append(self.incoming)
        self._wake()

    def _take_after_upgrade(self, rest: bytes) -> None:
        """The parser stands after a head with an Upgrade header, and takes the rest for foreign.

        Of all protocols only WebSocket is known here; a client that offers another one, as Java's
        does with HTTP/2, goes on with its body.
        """
        request = self.incoming
        if request.is_session:
            self._is_session = True
            request.is_whole = False
            if rest:
                request.add(rest)
        elif not request.is_whole:
            framing = lines([each for each in request.headers if each[0] in _FRAMING])
            self._parser = httptools.HttpRequestParser(self)
            self._is_priming = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
            self._is_priming = False
            self._read(rest)
        elif rest:
            self._read(rest)

    def _broken(self, reason: str) -> None:
        # What the parser says would quote the request, which may hold a password.
        log.debug("a request cannot be understood", reason=reason)
        self._mistake = reason
        if self.incoming.has_head and not self.incoming.is_whole:
            self.incoming.fail(InvalidBodyError(reason))  # Who carries it answers.
        else:
            self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    # What the parser tells.

    def on_message_begin(self) -> None:
        if not self._is_priming:
            self.incoming = self._new_request()

    def on_url(self, part: bytes) -> None:
        if not self._is_priming:
            self.incoming.target += part
            if len(self.incoming.target) > MOST_BYTES:
                raise TooLongError

    def on_headers_complete(self) -> None:
        if self._is_priming:
            return
        if len(self._waiting) >= MOST_WAITING:
            raise TooLongError
        self._take_head()
        request, parser = self.incoming, self._parser
        request.method = parser.get_method().decode("ascii")
        request.version = parser.get_http_version()
        # Asked later, the parser would have forgotten.
        request.keep_alive = parser.should_keep_alive()
        if parser.should_upgrade():
            request.is_session = b"websocket" in request.found.get(b"upgrade", b"").lower()
            # What follows is taken for a session's bytes, even where it is refused.
            request.keep_alive = request.keep_alive and not request.is_session
        self._waiting.append(request)
        self._wake()

    def _is_whole_now(self) -> bool:
        # httptools takes every request with an Upgrade header for one without a body.
        return not (self._parser.should_upgrade() and self.incoming.has_body)

    def _too_late(self) -> None:
        self.abort()


class Clients:
    """The connections of all clients of a proxy, and what they share.

    Attributes:
        connections: those that stand.
    """

    def __init__(self, handle: Handle, limits: Limits, metrics: ConnectionMetrics) -> None:
        self.handle = handle
        self.limits = limits
        self.metrics = metrics
        self.connections: set[Client] = set()

    async def drain(self, within_s: float) -> None:
        """Let requests under way be answered, for a time; idle connections end at once."""
        for client in list(self.connections):
            client.finish()
        if serving := self._serving():
            await asyncio.wait(serving, timeout=within_s)

    async def close(self) -> None:
        """End all connections now."""
        serving = self._serving()
        for client in list(self.connections):
            client.abort()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def _serving(self) -> list[asyncio.Task[None]]:
        return [client.serving for client in self.connections if client.serving is not None]
