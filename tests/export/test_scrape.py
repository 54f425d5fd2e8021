"""`/metrics`, read as Prometheus and its Python client read it."""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    HistogramMetricFamily,
    Metric,
    Timestamp,
)
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_latest
from prometheus_client.parser import text_string_to_metric_families as parsed_text
from prometheus_client.registry import Collector

from exporter.export import scrape
from exporter.export.scrape import Exposition
from exporter.ledger import Additions, FamilySnapshot, Ledger, PlacedExemplar
from exporter.ledger import Exemplar as OurExemplar
from exporter.selfmetrics import PipelineMetrics, ProcessMetrics
from exporter.vocabulary import (
    COST,
    IDENTITY,
    INSTRUMENTS,
    REQUEST_DURATION,
    TOKEN_USAGE,
    TOKENS,
    Instrument,
    InstrumentKind,
    prometheus_label,
)
from tests.counting import a_kind, a_record, counting

parsed_openmetrics: Callable[[str], Iterable[Metric]]
parsed_openmetrics = openmetrics_parser.text_string_to_metric_families

SEARCH = set(Phase) - {Phase.explain}  # An explanation takes minutes.
USED = (REQUEST_DURATION, TOKEN_USAGE, TOKENS, COST)


class Reference(Collector):
    """The same ledger, as prometheus-client writes it."""

    def __init__(self, ledger: Ledger, *, openmetrics: bool) -> None:
        self._ledger = ledger
        self._openmetrics = openmetrics

    def collect(self) -> Iterator[Metric]:
        for family in self._ledger.snapshot():
            if family.labels:
                is_histogram = family.instrument.kind is InstrumentKind.HISTOGRAM
                yield self._histogram(family) if is_histogram else self._counter(family)

    def _described(self, family: FamilySnapshot) -> dict[str, Any]:
        instrument = family.instrument
        return {
            "name": instrument.prometheus_family,
            "documentation": instrument.help,
            "unit": instrument.prometheus_unit,
            "labels": [prometheus_label(name) for name in family.attributes],
        }

    def _counter(self, family: FamilySnapshot) -> Metric:
        metric = CounterMetricFamily(**self._described(family))
        for row, labels in enumerate(family.labels):
            created = family.created[row] if self._openmetrics else None
            metric.add_metric(labels, float(family.values[row, 0]), created=created)
        return metric

    def _histogram(self, family: FamilySnapshot) -> Metric:
        metric = HistogramMetricFamily(**self._described(family))
        bounds = [*map(str, family.instrument.buckets), "+Inf"]
        for row, labels in enumerate(family.labels):
            shown = family.exemplars.get(row, {}) if self._openmetrics else {}
            counts = np.cumsum(family.values[row, :-1]).tolist()
            buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = [
                (bound, count, _exemplar(shown[bucket])) if bucket in shown else (bound, count)
                for bucket, (bound, count) in enumerate(zip(bounds, counts, strict=True))
            ]
            metric.add_metric(labels, buckets, float(family.values[row, -1]))
            if self._openmetrics:
                named = dict(zip(self._described(family)["labels"], labels, strict=True))
                name = f"{family.instrument.prometheus_family}_created"
                metric.add_sample(name, named, family.created[row])
        return metric


def _exemplar(exemplar: OurExemplar) -> Exemplar:
    labels = {"request_id": exemplar.request_id, "trace_id": exemplar.trace_id}
    known = {name: value for name, value in labels.items() if value}
    has_time = exemplar.timestamp == exemplar.timestamp
    return Exemplar(known, exemplar.value, exemplar.timestamp if has_time else None)


def rendered(exposition: Exposition, *, openmetrics: bool) -> str:
    return asyncio.run(exposition.render(openmetrics)).decode()


def read(text: str, *, openmetrics: bool) -> list[tuple[Any, ...]]:
    """Families in order, each with its samples; empty labels and bounds as Prometheus has them."""
    parse = parsed_openmetrics if openmetrics else parsed_text
    return [
        (
            *(family.name, family.type, family.documentation, family.unit),
            [
                (sample.name, _normal(sample.labels), sample.value, sample.exemplar)
                for sample in family.samples
            ],
        )
        for family in parse(text)
    ]


def _normal(labels: Mapping[str, str]) -> frozenset[tuple[str, str | float]]:
    return frozenset(
        (name, float(value) if name == "le" else value) for name, value in labels.items() if value
    )


