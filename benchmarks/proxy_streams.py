"""Streams through the proxy and its peers: CPU an event, with and without a pause between them."""

import asyncio
import re
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks.contest import table
from benchmarks.event_upstream import EVENTS, INPUT
from benchmarks.proxy import (
    LOAD_CORE,
    PATH,
    QUESTION,
    Contestant,
    contestants,
    load_before,
    on_load_core,
    process,
    settled,
)

SECONDS, ROUNDS = 4, 3
AT_ONCE, PACED = 32, 24
"""Streams at the same time: without a pause, and with one, when the upstream is the limit."""

PAUSE_S = 0.001

MESSAGE = (
    f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(QUESTION)}\r\n\r\n{QUESTION}"
).encode()


@contextmanager
def upstream(port: int, pause_s: float) -> Iterator[int]:
    """The upstream's process."""
    command = [sys.executable, "-m", "benchmarks.event_upstream", str(port), str(pause_s)]
    with process(LOAD_CORE, *command) as pid:
        yield pid


async def _ask(port: int, until: float) -> int:
    """Streams on one connection, one after the other, each of them whole."""
    streams = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        writer.write(MESSAGE)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = re.search(rb"content-length: (\d+)", head)
        if length:  # A stream that came all at once has one.
            answer = await reader.readexactly(int(length[1]))
        else:
            answer = await reader.readuntil(b"0\r\n\r\n")
        assert answer.count(b"data: ") == EVENTS, answer
        streams += 1
    writer.close()
    return streams


async def _ask_all(port: int, connections: int) -> int:
    until = time.perf_counter() + SECONDS
    return sum(await asyncio.gather(*(_ask(port, until) for _ in range(connections))))


def flood(each: Contestant, connections: int) -> tuple[float, float]:
    """Streams per second, and microseconds of CPU for each event.

    Raises:
        AssertionError: a stream was not whole, or what was counted is not what was carried.
    """
    before, cpu_before, began = settled(each), each.cpu_s(), time.perf_counter()
    streams = asyncio.run(_ask_all(each.port, connections))
    took, cpu_s = time.perf_counter() - began, each.cpu_s() - cpu_before
    after = settled(each)
    if before is not None and after is not None:
        assert after[0] - before[0] == streams, f"{after[0] - before[0]} counted of {streams}"
        assert after[1] - before[1] == streams * INPUT, f"{after[1] - before[1]} tokens"
    return streams / took, cpu_s / streams / EVENTS * 1e6


def measure() -> str:
    """Tables in Markdown."""
    on_load_core()
    shown = [load_before()]
    for title, pause_s, connections in (
        (f"{EVENTS} events at once", 0.0, AT_ONCE),
        (f"{EVENTS} events 1 ms apart", PAUSE_S, PACED),
    ):
        with contestants(partial(upstream, pause_s=pause_s)) as found:
            runs: dict[str, list[tuple[float, float]]] = {each.name: [] for each in found}
            for _ in range(ROUNDS):
                for each in found:
                    runs[each.name].append(flood(each, connections))
        median = {
            name: [statistics.median(column) for column in zip(*measured, strict=True)]
            for name, measured in runs.items()
        }
        nginx_cpu = median["nginx"][1]
        rows = [
            [name, f"{rate:,.0f}", f"{cpu:.1f} µs", f"{cpu / nginx_cpu:.2f}"]
            for name, (rate, cpu) in median.items()
        ]
        header = [f"{title}, {connections} streams", "streams/s", "CPU an event", "times nginx"]
        shown.append(table(header, rows))
    return "\n\n".join(shown)


if __name__ == "__main__":
    print(measure())
