"""Where parts of definitions do not go together, or mean something that can never happen."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from exporter.alerting.metrics import BY_STATUS, METRICS, Amount, Down, Kind, Metric, Quantile, Unit
from exporter.alerting.thresholds import Threshold, form_of, text_of, wrong_form
from exporter.alerting.windows import SLO_WINDOWS
from exporter.alerting.words import AGAINST, HOUR_S, LONG_S, OFFSETS_S, SEVERITIES
from exporter.documents import Finding
from exporter.mistakes import quoted, unknown
from exporter.quantities import Duration

if TYPE_CHECKING:
    from exporter.alerting.definitions import Alert, Slo
    from exporter.alerting.notifications import Notifications


def incoherences(alert: Alert) -> Iterator[Finding]:
    metric = alert.meaning()
    if (alert.metric in BY_STATUS) != (alert.status is not None):
        needs = "needs a status" if alert.status is None else "has no status"
        yield ("metric",), f"{alert.metric} {needs}; {' and '.join(BY_STATUS)} have one"
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
    if alert.minimum_traffic is not None and counted == metric.traffic and not alert.against:
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


def slo_incoherences(slo: Slo) -> Iterator[Finding]:
    if message := wrong_form(slo.objective, "percent", "an objective"):
        yield ("objective",), message
    elif not 0 < slo.objective.value < 1:
        yield (
            ("objective",),
            f"expected more than 0% and less than 100%; found {slo.objective.text}",
        )
    elif slo.burn_windows in SLO_WINDOWS and (message := _never_burns(slo)):
        yield ("objective",), message
    if slo.burn_windows not in SLO_WINDOWS:
        yield ("burn_windows",), unknown("table", slo.burn_windows, SLO_WINDOWS)
    if slo.fast_enough:
        kind = METRICS[f"{slo.fast_enough.metric}_p99"].kind
        bounds = kind.bounds if isinstance(kind, Quantile) else ()
        within = slo.fast_enough.within
        if within not in bounds:
            near = [*bounds[: bisect(bounds, within)][-1:], *bounds[bisect(bounds, within) :][:1]]
            yield (
                ("fast_enough", "within"),
                "expected a bound of the histogram's buckets; the nearest are "
                + " and ".join(text_of(Duration(bound)) for bound in near),
            )


def _never_burns(slo: Slo) -> str | None:
    """Why no alert of an objective can ever fire: each asks for more bad requests than all."""
    windows = [each for each in SLO_WINDOWS[slo.burn_windows].windows if each.long < slo.window]
    slowest = min(windows, key=lambda each: each.rate(slo.window))
    rate, allowed = slowest.rate(slo.window), float(1 - slo.objective.value)
    if round(rate * allowed, 12) < 1:
        return None
    shorter = round(slo.window / (rate * allowed), 3) // HOUR_S * HOUR_S
    return (
        f"expected more than {100 * (1 - 1 / rate):.4g}%"
        f" over {slo.window}, or a window of less than {Duration(shorter)}: at "
        f"{slo.objective.text} not even a failure of all requests burns {rate:g} times too fast"
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """What of definitions is sound by itself.

    Attributes:
        alerts, slos: by their places in the lists.
    """

    interval: Duration | None
    notifications: Notifications | None
    alerts: Mapping[int, Alert]
    slos: Mapping[int, Slo]


def disagreements(parts: Parts) -> Iterator[Finding]:
    """Where parts of the definitions do not go together."""
    taken: dict[str, str] = {}  # In lower case: file systems may not tell cases apart.
    lists: Mapping[str, Mapping[int, Alert | Slo]] = {"alerts": parts.alerts, "slos": parts.slos}
    for key, watched in lists.items():
        for index, each in watched.items():
            place = f"{key}[{index}]"
            holders = {taken.setdefault(name.lower(), place) for name in each.alert_names}
            if holders != {place}:
                first = min(holders - {place})
                message = f"expected a name of its own; {quoted(each.name)} is {first} already"
                yield (key, index, "name"), message
            if parts.notifications is not None:
                for steps, message in _unknown_names(each, parts.notifications):
                    yield (key, index, *steps), message
    for index, alert in parts.alerts.items():
        if parts.interval and round(alert.period * 1000) % round(parts.interval * 1000):
            message = f"expected a multiple of {parts.interval}, the interval"
            yield ("alerts", index, "period"), f"{message}; found {alert.period}"
        elif alert.period > LONG_S and alert.period % HOUR_S:
            message = "expected whole hours for a period of more than a day"
            yield ("alerts", index, "period"), f"{message}; found {alert.period}"


def _unknown_names(watched: Alert | Slo, notifications: Notifications) -> Iterator[Finding]:
    groups = {group.name for group in notifications.groups}
    for number, group in enumerate(watched.notify):
        if group not in groups:
            yield ("notify", number), unknown(f"notification group {quoted(group)}", group, groups)
    name, hours = watched.hours, notifications.hours
    if name is not None and name not in hours:
        yield ("hours",), unknown(f"effective hours {quoted(name)}", name, hours)
