"""What tail sources say about themselves: by source, never by path."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

_PREFIX = "llm_gateway_exporter_tail"


@dataclass(frozen=True, slots=True)
class SourceMetrics:
    """What is counted and measured of one source."""

    lines_too_long: Counter
    truncations: Counter
    copies: Counter
    gzip_errors: Counter
    nul_bytes: Counter
    partials_dropped: Counter
    abandoned_bytes: Counter
    file_errors: Counter
    open_files: Gauge
    known_files: Gauge
    behind_bytes: Gauge
    behind_seconds: Gauge


class TailMetrics:
    """`llm_gateway_exporter_tail_*`, registered once for all sources."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, ["source"], registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"{_PREFIX}_{name}", text, ["source"], registry=registry)

        self._all = SourceMetrics(
            counter("lines_too_long", "Lines skipped because they were too long."),
            counter("truncations", "Files found truncated, or written anew in place."),
            counter("copies", "Copies of a file's content recognised, and not read twice."),
            counter("gzip_errors", "Gzip files that break off with an error."),
            counter("nul_bytes_skipped", "NUL bytes skipped at the start of a line."),
            counter("partial_records_dropped", "Records in pieces whose last one never came."),
            counter("abandoned_bytes", "Bytes of deleted files let go of before they were read."),
            counter("file_errors", "Troubles with files, each counted when it begins."),
            gauge("open_files", "Files held open."),
            gauge("known_files", "Files remembered, those that are gone included."),
            gauge("behind_bytes", "Bytes that are not read yet, compressed ones as they are."),
            gauge("behind_seconds", "Age of the oldest bytes that are not read yet."),
        )

    def of(self, source: str) -> SourceMetrics:
        """Those of one source, all of them there from the start."""
        every = self._all
        return SourceMetrics(
            every.lines_too_long.labels(source),
            every.truncations.labels(source),
            every.copies.labels(source),
            every.gzip_errors.labels(source),
            every.nul_bytes.labels(source),
            every.partials_dropped.labels(source),
            every.abandoned_bytes.labels(source),
            every.file_errors.labels(source),
            every.open_files.labels(source),
            every.known_files.labels(source),
            every.behind_bytes.labels(source),
            every.behind_seconds.labels(source),
        )
