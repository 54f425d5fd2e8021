import asyncio
import http.client
import resource
import socket
from contextlib import ExitStack

import pytest
import structlog.testing
from aiohttp import web
from prometheus_client import CollectorRegistry

from exporter import logs
from exporter.listener import ListenError, open_socket
from exporter.web import Limits, WebServer
from tests.waiting import wait_until
from tests.web.serving import (
    FixedExposition,
    Serve,
    Served,
    closing_connection,
    read_to_end,
    request,
)

GET = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("address", "family", "bound"),
    [
        ("127.0.0.1:0", socket.AF_INET, "127.0.0.1"),
        ("localhost:0", socket.AF_INET, "127.0.0.1"),
        ("127.0.0.2:0", socket.AF_INET, "127.0.0.2"),
        ("[::1]:0", socket.AF_INET6, "::1"),
        (":0", socket.AF_INET6, "::"),
    ],
)
def test_listens_where_it_is_told_to(address: str, family: int, bound: str) -> None:
    with open_socket(address) as listening:
        assert (listening.family, listening.getsockname()[0]) == (family, bound)


@pytest.mark.parametrize("reach", ["127.0.0.1", "::1"])
def test_an_address_without_a_host_is_every_address(serve: Serve, reach: str) -> None:
    port = serve(listen=[":0"]).port
    socket.create_connection((reach, port)).close()


def test_listens_at_several_addresses(serve: Serve) -> None:
    served = serve(listen=["127.0.0.1:0", "[::1]:0"])
    assert [host for host, _ in served.server.addresses] == ["127.0.0.1", "::1"]
    for host, port in served.server.addresses:
        with socket.create_connection((host, port), timeout=10) as connection:
            connection.sendall(GET + b"Connection: close\r\n\r\n")
            assert read_to_end(connection).endswith(b"healthy\n")


@pytest.mark.parametrize(
    "address", ["", "9478", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", ":-1"]
)
def test_what_is_no_address_is_refused_in_words(address: str) -> None:
    with pytest.raises(ListenError, match="is not host:port, such as"):
        open_socket(address)


@pytest.mark.parametrize("address", ["nowhere.invalid:0", "192.0.2.1:0", "a..b:0"])
def test_an_address_of_another_machine_is_refused_in_words(address: str) -> None:
    with pytest.raises(ListenError, match=f"cannot listen at {address}: "):
        open_socket(address)


def test_a_taken_address_is_refused_and_leaves_nothing_listening() -> None:
    with open_socket("127.0.0.1:0") as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        server = WebServer(
            ["127.0.0.1:0", taken],
            exposition=FixedExposition(),
            ready=lambda: None,
            sources=list,
        )
        with pytest.raises(ListenError, match=f"cannot listen at {taken}: Address already in use"):
            Served(server)
        assert server.addresses == []


def test_one_connection_carries_many_requests(serve: Serve) -> None:
    with closing_connection(serve().port) as connection:
        statuses = [request(connection, path).status for path in ("/", "/none", "/metrics", "/")]
        assert connection.sock is not None
    assert statuses == [200, 404, 200, 200]


def test_requests_sent_at_once_are_answered_in_turn(serve: Serve) -> None:
    sent = GET + b"\r\n" + GET.replace(b"/-/healthy", b"/-/ready") + b"Connection: close\r\n\r\n"
    with serve().raw(sent) as connection:
        received = read_to_end(connection)
    assert received.index(b"healthy\n") < received.index(b"ready\n")
    assert received.count(b"HTTP/1.1 200 OK") == 2


def test_works_on_the_event_loop_of_asyncio_too() -> None:
    async def ask() -> bytes:
        server = WebServer(
            ["127.0.0.1:0"], exposition=FixedExposition(), ready=lambda: None, sources=list
        )
        await server.start()
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(GET + b"Connection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await server.stop()
        return answer

    assert asyncio.run(ask()).endswith(b"healthy\n")


@pytest.mark.fault("no file descriptors left")
def test_a_lack_of_file_descriptors_is_reported_once_and_outlived(serve: Serve) -> None:
    served = serve()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client, structlog.testing.capture_logs() as lines:
        client.settimeout(10)
        with socket.socket() as highest:
            used_up = highest.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (used_up, hard))
        try:
            client.connect(("127.0.0.1", served.port))
            wait_until(lambda: lines)
            served.run(asyncio.sleep(0.5))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.sendall(GET + b"Connection: close\r\n\r\n")
        assert read_to_end(client).endswith(b"healthy\n")
    assert [line["event"] for line in lines] == ["cannot accept connections, trying again"]


@pytest.mark.fault("flood of connections")
def test_600_connections_are_cut_to_the_limit_and_room_is_made_again(serve: Serve) -> None:
    registry = CollectorRegistry()

    def refused() -> float:
        return registry.get_sample_value("llm_gateway_exporter_web_connections_refused_total") or 0

    served = serve(registry=registry)
    with ExitStack() as held:
        clients = [held.enter_context(served.raw()) for _ in range(600)]
        wait_until(lambda: refused() == 600 - Limits().connections)
        for client in clients[Limits().connections :]:
            assert read_to_end(client) == b""
        clients[0].sendall(GET + b"Connection: close\r\n\r\n")
        assert read_to_end(clients[0]).endswith(b"healthy\n")
        wait_until(lambda: is_served(served))


def is_served(served: Served) -> bool:
    try:
        return served.ask("/-/healthy").status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [b"GET / HT"],
        [GET],
        [GET + b"X-Slow: ", b"a", b"b"],
    ],
)
def test_a_client_that_never_finishes_its_request_is_cut_off(
    serve: Serve, sent: list[bytes]
) -> None:
    with serve(limits=Limits(head_s=0.2)).raw(*sent) as connection:
        assert read_to_end(connection) == b""


