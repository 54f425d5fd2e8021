"""The exporters' dashboard is about exporters alone, as Prometheus's own unit tests see it."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from exporter.dashboards.amounts import STATE_CREATED
from tests.alerting.rulefiles import told
from tests.dashboards.built import opened

EXPORTER, DEAD, NEIGHBOUR, STRANGER = (
    '{job="pods",instance="exporter"}',
    '{job="pods",instance="dead"}',
    '{job="pods",instance="neighbour"}',
    '{job="kubelet",instance="exporter"}',
)
"""Targets: two exporters, what else is of their job, and what else is at their address."""

SERIES = {
    f"{STATE_CREATED}{EXPORTER}": "1x500",
    f"{STATE_CREATED}{DEAD}": "1x100 stale",
    f"up{EXPORTER}": "1x500",
    f"up{DEAD}": "1x100 0x400",
}
OF_PROCESS = {
    "process_cpu_seconds_total": ("0+30x500", "0+90x500"),
    "process_resident_memory_bytes": ("4x500", "9x500"),
    "process_open_fds": ("1x500", "9x500"),
    "process_max_fds": ("4x500", "9x500"),
    "process_start_time_seconds": ("1x477 2x22", "1x476 2 3x22"),
}
"""Samples every 30 seconds: an exporter's, and those of others."""

SHOWN = {
    "Up": ("{}", 0.5),
    "Processor": ('{instance="exporter"}', 1),
    "Memory": ('{instance="exporter"}', 4),
    "File descriptors": ('{instance="exporter"}', 0.25),
    "Restarts": ('{instance="exporter"}', 1),
}


def series() -> Iterator[dict[str, str]]:
    samples = dict(SERIES)
    for other in (NEIGHBOUR, STRANGER):
        samples[f"up{other}"] = "0x500"
        for name, (ours, theirs) in OF_PROCESS.items():
            samples |= {f"{name}{EXPORTER}": ours, f"{name}{other}": theirs}
    for selector, values in samples.items():
        yield {"series": selector, "values": values}


def test_what_other_targets_have_too_is_shown_of_exporters_alone(
    promtool: Path, tmp_path: Path
) -> None:
    dashboard = opened("exporter")
    expressions = {
        annotation["name"]: dashboard.fill(annotation["expr"], step_s=60)
        for annotation in dashboard.json["annotations"]["list"]
    }
    for panel in dashboard.panels():
        for asked in dashboard.asked(panel):
            expressions[panel["title"]] = asked.expression
    test = {
        "interval": "30s",
        "input_series": [*series()],
        "promql_expr_test": [
            {
                "expr": expressions[title],
                "eval_time": "4h",
                "exp_samples": [{"labels": labels, "value": value}],
            }
            for title, (labels, value) in SHOWN.items()
        ],
    }
    file = tmp_path / "exporter.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "30s", "tests": [test]}))
    told(promtool, "test", "rules", file)
