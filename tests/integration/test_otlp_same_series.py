"""One server scrapes the daemon and is pushed to by it: both routes give the same series."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.vocabulary import INSTRUMENTS
from tests.daemon import Daemon
from tests.debian import unpacked
from tests.prometheus import scrape_config
from tests.victoria_metrics import VictoriaMetrics
from tests.waiting import free_port, wait_until

PUSHED = "service_name"
"""A label that only series of the push have: VictoriaMetrics makes it of the resource."""

SCRAPED_ONES = f"{PUSHED}=''"
PUSHED_ONES = f"{PUSHED}!=''"

INSTRUMENT = "gen_ai_.+|llm_gateway_([^e]|e[^x]).+"

OF_THE_ROUTE = ("job", "instance", "service_")

Series = dict[tuple[str, frozenset[tuple[str, object]]], float]


def log_lines() -> Iterator[dict[str, Any]]:
    """Requests that between them give every instrument a value."""
    usual = {"model": "qwen-plus", "provider": "dashscope", "status_code": 200, "latency_s": 1.5}
    for number in range(40):
        yield {
            **usual,
            "request_id": f"req-{number}",
            "team": f"team-{number % 3}",
            "streamed": True,
            "latency_s": 0.013 * 1.3**number,
            "time_to_first_token_s": 0.009 * 1.2**number,
            "input_tokens": 7 * number + 1,
            "output_tokens": 3 ** (number % 13) + 1,
            "cached_input_tokens": number,
            "cache_creation_input_tokens": 2,
            "reasoning_output_tokens": 1,
            "cost": 0.000123 * number,
            "currency": "USD",
            "upstream_time_s": 0.01 * 1.3**number,
        }
    yield {**usual, "cache_hit": True, "input_tokens": 3, "output_tokens": 4}
    yield {**usual, "finish_reason": "content_filter", "input_tokens": 3, "output_tokens": 1}
    yield usual
    yield {**usual, "model": "qwen-image", "operation": "image_generation", "images": 2}
    yield {**usual, "model": 'odd "name"\\ of a model', "input_tokens": 1, "output_tokens": 1}
    yield {**usual, "status_code": 429}
    yield {**usual, "status_code": 200, "error_type": "stream_aborted"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    log = tmp_path / "requests.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in log_lines()))
    config = tmp_path / "config.yaml"
    daemon_address = f"127.0.0.1:{free_port()}"
    program = unpacked("victoria-metrics")
    config_text = scrape_config(daemon_address, interval="1s")
    with VictoriaMetrics(program, tmp_path / "server", config_text) as found:
        config.write_text(
            json.dumps(
                {
                    "state_dir": str(tmp_path / "state"),
                    "sources": [
                        {"name": "log", "tail": {"paths": [str(log)], "format": "records"}}
                    ],
                    "labels": {"attributes": ["team"]},
                    "otlp": [{"endpoint": f"{found.url}/opentelemetry", "interval": "500ms"}],
                }
            )
        )
        with Daemon(config, address=daemon_address).wait_ready():
            lines = len(log.read_text().splitlines())
            wait_until(lambda: _requests(found, PUSHED_ONES) == lines, 30, "all to be pushed")
            wait_until(lambda: _requests(found, SCRAPED_ONES) == lines, 30, "all to be scraped")
            yield found


def test_scrape_and_push_give_the_same_series(server: VictoriaMetrics) -> None:
    scraped, pushed = (
        _series(server, SCRAPED_ONES, INSTRUMENT),
        _series(server, PUSHED_ONES, INSTRUMENT),
    )
    assert scraped.keys() == pushed.keys()
    assert scraped == pytest.approx(pushed)
    names = {name for name, _ in scraped}
    for instrument in INSTRUMENTS:
        name = instrument.prometheus_name
        wanted = {f"{name}_{part}" for part in ("bucket", "sum", "count")}
        assert (wanted if instrument.buckets else {name}) <= names
    nonzero = {name for (name, _), value in scraped.items() if value}
    assert nonzero >= {each.prometheus_name for each in INSTRUMENTS if not each.buckets}


def test_what_the_exporter_says_about_itself_has_the_same_names_by_both_routes(
    server: VictoriaMetrics,
) -> None:
    scraped, pushed = (
        {
            (name, labels)
            for name, labels in _series(server, route, "llm_gateway_exporter_.+|process_.+")
            if not name.startswith("llm_gateway_exporter_web_")  # Of scrapes that came after.
        }
        for route in (SCRAPED_ONES, PUSHED_ONES)
    )
    assert scraped == pushed
    assert "llm_gateway_exporter_commit_duration_seconds_bucket" in {name for name, _ in scraped}


def _requests(server: VictoriaMetrics, route: str) -> float:
    samples = server.query(f"sum(llm_gateway_requests_total{{{route}}})")
    return samples[0].value if samples else 0.0


def _series(server: VictoriaMetrics, route: str, names: str) -> Series:
    """Series that came by a route, without what the route itself adds to their labels."""
    selector = f'{{__name__=~"{names}", {route}}}'
    found = {}
    for sample in server.query(selector):
        labels = dict(sample.labels)
        found[labels.pop("__name__"), frozenset(_compared(labels))] = sample.value
    return found


def _compared(labels: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    for name, value in labels.items():
        if name == "le":
            yield name, float(value)
        elif not name.startswith(OF_THE_ROUTE):
            yield name, value
