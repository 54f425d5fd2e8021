"""From definitions to groups of recording and alerting rules."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from exporter.alerting import promql as q
from exporter.alerting.definitions import (
    Alert,
    Definitions,
    Slo,
    Watched,
    enough_for_two,
    has_wildcard,
    label_of,
)
from exporter.alerting.metrics import (
    FAILURES,
    JUDGED,
    LE,
    METRICS,
    Amount,
    Measure,
    Metric,
    Quantile,
    Share,
    Unit,
)
from exporter.alerting.promql import Matcher, Promql
from exporter.alerting.records import Level, Records, level_of
from exporter.alerting.texts import (
    annotations_of,
    burn_wording,
    missing_wording,
    threshold_wording,
)
from exporter.alerting.thresholds import Threshold
from exporter.alerting.windows import SLO_WINDOWS, BurnWindow
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


@dataclass
class Group:
    """Rules that are evaluated one after another, records before what reads them."""

    name: str
    records: Records
    alerts: list[AlertRule] = field(default_factory=list)

    @property
    def interval_s(self) -> float:
        return self.records.interval_s


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


def groups_of(definitions: Definitions) -> list[Group]:
    """All rules: a group for each counter or histogram and those that are compared with it."""
    groups: dict[str, Group] = {}

    def group(name: str) -> Group:
        full = f"llm-gateway-{name.replace('_', '-')}"
        return groups.setdefault(name, Group(full, Records(definitions.interval)))

    for alert in definitions.alerts:
        into = group(alert.meaning().group)
        into.alerts.extend(alerts_of(alert, into.records, definitions))
    for slo in definitions.slos:
        about = f"{slo.fast_enough.metric}_p99" if slo.fast_enough else "error_rate"
        into = group(METRICS[about].group)
        into.alerts.extend(burn_alerts(slo, into.records, definitions))
    return list(groups.values())


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
    length_s = alert.periods * alert.period - records.interval_s / 2
    samples = q.select(record, window_s=length_s, step_s=alert.period)
    return q.binary(
        q.call("sum_over_time", samples), ">=", q.number(alert.breaching or alert.periods)
    )


def _guards(alert: Alert, threshold: Threshold, records: Records) -> Iterator[Promql]:
    """What must hold besides the comparison: enough traffic, and of a change its floor."""
    metric, watched = alert.meaning(), watch(alert)
    least = alert.least_traffic(threshold)
    offset_s = offset_of(alert) if alert.against else 0
    traffic = records.traffic(metric, watched.level, alert.period)
    if least and traffic is not None:
        if not alert.against or alert.rising or not _is_amount(metric):
            yield _enough(metric, watched, traffic, least, 0)
        if alert.against:
            yield _enough(metric, watched, traffic, least, offset_s)
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


def _is_amount(metric: Metric) -> bool:
    """Whether little traffic is what the value tells, and no reason to doubt it."""
    return metric.unit in (Unit.REQUESTS, Unit.TOKENS, Unit.MONEY) and not isinstance(
        metric.kind, Share
    )


def _enough(metric: Metric, watched: Watch, traffic: Promql, least: int, offset_s: float) -> Promql:
    return q.binary(watched.of(traffic, offset_s=offset_s), ">=", q.number(least))


def _no_data(alert: Alert, records: Records, definitions: Definitions) -> AlertRule:
    """Values that were there within the last hour and are no longer; those that never were."""
    watched = watch(alert)
    value = value_of(alert, records)
    seen = q.call("present_over_time", q.select(value, watched.matchers, window_s=3600))
    gone = q.binary(seen, "unless", watched.of(value))
    expression = q.binary(gone, ">", q.number(0))
    for matcher in _single(alert, watched) or [()]:
        hour = q.select(value, (*watched.matchers, *matcher), window_s=3600)
        never = q.call("absent", q.call("present_over_time", hour))
        expression = q.binary(expression, "or", never)
    milder: dict[Severity, Severity] = {"critical": "warning", "error": "warning"}
    severity = milder.get(next(each for each in SEVERITIES if each in alert.severities), "info")
    return AlertRule(
        f"{alert.name}NoData",
        q.checked(expression),
        max(NO_DATA_AFTER_S, 2 * definitions.interval),
        0,
        labels_of(alert, severity),
        annotations_of(alert, missing_wording(alert), definitions.links),
    )


def _single(alert: Alert, watched: Watch) -> list[tuple[Matcher, ...]]:
    """A matcher for each name of a list without patterns, where such are kept apart."""
    lists = [
        (label_of(word), names)
        for word, names in alert.scope.patterns().items()
        if word in watched.level.words and len(names) > 1 and not any(map(has_wildcard, names))
    ]
    return [(Matcher(label, "=", name),) for label, names in lists[:1] for name in names]


def bad_share(slo: Slo) -> Share:
    """What an objective is about: the share of requests that are not good."""
    if slo.fast_enough is None:
        return Share("llm_gateway_error", FAILURES, JUDGED)
    quantile = METRICS[f"{slo.fast_enough.metric}_p99"].kind
    assert isinstance(quantile, Quantile)  # noqa: S101
    series, within = quantile.buckets.series, Duration(slo.fast_enough.within)
    succeeded = quantile.buckets.matchers
    everything = (*succeeded, Matcher(LE, "=", "+Inf"))
    good = (*succeeded, Matcher(LE, "=~", _bound(slo.fast_enough.within)))
    slow = Measure(f"{quantile.name}_over_{_word(within)}", series, everything, good)
    return Share(slow.name, slow, Measure(f"{quantile.name}_observed", series, everything))


def _bound(seconds: float) -> str:
    """A pattern of a bucket's `le`: "1" for Prometheus 2 is "1.0" for Prometheus 3."""
    text = f"{seconds:g}".replace(".", "\\.")
    return text if "\\." in text else f"{text}(\\.0)?"


