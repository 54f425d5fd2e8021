"""Any bytes at the doors: an answer or an end of the connection, and the next client is served."""

import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from socket import SHUT_WR, socket

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.mutation import PROMPT, cut, mutated
from tests.fuzz.profile import profile
from tests.sources.ingest.test_push import Door, a_line
from tests.sources.proxy.conftest import Proxied, StartProxy
from tests.sources.proxy.upstreams import answering
from tests.web.serving import read_to_end

PATH = "/v1/chat/completions"
QUESTION = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT}]}).encode()
ANSWER = b'{"model":"m","usage":{"prompt_tokens":3,"completion_tokens":2}}'
LINES = b"".join(json.dumps(a_line(number)).encode() + b"\n" for number in range(3))
DRAWS = st.randoms(use_true_random=False)


def message(path: str, body: bytes, *headers: str, method: str = "POST") -> bytes:
    """A request, of one length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(path: str, body: bytes, *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", *headers]
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + chunks


SOCKET = (
    "GET /v1/realtime?model=m HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TO_PROXY = [
    message(PATH, QUESTION, "Content-Type: application/json"),
    message(PATH, QUESTION) + message(PATH, QUESTION, "Connection: close"),
    message(PATH, QUESTION, "Expect: 100-continue", "X-Request-Id: 7", "traceparent: 00-1-2-3"),
    message(PATH, gzip.compress(QUESTION, mtime=0), "Content-Encoding: gzip"),
    chunked(PATH, QUESTION, "Content-Type: application/json", "TE: trailers"),
    SOCKET.encode(),
]
TO_WEB = [
    message("/metrics", b"", "Accept: application/openmetrics-text", method="GET"),
    message("/", b"", "Accept-Encoding: gzip", "Range: bytes=0-5", method="GET"),
    message("/-/reload", b"", "Origin: http://b", "Authorization: Basic YTpi"),
    message("/ingest/records", LINES, "Idempotency-Key: seven"),
    message("/ingest/litellm", LINES),
    chunked("/ingest/records", LINES),
]
NUMBERS = itertools.count(1000)
PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}


def send(connection: socket, parts: Sequence[bytes]) -> bytes:
    """Send all, end, and read what comes; 10 seconds without an end are a failure."""
    with suppress(OSError):  # The server may have left.
        for part in parts:
            connection.sendall(part)
        connection.shutdown(SHUT_WR)
    return read_to_end(connection)


@pytest.fixture
def proxy(start_proxy: StartProxy) -> Proxied:
    return start_proxy(answering(ANSWER))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    yield door
    door.close()


@profile
@given(seed=st.sampled_from(TO_PROXY), draw=DRAWS)
def test_any_bytes_to_the_proxy(proxy: Proxied, seed: bytes, draw: Random) -> None:
    with proxy.raw() as connection:
        answer = send(connection, cut(mutated(seed, draw), draw))
    assert not answer or answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))
    assert proxy.ask(PATH, QUESTION).body == ANSWER
    assert proxy.metric("requests_failed_total") == 0
    proxy.inbox.take(1000)


@profile
@given(seed=st.sampled_from(TO_WEB), draw=DRAWS)
def test_any_bytes_to_the_web_listener(door: Door, seed: bytes, draw: Random) -> None:
    with door.served.raw() as connection:
        answer = send(connection, cut(mutated(seed, draw), draw))
    assert not answer or answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))
    assert b"HTTP/1.1 500" not in answer
    assert PROMPT.encode() not in answer
    assert door.served.ask("/metrics").status == 200


@profile
@given(
    body=st.sampled_from([LINES, json.dumps([a_line(1), a_line(2)]).encode()]),
    encoding=st.sampled_from(["", *PACKED]),
    is_packed_first=st.booleans(),
    key=st.binary(max_size=20),
    draw=DRAWS,
)
def test_any_body_to_the_push_door(
    door: Door, body: bytes, encoding: str, is_packed_first: bool, key: bytes, draw: Random
) -> None:
    """A body that is broken before it is packed, or afterwards; with any key."""
    pack = PACKED.get(encoding, bytes)
    sent = mutated(pack(body), draw) if is_packed_first else pack(mutated(body, draw))
    safe = bytes(byte for byte in key if byte >= 32).strip()
    head = (
        b"POST /ingest/records HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n"
        b"Connection: close\r\nContent-Encoding: %b\r\nIdempotency-Key: %b\r\n\r\n"
    ) % (len(sent), encoding.encode(), safe)
    before = door.requests()
    with door.served.raw(head + sent) as connection:
        answer = read_to_end(connection)
    status, told = int(answer[9:12]), answer.partition(b"\r\n\r\n")[2]
    assert status in (200, 400, 413), answer
    assert PROMPT.encode() not in told
    if told.startswith(b"{"):
        assert door.requests() - before == json.loads(told)["accepted"]
    good = door.push(a_line(next(NUMBERS)))
    assert json.loads(good.body)["accepted"] == 1


@pytest.mark.parametrize("path", ["/ingest/records", "/nowhere"])
def test_a_body_that_is_not_packed_as_it_says_is_no_error_of_ours(
    door: Door, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = message(path, b"no gzip" * 50, "Content-Encoding: gzip")
    with door.served.raw(broken) as connection:
        assert read_to_end(connection).startswith(b"HTTP/1.1 4")
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


def test_an_idempotency_key_that_is_no_utf8_is_a_key(door: Door) -> None:
    line = json.dumps({"model": "m", "status_code": 200}).encode()
    push = message("/ingest/records", line, "Connection: close", "Idempotency-Key: k?y")
    for accepted in (1, 0):
        with door.served.raw(push.replace(b"k?y", b"k\xc3y")) as connection:
            told = json.loads(read_to_end(connection).partition(b"\r\n\r\n")[2])
        assert told == {"accepted": accepted, "repeated": 1 - accepted, "skipped": 0}
