"""Unit tests for promtool, made from definitions: when each alert fires, with what, and when not.

promtool evaluates all groups at `evaluation_interval` and ignores the groups' own, so a test
file's is that of its group. Time begins at 0.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from exporter.alerting import promql as q
from exporter.alerting.alert import NO_DATA, Alert
from exporter.alerting.definitions import Definitions
from exporter.alerting.humanize import expanded
from exporter.alerting.metrics import Age, Down, State
from exporter.alerting.promql import Promql
from exporter.alerting.records import LOOKBACK_S
from exporter.alerting.rules import NO_DATA_AFTER_S, AlertRule, offset_of
from exporter.alerting.samples import Samples, samples_of
from exporter.alerting.thresholds import Threshold
from exporter.alerting.timeline import STATE, Timeline
from exporter.alerting.traffic import (
    Increments,
    Value,
    distinguishing,
    foreign_labels,
    increments,
    scoped_labels,
    seen_value,
)
from exporter.alerting.watched import label_of
from exporter.alerting.words import COMPARISONS, SEVERITIES


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires: its labels without `alertname`, and its annotations."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Check:
    """What fires under a name at a time, in seconds."""

    time_s: float
    alert: str
    firing: Sequence[Firing] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a record says at a time, in seconds, of one series."""

    time_s: float
    selector: Promql
    value: float


@dataclass(frozen=True, slots=True)
class Case:
    """A test.

    Attributes:
        series: in promtool's notation, by selector.
    """

    name: str
    series: Mapping[str, str]
    checks: Sequence[Check]
    recorded: Sequence[Recorded] = ()


def _timeline(alert: Alert, interval_s: float) -> Timeline:
    return Timeline(max(1, round(alert.period / interval_s)), interval_s)


def _growth(alert: Alert, value: Value, labels: Mapping[str, str]) -> Increments:
    """What happens within a window of a value."""
    if isinstance(alert.meaning().kind, Age | Down | State):
        return {STATE: value.amount}
    return increments(alert, value, labels)


def _series(alert: Alert, line: Timeline, labels: Mapping[str, str]) -> dict[str, str]:
    kind = alert.meaning().kind
    return line.states(kind, labels) if isinstance(kind, Age | Down | State) else line.counters()


def cases_of(alert: Alert, rules: Sequence[AlertRule], definitions: Definitions) -> Iterator[Case]:
    """The tests of a definition. `rules` are those made of it."""
    interval_s = float(definitions.interval)
    watched = [rule for rule in rules if rule.name == alert.name]
    stories = list(_stories(alert, watched, interval_s))
    if distinguishing(alert):
        yield merged(alert.name, stories)
    else:
        yield from stories
    if alert.no_data == "alert":
        (missing,) = [rule for rule in rules if rule.name == f"{alert.name}{NO_DATA}"]
        threshold = next(iter(alert.severities.values()))
        yield _missing(alert, missing, samples_of(alert, threshold), interval_s)


def merged(name: str, stories: Sequence[Case]) -> Case:
    """Stories that are told at once: of different series, at the same times."""
    checks = [
        Check(each[0].time_s, each[0].alert, [firing for check in each for firing in check.firing])
        for each in zip(*(story.checks for story in stories), strict=True)
    ]
    series = dict(ChainMap(*(dict(story.series) for story in stories[::-1])))
    return Case(name, series, checks, [each for story in stories for each in story.recorded])


def _stories(alert: Alert, rules: Sequence[AlertRule], interval_s: float) -> Iterator[Case]:
    mildest = [each for each in SEVERITIES if each in alert.severities][-1]
    quiet = samples_of(alert, alert.severities[mildest]).short
    for severity, threshold in alert.severities.items():
        samples = samples_of(alert, threshold)
        story = _Story(alert, rules, samples, quiet, interval_s)
        yield story.told(f"over-{severity}", samples.over)
        yield story.told(f"short-of-{severity}", samples.short)
        if samples.boundary is not None and alert.against != "previous_period":
            yield story.told(f"at-{severity}", samples.boundary)
        if samples.idle is not None:
            yield story.told(f"idle-{severity}", samples.idle, samples.idle_before)
        if (foreign := foreign_labels(alert, f"elsewhere-{severity}")) is not None:
            yield story.told(f"elsewhere-{severity}", samples.over, elsewhere=foreign)


