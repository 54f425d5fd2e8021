"""One request on its way: to the upstream, and back to the client."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from exporter.sources.proxy import headers as h
from exporter.sources.proxy.apis import api_of, session_of
from exporter.sources.proxy.chunk import LAST_CHUNK
from exporter.sources.proxy.errors import (
    CutError,
    InvalidBodyError,
    SlowClientError,
    UpstreamError,
)
from exporter.sources.proxy.heads import (
    Framing,
    answer_head,
    error_answer,
    request_head,
    switching_head,
)
from exporter.sources.proxy.observation import Ending
from exporter.sources.proxy.passage import Passage
from exporter.sources.proxy.request import Request
from exporter.sources.proxy.stream_usage import UsageRemover, asking_for_usage
from exporter.sources.proxy.target import Targets
from exporter.sources.proxy.tunnel import tunnel
from exporter.sources.proxy.upstream import Answer, Connection
from exporter.sources.proxy.watch import Books, Watch

log = structlog.get_logger(__name__)

SMALL_BODY = 1 << 16
"""Bytes of a request's body that are sent in one go with its head; a larger one as it comes."""


@dataclass(slots=True)
class Way:
    """What the exchanges of a proxy share.

    Attributes:
        idle_s: how long a client may take for the next part of its body.
        is_stopping: whether what ends now was ended by us.
        under_way: how many there are.
    """

    targets: Targets
    books: Books
    ensure_stream_usage: bool
    idle_s: float
    is_stopping: Callable[[], bool]
    under_way: int = 0


