"""A scrape: CPU time by samples, beside prometheus-client, and what it does to commits."""

import asyncio
import itertools
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from benchmarks.contest import spread, table
from benchmarks.pictures import curves
from exporter import vocabulary as v
from exporter.engine import SWITCH_INTERVAL_S
from exporter.export.scrape import Exposition
from exporter.ledger import Additions, Ledger
from exporter.store.state import StateStore

ROUNDS = {1_000: 30, 10_000: 30, 100_000: 10}
"""By samples."""

USUAL = 10_000
"""Samples while commits are measured."""

COMMITS = 200
PAUSE_S = 0.1

_LOOPS = threading.local()  # asyncio.run would show each exposition, whole, in an error nobody sees


def measure() -> str:
    """Markdown of the result."""
    renderings = [_renderings(samples, rounds) for samples, rounds in ROUNDS.items()]
    sizes = [samples for samples, _ in renderings]
    taken = {
        name: [statistics.median(of_size[name]) for _, of_size in renderings]
        for name in renderings[0][1]
    }
    ledger = _ledger(USUAL)
    exposition = Exposition(ledger, CollectorRegistry())
    quiet, scraped = (
        _commits_ms(ledger, exposition, scrape=False),
        _commits_ms(ledger, exposition, scrape=True),
    )
    return (
        "One process; milliseconds of CPU, median (least to most).\n\n"
        + table(
            ["samples", *taken],
            [[f"{size:,}", *map(spread, of_size.values())] for size, of_size in renderings],
        )
        + "\n\n"
        + curves("scrape", ("samples", sizes), "milliseconds of CPU", taken)
        + f"\n\nA commit of every series, with some {USUAL:,} samples: milliseconds, median and "
        f"99th percentile of {COMMITS}: {_two(quiet)} without scrapes, {_two(scraped)} while "
        f"another thread scrapes every {PAUSE_S * 1000:.0f} ms (the interpreter's switch interval "
        "as the daemon sets it)."
    )


def _renderings(wanted: int, rounds: int) -> tuple[int, dict[str, list[float]]]:
    """How many samples there are, and each contestant's milliseconds of CPU in each round."""
    ledger = _ledger(wanted)
    exposition = Exposition(ledger, CollectorRegistry())
    text = _render(exposition, openmetrics=False)
    samples = sum(not line.startswith(b"#") for line in text.splitlines())
    registry = CollectorRegistry()
    registry.register(_Reference(ledger))
    contestants: Mapping[str, Callable[[], bytes]] = {
        "ours, text": lambda: _render(exposition, openmetrics=False),
        "ours, OpenMetrics": lambda: _render(exposition, openmetrics=True),
        "prometheus-client, text": lambda: generate_latest(registry),
    }
    return samples, {
        name: [_cpu_ms(render) for _ in range(rounds)] for name, render in contestants.items()
    }


def _two(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} and {statistics.quantiles(values, n=100)[98]:.1f}"


def _ledger(samples: int) -> Ledger:
    ledger = Ledger(v.INSTRUMENTS, v.IDENTITY)
    additions = Additions()
    random = np.random.default_rng(7)
    for model in itertools.count():
        labels = (f"model-{model:03}", "provider", "chat")
        for instrument, rest in (
            (v.REQUEST_DURATION, ("",)),
            *((v.REQUESTS, (str(status), "")) for status in (200, 400, 429, 500)),
            *((v.TOKENS, (kind,)) for kind in ("input", "output")),
        ):
            row = ledger.row(instrument, labels + rest)
            family = ledger[instrument]
            additions.add(
                family, np.array([row]), np.floor(random.random((1, family.width)) * 1000)
            )
        if sum(len(family) * (family.width + 1) for family in ledger) >= samples:
            break
    ledger.publish(ledger.changes(additions))
    return ledger


def _render(exposition: Exposition, *, openmetrics: bool) -> bytes:
    loop = _LOOPS.__dict__.setdefault("loop", asyncio.new_event_loop())
    rendered: bytes = loop.run_until_complete(exposition.render(openmetrics=openmetrics))
    return rendered


def _cpu_ms(render: Callable[[], bytes]) -> float:
    began = time.process_time()
    render()
    return (time.process_time() - began) * 1000


def _commits_ms(ledger: Ledger, exposition: Exposition, *, scrape: bool) -> list[float]:
    stopping = threading.Event()

    def scrapes() -> None:
        while not stopping.wait(PAUSE_S):
            _render(exposition, openmetrics=False)

    sys.setswitchinterval(SWITCH_INTERVAL_S)
    thread = threading.Thread(target=scrapes)
    if scrape:
        thread.start()
    durations = []
    with tempfile.TemporaryDirectory() as directory:
        store = StateStore(Path(directory))
        for _ in range(COMMITS):
            additions = Additions()
            for family in ledger:
                rows = np.arange(len(family))
                additions.add(family, rows, np.ones((len(rows), family.width)))
            began = time.perf_counter()
            changes = ledger.changes(additions)
            store.commit(changes, {})
            ledger.publish(changes)
            durations.append((time.perf_counter() - began) * 1000)
        store.close()
    stopping.set()
    if scrape:
        thread.join()
    return durations


class _Reference(Collector):
    """The same ledger through prometheus-client."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """All families."""
        for family in self._ledger.snapshot():
            instrument = family.instrument
            names = [v.prometheus_label(name) for name in family.attributes]
            if instrument.kind is v.InstrumentKind.COUNTER:
                counter = CounterMetricFamily(
                    instrument.prometheus_family, instrument.help, labels=names
                )
                for labels, value in zip(family.labels, family.values, strict=True):
                    counter.add_metric(list(labels), float(value[0]))
                yield counter
                continue
            histogram = HistogramMetricFamily(
                instrument.prometheus_family, instrument.help, labels=names
            )
            bounds = [*map(str, instrument.buckets), "+Inf"]
            for labels, value in zip(family.labels, family.values, strict=True):
                counts = np.cumsum(value[:-1]).tolist()
                histogram.add_metric(
                    list(labels), list(zip(bounds, counts, strict=True)), float(value[-1])
                )
            yield histogram
