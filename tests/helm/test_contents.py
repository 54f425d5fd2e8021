"""What the chart's objects hold is what the programs they are for take."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.alerting.outputs import files_of
from exporter.config import load_config
from tests.alerting.rulefiles import one_alert
from tests.helm.chart import ROOT, WAYS, Object, objects, only, render, rendered, values_of

DEFAULT = {"sources": [{"name": "litellm"}]}


@pytest.mark.parametrize("way", [way for way in WAYS if way != "mirror"])
def test_the_configuration_is_valid(way: str, tmp_path: Path) -> None:
    (text,) = [
        found["data"]["config.yaml"]
        for found in objects(rendered(way))
        if "config.yaml" in found.get("data", {})
    ]
    config_file = tmp_path / "config.yaml"
    config_file.write_text(text)
    config = load_config(config_file)
    assert [source.name for source in config.sources] == [
        source["name"] for source in values_of(way).get("config", DEFAULT)["sources"]
    ]


@pytest.mark.parametrize("way", ["kube-prometheus-stack", "secured"])
def test_the_rules_are_the_shipped_ones_and_promtool_takes_them(
    way: str, promtool: Path, tmp_path: Path
) -> None:
    values = values_of(way)["prometheusRule"]
    disabled = values.get("disabledAlerts", [])
    groups = only("PrometheusRule", objects(rendered(way)))["spec"]["groups"]
    let_promtool_check(groups, promtool, tmp_path)

    found = {rule_id(rule): rule for group in groups for rule in group["rules"]}
    shipped = shipped_rules()
    left_out = {key for key, rule in shipped.items() if alert_id(rule) in disabled}
    assert len(left_out) >= len(disabled)
    assert set(found) == set(shipped) - left_out
    for key, rule in found.items():
        assert rule["expr"] == shipped[key]["expr"]
        assert rule.get("for") == shipped[key].get("for")
        if "alert" in rule:
            summary = rule["annotations"]["summary"]
            assert summary == shipped[key]["annotations"]["summary"]
            assert re.match(values.get("runbookUrl", "docs"), rule["annotations"]["runbook_url"])


def test_groups_of_ones_own_stand_where_the_shipped_ones_of_their_names_would(
    promtool: Path, tmp_path: Path
) -> None:
    (own,) = yaml.safe_load(files_of(one_alert())["prometheus/llm-gateway-traffic.yaml"])["groups"]
    found = objects(render({"prometheusRule": {"enabled": True, "groups": [own]}}))
    groups = only("PrometheusRule", found)["spec"]["groups"]
    let_promtool_check(groups, promtool, tmp_path)
    assert [group for group in groups if group["name"] == own["name"]] == [own]
    assert {group["name"] for group in groups} == {group["name"] for group in shipped_groups()}


def test_alerts_bear_the_labels_that_teams_and_the_operator_route_by() -> None:
    def labels(way: str) -> list[Mapping[str, str]]:
        groups = only("PrometheusRule", objects(rendered(way)))["spec"]["groups"]
        return [rule["labels"] for group in groups for rule in group["rules"] if "alert" in rule]

    for alert in labels("kube-prometheus-stack"):
        assert (alert["team"], alert.get("namespace")) == ("llm-platform", None)
    for alert in labels("secured"):
        assert alert["namespace"] == "llm"


def test_alertmanager_takes_the_routes_as_the_operator_gives_them(
    amtool: Path, tmp_path: Path
) -> None:
    spec = only("AlertmanagerConfig", objects(rendered("secured")))["spec"]
    config = tmp_path / "alertmanager.yml"
    config.write_text(yaml.safe_dump(as_alertmanager_has_it(spec)))
    subprocess.run([amtool, "check-config", config], check=True, capture_output=True)

    def told(severity: str) -> str:
        labels = ["alert_id=ErrorRate", f"severity={severity}"]
        command = [str(amtool), "config", "routes", "test", f"--config.file={config}", *labels]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert (told("critical"), told("warning")) == ("oncall", "platform")
    generated = yaml.safe_load((ROOT / "rules" / "generated" / "alertmanager.yaml").read_text())
    assert as_alertmanager_has_it(spec)["inhibit_rules"] == generated["inhibit_rules"]


def test_without_receivers_alertmanagers_part_is_valid_too(amtool: Path, tmp_path: Path) -> None:
    found = objects(render({"alertmanagerConfig": {"enabled": True}}))
    config = tmp_path / "alertmanager.yml"
    spec = only("AlertmanagerConfig", found)["spec"]
    config.write_text(yaml.safe_dump(as_alertmanager_has_it(spec)))
    subprocess.run([amtool, "check-config", config], check=True, capture_output=True)


def test_the_dashboards_are_the_generated_ones_and_small_enough_for_kubernetes() -> None:
    maps = {
        name: text
        for found in objects(rendered("kube-prometheus-stack"))
        if found["metadata"]["labels"].get("grafana_dashboard") == "1"
        for name, text in found["data"].items()
    }
    generated = {path.stem: path for path in (ROOT / "grafana" / "dashboards").glob("*.json")}
    assert set(maps) == {f"llm-gateway-{name}.json" for name in generated}
    for name, path in generated.items():
        text = maps[f"llm-gateway-{name}.json"]
        assert json.loads(text) == json.loads(path.read_text())
        # What `kubectl apply` writes of an object into an annotation of it.
        assert len(json.dumps(text)) < 262_144


def let_promtool_check(groups: list[Object], promtool: Path, directory: Path) -> None:
    """Raise for groups that Prometheus would not load together."""
    rules = directory / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": groups}))
    subprocess.run([promtool, "check", "rules", rules], check=True, capture_output=True)


def rule_id(rule: Mapping[str, Any]) -> tuple[str, str]:
    """A rule's name; an alert has one rule for each severity."""
    return rule.get("alert") or rule["record"], rule.get("labels", {}).get("severity", "")


