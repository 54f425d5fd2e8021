"""What the dashboard of alerts shows, tried by Prometheus's own unit tests."""

from pathlib import Path

import yaml

from tests.alerting.rulefiles import told
from tests.dashboards.built import opened


def test_an_alert_fires_on_the_dashboard_until_it_resolves(promtool: Path, tmp_path: Path) -> None:
    dashboard = opened("alerts")
    (firing,) = dashboard.asked(dashboard.panel("Firing"))
    alert = 'ALERTS{alert_id="ErrorRate",alertname="ErrorRate",alertstate="firing"}'
    test = {
        "interval": "1m",
        "input_series": [{"series": alert, "values": "_ 1 1 stale"}],
        "promql_expr_test": [
            {
                "expr": firing.expression,
                "eval_time": time,
                "exp_samples": [{"labels": "{}", "value": shown}],
            }
            for time, shown in {"0m": 0, "2m": 1, "3m": 0}.items()
        ],
    }
    file = tmp_path / "firing.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    told(promtool, "test", "rules", file)
