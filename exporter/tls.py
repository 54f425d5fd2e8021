"""`tls_server_config` of the web-config file, and the TLS context that it asks for.

The keys and their meaning are those of Prometheus's exporter-toolkit
(https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md). What
Python's ssl module cannot do is refused in words, never quietly left out.
"""

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from exporter.documents import Section
from exporter.errors import DocumentError, Problem

Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
Curve = Literal["CurveP256", "CurveP384", "CurveP521", "X25519"]
CipherSuite = Literal[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
]
"""What Go's tls.CipherSuites() lists: https://pkg.go.dev/crypto/tls#CipherSuites"""

ClientAuth = Literal[
    "NoClientCert",
    "RequestClientCert",
    "RequireAnyClientCert",
    "VerifyClientCertIfGiven",
    "RequireAndVerifyClientCert",
]

_VERSIONS: dict[Version, ssl.TLSVersion] = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CURVES: dict[Curve, str] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_OPENSSL_SPELLING = {
    "TLS_": "",
    "WITH_": "",
    "AES_": "AES",
    "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
    "CBC_SHA": "SHA",
    "_": "-",
}
_VERIFY_MODES: dict[ClientAuth, ssl.VerifyMode] = {
    "NoClientCert": ssl.CERT_NONE,
    # Go asks for a certificate here and then ignores it; not asking comes to the same.
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


class TlsServer(Section):
    """`tls_server_config`. File paths are relative to the web-config file's directory."""

    cert_file: Path
    key_file: Path
    client_auth_type: ClientAuth = "NoClientCert"
    client_ca_file: Path | None = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"
    cipher_suites: tuple[CipherSuite, ...] = ()
    curve_preferences: tuple[Curve, ...] = ()
    prefer_server_cipher_suites: bool = True
    """Accepted so that a shared file is; the server always decides, as in Go since 1.17."""

    @field_validator("client_auth_type")
    @classmethod
    def _verifiable(cls, value: ClientAuth) -> ClientAuth:
        if value not in _VERIFY_MODES:
            raise ValueError(
                "expected RequireAndVerifyClientCert, for Python's TLS cannot admit certificates "
                "that nobody vouches for"
            )
        return value

    @field_validator("curve_preferences")
    @classmethod
    def _one_curve(cls, value: tuple[Curve, ...]) -> tuple[Curve, ...]:
        if len(value) > 1:
            raise ValueError(
                "expected one curve, for Python's TLS cannot order several; without the key it "
                "offers X25519 and the NIST curves"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        verifies = _VERIFY_MODES[self.client_auth_type] != ssl.CERT_NONE
        if verifies and self.client_ca_file is None:
            # Go would trust every public authority of the system here.
            raise ValueError(f"client_auth_type {self.client_auth_type} needs client_ca_file")
        if self.client_ca_file and self.client_auth_type == "NoClientCert":
            raise ValueError("client_ca_file has no effect without a client_auth_type")
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError(
                "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert"
            )
        if _VERSIONS[self.min_version] > _VERSIONS[self.max_version]:
            raise ValueError("min_version is above max_version")
        if self.cipher_suites and not self.openssl_ciphers() and self.min_version != "TLS13":
            raise ValueError("cipher_suites has none for TLS 1.2: set min_version to TLS13")
        return self

    def openssl_ciphers(self) -> list[str]:
        """OpenSSL's names of the suites; those of TLS 1.3 are always on, as they are in Go."""
        return [_openssl_name(suite) for suite in self.cipher_suites if "_WITH_" in suite]


def server_context(tls: TlsServer, origin: Path) -> ssl.SSLContext:
    """The context for new connections, with the certificates as the files hold them now.

    Raises:
        DocumentError: a file cannot be read or does not hold what it should; named as a problem
            of `origin`, the web-config file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.verify_mode = _VERIFY_MODES[tls.client_auth_type]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    directory = origin.parent
    with _blaming(origin, "cipher_suites"):
        if ciphers := _cipher_string(tls):
            context.set_ciphers(ciphers)
    with _blaming(origin, "curve_preferences"):
        for curve in tls.curve_preferences:
            context.set_ecdh_curve(_CURVES[curve])
    with _blaming(origin, "cert_file"):
        # Opened first by itself: the ssl module does not say which file is missing.
        (directory / tls.cert_file).open("rb").close()
    with _blaming(origin, "key_file"):
        (directory / tls.key_file).open("rb").close()
        # Without a password given, OpenSSL would ask for one on the terminal, and wait.
        context.load_cert_chain(directory / tls.cert_file, directory / tls.key_file, password="")
    with _blaming(origin, "client_ca_file"):
        if tls.client_ca_file is not None and context.verify_mode != ssl.CERT_NONE:
            context.load_verify_locations(directory / tls.client_ca_file)
    return context


def certificate_names(certificate: dict[str, Any] | None) -> frozenset[str]:
    """The alternative names (DNS, IP, e-mail, URI) of what `getpeercert()` returned.

    IP addresses are in their canonical form (RFC 5952), as Go writes them.
    """
    names = (certificate or {}).get("subjectAltName", ())
    return frozenset(
        str(ipaddress.ip_address(name)) if kind == "IP Address" else name for kind, name in names
    )


def _cipher_string(tls: TlsServer) -> str:
    """In OpenSSL's language; "" leaves Python's choice as it is."""
    ciphers = tls.openssl_ciphers()
    if tls.min_version in ("TLS10", "TLS11"):
        # From security level 1 on, OpenSSL 3 refuses the hashes of TLS before 1.2.
        return ":".join([*(ciphers or ["DEFAULT"]), "@SECLEVEL=0"])
    return ":".join(ciphers)


def _openssl_name(suite: str) -> str:
    for go, openssl in _OPENSSL_SPELLING.items():
        suite = suite.replace(go, openssl)
    return suite


@contextmanager
def _blaming(origin: Path, key: str) -> Iterator[None]:
    """Turn what goes wrong within into a problem of one key."""
    try:
        yield
    except (OSError, ValueError) as error:
        problem = Problem(origin, None, None, f"tls_server_config.{key}", _reason(key, error))
        raise DocumentError([problem]) from error


def _reason(key: str, error: OSError | ValueError) -> str:
    match error, key:
        case ssl.SSLError(), "key_file":
            return (
                "cert_file and key_file do not hold a certificate and its unencrypted key in PEM "
                f"form ({(error.reason or 'unreadable').replace('_', ' ').lower()})"
            )
        case ssl.SSLError(), "client_ca_file":
            return "holds no certificate in PEM form"
        case OSError(), "cert_file" | "key_file" | "client_ca_file":
            return f"{error.filename or key}: {error.strerror}"
    return f"OpenSSL refuses it ({error})"
