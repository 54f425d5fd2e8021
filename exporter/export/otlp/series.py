"""The ledger's series as OTLP metrics.

Points are protobuf messages that are made once for each series and changed in place: to make them
anew costs ten times as much, nearly all of it for attributes. What they amount to is the same as
the encoder of opentelemetry-exporter-otlp makes; a test holds them to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from exporter.export.otlp.attributes import SCOPE, add_attribute, nanoseconds, trace_id_bytes
from exporter.export.otlp.exponential import Exponential
from exporter.ledger import Exemplar, FamilySnapshot
from exporter.record import Indices, Numbers
from exporter.vocabulary import Instrument, InstrumentKind

POINTS_A_PAGE = 1000
"""Half a megabyte of histograms: encoded in a few milliseconds, in which no other thread runs, and
far below the 4 MiB that gRPC servers take by default."""

Point = Any
"""One of the three kinds of points, which share the fields that are set here."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is told of a family at one time.

    Attributes:
        rows: to tell, ascending.
        values: shape (len(rows), width).
        starts: since when the values count, nanoseconds since 1970, for each of `rows`.
        time: up to when, nanoseconds since 1970.
        exemplars: those that were not told before, by row, then by bucket.
    """

    rows: Indices
    values: Numbers
    starts: Sequence[int]
    time: int
    exemplars: Mapping[int, Mapping[int, Exemplar]]


class FamilyMessage:
    """The points of one family, kept in pages of `POINTS_A_PAGE`."""

    def __init__(
        self, instrument: Instrument, resource: Resource, *, is_delta: bool, is_exponential: bool
    ) -> None:
        self._instrument = instrument
        self._resource = resource
        self._temporality = (
            pb.AGGREGATION_TEMPORALITY_DELTA if is_delta else pb.AGGREGATION_TEMPORALITY_CUMULATIVE
        )
        self._is_histogram = instrument.kind is InstrumentKind.HISTOGRAM
        self._exponential = (
            Exponential.of(instrument.buckets) if self._is_histogram and is_exponential else None
        )
        self._pages: list[_Page] = []

    def pages(
        self, family: FamilySnapshot, window: Window, most_points: int = POINTS_A_PAGE
    ) -> Iterator[tuple[bytes, slice]]:
        """Serialized requests, each with the part of the window that it tells of.

        Args:
            most_points: of a request; not more than of a page.
        """
        self._grow(family)
        for number, page in enumerate(self._pages):
            first = number * POINTS_A_PAGE
            begin, end = np.searchsorted(window.rows, (first, first + POINTS_A_PAGE)).tolist()
            for start in range(begin, end, most_points):
                part = slice(start, min(end, start + most_points))
                places = (window.rows[part] - first).tolist()
                self._fill([page.points[place] for place in places], window, part)
                yield page.serialized(places), part

    def _grow(self, family: FamilySnapshot) -> None:
        """Points for rows that are new; rows are only ever appended."""
        known = sum(len(page.points) for page in self._pages)
        for row in range(known, len(family.labels)):
            if row % POINTS_A_PAGE == 0:
                self._pages.append(_Page(self._new_request()))
            point = self._pages[-1].add()
            for name, value in zip(family.attributes, family.labels[row], strict=True):
                if value:
                    add_attribute(point.attributes, name, value)
            if self._is_histogram and self._exponential is None:
                point.explicit_bounds[:] = self._instrument.buckets

    def _new_request(self) -> ExportMetricsServiceRequest:
        request = ExportMetricsServiceRequest()
        of_resource = request.resource_metrics.add(resource=self._resource)
        metric = of_resource.scope_metrics.add(scope=SCOPE).metrics.add(
            name=self._instrument.name,
            description=self._instrument.help,
            unit=self._instrument.unit,
        )
        if not self._is_histogram:
            metric.sum.aggregation_temporality = self._temporality
            metric.sum.is_monotonic = True
        elif self._exponential is None:
            metric.histogram.aggregation_temporality = self._temporality
        else:
            metric.exponential_histogram.aggregation_temporality = self._temporality
        return request

    def _fill(self, points: Sequence[Point], window: Window, part: slice) -> None:
        starts, rows, values = window.starts[part], window.rows[part].tolist(), window.values[part]
        for point, start, row in zip(points, starts, rows, strict=True):
            point.start_time_unix_nano = start
            point.time_unix_nano = window.time
            if self._is_histogram:
                del point.exemplars[:]
                for exemplar in window.exemplars.get(row, {}).values():
                    _add_exemplar(point, exemplar)
        if not self._is_histogram:
            for point, value in zip(points, values[:, 0].tolist(), strict=True):
                point.as_double = value
            return
        for point, count, total in zip(
            points, values[:, :-1].sum(axis=1).tolist(), values[:, -1].tolist(), strict=True
        ):
            point.count = int(count)
            point.sum = total
        if self._exponential is None:
            counts = values[:, :-1].astype(np.int64).tolist()
            for point, buckets in zip(points, counts, strict=True):
                point.bucket_counts[:] = buckets
        else:
            _fill_exponential(points, values[:, :-1], self._exponential)


def _fill_exponential(points: Sequence[Point], counts: Numbers, exponential: Exponential) -> None:
    zeros, spread = exponential.counts(counts)
    for point, zero, buckets in zip(points, zeros.tolist(), spread.tolist(), strict=True):
        point.scale = exponential.scale
        point.zero_threshold = exponential.zero_threshold
        point.zero_count = zero
        point.positive.offset = exponential.offset
        point.positive.bucket_counts[:] = buckets


def _add_exemplar(point: Point, exemplar: Exemplar) -> None:
    told = point.exemplars.add(as_double=exemplar.value)
    if exemplar.timestamp == exemplar.timestamp:  # Else it is unknown.
        told.time_unix_nano = nanoseconds(exemplar.timestamp)
    told.trace_id = trace_id_bytes(exemplar.trace_id)
    for name, value in (("request_id", exemplar.request_id), ("trace_id", exemplar.trace_id)):
        if value and not (name == "trace_id" and told.trace_id):
            add_attribute(told.filtered_attributes, name, value)


class _Page:
    """A request with one metric, and the points in it."""

    def __init__(self, request: ExportMetricsServiceRequest) -> None:
        self._request = request
        self.points: list[Point] = []

    def add(self) -> Point:
        """One more point."""
        self.points.append(_data(self._request).add())
        return self.points[-1]

    def serialized(self, places: Sequence[int]) -> bytes:
        """The request with some of its points."""
        if len(places) == len(self.points):
            return bytes(self._request.SerializeToString())
        request = ExportMetricsServiceRequest()
        request.CopyFrom(self._request)
        points = _data(request)
        del points[:]
        points.extend(self.points[place] for place in places)
        return bytes(request.SerializeToString())


def _data(request: ExportMetricsServiceRequest) -> Any:
    """The points of its only metric."""
    metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
    return getattr(metric, str(metric.WhichOneof("data"))).data_points
