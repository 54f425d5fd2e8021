"""Other monitoring's alerts as definitions: what is carried, what is not and why.

Beside each source in `imports/` stand the definitions and the report that were judged right.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from exporter.alerting.commands import alerts
from exporter.alerting.definitions import load_definitions
from exporter.alerting.importers import KINDS
from tests.alerting.rulefiles import checked, written

SOURCES = Path(__file__).parent / "imports"
HINTS = {
    "cloudmonitor2": ["--duration-unit", "ms"],
    "cloudmonitor1": ["--metric", "acs_example/Latency=latency_average", "--duration-unit", "ms"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_becomes_these_definitions_and_this_report(kind: str) -> None:
    (source,) = (file for file in SOURCES.glob(f"{kind}.*") if file.suffix in (".json", ".yaml"))
    result = CliRunner().invoke(alerts, ["import", kind, str(source), *HINTS.get(kind, [])])
    assert result.exit_code == 0, result.output
    assert result.stdout == (SOURCES / f"{kind}.definitions").read_text()
    assert result.stderr == (SOURCES / f"{kind}.report").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_imported_becomes_rules_whose_tests_pass(
    kind: str, promtool: Path, tmp_path: Path
) -> None:
    definitions = tmp_path / f"{kind}.yaml"
    definitions.write_text((SOURCES / f"{kind}.definitions").read_text())
    checked(written(load_definitions(definitions), tmp_path / kind), promtool)


def test_durations_without_a_known_unit_are_left_to_a_person() -> None:
    source = str(SOURCES / "cloudmonitor2.json")
    result = CliRunner().invoke(alerts, ["import", "cloudmonitor2", source])
    assert "slow first token: expr: the unit of durations is not documented" in result.stderr
    assert "ttft" not in result.stdout


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "rules.json"
    broken.write_text("{")
    result = CliRunner().invoke(alerts, ["import", "azure", str(broken)])
    assert result.exit_code == 1
    assert str(result.exception).startswith(f"{broken}: cannot be read as azure: ")


@pytest.mark.parametrize("kind", ["sloth", "openslo"])
def test_a_small_file_that_means_billions_of_values_is_refused(kind: str, tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 20)]
    bomb = tmp_path / "bomb.yaml"
    names = "version: prometheus/v1\nslos: [{name: *l19}]\n"
    bomb.write_text("\n".join(["---", "# empty", "---", "l0: &l0 [1]", *levels, names]))
    result = CliRunner().invoke(alerts, ["import", kind, str(bomb)])
    assert str(result.exception).startswith(f"{bomb}:4: cannot be read as {kind}: more than")


def imported_from_azure(file: Path, windows: Mapping[str, str]) -> Result:
    """What is made of rules with these names and windows."""
    criterion = {
        "metricName": "AzureOpenAIRequests", "timeAggregation": "Total",
        "operator": "GreaterThan", "threshold": 9,
    }  # fmt: skip
    rules = [
        {"name": name, "windowSize": window, "criteria": {"allOf": [criterion]}}
        for name, window in windows.items()
    ]
    file.write_text(json.dumps(rules))
    result = CliRunner().invoke(alerts, ["import", "azure", str(file)])
    assert result.exit_code == 0, result.exception
    return result


@pytest.mark.parametrize(
    ("titles", "names"),
    [
        (("Slow", "Slow-NoData"), ["Slow", "SlowNoData2"]),
        (("Slow-NoData", "Slow"), ["SlowNoData", "Slow2"]),
        (("Slow-NoData", "slow", "Slow 2"), ["SlowNoData", "Slow2", "Slow22"]),
    ],
)
def test_no_alert_has_the_name_of_another_or_of_its_missing_data(
    titles: tuple[str, ...], names: list[str], tmp_path: Path
) -> None:
    result = imported_from_azure(tmp_path / "rules.json", dict.fromkeys(titles, "PT5M"))
    assert [alert["name"] for alert in yaml.safe_load(result.stdout)["alerts"]] == names


def test_a_window_that_is_no_duration_leaves_its_alert_to_a_person_and_no_other(
    tmp_path: Path,
) -> None:
    windows = {"broken": "five minutes", "whole": "PT5M"}
    result = imported_from_azure(tmp_path / "rules.json", windows)
    assert "broken: criteria: 'five minutes' is no duration; by hand" in result.stderr
    assert "name: Whole" in result.stdout
    assert "Broken" not in result.stdout
