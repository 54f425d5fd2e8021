"""Mistakes in definitions are told with their line, what is allowed, and the nearest right name."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from exporter.alerting.alert import Alert
from exporter.alerting.commands import alerts
from exporter.alerting.definitions import Definitions, Links, load_definitions
from exporter.alerting.metrics import METRICS
from exporter.alerting.notifications import Hours, Notifications
from exporter.alerting.slo import Slo
from exporter.alerting.watched import Scope
from exporter.errors import DocumentError
from tests.alerting.rulefiles import ROOT

ALERT = """alerts:
  - name: Watched
    metric: error_rate
    severities: {warning: 5%}
"""
MISTAKES = {
    "metric: eror_rate": 'alerts[0].metric: unknown metric; did you mean "error_rate"?',
    "severities: {warning: 5}": 'expected a percentage such as "5%" for error_rate; found 5',
    "severities: {warning: 5s}": 'expected a percentage such as "5%" for error_rate; found 5s',
    "severities: {urgent: 5%}": "critical, error, warning or info",
    "severities: {}": "at least 1",
    "severities: {warning: 120%}": "expected 0% to 100%; found 120%",
    "severities: {warning: 100%}": "a value is never above 100%",
    "severities: {critical: 5%, warning: 10%}": "10% is reached after 5% of a worse severity",
    "name: 'Error rate'": "alerts[0].name: expected text that matches",
    "period: 90s": "expected a multiple of 1m, the interval; found 1m30s",
    "periods: 3\n    breaching: 4": "expected at most 3, the number of periods",
    "status: 5xx": "error_rate has no status; status_count and status_rate have one",
    "metric: status_rate": "status_rate needs a status",
    "floor: 1%": "only a change has a floor; `against` says since when",
    "against: yesterday": "a change of",
    "against: yesterday\n    severities: {warning: -5%}": "watched for a rise",
    f"against: yesterday\n    severities: {{warning: {10**400}%}}": "a percentage such as",
    "against: previous_period\n    periods: 2\n    severities: {warning: 5%}": "expected 1 against",
    "notify: [oncal]": 'unknown notification group "oncal"',
    "hours: office": 'unknown effective hours "office"',
    "labels: {severity: x}": "expected a label that is not reserved",
    "labels: {team: '{{ $value }}'}": 'labels.team: expected text without "{{"',
    "labels: {gen_ai_request_model: x}": "each model has its own gen_ai_request_model",
    "by: [instance]": "by[0]: expected model, provider, operation or an extra attribute",
    "by: [error_type]": "by[0]: expected model, provider, operation or an extra attribute",
    "scope: {attributes: {pod: [a]}}": "expected model, provider, operation or an extra attribute",
    "metric: ttft_p95\n    severities: {warning: 120s}": "no quantile is above 120s",
    "metric: commit_age\n    severities: {warning: 5s}\n    by: [model]": "it has no by",
    "metric: requests\n    minimum_traffic: 5\n    severities: {warning: 5}": "the traffic itself",
    "metric: commit_age\n    minimum_traffic: 5\n    severities: {warning: 5s}": (
        "commit_age rests on no traffic"
    ),
    "currency: EUR": "error_rate has no currency; cost has one",
}


def with_line(line: str) -> str:
    """An alert with a line of its own in place of the key's usual one."""
    kept = [
        each
        for each in ALERT.splitlines()
        if not any(each.strip(" -").startswith(key.split(":")[0].strip() + ":")
                   for key in line.splitlines())
    ]  # fmt: skip
    if line.startswith("name"):
        kept.insert(1, f"  - {line}")
    else:
        kept.append(f"    {line}")
    return "\n".join(kept) + "\n"


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_explained(line: str, tmp_path: Path) -> None:
    if line == "against: yesterday":
        text = with_line("metric: requests\n    against: yesterday\n    severities: {warning: 5}")
    else:
        text = with_line(line)
    file = tmp_path / "alerts.yaml"
    file.write_text(text)
    with pytest.raises(DocumentError) as refused:
        load_definitions(file)
    assert MISTAKES[line] in str(refused.value)
    assert all(problem.line for problem in refused.value.problems)


