"""What amounts are built of, tried by Prometheus's own unit tests."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from exporter.alerting.labels import MODEL
from exporter.dashboards.amounts import BEFORE, BUCKET, MINUTE, RANGE, Amounts, Period, Series
from exporter.dashboards.options import Options
from tests.dashboards.grafana import Dashboard, Span

HOUR = 3600
CREATED = "llm_gateway_exporter_state_created_timestamp_seconds"
GRANULARITY = {"name": "granularity", "type": "custom", "multi": False}
JOB = {"name": "job", "type": "query", "multi": True, "allValue": ".+"}
DASHBOARD = Dashboard(
    {"panels": [], "templating": {"list": [GRANULARITY, JOB]}},
    Span(0, HOUR),
    {"granularity": "3600", "job": "$__all"},
)

# Samples every 30 seconds; the period is from an hour to two hours after the beginning.
STEADY = {
    "idle": "42+0x600",
    "old": "1000+10x600",
    "once": "_x200 5+0x400",
    "born": "_x200 7+1x400",
}
COUNTED = {"idle": 0.0, "old": 1200.0, "once": 5.0, "born": 47.0}
RESET = {"reset": "500+1x179 0+1x420"}

EXPORTERS = {
    "known": "-100000x600",
    "late": "_x200 -100000x400",
    "new": "_x200 6000x400",
}


def series(instance: str, models: Mapping[str, str]) -> list[dict[str, str]]:
    target = f'job="exporter",instance="{instance}"'
    counters = [
        {"series": f'x_total{{{MODEL}="{model}",kind="{model}",{target}}}', "values": values}
        for model, values in models.items()
    ]
    return [{"series": f"{CREATED}{{{target}}}", "values": EXPORTERS[instance]}, *counters]


def judge(
    promtool: Path,
    directory: Path,
    options: Options,
    period: Period,
    at: str,
    inputs: list[dict[str, str]],
    counted: Mapping[str, float],
) -> None:
    """By model, by another label and in total, of which each is another expression."""

    def amounts(by: tuple[str, ...], expected: Mapping[str, float]) -> Mapping[str, object]:
        samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
        expression = DASHBOARD.fill(Amounts(options).of(Series("x_total"), period, by))
        return {"expr": expression, "eval_time": at, "exp_samples": samples}

    test = {
        "interval": "30s",
        "input_series": inputs,
        "promql_expr_test": [
            *(
                amounts((label,), {f'{{{label}="{model}"}}': n for model, n in counted.items()})
                for label in (MODEL, "kind")
            ),
            amounts((), {"{}": sum(counted.values())}),
            # Samples are loaded up to the latest time that is asked for.
            {
                "expr": "vector(1)",
                "eval_time": "5h",
                "exp_samples": [{"labels": "{}", "value": 1}],
            },
        ],
    }
    file = directory / "test.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "30s", "tests": [test]}))
    done = subprocess.run(
        [promtool, "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


periods = pytest.mark.parametrize(
    ("period", "at"),
    [(BUCKET, "1h"), (RANGE, "2h"), (BEFORE, "3h")],
    ids=["bar", "range", "before"],
)


@periods
@pytest.mark.parametrize("reset_proof", [False, True], ids=["two ends", "reset-proof"])
def test_series_that_are_born_or_seen_once_count_from_zero(
    promtool: Path, tmp_path: Path, period: Period, at: str, reset_proof: bool
) -> None:
    options = Options(reset_proof=reset_proof)
    judge(promtool, tmp_path, options, period, at, series("known", STEADY), COUNTED)


@periods
def test_reset_proof_amounts_bear_counters_that_begin_again(
    promtool: Path, tmp_path: Path, period: Period, at: str
) -> None:
    options = Options(reset_proof=True)
    judge(promtool, tmp_path, options, period, at, series("known", RESET), {"reset": 59 + 60})


@periods
def test_of_a_counter_that_began_again_what_came_since_counts(
    promtool: Path, tmp_path: Path, period: Period, at: str
) -> None:
    judge(promtool, tmp_path, Options(), period, at, series("known", RESET), {"reset": 60})


@periods
def test_an_exporter_that_is_met_late_does_not_bring_its_past(
    promtool: Path, tmp_path: Path, period: Period, at: str
) -> None:
    inputs = series("late", {"old": "_x200 500000+10x400"})
    judge(promtool, tmp_path, Options(), period, at, inputs, {"old": 400})


@periods
def test_an_exporter_that_is_new_counts_from_zero(
    promtool: Path, tmp_path: Path, period: Period, at: str
) -> None:
    inputs = series("new", {"busy": "_x200 300+10x400"})
    judge(promtool, tmp_path, Options(), period, at, inputs, {"busy": 700})


@periods
def test_an_exporter_whose_state_is_told_of_twice_is_one_exporter(
    promtool: Path, tmp_path: Path, period: Period, at: str
) -> None:
    state = {
        "series": f'{CREATED}{{job="exporter",instance="known",version="2"}}',
        "values": "_x200 -100000x400",
    }
    inputs = [state, *series("known", STEADY)]
    judge(promtool, tmp_path, Options(), period, at, inputs, COUNTED)


def test_a_minute_is_counted_to_the_unit_when_it_has_settled(
    promtool: Path, tmp_path: Path
) -> None:
    """The sample of two hours is not there yet for all who ask at two hours."""
    inputs = series("known", {"old": "1000+10x239 9000+10x360"})
    judge(promtool, tmp_path, Options(), MINUTE, "2h", inputs, {"old": 20})


@periods
def test_a_sum_over_exporters_that_differ_is_exact(
    promtool: Path, tmp_path: Path, period: Period, at: str
) -> None:
    inputs = [
        *series("known", STEADY | RESET),
        *series("late", {"met": "_x200 500000+10x400", "met, then born": "_x220 3+1x380"}),
        *series("new", {"busy": "_x200 300+10x400"}),
    ]
    counted = {**COUNTED, "reset": 60, "met": 400, "met, then born": 20, "busy": 700}
    judge(promtool, tmp_path, Options(), period, at, inputs, counted)
