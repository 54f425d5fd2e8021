"""Alerts and SLOs: what fires, and how much of an error budget is left."""

from exporter.alerting.promql import Matcher, Operand, Promql, aggregate, binary, call, number
from exporter.dashboards import board
from exporter.dashboards.amounts import BUCKET, RANGE, Period, Series
from exporter.dashboards.board import Board, Section
from exporter.dashboards.figures import FAILED, JUDGED, Figures, ratio
from exporter.dashboards.options import MODEL, PROVIDER, Options
from exporter.dashboards.panels import (
    About,
    Column,
    Key,
    Levels,
    PanelBuilder,
    Query,
    bars,
    lines,
    rows,
    stat,
)

UID = "llm-gateway-alerts"

OBJECTIVES = {"99.9 %": "0.999", "99.5 %": "0.995", "99 %": "0.99", "95 %": "0.95", "90 %": "0.9"}

BUDGET_LEVELS: Levels = (("red", None), ("orange", 0.25), ("green", 0.5))
BURN_LEVELS: Levels = (("green", None), ("orange", 1.0), ("red", 6.0))
FIRING_LEVELS: Levels = (("green", None), ("red", 1.0))

ALLOWED = Operand("(1 - ${objective})")
"""The share of requests that may fail."""

WINDOWS = {"1 hour": 3600, "6 hours": 21600, "1 day": 86400, "3 days": 259200}
"""Those of the Site Reliability Workbook's chapter 5, "Alerting on SLOs"."""


def alerts(options: Options) -> Board:
    """The dashboard."""
    figures = Figures(options)
    return Board(
        uid=UID,
        title="LLM gateway / Alerts and SLOs",
        description="What fires now, what fired, and how fast the error budget is being used up.",
        sections=[
            Section("Alerts", _firing()),
            Section("Error budget", [*_budget(figures), _by_model(figures)]),
            Section("Burn rate", _burning(figures)),
        ],
        variables=[
            board.datasource(options),
            board.job(options),
            *board.identity(options),
            board.granularity(),
            board.choice("objective", "Objective", OBJECTIVES, "99 %"),
        ],
        times=("now-7d/h", "now/h"),
    )


def _alerts(state: str) -> Series:
    return Series("ALERTS", (Matcher("alert_id", "!=", ""), Matcher("alertstate", "=", state)))


def _firing() -> list[PanelBuilder]:
    def count(state: str) -> Promql:
        latest = call("last_over_time", _alerts(state).select("5m"))
        return binary(aggregate("count", latest), "or", Operand("vector(0)"))

    by = ("severity", "alertname", MODEL, PROVIDER, "alertstate")
    fired = call("max_over_time", _alerts("firing").select(BUCKET.length, BUCKET.end))
    latest = aggregate("count", call("last_over_time", _active().select("5m")), by=by)
    return [
        stat(
            About(
                "Firing",
                "Alerts of these rules that fire at the range's end. Zero is also what Prometheus "
                "says where the rules are not loaded.",
                width=3,
                height=8,
            ),
            count("firing"),
            levels=FIRING_LEVELS,
        ),
        rows(
            About(
                "Firing and pending",
                "What is wrong at the range's end: pending alerts wait until they have lasted long "
                "enough. The notice in your channel has the links to the runbook.",
                width=13,
                height=8,
                empty="Nothing fires",
            ),
            [
                Key("severity", "Severity", width=80),
                Key("alertname", "Alert"),
                Key(MODEL, "Model"),
                Key(PROVIDER, "Provider", width=95),
                Key("alertstate", "State", width=75),
            ],
            [Column("Alerts", latest, width=70)],
            "Alerts",
        ),
        bars(
            About(
                "Alerts over time",
                "How many fired in each bucket. One that comes and goes needs a longer time to "
                "fire, or a look.",
                width=8,
                height=8,
                empty="Nothing fired",
            ),
            Query(aggregate("count", fired, by=("alertname",)), "{{alertname}}"),
            legend_right=False,
        ),
    ]


