"""Amounts are what happened: births, restarts and gaps of counters, as promtool evaluates them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.alerting.rulefile import yaml_text
from tests.alerting.rulefiles import all_rules, one_alert, told, written

GROWTH = 'model:llm_gateway_requests:delta5m{gen_ai_request_model="m"}'
SERIES = 'llm_gateway_requests_total{error_type="",gen_ai_request_model="m",instance="%s"}'


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({"a": "0 0 3 3 7 9 9"}, {"6m": 9, "7m": 9}, id="plain"),
        pytest.param({"a": "0 5 5 5 5 5 5"}, {"6m": 5, "7m": 0}, id="leaves the window"),
        pytest.param({"a": "_ _ 0 4 4 4 4"}, {"6m": 4, "7m": 4}, id="born at zero"),
        pytest.param({"a": "_ _ 900 903 903 903 903"}, {"6m": 3, "7m": 3}, id="met late"),
        pytest.param({"a": "0 8 8 2 2 2 2"}, {"6m": 10, "7m": 2}, id="began anew"),
        pytest.param({"a": "0 1 stale _ 6 6 6"}, {"6m": 6, "7m": 5}, id="a failed scrape"),
        pytest.param({"a": "0 2 2 2 2 2 2", "b": "0 0 0 5 5 5 5"}, {"6m": 7}, id="replicas"),
    ],
)
def test_amounts(
    series: dict[str, str], expected: dict[str, int], promtool: Path, tmp_path: Path
) -> None:
    made = written(one_alert(metric="requests", severities={"info": 1000}), tmp_path)
    (rules,) = (made / "prometheus").glob("*.yaml")
    test = {
        "interval": "1m",
        "input_series": [
            {"series": SERIES % instance, "values": values} for instance, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": GROWTH,
                "eval_time": time,
                "exp_samples": [{"labels": GROWTH, "value": value}],
            }
            for time, value in expected.items()
        ],
    }
    document = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}
    file = tmp_path / "amounts.yaml"
    file.write_text(yaml_text(document))
    assert yaml.safe_load(file.read_text()) == document
    told(promtool, "test", "rules", file)


@pytest.mark.parametrize("time", ["51h45s", "51h4m45s", "51h59m45s"])
@pytest.mark.parametrize(
    ("alert", "summed", "sample", "expected"),
    [
        pytest.param(
            {"metric": "requests", "period": "2d", "severities": {"info": 1000}},
            *("model:llm_gateway_requests:delta2d", "model:llm_gateway_requests:delta1h", 480),
            id="hours of days",
        ),
        pytest.param(
            {"periods": 6, "breaching": 2},
            *("Watched", "model:Watched:warning_breach5m", 60),
            id="periods of which some breach",
        ),
    ],
)
def test_as_many_windows_are_summed_whenever_within_them_rules_are_evaluated(
    time: str,
    alert: dict[str, Any],
    summed: str,
    sample: str,
    expected: int,
    promtool: Path,
    tmp_path: Path,
) -> None:
    (expression,) = [
        rule["expr"]
        for rule in all_rules(one_alert(**alert))
        if summed in (rule.get("record"), rule.get("alert"))
    ]
    asked = {
        "expr": expression,
        "eval_time": time,
        "exp_samples": [{"labels": "{}", "value": expected}],
    }
    series = {"series": sample, "values": "10x4000"}
    test = {"interval": "1m", "input_series": [series], "promql_expr_test": [asked]}
    file = tmp_path / "evaluated.yaml"
    file.write_text(yaml_text({"evaluation_interval": "1m", "tests": [test]}))
    told(promtool, "test", "rules", file)


@pytest.mark.parametrize("attribute", ["gateway", "series", "api_key"])
def test_an_attribute_may_be_called_as_the_names_of_records_begin(attribute: str) -> None:
    rules = all_rules(one_alert(metric="requests", by=[attribute], severities={"info": 1000}))
    kept_apart = [rule for rule in rules if f"by ({attribute})" in rule["expr"]]
    assert [rule["record"].split(":")[1:] for rule in kept_apart] == [
        ["llm_gateway_requests", "delta1m"]
    ]
