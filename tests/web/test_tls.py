import http.client
import socket
import ssl
from pathlib import Path
from typing import get_args

import pytest
import trustme
import yaml
from prometheus_client import CollectorRegistry

from exporter.tls import CipherSuite, certificate_names
from exporter.web import Limits
from tests.waiting import wait_until
from tests.web.certificates import Authority, certificate_in_use
from tests.web.serving import FixedExposition, Serve, closing_connection, read_to_end, request

SUITES = [suite for suite in get_args(CipherSuite) if "_WITH_" in suite]
REFUSED = (OSError, http.client.HTTPException)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    authority.write_server()
    authority.write_ca()
    return authority


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """An authority that the server does not know."""
    return Authority(tmp_path)


def web_config(authority: Authority, **options: object) -> Path:
    """A file that serves TLS with the authority's certificate."""
    tls = {"cert_file": "server.pem", "key_file": "server.key", **options}
    path = authority.directory / "web.yaml"
    path.write_text(yaml.safe_dump({"tls_server_config": tls}))
    return path


def test_serves_https_with_the_certificate_beside_the_file(
    serve: Serve, authority: Authority
) -> None:
    served = serve(web_config=web_config(authority))
    assert served.ask("/-/healthy", tls=authority.trusting()).text == "healthy\n"


def test_one_tls_connection_carries_many_requests(serve: Serve, authority: Authority) -> None:
    served = serve(web_config=web_config(authority))
    with closing_connection(served.port, authority.trusting()) as connection:
        assert [request(connection, "/").status for _ in range(3)] == [200] * 3


def test_offers_http_1_1_to_clients_that_speak_http_2_too(
    serve: Serve, authority: Authority
) -> None:
    served = serve(web_config=web_config(authority))
    client = authority.trusting()
    client.set_alpn_protocols(["h2", "http/1.1"])
    with served.raw() as plain, client.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
        assert encrypted.selected_alpn_protocol() == "http/1.1"


def test_plain_http_finds_nothing_where_tls_is_served(serve: Serve, authority: Authority) -> None:
    served = serve(web_config=web_config(authority))
    with pytest.raises(REFUSED):
        served.ask("/-/healthy")
    assert served.ask("/-/healthy", tls=authority.trusting()).status == 200


