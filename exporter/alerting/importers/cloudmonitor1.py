"""Alibaba CloudMonitor 1.0: DescribeMetricRuleList, PutResourceMetricRule and ...Rules.

No namespace for calls of models is documented, so the metrics are mapped by a table that the user
gives; what it lacks is listed. The three calls wrap and type the same fields differently.
"""

import re
from collections.abc import Mapping

from exporter.alerting.importers.draft import (
    KEPT,
    ByHand,
    Draft,
    Json,
    always,
    figure,
    objects,
    seconds,
    threshold,
)
from exporter.alerting.metrics import METRICS, Unit
from exporter.alerting.notifications import DAYS

_LEVELS = {"Critical": "critical", "Warn": "warning", "Info": "info"}
_OPERATORS: Mapping[str, tuple[str, str | None]] = {
    "GreaterThanOrEqualToThreshold": ("at_least", None),
    "GreaterThanThreshold": ("above", None),
    "LessThanOrEqualToThreshold": ("at_most", None),
    "LessThanThreshold": ("below", None),
    "GreaterThanYesterday": ("above", "yesterday"),
    "LessThanYesterday": ("below", "yesterday"),
    "GreaterThanLastWeek": ("above", "last_week"),
    "LessThanLastWeek": ("below", "last_week"),
    "GreaterThanLastPeriod": ("above", "previous_period"),
    "LessThanLastPeriod": ("below", "previous_period"),
}
_NO_DATA = {"KEEP_LAST_STATE": "keep", "INSUFFICIENT_DATA": "alert", "OK": "ignore"}
_FLOOR = re.compile(r"\s*\$(?:Average|Maximum|Minimum|Sum|Value)\s*>=?\s*([0-9.]+)\s*")
_TIMES = re.compile(r"(\d{1,2}:\d{2})-(\d{1,2}:\d{2})")

Table = Mapping[str, str]
"""Our metric by `namespace/metric`, as the user gives it."""


def convert(document: object, draft: Draft, table: Table, timezone: str, unit: str | None) -> None:
    """Put the rules of a document into a draft."""
    for rule in objects(document, "Alarms", "Alarm", "Rules"):
        title = str(rule.get("RuleName") or rule.get("RuleId") or "rule")
        try:
            _convert_rule(title, rule, draft, table, timezone, unit)
        except ByHand as reason:
            draft.remark(title, str(rule.get("MetricName")), f"{reason}; by hand")


