"""What is shipped is what the program makes, and what people make can differ from it."""

import json
from pathlib import Path, PurePosixPath

import promql_parser
import pytest
import yaml
from click.testing import CliRunner

from exporter.dashboards import Options, files
from exporter.dashboards.commands import dashboards
from tests.dashboards.built import DAY, ON_PROMETHEUS, ROOT
from tests.dashboards.grafana import Dashboard

SHIPPED = Options(attributes=("team",))
"""The attribute is that of the demo, and stands for those of others."""


@pytest.mark.parametrize("path", files(SHIPPED))
def test_shipped_files_are_fresh(path: PurePosixPath) -> None:
    assert (ROOT / path).read_text() == files(SHIPPED)[path], "run `make generate`"


def test_each_file_says_what_made_it() -> None:
    for path, text in files(SHIPPED).items():
        lines = text.splitlines()
        first = lines[1] if path.suffix == ".json" else lines[0]
        assert "Made by `llm-gateway-exporter dashboards build`" in first


def build(out: Path, *options: str) -> str:
    result = CliRunner().invoke(dashboards, ["build", "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    return (out / "grafana/dashboards/analytics.json").read_text()


def test_dashboards_are_fitted_to_a_team(tmp_path: Path) -> None:
    text = build(
        tmp_path,
        *("--datasource", "Mimir", "--attribute", "workspace", "--attribute", "api_key"),
        *("--job-label", "service", "--requests-url", "https://requests.example"),
    )
    variables = {each["name"]: each for each in json.loads(text)["templating"]["list"]}
    assert variables["datasource"]["current"]["value"] == "Mimir"
    assert variables["requests_url"]["query"] == "https://requests.example"
    assert {"attribute_workspace", "attribute_api_key"} <= variables.keys()
    assert "attribute_team" not in variables
    assert 'api_key=~\\"$attribute_api_key\\"' in text
    assert "on (service, instance)" in text
    rules = yaml.safe_load((tmp_path / "rules/dashboards.rules.yaml").read_text())
    assert "by (service, " in rules["groups"][2]["rules"][0]["expr"]


@pytest.mark.parametrize("name", ["model", "provider", "granularity", "job", "status", "time"])
def test_an_attribute_may_be_called_as_something_else_is(tmp_path: Path, name: str) -> None:
    build(tmp_path, "--attribute", name)
    for file in (tmp_path / "grafana/dashboards").glob("*.json"):
        variables = json.loads(file.read_text())["templating"]["list"]
        names = [each["name"] for each in variables]
        titles = [each["label"] for each in variables if each.get("label")]
        assert len(set(names)) == len(names)
        assert len(set(titles)) == len(titles)


def test_a_check_writes_nothing_and_names_what_is_stale(tmp_path: Path) -> None:
    stale = tmp_path / "grafana/dashboards/model.json"
    build(tmp_path)
    stale.write_text("{}")
    result = CliRunner().invoke(dashboards, ["build", "--out", str(tmp_path), "--check"])
    assert result.exit_code == 1
    assert str(stale) in result.output
    assert "analytics" not in result.output
    assert stale.read_text() == "{}"


@pytest.mark.parametrize("name", ON_PROMETHEUS)
def test_reset_proof_dashboards_ask_in_promql_too(tmp_path: Path, name: str) -> None:
    build(tmp_path, "--reset-proof")
    path = tmp_path / f"grafana/dashboards/{name}.json"
    opened = Dashboard.load(path, DAY, one_model="qwen-plus")
    for panel in opened.panels():
        for asked in opened.asked(panel):
            promql_parser.parse(asked.expression)
    assert "sum_over_time" in str(opened.json) or name == "exporter"
