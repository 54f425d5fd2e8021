"""500 alert definitions over 50 models: the time to build them, and to evaluate them.

Targets: built in under 5 s, evaluated in under 1 s a round.
"""

import json
import math
import subprocess
import tempfile
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from threading import Thread

from exporter import vocabulary as v
from exporter.alerting.definitions import Definitions
from exporter.alerting.outputs import files_of
from tests.debian import program
from tests.prometheus import Prometheus
from tests.waiting import wait_until

DEFINITIONS = 500
INTERVAL_S = 15
"""Between two scrapes, and here between two evaluations, too: so it need not run for long."""
ROUNDS = 5
MODELS = 50
_METRICS = (
    *(("error_rate", "5%"), ("throttled_rate", "3%"), ("total_tokens", 100_000)),
    *(("latency_p95", "30s"), ("ttft_p95", "5s"), ("requests_per_minute", 900)),
    *(("latency_average", "20s"), ("tokens_per_request", 4000), ("success_rate", "95%")),
    *(("status_rate", "2%"),),
)
_PERIODS = ("1m", "5m", "10m", "15m", "30m", "1h")


def definitions() -> Definitions:
    """As many definitions, of all kinds, each with thresholds of its own."""
    return Definitions.model_validate({"alerts": list(_alerts())})


def _alerts() -> Iterator[dict[str, object]]:
    for number in range(DEFINITIONS):
        metric, limit = _METRICS[number % len(_METRICS)]
        scope = {"models": [f"model-{number % MODELS}"]} if number % 2 else {}
        yield {
            "name": f"Alert{number}",
            "metric": metric,
            "period": _PERIODS[number % len(_PERIODS)],
            "periods": 1 + number % 3,
            "compare": "below" if metric == "success_rate" else "above",
            "severities": {"warning": limit},
            "scope": scope,
            **({"status": "503"} if metric == "status_rate" else {}),
        }


def exposition() -> str:
    """What an exporter with that many models shows; counters grow with the clock.

    One model is in trouble: half of its requests fail, and its answers are slow.
    """
    now = int(time.time()) % 100_000
    lines = []
    for model in range(MODELS):
        labels = (
            f'gen_ai_request_model="model-{model}",gen_ai_provider_name="p",'
            'gen_ai_operation_name="chat"'
        )
        for code, error in (("200", ""), ("429", "rate_limited"), ("503", "unavailable")):
            requests = now * 7 if code == "200" or model == 0 else 0
            lines.append(
                f'{v.REQUESTS.prometheus_name}{{{labels},http_response_status_code="{code}",'
                f'error_type="{error}"}} {requests}'
            )
        for kind in ("input", "output"):
            name = v.TOKENS.prometheus_name
            lines.append(f'{name}{{{labels},gen_ai_token_type="{kind}"}} {now * 9}')
        for instrument in (v.REQUEST_DURATION, v.TIME_TO_FIRST_TOKEN):
            name = instrument.prometheus_name
            for bound in (*instrument.buckets, math.inf):
                usual = 2.5 if model else 100
                le = "+Inf" if bound == math.inf else bound
                count = now * 7 if bound > usual else 0
                lines.append(f'{name}_bucket{{{labels},error_type="",le="{le}"}} {count}')
            lines.append(f'{name}_count{{{labels},error_type=""}} {now * 7}')
            lines.append(f'{name}_sum{{{labels},error_type=""}} {now * 7 * (2 if model else 90)}')
    return "\n".join(lines) + "\n"


class _Metrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(exposition().encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def evaluation_s(files: dict[str, str], directory: Path) -> float:
    """Seconds that Prometheus takes to evaluate all groups once: the median of some rounds."""
    for name, text in files.items():
        if name.startswith("prometheus/"):
            (directory / Path(name).name).write_text(
                text.replace("interval: 1m", f"interval: {INTERVAL_S}s", 1)
            )
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Metrics)
    Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "global": {"scrape_interval": f"{INTERVAL_S}s"},
        "rule_files": [f"{directory}/*.yaml"],
        "scrape_configs": [
            {
                "job_name": "exporter",
                "static_configs": [{"targets": [f"127.0.0.1:{server.server_port}"]}],
            }
        ],
    }
    with Prometheus(program("prometheus"), directory / "run", json.dumps(config)) as prometheus:

        def round_s() -> float:
            """Seconds of the last round, once all windows have values."""
            groups = prometheus.get("rules")["groups"]
            alive = prometheus.value("count({__name__=~'model:.*:ratio1m'})") or 0
            return sum(group["evaluationTime"] for group in groups) if alive >= MODELS else 0.0

        wait_until(round_s, limit_s=180, what="a round with values", every_s=1)
        rounds = []
        for _ in range(ROUNDS):
            time.sleep(INTERVAL_S)
            rounds.append(round_s())
    server.shutdown()
    return median(rounds)


def main() -> None:
    """Print the figures."""
    began = time.perf_counter()
    files = files_of(definitions())
    built = time.perf_counter() - began
    size = sum(map(len, files.values()))
    print(f"built {DEFINITIONS} definitions in {built:.2f} s: {len(files)} files, {size:,} bytes")
    with tempfile.TemporaryDirectory() as directory:
        checked = Path(directory) / "checked"
        checked.mkdir()
        for name, text in files.items():
            if name.startswith("prometheus/"):
                (checked / Path(name).name).write_text(text)
        command = [str(program("promtool")), "check", "rules", *map(str, checked.iterdir())]
        subprocess.run(command, check=True, capture_output=True)
        work = Path(directory) / "rules"
        work.mkdir()
        seconds = evaluation_s(files, work)
        print(f"evaluated in {seconds:.3f} s a round, one of {MODELS} models in trouble")


if __name__ == "__main__":
    main()
