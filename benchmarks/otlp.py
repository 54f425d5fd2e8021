"""10,000 points by OTLP: CPU time beside the library's own way, and what it does to others."""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry

from benchmarks.contest import spread, table
from exporter import vocabulary as v
from exporter.engine import SWITCH_INTERVAL_S
from exporter.export.otlp.attributes import nanoseconds, resource
from exporter.export.otlp.config import OtlpConfig
from exporter.export.otlp.memory import Memory
from exporter.export.otlp.metric_work import MetricWork
from exporter.export.otlp.metrics import OtlpMetrics
from exporter.export.otlp.push import transport
from exporter.export.otlp.settings import MetricSettings, destination
from exporter.ledger import Additions, Ledger
from exporter.store.state import StateStore

POINTS = 10_000
INTERVAL_S = 15
ROUNDS = 20
COMMITS = 150
PAUSE_S = 0.5

SINK = """
import http.server
class Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
print(server.server_port, flush=True)
server.serve_forever()
"""
"""A receiver in a process of its own, so that its work is not counted as ours."""


def measure() -> str:
    """Markdown of the result."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    ledger = _ledger()
    with (
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE) as sink,
    ):
        try:
            assert sink.stdout is not None
            url = f"http://127.0.0.1:{int(sink.stdout.readline())}"
            return _measured(ledger, Path(directory), url)
        finally:
            sink.kill()


def _measured(ledger: Ledger, directory: Path, url: str) -> str:
    plain = _turn(ledger, directory, url)
    rows = []
    contestants: dict[str, Callable[[], object]] = {
        "ours, HTTP": plain,
        "ours, HTTP with gzip": _turn(ledger, directory, url, compression="gzip"),
        "ours, HTTP, exponential histograms": _turn(ledger, directory, url, is_exponential=True),
        "ours, HTTP, deltas of unchanged series": _turn(ledger, directory, url, is_delta=True),
        "SDK's data points and the library's encoder, not sent": lambda: _reference(ledger),
    }
    for name, export in contestants.items():
        export()
        milliseconds = [_cpu_ms(export) for _ in range(ROUNDS)]
        share = statistics.median(milliseconds) / (INTERVAL_S * 1000)
        rows.append([name, spread(milliseconds), f"{share:.2%}"])
    commits = [_commits(ledger, directory, export) for export in (None, plain)]
    lags = [_lags(export) for export in (None, plain)]
    return (
        f"{POINTS:,} points of 5,000 counters and 5,000 histograms; milliseconds of CPU, median "
        f"(least to most) of {ROUNDS}, and their share of a core at an interval of {INTERVAL_S} s."
        "\n\n"
        + table(["", "CPU ms", "of a core"], rows)
        + f"\n\nWith an export each {PAUSE_S} s in another thread, thirty times as often as usual; "
        "milliseconds, median and 99th percentile:\n\n"
        + table(
            ["", "without", "with exports", "held up at most"],
            [
                [f"a commit of 100 series ({COMMITS})", *_told(*commits)],
                ["lateness of a timer in the event loop", *_told(*lags)],
            ],
        )
    )


class _Times:
    """Durations in milliseconds, and how much CPU other threads of ours took in each."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.others: list[float] = []

    @contextmanager
    def one(self, expected_s: float = 0.0) -> Iterator[None]:
        """Time what happens in the context; how much longer than expected it took."""
        process, thread, wall = time.process_time(), time.thread_time(), time.perf_counter()
        yield
        self.wall.append((time.perf_counter() - wall - expected_s) * 1000)
        own = time.thread_time() - thread
        self.others.append((time.process_time() - process - own) * 1000)

    def __str__(self) -> str:
        high = statistics.quantiles(self.wall, n=100)[98]
        return f"{statistics.median(self.wall):.1f} and {high:.1f}"


def _told(without: _Times, with_exports: _Times) -> list[str]:
    return [str(without), str(with_exports), f"{max(with_exports.others):.1f}"]


