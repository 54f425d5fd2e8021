"""How fast objectives used up their error budgets, from the counters in a Prometheus alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from exporter.alerting.metrics import Measure
from exporter.alerting.objectives import (
    bad_share,
    burn_windows,
    least_traffic_of,
    looked_at,
)
from exporter.alerting.prometheus import Labels, Prometheus
from exporter.alerting.records import WithoutRecords
from exporter.alerting.rules import watch
from exporter.alerting.slo import Slo
from exporter.alerting.windows import BurnWindow


@dataclass(frozen=True, slots=True)
class Requests:
    """Bad requests, and all that are judged, from a time on: sums after so many steps."""

    bad: tuple[float, ...]
    judged: tuple[float, ...]

    def judged_within(self, end: int, steps: int) -> float:
        """How many there were in the steps before `end`."""
        return self.judged[end] - self.judged[end - steps]

    def share(self, end: int, steps: int) -> float | None:
        """The share of bad ones in the steps before `end`; None where there were none at all."""
        judged = self.judged_within(end, steps)
        return (self.bad[end] - self.bad[end - steps]) / judged if judged > 0 else None


@dataclass(frozen=True, slots=True)
class Burning:
    """An objective's requests in the past.

    Attributes:
        step_s: in seconds, of which all windows are multiples.
        steps: so many there are.
    """

    slo: Slo
    step_s: float
    steps: int
    requests: Mapping[Labels, Requests]

    def windows(self) -> Iterator[BurnWindow]:
        """Those that the objective's alerts look at."""
        return burn_windows(self.slo)

    def fires(self, window: BurnWindow, requests: Requests, end: int) -> bool:
        """Whether the alert of a window fires after so many steps."""
        long, short = (round(length / self.step_s) for length in (window.long, window.short))
        limit = self.slo.bad_share(window)
        shares = requests.share(end, long), requests.share(end, short)
        return all(
            share is not None and share > limit for share in shares
        ) and requests.judged_within(end, long) >= least_traffic_of(self.slo, window)


def burning(slo: Slo, prometheus: Prometheus, end: float, before_s: float = 0) -> Burning:
    """An objective's requests until `end` (epoch seconds), as its alerts see them since before.

    Raises:
        PrometheusFailed: it cannot be reached, or refuses an expression.
    """
    lengths = looked_at(slo)
    step_s = float(lengths[0])
    steps = round((before_s + lengths[-1]) / step_s)
    level, share = watch(slo).narrowed, bad_share(slo)

    def counted(measure: Measure) -> dict[Labels, tuple[float, ...]]:
        amount = WithoutRecords(step_s).amount(measure, level, step_s)
        grown = prometheus.over(amount, end - (steps - 1) * step_s, end, step_s)
        return {
            labels: tuple(accumulate((values.get(n, 0) for n in range(steps)), initial=0))
            for labels, values in grown.items()
        }

    bad = counted(share.part)
    judged = counted(share.whole)
    none = (0.0,) * (steps + 1)
    found = {labels: Requests(bad.get(labels, none), sums) for labels, sums in judged.items()}
    return Burning(slo, step_s, steps, found)
