"""An Alertmanager configuration: who is told of which alert, when, and what is kept quiet.

Routes go by `alert_id`, which every alert of ours has and no other alert should have. Each is a
child of the root, for the root cannot have time intervals.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from exporter.alerting import promql as q
from exporter.alerting.definitions import Definitions
from exporter.alerting.notifications import (
    DAYS,
    NOBODY,
    Day,
    Group,
    Hours,
    Notifications,
    Receiver,
)
from exporter.alerting.promql import quoted
from exporter.alerting.watched import Watched, label_of
from exporter.alerting.words import SEVERITIES

_SINCE = '(since {{ .StartsAt.UTC.Format "2006-01-02 15:04" }} UTC)'
_LINES = (
    "{{ range .Alerts }}{{ .Status | toUpper }}{{ with .Labels.severity }} {{ . }}{{ end }}: "
    f"{{{{ or .Annotations.summary .Labels.alertname }}}} {_SINCE}\n"
    "{{ .Annotations.description }}\n"
    "{{ range .Annotations.SortedPairs }}"
    "{{ if match `_url$` .Name }}{{ .Value }}\n{{ end }}"
    "{{ end }}"
    "{{ end }}"
)
_TITLE = (
    "{{ .Status | toUpper }}: {{ .GroupLabels.alertname }}"
    "{{ with .GroupLabels.severity }} ({{ . }}){{ end }}, "
    "{{ len .Alerts }} alert{{ if gt (len .Alerts) 1 }}s{{ end }}"
)
_PAGERDUTY_SEVERITY = (
    f"{{{{ if match `^({'|'.join(SEVERITIES)})$` .GroupLabels.severity }}}}"
    "{{ .GroupLabels.severity }}{{ else }}error{{ end }}"
)
"""PagerDuty refuses an event with another severity than ours, as alerts of others have."""


@dataclass(frozen=True, slots=True)
class Route:
    """Definitions whose alerts go the same way."""

    group: str
    hours: str | None
    repeat_s: float


def configuration(definitions: Definitions) -> dict[str, object]:
    """Alertmanager's configuration."""
    told = definitions.notifications
    root: dict[str, object] = {
        "receiver": _of_last_resort(told),
        "group_by": ["alertname", "severity"],
        "group_wait": q.duration(told.wait),
        "group_interval": q.duration(told.wait_between),
        "repeat_interval": q.duration(told.repeat),
    }
    if routes := list(_routes(definitions)):
        root["routes"] = routes
    document: dict[str, object] = {
        "route": root,
        "receivers": [
            {"name": NOBODY},
            *(receiver for group in told.groups for receiver in _receivers(group)),
        ],
        "inhibit_rules": list(_inhibitions(definitions)),
    }
    used = {each.hours for each in _watched(definitions)}
    if intervals := [
        {"name": name, "time_intervals": list(time_intervals(hours))}
        for name, hours in told.hours.items()
        if name in used
    ]:
        document["time_intervals"] = intervals
    return document


def remarks(definitions: Definitions) -> Iterator[str]:
    """What a person should know about the configuration."""
    if any(each.hours for each in _watched(definitions)):
        yield (
            'An alert that resolves outside its effective hours sends no "resolved": what its\n'
            "notification opened, such as an incident in PagerDuty, stays open."
        )
    if any(one.teams for group in definitions.notifications.groups for one in group.receivers):
        yield "Receivers for Microsoft Teams need Alertmanager 0.28 or newer."


def _watched(definitions: Definitions) -> Sequence[Watched]:
    return (*definitions.alerts, *definitions.slos)


def _of_last_resort(told: Notifications) -> str:
    """The receiver of severities that nobody takes where they are sent: who takes all of them."""
    defaults = [group for group in told.groups if group.name == told.default]
    return next((group.name for group in defaults if SEVERITIES in _severity_sets(group)), NOBODY)


def _routes(definitions: Definitions) -> Iterator[dict[str, object]]:
    """To each group the alerts that are sent there; to the default one the others, too."""
    told = definitions.notifications
    default = (told.default,) if told.default else ()
    ways: dict[Route, list[str]] = {}
    for each in _watched(definitions):
        for name in each.notify or default:
            way = Route(name, each.hours, each.repeat or told.repeat)
            ways.setdefault(way, []).append(each.name)
    matchers = {way: f"alert_id=~{quoted('|'.join(names))}" for way, names in ways.items()}
    of_others = [(Route(name, None, told.repeat), 'alert_id=""') for name in default]
    groups = {group.name: group for group in told.groups}
    for way, matcher in (*matchers.items(), *of_others):
        for severities in _severity_sets(groups[way.group]):
            yield _route(way, matcher, severities, told)


