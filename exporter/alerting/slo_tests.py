"""Unit tests for promtool of service level objectives."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from math import inf

from exporter.alerting.definitions import Definitions
from exporter.alerting.humanize import expanded
from exporter.alerting.labels import LE
from exporter.alerting.metrics import FAILURES, JUDGED, Quantile
from exporter.alerting.objectives import (
    BURN_RATE,
    LEFT,
    burn_windows,
    least_traffic_of,
    looked_at,
)
from exporter.alerting.promql import Matcher, select
from exporter.alerting.rules import AlertRule
from exporter.alerting.slo import Slo
from exporter.alerting.timeline import Timeline
from exporter.alerting.traffic import (
    Growth,
    Increments,
    distinguishing,
    rounded_up,
    scoped_labels,
)
from exporter.alerting.unit_tests import Case, Check, Firing, Recorded, merged
from exporter.alerting.watched import label_of
from exporter.alerting.windows import BurnWindow
from exporter.alerting.words import HOUR_S


def slo_cases_of(slo: Slo, rules: Sequence[AlertRule], definitions: Definitions) -> Iterator[Case]:
    """The tests of an objective: for each pair of windows over, at and short of its burn rate."""
    interval_s = float(definitions.interval)
    stories = list(_stories(slo, rules, interval_s))
    if distinguishing(slo):
        yield merged(slo.name, stories)
    else:
        yield from stories


def _stories(slo: Slo, rules: Sequence[AlertRule], interval_s: float) -> Iterator[Case]:
    windows = list(burn_windows(slo))
    most = max(least_traffic_of(slo, window) for window in windows)
    for window in windows:
        limit = _limit(slo, window)
        traffic = 2 * rounded_up(max(most, 1), limit)
        step = Fraction(1, traffic)
        name = f"{window.severity}-{window.long}"
        for place, share in (("over", limit + step), ("at", limit), ("short-of", limit - step)):
            variant = f"{place}-{name}"
            case = _burning(slo, rules, variant, share, traffic, interval_s)
            recorded = list(_recorded(slo, variant, float(share))) if place == "over" else ()
            yield replace(case, recorded=recorded)
        if (idle := least_traffic_of(slo, window) - 1) > 0:
            yield _idle(slo, rules, f"idle-{name}", idle, interval_s)


def _limit(slo: Slo, window: BurnWindow) -> Fraction:
    return Fraction(str(slo.bad_share(window)))


def _burning(
    slo: Slo,
    rules: Sequence[AlertRule],
    variant: str,
    share: Fraction,
    traffic: int,
    interval_s: float,
) -> Case:
    """An hour with a share of bad requests, then good ones until all short windows are good.

    An hour because windows of more than a day are summed in such steps.
    """
    hour = round(HOUR_S / interval_s)
    line = Timeline(1, interval_s)
    line.add(_traffic(slo, variant, share, traffic), hour)
    line.add(_traffic(slo, variant, Fraction(0), traffic), _afterwards(slo, interval_s))
    firing = [
        _firing(slo, rule, variant, share)
        for rule, window in zip(rules, burn_windows(slo), strict=True)
        if share > _limit(slo, window)
    ]
    return _story(slo, variant, line, firing)


def _idle(
    slo: Slo, rules: Sequence[AlertRule], variant: str, traffic: int, interval_s: float
) -> Case:
    """All requests are bad, but few; they come last of what is seen in an hour."""
    hour = round(HOUR_S / interval_s)
    line = Timeline(1, interval_s)
    line.add(_traffic(slo, variant, Fraction(1), 0), hour - 2)
    line.add(_traffic(slo, variant, Fraction(1), traffic))
    firing = [
        _firing(slo, rule, variant, Fraction(1))
        for rule, window in zip(rules, burn_windows(slo), strict=True)
        if traffic >= least_traffic_of(slo, window)
    ]
    line.add(_traffic(slo, variant, Fraction(0), 0), _afterwards(slo, interval_s))
    return _story(slo, variant, line, firing)


def _story(slo: Slo, variant: str, line: Timeline, firing: Sequence[Firing]) -> Case:
    checks = [
        Check(HOUR_S, slo.name, firing),
        Check(line.samples * line.interval_s, slo.name),
    ]
    return Case(f"{slo.name}: {variant}", line.counters(), checks)


def _recorded(slo: Slo, variant: str, share: float) -> Iterator[Recorded]:
    """What the records say after an hour with a share of bad requests."""
    labels = _kept_apart(slo, variant) | {"alert_id": slo.name}
    rate = share / float(1 - slo.objective.value)

    def said(record: str, value: float, **more: str) -> Recorded:
        matchers = [Matcher(label, "=", text) for label, text in (labels | more).items()]
        return Recorded(HOUR_S, select(record, matchers), value)

    yield said(LEFT, 1 - rate)
    for window in looked_at(slo):
        yield said(BURN_RATE, rate, burn_window=str(window))


def _afterwards(slo: Slo, interval_s: float) -> int:
    """Samples until all short windows have seen the end of an hour's trouble, a sample later."""
    return round(max(window.short for window in burn_windows(slo)) / interval_s) + 1


def _traffic(slo: Slo, variant: str, share: Fraction, traffic: int) -> Increments:
    """What counters grow by within an interval with a share of bad requests."""
    growth = Growth(scoped_labels(slo, variant))
    bad, all_ = share * traffic, Fraction(traffic)
    if slo.fast_enough is None:
        growth.add(FAILURES, bad)
        growth.add(JUDGED, all_ - bad, but=FAILURES.matchers)
        return growth.found
    kind = slo.meaning().kind
    assert isinstance(kind, Quantile)  # noqa: S101
    for bound in (*kind.bounds, inf):
        le = "+Inf" if bound == inf else f"{bound:g}"
        inside = all_ if bound == inf else all_ - bad
        if bound < slo.fast_enough.within:
            inside = Fraction(0)
        growth.add(kind.buckets, inside, {LE: le})
    return growth.found


def _firing(slo: Slo, rule: AlertRule, variant: str, share: Fraction) -> Firing:
    kept_apart = _kept_apart(slo, variant)
    texts = {
        key: expanded(text, kept_apart, float(share)) for key, text in rule.annotations.items()
    }
    return Firing({**kept_apart, **rule.labels}, texts)


def _kept_apart(slo: Slo, variant: str) -> dict[str, str]:
    """Labels by which an objective's values are told apart."""
    labels = scoped_labels(slo, variant)
    return {label_of(word): labels[label_of(word)] for word in slo.grouping}
