"""One client's connection to the web server."""

import asyncio
import logging
import sys
from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from exporter.listener import LINGER_S, ConnectionMetrics, Limits

_log = structlog.get_logger(__name__)


class Connection(web.RequestHandler):
    """One client's connection; bears with slow clients for a while, and answers malformed ones."""

    def __init__(
        self,
        server: web.Server,
        limits: Limits,
        metrics: ConnectionMetrics,
        dress: Callable[[MutableMapping[str, str]], None],
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=limits.head_s,
            lingering_time=LINGER_S,
            max_headers=limits.headers,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            access_log_class=_AccessLog,
            access_log=logging.getLogger(__name__),
        )
        self._answer_s = limits.answer_s
        self._metrics = metrics
        self._dress = dress
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Writing counts as paused until all that was written is on its way. Over TLS, asyncio
        # takes what is encrypted for sent; there, `head_s` ends the wait for an answer's rest.
        cast(asyncio.Transport, transport).set_write_buffer_limits(0)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what it is sent: that is borne for a while only."""
        super().pause_writing()
        if self.transport is not None:
            self._patience = asyncio.get_running_loop().call_later(
                self._answer_s, self.transport.abort
            )

    def resume_writing(self) -> None:
        self._stop_waiting()
        super().resume_writing()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What no handler has met; a body that breaks while it is passed over is the client's."""
        if isinstance(sys.exception(), web.RequestPayloadError):
            _log.debug("a body is not packed as it says")
        else:
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer for what no handler answered; the client learns nothing about the reason."""
        exc = exc or sys.exception()
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            # The parser's message quotes the request, which may hold a password.
            _log.debug("a request is not HTTP", error=type(exc).__name__)
        elif isinstance(exc, ConnectionError):
            _log.debug("the client left before it had its answer", path=request.path)
        else:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            self._metrics.requests_failed.inc()
            _log.error("request failed", method=request.method, path=request.path, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of another answer was sent")
        response = web.Response(status=status, text=f"{status}: {HTTPStatus(status).phrase}\n")
        self._dress(response.headers)
        response.force_close()
        return response


class _AccessLog(AbstractAccessLogger):
    """A line for each request at level debug; without the query, which may name users."""

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.DEBUG)

    def log(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        time: float,
    ) -> None:
        _log.debug(
            "request served",
            method=request.method,
            path=request.path,
            status=response.status,
            bytes_sent=response.body_length,
            duration_s=round(time, 6),
        )
