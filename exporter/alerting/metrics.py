"""What can be watched, in the words of a monitoring page, and how it follows from the series.

A metric is what one window of time is judged by: an amount, a share, a mean or a quantile of what
happened in it, or a state. Each rests on measures: sums of what counters grew by.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from exporter import vocabulary as v
from exporter.alerting import labels
from exporter.alerting.promql import Matcher
from exporter.vocabulary import Instrument

LABELS: Mapping[str, str] = {
    "model": labels.MODEL,
    "provider": labels.PROVIDER,
    "operation": labels.OPERATION,
}
"""Words of a definition for the labels that every series has."""


class Unit(Enum):
    """Units of thresholds and values, by the word for one of them."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    SECONDS = "seconds"
    SHARE = "share"
    MONEY = "money"
    BYTES = "bytes"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a counter grew by.

    Attributes:
        name: middle part of its records' names.
        series: the counter.
        matchers: of the counter's series, those that count.
        minus: what is taken off: the same counter's series with these matchers.
        has_buckets: it is a histogram's, and has the label `le`.
        by: labels by which it is kept apart, where these are not those of a gateway.
    """

    name: str
    series: str
    matchers: tuple[Matcher, ...] = ()
    minus: tuple[Matcher, ...] = ()
    has_buckets: bool = False
    by: tuple[str, ...] = ()

    @property
    def of_buckets(self) -> bool:
        """Whether it counts in buckets, all or some of them."""
        return self.series.endswith("_bucket")


@dataclass(frozen=True, slots=True)
class Amount:
    """A measure itself, or its mean per minute."""

    measure: Measure
    per_minute: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """One measure's part of another."""

    name: str
    part: Measure
    whole: Measure


