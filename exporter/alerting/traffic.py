"""Made-up traffic for unit tests: what counters must grow by for a metric to have a value."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf
from typing import TypeAlias

from exporter.alerting.alert import Alert
from exporter.alerting.labels import ERROR_TYPE, LE, STATUS_CODE, TOKEN_TYPE
from exporter.alerting.metrics import (
    ALL_REQUESTS,
    TOKENS,
    Amount,
    Kind,
    Mean,
    Measure,
    Quantile,
    Share,
)
from exporter.alerting.promql import Matcher, has_wildcard
from exporter.alerting.slo import Slo
from exporter.alerting.watched import label_of

SeriesKey: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""A series: its name, and its labels in order."""

Increments: TypeAlias = dict[SeriesKey, Fraction]
"""What series grow by within one window."""

_CANDIDATES: Mapping[str, tuple[tuple[tuple[str, str], ...], ...]] = {
    ALL_REQUESTS.series: (
        *(((STATUS_CODE, code), (ERROR_TYPE, "")) for code in ("200", "201", "302", "100")),
        *(
            ((STATUS_CODE, code), (ERROR_TYPE, "upstream_error"))
            for code in ("500", "429", "400", "503")
        ),
    ),
    TOKENS.series: (((TOKEN_TYPE, "input"),), ((TOKEN_TYPE, "output"),)),
}
"""Labels that a counter's series may have, the usual ones first."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a metric, and the traffic that it rests on.

    Attributes:
        amount: the value, exact; of a quantile, the number of the bucket with all observations.
        traffic: things that it rests on.
    """

    amount: Fraction
    traffic: int


def increments(alert: Alert, value: Value, labels: Mapping[str, str]) -> Increments:
    """What counters must grow by within a window for a metric's value."""
    metric = alert.meaning()
    growth = Growth(labels)
    traffic = Fraction(value.traffic)
    match metric.kind:
        case Amount(measure, per_minute):
            amount = value.amount * (Fraction(alert.period) / 60 if per_minute else 1)
            growth.add(measure, amount)
            if metric.traffic is not None and metric.traffic.name != measure.name:
                growth.add_rest(measure, amount, metric.traffic, traffic)
        case Share(_, part, whole):
            growth.add(part, value.amount * traffic)
            growth.add_rest(part, value.amount * traffic, whole, traffic)
        case Mean(_, total, count):
            growth.add(total, value.amount * traffic)
            growth.add(count, traffic)
        case Quantile(_, buckets, _, bounds):
            for number, bound in enumerate((*bounds, inf)):
                le = "+Inf" if bound == inf else f"{bound:g}"
                growth.add(buckets, traffic if number >= value.amount else Fraction(0), {LE: le})
            if metric.traffic is not None:
                growth.add(metric.traffic, traffic)
        case _:
            raise TypeError(f"{alert.metric} is no sum")
    return growth.found


class Growth:
    """Collects increments.

    Attributes:
        labels: that all series have.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels
        self.found: Increments = {}

    def add(
        self,
        measure: Measure,
        amount: Fraction,
        more: Mapping[str, str] | None = None,
        *,
        but: tuple[Matcher, ...] = (),
    ) -> None:
        """Things that a measure counts, but none that match `but`."""
        labels = {**self.labels, **dict(_variant(measure, but)), **(more or {})}
        key = (measure.series, tuple(sorted(labels.items())))
        self.found[key] = self.found.get(key, Fraction(0)) + amount

    def add_rest(self, part: Measure, amount: Fraction, whole: Measure, all_: Fraction) -> None:
        """What there is of the whole besides its part."""
        if part.series != whole.series:
            self.add(whole, all_)
        elif part.matchers and all_ > amount:
            self.add(whole, all_ - amount, but=part.matchers)


def _variant(measure: Measure, but: tuple[Matcher, ...]) -> Iterable[tuple[str, str]]:
    """Labels with which a counter's series counts for a measure, and not for what is excluded."""
    wanted = {matcher.label: matcher for matcher in measure.matchers}
    for candidate in (*_CANDIDATES.get(measure.series, ()), *_made_up(measure.matchers)):
        labels = dict(candidate)
        if all(_matches(each, labels) for each in measure.matchers) and not (
            but and all(_matches(each, labels) for each in but)
        ):
            return candidate
    raise LookupError(f"no series of {measure.series} is {wanted} and not {but}")


def _made_up(matchers: Iterable[Matcher]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Labels that fit the matchers, where no usual ones do."""
    equal = [(each.label, each.value) for each in matchers if each.operator == "="]
    patterns = [
        (each.label, each.value.replace(".", "9")) for each in matchers if each.operator == "=~"
    ]
    yield (*equal, *patterns)


def _matches(matcher: Matcher, labels: Mapping[str, str]) -> bool:
    value = labels.get(matcher.label, "")
    equal = (
        value == matcher.value
        if matcher.operator in ("=", "!=")
        else re.fullmatch(matcher.value, value) is not None
    )
    return equal == (matcher.operator in ("=", "=~"))


def distinguishing(watched: Alert | Slo) -> str | None:
    """Word of a label whose value may be anything, so that several stories fit into one test."""
    patterns = watched.scope.patterns()
    free = (word for word in watched.grouping if "*" in patterns.get(word, "*")[0])
    return next(free, None)


def scoped_labels(watched: Alert | Slo, variant: str = "any") -> dict[str, str]:
    """Labels of traffic that a definition is about; the distinguishing one tells the variant."""
    labels = {label_of(word): variant for word in watched.grouping}
    for word, patterns in watched.scope.patterns().items():
        labels[label_of(word)] = patterns[0].replace("*", variant).replace("?", "y")
    return labels


def foreign_labels(watched: Alert | Slo, variant: str) -> dict[str, str] | None:
    """Labels of traffic that a definition is not about, if there is such."""
    for word, patterns in watched.scope.patterns().items():
        foreign = "not-in-scope"
        if foreign not in patterns and not any(map(has_wildcard, patterns)):
            return {**scoped_labels(watched, variant), label_of(word): foreign}
    return None


def seen_value(kind: Kind, value: Value) -> float:
    """The value as an alert gives it, in floating point as Prometheus computes it."""
    match kind:
        case Share():
            return float(value.amount * value.traffic) / value.traffic
        case Quantile(_, _, quantile, bounds):
            number = int(value.amount)
            if number == len(bounds):
                return bounds[-1]
            low = bounds[number - 1] if number else 0.0
            return low + (bounds[number] - low) * quantile
        case _:
            return float(value.amount)


def rounded_up(traffic: int, share: Fraction) -> int:
    """The smallest traffic of at least the given size of which a share is a whole number."""
    return ceil(Fraction(traffic, share.denominator)) * share.denominator
