"""Rules count what a scrape brings, however long it takes."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep

from exporter.alerting.definitions import Definitions
from tests.alerting.rulefiles import written
from tests.conftest import StartPrometheus
from tests.prometheus import scrape_config
from tests.waiting import wait_until

TARGETS = 24
"""Each is scraped at a moment of its own, some of them just before rules are evaluated."""


@contextmanager
def slow_target(model: str) -> Iterator[str]:
    """An exporter that counts a request between two scrapes, and takes its time; its address."""
    requests = iter(range(1_000_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sleep(0.25)
            labels = f'gen_ai_request_model="{model}",error_type=""'
            body = f"llm_gateway_requests_total{{{labels}}} {next(requests)}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_a_slow_scrape_brings_is_counted(
    start_prometheus: StartPrometheus, tmp_path: Path
) -> None:
    many = {"name": "Many", "metric": "requests", "period": "20s", "severities": {"info": 1000}}
    made = written(Definitions.model_validate({"interval": "2s", "alerts": [many]}), tmp_path)
    with ExitStack() as running:
        targets = [running.enter_context(slow_target(f"m{number}")) for number in range(TARGETS)]
        config = json.loads(scrape_config(*targets, interval="1s"))
        config["rule_files"] = [f"{made}/prometheus/*.yaml"]
        prometheus = start_prometheus(json.dumps(config))
        full = "count(count_over_time(model:llm_gateway_requests:delta2s[1m]) > 11)"
        wait_until(lambda: prometheus.value(full) == TARGETS, 60, "a full window of each target")
        counted = [s.value for s in prometheus.query("model:llm_gateway_requests:delta20s")]
    assert len(counted) == TARGETS
    assert 19 <= min(counted) <= max(counted) <= 21