def test_two_alerts_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(ALERT + ALERT.split("\n", 1)[1].replace("Watched", "watched"))
    with pytest.raises(DocumentError) as refused:
        load_definitions(file)
    assert str(refused.value) == (
        f'{file}:5: alerts[1].name: expected a name of its own; "watched" is alerts[0] already'
    )


def test_an_objective_needs_a_bucket_and_a_share(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(
        "slos:\n  - name: Fast\n    objective: 95%\n"
        "    fast_enough: {metric: ttft, within: 3s}\n"
        "  - name: All\n    objective: 100%\n"
    )
    with pytest.raises(DocumentError) as refused:
        load_definitions(file)
    assert str(refused.value) == (
        f"{file}:4: slos[0].fast_enough.within: expected a bound of the histogram's buckets; "
        "the nearest are 2.5s and 5s\n"
        f"{file}:6: slos[1].objective: expected more than 0% and less than 100%; found 100%"
    )


def test_an_objective_whose_alerts_could_never_fire_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    loose = "objective: 60%, window: 90d"
    file.write_text(f"slos:\n  - {{name: Loose, {loose}}}\n  - {{name: Month, objective: 1%}}\n")
    with pytest.raises(DocumentError) as refused:
        load_definitions(file)
    assert str(refused.value) == (
        f"{file}:2: slos[0].objective: expected more than 66.67% over 90d, or a window of less "
        "than 75d: at 60% not even a failure of all requests burns 3 times too fast"
    )
    for works in ("objective: 66.67%, window: 90d", "objective: 60%, window: 74d23h"):
        file.write_text(file.read_text().replace(loose, works))
        assert load_definitions(file).slos
        loose = works


def test_mistakes_between_definitions_are_told_together_with_those_in_one(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(
        f"interval: 1m\n{with_line('metric: eror_rate')}"
        + with_line("notify: [oncal]").removeprefix("alerts:\n")
        + with_line("period: 90s").removeprefix("alerts:\n")
        + "slos:\n  - {name: watched, objective: 99%, hours: office}\n"
    )
    with pytest.raises(DocumentError) as refused:
        load_definitions(file)
    assert [problem.path for problem in refused.value.problems] == [
        "alerts[0].metric",
        "alerts[1].notify[0]",
        "alerts[2].name",
        "alerts[2].period",
        "slos[0].name",
        "slos[0].hours",
    ]


def test_mistakes_in_what_definitions_share_are_told_with_theirs(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(
        "interval: 1h\nnotifications:\n  hours: {office: {days: [someday]}}\n"
        + with_line("metric: eror_rate")
    )
    with pytest.raises(DocumentError) as refused:
        load_definitions(file)
    paths = [problem.path for problem in refused.value.problems]
    assert {"interval", "notifications.hours.office.days[0]", "alerts[0].metric"} <= set(paths)


def test_no_group_takes_the_name_of_the_receiver_that_tells_nobody(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    receiver = "{webhook: {url: 'https://hooks.example'}}"
    file.write_text(f"notifications:\n  groups: [{{name: nobody, receivers: [{receiver}]}}]\n")
    with pytest.raises(DocumentError, match="nobody is who is never told"):
        load_definitions(file)


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    documented = set(re.findall(r"`(\w+)`", page))
    assert set(METRICS) <= documented


def test_every_key_is_shown_in_the_example() -> None:
    example = (ROOT / "rules" / "alerts.example.yaml").read_text()
    models: list[type[BaseModel]] = [Definitions, Links, Notifications, Alert, Slo, Scope, Hours]
    keys = {key for model in models for key in model.model_fields}
    assert {key for key in keys if f"{key}:" not in example} == set()


def test_a_check_tells_of_what_a_prometheus_may_have_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    long = "    metric: requests\n    period: 16d\n    severities: {info: 1000}\n"
    file.write_text(
        "slos:\n  - {name: Budget, objective: 99%}\n"
        "  - {name: Week, objective: 99%, window: 7d}\n"
        f"{ALERT}  - name: Many\n{long}"
    )
    said = CliRunner().invoke(alerts, ["check", str(file)])
    assert said.exit_code == 0, said.output
    told = re.findall(
        r"^(\w+) looks back (\w+); Prometheus remembers 15d", said.output, re.MULTILINE
    )
    assert told == [("Many", "16d"), ("Budget", "30d")]
