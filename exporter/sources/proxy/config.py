"""The `proxy` section of a source."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, model_validator

from exporter.documents import Secret, Section, at_least_one, checked
from exporter.quantities import Duration, Size, between


def _upstream(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    plain = not (parts.username or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError("expected a URL such as https://api.example.com or http://127.0.0.1:9000")
    return url.rstrip("/")


def _address(address: str) -> str:
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\s\[\]]*):\d{1,5}", address):
        raise ValueError("expected host:port, such as 127.0.0.1:8080")
    return address


Address = Annotated[str, AfterValidator(_address)]
Upstream = Annotated[str, AfterValidator(_upstream)]
Provider = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
Attribute = Annotated[str, Field(pattern="^[a-z_][a-z0-9_]*$")]
HeaderName = Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,64}$")]
Patience = Annotated[Duration, between(Duration("10ms"), Duration("1d"))]


class ListenTls(Section):
    """Certificate that clients see, and the authority of theirs."""

    cert_file: Path
    """Certificate, with those that lead to its authority, in PEM form."""

    key_file: Path
    """Its key, unencrypted."""

    client_ca_file: Path | None = None
    """Authority that a client's certificate must be of (mTLS); without it none is asked for."""


class UpstreamTls(Section):
    """How upstreams with https are verified, and what they are shown."""

    ca_file: Path | None = None
    """Certificates of authorities to trust, in PEM form; default: the system's."""

    cert_file: Path | None = None
    """Certificate to show to the upstream (mTLS)."""

    key_file: Path | None = None
    """Its key, where it is not in `cert_file`."""

    server_name: str | None = None
    """Name that the upstream's certificate must have; default: the URL's host."""

    verify: bool = True
    """Off: any certificate will do, and so will any impostor."""


class Route(Section):
    """Requests that go to another upstream, by host, by path, or by both."""

    host: Annotated[str, Field(pattern="^[a-z0-9.-]+$")] | None = None
    """Host that the client asks for, in lower case and without a port."""

    path: Annotated[str, Field(pattern="^/")] | None = None
    """Begin of the path: /v2 is that of /v2 and /v2/chat, not of /v20."""

    upstream: Upstream
    """URL that the request's path is appended to."""

    provider: Provider | None = None
    """Name of the provider in series; default: as the source's."""

    @model_validator(mode="wrap")
    @classmethod
    def _some_condition(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked(data, handler, at_least_one(data, "host", "path"))


class KeyFingerprint(Section):
    """An attribute that tells API keys apart without telling them."""

    attribute: Attribute
    """Attribute that holds the fingerprint: 12 hexadecimal digits of an HMAC-SHA256."""

    secret: Secret
    """Key of the HMAC; fingerprints of different secrets have nothing in common."""


class ProxyConfig(Section):
    """A reverse proxy before a gateway or a model's API, which counts what goes through."""

    listen: Address
    """Where clients connect to."""

    upstream: Upstream
    """URL that a request's path is appended to."""

    provider: Provider | None = None
    """Name of the provider in series; default: by the API that is spoken."""

    routes: tuple[Route, ...] = ()
    """Other upstreams; the first that fits is taken, else `upstream`."""

    tls: ListenTls | None = None
    """Serve HTTPS."""

    upstream_tls: UpstreamTls = UpstreamTls()
    """For upstreams with https."""

    ensure_stream_usage: bool = False
    """Ask for the usage of streamed chat completions where the client did not, and keep it."""

    attributes: Mapping[Attribute, HeaderName] = {}
    """Attributes of a record, from request headers; `labels.attributes` makes labels of them."""

    key_fingerprint: KeyFingerprint | None = None
    """An attribute made of the client's API key."""

    connect_timeout: Patience = Duration("5s")
    """For a connection to the upstream, TLS included; then 502."""

    answer_timeout: Patience = Duration("10m")
    """For the upstream to begin its answer; then 504."""

    idle_timeout: Patience = Duration("5m")
    """For the next part of an answer, or of a request's body."""

    drain_timeout: Annotated[Duration, between(Duration("0s"), Duration("1h"))] = Duration("20s")
    """For requests under way when the daemon stops."""

    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] = 1024
    """Requests under way in each process; those beyond it get 503."""

    max_copy: Annotated[Size, between(Size("16KiB"), Size("256MiB"))] = Size("8MiB")
    """Of a body, as much is parsed; what is longer goes through, and counts without its usage."""
