"""A service level objective."""

from bisect import bisect
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import ModelWrapValidatorHandler, model_validator

from exporter.alerting.metrics import METRICS, Metric, Quantile
from exporter.alerting.thresholds import Threshold, text_of, wrong_form
from exporter.alerting.watched import Watched
from exporter.alerting.windows import SLO_WINDOWS, BurnWindow
from exporter.alerting.words import HOUR_S
from exporter.documents import Finding, Section, sound
from exporter.mistakes import unknown
from exporter.quantities import Duration, between


class FastEnough(Section):
    """A latency objective: successes that are not slower count as good."""

    metric: Literal["latency", "ttft"]
    """Whole answer, or its first token."""

    within: Duration
    """The longest good time; must be a bound of the histogram's buckets."""


class Slo(Watched):
    """A service level objective: alerts fire when its error budget is used up too fast."""

    objective: Threshold
    """Share of requests that must be good, such as 99.5%."""

    window: Annotated[Duration, between(Duration("1d"), Duration("90d"))] = Duration("30d")
    """Time over which the objective must be met."""

    fast_enough: FastEnough | None = None
    """What a good request is, where success is not enough."""

    burn_windows: str = "sre-workbook"
    """Table of burn rates and windows."""

    @model_validator(mode="wrap")
    @classmethod
    def _coherent(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        slo = handler(data)
        return sound(slo, _incoherences(slo))

    def meaning(self) -> Metric:
        """The error rate; of a latency objective one of its quantiles, whose buckets matter."""
        return METRICS[f"{self.fast_enough.metric}_p99" if self.fast_enough else "error_rate"]

    def bad_share(self, window: BurnWindow) -> float:
        """The share of bad requests at which a window's part of the budget is used up within it."""
        return round(window.rate(self.window) * float(1 - self.objective.value), 12)


def _incoherences(slo: Slo) -> Iterator[Finding]:
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
    kind = slo.meaning().kind
    if slo.fast_enough and isinstance(kind, Quantile) and slo.fast_enough.within not in kind.bounds:
        place = bisect(kind.bounds, slo.fast_enough.within)
        near = kind.bounds[max(0, place - 1) : place + 1]
        yield (
            ("fast_enough", "within"),
            "expected a bound of the histogram's buckets; the nearest are "
            + " and ".join(text_of(Duration(bound)) for bound in near),
        )


def _never_burns(slo: Slo) -> str | None:
    """Why no alert of an objective can ever fire: each asks for more bad requests than all."""
    windows = [each for each in SLO_WINDOWS[slo.burn_windows].windows if each.long < slo.window]
    slowest = min(windows, key=slo.bad_share)
    share, rate = slo.bad_share(slowest), slowest.rate(slo.window)
    if share < 1:
        return None
    shorter = round(slo.window / share, 3) // HOUR_S * HOUR_S
    return (
        f"expected more than {100 * (1 - 1 / rate):.4g}%"
        f" over {slo.window}, or a window of less than {Duration(shorter)}: at "
        f"{slo.objective.text} not even a failure of all requests burns {rate:g} times too fast"
    )
