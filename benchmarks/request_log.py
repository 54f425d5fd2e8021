"""The request log: what it costs to write, to keep, to search and to export; and all at once."""

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import traffic
from benchmarks.contest import contest, run, table
from benchmarks.pictures import curves
from benchmarks.request_page import loads
from benchmarks.request_rows import DAYS, MODELS, STRANGE_MODEL, STRANGER, Gateway, fill, open_log
from exporter.requestlog.exports import EXPORT_FORMATS
from exporter.requestlog.filter import Filter
from exporter.requestlog.request import FIELDS
from exporter.requestlog.search import Place, RequestSearch

LINES = 400_000
ROUNDS = 3

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
"""Rows of the log; the last one's is also what is exported and shown in a browser."""

REPEATS = 60

NO_BUDGET_S = 60.0
"""For a search to come to its end, so that its time is known; the page gives it a second."""

EXPORTED_DAYS = 1, 4

LOAD_ROWS_A_SECOND = 10_000
LOAD_S = 30


def measure() -> str:
    """Markdown of all results."""
    parts = [_ingest()]
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        parts.append(_load(directory / "load"))
        now, taken = time.time(), {}
        for rows in SIZES:
            requests = directory / str(rows) / "requests"
            ids = fill(requests, rows, now)
            taken[rows] = _searches(requests, ids, now)
        parts += [_growth(taken, requests), _exports(requests, now), _page(requests, ids[-1])]
    return "\n\n".join(parts)


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


def _searches(requests: Path, ids: Sequence[str], now: float) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of each search, milliseconds of CPU."""
    search, draw = RequestSearch(requests), np.random.default_rng(2)
    last_hour = round((now - 3600) * 1e6)

    def model() -> list[str]:
        return [f"model-{(draw.zipf(1.5) - 1) % MODELS}"]

    def an_id() -> Filter:
        return Filter(request_id=ids[int(draw.integers(len(ids)))])

    def a_time() -> Place:
        return Place(round((now - draw.random() * DAYS * 86_400) * 1e6), "", -1)

    rarest = Filter(models=["model-39"], statuses=["503"], min_latency=2_000_000)
    nowhere = Filter(models=[STRANGE_MODEL], attributes={"team": [STRANGER]})

    def page(wanted: Filter, after: Place | None = None) -> None:
        search.page(wanted, 100, after, NO_BUDGET_S)

    searches: dict[str, Callable[[], object]] = {
        "an id of any day": lambda: page(an_id()),
        "newest 100": lambda: page(Filter()),
        "model and status, one hour": lambda: page(
            Filter(earliest=last_hour, models=model(), statuses=["429"])
        ),
        "model and status, 14 days": lambda: page(Filter(models=model(), statuses=["429"])),
        "a page at a random time": lambda: page(Filter(), a_time()),
        "the rarest model and status above 20 s": lambda: page(rarest),
        "two names that all blocks have, and no request": lambda: page(nowhere),
        "models and their requests, 14 days": lambda: search.counts(Filter(), NO_BUDGET_S),
    }
    return {name: _times(work) for name, work in searches.items()}


def _times(work: Callable[[], object]) -> tuple[float, float]:
    taken = []
    for _ in range(REPEATS):
        began = time.thread_time()
        work()
        taken.append((time.thread_time() - began) * 1000)
    cuts = statistics.quantiles(taken, n=20)
    return cuts[9], cuts[18]


def _growth(taken: dict[int, dict[str, tuple[float, float]]], requests: Path) -> str:
    rows = max(taken)
    size = sum(file.stat().st_size for file in requests.iterdir())
    header = ["search, CPU ms: median, p95", *(f"{count:,} rows" for count in taken)]
    lines = [
        [name, *(f"{of_size[name][0]:.1f}, {of_size[name][1]:.1f}" for of_size in taken.values())]
        for name in taken[rows]
    ]
    medians = {name: [of_size[name][0] for of_size in taken.values()] for name in taken[rows]}
    return (
        f"{DAYS} days; {size / rows:.0f} bytes a row with the index of ids at {rows:,} rows. "
        f"{REPEATS} searches of each kind, to their end.\n\n{table(header, lines)}\n\n"
        + curves("searches", ("rows", list(taken)), "milliseconds of CPU, median", medians)
    )


def _exports(requests: Path, now: float) -> str:
    lines = []
    for name in EXPORT_FORMATS:
        export = [sys.executable, "-m", "benchmarks.request_export", str(requests), name, str(now)]
        runs = [run([*export, str(days)]) for days in EXPORTED_DAYS]
        told = json.loads(runs[-1].output)
        lines.append(
            [
                name,
                f"{told['rows'] / told['cpu_s'] / 1000:.0f}",
                f"{told['bytes'] / told['rows']:.0f}",
                *(f"{one.peak_mib:.0f}" for one in runs),
            ]
        )
    header = ["export of all fields", "thousand rows a CPU second", "bytes a row"]
    peaks = [f"peak MiB, days: {days}" for days in EXPORTED_DAYS]
    return table([*header, *peaks], lines)


def _page(requests: Path, request_id: str) -> str:
    lines = [
        [name, f"{cuts[9]:.0f}", f"{cuts[18]:.0f}"]
        for name, taken in loads(requests, request_id).items()
        for cuts in [statistics.quantiles(taken, n=20)]
    ]
    header = [f"the page at {SIZES[-1]:,} rows, in Chromium", "median, ms", "p95, ms"]
    return table(header, lines)


def _load(directory: Path) -> str:
    """Commits each second at a steady rate, beside searches and an export without end."""
    gateway, log = Gateway(), open_log(directory, time.time)
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
