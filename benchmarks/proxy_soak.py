"""Slow, cutting and hostile clients and upstreams, for a long time: totals, memory, connections.

What each request must count as is known by what its client and its upstream do, which its model's
name says. At the end the series must tell just that.
"""

import asyncio
import json
import os
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.contest import table
from tests.daemon import Daemon
from tests.sources.proxy.upstreams import STREAM_HEAD, Loop, Received, Upstream, Wire, answering
from tests.waiting import free_port, wait_until

PATH = "/v1/chat/completions"
INPUT = 7
CLIENTS = 2
"""Of each kind, each with one request after the other."""

WARM_UP = 0.25
"""Of the time; memory is compared from then on."""

MOST_GROWTH = 0.05

FEW = 4
"""Descriptors that a database may open meanwhile."""

BIG = 1 << 30
"""Bytes of the one body that is larger than all others."""

EVENT = b'data: {"choices":[{"delta":{"content":"' + b"x" * 200 + b'"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":%d}}\n\n' % INPUT
DONE = b"data: [DONE]\n\n"
WHOLE = b'{"usage": {"prompt_tokens": %d}, "choices": []}' % INPUT

ERRORS: Mapping[str, str | None] = {
    "whole": "",
    "stream": "",
    "slow client": "",
    "big body": "",
    "not UTF-8": "",
    "cut stream": "stream_aborted",
    "wrong length": "upstream_aborted",
    "half head": "upstream_aborted",
    "garbage": "upstream_invalid",
    "endless stream": "client_aborted",
    "half request": "client_aborted",
    "half request head": None,
    "not HTTP": None,
    "smuggled": None,
}
"""What a request of a kind counts as; None: as no request at all."""

WITH_USAGE = ("whole", "stream", "slow client", "big body")


async def moody(request: Received, wire: Wire) -> None:
    """An upstream that does what a header of the request says."""
    match request.header("x-kind"):
        case "stream":
            await wire.send(STREAM_HEAD)
            for event in (EVENT, EVENT, EVENT, USAGE, DONE):
                await wire.chunk(event)
                await asyncio.sleep(0.01)
            await wire.end_chunks()
        case "cut stream":
            await wire.send(STREAM_HEAD)
            await wire.chunk(EVENT)
            wire.cut()
        case "endless stream":
            await wire.send(STREAM_HEAD)
            while True:
                await wire.chunk(EVENT)
                await asyncio.sleep(0.005)
        case "slow client":
            await answering(WHOLE + b" " * (4 << 20))(request, wire)
        case "not UTF-8":
            await wire.send(STREAM_HEAD)
            await wire.chunk(b'data: {"model": "\xff\xfe"}\n\n\x00\xff\n\n')
            await wire.chunk(DONE)
            await wire.end_chunks()
        case "wrong length":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhardly")
            wire.cut()
        case "half head":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Le")
            wire.cut()
        case "garbage":
            await wire.send(b"\x00\x01\x02 that is no HTTP \r\n\r\n")
            wire.cut()
        case _:
            await answering(WHOLE)(request, wire)


def _question(kind: str, more: str = "") -> bytes:
    body = json.dumps({"model": kind.replace(" ", "-"), "stream": "stream" in kind})
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: a\r\nX-Kind: {kind}\r\n{more}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def _read_slowly(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 17):
        await asyncio.sleep(0.02)


async def _send_big(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Kind: big body\r\n"
        f"Content-Length: {BIG}\r\n\r\n".encode()
    )
    for _ in range(BIG >> 20):
        writer.write(b"x" * (1 << 20))
        await writer.drain()
    await reader.read()


