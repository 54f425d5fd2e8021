"""What the proxy tells of time to first token and of latency, against an upstream that knows both.

The upstream's truth runs from the last byte of a request that it reads to the first output that it
writes, and to the last byte. The rest of the way, through the proxy, is in the difference.

Other work on the machine would be taken for the proxy's delay, so this goes before it where that
is allowed; and a process on each core that does nothing but wake up tells when the machine itself
stood still. Not with real-time priority: a thread of the proxy's would then wait for another one's
turn to end, up to 100 ms.
"""

import asyncio
import gc
import itertools
import json
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path

import uvloop

from benchmarks import machine
from benchmarks.contest import table
from benchmarks.machine import LATE_S, Stall, stood_still
from benchmarks.proxy import LOAD_CORE, PATH, PROXY_CORE, on_load_core
from benchmarks.soak.sent import TICK_S, Load
from exporter.requestlog.filter import Filter
from exporter.requestlog.search import RequestSearch
from tests.daemon import Daemon
from tests.waiting import free_port, wait_until

STREAMS = 64
SECONDS = 20.0
SCRAPE_EVERY_S = 1.0
EVENTS = 20

MODELS = 92
"""Enough for 10,000 samples."""

WARM_UP_S = 4.0
"""In which each model answers once at least, so that its series are there."""

FIRST_S, REST_S = (0.1, 0.6), (0.2, 1.5)
"""Least and most from the request to the first output, and from there to the last byte."""

PROMISED_MS = 5.0

