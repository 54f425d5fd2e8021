"""The configuration's `otlp` section."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, model_validator

from exporter.documents import Finding, Secret, Section, checked, under
from exporter.mistakes import quoted, step_text
from exporter.quantities import Duration, between


def _server(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # A port that is no number.
        is_one = False
    if not is_one or parts.query or parts.fragment:
        raise ValueError("expected a URL such as http://collector:4318")
    return url


class OtlpTlsConfig(Section):
    """Certificates for an https:// endpoint; all in PEM."""

    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""

    cert_file: Path | None = None
    """Our certificate, for endpoints that ask for one."""

    key_file: Path | None = None
    """Its key; needed unless it stands in cert_file."""


class OtlpConfig(Section):
    """An endpoint that metrics, or requests as log records, are pushed to by OTLP.

    What is left out is looked for in the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT and so
    on), and is as it says here if they are not set.
    """

    name: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")] | None = None
    """What metrics call it, and what is kept of it in the state; default: its endpoint."""

    endpoint: Annotated[str, AfterValidator(_server)] | None = None
    """URL without /v1/metrics; default: http://localhost:4318, or port 4317 for grpc."""

    protocol: Literal["grpc", "http/protobuf"] | None = None
    """How it is spoken to; default: http/protobuf."""

    metrics: bool = True
    """Whether it gets the series."""

    logs: bool = False
    """Whether it gets a log record for each request, out of the request log."""

    interval: Annotated[Duration, between(Duration("100ms"), Duration("1h"))] | None = None
    """Between two pushes of metrics; default: 15s."""

    temporality: Literal["cumulative", "delta"] | None = None
    """Metrics since the beginning, or since the last push; default: cumulative."""

    histograms: Literal["explicit", "exponential"] | None = None
    """Histograms with their buckets, or as base-2 exponential ones; default: explicit."""

    headers: Mapping[Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")], Secret] = {}
    """Headers of each request, such as keys, each from a file or a variable."""

    tls: OtlpTlsConfig | None = None
    """Certificates, for https://."""

    compression: Literal["none", "gzip"] | None = None
    """Of requests; default: none."""

    timeout: Annotated[Duration, between(Duration("100ms"), Duration("5m"))] | None = None
    """Of one request; default: 10s."""

    @property
    def title(self) -> str:
        """Its name."""
        return self.name or self.endpoint or "default"

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked(data, handler, _findings(data))


def _findings(data: object) -> Iterator[Finding]:
    if "@" in str(under(data, "endpoint")):
        yield ("endpoint",), "holds a user or a key, which would be shown; use `headers`"
    if under(data, "metrics") is False and not under(data, "logs"):
        yield (), "gets nothing: neither metrics nor logs are true"
    if under(data, "protocol") == "grpc" and _path(under(data, "endpoint")):
        yield ("endpoint",), "has a path, which gRPC does not know; expected http://host:port"
    tls = under(data, "tls")
    if under(tls, "key_file") and not under(tls, "cert_file"):
        yield ("tls", "key_file"), "is a key without a certificate; cert_file is missing"


def incoherences(data: object) -> Iterator[Finding]:
    """Where endpoints do not go together with each other, or with the rest of a configuration."""
    entries = under(data, "otlp")
    request_log_is_off = under(under(data, "request_log"), "enabled") is False
    titles: dict[str, int] = {}
    for number, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
        title = str(under(entry, "name") or under(entry, "endpoint") or "default")
        if title in titles:
            first = step_text(("otlp", titles[title]))
            yield (
                ("otlp", number),
                f"expected a name of its own; {quoted(title)} is {first} already",
            )
        titles.setdefault(title, number)
        if under(entry, "logs") is True and request_log_is_off:
            yield (
                ("otlp", number, "logs"),
                "log records are read from the request log, which is off",
            )


def _path(url: object) -> str:
    try:
        return urlsplit(url).path.strip("/") if isinstance(url, str) else ""
    except ValueError:
        return ""  # Another finding says so.
