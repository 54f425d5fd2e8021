"""Dashboards speak the exporter's vocabulary, all of it and nothing else."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain

import pytest
import yaml

from exporter import vocabulary as v
from exporter.vocabulary import InstrumentKind, prometheus_label
from tests.alerting.rulefiles import rules_in
from tests.dashboards.built import ON_PROMETHEUS, ROOT, opened
from tests.dashboards.history import ATTRIBUTE, Exporter
from tests.dashboards.promql import labels, reads

RULES = yaml.safe_load((ROOT / "rules" / "dashboards.rules.yaml").read_text())

NOT_OURS = {
    "up",  # Prometheus's own, of each target.
    "ALERTS",
}
LABELS_NOT_OURS = {
    *("job", "instance", "alertname", "alertstate"),
    *("alert_id", "severity", "burn_window"),
}

LEVEL = "instance:"


def series_of(instrument: v.Instrument) -> set[str]:
    name = instrument.prometheus_name
    if instrument.kind is InstrumentKind.HISTOGRAM:
        return {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return {name}


ABOUT_ITSELF = set(Exporter(created=0).families())
INSTRUMENTS = (*v.INSTRUMENTS, *v.GAUGES)
REQUESTS = set(chain.from_iterable(map(series_of, INSTRUMENTS)))
RECORDED = {rule["record"] for group in RULES["groups"] for rule in group["rules"]}
OF_ALERTS = {
    rule["record"]
    for file in (ROOT / "rules" / "generated" / "prometheus").glob("*.yaml")
    for rule in rules_in(file.read_text())
    if "record" in rule
}
KNOWN = ABOUT_ITSELF | REQUESTS | RECORDED | OF_ALERTS | NOT_OURS

KNOWN_LABELS = (
    {prometheus_label(name) for name in v.IDENTITY}
    | {prometheus_label(name) for each in INSTRUMENTS for name in each.attributes}
    | {ATTRIBUTE, "le", "source", "reason", "label", "version", "python"}
    | {"destination", "signal", "code", "path"}
    | LABELS_NOT_OURS
)


@cache
def expressions(name: str) -> tuple[str, ...]:
    return tuple(_expressions(name))


def _expressions(name: str) -> Iterator[str]:
    dashboard = opened(name)
    for panel in dashboard.panels():
        yield from (asked.expression for asked in dashboard.asked(panel))
    for annotation in dashboard.json["annotations"].get("list", []):
        yield dashboard.fill(annotation["expr"], step_s=60)


@cache
def shown(name: str) -> set[str]:
    """Names of the series on a dashboard."""
    return {read.name for text in expressions(name) for read in reads(text)}


def rules() -> Iterator[str]:
    for group in RULES["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("name", ON_PROMETHEUS)
def test_dashboards_name_only_series_that_there_are(name: str) -> None:
    assert shown(name) <= KNOWN


@pytest.mark.parametrize("name", ON_PROMETHEUS)
def test_dashboards_name_only_labels_that_there_are(name: str) -> None:
    for text in expressions(name):
        named = labels(text) | {label for read in reads(text) for label in read.labels}
        assert named <= KNOWN_LABELS, text


def test_rules_name_only_series_and_labels_that_there_are() -> None:
    for text in rules():
        assert {read.name for read in reads(text)} <= KNOWN
        assert labels(text) <= KNOWN_LABELS


def test_recorded_copies_are_named_after_what_they_copy() -> None:
    for record in RECORDED:
        if record.startswith(LEVEL):
            assert record.removeprefix(LEVEL) in KNOWN


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda instrument: instrument.name)
def test_every_instrument_is_on_a_dashboard(instrument: v.Instrument) -> None:
    assert any(series_of(instrument) & shown(name) for name in ON_PROMETHEUS)


@pytest.mark.parametrize(
    "series", sorted(name for name in ABOUT_ITSELF if name.startswith("llm_gateway_exporter_"))
)
def test_everything_that_the_exporter_says_about_itself_is_on_a_dashboard(series: str) -> None:
    whole = re.sub(r"_(sum|count)$", "_bucket", series)
    assert {series, whole} & shown("exporter")
