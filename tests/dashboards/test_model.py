"""The dashboard of one model counts its requests and nobody else's, by Prometheus's unit tests."""

from pathlib import Path

import pytest
import yaml

from exporter.dashboards.amounts import STATE_CREATED
from tests.alerting.rulefiles import told
from tests.dashboards.built import DIRECTORY
from tests.dashboards.grafana import Dashboard, Span

HOUR = 3600


@pytest.mark.parametrize("model", ["claude-3.5-sonnet", "command-r+", "a|b", "models/[beta]", ".+"])
def test_a_model_is_no_pattern(model: str, promtool: Path, tmp_path: Path) -> None:
    opened = Dashboard.load(DIRECTORY / "model.json", Span(HOUR, 2 * HOUR), one_model=model)
    (_, requests) = opened.asked(opened.panel("Requests"))
    target = 'gen_ai_provider_name="openai",job="exporter",instance="here"'
    others = ("claude-3-5-sonnet", "gpt-4o")
    counters = [
        f'llm_gateway_requests_total{{gen_ai_request_model="{name}",{target}}}'
        for name in (model, *others)
    ]
    test = {
        "interval": "30s",
        "input_series": [
            {"series": f'{STATE_CREATED}{{job="exporter",instance="here"}}', "values": "0x600"},
            *({"series": series, "values": "0+10x600"} for series in counters),
        ],
        "promql_expr_test": [
            {
                "expr": requests.expression,
                "eval_time": "2h",
                "exp_samples": [{"labels": "{}", "value": 1200}],
            }
        ],
    }
    file = tmp_path / "one-model.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "30s", "tests": [test]}))
    told(promtool, "test", "rules", file)
