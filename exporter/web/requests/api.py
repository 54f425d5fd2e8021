"""The request log over HTTP: `/api/v1/requests`, its export, and `/api/v1/models`."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import wraps
from typing import Annotated, TypeVar

import apsw
import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

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
    Query,
    short_text,
    whole_number,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BUDGET_S = 1.0
"""Time of a query, after which it answers with what it has."""

MOST_REQUESTS, USUAL_REQUESTS = 1000, 100
"""Requests of a page."""

MOST_EXPORTS = 2
"""At once; each takes most of a core."""

MOST_ID_CHARACTERS = 256

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
    searched_to: Annotated[
        Time | None, Meta(description="counted are the requests from here on; null: all")
    ]


def _told(handler: Handler) -> Handler:
    """What goes wrong as problems."""

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
            web.get("/api/v1/requests", _told(self._list)),
            web.get("/api/v1/requests/export", _told(self._export), allow_head=False),
            web.get("/api/v1/requests/{id}", _told(self._show)),
            web.get("/api/v1/models", _told(self._models)),
        ]

    def _log(self) -> RequestSearch:
        search = self._search()
        if search is None:
            raise ProblemError(404, "The request log is off: `request_log.enabled` is false.")
        return search

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _list(self, request: web.Request) -> web.Response:
        query = Query(request.query, FILTER_PARAMETERS | {"id", "limit", "cursor"})
        wanted = query.filter()
        limit = query.one("limit", whole_number(1, MOST_REQUESTS), USUAL_REQUESTS)
        request_id = query.one("id", short_text(MOST_ID_CHARACTERS), "")
        after = query.one("cursor", lambda text: cursor.place_of(text, wanted), None)
        query.check()
        search = self._log()
        answer = await self._run(
            lambda: page_of(search, wanted, request_id, limit, after, BUDGET_S)
        )
        if answer.next is None:
            return _json(answer)
        url = request.rel_url.update_query(cursor=answer.next)
        return _json(answer, {"Link": f'<{url}>; rel="next"'})

    async def _show(self, request: web.Request) -> web.Response:
        Query(request.query, ()).check()
        request_id, search = request.match_info["id"], self._log()
        found = await self._run(lambda: search.find(request_id[:MOST_ID_CHARACTERS]))
        one = found[0] if found else await self._run(lambda: search.get(request_id))
        if one is None:
            raise ProblemError(404, "No request that is kept has this id.")
        return _json(one)

    async def _models(self, request: web.Request) -> web.Response:
        query = Query(request.query, FILTER_PARAMETERS)
        wanted = query.filter()
        query.check()
        search = self._log()
        counted = await self._run(lambda: search.counts(wanted, BUDGET_S))
        models: Counter[str] = Counter()
        for kind, requests in counted.kinds.items():
            models[kind.model] += requests
        items = [ModelCount(model or None, requests) for model, requests in models.most_common()]
        return _json(ModelCounts(items, _time(counted.searched_to, wanted)))

    async def _export(self, request: web.Request) -> web.StreamResponse:
        query = Query(request.query, FILTER_PARAMETERS | {"id", "format", "column", "raw"})
        wanted = query.filter()
        format_name = query.one("format", _one_of(EXPORT_FORMATS), "csv")
        raw = query.one("raw", _one_of(("true", "false")), "false") == "true"
        columns = query.choices("column", FIELDS) or FIELDS
        request_id = query.one("id", short_text(MOST_ID_CHARACTERS), "")
        query.check()
        search = self._log()
        export = RAW_CSV if raw and format_name == "csv" else EXPORT_FORMATS[format_name]
        if self._exports >= MOST_EXPORTS:
            raise ProblemError(
                429, f"{MOST_EXPORTS} exports are under way.", headers={"Retry-After": "10"}
            )
        self._exports += 1
        try:
            tables = search.tables_of(request_id) if request_id else search.export(wanted)
            return await self._stream(request, export, format_name, export.chunks(tables, columns))
        finally:
            self._exports -= 1

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
                request.transport.abort()  # Without the last chunk, clients see that it broke.
            return response
        await response.write_eof()
        return response


def page_of(
    search: RequestSearch,
    wanted: Filter,
    request_id: str,
    limit: int,
    after: Place | None,
    budget_s: float,
) -> RequestPage:
    """A page of what matches; with a request id, what has that.

    Raises:
        ProblemError: what comes after `after` is gone.
    """
    oldest = search.oldest()
    oldest_day = None if oldest is None else oldest.isoformat()
    if request_id:
        return RequestPage(search.find(request_id)[:limit], None, None, oldest_day)
    if after is not None and (oldest is None or day_of(after.start / 1e6) < oldest):
        raise ProblemError(410, "What came after this page is no longer kept.")
    page = search.page(wanted, limit, after, budget_s)
    following = None if page.next is None else cursor.cursor(page.next, wanted)
    return RequestPage(list(page.requests), following, _time(page.searched_to, wanted), oldest_day)


def _one_of(allowed: Sequence[str] | dict[str, ExportFormat]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return text

    return read


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
