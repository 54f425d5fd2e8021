"""What a person hears whose Prometheus is none."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exporter.alerting.prometheus import Prometheus, PrometheusFailed
from exporter.alerting.promql import Promql


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """The address of a server that says this once, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def result(value: bytes) -> bytes:
    """An answer as Prometheus gives it, but for the result."""
    return b'HTTP/1.0 200 OK\r\n\r\n{"status": "success", "data": {"result": %b}}' % value


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n{", id="broken off"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n[]", id="other JSON"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n<html>", id="a web page"),
        pytest.param(b"HTTP/1.0 502 Bad Gateway\r\n\r\n\xff\xfe", id="an error that is no text"),
        pytest.param(
            b"HTTP/1.0 502 Bad Gateway\r\nContent-Length: 99\r\n\r\nNo", id="an error broken off"
        ),
        pytest.param(result(b"null"), id="no result"),
        pytest.param(result(b'[{"metric": {}}]'), id="a series without points"),
        pytest.param(result(b'[{"metric": [], "value": [0, "1"], "values": []}]'), id="no labels"),
        pytest.param(
            result(b'[{"metric": {}, "value": [0, null], "values": [[null, "1"]]}]'),
            id="no figures",
        ),
    ],
)
def test_what_is_no_prometheus_is_named(answer: bytes) -> None:
    with (
        answering(answer) as url,
        pytest.raises(PrometheusFailed, match=f"{url}/api/v1/query: .+"),
    ):
        Prometheus(url).now(Promql("up"))
    with (
        answering(answer) as url,
        pytest.raises(PrometheusFailed, match=f"{url}/api/v1/query_range: .+"),
    ):
        Prometheus(url).over(Promql("up"), 0, 60, 60)


def test_one_that_does_not_answer_is_named_with_the_reason() -> None:
    with pytest.raises(PrometheusFailed) as failed:
        Prometheus("http://127.0.0.1:1").now(Promql("up"))
    assert str(failed.value) == "http://127.0.0.1:1/api/v1/query: Connection refused"


@pytest.mark.parametrize("url", ["127.0.0.1:9090", "http://a host", "http://127.0.0.1:port"])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(PrometheusFailed, match=url):
        Prometheus(url).now(Promql("up"))
