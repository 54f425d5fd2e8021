"""The request log: what it costs to write, to keep, to search and to export; and all at once."""

import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks import traffic
from benchmarks.contest import contest, table
from exporter.record import COLUMN_NAMES, Batch, Columns, Kind, Kinds
from exporter.requestlog.exports import EXPORT_FORMATS
from exporter.requestlog.files import DAY_S
from exporter.requestlog.filter import Filter
from exporter.requestlog.log import RequestLog, RequestLogMetrics, Retention
from exporter.requestlog.request import FIELDS
from exporter.requestlog.search import RequestSearch

LINES = 400_000
ROUNDS = 3

ROWS = 10_000_000
DAYS = 14
BATCH = 8192
BATCHES_A_COMMIT = 6

EXPORTED_DAYS = 2
REPEATS = 100

LOAD_ROWS_A_SECOND = 10_000
LOAD_S = 30


class Gateway:
    """Made-up requests: 40 models by Zipf, four statuses, eight teams, ids at random."""

    def __init__(self) -> None:
        self.kinds = Kinds()
        self._draw = np.random.default_rng(1)
        names = [
            (f"model-{model}", status, f"team-{team}")
            for model in range(40)
            for status in (200, 429, 500, 503)
            for team in range(8)
        ]
        for model, status, team in names:
            error = "" if status == 200 else str(status)
            kind = Kind(
                *(model, model, "openai", "chat", status, error, True, False, "stop", (team,), "")
            )
            self.kinds.number(kind)

    def batch(self, starts: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Batch:
        """One request for each start."""
        draw, size = self._draw, len(starts)
        model = (draw.zipf(1.5, size) - 1) % 40
        status = draw.choice(4, size, p=[0.94, 0.03, 0.02, 0.01])
        latency = draw.lognormal(0, 1, size)
        figures = dict.fromkeys(COLUMN_NAMES, np.full(size, np.nan))
        tokens = draw.integers(1, 5000, (2, size)).astype(np.float64)
        figures |= {"latency": latency, "time_to_first_token": latency * 0.3}
        figures |= {"input_tokens": tokens[0], "output_tokens": tokens[1]}
        figures |= {"total_tokens": tokens.sum(axis=0), "cached_input_tokens": tokens[0] // 3}
        ids = [f"req_{digits}" for digits in _hex(draw.bytes(16 * size))]
        return Batch(
            kinds=self.kinds,
            kind=model * 32 + status * 8 + draw.integers(0, 8, size),
            numbers=Columns(**figures),
            request_ids=lambda: ids,
            trace_ids=lambda: [""] * size,
            start_times=lambda: starts,
        )


def _hex(data: bytes) -> Iterator[str]:
    text = data.hex()
    return (text[at : at + 32] for at in range(0, len(text), 32))


def _log(directory: Path, clock: Callable[[], float]) -> RequestLog:
    metrics = RequestLogMetrics(CollectorRegistry())
    retention = Retention(DAYS, 1 << 40)
    return RequestLog(
        directory, retention, metrics, state="", batch=0, attributes=("team",), clock=clock
    )


def measure() -> str:
    """Markdown of all results."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        return "\n\n".join([_ingest(), _searches(directory / "old"), _load(directory / "load")])


def _ingest() -> str:
    with tempfile.TemporaryDirectory() as directory:
        log, mapping = Path(directory) / "requests.jsonl", Path(directory) / "format.yaml"
        traffic.write_lines(log, LINES)
        mapping.write_text(traffic.FORMAT)
        ours = [sys.executable, "-m", "benchmarks.ours", str(log), str(mapping)]
        naive = [sys.executable, "-m", "benchmarks.naive", str(log)]
        contestants = {
            "with the request log": [*ours, "--request-log"],
            "without it": ours,
            "naive": naive,
        }
        runs = contest(contestants, ROUNDS)
    rows = [
        [name, f"{LINES / r.cpu_s / 1000:.0f}", f"{runs['naive'].cpu_s / r.cpu_s:.1f}"]
        for name, r in runs.items()
    ]
    return table(["", "thousand lines a CPU second", "times naive"], rows)


def _searches(directory: Path) -> str:
    now = time.time()
    ids = _fill(directory, now)
    size = sum(file.stat().st_size for file in directory.iterdir())
    search = RequestSearch(directory)
    last_hour = round((now - 3600) * 1e6)
    draw = np.random.default_rng(2)

    def model() -> list[str]:
        return [f"model-{(draw.zipf(1.5) - 1) % 40}"]

    rarest = Filter(models=["model-39"], statuses=["503"], min_latency=2_000_000)
    searches: dict[str, Callable[[], object]] = {
        "newest 100": lambda: search.page(Filter(), 100),
        "model and status, one hour": lambda: search.page(
            Filter(earliest=last_hour, models=model(), statuses=["429"]), 100
        ),
        "model and status, 14 days": lambda: search.page(
            Filter(models=model(), statuses=["429"]), 100
        ),
        "the rarest model, status and latency, 14 days": lambda: search.page(rarest, 100),
        "an id of any day": lambda: search.page(
            Filter(request_id=ids[draw.integers(len(ids))]), 100
        ),
        "models with their requests, 14 days": lambda: search.counts(Filter()),
    }
    rows = [[name, *_times(work)] for name, work in searches.items()]
    text = (
        f"{ROWS:,} requests of {DAYS} days, {size / ROWS:.0f} bytes each with the index of ids.\n\n"
    )
    return text + table(["search", "p50, ms", "p95, ms"], rows) + "\n\n" + _exports(search, now)


def _fill(directory: Path, now: float) -> list[str]:
    """Write and index the rows; some of their ids."""
    gateway, clock = Gateway(), [now - DAYS * DAY_S]
    log = _log(directory, lambda: clock[0])
    ids, batch = [], 0
    for first in range(0, ROWS, BATCH):
        rows = np.arange(first, min(first + BATCH, ROWS))
        starts = now - DAYS * DAY_S * (1 - rows / ROWS)
        clock[0] = float(starts[-1])
        made = gateway.batch(starts)
        ids.append(made.request_ids()[first % len(rows)])
        log.add("benchmark", made)
        if first // BATCH % BATCHES_A_COMMIT == 0 or first + BATCH >= ROWS:
            batch += 1
            log.commit(batch)
            log.committed()
            log.tend()
    clock[0] = now
    for _ in range(ROWS // BATCH + 3 * DAYS):
        log.tend()
    log.close()
    return ids


def _times(work: Callable[[], object]) -> tuple[str, str]:
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    cuts = statistics.quantiles(taken, n=20)
    return f"{cuts[9]:.1f}", f"{cuts[18]:.1f}"


def _exports(search: RequestSearch, now: float) -> str:
    wanted = Filter(earliest=round((now - EXPORTED_DAYS * DAY_S) * 1e6))
    rows = search.counts(wanted, budget_s=60).kinds.total()
    lines = []
    for name, export in EXPORT_FORMATS.items():
        before, began = _peak_mib(), time.process_time()
        size = sum(len(chunk) for chunk in export.chunks(search.export(wanted), FIELDS))
        taken = time.process_time() - began
        lines.append(
            [
                name,
                f"{rows / taken / 1000:.0f}",
                f"{size / rows:.0f}",
                f"{_peak_mib() - before:.0f}",
            ]
        )
    header = ["export", "thousand requests a CPU second", "bytes each", "MiB more at the peak"]
    return f"{rows:,} requests, all fields.\n\n" + table(header, lines)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _load(directory: Path) -> str:
    """Commits each second at a steady rate, beside searches and an export without end."""
    gateway, log = Gateway(), _log(directory, time.time)
    stop = threading.Event()
    search = RequestSearch(directory)
    searches: list[float] = []

    def ask() -> None:
        while not stop.wait(0.05):
            began = time.perf_counter()
            search.page(Filter(statuses=["503"], models=["model-3"]), 100)
            searches.append((time.perf_counter() - began) * 1000)

    def export() -> None:
        while not stop.is_set():
            for chunk in EXPORT_FORMATS["jsonl"].chunks(search.export(Filter()), FIELDS):
                if stop.is_set() or not chunk:
                    break

    threads = [threading.Thread(target=work) for work in (ask, export)]
    sys.setswitchinterval(0.001)  # as the daemon does
    commits, wal = [], 0
    for second in range(LOAD_S):
        due = time.perf_counter() + 1
        now = time.time()
        log.add("benchmark", gateway.batch(now + np.arange(LOAD_ROWS_A_SECOND) / 1e6))
        began = time.perf_counter()
        log.commit(second + 1)
        commits.append((time.perf_counter() - began) * 1000)
        log.committed()
        wal = max(wal, *(file.stat().st_size for file in directory.glob("*-wal")))
        if second == 0:
            for thread in threads:
                thread.start()
        time.sleep(max(0, due - time.perf_counter()))
    stop.set()
    for thread in threads:
        thread.join()
    log.close()
    return (
        f"{LOAD_ROWS_A_SECOND:,} requests a second for {LOAD_S} s, beside 20 searches a second "
        f"and an export that never ends: commits {_spread(commits)} ms, "
        f"searches {_spread(searches)} ms (median, p95, most), "
        f"write-ahead log {wal / 1e6:.1f} MB at most."
    )


def _spread(values: Sequence[float]) -> str:
    cuts = statistics.quantiles(values, n=20)
    return f"{statistics.median(values):.0f}, {cuts[18]:.0f}, {max(values):.0f}"