NASTY = [
    *(
        '"',
        "\\",
        "\n",
        "\\n",
        '\\"',
        "%",
        "%s",
        "%%d",
        "{}",
        "}",
        ",",
        "=",
        "#",
        " # {",
        "a b",
        "\t",
    ),
    *("\r", "\x00", "\x85", "\u2028", "模型", "😀", "é", "e\u0301", " ", "le", '",le="1'),
]
TEXTS = st.text(max_size=6) | st.lists(st.sampled_from(NASTY), max_size=4).map("".join)
LABELS = TEXTS.map(lambda text: text.encode("utf-8", "replace").decode())


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Some series in some families, with exemplars."""
    moment = draw(st.floats(0, 4e9))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    ledger = Ledger(INSTRUMENTS, (*IDENTITY, "team"), clock=lambda: moment)
    additions, placed = Additions(), []
    for instrument in USED:
        family = ledger[instrument]
        for labels in draw(st.lists(st.tuples(*[LABELS] * len(family.attributes)), max_size=3)):
            row = ledger.row(instrument, labels)
            counts = random.integers(0, random.choice([2, 2**47]), (1, family.width)).astype(float)
            counts[0, -1] = random.choice([0, 0.1, 1e-300, 1e300, 2**53, random.random()])
            additions.add(family, np.array([row]), counts)
            if instrument.kind is InstrumentKind.HISTOGRAM:
                placed += draw(st.lists(_placed(instrument, row), max_size=3))
    ledger.publish(ledger.changes(additions), placed)
    return ledger


def _placed(instrument: Instrument, row: int) -> st.SearchStrategy[PlacedExemplar]:
    times = st.just(float("nan")) | st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000)
    # The client's parser takes a quote that is escaped in an exemplar for the end of it.
    ids = LABELS.map(lambda text: text.replace('"', "'"))
    exemplars = st.builds(OurExemplar, ids.filter(bool), ids, st.floats(0, 1e6), times)
    buckets = st.integers(0, len(instrument.buckets))
    return st.builds(PlacedExemplar, st.just(instrument), st.just(row), buckets, exemplars)


@settings(max_examples=100, deadline=None, phases=SEARCH)
@given(ledger=ledgers(), openmetrics=st.booleans())
def test_it_reads_as_what_prometheus_client_writes(ledger: Ledger, openmetrics: bool) -> None:
    registry = CollectorRegistry()
    registry.register(Reference(ledger, openmetrics=openmetrics))
    latest = openmetrics_latest if openmetrics else generate_latest
    ours = rendered(Exposition(ledger, CollectorRegistry()), openmetrics=openmetrics)
    theirs = latest(registry).decode()
    assert read(ours, openmetrics=openmetrics) == read(theirs, openmetrics=openmetrics)


def test_openmetrics_names_families_units_and_births() -> None:
    with counting() as counted:
        counted.commit([a_record(latency=0.5, input_tokens=7)])
        exposition = Exposition(counted.ledger, CollectorRegistry())
        text = rendered(exposition, openmetrics=True)
        identity = (
            'gen_ai_request_model="qwen",gen_ai_provider_name="openai",gen_ai_operation_name="chat"'
        )
        created = counted.ledger[REQUEST_DURATION].created[0]
        lines = text.splitlines()
        assert lines[-1] == "# EOF"
        assert set(lines) >= {
            "# TYPE gen_ai_server_request_duration_seconds histogram",
            "# UNIT gen_ai_server_request_duration_seconds seconds",
            "# TYPE llm_gateway_requests counter",
            f'llm_gateway_tokens_total{{{identity},gen_ai_token_type="input"}} 7.0',
            f'gen_ai_server_request_duration_seconds_bucket{{{identity},le="0.32"}} 0',
            f'gen_ai_server_request_duration_seconds_bucket{{{identity},le="0.64"}} 1',
            f'gen_ai_server_request_duration_seconds_bucket{{{identity},le="+Inf"}} 1',
            f"gen_ai_server_request_duration_seconds_created{{{identity}}} {created}",
        }
        assert "_created" not in rendered(exposition, openmetrics=False)


def test_a_series_may_have_no_label_at_all() -> None:
    ledger = Ledger(INSTRUMENTS, IDENTITY)
    for instrument, labels in ((REQUEST_DURATION, [""] * 4), (TOKENS, [""] * 4)):
        ledger.row(instrument, tuple(labels))
    ledger.publish(ledger.changes(Additions()))
    text = rendered(Exposition(ledger, CollectorRegistry()), openmetrics=True)
    assert 'duration_seconds_bucket{le="0.01"} 0\n' in text
    assert "llm_gateway_tokens_total{} 0.0\n" in text
    assert len(read(text, openmetrics=True)) == 2


def test_bounds_are_spelt_as_prometheus_spells_them() -> None:
    with counting() as counted:
        counted.commit([a_record(latency=0.5, input_tokens=7)])
        text = rendered(Exposition(counted.ledger, CollectorRegistry()), openmetrics=False)
    assert {'le="1.0"', 'le="4096.0"', 'le="6.7108864e+07"', 'le="655.36"', 'le="+Inf"'} <= {
        part for line in text.splitlines() for part in line.replace("}", ",").split(",")
    }


def test_a_request_can_be_found_by_the_exemplar_of_its_bucket() -> None:
    with counting() as counted:
        record = a_record(request_id="req-1", trace_id="abc", latency=0.5, start_time=1000)
        counted.commit([record, record._replace(request_id="req-2", trace_id="", latency=5000)])
        exposition = Exposition(counted.ledger, CollectorRegistry())
        text = rendered(exposition, openmetrics=True)
        assert "req-1" not in rendered(exposition, openmetrics=False)
    shown = {
        sample.labels["le"]: sample.exemplar
        for family in parsed_openmetrics(text)
        for sample in family.samples
        if sample.exemplar
    }
    assert shown == {
        "0.64": Exemplar(
            {"request_id": "req-1", "trace_id": "abc"}, 0.5, Timestamp(1000, 5 * 10**8)
        ),
        "+Inf": Exemplar({"request_id": "req-2"}, 5000, Timestamp(6000, 0)),
    }


def test_a_later_scrape_has_later_values_and_series() -> None:
    with counting() as counted:
        exposition = Exposition(counted.ledger, CollectorRegistry())
        assert rendered(exposition, openmetrics=False) == ""
        for model in ("first", "second"):
            counted.commit([a_record(a_kind(model))])
            counted.commit([a_record(a_kind("first"), latency=1)])
            text = rendered(exposition, openmetrics=False)
        samples = [sample for family in parsed_text(text) for sample in family.samples]
        requests = [each for each in samples if each.name == "llm_gateway_requests_total"]
        by_model = {
            each.labels["gen_ai_request_model"]: each.value for each in requests if each.value
        }
        assert by_model == {"first": 3, "second": 1}


def test_series_beyond_a_slice_are_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "SAMPLES_A_SLICE", 3)
    with counting() as counted:
        counted.commit([a_record(a_kind(f"model-{n}"), f"r{n}", latency=n) for n in range(10)])
        text = rendered(Exposition(counted.ledger, CollectorRegistry()), openmetrics=True)
    durations = next(family for family in parsed_openmetrics(text) if "duration" in family.name)
    sums = {
        sample.labels["gen_ai_request_model"]: sample.value
        for sample in durations.samples
        if sample.name.endswith("_sum")
    }
    assert sums == {f"model-{n}": float(n) for n in range(10)}
    found = {
        sample.labels["gen_ai_request_model"]: sample.exemplar.labels["request_id"]
        for sample in durations.samples
        if sample.exemplar
    }
    assert found == {f"model-{n}": f"r{n}" for n in range(10)}


@pytest.mark.parametrize("openmetrics", [True, False])
def test_what_is_told_about_the_exporter_is_as_its_library_writes_it(openmetrics: bool) -> None:
    registry = CollectorRegistry()
    Counter("commits", "How many.", ["how"], registry=registry).labels("well").inc()
    Histogram("took_seconds", "How long.", registry=registry).observe(0.2)
    latest = openmetrics_latest if openmetrics else generate_latest
    with counting() as counted:
        text = rendered(Exposition(counted.ledger, registry), openmetrics=openmetrics)
    assert text == latest(registry).decode()


def test_a_scrape_amid_commits_is_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit adds a request of each model; a scrape sees all of a commit or nothing of it."""
    monkeypatch.setattr(scrape, "SAMPLES_A_SLICE", 2)
    with counting() as counted:
        exposition = Exposition(counted.ledger, CollectorRegistry())
        models = [a_kind(f"model-{n}") for n in range(5)]
        stopping = threading.Event()

        def commit() -> None:
            while not stopping.is_set():
                counted.commit([a_record(kind, latency=1, input_tokens=1) for kind in models])

        writer = threading.Thread(target=commit)
        writer.start()
        try:
            seen: set[float] = set()
            while len(seen) < 10:
                values = set(_request_counts(rendered(exposition, openmetrics=True)))
                assert len(values) <= 1
                seen |= values
        finally:
            stopping.set()
            writer.join()


def _request_counts(text: str) -> Iterator[float]:
    """By each series that counts requests, or something that each has one of."""
    for family in parsed_openmetrics(text):
        for sample in family.samples:
            is_last = sample.labels.get("le") == "+Inf"
            if sample.labels.get("gen_ai_token_type") != "output" and (
                is_last or sample.name.endswith(("_count", "_sum", "_gateway_tokens_total"))
            ):
                yield sample.value


def test_promtool_finds_nothing_wrong_with_it(promtool: Path) -> None:
    registry = CollectorRegistry()
    ProcessMetrics(registry)
    PipelineMetrics(registry)
    with counting() as counted:
        kinds = [a_kind(streamed=True), a_kind('"\\\n模型%', 429), a_kind(operation="speech")]
        counted.commit(
            [
                a_record(
                    kind,
                    latency=3,
                    time_to_first_token=1,
                    input_tokens=9,
                    output_tokens=5,
                    cached_input_tokens=1,
                    characters=4,
                    cost=0.1,
                    upstream_time=2,
                )
                for kind in kinds
            ]
        )
        text = rendered(Exposition(counted.ledger, registry), openmetrics=False)
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
