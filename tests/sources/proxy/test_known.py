"""Heads that come again: what is not parsed twice is understood as if it were."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from exporter.listener import Limits
from exporter.sources.proxy.client import Client, Clients
from exporter.sources.proxy.known import LONGEST_HEAD, KnownHead, known_head
from exporter.sources.proxy.message import Message
from exporter.sources.proxy.metrics import ProxyMetrics
from exporter.sources.proxy.request import Request
from exporter.sources.proxy.upstream import Connection, Patience, Upstream
from tests.sources.proxy.wires import TURNS, Wire, turns

BODIES = st.sampled_from([b"", b"x", b"ten bytes.", b"y" * 100, b"\r\n\r\n"])
LENGTHS = (b"+1", b"1a", b"0x1", b"", b" 1", b"1 ", b"1,1", b"99999999999", b"-1", b"\xb2", b"01")
HEADERS = (
    b"Content-Length: %d\r\n",
    b"Content-Length: %d\r\nX-A: a\r\n",
    b"X-A: a\r\ncontent-length:%d\r\n",
    b"X-A: a\r\nContent-Length: \t%d\r\n",
    b"Content-Length: 0%d\r\n",
    b"X-Content-Length: 7\r\nCONTENT-LENGTH:   %d\r\n",
    b"Connection: close\r\nContent-Length: %d\r\n",
    b"Expect: 100-continue\r\nContent-Length: %d\r\n",
    b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: %d\r\n",
    b"Content-Length: %d\r\nContent-Length: 4\r\n",
    b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
    b"Content-Length: %d \r\n",
    b"Content-Length: +%d\r\n",
    b"Content-Length: %d\n",
)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
ODDITIES = [b"\r\n", b"\r", b"x", b"HTTP/1.1", b"\r\n\r\n"]
REQUEST_LINES = (b"POST /a HTTP/1.1\r\nHost: a\r\n", b"POST /a HTTP/1.0\r\nHost: a\r\n")
REQUEST_ODDITIES = [
    *ODDITIES,
    REQUEST_LINES[0] + CHUNKED,
    b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n",
]
STATUS_LINES = (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.0 200 OK\r\n")
EMPTY = STATUS_LINES[1] + b"Content-Length: 0\r\n\r\n"
ANSWER_ODDITIES = [
    EMPTY,
    *ODDITIES,
    STATUS_LINES[0] + CHUNKED,
    STATUS_LINES[0] + b"\r\nto the end",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
]


async def all_of(message: Message) -> object:
    """The body, or the kind of error that came instead."""
    parts = []
    try:
        while part := await message.read():
            parts.append(part)
    except Exception as error:
        return type(error), b"".join(parts)
    return b"".join(parts)


def head(message: Message) -> object:
    """Without the header that the body makes plain."""
    others = [each for each in message.headers if each[0] != b"content-length"]
    return others, sorted(message.found.items())


@dataclass
class Seen:
    """What was made of what came.

    Attributes:
        heads: of each message, if it came before or may come again.
    """

    facts: list[object] = field(default_factory=list)
    heads: list[KnownHead | None] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """Reads every request, and answers it."""

    request: Request
    seen: Seen

    async def run(self) -> bool:
        asked = self.request
        facts = (asked.method, asked.target, asked.version, asked.keep_alive, asked.length)
        self.seen.facts += [facts, head(asked), await all_of(asked)]
        self.seen.heads.append(asked.known)
        await asyncio.sleep(0)
        asked.answer(b"answer\n")
        return asked.keep_alive


async def requests_in(pieces: Sequence[bytes], turns_between: int = TURNS) -> Seen:
    """What a client's connection makes of what comes over it."""
    seen = Seen()
    metrics = ProxyMetrics(CollectorRegistry())
    client = Client(Clients(lambda request: Reading(request, seen), Limits(connections=1), metrics))
    wire = Wire(client)
    for piece in pieces:
        await turns(turns_between)
        if not (wire.is_closed or wire.is_paused):
            client.data_received(piece)
    await turns()
    seen.facts += [wire.is_closed, b"".join(wire.written)]
    wire.close()
    await turns()
    return seen


