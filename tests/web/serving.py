"""A real web server on an event loop in a thread, and clients that speak to it over sockets."""

import asyncio
import http.client
import socket
import ssl
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import uvloop
from aiohttp import web

from exporter.web import Link, WebServer

T = TypeVar("T")


class FixedExposition:
    """Renders the same text each time."""

    def __init__(self, text: bytes = b"series 1\n") -> None:
        self.text = text
        self.openmetrics = b"series_total 1\n# EOF\n"

    async def render(self, openmetrics: bool) -> bytes:
        return self.openmetrics if openmetrics else self.text


@dataclass(frozen=True)
class Answer:
    """What a client got; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Served:
    """A server that runs until `stop`."""

    def __init__(self, server: WebServer) -> None:
        self.server = server
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        try:
            self.run(server.start())
        except BaseException:
            self._end()
            raise

    @property
    def port(self) -> int:
        return self.server.addresses[0][1]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def stop(self) -> None:
        try:
            self.run(self.server.stop())
        finally:
            self._end()

    def _end(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(
        self,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        with closing_connection(self.port, tls) as connection:
            return request(connection, path, method, headers, body)

    @contextmanager
    def raw(self, *sent: bytes) -> Iterator[socket.socket]:
        """A socket to the server after it sent `sent`; waits 10 s at most for anything."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            for part in sent:
                connection.sendall(part)
            yield connection


@contextmanager
def closing_connection(
    port: int, tls: ssl.SSLContext | None = None
) -> Iterator[http.client.HTTPConnection]:
    """A client's connection that may carry several requests."""
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    try:
        yield connection
    finally:
        connection.close()


def request(
    connection: http.client.HTTPConnection,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    connection.request(method, path, body=body, headers=dict(headers or {}))
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, response.read())


def read_to_end(connection: socket.socket) -> bytes:
    """All until the server closes; a reset is an end as well."""
    received = b""
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


class Serve(Protocol):
    """Starts a WebServer on a free port; it stops with the test. Options are WebServer's."""

    def __call__(
        self, *routes: web.RouteDef, link: Link | None = None, **options: Any
    ) -> Served: ...
