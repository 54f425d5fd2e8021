"""Chunks that are passed on as they came: what the client gets and what is counted are the same."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from unittest.mock import patch

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from exporter.listener import Limits
from exporter.sources.proxy.chunk import CHUNK, chunk_begin
from exporter.sources.proxy.client import Client, Clients
from exporter.sources.proxy.errors import UpstreamError
from exporter.sources.proxy.heads import Framing
from exporter.sources.proxy.known_event import KnownEvent
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.proxy.passage import Passage
from exporter.sources.proxy.stream_usage import UsageRemover
from exporter.sources.proxy.upstream import Answer, Connection, Patience, Upstream
from tests.sources.proxy.test_known_event import SHAPES, observation, runs
from tests.sources.proxy.wires import Wire, turns

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
EVENT = SHAPES[0] % b"text"
ODD_CHUNKS = [
    b"%X\r\n%b\r\n",
    b"0%x\r\n%b\r\n",
    b"%x;a=b\r\n%b\r\n",
    b"%x\r\n%b",
    b"%x\n%b\r\n",
    b"+%x\r\n%b\r\n",
    b"0x%x\r\n%b\r\n",
    b"%x\r\n%b\r\n%%b\r\n",
    b"%x\r\n\r\n%b",
    b"1%x\r\n%b\r\n",
]


class Watching:
    """Sees parts as a watch does."""

    def __init__(self, few: int) -> None:
        self.seen = observation(few)
        self.parts = 0

    def part(self, data: bytes) -> None:
        self.parts += 1
        self.seen.take_part(data, 1.0)

    def answer(self, answer: Answer) -> None:
        """The head is seen already."""

    @property
    def known_event(self) -> object:
        return self.seen.known_event


class Body:
    """What a client makes of an answer in chunks."""

    def __init__(self, data: bytes) -> None:
        self.parts: list[bytes] = []
        self.on_body = self.parts.append
        self.is_whole = False
        httptools.HttpResponseParser(self).feed_data(HEAD + data)

    def on_message_complete(self) -> None:
        self.is_whole = True


class Way:
    """From an upstream, of whose answer something has come, to a client.

    Args:
        piece: of the body, with the head.
    """

    def __init__(self, piece: bytes, watch: Watching, remover: UsageRemover | None = None) -> None:
        self.connection = Connection(Upstream("http://a", Patience(1, 1, 1)))
        self.upstream = Wire(self.connection)
        metrics = ProxyMetrics(CollectorRegistry())
        self.client = Client(Clients(lambda _: None, Limits(connections=1), metrics))
        self.wire = Wire(self.client)
        answer = self.connection.begin(b"", head_only=False)
        self.connection.data_received(HEAD + piece)
        self.passage = Passage(answer, self.client, watch, Framing(chunked=True), remover)  # type: ignore[arg-type]

    async def carry(self, head: bytes, *pieces: bytes) -> None:
        """The rest of the answer."""
        self.passage.begin(head)
        task = asyncio.ensure_future(self.connection.incoming.pass_to(self.passage))
        await turns()
        for piece in pieces:
            self.connection.data_received(piece)
        assert await task
        self.passage.end()


async def passed(
    pieces: Sequence[bytes], pauses: frozenset[int] = frozenset(), few: int = 0
) -> tuple[tuple[object, ...], int]:
    """What becomes of a stream, and how many parts of it were seen.

    Args:
        pieces: in which it comes, with the head in the first one.
        pauses: numbers of the pieces before which the client has no room.
        few: bytes of which it is tried to know them again.
    """
    watching = Watching(few)
    way = Way(pieces[0], watching)
    connection, client, wire = way.connection, way.client, way.wire
    answer, passage = connection.incoming, way.passage

    async def carry() -> None:
        passage.begin(b"")
        with suppress(UpstreamError):
            while not await answer.pass_to(passage):
                await client.drain()
            passage.end()

    task = asyncio.ensure_future(carry())
    await turns()
    for number, piece in enumerate(pieces[1:], 1):
        if number in pauses:
            client.pause_writing()
        if not way.upstream.is_closed:
            connection.data_received(piece)
        if number in pauses:
            await turns()
            client.resume_writing()
            if number % 2:
                await turns()
    await turns()
    whole = answer.is_whole
    way.upstream.close()
    await task
    wire.close()
    await turns()
    record = watching.seen.end("whole" if whole else "cut", 2.0)
    body = Body(b"".join(wire.written))
    assert body.is_whole is whole
    told = type(answer.error), b"".join(body.parts), record, watching.seen.unparsed
    return (whole, *told), watching.parts


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Chunks, mostly an event in each and each in a piece of its own, sometimes odd ones."""
    chunks: list[bytes] = []
    for event in draw(runs()):
        form = draw(st.sampled_from([CHUNK, CHUNK, CHUNK, *ODD_CHUNKS]))
        chunks.append(form % (len(event), event))
    chunks += draw(st.sampled_from([[LAST], [b"0\r\nX-A: a\r\n\r\n"], [LAST, LAST], []]))
    if draw(st.booleans()):
        return chunks
    stream = b"".join(chunks)
    starts = [sum(map(len, chunks[:number])) for number in range(len(chunks))]
    near = [place + by for place in starts for by in (-2, -1, 0, 1, 2, 3, 4)]
    places = st.sampled_from([place for place in near if 0 <= place <= len(stream)])
    cuts = draw(st.lists(places, max_size=8))
    return [stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)]) if a < b]


