"""What a connection makes of one read: the parts of a body, and what is wrong behind them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from exporter.listener import Limits
from exporter.sources.proxy.chunk import LAST_CHUNK
from exporter.sources.proxy.client import Client, Clients
from exporter.sources.proxy.errors import InvalidAnswerError, UpstreamError
from exporter.sources.proxy.message import MOST_BUFFERED
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.proxy.request import Request
from exporter.sources.proxy.upstream import Answer, Connection, Patience, Upstream
from tests.sources.proxy.wires import Taking, Wire, turns

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def asked() -> tuple[Connection, Wire, Answer]:
    """A connection over which an answer has begun."""
    connection = Connection(Upstream("http://a", Patience(1, 1, 1)))
    wire = Wire(connection)
    answer = connection.begin(b"", head_only=False)
    connection.data_received(HEAD)
    return connection, wire, answer


async def passed(connection: Connection, answer: Answer, *reads: bytes) -> list[bytes]:
    """The parts as they are passed on."""
    got: list[bytes] = []
    task = asyncio.ensure_future(answer.pass_to(Taking(got)))
    await turns()
    for read in reads:
        connection.data_received(read)
    connection.abort()
    with suppress(UpstreamError):
        await task
    return got


def test_chunks_that_come_in_one_read_go_on_in_one_part() -> None:
    async def scenario() -> None:
        connection, _, answer = asked()
        reads = [chunks(b"one", b"two"), chunks(b"three")]
        assert await passed(connection, answer, *reads) == [b"onetwo", b"three"]

    asyncio.run(scenario())


def test_what_came_before_a_mistake_goes_on() -> None:
    async def scenario() -> None:
        connection, _, answer = asked()
        assert await passed(connection, answer, chunks(b"one") + b"zz\r\n") == [b"one"]
        assert isinstance(answer.error, InvalidAnswerError)

    asyncio.run(scenario())


def test_who_sends_more_than_is_taken_is_held_back_until_it_is() -> None:
    async def scenario() -> None:
        connection, wire, answer = asked()
        connection.data_received(chunks(b"x" * MOST_BUFFERED))
        assert not wire.is_paused
        connection.data_received(chunks(b"y"))
        assert wire.is_paused
        assert len(answer.take()) == MOST_BUFFERED + 1
        assert not wire.is_paused
        connection.abort()

    asyncio.run(scenario())


def test_a_connection_that_is_held_back_at_the_end_of_an_answer_is_not_kept() -> None:
    async def scenario() -> None:
        connection, wire, answer = asked()
        connection.data_received(chunks(b"x" * MOST_BUFFERED))
        connection.data_received(chunks(b"y") + LAST_CHUNK)
        assert answer.is_whole
        connection.release()  # The client has left, and nobody takes the rest.
        assert wire.is_closed

    asyncio.run(scenario())


@dataclass(frozen=True)
class Refusing:
    """Answers a request once all of it is there, and takes nothing of its body."""

    request: Request

    async def run(self) -> bool:
        while not self.request.is_whole:
            await asyncio.sleep(0)
        self.request.answer(b"no\n")
        return True


def test_a_client_that_was_held_back_is_heard_again_after_an_early_answer() -> None:
    async def scenario() -> None:
        metrics = ProxyMetrics(CollectorRegistry())
        client = Client(Clients(Refusing, Limits(connections=1), metrics))
        wire = Wire(client)
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        client.data_received(head % (MOST_BUFFERED + 1) + b"x" * MOST_BUFFERED)
        await turns()
        client.data_received(b"y")
        assert wire.is_paused
        await turns()
        assert not wire.is_paused
        client.data_received(head % 0)
        await turns()
        assert wire.written == [b"no\n"] * 2
        wire.close()
        await turns()

    asyncio.run(scenario())
