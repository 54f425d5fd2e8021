"""HTTP's dark corners: what two servers could read differently never reaches the upstream."""

import http.client
import io
import socket
from dataclasses import replace

import pytest

from tests.sources.proxy.conftest import Proxied, StartProxy
from tests.sources.proxy.upstreams import Received, Wire, answering

BODY = b'{"model":"m"}'
POST = b"POST /v1/x HTTP/1.1\r\nHost: a\r\n"
LENGTH = b"Content-Length: 13\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST = b"0\r\n\r\n"


def post(headers: bytes, body: bytes = BODY, start: bytes = POST) -> bytes:
    return start + headers + b"\r\n" + body


REFUSED = {
    "length and encoding": post(b"Content-Length: 4\r\n" + CHUNKED, LAST),
    "encoding and length": post(CHUNKED + b"Content-Length: 4\r\n", LAST),
    "two lengths that differ": post(LENGTH + b"Content-Length: 12\r\n"),
    "one length twice": post(LENGTH + LENGTH),
    "a list of lengths": post(b"Content-Length: 13,13\r\n"),
    "a length with a sign": post(b"Content-Length: +13\r\n"),
    "a length with an underscore": post(b"Content-Length: 1_3\r\n"),
    "a length in hexadecimal": post(b"Content-Length: 0xd\r\n"),
    "a negative length": post(b"Content-Length: -1\r\n", b""),
    "an empty length": post(b"Content-Length: \r\n", b""),
    "an unknown encoding": post(b"Transfer-Encoding: xchunked\r\n", LAST),
    "chunked first": post(b"Transfer-Encoding: chunked, identity\r\n", LAST),
    "chunked twice": post(CHUNKED + CHUNKED, LAST),
    "a packed encoding": post(b"Transfer-Encoding: gzip, chunked\r\n", LAST),
    "a space before the colon": post(b"Transfer-Encoding : chunked\r\n", LAST),
    "an encoding in HTTP/1.0": post(CHUNKED, LAST, b"POST /v1/x HTTP/1.0\r\nHost: a\r\n"),
    "a folded header": post(b"X-A: b\r\n c\r\n" + LENGTH),
    "a folded encoding": post(b"Transfer-Encoding:\r\n chunked\r\n", LAST),
    "NUL in a value": post(b"X-A: b\x00c\r\n" + LENGTH),
    "a lone CR in a value": post(b"X-A: b\rc\r\n" + LENGTH),
    "lines ended by LF": b"POST /v1/x HTTP/1.1\nHost: a\nContent-Length: 13\n\n" + BODY,
    "a control character in a name": post(b"X\x01A: b\r\n" + LENGTH),
    "a header without a name": post(b": b\r\n" + LENGTH),
    "no host": post(LENGTH, start=b"POST /v1/x HTTP/1.1\r\n"),
    "two hosts": post(b"Host: b\r\n" + LENGTH),
    "a list of hosts": post(LENGTH, start=b"POST /v1/x HTTP/1.1\r\nHost: a, b\r\n"),
    "a space in the target": post(LENGTH, start=b"POST /v1/x y HTTP/1.1\r\nHost: a\r\n"),
    "a whole URL as target": post(LENGTH, start=b"POST http://b/v1 HTTP/1.1\r\nHost: a\r\n"),
    "CONNECT": b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a chunk size that is none": post(CHUNKED, b"zz\r\n\r\n"),
    "a chunk size that is huge": post(CHUNKED, b"fffffffffffffffff\r\n\r\n"),
    "chunks ended by LF": post(CHUNKED, b"d\n" + BODY + b"\n0\n\n"),
    "a chunk longer than its size": post(CHUNKED, b"3\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a header of 100 KB": post(b"X-A: " + b"a" * 100_000 + b"\r\n" + LENGTH),
    "2000 headers": post(b"X-A: a\r\n" * 2000 + LENGTH),
    "a target of 100 KB": post(
        LENGTH, start=b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n"
    ),
    "100 KB of small headers": post(b"X-A: %b\r\n" % (b"a" * 1000) * 100 + LENGTH),
    "trailers of 4 MB": post(
        CHUNKED, b"d\r\n" + BODY + b"\r\n0\r\nX-T: " + b"a" * 4_000_000 + b"\r\n\r\n"
    ),
    "a WebSocket with a body": post(b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + LENGTH),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
    "HTTP/0.9": b"GET /v1/x\r\n\r\n",
}

PASSED = {
    "a plain request": post(LENGTH),
    "chunks": post(CHUNKED, b"d\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a chunk's extension": post(CHUNKED, b"d;a=b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "trailers": post(CHUNKED, b"d\r\n" + BODY + b"\r\n0\r\nX-T: 1\r\n\r\n"),
    "headers of this connection": post(b"Connection: close, X-A\r\nX-A: b\r\n" + LENGTH),
    "an offer of HTTP/2": post(b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + LENGTH),
    "an offer of HTTP/2, and chunks": post(
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + CHUNKED,
        b"d\r\n" + BODY + b"\r\n0\r\n\r\n",
    ),
    "HTTP/1.0": post(LENGTH, start=b"POST /v1/x HTTP/1.0\r\nHost: a\r\n"),
    "HTTP/1.0 without a host": post(LENGTH, start=b"POST /v1/x HTTP/1.0\r\n"),
}


@pytest.fixture
def proxy(start_proxy: StartProxy) -> Proxied:
    return start_proxy(answering(b"fine"))


def status(connection: socket.socket) -> int:
    """Of the first answer; 0 where the connection just ends."""
    line = b""
    try:
        while not line.endswith(b"\n") and (part := connection.recv(1)):
            line += part
    except ConnectionResetError:
        return 0
    return int(line[9:12]) if line.startswith(b"HTTP/1.") else 0


@pytest.mark.fault("smuggled requests")
@pytest.mark.parametrize("case", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused(proxy: Proxied, case: str) -> None:
    with proxy.raw() as connection:
        try:
            connection.sendall(REFUSED[case])
        except ConnectionError:
            pass  # It was refused before it was sent.
        else:
            assert status(connection) in (0, 400, 502)
    whole = [r for r in proxy.upstream.received if r.body or not r.header("transfer-encoding")]
    assert whole == []


@pytest.mark.parametrize("case", PASSED)
def test_what_is_unusual_and_sound_goes_through(proxy: Proxied, case: str) -> None:
    with proxy.raw(PASSED[case]) as connection:
        assert status(connection) == 200
    (received,) = proxy.upstream.received
    assert (received.method, received.target, received.body) == ("POST", "/v1/x", BODY)
    assert received.header("x-a") is None
    assert received.header("x-t") is None


def test_an_unknown_method_goes_through(proxy: Proxied) -> None:
    with proxy.raw(b"FOO /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") as connection:
        assert status(connection) in (200, 400)


def test_a_target_that_is_not_ascii_is_refused_or_goes_through_as_it_is(proxy: Proxied) -> None:
    with proxy.raw(post(LENGTH, start=b"POST /v1/\xc3\xa9 HTTP/1.1\r\nHost: a\r\n")) as connection:
        answer = status(connection)
    assert answer == 400 or proxy.upstream.received[0].target.encode("latin-1") == b"/v1/\xc3\xa9"


def test_requests_that_come_at_once_are_answered_in_their_order(start_proxy: StartProxy) -> None:
    async def echo(received: Received, wire: Wire) -> None:
        await answering(received.target.encode())(received, wire)

    proxy = start_proxy(echo)
    sent = b"".join(
        post(LENGTH, start=b"POST /%d HTTP/1.1\r\nHost: a\r\n" % number) for number in range(5)
    )
    with proxy.raw(sent) as connection:
        got = b""
        while got.count(b"HTTP/1.1 200 OK") < 5 or not got.endswith(b"/4"):
            got += connection.recv(4096)
    bodies = [part.partition(b"\r\n\r\n")[2] for part in got.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/0", b"/1", b"/2", b"/3", b"/4"]


def test_an_offer_of_another_protocol_leaves_the_connection_as_it_is(proxy: Proxied) -> None:
    offer = post(b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + LENGTH)
    with proxy.raw(offer + post(LENGTH) + post(LENGTH + b"Connection: close\r\n")) as connection:
        got = b""
        while part := connection.recv(4096):
            got += part
    assert got.count(b"HTTP/1.1 200 OK") == 3
    assert [received.body for received in proxy.upstream.received] == [BODY] * 3


def test_a_flood_of_requests_at_once_is_refused_at_some_point(proxy: Proxied) -> None:
    with proxy.raw(b"GET /v1/x HTTP/1.1\r\nHost: a\r\n\r\n" * 2000) as connection:
        got = b""
        while part := connection.recv(1 << 16):
            got += part
    assert got.count(b"HTTP/1.1 400") == 1
    assert 0 < got.count(b"HTTP/1.1 200") <= 128


def test_a_head_that_does_not_come_is_waited_for_and_then_no_longer(
    proxy: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(proxy.server._clients.limits, head_s=0.2)
    monkeypatch.setattr(proxy.server._clients, "limits", limits)
    with proxy.raw(b"POST /v1/x HTTP/1.1\r\nHost: a\r\n") as connection:
        assert connection.recv(1) == b""
    with proxy.raw(post(LENGTH)) as connection:
        assert status(connection) == 200
        while connection.recv(4096):  # The connection is idle then, and ends.
            pass


@pytest.mark.fault("slow clients")
def test_a_client_that_takes_nothing_is_left_after_a_while(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(b"x" * (32 << 20)), idle_timeout="500ms")
    question = post(LENGTH, start=b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n")
    with proxy.raw(question):
        record = proxy.record()
    assert record.kind.error_type == "client_aborted"


def test_a_request_may_come_byte_by_byte(proxy: Proxied) -> None:
    with proxy.raw() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in post(LENGTH):
            connection.sendall(bytes([byte]))
        assert status(connection) == 200
    assert proxy.upstream.received[0].body == BODY


def test_an_answer_in_chunks_is_no_chunks_for_a_client_of_http_1_0(
    start_proxy: StartProxy,
) -> None:
    async def chunks(_: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.chunk(b"one")
        await wire.chunk(b"two")
        await wire.end_chunks()

    proxy = start_proxy(chunks)
    with proxy.raw(b"GET /v1/x HTTP/1.0\r\nHost: a\r\n\r\n") as connection:
        got = io.BytesIO()
        while part := connection.recv(4096):
            got.write(part)
    head, _, body = got.getvalue().partition(b"\r\n\r\n")
    assert body == b"onetwo"
    assert b"chunked" not in head


def test_bytes_after_an_answer_reach_nobody(start_proxy: StartProxy) -> None:
    async def two_answers(received: Received, wire: Wire) -> None:
        await wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
        )

    proxy = start_proxy(two_answers)
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/v1/x")
        assert connection.getresponse().read() == b"fine"
    connection.close()
    assert proxy.upstream.connections == 3


@pytest.mark.fault("huge headers")
@pytest.mark.parametrize("parts", [2, 400])
def test_the_head_of_an_answer_is_bounded(start_proxy: StartProxy, parts: int) -> None:
    async def endless(_: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(parts):
            await wire.send(b"X-%d: " % number + b"a" * (200_000 // parts) + b"\r\n")
        await wire.send(b"Content-Length: 0\r\n\r\n")
        await wire.left()

    proxy = start_proxy(endless)
    assert proxy.ask("/v1/x", BODY).status == 502
