"""A proxy before a fake upstream, both real servers on an event loop in a thread."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from exporter.listener import open_socket
from exporter.record import Record
from exporter.sources.inbox import Inbox
from exporter.sources.proxy.config import ProxyConfig
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.proxy.server import ProxyServer
from exporter.sources.proxy.tasks import TaskBook, Tasks
from tests.sources.proxy.edge import Edge, answer
from tests.sources.proxy.upstreams import Answer, Loop, Upstream
from tests.waiting import free_port, wait_until
from tests.web.serving import Answer as Got
from tests.web.serving import closing_connection, request


@dataclass
class Proxied:
    """A proxy, the upstream behind it, and the records that came of it."""

    upstream: Upstream
    server: ProxyServer
    inbox: Inbox[Record]
    registry: CollectorRegistry
    loop: Loop
    taken: list[Record] = field(default_factory=list)
    expected_failures: int = 0

    @property
    def port(self) -> int:
        return self.server.addresses[0][1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def records(self, count: int) -> Sequence[Record]:
        """All records so far, once there are as many."""

        def enough() -> bool:
            self.taken += self.inbox.take(1000)
            return len(self.taken) >= count

        wait_until(enough, 10, f"{count} records")
        assert len(self.taken) == count
        return self.taken

    def record(self) -> Record:
        return self.records(1)[0]

    def ask(self, path: str, body: Any = None, method: str = "", **headers: str) -> Got:
        """One request; a body that is no bytes is sent as JSON; header names have _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            named.setdefault("Content-Type", "application/json")
        with closing_connection(self.port) as connection:
            verb = method or ("GET" if data is None else "POST")
            return request(connection, path, verb, named, data)

    @contextmanager
    def raw(self, *sent: bytes) -> Iterator[socket.socket]:
        """A socket to the proxy after it sent `sent`; waits 10 s at most for anything."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            for part in sent:
                connection.sendall(part)
            yield connection

    def metric(self, name: str, **labels: str) -> float:
        full = f"llm_gateway_exporter_proxy_{name}"
        return self.registry.get_sample_value(full, {"source": "edge", **labels}) or 0

    def gauge(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


StartProxy = Callable[..., Proxied]


@pytest.fixture
def start_proxy() -> Iterator[StartProxy]:
    """Starts a proxy before an upstream that answers as it is told; both end with the test."""
    loop = Loop()
    started: list[Proxied] = []
    upstreams: list[Upstream] = []

    def start(
        answer: Answer,
        names: Sequence[str] = (),
        tls: Any = None,
        reads_bodies: bool = True,
        **options: Any,
    ) -> Proxied:
        upstream = Upstream(loop, answer, reads_bodies)
        upstream.start(tls)
        upstreams.append(upstream)
        scheme = "https" if tls else "http"
        options.setdefault("upstream", f"{scheme}://127.0.0.1:{upstream.port}")
        listen_tls = options.pop("listen_tls", None)
        config = ProxyConfig.model_validate({"listen": "127.0.0.1:0", "tls": listen_tls, **options})
        registry = CollectorRegistry()
        inbox: Inbox[Record] = Inbox(10_000, threading.Event())
        tasks = Tasks("edge", TaskBook().take)
        server = ProxyServer("edge", config, names, inbox, tasks, ProxyMetrics(registry))

        async def serve() -> None:
            server.start(open_socket(config.listen))

        loop.run(serve())
        started.append(Proxied(upstream, server, inbox, registry, loop))
        return started[-1]

    yield start
    for each in started:
        loop.run(each.server.stop(1))
    for upstream in upstreams:
        upstream.stop()
    loop.close()
    assert [problem for upstream in upstreams for problem in upstream.problems] == []
    for each in started:
        assert each.metric("accounting_failures_total") == each.expected_failures


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An upstream that answers `Edge`."""
    loop = Loop()
    server = Upstream(loop, answer)
    server.start()
    yield server
    server.stop()
    loop.close()


@pytest.fixture
def edge(tmp_path: Path, upstream: Upstream) -> Edge:
    """A daemon's configuration with a proxy before that upstream."""
    return Edge(tmp_path, upstream, free_port())