async def answers_in(exchanges: Sequence[tuple[bool, Sequence[bytes]]]) -> Seen:
    """What a connection to an upstream makes of what comes for each request.

    Args:
        exchanges: whether it was HEAD, and the pieces that came.
    """
    seen = Seen()
    connection = Connection(Upstream("http://a", Patience(1, 1, 1)))
    wire = Wire(connection)
    for head_only, pieces in exchanges:
        answer = connection.begin(b"", head_only)
        for piece in pieces:
            if not wire.is_closed:
                connection.data_received(piece)
        seen.facts += [wire.is_closed, answer.is_whole]
        if not answer.is_whole:
            wire.close()
        seen.facts += [answer.status, answer.reason, answer.content_type, head(answer)]
        seen.facts += [await all_of(answer), type(answer.error)]
        seen.heads.append(answer.known)
        connection.release()
        seen.facts.append(wire.is_closed)
        if wire.is_closed:
            break
    wire.close()
    return seen


def post(body: bytes, headers: bytes = b"") -> bytes:
    return REQUEST_LINES[0] + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def ok(body: bytes, headers: bytes = b"") -> bytes:
    return STATUS_LINES[0] + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


@contextmanager
def forgetting() -> Iterator[None]:
    """No head is known again."""
    with patch.object(KnownHead, "parted", return_value=None):
        yield


@st.composite
def messages(draw: st.DrawFn, lines: Sequence[bytes], odd: Sequence[bytes]) -> bytes:
    """One message, mostly with one of two heads; some are almost that."""
    kind = draw(st.sampled_from(["usual", "usual", "usual", "other", "almost", "almost", "odd"]))
    if kind == "odd":
        oddity: bytes = draw(st.sampled_from(odd))
        return oddity
    line = draw(st.sampled_from(lines)) if kind == "other" else lines[0]
    headers: bytes = draw(st.sampled_from(HEADERS if kind == "other" else HEADERS[:2]))
    within = lines[0] + HEADERS[0] % 3 + b"\r\nabc"
    body: bytes = draw(st.one_of(BODIES, st.just(within)))
    message = line + headers % len(body) + b"\r\n" + body
    if kind == "almost" and draw(st.booleans()):
        return line + headers.replace(b"%d", draw(st.sampled_from(LENGTHS))) + b"\r\n" + body
    if kind == "almost":
        place = draw(st.integers(0, len(message) - len(body) - 1))
        other = draw(st.sampled_from([b"", b"a", b"\r", b"\n", b":", b" ", b"1"]))
        return message[:place] + other + message[place + draw(st.integers(0, 1)) :]
    return message


@st.composite
def pieces(draw: st.DrawFn, message: st.SearchStrategy[bytes], most: int) -> list[bytes]:
    """Messages, mostly one in each piece, sometimes cut or joined."""
    found = [b""]
    for each in draw(st.lists(message, min_size=1, max_size=most)):
        body = each.find(b"\r\n\r\n") + 4
        cut = draw(st.one_of(st.just(0), st.just(0), st.just(body), st.integers(0, len(each))))
        if draw(st.sampled_from([True, True, False])):
            found.append(b"")
        found[-1] += each[:cut] if cut else each
        if cut:
            found.append(each[cut:])
    return [piece for piece in found if piece]


BEHIND_A_BODY = b"dy" + post(b"x", b"X-B: b\r\n")
BEHIND_A_BEGIN = ok(b"x", b"X-B: b\r\n")[9:]


@example([post(b"body")[:-2], BEHIND_A_BODY, BEHIND_A_BODY], TURNS)
@given(pieces(messages(REQUEST_LINES, REQUEST_ODDITIES), 8), st.sampled_from([TURNS, 1, 0]))
@settings(max_examples=200)
def test_requests_mean_the_same_whether_their_heads_are_known(
    parts: list[bytes], turns_between: int
) -> None:
    before = [post(b"x"), post(b"y")]
    with patch("exporter.sources.proxy.client.LINGER_S", 0):
        seen = asyncio.run(requests_in([*before, *parts], turns_between))
        with forgetting():
            expected = asyncio.run(requests_in([*before, *parts], turns_between))
    assert seen.facts == expected.facts


