"""Hours of requests, counted by the exporter's own parts and seen by a Prometheus."""

import asyncio
import json
import math
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from exporter import vocabulary as v
from exporter.accounting import Accountant, Labelling
from exporter.engine import Metrics
from exporter.export.scrape import Exposition
from exporter.ledger import Ledger
from exporter.prices import Prices
from exporter.record import COLUMN_NAMES, Batch, Columns, Kind, Kinds
from exporter.tally import Tally
from exporter.web.metrics import WebMetrics
from tests.dashboards.grafana import Json
from tests.dashboards.promql import reads
from tests.debian import program
from tests.prometheus import Prometheus

ATTRIBUTE = "team"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One finished request, in the words of the page; units as in `Columns`."""

    end: float
    model: str
    provider: str = "dashscope"
    operation: str = "chat"
    status_code: int = 200
    error_type: str = ""
    streamed: bool = False
    cache_hit: bool = False
    finish_reason: str = "stop"
    team: str = "search"
    latency: float = 1.0
    time_to_first_token: float = math.nan
    input_tokens: float = math.nan
    output_tokens: float = math.nan
    cached_input_tokens: float = math.nan
    cache_creation_input_tokens: float = math.nan
    reasoning_output_tokens: float = math.nan
    images: float = math.nan
    seconds: float = math.nan
    characters: float = math.nan
    cost: float = math.nan
    upstream_time: float = math.nan

    @property
    def succeeded(self) -> bool:
        return self.status_code == 200 and not self.error_type

    @property
    def failed(self) -> bool:
        return not self.succeeded and self.error_type != "client_aborted"

    @property
    def kind(self) -> Kind:
        currency = "" if math.isnan(self.cost) else "USD"
        return Kind(
            model=self.model,
            response_model=self.model,
            provider=self.provider,
            operation=self.operation,
            status_code=self.status_code,
            error_type=self.error_type,
            streamed=self.streamed,
            cache_hit=self.cache_hit,
            finish_reason=self.finish_reason,
            attributes=(self.team,),
            currency=currency,
        )


class Exporter:
    """The exporter's own counting, without files and without a clock."""

    def __init__(self, created: float) -> None:
        self._ledger = Ledger(v.INSTRUMENTS, (*v.IDENTITY, ATTRIBUTE), clock=lambda: created)
        self._accountant = Accountant(self._ledger, Labelling(attributes=(ATTRIBUTE,)), Prices())
        self._kinds = Kinds()
        self._tally = Tally(v.INSTRUMENTS)
        self._metrics = Metrics()
        self._registry = self._metrics.registry
        process = self._metrics.process
        process.state_created.set(created)
        process.state_replaced.set(0)
        process.reload_success.set(1)
        process.reload_time.set(created)
        self._pipeline = self._metrics.pipeline
        WebMetrics(self._registry).config_reload_succeeded(succeeded=True)
        tail = self._metrics.tail.of("gateway")
        self._metrics.request_log.oldest.set(created)
        self._metrics.otlp.queued.labels("collector", "logs").set(0)
        self._metrics.otlp.unsent_age.labels("collector", "logs").set(0)
        tail.open_files.set(2)
        tail.known_files.set(3)
        self._tail = tail
        self._exposition = Exposition(self._ledger, self._registry)

    def count(self, requests: Sequence[Request]) -> None:
        """Count them and publish."""
        if not requests:
            return
        self._tally.add(self._batch(requests))
        fold = self._accountant.fold(self._tally, self._kinds)
        self._ledger.publish(self._ledger.changes(fold.additions))
        self._tally.clear()
        self._pipeline.lines.labels("gateway").inc(len(requests) + 1)
        self._pipeline.records.labels("gateway").inc(len(requests))
        self._pipeline.skipped.labels("gateway", "no_model_request").inc()
        self._pipeline.rejected.labels("gateway", "bad_json").inc(len(requests) // 40)
        for label, folded in fold.folded.items():
            self._pipeline.folded.labels(label).inc(folded)
        self._pipeline.commit_seconds.observe(0.001 + 0.0004 * len(requests))
        self._pipeline.last_commit.set(requests[-1].end)
        self._pipeline.series.set(sum(len(family) for family in self._ledger))
        self._metrics.request_log.rows.inc(len(requests))
        self._metrics.request_log.bytes.inc(97 * len(requests))
        self._metrics.otlp.exports.labels("collector", "logs").inc()
        self._tail.behind_seconds.set(0.2)
        self._tail.behind_bytes.set(400 * len(requests))

    def _batch(self, requests: Sequence[Request]) -> Batch:
        def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            return np.array([getattr(request, name, math.nan) for request in requests])

        ends = [request.end for request in requests]
        return Batch(
            kinds=self._kinds,
            kind=np.array([self._kinds.number(request.kind) for request in requests]),
            numbers=Columns(**{name: column(name) for name in COLUMN_NAMES}),
            request_ids=lambda: [f"request-{end:.3f}" for end in ends],
            trace_ids=lambda: [""] * len(requests),
            start_times=lambda: np.array(ends) - column("latency"),
        )

    def families(self) -> Iterator[str]:
        """Names of what it says about itself, those included that have no series yet."""
        for family in self._registry.collect():
            for suffix in _SUFFIXES.get(family.type, ("",)):
                yield family.name + suffix

    def scrape(self) -> Iterator[tuple[str, str, str]]:
        """Name, labels and value of each series, as a scrape has them."""
        text = asyncio.run(self._exposition.render(openmetrics=True)).decode()
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            series, value = line.split(" # ")[0].rsplit(" ", 1)
            name, _, labels = series.removesuffix("}").partition("{")
            if not name.endswith("_created"):
                yield name, labels, value


_SUFFIXES = {
    "counter": ("_total",),
    "info": ("_info",),
    "histogram": ("_bucket", "_sum", "_count"),
}


@dataclass(frozen=True, slots=True)
class Scraped:
    """An exporter as one Prometheus sees it.

    Attributes:
        created: when its state began.
        requests: in the order of their ends.
        addresses: from when on it is known by which `instance`; "" is when it cannot be reached.
    """

    created: float
    requests: Sequence[Request]
    addresses: Mapping[float, str]

    def samples(self, times: Sequence[float]) -> Iterator[tuple[float, str]]:
        """Time and instance of each scrape that succeeds."""
        changes = sorted(self.addresses.items())
        for time in times:
            instance = [address for since, address in changes if since <= time][-1:]
            if instance and instance[0]:
                yield time, instance[0]


@dataclass(frozen=True, slots=True)
class Scrapes:
    """All of a Prometheus's scrapes.

    Attributes:
        phase_s: between a whole interval and the scrape.
        extra: labels that all series have.
        pushed: series look as those that come by OTLP do.
    """

    start: float
    end: float
    interval_s: int = 60
    phase_s: float = 7.25
    job: str = "exporter"
    pushed: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)

    def lines(self, exporters: Iterable[Scraped]) -> Iterator[str]:
        """OpenMetrics with times, for promtool."""
        steps = range(int((self.end - self.start) // self.interval_s))
        times = [self.start + self.phase_s + step * self.interval_s for step in steps]
        for each in exporters:
            exporter = Exporter(each.created)
            counted = 0
            for time, instance in each.samples(times):
                first = counted
                while counted < len(each.requests) and each.requests[counted].end <= time:
                    counted += 1
                exporter.count(each.requests[first:counted])
                yield from self._lines(exporter, time, instance)

    def _lines(self, exporter: Exporter, time: float, instance: str) -> Iterator[str]:
        known = {"job": self.job, "instance": instance, **self.extra}
        target = ",".join(f'{label}="{value}"' for label, value in known.items())
        for name, labels, value in exporter.scrape():
            if self.pushed:
                labels = re.sub(r'le="(\d+)\.0"', r'le="\1"', labels)
            both = f"{labels},{target}" if labels else target
            yield f"{name}{{{both}}} {value} {time:.3f}\n"
        if not self.pushed:
            yield f"up{{{target}}} 1 {time:.3f}\n"


def backfill(promtool: Path, lines: Iterable[str], data: Path) -> None:
    """Write samples as blocks into a Prometheus's data directory."""
    data.mkdir(parents=True, exist_ok=True)
    text = data.with_suffix(".om")
    with text.open("w") as file:
        file.writelines(lines)
        file.write("# EOF\n")
    _run(promtool, "tsdb", "create-blocks-from", "openmetrics", "-q",
         "--max-block-duration=24h", str(text), str(data))  # fmt: skip
    text.unlink()


def backfill_rules(directory: Path, documents: Iterable[Json], start: float, end: float) -> None:
    """Evaluate recording rules over the past and write what they record as blocks.

    When a group is evaluated within its interval Prometheus derives from its file's path, which so
    is the same wherever the tests run.

    Args:
        directory: of a Prometheus that does not run, with its data.
        documents: rule files, each of which may read what those before it record.
    """
    rules = directory / "rules.yaml"
    for document in documents:
        rules.write_text(json.dumps(document))
        with Prometheus(program("prometheus"), directory, "{}") as server:
            _run(program("promtool"), "tsdb", "create-blocks-from", "rules", f"--start={start:.0f}",
                 f"--end={end:.0f}", f"--url={server.url}",
                 "--output-dir=data", rules.name, directory=directory)  # fmt: skip


def layers(files: Iterable[Path], level: str) -> Iterator[Json]:
    """Rule files of the records of a level: what they read stands in a file before."""
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    read_by: dict[str, set[str]] = {}
    for rule in (rule for group in groups for rule in group["rules"] if "record" in rule):
        names = read_by.setdefault(rule["record"], set())
        names |= {read.name for read in reads(rule["expr"])}

    def needed(names: Iterable[str]) -> set[str]:
        found = {name for name in names if name in read_by}
        return found.union(*(needed(read_by[name]) for name in found))

    missing = needed(name for name in read_by if name.startswith(level))
    while missing:
        ready = {name for name in missing if not read_by[name] & missing}
        missing -= ready
        of_layer = [
            {**group, "rules": [rule for rule in group["rules"] if rule.get("record") in ready]}
            for group in groups
        ]
        yield {"groups": of_layer}


def _run(executable: Path, *arguments: str, directory: Path | None = None) -> None:
    done = subprocess.run(
        [executable, *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
