"""The shipped dashboards, opened on a day."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.dashboards.grafana import Dashboard, Json, Span
from tests.dashboards.history import layers

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "grafana" / "dashboards"
DAY = Span(1_763_856_000, 1_763_856_000 + 86_400)

RULES = ROOT / "rules" / "dashboards.rules.yaml"
ALERT_RULES = sorted((ROOT / "rules" / "generated" / "prometheus").glob("*.yaml"))

NAMES = ("analytics", "model", "alerts", "exporter", "logs")
ON_PROMETHEUS = NAMES[:-1]


def opened(name: str, **picks: str) -> Dashboard:
    """A dashboard by its file's stem; where one model has to be picked, one is."""
    if name == "model":
        picks = {"one_model": "qwen-plus"} | picks
    return Dashboard.load(DIRECTORY / f"{name}.json", DAY, **picks)


def recordings() -> Iterator[Json]:
    """Rule files of all records that dashboards read; each may read those before it."""
    yield yaml.safe_load(RULES.read_text())
    yield from layers(ALERT_RULES, "slo:")
