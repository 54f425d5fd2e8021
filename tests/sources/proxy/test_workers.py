"""Several processes that serve a proxy: one port, one exposition, one request log."""

import asyncio
import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.setup import REQUESTS, all_logged, counts
from tests.sources.proxy.edge import ANSWER, CHAT, EVENTS, Edge, reload
from tests.sources.proxy.upstreams import (
    STREAM_HEAD,
    Loop,
    Received,
    Upstream,
    Wire,
    answering,
)
from tests.waiting import free_port, wait_until

ACTIVE = "llm_gateway_active_requests"
LEFT = "llm_gateway_ratelimit_remaining"
VIDEO = "/api/v1/services/aigc/video-generation/video-synthesis"
LIMIT_S = 120
"""Processes start on two cores, which the machine may have better use for."""


class Model:
    """An upstream's answers; streams stop before their last event until they are released.

    Attributes:
        left: what it says is left of a rate limit.
    """

    def __init__(self) -> None:
        self.left = 1000
        self._released = asyncio.Event()

    async def answer(self, request: Received, wire: Wire) -> None:
        if "/api/v1/" in request.target:
            done = request.method == "GET"
            status = {"task_id": "t-1", "task_status": "SUCCEEDED" if done else "PENDING"}
            told = {"output": status, "usage": {"video_duration": 5}}
            await answering(json.dumps(told).encode())(request, wire)
        elif json.loads(request.body).get("stream"):
            await wire.send(STREAM_HEAD)
            for event in EVENTS[:-1]:
                await wire.chunk(event)
            await self._released.wait()
            await wire.chunk(EVENTS[-1])
            await wire.end_chunks()
        else:
            left = {"x_ratelimit_remaining_requests": str(self.left)}
            await answering(ANSWER, **left)(request, wire)

    async def release(self) -> None:
        self._released.set()
        self._released = asyncio.Event()


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def upstream(model: Model) -> Iterator[Upstream]:
    loop = Loop()
    server = Upstream(loop, model.answer)
    server.start()
    yield server
    server.stop()
    loop.close()


@pytest.fixture
def other(upstream: Upstream) -> Iterator[Upstream]:
    """Another upstream, which knows only one answer."""
    server = Upstream(upstream.loop, answering(ANSWER))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def edge(tmp_path: Path, upstream: Upstream) -> Edge:
    return Edge(tmp_path, upstream, free_port(), workers=2)


@pytest.fixture
def daemon(edge: Edge) -> Iterator[Daemon]:
    with Daemon(edge.file).wait_ready(LIMIT_S) as running:
        yield running


