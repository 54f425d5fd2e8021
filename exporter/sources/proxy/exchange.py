"""One request on its way: to the upstream, and back to the client.

Answers are written straight to the client's transport: with a response object of aiohttp's, a small
answer took 51 µs instead of 40 when both were tried.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web

from exporter.sources.proxy import headers as h
from exporter.sources.proxy.apis import api_of, session_of
from exporter.sources.proxy.errors import CutError, UpstreamError
from exporter.sources.proxy.heads import (
    Framing,
    answer_head,
    error_answer,
    request_head,
    switching_head,
)
from exporter.sources.proxy.observation import Ending
from exporter.sources.proxy.stream_usage import UsageRemover, asking_for_usage
from exporter.sources.proxy.target import Targets
from exporter.sources.proxy.tunnel import tunnel
from exporter.sources.proxy.upstream import Connection
from exporter.sources.proxy.watch import Books, Watch

log = structlog.get_logger(__name__)

SMALL_BODY = 1 << 16
"""Bytes of a request's body that are sent in one go with its head; a larger one as it comes."""


class _Written(web.StreamResponse):
    """An answer that was written already: aiohttp only learns whether the connection stays."""

    def __init__(self, *, stays: bool) -> None:
        super().__init__()
        self._stays = stays

    @property
    def keep_alive(self) -> bool | None:
        return self._stays

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is left to write."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


STAYS, CLOSES = _Written(stays=True), _Written(stays=False)


class SlowClientError(UpstreamError):
    """The client's body does not come."""

    status = 408
    error_type = "client_timeout"


@dataclass(frozen=True, slots=True)
class Way:
    """What the exchanges of a proxy share.

    Attributes:
        idle_s: how long a client may take for the next part of its body.
        is_stopping: whether what ends now was ended by us.
    """

    targets: Targets
    books: Books
    ensure_stream_usage: bool
    idle_s: float
    is_stopping: Callable[[], bool]


