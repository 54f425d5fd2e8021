"""The soak: the daemon, what it is sent and who reads, then what it counted and what it holds."""

import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.soak.footprint import Sample, draw, sample
from benchmarks.soak.logs import write_logs
from benchmarks.soak.proxied import ask_proxy
from benchmarks.soak.pushes import push_batches
from benchmarks.soak.readers import Readers
from benchmarks.soak.receiver import receive
from benchmarks.soak.results import Course, Totals, inexact, report
from benchmarks.soak.sent import MODELS, OTHER, Load, Seen, Sent
from exporter.requestlog.filter import Filter
from exporter.requestlog.search import RequestSearch
from tests.daemon import Daemon
from tests.waiting import free_port

TAILED, PUSHED, PROXIED = 4000, 800, 200
"""Requests a second of each source."""

ROTATE_AT_BYTES = (6_000_000, 7_700_000)
SAMPLE_EVERY_S = 10.0
WARM_UP_SHARE, LONGEST_WARM_UP_S = 1 / 4, 900.0
PICTURE = Path(__file__).parents[2] / "docs/pictures/soak.png"
_SETTLED_LIMIT_S, _STILL_S = 300.0, 5
_QUEUED = "llm_gateway_exporter_otlp_queued"


def measure(minutes: float) -> str:
    """Markdown of the result, and the picture.

    Raises:
        AssertionError: a total is not what was sent; the files are kept.
    """
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"files are in {directory}", file=sys.stderr)
    course = _run(directory, minutes * 60)
    warm_up_s = min(course.times[-1] * WARM_UP_SHARE, LONGEST_WARM_UP_S)
    told = report(course, warm_up_s)
    draw(PICTURE, course.times, course.samples, warm_up_s)
    if wrong := [*course.failures, *inexact(course)]:
        raise AssertionError("\n".join([told, *wrong]))
    shutil.rmtree(directory)
    return told


def _run(directory: Path, duration_s: float) -> Course:
    logs = directory / "logs"
    logs.mkdir()
    proxy, upstream, grpc, http = (free_port() for _ in range(4))
    config_file = directory / "config.yaml"
    config_file.write_text(json.dumps(_config(directory, proxy, upstream, grpc, http)))
    with ExitStack() as running:
        end = time.time() + duration_s
        receiver = running.enter_context(Load(receive, grpc, http, end))
        daemon = running.enter_context(Daemon(config_file))
        daemon.wait_ready()
        push_url = f"http://{daemon.address}/ingest/records"
        loads: list[Load[Sent]] = [
            running.enter_context(Load(write_logs, logs, TAILED, ROTATE_AT_BYTES)),
            running.enter_context(Load(push_batches, push_url, PUSHED)),
            running.enter_context(Load(ask_proxy, f"http://127.0.0.1:{proxy}", upstream, PROXIED)),
        ]
        times: list[float] = []
        samples: list[Sample] = []
        queued: list[int] = []
        with Readers(daemon) as readers:
            began = time.monotonic()
            while time.time() < end:
                time.sleep(SAMPLE_EVERY_S)
                for load in loads:
                    load.check()
                receiver.check()
                times.append(time.monotonic() - began)
                samples.append(sample(daemon.process.pid))
                queued.append(round(daemon.total(_QUEUED)))
            sent = [load.stop() for load in loads]
            seconds = time.monotonic() - began
        unsettled = _settle(daemon, sum(one.requests.total() for one in sent))
        counted = _counted(daemon)
        status = daemon.end()
        assert status == 0, f"the daemon ended with {status}"
        received = receiver.stop()
    logged, seen = _logged(directory / "state")
    return Course(
        seconds,
        sent,
        counted,
        logged,
        seen,
        received,
        times,
        samples,
        queued,
        readers.durations,
        [*readers.failures, *unsettled],
    )


def _config(directory: Path, proxy: int, upstream: int, grpc: int, http: int) -> object:
    tail = {"paths": [f"{directory}/logs/*.jsonl*"], "format": "records"}
    edge = {"listen": f"127.0.0.1:{proxy}", "upstream": f"http://127.0.0.1:{upstream}"}
    by_grpc = {"endpoint": f"http://127.0.0.1:{grpc}", "protocol": "grpc", "logs": True}
    by_http = {"endpoint": f"http://127.0.0.1:{http}", "temporality": "delta"}
    return {
        "state_dir": str(directory / "state"),
        "sources": [
            {"name": "tail", "tail": tail},
            # Digests of pushes are kept for that long; memory is not flat before.
            {"name": "push", "ingest": {"repeat_window": "2m"}},
            {"name": "proxy", "proxy": edge},
        ],
        "labels": {"models": MODELS},
        "otlp": [{**by_grpc, "interval": "15s"}, {**by_http, "interval": "15s"}],
    }


def _settle(daemon: Daemon, requests: int) -> list[str]:
    """Wait until nothing is under way; what still was at the end of patience.

    What is queued is as of the last look into the log, so that nothing may be for a while.
    """
    deadline = time.monotonic() + _SETTLED_LIMIT_S
    still = 0
    while time.monotonic() < deadline:
        time.sleep(1)
        queued, counted = daemon.total(_QUEUED), daemon.total("llm_gateway_requests_total")
        still = still + 1 if queued == 0 and counted >= requests else 0
        if still == _STILL_S:
            return []
    return [f"in the end {queued:,.0f} log records were queued, {counted:,.0f} requests counted"]


def _counted(daemon: Daemon) -> Totals:
    totals = Totals()
    for family in text_string_to_metric_families(daemon.get("/metrics")[1]):
        for one in family.samples:
            model, value = one.labels.get("gen_ai_request_model", ""), round(one.value)
            if one.name == "llm_gateway_requests_total":
                totals.requests[model, one.labels["http_response_status_code"]] += value
            elif one.name == "llm_gateway_tokens_total":
                totals.tokens[model, one.labels["gen_ai_token_type"]] += value
    return totals


def _logged(state_dir: Path) -> tuple[Totals, Seen]:
    totals, seen = Totals(), Seen()
    for rows in RequestSearch(state_dir / "requests").export(Filter()):
        for row in rows.requests():
            seen.see(row.request_id or "")
            label = row.model if row.model in MODELS else OTHER
            totals.requests[label, str(row.status_code)] += 1
            totals.tokens[label, "input"] += row.input_tokens or 0
            totals.tokens[label, "output"] += row.output_tokens or 0
    return totals, seen
