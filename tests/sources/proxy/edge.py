"""The daemon's configuration with a proxy, requests to it, and an upstream that answers them."""

import http.client
import json
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.daemon import Daemon
from tests.sources.proxy.upstreams import Received, Upstream, Wire, answering, streaming
from tests.waiting import wait_until

CHAT = "/v1/chat/completions"
ANSWER = b'{"model": "m", "choices": [], "usage": {"prompt_tokens": 42, "completion_tokens": 7}}'
EVENTS = [
    *(b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number for number in range(10)),
    b'data: {"choices":[],"usage":{"prompt_tokens":42,"completion_tokens":7}}\n\n',
    b"data: [DONE]\n\n",
]


async def answer(request: Received, wire: Wire) -> None:
    """A stream of a second, or an answer at once."""
    if json.loads(request.body).get("stream"):
        await streaming(*EVENTS, pause_s=0.1)(request, wire)
    else:
        await answering(ANSWER)(request, wire)


class Edge:
    """A configuration with a proxy, and requests to it."""

    def __init__(self, directory: Path, upstream: Upstream, port: int, workers: int = 1) -> None:
        self.file = directory / "config.yaml"
        self.state = directory / "state"
        self.port = port
        self._upstream = upstream
        self._workers = workers
        self.write()

    def write(self, more: str = "", port: int = 0, upstream: Upstream | None = None) -> None:
        """Write the configuration; what is given here stays as it is until it is given anew."""
        self.port = port or self.port
        self._upstream = upstream or self._upstream
        url = f"http://127.0.0.1:{self._upstream.port}"
        proxy = f"{{listen: '127.0.0.1:{self.port}', upstream: '{url}'}}"
        text = f"workers: {self._workers}\nstate_dir: {self.state}\n"
        self.file.write_text(f"{text}sources: [{{name: edge, proxy: {proxy}}}]\n{more}")

    @property
    def upstream_port(self) -> int:
        """Of what the proxy stands before."""
        return self._upstream.port

    def ask(self, stream: bool = False, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer, over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            body = json.dumps({"model": "qwen", "stream": stream})
            connection.request("POST", CHAT, body, dict(headers or {}))
            return connection.getresponse().read()
        finally:
            connection.close()


def reload(daemon: Daemon) -> None:
    """Let the daemon load its configuration again, and wait until it has."""
    name = "llm_gateway_exporter_config_last_reload_success_timestamp_seconds"
    before = daemon.total(name)
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.total(name) > before, 30, "the reload")
