"""`POST /ingest/{format}`: the push door on the web listener.

A 2xx is given after the commit and never before, so that a sender which got none may send again.
"""

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.web_exceptions import HTTPException

from exporter.mistakes import nearest
from exporter.sources.ingest import IngestMetrics, IngestSource, PushRefused, Receipt

log = structlog.get_logger(__name__)

PATH = "/ingest/{format}"

COMMIT_LIMIT_S = 10.0
"""How long a sender is let wait for the commit; most give up after 10 to 60 seconds themselves."""

RETRY_AFTER_S = 5

MOST_ARRIVING_BYTES = 64 << 20
"""Of bodies that are on their way in, unpacked: packed, each may be a few kilobytes. What comes
beyond it is to come again."""

ENCODINGS = frozenset({"", "identity", "gzip", "deflate", "zstd"})
"""Content encodings of bodies; the server unpacks them before they are read here."""

IDEMPOTENCY_HEADERS = ("Idempotency-Key", "X-Idempotency-Key")


class PushDoor:
    """Answers pushes.

    Args:
        source: what takes them in now, None where the configuration has no ingest source.
        cannot_commit: why nothing can be committed now, None if it can.
    """

    def __init__(
        self,
        source: Callable[[], IngestSource | None],
        cannot_commit: Callable[[], str | None],
        metrics: IngestMetrics,
    ) -> None:
        self._source = source
        self._cannot_commit = cannot_commit
        self._metrics = metrics
        self._arriving_bytes = 0

    def routes(self) -> list[web.RouteDef]:
        """For the web server."""
        return [web.post(PATH, self.handle)]

    def admits(self, request: web.Request) -> bool | None:
        """Whether the request bears the source's token; None where there is none to bear."""
        source = self._source()
        if source is None or source.settings.token is None:
            return None
        return source.admits(request.headers.get("Authorization", ""))

    async def handle(self, request: web.Request) -> web.Response:
        """See the module."""
        try:
            answer = await self._answer(request)
        except HTTPException as error:
            self._metrics.pushes.labels(error.status).inc()
            raise
        self._metrics.pushes.labels(answer.status).inc()
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        source = self._source()
        if source is None:
            raise web.HTTPNotFound(text="404: the configuration has no ingest source\n")
        format_ = request.match_info["format"]
        if format_ not in source.settings.formats:
            near = nearest(format_, source.settings.formats)
            hint = f"; did you mean {near}?" if near else ""
            raise web.HTTPNotFound(text=f"404: there is no such format{hint}\n")
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ENCODINGS:
            raise web.HTTPUnsupportedMediaType(
                text="415: Content-Encoding must be gzip, deflate, zstd or identity\n"
            )
        if (reason := self._cannot_commit()) is not None:
            log.debug("push refused", reason=reason)
            return _later("nothing can be committed now")
        try:
            body = await self._read(request, source.settings.max_body_bytes)
            key = next(
                (request.headers[n] for n in IDEMPOTENCY_HEADERS if n in request.headers), ""
            )
            receipt = source.push(format_, body, key)
        except PushRefused as error:
            return _later(str(error))
        try:
            async with asyncio.timeout(COMMIT_LIMIT_S):
                return _told(await receipt)
        except TimeoutError:
            return _later("the commit takes too long")
        except Exception:
            # The pipeline has logged what it was.
            return _json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the push cannot be decoded"})

    async def _read(self, request: web.Request, most: int) -> bytes:
        """The body, unpacked; the application's own limit is that of small requests.

        Raises:
            PushRefused: too much comes from others at the same time.
        """
        parts = []
        size = 0
        try:
            async for part in request.content.iter_any():
                size += len(part)
                self._arriving_bytes += len(part)
                if size > most:
                    raise web.HTTPRequestEntityTooLarge(
                        max_size=most,
                        actual_size=size,
                        text=f"413: more than {most} bytes, unpacked\n",
                    )
                if size < self._arriving_bytes > MOST_ARRIVING_BYTES:  # A large one comes in alone.
                    raise PushRefused("too much is pushed at the same time")
                parts.append(part)
        except web.RequestPayloadError as error:
            text = "400: the body is cut, or not packed as it says\n"
            raise web.HTTPBadRequest(text=text) from error
        finally:
            self._arriving_bytes -= size
        return b"".join(parts)


def _told(receipt: Receipt) -> web.Response:
    """200 where every line could be read, or the push was told of before; else 400. Either way the
    accepted ones count."""
    told: dict[str, object] = {
        "accepted": receipt.accepted,
        "repeated": receipt.repeated,
        "skipped": receipt.skipped,
    }
    if not receipt.rejected:
        return _json(HTTPStatus.OK, told)
    told["rejected"] = receipt.rejected.total()
    told["reasons"] = receipt.rejected
    told["hints"] = list(dict.fromkeys(receipt.hints))
    return _json(HTTPStatus.BAD_REQUEST, told)


def _later(reason: str) -> web.Response:
    answer = _json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": reason})
    answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _json(status: HTTPStatus, told: object) -> web.Response:
    return web.Response(
        status=status, text=json.dumps(told) + "\n", content_type="application/json"
    )
