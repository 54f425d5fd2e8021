"""The rules that are shipped: fresh, sound, and each alert tested and explained."""

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from exporter.alerting.commands import alerts
from exporter.alerting.definitions import Definitions, load_definitions
from exporter.alerting.texts import page
from tests.alerting.rulefiles import ROOT, checked, rules_in, told, written
from tests.debian import unpacked

DEFINITIONS = ROOT / "rules" / "alerts.yaml"
GENERATED = ROOT / "rules" / "generated"
EXAMPLE = ROOT / "rules" / "alerts.example.yaml"


def test_what_is_generated_is_fresh() -> None:
    checked_only = CliRunner().invoke(alerts, ["build", str(DEFINITIONS), "--check"])
    assert (checked_only.exit_code, checked_only.output) == (0, "")


def test_a_stale_file_is_named_and_then_made_anew(tmp_path: Path) -> None:
    shutil.copytree(GENERATED, tmp_path / "generated")
    shutil.copy(DEFINITIONS, tmp_path)
    definitions, stale = tmp_path / "alerts.yaml", tmp_path / "generated" / "alertmanager.yaml"
    text = stale.read_text()
    stale.write_text(text + "# edited\n")
    refused = CliRunner().invoke(alerts, ["build", str(definitions), "--check"])
    assert refused.exit_code == 1
    assert refused.output == f"{stale}: stale; run `alerts build`\n"
    assert CliRunner().invoke(alerts, ["build", str(definitions)]).exit_code == 0
    assert stale.read_text() == text


def test_a_build_removes_its_own_files_only(tmp_path: Path) -> None:
    shutil.copy(DEFINITIONS, tmp_path)
    out = tmp_path / "prometheus"
    out.mkdir()
    (out / "mine.yaml").write_bytes(b"groups: [] # in Latin-1: caf\xe9\n")
    CliRunner().invoke(alerts, ["build", str(tmp_path / "alerts.yaml"), "--out", str(out)])
    text = DEFINITIONS.read_text().replace("name: SeriesFolded", "name: Folded")
    (tmp_path / "alerts.yaml").write_text(text)
    CliRunner().invoke(alerts, ["build", str(tmp_path / "alerts.yaml"), "--out", str(out)])
    assert (out / "mine.yaml").exists()
    assert (out / "tests" / "Folded.yaml").exists()
    assert not (out / "tests" / "SeriesFolded.yaml").exists()


def test_promtool_accepts_the_rules_and_their_tests_pass(promtool: Path) -> None:
    checked(GENERATED, promtool)


def test_the_example_becomes_rules_whose_tests_pass(promtool: Path, tmp_path: Path) -> None:
    checked(written(load_definitions(EXAMPLE), tmp_path), promtool)


@pytest.mark.parametrize("definitions", [DEFINITIONS, EXAMPLE], ids=["shipped", "example"])
def test_amtool_accepts_the_configuration(definitions: Path, amtool: Path, tmp_path: Path) -> None:
    made = written(load_definitions(definitions), tmp_path)
    assert "SUCCESS" in told(amtool, "check-config", made / "alertmanager.yaml")


def test_each_rule_that_is_tested_is_one_that_is_shipped() -> None:
    shipped = [
        rule
        for file in (GENERATED / "prometheus").glob("*.yaml")
        for rule in rules_in(file.read_text())
    ]
    tested = [
        rule
        for file in (GENERATED / "tests" / "rules").glob("*.yaml")
        for rule in rules_in(file.read_text())
    ]
    assert all(rule in shipped for rule in tested)
    assert all(rule in tested for rule in shipped)


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    fired = {
        check["alertname"]
        for file in (GENERATED / "tests").glob("*.yaml")
        for test in yaml.safe_load(file.read_text())["tests"]
        for check in test["alert_rule_test"]
        if check["exp_alerts"]
    }
    names = {
        rule["alert"]
        for file in (GENERATED / "prometheus").glob("*.yaml")
        for rule in rules_in(file.read_text())
        if "alert" in rule
    }
    assert names == fired


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    definitions = load_definitions(DEFINITIONS)
    named = {page(each.name) for each in (*definitions.alerts, *definitions.slos)}
    pages = {file.stem for file in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == named


def test_a_newer_amtool_accepts_receivers_for_microsoft_teams(tmp_path: Path) -> None:
    teams = {"teams": {"url_file": "/run/teams"}}
    limits = {"metric": "error_rate", "severities": {"info": "5%"}}
    definitions = Definitions.model_validate(
        {
            "notifications": {"groups": [{"name": "team", "receivers": [teams]}]},
            "alerts": [{"name": "First", **limits, "notify": ["team"]}],
        }
    )
    made = written(definitions, tmp_path)
    assert "Alertmanager 0.28" in (made / "alertmanager.yaml").read_text()
    assert "SUCCESS" in told(unpacked("amtool"), "check-config", made / "alertmanager.yaml")


def test_vmalert_accepts_the_rules() -> None:
    for file in sorted((GENERATED / "prometheus").glob("*.yaml")):
        told(unpacked("vmalert"), "-dryRun", f"-rule={file}")


def test_groups_with_names_like_those_of_receivers_are_kept_apart(
    amtool: Path, tmp_path: Path
) -> None:
    critical = {"webhook": {"url": "https://pager.example"}, "severities": ["critical"]}
    groups = [{"name": name, "receivers": [critical]} for name in ("oncall", "oncall-critical")]
    definitions = Definitions.model_validate({"notifications": {"groups": groups}})
    made = written(definitions, tmp_path)
    assert "SUCCESS" in told(amtool, "check-config", made / "alertmanager.yaml")