@dataclass(frozen=True, slots=True)
class _Story:
    """From a quiet time to some windows with a value, and back.

    Attributes:
        quiet: a value over no threshold.
    """

    alert: Alert
    rules: Sequence[AlertRule]
    samples: Samples
    quiet: Value
    interval_s: float

    def told(
        self,
        variant: str,
        value: Value,
        before: Value | None = None,
        elsewhere: Mapping[str, str] | None = None,
    ) -> Case:
        alert = self.alert
        before = before or self.samples.before
        labels = scoped_labels(alert, variant)
        fed = elsewhere or labels
        line = _timeline(alert, self.interval_s)
        quiet = _growth(alert, before if alert.against else self.quiet, fed)
        line.add(quiet, self._windows_before())
        count = (alert.breaching or 1) if alert.counts_windows else alert.periods
        begin = line.add(_growth(alert, value, fed), count)
        kept = round(alert.kept_s / self.interval_s)
        further = alert.periods if alert.counts_windows else 0
        again = line.add(quiet, 1 + further + ceil(kept / line.steps))
        firing = [] if elsewhere else list(self._firing(labels, value, before))
        checks = list(self._checks(line.steps, begin, again, kept, firing))
        return Case(f"{alert.name}: {variant}", _series(alert, line, fed), checks)

    def _windows_before(self) -> int:
        if self.alert.against is None:
            return 1
        return ceil(offset_of(self.alert) / self.alert.period) + 1

    def _checks(
        self, steps: int, begin: int, again: int, kept: int, firing: Sequence[Firing]
    ) -> Iterator[Check]:
        alert = self.alert
        # What is counted in a sample is seen at the next, when it has settled.
        settled = 0 if isinstance(alert.meaning().kind, Age | Down | State) else 1
        if alert.counts_windows:
            # Windows are counted at multiples of the period, the first of them at its end.
            count = alert.breaching or 1
            late = settled if steps == 1 else 0
            first = begin - 1 + count * steps + late
            end = begin - 1 + (alert.periods + 1) * steps + late
        else:
            first = begin + (alert.periods - 1) * steps + settled
            end = again + settled
        yield self._check(first - 1)
        yield self._check(first, firing)
        if kept:
            yield self._check(end + kept - 1, firing)
        yield self._check(end + kept)

    def _check(self, sample: int, firing: Sequence[Firing] = ()) -> Check:
        return Check(sample * self.interval_s, self.alert.name, firing)

    def _firing(self, labels: Mapping[str, str], value: Value, before: Value) -> Iterator[Firing]:
        """What fires at this value: worse severities have thresholds of their own."""
        kept_apart = {label_of(word): labels[label_of(word)] for word in self.alert.grouping}
        for rule in self.rules:
            threshold = self.alert.severities[rule.labels["severity"]]  # type: ignore[index]
            if self._is_over(threshold, value, before):
                told = self._told_value(value, before)
                texts = {
                    key: expanded(text, kept_apart, told) for key, text in rule.annotations.items()
                }
                yield Firing({**kept_apart, **rule.labels}, texts)

    def _told_value(self, value: Value, before: Value) -> float:
        if self.alert.counts_windows:
            return float(self.alert.breaching or 1)
        kind = self.alert.meaning().kind
        seen = seen_value(kind, value)
        return seen / seen_value(kind, before) - 1 if self.alert.against else seen

    def _is_over(self, threshold: Threshold, value: Value, before: Value) -> bool:
        alert = self.alert
        kind = alert.meaning().kind
        seen, limit = seen_value(kind, value), float(threshold.value)
        if alert.against:
            seen = seen / seen_value(kind, before) - 1
        enough = value.traffic >= alert.least_traffic(threshold)
        return enough and COMPARISONS[alert.compare](seen, limit)


def _missing(alert: Alert, rule: AlertRule, samples: Samples, interval_s: float) -> Case:
    """Traffic, and then no series at all."""
    labels = scoped_labels(alert)
    line = _timeline(alert, interval_s)
    windows = 2 if alert.against is None else ceil(offset_of(alert) / alert.period) + 2
    line.add(_growth(alert, samples.before, labels), windows)
    end = line.samples
    gone_s = LOOKBACK_S + alert.period + 3 * interval_s
    fires = end + ceil((gone_s + max(NO_DATA_AFTER_S, 2 * interval_s)) / interval_s)
    silence = f"_x{fires - end + 1}"
    series = {key: f"{text} stale {silence}" for key, text in _series(alert, line, labels).items()}
    series |= _others(alert, labels, line, fires)
    kept_apart = {label_of(word): labels[label_of(word)] for word in alert.grouping}
    texts = {key: expanded(text, kept_apart, 1) for key, text in rule.annotations.items()}
    firing = Firing({**kept_apart, **rule.labels}, texts)
    checks = [Check(end * interval_s, rule.name), Check(fires * interval_s, rule.name, [firing])]
    return Case(f"{rule.name}: series that are gone", series, checks)


def _others(
    alert: Alert, labels: Mapping[str, str], line: Timeline, samples: int
) -> dict[str, str]:
    """Series of the other names of a list, which go on: each missing one would be told of."""
    others: dict[str, str] = {}
    windows = ceil(samples / line.steps) + 1
    value = samples_of(alert, next(iter(alert.severities.values()))).before
    for word, names in alert.scope.patterns().items():
        if word in alert.grouping:
            for name in names[1:]:
                named = name.replace("*", "x").replace("?", "y")
                other = _timeline(alert, line.interval_s)
                of_other = {**labels, label_of(word): named}
                other.add(_growth(alert, value, of_other), windows)
                others |= _series(alert, other, of_other)
    return others


def document(
    file: str, groups: Sequence[str], cases: Sequence[Case], interval_s: float
) -> dict[str, object]:
    """A test file for promtool, of the rules in `file`, whose groups have these names."""
    interval = q.duration(interval_s)
    order = {"group_eval_order": list(groups)} if len(groups) > 1 else {}
    tests = [_test(case, interval) for case in cases]
    return {"rule_files": [file], "evaluation_interval": interval, **order, "tests": tests}


def _test(case: Case, interval: str) -> dict[str, object]:
    test: dict[str, object] = {
        "name": case.name,
        "interval": interval,
        "input_series": [
            {"series": selector, "values": values} for selector, values in case.series.items()
        ],
        "alert_rule_test": list(map(_alert_test, case.checks)),
    }
    if case.recorded:
        test["promql_expr_test"] = list(map(_value_test, case.recorded))
    return test


def _alert_test(check: Check) -> dict[str, object]:
    return {
        "eval_time": q.duration(check.time_s),
        "alertname": check.alert,
        "exp_alerts": [
            {"exp_labels": dict(firing.labels), "exp_annotations": dict(firing.annotations)}
            for firing in check.firing
        ],
    }


def _value_test(recorded: Recorded) -> dict[str, object]:
    return {
        "expr": str(recorded.selector),
        "eval_time": q.duration(recorded.time_s),
        "exp_samples": [{"labels": str(recorded.selector), "value": recorded.value}],
    }
