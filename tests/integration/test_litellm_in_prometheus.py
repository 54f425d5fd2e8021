"""A real LiteLLM log, tailed and scraped by a real Prometheus, against a plain script's figures."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartPrometheus
from tests.daemon import Daemon
from tests.prometheus import Prometheus, scrape_config
from tests.waiting import wait_until

LOG = Path(__file__).parents[1] / "data" / "litellm.jsonl"
SUCCESS = 'error_type=""'


class Truth:
    """Figures by the model that was asked for, worked out line by line with nothing of ours."""

    def __init__(self, path: Path) -> None:
        self.requests: dict[tuple[str, str], int] = defaultdict(int)
        self.tokens: dict[tuple[str, str], int] = defaultdict(int)
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.first_tokens: dict[str, list[float]] = defaultdict(list)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        succeeded = {line["model_group"] for line in lines if line["status"] == "success"}
        for line in lines:
            name = line["model_group"] or line["model"]
            model = name if name in succeeded else "other"
            status = {"success": "200", "BadRequestError": "400", "ProxyModelNotFoundError": "400"}
            error = (line["error_information"] or {}).get("error_class") or "success"
            self.requests[model, status.get(error, "429" if "RateLimit" in error else "500")] += 1
            latency = line["endTime"] - line["startTime"]
            self.latencies[model].append(latency)
            self.tokens[model, "input"] += line["prompt_tokens"]
            self.tokens[model, "output"] += line["completion_tokens"]
            if line["stream"] and line["status"] == "success":
                self.first_tokens[model].append(line["completionStartTime"] - line["startTime"])


@pytest.fixture
def prometheus(tmp_path: Path, start_prometheus: StartPrometheus) -> Iterator[Prometheus]:
    config = tmp_path / "config.yaml"
    config.write_text(
        json.dumps(
            {
                "state_dir": str(tmp_path / "state"),
                "sources": [
                    {"name": "litellm", "tail": {"paths": [str(LOG)], "format": "litellm"}}
                ],
            }
        )
    )
    with Daemon(config).wait_ready() as daemon:
        prometheus = start_prometheus(scrape_config(daemon.address))
        lines = len(LOG.read_text().splitlines())
        wait_until(
            lambda: prometheus.value("sum(llm_gateway_requests_total)") == lines,
            30,
            "Prometheus to have scraped every request",
        )
        yield prometheus


def test_figures_asked_of_prometheus_equal_those_of_a_plain_script(prometheus: Prometheus) -> None:
    truth = Truth(LOG)

    def by_model(expression: str, *labels: str) -> dict[object, float]:
        names = ["gen_ai_request_model", *labels]
        return {
            key[0] if len(key) == 1 else key: sample.value
            for sample in prometheus.query(expression)
            for key in [tuple(sample.labels[name] for name in names)]
            if sample.value
        }

    requests = (
        "sum by (gen_ai_request_model, http_response_status_code) (llm_gateway_requests_total)"
    )
    assert by_model(requests, "http_response_status_code") == truth.requests
    tokens = "sum by (gen_ai_request_model, gen_ai_token_type) (llm_gateway_tokens_total)"
    assert by_model(tokens, "gen_ai_token_type") == {k: v for k, v in truth.tokens.items() if v}

    for name, values in (
        ("gen_ai_server_request_duration_seconds", truth.latencies),
        ("gen_ai_server_time_to_first_token_seconds", truth.first_tokens),
    ):
        total = "sum by (gen_ai_request_model)"
        mean = f"{total} ({name}_sum) / {total} ({name}_count)"
        expected = {model: sum(of_model) / len(of_model) for model, of_model in values.items()}
        assert by_model(mean) == pytest.approx(expected)

    succeeded = f"sum(llm_gateway_requests_total{{{SUCCESS}}}) / sum(llm_gateway_requests_total)"
    expected_rate = sum(n for (_, status), n in truth.requests.items() if status == "200") / 60
    assert prometheus.value(succeeded) == pytest.approx(expected_rate)
