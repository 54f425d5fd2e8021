"""The ledger as OTLP metrics, held to what the encoder of opentelemetry-exporter-otlp makes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from exporter import __version__
from exporter.export.otlp import series
from exporter.export.otlp.attributes import SERVICE_NAME, nanoseconds, resource
from exporter.export.otlp.series import FamilyMessage
from exporter.export.otlp.windows import FamilyWindows
from exporter.ledger import FamilySnapshot
from exporter.vocabulary import (
    REQUEST_DURATION,
    REQUESTS,
    STATUS_CODE,
    TOKEN_USAGE,
    TOKENS,
    InstrumentKind,
)
from tests.counting import Counting, a_kind, a_record, counting

NOW = 1_800_000_000_000_000_000
TEMPORALITIES = {
    False: AggregationTemporality.CUMULATIVE,
    True: AggregationTemporality.DELTA,
}


@pytest.fixture
def counted() -> Iterator[Counting]:
    with counting() as found:
        found.commit(
            [
                a_record(a_kind(model), input_tokens=tokens, output_tokens=7, latency=latency)
                for model, tokens, latency in [
                    ("qwen-plus", 300, 0.3),
                    ("qwen-plus", 5, 0.02),
                    ("qwen-max", 1e9, 900.0),
                    ('quoted "model"\n', 1, 0.01),
                ]
            ]
            + [a_record(a_kind("qwen-plus", 429), latency=0.05)]
        )
        yield found


def test_each_family_is_encoded_as_the_reference_encodes_it(counted: Counting) -> None:
    for family in counted.ledger.snapshot():
        if len(family.labels):
            assert _told(family) == _reference(family, NOW), family.instrument.name


def test_a_delta_is_encoded_as_the_reference_encodes_it(counted: Counting) -> None:
    families = {family.instrument: family for family in counted.ledger.snapshot()}
    told = _told(families[TOKENS], is_delta=True)
    assert told == _reference(families[TOKENS], NOW, is_delta=True)


def test_a_family_of_several_pages_is_told_whole(
    counted: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "POINTS_A_PAGE", 2)
    family = next(f for f in counted.ledger.snapshot() if f.instrument is REQUESTS)
    assert len(family.labels) > 4
    message, windows = _message(family), FamilyWindows(is_delta=False)
    window = windows.next(family, NOW)
    pages = [ExportMetricsServiceRequest.FromString(p) for p, _ in message.pages(family, window)]
    assert [len(_points(page)) for page in pages[:2]] == [2, 2]
    values = [point.as_double for page in pages for point in _points(page)]
    assert values == family.values[:, 0].tolist()


def test_a_series_born_later_and_a_changed_value_are_in_the_next_request(counted: Counting) -> None:
    windows = FamilyWindows(is_delta=False)
    before = _family(counted)
    message = _message(before)
    list(message.pages(before, windows.next(before, NOW)))
    counted.commit([a_record(a_kind("new")), a_record(a_kind("qwen-max"))])
    after = _family(counted)
    ((page, _),) = message.pages(after, windows.next(after, NOW + 1))
    assert ExportMetricsServiceRequest.FromString(page) == _reference(after, NOW + 1)
    assert len(after.labels) > len(before.labels)


def test_a_status_code_is_a_number_as_the_conventions_have_it(counted: Counting) -> None:
    points = _points(_told(_family(counted)))
    codes = {
        pair.value.WhichOneof("value")
        for point in points
        for pair in point.attributes
        if pair.key == STATUS_CODE
    }
    assert codes == {"int_value"}


def test_exemplars_are_told_once_with_their_trace() -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    with counting() as counted:
        counted.commit(
            [
                a_record(request_id="req-1", trace_id=trace_id, latency=0.3, start_time=1e9),
                a_record(request_id="req-2", trace_id="not hexadecimal", latency=30.0),
            ]
        )
        family = next(f for f in counted.ledger.snapshot() if f.instrument is REQUEST_DURATION)
        message, windows = _message(family), FamilyWindows(is_delta=False)
        window = windows.next(family, NOW)
        ((page, part),) = message.pages(family, window)
        first, second = (
            exemplar
            for point in _points(ExportMetricsServiceRequest.FromString(page))
            for exemplar in point.exemplars
        )
        assert first.trace_id.hex() == trace_id
        assert {a.key: a.value.string_value for a in first.filtered_attributes} == {
            "request_id": "req-1"
        }
        assert first.as_double == 0.3
        assert {a.key: a.value.string_value for a in second.filtered_attributes} == {
            "request_id": "req-2",
            "trace_id": "not hexadecimal",
        }
        windows.delivered(window, part)
        windows.finished(family)
        ((page, _),) = message.pages(family, windows.next(family, NOW))
        again = _points(ExportMetricsServiceRequest.FromString(page))
        assert not any(point.exemplars for point in again)


def test_an_exponential_histogram_keeps_count_sum_and_tokens_exactly() -> None:
    with counting() as counted:
        counted.commit([a_record(input_tokens=tokens) for tokens in (1, 4, 5, 16, 17, 1e12)])
        family = next(f for f in counted.ledger.snapshot() if f.instrument is TOKEN_USAGE)
        point = next(
            point for point in _points(_told(family, is_exponential=True)) if point.count == 6
        )
    assert point.sum == 1 + 4 + 5 + 16 + 17 + 1e12
    assert (point.zero_count, point.zero_threshold) == (1, 1.0)
    base = 2.0 ** (2.0**-point.scale)
    by_power_of_four: dict[int, int] = {}
    for index, count in enumerate(point.positive.bucket_counts, point.positive.offset):
        if count:
            upper = base ** (index + 1)
            power = int(np.ceil(np.log2(upper) / 2 - 1e-9))
            by_power_of_four[power] = by_power_of_four.get(power, 0) + count
    assert by_power_of_four == {1: 1, 2: 2, 3: 1, 14: 1}


def _family(counted: Counting) -> FamilySnapshot:
    return next(f for f in counted.ledger.snapshot() if f.instrument is REQUESTS)


def _message(
    family: FamilySnapshot, *, is_delta: bool = False, is_exponential: bool = False
) -> FamilyMessage:
    return FamilyMessage(
        family.instrument, resource("id"), is_delta=is_delta, is_exponential=is_exponential
    )


def _told(
    family: FamilySnapshot, *, is_delta: bool = False, is_exponential: bool = False
) -> ExportMetricsServiceRequest:
    window = FamilyWindows(is_delta=is_delta).next(family, NOW)
    message = _message(family, is_delta=is_delta, is_exponential=is_exponential)
    ((page, _),) = message.pages(family, window)
    return ExportMetricsServiceRequest.FromString(page)


def _points(request: ExportMetricsServiceRequest) -> Any:
    (metric,) = request.resource_metrics[0].scope_metrics[0].metrics
    return getattr(metric, str(metric.WhichOneof("data"))).data_points


def _reference(
    family: FamilySnapshot, now: int, *, is_delta: bool = False
) -> ExportMetricsServiceRequest:
    """What the library makes of the same family."""
    instrument = family.instrument
    points: list[Any] = []
    for row, labels in enumerate(family.labels):
        value = family.values[row]
        if is_delta and not value.any():
            continue
        named = zip(family.attributes, labels, strict=True)
        described: dict[str, Any] = {
            "attributes": {
                name: int(text) if name == STATUS_CODE else text for name, text in named if text
            },
            "start_time_unix_nano": nanoseconds(family.created[row]),
            "time_unix_nano": now,
        }
        if instrument.kind is InstrumentKind.COUNTER:
            points.append(NumberDataPoint(**described, value=float(value[0])))
        else:
            point = HistogramDataPoint(
                **described,
                count=int(value[:-1].sum()),
                sum=float(value[-1]),
                bucket_counts=[int(count) for count in value[:-1]],
                explicit_bounds=instrument.buckets,
                min=None,  # type: ignore[arg-type]  # The encoder leaves them out then.
                max=None,  # type: ignore[arg-type]
            )
            points.append(point)
    temporality = TEMPORALITIES[is_delta]
    data: Sum | Histogram = (
        Sum(points, temporality, is_monotonic=True)
        if instrument.kind is InstrumentKind.COUNTER
        else Histogram(points, temporality)
    )
    metric = Metric(instrument.name, instrument.help, instrument.unit, data)
    scope = ScopeMetrics(InstrumentationScope(SERVICE_NAME, __version__), [metric], "")
    about = {pair.key: pair.value.string_value for pair in resource("id").attributes}
    return encode_metrics(MetricsData([ResourceMetrics(Resource(about), [scope], "")]))
