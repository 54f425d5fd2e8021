"""A threshold, and when its alert fires."""

from collections.abc import Iterator, Mapping
from math import ceil, inf
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ModelWrapValidatorHandler, model_validator

from exporter.alerting.metrics import (
    BY_CURRENCY,
    BY_STATUS,
    METRICS,
    Amount,
    Down,
    Kind,
    Metric,
    Quantile,
    Share,
    Unit,
    of_currency,
    of_status,
)
from exporter.alerting.thresholds import Threshold, form_of, wrong_form
from exporter.alerting.watched import FEWEST, Watched, enough_for_two
from exporter.alerting.words import AGAINST, OFFSETS_S, SEVERITIES, Severity
from exporter.documents import Finding, sound
from exporter.mistakes import unknown
from exporter.quantities import Duration, between

NO_DATA = "NoData"
"""What an alert's name ends in, of the one that tells that there is no value."""


def _known_metric(word: str) -> str:
    if word not in METRICS:
        raise ValueError(unknown("metric", word, METRICS))
    return word


MetricWord = Annotated[str, AfterValidator(_known_metric)]


class Alert(Watched):
    """A threshold, and what happens when a metric crosses it."""

    metric: MetricWord
    """What is watched."""

    status: Annotated[str, Field(pattern="^[1-5]([0-9][0-9]|xx)$")] | None = None
    """Status code, such as "503", or class, such as "5xx", of status_count and status_rate."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    """Currency of cost."""

    period: Annotated[Duration, between(Duration("1s"), Duration("30d"))] = Duration("5m")
    """Length of a window."""

    periods: Annotated[int, Field(ge=1, le=1000)] = 1
    """Windows in a row that must be over the threshold."""

    breaching: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many of the `periods` last windows must be over the threshold; all, when left out."""

    compare: Literal["above", "at_least", "below", "at_most"] = "above"
    """How the value is compared with the threshold."""

    against: Literal["yesterday", "last_week", "previous_period"] | None = None
    """Compare the change, in percent, since then instead of the value."""

    floor: Threshold | None = None
    """Of a change: the greater of both values must be at least this."""

    severities: Annotated[Mapping[Severity, Threshold], Field(min_length=1)]
    """A threshold for each severity: critical, error, warning, info."""

    no_data: Literal["ignore", "alert", "keep"] = "ignore"
    """What it means when there is no value: nothing, an alert of its own at a lower severity, or
    that the alert goes on as it was (for `keep_firing_for`)."""

    keep_firing_for: Annotated[Duration, between(Duration("1m"), Duration("7d"))] | None = None
    """How long an alert goes on firing after its value came back; 1h when no_data is keep."""

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        alert = handler(data)
        return sound(alert, _incoherences(alert))

    def meaning(self) -> Metric:
        """The metric, narrowed to the status or currency that is asked for."""
        metric = METRICS[self.metric]
        if self.metric in BY_STATUS and self.status is not None:
            return of_status(metric, self.status)
        return of_currency(metric, self.currency) if self.metric in BY_CURRENCY else metric

    @property
    def alert_names(self) -> tuple[str, ...]:
        """Names of its alerts in Prometheus."""
        return (self.name, f"{self.name}{NO_DATA}")

    @property
    def grouping(self) -> tuple[str, ...]:
        """Words of the labels each of whose values is watched by itself."""
        return self.meaning().by if self.by is None else self.by

    def least_traffic(self, threshold: Threshold) -> int:
        """Things that a window must hold; 0: any."""
        metric = self.meaning()
        if metric.traffic is None:
            return 0
        if self.minimum_traffic is not None:
            return self.minimum_traffic
        if self.against is not None:
            return FEWEST
        if isinstance(metric.kind, Amount):
            return 0
        if isinstance(metric.kind, Quantile):
            return max(FEWEST, ceil(1 / min(metric.kind.quantile, 1 - metric.kind.quantile) - 1e-9))
        if isinstance(metric.kind, Share):
            return enough_for_two(threshold.value if self.rising else 1 - threshold.value)
        return FEWEST

    @property
    def rising(self) -> bool:
        """Whether greater values are worse."""
        return self.compare in ("above", "at_least")

    @property
    def tells_of_little_traffic(self) -> bool:
        """Whether little traffic now is what it is about, and no reason to doubt its value."""
        is_amount = isinstance(self.meaning().kind, Amount)
        return is_amount and self.against is not None and not self.rising

    @property
    def counts_windows(self) -> bool:
        """Whether windows over the threshold are counted, as some of them may be below it."""
        return self.breaching is not None and self.breaching < self.periods

    @property
    def kept_s(self) -> float:
        """Seconds that it goes on firing after its value came back."""
        if self.keep_firing_for is not None:
            return self.keep_firing_for
        return Duration("1h") if self.no_data == "keep" else 0


