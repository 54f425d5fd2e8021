"""Streams through the proxy and its peers: CPU an event, with and without a pause between them.

Among them a relay on the same event loop that reads nothing of what it carries: what is beyond it
is the price of knowing what goes through.
"""

import http.client
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks import machine
from benchmarks.contest import table
from benchmarks.proxy import (
    ADDED_TIMES,
    LOAD_CORE,
    PATH,
    PROXY_CORE,
    QUESTION,
    Contestant,
    answers,
    contestants,
    in_turns,
    litellm,
    on_load_core,
    process,
)
from tests.waiting import free_port, wait_until

SECONDS = 6
STREAMED = json.dumps(
    json.loads(QUESTION) | {"stream": True, "stream_options": {"include_usage": True}}
)


class Shape(NamedTuple):
    """What streams are like.

    Attributes:
        events: of a stream.
        pause_s: between two of them.
        at_once: streams.
        padded: each event with a text of its own that nobody reads.
        by_litellm: LiteLLM's proxy carries them too.
    """

    events: int
    pause_s: float
    at_once: int
    padded: bool = False
    by_litellm: bool = False


SHAPES = (
    Shape(50, 0.0, 32, by_litellm=True),
    Shape(50, 0.001, 24),
    Shape(50, 0.001, 128),
    Shape(50, 0.001, 128, padded=True),
    Shape(200, 0.001, 128),
    Shape(800, 0.001, 128),
)
"""With 24 streams a proxy sleeps most of the time, and what it finds when it wakes depends on the
machine: see `machine`. The longer a stream, the less of its begin and its end has an event to
bear."""


@contextmanager
def upstream(port: int, shape: Shape) -> Iterator[int]:
    """The upstream's process."""
    command = [sys.executable, "-m", "benchmarks.event_upstream"]
    told = (port, shape.events, shape.pause_s, int(shape.padded))
    with process(LOAD_CORE, *command, *map(str, told)) as pid:
        yield pid


@contextmanager
def relay(upstream_port: int) -> Iterator[Contestant]:
    """The relay, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.relay", str(port), str(upstream_port)]
    with process(PROXY_CORE, *command) as pid:
        wait_until(lambda: answers(port), 20, "the relay")
        yield Contestant("relay on uvloop", port, pid)


def _events(port: int) -> int:
    """How many events come in a stream."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", PATH, STREAMED)
    answer = connection.getresponse().read()
    connection.close()
    return answer.count(b"data: ")


def _of_shape(directory: Path, shape: Shape) -> str:
    """A table of one shape.

    Raises:
        AssertionError: a stream is not whole, or what was counted is not what was carried.
    """
    with ExitStack() as running:
        found = running.enter_context(contestants(partial(upstream, shape=shape)))
        found.insert(2, running.enter_context(relay(found[0].port)))
        for each in found:
            assert _events(each.port) == shape.events, each.name
        if shape.by_litellm:
            found.append(running.enter_context(litellm(directory, found[0].port, STREAMED)))
        measured = in_turns(found, directory, STREAMED, shape.at_once, SECONDS)
    rows = []
    for name, of in measured.items():
        times_nginx = of.cpu_us / measured["nginx"].cpu_us
        cpu_us = of.cpu_us / shape.events
        rows.append([name, f"{of.rate:,.0f}", f"{cpu_us:.1f} µs", f"{times_nginx:.2f}", *of.added])
    pause = f"{shape.pause_s * 1000:g} ms apart" if shape.pause_s else "at once"
    title = f"{shape.events} {'padded ' * shape.padded}events {pause}, {shape.at_once} streams"
    return table([title, "streams/s", "CPU an event", "times nginx", *ADDED_TIMES], rows)


def measure() -> str:
    """Tables in Markdown."""
    on_load_core()
    shown = [machine.told()]
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory()))
        shown += [_of_shape(directory, shape) for shape in SHAPES]
    return "\n\n".join(shown)


if __name__ == "__main__":
    print(measure())