@pytest.mark.fault("slow clients")
def test_a_client_that_sends_a_byte_now_and_then_is_cut_off_all_the_same(serve: Serve) -> None:
    with serve(limits=Limits(head_s=0.3)).raw(GET + b"X-Slow: ") as connection:

        def trickle() -> bool:
            try:
                connection.sendall(b"a")
            except OSError:
                return True
            return False

        wait_until(trickle, limit_s=5, what="the server to cut the connection")


def test_an_idle_connection_is_closed(serve: Serve) -> None:
    with serve(limits=Limits(head_s=0.2)).raw(GET + b"\r\n") as connection:
        assert read_to_end(connection).endswith(b"healthy\n")


async def push(request: web.Request) -> web.Response:
    """Says how many bytes were sent."""
    return web.Response(text=str(len(await request.read())))


def test_a_body_that_does_not_arrive_is_a_timeout(serve: Serve) -> None:
    served = serve(web.post("/push", push), limits=Limits(body_s=0.2))
    assert served.ask("/push", "POST", body=b"four").text == "4"
    with served.raw(b"POST /push HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nfour") as client:
        assert read_to_end(client).startswith(b"HTTP/1.1 408 ")


def test_a_body_beyond_the_limit_is_too_large(serve: Serve) -> None:
    served = serve(web.post("/push", push), limits=Limits(body_bytes=1000))
    assert served.ask("/push", "POST", body=bytes(1000)).status == 200
    assert served.ask("/push", "POST", body=bytes(1001)).status == 413


def test_a_body_that_nobody_asked_for_does_not_hold_the_connection(serve: Serve) -> None:
    sent = b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nonly this"
    with serve().raw(sent) as connection:
        assert read_to_end(connection).startswith(b"HTTP/1.1 403 ")


@pytest.mark.fault("slow clients")
def test_a_client_that_does_not_take_its_answer_is_cut_off(serve: Serve) -> None:
    text = b"a_series 1\n" * 2_000_000
    limits = Limits(answer_s=0.3, connections=1)
    served = serve(exposition=FixedExposition(text), limits=limits)
    with served.raw() as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: is_served(served), what="the only place to be free again")
        assert len(read_to_end(connection)) < len(text)


def test_no_rest_of_an_answer_is_left_unwatched(serve: Serve) -> None:
    """What a transport holds below its limits counts as sent, and could stay there for ever."""

    async def limits(request: web.Request) -> web.Response:
        assert request.transport is not None
        return web.json_response(request.transport.get_write_buffer_limits())

    served = serve(web.get("/limits", limits))
    assert served.ask("/limits").text == "[0, 0]"


@pytest.mark.fault("huge headers")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Host: x\r\nA: 1\r\nB: 2\r\nC: 3\r\n", b"200"),
        (b"Host: x\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n", b"400"),
        (b"Host: x\r\nA: " + b"a" * 90 + b"\r\n", b"200"),
        (b"Host: x\r\nA: " + b"a" * 110 + b"\r\n", b"400"),
    ],
)
def test_headers_beyond_the_limits_are_refused(serve: Serve, headers: bytes, status: bytes) -> None:
    served = serve(limits=Limits(headers=4, header_bytes=100))
    with served.raw(b"GET / HTTP/1.1\r\n", headers, b"\r\n") as connection:
        assert connection.recv(100).split()[1] == status


@pytest.mark.parametrize(
    "sent",
    [
        GET + b"X-Long: " + b"a" * 100_000 + b"\r\n\r\n",
        GET + b"".join(b"X-%d: a\r\n" % number for number in range(1000)) + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\0\0\0\0\r\n\r\n",
    ],
    ids=["header", "headers", "line", "version", "space", "smuggling", "method", "tls", "nulls"],
)
@pytest.mark.usefixtures("restore_logging")
def test_a_request_that_is_not_http_is_refused_without_an_echo(
    serve: Serve, sent: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", "logfmt")
    served = serve()
    with served.raw(sent) as connection:
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0].endswith(b" 400 Bad Request")
    assert body == b"400: Bad Request\n"
    assert is_served(served)
    assert "level=error" not in capsys.readouterr().err
