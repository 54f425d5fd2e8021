"""Recording rules: what counters grew by, per window; shares, means and quantiles of that.

Every amount begins with the exact growth of a counter over one evaluation interval. It is a sum
over samples, not a rate that is extrapolated: an alert says "3 requests failed", never 2.87.
Windows are sums of these, so that a hundred definitions over one counter read it once. Buckets are
twenty times as many as other series, and to record them costs as much as to read them: their growth
is recorded once, at the level that it is watched at.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from exporter.alerting import promql as q
from exporter.alerting.labels import LE
from exporter.alerting.metrics import Age, Amount, Down, Kind, Mean, Measure, Quantile, Share, State
from exporter.alerting.promql import Matcher, Operand, Promql
from exporter.alerting.words import HOUR_S, LONG_S
from exporter.quantities import Duration

REPLICAS = ("instance", "pod")
"""Labels that tell replicas of one exporter apart; what they count is added up."""

INSTANT_S = 0.001
"""What a subquery is shorter than its steps together: so it has as many steps at any time, and no
more where, as in Prometheus 2, a range includes its left end."""

SETTLE_S = 15
"""Seconds, at most, between the end of what rules count and their evaluation. A sample is in
Prometheus later than its time says, by what a scrape or a collector takes: an evaluation at that
time would not see it, and the next would count from it."""

LOOKBACK_S = 600
"""How long a counter may be missing (an exporter that restarts) and still be counted on."""

TOGETHER, SINGLE = "gateway", "series"
"""Levels that are not of labels: that of all requests, and that of a counter's own series."""


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule.

    Attributes:
        labels: that its samples have besides those of the expression, in pairs.
    """

    name: str
    expression: Promql
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Level:
    """What a value is kept apart by, and whose requests it counts.

    Attributes:
        words: of the labels, as definitions have them.
        labels: the same, as series have them.
        matchers: on labels that are not among `labels`; who reads a record matches the others.
    """

    words: tuple[str, ...]
    labels: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()

    @property
    def name(self) -> str:
        """First part of a record's name, which no other level has.

        An attribute may be called as other words are together, or as levels are that are not of
        labels. A digest stands for the matchers.
        """
        name = "_".join(word.replace("_", "__") for word in self.words) or TOGETHER
        if self.words in ((TOGETHER,), (SINGLE,)):
            name += "_"
        if self.matchers:
            text = ",".join(map(str, self.matchers))
            name += f"_in_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return name


@dataclass
class Records:
    """The records of one group, each once, those that others rest on before them.

    Attributes:
        interval_s: of the group's evaluation, in seconds.
        rules: by their names, or names and labels.
    """

    interval_s: float
    rules: dict[str, Record] = field(default_factory=dict)

    @property
    def settle_s(self) -> float:
        """How long before an evaluation ends what it counts, in seconds."""
        return min(SETTLE_S, self.interval_s / 4)

    def value(self, kind: Kind, level: Level, window_s: float) -> Promql:
        """The record of a metric's value over windows of a length."""
        match kind:
            case Amount(measure, per_minute=False):
                return self.amount(measure, level, window_s)
            case Amount(measure):
                minutes = q.number(window_s / 60)
                rate = q.binary(self.amount(measure, level, window_s), "/", minutes)
                return self.add(level, measure.name, f"per_minute{_spell(window_s)}", rate)
            case Share(name, part, whole):
                share = self._divided(part, whole, level, window_s)
                return self.add(level, name, f"ratio{_spell(window_s)}", share)
            case Mean(name, total, count):
                mean = self._divided(total, count, level, window_s)
                return self.add(level, name, f"mean{_spell(window_s)}", mean)
            case Quantile(name, buckets, quantile):
                # A quantile needs all of the buckets: a record of their sums would cost more than
                # the sums do.
                summed = self._within(buckets, level, window_s)
                rank = q.call("histogram_quantile", q.number(quantile), summed)
                # NaN, of a window without observations, is not >= 0.
                known = q.binary(rank, ">=", q.number(0))
                operation = f"p{quantile * 100:g}_{_spell(window_s)}"
                return self.add(level, name, operation, known)
            case State(name, series, matchers, operation):
                states = q.select(series, (*matchers, *level.matchers))
                state = q.aggregate(operation, states, by=level.labels)
                return self.add(level, name, "now", state)
            case Age(name, series):
                newest = q.aggregate("max", q.select(series), by=level.labels)
                age = q.binary(q.call("time"), "-", newest)
                return self.add(level, name, "seconds", age)
            case Down(name, series):
                by = level.labels
                down = q.binary(q.aggregate("max", q.select("up"), by=by), "== bool", q.number(0))
                seen = q.call("present_over_time", q.select(series, window_s=LONG_S))
                ours = q.all_of(down, q.aggregate("count", seen, by=by))
                return self.add(level, name, "bool", ours)

    def change(self, kind: Kind, level: Level, window_s: float, offset_s: float) -> Promql:
        """The record of a value's change since a time before, as a share of what it was then."""
        now = self.value(kind, level, window_s)
        then = q.select(now, offset_s=offset_s)
        change = q.binary(q.binary(now, "/", q.binary(then, ">", q.number(0))), "-", q.number(1))
        metric, operation = now.split(":")[1:]
        return self.add(level, metric, f"{operation}_change_{_spell(offset_s)}", change)

    def amount(self, measure: Measure, level: Level, window_s: float) -> Promql:
        """The record of what a measure grew by within windows of a length."""
        within = self._within(measure, level, window_s)
        if window_s == self.interval_s:
            return within
        return self.add(level, measure.name, f"delta{_spell(window_s)}", within)

    def _within(self, measure: Measure, level: Level, window_s: float) -> Promql:
        """The same, made of the records of shorter windows."""
        of_step = self.growth(measure, level)
        if window_s == self.interval_s:
            return of_step
        if window_s > LONG_S and self.interval_s < HOUR_S:
            of_hour = self.amount(measure, level, HOUR_S)
            samples = q.select(of_hour, window_s=window_s - INSTANT_S, step_s=HOUR_S)
        else:
            # Off the grid by half of one: Prometheus 2 includes a range's left end, 3 does not.
            samples = q.select(of_step, window_s=window_s - self.interval_s / 2)
        return q.call("sum_over_time", samples)

    def label(self, name: str, expression: Promql, **labels: str) -> None:
        """Record under a name that several definitions have, each with labels of its own."""
        record = Record(name, q.checked(expression), tuple(labels.items()))
        self.rules[f"{name} {record.labels}"] = record

    def growth(self, measure: Measure, level: Level) -> Promql:
        """The record of a measure's growth over one interval, at a level."""
        by = (*level.labels, LE) if measure.has_buckets else level.labels

        def summed(*matchers: Matcher) -> Promql:
            return q.aggregate("sum", self._grown(measure, (*matchers, *level.matchers)), by=by)

        growth = summed(*measure.matchers)
        if measure.minus:
            growth = q.binary(growth, "-", summed(*measure.minus))
        if measure.matchers and not measure.of_buckets:
            # No failure yet is no failure: a value of 0, not no value. Buckets are there at once.
            growth = q.binary(growth, "or", q.binary(q.number(0), "*", summed()))
        return self.add(level, measure.name, f"delta{_spell(self.interval_s)}", growth)

    def _grown(self, measure: Measure, matchers: Sequence[Matcher]) -> Promql:
        """What some of a counter's series grew by over one interval."""
        if measure.of_buckets:
            return self._growth(measure, matchers)
        # The colon of a record's level keeps the counter's own suffixes apart from ours.
        name = f"{SINGLE}:{measure.series.removesuffix('_total')}:delta{_spell(self.interval_s)}"
        if name not in self.rules:
            labels = ", ".join(measure.by or REPLICAS)
            grouping = f"by ({labels})" if measure.by else f"without ({labels})"
            grown = Operand(f"sum {grouping} ({self._growth(measure)})")
            self.rules[name] = Record(name, q.checked(grown))
        return q.select(name, matchers)

    def _growth(self, measure: Measure, matchers: Sequence[Matcher] = ()) -> Promql:
        """What each series of a counter grew by over one interval.

        A series that is new is counted from its first sample: a Prometheus that meets an exporter
        which has long been running does not count its past. What has not happened yet our exporter
        gives at zero, so that the first failure counts. A series that fell began anew, so that its
        value is its growth. `last_over_time` bridges scrapes that failed.
        """
        interval, end = self.interval_s, self.settle_s

        def over(function: str, window_s: float, offset_s: float) -> Promql:
            samples = q.select(measure.series, matchers, window_s=window_s, offset_s=offset_s)
            return q.call(function, samples)

        newest = over("last_over_time", max(LOOKBACK_S, interval), end)
        before = over("last_over_time", LOOKBACK_S, interval + end)
        first = over("min_over_time", interval, end)
        grown = q.binary(newest, "-", q.binary(before, "or", first))
        anew = q.binary(newest, "+", q.number(0))
        return q.binary(q.binary(grown, ">=", q.number(0)), "or", anew)

    def _divided(self, part: Measure, whole: Measure, level: Level, window_s: float) -> Promql:
        divisor = q.binary(self.amount(whole, level, window_s), ">", q.number(0))
        return q.binary(self.amount(part, level, window_s), "/", divisor)

    def add(self, level: Level, metric: str, operation: str, expression: Promql) -> Promql:
        """A record at a level, under the name that these words make; once.

        Raises:
            ValueError: another one has that name, which is a mistake in this program.
        """
        name = f"{level.name}:{metric}:{operation}"
        record = Record(name, q.checked(expression))
        if self.rules.setdefault(name, record) != record:
            raise ValueError(f"two records are called {name}")
        return Operand(name)


def level_of(words: Sequence[str], labels: Sequence[str], matchers: Sequence[Matcher]) -> Level:
    """A level, and of the matchers those on labels that it does not keep apart."""
    outside = tuple(matcher for matcher in matchers if matcher.label not in labels)
    return Level(tuple(words), tuple(labels), outside)


def _spell(seconds: float) -> str:
    """A duration as part of a name."""
    return str(Duration(round(seconds, 3)))


class WithoutRecords(Records):
    """The same values from the counters alone, for a Prometheus that does not have the records.

    Attributes:
        interval_s: the length of windows, whose ends tell what a counter grew by.
    """

    @property
    def settle_s(self) -> float:
        return 0

    def add(self, level: Level, metric: str, operation: str, expression: Promql) -> Promql:
        return Operand(f"({expression})")

    def _grown(self, measure: Measure, matchers: Sequence[Matcher]) -> Promql:
        return self._growth(measure, matchers)
