"""The proxy against its peers: one core each, the same upstream, and every token accounted for.

nginx answers on the other core and wrk asks there too. Where a proxy counts, its tokens must be
what the upstream told: one that is fast because it forgot to count has no figure. LiteLLM's proxy
has one worker, no database and no keys to check.
"""

import asyncio
import http.client
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import uvloop
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import litellm_proxy, machine
from benchmarks.contest import table
from benchmarks.pictures import bars
from tests.waiting import free_port, wait_until

CONNECTIONS, SECONDS, ROUNDS = 32, 5, 3
COMMIT_S = 1.0
"""How long a commit may wait, as the daemon has it by default."""

RATE, RATE_SECONDS = 500, 5
PROXY_CORE, LOAD_CORE = "0", "1"
INPUT, OUTPUT = 42, 17
PATH = "/v1/chat/completions"
QUESTION = json.dumps(
    {"model": "qwen-plus", "messages": [{"role": "user", "content": "How many? " * 20}]}
)
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "model": "qwen-plus-2026",
        "choices": [{"message": {"content": "As many as that. " * 8}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT},
    }
)
NGINX = """
daemon off; worker_processes 1; error_log stderr error; pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {directory}/nginx.body;
  proxy_temp_path {directory}/nginx.proxy; fastcgi_temp_path {directory}/nginx.fastcgi;
  uwsgi_temp_path {directory}/nginx.uwsgi; scgi_temp_path {directory}/nginx.scgi;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ {location} }} }}
}}
"""
PROXYING = (
    "proxy_pass http://model; proxy_http_version 1.1; proxy_buffering off; "
    'proxy_set_header Connection "";'
)


