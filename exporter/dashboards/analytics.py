"""Analytics: what was used, how well it went, how fast it was, by model."""

from exporter import vocabulary as v
from exporter.alerting.labels import LE, MODEL, OPERATION, PROVIDER
from exporter.alerting.promql import Promql, aggregate, binary, call, number
from exporter.dashboards import board, recordings
from exporter.dashboards.amounts import BUCKET, RANGE, SPLIT, Series
from exporter.dashboards.board import REQUESTS_PAGE, TO_MODEL, Board, Section
from exporter.dashboards.breakdowns import error_bars, kinds_of_tokens
from exporter.dashboards.figures import Figures
from exporter.dashboards.headline import headline
from exporter.dashboards.options import Options
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
    lines,
    rates,
    rows,
)
from exporter.vocabulary import prometheus_label

UID = "llm-gateway-analytics"

ROW = (MODEL, PROVIDER)
BY_SPLIT = (SPLIT,)
SPLIT_LEGEND = f"{{{{{SPLIT}}}}}"


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
            Query(figures.amount(figures.all_tokens, BUCKET, BY_SPLIT), SPLIT_LEGEND),
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
    to_requests = f"{REQUESTS_PAGE}&model=${{__value.raw:percentencode}}"
    links = [("This model in depth", TO_MODEL), ("Its requests", to_requests)]

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
        height=12,
    )
    return rows(
        about, [Key(MODEL, "Model", links), Key(PROVIDER, "Provider", width=92)], columns, "Calls"
    )


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
            Query(figures.mean(figures.durations, BUCKET, BY_SPLIT), SPLIT_LEGEND),
            table_legend=True,
        ),
        bucket_lines(
            About(
                "Time to first token by bucket",
                "The average of streamed answers, split as chosen above: what people who wait "
                "feel first.",
                "s",
            ),
            Query(figures.mean(figures.first_tokens, BUCKET, BY_SPLIT), SPLIT_LEGEND),
            table_legend=True,
        ),
    ]


def _throughput(figures: Figures) -> list[PanelBuilder]:
    def rate(series: Series) -> Query:
        each = call("rate", series.sparse.select("$__rate_interval"))
        return Query(binary(aggregate("sum", each, by=BY_SPLIT), "*", number(60)), SPLIT_LEGEND)

    active = figures.series(v.ACTIVE_REQUESTS).select()
    left, unit = figures.series(v.RATELIMIT_REMAINING).select(), prometheus_label(v.UNIT)
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
        lines(
            About(
                "Requests under way",
                "Through the proxy, split as chosen above. A number that only grows is an "
                "upstream that has stopped answering.",
                empty="No proxy",
            ),
            Query(aggregate("sum", active, by=BY_SPLIT), SPLIT_LEGEND),
        ),
        lines(
            About(
                "Left of the rate limits",
                "What providers said in their last answers that is left, in requests and tokens. "
                "At zero they refuse with 429.",
                empty="No proxy",
            ),
            Query(
                aggregate("min", left, by=(PROVIDER, unit)), f"{{{{{PROVIDER}}}}} {{{{{unit}}}}}"
            ),
        ),
    ]
