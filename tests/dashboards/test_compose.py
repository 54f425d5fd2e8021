"""The compose stack hangs together: what it mounts is there, and is what the programs take."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporter
from exporter.daemon import DRAIN_MARGIN_S, END_MARGIN_S, STOP_LIMIT_S
from exporter.quantities import Duration
from exporter.sources.proxy.config import ProxyConfig
from tests.daemon import Daemon
from tests.dashboards.built import NAMES, ROOT
from tests.waiting import wait_until

STACK = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
PROVISIONING = ROOT / "grafana" / "provisioning"


def mounts(service: str) -> dict[str, str]:
    """Sources by the path that they have inside."""
    found = {}
    for volume in SERVICES[service]["volumes"]:
        source, inside, *_ = volume.split(":")
        found[inside] = source
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_everything_that_is_mounted_is_there(service: str) -> None:
    for source in mounts(service).values():
        assert (ROOT / source).exists() or source in STACK["volumes"], source


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_is_reachable_from_another_machine(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service]["ports"])


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_is_of_a_version(service: str) -> None:
    assert re.fullmatch(r"\S+:v?\d+\.\d+\.\d+", SERVICES[service]["image"])


def test_every_volume_is_named_and_used() -> None:
    named = {source for service in SERVICES for source in mounts(service).values()}
    assert {source for source in named if not source.startswith("./")} == set(STACK["volumes"])


def test_grafana_shows_everything_and_lets_nobody_change_it() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"


def test_the_exporter_runs_what_its_image_has(tmp_path: Path) -> None:
    service = SERVICES["exporter"]
    assert service["image"] == f"llm-gateway-exporter:{exporter.__version__}"
    demo, *flags = service["command"]
    (state,) = [inside for inside, source in mounts("exporter").items() if source == "exporter"]
    assert f"--dir={state}" in flags
    here = [flag.replace(state, str(tmp_path / "state")) for flag in flags]
    mine = [flag for flag in here if not flag.startswith("--web.listen-address")]
    with Daemon(None, command=demo, flags=mine, log=tmp_path / "log") as daemon:
        daemon.wait_ready()
        wait_until(lambda: daemon.total("llm_gateway_requests_total") > 0, what="traffic")


def test_the_exporter_has_the_time_to_let_a_proxys_requests_end() -> None:
    by_hand = re.search(r"--stop-timeout (\d+)", (ROOT / "docs/install/container.md").read_text())
    assert by_hand is not None
    drain_s = ProxyConfig.model_fields["drain_timeout"].default
    for stop_s in (Duration(SERVICES["exporter"]["stop_grace_period"]), float(by_hand[1])):
        assert stop_s > drain_s + DRAIN_MARGIN_S + STOP_LIMIT_S + END_MARGIN_S


def test_prometheus_takes_its_configuration_and_the_rules(promtool: Path, tmp_path: Path) -> None:
    text = (ROOT / mounts("prometheus")["/etc/prometheus/prometheus.yml"]).read_text()
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/etc/prometheus/rules", str(ROOT / "rules")))
    checked = subprocess.run(
        [promtool, "check", "config", config], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "dashboards.rules.yaml" in checked.stdout


def test_alertmanager_takes_its_configuration(amtool: Path) -> None:
    config = ROOT / mounts("alertmanager")["/etc/alertmanager/alertmanager.yml"]
    subprocess.run([amtool, "check-config", config], check=True, capture_output=True)


def test_grafana_opens_on_the_analytics_dashboard() -> None:
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    directory, _, name = home.rpartition("/")
    shown = json.loads((ROOT / mounts("grafana")[directory] / name).read_text())
    assert shown["title"] == "LLM gateway / Analytics"


def test_the_provider_finds_every_dashboard() -> None:
    provider = yaml.safe_load((PROVISIONING / "dashboards/llm-gateway.yaml").read_text())
    (only,) = provider["providers"]
    directory = ROOT / mounts("grafana")[only["options"]["path"]]
    assert {path.stem for path in directory.glob("*.json")} == set(NAMES)


def test_data_sources_know_their_addresses_and_scrape_interval() -> None:
    text = (PROVISIONING / "datasources/llm-gateway.yaml").read_text()
    sources = {each["type"]: each for each in yaml.safe_load(text)["datasources"]}
    environment = SERVICES["grafana"]["environment"]
    for source in sources.values():
        assert source["url"].removeprefix("$") in environment
    scraping = yaml.safe_load((ROOT / "deploy/compose/prometheus.yml").read_text())
    settings = sources["prometheus"]["jsonData"]
    assert settings["timeInterval"] == scraping["global"]["scrape_interval"]
    (exemplars,) = settings["exemplarTraceIdDestinations"]
    assert exemplars["name"] == "request_id"
    assert exemplars["url"] == "$REQUESTS_URL/requests?id=$${__value.raw}"
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]
