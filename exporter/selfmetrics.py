"""What the daemon says about itself: `llm_gateway_exporter_*`."""

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from exporter import __version__


class PipelineMetrics:
    """Lines, records, commits and series. Each part of the daemon has such a class of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "llm_gateway_exporter"
        self.lines = Counter(
            f"{prefix}_lines", "Complete lines read and committed.", ["source"], registry=registry
        )
        self.skipped = Counter(
            f"{prefix}_lines_skipped",
            "Lines that are no model request, by reason.",
            ["source", "reason"],
            registry=registry,
        )
        self.rejected = Counter(
            f"{prefix}_lines_rejected",
            "Lines that could not be read, by reason: look at them with `formats test`.",
            ["source", "reason"],
            registry=registry,
        )
        self.records = Counter(
            f"{prefix}_records", "Requests counted into the series.", ["source"], registry=registry
        )
        self.folded = Counter(
            f"{prefix}_series_folded",
            "Requests counted under `other` because a label's value was not let in.",
            ["label"],
            registry=registry,
        )
        self.commit_seconds = Histogram(
            f"{prefix}_commit_duration_seconds",
            "Time that a commit took, waiting for the disk included.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
            registry=registry,
        )
        self.commit_failures = Counter(
            f"{prefix}_commit_failures",
            "Commits that failed and are tried again.",
            registry=registry,
        )
        self.last_commit = Gauge(
            f"{prefix}_last_commit_timestamp_seconds",
            "When all that had been read was last committed.",
            registry=registry,
        )
        self.source_failures = Counter(
            f"{prefix}_source_failures",
            "Times that reading from a source failed; it is tried again.",
            ["source"],
            registry=registry,
        )
        self.series = Gauge(
            f"{prefix}_series",
            "Series in the ledger, a histogram's buckets not counted.",
            registry=registry,
        )


class ProcessMetrics:
    """Process, interpreter, build, state and configuration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        prefix = "llm_gateway_exporter"
        build = Info(f"{prefix}_build", "Version of the program.", registry=registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self.state_created = Gauge(
            f"{prefix}_state_created_timestamp_seconds",
            "When this exporter's state began; exact amounts over time rest on it.",
            registry=registry,
        )
        self.state_replaced = Gauge(
            f"{prefix}_state_corrupt_replaced_timestamp_seconds",
            "When this state took the place of a corrupt one, 0 if it did not.",
            registry=registry,
        )
        self.reload_success = Gauge(
            f"{prefix}_config_last_reload_successful",
            "Whether the last loading of the configuration succeeded.",
            registry=registry,
        )
        self.reload_time = Gauge(
            f"{prefix}_config_last_reload_success_timestamp_seconds",
            "When a configuration was last loaded with success.",
            registry=registry,
        )
