"""The clients' side: a listener, what is refused at once, and the end of it all."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from aiohttp import web

from exporter.errors import DocumentError, ExporterError
from exporter.record import Record
from exporter.sources.inbox import Inbox
from exporter.sources.proxy import headers as h
from exporter.sources.proxy.config import ListenTls, ProxyConfig
from exporter.sources.proxy.exchange import CLOSES, Exchange, Way, refusal
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.proxy.target import targets
from exporter.sources.proxy.tasks import Tasks
from exporter.sources.proxy.watch import Books
from exporter.web.listener import Connection, Limits, Listener
from exporter.web.tls import TlsServer, server_context

log = structlog.get_logger(__name__)

MOST_HEADERS = 128
MOST_HEADER_BYTES = 32 << 10
"""Of one header, and of the request line."""

CONNECTIONS_A_REQUEST = 8
"""Connections that may stand for each request that may be under way: most of them are idle."""


class ProxyServer:
    """One proxy, listening from `start` to `stop`."""

    def __init__(
        self,
        source: str,
        config: ProxyConfig,
        attributes: Sequence[str],
        inbox: Inbox[Record],
        metrics: ProxyMetrics,
    ) -> None:
        """Set it up; nothing is served before `start`.

        Args:
            attributes: names of a record's attributes, in order.

        Raises:
            ExporterError: a certificate or a secret cannot be read.
        """
        self._source = source
        self._config = config
        self._metrics = metrics
        self._tls = _server_tls(source, config.tls)
        self._targets = targets(config)
        self._way = Way(
            targets=self._targets,
            books=_books(source, config, attributes, inbox, metrics),
            ensure_stream_usage=config.ensure_stream_usage,
            idle_s=config.idle_timeout,
            is_stopping=lambda: self._stopping,
        )
        self._under_way = 0
        self._stopping = False
        self._server: web.Server | None = None
        self._listener: Listener | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listening socket."""
        return self._listener.addresses if self._listener else []

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the address cannot be had.
        """
        self._server = web.Server(self._handle, handler_cancellation=True)
        await self.start_listening()

    async def start_listening(self) -> None:
        """Listen, again after `stop_listening`.

        Raises:
            ListenError: the address cannot be had.
        """
        config, server = self._config, self._server
        if server is None:
            raise RuntimeError("it was never started, or has stopped")
        limits = Limits(
            connections=config.max_concurrent * CONNECTIONS_A_REQUEST,
            headers=MOST_HEADERS,
            header_bytes=MOST_HEADER_BYTES,
            answer_s=config.idle_timeout,
        )
        listener = Listener(
            server,
            lambda: Connection(server, limits, self._metrics, _no_more, auto_decompress=False),
            lambda: self._tls,
            limits,
            self._metrics,
        )
        listener.listen(config.listen)
        self._listener = listener
        for host, port in listener.addresses:
            log.info("proxy listening", source=self._source, host=host, port=port)

    async def stop_listening(self) -> None:
        """Take no new connections; those that stand go on."""
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    async def stop(self, within_s: float | None = None) -> None:
        """Let requests under way end, for a time; cut the rest."""
        await self.stop_listening()
        limit_s = self._config.drain_timeout if within_s is None else within_s
        if self._server is not None:
            drained = asyncio.create_task(self._server.shutdown(limit_s))
            deadline = asyncio.get_running_loop().call_later(limit_s, self._cut)
            await drained
            deadline.cancel()
            self._server = None
        self._cut()

    def _cut(self) -> None:
        """What ends from now on was ended by us, not by its client."""
        self._stopping = True
        if self._under_way:
            log.warning("requests cut at the end", source=self._source, requests=self._under_way)
        self._targets.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        found = h.by_name(request.raw_headers)
        if (mistake := _mistake(request, found)) is not None:
            return web.Response(
                status=400, text=f"400: {mistake}\n", headers={"Connection": "close"}
            )
        if self._under_way >= self._config.max_concurrent:
            if request.transport is not None:
                request.transport.write(refusal(self._way, request, found))
            return CLOSES
        self._under_way += 1
        try:
            return await Exchange(self._way, request, found).run()
        finally:
            self._under_way -= 1


def _mistake(request: web.BaseRequest, found: Mapping[bytes, bytes]) -> str | None:
    """Why a request must not go through, None if it may.

    The parser refuses most of what could be understood differently behind us (RFC 9112, section
    11.2); what it lets through is refused here.

    Args:
        found: the headers by lower-case name.
    """
    if not request.raw_path.startswith("/"):
        return "the target must be a path"
    if request.version < (1, 0):
        return "HTTP/1.0 is the oldest that is understood"
    host = found.get(b"host")
    if host is None and request.version >= (1, 1):
        return "a Host header is needed"
    if host is not None and b"," in host:
        return "one Host header is needed"
    encoding = found.get(b"transfer-encoding")
    if encoding is None:
        return None
    if encoding.strip().lower() != b"chunked":
        return "the only transfer encoding is chunked"
    return None if request.version >= (1, 1) else "HTTP/1.0 has no transfer encoding"


def _no_more(_: object) -> None:
    """Answers carry nothing of ours."""


def _books(
    source: str,
    config: ProxyConfig,
    attributes: Sequence[str],
    inbox: Inbox[Record],
    metrics: ProxyMetrics,
) -> Books:
    fingerprint = config.key_fingerprint
    # The configuration sees to it that it is one of them.
    place = list(attributes).index(fingerprint.attribute) if fingerprint else 0
    return Books(
        source=source,
        attributes=tuple(config.attributes.get(name, "").lower().encode() for name in attributes),
        fingerprint=(place, fingerprint.secret.read().encode()) if fingerprint else None,
        most_copied=config.max_copy,
        tasks=Tasks(),
        sink=inbox,
        metrics=metrics,
    )


def _server_tls(source: str, tls: ListenTls | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    verifies = tls.client_ca_file is not None
    server = TlsServer(
        cert_file=tls.cert_file,
        key_file=tls.key_file,
        client_ca_file=tls.client_ca_file,
        client_auth_type="RequireAndVerifyClientCert" if verifies else "NoClientCert",
    )
    try:
        return server_context(server, Path(f"source {source}"))
    except DocumentError as error:
        raise ExporterError(f"source {source}: tls: {error.problems[0].message}") from error