class Stream:
    """A streamed answer under way in one of the daemon's processes."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        self._connection.request("POST", CHAT, '{"model": "qwen", "stream": true}')
        self._answer = self._connection.getresponse()
        self._begin = self._answer.read(len(EVENTS[0]))

    def rest(self) -> bytes:
        """All of it, once it has ended."""
        with closing(self._connection):
            return self._begin + self._answer.read()


@contextmanager
def only(pid: int, daemon: Daemon) -> Iterator[None]:
    """Hold up all processes of the daemon but one: clients get to that."""
    held = {daemon.process.pid, worker_of(daemon)} - {pid}
    for other in held:
        os.kill(other, signal.SIGSTOP)
        state = Path(f"/proc/{other}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T")  # noqa: B023
    try:
        yield
    finally:
        for other in held:
            os.kill(other, signal.SIGCONT)


def worker_of(daemon: Daemon) -> int:
    (worker,) = daemon.children()
    return worker


def ask(edge: Edge, method: str, path: str) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", edge.port, timeout=LIMIT_S)) as connection:
        body = '{"model": "wan-video", "input": {"prompt": "x"}}' if method == "POST" else None
        connection.request(method, path, body)
        assert connection.getresponse().status == 200


@pytest.mark.timeout(600)
def test_every_process_serves_and_together_they_are_one_exporter(
    edge: Edge, model: Model, upstream: Upstream
) -> None:
    with Daemon(edge.file).wait_ready(LIMIT_S) as daemon:
        main, worker = daemon.process.pid, worker_of(daemon)
        streams = []
        for pid in (main, worker):
            with only(pid, daemon):
                assert edge.ask() == ANSWER
        counts(daemon, 2, LIMIT_S)
        for pid, left in ((main, 900), (worker, 7), (main, 500)):
            model.left = left
            with only(pid, daemon):
                assert edge.ask() == ANSWER
                streams.append(Stream(edge.port))
            wait_until(lambda: daemon.total(LEFT) == left, LIMIT_S, "the newest word")  # noqa: B023
        wait_until(lambda: daemon.total(ACTIVE) == 3, LIMIT_S, "all streams in the gauge")
        counts(daemon, 5, LIMIT_S)
        for beginner, asker in ((main, worker), (worker, main), (worker, worker)):
            with only(beginner, daemon):
                ask(edge, "POST", VIDEO)
            with only(asker, daemon):
                ask(edge, "GET", "/api/v1/tasks/t-1")
                ask(edge, "GET", "/api/v1/tasks/t-1")
            counts(daemon, requests := int(daemon.total(REQUESTS)) + 1, LIMIT_S)
        assert requests == 8
        assert daemon.total("llm_gateway_usage_total", unit="second") == 15
        daemon.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not accepts(edge.port), LIMIT_S, "no process to accept")
        upstream.loop.run(model.release())
        assert [stream.rest() for stream in streams] == [b"".join(EVENTS)] * 3
        assert daemon.process.wait(LIMIT_S) == 0
    with Daemon(edge.file).wait_ready(LIMIT_S) as daemon:
        counts(daemon, 11, LIMIT_S)
        assert daemon.total("llm_gateway_tokens_total", gen_ai_token_type="input") == 8 * 42
        assert daemon.total(REQUESTS, http_response_status_code="200") == 11
    logged = all_logged(edge.state)
    assert len({request.request_id for request in logged}) == len(logged) == 11
    parts = {path.name.split(".")[1] for path in (edge.state / "requests").glob("*.db")}
    assert parts == {"db", "worker-1"}


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S).close()
    except OSError:
        return False
    return True


@pytest.mark.fault("kill -9 of a worker that serves a proxy")
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_takes_its_own_requests_with_it_and_no_others(
    edge: Edge, daemon: Daemon, model: Model, upstream: Upstream
) -> None:
    main, worker = daemon.process.pid, worker_of(daemon)
    with only(main, daemon):
        whole = Stream(edge.port)
    with only(worker, daemon):
        assert edge.ask() == ANSWER
        cut = Stream(edge.port)
    counts(daemon, 1, LIMIT_S)
    wait_until(lambda: daemon.total(ACTIVE) == 2, LIMIT_S, "both streams")
    os.kill(worker, signal.SIGKILL)
    assert [edge.ask() for _ in range(20)] == [ANSWER] * 20
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        cut.rest()
    wait_until(lambda: daemon.total(ACTIVE) == 1, LIMIT_S, "the gauge to fall")
    wait_until(lambda: daemon.total("llm_gateway_exporter_worker_restarts_total") == 1, LIMIT_S)
    daemon.wait_ready(LIMIT_S)
    with only(worker_of(daemon), daemon):
        assert edge.ask() == ANSWER
    upstream.loop.run(model.release())
    assert whole.rest() == b"".join(EVENTS)
    counts(daemon, 23, LIMIT_S)


class Client(threading.Thread):
    """Asks again and again, each time over a new connection, at the port of now.

    Attributes:
        answered: how many times it was answered.
        problem: why it was not, the first time.
    """

    def __init__(self, edge: Edge) -> None:
        super().__init__(daemon=True)
        self._edge = copy(edge)
        self._stopping = threading.Event()
        self.answered = 0
        self.problem: Exception | None = None

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                assert self._edge.ask() == ANSWER
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.problem = error
                return
            self.answered += 1

    def stop(self) -> int:
        self._stopping.set()
        self.join()
        assert self.problem is None
        return self.answered


@pytest.mark.timeout(600)
def test_a_reload_reaches_all_processes_and_refuses_no_client(
    edge: Edge, daemon: Daemon, model: Model, upstream: Upstream, other: Upstream
) -> None:
    processes = daemon.process.pid, worker_of(daemon)
    streams = []
    for pid in processes:
        with only(pid, daemon):
            streams.append(Stream(edge.port))
    client = Client(edge)
    client.start()
    wait_until(lambda: client.answered > 10, LIMIT_S, "some answers")
    edge.write("labels: {attributes: [team]}\n")  # The proxies are others, their port is not.
    reload(daemon)
    port = edge.port
    edge.write(port=int(daemon.address.rpartition(":")[2]))
    daemon.process.send_signal(signal.SIGHUP)
    edge.port = port
    loaded = "llm_gateway_exporter_config_last_reload_successful"
    wait_until(lambda: daemon.total(loaded) == 0, LIMIT_S, "the refusal of a port that is taken")
    answered = client.stop()
    edge.write(port=free_port(), upstream=other)
    reload(daemon)
    assert not accepts(port)
    for pid in processes:
        with only(pid, daemon):
            assert edge.ask() == ANSWER
    assert len(other.received) == 2
    upstream.loop.run(model.release())
    assert [stream.rest() for stream in streams] == [b"".join(EVENTS)] * 2
    counts(daemon, answered + 4, LIMIT_S)