def _word(window: Duration) -> str:
    return str(window)


def burn_alerts(slo: Slo, records: Records, definitions: Definitions) -> Iterator[AlertRule]:
    """An alert for each pair of windows, as chapter 5 of the Site Reliability Workbook has them."""
    for window in burn_windows(slo):
        wording = burn_wording(slo, window)
        yield AlertRule(
            slo.name,
            q.checked(_burning(slo, window, records)),
            0,
            0,
            labels_of(slo, window.severity, burn_window=str(window.long)),
            annotations_of(slo, wording, definitions.links),
        )


def burn_windows(slo: Slo) -> Iterator[BurnWindow]:
    """Those of the table in which the objective can be missed fast enough at all."""
    for window in SLO_WINDOWS[slo.burn_windows].windows:
        if bad_share_of(slo, window) < 1 and window.long < slo.window:
            yield window


def bad_share_of(slo: Slo, window: BurnWindow) -> float:
    """The share of bad requests at which a window's part of the budget is used up within it."""
    return round(window.budget * slo.window / window.long * float(1 - slo.objective.value), 12)


def least_traffic_of(slo: Slo, window: BurnWindow) -> int:
    """Requests that the long window must hold, so that a single failure is not enough."""
    if slo.minimum_traffic is not None:
        return slo.minimum_traffic
    return enough_for_two(bad_share_of(slo, window))


def _burning(slo: Slo, window: BurnWindow, records: Records) -> Promql:
    watched, share = watch(slo), bad_share(slo)
    limit = q.number(bad_share_of(slo, window))
    long = watched.of(records.value(share, watched.level, window.long))
    short = watched.of(records.value(share, watched.level, window.short))
    burning = q.all_of(q.binary(long, ">", limit), q.binary(short, ">", limit))
    if least := least_traffic_of(slo, window):
        traffic = watched.of(records.amount(share.whole, watched.level, window.long))
        burning = q.all_of(burning, q.binary(traffic, ">=", q.number(least)))
    return burning
