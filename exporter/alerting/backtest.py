"""How often alerts would have fired: their definitions over what a Prometheus remembers.

The rules need not have been loaded: values are computed from the counters, once a period. Windows
therefore do not overlap here, where rules look at them each interval: an alert that needs several
periods in a row can fire up to one period earlier or later.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from exporter.alerting.alert import Alert
from exporter.alerting.burning import Burning, burning
from exporter.alerting.definitions import Definitions
from exporter.alerting.prometheus import Labels, Prometheus
from exporter.alerting.records import WithoutRecords
from exporter.alerting.rules import offset_of, watch
from exporter.alerting.thresholds import Threshold
from exporter.alerting.words import COMPARISONS, DAY_S, SEVERITIES
from exporter.quantities import Duration

_COLUMNS = 72
_SHADES = "·░▒▓█"
"""From never to all of the time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one severity of an alert would have done.

    Attributes:
        firing: of each series, for each period whether it fired.
        start: when the first period began, in epoch seconds.
        period_s: in seconds.
    """

    name: str
    severity: str
    firing: Mapping[Labels, Sequence[bool]]
    start: float
    period_s: float

    @property
    def incidents(self) -> int:
        """How often it began to fire."""
        return sum(
            now and not before
            for series in self.firing.values()
            for before, now in zip((False, *series), series, strict=False)
        )

    @property
    def firing_s(self) -> float:
        """Seconds that it fired, of all series together."""
        return sum(sum(series) for series in self.firing.values()) * self.period_s

    def picture(self) -> str:
        """A line of time, darker where it fired for more of it."""
        count = max((len(series) for series in self.firing.values()), default=0)
        anywhere = [
            any(series[number] for series in self.firing.values()) for number in range(count)
        ]
        width = min(_COLUMNS, max(count, 1))
        parts = [
            anywhere[count * column // width : max(count * (column + 1) // width, 1)]
            for column in range(width)
        ]
        return "".join(_shade(part) for part in parts)


def _shade(part: Sequence[bool]) -> str:
    share = sum(part) / len(part) if part else 0
    return _SHADES[ceil(share * (len(_SHADES) - 1))]


def backtest(
    definitions: Definitions, prometheus: Prometheus, end: float, days: float
) -> Iterator[Outcome]:
    """What each alert would have done in the days before `end` (epoch seconds).

    Raises:
        PrometheusFailed: it cannot be reached, or refuses an expression.
    """
    for alert in definitions.alerts:
        yield from _outcomes(alert, prometheus, end, days)
    for slo in definitions.slos:
        yield from _burnt(burning(slo, prometheus, end, days * DAY_S), end)


def _outcomes(alert: Alert, prometheus: Prometheus, end: float, days: float) -> Iterator[Outcome]:
    metric, level = alert.meaning(), watch(alert).narrowed
    step_s = float(alert.period)
    records = WithoutRecords(step_s)
    back = round(offset_of(alert) / step_s) if alert.against else 0
    count = int(days * DAY_S / step_s)
    start = end - (count - 1 + back) * step_s
    value = records.value(metric.kind, level, step_s)
    counted = metric.traffic and records.amount(metric.traffic, level, step_s)
    values = prometheus.over(value, start, end, step_s)
    traffic = prometheus.over(counted, start, end, step_s) if counted else {}
    for severity in SEVERITIES:
        if (threshold := alert.severities.get(severity)) is not None:
            judge = _Judge(alert, threshold, back)
            firing = {
                labels: judge.firing(series, traffic.get(labels, {}), count)
                for labels, series in values.items()
            }
            yield Outcome(alert.name, severity, firing, end - count * step_s, step_s)


def _burnt(past: Burning, end: float) -> Iterator[Outcome]:
    """What the alerts of an objective would have done, by their long windows."""
    longest = max((round(window.long / past.step_s) for window in past.windows()), default=0)
    for window in past.windows():
        firing = {
            labels: [
                past.fires(window, requests, step) for step in range(longest + 1, past.steps + 1)
            ]
            for labels, requests in past.requests.items()
        }
        start = end - (past.steps - longest) * past.step_s
        name = f"{past.slo.name} {window.long}"
        yield Outcome(name, window.severity, firing, start, past.step_s)


@dataclass(frozen=True, slots=True)
class _Judge:
    """One threshold of an alert.

    Attributes:
        back: periods to what a change is measured against; 0: values are compared.
    """

    alert: Alert
    threshold: Threshold
    back: int

    def firing(
        self, values: Mapping[int, float], traffic: Mapping[int, float], count: int
    ) -> list[bool]:
        """For each of the last `count` periods, whether the alert fires."""
        over = [
            self._is_over(values, traffic, number) for number in range(self.back, self.back + count)
        ]
        needed = self.alert.breaching or self.alert.periods
        return [
            sum(over[max(0, number + 1 - self.alert.periods) : number + 1]) >= needed
            for number in range(count)
        ]

    def _is_over(
        self, values: Mapping[int, float], traffic: Mapping[int, float], number: int
    ) -> bool:
        alert, least = self.alert, self.alert.least_traffic(self.threshold)
        now, then = values.get(number), values.get(number - self.back)
        if now is None or then is None:
            return False
        if alert.against and (
            then <= 0 or (alert.floor and max(now, then) < float(alert.floor.value))
        ):
            return False
        looked_at = [number - self.back] if alert.against else []
        if not alert.tells_of_little_traffic:
            looked_at.append(number)
        if least and any(traffic.get(each, 0) < least for each in looked_at):
            return False
        value = now / then - 1 if alert.against else now
        return COMPARISONS[alert.compare](value, float(self.threshold.value))


def report(outcomes: Sequence[Outcome]) -> str:
    """A table, with a picture of the time beside each alert."""
    head = f"{'alert':32} {'severity':9} {'fired':>6} {'for':>10}  from then to now"
    lines = (
        f"{each.name:32} {each.severity:9} {each.incidents:6} "
        f"{Duration(each.firing_s)!s:>10}  {each.picture()}"
        for each in outcomes
    )
    return "\n".join([head, *lines])
