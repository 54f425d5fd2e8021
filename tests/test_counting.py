"""All series together against an oracle: one request at a time, in plain Python."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from exporter import vocabulary as v
from exporter.accounting import Labelling
from exporter.prices import PRICED, Price, Prices
from exporter.record import Kind, Record
from tests.counting import MEMORY, Labels, Series, a_kind, a_record, counting

LABELLING = Labelling(attributes=("team",), models=("known",))
SEARCH = set(Phase) - {Phase.explain}  # An explanation takes minutes.
NO_MORE: Mapping[str, str] = {}
PRICE_LIST = [Price(("priced", "answered"), "CNY", (1.0, 2.0, -0.5, 0.25, 0.5, 10.0, 3.0, 0.1))]


@dataclass
class Oracle:
    """What the series should be, those apart that are zero."""

    series: Series = field(default_factory=dict)
    models: set[str] = field(default_factory=lambda: {"known", "unknown"})

    def commit(self, records: Iterable[Record]) -> None:
        self.models |= {record.kind.model for record in records if _succeeded(record.kind)}
        for record in records:
            self._count(record)

    def _count(self, record: Record) -> None:
        kind = record.kind
        identity = {
            v.MODEL: (kind.model or "unknown")
            if (kind.model or "unknown") in self.models
            else "other",
            v.PROVIDER: kind.provider or "unknown",
            v.OPERATION: kind.operation or "unknown",
            "team": kind.attributes[0],
        }
        self._identity = identity
        success = _succeeded(kind)
        error = {v.ERROR_TYPE: kind.error_type}
        token_in, token_out = {v.TOKEN_TYPE: "input"}, {v.TOKEN_TYPE: "output"}
        latency, first = record.latency, record.time_to_first_token
        given, made = record.input_tokens, record.output_tokens

        self._add(v.REQUESTS, 1, {v.STATUS_CODE: str(kind.status_code), **error})
        self._observe(v.REQUEST_DURATION, latency, error)
        self._observe(v.TIME_TO_FIRST_TOKEN, first)
        if latency is not None and first is not None and made is not None and made > 1:
            self._observe(v.TIME_PER_OUTPUT_TOKEN, (latency - first) / (made - 1))
        if latency is not None and record.upstream_time is not None:
            self._observe(v.OVERHEAD, max(0.0, latency - record.upstream_time))
        self._observe(v.TOKEN_USAGE, given, token_in)
        self._observe(v.TOKEN_USAGE, made, token_out)
        self._add(v.TOKENS, given, token_in)
        self._add(v.TOKENS, made, token_out)
        self._add(v.CACHED_INPUT_TOKENS, record.cached_input_tokens)
        self._add(v.CACHE_CREATION_INPUT_TOKENS, record.cache_creation_input_tokens)
        self._add(v.REASONING_OUTPUT_TOKENS, record.reasoning_output_tokens)
        by_operation = {"image_generation": "image", "speech": "audio"}
        modality = {v.MODALITY: by_operation.get(kind.operation, "text")}
        self._add(v.USAGE, (given or 0) + (made or 0), {v.UNIT: "token", **modality})
        if success:
            self._add(v.USAGE, record.images, {v.UNIT: "image", v.MODALITY: "image"})
            self._add(v.USAGE, record.seconds, {v.UNIT: "second", **modality})
            self._add(v.USAGE, record.characters, {v.UNIT: "character", **modality})
            if kind.operation in ("chat", "embeddings") and not kind.cache_hit:
                self._add(v.REQUESTS_WITHOUT_USAGE, given is None and made is None)
        if kind.finish_reason == "content_filter" or kind.error_type == "content_filter":
            self._add(v.CONTENT_FILTERED, 1)
        self._add(v.CACHE_HITS, kind.cache_hit)
        if record.cost:
            self._add(v.COST, record.cost, {v.CURRENCY: kind.currency, v.SOURCE: "reported"})
        elif "priced" in (kind.model, kind.response_model) or kind.response_model == "answered":
            self._add(v.COST, _estimate(record), {v.CURRENCY: "CNY", v.SOURCE: "estimated"})

    def _add(
        self, instrument: v.Instrument, amount: float | None, extra: Mapping[str, str] = NO_MORE
    ) -> None:
        if amount:
            self._of(instrument, extra, 1)[0] += amount

    def _observe(
        self, instrument: v.Instrument, value: float | None, extra: Mapping[str, str] = NO_MORE
    ) -> None:
        if value is not None:
            bounds = (*instrument.buckets, float("inf"))
            found = self._of(instrument, extra, len(bounds) + 1)
            found[next(i for i, bound in enumerate(bounds) if value <= bound)] += 1
            found[-1] += value

    def _of(self, instrument: v.Instrument, extra: Mapping[str, str], width: int) -> list[float]:
        labels: Labels = frozenset(
            (name, value) for name, value in {**self._identity, **extra}.items() if value
        )
        return self.series.setdefault((instrument.name, labels), [0.0] * width)


def _succeeded(kind: Kind) -> bool:
    return kind.status_code in (200, 201) and not kind.error_type


def _estimate(record: Record) -> float:
    (price,) = PRICE_LIST
    units = dict(zip(PRICED, price.per_unit, strict=True))
    if not _succeeded(record.kind):
        units = {name: unit for name, unit in units.items() if "tokens" in name}
    return max(0.0, sum((getattr(record, name) or 0) * unit for name, unit in units.items()))


def some(*values: str) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


KINDS = st.builds(
    a_kind,
    model=some("known", "qwen", "gpt", "priced", ""),
    response_model=some("", "answered"),
    status=st.sampled_from([200, 201, 404, 500]),
    error_type=some("", "", "client_aborted", "content_filter", "500"),
    provider=some("openai", ""),
    operation=some("chat", "embeddings", "image_generation", "speech", ""),
    cache_hit=st.booleans(),
    finish_reason=some("stop", "content_filter"),
    attributes=st.tuples(some("", "core", "edge")),
    currency=some("USD", "EUR"),
)
TOKENS = st.none() | st.integers(0, 10**6).map(float) | st.sampled_from(v.TOKEN_USAGE.buckets)
SECONDS = st.none() | st.floats(0, 700) | st.sampled_from(v.REQUEST_DURATION.buckets)
AMOUNTS = st.none() | st.floats(0, 1000).filter(lambda amount: amount == 0 or amount > 1e-9)
RECORDS = st.builds(
    a_record,
    kind=KINDS,
    latency=SECONDS,
    time_to_first_token=SECONDS,
    input_tokens=TOKENS,
    output_tokens=TOKENS,
    cached_input_tokens=TOKENS,
    cache_creation_input_tokens=TOKENS,
    reasoning_output_tokens=TOKENS,
    images=TOKENS,
    seconds=AMOUNTS,
    characters=TOKENS,
    cost=AMOUNTS,
    upstream_time=SECONDS,
).filter(lambda record: (record.time_to_first_token or 0) <= (record.latency or 0))
RUNS = st.lists(  # of commits of batches of records
    st.lists(st.lists(st.lists(RECORDS, max_size=8), max_size=3), max_size=4), max_size=3
)


@settings(max_examples=40, deadline=None, phases=SEARCH)
@given(RUNS)
def test_every_series_is_what_an_oracle_says_over_commits_and_restarts(
    runs: Sequence[Sequence[Sequence[Sequence[Record]]]],
) -> None:
    oracle = Oracle()
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        for commits in runs:
            with counting(Path(directory), LABELLING, Prices(PRICE_LIST)) as counted:
                for batches in commits:
                    counted.commit(*batches)
                    oracle.commit([record for batch in batches for record in batch])
                    agree(counted.series(), oracle.series)
        with counting(Path(directory), LABELLING) as counted:
            agree(counted.series(), oracle.series)


def agree(found: Series, expected: Series) -> None:
    """All counts are equal, all sums but for rounding; what the oracle lacks is zero."""
    assert {key: value for key, value in found.items() if any(value)}.keys() <= expected.keys()
    for key, value in expected.items():
        assert found[key][:-1] == value[:-1], key
        assert found[key][-1] == pytest.approx(value[-1], rel=1e-9), key
