from pathlib import Path

import pytest

from exporter.errors import DocumentError
from exporter.web.security import read_policy
from tests.web.certificates import Authority

MISTAKES = {
    "": "web.yaml: the file is empty; expected a mapping (key: value)",
    "basic_auth_user: {}": (
        'web.yaml:1: basic_auth_user: unknown key; did you mean "basic_auth_users"? allowed: '
        "basic_auth_users, http_server_config, tls_server_config"
    ),
    "basic_auth_users:\n  alice: hunter2": (
        "web.yaml:2: basic_auth_users.alice: expected a bcrypt hash; `htpasswd -nB USER` makes one"
    ),
    "basic_auth_users:\n  alice: $2y$10$short": (
        "web.yaml:2: basic_auth_users.alice: expected a bcrypt hash; `htpasswd -nB USER` makes one"
    ),
    "basic_auth_users:\n  alice: 12345": (
        "web.yaml:2: basic_auth_users.alice: expected text; the value is not shown, for it may be "
        "secret"
    ),
    "http_server_config:\n  headers:\n    Server: x": (
        "web.yaml:3: http_server_config.headers.Server: unknown key; allowed: "
        "Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, "
        "X-Frame-Options, X-XSS-Protection"
    ),
    "http_server_config:\n  headers:\n    X-Frame-Options: SAMEORIGIN": (
        "web.yaml:3: http_server_config.headers.X-Frame-Options: expected deny or sameorigin; "
        'found "SAMEORIGIN"; did you mean "sameorigin"?'
    ),
    'http_server_config:\n  headers:\n    X-XSS-Protection: "1\\r\\nSet-Cookie: a=b"': (
        "web.yaml:3: http_server_config.headers.X-XSS-Protection: expected printable ASCII on one "
        'line; found "1\\r\\nSet-Cookie: a=b"'
    ),
    "tls_server_config: {cert_file: server.pem}": (
        "web.yaml:1: tls_server_config.key_file: required, but missing"
    ),
    "tls_server_config: {cert_file: none.pem, key_file: server.key}": (
        "web.yaml: tls_server_config.cert_file: none.pem: No such file or directory"
    ),
    "tls_server_config: {cert_file: server.pem, key_file: none.key}": (
        "web.yaml: tls_server_config.key_file: none.key: No such file or directory"
    ),
    "tls_server_config: {cert_file: server.pem, key_file: other.key}": (
        "web.yaml: tls_server_config.key_file: cert_file and key_file do not hold a certificate "
        "and its unencrypted key in PEM form (key values mismatch)"
    ),
    "tls_server_config: {cert_file: web.yaml, key_file: server.key}": (
        "web.yaml: tls_server_config.key_file: cert_file and key_file do not hold a certificate "
        "and its unencrypted key in PEM form (unreadable)"
    ),
}
TLS_MISTAKES = {
    "min_version: TLS14": (
        "web.yaml:1: tls_server_config.min_version: expected TLS10, TLS11, TLS12 or TLS13; "
        'found "TLS14"; did you mean "TLS13"?'
    ),
    "min_version: TLS13, max_version: TLS12": (
        "web.yaml:1: tls_server_config: min_version is above max_version"
    ),
    "cipher_suites: [TLS_AES_128_GCM_SHA256]": (
        "web.yaml:1: tls_server_config: cipher_suites has none for TLS 1.2: set min_version to "
        "TLS13"
    ),
    "curve_preferences: [CurveP256, X25519]": (
        "web.yaml:1: tls_server_config.curve_preferences: expected one curve, for Python's TLS "
        "cannot order several; without the key it offers X25519 and the NIST curves"
    ),
    "curve_preferences: [P256]": (
        "web.yaml:1: tls_server_config.curve_preferences[0]: expected CurveP256, CurveP384, "
        'CurveP521 or X25519; found "P256"; did you mean "CurveP256"?'
    ),
    "client_auth_type: RequireAnyClientCert": (
        "web.yaml:1: tls_server_config.client_auth_type: expected RequireAndVerifyClientCert, for "
        "Python's TLS cannot admit certificates that nobody vouches for; found "
        '"RequireAnyClientCert"'
    ),
    "client_auth_type: RequireAndVerifyClientCert": (
        "web.yaml:1: tls_server_config: client_auth_type RequireAndVerifyClientCert needs "
        "client_ca_file"
    ),
    "client_ca_file: server.pem": (
        "web.yaml:1: tls_server_config: client_ca_file has no effect without a client_auth_type"
    ),
    "client_auth_type: VerifyClientCertIfGiven, client_ca_file: server.pem, "
    "client_allowed_sans: [a]": (
        "web.yaml:1: tls_server_config: client_allowed_sans needs client_auth_type "
        "RequireAndVerifyClientCert"
    ),
    "client_auth_type: VerifyClientCertIfGiven, client_ca_file: web.yaml": (
        "web.yaml: tls_server_config.client_ca_file: holds no certificate in PEM form"
    ),
}


def mistake_in(directory: Path, text: str) -> str:
    """The error for a web-config file beside a certificate and the key of another one."""
    authority = Authority(directory)
    authority.write_server()
    (directory / "server.key").rename(directory / "other.key")
    authority.write_server()
    authority.write_encrypted_key("locked.key")
    path = directory / "web.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError) as error:
        read_policy(path)
    return str(error.value).replace(f"{directory}/", "")


@pytest.mark.parametrize(("text", "message"), MISTAKES.items())
def test_a_mistake_is_explained_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    assert mistake_in(tmp_path, text) == message


@pytest.mark.parametrize(("options", "message"), TLS_MISTAKES.items())
def test_a_mistake_in_tls_is_explained_too(tmp_path: Path, options: str, message: str) -> None:
    text = f"tls_server_config: {{cert_file: server.pem, key_file: server.key, {options}}}"
    assert mistake_in(tmp_path, text) == message


def test_a_cipher_suite_that_is_insecure_or_unknown_is_refused(tmp_path: Path) -> None:
    suites = "cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"
    text = f"tls_server_config: {{cert_file: server.pem, key_file: server.key, {suites}}}"
    message = mistake_in(tmp_path, text)
    assert message.startswith("web.yaml:1: tls_server_config.cipher_suites[0]: expected TLS_AES")
    assert 'found "TLS_RSA_WITH_RC4_128_SHA"' in message


def test_a_key_under_a_password_is_refused_and_no_password_asked_for(tmp_path: Path) -> None:
    text = "tls_server_config: {cert_file: server.pem, key_file: locked.key}"
    assert "its unencrypted key in PEM form" in mistake_in(tmp_path, text)