@pytest.mark.parametrize(
    ("options", "client_speaks", "served_as"),
    [
        ({}, ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ({}, ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ({}, ssl.TLSVersion.TLSv1_1, None),
        ({"min_version": "TLS13"}, ssl.TLSVersion.TLSv1_2, None),
        ({"max_version": "TLS12"}, ssl.TLSVersion.TLSv1_3, None),
        ({"min_version": "TLS11"}, ssl.TLSVersion.TLSv1_1, "TLSv1.1"),
        ({"min_version": "TLS11"}, ssl.TLSVersion.TLSv1, None),
        ({"min_version": "TLS10"}, ssl.TLSVersion.TLSv1, "TLSv1"),
        ({"min_version": "TLS10"}, ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        (
            {"min_version": "TLS10", "cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"]},
            ssl.TLSVersion.TLSv1,
            "TLSv1",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_speaks_the_tls_versions_that_are_allowed(
    serve: Serve,
    authority: Authority,
    options: dict[str, object],
    client_speaks: ssl.TLSVersion,
    served_as: str | None,
) -> None:
    served = serve(web_config=web_config(authority, **options))
    client = authority.trusting()
    client.set_ciphers("DEFAULT:@SECLEVEL=0")  # Lets the client speak old versions at all.
    client.minimum_version = client.maximum_version = client_speaks
    assert negotiated(served.port, client)[0] == served_as


@pytest.mark.parametrize("suite", SUITES)
def test_uses_the_cipher_suite_that_go_calls_so(
    serve: Serve, authority: Authority, suite: str
) -> None:
    authority.write_server(trustme.KeyType.RSA if "_RSA_" in suite else trustme.KeyType.ECDSA)
    served = serve(web_config=web_config(authority, cipher_suites=[suite]))
    client = authority.trusting()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ALL")
    authentication = "ECDHE-RSA" if "_RSA_" in suite else "ECDHE-ECDSA"
    cipher = (negotiated(served.port, client)[1] or "").replace("-", "")
    _, _, wanted = suite.partition("_WITH_")
    wanted = wanted.replace("CBC_", "").replace("POLY1305_SHA256", "POLY1305")
    assert cipher == (authentication + wanted).replace("-", "").replace("_", "")


def test_a_cipher_suite_that_is_not_listed_is_refused(serve: Serve, authority: Authority) -> None:
    suites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"]
    served = serve(web_config=web_config(authority, cipher_suites=suites))
    client = authority.trusting()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert negotiated(served.port, client) == (None, None)


@pytest.mark.parametrize(
    ("curve", "offered", "meets"),
    [
        ("CurveP256", "prime256v1", True),
        ("CurveP384", "secp384r1", True),
        ("CurveP521", "secp521r1", True),
        ("X25519", "X25519", True),
        ("CurveP384", "prime256v1", False),
        ("X25519", "prime256v1", False),
    ],
)
def test_exchanges_keys_on_the_curve_that_is_preferred(
    serve: Serve, authority: Authority, curve: str, offered: str, meets: bool
) -> None:
    served = serve(web_config=web_config(authority, curve_preferences=[curve]))
    client = authority.trusting()
    client.set_ecdh_curve(offered)
    assert (negotiated(served.port, client)[0] is not None) is meets


@pytest.mark.parametrize(
    ("policy", "nobody", "known", "unknown"),
    [
        ("NoClientCert", True, True, True),
        ("RequestClientCert", True, True, True),
        ("VerifyClientCertIfGiven", True, True, False),
        ("RequireAndVerifyClientCert", False, True, False),
    ],
)
def test_admits_clients_by_their_certificates(
    serve: Serve,
    authority: Authority,
    stranger: Authority,
    policy: str,
    nobody: bool,
    known: bool,
    unknown: bool,
) -> None:
    authorities = {} if policy == "NoClientCert" else {"client_ca_file": "ca.pem"}
    served = serve(web_config=web_config(authority, client_auth_type=policy, **authorities))

    def admitted(client: ssl.SSLContext) -> bool:
        try:
            return served.ask("/-/healthy", tls=client).status == 200
        except REFUSED:
            return False

    foreign = stranger.trusting("prometheus.example")
    foreign.load_verify_locations(authority.directory / "ca.pem")
    assert admitted(authority.trusting()) is nobody
    assert admitted(authority.trusting("prometheus.example")) is known
    assert admitted(foreign) is unknown


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["prometheus.example"], 200),
        (["other.example", "ops@example.com"], 200),
        (["2001:db8::1"], 200),
        (["sub.prometheus.example"], 403),
        (["*.example"], 403),
    ],
)
def test_admits_certificates_with_an_allowed_name_only(
    serve: Serve, authority: Authority, names: list[str], status: int
) -> None:
    config = web_config(
        authority,
        client_auth_type="RequireAndVerifyClientCert",
        client_ca_file="ca.pem",
        client_allowed_sans=["prometheus.example", "ops@example.com", "2001:db8::1"],
    )
    answer = serve(web_config=config).ask("/metrics", tls=authority.trusting(*names))
    assert answer.status == status


def test_all_kinds_of_alternative_names_count() -> None:
    certificate = {
        "subjectAltName": (
            ("DNS", "a.example"),
            ("URI", "spiffe://example/prometheus"),
            ("email", "a@example.com"),
            ("IP Address", "2001:DB8:0:0:0:0:0:1"),
        )
    }
    assert certificate_names(certificate) == {
        "a.example",
        "spiffe://example/prometheus",
        "a@example.com",
        "2001:db8::1",
    }
    assert certificate_names(None) == frozenset()


def test_a_new_certificate_serves_new_connections_and_disturbs_no_old_one(
    serve: Serve, authority: Authority
) -> None:
    served = serve(web_config=web_config(authority), web_config_poll_s=0.02)
    client = authority.trusting()
    before = certificate_in_use(served, client)
    with closing_connection(served.port, client) as connection:
        request(connection, "/-/healthy")
        authority.write_server()
        wait_until(lambda: certificate_in_use(served, client) != before)
        assert request(connection, "/-/healthy").status == 200


def test_a_broken_certificate_leaves_the_old_one_in_use_until_it_is_mended(
    serve: Serve, authority: Authority
) -> None:
    registry = CollectorRegistry()

    def valid() -> float | None:
        return registry.get_sample_value("llm_gateway_exporter_web_config_last_reload_successful")

    served = serve(web_config=web_config(authority), web_config_poll_s=0.02, registry=registry)
    client = authority.trusting()
    before = certificate_in_use(served, client)
    assert valid() == 1
    (authority.directory / "server.key").write_text("no key")
    wait_until(lambda: valid() == 0)
    assert certificate_in_use(served, client) == before
    authority.write_server()
    wait_until(lambda: valid() == 1)
    assert certificate_in_use(served, client) != before


def test_a_client_that_does_not_finish_its_handshake_is_cut_off(
    serve: Serve, authority: Authority
) -> None:
    served = serve(web_config=web_config(authority), limits=Limits(handshake_s=0.2))
    with served.raw(b"\x16\x03\x01") as connection:
        assert read_to_end(connection) == b""


def test_a_client_that_does_not_take_its_answer_is_cut_off(
    serve: Serve, authority: Authority
) -> None:
    served = serve(
        web_config=web_config(authority),
        exposition=FixedExposition(b"a_series 1\n" * 2_000_000),
        limits=Limits(head_s=0.3, handshake_s=0.3, connections=1),
    )
    client = authority.trusting()
    with served.raw() as plain, client.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
        encrypted.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")

        def has_room() -> bool:
            return negotiated(served.port, client) != (None, None)

        wait_until(has_room, what="the only place to be free again")


def test_unfinished_handshakes_count_as_connections(serve: Serve, authority: Authority) -> None:
    served = serve(web_config=web_config(authority), limits=Limits(connections=2, handshake_s=60))
    client = authority.trusting()
    with served.raw():
        with served.raw(), served.raw() as third:
            assert read_to_end(third) == b""
        wait_until(lambda: negotiated(served.port, client) != (None, None))


def negotiated(port: int, client: ssl.SSLContext) -> tuple[str | None, str | None]:
    """TLS version and OpenSSL's name of the cipher, if a handshake came about."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with client.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
                cipher = encrypted.cipher()
                return encrypted.version(), cipher[0] if cipher else None
        except OSError:
            return None, None
