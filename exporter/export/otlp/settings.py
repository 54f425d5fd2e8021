"""Where telemetry goes: the file's entry, then the standard environment variables, then defaults.

Variables: https://opentelemetry.io/docs/specs/otel/protocol/exporter/. Those of one signal
(`OTEL_EXPORTER_OTLP_METRICS_…`) win over those of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import unquote, urlsplit

from exporter.documents import Secret
from exporter.errors import ExporterError
from exporter.export.otlp.config import OtlpConfig

Signal = Literal["metrics", "logs"]
Protocol = Literal["grpc", "http/protobuf"]

_DEFAULT_ENDPOINTS = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}
_DEFAULT_INTERVAL_S = 15.0
_DEFAULT_TIMEOUT_S = 10.0

_PROTOCOLS: Mapping[str, Protocol] = {"grpc": "grpc", "http/protobuf": "http/protobuf"}
_COMPRESSIONS = {"none": False, "gzip": True}
_TEMPORALITIES = {"cumulative": False, "delta": True, "lowmemory": True}
_AGGREGATIONS = {"explicit_bucket_histogram": False, "base2_exponential_bucket_histogram": True}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one signal goes, and how.

    Attributes:
        name: what metrics call it, and what its cursor is kept under.
        url: of gRPC, the server; of HTTP, all of it.
        secrets: headers whose values are read again for each request; a file may be replaced.
        ca_file: certificates to trust instead of the system's.
        key_file: of the certificate in `cert_file`; None if it stands there, too.
        gzip: whether requests are compressed.
    """

    name: str
    signal: Signal
    protocol: Protocol
    url: str
    headers: Mapping[str, str]
    secrets: Mapping[str, Secret]
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    gzip: bool
    timeout_s: float

    @property
    def is_encrypted(self) -> bool:
        """Whether it is reached by TLS."""
        return self.url.startswith("https://")

    def all_headers(self) -> dict[str, str]:
        """Headers of a request sent now, names in lower case.

        Raises:
            SecretError: one cannot be read.
        """
        read = {name.lower(): secret.read() for name, secret in self.secrets.items()}
        return {**self.headers, **read}


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """What metrics are sent as, and how often."""

    interval_s: float
    is_delta: bool
    is_exponential: bool


def destination(config: OtlpConfig, signal: Signal, environ: Mapping[str, str]) -> Destination:
    """Where an entry sends a signal.

    Raises:
        ExporterError: an environment variable cannot be understood, or is missing.
    """
    variables = _Variables(environ, signal)
    protocol = config.protocol or variables.choice("PROTOCOL", _PROTOCOLS) or "http/protobuf"
    tls = config.tls
    cert_file = (tls and tls.cert_file) or variables.path("CLIENT_CERTIFICATE")
    key_file = (tls and tls.key_file) or variables.path("CLIENT_KEY")
    if key_file and not cert_file:
        raise ExporterError(
            f"OTLP endpoint {config.title}: {key_file} is a key without a certificate; "
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE or tls.cert_file is missing"
        )
    return Destination(
        name=config.title,
        signal=signal,
        protocol=protocol,
        url=_url(config, signal, protocol, variables),
        headers=variables.headers(),
        secrets=config.headers,
        ca_file=(tls and tls.ca_file) or variables.path("CERTIFICATE"),
        cert_file=cert_file,
        key_file=key_file,
        gzip=(
            config.compression == "gzip"
            if config.compression
            else bool(variables.choice("COMPRESSION", _COMPRESSIONS))
        ),
        timeout_s=config.timeout or variables.seconds("TIMEOUT", _DEFAULT_TIMEOUT_S),
    )


def metric_settings(config: OtlpConfig, environ: Mapping[str, str]) -> MetricSettings:
    """How an entry sends metrics.

    Raises:
        ExporterError: an environment variable cannot be understood.
    """
    variables = _Variables(environ, "metrics")
    interval_s: float | None = config.interval
    if interval_s is None:
        interval_s = variables.seconds_of("OTEL_METRIC_EXPORT_INTERVAL") or _DEFAULT_INTERVAL_S
    return MetricSettings(
        interval_s=interval_s,
        is_delta=(
            config.temporality == "delta"
            if config.temporality
            else bool(variables.choice("TEMPORALITY_PREFERENCE", _TEMPORALITIES))
        ),
        is_exponential=(
            config.histograms == "exponential"
            if config.histograms
            else bool(variables.choice("DEFAULT_HISTOGRAM_AGGREGATION", _AGGREGATIONS))
        ),
    )


def _url(config: OtlpConfig, signal: Signal, protocol: Protocol, variables: "_Variables") -> str:
    """HTTP's base gets the signal's path, but a variable for one signal is taken as it is."""
    base = config.endpoint
    if base is None and (own := variables.own("ENDPOINT")):
        return _with_scheme(own, variables)
    base = base or variables.get("ENDPOINT") or _DEFAULT_ENDPOINTS[protocol]
    base = _with_scheme(base, variables)
    return base if protocol == "grpc" else f"{base.rstrip('/')}/v1/{signal}"


def _with_scheme(endpoint: str, variables: "_Variables") -> str:
    if "://" not in endpoint:
        is_plain = variables.choice("INSECURE", {"true": True, "false": False})
        endpoint = f"{'http' if is_plain else 'https'}://{endpoint}"
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise ExporterError(f"OTLP endpoint {endpoint}: expected http:// or https://")
    return endpoint


@dataclass(frozen=True, slots=True)
class _Variables:
    """`OTEL_EXPORTER_OTLP_*` for a signal; an empty value counts as none."""

    environ: Mapping[str, str]
    signal: Signal

    def own(self, name: str) -> str | None:
        """The variable of this signal only."""
        return self.environ.get(self._own_name(name)) or None

    def _own_name(self, name: str) -> str:
        return f"OTEL_EXPORTER_OTLP_{self.signal.upper()}_{name}"

    def get(self, name: str) -> str | None:
        """The variable of this signal, else that of all."""
        return self.own(name) or self.environ.get(f"OTEL_EXPORTER_OTLP_{name}") or None

    def path(self, name: str) -> Path | None:
        value = self.get(name)
        return Path(value) if value else None

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        value = self.get(name)
        if value is None:
            return None
        if value.strip().lower() not in choices:
            allowed = ", ".join(choices)
            raise ExporterError(
                f"environment variable {self._own_name(name)} (or that of all signals): "
                f'expected one of {allowed}; found "{value}"'
            )
        return choices[value.strip().lower()]

    def seconds(self, name: str, default: float) -> float:
        for variable in (self._own_name(name), f"OTEL_EXPORTER_OTLP_{name}"):
            if (found := self.seconds_of(variable)) is not None:
                return found
        return default

    def seconds_of(self, variable: str) -> float | None:
        """The specification gives durations in milliseconds."""
        value = self.environ.get(variable)
        if not value:
            return None
        if not value.strip().isdecimal() or int(value) == 0:
            raise ExporterError(
                f'environment variable {variable}: expected milliseconds; found "{value}"'
            )
        return int(value) / 1000

    def headers(self) -> dict[str, str]:
        """`a=b,c=d`, values percent-encoded, as W3C Baggage has them."""
        found = {}
        for pair in (self.get("HEADERS") or "").split(","):
            name, equals, value = pair.partition("=")
            if pair.strip() and not (equals and name.strip()):
                raise ExporterError(
                    f"environment variable {self._own_name('HEADERS')} (or that of all signals): "
                    "expected name=value, with commas between"
                )
            if equals:
                found[name.strip().lower()] = unquote(value.strip())
        return found
