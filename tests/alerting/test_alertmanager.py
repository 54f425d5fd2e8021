"""Who is told, and when: what definitions become in Alertmanager's configuration."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.alerting.alertmanager import configuration, remarks, time_intervals
from exporter.alerting.definitions import Definitions
from exporter.alerting.notifications import Hours
from exporter.alerting.words import SEVERITIES
from tests.alerting.rulefiles import told

HOOK = {"webhook": {"url": "https://hooks.example"}}
PAGER = {"pagerduty": {"routing_key_file": "/run/key"}, "severities": ["critical"]}


def made(**changes: Any) -> dict[str, Any]:
    """The configuration of two alerts, one of which has hours."""
    limits = {"critical": "9%", "warning": "5%"}
    alert = {"metric": "error_rate", "severities": limits, "notify": ["oncall"]}
    document: dict[str, Any] = {
        "notifications": {
            "groups": [{"name": "oncall", "receivers": [PAGER, HOOK]}],
            "hours": {"day": {"timezone": "Europe/Berlin", "times": [{"start": "08:00"}]}},
        },
        "alerts": [
            {"name": "First", **alert},
            {"name": "Second", **alert, "hours": "day", "repeat": "1h", "by": ["provider"]},
        ],
    }
    definitions = Definitions.model_validate(document | changes)
    return configuration(definitions)


def test_each_way_to_a_group_is_a_route_of_its_own_below_the_root() -> None:
    route = made()["route"]
    assert route["receiver"] == "nobody"
    assert "active_time_intervals" not in route
    assert [
        (each["receiver"], each["matchers"], each.get("active_time_intervals"))
        for each in route["routes"]
    ] == [
        ("oncall/critical", ['alert_id=~"First"', 'severity=~"critical"'], None),
        ("oncall", ['alert_id=~"First"'], None),
        ("oncall/critical", ['alert_id=~"Second"', 'severity=~"critical"'], ["day"]),
        ("oncall", ['alert_id=~"Second"'], ["day"]),
    ]
    assert all(each["continue"] for each in route["routes"])
    assert [each.get("repeat_interval") for each in route["routes"]] == [None, None, "1h", "1h"]


def test_a_worse_severity_silences_milder_ones_of_the_same_alert_and_labels() -> None:
    rules = made()["inhibit_rules"]
    assert [rule["target_matchers"][1] for rule in rules] == [
        'severity=~"error|warning|info"',
        'severity=~"warning|info"',
        'severity=~"info"',
    ]
    for rule in rules:
        assert rule["equal"] == ["alert_id", "gen_ai_request_model", "gen_ai_provider_name"]
        assert rule["source_matchers"][0] == rule["target_matchers"][0] == 'alert_id!=""'


def test_secrets_are_named_by_their_files() -> None:
    receivers = {each["name"]: each for each in made()["receivers"]}
    (pager,) = receivers["oncall/critical"]["pagerduty_configs"]
    assert pager["routing_key_file"] == "/run/key"


@pytest.mark.parametrize(
    ("start", "end", "days", "expected"),
    [
        ("08:00", "18:00", ["monday"], [("08:00", "18:00", ["monday"])]),
        ("08:00", "23:59", ["monday"], [("08:00", "24:00", ["monday"])]),
        ("8:30", "24:00", ["sunday"], [("08:30", "24:00", ["sunday"])]),
        (
            *("22:00", "06:00", ["friday", "sunday"]),
            [("22:00", "24:00", ["friday", "sunday"]), ("00:00", "06:00", ["monday", "saturday"])],
        ),
        ("22:00", "00:00", ["friday"], [("22:00", "24:00", ["friday"])]),
    ],
)
def test_hours_are_split_at_midnight_and_always_have_a_zone(
    start: str, end: str, days: list[str], expected: list[tuple[str, str, list[str]]]
) -> None:
    hours = Hours.model_validate(
        {"timezone": "Asia/Shanghai", "days": days, "times": [{"start": start, "end": end}]}
    )
    intervals: list[Any] = list(time_intervals(hours))
    assert [
        (each["times"][0]["start_time"], each["times"][0]["end_time"], each["weekdays"])
        for each in intervals
    ] == expected
    assert {each["location"] for each in intervals} == {"Asia/Shanghai"}


def test_all_day_and_every_day_has_no_limits() -> None:
    hours = Hours.model_validate({"timezone": "UTC"})
    assert list(time_intervals(hours)) == [{"location": "UTC"}]


def test_what_hours_do_to_resolved_notifications_is_said() -> None:
    definitions = Definitions.model_validate(
        {
            "notifications": {"hours": {"day": {"timezone": "UTC"}}},
            "alerts": [
                {
                    "name": "First",
                    "metric": "error_rate",
                    "severities": {"info": "5%"},
                    "hours": "day",
                }
            ],
        }
    )
    (remark,) = remarks(definitions)
    assert 'sends no "resolved"' in remark


@pytest.mark.parametrize(
    ("models", "told_of"), [(["qwen"], "1 alert"), (["qwen", "glm"], "2 alerts")]
)
def test_a_message_tells_each_alert_and_its_links(
    models: list[str], told_of: str, amtool: Path, tmp_path: Path
) -> None:
    slack = {"slack": {"channel": "#llm", "url_file": "/run/slack"}}
    groups = [{"name": "oncall", "receivers": [slack]}]
    _, receiver = made(notifications={"groups": groups}, alerts=[])["receivers"]
    (message,) = receiver["slack_configs"]
    alerts = [
        {
            "status": "firing",
            "labels": {"severity": "critical"},
            "annotations": {
                "summary": f"Requests fail: {model}",
                "description": "Looked at over 5m.",
                "runbook_url": "https://wiki.example/error-rate.md",
            },
            "startsAt": "2026-11-30T02:00:00Z",
        }
        for model in models
    ]
    labels = {"alertname": "ErrorRate", "severity": "critical"}
    group = {"status": "firing", "groupLabels": labels, "alerts": alerts}
    title = rendered(message["title"], group, amtool, tmp_path)
    assert title == f"FIRING: ErrorRate (critical), {told_of}"
    assert rendered(message["text"], group, amtool, tmp_path).splitlines() == [
        line
        for model in models
        for line in (
            f"FIRING critical: Requests fail: {model} (since 2026-11-30 02:00 UTC)",
            "Looked at over 5m.",
            "https://wiki.example/error-rate.md",
        )
    ]


@pytest.mark.parametrize(
    ("labels", "title", "severity"),
    [
        ({"alertname": "DiskFull"}, "FIRING: DiskFull, 1 alert", "error"),
        (
            {"alertname": "DiskFull", "severity": "page"},
            "FIRING: DiskFull (page), 1 alert",
            "error",
        ),
        (
            {"alertname": "DiskFull", "severity": "warning"},
            *("FIRING: DiskFull (warning), 1 alert", "warning"),
        ),
    ],
)
def test_alerts_of_others_are_told_by_their_names_in_words_that_are_known(
    labels: dict[str, str], title: str, severity: str, amtool: Path, tmp_path: Path
) -> None:
    groups = [{"name": "oncall", "receivers": [PAGER | {"severities": list(SEVERITIES)}]}]
    config = made(notifications={"groups": groups, "default": "oncall"}, alerts=[])
    assert config["route"]["group_by"] == ["alertname", "severity"]
    (page,) = config["receivers"][1]["pagerduty_configs"]
    alert = {"status": "firing", "labels": labels, "startsAt": "2026-11-30T02:00:00Z"}
    group = {"status": "firing", "groupLabels": labels, "alerts": [alert]}
    assert rendered(page["description"], group, amtool, tmp_path) == title
    assert rendered(page["severity"], group, amtool, tmp_path) == severity
    (line,) = rendered(page["details"]["alerts"], group, amtool, tmp_path).splitlines()
    said = " ".join(["FIRING", *([labels["severity"]] if "severity" in labels else [])])
    assert line == f"{said}: DiskFull (since 2026-11-30 02:00 UTC)"


ALL = {"webhook": {"url": "https://hooks.example/all"}}
WORST = {"webhook": {"url": "https://hooks.example/worst"}, "severities": ["critical", "error"]}


@pytest.mark.parametrize(
    ("receivers", "labels", "receiver"),
    [
        ([ALL, WORST], "alert_id=Unsent severity=critical", "team,team/critical-error"),
        ([ALL, WORST], "alert_id=Unsent severity=info", "team"),
        ([ALL, WORST], "alertname=DiskFull severity=critical", "team,team/critical-error"),
        ([ALL, WORST], "alertname=DiskFull", "team"),
        ([ALL, WORST], "alert_id=Paged severity=critical", "pager/critical"),
        ([ALL, WORST], "alert_id=Paged severity=info", "team"),
        ([WORST], "alert_id=Unsent severity=critical", "team/critical-error"),
        ([WORST], "alert_id=Unsent severity=info", "nobody"),
        ([WORST], "alertname=DiskFull severity=warning", "nobody"),
        ([WORST], "alert_id=Paged severity=info", "nobody"),
    ],
)
def test_the_default_group_is_told_of_what_goes_nowhere_else_by_the_receivers_that_take_it(
    receivers: list[dict[str, Any]], labels: str, receiver: str, amtool: Path, tmp_path: Path
) -> None:
    file = tmp_path / "alertmanager.yaml"
    file.write_text(json.dumps(made(**default_group(receivers))))
    asked = "config", "routes", "test", f"--config.file={file}", *labels.split()
    assert receiver in told(amtool, *asked).splitlines()


def test_severities_in_another_order_are_the_same(amtool: Path, tmp_path: Path) -> None:
    every = {**WORST, "severities": [*reversed(SEVERITIES)]}
    file = tmp_path / "alertmanager.yaml"
    file.write_text(json.dumps(made(**default_group([ALL, every]))))
    told(amtool, "check-config", file)


def test_the_default_group_is_told_within_the_hours_of_an_alert() -> None:
    (route, *_) = made(**default_group([ALL]))["route"]["routes"]
    assert route["receiver"] == "team"
    assert route["active_time_intervals"] == ["day"]
    assert route["repeat_interval"] == "1h"


def default_group(receivers: list[dict[str, Any]]) -> dict[str, Any]:
    """Definitions of two alerts, one of which no definition sends anywhere."""
    watched = {"metric": "error_rate", "severities": {"critical": "9%", "info": "2%"}}
    return {
        "notifications": {
            "default": "team",
            "hours": {"day": {"timezone": "UTC"}},
            "groups": [
                {"name": "team", "receivers": receivers},
                {"name": "pager", "receivers": [PAGER]},
            ],
        },
        "alerts": [
            {"name": "Unsent", **watched, "hours": "day", "repeat": "1h"},
            {"name": "Paged", **watched, "notify": ["pager"]},
        ],
    }


def rendered(text: str, group: dict[str, Any], amtool: Path, directory: Path) -> str:
    """What Alertmanager makes of a template for a group of alerts."""
    data, none = directory / "data.json", directory / "none.tmpl"
    data.write_text(json.dumps(group))
    none.touch()
    files = f"--template.glob={none}", f"--template.data={data}"
    return told(amtool, "template", "render", *files, f"--template.text={text}").strip()