def _convert_rule(
    title: str, rule: Json, draft: Draft, table: Table, timezone: str, unit: str | None
) -> None:
    if rule.get("EnableState") is False:
        raise ByHand("is switched off at the source")
    composite = rule.get("CompositeExpression") or {}
    conditions = list(objects(composite.get("ExpressionList"), "ExpressionList"))
    if raw := composite.get("ExpressionRaw") or conditions:
        draft.remark(title, "CompositeExpression", f"expressions are not carried: {raw}")
    if promql := (rule.get("Prometheus") or {}).get("PromQL"):
        draft.remark(title, "Prometheus", f"PromQL over other metrics is not carried: {promql}")
    source = f"{rule.get('Namespace')}/{rule.get('MetricName')}"
    if source not in table:
        raise ByHand(f"{source} has no counterpart; say one with --metric {source}=...")
    metric = table[source]
    factor = 1.0
    if METRICS[metric].unit is Unit.SECONDS:
        if unit is None:
            raise ByHand("the unit of durations is not known; say it with --duration-unit")
        factor = 0.001 if unit == "ms" else 1.0
    levels = {level: given for level, given in (rule.get("Escalations") or {}).items() if given}
    ways: dict[tuple[str, str | None, int, str], dict[str, Json]] = {}
    for level, given in levels.items():
        operator = str(given.get("ComparisonOperator"))
        if level not in _LEVELS or operator not in _OPERATORS:
            draft.remark(title, f"Escalations.{level}", f"{operator} has no counterpart; by hand")
            continue
        times = int(figure(given.get("Times") or 1, "Times"))
        way = (*_OPERATORS[operator], times, str(given.get("PreCondition")))
        ways.setdefault(way, {})[level] = given
    for (compare, against, times, condition), given_levels in ways.items():
        alert: dict[str, object] = {"name": draft.name(title), "title": title, "metric": metric}
        period = seconds(figure(rule.get("Period") or 60, "Period"))
        alert |= {"by": [], "period": period, "periods": times}
        alert["compare"] = compare
        if against:
            alert["against"] = against
            if against == "previous_period" and times > 1:
                alert["periods"] = 1
                draft.remark(title, "Times", f"{times}: a step is seen in one period only; now 1")
            _carry_floor(title, condition, metric, factor, alert, draft)
        elif condition != "None":
            draft.remark(title, "PreCondition", f"{condition} is of changes only; not carried")
        alert["severities"] = {
            _LEVELS[level]: _limit(metric, given, compare, against, factor)
            for level, given in given_levels.items()
        }
        alert["no_data"] = _NO_DATA.get(str(rule.get("NoDataPolicy")), "keep")
        if alert["no_data"] == "keep":
            draft.remark(title, "NoDataPolicy", KEPT)
        if silence := figure(rule.get("SilenceTime") or 0, "SilenceTime"):
            alert["repeat"] = seconds(min(max(silence, 60), 30 * 86_400))
        _carry_hours(title, rule, timezone, alert, draft)
        try:
            draft.add_alert(alert)
        except ByHand as reason:
            draft.remark(title, f"Escalations.{', '.join(given_levels)}", f"{reason}; by hand")
    _report(title, rule, levels, draft)


def _limit(metric: str, given: Json, compare: str, against: str | None, factor: float) -> object:
    """The threshold; a change is in percent of the former value, and negative for a fall."""
    value = figure(given.get("Threshold"), "Threshold")
    if against is None:
        return threshold(metric, value, factor=factor)
    return f"{-value if compare == 'below' else value:g}%"


def _carry_floor(
    title: str, condition: str, metric: str, factor: float, alert: dict[str, object], draft: Draft
) -> None:
    if match := _FLOOR.fullmatch(condition):
        alert["floor"] = threshold(metric, float(match[1]), factor=factor)
    elif condition not in ("None", ""):
        draft.remark(title, "PreCondition", f"{condition} is not carried")


def _carry_hours(
    title: str, rule: Json, timezone: str, alert: dict[str, object], draft: Draft
) -> None:
    effective = str(rule.get("EffectiveInterval") or "")
    if (excluded := str(rule.get("NoEffectiveInterval") or "")) and excluded != effective:
        draft.remark(title, "NoEffectiveInterval", f"{excluded} is not carried; write the hours")
    match = _TIMES.fullmatch(effective)
    if match is None or always(DAYS, match[1], match[2]):
        return
    hours = {"timezone": timezone, "times": [{"start": match[1], "end": match[2]}]}
    alert["hours"] = draft.hours_of(hours)
    draft.remark(title, "EffectiveInterval", f"has no time zone at the source; {timezone} here")


def _report(title: str, rule: Json, levels: Mapping[str, Json], draft: Draft) -> None:
    for part in ("ContactGroups", "Webhook"):
        if rule.get(part):
            draft.remark(title, part, f"{rule[part]}: make a notification group of it")
    for part in ("Resources", "Dimensions"):
        if rule.get(part):
            draft.remark(title, part, f"{rule[part]} is not carried; say whose requests in scope")
    statistics = {str(given.get("Statistics")) for given in levels.values()}
    draft.remark(title, "Statistics", f"{', '.join(sorted(statistics))}: is the metric's own now")
    for part in ("MailSubject", "EmailSubject", "Labels"):
        if rule.get(part):
            draft.remark(title, part, "not carried")