class Exchange:
    """Carries one request; `run` writes the answer to the client.

    Args:
        found: the request's headers by lower-case name.
    """

    def __init__(self, way: Way, request: web.BaseRequest, found: Mapping[bytes, bytes]) -> None:
        self._way = way
        self._request = request
        self._found = found
        self._id = h.request_id(found.get(b"x-request-id", b""))
        path = request.raw_path.partition("?")[0]
        is_session = b"websocket" in found.get(b"upgrade", b"").lower()
        self._api = session_of(path) if is_session else api_of(request.method, path)
        target = way.targets.of(found.get(b"host", b""), path)
        self._upstream = target.upstream
        self._watch = Watch(
            way.books, self._api, request.raw_path, found, target.provider, self._id
        )
        self._remover: UsageRemover | None = None
        self._upload: asyncio.Task[None] | None = None
        self._body_is_late = False
        self._is_answering = False

    async def run(self) -> web.StreamResponse:
        """Carry it; what aiohttp is to do with the client's connection.

        Raises:
            ConnectionError, asyncio.CancelledError: the client left.
        """
        ending = Ending.CLIENT_LEFT
        connection: Connection | None = None
        try:
            body = await self._body()
            self._watch.sent()
            connection = await self._answered(body)
            if connection.is_switched:
                ending = Ending.WHOLE
                await self._carry_session(connection)
                return CLOSES
            framing = self._framing(connection)
            whole = await self._pass_answer(connection, framing)
            ending = Ending.WHOLE if whole else Ending.CUT
            stays = whole and self._request.keep_alive and not framing.ends_with_connection
            return STAYS if stays else CLOSES
        except UpstreamError as error:
            ending = Ending.CUT
            self._answer_for(error)
            return CLOSES
        except (asyncio.CancelledError, ConnectionError):
            if self._way.is_stopping():
                ending = Ending.CUT
            raise
        finally:
            self._let_go(connection)
            self._watch.end(ending)

    def _let_go(self, connection: Connection | None) -> None:
        if self._upload is not None and not self._upload.done():
            self._upload.cancel()
            if connection is not None:
                connection.abort()
        if connection is not None:
            connection.release()

    # To the upstream.

    async def _body(self) -> bytes | None:
        """The body, where it is small or must be known beforehand; None: it comes bit by bit."""
        request = self._request
        if not request.can_read_body:
            return b""
        if self._found.get(b"expect", b"").lower() == b"100-continue":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What is not a length, the parser has refused.
        length = self._found.get(b"content-length")
        size = None if length is None else int(length)
        changes = self._way.ensure_stream_usage and self._api.takes_usage_option
        if size is None or size > (self._way.books.most_copied if changes else SMALL_BODY):
            return None
        try:
            if request.content.is_eof():
                body = request.content.read_nowait()
            else:
                async with asyncio.timeout(self._way.idle_s):
                    body = await request.content.readexactly(size)
        except TimeoutError:
            raise SlowClientError("the body does not come") from None
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the client left") from None
        self._watch.request(body)
        if changes and b"content-encoding" not in self._found:
            changed = asking_for_usage(body)
            if changed is not None:
                self._remover = UsageRemover()
                return changed
        return body

    async def _answered(self, body: bytes | None) -> Connection:
        """A connection with the head of an answer on it.

        Raises:
            UpstreamError: there is none.
        """
        head = request_head(
            self._request,
            self._found,
            self._upstream,
            self._id,
            body,
            unpacked=self._remover is not None,
        )
        connection = await self._upstream.connection()
        try:
            return await self._ask(connection, head, body)
        except CutError as error:
            if self._body_is_late:
                raise SlowClientError("the body does not come") from error
            if body is None or not (connection.is_reused and error.unanswered):
                raise
        # The kept connection had ended just as the request went out: once more, on a new one.
        self._way.books.metrics.retries.labels(self._way.books.source).inc()
        return await self._ask(await self._upstream.connection(fresh=True), head, body)

    async def _ask(self, connection: Connection, head: bytes, body: bytes | None) -> Connection:
        try:
            connection.begin(head + (body or b""), head_only=self._request.method == "HEAD")
            if body is None:
                self._upload = asyncio.create_task(self._pass_body(connection))
            await connection.answered()
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _pass_body(self, connection: Connection) -> None:
        """Pass a body on as it comes, at the upstream's pace, and keep a copy up to the limit."""
        content, most = self._request.content, self._way.books.most_copied
        framing = Framing(self._request.content_length, self._request.content_length is None)
        copy: list[bytes] = []
        size = 0
        try:
            while True:
                async with asyncio.timeout(self._way.idle_s):
                    part = await content.readany()
                if not part:
                    break
                size += len(part)
                if size <= most:
                    copy.append(part)
                connection.write(framing.frame(part))
                await connection.drain()
        except TimeoutError:
            self._body_is_late = True
            connection.abort()
        except UpstreamError:
            return  # Who waits for the answer learns of it too.
        except Exception:  # The client left, or the rest is not what it says.
            connection.abort()
        else:
            if framing.chunked:
                connection.write(b"0\r\n\r\n")
            if size <= most:
                self._watch.request(b"".join(copy))

    # Back to the client.

    def _framing(self, connection: Connection) -> Framing:
        if self._request.method == "HEAD" or connection.status in (204, 304):
            return Framing(bodiless=True)
        if connection.is_whole and self._remover is None:
            return Framing(size=connection.buffered)
        length = h.by_name(connection.headers).get(b"content-length", b"")
        if length.isdigit() and self._remover is None:
            return Framing(size=int(length))
        return Framing(chunked=self._request.version >= (1, 1))

    async def _pass_answer(self, connection: Connection, framing: Framing) -> bool:
        """Write the answer to the client, as it comes and at the client's pace; if it was whole."""
        found = h.by_name(connection.headers)
        watch = self._watch
        watch.answer(connection.status, found)
        head = answer_head(
            self._request,
            connection,
            found,
            self._id,
            framing,
            is_event_stream=watch.is_event_stream,
        )
        if connection.is_whole and self._remover is None:
            data = connection.take()
            # Written before it is looked at: the client needn't wait for that.
            self._write(head + (b"" if framing.bodiless else data))
            watch.part(data)
            return True
        self._write(head)
        remover = self._remover if watch.is_event_stream else None
        try:
            while data := await connection.read():
                shown = remover.feed(data) if remover else data
                if shown:
                    self._write(framing.frame(shown))
                watch.part(data)
                await self._request.writer.drain()
        except UpstreamError as error:
            self._tell_of(error)
            if framing.ends_with_connection and self._request.transport is not None:
                self._request.transport.abort()  # An end in good order would mean a whole answer.
            return False
        if remover and (rest := remover.end()):
            self._write(framing.frame(rest))
        if framing.chunked:
            self._write(b"0\r\n\r\n")
        return True

    async def _carry_session(self, connection: Connection) -> None:
        """Carry a WebSocket's frames to its end."""
        self._watch.switched()
        self._write(switching_head(connection, h.by_name(connection.headers)))
        await tunnel(self._request, connection, self._watch.message)

    def _answer_for(self, error: UpstreamError) -> None:
        """Answer in the place of an upstream that did not."""
        self._tell_of(error)
        if not self._is_answering:
            self._watch.error(error.status, error.error_type)
            text = str(error)
            self._write(error_answer(self._api, error.status, text, error.error_type, self._id))

    def _tell_of(self, error: UpstreamError) -> None:
        books = self._way.books
        books.metrics.upstream_errors.labels(books.source, error.error_type).inc()
        log.debug("no whole answer", source=books.source, error_type=error.error_type)

    def _write(self, data: bytes) -> None:
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client left")
        if not data.startswith(b"HTTP/1.1 100"):
            self._is_answering = True
        transport.write(data)


def refusal(way: Way, request: web.BaseRequest, found: Mapping[bytes, bytes]) -> bytes:
    """The answer to a request that is one too many."""
    way.books.metrics.refused.labels(way.books.source).inc()
    api = api_of(request.method, request.raw_path.partition("?")[0])
    id_ = h.request_id(found.get(b"x-request-id", b""))
    return error_answer(api, 503, "too many requests are under way", "overloaded", id_)
