"""Analytics: what was used, how well it went, how fast it was, by model."""

from exporter import vocabulary as v
from exporter.alerting.promql import Operand, Promql, aggregate, binary, call, number
from exporter.dashboards import board, recordings
from exporter.dashboards.amounts import BEFORE, BUCKET, RANGE, STATE_CREATED, Period, Series
from exporter.dashboards.board import Board, Section
from exporter.dashboards.figures import FAILED, Figures
from exporter.dashboards.options import (
    ERROR_TYPE,
    LE,
    MODEL,
    OPERATION,
    PROVIDER,
    STATUS_CODE,
    Options,
)
from exporter.dashboards.panels import (
    ERROR_LEVELS,
    FIRST_TOKEN_LEVELS,
    LATENCY_LEVELS,
    SUCCESS_LEVELS,
    About,
    Column,
    Key,
    PanelBuilder,
    Query,
    bars,
    bucket_lines,
    heat,
    rates,
    rows,
    sparkline,
    stat,
)
from exporter.vocabulary import prometheus_label

UID = "llm-gateway-analytics"
MODEL_UID = "llm-gateway-model"

ROW = (MODEL, PROVIDER)
SPLIT = ("${split}",)
SPLIT_LEGEND = "{{${split}}}"

REQUESTS_PAGE = "${requests_url}/requests?from=${__from:date:iso}&to=${__to:date:iso}"


def analytics(options: Options) -> Board:
    """The dashboard."""
    figures = Figures(options, recordings.RECORDED)
    split = board.choice("split", "Split by", board.by_labels(options), "Model")
    return Board(
        uid=UID,
        title="LLM gateway / Analytics",
        description="Tokens, requests, latency and success by model, each request counted once.",
        sections=[
            Section("", headline(figures, options)),
            Section("Tokens and usage", [*_tokens(figures), *_usage(figures)]),
            Section("Models", [_models(figures, options)]),
            Section("Errors", [*error_bars(figures, 8), _unusual(figures)]),
            Section("Latency", [*_heatmaps(figures), *_averages(figures)]),
            Section("Throughput", _throughput(figures)),
        ],
        variables=[
            board.datasource(options),
            board.job(options),
            *board.identity(options),
            board.granularity(),
            split,
            board.requests_url(options),
            *recordings.variables(options),
        ],
    )


def headline(figures: Figures, options: Options) -> list[PanelBuilder]:
    """Four figures and how they came about; and how old the newest data is."""
    change = "The change is against the period before, of equal length."

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


def _tokens(figures: Figures) -> list[PanelBuilder]:
    return [
        bars(
            About(
                "Tokens by bucket",
                "Input and output tokens of each bucket of the chosen granularity, split as "
                "chosen above. The last bar is of the running bucket. A jump of one model at "
                "steady requests means longer prompts or answers.",
                width=15,
                height=10,
            ),
            Query(figures.amount(figures.all_tokens, BUCKET, SPLIT), SPLIT_LEGEND),
        ),
        bars(
            About(
                "Tokens by type",
                "Parts that add up to all tokens. Little cached input where prompts share a "
                "beginning is money lost; much reasoning is paid for and not shown to anybody.",
                width=9,
                height=10,
            ),
            *kinds_of_tokens(figures, BUCKET),
            legend_right=False,
        ),
    ]


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


def _usage(figures: Figures) -> list[PanelBuilder]:
    unit, modality = prometheus_label(v.UNIT), prometheus_label(v.MODALITY)
    currency, source = prometheus_label(v.CURRENCY), prometheus_label(v.SOURCE)
    usage, cost = figures.series(v.USAGE), figures.series(v.COST)
    return [
        rows(
            About(
                "Usage",
                "What providers bill: tokens, images, seconds or characters, by type of model, "
                "in the whole time range.",
                width=9,
                height=7,
            ),
            [
                Key(OPERATION, "Type of model"),
                Key(modality, "Modality", width=85),
                Key(unit, "Unit", width=95),
            ],
            [Column("Used", figures.amount(usage, RANGE, (OPERATION, modality, unit)), width=120)],
            "Used",
        ),
        rows(
            About(
                "Cost",
                "As gateways report it, or as estimated from the configured prices. Empty where "
                "neither is known. Currencies are never added up.",
                "short",
                width=8,
                height=7,
                empty="No prices known",
            ),
            [Key(currency, "Currency", width=95), Key(source, "Source")],
            [
                Column(
                    "Cost", figures.amount(cost, RANGE, (currency, source)), width=110, decimals=2
                )
            ],
            "Cost",
        ),
        bars(
            About(
                "Answered from the gateway's cache",
                "Requests that no provider was asked for. They count as requests, their tokens "
                "do not count again.",
                width=7,
                height=7,
                empty="No cache hits",
            ),
            Query(figures.amount(figures.series(v.CACHE_HITS), BUCKET), "cache hits"),
            legend_right=False,
        ),
    ]


