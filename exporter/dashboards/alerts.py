"""Alerts and SLOs: what fires, and how much of each error budget is left."""

from exporter import vocabulary as v
from exporter.alerting.labels import MODEL, OPERATION, PROVIDER
from exporter.alerting.objectives import BAD_REQUESTS, BURN_RATE, LEFT, OBJECTIVE
from exporter.alerting.promql import Matcher, Operand, Promql, aggregate, binary, call, number
from exporter.alerting.windows import SLO_WINDOWS
from exporter.dashboards import board
from exporter.dashboards.amounts import BUCKET, Series
from exporter.dashboards.board import TO_MODEL, Board, Section
from exporter.dashboards.options import Options
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

BUDGET_LEVELS: Levels = (("red", None), ("orange", 0.25), ("green", 0.5))
BURN_LEVELS: Levels = (("green", None), ("orange", 1.0), ("red", 6.0))
FIRING_LEVELS: Levels = (("green", None), ("red", 1.0))

ALERT_ID = "alert_id"
OF_OBJECTIVE = (ALERT_ID, MODEL, PROVIDER, OPERATION)
"""Objectives, and what they are kept apart by."""

LEGEND = f"{{{{{ALERT_ID}}}}} {{{{{MODEL}}}}} {{{{{PROVIDER}}}}}"
NO_OBJECTIVES = "No objectives recorded"


def alerts(options: Options) -> Board:
    """The dashboard."""
    lengths = {
        length
        for table in SLO_WINDOWS.values()
        for window in table.windows
        for length in (window.short, window.long)
    }
    windows = {str(length): str(length) for length in sorted(lengths)}
    requests = Series(v.REQUESTS.prometheus_name)
    return Board(
        uid=UID,
        title="LLM gateway / Alerts and SLOs",
        description="What fires now, what fired, and how fast error budgets are being used up.",
        sections=[
            Section("Alerts", _firing()),
            Section("Error budgets", [_least_left(), _objectives(), *_over_time()]),
        ],
        variables=[
            board.datasource(options),
            board.values_of("slo", "Objectives", ALERT_ID, Series(OBJECTIVE)),
            # An objective of all models together has no model.
            board.values_of("model", "Models", MODEL, requests, any_value=".*"),
            board.choice("window", "Burn rate over", windows, "1h"),
            board.granularity(),
        ],
        times=("now-7d/h", board.RUNNING),
    )


def _alerts(*matchers: Matcher) -> Series:
    """Those of our rules."""
    return Series("ALERTS", (Matcher(ALERT_ID, "!=", ""), *matchers))


def _firing() -> list[PanelBuilder]:
    firing = _alerts(Matcher("alertstate", "=", "firing"))
    fire_now = aggregate("count", firing.select())
    fired = call("max_over_time", firing.select(BUCKET.length, BUCKET.end))
    by = ("severity", "alertname", MODEL, PROVIDER, "alertstate")
    latest = aggregate("count", _alerts().select(), by=by)
    return [
        stat(
            About(
                "Firing",
                "Alerts of these rules that fire at the range's end. Zero is also what Prometheus "
                "says where the rules are not loaded.",
                width=3,
                height=8,
            ),
            binary(fire_now, "or", Operand("vector(0)")),
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


def _chosen(record: str, *matchers: Matcher) -> Series:
    """A record of the objectives and models that are chosen."""
    return Series(
        record, (Matcher(ALERT_ID, "=~", "$slo"), Matcher(MODEL, "=~", "$model"), *matchers)
    )


def _left() -> Promql:
    """What is left of budgets now. It is recorded every five minutes, the last time before now."""
    return call("last_over_time", _chosen(LEFT).select("10m"))


def _worst(expression: Promql, operation: str) -> Promql:
    return aggregate(operation, expression, by=OF_OBJECTIVE)


def _least_left() -> PanelBuilder:
    return stat(
        About(
            "Least budget left",
            "Of the chosen objectives and models the one with the least left of its error budget, "
            "over the objective's own window, whatever the time range. Below 0 % the objective is "
            "missed. Where nothing is recorded, the alert rules are not loaded.",
            "percentunit",
            width=4,
            height=9,
            empty=NO_OBJECTIVES,
        ),
        aggregate("min", _left()),
        levels=BUDGET_LEVELS,
    )


def _objectives() -> PanelBuilder:
    left = _left()
    objective = Series(OBJECTIVE, (Matcher(ALERT_ID, "=~", "$slo"),)).select()
    none = binary(left, "*", number(0))
    good = binary(none, f"+ on ({ALERT_ID}) group_left ()", objective)
    burning = [
        Column(
            f"Burn {window}",
            _worst(_chosen(BURN_RATE, Matcher("burn_window", "=", window)).select(), "max"),
            "none",
            BURN_LEVELS,
            85,
            decimals=1,
        )
        for window in ("1h", "6h", "3d")
    ]
    return rows(
        About(
            "Objectives",
            "What each has left of its error budget over its own window, and how fast that is "
            "being used up at the range's end: a burn rate of 1 would use it up exactly. Over "
            "14.4 in an hour, or 6 in six hours, is worth waking somebody.",
            width=20,
            height=9,
            empty=NO_OBJECTIVES,
        ),
        [
            Key(ALERT_ID, "Objective"),
            Key(MODEL, "Model", [("This model in depth", TO_MODEL)]),
            Key(PROVIDER, "Provider", width=110),
            Key(OPERATION, "Type of model", width=130),
        ],
        [
            Column("Good", _worst(good, "max"), "percentunit", width=80),
            Column("Budget left", _worst(left, "min"), "percentunit", BUDGET_LEVELS, 105, 1),
            *burning,
        ],
        "Budget left",
        descending=False,
    )


def _over_time() -> list[PanelBuilder]:
    burning = _chosen(BURN_RATE, Matcher("burn_window", "=", "$window")).select()
    bad = call("sum_over_time", _chosen(BAD_REQUESTS).select(BUCKET.length, BUCKET.end))
    return [
        lines(
            About(
                "Budget left over time",
                "Over the objective's window as it was at each time. A step down is an incident; a "
                "slope is a small share of failures that lasts. It comes back as failures leave "
                "the window.",
                "percentunit",
                empty=NO_OBJECTIVES,
            ),
            Query(_worst(_chosen(LEFT).select(), "min"), LEGEND),
            table_legend=True,
            below_zero=True,
        ),
        lines(
            About(
                "Burn rate over time",
                "How many times faster than allowed requests are bad, over the window chosen above "
                "as it rolls. Short windows show what happens now, long ones whether it matters.",
                "none",
                empty=NO_OBJECTIVES,
            ),
            Query(_worst(burning, "max"), LEGEND),
            table_legend=True,
        ),
        bars(
            About(
                "Bad requests",
                "What used the budgets up, in each bucket: failures, or answers that were too slow "
                "where that is the objective. They are recorded every five minutes.",
                width=24,
                empty="No bad requests",
            ),
            Query(binary(aggregate("sum", bad, by=OF_OBJECTIVE), ">", number(0)), LEGEND),
        ),
    ]
