"""What goes through: headers, bodies, framing; and what the proxy answers itself."""

import asyncio
import gzip
import json
import threading
import time

import pytest

from tests.sources.proxy.conftest import StartProxy
from tests.sources.proxy.upstreams import (
    STREAM_HEAD,
    Received,
    Wire,
    answering,
    streaming,
)
from tests.waiting import free_port, wait_until
from tests.web.serving import closing_connection, read_to_end, request

CHAT = "/v1/chat/completions"
ASK = {"model": "qwen-plus", "messages": []}
ANSWER = (
    b'{"model": "qwen-plus-2025", "choices": [{"finish_reason": "stop", "message":'
    b' {"content": "hi"}}], "usage": {"prompt_tokens": 11, "completion_tokens": 3}}'
)
EVENTS = [
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}\n\n',
    b'data: {"choices":[{"delta":{"content":"hel"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":3}}\n\n',
    b"data: [DONE]\n\n",
]


def test_a_small_answer_goes_through_and_is_recorded(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(ANSWER))
    answer = proxy.ask(CHAT, ASK)
    assert (answer.status, answer.body) == (200, ANSWER)
    record = proxy.record()
    assert record.kind.model == "qwen-plus"
    assert record.kind.response_model == "qwen-plus-2025"
    assert (record.kind.provider, record.kind.operation) == ("openai", "chat")
    assert (record.input_tokens, record.output_tokens) == (11, 3)
    assert record.kind.finish_reason == "stop"
    assert record.start_time is not None
    assert abs(record.start_time - time.time()) < 5


def test_a_stream_goes_through_as_it_comes_and_is_recorded(start_proxy: StartProxy) -> None:
    proxy = start_proxy(streaming(*EVENTS, pause_s=0.02))
    answer = proxy.ask(CHAT, {**ASK, "stream": True})
    assert answer.body == b"".join(EVENTS)
    assert answer.headers["x-accel-buffering"] == "no"
    record = proxy.record()
    assert record.kind.streamed
    assert record.kind.error_type == ""
    assert (record.input_tokens, record.output_tokens) == (11, 3)
    assert record.latency is not None
    assert record.time_to_first_token is not None
    assert 0.03 < record.time_to_first_token < record.latency


@pytest.mark.parametrize("step", [1, 13, 10_000])
def test_a_stream_that_comes_with_its_head_in_any_pieces_counts_whole(
    start_proxy: StartProxy, step: int
) -> None:
    body = b"".join(EVENTS)
    wire_bytes = STREAM_HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    async def answer(_: Received, wire: Wire) -> None:
        for start in range(0, len(wire_bytes), step):
            await wire.send(wire_bytes[start : start + step])

    proxy = start_proxy(answer)
    assert proxy.ask(CHAT, {**ASK, "stream": True}).body == body
    assert (proxy.record().input_tokens, proxy.record().kind.error_type) == (11, "")


def test_the_first_event_reaches_the_client_before_the_second_is_sent(
    start_proxy: StartProxy,
) -> None:
    go_on = threading.Event()

    async def answer(_: Received, wire: Wire) -> None:
        await wire.send(STREAM_HEAD)
        await wire.chunk(EVENTS[1])
        await asyncio.to_thread(go_on.wait, 10)
        await wire.chunk(EVENTS[4])
        await wire.end_chunks()

    proxy = start_proxy(answer)
    with closing_connection(proxy.port) as connection:
        connection.request("POST", CHAT, b"{}")
        response = connection.getresponse()
        assert response.read1() == EVENTS[1]
        go_on.set()
        assert response.read() == EVENTS[4]


