"""The four figures above everything else, and how old they are."""

from exporter.alerting.promql import Promql, aggregate, binary, call, number
from exporter.dashboards import board
from exporter.dashboards.amounts import BEFORE, BUCKET, RANGE, STATE_CREATED, Series
from exporter.dashboards.figures import Figures
from exporter.dashboards.options import Options
from exporter.dashboards.panels import SUCCESS_LEVELS, About, PanelBuilder, Query, sparkline, stat


def headline(figures: Figures, options: Options) -> list[PanelBuilder]:
    """Four figures and how they came about; and how old the newest data is."""
    change = "The change is against the period before, of equal length; 0 % if that has no data."

    def about(title: str, description: str, unit: str = "short") -> About:
        return About(title, description, unit, width=5, height=4, empty="No requests")

    def trend(title: str, figure: Promql, unit: str, *, bar: bool) -> PanelBuilder:
        text = f"{title}: of each bucket. The running one is shown as far as it has come."
        return sparkline(About(title, text, unit, width=5, height=3), Query(figure, title), bar=bar)

    latency = figures.durations
    fresh = About(
        "Newest data",
        "When Prometheus last heard of an exporter in this time range. Minutes ago, in a range "
        "that ends now, means that an exporter or its scraping is down, and that the other "
        "numbers stand still.",
        "dateTimeFromNow",
        width=4,
        height=4,
        empty="No exporter",
    )
    known = About(
        "Exporters",
        "How many were heard of in the time range. One whose address changed counts twice.",
        width=4,
        height=3,
        empty="No exporter",
    )
    return [
        stat(
            about("Tokens", f"Input and output tokens. {change}"),
            figures.tokens(RANGE),
            figures.tokens(BEFORE),
        ),
        stat(
            about("Requests", f"All requests, failed and abandoned ones among them. {change}"),
            figures.requests(RANGE),
            figures.requests(BEFORE),
        ),
        stat(
            about(
                "Average latency",
                f"From a request to the last byte of a whole answer. {change}",
                "s",
            ),
            figures.mean(latency, RANGE),
            figures.mean(latency, BEFORE),
            less_is_better=True,
        ),
        stat(
            about(
                "Success rate",
                "Successes among all requests but those that their client gave up. Below 99 % "
                "look at the errors. A change of a rate would mislead, so there is none.",
                "percentunit",
            ),
            figures.success_rate(RANGE),
            levels=SUCCESS_LEVELS,
        ),
        stat(fresh, _newest(options), size=24),
        trend("Tokens over time", figures.tokens(BUCKET), "short", bar=True),
        trend("Requests over time", figures.requests(BUCKET), "short", bar=True),
        trend("Latency over time", figures.mean(latency, BUCKET), "s", bar=False),
        trend("Success rate over time", figures.success_rate(BUCKET), "percentunit", bar=False),
        stat(known, _exporters(options)),
    ]


def _newest(options: Options) -> Promql:
    """When an exporter was last heard of, in milliseconds: the last minute that has a sample."""
    created = Series(STATE_CREATED, (board.of_job(options),))
    heard = binary(call("last_over_time", created.select("1m")), "* 0 +", Promql("time() - 60"))
    times = Promql(f"({heard})[${{__range_s}}s:1m]")
    return binary(aggregate("max", call("max_over_time", times)), "*", number(1000))


def _exporters(options: Options) -> Promql:
    created = Series(STATE_CREATED, (board.of_job(options),))
    return aggregate("count", call("last_over_time", created.select("${__range_s}s")))
