"""Rules of service level objectives: alerts on burn rates, and records of error budgets.

All objectives record under the same names, told apart by `alert_id`, so that one dashboard shows
whatever objectives there are.
"""

from collections.abc import Iterator

from exporter.alerting import promql as q
from exporter.alerting.definitions import Definitions
from exporter.alerting.labels import LE
from exporter.alerting.metrics import Measure, Quantile, Share
from exporter.alerting.promql import Matcher, Promql
from exporter.alerting.records import INSTANT_S, Records
from exporter.alerting.rules import AlertRule, labels_of, watch
from exporter.alerting.slo import Slo
from exporter.alerting.texts import annotations_of, burn_wording
from exporter.alerting.watched import enough_for_two
from exporter.alerting.windows import SLO_WINDOWS, BurnWindow
from exporter.quantities import Duration

OBJECTIVE = "slo:llm_gateway_objective:ratio"
"""The share of requests that must be good."""

BURN_RATE = "slo:llm_gateway_error_budget:burn_rate"
"""How many times faster than allowed requests are bad, over the time in the label `burn_window`.

At a rate of 1 the budget is used up exactly within the objective's window.
"""

BAD_REQUESTS = "slo:llm_gateway_bad_requests:delta"
JUDGED_REQUESTS = "slo:llm_gateway_judged_requests:delta"
"""What they grew by since the last evaluation, `budget_step_s` before."""

LEFT = "slo:llm_gateway_error_budget:left"
"""What is left of the budget over the objective's window; below 0 the objective is missed."""

_STEP_S = 300


def bad_share(slo: Slo) -> Share:
    """What an objective is about: the share of requests that are not good."""
    kind = slo.meaning().kind
    if isinstance(kind, Share):
        return kind
    assert isinstance(kind, Quantile)  # noqa: S101
    assert slo.fast_enough is not None  # noqa: S101
    series, succeeded, within = kind.buckets.series, kind.buckets.matchers, slo.fast_enough.within
    everything = (*succeeded, Matcher(LE, "=", "+Inf"))
    good = (*succeeded, Matcher(LE, "=~", _bound(within)))
    slow = Measure(f"{kind.name}_over_{within}", series, everything, good)
    return Share(slow.name, slow, Measure(f"{kind.name}_observed", series, everything))


def _bound(seconds: float) -> str:
    """A pattern of a bucket's `le`: "1" for Prometheus 2 is "1.0" for Prometheus 3."""
    text = f"{seconds:g}".replace(".", "\\.")
    return text if "\\." in text else f"{text}(\\.0)?"


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
    """Those of the table in which the objective can be missed fast enough: at least one."""
    for window in SLO_WINDOWS[slo.burn_windows].windows:
        if slo.bad_share(window) < 1 and window.long < slo.window:
            yield window


def looked_at(slo: Slo) -> list[Duration]:
    """The lengths of all windows, short and long ones, in order."""
    return sorted({length for each in burn_windows(slo) for length in (each.short, each.long)})


def least_traffic_of(slo: Slo, window: BurnWindow) -> int:
    """Requests that the long window must hold, so that a single failure is not enough."""
    if slo.minimum_traffic is not None:
        return slo.minimum_traffic
    return enough_for_two(slo.bad_share(window))


def _burning(slo: Slo, window: BurnWindow, records: Records) -> Promql:
    watched, share = watch(slo), bad_share(slo)
    limit = q.number(slo.bad_share(window))
    long = watched.of(records.value(share, watched.level, window.long))
    short = watched.of(records.value(share, watched.level, window.short))
    burning = q.all_of(q.binary(long, ">", limit), q.binary(short, ">", limit))
    if least := least_traffic_of(slo, window):
        traffic = watched.of(records.amount(share.whole, watched.level, window.long))
        burning = q.all_of(burning, q.binary(traffic, ">=", q.number(least)))
    return burning


def burn_rates(slo: Slo, records: Records) -> None:
    """Record an objective, and its burn rate over each window that its alerts look at."""
    records.label(OBJECTIVE, q.call("vector", q.number(slo.objective.value)), alert_id=slo.name)
    watched, share = watch(slo), bad_share(slo)
    for length in looked_at(slo):
        bad = watched.of(records.value(share, watched.level, length))
        rate = q.binary(bad, "/", _allowed(slo))
        records.label(BURN_RATE, rate, alert_id=slo.name, burn_window=str(length))


def budget_left(slo: Slo, growth: Records, records: Records) -> None:
    """Record what is left of a budget, from the records of growth in another group."""
    watched, share = watch(slo), bad_share(slo)
    # The groups are evaluated at different moments. All but an instant of a step holds as many
    # evaluations as there are in one, wherever they fall.
    step_s = records.interval_s - INSTANT_S

    def over_window(name: str, measure: Measure) -> Promql:
        record = growth.growth(measure, watched.level)
        grown = q.select(record, watched.matchers, window_s=step_s)
        records.label(name, q.call("sum_over_time", grown), alert_id=slo.name)
        of_slo = Matcher("alert_id", "=", slo.name)
        return q.call("sum_over_time", q.select(name, [of_slo], window_s=slo.window))

    bad = over_window(BAD_REQUESTS, share.part)
    judged = over_window(JUDGED_REQUESTS, share.whole)
    spent = q.binary(q.binary(bad, "/", q.binary(judged, ">", q.number(0))), "/", _allowed(slo))
    records.label(LEFT, q.binary(q.number(1), "-", spent), alert_id=slo.name)


def budget_step_s(interval_s: float) -> float:
    """How often budgets are recorded: every five minutes, or a little less."""
    return interval_s * (_STEP_S // interval_s)


def _allowed(slo: Slo) -> Promql:
    """The share of requests that may be bad."""
    return q.number(1 - slo.objective.value)
