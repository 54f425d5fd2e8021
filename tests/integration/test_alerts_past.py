"""Alerts explained and tried out on what a real Prometheus remembers."""

import re
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from exporter.alerting.commands import alerts
from tests.alerting.rulefiles import told
from tests.conftest import StartPrometheus
from tests.prometheus import Prometheus, scrape_config
from tests.waiting import free_port

HOURS = 6
DEFINITIONS = """
alerts:
  - name: ErrorRate
    title: Requests fail
    metric: error_rate
    period: 5m
    periods: 2
    severities: {critical: 80%, warning: 5%}
  - name: OthersFail
    metric: error_rate
    scope: {models: [other]}
    severities: {warning: 5%}
  - name: Doubled
    metric: requests
    against: previous_period
    period: 30m
    severities: {info: 100%}
slos:
  - {name: Budget, objective: 99%}
  - {name: Elsewhere, objective: 99%, scope: {models: [other]}}
"""


@pytest.fixture
def past(promtool: Path, start_prometheus: StartPrometheus, tmp_path: Path) -> Prometheus:
    """Six hours of 60 requests a minute; in the third hour half of them failed for 30 minutes."""
    end = time.time() // 60 * 60
    lines = ["# TYPE llm_gateway_requests counter"]
    for status, error in (("200", ""), ("500", "upstream_error")):
        total = 0
        for minute in range(-HOURS * 60, 1):
            failing = -180 <= minute < -150
            total += 30 if failing else 60 * (status == "200")
            lines.append(
                f'llm_gateway_requests_total{{gen_ai_request_model="busy",error_type="{error}",'
                f'http_response_status_code="{status}"}} {total} {end + minute * 60:.0f}'
            )
    history = tmp_path / "history.txt"
    history.write_text("\n".join([*lines, "# EOF", ""]))
    data = tmp_path / "prometheus-1" / "data"
    data.mkdir(parents=True)
    told(promtool, "tsdb", "create-blocks-from", "openmetrics", history, data)
    return start_prometheus(scrape_config("127.0.0.1:1"))


def test_a_backtest_tells_when_alerts_would_have_fired(past: Prometheus, tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(DEFINITIONS)
    days = str((HOURS - 1) / 24)
    asked = ["backtest", str(file), "--prometheus", past.url, "--days", days]
    drawn = tmp_path / "backtest.svg"
    result = CliRunner().invoke(alerts, [*asked, "--picture", str(drawn)])
    assert result.exit_code == 0, result.output
    rows = {
        tuple(line[:42].rsplit(maxsplit=1)): line[42:].split()
        for line in result.output.splitlines()[1:]
    }
    fired, duration, picture = rows["ErrorRate", "warning"]
    assert fired == "1"
    assert duration in ("25m", "30m"), "the first of two windows does not fire yet"
    middle = picture.index("█")
    assert 0.3 < middle / len(picture) < 0.5
    assert set(picture) == {"·", "█"}
    # Of an hour 14.4% bad ones are enough: the alert begins later, and ends soon after the trouble.
    fired, duration, _ = rows["Budget 1h", "critical"]
    assert fired == "1"
    assert duration in ("10m", "15m", "20m")
    for quiet in (
        *(("ErrorRate", "critical"), ("OthersFail", "warning"), ("Doubled", "info")),
        *(("Elsewhere 1h", "critical"), ("Elsewhere 3d", "warning")),
    ):
        assert rows[quiet][:2] == ["0", "0s"]
    bars = {bar[0].text for bar in ET.parse(drawn).iter("{http://www.w3.org/2000/svg}rect")}  # noqa: S314
    assert {text.partition(":")[0] for text in bars if text} == {
        *("ErrorRate warning busy", "Budget 1h critical busy", "Budget 6h critical busy"),
        "Budget 3d warning busy",
    }


def test_an_alert_is_explained_with_its_value_now(past: Prometheus, tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(DEFINITIONS)
    asked = ["explain", "ErrorRate", str(file), "--prometheus", past.url]
    result = CliRunner().invoke(alerts, asked)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(
        "ErrorRate: Requests fail\n\n"
        "Watches: error rate; for each model.\n"
        "Looks at: windows of 5m.\n"
        "Is critical: above 80% in 2 windows in a row; "
        "a window counts when it holds 20 requests or more.\n"
    )
    assert result.output.endswith("now: busy: 0%\n")
    others = ["explain", "OthersFail", str(file), "--prometheus", past.url]
    assert CliRunner().invoke(alerts, others).output.endswith("now: no value over the last 5m\n")
    budget = ["explain", "Budget", str(file), "--prometheus", past.url]
    told = CliRunner().invoke(alerts, budget).output.splitlines()[-1]
    assert re.fullmatch(
        r"now: busy: 0% bad over 5m, 0% bad over 30m, 0% bad over 1h, 4\.\d+% bad over 6h, "
        r"4\.\d+% bad over 3d",
        told,
    )


def test_a_prometheus_that_does_not_answer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "alerts.yaml"
    file.write_text(DEFINITIONS)
    url = f"http://127.0.0.1:{free_port()}"
    result = CliRunner().invoke(alerts, ["backtest", str(file), "--prometheus", url])
    assert result.exit_code == 1
    assert str(result.exception).startswith(f"{url}/api/v1/query_range: ")