def _incoherences(alert: Alert) -> Iterator[Finding]:
    metric = alert.meaning()
    if (alert.metric in BY_STATUS) != (alert.status is not None):
        needs = "needs a status" if alert.status is None else "has no status"
        yield ("metric",), f"{alert.metric} {needs}; {' and '.join(BY_STATUS)} have one"
    if alert.metric not in BY_CURRENCY and "currency" in alert.model_fields_set:
        having = " and ".join(BY_CURRENCY)
        yield ("currency",), f"{alert.metric} has no currency; {having} has one"
    if alert.breaching is not None and alert.breaching > alert.periods:
        yield ("breaching",), f"expected at most {alert.periods}, the number of periods"
    form = "percent" if alert.against else form_of(metric.unit)
    what = f"a change of {alert.metric}" if alert.against else alert.metric
    previous: Threshold | None = None
    for severity in SEVERITIES:
        if (threshold := alert.severities.get(severity)) is None:
            continue
        place = ("severities", severity)
        if message := wrong_form(threshold, form, what):
            yield place, message
            continue
        if message := _never(alert, metric, threshold):
            yield place, message
        if previous and (previous.value < threshold.value) == alert.rising != (
            previous.value == threshold.value
        ):
            yield place, f"{threshold.text} is reached after {previous.text} of a worse severity"
        previous = threshold
    if alert.against == "previous_period" and alert.periods > 1:
        yield (
            ("periods",),
            "expected 1 against the period before: the next knows only the new value",
        )
    if alert.floor is not None and alert.against is None:
        yield ("floor",), "only a change has a floor; `against` says since when"
    elif alert.floor is not None and (
        message := wrong_form(alert.floor, form_of(metric.unit), alert.metric)
    ):
        yield ("floor",), message
    since = str(alert.against)
    if alert.periods * alert.period > OFFSETS_S.get(since, inf):
        yield ("periods",), f"all periods together are longer than since {AGAINST[since]}"
    counted = metric.kind.measure if isinstance(metric.kind, Amount) else None
    if alert.minimum_traffic is not None and metric.traffic is None:
        yield ("minimum_traffic",), f"{alert.metric} rests on no traffic"
    elif alert.minimum_traffic is not None and counted == metric.traffic and not alert.against:
        yield ("minimum_traffic",), f"{alert.metric} is the traffic itself; its threshold is enough"
    if alert.against and metric.traffic is None:
        yield ("against",), f"{alert.metric} is no metric of requests; its change is not watched"
    if metric.is_own and (alert.scope.patterns() or alert.by is not None):
        key = "scope" if alert.by is None else "by"
        yield (key,), f"{alert.metric} is of the exporter, not of models: it has no {key}"


def _never(alert: Alert, metric: Metric, threshold: Threshold) -> str | None:
    """Why a value can never, or will always, be over a threshold."""
    rising, value = alert.rising, threshold.value
    if alert.against is not None:
        if rising and value <= 0:
            return f"a change that is watched for a rise is more than 0%; found {threshold.text}"
        if not rising and not -1 <= value < 0:
            return (
                f"a change that is watched for a fall is -100% to below 0%; found {threshold.text}"
            )
        return None
    share = metric.unit is Unit.SHARE
    if isinstance(metric.kind, Down) and f"{alert.compare} {value}" not in (
        "at_least 1",
        "above 0",
    ):
        return f"a target is down (1) or not; expected at_least 1; found {threshold.text}"
    if share and not 0 <= value <= 1:
        return f"expected 0% to 100%; found {threshold.text}"
    if value < 0:
        return f"expected at least 0; found {threshold.text}"
    end = {"at_least": 0, "below": 0} | ({"above": 1, "at_most": 1} if share else {})
    if end.get(alert.compare) == value:
        often = "always" if alert.compare in ("at_least", "at_most") else "never"
        return f"a value is {often} {alert.compare.replace('_', ' ')} {threshold.text}"
    return _never_of_quantile(metric.kind, threshold)


def _never_of_quantile(kind: Kind, threshold: Threshold) -> str | None:
    """Thresholds beyond the values that a histogram's buckets can tell apart."""
    if not isinstance(kind, Quantile):
        return None
    lowest, highest = kind.quantile * kind.bounds[0], kind.bounds[-1]
    if threshold.value >= highest:
        return f"no quantile is above {highest:g}s, the last bucket; found {threshold.text}"
    if threshold.value <= lowest:
        return f"no quantile is below {lowest:g}s, the first bucket's; found {threshold.text}"
    return None
