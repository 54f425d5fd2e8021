"""The metrics about the exporter itself, from prometheus-client's registry to OTLP."""

from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from exporter.export.otlp.attributes import resource
from exporter.export.otlp.own_metrics import STARTED_NS, own_metrics
from tests.export.otlp.receiver import attributes

NOW = STARTED_NS + 1


def told(registry: CollectorRegistry, *, is_delta: bool = False) -> dict[str, Any]:
    """Metrics by name."""
    request = ExportMetricsServiceRequest.FromString(
        own_metrics(registry, resource("id"), NOW, is_delta=is_delta)
    )
    metrics = request.resource_metrics[0].scope_metrics[0].metrics
    return {metric.name: metric for metric in metrics}


def a_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("lines", "Lines read.", ["source"], registry=registry).labels("a").inc(3)
    Gauge("series", "Series.", registry=registry).set(7)
    Info("build", "Version.", registry=registry).info({"version": "1"})
    commits = Histogram("commit_seconds", "Time.", ["kind"], buckets=(1, 2), registry=registry)
    for kind, seconds in (("a", 0.5), ("a", 2.0), ("a", 9.0), ("b", 1.5)):
        commits.labels(kind).observe(seconds)
    return registry


def test_a_counter_keeps_the_name_that_becomes_the_scraped_one() -> None:
    metric = told(a_registry())["lines"]
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == pb.AGGREGATION_TEMPORALITY_CUMULATIVE
    (point,) = metric.sum.data_points
    assert (point.as_double, attributes(point)) == (3, {"source": "a"})
    assert (point.start_time_unix_nano, point.time_unix_nano) == (STARTED_NS, NOW)


def test_gauges_and_infos_are_gauges() -> None:
    metrics = told(a_registry())
    (series,), (build,) = (
        metrics["series"].gauge.data_points,
        metrics["build_info"].gauge.data_points,
    )
    assert series.as_double == 7
    assert (build.as_double, attributes(build)) == (1, {"version": "1"})


def test_each_histogram_has_its_own_counts() -> None:
    first, second = told(a_registry())["commit_seconds"].histogram.data_points
    assert attributes(first) == {"kind": "a"}
    assert list(first.explicit_bounds) == [1, 2]
    assert (list(first.bucket_counts), first.count, first.sum) == ([1, 1, 1], 3, 11.5)
    assert (list(second.bucket_counts), second.count, second.sum) == ([0, 1, 0], 1, 1.5)


def test_a_destination_that_wants_deltas_gets_no_cumulative_ones() -> None:
    assert set(told(a_registry(), is_delta=True)) == {"series", "build_info"}
