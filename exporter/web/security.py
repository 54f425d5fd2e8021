"""The web-config file that Prometheus's exporters share, and what it demands of a request.

The format is the exporter-toolkit's
(https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md).
"""

import asyncio
import base64
import hmac
import os
import re
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import bcrypt
import structlog
from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from exporter.documents import Section, load
from exporter.errors import DocumentError
from exporter.mistakes import FINDING
from exporter.tls import TlsServer, server_context
from exporter.web.metrics import WebMetrics

_log = structlog.get_logger(__name__)

_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_MAX_PASSWORD_BYTES = 72
"""bcrypt reads no further. Its other programs cut what is longer, so their hashes need that too."""


def _bcrypt_hash(value: SecretStr) -> SecretStr:
    if not _HASH.fullmatch(value.get_secret_value()):
        text = "expected a bcrypt hash; `htpasswd -nB USER` makes one"
        raise PydanticCustomError(FINDING, "{text}", {"text": text})
    return value


def _header_value(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("expected printable ASCII on one line")
    return value


HeaderValue = Annotated[str, AfterValidator(_header_value)]


class Headers(Section):
    """`headers`: those that the toolkit lets a file set. An empty value leaves the header out."""

    csp: HeaderValue | None = Field(None, alias="Content-Security-Policy")
    frame_options: Literal["deny", "sameorigin"] | None = Field(None, alias="X-Frame-Options")
    type_options: Literal["nosniff"] | None = Field(None, alias="X-Content-Type-Options")
    xss_protection: HeaderValue | None = Field(None, alias="X-XSS-Protection")
    hsts: HeaderValue | None = Field(None, alias="Strict-Transport-Security")


class HttpServer(Section):
    """`http_server_config`."""

    http2: bool = True
    """Accepted so that a shared file is; aiohttp speaks HTTP/1.1 only, and says so in ALPN."""

    headers: Headers = Headers()


class WebConfig(Section):
    """The whole file; every part may be missing."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = HttpServer()
    basic_auth_users: dict[str, Annotated[SecretStr, AfterValidator(_bcrypt_hash)]] = Field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """What is demanded of connections and requests, and set on answers.

    Attributes:
        tls: for new connections; None is plain HTTP.
        users: bcrypt hashes by user name; nobody is asked who they are when it is empty.
        client_names: a client's certificate must have one of these names, unless there are none.
        headers: set on each answer; an empty value removes the header.
        files: everything it was made from.
    """

    tls: ssl.SSLContext | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    client_names: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def read_policy(path: Path) -> Policy:
    """The policy that a web-config file describes.

    Raises:
        DocumentError: the file, or a certificate that it names, is not what it should be.
    """
    config = load(path, WebConfig)
    users = {name: hashed.get_secret_value() for name, hashed in config.basic_auth_users.items()}
    headers = config.http_server_config.headers.model_dump(by_alias=True, exclude_none=True)
    tls = config.tls_server_config
    if tls is None:
        return Policy(users=users, headers=headers, files=(path,))
    named = (tls.cert_file, tls.key_file, tls.client_ca_file)
    return Policy(
        tls=server_context(tls, path),
        users=users,
        client_names=frozenset(tls.client_allowed_sans),
        headers=headers,
        files=(path, *(path.parent / file for file in named if file is not None)),
    )


class WatchedPolicy:
    """The policy in force: read again when a file of it changes, kept when that goes wrong.

    Attributes:
        current: the policy to go by now.
    """

    def __init__(self, path: Path | None, metrics: WebMetrics) -> None:
        """Read it.

        Raises:
            DocumentError: as `read_policy`.
        """
        self.current = read_policy(path) if path else Policy()
        self._path = path
        self._metrics = metrics
        self._taken = self._last_seen = _look_at(self.current.files)
        self._error: str | None = None
        metrics.config_reload_succeeded(True)

    async def watch(self, every_s: float) -> None:
        """Look after the files until cancelled."""
        while self._path:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.refresh, self._path)

    def refresh(self, path: Path) -> None:
        """Take changed files over once two looks in a row found them the same.

        A file in the middle of being written could lack its users, and a new certificate its
        key.
        """
        seen = _look_at(self.current.files)
        settled, self._last_seen = seen == self._last_seen, seen
        if not settled or (seen == self._taken and self._error is None):
            return
        try:
            policy = read_policy(path)
            error = None
            if (policy.tls is None) != (self.current.tls is None):
                error = f"{path}: tls_server_config: switching TLS on or off takes a restart"
        except DocumentError as problem:
            error = str(problem)
        self._taken = seen
        self._metrics.config_reload_succeeded(error is None)
        if error is None:
            self.current = policy
            _log.info("the web configuration was read again", path=str(path))
        elif error != self._error:
            _log.error("the web configuration is at fault, the last good one stays", error=error)
        self._error = error


class BasicAuth:
    """Checks `Authorization: Basic` against bcrypt hashes.

    bcrypt takes long by intention, so it runs in a thread, one check at a time: guesses of a
    stranger cannot take all cores. A password that was right once is recognised at once by a
    keyed digest; the password itself is kept nowhere.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._proofs: dict[str, bytes] = {}
        self._one_at_a_time = asyncio.Lock()

    async def admits(self, authorization: str, users: Mapping[str, str]) -> bool:
        """Whether the header's value names one of the users (at least one) with their password."""
        credentials = parse_credentials(authorization)
        if credentials is None:
            return False
        known = users.get(credentials.user)
        # An unknown user costs as much as a known one, and so cannot be told from them by time.
        hashed = (known or next(iter(users.values()))).encode()
        proof = hmac.digest(self._key, hashed + credentials.password, "sha256")
        if known and hmac.compare_digest(proof, self._proofs.get(credentials.user, b"")):
            return True
        async with self._one_at_a_time:
            password = credentials.password[:_MAX_PASSWORD_BYTES]
            matches = await asyncio.to_thread(bcrypt.checkpw, password, hashed)
        if not (known and matches):
            return False
        self._proofs[credentials.user] = proof
        return True


class Credentials(NamedTuple):
    """What a client says it is."""

    user: str
    password: bytes


def parse_credentials(authorization: str) -> Credentials | None:
    """Those of an `Authorization` header of the Basic scheme (RFC 7617); None for any other."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return Credentials(user.decode(), password) if colon else None
    except ValueError:  # Neither base64 nor UTF-8 errors are anything else.
        return None


def _look_at(files: tuple[Path, ...]) -> tuple[tuple[int, ...] | None, ...]:
    """What tells a file's states apart, for each; None for one that is not there."""
    return tuple(map(_stamp, files))


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
