"""Connections to an upstream: answers as they come, and what is kept for the next request."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import cast
from urllib.parse import urlsplit

import httptools

from exporter.sources.proxy.chunk import CHUNK_END
from exporter.sources.proxy.errors import (
    CutError,
    InvalidAnswerError,
    TimedOutError,
    UnreachableError,
)
from exporter.sources.proxy.event_stream import EVENT_STREAM
from exporter.sources.proxy.message import Message
from exporter.sources.proxy.peer import Peer

MOST_IDLE = 256
"""Connections to an upstream that are kept for later."""


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


class Answer(Message):
    """An upstream's answer.

    Attributes:
        content_type: in lower case.
        is_begun: some byte came.
        is_switched: it is 101, and the connection's bytes from now on are its body.
    """

    status: int = 0
    reason: bytes = b""
    content_type: bytes = b""
    is_begun: bool = False
    is_switched: bool = False

    @property
    def is_event_stream(self) -> bool:
        """Whether its body is one."""
        return self.content_type.startswith(EVENT_STREAM)


class Connection(Peer):
    """One connection; one exchange at a time, from `begin` to `release`.

    Attributes:
        is_reused: it has carried an exchange before.
    """

    incoming: Answer
    _parser: httptools.HttpResponseParser
    _example: Answer | None

    def __init__(self, upstream: "Upstream") -> None:
        super().__init__(upstream.patience.tick)
        self._upstream = upstream
        self._in_use = self._keep = self._head_only = self._between_chunks = False
        # No methods of ours: the parser would call them through Python, for each chunk.
        self.on_chunk_header = partial(setattr, self, "_between_chunks", False)
        self.on_chunk_complete = partial(setattr, self, "_between_chunks", True)
        self._parser = httptools.HttpResponseParser(self)
        self.incoming = Answer(self)
        self.is_reused = False

    # What the exchange asks for.

    def begin(self, data: bytes, head_only: bool) -> Answer:
        """Send a request's head, and as much of its body as there is; what will be its answer.

        Args:
            head_only: the answer will have no body, as that to HEAD.
        """
        answer = self.incoming = Answer(self)
        self._head_only, self._keep = head_only, False
        self._in_use = True
        self._expect(self._upstream.patience.answer)
        if self._transport is None:
            answer.fail(CutError(unanswered=True))
        self.write(data)
        return answer

    async def drain(self) -> None:
        """Wait until the upstream takes more.

        Raises:
            UpstreamError: it won't.
        """
        self._expect(self._upstream.patience.answer)
        await super().drain()
        if self.incoming.error is not None:
            raise self.incoming.error

    def release(self) -> None:
        """End the exchange: keep the connection for the next one, if it is fit for it."""
        self._in_use = False
        answer = self.incoming
        sound = answer.is_whole and self._keep and not answer.is_switched and answer.error is None
        if self._transport is None:
            return
        # Paused in the end, it would hear no answer to the next request.
        flows = not self.is_writing_paused and not self._reading_paused
        if sound and flows and self._upstream.keep(self):
            self.is_reused = True
            self._expect(self._upstream.patience.kept)
        else:
            self.abort()

    # What asyncio tells.

    def data_received(self, data: bytes) -> None:
        answer = self.incoming
        if self._between_chunks and answer.receiver and answer.receiver.take_chunk(data):
            # The parser, which has not seen it, stands between two chunks as before.
            self._deadline = self.loop.time() + self._upstream.patience.idle
            return
        if answer.is_switched:
            answer.add(data)
        elif not self._in_use or answer.is_whole:
            self.abort()  # Bytes that nobody asked for.
            return
        elif not answer.is_begun:
            answer.is_begun = True
            self._take_begin(data, may_be_known=not self._head_only)
        elif rest := self._take_owed(data) if self._owed_bytes else data:
            self._read(rest)
        if answer.is_whole or not data.endswith(CHUNK_END):
            self._between_chunks = False  # There may be some of the next one's head.
        if answer.is_whole:
            answer.wake()
        else:
            # Where reading is paused, it is the client that is slow.
            patience = inf if self._reading_paused else self._upstream.patience.idle
            self._deadline = self.loop.time() + patience

    def _follow_example(self) -> None:
        answer, example = self.incoming, cast(Answer, self._example)
        answer.status, answer.reason = example.status, example.reason
        answer.content_type = example.content_type
        self._keep = True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._upstream.forget(self)
        answer = self.incoming
        if answer.has_head and exc is None and _ends_with_connection(answer):
            answer.is_whole = True
        answer.fail(CutError(unanswered=not answer.is_begun))

    def resume_reading(self) -> None:
        if self._reading_paused:
            self._expect(self._upstream.patience.idle)
            super().resume_reading()

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self.incoming.is_whole:
            self._keep = False  # A second answer, to no request.

    def on_status(self, reason: bytes) -> None:
        if not self.incoming.has_head:
            self.incoming.reason += reason

    def on_headers_complete(self) -> None:
        answer = self.incoming
        if answer.has_head:
            return
        status = self._parser.get_status_code()
        if status < 200 and status != 101:  # 100 is ours to give, 103 a hint.
            answer.headers, answer.found, answer.reason = [], {}, b""
            return
        self._take_head()
        answer.status = status
        answer.content_type = answer.found.get(b"content-type", b"").lower()
        # Asked later, the parser would have forgotten.
        self._keep = self._parser.should_keep_alive()
        answer.is_switched = status == 101
        if self._head_only:
            # The parser waits for the body that the head speaks of, so it is of no more use.
            answer.is_whole, self._keep = True, False

    def _is_whole_now(self) -> bool:
        return self.incoming.has_head and not self.incoming.is_switched

    def _take_after_upgrade(self, rest: bytes) -> None:
        if not self.incoming.is_switched:
            self._broken("a protocol that nobody asked for")
        elif rest:
            self.incoming.add(rest)

    def _broken(self, reason: str) -> None:
        self.incoming.fail(InvalidAnswerError(reason))
        self.abort()

    def _too_late(self) -> None:
        if self._in_use:
            self.incoming.fail(TimedOutError("nothing came for too long"))
        self.abort()


def _ends_with_connection(answer: Answer) -> bool:
    """Whether the end of the connection is the end of the answer's body."""
    framed = b"content-length" in answer.found or b"transfer-encoding" in answer.found
    return answer.is_switched or not framed


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
        self.path = parts.path.rstrip("/").encode()
        self._host = parts.hostname or ""
        is_tls = parts.scheme == "https"
        self._port = parts.port or (443 if is_tls else 80)
        self._tls = tls() if is_tls and tls else None
        self._server_name = (server_name or self._host) if is_tls else None
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    def kept(self) -> Connection | None:
        """A connection of before, if there is one that is fit."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def connect(self) -> Connection:
        """A new connection.

        Raises:
            UpstreamError: there is none to be had.
        """
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
