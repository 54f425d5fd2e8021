"""The rules of Grafana's dashboard-linter, under their names; what we except has a reason."""

import re
from itertools import combinations

import promql_parser
import pytest
from grafana_foundation_sdk.models import units

from tests.dashboards.built import NAMES, ON_PROMETHEUS, opened
from tests.dashboards.grafana import Json
from tests.dashboards.promql import reads

every_dashboard = pytest.mark.parametrize("name", NAMES)
every_dashboard_on_prometheus = pytest.mark.parametrize("name", ON_PROMETHEUS)

KNOWN_UNITS = {value for name, value in vars(units).items() if name[0].isupper()}

NOT_OF_A_JOB = ("ALERTS", "slo:")
"""Alerts and the records of objectives are of models: the job has been summed away."""


def variable(name: str, of: str) -> Json:
    (found,) = (each for each in opened(name).variables() if each["name"] == of)
    return found


def panels(name: str) -> list[Json]:
    """Those that show data."""
    return [panel for panel in opened(name).panels() if panel["type"] != "text"]


@every_dashboard
def test_template_datasource_rule(name: str) -> None:
    source = variable(name, "loki_datasource" if name == "logs" else "datasource")
    assert source["type"] == "datasource"
    assert source["query"] == ("loki" if name == "logs" else "prometheus")
    assert source["label"] == "Data source"


@pytest.mark.parametrize("name", [name for name in ON_PROMETHEUS if name != "alerts"])
def test_template_job_rule(name: str) -> None:
    job = variable(name, "job")
    assert (job["type"], job["label"], job["allValue"]) == ("query", "job", ".+")
    assert job["datasource"]["uid"] == "${datasource}"
    assert job["multi"]


# template-instance-rule and target-instance-rule are excepted: an exporter's address says nothing
# about a model, and what is told apart by it are the panels about exporters.


@every_dashboard
def test_template_label_promql_rule(name: str) -> None:
    dashboard = opened(name)
    for each in dashboard.variables():
        if each["type"] == "query":
            function, text = re.fullmatch(r"(\w+)\((.*)\)", each["query"], re.DOTALL).groups()  # type: ignore[union-attr]
            selector = text.rpartition(",")[0] if function == "label_values" else text
            promql_parser.parse(dashboard.fill(selector))


@every_dashboard
def test_template_on_time_change_reload_rule(name: str) -> None:
    assert {v["refresh"] for v in opened(name).variables() if v["type"] == "query"} <= {2}


@every_dashboard
def test_panel_datasource_rule(name: str) -> None:
    uid = "${loki_datasource}" if name == "logs" else "${datasource}"
    for panel in panels(name):
        assert panel["datasource"]["uid"] == uid, panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {uid}


@every_dashboard
def test_panel_title_description_rule(name: str) -> None:
    for panel in panels(name):
        assert panel["title"]
        assert panel["description"], panel["title"]


@every_dashboard
def test_titles_are_unique(name: str) -> None:
    titles = [panel["title"] for panel in panels(name)]
    assert len(set(titles)) == len(titles)


@every_dashboard
def test_panel_units_rule(name: str) -> None:
    for panel in panels(name):
        if panel["type"] != "logs":
            assert panel["fieldConfig"]["defaults"]["unit"] in KNOWN_UNITS, panel["title"]
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            for setting in override["properties"]:
                assert setting["id"] != "unit" or setting["value"] in KNOWN_UNITS


@every_dashboard
def test_panels_say_what_stands_there_without_data(name: str) -> None:
    for panel in panels(name):
        if panel["type"] != "logs":
            assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


@every_dashboard
def test_panel_no_targets_rule(name: str) -> None:
    for panel in panels(name):
        assert panel["targets"], panel["title"]


@every_dashboard_on_prometheus
def test_target_promql_rule(name: str) -> None:
    dashboard = opened(name)
    for panel in panels(name):
        for asked in dashboard.asked(panel):
            promql_parser.parse(asked.expression)


@every_dashboard_on_prometheus
def test_target_rate_interval_rule(name: str) -> None:
    for panel in panels(name):
        for target in panel["targets"]:
            for window in re.findall(r"\b(?:rate|irate)\([^[]*\[([^]]*)\]", target["expr"]):
                assert window == "$__rate_interval", panel["title"]


@every_dashboard_on_prometheus
def test_target_counter_agg_rule(name: str) -> None:
    dashboard = opened(name)
    for panel in panels(name):
        for asked in dashboard.asked(panel):
            for read in reads(asked.expression):
                if read.name.endswith(("_total", "_bucket", "_sum", "_count")):
                    assert read.function, f"{panel['title']}: {read.name} as it stands"


@every_dashboard_on_prometheus
def test_target_job_rule(name: str) -> None:
    dashboard = opened(name)
    for panel in panels(name):
        for asked in dashboard.asked(panel):
            for read in reads(asked.expression):
                if not read.name.startswith(NOT_OF_A_JOB):
                    assert "job" in read.labels, f"{panel['title']}: {read.name}"


@every_dashboard
def test_uneditable_dashboard(name: str) -> None:
    assert opened(name).json["editable"] is False


@every_dashboard
def test_nothing_refreshes_faster_than_every_30_seconds(name: str) -> None:
    dashboard = opened(name).json
    for interval in (dashboard["refresh"], *dashboard["timepicker"]["refresh_intervals"]):
        assert interval in ("30s", "1m", "5m", "15m", "1h")


@every_dashboard
def test_panels_have_ids_and_do_not_overlap(name: str) -> None:
    placed = opened(name).json["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    for one, other in combinations([panel["gridPos"] for panel in placed], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24


def test_uids_are_stable() -> None:
    assert [opened(name).json["uid"] for name in NAMES] == [
        "llm-gateway-analytics",
        "llm-gateway-model",
        "llm-gateway-alerts",
        "llm-gateway-exporter",
        "llm-gateway-logs",
    ]


@every_dashboard
def test_no_dashboard_asks_for_inputs_or_names_a_data_source(name: str) -> None:
    text = str(opened(name).json)
    assert "__inputs" not in text
    assert "${DS_" not in text