def alert_id(rule: Mapping[str, Any]) -> str:
    """The definition that an alert is made of; empty for a record."""
    return str(rule.get("labels", {}).get("alert_id", ""))


def shipped_rules() -> dict[tuple[str, str], Mapping[str, Any]]:
    """The rules in rules/, which other tests are about."""
    return {rule_id(rule): rule for group in shipped_groups() for rule in group["rules"]}


def shipped_groups() -> Iterator[Mapping[str, Any]]:
    """The groups in rules/."""
    generated = ROOT / "rules" / "generated" / "prometheus"
    for file in [ROOT / "rules" / "dashboards.rules.yaml", *generated.glob("*.yaml")]:
        yield from yaml.safe_load(file.read_text())["groups"]


def as_alertmanager_has_it(spec: Any) -> Any:
    """An AlertmanagerConfig's part as the operator writes it into alertmanager.yml."""
    if isinstance(spec, list):
        return [as_alertmanager_has_it(each) for each in spec]
    if not isinstance(spec, dict):
        return spec
    plain: dict[str, Any] = {}
    for key, value in spec.items():
        if key in ("matchers", "sourceMatch", "targetMatch"):
            name = key.replace("Match", "_matchers")
            plain[name] = [f'{m["name"]}{m["matchType"]}"{m["value"]}"' for m in value]
        elif (
            isinstance(value, dict) and "key" in value
        ):  # A secret, which becomes a file's name here.
            name = {"apiURL": "api_url_file", "routingKey": "routing_key_file"}[key]
            plain[name] = f"/secrets/{value['key']}"
        else:
            name = {"inhibitRules": "inhibit_rules"}.get(key) or re.sub(
                "[A-Z]", lambda capital: f"_{capital[0].lower()}", key
            )
            plain[name] = as_alertmanager_has_it(value)
    return plain