async def _ask(kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request of a kind, on a connection of its own."""
    match kind:
        case "big body":
            await _send_big(reader, writer)
        case "slow client":
            writer.write(_question(kind, "Connection: close\r\n"))
            await _read_slowly(reader)
        case "endless stream":
            writer.write(_question(kind))
            await reader.readuntil(b"xxx")
        case "half request":
            writer.write(_question(kind)[:-1])
            await asyncio.sleep(0.1)
        case "half request head":
            writer.write(_question(kind)[:40])
            await asyncio.sleep(0.1)
        case "not HTTP":
            writer.write(os.urandom(2000))
            await reader.read()
        case "smuggled":
            writer.write(_question(kind, "Transfer-Encoding: chunked\r\n"))
            await reader.read()
        case _:
            writer.write(_question(kind, "Connection: close\r\n"))
            await reader.read()


async def _go_on(kind: str, port: int, until: float, sent: Counter[str]) -> None:
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await _ask(kind, reader, writer)
        except ConnectionError:
            pass  # As hostile clients are treated.
        finally:
            writer.close()
        sent[kind] += 1
        if kind == "big body":
            return
        await asyncio.sleep(0.01)


async def _storm(port: int, pid: int, seconds: float) -> tuple[Counter[str], list[float]]:
    """Requests sent, by kind, and MiB of resident memory each second."""
    sent: Counter[str] = Counter()
    resident: list[float] = []
    until = time.monotonic() + seconds

    async def watch() -> None:
        while True:
            resident.append(_resident_mib(pid))
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    await asyncio.gather(
        *(
            _go_on(kind, port, until, sent)
            for kind in ERRORS
            for _ in range(1 if kind == "big body" else CLIENTS)
        )
    )
    watching.cancel()
    return sent, resident


def _resident_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _counted(daemon: Daemon) -> Counter[str]:
    """Requests by error type, "" for successes."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(daemon.get("/metrics")[1]):
        for sample in family.samples:
            if sample.name == "llm_gateway_requests_total" and sample.value:
                found[sample.labels.get("error_type", "")] += int(sample.value)
    return found


def _check_totals(daemon: Daemon, sent: Counter[str]) -> None:
    expected: Counter[str] = Counter()
    for kind, count in sent.items():
        if (error := ERRORS[kind]) is not None:
            expected[error] += count
    wait_until(
        lambda: _counted(daemon).total() >= expected.total(),
        60,
        f"the last commit, which makes {expected}",
    )
    assert _counted(daemon) == expected, f"{_counted(daemon)} counted of {expected}"
    tokens = INPUT * sum(sent[kind] for kind in WITH_USAGE)
    counted = daemon.total("llm_gateway_tokens_total", gen_ai_token_type="input")
    assert counted == tokens, f"{counted:.0f} tokens counted of {tokens}"


def measure(minutes: float) -> str:
    """A table in Markdown.

    Raises:
        AssertionError: a total is not exact, memory grew, or something was left open.
    """
    loop = Loop()
    upstream = Upstream(loop, moody)
    upstream.start()
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "config.yaml")
        proxy = f"{{listen: '127.0.0.1:{port}', upstream: 'http://127.0.0.1:{upstream.port}'}}"
        config.write_text(
            f"state_dir: {directory}/state\nsources: [{{name: edge, proxy: {proxy}}}]\n"
        )
        with Daemon(config) as daemon:
            wait_until(daemon.is_ready, 300, "the daemon to become ready")
            pid = daemon.process.pid
            before = _descriptors(pid)
            sent, resident = asyncio.run(_storm(port, pid, minutes * 60))
            _check_totals(daemon, sent)
            assert daemon.total("llm_gateway_active_requests") == 0
            # Kept connections to the upstream end after half a minute.
            wait_until(lambda: _descriptors(pid) <= before + FEW, 90, "connections to end")
            after = _descriptors(pid)
    upstream.stop()
    loop.close()
    warm = resident[int(len(resident) * WARM_UP) :]
    first, last = (statistics.median(part) for part in (warm[: len(warm) // 3], warm[-60:]))
    assert last <= first * (1 + MOST_GROWTH), f"{first:.0f} MiB became {last:.0f}"
    rows = [
        [kind, "nothing" if error is None else error or "success", f"{sent[kind]:,}"]
        for kind, error in ERRORS.items()
    ]
    return (
        f"{minutes:g} minutes; every total exact. Resident memory: {first:.0f} MiB after the first "
        f"quarter, {last:.0f} MiB at the end. Descriptors: {before} before, {after} after.\n\n"
        + table(["client or upstream", "counts as", "requests"], rows)
    )
