"""Model: one model in depth."""

from exporter import vocabulary as v
from exporter.alerting.labels import ERROR_TYPE, FAILED, LE, PROVIDER, STATUS_CODE, TOKEN_TYPE
from exporter.alerting.promql import Matcher, aggregate, binary, call, number
from exporter.dashboards import board
from exporter.dashboards.amounts import BUCKET, RANGE, Series
from exporter.dashboards.board import MODEL_UID, Board, Section
from exporter.dashboards.breakdowns import error_bars, kinds_of_tokens
from exporter.dashboards.figures import Figures
from exporter.dashboards.headline import headline
from exporter.dashboards.options import Options
from exporter.dashboards.panels import (
    About,
    Column,
    Key,
    PanelBuilder,
    Query,
    bars,
    bucket_lines,
    heat,
    rows,
)

RANKS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def one_model(options: Options) -> Board:
    """The dashboard."""
    figures = Figures(options, one_model=True)
    return Board(
        uid=MODEL_UID,
        title="LLM gateway / Model",
        description="One model in depth: latency by percentile, sizes, errors, who uses it.",
        sections=[
            Section("", headline(figures, options)),
            Section("Latency", _percentiles(figures)),
            Section("Sizes", [*_sizes(figures), _kinds(figures)]),
            Section("Errors", [*error_bars(figures), _breakdown(figures)]),
            Section("Who uses it", _traffic(figures, options)),
        ],
        variables=[
            board.datasource(options),
            board.job(options),
            *board.identity(options, one_model=True),
            board.granularity(),
            board.requests_url(options),
        ],
    )


def _percentiles(figures: Figures) -> list[PanelBuilder]:
    within = "Percentiles are right to the bucket of the histogram that they fall into."

    def percentiles(title: str, description: str, histogram: Series) -> PanelBuilder:
        average = Query(figures.mean(histogram, BUCKET), "average")
        ranks = [
            Query(figures.quantile(rank, histogram, BUCKET), name) for name, rank in RANKS.items()
        ]
        about = About(title, f"{description} {within}", "s", width=12)
        return bucket_lines(about, average, *ranks, table_legend=True)

    return [
        percentiles(
            "Latency",
            "From a request to the last byte of a whole answer. A p99 that leaves the p50 behind "
            "is a slow few: look at them in the requests.",
            figures.durations,
        ),
        percentiles(
            "Time to first token",
            "Of streamed answers. When it rises and the time per output token does not, the "
            "provider queues.",
            figures.first_tokens,
        ),
        percentiles(
            "Time per output token",
            "Of streamed answers, after the first token. When it rises, the provider is "
            "overloaded.",
            figures.series(v.TIME_PER_OUTPUT_TOKEN),
        ),
        percentiles(
            "Time that the gateway took itself",
            "The part of the latency that was not the provider's, where the gateway logs both. It "
            "should be milliseconds.",
            figures.series(v.OVERHEAD),
        ),
    ]


def _sizes(figures: Figures) -> list[PanelBuilder]:
    def sizes(kind: str, title: str, description: str) -> PanelBuilder:
        usage = figures.series(v.TOKEN_USAGE, Matcher(TOKEN_TYPE, "=", kind)).part("_bucket")
        buckets = call("increase", usage.select("$__rate_interval"))
        about = About(title, description, "short", width=12)
        return heat(about, aggregate("sum", buckets, by=(LE,)), exemplars=False)

    return [
        sizes(
            "input",
            "Input tokens of a request",
            "How long prompts are. A band that climbs is a conversation or a context that grows.",
        ),
        sizes(
            "output",
            "Output tokens of a request",
            "How long answers are. A hard upper edge is a limit on tokens that cuts answers off.",
        ),
    ]


def _kinds(figures: Figures) -> PanelBuilder:
    return bars(
        About(
            "Tokens by type",
            "Parts that add up to all tokens: input from the provider's cache, written to it, "
            "and the rest; output that is reasoning, and the rest.",
            width=24,
        ),
        *kinds_of_tokens(figures, BUCKET),
    )


def _breakdown(figures: Figures) -> PanelBuilder:
    failed = figures.all_requests.where(FAILED)
    by = (STATUS_CODE, ERROR_TYPE, PROVIDER)
    counts = binary(figures.amount(failed, RANGE, by), ">", number(0))
    share = binary(counts, "/ on () group_left ()", binary(figures.requests(RANGE), ">", number(0)))
    return rows(
        About(
            "Errors in the time range",
            "Failed requests by status, type and provider, and their share of all requests.",
            width=24,
            height=7,
            empty="No errors",
        ),
        [
            Key(STATUS_CODE, "Status code"),
            Key(ERROR_TYPE, "Type of error"),
            Key(PROVIDER, "Provider"),
        ],
        [
            Column("Errors", counts, width=130),
            Column("Share", share, "percentunit", width=130, decimals=2),
        ],
        "Errors",
    )


def _traffic(figures: Figures, options: Options) -> list[PanelBuilder]:
    titles = options.attribute_titles
    splits = {"provider": PROVIDER} | {titles[label].lower(): label for label in titles}
    return [
        bars(
            About(
                f"Requests by {name}",
                f"This model's requests of each bucket, by {name}.",
                width=24 // min(len(splits), 3),
            ),
            Query(figures.amount(figures.all_requests, BUCKET, (label,)), f"{{{{{label}}}}}"),
        )
        for name, label in splits.items()
    ]
