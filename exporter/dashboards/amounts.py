"""How much was counted in a period, to the unit.

`increase()` extrapolates to the edges of its window and misses the first value of a new series: it
gives 2660.16 for 2688, and 0 for 5. The exporter's counters survive its restarts, so the values at
the two ends of a period suffice.

Durations are text, because Grafana puts its variables into them. It has no arithmetic on variables,
but durations can be written one after the other if their units fall: `3600s29999ms`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exporter.alerting.labels import MODEL
from exporter.alerting.promql import Matcher, Operand, Promql, aggregate, binary, call, number
from exporter.alerting.records import SETTLE_S
from exporter.dashboards.options import Options

STATE_CREATED = "llm_gateway_exporter_state_created_timestamp_seconds"
"""When an exporter's state began: one series for each exporter."""

LONGEST_OUTAGE = "6h"
"""How long an exporter may be away without what it counted meanwhile being lost."""

SPLIT = "${split}"
"""The label that the dashboard is split by, the model to begin with."""

NARROW = frozenset({MODEL, SPLIT})
"""Labels of whose values each has few series, so that summing these early gains nothing."""


@dataclass(frozen=True, slots=True)
class Series:
    """Series of one name, chosen by their labels.

    Attributes:
        recorded: the name of the same series with fewer samples, for long periods.
    """

    name: str
    matchers: tuple[Matcher, ...] = ()
    recorded: str = ""

    def where(self, *matchers: Matcher) -> "Series":
        """Those among them that match these as well."""
        return replace(self, matchers=self.matchers + matchers)

    def part(self, suffix: str) -> "Series":
        """One of a histogram's three: `_bucket`, `_sum` or `_count`."""
        recorded = self.recorded and self.recorded + suffix
        return replace(self, name=self.name + suffix, recorded=recorded)

    @property
    def sparse(self) -> "Series":
        """The recorded ones, where there are such."""
        return Series(self.recorded or self.name, self.matchers)

    def select(self, window: str = "", offset: str = "") -> Operand:
        """The selector; with a window, of all samples in it; an offset looks back."""
        inside = f"{{{', '.join(map(str, self.matchers))}}}" if self.matchers else ""
        window = window and f"[{window}]"
        offset = offset and f" offset {offset}"
        return Operand(self.name + inside + window + offset)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, as seen from the time of a query.

    Attributes:
        length: of it.
        end: offset of its end, "" for the query's time itself.
        start: offset of its start.
        began: its start in epoch seconds.
        lately: how far before an end a scrape may lie that is taken rather than a recording; a
            range that ends with the running hour ends up to an hour from now. "": recordings do.
    """

    length: str
    end: str
    start: str
    began: Promql
    lately: str = "1h"


BUCKET = Period("${granularity}s", "-${granularity}s", "", Operand("time()"), lately="")
"""It begins at the query's time: bars stand at their start, and the running one shows."""

RANGE = Period("${__range_s}s", "", "${__range_s}s", Promql("time() - ${__range_s}"))
"""The dashboard's time range, for an instant query, which Grafana asks at the range's end."""

BEFORE = Period(
    "${__range_s}s",
    "${__range_s}s",
    "${__range_s}s${__range_ms}ms",
    Promql("time() - 2 * ${__range_s}"),
)
"""The period before the range, of equal length."""

MINUTE = Period(
    "60s", f"{SETTLE_S}s", f"{60 + SETTLE_S}s", Promql(f"time() - {60 + SETTLE_S}"), lately=""
)
"""One that has settled, for rules: what comes late is seen by no evaluation at its time."""


class Amounts:
    """Sums of what counters counted in a period.

    Args:
        of_all: not only of the exporters that are chosen in the dashboard.
    """

    def __init__(self, options: Options, *, of_all: bool = False) -> None:
        self._options = options
        self._exporters = () if of_all else (Matcher(options.job_label, "=~", "$job"),)

    def of(self, series: Series, period: Period, by: Sequence[str] = ()) -> Promql:
        """The sum over the series, a sample for each value of the labels in `by`."""
        if self._options.reset_proof:
            return aggregate("sum", self._reset_proof(series, period), by=by)
        return aggregate("sum", self._two_ends(series, period, by), by=by)

    def _two_ends(self, series: Series, period: Period, by: Sequence[str]) -> Promql:
        """The difference of the ends, for counters that never begin again.

        - A series that was born in the period counts from zero, but only where its exporter was
          known before, or is itself new.
        - Where Prometheus meets an exporter for the first time, or its address changed, what was
          seen counts, and never the exporter's whole past.

        Each exporter's series are summed before they are joined, for a join takes several times as
        long as a sum does.
        """
        identity = self._options.identity
        groups = tuple(dict.fromkeys((*identity, *by)))

        def summed(single: Promql) -> Promql:
            return single if NARROW & set(by) else aggregate("sum", single, by=groups)

        end = _last(series, period.length, period.end, period.lately)
        start = _last(series, LONGEST_OUTAGE, period.start, period.lately)
        first = call("min_over_time", series.sparse.select(period.length, period.end))
        # A start above the end is of a counter that began again, as if it had been born.
        known = summed(binary(start, "<=", end))
        of_exporter = f"* on ({', '.join(identity)}) group_left ()"
        met = binary(summed(first), of_exporter, self._incomplete(period))
        return binary(summed(end), "-", binary(known, "or", met))

    def _incomplete(self, period: Period) -> Promql:
        """0 for the exporters all of whose counting in the period is to be seen, 1 for others."""
        created = Series(STATE_CREATED, self._exporters)
        known = call("last_over_time", created.select(LONGEST_OUTAGE, period.start))
        state = call("last_over_time", created.select(period.length, period.end))
        complete = binary(known, "or", binary(state, ">=", period.began))
        one = binary(binary(state, "*", number(0)), "+", number(1))
        both = binary(binary(complete, "*", number(0)), "or", one)
        # An exporter has two of these series for a while, when one of its other labels changed.
        return aggregate("min", both, by=self._options.identity)

    def _reset_proof(self, series: Series, period: Period) -> Promql:
        """The sum of the steps between scrapes; a step down is a counter that began again at zero.

        The window lies off the steps' grid by a millisecond: Prometheus 2 takes in its left edge, 3
        does not, and so both have equally many steps.
        """
        step_s = self._options.scrape_interval_s
        step, off_grid = f"{step_s}s", f"{step_s - 1}s999ms"
        # An offset can be lengthened by writing after it, but not shortened: a period that ends
        # before the query's time moves the samples, one that ends after it moves the window.
        ahead = period.end.startswith("-")
        past = "" if ahead else period.end
        now = call("last_over_time", series.select("1h", past))
        earlier = past + f"{step_s * 1000}ms" if past else step
        before = call("last_over_time", series.select("1h", earlier))
        grown = binary(binary(now, "-", before), ">=", number(0))
        steps = binary(grown, "or", binary(now, "+", number(0)))
        shift = f"{period.end}{step_s * 1000 - 1}ms" if ahead else f"-{off_grid}"
        return Operand(f"sum_over_time(({steps})[{period.length}:{step}] offset {shift})")


def _last(series: Series, window: str, offset: str, lately: str) -> Promql:
    """The last value in a window; with recordings, that of a scrape if there was one lately."""
    last = call("last_over_time", series.sparse.select(window, offset))
    if not series.recorded or not lately:
        return last
    return binary(call("last_over_time", series.select(lately, offset)), "or", last)