def _models(figures: Figures, options: Options) -> PanelBuilder:
    """The per-model table."""
    every_team = board.chosen(options, attributes=False)
    to_model = (
        f"/d/{MODEL_UID}?var-model=${{__value.raw:percentencode}}"
        "&${__url_time_range}&${datasource:queryparam}&${granularity:queryparam}"
    )
    to_requests = f"{REQUESTS_PAGE}&model=${{__value.raw:percentencode}}"
    links = [("This model in depth", to_model), ("Its requests", to_requests)]

    def now(record: str) -> Promql:
        latest = call("last_over_time", Series(record, every_team).select("1h"))
        return aggregate("sum", latest, by=ROW)

    def peak(record: str) -> Promql:
        busiest = call("max_over_time", Series(record, every_team).select("${__range_s}s"))
        return aggregate("sum", busiest, by=ROW)

    tokens, requests = recordings.TOKENS_PER_MINUTE, recordings.REQUESTS_PER_MINUTE
    latency, first = figures.durations, figures.first_tokens
    ttft_p95 = figures.quantile(0.95, first, RANGE, ROW)
    latency_p95 = figures.quantile(0.95, latency, RANGE, ROW)
    columns = [
        Column("Calls", figures.requests(RANGE, ROW), width=75),
        Column("Success", figures.success_rate(RANGE, ROW), "percentunit", SUCCESS_LEVELS, 80, 2),
        Column("Errors", figures.failures(RANGE, ROW), levels=ERROR_LEVELS, width=70),
        Column("RPM", now(requests), width=60),
        Column("RPM peak", peak(requests), width=88),
        Column("TPM", now(tokens), width=68),
        Column("TPM peak", peak(tokens), width=88),
        Column("TTFT", figures.mean(first, RANGE, ROW), "s", FIRST_TOKEN_LEVELS, 72),
        Column("TTFT p95", ttft_p95, "s", FIRST_TOKEN_LEVELS, 88),
        Column("Latency", figures.mean(latency, RANGE, ROW), "s", LATENCY_LEVELS, 82),
        Column("Latency p95", latency_p95, "s", LATENCY_LEVELS, 104),
        Column("Tokens in", figures.tokens(RANGE, ROW, "input"), width=96),
        Column("Tokens out", figures.tokens(RANGE, ROW, "output"), width=100),
    ]
    about = About(
        "Models",
        "Each model in the whole time range. Errors are failures, without requests that their "
        "client gave up. RPM and TPM are requests and tokens of one minute, whoever sent them: "
        "the latest of the hour before the range's end, and the busiest. They rest on "
        "rules/dashboards.rules.yaml. TTFT and latency are averages and 95th percentiles, of "
        "streamed and of all whole answers. A name leads to the model's own dashboard and to its "
        "requests.",
        width=24,
        height=10,
    )
    return rows(
        about, [Key(MODEL, "Model", links), Key(PROVIDER, "Provider", width=110)], columns, "Calls"
    )


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


def _unusual(figures: Figures) -> PanelBuilder:
    without = figures.series(v.REQUESTS_WITHOUT_USAGE)
    refused = figures.series(v.CONTENT_FILTERED)
    return bars(
        About(
            "Without usage, refused",
            "Without usage: successes whose tokens nobody reported, by which the tokens above "
            "are too few; let clients ask for usage in streams. Refused: what content moderation "
            "refused or cut.",
            width=8,
            empty="None",
        ),
        Query(figures.amount(without, BUCKET), "without usage"),
        Query(figures.amount(refused, BUCKET), "refused"),
        legend_right=False,
    )


def _heatmaps(figures: Figures) -> list[PanelBuilder]:
    example = "Diamonds are single requests: click one to open it."
    return [
        heat(
            About(
                "Latency distribution",
                f"Whole answers by how long they took; the darker, the more. {example} A second "
                "band above the usual one is a slow group of requests.",
                "s",
                height=9,
            ),
            _buckets(figures.durations),
        ),
        heat(
            About(
                "Time to first token, distribution",
                f"Streamed answers by how long their first token took. {example} A rise of the "
                "whole band is a provider's queue.",
                "s",
                height=9,
            ),
            _buckets(figures.first_tokens),
        ),
    ]


def _buckets(histogram: Series) -> Promql:
    window = histogram.part("_bucket").sparse.select("$__rate_interval")
    return aggregate("sum", call("increase", window), by=(LE,))


def _averages(figures: Figures) -> list[PanelBuilder]:
    return [
        bucket_lines(
            About(
                "Latency by bucket",
                "The average of whole answers, split as chosen above. Long answers take long: "
                "compare with the tokens before you blame a provider.",
                "s",
            ),
            Query(figures.mean(figures.durations, BUCKET, SPLIT), SPLIT_LEGEND),
            table_legend=True,
        ),
        bucket_lines(
            About(
                "Time to first token by bucket",
                "The average of streamed answers, split as chosen above: what people who wait "
                "feel first.",
                "s",
            ),
            Query(figures.mean(figures.first_tokens, BUCKET, SPLIT), SPLIT_LEGEND),
            table_legend=True,
        ),
    ]


def _throughput(figures: Figures) -> list[PanelBuilder]:
    def rate(series: Series) -> Query:
        by_name = aggregate("sum", call("rate", series.sparse.select("$__rate_interval")), by=SPLIT)
        return Query(binary(by_name, "*", number(60)), SPLIT_LEGEND)

    return [
        rates(
            About(
                "Requests per minute",
                "A mean over some minutes, so bursts are flattened: the busiest minute is in the "
                "table. Compare with your providers' limits.",
            ),
            rate(figures.all_requests),
        ),
        rates(
            About(
                "Tokens per minute",
                "A mean over some minutes, so bursts are flattened: the busiest minute is in the "
                "table. Compare with your providers' limits.",
            ),
            rate(figures.all_tokens),
        ),
    ]