def _route(
    way: Route, matcher: str, severities: Sequence[str], told: Notifications
) -> dict[str, object]:
    matchers = [matcher]
    if len(severities) < len(SEVERITIES):
        matchers.append(f"severity=~{quoted('|'.join(severities))}")
    route: dict[str, object] = {
        "receiver": _receiver_name(way.group, severities),
        "matchers": matchers,
        "continue": True,
    }
    if way.repeat_s != told.repeat:
        route["repeat_interval"] = q.duration(way.repeat_s)
    if way.hours:
        route["active_time_intervals"] = [way.hours]
    return route


def _severity_sets(group: Group) -> list[tuple[str, ...]]:
    """Severities that are told in the same way."""
    return list(dict.fromkeys(receiver.severities for receiver in group.receivers))


def _receiver_name(group: str, severities: Sequence[str]) -> str:
    # No group's name has a slash.
    return group if len(severities) == len(SEVERITIES) else f"{group}/{'-'.join(severities)}"


def _receivers(group: Group) -> Iterator[dict[str, object]]:
    """A receiver for each set of severities."""
    for severities in _severity_sets(group):
        chosen = [each for each in group.receivers if each.severities == severities]
        yield {"name": _receiver_name(group.name, severities), **_integrations(chosen)}


def _integrations(receivers: Sequence[Receiver]) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for receiver in receivers:
        key, settings = _integration(receiver)
        found.setdefault(key, []).append({**settings, "send_resolved": receiver.send_resolved})
    return found


def _integration(receiver: Receiver) -> tuple[str, dict[str, object]]:
    """The kind of integration as Alertmanager calls it, and its settings."""
    if (webhook := receiver.webhook) is not None:
        settings: dict[str, object] = {"url": webhook.url}
        if webhook.token_file:
            authorization = {"credentials_file": str(webhook.token_file)}
            settings["http_config"] = {"authorization": authorization}
        return "webhook_configs", settings
    if (bridge := receiver.dingtalk or receiver.wecom or receiver.feishu) is not None:
        return "webhook_configs", {"url": bridge.bridge}
    if (email := receiver.email) is not None:
        settings = {
            "to": ", ".join(email.to),
            "from": email.sender,
            "smarthost": email.server,
            "headers": {"Subject": _TITLE},
            "text": _LINES,
        }
        if email.username:
            settings["auth_username"] = email.username
        if email.password_file:
            settings["auth_password_file"] = str(email.password_file)
        return "email_configs", settings
    if (slack := receiver.slack) is not None:
        return "slack_configs", {
            "api_url_file": str(slack.url_file),
            "channel": slack.channel,
            "title": _TITLE,
            "text": _LINES,
        }
    if (pagerduty := receiver.pagerduty) is not None:
        return "pagerduty_configs", {
            "routing_key_file": str(pagerduty.routing_key_file),
            "severity": _PAGERDUTY_SEVERITY,
            "description": _TITLE,
            "details": {"alerts": _LINES},
        }
    if (opsgenie := receiver.opsgenie) is not None:
        return "opsgenie_configs", {
            "api_key_file": str(opsgenie.api_key_file),
            "message": _TITLE,
            "description": _LINES,
        }
    assert receiver.teams is not None  # noqa: S101
    return "msteamsv2_configs", {
        "webhook_url_file": str(receiver.teams.url_file),
        "title": _TITLE,
        "text": _LINES,
    }


def _inhibitions(definitions: Definitions) -> Iterator[dict[str, object]]:
    """A worse severity silences the milder ones of the same alert and the same labels.

    `alert_id` is asked for on both sides: labels that are missing on both count as equal, and would
    let any alert silence any other.
    """
    words = dict.fromkeys(word for each in _watched(definitions) for word in each.grouping)
    equal = ["alert_id", *(label_of(word) for word in words)]
    for number, severity in enumerate(SEVERITIES[:-1]):
        milder = "|".join(SEVERITIES[number + 1 :])
        yield {
            "source_matchers": ['alert_id!=""', f"severity={quoted(severity)}"],
            "target_matchers": ['alert_id!=""', f"severity=~{quoted(milder)}"],
            "equal": equal,
        }


def time_intervals(hours: Hours) -> Iterator[Mapping[str, object]]:
    """Effective hours as Alertmanager has them: ranges beyond midnight are split."""
    for times in hours.times:
        start, end = times.minutes
        yield _interval(hours, start, min(end, 1440), hours.days)
        if end > 1440:
            following = [DAYS[(DAYS.index(day) + 1) % 7] for day in hours.days]
            yield _interval(hours, 0, end - 1440, [day for day in DAYS if day in following])


def _interval(hours: Hours, start: int, end: int, days: Sequence[Day]) -> Mapping[str, object]:
    """One interval; its zone is always written, for without it the times are UTC."""
    interval: dict[str, object] = {}
    if (start, end) != (0, 1440):
        interval["times"] = [{"start_time": _clock(start), "end_time": _clock(end)}]
    if len(set(days)) < len(DAYS):
        interval["weekdays"] = [day for day in DAYS if day in days]
    return interval | {"location": str(hours.timezone)}


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
