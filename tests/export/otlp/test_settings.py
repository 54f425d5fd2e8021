"""What the standard variables say, and that the file wins over them."""

from pathlib import Path

import pytest

from exporter.errors import ExporterError
from exporter.export.otlp.config import OtlpConfig, OtlpTlsConfig
from exporter.export.otlp.settings import Signal, destination, metric_settings
from exporter.quantities import Duration

PREFIX = "OTEL_EXPORTER_OTLP_"


@pytest.mark.parametrize(
    ("variables", "signal", "url"),
    [
        ({}, "metrics", "http://localhost:4318/v1/metrics"),
        ({"PROTOCOL": "grpc"}, "logs", "http://localhost:4317"),
        ({"ENDPOINT": "https://all:1/base/"}, "logs", "https://all:1/base/v1/logs"),
        ({"ENDPOINT": "http://all:1", "PROTOCOL": "grpc"}, "logs", "http://all:1"),
        ({"METRICS_ENDPOINT": "http://own:1/as/it/is"}, "metrics", "http://own:1/as/it/is"),
        ({"METRICS_ENDPOINT": "http://own:1", "ENDPOINT": "http://a"}, "logs", "http://a/v1/logs"),
        ({"ENDPOINT": "all:4317", "PROTOCOL": "grpc"}, "logs", "https://all:4317"),
        (
            {"ENDPOINT": "all:4317", "PROTOCOL": "grpc", "INSECURE": "true"},
            "logs",
            "http://all:4317",
        ),
        ({"ENDPOINT": ""}, "metrics", "http://localhost:4318/v1/metrics"),
    ],
)
def test_where_a_signal_goes_by_the_variables(
    variables: dict[str, str], signal: Signal, url: str
) -> None:
    environ = {PREFIX + name: value for name, value in variables.items()}
    assert destination(OtlpConfig(), signal, environ).url == url


def test_every_variable_is_honoured() -> None:
    environ = {
        PREFIX + "PROTOCOL": "grpc",
        PREFIX + "COMPRESSION": "gzip",
        PREFIX + "TIMEOUT": "2500",
        PREFIX + "METRICS_TIMEOUT": "500",
        PREFIX + "HEADERS": "Api-Key=a%20b, x=1",
        PREFIX + "CERTIFICATE": "/ca.pem",
        PREFIX + "CLIENT_CERTIFICATE": "/cert.pem",
        PREFIX + "CLIENT_KEY": "/key.pem",
        PREFIX + "METRICS_TEMPORALITY_PREFERENCE": "delta",
        PREFIX + "METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
        "OTEL_METRIC_EXPORT_INTERVAL": "30000",
    }
    to = destination(OtlpConfig(), "metrics", environ)
    assert (to.protocol, to.gzip, to.timeout_s) == ("grpc", True, 0.5)
    assert destination(OtlpConfig(), "logs", environ).timeout_s == 2.5
    assert to.all_headers() == {"api-key": "a b", "x": "1"}
    assert (to.ca_file, to.cert_file, to.key_file) == tuple(
        map(Path, ("/ca.pem", "/cert.pem", "/key.pem"))
    )
    settings = metric_settings(OtlpConfig(), environ)
    assert (settings.interval_s, settings.is_delta, settings.is_exponential) == (30.0, True, True)


def test_the_file_wins(tmp_path: Path) -> None:
    environ = {
        PREFIX + "METRICS_ENDPOINT": "https://variable",
        PREFIX + "PROTOCOL": "grpc",
        PREFIX + "COMPRESSION": "gzip",
        PREFIX + "TIMEOUT": "2500",
        PREFIX + "HEADERS": "api-key=variable,other=kept",
        PREFIX + "CERTIFICATE": "/variable.pem",
        PREFIX + "METRICS_TEMPORALITY_PREFERENCE": "delta",
        PREFIX + "METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
        "OTEL_METRIC_EXPORT_INTERVAL": "30000",
    }
    key = tmp_path / "key"
    key.write_text("file")
    written = OtlpConfig.model_validate(
        {
            "endpoint": "http://file",
            "protocol": "http/protobuf",
            "compression": "none",
            "timeout": Duration("3s"),
            "interval": Duration("20s"),
            "temporality": "cumulative",
            "histograms": "explicit",
            "headers": {"API-Key": {"file": key}},
            "tls": {"ca_file": "/file.pem"},
        }
    )
    to = destination(written, "metrics", environ)
    assert (to.url, to.protocol) == ("http://file/v1/metrics", "http/protobuf")
    assert (to.gzip, to.timeout_s, to.ca_file) == (False, 3.0, Path("/file.pem"))
    assert to.all_headers() == {"api-key": "file", "other": "kept"}
    settings = metric_settings(written, environ)
    assert (settings.interval_s, settings.is_delta, settings.is_exponential) == (20, False, False)


def test_without_anything_the_defaults_hold() -> None:
    to, settings = destination(OtlpConfig(), "metrics", {}), metric_settings(OtlpConfig(), {})
    assert (to.name, to.gzip, to.timeout_s, to.all_headers()) == ("default", False, 10.0, {})
    assert (settings.interval_s, settings.is_delta, settings.is_exponential) == (15, False, False)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PROTOCOL", "http/json", 'expected one of grpc, http/protobuf; found "http/json"'),
        ("TIMEOUT", "10s", 'expected milliseconds; found "10s"'),
        ("HEADERS", "just-a-key", "expected name=value"),
        ("ENDPOINT", "unix:///run/otel.sock", r"expected http:// or https://"),
    ],
)
def test_a_variable_that_cannot_be_understood_is_refused(
    name: str, value: str, message: str
) -> None:
    with pytest.raises(ExporterError, match=message) as caught:
        destination(OtlpConfig(), "metrics", {PREFIX + name: value})
    assert "just-a-key" not in str(caught.value)


def test_a_key_without_a_certificate_is_refused() -> None:
    environ = {PREFIX + "CLIENT_KEY": "/key.pem"}
    with pytest.raises(ExporterError, match=r"/key\.pem is a key without a certificate"):
        destination(OtlpConfig(), "metrics", environ)


def test_every_key_is_described() -> None:
    for section in (OtlpConfig, OtlpTlsConfig):
        assert [n for n, field in section.model_fields.items() if not field.description] == []