@example([(False, [b"HTTP", b"/1.1 ", BEHIND_A_BEGIN]), (False, [BEHIND_A_BEGIN])])
@example([(False, [EMPTY]), (False, [EMPTY.replace(b"0\r", b"1\r") + b"x"])])
@given(
    st.lists(
        st.tuples(
            st.sampled_from([False, False, False, True]),
            pieces(messages(STATUS_LINES, ANSWER_ODDITIES), 2),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=200)
def test_answers_mean_the_same_whether_their_heads_are_known(
    exchanges: list[tuple[bool, list[bytes]]],
) -> None:
    before = [(False, [ok(b"x")])]
    seen = asyncio.run(answers_in([*before, *exchanges]))
    with forgetting():
        expected = asyncio.run(answers_in([*before, *exchanges]))
    assert seen.facts == expected.facts


def test_a_head_is_known_again_whatever_the_length_of_the_body() -> None:
    sizes = (1, 2, 300, 0, 70_000)
    seen = asyncio.run(requests_in([post(b"x" * size) for size in sizes]))
    assert seen.facts[2:-2:3] == [b"x" * size for size in sizes]
    assert seen.heads[1] is not None
    assert seen.heads[1:] == [seen.heads[1]] * 4
    seen = asyncio.run(answers_in([(False, [ok(b"x" * size)]) for size in sizes]))
    assert seen.facts[6:-2:9] == [b"x" * size for size in sizes]
    assert seen.heads[0] is not None
    assert seen.heads == [seen.heads[0]] * 5


def test_the_body_behind_a_known_head_may_come_in_parts() -> None:
    parts = [post(b""), post(b"one"), post(b"two three")]
    seen = asyncio.run(requests_in([*parts[:2], parts[2][:-9], b"two ", b"three", parts[1]]))
    assert seen.facts[2:-2:3] == [b"", b"one", b"two three", b"one"]
    assert seen.heads[1:] == [seen.heads[1]] * 3


def test_another_head_takes_the_place_of_the_known_one() -> None:
    pieces = [post(b"a", b"X-N: %d\r\n" % number) for number in (0, 1, 1, 2, 2)]
    seen = asyncio.run(requests_in(pieces))
    first, second, again, third, last = seen.heads
    assert first is None
    assert second is again
    assert second is not None
    assert third is last
    assert third is not second
    assert b"X-N: 2" in asyncio.run(requests_in(pieces)).heads[-1].begin  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("found", "data", "body_bytes"),
    [
        ({}, b"GET / HTTP/1.1\r\n\r\n", 0),
        ({b"content-length": b"1"}, b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx\r\n", 1),
        ({b"content-length": b"1"}, b"\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 1),
        ({b"content-length": b"1", b"upgrade": b"h2c"}, post(b"x", b"Upgrade: h2c\r\n"), 1),
        ({b"content-length": b"1"}, post(b"x").replace(b" 1\r\n", b" 1 \r\n"), 1),
        ({b"content-length": b"1" * 11}, post(b"x").replace(b" 1\r\n", b" 11111111111\r\n"), 1),
    ],
    ids=["no length", "more behind it", "more before it", "an upgrade", "a space", "too long"],
)
def test_a_head_that_is_not_plain_is_parsed_each_time(
    found: dict[bytes, bytes], data: bytes, body_bytes: int
) -> None:
    assert known_head(found, data, body_bytes) is None


def test_a_long_head_is_not_kept() -> None:
    head = b"POST /a HTTP/1.1\r\nContent-Length: 1\r\nX-A: %b\r\n\r\n"
    longest = head % (b"a" * (LONGEST_HEAD - len(head % b"")))
    found = {b"content-length": b"1"}

    assert known_head(found, longest + b"x", 1) is not None
    assert known_head(found, longest.replace(b"a", b"aa", 1) + b"x", 1) is None
