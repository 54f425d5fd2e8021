"""Values around a threshold: over it, at it, short of it, and over it with too little traffic."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from exporter.alerting.alert import Alert
from exporter.alerting.metrics import Age, Amount, Down, Mean, Quantile, Share, State
from exporter.alerting.thresholds import Threshold
from exporter.alerting.traffic import Value, rounded_up, seen_value


@dataclass(frozen=True, slots=True)
class Samples:
    """Values of one definition around one of its thresholds.

    Attributes:
        before: the value that a change is measured against; else as `short`.
        boundary: None where floating point cannot hold it.
        idle: over the threshold, but with too little traffic; None where any traffic is enough.
        idle_before: what `idle` is measured against.
    """

    before: Value
    short: Value
    over: Value
    boundary: Value | None
    idle: Value | None
    idle_before: Value


def samples_of(alert: Alert, threshold: Threshold) -> Samples:
    """Values around a threshold."""
    least = max(alert.least_traffic(each) for each in alert.severities.values())
    if alert.against is not None:
        return _changes(alert, threshold, least)
    idle = alert.least_traffic(threshold) - 1
    kind, limit = alert.meaning().kind, threshold.value
    few: Value | None
    boundary: Value | None
    match kind:
        case Share():
            # Of this, a share twice as fine as the threshold is a whole number.
            traffic = rounded_up(max(least, 1) * 2, limit / 2)
            over, short = _around(alert, limit, Fraction(1, traffic), most=1)
            extreme = Fraction(1 if alert.rising else 0)
            few = Value(extreme, idle) if idle > 0 else None
            boundary = Value(limit, traffic)
        case Quantile():
            traffic = max(least, 20)
            over, short = _buckets_around(alert, kind, limit)
            few, boundary = Value(over, idle) if idle > 0 else None, None
        case Mean():
            traffic = 1 << max(least, 16).bit_length()
            over, short = map(_rounded, _around(alert, limit, limit / 8 or Fraction(1)))
            few = Value(over, idle) if idle > 0 else None
            boundary = Value(limit, traffic) if _is_exact(limit) else None
        case Amount(measure):
            traffic = max(least, 20)
            over, short = _around(alert, limit, Fraction(1), whole=True)
            metric = alert.meaning()
            of_requests = metric.traffic is not None and metric.traffic.series == measure.series
            few = Value(over, idle) if idle > 0 and not (of_requests and over > idle) else None
            exact = _is_exact(limit * Fraction(alert.period))
            boundary = Value(limit, traffic) if exact else None
        case Age() | Down() | State():
            traffic = 0
            most = 1 if isinstance(kind, Down) else None
            over, short = _around(alert, limit, Fraction(1), most=most)
            few, boundary = None, Value(limit, 0) if _is_exact(limit) else None
    quiet = Value(short, traffic)
    return Samples(quiet, quiet, Value(over, traffic), boundary, few, quiet)


def _around(
    alert: Alert,
    limit: Fraction,
    step: Fraction,
    *,
    most: int | None = None,
    whole: bool = False,
) -> tuple[Fraction, Fraction]:
    """A value over the threshold and one short of it; at the end of the scale the threshold."""
    above = Fraction(floor(limit) + 1) if whole else limit + step
    below = Fraction(ceil(limit) - 1) if whole else limit - step
    above = limit if most is not None and above > most else above
    below = max(below, Fraction(0))
    return (above, below) if alert.rising else (below, above)


def _rounded(value: Fraction) -> Fraction:
    """A value near by whose sums are exact in floating point."""
    return Fraction(round(value * 64), 64) if value >= 1 else value


def _buckets_around(alert: Alert, kind: Quantile, limit: Fraction) -> tuple[Fraction, Fraction]:
    """Numbers of buckets whose quantile is over the threshold, and short of it."""
    quantiles = [
        seen_value(kind, Value(Fraction(number), 1)) for number in range(len(kind.bounds) + 1)
    ]
    above = next(number for number, value in enumerate(quantiles) if value > limit)
    below = max(number for number, value in enumerate(quantiles) if value < limit)
    return (
        (Fraction(above), Fraction(below)) if alert.rising else (Fraction(below), Fraction(above))
    )


def _changes(alert: Alert, threshold: Threshold, least: int) -> Samples:
    """Values before, and values that have changed since."""
    kind, factor = alert.meaning().kind, 1 + threshold.value
    floor_ = alert.floor.value if alert.floor else Fraction(0)
    traffic = max(least, 20)
    before: Fraction
    step: Fraction
    low = Value(Fraction(0), max(alert.least_traffic(threshold) - 1, 0))
    boundary = None
    match kind:
        case Quantile(bounds=bounds):
            ends = Fraction(0), Fraction(len(bounds))
            before, after = ends if alert.rising else ends[::-1]
            return Samples(
                *(Value(before, traffic), Value(before, traffic), Value(after, traffic), None),
                *(Value(after, low.traffic), Value(before, low.traffic)),
            )
        case Share():
            share: Fraction = (
                Fraction(1, 4 * ceil(float(factor))) if alert.rising else Fraction(1, 2)
            )
            before, step = max(share, floor_), Fraction(1, 1000)
            traffic = rounded_up(max(traffic, 1000), before)
        case Mean():
            before, step = max(Fraction(1), floor_), Fraction(1, 100)
        case _:
            before = Fraction(ceil(max(float(floor_), least, 100)) * factor.denominator)
            step = Fraction(1)
            exact = float(before * factor) / float(before) - 1 == float(threshold.value)
            boundary = Value(before * factor, traffic) if exact else None
    now = before * factor
    further, nearer = (
        (now + step, now - step) if alert.rising else (max(now - step, Fraction(0)), now + step)
    )
    idle, idle_before = _idle_change(alert, low.traffic, before, further)
    old = Value(before, traffic)
    over, short = Value(further, traffic), Value(nearer, traffic)
    return Samples(old, short, over, boundary, idle, idle_before)


def _idle_change(
    alert: Alert, idle: int, before: Fraction, over: Fraction
) -> tuple[Value | None, Value]:
    """A change of values that rest on too little traffic; of traffic itself, at a small scale."""
    metric = alert.meaning()
    if idle < 1:
        return None, Value(before, 1)
    if isinstance(metric.kind, Amount) and metric.traffic is not None:
        counted = metric.kind.measure
        if counted.series == metric.traffic.series:
            scale = Fraction(idle, 1) / max(before, over)
            minutes = Fraction(alert.period) / 60 if metric.kind.per_minute else Fraction(1)
            return Value(over * scale / minutes, idle), Value(before * scale / minutes, idle)
    return Value(over, idle), Value(before, idle)


def _is_exact(value: Fraction) -> bool:
    """Whether sums of a value are exact in floating point."""
    return value.denominator & (value.denominator - 1) == 0 and value.denominator <= 1024
