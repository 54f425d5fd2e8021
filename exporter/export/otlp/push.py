"""All destinations of a configuration."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from exporter.export.otlp.attributes import resource
from exporter.export.otlp.config import OtlpConfig
from exporter.export.otlp.memory import Memory
from exporter.export.otlp.metric_work import MetricWork
from exporter.export.otlp.metrics import OtlpMetrics
from exporter.export.otlp.sender import Sender
from exporter.export.otlp.settings import Destination, destination, metric_settings
from exporter.export.otlp.transport import Transport
from exporter.ledger import Ledger

STOP_LIMIT_S = 1.5


class Push:
    """Sends from `start` to `stop`, each signal of each endpoint in a thread of its own.

    Args:
        instance_id: of the state.

    Raises:
        ExporterError: an environment variable cannot be understood, or the state directory used.
    """

    def __init__(
        self,
        endpoints: Sequence[OtlpConfig],
        *,
        ledger: Ledger,
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
                memory = Memory(state_dir, f"{to.name} metrics")
                of_destination = metrics.of(to)
                work = MetricWork(ledger, settings, about, memory, of_destination)
                self._senders.append(
                    Sender(to, work, _transport(to), of_destination, settings.interval_s)
                )

    def start(self) -> None:
        """Begin to send."""
        for sender in self._senders:
            sender.start()

    def stop(self) -> None:
        """Send the last state to destinations that take it, and end within `STOP_LIMIT_S`."""
        for sender in self._senders:
            sender.stop()
        for sender in self._senders:
            sender.join(STOP_LIMIT_S / 2)


def _transport(to: Destination) -> Transport:
    """Each protocol is imported when it is used: gRPC takes 20 MiB."""
    if to.protocol == "grpc":
        from exporter.export.otlp.grpc_transport import GrpcTransport

        return GrpcTransport(to)
    from exporter.export.otlp.http_transport import HttpTransport

    return HttpTransport(to)
