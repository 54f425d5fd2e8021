"""The shipped dashboards, opened on a day."""

from pathlib import Path

from tests.dashboards.grafana import Dashboard, Span

ROOT = Path(__file__).parents[2]
DIRECTORY = ROOT / "grafana" / "dashboards"
DAY = Span(1_763_856_000, 1_763_856_000 + 86_400)

NAMES = ("analytics", "model", "alerts", "exporter", "logs")
ON_PROMETHEUS = NAMES[:-1]


def opened(name: str) -> Dashboard:
    """A dashboard by its file's stem; where one model has to be picked, one is."""
    picks = {"model": "qwen-plus"} if name == "model" else {}
    return Dashboard.load(DIRECTORY / f"{name}.json", DAY, **picks)
