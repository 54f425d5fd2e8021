"""Series that exporters have about themselves.

Their counters begin at zero with each start, unlike those of requests: so these are rates.
"""

from exporter.alerting.labels import LE
from exporter.alerting.promql import Promql, aggregate, binary, call, number
from exporter.dashboards import board
from exporter.dashboards.amounts import STATE_CREATED, Series
from exporter.dashboards.options import Options

PREFIX = "llm_gateway_exporter_"


class Own:
    """Series about the exporters that are chosen."""

    def __init__(self, options: Options) -> None:
        self._of_job = board.of_job(options)
        self._identity = options.identity

    def series(self, name: str) -> Series:
        """Those of that name."""
        return Series(name, (self._of_job,))

    def of_exporters(self, expression: Promql) -> Promql:
        """Of what other targets of a job have too, such as `up`, that of exporters.

        One that is down is known as an exporter for another day.
        """
        known = call("present_over_time", self.series(STATE_CREATED).select("1d"))
        return binary(expression, f"and on ({', '.join(self._identity)})", known)

    def gauge(self, name: str, how: str = "max", by: tuple[str, ...] = ("instance",)) -> Promql:
        """A gauge, over the exporters with the same values of the labels."""
        return aggregate(how, self.series(PREFIX + name).select(), by=by)

    def per_second(self, name: str, *by: str) -> Promql:
        """The rate of a counter."""
        window = self.series(f"{PREFIX}{name}_total").select("$__rate_interval")
        return aggregate("sum", call("rate", window), by=by)

    def trouble(self, name: str, *by: str) -> Promql:
        """A rate of what should not happen: nothing, rather than zero, while it does not."""
        return binary(self.per_second(name, *by), ">", number(0))

    def in_range(self, name: str, *by: str) -> Promql:
        """What a counter grew by in the time range: a guess, for it begins anew with each start."""
        window = self.series(f"{PREFIX}{name}_total").select("${__range_s}s")
        return aggregate("sum", call("increase", window), by=by)

    def changes(self, name: str) -> Promql:
        """Where a gauge changed."""
        changed = call("changes", self.series(name).select("$__rate_interval"))
        of_each = aggregate("max", self.of_exporters(changed), by=("instance",))
        return binary(of_each, ">", number(0))

    def quantile(self, rank: float, name: str) -> Promql:
        """A quantile of a histogram."""
        window = self.series(f"{PREFIX}{name}_bucket").select("$__rate_interval")
        buckets = aggregate("sum", call("rate", window), by=(LE,))
        return binary(call("histogram_quantile", number(rank), buckets), ">=", number(0))