@dataclass(frozen=True, slots=True)
class Mean:
    """A sum divided by a number of things."""

    name: str
    total: Measure
    count: Measure


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a histogram.

    Attributes:
        bounds: of its buckets, without +Inf.
    """

    name: str
    buckets: Measure
    quantile: float
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Age:
    """Seconds since the time that a gauge holds."""

    name: str
    series: str


@dataclass(frozen=True, slots=True)
class State:
    """What a gauge says now.

    Attributes:
        matchers: of the gauge's series, those that are meant.
        operation: that makes one value of several.
    """

    name: str
    series: str
    matchers: tuple[Matcher, ...] = ()
    operation: str = "max"


@dataclass(frozen=True, slots=True)
class Down:
    """1 where targets that had `series` within the last day cannot be scraped, else 0."""

    name: str
    series: str


Kind: TypeAlias = Amount | Share | Mean | Quantile | State | Age | Down


@dataclass(frozen=True, slots=True)
class Metric:
    """One word of the page.

    Attributes:
        text: what a person calls it in a sentence.
        traffic: the number of things that a value rests on; None where few are as good as many.
        by: labels by which it is watched unless the definition says otherwise, in its words.
        status: of the requests that a person wants to see, as the /requests page filters them.
        group: rules of one group are evaluated one after another, so that records can be chained.
    """

    text: str
    kind: Kind
    unit: Unit
    group: str
    traffic: Measure | None = None
    by: tuple[str, ...] = ("model",)
    status: str = ""

    @property
    def is_own(self) -> bool:
        """Whether it is about the exporter, and not about models."""
        return self.group == _EXPORTER


def _measure(instrument: Instrument, name: str, *matchers: Matcher) -> Measure:
    return Measure(name, instrument.prometheus_name, matchers)


def _histogram(instrument: Instrument, suffix: str, *matchers: Matcher) -> Measure:
    series = f"{instrument.prometheus_name}_{suffix}"
    return Measure(series, series, matchers, has_buckets=suffix == "bucket")


ALL_REQUESTS = _measure(v.REQUESTS, "llm_gateway_requests")
JUDGED = _measure(v.REQUESTS, "llm_gateway_judged_requests", labels.JUDGED)
FAILURES = _measure(v.REQUESTS, "llm_gateway_failures", labels.FAILED)
SUCCESSES = _measure(v.REQUESTS, "llm_gateway_successes", labels.SUCCEEDED)
THROTTLED = _measure(v.REQUESTS, "llm_gateway_throttled", Matcher(labels.STATUS_CODE, "=", "429"))
TOKENS = _measure(v.TOKENS, "llm_gateway_tokens")
WITHOUT_USAGE = _measure(v.REQUESTS_WITHOUT_USAGE, "llm_gateway_requests_without_usage")
CONTENT_FILTERED = _measure(v.CONTENT_FILTERED, "llm_gateway_content_filtered")

_TRAFFIC, _EXPORTER = "traffic", "exporter"
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def _durations(
    word: str, text: str, instrument: Instrument, *matchers: Matcher
) -> dict[str, Metric]:
    """The mean and the quantiles of a histogram of seconds."""
    name = instrument.prometheus_name
    buckets = _histogram(instrument, "bucket", *matchers)
    count = _histogram(instrument, "count", *matchers)
    mean = Mean(name, _histogram(instrument, "sum", *matchers), count)
    metrics = {
        f"{word}_average": Metric(f"average {text}", mean, Unit.SECONDS, word, count),
    }
    for rank, share in _QUANTILES.items():
        quantile = Quantile(name, buckets, share, instrument.buckets)
        metrics[f"{word}_{rank}"] = Metric(f"{rank} {text}", quantile, Unit.SECONDS, word, count)
    return metrics


def _traffic(
    text: str, kind: Kind, unit: Unit, traffic: Measure | None = None, status: str = ""
) -> Metric:
    return Metric(text, kind, unit, _TRAFFIC, traffic, status=status)


def _type_of_token(kind: str) -> Measure:
    return _measure(v.TOKENS, f"llm_gateway_{kind}_tokens", Matcher(labels.TOKEN_TYPE, "=", kind))


def _own(name: str) -> Measure:
    series = f"llm_gateway_exporter_{name}_total"
    return Measure(series.removesuffix("_total"), series, by=("job", "instance"))


def _remaining(unit: str) -> Kind:
    name = v.RATELIMIT_REMAINING.prometheus_name
    return State(f"{name}_{unit}", name, (Matcher(v.UNIT, "=", unit),), "min")


def _exporter(text: str, kind: Kind, unit: Unit, *more: str) -> Metric:
    return Metric(text, kind, unit, _EXPORTER, by=("job", "instance", *more))


METRICS: Mapping[str, Metric] = {
    "total_tokens": _traffic("tokens", Amount(TOKENS), Unit.TOKENS, ALL_REQUESTS),
    "input_tokens": _traffic(
        "input tokens", Amount(_type_of_token("input")), Unit.TOKENS, ALL_REQUESTS
    ),
    "output_tokens": _traffic(
        "output tokens", Amount(_type_of_token("output")), Unit.TOKENS, ALL_REQUESTS
    ),
    "tokens_per_minute": _traffic(
        "tokens per minute", Amount(TOKENS, per_minute=True), Unit.TOKENS, ALL_REQUESTS
    ),
    "tokens_per_request": _traffic(
        "tokens per request",
        Mean("llm_gateway_tokens_per_request", TOKENS, SUCCESSES),
        Unit.TOKENS,
        SUCCESSES,
    ),
    "requests": _traffic("requests", Amount(ALL_REQUESTS), Unit.REQUESTS, ALL_REQUESTS),
    "requests_per_minute": _traffic(
        "requests per minute", Amount(ALL_REQUESTS, per_minute=True), Unit.REQUESTS, ALL_REQUESTS
    ),
    "success_rate": _traffic(
        *("success rate", Share("llm_gateway_success", SUCCESSES, JUDGED), Unit.SHARE, JUDGED),
        status="error",
    ),
    "error_rate": _traffic(
        *("error rate", Share("llm_gateway_error", FAILURES, JUDGED), Unit.SHARE, JUDGED),
        status="error",
    ),
    "failures": _traffic(
        "failed requests", Amount(FAILURES), Unit.REQUESTS, ALL_REQUESTS, status="error"
    ),
    "status_count": _traffic("requests", Amount(ALL_REQUESTS), Unit.REQUESTS, ALL_REQUESTS),
    "status_rate": _traffic(
        "share of requests",
        Share("llm_gateway_status", ALL_REQUESTS, ALL_REQUESTS),
        Unit.SHARE,
        ALL_REQUESTS,
    ),
    "throttled": _traffic(
        "throttled requests", Amount(THROTTLED), Unit.REQUESTS, ALL_REQUESTS, status="429"
    ),
    "throttled_rate": _traffic(
        "share of throttled requests",
        Share("llm_gateway_throttled", THROTTLED, ALL_REQUESTS),
        Unit.SHARE,
        ALL_REQUESTS,
        status="429",
    ),
    "content_filtered": _traffic(
        "requests refused by content moderation",
        Amount(CONTENT_FILTERED),
        Unit.REQUESTS,
        ALL_REQUESTS,
    ),
    "content_filtered_rate": _traffic(
        "share of requests refused by content moderation",
        Share("llm_gateway_content_filtered", CONTENT_FILTERED, ALL_REQUESTS),
        Unit.SHARE,
        ALL_REQUESTS,
    ),
    "without_usage": _traffic(
        *("successful requests without token usage", Amount(WITHOUT_USAGE), Unit.REQUESTS),
        SUCCESSES,
        status="success",
    ),
    "without_usage_rate": _traffic(
        "share of successful requests without token usage",
        Share("llm_gateway_without_usage", WITHOUT_USAGE, SUCCESSES),
        Unit.SHARE,
        SUCCESSES,
        status="success",
    ),
    "cost": _traffic(
        "cost", Amount(_measure(v.COST, "llm_gateway_cost")), Unit.MONEY, ALL_REQUESTS
    ),
    **_durations("latency", "latency", v.REQUEST_DURATION, labels.SUCCEEDED),
    **_durations("ttft", "time to first token", v.TIME_TO_FIRST_TOKEN),
    **_durations("time_per_output_token", "time per output token", v.TIME_PER_OUTPUT_TOKEN),
    **_durations("overhead", "gateway overhead", v.OVERHEAD),
    "ratelimit_requests": _traffic(
        "requests left until the provider's limit", _remaining("request"), Unit.REQUESTS
    ),
    "ratelimit_tokens": _traffic(
        "tokens left until the provider's limit", _remaining("token"), Unit.TOKENS
    ),
    "exporter_down": _exporter(
        "exporters that cannot be scraped",
        Down("llm_gateway_exporter_down", "llm_gateway_exporter_build_info"),
        Unit.COUNT,
    ),
    "commit_age": _exporter(
        "time since the last commit",
        Age(
            "llm_gateway_exporter_commit_age", "llm_gateway_exporter_last_commit_timestamp_seconds"
        ),
        Unit.SECONDS,
    ),
    "exporter_behind": _exporter(
        "time that the reader is behind the writer of a log",
        State("llm_gateway_exporter_tail_behind", "llm_gateway_exporter_tail_behind_seconds"),
        Unit.SECONDS,
        "source",
    ),
    "otlp_unsent_age": _exporter(
        "age of the oldest telemetry that OTLP has not delivered",
        State(
            "llm_gateway_exporter_otlp_unsent_age",
            "llm_gateway_exporter_otlp_oldest_unsent_age_seconds",
        ),
        Unit.SECONDS,
        "destination",
        "signal",
    ),
    "commit_failures": _exporter("failed commits", Amount(_own("commit_failures")), Unit.COUNT),
    "worker_restarts": _exporter(
        "workers that ended and were started again", Amount(_own("worker_restarts")), Unit.COUNT
    ),
    "bytes_abandoned": _exporter(
        "bytes of logs deleted before they were read",
        Amount(_own("tail_abandoned_bytes")),
        Unit.BYTES,
    ),
    "series_folded": _exporter(
        "requests folded into `other`", Amount(_own("series_folded")), Unit.COUNT
    ),
    "lines_rejected": _exporter("log lines rejected", Amount(_own("lines_rejected")), Unit.COUNT),
}
"""Every metric by its word; `of_status` and `of_currency` narrow those that have such a choice."""

BY_STATUS = ("status_count", "status_rate")
BY_CURRENCY = ("cost",)


def of_status(metric: Metric, status: str) -> Metric:
    """A metric of requests with one status code, or of a class of them such as `5xx`."""
    matcher = (
        Matcher(labels.STATUS_CODE, "=~", f"{status[0]}..")
        if status.endswith("xx")
        else Matcher(labels.STATUS_CODE, "=", status)
    )
    part = replace(ALL_REQUESTS, name=f"llm_gateway_requests_{status}", matchers=(matcher,))
    if isinstance(metric.kind, Share):
        kind: Kind = Share(f"llm_gateway_status_{status}", part, ALL_REQUESTS)
    else:
        kind = Amount(part)
    return replace(metric, text=f"{metric.text} with status {status}", kind=kind, status=status)


def of_currency(metric: Metric, currency: str) -> Metric:
    """Cost in one currency: sums over several mean nothing."""
    measure = Measure(
        f"llm_gateway_cost_{currency.lower()}",
        v.COST.prometheus_name,
        (Matcher(v.CURRENCY, "=", currency),),
    )
    return replace(metric, text=f"cost in {currency}", kind=Amount(measure))