@pytest.mark.parametrize("head", [STREAM_HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"])
def test_a_head_reaches_the_client_before_the_body_is_sent(
    start_proxy: StartProxy, head: bytes
) -> None:
    seen = threading.Semaphore(0)

    async def answer(_: Received, wire: Wire) -> None:
        await wire.send(head)
        assert await asyncio.to_thread(seen.acquire, timeout=10)
        await wire.send(b"0\r\n\r\n")

    proxy = start_proxy(answer)
    with closing_connection(proxy.port) as connection:
        for _ in range(3):  # A head that comes again goes another way.
            connection.request("POST", CHAT, b"{}")
            response = connection.getresponse()
            seen.release()
            response.read()


@pytest.mark.parametrize("packing", ["gzip", "identity"])
def test_a_packed_answer_goes_through_packed_and_is_looked_into(
    start_proxy: StartProxy, packing: str
) -> None:
    body = gzip.compress(ANSWER) if packing == "gzip" else ANSWER
    proxy = start_proxy(answering(body, Content_Encoding=packing))
    answer = proxy.ask(CHAT, ASK, Accept_Encoding="gzip")
    assert (answer.body, answer.headers["content-encoding"]) == (body, packing)
    assert proxy.record().input_tokens == 11
    assert proxy.upstream.received[0].header("accept-encoding") == "gzip"


def test_a_packed_request_goes_through_packed_and_its_model_is_known(
    start_proxy: StartProxy,
) -> None:
    body = gzip.compress(json.dumps(ASK).encode())
    proxy = start_proxy(answering(ANSWER))
    proxy.ask(CHAT, body, Content_Encoding="gzip")
    assert proxy.upstream.received[0].body == body
    assert proxy.record().kind.model == "qwen-plus"


def test_headers_go_through_but_for_those_of_the_connection(start_proxy: StartProxy) -> None:
    proxy = start_proxy(
        answering(ANSWER, Connection="X-Gone", X_Gone="1", X_Stays="2", Keep_Alive="timeout=5")
    )
    answer = proxy.ask(
        CHAT,
        ASK,
        Authorization="Bearer sk-secret",
        Connection="X-Private",
        X_Private="1",
        X_Public="2",
        TE="trailers",
        Proxy_Authorization="x",
        traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01",
    )
    (received,) = proxy.upstream.received
    assert received.header("x-public") == "2"
    assert received.header("authorization") == "Bearer sk-secret"
    assert received.header("host") == f"127.0.0.1:{proxy.upstream.port}"
    assert received.header("x-forwarded-for") == "127.0.0.1"
    assert received.header("x-forwarded-proto") == "http"
    assert received.header("x-forwarded-host") == f"127.0.0.1:{proxy.port}"
    assert received.header("traceparent") == "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    for name in ("x-private", "te", "proxy-authorization", "connection"):
        assert received.header(name) is None
    assert answer.headers["x-stays"] == "2"
    assert not {"x-gone", "keep-alive"} & answer.headers.keys()
    record = proxy.record()
    assert record.trace_id == "ab" * 16
    assert "secret" not in str(record)


def test_a_chain_of_proxies_is_told_on(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(ANSWER))
    proxy.ask(
        CHAT,
        ASK,
        X_Forwarded_For="10.0.0.9",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="api.example",
    )
    (received,) = proxy.upstream.received
    assert received.header("x-forwarded-for") == "10.0.0.9, 127.0.0.1"
    assert received.header("x-forwarded-proto") == "https"
    assert received.header("x-forwarded-host") == "api.example"


def test_a_request_id_is_taken_or_made_and_returned(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(ANSWER))
    given = proxy.ask(CHAT, ASK, X_Request_Id="abc-1").headers["x-request-id"]
    made = proxy.ask(CHAT, ASK).headers["x-request-id"]
    other = proxy.ask(CHAT, ASK, X_Request_Id="not a good one").headers["x-request-id"]
    ids = [record.request_id for record in proxy.records(3)]
    assert ids == [given, made, other]
    assert given == "abc-1"
    assert len({given, made, other}) == 3
    assert [r.header("x-request-id") for r in proxy.upstream.received] == ids


def test_attributes_come_from_headers_and_a_keys_fingerprint_tells_no_key(
    start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINGERPRINT", "salt")
    proxy = start_proxy(
        answering(ANSWER),
        names=("key", "team"),
        attributes={"team": "X-Team"},
        key_fingerprint={"attribute": "key", "secret": {"env": "FINGERPRINT"}},
    )
    proxy.ask(CHAT, ASK, X_Team="red", Authorization="Bearer sk-1")
    proxy.ask(CHAT, ASK, X_Api_Key="sk-1")
    proxy.ask(CHAT, ASK, Authorization="Bearer sk-2")
    proxy.ask(CHAT, ASK)
    (one, red), same, other, none = (r.kind.attributes for r in proxy.records(4))
    assert (red, none) == ("red", ("", ""))
    assert same == (one, "")
    assert other[0] != one
    assert len(one) == 12


def test_connections_are_kept_on_both_sides(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(ANSWER))
    with closing_connection(proxy.port) as connection:
        for _ in range(5):
            assert request(connection, CHAT, "POST", body=b"{}").status == 200
    assert len(proxy.records(5)) == 5
    assert proxy.upstream.connections == 1


def test_a_kept_connection_that_has_ended_is_no_trouble(start_proxy: StartProxy) -> None:
    async def answer_and_leave(received: Received, wire: Wire) -> None:
        await answering(ANSWER)(received, wire)
        wire.cut()

    async def leave_the_second(received: Received, wire: Wire) -> None:
        if len(proxy.upstream.received) == 2:
            wire.cut()
        else:
            await answering(ANSWER)(received, wire)

    gone = start_proxy(answer_and_leave)
    assert [gone.ask(CHAT, ASK).status for _ in range(4)] == [200] * 4
    proxy = start_proxy(leave_the_second)
    assert [proxy.ask(CHAT, ASK).status for _ in range(3)] == [200] * 3
    assert proxy.metric("upstream_retries_total") == 1
    assert len(proxy.records(3)) == 3


def test_a_first_connection_that_ends_is_no_reason_to_send_twice(start_proxy: StartProxy) -> None:
    async def leave(_: Received, wire: Wire) -> None:
        wire.cut()

    proxy = start_proxy(leave)
    answer = proxy.ask(CHAT, ASK)
    assert answer.status == 502
    assert json.loads(answer.body)["error"]["code"] == "upstream_aborted"
    assert len(proxy.upstream.received) == 1
    assert proxy.record().kind.error_type == "upstream_aborted"


def test_an_upstream_that_is_not_there_gives_502_in_the_apis_own_shape(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(answering(b""), upstream=f"http://127.0.0.1:{free_port()}")
    openai = proxy.ask(CHAT, ASK)
    anthropic = proxy.ask("/v1/messages", ASK)
    dashscope = proxy.ask("/api/v1/services/aigc/text-generation/generation", ASK)
    assert {openai.status, anthropic.status, dashscope.status} == {502}
    assert json.loads(openai.body)["error"]["code"] == "upstream_unreachable"
    assert json.loads(anthropic.body)["type"] == "error"
    assert json.loads(anthropic.body)["error"]["type"] == "api_error"
    assert json.loads(dashscope.body)["code"] == "upstream_unreachable"
    kinds = [record.kind for record in proxy.records(3)]
    assert {(kind.status_code, kind.error_type) for kind in kinds} == {
        (502, "upstream_unreachable")
    }
    assert [kind.provider for kind in kinds] == ["openai", "anthropic", "dashscope"]


def test_an_upstream_that_is_silent_gives_504(start_proxy: StartProxy) -> None:
    async def silent(_: Received, wire: Wire) -> None:
        assert await wire.left()

    proxy = start_proxy(silent, answer_timeout="200ms")
    answer = proxy.ask(CHAT, ASK)
    assert answer.status == 504
    assert proxy.record().kind.error_type == "upstream_timeout"


def test_an_upstream_that_falls_silent_in_a_stream_is_cut_off(start_proxy: StartProxy) -> None:
    async def fall_silent(_: Received, wire: Wire) -> None:
        await wire.send(STREAM_HEAD)
        await wire.chunk(EVENTS[1])
        await wire.left()

    proxy = start_proxy(fall_silent, idle_timeout="200ms")
    with proxy.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    ) as s:
        got = read_to_end(s)
    assert EVENTS[1] in got
    assert not got.endswith(b"0\r\n\r\n")
    assert (proxy.record().kind.status_code, proxy.record().kind.error_type) == (
        200,
        "stream_aborted",
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_an_answer_that_is_not_http_gives_502(start_proxy: StartProxy, answer: bytes) -> None:
    async def send(_: Received, wire: Wire) -> None:
        await wire.send(answer)
        await wire.left()

    proxy = start_proxy(send)
    assert proxy.ask(CHAT, ASK).status == 502
    assert proxy.record().kind.error_type == "upstream_invalid"


def test_a_stream_that_the_upstream_cuts_is_cut_for_the_client_too(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(streaming(*EVENTS[:3], whole=False))
    with proxy.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    ) as s:
        got = read_to_end(s)
    assert EVENTS[2] in got
    assert not got.endswith(b"0\r\n\r\n")
    assert proxy.record().kind.error_type == "stream_aborted"


def test_a_body_that_the_upstream_cuts_is_cut_for_the_client_too(start_proxy: StartProxy) -> None:
    async def cut(_: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        wire.cut()

    proxy = start_proxy(cut)
    with proxy.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    ) as s:
        got = read_to_end(s)
    assert b"Content-Length: 100\r\n" in got
    assert got.endswith(b"half")
    assert proxy.record().kind.error_type == "upstream_aborted"


def test_a_body_that_ends_with_its_connection_goes_through(start_proxy: StartProxy) -> None:
    async def until_close(_: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + ANSWER[:50])
        await asyncio.sleep(0.05)
        await wire.send(ANSWER[50:])
        wire.cut()

    proxy = start_proxy(until_close)
    assert proxy.ask(CHAT, ASK).body == ANSWER
    assert (proxy.record().input_tokens, proxy.record().kind.error_type) == (11, "")


@pytest.mark.parametrize("events", [1, 5])
def test_a_client_that_leaves_ends_the_upstreams_request(
    start_proxy: StartProxy, events: int
) -> None:
    left = threading.Event()

    async def stream_until_left(_: Received, wire: Wire) -> None:
        await wire.send(STREAM_HEAD)
        for event in EVENTS[-events:]:
            await wire.chunk(event)
        if events == 5:
            await wire.chunk(b": more\n\n")
        if await wire.left():
            left.set()

    proxy = start_proxy(stream_until_left)
    with proxy.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    ) as s:
        got = b""
        while b"[DONE]" not in got:
            got += s.recv(1000)
    assert left.wait(10)
    # It had all that it could wait for.
    assert proxy.record().kind.error_type == ""


def test_a_client_that_leaves_early_stands_on_neither_side(start_proxy: StartProxy) -> None:
    left = threading.Event()

    async def stream_until_left(_: Received, wire: Wire) -> None:
        await wire.send(STREAM_HEAD)
        await wire.chunk(EVENTS[1])
        if await wire.left():
            left.set()

    proxy = start_proxy(stream_until_left)
    with proxy.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    ) as s:
        got = b""
        while b"hel" not in got:
            got += s.recv(1000)
    assert left.wait(10)
    kind = proxy.record().kind
    assert (kind.status_code, kind.error_type) == (200, "client_aborted")


def test_a_client_that_leaves_before_the_answer_gets_499(start_proxy: StartProxy) -> None:
    left = threading.Event()

    async def silent(_: Received, wire: Wire) -> None:
        if await wire.left():
            left.set()

    proxy = start_proxy(silent)
    with proxy.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"):
        wait_until(lambda: proxy.upstream.received)
    assert left.wait(10)
    kind = proxy.record().kind
    assert (kind.status_code, kind.error_type) == (499, "client_aborted")


@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_body_goes_through_both_ways(start_proxy: StartProxy, chunked: bool) -> None:
    large = json.dumps({**ASK, "padding": "x" * 3_000_000}).encode()

    async def echo(received: Received, wire: Wire) -> None:
        await answering(received.body)(received, wire)

    proxy = start_proxy(echo)
    with closing_connection(proxy.port) as connection:
        pieces = (large[start : start + 50_000] for start in range(0, len(large), 50_000))
        headers = {} if chunked else {"Content-Length": str(len(large))}
        connection.request(
            "POST", CHAT, pieces if chunked else large, headers, encode_chunked=chunked
        )
        assert connection.getresponse().read() == large
    assert proxy.upstream.received[0].body == large
    assert proxy.record().kind.model == "qwen-plus"


def test_a_body_beyond_the_limit_goes_through_and_its_model_is_unknown(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(answering(ANSWER), max_copy="100KiB")
    body = json.dumps({**ASK, "padding": "x" * 300_000}).encode()
    assert proxy.ask(CHAT, body).status == 200
    assert proxy.upstream.received[0].body == body
    assert (proxy.record().kind.model, proxy.record().input_tokens) == ("", 11)


def test_a_slow_client_holds_the_upstream_back(start_proxy: StartProxy) -> None:
    sent = [0]

    async def flood(_: Received, wire: Wire) -> None:
        await wire.send(STREAM_HEAD)
        for _number in range(400):
            await wire.chunk(b"data: " + b"x" * 100_000 + b"\n\n")
            sent[0] += 1
        await wire.end_chunks()

    proxy = start_proxy(flood)
    with proxy.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    ) as s:
        s.recv(1000)
        before = -1
        while sent[0] != before:  # Until nothing moves any more.
            before = sent[0]
            time.sleep(0.3)
        assert before < 200
        got = 0
        while part := s.recv(1 << 20):
            got += len(part)
            if part.endswith(b"0\r\n\r\n"):
                break
    assert sent[0] == 400
    assert got > 40_000_000


def test_an_answer_before_the_body_has_ended_reaches_the_client(start_proxy: StartProxy) -> None:
    async def refuse(_: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await wire.left()

    proxy = start_proxy(refuse, reads_bodies=False)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n"
    with proxy.raw(head + b"x" * 100_000) as s:
        got = s.recv(1000)
    assert got.startswith(b"HTTP/1.1 413 Too Large\r\n")
    assert got.endswith(b"big")
    assert proxy.record().kind.status_code == 413


def test_a_client_whose_body_does_not_come_gets_408(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(ANSWER), idle_timeout="200ms")
    for size in (100, 10_000_000):
        head = (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n{" % size
        )
        with proxy.raw(head) as s:
            assert read_to_end(s).startswith(b"HTTP/1.1 408 ")
    assert [r.kind.error_type for r in proxy.records(2)] == ["client_timeout"] * 2


def test_a_client_that_expects_100_gets_it(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(ANSWER))
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    with proxy.raw(head) as s:
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"{}")
        assert s.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert proxy.upstream.received[0].header("expect") is None


def test_hints_before_the_answer_end_here(start_proxy: StartProxy) -> None:
    async def hint(received: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await answering(ANSWER)(received, wire)

    proxy = start_proxy(hint)
    answer = proxy.ask(CHAT, ASK)
    assert (answer.status, answer.body) == (200, ANSWER)
    assert "link" not in answer.headers


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_a_body_keep_the_connection(start_proxy: StartProxy, status: str) -> None:
    async def bodiless(_: Received, wire: Wire) -> None:
        await wire.send(f"HTTP/1.1 {status}\r\nX-A: b\r\n\r\n".encode())

    proxy = start_proxy(bodiless)
    with closing_connection(proxy.port) as connection:
        for _ in range(2):
            answer = request(connection, "/v1/models")
            assert (answer.status, answer.body) == (int(status[:3]), b"")
    assert proxy.upstream.connections == 1


def test_head_gets_the_length_and_no_body(start_proxy: StartProxy) -> None:
    async def head(_: Received, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")

    proxy = start_proxy(head)
    with closing_connection(proxy.port) as connection:
        for _ in range(2):
            answer = request(connection, "/v1/models", "HEAD")
            assert (answer.status, answer.headers["content-length"]) == (200, "12345")


def test_what_is_no_model_request_is_counted_by_its_path(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(b"[]"))
    for path in ("/v1/models", "/v1/models/x?limit=2", "/v1/files", "/health"):
        assert proxy.ask(path).status == 200
    wait_until(lambda: proxy.metric("requests_passed_total", path="other") == 1)
    assert proxy.metric("requests_passed_total", path="models") == 2
    assert proxy.metric("requests_passed_total", path="files") == 1
    assert proxy.upstream.received[1].target == "/v1/models/x?limit=2"
    assert len(proxy.inbox) == 0


def test_too_many_requests_at_once_get_503(start_proxy: StartProxy) -> None:
    go_on = threading.Event()

    async def wait(received: Received, wire: Wire) -> None:
        await asyncio.to_thread(go_on.wait, 10)
        await answering(ANSWER)(received, wire)

    proxy = start_proxy(wait, max_concurrent=1)
    statuses: list[int] = []
    first = threading.Thread(target=lambda: statuses.append(proxy.ask(CHAT, ASK).status))
    first.start()
    wait_until(lambda: proxy.upstream.received)
    active = {
        "gen_ai_request_model": "other",
        "gen_ai_provider_name": "openai",
        "gen_ai_operation_name": "chat",
    }
    assert proxy.gauge("llm_gateway_active_requests", **active) == 1
    refused = proxy.ask(CHAT, ASK)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    go_on.set()
    first.join()
    assert statuses == [200]
    assert proxy.metric("requests_refused_total") == 1
    wait_until(lambda: proxy.gauge("llm_gateway_active_requests", **active) == 0)


def test_what_the_provider_says_is_left_is_shown_for_known_models(start_proxy: StartProxy) -> None:
    proxy = start_proxy(answering(ANSWER, **{"X-RateLimit-Remaining-Tokens": "149984"}))
    for count in (1, 2):
        proxy.ask(CHAT, ASK)
        proxy.records(count)
    labels = {
        "gen_ai_request_model": "qwen-plus",
        "gen_ai_provider_name": "openai",
        "gen_ai_operation_name": "chat",
        "unit": "token",
    }
    assert proxy.gauge("llm_gateway_ratelimit_remaining", **labels) == 149984


def test_requests_go_to_the_upstream_of_their_path_or_host(start_proxy: StartProxy) -> None:
    other = start_proxy(answering(b'{"usage": {"input_tokens": 7}}'))
    url = f"http://127.0.0.1:{other.upstream.port}/base/"
    proxy = start_proxy(
        answering(ANSWER),
        routes=[
            {"path": "/claude", "upstream": url, "provider": "anthropic"},
            {"host": "qwen.example", "upstream": url, "provider": "alibaba"},
        ],
    )
    proxy.ask("/claude/v1/messages?beta=1", ASK)
    proxy.ask(CHAT, ASK, Host="Qwen.example:8080")
    proxy.ask("/claudette" + CHAT, ASK)
    proxy.ask(CHAT, ASK)
    assert [r.target for r in other.upstream.received] == [
        "/base/claude/v1/messages?beta=1",
        f"/base{CHAT}",
    ]
    assert [r.kind.provider for r in proxy.records(4)] == [
        "anthropic",
        "alibaba",
        "openai",
        "openai",
    ]


@pytest.mark.parametrize("results", [None, [{"url": "x"}], {"video_url": "x"}])
def test_an_asynchronous_call_counts_once_when_it_is_seen_to_be_done(
    start_proxy: StartProxy, results: object
) -> None:
    states = ["PENDING", "RUNNING", "SUCCEEDED", "SUCCEEDED"]

    async def dashscope(received: Received, wire: Wire) -> None:
        state = "PENDING" if received.method == "POST" else states.pop(0)
        output = {"task_id": "t-1", "task_status": state}
        answer: dict[str, object] = {"output": output, "request_id": "r"}
        if state == "SUCCEEDED":
            answer["usage"] = {"video_duration": 5}
            answer["output"] = {**output, "results": results}
        await answering(json.dumps(answer).encode())(received, wire)

    proxy = start_proxy(dashscope)
    body = {"model": "wan-video", "input": {"prompt": "x"}}
    proxy.ask("/api/v1/services/aigc/video-generation/video-synthesis", body)
    for _ in range(4):
        proxy.ask("/api/v1/tasks/t-1")
    record = proxy.record()
    assert (record.kind.model, record.kind.operation) == ("wan-video", "video_generation")
    assert (record.seconds, record.kind.error_type) == (5, "")
    assert record.latency is not None


def test_a_task_that_failed_is_a_failure(start_proxy: StartProxy) -> None:
    async def dashscope(received: Received, wire: Wire) -> None:
        output = {"task_id": "t-1", "task_status": "PENDING"}
        if received.method == "GET":
            output |= {"task_status": "FAILED", "code": "InternalError"}
        await answering(json.dumps({"output": output}).encode())(received, wire)

    proxy = start_proxy(dashscope)
    proxy.ask("/api/v1/services/aigc/text2image/image-synthesis", {"model": "wanx"})
    proxy.ask("/api/v1/tasks/t-1")
    assert proxy.record().kind.error_type == "InternalError"


def test_a_client_that_has_just_connected_when_the_proxy_ends_is_answered_once(
    start_proxy: StartProxy,
) -> None:
    proxy = start_proxy(answering(ANSWER))
    with proxy.raw() as connection, proxy.raw() as silent:
        wait_until(lambda: len(proxy.server._clients.connections) == 2)
        stopping = threading.Thread(target=lambda: proxy.loop.run(proxy.server.stop(10)))
        stopping.start()
        wait_until(lambda: all(each._is_ending for each in proxy.server._clients.connections))
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        got = b"".join(iter(lambda: connection.recv(65536), b""))
        assert got.endswith(ANSWER)
        assert got.count(ANSWER) == 1
        assert silent.recv(1) == b""
    stopping.join()


def test_requests_under_way_end_before_the_proxy_does(start_proxy: StartProxy) -> None:
    proxy = start_proxy(streaming(*EVENTS, pause_s=0.1))
    bodies: list[bytes] = []
    asking = threading.Thread(target=lambda: bodies.append(proxy.ask(CHAT, ASK).body))
    asking.start()
    wait_until(lambda: proxy.upstream.received)
    proxy.loop.run(proxy.server.stop(5))
    asking.join()
    assert bodies == [b"".join(EVENTS)]
    assert proxy.record().kind.error_type == ""


def test_what_is_cut_at_the_end_is_not_the_clients_doing(start_proxy: StartProxy) -> None:
    proxy = start_proxy(streaming(*EVENTS[1:3] * 100, pause_s=0.1))
    with proxy.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    ) as s:
        s.recv(1000)
        wait_until(lambda: proxy.upstream.received)
        proxy.loop.run(proxy.server.stop(0.3))
    assert proxy.record().kind.error_type == "stream_aborted"


def test_traffic_flows_when_it_cannot_be_counted(
    start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start_proxy(answering(ANSWER))

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("exporter.sources.proxy.observation.Observation.take_head", broken)
        assert proxy.ask(CHAT, ASK).body == ANSWER
        wait_until(lambda: proxy.metric("accounting_failures_total") == 1)
    proxy.expected_failures = 1
