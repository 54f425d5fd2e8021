"""The request log over HTTP: `/api/v1/requests`, its export, and `/api/v1/models`."""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, TypeVar

import apsw
import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from exporter.allocator import give_back_memory
from exporter.errors import ExporterError
from exporter.requestlog.exports import (
    EXPORT_FORMATS,
    RAW_CSV,
    ExportFormat,
    FormatUnavailableError,
)
from exporter.requestlog.files import day_of
from exporter.requestlog.filter import Filter
from exporter.requestlog.request import FIELDS, LoggedRequest
from exporter.requestlog.search import Place, RequestSearch
from exporter.web.requests import cursor
from exporter.web.requests.problem import ProblemError
from exporter.web.requests.query import (
    FILTER_PARAMETERS,
    MOST_CHARACTERS,
    Query,
    one_of,
    short_text,
    whole_number,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BUDGET_S = 1.0
"""Time of a query, after which it answers with what it has."""

MOST_ITEMS, USUAL_ITEMS = 1000, 100
"""Of an answer."""

MOST_EXPORTS = 2
"""At once; each takes most of a core."""

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class RequestPage(msgspec.Struct, frozen=True):
    """Requests, newest first."""

    items: list[LoggedRequest]
    next: Annotated[str | None, Meta(description="`cursor` of the next page; null: no more")]
    searched_to: Annotated[
        Time | None,
        Meta(description="all that started from here on was looked at; null: all there is"),
    ]
    oldest_day: Annotated[str | None, Meta(description="from which on requests are kept")]


class ModelCount(msgspec.Struct, frozen=True):
    """A model that was asked for."""

    model: Annotated[str | None, Meta(description="null: not reported")]
    requests: Annotated[int, Meta(ge=1)]


class ModelCounts(msgspec.Struct, frozen=True):
    """Models in a range of time, those with the most requests first."""

    items: list[ModelCount]
    models: Annotated[int, Meta(ge=0, description="all, those beyond the limit included")]
    requests: Annotated[int, Meta(ge=0, description="of all these models")]
    searched_to: Annotated[
        Time | None, Meta(description="counted are the requests from here on; null: all")
    ]


def _with_problems(handler: Handler) -> Handler:
    """The handler, with what goes wrong in it told as a problem."""

    @wraps(handler)
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except ProblemError as problem:
            return problem.response()
        except (apsw.Error, ExporterError, OSError) as error:
            log.error("request log: cannot be read", error=str(error))
            return ProblemError(500, "The request log cannot be read; see the log.").response()

    return handle


class RequestApi:
    """Handlers over the request log.

    Args:
        search: the log as it is configured now, None if it is off.
    """

    def __init__(self, search: Callable[[], RequestSearch | None]) -> None:
        self._search = search
        self._threads = ThreadPoolExecutor(2, "request-search")
        self._exports = 0

    def routes(self) -> list[web.RouteDef]:
        """All of them; none that changes anything."""
        return [
            web.get("/api/v1/requests", _with_problems(self._list)),
            web.get("/api/v1/requests/export", _with_problems(self._export), allow_head=False),
            web.get("/api/v1/requests/{id}", _with_problems(self._show)),
            web.get("/api/v1/models", _with_problems(self._models)),
        ]

    def _log(self) -> RequestSearch:
        search = self._search()
        if search is None:
            raise ProblemError(404, "The request log is off: `request_log.enabled` is false.")
        return search

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _list(self, request: web.Request) -> web.Response:
        query = Query(request.query, FILTER_PARAMETERS | {"limit", "cursor"})
        wanted = query.filter()
        limit = query.one("limit", whole_number(1, MOST_ITEMS), USUAL_ITEMS)
        after = query.one("cursor", lambda text: cursor.place_of(text, wanted), None)
        query.check()
        search = self._log()
        answer = await self._run(lambda: page_of(search, wanted, limit, after, BUDGET_S))
        if answer.next is None:
            return _json(answer)
        url = request.rel_url.update_query(cursor=answer.next)
        return _json(answer, {"Link": f'<{url}>; rel="next"'})

    async def _show(self, request: web.Request) -> web.Response:
        Query(request.query, ()).check()
        request_id, search = request.match_info["id"], self._log()
        one = await self._run(lambda: request_of(search, request_id))
        if one is None:
            raise ProblemError(404, "No request that is kept has this id.")
        return _json(one)

    async def _models(self, request: web.Request) -> web.Response:
        query = Query(request.query, FILTER_PARAMETERS | {"search", "limit"})
        wanted = query.filter()
        part = query.one("search", short_text(0, MOST_CHARACTERS), "").casefold()
        limit = query.one("limit", whole_number(1, MOST_ITEMS), USUAL_ITEMS)
        query.check()
        search = self._log()
        return _json(await self._run(lambda: models_of(search, wanted, part, limit)))

    async def _export(self, request: web.Request) -> web.StreamResponse:
        query = Query(request.query, FILTER_PARAMETERS | {"format", "column", "raw", "trailer"})
        wanted = query.filter()
        format_name = query.one("format", one_of(EXPORT_FORMATS), "csv")
        raw, with_trailer = query.flag("raw"), query.flag("trailer")
        columns = query.choices("column", FIELDS) or FIELDS
        query.check()
        search = self._log()
        export = export_format(format_name, raw=raw)
        if self._exports >= MOST_EXPORTS:
            raise ProblemError(
                429, f"{MOST_EXPORTS} exports are under way.", headers={"Retry-After": "10"}
            )
        self._exports += 1
        try:
            tables = search.export(wanted)
            chunks = (export.with_trailer if with_trailer else export.chunks)(tables, columns)
            return await self._stream(request, export, format_name, chunks)
        finally:
            self._exports -= 1
            self._threads.submit(give_back_memory)

    async def _stream(
        self, request: web.Request, export: ExportFormat, suffix: str, chunks: Iterator[bytes]
    ) -> web.StreamResponse:
        """Send a file that is made meanwhile; if that fails, it must not look complete."""
        try:
            chunk = await asyncio.to_thread(next, chunks, None)
        except FormatUnavailableError as error:
            raise ProblemError(406, str(error)) from error
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        response = web.StreamResponse(
            headers={
                "Content-Type": export.media_type,
                "Content-Disposition": f'attachment; filename="requests-{now}.{suffix}"',
                "Cache-Control": "no-store",
            }
        )
        await response.prepare(request)
        try:
            while chunk is not None:
                await response.write(chunk)
                chunk = await asyncio.to_thread(next, chunks, None)
        except (apsw.Error, ExporterError, OSError) as error:
            if request.transport is not None and not request.transport.is_closing():
                log.error("request log: an export broke off", error=str(error))
                _reset(request.transport)
            return response
        await response.write_eof()
        return response


def _reset(transport: asyncio.Transport) -> None:
    """Break a connection off so that it does not look like the end of an answer.

    There is no last chunk; but HTTP/1.0, which reverse proxies like to speak, has no chunks.
    """
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def page_of(
    search: RequestSearch,
    wanted: Filter,
    limit: int,
    after: Place | None,
    budget_s: float,
) -> RequestPage:
    """A page of what matches.

    Raises:
        ProblemError: what comes after `after` is gone.
    """
    oldest = search.oldest()
    oldest_day = None if oldest is None else oldest.isoformat()
    if after is not None and (oldest is None or day_of(after.start / 1e6) < oldest):
        raise ProblemError(410, "What came after this page is no longer kept.")
    page = search.page(wanted, limit, after, budget_s)
    following = None if page.next is None else cursor.cursor(page.next, wanted)
    return RequestPage(list(page.requests), following, _time(page.searched_to, wanted), oldest_day)


def models_of(search: RequestSearch, wanted: Filter, part: str, limit: int) -> ModelCounts:
    """The models of what matches whose names have `part`, casefolded, in them."""
    counted = search.counts(wanted, BUDGET_S)
    models: Counter[str] = Counter()
    for kind, requests in counted.kinds.items():
        if part in kind.model.casefold():
            models[kind.model] += requests
    items = [ModelCount(name or None, requests) for name, requests in models.most_common(limit)]
    searched_to = _time(counted.searched_to, wanted)
    return ModelCounts(items, len(models), models.total(), searched_to)


def export_format(name: str, *, raw: bool) -> ExportFormat:
    """A format of exports; `raw` makes a CSV whose values are as they are."""
    return RAW_CSV if raw and name == "csv" else EXPORT_FORMATS[name]


def request_of(search: RequestSearch, name: str) -> LoggedRequest | None:
    """The newest request that has this id, or the one of this key."""
    found = search.page(Filter(request_id=name[:MOST_CHARACTERS]), 1)
    return found.requests[0] if found.requests else search.get(name)


def _json(answer: msgspec.Struct, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(answer),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _time(microseconds: int, wanted: Filter) -> str | None:
    if microseconds <= wanted.earliest:
        return None
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
