"""What a connection makes of one read: the parts of a body, and what is wrong behind them."""

import asyncio
from contextlib import suppress

from exporter.sources.proxy.chunk import LAST_CHUNK
from exporter.sources.proxy.errors import InvalidAnswerError, UpstreamError
from exporter.sources.proxy.message import MOST_BUFFERED
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
