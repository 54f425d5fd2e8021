"""Recordings hold what is asked of them over days."""

import pytest
import yaml

from exporter.dashboards.recordings import LEVEL, SOURCES
from tests.dashboards.built import DIRECTORY, RULES
from tests.dashboards.grafana import Dashboard, Span
from tests.dashboards.promql import Read, reads

INTERVALS_S = {
    rule["record"]: 60 * int(group["interval"].removesuffix("m"))
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
}


def read_over(seconds: int) -> dict[str, list[Read]]:
    """What each panel of Analytics reads of the recordings in so long a range."""
    recorded = {name: LEVEL + instrument.prometheus_name for name, instrument in SOURCES.items()}
    opened = Dashboard.load(DIRECTORY / "analytics.json", Span(0, seconds), **recorded)
    return {
        f"{panel['title']} {asked.ref}": [
            read for read in reads(asked.expression) if read.name in INTERVALS_S
        ]
        for panel in opened.panels()
        for asked in opened.asked(panel)
    }


@pytest.mark.parametrize("days", [2, 7, 30, 90])
def test_every_rate_sees_at_least_two_samples(days: int) -> None:
    rates = {
        (query, read.name): read.window
        for query, of_query in read_over(days * 86_400 + 1).items()
        for read in of_query
        if read.function in ("rate", "increase")
    }
    assert {query for query, _ in rates} == {
        "Latency distribution A",
        "Time to first token, distribution A",
        "Requests per minute A",
        "Tokens per minute A",
    }
    for (query, name), window_s in rates.items():
        assert window_s >= 2 * INTERVALS_S[name], query