def chunks(*events: bytes) -> list[bytes]:
    return [CHUNK % (len(event), event) for event in events]


def usual(*texts: bytes) -> list[bytes]:
    return chunks(*(SHAPES[0] % text for text in texts))


WITHIN = usual(b"c")[0]
STOP = b'"},"finish_reason":"length"}],"x":[{"y":{"z":"'
NONE: frozenset[int] = frozenset()


@example([*usual(b"a", b"b"), b"1", *usual(b"c")], NONE, 0)
@example([usual(b"a")[0] + b"1", *usual(b"b", b"c")], NONE, 0)
@example([*usual(b"a", b"b"), WITHIN[:-2], b"\r\n", *usual(b"d"), LAST], NONE, 0)
@example([*usual(b"a", b"b"), b"%x\r\n" % len(WITHIN), WITHIN, b"\r\n", LAST], NONE, 0)
@example([*usual(b"a", b"b"), b"%x" % (len(EVENT) + 1) + usual(b"text")[0][2:], LAST], NONE, 0)
@example([*usual(b"a", b"b", b"\xff", b"c"), LAST], NONE, 0)
@example([*usual(b"a", b"b"), *chunks(SHAPES[1] % b"c"), LAST], NONE, 0)
@example([*usual(b"a", b"b", STOP), LAST], NONE, 0)
@example([*usual(b"a", b"b"), *chunks(SHAPES[0].replace(b"null", b'"ab"') % b"c"), LAST], NONE, 0)
@example([*usual(b"a", b"b"), LAST, *usual(b"c")], NONE, 0)
@example([*usual(b"a", b"b", b"c", b"d"), LAST], frozenset([2, 3]), 0)
@example([*usual(b"a", b"b", b"c"), *chunks(SHAPES[1] % b"d"), *usual(b"e"), LAST], NONE, 100)
@given(streams(), st.frozensets(st.integers(0, 8), max_size=3), st.sampled_from([0, 100, 300]))
@settings(max_examples=300)
def test_a_stream_is_the_same_whether_chunks_are_parsed(
    pieces: list[bytes], pauses: frozenset[int], few: int
) -> None:
    seen, _ = asyncio.run(passed(pieces, pauses, few))
    with patch.object(Passage, "take_chunk", return_value=False):
        assert seen == asyncio.run(passed(pieces, pauses, few))[0]


def test_a_chunk_like_one_before_is_neither_parsed_nor_seen() -> None:
    seen, parts = asyncio.run(passed([*usual(*(b"%d" % n for n in range(9))), LAST]))
    assert seen[0] is True
    assert parts == 1


def test_a_stream_goes_on_if_what_is_known_of_it_fails() -> None:
    with patch.object(KnownEvent, "is_in", side_effect=ZeroDivisionError):
        (whole, *_), parts = asyncio.run(passed([*usual(b"a", b"b", b"c"), LAST]))
    assert whole is True
    assert parts == 3


def test_the_head_goes_with_the_first_event_and_the_end_with_the_last_one() -> None:
    async def scenario() -> None:
        first, second, third = usual(b"a", b"b", b"c")
        way = Way(first, Watching(0))
        await way.carry(b"head ", second, third + LAST)
        assert way.wire.written == [b"head " + first, second, third + LAST]

    asyncio.run(scenario())


def test_what_is_held_back_goes_out_in_the_end() -> None:
    async def scenario() -> None:
        begun = chunks(EVENT, b'data: {"choices":[')
        way = Way(begun[0], Watching(0), UsageRemover())
        await way.carry(b"", begun[1] + LAST)
        body = Body(b"".join(way.wire.written))
        assert b"".join(body.parts) == EVENT + b'data: {"choices":['
        assert body.is_whole

    asyncio.run(scenario())


def test_a_client_without_room_gets_no_chunks() -> None:
    _, parts = asyncio.run(passed([*usual(b"a", b"b", b"c"), LAST], frozenset([1])))
    assert parts == 2


@given(st.integers(1, 1 << 17))
def test_a_chunk_begins_as_its_size_tells(length: int) -> None:
    size = len(CHUNK % (length, b"x" * length))
    assert chunk_begin(size) == b"%x\r\n" % length


@pytest.mark.parametrize("size", [*range(6), 21, 262, 0x1000 + 7])
def test_no_chunk_has_some_sizes(size: int) -> None:
    assert chunk_begin(size) is None