def _ledger() -> Ledger:
    instruments = [each for each in v.INSTRUMENTS if each in (v.REQUEST_DURATION, v.REQUESTS)]
    ledger = Ledger(instruments, v.IDENTITY)
    additions = Additions()
    random = np.random.default_rng(7)
    for number in range(POINTS // 2):
        identity = (f"model-{number % 200:03}", f"provider-{number // 200}", "chat")
        for instrument, rest in ((v.REQUEST_DURATION, ("",)), (v.REQUESTS, ("200", ""))):
            row = ledger.row(instrument, identity + rest)
            amounts = random.integers(0, 1000, (1, ledger[instrument].width))
            additions.add(ledger[instrument], np.array([row]), amounts.astype(np.float64))
    ledger.publish(ledger.changes(additions))
    return ledger


def _turn(
    ledger: Ledger,
    directory: Path,
    url: str,
    compression: str = "none",
    *,
    is_delta: bool = False,
    is_exponential: bool = False,
) -> Callable[[], object]:
    config = OtlpConfig.model_validate({"endpoint": url, "compression": compression})
    to = destination(config, "metrics", {})
    registry = CollectorRegistry()
    work = MetricWork(
        ledger,
        registry,
        MetricSettings(INTERVAL_S, is_delta, is_exponential),
        resource("benchmark"),
        Memory(directory, compression),
        OtlpMetrics(registry).of(to),
    )
    sending = transport(to)

    def deliver(request: bytes) -> None:
        sending.send(request, 10)

    def refuse(count: int, reason: str) -> None:
        raise AssertionError(f"{count} points were refused: {reason}")

    return lambda: work.turn(deliver, refuse)


def _reference(ledger: Ledger) -> bytes:
    """The way that the SDK goes for each export."""
    now = time.time_ns()
    metrics = []
    for family in ledger.snapshot():
        points: list[Any] = []
        is_histogram = bool(family.instrument.buckets)
        for row, (labels, value) in enumerate(
            zip(family.labels, family.values.tolist(), strict=True)
        ):
            described: dict[str, Any] = {
                "attributes": dict(zip(family.attributes, labels, strict=True)),
                "start_time_unix_nano": nanoseconds(family.created[row]),
                "time_unix_nano": now,
            }
            if is_histogram:
                counts = list(map(int, value[:-1]))
                histogram: dict[str, Any] = {
                    "count": sum(counts),
                    "sum": value[-1],
                    "bucket_counts": counts,
                    "explicit_bounds": family.instrument.buckets,
                    "min": None,
                    "max": None,
                }
                points.append(HistogramDataPoint(**described, **histogram))
            else:
                points.append(NumberDataPoint(**described, value=value[0]))
        temporality = AggregationTemporality.CUMULATIVE
        data: Sum | Histogram = (
            Histogram(points, temporality) if is_histogram else Sum(points, temporality, True)
        )
        instrument = family.instrument
        metrics.append(Metric(instrument.name, instrument.help, instrument.unit, data))
    scope = ScopeMetrics(InstrumentationScope("benchmark"), metrics, "")
    whole = MetricsData([ResourceMetrics(Resource({}), [scope], "")])
    return bytes(encode_metrics(whole).SerializeToString())


def _cpu_ms(export: Callable[[], object]) -> float:
    began = time.process_time()
    export()
    return (time.process_time() - began) * 1000


class _Exporting:
    """Exports in a thread until the end of the context; None does nothing."""

    def __init__(self, export: Callable[[], object] | None) -> None:
        self._export = export
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while self._export is not None and not self._stopping.wait(PAUSE_S):
            self._export()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._thread.join()


def _commits(ledger: Ledger, directory: Path, export: Callable[[], object] | None) -> _Times:
    family = ledger[v.REQUESTS]
    rows = np.arange(100)
    times = _Times()
    store = StateStore(directory / f"state-{export is None}")
    with _Exporting(export):
        for _ in range(COMMITS):
            additions = Additions()
            additions.add(family, rows, np.ones((len(rows), family.width)))
            with times.one():
                changes = ledger.changes(additions)
                store.commit(changes, {})
                ledger.publish(changes)
            time.sleep(0.02)
    store.close()
    return times


def _lags(export: Callable[[], object] | None) -> _Times:
    """How late the event loop wakes: what a proxied request would wait for."""

    async def watch() -> _Times:
        times = _Times()
        for _ in range(1500):
            with times.one(expected_s=0.002):
                await asyncio.sleep(0.002)
        return times

    with _Exporting(export):
        return asyncio.run(watch())