class Exchange:
    """Carries one request; `run` writes the answer to the client."""

    def __init__(self, way: Way, request: Request) -> None:
        self._way = way
        self._request = request
        found = request.found
        self._id = h.request_id(found.get(b"x-request-id", b""))
        path = request.path
        self._api = session_of(path) if request.is_session else api_of(request.method, path)
        target = way.targets.of(found.get(b"host", b""), path)
        self._upstream = target.upstream
        self._watch = Watch(way.books, self._api, request, target.provider, self._id)
        self._connection: Connection | None = None
        self._remover: UsageRemover | None = None
        self._upload: asyncio.Task[None] | None = None
        self._upload_error: UpstreamError | None = None

    async def run(self) -> bool:
        """Carry it; whether the client's connection may stay.

        Raises:
            ConnectionError, asyncio.CancelledError: the client left.
        """
        ending: Ending = "client_left"
        self._way.under_way += 1
        try:
            body = await self._body()
            self._watch.sent()
            answer = await self._answered(body)
            if answer.is_switched:
                ending = "whole"
                await self._carry_session(answer)
                return False
            framing = self._framing(answer)
            if answer.is_whole and self._remover is None:
                self._give_answer(answer, framing)
                whole = True
            else:
                whole = await self._pass_answer(answer, framing)
            ending = "whole" if whole else "cut"
            return whole and self._request.keep_alive and not framing.ends_with_connection
        except UpstreamError as error:
            ending = "cut"
            self._answer_for(error)
            return False
        except (asyncio.CancelledError, ConnectionError):
            if self._way.is_stopping():
                ending = "cut"
            raise
        finally:
            self._way.under_way -= 1
            self._let_go()
            self._watch.end(ending)

    def _let_go(self) -> None:
        if self._connection is None:
            return
        if self._upload is not None and not self._upload.done():
            self._upload.cancel()
            self._connection.abort()
        self._connection.release()

    # To the upstream.

    async def _body(self) -> bytes | None:
        """The body, where it is small or must be known beforehand; None: it comes bit by bit."""
        request = self._request
        length = request.length
        if request.is_session or (length is None and not request.has_body):
            return b""
        if b"expect" in request.found and request.found[b"expect"].lower() == b"100-continue":
            request.hint(b"HTTP/1.1 100 Continue\r\n\r\n")
        changes = self._way.ensure_stream_usage and self._api.takes_usage_option
        most = self._way.books.most_copied if changes else SMALL_BODY
        if length is None or length > most:
            return None
        body = request.take() if request.is_whole else await self._rest_of_body()
        self._watch.request(body)
        if changes and b"content-encoding" not in request.found:
            changed = asking_for_usage(body)
            if changed is not None:
                self._remover = UsageRemover()
                return changed
        return body

    async def _rest_of_body(self) -> bytes:
        parts = []
        try:
            async with asyncio.timeout(self._way.idle_s):
                while part := await self._request.read():
                    parts.append(part)
        except TimeoutError:
            raise SlowClientError("the body does not come") from None
        return b"".join(parts)

    async def _answered(self, body: bytes | None) -> Answer:
        """An answer, of which the head is there.

        Raises:
            UpstreamError: there is none.
        """
        head = request_head(
            self._request, self._upstream, self._id, body, unpacked=self._remover is not None
        )
        connection = self._upstream.kept() or await self._upstream.connect()
        while True:
            self._connection = connection
            answer = connection.begin(head + (body or b""), self._request.method == "HEAD")
            if body is None:
                self._upload = asyncio.create_task(self._pass_body(connection))
            try:
                while not answer.has_head:
                    await answer.more()
                return answer
            except CutError as error:
                if self._upload_error is not None:
                    raise self._upload_error from error
                if body is None or not (connection.is_reused and error.unanswered):
                    raise
            # The kept connection had ended just as the request went out: once more, on a new one.
            self._way.books.metrics.retries.labels(self._way.books.source).inc()
            connection = await self._upstream.connect()

    async def _pass_body(self, connection: Connection) -> None:
        """Pass a body on as it comes, at the upstream's pace, and keep a copy up to the limit."""
        request, most = self._request, self._way.books.most_copied
        framing = Framing(chunked=request.length is None)
        copy: list[bytes] = []
        size = 0
        try:
            while True:
                async with asyncio.timeout(self._way.idle_s):
                    part = await request.read()
                if not part:
                    break
                size += len(part)
                if size <= most:
                    copy.append(part)
                connection.write(framing.frame(part))
                await connection.drain()
        except TimeoutError:
            self._upload_error = SlowClientError("the body does not come")
            connection.abort()
        except InvalidBodyError as error:
            self._upload_error = error
            connection.abort()
        except UpstreamError:
            return  # Who waits for the answer learns of it too.
        except ConnectionError:  # The client left.
            connection.abort()
        else:
            if framing.chunked:
                connection.write(LAST_CHUNK)
            if size <= most:
                self._watch.request(b"".join(copy))

    # Back to the client.

    def _framing(self, answer: Answer) -> Framing:
        if self._request.method == "HEAD" or answer.status in (204, 304):
            return Framing(bodiless=True)
        if self._remover is None:
            if answer.is_whole:
                return Framing(size=b"%d" % answer.buffered)
            length = answer.found.get(b"content-length", b"")
            if length.isdigit():
                return Framing(size=length)
        if self._request.version == "1.0":
            return Framing(ends_with_connection=True)
        return Framing(chunked=True)

    def _give_answer(self, answer: Answer, framing: Framing) -> None:
        """Write an answer that is there."""
        head, data = answer_head(self._request, answer, self._id, framing), answer.take()
        self._request.answer(head if framing.bodiless else head + data)
        self._watch.whole_answer(answer, data)

    async def _pass_answer(self, answer: Answer, framing: Framing) -> bool:
        """Write the answer to the client, as it comes and at the client's pace; if it was whole."""
        request = self._request
        remover = self._remover if answer.is_event_stream else None
        passage = Passage(answer, request.sender, self._watch, framing, remover)
        request.is_answered = True
        passage.begin(answer_head(request, answer, self._id, framing))
        try:
            while not await answer.pass_to(passage):
                await request.drain()
        except UpstreamError as error:
            self._tell_of(error)
            if framing.ends_with_connection:
                request.cut()  # An end in good order would mean a whole answer.
            return False
        passage.end()
        return True

    async def _carry_session(self, answer: Answer) -> None:
        """Carry a WebSocket's frames to its end."""
        self._watch.switched()
        self._request.answer(switching_head(answer))
        if self._connection is not None:
            await tunnel(self._request, self._connection, self._watch)

    def _answer_for(self, error: UpstreamError) -> None:
        """Answer in the place of an upstream that did not."""
        self._tell_of(error)
        if not self._request.is_answered:
            self._watch.error(error.status, error.error_type)
            told = error_answer(self._api, error.status, str(error), error.error_type, self._id)
            self._request.answer(told)

    def _tell_of(self, error: UpstreamError) -> None:
        books = self._way.books
        books.metrics.upstream_errors.labels(books.source, error.error_type).inc()
        log.debug("no whole answer", source=books.source, error_type=error.error_type)


def refusal(way: Way, request: Request) -> bytes:
    """The answer to a request that is one too many."""
    way.books.metrics.refused.labels(way.books.source).inc()
    api = api_of(request.method, request.path)
    id_ = h.request_id(request.found.get(b"x-request-id", b""))
    return error_answer(api, 503, "too many requests are under way", "overloaded", id_)
