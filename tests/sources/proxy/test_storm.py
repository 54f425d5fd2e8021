"""A storm of clients that leave and dawdle, before an upstream that cuts: nothing is left of it."""

import asyncio
import random
from collections import Counter

import pytest

from tests.sources.proxy.conftest import Proxied, StartProxy
from tests.sources.proxy.upstreams import STREAM_HEAD, Received, Wire, answering
from tests.waiting import wait_until

CLIENTS = 150
MOODS = ("whole", "small", "cut", "leaves", "half head", "half body")
EVENT = b'data: {"choices":[{"delta":{"content":"' + b"x" * 200 + b'"}}]}\n\n'
LAST = b'data: {"choices":[],"usage":{"prompt_tokens":7}}\n\ndata: [DONE]\n\n'


async def moody(request: Received, wire: Wire) -> None:
    """An upstream that does what a header of the request says."""
    if request.header("x-mood") == "small":
        await answering(b'{"usage": {"prompt_tokens": 7}}')(request, wire)
        return
    await wire.send(STREAM_HEAD)
    for _ in range(20):
        await wire.chunk(EVENT)
        await asyncio.sleep(0.005)
        if request.header("x-mood") == "cut":
            wire.cut()
            return
    await wire.chunk(LAST)
    await wire.end_chunks()


async def client(port: int, mood: str, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Mood: {mood}\r\n"
    full = f"{head}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    writer.write({"half head": full[:50], "half body": full[:-1]}.get(mood, full))
    if mood == "leaves":
        await reader.readuntil(b"xxx")
    elif mood.startswith("half"):
        await asyncio.sleep(0.05)
    else:
        await reader.read()
    writer.close()


async def tasks() -> int:
    return len(asyncio.all_tasks())


def active(proxy: Proxied) -> float:
    samples = (sample for metric in proxy.registry.collect() for sample in metric.samples)
    return sum(s.value for s in samples if s.name == "llm_gateway_active_requests")


@pytest.mark.fault("flood of connections")
def test_after_a_storm_every_request_is_recorded_and_nothing_is_left(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(moody)
    seed = random.Random(7)
    moods = [MOODS[number % len(MOODS)] for number in range(CLIENTS)]
    kinds = Counter(moods)

    async def storm() -> None:
        clients = (client(proxy.port, mood, seed.random()) for mood in moods)
        await asyncio.wait_for(asyncio.gather(*clients), 60)

    before = proxy.loop.run(tasks())
    asyncio.run(storm())
    records = proxy.records(CLIENTS - kinds["half head"])
    assert Counter(record.kind.error_type for record in records) == {
        "": kinds["whole"] + kinds["small"],
        "stream_aborted": kinds["cut"],
        "client_aborted": kinds["leaves"] + kinds["half body"],
    }
    assert sum(r.input_tokens or 0 for r in records) == 7 * (kinds["whole"] + kinds["small"])
    assert active(proxy) == 0
    assert not proxy.server._clients.connections
    # Each kept connection is a task of the fake upstream's.
    (target,) = proxy.server._targets._targets
    wait_until(
        lambda: proxy.loop.run(tasks()) <= before + len(target.upstream._idle), 10, "the end"
    )
