"""The metrics about the exporter itself, from prometheus-client's registry to OTLP.

Names stay as they are there, so that a receiver that adds a counter's `_total` arrives at the name
that is scraped.
"""

import time
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from exporter.export.otlp.attributes import SCOPE, add_attribute

STARTED_NS = time.time_ns()
"""When these counters began: with the process, unlike the ledger's."""

_SUFFIXES = {"counter": "_total", "info": "_info"}


def own_metrics(about_itself: Collector, resource: Resource, now: int, *, is_delta: bool) -> bytes:
    """A serialized ExportMetricsServiceRequest.

    Args:
        now: nanoseconds since 1970.
        is_delta: leave out counters and histograms, which are cumulative.
    """
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add(resource=resource).scope_metrics.add(scope=SCOPE).metrics
    for family in about_itself.collect():
        is_cumulative = family.type in ("counter", "histogram")
        if family.samples and not (is_delta and is_cumulative):
            name = family.name + ("_info" if family.type == "info" else "")
            _fill(metrics.add(name=name, description=family.documentation), family, now)
    return bytes(request.SerializeToString())


def _fill(metric: pb.Metric, family: Metric, now: int) -> None:
    if family.type == "histogram":
        metric.histogram.aggregation_temporality = pb.AGGREGATION_TEMPORALITY_CUMULATIVE
        _add_histograms(metric.histogram, family.samples, now)
        return
    if family.type == "counter":
        metric.sum.aggregation_temporality = pb.AGGREGATION_TEMPORALITY_CUMULATIVE
        metric.sum.is_monotonic = True
    points = metric.sum.data_points if family.type == "counter" else metric.gauge.data_points
    wanted = family.name + _SUFFIXES.get(family.type, "")
    for sample in family.samples:
        if sample.name == wanted:
            point = points.add(time_unix_nano=now, as_double=float(sample.value))
            if family.type == "counter":
                point.start_time_unix_nano = STARTED_NS
            _describe(point, sample)


def _add_histograms(histogram: pb.Histogram, samples: Iterable[Sample], now: int) -> None:
    """Points of a family whose samples come series by series: buckets, then count and sum."""
    bounds: list[float] = []
    counts: list[int] = []
    for sample in samples:
        if sample.name.endswith("_bucket"):
            bounds.append(float(sample.labels["le"]))
            counts.append(int(sample.value))
        elif sample.name.endswith("_sum"):
            point = histogram.data_points.add(
                start_time_unix_nano=STARTED_NS, time_unix_nano=now, sum=float(sample.value)
            )
            before = [0, *counts[:-1]]
            each = [count - less for count, less in zip(counts, before, strict=True)]
            point.count = sum(each)
            point.explicit_bounds.extend(bounds[:-1])
            point.bucket_counts.extend(each)
            _describe(point, sample)
            bounds, counts = [], []


def _describe(point: Any, sample: Sample) -> None:
    for name, value in sample.labels.items():
        add_attribute(point.attributes, name, value)