MARGIN_S = 0.005
"""Before a request and after each moment that is told: what stands still then changes it."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(choices: Sequence[object], **more: object) -> bytes:
    data = b"data: %b\n\n" % json.dumps({"choices": choices, **more}).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


ROLE = _chunk([{"index": 0, "delta": {"role": "assistant", "content": ""}}])
WORD = _chunk([{"index": 0, "delta": {"content": "word "}}])
USAGE = _chunk([], usage={"prompt_tokens": 7, "completion_tokens": EVENTS})
END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Timing:
    """Of one stream, in milliseconds.

    Attributes:
        asked: when it began, by `time.perf_counter`; 0 where that is not known.
    """

    first_token_ms: float
    latency_ms: float
    asked: float = 0.0


@dataclass(slots=True)
class Upstream:
    """Streams whose role comes at once, and whose output comes after a time drawn for each.

    Attributes:
        truth: by request id.
    """

    truth: dict[str, Timing] = field(default_factory=dict)
    _draw: random.Random = field(default_factory=lambda: random.Random(5))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on a connection, until it ends."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
                await reader.readexactly(int(headers["content-length"]))
                self.truth[headers["x-request-id"]] = await self._stream(writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> Timing:
        asked = time.perf_counter()
        writer.write(HEAD + ROLE)
        await asyncio.sleep(self._draw.uniform(*FIRST_S))
        first = time.perf_counter()
        writer.write(WORD)
        pause_s = self._draw.uniform(*REST_S) / EVENTS
        for _ in range(EVENTS - 1):
            await asyncio.sleep(pause_s)
            writer.write(WORD)
        await asyncio.sleep(pause_s)
        last = time.perf_counter()
        writer.write(USAGE + END)
        return Timing((first - asked) * 1000, (last - asked) * 1000, asked)


def serve_upstream(port: int, stopping: Event) -> dict[str, Timing]:
    """The truth, by request id.

    In a process of its own, and before all others: what holds it up, the proxy would be blamed for.
    """
    gc.disable()
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    return uvloop.run(_serve_upstream(port, stopping))


async def _serve_upstream(port: int, stopping: Event) -> dict[str, Timing]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", port)
    while not stopping.is_set():
        await asyncio.sleep(TICK_S)
    server.close()
    return upstream.truth


async def _ask(port: int, phase: str, numbers: "itertools.count[int]", until: float) -> None:
    """Streams on one connection, one after the other; they don't all begin at the same moment."""
    await asyncio.sleep(random.uniform(*FIRST_S))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        number = next(numbers)
        body = json.dumps({"model": f"model-{number % MODELS}", "stream": True})
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {phase}-{number}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        answer = await reader.readuntil(b"0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
    writer.close()


async def _phase(port: int, name: str, seconds: float) -> None:
    numbers, until = itertools.count(), time.perf_counter() + seconds
    await asyncio.gather(*(_ask(port, name, numbers, until) for _ in range(STREAMS)))


async def _scrape(address: str) -> bytes:
    """An exposition."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
    body = (await reader.read(-1)).partition(b"\r\n\r\n")[2]
    writer.close()
    return body


async def _scrape_each_second(address: str, scrapes: list[bytes]) -> None:
    while True:
        scrapes.append(await _scrape(address))
        await asyncio.sleep(SCRAPE_EVERY_S)


async def _measure(port: int, address: str) -> list[bytes]:
    """What each scrape brought."""
    scrapes: list[bytes] = []
    await _phase(port, "warm", WARM_UP_S)
    await _phase(port, "quiet", SECONDS)
    scraping = asyncio.create_task(_scrape_each_second(address, scrapes))
    await _phase(port, "scraped", SECONDS)
    scraping.cancel()
    return scrapes


def _recorded(requests: Path) -> dict[str, Timing]:
    """What the request log tells, by request id."""
    return {
        str(each.request_id): Timing(each.time_to_first_token_ms or 0.0, each.latency_ms or 0.0)
        for rows in RequestSearch(requests).export(Filter())
        for each in rows.requests()
    }


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _before_all_others() -> Iterator[str]:
    """Priority, for processes that are begun meanwhile too; says whether there is."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except PermissionError:
        yield "without priority"
        return
    yield "with priority"
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def _row(title: str, differences: Sequence[float]) -> list[str]:
    sizes = [abs(each) for each in differences]
    found = (statistics.median(sizes), statistics.quantiles(sizes, n=100)[98], max(sizes))
    within = sum(size <= PROMISED_MS for size in sizes) / len(sizes)
    return [f"{len(sizes):,}", title, *(f"{each:.2f}" for each in found), f"{within:.2%}"]


def _rows(
    title: str,
    name: str,
    recorded: Mapping[str, Timing],
    truth: Mapping[str, Timing],
    held_up: Sequence[Stall],
) -> Iterator[list[str]]:
    """One of all streams, and one of those that the machine did not hold up."""
    differences, undisturbed = [], []
    for id_, true in truth.items():
        true_ms = getattr(true, name)
        differences.append(getattr(recorded[id_], name) - true_ms)
        told = true.asked + true_ms / 1000
        if not (
            stood_still(held_up, true.asked - MARGIN_S, true.asked)
            or stood_still(held_up, told, told + MARGIN_S)
        ):
            undisturbed.append(differences[-1])
    yield _row(title, differences)
    yield _row(f"{title}, the machine held up none of them", undisturbed)


def measure() -> str:
    """A table in Markdown.

    Raises:
        AssertionError: a stream was not recorded.
    """
    busy = machine.told()
    on_load_core()
    upstream_port, port = free_port(), free_port()
    with _before_all_others() as priority, tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "config.yaml")
        proxy = f"{{listen: '127.0.0.1:{port}', upstream: 'http://127.0.0.1:{upstream_port}'}}"
        config.write_text(
            f"state_dir: {directory}/state\nsources: [{{name: edge, proxy: {proxy}}}]\n"
        )
        program = ("taskset", "-c", PROXY_CORE, sys.executable, "-m", "exporter")
        upstream = Load(serve_upstream, upstream_port)
        watches = [Load(machine.watch, int(core)) for core in (PROXY_CORE, LOAD_CORE)]
        with ExitStack() as running:
            running.enter_context(upstream)
            for watch in watches:
                running.enter_context(watch)
            daemon = running.enter_context(Daemon(config, program=program))
            daemon.wait_ready()
            wait_until(lambda: _listens(upstream_port), 20, "the upstream")
            scrapes = uvloop.run(_measure(port, daemon.address))
            truth = upstream.stop()
            held_up = [stall for watch in watches for stall in watch.stop()]
            wait_until(
                lambda: daemon.total("llm_gateway_requests_total") >= len(truth),
                20,
                "the last commit",
            )
            recorded = _recorded(Path(directory, "state", "requests"))
    assert recorded.keys() == truth.keys(), "a stream was not recorded"
    rows: list[list[str]] = []
    for phase, title in (("quiet", "no scrapes"), ("scraped", "a scrape each second")):
        of_phase = {id_: timing for id_, timing in truth.items() if id_.startswith(phase)}
        for name, what in (("first_token_ms", "time to first token"), ("latency_ms", "latency")):
            rows += _rows(f"{what}, {title}", name, recorded, of_phase, held_up)
    samples = [sum(line[:1].isalpha() for line in scrape.splitlines()) for scrape in scrapes]
    stood = (
        f"The machine stood still {len(held_up):,} times for more than {LATE_S * 1000:g} ms, "
        f"for {max((end - begin for begin, end in held_up), default=0.0) * 1000:.0f} at most."
    )
    header = ["streams", "recorded less true", "median, ms", "99th percentile", "greatest"]
    return (
        f"{busy}\n\n{STREAMS} streams at once, {priority}; {len(samples)} scrapes of "
        f"{statistics.median(samples):,.0f} samples. {stood}\n\n"
        + table([*header, f"within {PROMISED_MS:g} ms"], rows)
    )


if __name__ == "__main__":
    print(measure())
