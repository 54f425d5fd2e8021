"""The page's figures as PromQL: what each number is made of, whatever panel it is shown in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from exporter import vocabulary as v
from exporter.alerting.labels import FAILED, JUDGED, LE, SUCCEEDED, TOKEN_TYPE
from exporter.alerting.promql import Matcher, Promql, binary, call, number
from exporter.dashboards.amounts import Amounts, Period, Series
from exporter.dashboards.board import chosen
from exporter.dashboards.options import Options
from exporter.vocabulary import Instrument


class Figures:
    """Figures of what is chosen in the dashboard's variables.

    Each takes the period that it is of, and the labels that it is split by.

    Args:
        recorded: names of the same series with fewer samples, or of variables that hold one.
        one_model: of the one that is picked, on a dashboard that has a variable for it.
    """

    def __init__(
        self,
        options: Options,
        recorded: Mapping[Instrument, str] = MappingProxyType({}),
        *,
        one_model: bool = False,
    ) -> None:
        self._amounts = Amounts(options)
        self._chosen = chosen(options, one_model=one_model)
        self._recorded = recorded
        self.all_requests = self.series(v.REQUESTS)
        self.all_tokens = self.series(v.TOKENS)
        self.durations = self.series(v.REQUEST_DURATION, SUCCEEDED)
        self.first_tokens = self.series(v.TIME_TO_FIRST_TOKEN)

    def series(self, instrument: Instrument, *matchers: Matcher) -> Series:
        """Those of an instrument that are chosen."""
        recorded = self._recorded.get(instrument, "")
        return Series(instrument.prometheus_name, (*self._chosen, *matchers), recorded)

    def amount(self, series: Series, period: Period, by: Sequence[str] = ()) -> Promql:
        """What counters counted."""
        return self._amounts.of(series, period, by)

    def requests(self, period: Period, by: Sequence[str] = ()) -> Promql:
        """All of them, those that clients gave up too."""
        return self.amount(self.all_requests, period, by)

    def failures(self, period: Period, by: Sequence[str] = ()) -> Promql:
        """Requests that failed; not those that clients gave up."""
        return self.amount(self.all_requests.where(FAILED), period, by)

    def tokens(self, period: Period, by: Sequence[str] = (), kind: str = "") -> Promql:
        """Input and output, or one of them."""
        of_kind = (Matcher(TOKEN_TYPE, "=", kind),) if kind else ()
        return self.amount(self.all_tokens.where(*of_kind), period, by)

    def success_rate(self, period: Period, by: Sequence[str] = ()) -> Promql:
        """A ratio of sums; nothing where there were no requests, rather than NaN or zero."""
        succeeded = self.amount(self.all_requests.where(SUCCEEDED), period, by)
        return ratio(succeeded, self.amount(self.all_requests.where(JUDGED), period, by))

    def mean(self, histogram: Series, period: Period, by: Sequence[str] = ()) -> Promql:
        """The mean of what a histogram counted."""
        total = self.amount(histogram.part("_sum"), period, by)
        return ratio(total, self.amount(histogram.part("_count"), period, by))

    def quantile(
        self, rank: float, histogram: Series, period: Period, by: Sequence[str] = ()
    ) -> Promql:
        """A quantile, of all that was counted together: quantiles can't be averaged.

        It is right to the bucket that it falls into. Recordings do for both ends: half an hour more
        or less makes no difference to days, and the buckets are by far the most series.
        """
        period = replace(period, lately="")
        buckets = self.amount(histogram.part("_bucket"), period, (*by, LE))
        # An empty histogram has NaN for its quantiles, and NaN is not at least zero.
        return binary(call("histogram_quantile", number(rank), buckets), ">=", number(0))


def ratio(part: Promql, whole: Promql) -> Promql:
    """A ratio of sums; nothing where the whole is zero."""
    return binary(part, "/", binary(whole, ">", number(0)))
