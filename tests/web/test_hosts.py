"""Names that a stranger's page may have led here (DNS rebinding)."""

from pathlib import Path

import pytest

from exporter.web.hosts import AllowedHosts
from tests.web.certificates import Authority
from tests.web.serving import Serve
from tests.web.test_security import USERS, basic, write_config
from tests.web.test_tls import web_config

PRIVATE = [
    *("127.0.0.1", "127.0.0.1:9478", "[::1]:9478", "10.1.2.3:9478", "localhost:9478", "LOCALHOST"),
    *("exporter:9478", "exporter.monitoring.svc", "exporter.monitoring.svc.cluster.local."),
    *("metrics.internal", "me.localhost:1"),
]

PUBLIC = [
    *("evil.example", "evil.example:9478", "127.0.0.1.evil.example", "localhost.evil.example:80"),
    *("evil.example.", "1.2.3.4.5", "a.b:not-a-port", "user@evil.example"),
]


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("path", ["/", "/requests", "/metrics"])
def test_private_names_and_addresses_are_answered(serve: Serve, host: str, path: str) -> None:
    assert serve().ask(path, headers={"Host": host}).status != 403


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_name_gets_nothing_from_this_machine_itself(serve: Serve, host: str) -> None:
    served = serve()
    for path in ("/", "/metrics", "/-/ready", "/nothing"):
        answer = served.ask(path, headers={"Host": host})
        assert answer.status == 403
        assert "--web.allowed-host" in answer.text


def test_a_name_that_was_allowed_is_answered_and_the_others_are_not(serve: Serve) -> None:
    served = serve(allowed_hosts=["Requests.example.com", "*.corp.example"])
    names = {
        "requests.example.com": 200,
        "REQUESTS.example.com:443": 200,
        "a.b.corp.example": 200,
        "corp.example": 403,
        "evil.example": 403,
        "requests.example.com.evil.example": 403,
    }
    for host, status in names.items():
        assert served.ask("/-/healthy", headers={"Host": host}).status == status


@pytest.mark.parametrize("own_address", ["10.0.0.5", "fd00::5", "::ffff:10.0.0.5"])
def test_an_ingress_may_ask_by_any_name_until_some_are_listed(own_address: str) -> None:
    public = "requests.example.com"
    assert AllowedHosts([]).admits(public, own_address, is_protected=False)
    assert not AllowedHosts(["other.example"]).admits(public, own_address, is_protected=False)


@pytest.mark.parametrize("own_address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_each_way_to_this_machine_is_one(own_address: str) -> None:
    assert not AllowedHosts([]).admits("evil.example", own_address, is_protected=False)


def test_a_client_without_a_name_is_no_browser(serve: Serve) -> None:
    with serve().raw(b"GET /-/healthy HTTP/1.0\r\n\r\n") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.0 200")


def test_a_password_stands_in_the_way_of_strangers_anyhow(serve: Serve, tmp_path: Path) -> None:
    served = serve(web_config=write_config(tmp_path, {"basic_auth_users": USERS}))
    headers = {"Host": "requests.example.com", **basic("ops", "geheim")}
    assert served.ask("/", headers=headers).status == 200


def test_a_certificate_stands_in_the_way_of_strangers_anyhow(serve: Serve, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.write_server()
    served = serve(web_config=web_config(authority))
    headers = {"Host": "requests.example.com"}
    assert served.ask("/", headers=headers, tls=authority.trusting()).status == 200
