"""The web-config file as Prometheus's own tools read it, and a real scrape through it."""

import json
import subprocess
from pathlib import Path

import bcrypt
import pytest
import yaml

from exporter.web.security import read_policy
from tests.conftest import StartPrometheus
from tests.waiting import wait_until
from tests.web.certificates import Authority
from tests.web.serving import FixedExposition, Serve


@pytest.fixture
def web_config(tmp_path: Path) -> Path:
    """A file that uses all that the format has and this program takes."""
    authority = Authority(tmp_path)
    authority.write_server()
    authority.write_ca()
    authority.write_client("prometheus.example")
    path = tmp_path / "web.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "tls_server_config": {
                    "cert_file": "server.pem",
                    "key_file": "server.key",
                    "client_auth_type": "RequireAndVerifyClientCert",
                    "client_ca_file": "ca.pem",
                    "min_version": "TLS12",
                    "max_version": "TLS13",
                    "cipher_suites": ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"],
                    "prefer_server_cipher_suites": True,
                    "curve_preferences": ["X25519"],
                },
                "http_server_config": {
                    "http2": True,
                    "headers": {
                        "Content-Security-Policy": "frame-ancestors 'none'",
                        "X-Frame-Options": "deny",
                        "X-Content-Type-Options": "nosniff",
                        "X-XSS-Protection": "0",
                        "Strict-Transport-Security": "max-age=3600",
                    },
                },
                "basic_auth_users": {
                    "prometheus": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
                },
            }
        )
    )
    return path


def test_a_file_that_promtool_finds_valid_is_valid_here(web_config: Path, promtool: Path) -> None:
    checked = subprocess.run(
        [promtool, "check", "web-config", web_config], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert read_policy(web_config).users.keys() == {"prometheus"}


@pytest.mark.parametrize(("password", "up"), [("secret", 1.0), ("guess", 0.0)])
def test_prometheus_scrapes_with_its_certificate_and_password(
    serve: Serve, web_config: Path, start_prometheus: StartPrometheus, password: str, up: float
) -> None:
    exposition = FixedExposition()
    exposition.openmetrics = b"# TYPE requests counter\nrequests_total 42\n# EOF\n"
    served = serve(web_config=web_config, exposition=exposition)
    directory = web_config.parent
    scrape = {
        "job_name": "exporter",
        "scheme": "https",
        "scrape_interval": "200ms",
        "scrape_timeout": "200ms",
        "tls_config": {
            "ca_file": f"{directory}/ca.pem",
            "cert_file": f"{directory}/client.pem",
            "key_file": f"{directory}/client.pem",
        },
        "basic_auth": {"username": "prometheus", "password": password},
        "static_configs": [{"targets": [f"127.0.0.1:{served.port}"]}],
    }
    prometheus = start_prometheus(json.dumps({"scrape_configs": [scrape]}))
    wait_until(lambda: prometheus.query("up"), limit_s=30, what="the first scrape")
    assert prometheus.value("up") == up
    assert prometheus.value("requests_total") == (42 if up else None)
