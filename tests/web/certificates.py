"""Certificates of an authority of our own, as files beside a web-config file."""

import ssl
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.web.serving import Served


class Authority:
    """A certificate authority, and what it issued, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ca = trustme.CA()

    def write_ca(self, name: str = "ca.pem") -> None:
        self._ca.cert_pem.write_to_path(self.directory / name)

    def write_server(self, kind: trustme.KeyType = trustme.KeyType.ECDSA) -> None:
        """A new `server.pem` and `server.key` for 127.0.0.1."""
        issued = self._ca.issue_cert("127.0.0.1", key_type=kind)
        (self.directory / "server.pem").write_bytes(
            b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        )
        issued.private_key_pem.write_to_path(self.directory / "server.key")

    def write_client(self, name: str) -> None:
        """A client's certificate and key, both in `client.pem`."""
        issued = self._ca.issue_cert(name)
        issued.private_key_and_cert_chain_pem.write_to_path(self.directory / "client.pem")

    def write_encrypted_key(self, name: str) -> None:
        """`server.key` again, under a password."""
        key = load_pem_private_key((self.directory / "server.key").read_bytes(), None)
        (self.directory / name).write_bytes(
            key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
            )
        )

    def trusting(self, *names: str) -> ssl.SSLContext:
        """A client's context that trusts the authority; with a certificate if it has names."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        if names:
            self._ca.issue_cert(*names).configure_cert(context)
        return context


def certificate_in_use(served: Served, client: ssl.SSLContext) -> bytes:
    """The server's certificate in a handshake made now, as DER."""
    with served.raw() as plain, client.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
        return encrypted.getpeercert(binary_form=True) or b""
