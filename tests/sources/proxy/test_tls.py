"""TLS on both sides: who is trusted, and who is not."""

import http.client
import json
import ssl
from pathlib import Path

import pytest
import trustme

from exporter.errors import ExporterError
from tests.sources.proxy.conftest import StartProxy
from tests.sources.proxy.upstreams import answering, streaming

CHAT = "/v1/chat/completions"
ANSWER = b'{"usage": {"prompt_tokens": 3, "completion_tokens": 1}}'


class Certificates:
    """An authority, a certificate for 127.0.0.1 and one for a client, as files."""

    def __init__(self, directory: Path) -> None:
        self.authority = trustme.CA()
        self.issued = self.authority.issue_cert("127.0.0.1", "upstream.internal")
        self.client = self.authority.issue_cert("client@example.com")
        self.authority_file = str(directory / "authority.pem")
        self.cert_file, self.key_file = str(directory / "cert.pem"), str(directory / "key.pem")
        self.client_file = str(directory / "client.pem")
        self.authority.cert_pem.write_to_path(self.authority_file)
        self.issued.cert_chain_pems[0].write_to_path(self.cert_file)
        self.issued.private_key_pem.write_to_path(self.key_file)
        self.client.private_key_and_cert_chain_pem.write_to_path(self.client_file)

    def server(self, *, asks: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.issued.configure_cert(context)
        if asks:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def stranger_answer(connection: http.client.HTTPSConnection) -> bytes:
    connection.request("POST", CHAT, b"{}")
    return connection.getresponse().read()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_an_upstream_is_verified_and_its_connection_kept(
    start_proxy: StartProxy, certificates: Certificates
) -> None:
    tls = {"ca_file": certificates.authority_file}
    proxy = start_proxy(answering(ANSWER), tls=certificates.server(), upstream_tls=tls)
    assert [proxy.ask(CHAT, {}).body for _ in range(3)] == [ANSWER] * 3
    assert proxy.upstream.connections == 1
    assert len(proxy.records(3)) == 3


def test_a_stream_over_tls_goes_through(
    start_proxy: StartProxy, certificates: Certificates
) -> None:
    tls = {"ca_file": certificates.authority_file}
    parts = [b"data: " + b"x" * 50_000 + b"\n\n"] * 20
    proxy = start_proxy(streaming(*parts), tls=certificates.server(), upstream_tls=tls)
    assert proxy.ask(CHAT, {}).body == b"".join(parts)


def test_an_upstream_that_nobody_vouches_for_gets_no_request(
    start_proxy: StartProxy, certificates: Certificates
) -> None:
    proxy = start_proxy(answering(ANSWER), tls=certificates.server())
    answer = proxy.ask(CHAT, {"secret": "prompt"})
    assert answer.status == 502
    assert json.loads(answer.body)["error"]["code"] == "upstream_unreachable"
    assert proxy.upstream.received == []


def test_verification_can_be_turned_off_and_names_be_given(
    start_proxy: StartProxy, certificates: Certificates
) -> None:
    off = start_proxy(answering(ANSWER), tls=certificates.server(), upstream_tls={"verify": False})
    assert off.ask(CHAT, {}).status == 200
    for name, status in (("upstream.internal", 200), ("other.internal", 502)):
        tls = {"ca_file": certificates.authority_file, "server_name": name}
        named = start_proxy(answering(ANSWER), tls=certificates.server(), upstream_tls=tls)
        assert named.ask(CHAT, {}).status == status


def test_an_upstream_that_wants_a_certificate_gets_it(
    start_proxy: StartProxy, certificates: Certificates
) -> None:
    tls = {"ca_file": certificates.authority_file, "cert_file": certificates.client_file}
    proxy = start_proxy(answering(ANSWER), tls=certificates.server(asks=True), upstream_tls=tls)
    assert proxy.ask(CHAT, {}).body == ANSWER


def test_clients_are_served_by_https_and_must_show_a_certificate(
    start_proxy: StartProxy, certificates: Certificates
) -> None:
    proxy = start_proxy(
        answering(ANSWER),
        listen_tls={
            "cert_file": certificates.cert_file,
            "key_file": certificates.key_file,
            "client_ca_file": certificates.authority_file,
        },
    )
    context = ssl.create_default_context(cafile=certificates.authority_file)
    stranger = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=10, context=context)
    stranger.connect()  # In TLS 1.3 the server's refusal comes after the handshake.
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        stranger_answer(stranger)
    stranger.close()
    certificates.client.configure_cert(context)
    friend = http.client.HTTPSConnection("127.0.0.1", proxy.port, timeout=10, context=context)
    friend.request("POST", CHAT, b"{}")
    assert friend.getresponse().read() == ANSWER
    friend.close()
    assert proxy.upstream.received[0].header("x-forwarded-proto") == "https"


def test_a_certificate_that_is_not_there_is_refused_at_the_start(start_proxy: StartProxy) -> None:
    files = {"cert_file": "/nowhere/cert.pem", "key_file": "/nowhere/key.pem"}
    with pytest.raises(ExporterError, match=r"source edge: tls: .*No such file"):
        start_proxy(answering(ANSWER), listen_tls=files)
    with pytest.raises(ExporterError, match="upstream_tls: No such file"):
        start_proxy(
            answering(ANSWER),
            upstream="https://127.0.0.1:1",
            upstream_tls={"ca_file": "/nowhere/ca.pem"},
        )
