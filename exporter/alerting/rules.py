"""Alerting rules: what a threshold means in PromQL, and what must hold besides."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from exporter.alerting import promql as q
from exporter.alerting.alert import NO_DATA, Alert
from exporter.alerting.definitions import Definitions
from exporter.alerting.metrics import Amount
from exporter.alerting.promql import Matcher, Promql
from exporter.alerting.records import INSTANT_S, Level, Records, level_of
from exporter.alerting.slo import Slo
from exporter.alerting.texts import annotations_of, missing_wording, threshold_wording
from exporter.alerting.thresholds import Threshold
from exporter.alerting.watched import Watched, label_of
from exporter.alerting.words import OFFSETS_S, SEVERITIES, Severity
from exporter.quantities import Duration

NO_DATA_AFTER_S = 300
"""How long a value must be missing until it is told: longer than a scrape or two."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alerting rule.

    Attributes:
        name: the label `alertname`.
        for_s: seconds that the expression must hold until it fires.
        keep_firing_for_s: seconds that it goes on firing after that.
    """

    name: str
    expression: Promql
    for_s: float
    keep_firing_for_s: float
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Watch:
    """What a definition watches: where its values are kept apart, and which of them are its own.

    Attributes:
        matchers: on the level's labels, for who reads its records.
    """

    level: Level
    matchers: tuple[Matcher, ...]

    def of(self, record: Promql, *more: Matcher, offset_s: float = 0) -> Promql:
        """The samples of a record that are this definition's."""
        return q.select(record, (*self.matchers, *more), offset_s=offset_s)

    @property
    def narrowed(self) -> Level:
        """The level of these values alone, where there are no records that others read, too."""
        return replace(self.level, matchers=(*self.level.matchers, *self.matchers))


def watch(definition: Alert | Slo) -> Watch:
    """The level and matchers of a definition's `by` and `scope`."""
    words = definition.grouping
    labels = tuple(label_of(word) for word in words)
    matchers = [
        q.any_of(label_of(word), patterns) for word, patterns in definition.scope.patterns().items()
    ]
    level = level_of(words, labels, matchers)
    inside = tuple(matcher for matcher in matchers if matcher not in level.matchers)
    return Watch(level, inside)


def alerts_of(alert: Alert, records: Records, definitions: Definitions) -> Iterator[AlertRule]:
    """The rules of one definition, the worst severity first; the records they read are added."""
    for severity in SEVERITIES:
        if (threshold := alert.severities.get(severity)) is not None:
            wording = threshold_wording(alert, threshold)
            yield AlertRule(
                alert.name,
                q.checked(_expression(alert, severity, threshold, records)),
                0 if alert.counts_windows else (alert.periods - 1) * alert.period,
                alert.kept_s,
                labels_of(alert, severity),
                annotations_of(alert, wording, definitions.links),
            )
    if alert.no_data == "alert":
        yield _no_data(alert, records, definitions)


def labels_of(definition: Watched, severity: Severity, **more: str) -> dict[str, str]:
    """Labels that an alert has besides those of its values."""
    return {
        **definition.labels,
        "alert_id": definition.name,
        "severity": severity,
        **more,
    }


def value_of(alert: Alert, records: Records) -> Promql:
    """The record of what an alert compares with its thresholds."""
    kind, level = alert.meaning().kind, watch(alert).level
    if alert.against is None:
        return records.value(kind, level, alert.period)
    return records.change(kind, level, alert.period, offset_of(alert))


def offset_of(alert: Alert) -> float:
    """How long ago, in seconds, the other window of a change ends."""
    return OFFSETS_S.get(str(alert.against), alert.period)


def _expression(alert: Alert, severity: Severity, threshold: Threshold, records: Records) -> Promql:
    over = q.comparison(alert.compare)
    watched = watch(alert)
    value = watched.of(value_of(alert, records))
    guards = list(_guards(alert, threshold, records))
    if not alert.counts_windows:
        return q.all_of(q.binary(value, over, q.number(threshold.value)), *guards)
    breach = q.all_of(q.binary(value, f"{over} bool", q.number(threshold.value)), *guards)
    window = Duration(alert.period)
    record = records.add(watched.level, alert.name, f"{severity}_breach{window}", breach)
    # One sample a window: subqueries stand on multiples of their step, so windows do not overlap.
    length_s = alert.periods * alert.period - INSTANT_S
    samples = q.select(record, window_s=length_s, step_s=alert.period)
    return q.binary(
        q.call("sum_over_time", samples), ">=", q.number(alert.breaching or alert.periods)
    )


def _guards(alert: Alert, threshold: Threshold, records: Records) -> Iterator[Promql]:
    """What must hold besides the comparison: enough traffic, and of a change its floor."""
    metric, watched = alert.meaning(), watch(alert)
    least = alert.least_traffic(threshold)
    offset_s = offset_of(alert) if alert.against else 0
    if least and metric.traffic is not None:
        traffic = records.amount(metric.traffic, watched.level, alert.period)
        if not alert.tells_of_little_traffic:
            yield _enough(watched, traffic, least)
        if alert.against:
            yield _enough(watched, traffic, least, offset_s)
    if isinstance(metric.kind, Amount) and not alert.rising and not alert.against:
        # A counter that has just begun has little in a window that is not full yet.
        growth = records.amount(metric.kind.measure, watched.level, records.interval_s)
        since = watched.of(growth, offset_s=alert.period)
        yield q.binary(since, ">=", q.number(0))
    if alert.floor is not None:
        kind = metric.kind
        value = records.value(kind, watched.level, alert.period)
        greater = watched.of(value, offset_s=0 if alert.rising else offset_s)
        yield q.binary(greater, ">=", q.number(alert.floor.value))


def _enough(watched: Watch, traffic: Promql, least: int, offset_s: float = 0) -> Promql:
    return q.binary(watched.of(traffic, offset_s=offset_s), ">=", q.number(least))


def _no_data(alert: Alert, records: Records, definitions: Definitions) -> AlertRule:
    """Values that were there within the last hour and are no longer; those that never were."""
    watched = watch(alert)
    value = value_of(alert, records)
    seen = q.call("present_over_time", q.select(value, watched.matchers, window_s=3600))
    gone = q.binary(seen, "unless", watched.of(value))
    expression = q.binary(gone, ">", q.number(0))
    for matchers in _single(alert, watched):
        never = q.call("absent_over_time", q.select(value, matchers, window_s=3600))
        expression = q.binary(expression, "or", never)
    milder: dict[Severity, Severity] = {"critical": "warning", "error": "warning"}
    severity = milder.get(next(each for each in SEVERITIES if each in alert.severities), "info")
    return AlertRule(
        f"{alert.name}{NO_DATA}",
        q.checked(expression),
        max(NO_DATA_AFTER_S, 2 * definitions.interval),
        0,
        labels_of(alert, severity),
        annotations_of(alert, missing_wording(alert), definitions.links),
    )


def _single(alert: Alert, watched: Watch) -> Iterator[tuple[Matcher, ...]]:
    """The matchers for each name of a list without patterns, where such are kept apart.

    What is absent has the labels that equal something, so that it is told by its name.
    """
    lists = [
        (label_of(word), names)
        for word, names in alert.scope.patterns().items()
        if word in watched.level.words and not any(map(q.has_wildcard, names))
    ]
    if not lists:
        yield watched.matchers
        return
    label, names = lists[0]
    others = [matcher for matcher in watched.matchers if matcher.label != label]
    for name in names:
        yield (Matcher(label, "=", name), *others)