def _active() -> Series:
    return Series("ALERTS", (Matcher("alert_id", "!=", ""),))


def _spent(figures: Figures, period: Period, by: tuple[str, ...] = ()) -> Promql:
    """The share of bad requests against what the objective allows: 1 uses the budget up exactly."""
    failed = figures.amount(figures.all_requests.where(FAILED), period, by)
    judged = figures.amount(figures.all_requests.where(JUDGED), period, by)
    return binary(ratio(failed, judged), "/", ALLOWED)


def _left(figures: Figures, by: tuple[str, ...] = ()) -> Promql:
    return binary(number(1), "-", _spent(figures, RANGE, by))


def _budget(figures: Figures) -> list[PanelBuilder]:
    of_range = "The time range stands for the SLO's window: choose 7 or 30 whole days."
    return [
        stat(
            About(
                "Error budget left",
                f"What is left of the failures that the objective allows. {of_range} Below 0 % the "
                "objective is missed.",
                "percentunit",
                width=6,
                height=4,
                empty="No requests",
            ),
            _left(figures),
            levels=BUDGET_LEVELS,
        ),
        stat(
            About(
                "Success rate",
                f"Successes among all requests but those that their client gave up. {of_range}",
                "percentunit",
                width=6,
                height=4,
                empty="No requests",
            ),
            figures.success_rate(RANGE),
        ),
        stat(
            About(
                "Failures",
                "Requests that failed in the time range, those that clients gave up not counted.",
                width=6,
                height=4,
                empty="No requests",
            ),
            figures.failures(RANGE),
        ),
        stat(
            About(
                "Failures that the objective allows",
                "In as many requests as there were. Compare with the failures beside it.",
                width=6,
                height=4,
                empty="No requests",
            ),
            binary(
                figures.amount(figures.all_requests.where(JUDGED), RANGE),
                "*",
                ALLOWED,
            ),
        ),
    ]


def _by_model(figures: Figures) -> PanelBuilder:
    by = (MODEL, PROVIDER)
    burning = [
        Column(
            f"Burn rate, {name}",
            _spent(figures, _last(seconds), by),
            "none",
            BURN_LEVELS,
            140,
            decimals=1,
        )
        for name, seconds in WINDOWS.items()
    ]
    return rows(
        About(
            "Error budget by model",
            "What each model has left of its own budget, and how fast it is using it up at the "
            "range's end: a burn rate of 1 would use it up exactly. Over 14.4 in an hour, or 6 "
            "in six hours, is worth waking somebody.",
            width=24,
            height=9,
        ),
        [Key(MODEL, "Model"), Key(PROVIDER, "Provider", width=110)],
        [
            Column(
                "Budget left", _left(figures, by), "percentunit", BUDGET_LEVELS, 120, decimals=1
            ),
            Column("Failures", figures.failures(RANGE, by), width=100),
            *burning,
        ],
        "Failures",
    )


def _last(seconds: int) -> Period:
    """The last seconds before the query's time."""
    return Period(f"{seconds}s", "", f"{seconds}s", Promql(f"time() - {seconds}"))


def _burning(figures: Figures) -> list[PanelBuilder]:
    return [
        lines(
            About(
                "Burn rate",
                "How many times faster than allowed failures come, over windows that roll. The "
                "short window shows what happens now, the long one whether it matters.",
                "none",
                width=12,
            ),
            Query(_spent(figures, _last(WINDOWS["1 hour"])), "1 hour"),
            Query(_spent(figures, _last(WINDOWS["6 hours"])), "6 hours"),
        ),
        bars(
            About(
                "Failures by model",
                "What used the budget up.",
                width=12,
                empty="No failures",
            ),
            Query(
                binary(_failures(figures), ">", number(0)),
                f"{{{{{MODEL}}}}}",
            ),
        ),
    ]


def _failures(figures: Figures) -> Promql:
    return figures.failures(BUCKET, (MODEL,))
