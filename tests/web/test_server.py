import asyncio
import socket

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from exporter import logs
from exporter.web import Link
from tests.web.serving import (
    Serve,
    closing_connection,
    read_to_end,
    request,
)

RESET_LOGGING = pytest.mark.usefixtures("restore_logging")


def test_is_healthy_as_long_as_it_answers(serve: Serve) -> None:
    answer = serve(ready=lambda: "not yet").ask("/-/healthy")
    assert (answer.status, answer.text) == (200, "healthy\n")


def test_is_ready_once_nothing_speaks_against_it(serve: Serve) -> None:
    reasons: list[str | None] = ["reading the state", None]
    served = serve(ready=lambda: reasons[0])
    before = served.ask("/-/ready")
    assert (before.status, before.text) == (503, "not ready: reading the state\n")
    reasons.pop(0)
    after = served.ask("/-/ready")
    assert (after.status, after.text) == (200, "ready\n")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_reloads_when_told_to(serve: Serve, method: str) -> None:
    reloads = []

    async def reload() -> str | None:
        reloads.append(1)
        return None

    answer = serve(reload=reload).ask("/-/reload", method)
    assert (answer.status, answer.text, len(reloads)) == (200, "reloaded\n", 1)


def test_a_reload_that_fails_says_why(serve: Serve) -> None:
    async def reload() -> str | None:
        return "config.yaml:3: labels.limit: expected a whole number"

    answer = serve(reload=reload).ask("/-/reload", "POST")
    assert answer.status == 500
    assert "config.yaml:3: labels.limit: expected a whole number" in answer.text


def test_a_reload_needs_the_flag_that_allows_it(serve: Serve) -> None:
    answer = serve().ask("/-/reload", "POST")
    assert answer.status == 403
    assert "--web.enable-lifecycle" in answer.text


def test_a_page_of_another_site_cannot_make_it_reload(serve: Serve) -> None:
    async def reload() -> str | None:
        pytest.fail("it was reloaded")

    answer = serve(reload=reload).ask("/-/reload", "POST", {"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 403


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/-/reload", "POST,PUT"),
        ("POST", "/metrics", "GET,HEAD"),
        ("DELETE", "/", "GET,HEAD"),
        ("PATCH", "/-/healthy", "GET,HEAD"),
    ],
)
def test_a_method_that_a_route_does_not_know_is_named_as_such(
    serve: Serve, method: str, path: str, allowed: str
) -> None:
    answer = serve().ask(path, method)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path", ["/nothing", "/metrics/", "/%2e%2e/etc/passwd", "/static/../x", "//"]
)
def test_what_is_not_there_is_not_found_in_plain_text(serve: Serve, path: str) -> None:
    answer = serve().ask(path)
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/static/style.css"])
def test_head_gives_the_headers_of_get_and_nothing_else(serve: Serve, path: str) -> None:
    served = serve()
    with closing_connection(served.port) as connection:
        got = request(connection, path)
        head = request(connection, path, "HEAD")
        again = request(connection, path)  # Nothing of a body stands in the way.
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(got.body))
    assert head.headers["content-type"] == got.headers["content-type"]
    assert again.body == got.body


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /none HTTP/1.0\r\n\r\n", b"\0\r\n\r\n"]
)
def test_every_answer_is_guarded_and_names_no_version(serve: Serve, sent: bytes) -> None:
    with serve().raw(sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as connection:
        head = read_to_end(connection).partition(b"\r\n\r\n")[0].decode().lower().split("\r\n")
    assert "x-content-type-options: nosniff" in head
    assert "referrer-policy: no-referrer" in head
    assert any(line.startswith("content-security-policy: default-src 'none'") for line in head)
    assert [line for line in head if line.startswith("server:")] == ["server: llm-gateway-exporter"]


def test_serves_what_other_parts_add_and_links_to_it(serve: Serve) -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello", headers={"Content-Security-Policy": "default-src 'self'"})

    served = serve(web.get("/hello", hello), link=Link("hello", "Hello", "Says hello"))
    answer, landing = served.ask("/hello"), served.ask("/")
    assert answer.text == "hello"
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    assert '<a href="hello">Hello</a>' in landing.text


@pytest.fixture
def failing() -> web.RouteDef:
    async def fail(_: web.Request) -> web.Response:
        raise ValueError("the secret of the house")

    return web.get("/fail", fail)


@RESET_LOGGING
def test_a_failure_is_told_to_the_log_once_and_to_the_client_not_at_all(
    serve: Serve, failing: web.RouteDef, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info", "logfmt")
    served = serve(failing)
    answer = served.ask("/fail", headers={"Accept": "text/html"})
    assert (answer.status, answer.text) == (500, "500: Internal Server Error\n")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    lines = [line for line in capsys.readouterr().err.splitlines() if "level=error" in line]
    assert len(lines) == 1
    assert "path=/fail" in lines[0]
    assert "the secret of the house" in lines[0]


def test_a_failure_is_counted(serve: Serve) -> None:
    class Broken:
        async def render(self, openmetrics: bool) -> bytes:
            raise TimeoutError

    registry = CollectorRegistry()
    answer = serve(exposition=Broken(), registry=registry).ask("/metrics")
    assert answer.status == 500
    assert registry.get_sample_value("llm_gateway_exporter_web_requests_failed_total") == 1


def test_a_failure_in_the_middle_of_an_answer_cuts_it_off(serve: Serve) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        raise ValueError

    served = serve(web.get("/half", half))
    with served.raw(b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        received = read_to_end(connection)
    assert received.endswith(b"4\r\nhalf\r\n")  # No last chunk: the client sees that it is cut.


@RESET_LOGGING
@pytest.mark.parametrize(("level", "lines"), [("info", 0), ("debug", 1)])
def test_requests_are_logged_at_debug_only_and_without_their_query(
    serve: Serve, level: logs.Level, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(level, "logfmt")
    served = serve()
    served.ask("/-/healthy?user=alice")
    served.run(served.server.stop())
    logged = [line for line in capsys.readouterr().err.splitlines() if "request served" in line]
    assert len(logged) == lines
    for line in logged:
        assert "method=GET path=/-/healthy status=200 bytes_sent=" in line
        assert "alice" not in line


@RESET_LOGGING
def test_says_where_it_listens(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "logfmt")
    port = serve().port
    assert f"msg=listening scheme=http host=127.0.0.1 port={port}" in capsys.readouterr().err


def test_a_request_under_way_is_answered_before_the_stop(serve: Serve) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        started.set()
        await go_on.wait()
        return web.Response(text="done")

    served = serve(web.get("/slow", slow))
    with served.raw(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") as connection:

        async def stop() -> None:
            await started.wait()
            asyncio.get_running_loop().call_later(0.2, go_on.set)
            await served.server.stop()

        served.run(stop())
        received = read_to_end(connection)
    assert received.endswith(b"done")
    assert served.server.addresses == []


def test_nothing_listens_after_the_stop(serve: Serve) -> None:
    served = serve()
    port = served.port
    served.run(served.server.stop())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
