"""Tokens and errors by type, as more than one dashboard shows them."""

from exporter import vocabulary as v
from exporter.alerting.labels import ERROR_TYPE, FAILED, STATUS_CODE
from exporter.alerting.promql import Operand, Promql, binary, number
from exporter.dashboards.amounts import BUCKET, Period
from exporter.dashboards.figures import Figures
from exporter.dashboards.panels import About, PanelBuilder, Query, bars


def kinds_of_tokens(figures: Figures, period: Period) -> list[Query]:
    """Tokens by type. What is cached, written or reasoning is a part of input or output."""
    cached = figures.amount(figures.series(v.CACHED_INPUT_TOKENS), period)
    written = figures.amount(figures.series(v.CACHE_CREATION_INPUT_TOKENS), period)
    reasoning = figures.amount(figures.series(v.REASONING_OUTPUT_TOKENS), period)

    def rest(whole: Promql, *parts: Promql) -> Promql:
        for part in parts:
            whole = binary(whole, "-", binary(part, "or", Operand("vector(0)")))
        return whole

    return [
        Query(rest(figures.tokens(period, kind="input"), cached, written), "plain input"),
        Query(cached, "cached input"),
        Query(written, "input written to cache"),
        Query(rest(figures.tokens(period, kind="output"), reasoning), "plain output"),
        Query(reasoning, "reasoning output"),
    ]


def error_bars(figures: Figures, width: int = 12) -> list[PanelBuilder]:
    """Failures of each bucket by status code and by type."""
    failed = figures.all_requests.where(FAILED)

    def some(label: str) -> Query:
        counted = binary(figures.amount(failed, BUCKET, (label,)), ">", number(0))
        return Query(counted, f"{{{{{label}}}}}")

    return [
        bars(
            About(
                "Errors by status code",
                "Failed requests. 429 means that a provider throttles you: spread the load or "
                "ask for a higher limit. 5xx are the provider's. 200 is a stream that broke off.",
                width=width,
                empty="No errors",
            ),
            some(STATUS_CODE),
        ),
        bars(
            About(
                "Errors by type",
                "The same requests, by what the gateway calls the error.",
                width=width,
                empty="No errors",
            ),
            some(ERROR_TYPE),
        ),
    ]
