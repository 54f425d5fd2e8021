"""All destinations of a configuration."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.registry import Collector

from exporter.export.otlp.attributes import resource
from exporter.export.otlp.backlog import Backlog
from exporter.export.otlp.config import OtlpConfig
from exporter.export.otlp.log_records import LogRecords
from exporter.export.otlp.log_work import POLL_INTERVAL_S, LogWork
from exporter.export.otlp.memory import Memory
from exporter.export.otlp.metric_work import MetricWork
from exporter.export.otlp.metrics import OtlpMetrics
from exporter.export.otlp.sender import Sender
from exporter.export.otlp.settings import Destination, destination, metric_settings
from exporter.export.otlp.transport import Transport
from exporter.ledger import SeriesReader
from exporter.requestlog.search import Published

STOP_LIMIT_S = 1.5
"""For the last state to go out, of all destinations together."""

ABORT_LIMIT_S = 0.25


@dataclass(frozen=True, slots=True)
class ReadRequestLog:
    """Where log records come from.

    Attributes:
        published: what of it may be shown.
    """

    directory: Path
    published: Published


class Push:
    """Sends from `start` to `stop`, each signal of each endpoint in a thread of its own.

    Args:
        about_itself: the metrics about the exporter.
        request_log: None if it is off; no endpoint may want log records then.
        instance_id: of the state.

    Raises:
        ExporterError: an environment variable cannot be understood, or the state directory used.
    """

    def __init__(
        self,
        endpoints: Sequence[OtlpConfig],
        *,
        series: SeriesReader,
        about_itself: Collector,
        request_log: ReadRequestLog | None,
        state_dir: Path,
        instance_id: str,
        metrics: OtlpMetrics,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._senders: list[Sender] = []
        about = resource(instance_id)
        for config in endpoints:
            if config.metrics:
                to = destination(config, "metrics", environ)
                settings = metric_settings(config, environ)
                told = metrics.of(to)
                memory = _memory(state_dir, to)
                work = MetricWork(series, about_itself, settings, about, memory, told)
                self._senders.append(Sender(to, work, transport(to), told, settings.interval_s))
            if config.logs and request_log is not None:
                to = destination(config, "logs", environ)
                told = metrics.of(to)
                memory = _memory(state_dir, to)
                backlog = Backlog(request_log.directory, request_log.published, memory)
                records = LogRecords(about, instance_id)
                logs = LogWork(backlog, records, memory, told)
                self._senders.append(Sender(to, logs, transport(to), told, POLL_INTERVAL_S))

    def start(self) -> None:
        """Begin to send."""
        for sender in self._senders:
            sender.start()

    def stop(self) -> None:
        """Send the last state to destinations that take it at once."""
        for sender in self._senders:
            sender.stop()
        deadline = time.monotonic() + STOP_LIMIT_S
        late = [s for s in self._senders if not s.join(max(0.0, deadline - time.monotonic()))]
        for sender in late:
            sender.abort()
        for sender in late:
            sender.join(ABORT_LIMIT_S)


def _memory(state_dir: Path, to: Destination) -> Memory:
    return Memory(state_dir, f"{to.name} {to.signal}")


def transport(to: Destination) -> Transport:
    """Of a destination's protocol, which is imported only now: gRPC takes 20 MiB."""
    if to.protocol == "grpc":
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # It would write past our log.
        from exporter.export.otlp.grpc_transport import GrpcTransport

        return GrpcTransport(to)
    from exporter.export.otlp.http_transport import HttpTransport

    return HttpTransport(to)
