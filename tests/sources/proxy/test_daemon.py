"""The proxy in the daemon: series, reloads and the end."""

import http.client
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon
from tests.sources.proxy.upstreams import Loop, Received, Upstream, Wire, answering, streaming
from tests.waiting import free_port, wait_until

CHAT = "/v1/chat/completions"
REQUESTS = "llm_gateway_requests_total"
ANSWER = b'{"model": "m", "choices": [], "usage": {"prompt_tokens": 42, "completion_tokens": 7}}'
EVENTS = [
    *(b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number for number in range(10)),
    b'data: {"choices":[],"usage":{"prompt_tokens":42,"completion_tokens":7}}\n\n',
    b"data: [DONE]\n\n",
]


async def answer(request: Received, wire: Wire) -> None:
    if json.loads(request.body).get("stream"):
        await streaming(*EVENTS, pause_s=0.1)(request, wire)
    else:
        await answering(ANSWER)(request, wire)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    loop = Loop()
    server = Upstream(loop, answer)
    server.start()
    yield server
    server.stop()
    loop.close()


class Edge:
    """A configuration with a proxy, and requests to it."""

    def __init__(self, directory: Path, upstream: Upstream) -> None:
        self.file = directory / "config.yaml"
        self.port = free_port()
        self._state = directory / "state"
        self._upstream = upstream
        self.write()

    def write(self, more: str = "", port: int = 0) -> None:
        self.port = port or self.port
        url = f"http://127.0.0.1:{self._upstream.port}"
        proxy = f"{{listen: '127.0.0.1:{self.port}', upstream: '{url}'}}"
        text = f"state_dir: {self._state}\nsources: [{{name: edge, proxy: {proxy}}}]\n{more}"
        self.file.write_text(text)

    def ask(self, stream: bool = False) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", CHAT, json.dumps({"model": "qwen", "stream": stream}))
            return connection.getresponse().read()
        finally:
            connection.close()


@pytest.fixture
def edge(tmp_path: Path, upstream: Upstream) -> Edge:
    return Edge(tmp_path, upstream)


def reload(daemon: Daemon) -> None:
    before = daemon.total("llm_gateway_exporter_config_last_reload_success_timestamp_seconds")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: (
            daemon.total("llm_gateway_exporter_config_last_reload_success_timestamp_seconds")
            > before
        )
    )


def test_what_goes_through_becomes_series_that_a_restart_keeps(edge: Edge) -> None:
    with Daemon(edge.file).wait_ready() as daemon:
        assert edge.ask() == ANSWER
        assert edge.ask(stream=True) == b"".join(EVENTS)
        wait_until(lambda: daemon.total(REQUESTS, http_response_status_code="200") == 2)
        assert daemon.total("llm_gateway_tokens_total", gen_ai_token_type="input") == 84
        assert daemon.total("gen_ai_server_time_to_first_token_seconds_count") == 1
        assert daemon.end() == 0
    with Daemon(edge.file).wait_ready() as daemon:
        assert daemon.total(REQUESTS) == 2


def test_a_request_under_way_ends_and_counts_before_the_daemon_does(edge: Edge) -> None:
    with Daemon(edge.file).wait_ready() as daemon:
        bodies: list[bytes] = []
        asking = threading.Thread(target=lambda: bodies.append(edge.ask(stream=True)))
        asking.start()
        wait_until(lambda: daemon.total("llm_gateway_active_requests") == 1)
        assert daemon.end() == 0
        asking.join()
        assert bodies == [b"".join(EVENTS)]
    with Daemon(edge.file).wait_ready() as daemon:
        assert daemon.total(REQUESTS, http_response_status_code="200") == 1
        assert daemon.total(REQUESTS, error_type="stream_aborted") == 0


@pytest.mark.parametrize("change", ["other settings", "other attributes", "another port"])
def test_a_reload_cuts_no_stream_and_loses_no_record(edge: Edge, change: str) -> None:
    with Daemon(edge.file).wait_ready() as daemon:
        bodies: list[bytes] = []
        asking = threading.Thread(target=lambda: bodies.append(edge.ask(stream=True)))
        asking.start()
        wait_until(lambda: daemon.total("llm_gateway_active_requests") == 1)
        if change == "another port":
            edge.write(port=free_port())
        elif change == "other attributes":
            edge.write("labels: {attributes: [team]}\n")
        else:
            edge.write("labels: {limit: 100}\n")
        reload(daemon)
        assert edge.ask() == ANSWER
        asking.join()
        assert bodies == [b"".join(EVENTS)]
        wait_until(lambda: daemon.total(REQUESTS, http_response_status_code="200") == 2)


def test_a_port_that_is_taken_keeps_the_configuration_of_before(edge: Edge) -> None:
    with Daemon(edge.file).wait_ready() as daemon:
        port = edge.port
        edge.write(port=int(daemon.address.rpartition(":")[2]))
        daemon.process.send_signal(signal.SIGHUP)
        name = "llm_gateway_exporter_config_last_reload_successful"
        wait_until(lambda: daemon.total(name) == 0)
        edge.port = port
        assert edge.ask() == ANSWER
        wait_until(lambda: daemon.total(REQUESTS) == 1)
