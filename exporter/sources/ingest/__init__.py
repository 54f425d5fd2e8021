"""The push door: what gateways and log shippers send by HTTP, counted once and then answered."""

from exporter.sources.ingest.source import (
    IngestMetrics,
    IngestSettings,
    IngestSource,
    Push,
    PushRefused,
    Receipt,
)

__all__ = ["IngestMetrics", "IngestSettings", "IngestSource", "Push", "PushRefused", "Receipt"]
