"""When alerts fire and where they lead, as promtool and a reader of their annotations see it."""

import re
from pathlib import Path
from typing import Any

import pytest

from exporter.alerting.definitions import Definitions
from exporter.alerting.rulefile import yaml_text
from exporter.dashboards.analytics import analytics
from exporter.dashboards.options import Options
from tests.alerting.rulefiles import all_rules, one_alert, told, written

MISSING = (
    "There is no value: no such requests, or no exporter that counts them. "
    "An alert about the value itself has resolved, whatever is going on."
)
MODEL = '{error_type="",gen_ai_request_model="m",status_code="200"}'


@pytest.mark.parametrize(("requests", "fires"), [(30, True), (1, False)])
def test_a_fall_of_a_mean_rests_on_enough_requests_in_both_windows(
    requests: int, fires: bool, promtool: Path, tmp_path: Path
) -> None:
    fall: dict[str, Any] = {"metric": "tokens_per_request", "compare": "below"}
    fall |= {"against": "previous_period", "severities": {"warning": "-50%"}}
    made = written(one_alert(**fall), tmp_path)
    (rules,) = (made / "prometheus").glob("*.yaml")
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f"llm_gateway_requests_total{MODEL}", "values": f"0 30x4 {30 + requests}x4"},
            {
                "series": 'llm_gateway_tokens_total{gen_ai_request_model="m"}',
                "values": f"0 30000x4 {30000 + 10 * requests}x4",
            },
        ],
        "promql_expr_test": [
            {
                "expr": 'count(ALERTS{alertname="Watched"}) or vector(0)',
                "eval_time": "10m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
        ],
    }
    file = tmp_path / "fall.yaml"
    file.write_text(
        yaml_text({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]})
    )
    told(promtool, "test", "rules", file)


@pytest.mark.parametrize("models", [["qwen"], ["qwen", "glm"]])
def test_no_data_names_each_model_that_never_was(
    models: list[str], promtool: Path, tmp_path: Path
) -> None:
    scope = {"models": models}
    made = written(one_alert(scope=scope, no_data="alert", title="Requests fail"), tmp_path)
    firing = [
        {
            "exp_labels": {
                "alert_id": "Watched",
                "severity": "info",
                "gen_ai_request_model": model,
            },
            "exp_annotations": {
                "summary": f"Requests fail: {model}: error rate: no data",
                "description": MISSING + f" Only model {', '.join(models)}.",
            },
        }
        for model in models
    ]
    check = {"eval_time": "70m", "alertname": "WatchedNoData", "exp_alerts": firing}
    other = {"series": "llm_gateway_requests_total", "values": "0x70"}
    tests = [{"interval": "1m", "input_series": [other], "alert_rule_test": [check]}]
    document = {
        "rule_files": [str(*(made / "prometheus").glob("*.yaml"))],
        "evaluation_interval": "1m",
        "tests": tests,
    }
    file = tmp_path / "never.yaml"
    file.write_text(yaml_text(document))
    told(promtool, "test", "rules", file)


def annotations(document: dict[str, Any]) -> dict[str, str]:
    """Those of the first alert."""
    links = {"requests": "https://gateway.example"}
    rules = all_rules(Definitions.model_validate({"links": links} | document))
    return dict(next(rule["annotations"] for rule in rules if "alert" in rule))


@pytest.mark.parametrize(
    ("alert", "filters"),
    [
        ({"metric": "error_rate"}, "&status=error"),
        ({"metric": "throttled_rate"}, "&status=429"),
        ({"metric": "status_rate", "status": "5xx"}, "&status=5xx"),
        ({"metric": "without_usage_rate"}, "&status=success"),
        ({"metric": "content_filtered_rate"}, ""),
    ],
)
def test_an_alert_leads_to_the_requests_that_it_counts(alert: dict[str, str], filters: str) -> None:
    watched = {"name": "Watched", "severities": {"info": "5%"}, **alert}
    url = annotations({"alerts": [watched]})["requests_url"]
    assert url.partition("urlquery }}")[2] == filters


@pytest.mark.parametrize(
    ("fast_enough", "filters"),
    [
        (None, "&status=error"),
        ({"metric": "latency", "within": "5.12s"}, "&status=success&min_latency_ms=5120"),
        ({"metric": "ttft", "within": "2.5s"}, "&status=success"),
    ],
)
def test_an_objective_leads_to_the_requests_that_may_be_bad(
    fast_enough: dict[str, str] | None, filters: str
) -> None:
    slo = {"name": "Watched", "objective": "99%", "fast_enough": fast_enough}
    url = annotations({"slos": [slo]})["requests_url"]
    assert url.partition("urlquery }}")[2] == filters


def test_an_alert_leads_to_a_dashboard_of_what_it_is_about() -> None:
    watched = {"name": "Watched", "metric": "requests", "severities": {"info": 5}}
    by = ["model", "provider", "workspace", "team"]
    links = {"dashboard": "https://grafana.example/d/llm-gateway-analytics"}
    said = annotations({"links": links, "alerts": [watched | {"by": by}]})
    names = re.findall(r"var-(\w+)={{ \$labels\.(\w+) \| urlquery }}", said["dashboard_url"])
    board = analytics(Options(attributes=("workspace", "team"))).build()
    variables = {each.name: str(each.query) for each in board.templating.list_val or ()}
    assert len(names) == len(by)
    for name, label in names:
        assert variables[name].endswith(f", {label})")


def test_a_fall_of_traffic_is_compared_with_enough_of_it() -> None:
    fall = {"compare": "at_most", "against": "yesterday", "severities": {"info": "-90%"}}
    said = annotations({"alerts": [{"name": "Watched", "metric": "requests", **fall}]})
    assert said["description"] == "Looked at over 5m; compared with no fewer than 20 requests."


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ({"metric": "status_count", "status": "503"}, "requests with status 503 are {{"),
        ({"metric": "lines_rejected"}, "log lines rejected are {{"),
        ({"metric": "throttled_rate", "severities": {"info": "5%"}}, "throttled requests is {{"),
        ({"metric": "ratelimit_tokens", "compare": "below"}, "until the provider's limit are {{"),
        ({"metric": "ttft_p95", "severities": {"info": "5s"}}, "p95 time to first token is {{"),
        (
            {"metric": "exporter_down", "compare": "at_least", "severities": {"info": 1}},
            "{{ $labels.instance }}: it cannot be scraped",
        ),
    ],
)
def test_a_summary_is_a_sentence(alert: dict[str, Any], said: str) -> None:
    watched = {"name": "Watched", "severities": {"info": 5}, **alert}
    assert said in annotations({"alerts": [watched]})["summary"]