class Contestant:
    """A server on a port, and the process that it is."""

    def __init__(self, name: str, port: int, pid: int, scrape: int = 0) -> None:
        self.name = name
        self.port = port
        self._pid = pid
        self._scrape = scrape

    def cpu_s(self) -> float:
        """User and system time so far, of the process and its children."""
        children = subprocess.run(
            ["pgrep", "-P", str(self._pid)], capture_output=True, text=True, check=False
        ).stdout.split()
        ticks = 0
        for pid in (self._pid, *children):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / 100

    def counted(self) -> tuple[float, float] | None:
        """Requests and input tokens that it has counted; None if it counts nothing."""
        if not self._scrape:
            return None
        connection = http.client.HTTPConnection("127.0.0.1", self._scrape, timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
        requests = sum(s.value for s in samples if s.name == "llm_gateway_requests_total")
        tokens = sum(
            s.value
            for s in samples
            if s.name == "llm_gateway_tokens_total" and s.labels["gen_ai_token_type"] == "input"
        )
        return requests, tokens


@contextmanager
def process(core: str, *command: str) -> Iterator[int]:
    """A process on one core; its id."""
    running = subprocess.Popen(
        ["taskset", "-c", core, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield running.pid
    finally:
        running.terminate()
        running.wait(20)


def answers(port: int, question: str = QUESTION) -> bool:
    """Whether a server is up."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        connection.request("POST", PATH, question)
        status = connection.getresponse().status
        connection.close()
        return status == 200
    except OSError:
        return False


def on_load_core() -> None:
    """Ask from where the upstream answers, away from what is measured."""
    os.sched_setaffinity(0, {int(LOAD_CORE)})


StartUpstream = Callable[[int], AbstractContextManager[int]]
"""An upstream at a port; its process."""


@contextmanager
def fixed_upstream(port: int) -> Iterator[int]:
    """nginx, which gives the one answer."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "nginx.conf"
        location = f"default_type application/json; return 200 '{ANSWER}';"
        file.write_text(nginx_config(Path(name), port, port, location))
        with process(LOAD_CORE, "nginx", "-c", str(file)) as pid:
            yield pid


def nginx_config(directory: Path, port: int, upstream: int, location: str) -> str:
    """A configuration of one worker with one location."""
    return NGINX.format(directory=directory, port=port, upstream=upstream, location=location)


@contextmanager
def contestants(start_upstream: StartUpstream) -> Iterator[list[Contestant]]:
    """The upstream itself, nginx, a bare aiohttp proxy, and this one."""
    missing = [name for name in ("nginx", "wrk") if shutil.which(name) is None]
    if missing:
        raise RuntimeError(f"not installed; as root: apt-get install {' '.join(missing)}")
    upstream, nginx, bare, ours, scrape = (free_port() for _ in range(5))
    with ExitStack() as running, tempfile.TemporaryDirectory() as name:
        directory = Path(name)

        behind = running.enter_context(start_upstream(upstream))
        nginx_file = directory / "nginx.conf"
        nginx_file.write_text(nginx_config(directory, nginx, upstream, PROXYING))
        config = directory / "ours.yaml"
        proxy = f"{{listen: '127.0.0.1:{ours}', upstream: 'http://127.0.0.1:{upstream}'}}"
        config.write_text(
            f"state_dir: {directory}/state\nsources: [{{name: edge, proxy: {proxy}}}]\n"
        )
        daemon = [sys.executable, "-m", "exporter", "run", f"--config.file={config}"]
        daemon.append(f"--web.listen-address=127.0.0.1:{scrape}")
        peer = [sys.executable, "-m", "benchmarks.bare_proxy", str(bare)]
        peer.append(f"http://127.0.0.1:{upstream}")
        found = [
            Contestant("direct", upstream, behind),
            Contestant(
                "nginx",
                nginx,
                running.enter_context(process(PROXY_CORE, "nginx", "-c", str(nginx_file))),
            ),
            Contestant("bare aiohttp", bare, running.enter_context(process(PROXY_CORE, *peer))),
            Contestant("this", ours, running.enter_context(process(PROXY_CORE, *daemon)), scrape),
        ]
        for each in found:
            wait_until(lambda each=each: answers(each.port), 30, each.name)  # type: ignore[misc]
        yield found


@contextmanager
def litellm(directory: Path, upstream: int, question: str = QUESTION) -> Iterator[Contestant]:
    """LiteLLM's proxy, with one worker, once it answers a question."""
    port = free_port()
    command = litellm_proxy.command(directory, port, upstream)
    with process(PROXY_CORE, *command) as pid:
        wait_until(lambda: answers(port, question), 300, litellm_proxy.NAME)
        yield Contestant(litellm_proxy.NAME, port, pid)


def question_script(directory: Path, question: str = QUESTION) -> Path:
    """A script by which wrk asks a question."""
    script = directory / "post.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{question}'\n"
        "wrk.headers['Content-Type'] = 'application/json'\n"
    )
    return script


def flood(
    each: Contestant, script: Path, connections: int = CONNECTIONS, seconds: int = SECONDS
) -> tuple[float, float]:
    """Requests per second, and microseconds of CPU for each.

    Raises:
        AssertionError: an answer was no 200, or what it counted is not what it carried.
    """
    before = settled(each)
    cpu_before = each.cpu_s()
    output = subprocess.run(
        [
            *("taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"),
            *("-s", str(script), f"http://127.0.0.1:{each.port}{PATH}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    cpu_s = each.cpu_s() - cpu_before
    assert "Non-2xx" not in output, output
    requests = int(re.findall(r"(\d+) requests in", output)[0])
    after = settled(each)
    if before is not None and after is not None:
        counted, tokens = after[0] - before[0], after[1] - before[1]
        # wrk leaves while its last requests are under way: they have no tokens, or count.
        assert 0 <= counted - requests <= connections, f"{counted} counted of {requests}"
        assert requests * INPUT <= tokens <= counted * INPUT, f"{tokens} tokens of {requests}"
    return float(re.findall(r"Requests/sec:\s+([\d.]+)", output)[0]), cpu_s / requests * 1e6


def settled(each: Contestant) -> tuple[float, float] | None:
    """What was counted, once nothing is added any more."""
    before = each.counted()
    while before is not None:
        time.sleep(1.5 * COMMIT_S)
        if (after := each.counted()) == before:
            return after
        before = after
    return None


async def latencies(port: int, question: str = QUESTION) -> list[float]:
    """Seconds of each request at a steady rate: one that is slow holds up no other."""
    found: list[float] = []
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    message = f"{head}Content-Length: {len(question)}\r\n\r\n{question}".encode()
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(due: float) -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if length:
            await reader.readexactly(int(length[1]))
        else:
            await reader.readuntil(b"0\r\n\r\n")
        found.append(time.perf_counter() - due)
        idle.append((reader, writer))

    due = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(RATE * RATE_SECONDS):
            due += random.expovariate(RATE)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(ask(time.perf_counter()))
    for _, writer in idle:
        writer.close()
    return found


class Measured(NamedTuple):
    """A contestant's figures: medians of its rounds.

    Attributes:
        rate: requests a second, as many as it could.
        cpu_us: of a request, microseconds.
        added: cells for `ADDED_TIMES`.
    """

    rate: float
    cpu_us: float
    added: tuple[str, str]


ADDED_TIMES = (f"added p50 at {RATE}/s", "added p99")


def in_turns(
    found: Sequence[Contestant],
    directory: Path,
    question: str = QUESTION,
    connections: int = CONNECTIONS,
    seconds: int = SECONDS,
) -> dict[str, Measured]:
    """Ask each contestant as much as it can take, then at a steady rate; in rounds.

    Raises:
        AssertionError: an answer was no 200, or what one counted is not what it carried.
    """
    script = question_script(directory, question)
    floods: dict[str, list[tuple[float, float]]] = {each.name: [] for each in found}
    delays: dict[str, list[float]] = {each.name: [] for each in found}
    for _ in range(ROUNDS):
        for each in found:
            rate, cpu_us = flood(each, script, connections, seconds)
            floods[each.name].append((rate, cpu_us))
            if rate > RATE:
                delays[each.name] += uvloop.run(latencies(each.port, question))
    added = _added_times(delays)
    return {
        name: Measured(
            statistics.median(rate for rate, _ in runs),
            statistics.median(cpu_us for _, cpu_us in runs),
            added[name],
        )
        for name, runs in floods.items()
    }


def _added_times(delays: Mapping[str, Sequence[float]]) -> dict[str, tuple[str, str]]:
    """How much later than the upstream itself each answers."""
    cuts = {name: statistics.quantiles(of_one, n=100) for name, of_one in delays.items() if of_one}

    def added(name: str, percentile: int) -> str:
        if name not in cuts:
            return "fewer than that"
        return f"{(cuts[name][percentile - 1] - cuts['direct'][percentile - 1]) * 1000:.2f} ms"

    return {name: (added(name, 50), added(name, 99)) for name in delays}


def measure() -> str:
    """A table in Markdown."""
    on_load_core()
    busy = machine.told()
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory()))
        found = running.enter_context(contestants(fixed_upstream))
        found.append(running.enter_context(litellm(directory, found[0].port)))
        measured = in_turns(found, directory)
    return f"{busy}\n\n{_shown(measured)}"


def _shown(measured: Mapping[str, Measured]) -> str:
    bare = measured["bare aiohttp"].rate
    rows = [
        [name, f"{of.rate:,.0f}", f"{of.rate / bare:.2f}", f"{of.cpu_us:.0f} µs", *of.added]
        for name, of in measured.items()
    ]
    header = ["small JSON answers", "requests/s", "times bare", "CPU a request", *ADDED_TIMES]
    times = measured["this"].rate / measured[litellm_proxy.NAME].rate
    drawn = {name: measured[name].cpu_us for name in ("this", "nginx", "bare aiohttp")}
    return (
        f"{table(header, rows)}\n\n{times:,.0f} times as many requests/s as LiteLLM's.\n\n"
        + bars("proxy", "microseconds of CPU a request", drawn, ours="this")
    )


if __name__ == "__main__":
    print(measure())
