"""The clients' side: a listener, what is refused at once, and the end of it all."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import structlog

from exporter.errors import DocumentError, ExporterError
from exporter.listener import Limits, Listener
from exporter.record import Record
from exporter.sources.inbox import Inbox
from exporter.sources.proxy.backlog import Backlog
from exporter.sources.proxy.client import Client, Clients
from exporter.sources.proxy.config import ListenTls, ProxyConfig
from exporter.sources.proxy.exchange import Exchange, Way, refusal
from exporter.sources.proxy.heads import plain_answer
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.proxy.request import Request
from exporter.sources.proxy.target import targets
from exporter.sources.proxy.tasks import Tasks
from exporter.sources.proxy.watch import Books
from exporter.tls import TlsServer, server_context

log = structlog.get_logger(__name__)

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
        tasks: Tasks,
        metrics: ProxyMetrics,
    ) -> None:
        """Set it up; nothing is served before `start`.

        Args:
            attributes: names of a record's attributes, in order.
            tasks: asynchronous calls.

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
            books=_books(source, config, attributes, inbox, tasks, metrics),
            ensure_stream_usage=config.ensure_stream_usage,
            idle_s=config.idle_timeout,
            is_stopping=lambda: self._stopping,
        )
        limits = Limits(
            connections=config.max_concurrent * CONNECTIONS_A_REQUEST, answer_s=config.idle_timeout
        )
        self._clients = Clients(self._handle, limits, metrics)
        self._stopping = False
        self._listener: Listener | None = None

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each listening socket."""
        return self._listener.addresses if self._listener else []

    def start(self, listening: socket.socket) -> None:
        """Serve who connects to a socket, and close that in the end."""
        clients = self._clients
        self._listener = Listener(
            clients, lambda: Client(clients), lambda: self._tls, clients.limits, self._metrics
        )
        self._listener.accept_at(listening)
        for host, port in self._listener.addresses:
            log.info("proxy listening", source=self._source, host=host, port=port)

    def stop_accepting(self) -> None:
        """Take no new connections; those that stand go on."""
        if self._listener is not None:
            self._listener.stop_accepting()

    async def stop(self, within_s: float | None = None) -> None:
        """Let requests under way end, for a time; cut the rest."""
        if self._listener is not None:
            await self._listener.close()
        await self._clients.drain(self._config.drain_timeout if within_s is None else within_s)
        self._stopping = True  # What ends from now on was ended by us, not by its client.
        if cut := self._way.under_way:
            log.warning("requests cut at the end", source=self._source, requests=cut)
        self._targets.close()
        await self._clients.close()
        self._way.books.backlog.clear()

    def _handle(self, request: Request) -> Exchange | None:
        if (mistake := _mistake(request)) is not None:
            request.answer(plain_answer(400, mistake))
        elif self._way.under_way >= self._config.max_concurrent:
            request.answer(refusal(self._way, request))
        else:
            return Exchange(self._way, request)
        return None


def _mistake(request: Request) -> str | None:
    """Why a request must not go through, None if it may.

    The parser refuses most of what could be understood differently behind us (RFC 9112, section
    11.2); what it lets through is refused here.
    """
    if not request.target.startswith(b"/"):
        return "the target must be a path"
    if request.version not in ("1.1", "1.0"):
        return "HTTP/1.0 and HTTP/1.1 are understood"
    host = request.found.get(b"host")
    if host is None and request.version == "1.1":
        return "a Host header is needed"
    if host is not None and host.count(b","):
        return "one Host header is needed"
    if request.is_session and request.has_body:
        return "a WebSocket's request has no body"
    encoding = request.found.get(b"transfer-encoding")
    if encoding is None:
        return None
    if encoding.strip().lower() != b"chunked":
        return "the only transfer encoding is chunked"
    return None if request.version == "1.1" else "HTTP/1.0 has no transfer encoding"


def _books(
    source: str,
    config: ProxyConfig,
    attributes: Sequence[str],
    inbox: Inbox[Record],
    tasks: Tasks,
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
        tasks=tasks,
        backlog=Backlog(),
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
