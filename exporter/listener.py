"""Listening sockets: how many connections may stand, how long, and by which certificate."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import Counter

from exporter.errors import ExporterError

_log = structlog.get_logger(__name__)

_ACCEPT_RETRY_S = 0.2
BACKLOG = 512
"""Connections that the kernel holds until they are accepted; beyond, clients wait a second."""
LINGER_S = 1
"""How long the rest of an unwanted body is let come, for many clients look at the answer only once
they have sent all; and, when the listener closes, handshakes that are under way."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take up.

    Attributes:
        connections: open at the same time; more are closed at once.
        headers: of one request.
        header_bytes: of one header, and of the request line.
        body_bytes: of a request's body, unpacked.
        handshake_s: for a TLS handshake.
        head_s: for all of a request's head to arrive, and between two requests.
        body_s: for all of a request's body to arrive.
        answer_s: for a client to take what it was sent.
        shutdown_s: for requests under way when the listener stops.
    """

    connections: int = 512
    headers: int = 64
    header_bytes: int = 8190
    body_bytes: int = 1 << 20
    handshake_s: float = 10
    head_s: float = 75
    body_s: float = 60
    answer_s: float = 60
    shutdown_s: float = 1


class ConnectionMetrics(Protocol):
    """What a listener counts."""

    connections_refused: Counter
    requests_failed: Counter


class ListenError(ExporterError):
    """An address cannot be listened at."""


class AddressAwayError(ListenError):
    """Another program listens there, or the machine has no such address yet."""

    may_pass = True


class Standing(Protocol):
    """Who has the connections that were handed over; aiohttp's server is one."""

    @property
    def connections(self) -> Collection[object]: ...


class Listener:
    """Accepts connections at some addresses and hands them to `connect`'s protocols."""

    def __init__(
        self,
        server: Standing,
        connect: Callable[[], asyncio.Protocol],
        tls: Callable[[], ssl.SSLContext | None],
        limits: Limits,
        metrics: ConnectionMetrics,
    ) -> None:
        self._server = server
        self._connect = connect
        self._tls = tls
        self._limits = limits
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._opening: dict[asyncio.Protocol, asyncio.Task[None]] = {}
        self._failing = self._full = False

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each socket."""
        return [listening.getsockname()[:2] for listening in self._sockets]

    def listen(self, address: str) -> None:
        """Listen at one more address.

        Raises:
            ListenError: it is no address, or cannot be had; AddressAwayError: not now.
        """
        self.accept_at(open_socket(address))

    def accept_at(self, listening: socket.socket) -> None:
        """Accept at a socket that listens, and close it in the end; other processes may have it."""
        listening.setblocking(False)
        self._sockets.append(listening)
        self._loop.add_reader(listening, self._accept, listening)

    def stop_accepting(self) -> None:
        """Accept no more."""
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    async def close(self) -> None:
        """Accept no more; connections that stand, or are about to, are the server's."""
        self.stop_accepting()
        if opening := list(self._opening.values()):
            _, late = await asyncio.wait(opening, timeout=LINGER_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        try:
            accepted, _ = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):  # Another has it, or the client left.
            return
        except OSError as error:  # Out of file descriptors or memory, most likely.
            # Invalid is what the process that opened the socket has shut; it may open it again.
            if not self._failing and error.errno != errno.EINVAL:
                _log.error("cannot accept connections, trying again", error=str(error))
            self._failing = True
            self._loop.remove_reader(listening)
            self._loop.call_later(_ACCEPT_RETRY_S, self._accept_again, listening)
            return
        self._failing = False
        standing = self._standing()
        if standing < self._limits.connections:
            connection = self._connect()
            self._opening[connection] = self._loop.create_task(self._open(accepted, connection))
        else:
            accepted.close()
            self._metrics.connections_refused.inc()
            if not self._full:
                _log.warning("too many connections, closing new ones", open=standing)
            self._full = True
        if standing < self._limits.connections / 2:
            self._full = False

    def _standing(self) -> int:
        """Connections that there are: one is in both places while it is handed over."""
        handed_over = self._server.connections
        return len(handed_over) + sum(each not in handed_over for each in self._opening)

    def _accept_again(self, listening: socket.socket) -> None:
        if listening.fileno() >= 0:  # Not closed meanwhile.
            self._loop.add_reader(listening, self._accept, listening)

    async def _open(self, accepted: socket.socket, connection: asyncio.Protocol) -> None:
        tls = self._tls()  # Asked each time: a new certificate serves new connections.
        patience = self._limits.handshake_s if tls else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=patience,
            )
        except OSError as error:
            _log.debug("no TLS connection came about", error=repr(error))
        finally:
            del self._opening[connection]


def open_socket(address: str) -> socket.socket:
    """A listening socket at "host:port", "[IPv6]:port" or ":port", which is every address.

    A name that stands for several addresses gives the first of IPv4, as with Prometheus.

    Raises:
        ListenError: it is no address, or cannot be had; AddressAwayError: not now.
    """
    host, port = _parts(address)
    try:
        return _bind(host, port)
    except (OSError, UnicodeError) as error:  # The latter from a name that is none.
        reason = getattr(error, "strerror", None) or error
        is_away = getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
        kind = AddressAwayError if is_away else ListenError
        raise kind(f"cannot listen at {address}: {reason}") from error


def port_of(address: str) -> int:
    """The port of an address to listen at.

    Raises:
        ListenError: it is no address.
    """
    return _parts(address)[1]


def _parts(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ListenError(f"listen address {address!r} is not host:port, such as 127.0.0.1:9478")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bind(host: str, port: int) -> socket.socket:
    if not host:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        return socket.create_server(("", port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, *_, bindable = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(bindable[:2], family=family, backlog=BACKLOG)
